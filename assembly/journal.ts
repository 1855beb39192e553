/**
 * The journal page of the turn: what durable Sessions are owed, as records one behind the other.
 *
 *   ┌────────┬──────┬─────────┬────────┬────────┬─ ─ ─
 *   │ format │ turn │ time ms │ record │ record │        header of 16 bytes, records of abi.ts
 *   └────────┴──────┴─────────┴────────┴────────┴─ ─ ─
 *
 * A message is written once a page; what is enqueued names it by its offset. Payloads over 64 KiB
 * do not go into the page: it holds a reference to the message until the page is committed.
 */
import {
  J_CLOSED,
  J_ENDED,
  J_ENQUEUED,
  J_MESSAGE,
  J_OPENED,
  J_RETAINED,
  J_RETAINED_DELETED,
  J_SUBSCRIBED,
  J_UNSUBSCRIBED,
  J_WILL,
  JOURNAL_FORMAT,
  JOURNAL_HEADER_BYTES,
  JOURNAL_RECORD_BYTES,
  S_JOURNAL_BYTES,
  S_JOURNAL_RECORDS,
} from "./abi";
import { alloc, free } from "./memory";
import {
  holdMessage,
  M_EXPIRES_MS,
  M_FLAGS,
  M_JOURNAL_AT,
  M_JOURNAL_TURN,
  M_PAYLOAD_BYTES,
  M_PROPERTIES_BYTES,
  M_PUBLISHER_BYTES,
  M_TEXT,
  M_TOPIC_BYTES,
  payloadOf,
  releaseMessage,
} from "./message";
import {
  SESSION_EXPIRES_SECONDS,
  SESSION_EXPIRY_INTERVAL,
  SESSION_FLAGS,
  SESSION_ID_AT,
  SESSION_ID_BYTES,
  SESSION_NUMBER,
  SESSION_VERSION,
} from "./session-layout";
import { count, nowMs, turn } from "./settings";

/** First size of a page; a page that grew is given back at the turn's end. */
const PAGE_BYTES_MIN: u32 = 65536;
/** Past it no more packets are taken in this turn. */
export const JOURNAL_PAGE_BYTES_SOFT: u32 = 4 * 1024 * 1024;
/** Longer payloads get a row of their own. */
export const INLINE_PAYLOAD_BYTES_MAX: u32 = 65536;
/** Payloads apart that one page names at most: past it, as past the soft size. */
const APART_MAX: u32 = 1024;

let page: usize = 0;
let used: u32 = 0;
let capacity: u32 = 0;
let _records: u32 = 0;
/** Messages whose payload is not in the page. */
const apart: usize = memory.data(4 * 1024, 4);
let apartCount: u32 = 0;
let isPaused: bool = false;

/** While paused, nothing is recorded: what happens comes from a journal. */
export function journalPause(paused: bool): void {
  isPaused = paused;
}

/** True where the page took all it should in one turn. */
export function journalFull(): bool {
  return used > JOURNAL_PAGE_BYTES_SOFT || apartCount + 64 > APART_MAX;
}

/** Bytes of the page being filled; 0 where nothing was recorded in this turn. */
export function journalBytes(): u32 {
  return used;
}

/** Address of the page being filled. */
export function journalPage(): usize {
  return page;
}

/** Number of payloads apart. */
export function journalApartCount(): u32 {
  return apartCount;
}

function journalApart(index: u32): usize {
  return load<u32>(apart + (index << 2));
}

/** Where a payload apart lies, and its bytes. */
export function journalApartAt(index: u32): usize {
  return payloadOf(journalApart(index));
}

export function journalApartBytes(index: u32): u32 {
  return load<u32>(journalApart(index), M_PAYLOAD_BYTES);
}

/** Forgets the page: it is committed, or nobody wants it. Its buffer is used for the next. */
export function journalReset(): void {
  for (let i: u32 = 0; i < apartCount; i++) releaseMessage(load<u32>(apart + (i << 2)));
  apartCount = 0;
  used = 0;
  _records = 0;
  if (capacity > PAGE_BYTES_MIN) {
    free(page);
    page = 0;
    capacity = 0;
  }
}

/** Gives the page's buffer back: the engine is to be empty. */
export function journalFree(): void {
  journalReset();
  if (page !== 0) free(page);
  page = 0;
  capacity = 0;
}

function ensure(bytes: u32): bool {
  if (used + bytes <= capacity) return true;
  let wanted = max(capacity, PAGE_BYTES_MIN);
  while (wanted < used + bytes) wanted <<= 1;
  const grown = alloc(wanted);
  if (grown === 0) return false;
  if (page !== 0) {
    memory.copy(grown, page, used);
    free(page);
  }
  page = grown;
  capacity = wanted;
  return true;
}

/**
 * Appends a record's header. @returns the address behind it, or 0: recording is paused, or the
 * memory reserve is used up, which the refusals at the cap are there to prevent
 */
function record(type: u32, number: u32, fieldBytes: u32): usize {
  const bytes = (JOURNAL_RECORD_BYTES + fieldBytes + 3) & ~3;
  if (isPaused || !ensure(bytes + JOURNAL_HEADER_BYTES)) return 0;
  if (used === 0) {
    store<u32>(page, JOURNAL_FORMAT);
    store<u32>(page, turn, 4);
    store<u64>(page, nowMs, 8);
    used = JOURNAL_HEADER_BYTES;
  }
  const at = page + used;
  // The padding is part of the page: no byte of it may be left to chance.
  store<u32>(at + bytes - 4, 0);
  store<u32>(at, type | (bytes << 8));
  store<u32>(at, number, 4);
  used += bytes;
  _records++;
  count(S_JOURNAL_BYTES, bytes);
  count(S_JOURNAL_RECORDS, 1);
  return at + JOURNAL_RECORD_BYTES;
}

export function journalOpened(session: usize): void {
  const bytes = load<u32>(session, SESSION_ID_BYTES);
  const at = record(J_OPENED, load<u32>(session, SESSION_NUMBER), 16 + bytes);
  if (at === 0) return;
  store<u32>(at, load<u32>(session, SESSION_FLAGS) & 1);
  store<u32>(at, load<u32>(session, SESSION_VERSION), 4);
  store<u32>(at, load<u32>(session, SESSION_EXPIRY_INTERVAL), 8);
  store<u32>(at, bytes, 12);
  memory.copy(at + 16, load<u32>(session, SESSION_ID_AT), bytes);
}

export function journalClosed(session: usize): void {
  const at = record(J_CLOSED, load<u32>(session, SESSION_NUMBER), 16);
  if (at === 0) return;
  store<u32>(at, load<u32>(session, SESSION_EXPIRY_INTERVAL));
  store<u32>(at, load<u32>(session, SESSION_EXPIRES_SECONDS), 4);
  store<u64>(at, nowMs, 8);
}

export function journalEnded(number: u32): void {
  record(J_ENDED, number, 0);
}

export function journalSubscribed(
  number: u32,
  options: u32,
  identifier: u32,
  filterAt: usize,
  filterBytes: u32,
): void {
  const at = record(J_SUBSCRIBED, number, 12 + filterBytes);
  if (at === 0) return;
  store<u32>(at, options);
  store<u32>(at, identifier, 4);
  store<u32>(at, filterBytes, 8);
  memory.copy(at + 12, filterAt, filterBytes);
}

function journalText(type: u32, number: u32, textAt: usize, bytes: u32): void {
  const at = record(type, number, 4 + bytes);
  if (at === 0) return;
  store<u32>(at, bytes);
  memory.copy(at + 4, textAt, bytes);
}

export function journalUnsubscribed(number: u32, filterAt: usize, filterBytes: u32): void {
  journalText(J_UNSUBSCRIBED, number, filterAt, filterBytes);
}

export function journalRetainedDeleted(topicAt: usize, topicBytes: u32): void {
  journalText(J_RETAINED_DELETED, 0, topicAt, topicBytes);
}

/** @param packetBytes  0: the will is cancelled */
export function journalWill(number: u32, packetAt: usize, packetBytes: u32): void {
  journalText(J_WILL, number, packetAt, packetBytes);
}

/** The message's record in this page, written when first asked for. @returns its offset, or 0 */
function messageOffset(message: usize): u32 {
  if (used !== 0 && load<u32>(message, M_JOURNAL_TURN) === turn)
    return load<u32>(message, M_JOURNAL_AT);
  const payloadBytes = load<u32>(message, M_PAYLOAD_BYTES);
  const head =
    load<u32>(message, M_TOPIC_BYTES) +
    load<u32>(message, M_PROPERTIES_BYTES) +
    load<u32>(message, M_PUBLISHER_BYTES);
  const isApart = payloadBytes > INLINE_PAYLOAD_BYTES_MAX && apartCount < APART_MAX;
  const inlineBytes = isApart ? head : head + payloadBytes;
  const at = record(J_MESSAGE, 0, 32 + inlineBytes);
  if (at === 0) return 0;
  store<u32>(at, load<u32>(message, M_FLAGS));
  store<u32>(at, load<u32>(message, M_TOPIC_BYTES), 4);
  store<u32>(at, load<u32>(message, M_PROPERTIES_BYTES), 8);
  store<u32>(at, load<u32>(message, M_PUBLISHER_BYTES), 12);
  store<u32>(at, payloadBytes, 16);
  store<u32>(at, isApart ? apartCount + 1 : 0, 20);
  store<u64>(at, load<u64>(message, M_EXPIRES_MS), 24);
  memory.copy(at + 32, message + M_TEXT, head);
  if (isApart) {
    holdMessage(message);
    store<u32>(apart + (apartCount << 2), <u32>message);
    apartCount++;
  } else {
    memory.copy(at + 32 + head, payloadOf(message), payloadBytes);
  }
  const offset = <u32>(at - page) - JOURNAL_RECORD_BYTES;
  store<u32>(message, turn, M_JOURNAL_TURN);
  store<u32>(message, offset, M_JOURNAL_AT);
  return offset;
}

/** @param identifiers  as for sendPublish() of encode.ts */
export function journalEnqueued(
  number: u32,
  sequence: u64,
  message: usize,
  flags: u32,
  several: bool,
  identifiers: u32,
): void {
  const offset = messageOffset(message);
  if (offset === 0) return;
  let listed: u32 = identifiers === 0 ? 0 : 1;
  if (several) listed = load<u32>(identifiers);
  const at = record(J_ENQUEUED, number, 16 + (listed << 2));
  if (at === 0) return;
  store<u64>(at, sequence);
  store<u32>(at, offset, 8);
  store<u32>(at, flags, 12);
  if (several) memory.copy(at + 16, identifiers + 4, listed << 2);
  else if (listed !== 0) store<u32>(at, identifiers, 16);
}

/** J_SENT, J_DONE and J_RELEASED. */
export function journalSequence(type: u32, number: u32, sequence: u64): void {
  const at = record(type, number, 8);
  if (at !== 0) store<u64>(at, sequence);
}

/** J_RECEIVED and J_FREED. */
export function journalIdentifier(type: u32, number: u32, packetIdentifier: u32): void {
  const at = record(type, number, 4);
  if (at !== 0) store<u32>(at, packetIdentifier);
}

export function journalRetained(message: usize): void {
  const offset = messageOffset(message);
  if (offset === 0) return;
  const at = record(J_RETAINED, 0, 4);
  if (at !== 0) store<u32>(at, offset);
}
