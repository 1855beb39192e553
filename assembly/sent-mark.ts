/**
 * How far a Session's queue was sent, as far as that is safe.
 *
 * That something was sent is put on record a while later (queue.ts, recordMoved()), so after a
 * crash more may have been sent than the newest mark that was committed says. What may have been
 * sent comes with DUP then [MQTT-3.3.1-1]: hence nothing is sent further ahead of that mark than
 * SENT_AHEAD_MAX, and a recovery takes so much as sent (recover.ts).
 */
import { recordedTurn } from "./journal";
import {
  SESSION_CURSOR,
  SESSION_SENT_MARK,
  SESSION_SENT_SAFE,
  SESSION_SENT_TURN,
} from "./session-layout";
import { turnCommitted } from "./settings";

/** Messages: some milliseconds of the fastest client, and 32 KiB of slots after a crash. */
export const SENT_AHEAD_MAX: u32 = 8192;

/** Low 32 bits of the sequence behind the newest mark that was committed. */
function safeMark(session: usize): u32 {
  const isCommitted = <i32>(load<u32>(session, SESSION_SENT_TURN) - turnCommitted) <= 0;
  return isCommitted
    ? load<u32>(session, SESSION_SENT_MARK)
    : load<u32>(session, SESSION_SENT_SAFE);
}

/** The page being filled says that all before the cursor was sent. */
export function markRecorded(session: usize): void {
  store<u32>(session, safeMark(session), SESSION_SENT_SAFE);
  store<u32>(session, <u32>load<u64>(session, SESSION_CURSOR), SESSION_SENT_MARK);
  store<u32>(session, recordedTurn(), SESSION_SENT_TURN);
}

/** All before the cursor is safe: it comes from the store. */
export function markSafe(session: usize): void {
  store<u32>(session, <u32>load<u64>(session, SESSION_CURSOR), SESSION_SENT_SAFE);
  store<u32>(session, <u32>load<u64>(session, SESSION_CURSOR), SESSION_SENT_MARK);
  store<u32>(session, turnCommitted, SESSION_SENT_TURN);
}

/** Whether a queued message may be sent before another mark is committed. Hot. */
export function isNearMark(session: usize, sequence: u64): bool {
  return <u32>sequence - safeMark(session) < SENT_AHEAD_MAX;
}
