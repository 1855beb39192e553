/**
 * What of a Session is put on record, and when: what was sent and not acknowledged in time;
 * how far it is, once a page.
 */
import { J_HEAD } from "./abi";
import { unwaitRecorded, wait } from "./held";
import { journalSequence } from "./journal";
import {
  E_FLAGS,
  E_FRESH,
  E_MESSAGE,
  E_TURN,
  noteMoved,
  recordEnqueued,
  recordMoved,
} from "./queue";
import {
  SESSION_CURSOR,
  SESSION_FLAGS,
  SESSION_FRESH,
  SESSION_HAS_FRESH,
  SESSION_HEAD,
  SESSION_IN_PAGE,
  SESSION_PAGE_NEXT,
  SESSION_RECORDED_END,
  SESSION_RECORDED_HEAD,
  SESSION_SENT_MOVED,
  SESSION_SILENT,
  SESSION_SKIP_MOVED,
} from "./session-layout";
import { leaveList, takeTouched, touch } from "./session-lists";
import { freshMsMax, nowMs } from "./settings";
import { STATE, slotAt } from "./slots";

/** The entry was sent and is not on record yet. Hot. */
export function keepFresh(session: usize, sequence: u64, entry: usize): void {
  store<u32>(entry, load<u32>(entry, E_FLAGS) | E_FRESH, E_FLAGS);
  store<u32>(entry, <u32>nowMs, E_TURN);
  wait(load<u32>(entry, E_MESSAGE));
  const flags = load<u32>(session, SESSION_FLAGS);
  if (flags & SESSION_HAS_FRESH) return;
  store<u32>(session, flags | SESSION_HAS_FRESH, SESSION_FLAGS);
  store<u64>(session, sequence, SESSION_FRESH);
  touch(session);
}

/** Records an entry of the window; those before it are on record first, as sequences must be. */
export function recordSent(session: usize, entry: usize): void {
  if (load<u32>(session, SESSION_FLAGS) & SESSION_HAS_FRESH) recordFresh(session, true);
  recordEnqueued(session, entry, true);
}

/**
 * Records what was sent and not acknowledged in time.
 *
 * @param all  also what is young
 */
export function recordFresh(session: usize, all: bool): void {
  const cursor = load<u64>(session, SESSION_CURSOR);
  let sequence = max(load<u64>(session, SESSION_FRESH), load<u64>(session, SESSION_HEAD));
  for (; sequence < cursor; sequence++) {
    const entry: usize = load<u32>(slotAt(session, sequence)) & ~STATE;
    if (entry === 0 || !(load<u32>(entry, E_FLAGS) & E_FRESH)) continue;
    if (!all && <u32>nowMs - load<u32>(entry, E_TURN) < freshMsMax) {
      store<u64>(session, sequence, SESSION_FRESH);
      return;
    }
    store<u32>(entry, load<u32>(entry, E_FLAGS) & ~E_FRESH, E_FLAGS);
    if (!all) {
      store<u32>(session, load<u32>(session, SESSION_FLAGS) | SESSION_SILENT, SESSION_FLAGS);
    }
    recordEnqueued(session, entry, true);
    unwaitRecorded(load<u32>(entry, E_MESSAGE));
  }
  store<u32>(session, load<u32>(session, SESSION_FLAGS) & ~SESSION_HAS_FRESH, SESSION_FLAGS);
}

/** Records of a Session what is recorded once a page: how far it is. */
function recordMarks(session: usize): void {
  const flags = load<u32>(session, SESSION_FLAGS);
  if (flags & SESSION_HAS_FRESH) recordFresh(session, false);
  if (flags & (SESSION_SENT_MOVED | SESSION_SKIP_MOVED)) recordMoved(session);
  const head = load<u64>(session, SESSION_HEAD);
  const end = min(head, load<u64>(session, SESSION_RECORDED_END));
  if (load<u64>(session, SESSION_RECORDED_HEAD) >= end) return;
  store<u64>(session, head, SESSION_RECORDED_HEAD);
  journalSequence(J_HEAD, session, head);
}

/** Puts on record how far the Session was sent: what follows goes out once that is committed. */
export function announce(session: usize): void {
  noteMoved(session, SESSION_SENT_MOVED);
  recordMoved(session);
}

/** Puts on record how far a Session is, before something of it that is answered after a commit. */
export function recordNow(session: usize): void {
  if (load<u32>(session, SESSION_FLAGS) & SESSION_IN_PAGE) recordMarks(session);
}

/** Puts on record what is recorded once a page; those with something young stay listed. */
export function recordTouched(): void {
  let session = takeTouched();
  while (session !== 0) {
    const next: usize = load<u32>(session, SESSION_PAGE_NEXT);
    if (leaveList(session, SESSION_IN_PAGE)) {
      recordMarks(session);
      if (load<u32>(session, SESSION_FLAGS) & SESSION_HAS_FRESH) touch(session);
    }
    session = next;
  }
}
