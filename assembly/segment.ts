/**
 * Segments: up to 64 queued messages of a Session in one row of the store.
 *
 *   ┌─────────────────┬──────┬────────────┬───┬───────────────┬───────┬───────┬─ ─
 *   │ version | count │ span │ references │ 0 │ u64 reference │ entry │ entry │
 *   └─────────────────┴──────┴────────────┴───┴───────────────┴───────┴───────┴─ ─
 *   entry: ┌───────┬───────┬─────────┬────────┬─────────────────┬────────────────────────┐
 *          │ delta │ flags │ counted │ length │ identifiers u32 │ index, or message row  │
 *          └───────┴───────┴─────────┴────────┴─────────────────┴────────────────────────┘
 *
 * Of a topic that keeps only its newest message, that one is a segment by itself; the next takes
 * its place. A body that several Sessions want, or a long one, has a row of its own, which entries
 * refer to.
 */
import {
  NO_MEMORY,
  ROW_ENTRY_BYTES,
  ROW_ENTRY_COUNTED,
  ROW_ENTRY_FLAGS,
  ROW_ENTRY_IDENTIFIERS_SHIFT,
  ROW_ENTRY_IS_SHARED,
  ROW_ENTRY_LENGTH,
  ROW_ENTRY_REFERS,
  ROW_SEGMENT_BYTES,
  ROW_SEGMENT_REFERENCES,
  ROW_SEGMENT_SPAN,
  ROW_VERSION,
  T_QUEUE,
} from "./abi";
import { addLatest, addPut, addRefer, arenaTake, batchRoom } from "./index-batch";
import {
  M_QOS,
  M_REFERENCES,
  M_RETAIN,
  M_ROW,
  M_STORE_ID,
  M_TOPIC_BYTES,
  rowBytes,
  topicOf,
} from "./message";
import { E_BYTES, E_FLAGS, E_IDENTIFIERS, E_MESSAGE, E_SEQUENCE, E_SEVERAL } from "./queue";
import { addStored } from "./stored";

/**
 * Bit of the u64 in a key: the row is a segment of one message, the newest of its topic when it was
 * written; the other bits are its sequence.
 */
export const KEY_LATEST: u64 = (<u64>1) << 63;
/** Entries of a segment; bytes of its entries, of which one alone is always less. */
export const SEGMENT_ENTRIES_MAX: u32 = 64;
const SEGMENT_BYTES_MAX: u32 = 16384;
/** A longer message row stands apart; so does one that several want, if that saves bytes. */
const INLINE_BYTES_MAX: u32 = 8192;
const SHARED_BYTES_MIN: u32 = 1024;

const entries: usize = memory.data(16384, 8);
const references: usize = memory.data(64 * 8, 8);
let number: u32 = 0;
let first: u64 = 0;
let last: u64 = 0;
let entryCount: u32 = 0;
let entryBytes: u32 = 0;
let referenceCount: u32 = 0;

/** Begins the segments of a Session. */
export function beginSegments(ofNumber: u32): void {
  number = ofNumber;
  entryCount = 0;
  entryBytes = 0;
  referenceCount = 0;
}

/** Whether the batch has room for one more segment, and so many operations. */
export function segmentRoom(reserve: u32): bool {
  return batchRoom() > SEGMENT_ENTRIES_MAX + 4 + reserve;
}

/** Whether the message is to have a row of its own. */
function standsApart(message: usize, bytes: u32): bool {
  if (load<u64>(message, M_STORE_ID) !== 0 || bytes > INLINE_BYTES_MAX) return true;
  const wanted = load<u32>(message, M_REFERENCES);
  return wanted > 2 && wanted * bytes >= SHARED_BYTES_MIN;
}

/** Writes the segment begun, where it has entries. @returns 0, or NO_MEMORY */
export function endSegment(): i32 {
  if (entryCount === 0) return 0;
  const head = ROW_SEGMENT_BYTES + (referenceCount << 3);
  const key = arenaTake(12);
  const row = key === 0 ? 0 : arenaTake(head + entryBytes);
  if (row === 0) return NO_MEMORY;
  store<u32>(key, bswap<u32>(number));
  store<u64>(key, bswap<u64>(first), 4);
  store<u32>(row, ROW_VERSION | (entryCount << 8));
  store<u32>(row, <u32>(last - first), ROW_SEGMENT_SPAN);
  store<u32>(row, referenceCount, ROW_SEGMENT_REFERENCES);
  store<u32>(row, 0, ROW_SEGMENT_REFERENCES + 4);
  memory.copy(row + ROW_SEGMENT_BYTES, references, referenceCount << 3);
  memory.copy(row + head, entries, entryBytes);
  addPut(T_QUEUE, key, 12, row, head + entryBytes);
  beginSegments(number);
  return 0;
}

// What measure() found of the entry.
let isApart: bool = false;
let listedCount: u32 = 0;

/** Bytes that an entry takes in a segment; 0: no memory. */
function measure(entry: usize): u32 {
  const message: usize = load<u32>(entry, E_MESSAGE);
  const row = rowBytes(message);
  isApart = standsApart(message, row);
  if (isApart && load<u64>(message, M_STORE_ID) === 0 && !addStored(message, 0)) return 0;
  const listAt: usize = load<u32>(entry, E_IDENTIFIERS);
  const several = (load<u32>(entry, E_FLAGS) & E_SEVERAL) !== 0;
  listedCount = several ? load<u32>(listAt) : listAt === 0 ? 0 : 1;
  return ROW_ENTRY_BYTES + (listedCount << 2) + (isApart ? 4 : row);
}

/** Writes the entry that measure() saw last; `index` is its reference's, where it has one. */
function writeEntry(entry: usize, at: usize, delta: u32, bytes: u32, index: u32): void {
  const message: usize = load<u32>(entry, E_MESSAGE);
  const flags = load<u32>(entry, E_FLAGS);
  const listAt: usize = load<u32>(entry, E_IDENTIFIERS);
  store<u32>(at, delta);
  const kept =
    (flags & (M_QOS | M_RETAIN | ROW_ENTRY_IS_SHARED)) | (isApart ? ROW_ENTRY_REFERS : 0);
  store<u32>(at, kept | (listedCount << ROW_ENTRY_IDENTIFIERS_SHIFT), ROW_ENTRY_FLAGS);
  store<u32>(at, load<u32>(entry, E_BYTES), ROW_ENTRY_COUNTED);
  store<u32>(at, bytes, ROW_ENTRY_LENGTH);
  if (flags & E_SEVERAL) memory.copy(at + ROW_ENTRY_BYTES, listAt + 4, listedCount << 2);
  else if (listedCount !== 0) store<u32>(at, <u32>listAt, ROW_ENTRY_BYTES);
  const to = at + ROW_ENTRY_BYTES + (listedCount << 2);
  if (isApart) {
    store<u32>(to, index);
    addRefer(message);
  } else {
    memory.copy(to, message + M_ROW, rowBytes(message));
  }
}

/** Adds an entry behind those before it. @returns 0, or NO_MEMORY */
export function addToSegment(entry: usize): i32 {
  const sequence = load<u64>(entry, E_SEQUENCE);
  const bytes = measure(entry);
  if (bytes === 0) return NO_MEMORY;
  const isWide = entryCount !== 0 && sequence - first > 0xffff;
  const isFull = entryCount === SEGMENT_ENTRIES_MAX || entryBytes + bytes > SEGMENT_BYTES_MAX;
  if (isFull || isWide) {
    const status = endSegment();
    if (status < 0) return status;
  }
  if (entryCount === 0) first = sequence;
  last = sequence;
  writeEntry(entry, entries + entryBytes, <u32>(sequence - first), bytes, referenceCount);
  if (isApart) {
    const id = load<u64>(load<u32>(entry, E_MESSAGE), M_STORE_ID);
    store<u64>(references + (referenceCount << 3), id);
    referenceCount++;
  }
  entryCount++;
  entryBytes += bytes;
  return 0;
}

/** Writes an entry as its topic's newest, a row of its own. @returns 0, or NO_MEMORY */
export function putLatest(entry: usize): i32 {
  const message: usize = load<u32>(entry, E_MESSAGE);
  const bytes = measure(entry);
  const topicBytes = load<u32>(message, M_TOPIC_BYTES);
  const head: u32 = ROW_SEGMENT_BYTES + (isApart ? 8 : 0);
  const key = bytes === 0 ? 0 : arenaTake(12 + topicBytes);
  const row = key === 0 ? 0 : arenaTake(head + bytes);
  if (row === 0) return NO_MEMORY;
  store<u32>(key, bswap<u32>(number));
  store<u64>(key, bswap<u64>(load<u64>(entry, E_SEQUENCE) | KEY_LATEST), 4);
  memory.copy(key + 12, topicOf(message), topicBytes);
  store<u32>(row, ROW_VERSION | (1 << 8));
  store<u32>(row, 0, ROW_SEGMENT_SPAN);
  store<u32>(row, isApart ? 1 : 0, ROW_SEGMENT_REFERENCES);
  store<u32>(row, 0, ROW_SEGMENT_REFERENCES + 4);
  if (isApart) store<u64>(row, load<u64>(message, M_STORE_ID), ROW_SEGMENT_BYTES);
  writeEntry(entry, row + head, 0, bytes, 0);
  addLatest(key, 12 + topicBytes, row, head + bytes);
  return 0;
}
