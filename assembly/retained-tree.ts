/**
 * The retained tree: Topic Name → address of the retained message.          MQTT 5.0 §3.3.1.3, §4.7
 *
 *   node, a level of a topic: u32 each, labelBytes u16
 *   ┌────────┬───────┬───────┬──────┬──────────┬────────────┬────────────────┐
 *   │ parent │ value │ child │ next │ previous │ nextCousin │ previousCousin │
 *   ├────────┴┬──────┴─────┬─┴──────┴──────────┴────────────┴────────────────┘
 *   │ emptied │ labelBytes │ label …
 *   └─────────┴────────────┴────────
 *
 * Children are a list, newest first; where there are several, a table finds one by its label.
 * Cousins are the nodes with the same label and the same grandparent, a list as well, whose first
 * node a second table finds: so `a/+/c` costs what it finds, even where `a` has a million children.
 *
 * While a cursor is open (retained-cursor.ts) no node is freed: an emptied one stays linked, is put
 * on the list of `emptied`, and is pruned, if still empty, after the last cursor closed.
 */
import { NO_MEMORY } from "./abi";
import { alloc, free } from "./memory";
import { equalBytes, levelEnd, SLASH } from "./topic";
import {
  TABLE_BYTES,
  tableFind,
  tableInsert,
  tableRemove,
  tableReplace,
  tableReserve,
  tableStart,
} from "./topic-table";

export const NODE_PARENT: u32 = 0;
export const NODE_VALUE: u32 = 4;
export const NODE_CHILD: u32 = 8;
export const NODE_NEXT: u32 = 12;
const NODE_PREVIOUS: u32 = 16;
export const NODE_NEXT_COUSIN: u32 = 20;
const NODE_PREVIOUS_COUSIN: u32 = 24;
const NODE_EMPTIED: u32 = 28;
export const NODE_LABEL_BYTES: u32 = 32;
export const NODE_LABEL: u32 = 34;

/** Ends the list of emptied nodes: not 0, so that the last one shows that it is on it. */
const EMPTIED_END: u32 = 1;
/** Emptied nodes that one change of the tree prunes. */
const PRUNE_NODES: u32 = 64;

const root: usize = memory.data(40, 8);
const children: usize = memory.data(TABLE_BYTES, 8);
const cousins: usize = memory.data(TABLE_BYTES, 8);
tableStart(children, NODE_LABEL, 1);
tableStart(cousins, NODE_LABEL, 2);

let count: u32 = 0;
/** How often a topic has come or gone. */
let changes: u64 = 0;
let replaced: u32 = 0;
let cursors: u32 = 0;
let emptiedHead: u32 = EMPTIED_END;

/** The node above the first level. */
export function retainedRoot(): usize {
  return root;
}

/** Another number than before where topics have come or gone: their order may be another. */
export function retainedChanges(): u64 {
  return changes;
}

/** Topics with a value. */
export function retainedCount(): u32 {
  return count;
}

/** The value that the last retainedSet() replaced, or 0. */
export function retainedReplaced(): u32 {
  return replaced;
}

/** The child with this label, or 0. */
export function retainedChild(node: usize, at: usize, bytes: u32): usize {
  const child: usize = load<u32>(node, NODE_CHILD);
  if (child === 0) return 0;
  if (load<u32>(child, NODE_NEXT) === 0) {
    if (<u32>load<u16>(child, NODE_LABEL_BYTES) !== bytes) return 0;
    return equalBytes(child + NODE_LABEL, at, bytes) ? child : 0;
  }
  return tableFind(children, node, at, bytes);
}

/** The first grandchild with this label, or 0; NODE_NEXT_COUSIN leads to the others. */
export function retainedGrandchild(node: usize, at: usize, bytes: u32): usize {
  return tableFind(cousins, node, at, bytes);
}

function linkChild(parent: usize, node: usize): void {
  const first: usize = load<u32>(parent, NODE_CHILD);
  store<u32>(node, <u32>first, NODE_NEXT);
  store<u32>(parent, <u32>node, NODE_CHILD);
  if (first === 0) return;
  if (load<u32>(first, NODE_NEXT) === 0) tableInsert(children, first);
  store<u32>(first, <u32>node, NODE_PREVIOUS);
  tableInsert(children, node);
}

/** Behind the first cousin, so that the table's slot stays as it is. */
function linkCousin(node: usize, first: usize): void {
  if (first === 0) {
    tableInsert(cousins, node);
    return;
  }
  const next: usize = load<u32>(first, NODE_NEXT_COUSIN);
  store<u32>(node, <u32>next, NODE_NEXT_COUSIN);
  store<u32>(node, <u32>first, NODE_PREVIOUS_COUSIN);
  store<u32>(first, <u32>node, NODE_NEXT_COUSIN);
  if (next !== 0) store<u32>(next, <u32>node, NODE_PREVIOUS_COUSIN);
}

function addChild(parent: usize, at: usize, bytes: u32): usize {
  const node = alloc(NODE_LABEL + bytes);
  if (node === 0) return 0;
  memory.fill(node, 0, NODE_LABEL);
  store<u32>(node, <u32>parent, NODE_PARENT);
  store<u16>(node, bytes, NODE_LABEL_BYTES);
  memory.copy(node + NODE_LABEL, at, bytes);
  const child: usize = load<u32>(parent, NODE_CHILD);
  let newInTable: u32 = 0;
  if (child !== 0) newInTable = load<u32>(child, NODE_NEXT) === 0 ? 2 : 1;
  const grandparent: usize = load<u32>(parent, NODE_PARENT);
  const cousin: usize = grandparent === 0 ? 0 : tableFind(cousins, grandparent, at, bytes);
  const lone = grandparent !== 0 && cousin === 0;
  if (
    (newInTable !== 0 && !tableReserve(children, newInTable)) ||
    (lone && !tableReserve(cousins, 1))
  ) {
    free(node);
    return 0;
  }
  linkChild(parent, node);
  if (grandparent !== 0) linkCousin(node, cousin);
  return node;
}

function unlinkChild(parent: usize, node: usize): void {
  const next: usize = load<u32>(node, NODE_NEXT);
  const previous: usize = load<u32>(node, NODE_PREVIOUS);
  if (next === 0 && previous === 0) {
    store<u32>(parent, 0, NODE_CHILD);
    return;
  }
  tableRemove(children, node);
  if (previous !== 0) store<u32>(previous, <u32>next, NODE_NEXT);
  else store<u32>(parent, <u32>next, NODE_CHILD);
  if (next !== 0) store<u32>(next, <u32>previous, NODE_PREVIOUS);
  const only: usize = load<u32>(parent, NODE_CHILD);
  if (load<u32>(only, NODE_NEXT) === 0) tableRemove(children, only);
}

function unlinkCousin(node: usize): void {
  const next: usize = load<u32>(node, NODE_NEXT_COUSIN);
  const previous: usize = load<u32>(node, NODE_PREVIOUS_COUSIN);
  if (previous !== 0) store<u32>(previous, <u32>next, NODE_NEXT_COUSIN);
  else if (next !== 0) tableReplace(cousins, node, next);
  else tableRemove(cousins, node);
  if (next !== 0) store<u32>(next, <u32>previous, NODE_PREVIOUS_COUSIN);
}

/**
 * Frees a node without value and children, then its parent likewise. Stops at a node that is on the
 * list of the emptied, whose turn comes; with a cursor open it only puts the node on that list.
 */
function prune(from: usize): void {
  let node = from;
  while (node !== root && load<u64>(node, NODE_VALUE) === 0) {
    if (load<u32>(node, NODE_EMPTIED) !== 0) return;
    if (cursors !== 0) {
      store<u32>(node, emptiedHead, NODE_EMPTIED);
      emptiedHead = <u32>node;
      return;
    }
    const parent: usize = load<u32>(node, NODE_PARENT);
    if (load<u32>(parent, NODE_PARENT) !== 0) unlinkCousin(node);
    unlinkChild(parent, node);
    free(node);
    node = parent;
  }
}

/**
 * Prunes nodes that were emptied while cursors were open.
 *
 * @returns whether some are left: a cursor is open, or the step was too small
 */
export function retainedPrune(nodesMax: u32): bool {
  for (let nodes: u32 = 0; nodes < nodesMax; nodes++) {
    if (cursors !== 0 || emptiedHead === EMPTIED_END) break;
    const node: usize = emptiedHead;
    emptiedHead = load<u32>(node, NODE_EMPTIED);
    store<u32>(node, 0, NODE_EMPTIED);
    prune(node);
  }
  return emptiedHead !== EMPTIED_END;
}

/** Counts the open cursors, +1 or −1. */
export function retainedCursors(change: i32): void {
  cursors += change;
  retainedPrune(PRUNE_NODES);
}

function findNode(at: usize, end: usize): usize {
  let node = root;
  while (at <= end && node !== 0) {
    const stop = levelEnd(at, end);
    node = retainedChild(node, at, <u32>(stop - at));
    at = stop + 1;
  }
  return node;
}

/**
 * Stores a topic's value; retainedReplaced() tells the one before.
 *
 * @param value  address of a block: not 0, a multiple of 8
 * @returns 0, or NO_MEMORY with nothing changed
 */
export function retainedSet(topicAt: usize, topicBytes: u32, value: u32): i32 {
  assert(value !== 0 && (value & 7) === 0);
  const end = topicAt + topicBytes;
  replaced = 0;
  let node = root;
  for (let at = topicAt; at <= end; ) {
    const stop = levelEnd(at, end);
    let next = retainedChild(node, at, <u32>(stop - at));
    if (next === 0) next = addChild(node, at, <u32>(stop - at));
    if (next === 0) {
      prune(node);
      return NO_MEMORY;
    }
    node = next;
    at = stop + 1;
  }
  replaced = load<u32>(node, NODE_VALUE);
  store<u32>(node, value, NODE_VALUE);
  if (replaced === 0) {
    count++;
    changes++;
  }
  retainedPrune(PRUNE_NODES);
  return 0;
}

/** The topic's value, or 0. */
export function retainedGet(topicAt: usize, topicBytes: u32): u32 {
  const node = findNode(topicAt, topicAt + topicBytes);
  return node === 0 ? 0 : load<u32>(node, NODE_VALUE);
}

/** Takes the topic's value out. @returns it, or 0 if there was none */
export function retainedRemove(topicAt: usize, topicBytes: u32): u32 {
  const node = findNode(topicAt, topicAt + topicBytes);
  if (node === 0) return 0;
  const value = load<u32>(node, NODE_VALUE);
  if (value === 0) return 0;
  store<u32>(node, 0, NODE_VALUE);
  count--;
  changes++;
  prune(node);
  retainedPrune(PRUNE_NODES);
  return value;
}

/** Writes the node's Topic Name. @returns bytes written */
export function retainedTopic(node: usize, destination: usize): u32 {
  let bytes: u32 = 0;
  for (let level = node; level !== root; level = load<u32>(level, NODE_PARENT)) {
    bytes += 1 + <u32>load<u16>(level, NODE_LABEL_BYTES);
  }
  bytes--; // Separators stand between levels only.
  let at = destination + bytes;
  for (let level = node; level !== root; level = load<u32>(level, NODE_PARENT)) {
    if (level !== node) store<u8>(--at, SLASH);
    const labelBytes = <u32>load<u16>(level, NODE_LABEL_BYTES);
    at -= labelBytes;
    memory.copy(at, level + NODE_LABEL, labelBytes);
  }
  return bytes;
}
