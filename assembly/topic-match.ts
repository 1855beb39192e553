/**
 * Walks the subscription tree for one Topic Name and builds the list of its receivers.
 *
 *   list                                                entry, 16 bytes each
 *   ┌───────┬────────────┬───────┬───────┬─────────┐    ┌─────────┬────────┬──────┬─────────────┐
 *   │ epoch │ references │ count │ bytes │ entries │    │ session │ number │ bits │ identifiers │
 *   └───────┴────────────┴───────┴───────┴─────────┘    └─────────┴────────┴──────┴─────────────┘
 *
 * One entry per Session, whatever the number of its subscriptions that match. `bits`: ENTRY_… of
 * topic-tree.ts. `identifiers` is the one Subscription Identifier, or with ENTRY_SEVERAL the
 * offset, from the list's start, of
 *   ┌───────┬───────────────────────────────────┐
 *   │ count │ (options byte, identifier) × count │   u32 each
 *   └───────┴───────────────────────────────────┘
 *
 * A Session's mark holds the offset of its entry. A mark may be garbage: it counts only where the
 * entry at that offset names the Session in turn, so nothing has to be cleared between matches.
 */
import { receiverMayRead, ruleSetCount, startReceivers } from "./access";
import { alloc, free } from "./memory";
import { groupMayRead } from "./read-access";
import { SESSION_ACCESS, SESSION_MARK, SESSION_NUMBER } from "./session-layout";
import { DOLLAR_SIGN, levelEnd } from "./topic";
import {
  ENTRY_IDENTIFIED,
  ENTRY_NO_LOCAL,
  ENTRY_NO_LOCAL_ALL,
  ENTRY_QOS_MASK,
  ENTRY_RETAIN_AS_PUBLISHED,
  ENTRY_SEVERAL,
  ENTRY_SHARED,
  FLAGS_ENTRY_SHIFT,
  findChild,
  NODE_HASH_SUBSCRIPTIONS,
  NODE_PLUS,
  NODE_SUBSCRIPTIONS,
  SUBSCRIPTION_FLAGS,
  SUBSCRIPTION_IDENTIFIER,
  SUBSCRIPTION_NEXT_IN_NODE,
  SUBSCRIPTION_SESSION,
  treeEpoch,
  treeRoot,
} from "./topic-tree";

export const LIST_EPOCH: u32 = 0;
export const LIST_REFERENCES: u32 = 4;
export const LIST_COUNT: u32 = 8;
export const LIST_BYTES: u32 = 12;
export const LIST_ENTRIES: u32 = 16;

export const ENTRY_SESSION: u32 = 0;
export const ENTRY_NUMBER: u32 = 4;
export const ENTRY_BITS: u32 = 8;
export const ENTRY_IDENTIFIERS: u32 = 12;
export const ENTRY_BYTES: u32 = 16;

const ENTRY_BITS_OR: u32 = ENTRY_RETAIN_AS_PUBLISHED | ENTRY_NO_LOCAL | ENTRY_IDENTIFIED;

/** An area starts in static memory and moves to the heap while a match needs more. */
const AREA_AT: u32 = 0;
const AREA_BYTES: u32 = 4;
const AREA_STATIC_BYTES: u32 = 1024;

/** Branches not walked yet: node and position of the next level. At most one per level. */
const branches: usize = memory.data(8, 4);
const branchesStatic: usize = memory.data(1024, 8);
/** Heads of the subscription lists that match. */
const heads: usize = memory.data(8, 4);
const headsStatic: usize = memory.data(1024, 8);
const entries: usize = memory.data(8, 4);
const entriesStatic: usize = memory.data(1024, 8);

const BRANCH_BYTES: u32 = 8;

let headsBytes: u32 = 0;
let entriesBytes: u32 = 0;
/** Sessions with several matching subscriptions, and how many these are. */
let severalCount: u32 = 0;
let severalSubscriptions: u32 = 0;
/** The topic being matched. */
let matchedAt: usize = 0;
let matchedBytes: u32 = 0;

areaReset(branches, branchesStatic);
areaReset(heads, headsStatic);
areaReset(entries, entriesStatic);

/** Returns to the static memory. */
function areaReset(area: usize, start: usize): void {
  const at: usize = load<u32>(area, AREA_AT);
  if (at === start) return;
  if (at !== 0) free(at);
  store<u32>(area, <u32>start, AREA_AT);
  store<u32>(area, AREA_STATIC_BYTES, AREA_BYTES);
}

/** Doubles a full area. @returns where it is now, or 0 */
function areaGrow(area: usize, start: usize): usize {
  const bytes = load<u32>(area, AREA_BYTES);
  const at: usize = load<u32>(area, AREA_AT);
  const grown = alloc(bytes << 1);
  if (grown === 0) return 0;
  memory.copy(grown, at, bytes);
  if (at !== start) free(at);
  store<u32>(area, <u32>grown, AREA_AT);
  store<u32>(area, bytes << 1, AREA_BYTES);
  return grown;
}

function addHead(head: u32): bool {
  if (head === 0) return true;
  let at: usize = load<u32>(heads, AREA_AT);
  if (headsBytes === load<u32>(heads, AREA_BYTES)) {
    at = areaGrow(heads, headsStatic);
    if (at === 0) return false;
  }
  store<u32>(at + headsBytes, head);
  headsBytes += 4;
  return true;
}

/** Nodes that were looked at since takeSteps(); so many are in the price of a PUBLISH. */
let steps: u32 = 0;
const STEPS_INCLUDED: u32 = 64;

/** How many nodes of the tree beyond the usual were looked at since the last call. Hot. */
export function takeSteps(): u32 {
  const taken = steps;
  steps = 0;
  return taken > STEPS_INCLUDED ? taken - STEPS_INCLUDED : 0;
}

/**
 * Gathers the heads of all lists that match. O(levels), times the branches that `+` opens.
 *
 * @returns false where memory is short
 */
function findHeads(topicAt: usize, topicBytes: u32): bool {
  const end = topicAt + topicBytes;
  const root = treeRoot();
  // A filter that starts with a wildcard matches no topic that starts with `$` [MQTT-4.7.2-1].
  const hidden = topicBytes !== 0 && load<u8>(topicAt) === DOLLAR_SIGN;
  let branchBase: usize = load<u32>(branches, AREA_AT);
  let branchesBytes: u32 = 0;
  let node = root;
  let at = topicAt;
  if (!hidden && !addHead(load<u32>(root, NODE_HASH_SUBSCRIPTIONS))) return false;
  while (at <= end) {
    steps++;
    const stop = levelEnd(at, end);
    const plus = load<u32>(node, NODE_PLUS);
    if (plus !== 0 && !(hidden && node === root)) {
      if (branchesBytes === load<u32>(branches, AREA_BYTES)) {
        branchBase = areaGrow(branches, branchesStatic);
        if (branchBase === 0) return false;
      }
      store<u32>(branchBase + branchesBytes, plus);
      store<u32>(branchBase + branchesBytes, <u32>(stop + 1), 4);
      branchesBytes += BRANCH_BYTES;
    }
    node = findChild(node, at, <u32>(stop - at));
    at = stop + 1;
    // Down to a node with levels left: this one, or else the branch put aside last.
    while (node === 0 || at > end) {
      if (node !== 0) {
        if (!addHead(load<u32>(node, NODE_HASH_SUBSCRIPTIONS))) return false;
        if (!addHead(load<u32>(node, NODE_SUBSCRIPTIONS))) return false;
      }
      if (branchesBytes === 0) return true;
      branchesBytes -= BRANCH_BYTES;
      node = load<u32>(branchBase + branchesBytes);
      at = load<u32>(branchBase + branchesBytes, 4);
    }
    if (!addHead(load<u32>(node, NODE_HASH_SUBSCRIPTIONS))) return false;
  }
  return true;
}

/** Adds a second or later matching subscription to its Session's entry. */
function mergeEntry(entry: usize, added: u32): void {
  const bits = load<u32>(entry, ENTRY_BITS);
  if ((bits & ENTRY_SEVERAL) === 0) {
    severalCount++;
    severalSubscriptions += 2;
    store<u32>(entry, 2, ENTRY_IDENTIFIERS); // Their number, until the list is laid out.
  } else {
    severalSubscriptions++;
    store<u32>(entry, load<u32>(entry, ENTRY_IDENTIFIERS) + 1, ENTRY_IDENTIFIERS);
  }
  const qos = max(bits & ENTRY_QOS_MASK, added & ENTRY_QOS_MASK);
  const all = bits & added & ENTRY_NO_LOCAL_ALL;
  store<u32>(entry, qos | all | ENTRY_SEVERAL | ((bits | added) & ENTRY_BITS_OR), ENTRY_BITS);
}

/** Whether the Session, or somebody of the group, may be sent the topic that is matched. */
function isReader(session: usize, bits: u32): bool {
  if (bits & ENTRY_SHARED) return groupMayRead(session, matchedAt, matchedBytes);
  if (load<u32>(session, SESSION_ACCESS) === 0) return true;
  return receiverMayRead(session, matchedAt, matchedBytes);
}

/** Makes the entries of one list of subscriptions. @returns false where memory is short */
function addEntries(head: usize): bool {
  let base: usize = load<u32>(entries, AREA_AT);
  let subscription = head;
  const isJudged = ruleSetCount() !== 0;
  while (subscription !== 0) {
    const session: usize = load<u32>(subscription, SUBSCRIPTION_SESSION);
    const bits = (load<u32>(subscription, SUBSCRIPTION_FLAGS) >> FLAGS_ENTRY_SHIFT) & 0xff;
    if (isJudged && !isReader(session, bits)) {
      subscription = load<u32>(subscription, SUBSCRIPTION_NEXT_IN_NODE);
      continue;
    }
    const mark = load<u32>(session, SESSION_MARK);
    const known = mark < entriesBytes && (mark & (ENTRY_BYTES - 1)) === 0;
    if (known && <usize>load<u32>(base + mark, ENTRY_SESSION) === session) {
      mergeEntry(base + mark, bits);
    } else {
      if (entriesBytes === load<u32>(entries, AREA_BYTES)) {
        base = areaGrow(entries, entriesStatic);
        if (base === 0) return false;
      }
      const entry = base + entriesBytes;
      store<u32>(session, entriesBytes, SESSION_MARK);
      entriesBytes += ENTRY_BYTES;
      store<u32>(entry, <u32>session, ENTRY_SESSION);
      store<u32>(entry, load<u32>(session, SESSION_NUMBER), ENTRY_NUMBER);
      store<u32>(entry, bits, ENTRY_BITS);
      store<u32>(entry, load<u32>(subscription, SUBSCRIPTION_IDENTIFIER), ENTRY_IDENTIFIERS);
    }
    subscription = load<u32>(subscription, SUBSCRIPTION_NEXT_IN_NODE);
  }
  return true;
}

/** Lays out the raw lists of Sessions with several subscriptions, then fills them. */
function addSeveral(list: usize): void {
  let offset = LIST_ENTRIES + entriesBytes;
  const end = list + offset;
  for (let entry = list + LIST_ENTRIES; entry < end; entry += ENTRY_BYTES) {
    if ((load<u32>(entry, ENTRY_BITS) & ENTRY_SEVERAL) === 0) continue;
    const subscriptions = load<u32>(entry, ENTRY_IDENTIFIERS);
    store<u32>(entry, offset, ENTRY_IDENTIFIERS);
    store<u32>(list + offset, 0);
    offset += 4 + (subscriptions << 3);
  }
  const headBase: usize = load<u32>(heads, AREA_AT);
  for (let index: u32 = 0; index < headsBytes; index += 4) {
    let subscription: usize = load<u32>(headBase + index);
    while (subscription !== 0) {
      const session: usize = load<u32>(subscription, SUBSCRIPTION_SESSION);
      // Who may not read has no entry: its mark is an old one.
      const mark = load<u32>(session, SESSION_MARK);
      const isMarked = mark < entriesBytes && (mark & (ENTRY_BYTES - 1)) === 0;
      const entry = list + LIST_ENTRIES + mark;
      const isOwn = isMarked && <usize>load<u32>(entry, ENTRY_SESSION) === session;
      if (isOwn && (load<u32>(entry, ENTRY_BITS) & ENTRY_SEVERAL) !== 0) {
        const raw = list + load<u32>(entry, ENTRY_IDENTIFIERS);
        const filled = load<u32>(raw);
        const options = load<u32>(subscription, SUBSCRIPTION_FLAGS) & 0xff;
        store<u32>(raw + (filled << 3), options, 4);
        const identifier = load<u32>(subscription, SUBSCRIPTION_IDENTIFIER);
        store<u32>(raw + (filled << 3), identifier, 8);
        store<u32>(raw, filled + 1);
      }
      subscription = load<u32>(subscription, SUBSCRIPTION_NEXT_IN_NODE);
    }
  }
}

function buildList(): usize {
  const headBase: usize = load<u32>(heads, AREA_AT);
  for (let index: u32 = 0; index < headsBytes; index += 4) {
    if (!addEntries(load<u32>(headBase + index))) return 0;
  }
  const bytes = LIST_ENTRIES + entriesBytes + (severalCount << 2) + (severalSubscriptions << 3);
  const list = alloc(bytes);
  if (list === 0) return 0;
  store<u32>(list, treeEpoch(), LIST_EPOCH);
  store<u32>(list, 1, LIST_REFERENCES);
  store<u32>(list, entriesBytes / ENTRY_BYTES, LIST_COUNT);
  store<u32>(list, bytes, LIST_BYTES);
  memory.copy(list + LIST_ENTRIES, load<u32>(entries, AREA_AT), entriesBytes);
  if (severalCount !== 0) addSeveral(list);
  return list;
}

/**
 * Builds the list of a topic's receivers: those that may read it.
 *
 * O(levels + matching subscriptions).
 *
 * @param empty  answered where nothing matches, so that nothing is allocated
 * @returns a list with one reference, owned by the caller; 0 where memory is short
 */
export function buildReceivers(topicAt: usize, topicBytes: u32, empty: usize): usize {
  headsBytes = 0;
  entriesBytes = 0;
  severalCount = 0;
  severalSubscriptions = 0;
  matchedAt = topicAt;
  matchedBytes = topicBytes;
  startReceivers();
  let list: usize = 0;
  if (findHeads(topicAt, topicBytes)) list = headsBytes === 0 ? empty : buildList();
  areaReset(branches, branchesStatic);
  areaReset(heads, headsStatic);
  areaReset(entries, entriesStatic);
  return list;
}
