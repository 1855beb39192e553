/**
 * Retained messages that a durable Session is owed yet, on record: OPTION_RETAINED_DUE among the
 * options of their subscription says so, in the journal and in the index.
 *
 * Most are sent in the turn of their SUBSCRIBE, and are in its page: nothing is noted of those.
 * After a crash the walk begins anew, as upon another SUBSCRIBE.
 */
import { journalSubscribed } from "./journal";
import { recordNow } from "./record";
import { SESSION_DURABLE, SESSION_FLAGS } from "./session-layout";
import { OPTION_RETAINED_DUE } from "./spec";
import { setDue, subscriptionIdentifier, subscriptionOf, subscriptionOptions } from "./topic-tree";

/**
 * Notes whether retained messages of a subscription are due.
 *
 * @returns whether that is on record: not of a Session that is not durable, nor where the
 *   subscription has ended
 */
export function noteDue(session: usize, filterAt: usize, filterBytes: u32, isDue: bool): bool {
  if (!(load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE)) return false;
  const subscription = subscriptionOf(session, filterAt, filterBytes);
  if (subscription === 0) return false;
  const was = (subscriptionOptions(subscription) & OPTION_RETAINED_DUE) !== 0;
  if (was === isDue) return true;
  setDue(subscription, isDue);
  recordNow(session);
  const options = subscriptionOptions(subscription);
  const identifier = subscriptionIdentifier(subscription);
  journalSubscribed(session, options, identifier, filterAt, filterBytes);
  return true;
}
