/**
 * What of a Session's queue an earlier run of the broker sent, as a journal or a row says.
 */
import { passGap } from "./gap";
import { M_QOS } from "./message";
import { E_FLAGS, firstUnsent, hasQueued, isGapFirst, takeAway, unqueue } from "./queue";
import { SESSION_QUEUE_HEAD } from "./session-layout";
import { AWAITS_PUBACK, AWAITS_PUBREC, NOT_LOADED, openSlot, placeEntry } from "./slots";

/**
 * All queued messages up to a sequence were sent: they move into the window, as a journal says.
 *
 * @returns false: no memory
 */
export function sendUpTo(session: usize, sequence: u64): bool {
  while (hasQueued(session)) {
    const first = firstUnsent(session, sequence + 1);
    if (first > sequence) return true;
    if (isGapFirst(session)) {
      const slot = openSlot(session, first);
      if (slot === 0) return false;
      store<u32>(slot, NOT_LOADED);
      passGap(session, first + 1);
      continue;
    }
    const entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
    const qos = load<u32>(entry, E_FLAGS) & M_QOS;
    if (qos === 0) {
      // It may have been sent, and is never sent again [MQTT-3.3.1-2].
      takeAway(session);
      continue;
    }
    const state = qos === 1 ? AWAITS_PUBACK : AWAITS_PUBREC;
    if (!placeEntry(session, first, entry, state)) return false;
    unqueue(session);
  }
  return true;
}
