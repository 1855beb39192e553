/**
 * The row of a Session in the index: its State but for the messages, see ROW_SESSION_… of abi.ts.
 * It is built in SCRATCH.
 */
import {
  NO_MEMORY,
  ROW_SESSION_BYTES,
  ROW_SESSION_CHUNKED,
  ROW_SESSION_DONE,
  ROW_SESSION_DROPPED,
  ROW_SESSION_EXPIRES_SECONDS,
  ROW_SESSION_EXPIRY_INTERVAL,
  ROW_SESSION_HAS_LATEST,
  ROW_SESSION_HEAD,
  ROW_SESSION_ID_BYTES,
  ROW_SESSION_IS_CONNECTED,
  ROW_SESSION_IS_DURABLE,
  ROW_SESSION_IS_UNANNOUNCED,
  ROW_SESSION_NEXT,
  ROW_SESSION_OWES_SHARED,
  ROW_SESSION_PROTOCOL,
  ROW_SESSION_RECEIVED,
  ROW_SESSION_RELEASED,
  ROW_SESSION_SENT,
  ROW_SESSION_STORED_END,
  ROW_SESSION_SUBSCRIPTIONS,
  ROW_SESSION_UNSENT,
  ROW_SESSION_UNSENT_BYTES,
  ROW_SESSION_UNSENT_COUNT,
  ROW_SESSION_VERSION,
  ROW_VERSION,
  SCRATCH,
  T_SESSIONS,
  T_SUBSCRIPTIONS,
} from "./abi";
import { addClear, addPut, arenaTake, batchRoom } from "./index-batch";
import { alloc, free } from "./memory";
import { firstUnsent } from "./queue";
import { nextReceived } from "./received";
import {
  SESSION_CARRIED,
  SESSION_CURSOR,
  SESSION_DROPPED,
  SESSION_DURABLE,
  SESSION_EXPIRES_SECONDS,
  SESSION_EXPIRY_INTERVAL,
  SESSION_FLAGS,
  SESSION_HAS_CHUNKS,
  SESSION_HAS_LATEST,
  SESSION_HEAD,
  SESSION_ID_AT,
  SESSION_ID_BYTES,
  SESSION_IS_GROUP,
  SESSION_NEXT,
  SESSION_NUMBER,
  SESSION_OWES_SHARED,
  SESSION_RECEIVED_COUNT,
  SESSION_RESUBSCRIBED,
  SESSION_RING,
  SESSION_SUBSCRIPTION_COUNT,
  SESSION_UNANNOUNCED,
  SESSION_USER_BYTES,
  SESSION_VERSION,
} from "./session-layout";
import { AWAITS_PUBCOMP, DONE, stateOf } from "./slots";
import {
  filterOf,
  nextSubscription,
  subscriptionIdentifier,
  subscriptionOptions,
} from "./topic-tree";
import { userNameOf } from "./user-name";

/** Subscriptions with more bytes together have rows of their own. */
const INLINE_BYTES_MAX: u32 = 4096;
const CHUNK_BYTES_MAX: u32 = 49152;
/** Subscriptions that may need chunks; operations that the row then wants; of any other row. */
const MANY: u32 = 30;
const OPERATIONS_OF_MANY: u32 = 6144;
const OPERATIONS_OF_ROW: u32 = 8;

function padded(bytes: u32): u32 {
  return (bytes + 3) & ~3;
}

/** Writes one subscription. @returns its bytes */
function writeSubscription(subscription: usize, at: usize): u32 {
  const bytes = filterOf(subscription, at + 12);
  store<u32>(at, subscriptionOptions(subscription));
  store<u32>(at, subscriptionIdentifier(subscription), 4);
  store<u32>(at, bytes, 8);
  store<u32>(at + 12 + bytes, 0);
  return 12 + padded(bytes);
}

function putChunk(number: u32, index: u32, subscriptions: u32, from: usize, bytes: u32): i32 {
  const key = arenaTake(8);
  const row = key === 0 ? 0 : arenaTake(8 + bytes);
  if (row === 0) return NO_MEMORY;
  store<u32>(key, bswap<u32>(number));
  store<u16>(key, bswap<u16>(<u16>index), 4);
  store<u32>(row, ROW_VERSION);
  store<u32>(row, subscriptions, 4);
  memory.copy(row + 8, from, bytes);
  addPut(T_SUBSCRIPTIONS, key, 6, row, 8 + bytes);
  return 0;
}

/** Where the row that putSession() put last lies until the batch is committed. */
export let rowPut: usize = 0;

/** Writes all subscriptions as rows of their own, built at `from`. */
function putChunks(session: usize, from: usize): i32 {
  const number = load<u32>(session, SESSION_NUMBER);
  addClear(number);
  let chunk: u32 = 0;
  let inChunk: u32 = 0;
  let bytes: u32 = 0;
  let subscription = nextSubscription(session, 0);
  while (subscription !== 0) {
    bytes += writeSubscription(subscription, from + bytes);
    inChunk++;
    subscription = nextSubscription(session, subscription);
    if (bytes < CHUNK_BYTES_MAX && subscription !== 0) continue;
    const status = putChunk(number, chunk, inChunk, from, bytes);
    if (status < 0) return status;
    chunk++;
    inChunk = 0;
    bytes = 0;
    if (batchRoom() === 0) return NO_MEMORY;
  }
  return 0;
}

/** Appends the subscriptions, or has them written apart. @returns bytes appended, or NO_MEMORY */
function writeSubscriptions(session: usize, row: usize, from: u32): i32 {
  const flags = load<u32>(session, SESSION_FLAGS);
  let bytes: u32 = 0;
  // That of a group stands in its identifier.
  let subscription: usize = flags & SESSION_IS_GROUP ? 0 : nextSubscription(session, 0);
  while (subscription !== 0 && bytes <= INLINE_BYTES_MAX) {
    bytes += writeSubscription(subscription, row + from + bytes);
    subscription = nextSubscription(session, subscription);
  }
  const total = load<u32>(session, SESSION_SUBSCRIPTION_COUNT);
  const isChunked = subscription !== 0 || bytes > INLINE_BYTES_MAX;
  store<u32>(row, isChunked ? 0 : total, ROW_SESSION_SUBSCRIPTIONS);
  store<u32>(row, isChunked ? total : 0, ROW_SESSION_CHUNKED);
  store<u32>(session, flags & ~SESSION_RESUBSCRIBED, SESSION_FLAGS);
  if (isChunked) {
    if (flags & SESSION_HAS_CHUNKS && !(flags & SESSION_RESUBSCRIBED)) return 0;
    store<u32>(session, load<u32>(session, SESSION_FLAGS) | SESSION_HAS_CHUNKS, SESSION_FLAGS);
    return putChunks(session, row + from);
  }
  if (flags & SESSION_HAS_CHUNKS) addClear(load<u32>(session, SESSION_NUMBER));
  store<u32>(session, load<u32>(session, SESSION_FLAGS) & ~SESSION_HAS_CHUNKS, SESSION_FLAGS);
  return <i32>bytes;
}

function writeUser(session: usize, to: usize): u32 {
  const bytes = <u32>load<u16>(session, SESSION_USER_BYTES);
  store<u32>(to, load<u32>(session, SESSION_USER_BYTES));
  memory.copy(to + 4, userNameOf(session), bytes);
  store<u32>(to + 4 + bytes, 0);
  return 4 + padded(bytes);
}

function writeReceived(session: usize, to: usize): u32 {
  let bytes: u32 = 0;
  if (load<u32>(session, SESSION_RECEIVED_COUNT) === 0) return 0;
  let identifier = nextReceived(session, 1);
  while (identifier !== 0) {
    store<u32>(to + bytes, identifier);
    bytes += 4;
    identifier = identifier === 65535 ? 0 : nextReceived(session, identifier + 1);
  }
  return bytes;
}

/** Writes the sequences of the window below `end` that are in this state. */
function writeStates(session: usize, state: u32, end: u64, to: usize): u32 {
  if (load<u32>(session, SESSION_RING) === 0) return 0;
  const head = load<u64>(session, SESSION_HEAD);
  let bytes: u32 = 0;
  for (let at = head; at < end; at++) {
    if (stateOf(session, at) !== state) continue;
    store<u32>(to + bytes, <u32>(at - head));
    bytes += 4;
  }
  return bytes;
}

/** Operations that the row of the Session may take. */
export function rowOperations(session: usize): u32 {
  const many = load<u32>(session, SESSION_SUBSCRIPTION_COUNT) > MANY;
  return many ? OPERATIONS_OF_MANY : OPERATIONS_OF_ROW;
}

/**
 * Adds the row of a Session to the batch.
 *
 * @param storedEnd  what is owed below it is in the store with this batch
 * @param unsentCount  of what is below it, those that were not sent; their bytes
 * @returns 0, or NO_MEMORY
 */
export function putSession(
  session: usize,
  storedEnd: u64,
  unsentCount: u32,
  unsentBytes: u64,
): i32 {
  const head = load<u64>(session, SESSION_HEAD);
  const cursor = max(load<u64>(session, SESSION_CURSOR), head);
  const inWindow = <u32>(cursor - head) + load<u32>(session, SESSION_RECEIVED_COUNT);
  // SCRATCH has room for the longest Client Identifier and a filter; a vast window has its own.
  const own = inWindow > 16384 ? alloc((inWindow << 3) + 262144) : 0;
  if (inWindow > 16384 && own === 0) return NO_MEMORY;
  const row: usize = own !== 0 ? own : SCRATCH;
  const status = putRow(session, row, storedEnd, unsentCount, unsentBytes, cursor);
  if (own !== 0) free(own);
  return status;
}

function putRow(
  session: usize,
  row: usize,
  storedEnd: u64,
  unsentCount: u32,
  unsentBytes: u64,
  cursor: u64,
): i32 {
  const flags = load<u32>(session, SESSION_FLAGS);
  const head = load<u64>(session, SESSION_HEAD);
  const next = load<u64>(session, SESSION_NEXT);
  let shown: u32 = flags & SESSION_DURABLE ? ROW_SESSION_IS_DURABLE : 0;
  if (flags & SESSION_CARRIED) shown |= ROW_SESSION_IS_CONNECTED;
  if (flags & SESSION_HAS_LATEST) shown |= ROW_SESSION_HAS_LATEST;
  if (flags & SESSION_UNANNOUNCED) shown |= ROW_SESSION_IS_UNANNOUNCED;
  if (flags & SESSION_OWES_SHARED) shown |= ROW_SESSION_OWES_SHARED;
  // Both its name and its port.
  const hasUser = load<u32>(session, SESSION_USER_BYTES) !== 0;
  store<u32>(row, (hasUser ? ROW_SESSION_VERSION : ROW_VERSION) | (shown << 8));
  store<u32>(row, load<u32>(session, SESSION_VERSION), ROW_SESSION_PROTOCOL);
  const interval = load<u32>(session, SESSION_EXPIRY_INTERVAL);
  store<u32>(row, interval, ROW_SESSION_EXPIRY_INTERVAL);
  const expires = load<u32>(session, SESSION_EXPIRES_SECONDS);
  store<u32>(row, expires, ROW_SESSION_EXPIRES_SECONDS);
  store<u64>(row, head, ROW_SESSION_HEAD);
  store<u64>(row, cursor, ROW_SESSION_SENT);
  store<u64>(row, next, ROW_SESSION_NEXT);
  store<u64>(row, storedEnd, ROW_SESSION_STORED_END);
  store<u64>(row, min(max(firstUnsent(session, next), cursor), storedEnd), ROW_SESSION_UNSENT);
  store<u64>(row, unsentBytes, ROW_SESSION_UNSENT_BYTES);
  store<u32>(row, unsentCount, ROW_SESSION_UNSENT_COUNT);
  store<u32>(row, load<u32>(session, SESSION_DROPPED), ROW_SESSION_DROPPED);
  const idBytes = load<u32>(session, SESSION_ID_BYTES);
  store<u32>(row, idBytes, ROW_SESSION_ID_BYTES);
  let to: u32 = ROW_SESSION_BYTES;
  memory.copy(row + to, load<u32>(session, SESSION_ID_AT), idBytes);
  store<u32>(row + to + idBytes, 0);
  to += padded(idBytes);
  if (hasUser) to += writeUser(session, row + to);
  const received = writeReceived(session, row + to);
  store<u32>(row, received >> 2, ROW_SESSION_RECEIVED);
  to += received;
  const done = writeStates(session, DONE, min(cursor, storedEnd), row + to);
  store<u32>(row, done >> 2, ROW_SESSION_DONE);
  to += done;
  const released = writeStates(session, AWAITS_PUBCOMP, cursor, row + to);
  store<u32>(row, released >> 2, ROW_SESSION_RELEASED);
  to += released;
  const subscriptions = writeSubscriptions(session, row, to);
  if (subscriptions < 0) return subscriptions;
  to += <u32>subscriptions;
  const key = arenaTake(4);
  const kept = key === 0 ? 0 : arenaTake(to);
  if (kept === 0) return NO_MEMORY;
  store<u32>(key, bswap<u32>(load<u32>(session, SESSION_NUMBER)));
  memory.copy(kept, row, to);
  addPut(T_SESSIONS, key, 4, kept, to);
  rowPut = kept;
  return 0;
}
