/**
 * Groups of shared subscriptions, §4.8.2: who is in a group, and who of them may be looked at for
 * the next message.
 *
 *   group, 44 bytes: u32 each               member: a subscription (topic-tree.ts) and behind it
 *   ┌─────────────┬─────────────┬──────     ┌────────────┬────────────────┬───────┐
 *   │ ready first │ ready last  │ …         │ nextOfSide │ previousOfSide │ state │
 *   └─────────────┴─────────────┴──────     └────────────┴────────────────┴───────┘
 *
 * A group is one Share Name with one Topic Filter. A member is in one of three lists of it:
 *
 *   READY  it may have room: it is looked at in its turn
 *   FULL   its client is there; it had no room when it was looked at
 *   AWAY   it had no client when it was looked at
 *
 * So that nobody is looked at in vain for ever, and nobody who has room is passed over, members
 * that are not READY are also in a list of their Session, which brings them back when its client
 * returns, or makes room. A group costs nobody anything until a message comes for it.
 */
import { ruleSetCount } from "./access";
import { alloc, free } from "./memory";
import {
  SESSION_SHARES,
  SESSION_SUBSCRIPTION_COUNT,
  SESSION_SUBSCRIPTIONS,
} from "./session-layout";
import {
  FLAG_MEMBER,
  linkInSession,
  SUBSCRIPTION_FLAGS,
  SUBSCRIPTION_NEXT_IN_NODE,
  SUBSCRIPTION_NEXT_IN_SESSION,
  SUBSCRIPTION_NODE,
  SUBSCRIPTION_PREVIOUS_IN_NODE,
  SUBSCRIPTION_SESSION,
  setOptions,
  treeChanged,
  unlinkFromSession,
} from "./topic-tree";

// States of a member: offsets of their lists in the group, first and last of each.
export const READY: u32 = 0;
export const FULL: u32 = 8;
export const AWAY: u32 = 16;
const LIST_LAST: u32 = 4;
export const GROUP_MEMBERS: u32 = 24;
/** Whom each publisher's messages go to (shared_strategy sticky-by-publisher), or 0. */
export const GROUP_STUCK: u32 = 28;
/** 1 where the host was told to call drainShared(). */
export const GROUP_IS_TOLD: u32 = 32;
/** Next group without a member. */
const GROUP_EMPTY_NEXT: u32 = 36;
const GROUP_IS_EMPTY: u32 = 40;
const GROUP_BYTES: u32 = 44;

/** Publishers that are told apart by a group; more share places. */
export const STUCK_SLOTS: u32 = 256;

// Behind the fields of a subscription: the list of those of its Session that are set aside.
const MEMBER_NEXT: u32 = 32;
const MEMBER_PREVIOUS: u32 = 36;
const MEMBER_STATE: u32 = 40;
const MEMBER_BYTES: u32 = 44;

let members: u32 = 0;
let emptyHead: u32 = 0;

/** Shared subscriptions of all Sessions. */
export function sharedCount(): u32 {
  return members;
}

function blockOf(group: usize): usize {
  return load<u32>(group, SESSION_SHARES);
}

/** Gives a Session what makes it a group. @returns false: no memory */
export function startGroup(group: usize): bool {
  const block = alloc(GROUP_BYTES);
  if (block === 0) return false;
  memory.fill(block, 0, GROUP_BYTES);
  store<u32>(group, <u32>block, SESSION_SHARES);
  return true;
}

/** The group ends; whoever is still in it is not any more. */
export function endGroup(group: usize): void {
  for (let state = READY; state <= AWAY; state += FULL) {
    while (firstMember(group, state) !== 0) {
      const session = sessionOfMember(firstMember(group, state));
      const total = load<u32>(session, SESSION_SUBSCRIPTION_COUNT);
      store<u32>(session, total - 1, SESSION_SUBSCRIPTION_COUNT);
      dropMember(firstMember(group, state));
    }
  }
  takeEmptied(group);
  const block = blockOf(group);
  const stuck: usize = load<u32>(block, GROUP_STUCK);
  if (stuck !== 0) free(stuck);
  free(block);
  store<u32>(group, 0, SESSION_SHARES);
}

/** First member in this state, or 0. Hot. */
export function firstMember(group: usize, state: u32): usize {
  return load<u32>(blockOf(group) + state);
}

/** The member behind this one in its list, or 0. Hot. */
export function nextMember(member: usize): usize {
  return load<u32>(member, SUBSCRIPTION_NEXT_IN_NODE);
}

/** Its Session. Hot. */
export function sessionOfMember(member: usize): usize {
  return load<u32>(member, SUBSCRIPTION_SESSION);
}

/** Its group. */
export function groupOfMember(member: usize): usize {
  return load<u32>(member, SUBSCRIPTION_NODE);
}

/** READY, FULL or AWAY. Hot. */
export function stateOfMember(member: usize): u32 {
  return load<u32>(member, MEMBER_STATE);
}

/** Whether the group has any member. */
export function hasMembers(group: usize): bool {
  return load<u32>(blockOf(group), GROUP_MEMBERS) !== 0;
}

function append(member: usize, state: u32): void {
  const list = blockOf(groupOfMember(member)) + state;
  const last: usize = load<u32>(list, LIST_LAST);
  store<u32>(member, <u32>last, SUBSCRIPTION_PREVIOUS_IN_NODE);
  store<u32>(member, 0, SUBSCRIPTION_NEXT_IN_NODE);
  if (last !== 0) store<u32>(last, <u32>member, SUBSCRIPTION_NEXT_IN_NODE);
  else store<u32>(list, <u32>member);
  store<u32>(list, <u32>member, LIST_LAST);
  store<u32>(member, state, MEMBER_STATE);
}

function takeOut(member: usize): void {
  const list = blockOf(groupOfMember(member)) + stateOfMember(member);
  const next: usize = load<u32>(member, SUBSCRIPTION_NEXT_IN_NODE);
  const previous: usize = load<u32>(member, SUBSCRIPTION_PREVIOUS_IN_NODE);
  if (next !== 0) store<u32>(next, <u32>previous, SUBSCRIPTION_PREVIOUS_IN_NODE);
  else store<u32>(list, <u32>previous, LIST_LAST);
  if (previous !== 0) store<u32>(previous, <u32>next, SUBSCRIPTION_NEXT_IN_NODE);
  else store<u32>(list, <u32>next);
}

/** Its turn comes again behind all others of its list. Hot. */
export function moveLast(member: usize): void {
  if (nextMember(member) === 0) return;
  takeOut(member);
  append(member, stateOfMember(member));
}

/** Puts a member into another list of its group, and sets it aside or brings it back. */
export function moveMember(member: usize, state: u32): void {
  const before = stateOfMember(member);
  takeOut(member);
  append(member, state);
  if (before === READY && state !== READY) setAside(member);
  else if (before !== READY && state === READY) bringBack(member);
}

function setAside(member: usize): void {
  const session = sessionOfMember(member);
  const next: usize = load<u32>(session, SESSION_SHARES);
  store<u32>(member, <u32>next, MEMBER_NEXT);
  store<u32>(member, 0, MEMBER_PREVIOUS);
  if (next !== 0) store<u32>(next, <u32>member, MEMBER_PREVIOUS);
  store<u32>(session, <u32>member, SESSION_SHARES);
}

function bringBack(member: usize): void {
  const next: usize = load<u32>(member, MEMBER_NEXT);
  const previous: usize = load<u32>(member, MEMBER_PREVIOUS);
  if (next !== 0) store<u32>(next, <u32>previous, MEMBER_PREVIOUS);
  if (previous !== 0) store<u32>(previous, <u32>next, MEMBER_NEXT);
  else store<u32>(sessionOfMember(member), <u32>next, SESSION_SHARES);
}

/** The Session's membership that is set aside and stands behind this one; behind 0 the first. */
export function nextAside(session: usize, member: usize): usize {
  return member === 0 ? load<u32>(session, SESSION_SHARES) : load<u32>(member, MEMBER_NEXT);
}

/** The Session's client is there: its members that are AWAY are FULL, until they have room. */
export function welcomeMembers(session: usize): void {
  let member: usize = load<u32>(session, SESSION_SHARES);
  while (member !== 0) {
    if (stateOfMember(member) === AWAY) moveMember(member, FULL);
    member = load<u32>(member, MEMBER_NEXT);
  }
}

/**
 * The membership of a Session, or 0. It is in lists of the group and of the Session: both are
 * walked in step, so that the shorter one is the cost.
 */
export function findMember(group: usize, session: usize): usize {
  let state = READY;
  let ofGroup = firstMember(group, state);
  let ofSession: usize = load<u32>(session, SESSION_SUBSCRIPTIONS);
  while (ofSession !== 0) {
    while (ofGroup === 0 && state < AWAY) {
      state += FULL;
      ofGroup = firstMember(group, state);
    }
    if (ofGroup === 0) return 0;
    if (sessionOfMember(ofGroup) === session) return ofGroup;
    if (groupOfMember(ofSession) === group) return ofSession;
    ofGroup = nextMember(ofGroup);
    ofSession = load<u32>(ofSession, SUBSCRIPTION_NEXT_IN_SESSION);
  }
  return 0;
}

/**
 * Makes the Session a member, last in its turn.
 *
 * @param state  READY; AWAY while what happens comes from the store
 * @returns it, or 0: no memory
 */
export function addMember(
  group: usize,
  session: usize,
  options: u32,
  identifier: u32,
  state: u32,
): usize {
  const member = alloc(MEMBER_BYTES);
  if (member === 0) return 0;
  store<u32>(member, <u32>group, SUBSCRIPTION_NODE);
  linkInSession(session, member);
  setOptions(member, options, identifier, FLAG_MEMBER);
  append(member, state);
  if (state !== READY) setAside(member);
  const block = blockOf(group);
  store<u32>(block, load<u32>(block, GROUP_MEMBERS) + 1, GROUP_MEMBERS);
  members++;
  readersChanged();
  return member;
}

/** Who may read decides whether a group is one of a topic's receivers. */
function readersChanged(): void {
  if (ruleSetCount() !== 0) treeChanged();
}

/** Other options for a member: its place and its turn stay [MQTT-3.8.4-3]. */
export function setMember(member: usize, options: u32, identifier: u32): void {
  setOptions(member, options, identifier, FLAG_MEMBER);
}

/** Ends a membership; a group that has none left waits for takeEmptied(). */
export function dropMember(member: usize): void {
  const group = groupOfMember(member);
  const block = blockOf(group);
  takeOut(member);
  if (stateOfMember(member) !== READY) bringBack(member);
  unlinkFromSession(member);
  unstick(block, member);
  free(member);
  members--;
  readersChanged();
  const left = load<u32>(block, GROUP_MEMBERS) - 1;
  store<u32>(block, left, GROUP_MEMBERS);
  if (left === 0) noteEmptied(group);
}

/** The group may have no members: takeEmptied() tells. */
export function noteEmptied(group: usize): void {
  const block = blockOf(group);
  if (load<u32>(block, GROUP_IS_EMPTY) !== 0) return;
  store<u32>(block, 1, GROUP_IS_EMPTY);
  store<u32>(block, emptyHead, GROUP_EMPTY_NEXT);
  emptyHead = <u32>group;
}

/**
 * Takes a group off the list of those that may have no members.
 *
 * @param group  that group, or 0: the first
 * @returns it, or 0
 */
export function takeEmptied(group: usize): usize {
  let at: usize = 0;
  let taken: usize = emptyHead;
  while (taken !== 0 && group !== 0 && taken !== group) {
    at = blockOf(taken);
    taken = load<u32>(at, GROUP_EMPTY_NEXT);
  }
  if (taken === 0) return 0;
  const next = load<u32>(blockOf(taken), GROUP_EMPTY_NEXT);
  if (at === 0) emptyHead = next;
  else store<u32>(at, next, GROUP_EMPTY_NEXT);
  store<u32>(blockOf(taken), 0, GROUP_IS_EMPTY);
  return taken;
}

/** Nobody's messages stick to this member any more. */
function unstick(block: usize, member: usize): void {
  const stuck: usize = load<u32>(block, GROUP_STUCK);
  if (stuck === 0) return;
  for (let slot = stuck; slot < stuck + (STUCK_SLOTS << 2); slot += 4) {
    if (load<u32>(slot) === <u32>member) store<u32>(slot, 0);
  }
}

/** Where the group keeps whom messages of this hash go to; 0: no memory. */
export function stuckSlot(group: usize, hash: u32): usize {
  const block = blockOf(group);
  let stuck: usize = load<u32>(block, GROUP_STUCK);
  if (stuck === 0) {
    stuck = alloc(STUCK_SLOTS << 2);
    if (stuck === 0) return 0;
    memory.fill(stuck, 0, STUCK_SLOTS << 2);
    store<u32>(block, <u32>stuck, GROUP_STUCK);
  }
  return stuck + ((hash & (STUCK_SLOTS - 1)) << 2);
}

/** Options byte and entry's bits of a member, as topic-tree.ts has them. Hot. */
export function flagsOfMember(member: usize): u32 {
  return load<u32>(member, SUBSCRIPTION_FLAGS);
}

/** Whether the host is told to call drainShared(). */
export function isTold(group: usize): bool {
  return load<u32>(blockOf(group), GROUP_IS_TOLD) !== 0;
}

export function setTold(group: usize, told: bool): void {
  store<u32>(blockOf(group), told ? 1 : 0, GROUP_IS_TOLD);
}
