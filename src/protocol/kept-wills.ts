/** Wills between the store, which keeps their packets, and the engine, where they are due. */
import { StartError } from "../base/errors.ts";
import { WILL_RESTART_SECONDS_MIN } from "../base/limits.ts";
import type { Engine } from "../engine/engine.ts";
import type { Wills } from "../session/wills.ts";
import type { ChangedWill, StoredWill } from "../store/will-rows.ts";
import { startingSeconds } from "./plane.ts";

/** The wills that changed since the last call, as the store keeps them. */
export function storedWills(engine: Engine, wills: Wills): ChangedWill[] {
  return wills.takeChanged().map(({ number, recorded }) => {
    if (recorded === null) return { number, will: null };
    const { at, byteCount, delaySeconds } = recorded.will;
    const packet = Buffer.from(engine.bytes.subarray(at, at + byteCount));
    return { number, will: { delaySeconds, dueSecond: recorded.dueSecond, packet } };
  });
}

/**
 * Takes up the wills of Sessions that were connected, or whose will was waiting, when the broker
 * ended.
 *
 * @param stored  as Recovered has them
 */
export function restoreWills(
  engine: Engine,
  wills: Wills,
  stored: ReadonlyMap<number, StoredWill | null>,
): void {
  const now = startingSeconds();
  for (const [number, kept] of stored) {
    if (kept === null) {
      wills.settled(number);
      continue;
    }
    const { delaySeconds, dueSecond, packet } = kept;
    const will = wills.keepPacket(packet, delaySeconds);
    if (will === null) throw new StartError("memory_limit is too small for the stored wills");
    wills.restore(will, number);
    if (engine.calls.sessionOfNumber(number) === 0) {
      wills.publish(will, number);
    } else {
      // Whoever was connected did not leave of its own will: it is given time to come back.
      const delay = Math.max(delaySeconds, WILL_RESTART_SECONDS_MIN);
      wills.delayUntil(will, number, dueSecond === 0 ? now + delay : dueSecond);
    }
  }
}
