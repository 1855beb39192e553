/**
 * Session State becomes records: the fewest that make it again (replay.ts). Two engines have the
 * same State exactly when their dumps are the same.
 */
import { J_DONE, J_RECEIVED, J_RELEASED, J_SENT, SCRATCH } from "./abi";
import { isGroup } from "./groups";
import {
  journalClosed,
  journalEnqueued,
  journalIdentifier,
  journalOpened,
  journalSequence,
  journalSubscribed,
  journalUser,
} from "./journal";
import { M_QOS, M_RETAIN } from "./message";
import {
  E_FLAGS,
  E_IDENTIFIERS,
  E_MESSAGE,
  E_NEXT,
  E_SEQUENCE,
  E_SEVERAL,
  E_SHARED,
} from "./queue";
import { nextReceived } from "./received";
import {
  SESSION_CONNECTION,
  SESSION_CURSOR,
  SESSION_HEAD,
  SESSION_NEXT,
  SESSION_QUEUE_HEAD,
  SESSION_QUEUE_TAIL,
  SESSION_USER_BYTES,
} from "./session-layout";
import { AWAITS_PUBCOMP, DONE, entryOf, stateOf } from "./slots";
import {
  filterOf,
  nextSubscription,
  subscriptionIdentifier,
  subscriptionOptions,
} from "./topic-tree";

function dumpEntry(session: usize, entry: usize): void {
  const flags = load<u32>(entry, E_FLAGS);
  journalEnqueued(
    session,
    load<u64>(entry, E_SEQUENCE),
    load<u32>(entry, E_MESSAGE),
    flags & (M_QOS | M_RETAIN | E_SHARED),
    (flags & E_SEVERAL) !== 0,
    load<u32>(entry, E_IDENTIFIERS),
  );
}

/** Window: what was sent, oldest first, with how far its handshake is. */
function dumpWindow(session: usize): void {
  const cursor = load<u64>(session, SESSION_CURSOR);
  for (let at = load<u64>(session, SESSION_HEAD); at < cursor; at++) {
    const state = stateOf(session, at);
    if (state === DONE) continue;
    const entry = entryOf(session, at);
    if (entry !== 0) dumpEntry(session, entry);
    journalSequence(state === AWAITS_PUBCOMP ? J_RELEASED : J_SENT, session, at);
  }
}

/** The newest sequence given out, where it is not owed any more: it must not be given out again. */
function dumpNext(session: usize): void {
  const newest = load<u64>(session, SESSION_NEXT) - 1;
  const tail: usize = load<u32>(session, SESSION_QUEUE_TAIL);
  if (newest === 0 || (tail !== 0 && load<u64>(tail, E_SEQUENCE) === newest)) return;
  const inWindow =
    newest >= load<u64>(session, SESSION_HEAD) && newest < load<u64>(session, SESSION_CURSOR);
  if (!inWindow || stateOf(session, newest) === DONE) journalSequence(J_DONE, session, newest);
}

/**
 * Appends the State of a Session to the journal page, as records.
 *
 * Filters pass through SCRATCH.
 */
export function dumpSession(session: usize): void {
  journalOpened(session);
  if (load<u32>(session, SESSION_USER_BYTES) !== 0) journalUser(session);
  let subscription: usize = isGroup(session) ? 0 : nextSubscription(session, 0);
  while (subscription !== 0) {
    const bytes = filterOf(subscription, SCRATCH);
    journalSubscribed(
      session,
      subscriptionOptions(subscription),
      subscriptionIdentifier(subscription),
      SCRATCH,
      bytes,
    );
    subscription = nextSubscription(session, subscription);
  }
  dumpWindow(session);
  let entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
  while (entry !== 0) {
    dumpEntry(session, entry);
    entry = load<u32>(entry, E_NEXT);
  }
  dumpNext(session);
  let identifier = nextReceived(session, 1);
  while (identifier !== 0) {
    journalIdentifier(J_RECEIVED, session, identifier);
    identifier = identifier === 65535 ? 0 : nextReceived(session, identifier + 1);
  }
  if (load<u32>(session, SESSION_CONNECTION) === 0 && !isGroup(session)) journalClosed(session);
}
