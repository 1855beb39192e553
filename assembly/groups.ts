/**
 * Groups of shared subscriptions as Sessions that no client has: found, begun, ended.
 *
 * What a group is owed while no member has room is the queue of such a Session: so it is bounded,
 * journalled, indexed and loaded as any other. It is durable once a durable Session was a member.
 * Its Client Identifier is U+0000, which none of a client has [MQTT-1.5.4-2], and what follows
 * `$share/`; behind U+0000 U+0000 stands the number of a Session that is leaving (leave.ts).
 */

import { E_DRAIN, NO_MEMORY } from "./abi";
import { raise } from "./connection";
import { isJournalPaused, journalOpened } from "./journal";
import {
  AWAY,
  addMember,
  dropMember,
  endGroup,
  findMember,
  hasMembers,
  isTold,
  noteEmptied,
  READY,
  setMember,
  setTold,
  startGroup,
  takeEmptied,
} from "./members";
import { alloc, free } from "./memory";
import { E_NEXT, hasQueued, recordEnqueued } from "./queue";
import { createHidden, endSession, findSession, NUMBER_MAX, renumber } from "./session";
import {
  SESSION_DURABLE,
  SESSION_FLAGS,
  SESSION_IS_GROUP,
  SESSION_IS_LEAVING,
  SESSION_NUMBER,
  SESSION_QUEUE_HEAD,
} from "./session-layout";
import { equalBytes, SLASH } from "./topic";
import {
  OPTION_GROUP,
  SHARE_PREFIX,
  SHARE_PREFIX_BYTES,
  subscribe,
  treeChanged,
} from "./topic-tree";

/** QoS and Retain As Published as a member wants them: the group takes what there is. */
const GROUP_OPTIONS: u32 = 2 | OPTION_GROUP;
let provisional: u32 = u32.MAX_VALUE;
let isDeferred: bool = false;

/** Whether a Topic Filter is that of a shared subscription. */
export function isShared(filterAt: usize, filterBytes: u32): bool {
  return filterBytes > SHARE_PREFIX_BYTES && equalBytes(filterAt, SHARE_PREFIX, SHARE_PREFIX_BYTES);
}

/** Whether a Session is a group. Hot. */
export function isGroup(session: usize): bool {
  return (load<u32>(session, SESSION_FLAGS) & SESSION_IS_GROUP) !== 0;
}

/** Whether a Client Identifier is that of a group. */
export function isGroupIdentifier(at: usize, bytes: u32): bool {
  return bytes > 1 && load<u8>(at) === 0 && load<u8>(at + 1) !== 0;
}

/** Begins a group with this identifier. @returns its Session, or 0: no memory */
function newGroup(at: usize, bytes: u32, number: u32): usize {
  let filter = at + 1;
  const end = at + bytes;
  while (filter < end && load<u8>(filter) !== SLASH) filter++;
  if (++filter >= end) return 0;
  const group = createHidden(at, bytes, number, SESSION_IS_GROUP);
  if (group === 0) return 0;
  if (startGroup(group)) {
    if (subscribe(group, filter, <u32>(end - filter), GROUP_OPTIONS, 0) >= 0) return group;
    endGroup(group);
  }
  // Not begun: a leaving Session without anything is all that it is.
  const flags = load<u32>(group, SESSION_FLAGS) & ~SESSION_IS_GROUP;
  store<u32>(group, flags | SESSION_IS_LEAVING, SESSION_FLAGS);
  endSession(group);
  return 0;
}

/** The group of a shared filter, begun where there is none. @returns it, or 0 */
function groupOf(filterAt: usize, filterBytes: u32, begin: bool): usize {
  const bytes = filterBytes - SHARE_PREFIX_BYTES + 1;
  const identifier = alloc(bytes);
  if (identifier === 0) return 0;
  store<u8>(identifier, 0);
  memory.copy(identifier + 1, filterAt + SHARE_PREFIX_BYTES, bytes - 1);
  let group = findSession(identifier, bytes);
  if (group === 0 && begin) {
    // A row or record that follows tells its number.
    group = newGroup(identifier, bytes, isJournalPaused() ? provisional-- : 0);
  }
  free(identifier);
  return group;
}

/** The group that a row or record names. @returns it; 0: no memory, or it was another's before */
export function groupOfRecord(at: usize, bytes: u32, number: u32): usize {
  let group = findSession(at, bytes);
  if (group === 0) {
    group = newGroup(at, bytes, number);
  } else {
    const known = load<u32>(group, SESSION_NUMBER);
    // It ended, and began again under the number that it has.
    if (known > number && known <= NUMBER_MAX) return 0;
    renumber(group, number);
    treeChanged();
  }
  if (group === 0) return 0;
  store<u32>(group, load<u32>(group, SESSION_FLAGS) | SESSION_DURABLE, SESSION_FLAGS);
  return group;
}

/** All is loaded and replayed: a group has its number, and ends where it has no members. */
export function recoverGroup(group: usize): void {
  if (load<u32>(group, SESSION_NUMBER) > NUMBER_MAX) {
    // No row or record named it, which none of ours leaves out.
    renumber(group, 0);
    store<u32>(group, load<u32>(group, SESSION_FLAGS) | SESSION_DURABLE, SESSION_FLAGS);
    journalOpened(group);
  }
  if (!hasMembers(group)) noteEmptied(group);
}

function isDurable(session: usize): bool {
  return (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) !== 0;
}

/** Makes the Session a member of its filter's group: as addSubscription() of subscriptions.ts. */
export function subscribeShared(
  session: usize,
  filterAt: usize,
  filterBytes: u32,
  options: u32,
  identifier: u32,
): i32 {
  const group = groupOf(filterAt, filterBytes, true);
  if (group === 0) return NO_MEMORY;
  const member = findMember(group, session);
  if (member !== 0) {
    setMember(member, options, identifier);
    return 1;
  }
  // A member whose Session comes from the store is away until its client is there.
  const state = isJournalPaused() ? AWAY : READY;
  if (addMember(group, session, options, identifier, state) === 0) {
    if (!hasMembers(group) && !isJournalPaused()) endSession(group);
    return NO_MEMORY;
  }
  if (isDurable(session) && !isDurable(group)) {
    store<u32>(group, load<u32>(group, SESSION_FLAGS) | SESSION_DURABLE, SESSION_FLAGS);
    journalOpened(group);
    // What it was owed before is on record from now on.
    let entry: usize = load<u32>(group, SESSION_QUEUE_HEAD);
    for (; entry !== 0; entry = load<u32>(entry, E_NEXT)) recordEnqueued(group, entry, false);
  }
  if (hasQueued(group)) tellShared(group);
  return 0;
}

/** Ends the membership. @returns 0 ended, 1 there was none */
export function unsubscribeShared(session: usize, filterAt: usize, filterBytes: u32): i32 {
  const group = groupOf(filterAt, filterBytes, false);
  const member: usize = group === 0 ? 0 : findMember(group, session);
  if (member === 0) return 1;
  dropMember(member);
  return 0;
}

/**
 * Ends groups that have no members any more, with what they are owed: nobody is left who wants it.
 * While a journal is read they stay, since a later record may bring members; endSession() follows.
 */
export function endEmptied(): void {
  if (isDeferred || isJournalPaused()) return;
  for (;;) {
    const group = takeEmptied(0);
    if (group === 0) return;
    if (!hasMembers(group)) endSession(group);
  }
}

/** While deferred, endEmptied() does nothing. */
export function deferEmptied(deferred: bool): void {
  isDeferred = deferred;
}

/** Has the host call drainShared() in the turn. */
export function tellShared(group: usize): void {
  if (isTold(group)) return;
  if (raise(E_DRAIN, load<u32>(group, SESSION_NUMBER), <u32>group)) setTold(group, true);
}
