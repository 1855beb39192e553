/**
 * A member's Session ends: what it was owed through shared subscriptions goes to other members.
 *
 *   QoS 1, sent and not acknowledged, or not sent   to the group               §4.8.2
 *   QoS 2, not sent                                 to the group
 *   QoS 2, sent                                     to nobody else             [MQTT-4.8.2-5]
 *
 * Some of it may be in the store only. So the Session stays for as long as that takes to be loaded,
 * without a client, subscriptions, or its Client Identifier: a new one may have that at once.
 */

import { J_DONE } from "./abi";
import { C_SESSION } from "./connection";
import { describeStored } from "./described";
import { setConnection } from "./episode";
import { stopExpiry } from "./expiry";
import { isGroup } from "./groups";
import { journalFull, journalLeft, journalSequence } from "./journal";
import { M_EXPIRES_MS, M_FLAGS, M_QOS, M_RETAIN } from "./message";
import {
  E_FLAGS,
  E_MESSAGE,
  E_SEQUENCE,
  E_SHARED,
  freeEntry,
  hasQueued,
  isGapFirst,
  unqueue,
} from "./queue";
import { dropReceived } from "./received";
import { endSession, hide, rename, sessionOfNumber } from "./session";
import {
  SESSION_CARRIED,
  SESSION_CONNECTION,
  SESSION_CURSOR,
  SESSION_DURABLE,
  SESSION_EXPIRY_INTERVAL,
  SESSION_FLAGS,
  SESSION_HEAD,
  SESSION_IN_FLIGHT,
  SESSION_IS_LEAVING,
  SESSION_NUMBER,
  SESSION_RESEND,
  SESSION_SUBSCRIPTION_COUNT,
} from "./session-layout";
import { resubscribed, waitForCommit } from "./session-lists";
import { nowMs } from "./settings";
import { giveToGroup } from "./shared";
import { groupOfEntry } from "./shared-entry";
import { AWAITS_PUBACK, DONE, entryOf, NOT_LOADED, settle, slotAt, stateOf } from "./slots";
import { dropSubscriptions } from "./topic-tree";
import { wantLoad } from "./window";

/** U+0000 U+0000, then its number: eight digits. */
const NAME_BYTES: u32 = 10;
const name: usize = memory.data(10);

/** Whether a Client Identifier is that of a Session that is leaving. */
export function isLeavingIdentifier(at: usize, bytes: u32): bool {
  return bytes === NAME_BYTES && load<u16>(at) === 0;
}

/** The Session is no client's any more, and is to be left to leaveOn(). */
export function startLeaving(session: usize): void {
  const number = load<u32>(session, SESSION_NUMBER);
  store<u16>(name, 0);
  for (let i: u32 = 0; i < 8; i++) {
    const digit = (number >> (28 - (i << 2))) & 15;
    store<u8>(name + 2 + i, digit < 10 ? 0x30 + digit : 0x57 + digit);
  }
  // Without memory for another name it keeps none: nobody finds it by that either.
  rename(session, name, NAME_BYTES);
  // A journal may say again what a row has said.
  const flags = load<u32>(session, SESSION_FLAGS) & ~SESSION_CARRIED;
  store<u32>(session, flags, SESSION_FLAGS);
  if (!(flags & SESSION_IS_LEAVING)) hide(session, SESSION_IS_LEAVING);
  const record: usize = load<u32>(session, SESSION_CONNECTION);
  if (record !== 0) store<u32>(record, 0, C_SESSION);
  setConnection(session, 0);
  stopExpiry(session);
  store<u32>(session, u32.MAX_VALUE, SESSION_EXPIRY_INTERVAL);
  dropSubscriptions(session);
  store<u32>(session, 0, SESSION_SUBSCRIPTION_COUNT);
  resubscribed(session);
  dropReceived(session);
  store<u64>(session, load<u64>(session, SESSION_HEAD), SESSION_RESEND);
  store<u32>(session, 0, SESSION_IN_FLIGHT);
  if (isDurable(session)) journalLeft(session);
}

function isDurable(session: usize): bool {
  return (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) !== 0;
}

/** Gives a message back to its group, where that is still there. */
function giveBack(entry: usize): void {
  if (!(load<u32>(entry, E_FLAGS) & E_SHARED)) return;
  const group = sessionOfNumber(groupOfEntry(entry));
  if (group === 0 || !isGroup(group)) return;
  const message: usize = load<u32>(entry, E_MESSAGE);
  const expires = load<u64>(message, M_EXPIRES_MS);
  if (expires !== 0 && expires <= nowMs) return;
  describeStored(message);
  // As it was published, not as this member was to get it.
  const flags = <u32>load<u8>(message, M_FLAGS);
  giveToGroup(group, flags & M_QOS, (flags & M_RETAIN) !== 0, 0);
}

/** It is done with the first of its window. */
function passFirst(session: usize, sequence: u64): void {
  const entry = entryOf(session, sequence);
  const isUnacknowledged = stateOf(session, sequence) === AWAITS_PUBACK;
  if (entry !== 0 && isUnacknowledged) giveBack(entry); // [MQTT-4.8.2-4] [MQTT-4.8.2-5]
  store<u32>(slotAt(session, sequence), DONE);
  if (entry !== 0) freeEntry(entry);
  settle(session, sequence);
  if (isDurable(session)) journalSequence(J_DONE, session, sequence);
}

/** Whether the page takes no more; then it goes on behind the next commit. */
function waitsForPage(session: usize): bool {
  if (!journalFull()) return false;
  waitForCommit(session);
  return true;
}

/**
 * Goes on with a Session that is leaving, oldest message first, as far as it is in memory; then
 * ends it. What becomes of a message is in the same page as that it is done here.
 */
export function leaveOn(session: usize): void {
  for (;;) {
    const head = load<u64>(session, SESSION_HEAD);
    if (head === load<u64>(session, SESSION_CURSOR)) break;
    if (waitsForPage(session)) return;
    if (stateOf(session, head) === NOT_LOADED) {
      store<u64>(session, head, SESSION_RESEND);
      wantLoad(session);
      return;
    }
    passFirst(session, head);
  }
  while (hasQueued(session)) {
    if (waitsForPage(session)) return;
    if (isGapFirst(session)) {
      wantLoad(session);
      return;
    }
    const entry = unqueue(session);
    if (load<u32>(entry, E_FLAGS) & M_QOS) giveBack(entry);
    if (isDurable(session)) journalSequence(J_DONE, session, load<u64>(entry, E_SEQUENCE));
    freeEntry(entry);
  }
  endSession(session);
}
