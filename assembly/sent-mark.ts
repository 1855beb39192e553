/**
 * How far a Session's queue was sent, as far as that is on record.
 *
 * That something was sent is put on record a while later (queue.ts, recordMoved()), so after a
 * crash more may have been sent than the newest mark that was committed says. What may have been
 * sent comes with DUP then [MQTT-3.3.1-1]: hence nothing is sent further ahead of that mark than
 * SENT_AHEAD_MAX, and a recovery takes so much as sent (recover.ts).
 *
 * Only if something was sent from the queue since the client came: that is announced, by a mark
 * that is committed before. Otherwise a client that takes little, and a broker that is killed again
 * and again, would have ever more taken as sent.
 */
import { recordedTurn } from "./journal";
import {
  SESSION_CURSOR,
  SESSION_FLAGS,
  SESSION_RESEND,
  SESSION_SENT_MARK,
  SESSION_SENT_SAFE,
  SESSION_SENT_TURN,
  SESSION_UNANNOUNCED,
} from "./session-layout";
import { turnCommitted } from "./settings";

/** Messages: some milliseconds of the fastest client, and 32 KiB of slots after a crash. */
export const SENT_AHEAD_MAX: u32 = 8192;

/** Low 32 bits of the sequence behind the newest mark that was committed. */
function safeMark(session: usize): u32 {
  const isCommitted = <i32>(load<u32>(session, SESSION_SENT_TURN) - turnCommitted) <= 0;
  if (isCommitted) return load<u32>(session, SESSION_SENT_MARK);
  return load<u32>(session, SESSION_SENT_SAFE);
}

/** The page being filled says that all before the cursor was sent. */
export function markRecorded(session: usize): void {
  const flags = load<u32>(session, SESSION_FLAGS);
  const cursor = <u32>load<u64>(session, SESSION_CURSOR);
  // Until it is announced nothing is near enough.
  const safe = flags & SESSION_UNANNOUNCED ? cursor - SENT_AHEAD_MAX : safeMark(session);
  store<u32>(session, flags & ~SESSION_UNANNOUNCED, SESSION_FLAGS);
  store<u32>(session, safe, SESSION_SENT_SAFE);
  store<u32>(session, cursor, SESSION_SENT_MARK);
  store<u32>(session, recordedTurn(), SESSION_SENT_TURN);
}

/** A record says that something of the queue was sent. */
export function announced(session: usize): void {
  store<u32>(session, load<u32>(session, SESSION_FLAGS) & ~SESSION_UNANNOUNCED, SESSION_FLAGS);
}

/** Whether something of the queue is to be announced: nothing waits to be sent again before it. */
export function isUnannounced(session: usize): bool {
  if (!(load<u32>(session, SESSION_FLAGS) & SESSION_UNANNOUNCED)) return false;
  return load<u64>(session, SESSION_RESEND) === load<u64>(session, SESSION_CURSOR);
}

/** Whether the mark that stands at the cursor is on its way to the disk. */
export function isMarkUnderway(session: usize): bool {
  if (<i32>(load<u32>(session, SESSION_SENT_TURN) - turnCommitted) <= 0) return false;
  return load<u32>(session, SESSION_SENT_MARK) === <u32>load<u64>(session, SESSION_CURSOR);
}

/** A client came, or comes back: nothing was sent to it yet. */
export function unannounce(session: usize): void {
  store<u32>(session, load<u32>(session, SESSION_FLAGS) | SESSION_UNANNOUNCED, SESSION_FLAGS);
}

/** Whether a queued message may be sent before another mark is committed. Hot. */
export function isNearMark(session: usize, sequence: u64): bool {
  if (load<u32>(session, SESSION_FLAGS) & SESSION_UNANNOUNCED) return false;
  return <u32>sequence - safeMark(session) < SENT_AHEAD_MAX;
}
