/**
 * SUBSCRIBE and UNSUBSCRIBE of a Session: the tree, the count, and the journal of a durable one.
 */
import { NO_MEMORY } from "./abi";
import { C_RETAINED_JOBS } from "./connection";
import { endEmptied, isShared, subscribeShared, unsubscribeShared } from "./groups";
import { journalSubscribed, journalUnsubscribed } from "./journal";
import { memoryTight } from "./memory";
import { recordNow } from "./record";
import {
  SESSION_CONNECTION,
  SESSION_DURABLE,
  SESSION_FLAGS,
  SESSION_OWES_RETAINED,
  SESSION_SUBSCRIPTION_COUNT,
} from "./session-layout";
import { REFUSING_FULL, refusing } from "./settings";
import { OPTION_RETAINED_DUE } from "./spec";
import { subscribe, subscriptionOf, subscriptionOptions, unsubscribe } from "./topic-tree";

function isDurable(session: usize): bool {
  return (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) !== 0;
}

function addCount(session: usize, change: i32): void {
  const total = load<u32>(session, SESSION_SUBSCRIPTION_COUNT) + change;
  store<u32>(session, total, SESSION_SUBSCRIPTION_COUNT);
}

/** Whether retained messages are due to the subscription that is replaced: they still come. */
function stillDue(session: usize, filterAt: usize, filterBytes: u32): u32 {
  const record: usize = load<u32>(session, SESSION_CONNECTION);
  if (record === 0 || load<u32>(record, C_RETAINED_JOBS) === 0) return 0;
  const before = subscriptionOf(session, filterAt, filterBytes);
  return before === 0 ? 0 : subscriptionOptions(before) & OPTION_RETAINED_DUE;
}

/**
 * Adds a subscription, or replaces the one with the same Topic Filter [MQTT-3.8.4-3].
 *
 * @param options  the Subscription Options byte; of one from the store OPTION_RETAINED_DUE
 * @param identifier  Subscription Identifier; 0 = none
 * @returns 0 new, 1 replaced, NO_MEMORY
 */
export function addSubscription(
  session: usize,
  filterAt: usize,
  filterBytes: u32,
  options: u32,
  identifier: u32,
): i32 {
  if (memoryTight()) return NO_MEMORY;
  if (refusing === REFUSING_FULL && isDurable(session)) return NO_MEMORY;
  const shared = isShared(filterAt, filterBytes);
  const all = shared ? options : options | stillDue(session, filterAt, filterBytes);
  const status = shared
    ? subscribeShared(session, filterAt, filterBytes, all, identifier)
    : subscribe(session, filterAt, filterBytes, all, identifier);
  if (status < 0) return status;
  if (status === 0) addCount(session, 1);
  if (options & OPTION_RETAINED_DUE) {
    store<u32>(session, load<u32>(session, SESSION_FLAGS) | SESSION_OWES_RETAINED, SESSION_FLAGS);
  }
  if (isDurable(session)) {
    recordNow(session);
    journalSubscribed(session, all, identifier, filterAt, filterBytes);
  }
  return status;
}

/** Removes a subscription [MQTT-3.10.4-1]. @returns 0 removed, 1 there was none */
export function removeSubscription(session: usize, filterAt: usize, filterBytes: u32): i32 {
  const shared = isShared(filterAt, filterBytes);
  const status = shared
    ? unsubscribeShared(session, filterAt, filterBytes)
    : unsubscribe(session, filterAt, filterBytes);
  if (status !== 0) return status;
  addCount(session, -1);
  if (isDurable(session)) {
    recordNow(session);
    journalUnsubscribed(session, filterAt, filterBytes);
  }
  if (shared) endEmptied();
  return 0;
}
