/**
 * The subscription tree: which Sessions want which Topic Names.                      MQTT 5.0 §4.7
 *
 *   node, a level of a filter: 32 bytes for a label up to 10
 *   ┌────────┬──────┬───────────────┬───────────────────┬───────┬────────────┬───────┐
 *   │ parent │ plus │ subscriptions │ hashSubscriptions │ child │ labelBytes │ label │
 *   └────────┴──────┴───────────────┴───────────────────┴───────┴────────────┴───────┘
 *     u32      u32    u32             u32                 u32     u16
 *
 * `plus` is the child for `+`. `subscriptions` lists those whose filter ends here, and
 * `hashSubscriptions` those that go on with `/#`. `child` is the only other child, or
 * count << 1 | 1 once there was a second: then all of them are found through the table. So the long
 * unbranched ends of the tree cost neither slots nor probes.
 *
 *   subscription, 32 bytes: u32 each
 *   ┌─────────┬──────┬────────────┬────────────────┬───────────────┬───────────────────┐
 *   │ session │ node │ nextInNode │ previousInNode │ nextInSession │ previousInSession │
 *   ├─────────┴──┬───┴───┬────────┴────────────────┴───────────────┴───────────────────┘
 *   │ identifier │ flags │
 *   └────────────┴───────┘
 *
 * `flags`: the options byte of the SUBSCRIBE, the bits that a receiver list shows (topic-match.ts),
 * and whether the filter ends in `#`. The nodes of a new path and its subscription are allocated
 * one after the other, so that they share cache lines.
 *
 * A shared subscription is in its Session's list as any other, but `node` is its group, and what
 * ends at the node is the group's one subscription: see members.ts.
 */
import { NO_MEMORY } from "./abi";
import { dropMember } from "./members";
import { alloc, free } from "./memory";
import { SESSION_ID_AT, SESSION_ID_BYTES, SESSION_SUBSCRIPTIONS } from "./session-layout";
import { OPTION_RETAINED_DUE } from "./spec";
import { equalBytes, isHash, isPlus, levelEnd, NUMBER_SIGN, PLUS_SIGN, SLASH } from "./topic";
import {
  TABLE_BYTES,
  tableFind,
  tableInsert,
  tableRemove,
  tableReserve,
  tableStart,
} from "./topic-table";

const NODE_PARENT: u32 = 0;
export const NODE_PLUS: u32 = 4;
export const NODE_SUBSCRIPTIONS: u32 = 8;
export const NODE_HASH_SUBSCRIPTIONS: u32 = 12;
const NODE_CHILD: u32 = 16;
const NODE_LABEL_BYTES: u32 = 20;
const NODE_LABEL: u32 = 22;
/** Nodes and subscriptions share the allocator's pages of this size. */
const NODE_BYTES_MIN: u32 = 32;

export const SUBSCRIPTION_SESSION: u32 = 0;
export const SUBSCRIPTION_NODE: u32 = 4;
export const SUBSCRIPTION_NEXT_IN_NODE: u32 = 8;
export const SUBSCRIPTION_PREVIOUS_IN_NODE: u32 = 12;
export const SUBSCRIPTION_NEXT_IN_SESSION: u32 = 16;
const SUBSCRIPTION_PREVIOUS_IN_SESSION: u32 = 20;
export const SUBSCRIPTION_IDENTIFIER: u32 = 24;
export const SUBSCRIPTION_FLAGS: u32 = 28;
const SUBSCRIPTION_BYTES: u32 = 32;

// Flags: bits 0–7 the options byte, bits 8–15 an entry's bits, bit 16 the filter's end, bit 17
// a shared subscription.
export const FLAGS_ENTRY_SHIFT: u32 = 8;
const FLAG_HASH: u32 = 1 << 16;
export const FLAG_MEMBER: u32 = 1 << 17;

// An entry's bits in a receiver list.

/** Highest QoS that a matching subscription was granted. */
export const ENTRY_QOS_MASK: u32 = 3;
export const ENTRY_RETAIN_AS_PUBLISHED: u32 = 1 << 2;
/** Some matching subscription has No Local. */
export const ENTRY_NO_LOCAL: u32 = 1 << 3;
/** Several subscriptions match: `identifiers` is the offset of their list. */
export const ENTRY_SEVERAL: u32 = 1 << 4;
/** All matching subscriptions have No Local. */
export const ENTRY_NO_LOCAL_ALL: u32 = 1 << 5;
/** Some matching subscription has a Subscription Identifier. */
export const ENTRY_IDENTIFIED: u32 = 1 << 6;
/** The Session is a group: one of its members is to get the message. */
export const ENTRY_SHARED: u32 = 1 << 7;

/** Besides the options byte: the subscription is that of a group. */
export const OPTION_GROUP: u32 = 1 << 8;
const OPTION_QOS_MASK: u32 = 3;
const OPTION_NO_LOCAL: u32 = 1 << 2;
const OPTION_RETAIN_AS_PUBLISHED: u32 = 1 << 3;

/** `$share/`: how the filter of a shared subscription begins, §4.8.2. */
export const SHARE_PREFIX: usize = memory.data<u8>([0x24, 0x73, 0x68, 0x61, 0x72, 0x65, 0x2f]);
export const SHARE_PREFIX_BYTES: u32 = 7;

const root: usize = memory.data(32, 8);
const table: usize = memory.data(TABLE_BYTES, 8);
tableStart(table, NODE_LABEL, 1);

let count: u32 = 0;
let epoch: u32 = 1;

/** Where a filter ends: the node, and whether `#` follows. */
let endNode: usize = 0;
let endHash: bool = false;

/** Changes with every change of subscriptions: what was matched under another epoch is void. */
export function treeEpoch(): u32 {
  return epoch;
}

/** The node above the first level. */
export function treeRoot(): usize {
  return root;
}

/** Something that receiver lists say of the tree's Sessions has changed. */
export function treeChanged(): void {
  epoch++;
}

/** Subscriptions of all Sessions, without the shared ones. */
export function subscriptionCount(): u32 {
  return count;
}

/** The child with this label, no wildcard, or 0. Hot. */
export function findChild(node: usize, at: usize, bytes: u32): usize {
  const child: usize = load<u32>(node, NODE_CHILD);
  if (child === 0) return 0;
  if ((child & 1) !== 0) return tableFind(table, node, at, bytes);
  if (<u32>load<u16>(child, NODE_LABEL_BYTES) !== bytes) return 0;
  return equalBytes(child + NODE_LABEL, at, bytes) ? child : 0;
}

function addNode(parent: usize, labelBytes: u32): usize {
  const node = alloc(max(NODE_LABEL + labelBytes, NODE_BYTES_MIN));
  if (node === 0) return 0;
  memory.fill(node, 0, NODE_LABEL);
  store<u32>(node, <u32>parent, NODE_PARENT);
  return node;
}

function addPlus(parent: usize): usize {
  const node = addNode(parent, 0);
  if (node !== 0) store<u32>(parent, <u32>node, NODE_PLUS);
  return node;
}

function addChild(parent: usize, at: usize, bytes: u32): usize {
  const node = addNode(parent, bytes);
  if (node === 0) return 0;
  store<u16>(node, bytes, NODE_LABEL_BYTES);
  memory.copy(node + NODE_LABEL, at, bytes);
  const child = load<u32>(parent, NODE_CHILD);
  if (child === 0) {
    store<u32>(parent, <u32>node, NODE_CHILD);
    return node;
  }
  const alone = (child & 1) === 0;
  if (!tableReserve(table, alone ? 2 : 1)) {
    free(node);
    return 0;
  }
  if (alone) tableInsert(table, child);
  tableInsert(table, node);
  store<u32>(parent, alone ? (2 << 1) | 1 : child + 2, NODE_CHILD);
  return node;
}

/** Frees a node that nothing hangs on, then its parent likewise, up to the root. */
function prune(from: usize): void {
  let node = from;
  while (
    node !== root &&
    load<u64>(node, NODE_SUBSCRIPTIONS) === 0 &&
    load<u32>(node, NODE_CHILD) === 0 &&
    load<u32>(node, NODE_PLUS) === 0
  ) {
    const parent: usize = load<u32>(node, NODE_PARENT);
    const child = load<u32>(parent, NODE_CHILD);
    if (load<u32>(parent, NODE_PLUS) === <u32>node) store<u32>(parent, 0, NODE_PLUS);
    else if (child === <u32>node) store<u32>(parent, 0, NODE_CHILD);
    else {
      tableRemove(table, node);
      store<u32>(parent, child === 3 ? 0 : child - 2, NODE_CHILD);
    }
    free(node);
    node = parent;
  }
}

/**
 * Finds where the filter ends, into endNode and endHash; with `grow` it adds the nodes that lack.
 *
 * @returns false where a node lacks, or memory for it: then nothing was changed
 */
function findEnd(filterAt: usize, filterBytes: u32, grow: bool): bool {
  const end = filterAt + filterBytes;
  let node = root;
  for (let at = filterAt; at <= end; ) {
    const stop = levelEnd(at, end);
    endHash = isHash(at, stop, end);
    if (endHash) break;
    let next: usize;
    if (isPlus(at, stop)) {
      next = load<u32>(node, NODE_PLUS);
      if (next === 0 && grow) next = addPlus(node);
    } else {
      next = findChild(node, at, <u32>(stop - at));
      if (next === 0 && grow) next = addChild(node, at, <u32>(stop - at));
    }
    if (next === 0) {
      if (grow) prune(node);
      return false;
    }
    node = next;
    at = stop + 1;
  }
  endNode = node;
  return true;
}

/**
 * The Session's subscription that ends at endNode, or 0. It is in two lists, the node's and the
 * Session's: both are walked in step, so that the shorter one is the cost.
 */
function findSubscription(session: usize): usize {
  let byNode: usize = load<u32>(endNode + (endHash ? NODE_HASH_SUBSCRIPTIONS : NODE_SUBSCRIPTIONS));
  let bySession: usize = load<u32>(session, SESSION_SUBSCRIPTIONS);
  const hash: u32 = endHash ? FLAG_HASH : 0;
  while (byNode !== 0 && bySession !== 0) {
    if (<usize>load<u32>(byNode, SUBSCRIPTION_SESSION) === session) return byNode;
    if (
      <usize>load<u32>(bySession, SUBSCRIPTION_NODE) === endNode &&
      (load<u32>(bySession, SUBSCRIPTION_FLAGS) & FLAG_HASH) === hash
    ) {
      return bySession;
    }
    byNode = load<u32>(byNode, SUBSCRIPTION_NEXT_IN_NODE);
    bySession = load<u32>(bySession, SUBSCRIPTION_NEXT_IN_SESSION);
  }
  return 0;
}

/** Sets options and identifier; `form` is what else its flags say. */
export function setOptions(subscription: usize, options: u32, identifier: u32, form: u32): void {
  let entry = options & OPTION_QOS_MASK;
  if ((options & OPTION_NO_LOCAL) !== 0) entry |= ENTRY_NO_LOCAL | ENTRY_NO_LOCAL_ALL;
  if ((options & OPTION_RETAIN_AS_PUBLISHED) !== 0) entry |= ENTRY_RETAIN_AS_PUBLISHED;
  if (identifier !== 0) entry |= ENTRY_IDENTIFIED;
  if ((options & OPTION_GROUP) !== 0) entry |= ENTRY_SHARED;
  store<u32>(subscription, identifier, SUBSCRIPTION_IDENTIFIER);
  store<u32>(
    subscription,
    (options & 0xff) | (entry << FLAGS_ENTRY_SHIFT) | form,
    SUBSCRIPTION_FLAGS,
  );
}

function linkSubscription(session: usize, subscription: usize): void {
  const list = endNode + (endHash ? NODE_HASH_SUBSCRIPTIONS : NODE_SUBSCRIPTIONS);
  const inNode: usize = load<u32>(list);
  store<u32>(subscription, <u32>endNode, SUBSCRIPTION_NODE);
  store<u32>(subscription, <u32>inNode, SUBSCRIPTION_NEXT_IN_NODE);
  store<u32>(subscription, 0, SUBSCRIPTION_PREVIOUS_IN_NODE);
  if (inNode !== 0) store<u32>(inNode, <u32>subscription, SUBSCRIPTION_PREVIOUS_IN_NODE);
  store<u32>(list, <u32>subscription);
  linkInSession(session, subscription);
}

/** Puts a subscription first in its Session's list. */
export function linkInSession(session: usize, subscription: usize): void {
  const next: usize = load<u32>(session, SESSION_SUBSCRIPTIONS);
  store<u32>(subscription, <u32>session, SUBSCRIPTION_SESSION);
  store<u32>(subscription, <u32>next, SUBSCRIPTION_NEXT_IN_SESSION);
  store<u32>(subscription, 0, SUBSCRIPTION_PREVIOUS_IN_SESSION);
  if (next !== 0) store<u32>(next, <u32>subscription, SUBSCRIPTION_PREVIOUS_IN_SESSION);
  store<u32>(session, <u32>subscription, SESSION_SUBSCRIPTIONS);
}

/** Takes a subscription out of its Session's list. */
export function unlinkFromSession(subscription: usize): void {
  const session: usize = load<u32>(subscription, SUBSCRIPTION_SESSION);
  const next: usize = load<u32>(subscription, SUBSCRIPTION_NEXT_IN_SESSION);
  const previous: usize = load<u32>(subscription, SUBSCRIPTION_PREVIOUS_IN_SESSION);
  if (next !== 0) store<u32>(next, <u32>previous, SUBSCRIPTION_PREVIOUS_IN_SESSION);
  if (previous !== 0) store<u32>(previous, <u32>next, SUBSCRIPTION_NEXT_IN_SESSION);
  else store<u32>(session, <u32>next, SESSION_SUBSCRIPTIONS);
}

function removeSubscription(subscription: usize): void {
  const node: usize = load<u32>(subscription, SUBSCRIPTION_NODE);
  const flags = load<u32>(subscription, SUBSCRIPTION_FLAGS);
  const hash = (flags & FLAG_HASH) !== 0;
  const next: usize = load<u32>(subscription, SUBSCRIPTION_NEXT_IN_NODE);
  const previous: usize = load<u32>(subscription, SUBSCRIPTION_PREVIOUS_IN_NODE);
  if (next !== 0) store<u32>(next, <u32>previous, SUBSCRIPTION_PREVIOUS_IN_NODE);
  if (previous !== 0) store<u32>(previous, <u32>next, SUBSCRIPTION_NEXT_IN_NODE);
  else store<u32>(node + (hash ? NODE_HASH_SUBSCRIPTIONS : NODE_SUBSCRIPTIONS), <u32>next);
  unlinkFromSession(subscription);
  free(subscription);
  if (!((flags >> FLAGS_ENTRY_SHIFT) & ENTRY_SHARED)) count--;
  prune(node);
}

/**
 * Subscribes the Session to a valid Topic Filter.                                  [MQTT-3.8.4-3]
 *
 * @param session  address of its record, which holds the head of its subscriptions
 * @param options  the options byte of the SUBSCRIBE; OPTION_GROUP
 * @param identifier  Subscription Identifier, 0 = none
 * @returns 0 new, 1 replaced in place, NO_MEMORY with nothing changed
 */
export function subscribe(
  session: usize,
  filterAt: usize,
  filterBytes: u32,
  options: u32,
  identifier: u32,
): i32 {
  if (!findEnd(filterAt, filterBytes, true)) return NO_MEMORY;
  const form: u32 = endHash ? FLAG_HASH : 0;
  let subscription = findSubscription(session);
  if (subscription !== 0) {
    setOptions(subscription, options, identifier, form);
    epoch++;
    return 1;
  }
  subscription = alloc(SUBSCRIPTION_BYTES);
  if (subscription === 0) {
    prune(endNode);
    return NO_MEMORY;
  }
  linkSubscription(session, subscription);
  setOptions(subscription, options, identifier, form);
  if ((options & OPTION_GROUP) === 0) count++;
  epoch++;
  return 0;
}

/** The Session's subscription to a Topic Filter that is nobody's of a group, or 0. */
export function subscriptionOf(session: usize, filterAt: usize, filterBytes: u32): usize {
  return findEnd(filterAt, filterBytes, false) ? findSubscription(session) : 0;
}

/** Notes among its options whether retained messages of the subscription are due. */
export function setDue(subscription: usize, isDue: bool): void {
  const flags = load<u32>(subscription, SUBSCRIPTION_FLAGS) & ~OPTION_RETAINED_DUE;
  store<u32>(subscription, isDue ? flags | OPTION_RETAINED_DUE : flags, SUBSCRIPTION_FLAGS);
}

/** Ends a subscription. @returns 0 removed, 1 there was none [MQTT-3.10.4-1] */
export function unsubscribe(session: usize, filterAt: usize, filterBytes: u32): i32 {
  if (!findEnd(filterAt, filterBytes, false)) return 1;
  const subscription = findSubscription(session);
  if (subscription === 0) return 1;
  removeSubscription(subscription);
  epoch++;
  return 0;
}

/** Writes `$share/NAME/filter`, of which a group has all but the beginning as its identifier. */
function sharedFilterOf(group: usize, destination: usize): u32 {
  const bytes = load<u32>(group, SESSION_ID_BYTES);
  memory.copy(destination, SHARE_PREFIX, SHARE_PREFIX_BYTES);
  const name: usize = load<u32>(group, SESSION_ID_AT) + 1;
  memory.copy(destination + SHARE_PREFIX_BYTES, name, bytes - 1);
  return SHARE_PREFIX_BYTES + bytes - 1;
}

/** Ends all subscriptions of a Session. O(1) each. */
export function dropSubscriptions(session: usize): void {
  if (load<u32>(session, SESSION_SUBSCRIPTIONS) === 0) return;
  epoch++;
  for (;;) {
    const subscription: usize = load<u32>(session, SESSION_SUBSCRIPTIONS);
    if (subscription === 0) return;
    if (load<u32>(subscription, SUBSCRIPTION_FLAGS) & FLAG_MEMBER) dropMember(subscription);
    else removeSubscription(subscription);
  }
}

/** The Session's subscription behind this one, newest first. @returns 0 behind the last */
export function nextSubscription(session: usize, subscription: usize): usize {
  if (subscription === 0) return load<u32>(session, SESSION_SUBSCRIPTIONS);
  return load<u32>(subscription, SUBSCRIPTION_NEXT_IN_SESSION);
}

/** The options byte of the SUBSCRIBE. */
export function subscriptionOptions(subscription: usize): u32 {
  return load<u32>(subscription, SUBSCRIPTION_FLAGS) & 0xff;
}

/** Its Subscription Identifier, or 0. */
export function subscriptionIdentifier(subscription: usize): u32 {
  return load<u32>(subscription, SUBSCRIPTION_IDENTIFIER);
}

function isPlusNode(node: usize): bool {
  return load<u32>(load<u32>(node, NODE_PARENT), NODE_PLUS) === <u32>node;
}

/**
 * Writes the subscription's Topic Filter.
 *
 * @param destination  room for 65,535 bytes
 * @returns bytes written
 */
export function filterOf(subscription: usize, destination: usize): u32 {
  const last: usize = load<u32>(subscription, SUBSCRIPTION_NODE);
  if (load<u32>(subscription, SUBSCRIPTION_FLAGS) & FLAG_MEMBER) {
    return sharedFilterOf(last, destination);
  }
  const hash = (load<u32>(subscription, SUBSCRIPTION_FLAGS) & FLAG_HASH) !== 0;
  let bytes: u32 = hash ? 2 : 0;
  for (let node = last; node !== root; node = load<u32>(node, NODE_PARENT)) {
    bytes += 1 + (isPlusNode(node) ? 1 : <u32>load<u16>(node, NODE_LABEL_BYTES));
  }
  bytes--; // Separators stand between levels only.
  let at = destination + bytes;
  if (hash) store<u8>(--at, NUMBER_SIGN);
  for (let node = last; node !== root; node = load<u32>(node, NODE_PARENT)) {
    if (node !== last || hash) store<u8>(--at, SLASH);
    if (isPlusNode(node)) store<u8>(--at, PLUS_SIGN);
    else {
      const labelBytes = <u32>load<u16>(node, NODE_LABEL_BYTES);
      at -= labelBytes;
      memory.copy(at, node + NODE_LABEL, labelBytes);
    }
  }
  return bytes;
}
