/**
 * Finds a tree node by its owner and its label: one open-addressed table for all nodes of a tree.
 *
 *   table record, u32 each
 *   ┌───────┬──────┬───────┬─────┬─────────┬──────────┬───────┬──────────┐
 *   │ slots │ mask │ count │ old │ oldMask │ migrated │ label │ levelsUp │
 *   └───────┴──────┴───────┴─────┴─────────┴──────────┴───────┴──────────┘
 *   slot, u32
 *   ┌──────────────────┬─────┐
 *   │ node, 8-aligned  │ tag │  tag: 3 bits of the hash, so that 7 of 8 strangers cost no look at
 *   └──────────────────┴─────┘  their node
 *
 * A node starts with its parent's address; its label is at `label`, the label's length (u16) right
 * before. The owner is the parent, or the parent's parent where levelsUp is 2.
 *
 * A resize is spread over the following changes: the old slots are copied some at a time, and
 * searched after the new ones until all are over. In the old slots a removed node leaves GONE
 * behind; the new ones close the gap.
 */
import { alloc, free } from "./memory";
import { equalBytes, hashBytes } from "./topic";

const SLOTS: u32 = 0;
const MASK: u32 = 4;
const COUNT: u32 = 8;
const OLD: u32 = 12;
const OLD_MASK: u32 = 16;
const MIGRATED: u32 = 20;
const LABEL: u32 = 24;
const LEVELS_UP: u32 = 28;
export const TABLE_BYTES: i32 = 32;

const SLOTS_MIN: u32 = 16;
/** Old slots copied with each change: enough that a copy ends before the next resize is due. */
const MIGRATE_SLOTS: u32 = 32;
const TAG_MASK: u32 = 7;
const GONE: u32 = 1;

/** Tells the table where its nodes keep label and owner. */
export function tableStart(table: usize, label: u32, levelsUp: u32): void {
  store<u32>(table, label, LABEL);
  store<u32>(table, levelsUp, LEVELS_UP);
}

function ownerOf(table: usize, node: usize): usize {
  const parent = load<u32>(node);
  return load<u32>(table, LEVELS_UP) === 1 ? parent : load<u32>(parent);
}

function hashOf(table: usize, node: usize): u64 {
  const label = node + load<u32>(table, LABEL);
  return hashBytes(ownerOf(table, node), label, load<u16>(label - 2));
}

function search(
  table: usize,
  slots: usize,
  mask: u32,
  hash: u64,
  owner: usize,
  at: usize,
  bytes: u32,
): usize {
  const labelOffset = load<u32>(table, LABEL);
  let index = <u32>(hash >> 32) & mask;
  let slot = load<u32>(slots + (index << 2));
  while (slot !== 0) {
    if (((slot ^ <u32>hash) & TAG_MASK) === 0) {
      const node: usize = slot & ~TAG_MASK;
      const label = node + labelOffset;
      if (
        node !== 0 &&
        <u32>load<u16>(label - 2) === bytes &&
        ownerOf(table, node) === owner &&
        equalBytes(label, at, bytes)
      ) {
        return node;
      }
    }
    index = (index + 1) & mask;
    slot = load<u32>(slots + (index << 2));
  }
  return 0;
}

/** The node with this owner and label, or 0. Hot. */
export function tableFind(table: usize, owner: usize, at: usize, bytes: u32): usize {
  const slots: usize = load<u32>(table, SLOTS);
  if (slots === 0) return 0;
  const hash = hashBytes(owner, at, bytes);
  const node = search(table, slots, load<u32>(table, MASK), hash, owner, at, bytes);
  const old: usize = load<u32>(table, OLD);
  if (node !== 0 || old === 0) return node;
  return search(table, old, load<u32>(table, OLD_MASK), hash, owner, at, bytes);
}

function place(slots: usize, mask: u32, hash: u64, node: usize): void {
  let index = <u32>(hash >> 32) & mask;
  while (load<u32>(slots + (index << 2)) !== 0) index = (index + 1) & mask;
  store<u32>(slots + (index << 2), <u32>node | (<u32>hash & TAG_MASK));
}

function migrate(table: usize, slotsMax: u32): void {
  const old: usize = load<u32>(table, OLD);
  if (old === 0) return;
  const oldMask = load<u32>(table, OLD_MASK);
  const slots: usize = load<u32>(table, SLOTS);
  const mask = load<u32>(table, MASK);
  let index = load<u32>(table, MIGRATED);
  const stop = min(index + slotsMax, oldMask + 1);
  for (; index < stop; index++) {
    const node: usize = load<u32>(old + (index << 2)) & ~TAG_MASK;
    if (node !== 0) place(slots, mask, hashOf(table, node), node);
  }
  store<u32>(table, index, MIGRATED);
  if (index <= oldMask) return;
  free(old);
  store<u32>(table, 0, OLD);
}

function resize(table: usize, slotCount: u32): bool {
  const slots = alloc(slotCount << 2);
  if (slots === 0) return false;
  memory.fill(slots, 0, slotCount << 2);
  migrate(table, u32.MAX_VALUE >> 1);
  store<u32>(table, load<u32>(table, SLOTS), OLD);
  store<u32>(table, load<u32>(table, MASK), OLD_MASK);
  store<u32>(table, 0, MIGRATED);
  store<u32>(table, <u32>slots, SLOTS);
  store<u32>(table, slotCount - 1, MASK);
  return true;
}

/** Makes room for so many more nodes. @returns false where memory is short: nothing changed */
export function tableReserve(table: usize, nodes: u32): bool {
  const count = load<u32>(table, COUNT) + nodes;
  const slots: usize = load<u32>(table, SLOTS);
  if (slots === 0) return resize(table, SLOTS_MIN);
  const slotCount = load<u32>(table, MASK) + 1;
  if (count <= slotCount - (slotCount >> 2)) return true;
  // Without memory for more slots the table gets slower, up to 15/16 full.
  return resize(table, slotCount << 1) || count <= slotCount - (slotCount >> 4);
}

/** Adds a node for which tableReserve() made room. */
export function tableInsert(table: usize, node: usize): void {
  migrate(table, MIGRATE_SLOTS);
  place(load<u32>(table, SLOTS), load<u32>(table, MASK), hashOf(table, node), node);
  store<u32>(table, load<u32>(table, COUNT) + 1, COUNT);
}

/** Index of the node's slot, or −1. */
function indexOf(slots: usize, mask: u32, hash: u64, node: usize): i32 {
  const wanted = <u32>node | (<u32>hash & TAG_MASK);
  let index = <u32>(hash >> 32) & mask;
  let slot = load<u32>(slots + (index << 2));
  while (slot !== 0) {
    if (slot === wanted) return index;
    index = (index + 1) & mask;
    slot = load<u32>(slots + (index << 2));
  }
  return -1;
}

/** Empties a slot and moves later nodes of its cluster up, so that no search ends too early. */
function close(table: usize, slots: usize, mask: u32, index: u32): void {
  let hole = index;
  let next = index;
  for (;;) {
    next = (next + 1) & mask;
    const slot = load<u32>(slots + (next << 2));
    if (slot === 0) break;
    const home = <u32>(hashOf(table, slot & ~TAG_MASK) >> 32) & mask;
    if (((next - home) & mask) >= ((next - hole) & mask)) {
      store<u32>(slots + (hole << 2), slot);
      hole = next;
    }
  }
  store<u32>(slots + (hole << 2), 0);
}

/** Takes out a node that the table holds; the node's own bytes must still be whole. */
export function tableRemove(table: usize, node: usize): void {
  migrate(table, MIGRATE_SLOTS);
  const hash = hashOf(table, node);
  const slots: usize = load<u32>(table, SLOTS);
  const mask = load<u32>(table, MASK);
  const index = indexOf(slots, mask, hash, node);
  if (index >= 0) close(table, slots, mask, index);
  const old: usize = load<u32>(table, OLD);
  if (old !== 0) {
    const oldIndex = indexOf(old, load<u32>(table, OLD_MASK), hash, node);
    if (oldIndex >= 0) store<u32>(old + (oldIndex << 2), GONE);
  }
  const count = load<u32>(table, COUNT) - 1;
  store<u32>(table, count, COUNT);
  if (count === 0) {
    if (old !== 0) free(old);
    free(slots);
    store<u32>(table, 0, OLD);
    store<u32>(table, 0, SLOTS);
  } else if (mask >= SLOTS_MIN && count < mask >> 3) {
    resize(table, (mask + 1) >> 1);
  }
}

/** Puts `next`, of the same owner and label, in the place of `node`. */
export function tableReplace(table: usize, node: usize, next: usize): void {
  const hash = hashOf(table, node);
  const slot = <u32>next | (<u32>hash & TAG_MASK);
  const slots: usize = load<u32>(table, SLOTS);
  const index = indexOf(slots, load<u32>(table, MASK), hash, node);
  if (index >= 0) store<u32>(slots + (index << 2), slot);
  const old: usize = load<u32>(table, OLD);
  if (old === 0) return;
  const oldIndex = indexOf(old, load<u32>(table, OLD_MASK), hash, node);
  if (oldIndex >= 0) store<u32>(old + (oldIndex << 2), slot);
}
