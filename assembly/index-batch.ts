/**
 * One batch of the index step: operations for the host, and the memory that they name, which stays
 * until the batch is committed.
 *
 *   operation: ┌──────┬───────────────────────────────────────┐
 *              │ kind │ six fields, see I_… of abi.ts, spare  │   eight u32
 *              └──────┴───────────────────────────────────────┘
 */
import {
  I_CLEAR,
  I_END,
  I_KIND,
  I_LATEST,
  I_OPERATION_BYTES,
  I_PUT,
  I_REFER,
  I_REMOVE,
  I_TRIM,
  T_QUEUE,
} from "./abi";
import { alloc, free } from "./memory";
import { holdMessage, M_ROW, M_STORE_ID, releaseMessage, rowBytes } from "./message";

/** Operations of one batch at most. */
const OPERATIONS_MAX: u32 = 8192;
/** A block of the arena; larger values have one of their own. Its first word links the next. */
const BLOCK_BYTES: u32 = 65536;

let operations: usize = 0;
let total: u32 = 0;
let arena: usize = 0;
let arenaUsed: u32 = 0;
let arenaBytes: u32 = 0;

/** Begins a batch. @returns false: no memory */
export function beginBatch(): bool {
  if (operations === 0) operations = alloc(OPERATIONS_MAX * I_OPERATION_BYTES);
  return operations !== 0;
}

/** Where the operations lie, and their number. */
export function indexOperations(): usize {
  return operations;
}

export function batchCount(): u32 {
  return total;
}

/** Operations that still have room. */
export function batchRoom(): u32 {
  return OPERATIONS_MAX - total;
}

/** Memory for a key or a value, aligned to 8 bytes. @returns its address, or 0 */
export function arenaTake(bytes: u32): usize {
  const wanted = (bytes + 7) & ~7;
  if (arena === 0 || arenaUsed + wanted > arenaBytes) {
    const size = max(BLOCK_BYTES, wanted + 8);
    const block = alloc(size);
    if (block === 0) return 0;
    store<u32>(block, <u32>arena);
    arena = block;
    arenaUsed = 8;
    arenaBytes = size;
  }
  const at = arena + arenaUsed;
  arenaUsed += wanted;
  return at;
}

function operation(kind: u32): usize {
  assert(total < OPERATIONS_MAX, "operation: the batch is full");
  const at = operations + total * I_OPERATION_BYTES;
  total++;
  store<u32>(at, kind, I_KIND);
  store<u32>(at, 0, I_OPERATION_BYTES - 4);
  return at;
}

function setFields(at: usize, one: u32, two: u32, three: u32, four: u32, five: u32): void {
  store<u32>(at, one, 4);
  store<u32>(at, two, 8);
  store<u32>(at, three, 12);
  store<u32>(at, four, 16);
  store<u32>(at, five, 20);
}

/** Keeps a message until the batch is committed; the operation has its reference. */
function holdFor(at: usize, message: usize): void {
  store<u32>(at, <u32>message, I_OPERATION_BYTES - 4);
}

export function addPut(table: u32, key: usize, keyBytes: u32, value: usize, bytes: u32): void {
  setFields(operation(I_PUT), table, <u32>key, keyBytes, <u32>value, bytes);
}

/** Puts the newest message of a topic: its Topic Name is the end of the key. */
export function addLatest(key: usize, keyBytes: u32, value: usize, bytes: u32): void {
  setFields(operation(I_LATEST), T_QUEUE, <u32>key, keyBytes, <u32>value, bytes);
}

/** Puts a message's row; `message` comes with a reference, which the batch takes over. */
export function addPutMessage(table: u32, key: usize, keyBytes: u32, message: usize): void {
  const at = operation(I_PUT);
  setFields(at, table, <u32>key, keyBytes, <u32>message + M_ROW, rowBytes(message));
  holdFor(at, message);
}

/** Removes a row; `message`, which the key may lie in, comes with a reference. */
export function addRemove(table: u32, key: usize, keyBytes: u32, message: usize): void {
  const at = operation(I_REMOVE);
  setFields(at, table, <u32>key, keyBytes, 0, 0);
  holdFor(at, message);
}

export function addClear(number: u32): void {
  setFields(operation(I_CLEAR), 0, number, 0, 0, 0);
}

export function addTrim(number: u32, from: u64, to: u64, hasLatest: bool): void {
  const at = operation(I_TRIM);
  setFields(at, hasLatest ? 1 : 0, number, <u32>from, <u32>(from >> 32), <u32>to);
  store<u32>(at, <u32>(to >> 32), 24);
}

export function addEnd(number: u32, hasSegments: bool): void {
  setFields(operation(I_END), 0, number, hasSegments ? 1 : 0, 0, 0);
}

/** One more segment entry refers to the message. */
export function addRefer(message: usize): void {
  const id = load<u64>(message, M_STORE_ID);
  const at = operation(I_REFER);
  holdMessage(message);
  setFields(at, 0, <u32>id, <u32>(id >> 32), 1, <u32>message + M_ROW);
  store<u32>(at, rowBytes(message), 24);
  holdFor(at, message);
}

/** The batch is committed: its memory is given back. */
export function endBatch(): void {
  for (let i: u32 = 0; i < total; i++) {
    const message: usize = load<u32>(operations + i * I_OPERATION_BYTES, I_OPERATION_BYTES - 4);
    if (message !== 0) releaseMessage(message);
  }
  total = 0;
  while (arena !== 0) {
    const next: usize = load<u32>(arena);
    free(arena);
    arena = next;
  }
}

/** Gives the list of operations back: the engine is to be empty. */
export function freeBatch(): void {
  endBatch();
  if (operations !== 0) free(operations);
  operations = 0;
}
