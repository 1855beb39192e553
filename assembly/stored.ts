/**
 * Messages in memory that have a row of their own in the store, by its key: a table of addresses
 * with linear probing. So a body that many Sessions are owed is loaded once.
 */
import { alloc, free } from "./memory";
import { M_STORE_ID } from "./message";

const SLOTS_MIN: u32 = 64;

let slots: usize = 0;
let mask: u32 = 0;
let used: u32 = 0;
let nextId: u64 = 1;

/** @param id  the key that the next message is to get */
export function setMessageId(id: u64): void {
  nextId = max(nextId, id);
}

/** Key that the next message gets. */
export function nextMessageId(): u64 {
  return nextId;
}

function home(id: u64): u32 {
  return <u32>((id * 0x9e3779b97f4a7800) >> 32) & mask;
}

function grow(): bool {
  const total: u32 = slots === 0 ? SLOTS_MIN : (mask + 1) << 1;
  const grown = alloc(total << 2);
  if (grown === 0) return false;
  memory.fill(grown, 0, total << 2);
  const before = slots;
  const beforeTotal: u32 = slots === 0 ? 0 : mask + 1;
  slots = grown;
  mask = total - 1;
  for (let i: u32 = 0; i < beforeTotal; i++) {
    const message: usize = load<u32>(before + (i << 2));
    if (message !== 0) place(message);
  }
  if (before !== 0) free(before);
  return true;
}

function place(message: usize): void {
  let slot = home(load<u64>(message, M_STORE_ID));
  while (load<u32>(slots + (slot << 2)) !== 0) slot = (slot + 1) & mask;
  store<u32>(slots + (slot << 2), <u32>message);
}

/**
 * Gives the message a key.
 *
 * @param id  the one it had, or 0: a new one
 * @returns false: no memory
 */
export function addStored(message: usize, id: u64): bool {
  if (slots === 0 || used * 2 > mask) {
    if (!grow()) return false;
  }
  store<u64>(message, id === 0 ? nextId++ : id, M_STORE_ID);
  place(message);
  used++;
  return true;
}

/** The message in memory with this key, or 0. */
export function findStored(id: u64): usize {
  if (slots === 0) return 0;
  let slot = home(id);
  while (true) {
    const message: usize = load<u32>(slots + (slot << 2));
    if (message === 0 || load<u64>(message, M_STORE_ID) === id) return message;
    slot = (slot + 1) & mask;
  }
}

/** The message leaves memory. */
export function forgetStored(message: usize): void {
  let slot = home(load<u64>(message, M_STORE_ID));
  while (load<u32>(slots + (slot << 2)) !== <u32>message) slot = (slot + 1) & mask;
  used--;
  // Those behind move up, so that no probe stops short.
  let hole = slot;
  while (true) {
    slot = (slot + 1) & mask;
    const moved: usize = load<u32>(slots + (slot << 2));
    if (moved === 0) break;
    const wanted = home(load<u64>(moved, M_STORE_ID));
    if (((slot - wanted) & mask) < ((slot - hole) & mask)) continue;
    store<u32>(slots + (hole << 2), <u32>moved);
    hole = slot;
  }
  store<u32>(slots + (hole << 2), 0);
}

/** Gives the table back where it is empty. */
export function freeStored(): void {
  if (used !== 0 || slots === 0) return;
  free(slots);
  slots = 0;
  mask = 0;
}
