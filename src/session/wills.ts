/**
 * Will Messages, §3.1.2.5: kept with their connection, published when it ends without a DISCONNECT
 * that says otherwise, delayed if asked [MQTT-3.1.3-9].
 *
 * A will is kept as the PUBLISH that it becomes, in the engine's heap.
 */
import * as abi from "#assembly/abi";
import type { Engine } from "../engine/engine.ts";
import { encodePublish, type PublishParts } from "./publish-packet.ts";
import type { Turn } from "./turn.ts";
import { DeadlineWheel } from "./wheel.ts";

/** The last second that a record can hold. */
const SECONDS_MAX = 2 ** 32 - 1;

export interface Will {
  /** The packet in the engine's heap: version 5, Packet Identifier 1 where it has one. */
  readonly at: number;
  readonly byteCount: number;
  /** Will Delay Interval, seconds. */
  readonly delaySeconds: number;
  /** Its Topic Name, in the packet. */
  readonly topicAt: number;
  readonly topicBytes: number;
}

/** Whether a will may be published; a promise where somebody outside is asked. */
export type WillVerdict = boolean | Promise<boolean>;

/** @param session  whose will it is, and which is still there */
export type JudgeWill = (will: Will, session: number) => WillVerdict;

/** The parts of a will, as CONNECT brings them; its properties without Will Delay Interval. */
export interface WillParts extends PublishParts {
  readonly delaySeconds: number;
}

interface PendingWill {
  readonly session: number;
  readonly will: Will;
  second: number;
}

/** A will on record, with the Unix second at which it is due; 0 while its connection is open. */
export interface RecordedWill {
  readonly will: Will;
  readonly dueSecond: number;
}

export class Wills {
  readonly #engine: Engine;
  readonly #turn: Turn;
  /** Wills that wait, by the number of their Session. */
  readonly #pending = new Map<number, PendingWill>();
  readonly #wheel: DeadlineWheel<PendingWill>;
  /** Wills of durable Sessions, as the journal has them. */
  readonly #recorded = new Map<number, RecordedWill>();
  /** Numbers of Sessions whose will on record is another one since takeChanged(). */
  #changed = new Set<number>();
  #judge: JudgeWill = () => true;

  constructor(engine: Engine, turn: Turn, nowSeconds: number) {
    this.#engine = engine;
    this.#turn = turn;
    this.#wheel = new DeadlineWheel(nowSeconds, (pending) => this.#due(pending));
  }

  /** @returns the will in the engine's heap, or null: no memory */
  keep(parts: WillParts): Will | null {
    return this.keepPacket(encodePublish(parts), parts.delaySeconds);
  }

  /** @param packet  a PUBLISH in version 5 */
  keepPacket(packet: Uint8Array, delaySeconds: number): Will | null {
    const at = this.#engine.keep(packet);
    if (at === 0) return null;
    // The length of the packet is followed by that of the Topic Name.
    let lengthAt = 1;
    while ((packet[lengthAt] ?? 0) >= 0x80) lengthAt++;
    const topicBytes = ((packet[lengthAt + 1] ?? 0) << 8) | (packet[lengthAt + 2] ?? 0);
    const topicAt = at + lengthAt + 3;
    return { at, byteCount: packet.length, delaySeconds, topicAt, topicBytes };
  }

  /** @param judge  asked about a will when it is due */
  judgeBy(judge: JudgeWill): void {
    this.#judge = judge;
  }

  /** Whether the Session may publish the will that waits for its end. */
  mayPublishWaiting(sessionNumber: number, session: number): WillVerdict {
    const pending = this.#pending.get(sessionNumber);
    return pending === undefined || this.#judge(pending.will, session);
  }

  /** Puts the will of a durable Session on record, while its connection is open. */
  record(will: Will, sessionNumber: number): void {
    this.#journal(sessionNumber, { will, dueSecond: 0 });
  }

  /** An earlier run put on record that the Session has no will; the index is to learn it, too. */
  settled(sessionNumber: number): void {
    this.#changed.add(sessionNumber);
  }

  /** A will that is on record since an earlier run; it is to be published or delayed next. */
  restore(will: Will, sessionNumber: number): void {
    this.#recorded.set(sessionNumber, { will, dueSecond: 0 });
  }

  /** The will is not to be sent any more. */
  discard(will: Will, sessionNumber: number): void {
    this.#forget(will, sessionNumber);
    this.#engine.calls.freeBlock(will.at);
  }

  /** Publishes the will, or not: as was judged. Then it is freed. */
  settle(will: Will, sessionNumber: number, verdict: WillVerdict): void {
    if (verdict instanceof Promise) {
      void verdict.then((isAllowed) => this.settle(will, sessionNumber, isAllowed));
    } else if (verdict) this.publish(will, sessionNumber);
    else this.discard(will, sessionNumber);
  }

  /** Publishes the will now and frees it. */
  publish(will: Will, sessionNumber: number): void {
    const status = this.#engine.calls.inject(will.at, will.byteCount);
    this.#turn.schedule();
    // Behind what it leaves behind in the page: both or neither are on disk. What takes several
    // turns stays on record until the last of them: better sent twice than to some only.
    const discard = (): void => this.discard(will, sessionNumber);
    if (status === abi.R_BUDGET || status === abi.R_COMMIT) this.#turn.injectedLater(discard);
    else discard();
  }

  /** Publishes it after its delay, unless the Session is continued before [MQTT-3.1.3-9]. */
  delay(will: Will, sessionNumber: number, nowSeconds: number): void {
    this.delayUntil(will, sessionNumber, nowSeconds + will.delaySeconds);
  }

  /** @param dueSecond  Unix time */
  delayUntil(will: Will, sessionNumber: number, dueSecond: number): void {
    const pending = { session: sessionNumber, will, second: 0 };
    this.#pending.set(sessionNumber, pending);
    pending.second = this.#wheel.add(pending, dueSecond);
    this.#journal(sessionNumber, { will, dueSecond: Math.min(dueSecond, SECONDS_MAX) });
  }

  /** The Session is continued: its waiting will is not sent. */
  cancel(sessionNumber: number): void {
    const pending = this.#take(sessionNumber);
    if (pending !== undefined) this.discard(pending.will, sessionNumber);
  }

  /**
   * The Session ends: its waiting will is due now [MQTT-3.1.2-8].
   *
   * @param verdict  what mayPublishWaiting() said before
   */
  sessionEnds(sessionNumber: number, verdict: WillVerdict): void {
    const pending = this.#take(sessionNumber);
    if (pending !== undefined) this.settle(pending.will, sessionNumber, verdict);
  }

  tick(nowSeconds: number): void {
    this.#wheel.tick(nowSeconds);
  }

  /** Wills on record that changed since the last call; null: there is none any more. */
  takeChanged(): { readonly number: number; readonly recorded: RecordedWill | null }[] {
    const numbers = this.#changed;
    this.#changed = new Set();
    return [...numbers].map((number) => {
      return { number, recorded: this.#recorded.get(number) ?? null };
    });
  }

  #journal(number: number, recorded: RecordedWill): void {
    const { delaySeconds, at, byteCount } = recorded.will;
    this.#recorded.set(number, recorded);
    this.#changed.add(number);
    this.#engine.calls.journalWill(number, delaySeconds, recorded.dueSecond, at, byteCount);
  }

  /** Unless another will of the Session is on record by now. */
  #forget(will: Will, number: number): void {
    if (this.#recorded.get(number)?.will !== will) return;
    this.#recorded.delete(number);
    this.#changed.add(number);
    this.#engine.calls.journalWill(number, 0, 0, 0, 0);
  }

  #take(sessionNumber: number): PendingWill | undefined {
    const pending = this.#pending.get(sessionNumber);
    if (pending === undefined) return undefined;
    this.#wheel.remove(pending, pending.second);
    this.#pending.delete(sessionNumber);
    return pending;
  }

  #due(pending: PendingWill): void {
    this.#pending.delete(pending.session);
    const session = this.#engine.calls.sessionOfNumber(pending.session) >>> 0;
    const verdict = session === 0 || this.#judge(pending.will, session);
    this.settle(pending.will, pending.session, verdict);
  }
}
