/**
 * Output of a connection: a chain of blocks that grow from 1 to 64 KiB while a turn fills them.
 *
 *   ┌──────┬──────┬──────────┬─────────┬──────┐
 *   │ next │ used │ capacity │ message │ data │   data of a block that has a message is a view
 *   └──────┴──────┴──────────┴─────────┴──────┘   into it: {u32 address} instead of bytes
 *
 * At the turn's end the host takes each connection's chain and writes it at once; the blocks come
 * back when the kernel has taken their bytes.
 */
import {
  F_AT,
  F_BYTES,
  F_CONNECTION,
  F_MORE,
  F_PENDING,
  FLUSH,
  FLUSH_RECORD_BYTES,
  S_BYTES_SENT,
  S_OUT_BLOCKS,
} from "./abi";
import {
  C_BUSY,
  C_DIRTY,
  C_FLAGS,
  C_OPEN,
  C_OUT_BYTES,
  C_OUT_HEAD,
  C_OUT_TAIL,
  C_WRITING,
  C_WRITING_BYTES,
  connectionOf,
  deferDirty,
  markDirty,
  takeBacklog,
  takeDirty,
  takeUrgent,
} from "./connection";
import { alloc, free, heapBytesCap, heapBytesCommitted } from "./memory";
import { holdMessage, releaseMessage } from "./message";
import { count, fitOutgoing } from "./settings";

const O_NEXT: u32 = 0;
const O_USED: u32 = 4;
const O_CAPACITY: u32 = 8;
const O_MESSAGE: u32 = 12;
const O_DATA: u32 = 16;

/** First block of a chain, and the largest, header included. */
const BLOCK_BYTES_MIN: u32 = 1024;
const BLOCK_BYTES_MAX: u32 = 65536;
/** Kept free behind the data, so that copies may write whole vectors. */
const SLOP_BYTES: u32 = 16;
/** What room() gives at most. */
export const ROOM_BYTES_MAX: u32 = BLOCK_BYTES_MAX - O_DATA - SLOP_BYTES;
/** Bytes of pieces that one flush takes of a connection at most: more waits for the next. */
const FLUSH_PIECES_MAX: u32 = 64;

/** Writes of one flush: of answers, of new output, and of the backlog, so many each. */
const WRITES_MAX: u32 = 128;

let flushed: u32 = 0;

function linkBlock(record: usize, block: usize): void {
  const tail = load<u32>(record, C_OUT_TAIL);
  if (tail !== 0) store<u32>(tail, <u32>block, O_NEXT);
  else store<u32>(record, <u32>block, C_OUT_HEAD);
  store<u32>(record, <u32>block, C_OUT_TAIL);
  count(S_OUT_BLOCKS, 1);
}

/** A new block at the end of the chain with room for `bytes`. @returns where they go, or 0 */
function grow(record: usize, bytes: u32): usize {
  const tail = load<u32>(record, C_OUT_TAIL);
  let size = BLOCK_BYTES_MIN;
  if (tail !== 0 && load<u32>(tail, O_MESSAGE) === 0) {
    size = min((load<u32>(tail, O_CAPACITY) + O_DATA + SLOP_BYTES) << 2, BLOCK_BYTES_MAX);
  }
  while (size - O_DATA - SLOP_BYTES < bytes) size <<= 2;
  const block = alloc(size);
  if (block === 0) return 0;
  store<u32>(block, 0, O_NEXT);
  store<u32>(block, bytes, O_USED);
  store<u32>(block, size - O_DATA - SLOP_BYTES, O_CAPACITY);
  store<u32>(block, 0, O_MESSAGE);
  linkBlock(record, block);
  return block + O_DATA;
}

/**
 * Room for a packet at the end of a connection's output. Hot.
 *
 * @param bytes  1 … ROOM_BYTES_MAX; all of them must be written before anything else is called
 * @returns where they go, with SLOP_BYTES of slop behind; 0 where there is no memory
 */
export function room(record: usize, bytes: u32): usize {
  const tail = load<u32>(record, C_OUT_TAIL);
  store<u32>(record, load<u32>(record, C_OUT_BYTES) + bytes, C_OUT_BYTES);
  if (!(load<u32>(record, C_FLAGS) & C_DIRTY)) markDirty(record);
  if (tail !== 0) {
    const used = load<u32>(tail, O_USED);
    if (load<u32>(tail, O_CAPACITY) >= used + bytes) {
      store<u32>(tail, used + bytes, O_USED);
      return tail + O_DATA + used;
    }
  }
  const at = grow(record, bytes);
  if (at === 0) store<u32>(record, load<u32>(record, C_OUT_BYTES) - bytes, C_OUT_BYTES);
  return at;
}

/**
 * Copies bytes to the end of a connection's output, in as many blocks as it takes.
 *
 * @returns false where there is no memory: the stream is then broken, close the connection
 */
export function append(record: usize, at: usize, bytes: u32): bool {
  let left = bytes;
  let from = at;
  while (left > 0) {
    const step = min(left, ROOM_BYTES_MAX);
    const to = room(record, step);
    if (to === 0) return false;
    memory.copy(to, from, step);
    from += step;
    left -= step;
  }
  return true;
}

/**
 * Appends bytes that lie inside a stored message, without copying them; the block holds a
 * reference.
 *
 * @returns false where there is no memory
 */
export function appendView(record: usize, message: usize, at: usize, bytes: u32): bool {
  const block = alloc(O_DATA + 8);
  if (block === 0) return false;
  holdMessage(message);
  store<u32>(block, 0, O_NEXT);
  store<u32>(block, bytes, O_USED);
  // No room behind the view: what follows begins a block of its own.
  store<u32>(block, 0, O_CAPACITY);
  store<u32>(block, <u32>message, O_MESSAGE);
  store<u32>(block, <u32>at, O_DATA);
  linkBlock(record, block);
  store<u32>(record, load<u32>(record, C_OUT_BYTES) + bytes, C_OUT_BYTES);
  markDirty(record);
  return true;
}

function freeChain(first: u32): void {
  let block = first;
  let blocks: u64 = 0;
  while (block !== 0) {
    blocks++;
    const next = load<u32>(block, O_NEXT);
    const message = load<u32>(block, O_MESSAGE);
    if (message !== 0) releaseMessage(message);
    free(block);
    block = next;
  }
  count(S_OUT_BLOCKS, -blocks);
}

/** Takes the output of one connection into FLUSH. @returns records written */
function flushOne(record: usize, firstRecord: u32): u32 {
  const connection = connectionOf(record);
  let block = load<u32>(record, C_OUT_HEAD);
  let pieces: u32 = 0;
  let bytes: u32 = 0;
  let last: u32 = 0;
  store<u32>(record, block, C_WRITING);
  while (block !== 0 && pieces < FLUSH_PIECES_MAX) {
    const at = FLUSH + (firstRecord + pieces) * FLUSH_RECORD_BYTES;
    const message = load<u32>(block, O_MESSAGE);
    const used = load<u32>(block, O_USED);
    store<u32>(at, connection, F_CONNECTION);
    store<u32>(at, message !== 0 ? load<u32>(block, O_DATA) : block + O_DATA, F_AT);
    store<u32>(at, used, F_BYTES);
    store<u32>(at, 1, F_MORE);
    store<u32>(at, 0, F_PENDING);
    bytes += used;
    pieces++;
    last = block;
    block = load<u32>(block, O_NEXT);
  }
  store<u32>(FLUSH + (firstRecord + pieces - 1) * FLUSH_RECORD_BYTES, 0, F_MORE);
  store<u32>(last, 0, O_NEXT);
  store<u32>(record, block, C_OUT_HEAD);
  if (block === 0) store<u32>(record, 0, C_OUT_TAIL);
  store<u32>(record, bytes, C_WRITING_BYTES);
  count(S_BYTES_SENT, bytes);
  return pieces;
}

/**
 * Hands out what connections have to send, one write each, for so many of them; busy ones keep
 * theirs until written().
 *
 * @returns number of records in FLUSH; follow with flushDone()
 */
export function flush(): u32 {
  flushed = 0;
  fitOutgoing(heapBytesCap() - min(heapBytesCap(), heapBytesCommitted()));
  // First who waits for an answer, then who has something new, then who waits longest: a fan-out
  // to thousands delays nobody else's answer.
  for (let i: u32 = 0; i < WRITES_MAX; i++) {
    const record = takeUrgent();
    if (record === 0) break;
    flushIfReady(record);
  }
  for (let i: u32 = 0; i < WRITES_MAX; i++) {
    const record = takeDirty();
    if (record === 0) break;
    flushIfReady(record);
  }
  for (let i: u32 = 0; i < WRITES_MAX; i++) {
    const record = takeBacklog();
    if (record === 0) break;
    flushIfReady(record);
  }
  deferDirty();
  return flushed;
}

function flushIfReady(record: usize): void {
  const flags = load<u32>(record, C_FLAGS);
  if (!(flags & C_OPEN) || flags & C_BUSY || load<u32>(record, C_OUT_HEAD) === 0) return;
  // It stands in several lists: what one write does not take waits for the next flush.
  if (load<u32>(record, C_WRITING) !== 0) return;
  flushed += flushOne(record, flushed);
}

/** Frees what the kernel took. The bytes no longer count. */
export function freeWritten(record: usize): void {
  const writing = load<u32>(record, C_WRITING);
  if (writing === 0) return;
  store<u32>(record, 0, C_WRITING);
  const bytes = load<u32>(record, C_WRITING_BYTES);
  store<u32>(record, load<u32>(record, C_OUT_BYTES) - bytes, C_OUT_BYTES);
  store<u32>(record, 0, C_WRITING_BYTES);
  freeChain(writing);
}

/** Frees all output of a connection that no write is using. */
export function dropOutput(record: usize): void {
  freeChain(load<u32>(record, C_OUT_HEAD));
  store<u32>(record, 0, C_OUT_HEAD);
  store<u32>(record, 0, C_OUT_TAIL);
  store<u32>(record, load<u32>(record, C_WRITING_BYTES), C_OUT_BYTES);
}

/** Number of records that the last flush() made. */
export function flushedRecords(): u32 {
  return flushed;
}

/**
 * @param index  0 … flushedRecords() − 1
 * @returns address of that record of the last flush()
 */
export function flushRecord(index: u32): usize {
  return FLUSH + index * FLUSH_RECORD_BYTES;
}
