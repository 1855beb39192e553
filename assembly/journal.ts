/**
 * The journal page of the turn: what durable Sessions are owed, as records one behind the other.
 *
 *   ┌────────┬──────┬─────────┬───────┬─────┬────────┬────────┬─ ─ ─
 *   │ format │ turn │ time ms │ bytes │ crc │ record │ record │      header of 24 bytes, records
 *   └────────┴──────┴─────────┴───────┴─────┴────────┴────────┴─ ─ ─ of abi.ts
 *
 * A message is written once a page; what is enqueued names it by its offset. Payloads over 64 KiB
 * do not go into the page: it holds a reference to the message until the page is committed. A page
 * that is sealed stays as it is until then, while the next one is filled.
 */
import {
  J_CLOSED,
  J_ENDED,
  J_ENQUEUED,
  J_LEFT,
  J_MESSAGE,
  J_OPENED,
  J_RETAINED,
  J_RETAINED_DELETED,
  J_SUBSCRIBED,
  J_UNSUBSCRIBED,
  J_USER,
  J_WILL,
  JOURNAL_BYTES_AT,
  JOURNAL_CRC_AT,
  JOURNAL_FORMAT,
  JOURNAL_HEADER_BYTES,
  JOURNAL_RECORD_BYTES,
  JOURNAL_TIME_AT,
  S_JOURNAL_BYTES,
  S_JOURNAL_LOST,
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
  SESSION_LISTENER,
  SESSION_NUMBER,
  SESSION_USER_BYTES,
  SESSION_VERSION,
} from "./session-layout";
import { changed, resubscribed } from "./session-lists";
import { count, isRecording, nextTurn, nowMs, turn } from "./settings";

/** First size of a page. */
const PAGE_BYTES_MIN: u32 = 65536;
/** The buffer of a committed page is used again if it is not larger. */
const PAGE_BYTES_KEPT_MAX: u32 = 1048576;
/** Past it no more messages are taken for durable Sessions until the page is sealed. */
const JOURNAL_PAGE_BYTES_SOFT: u32 = 4 * 1024 * 1024;
/** Longer payloads get a row of their own. */
export const INLINE_PAYLOAD_BYTES_MAX: u32 = 65536;
/** Payloads apart that one page names at most: past it, as past the soft size. */
const APART_MAX: u32 = 1024;

// The page being filled.
let page: usize = 0;
let used: u32 = 0;
let capacity: u32 = 0;
/** Messages whose payload is not in the page. */
let apart: usize = memory.data(4 * 1024, 4);
let apartCount: u32 = 0;

// The page that is being committed; 0 bytes: none.
let sealed: usize = 0;
let sealedUsed: u32 = 0;
let sealedCapacity: u32 = 0;
let sealedApart: usize = memory.data(4 * 1024, 4);
let sealedCount: u32 = 0;
let turnSealed: u32 = 0;

// A buffer for the next page.
let spare: usize = 0;
let spareCapacity: u32 = 0;

let isPaused: bool = false;

/** While paused, nothing is recorded: what happens comes from the store. */
export function journalPause(paused: bool): void {
  isPaused = paused;
}

/** True where the page took all it should before it is sealed. */
export function journalFull(): bool {
  return used > JOURNAL_PAGE_BYTES_SOFT || apartCount + 64 > APART_MAX;
}

/** Bytes of the page being filled; 0 where nothing was recorded. */
export function journalBytes(): u32 {
  return used;
}

/** The turn whose commit covers all that was recorded so far. Hot. */
export function recordedTurn(): u32 {
  return used !== 0 ? turn : turn - 1;
}

/**
 * Ends the page being filled, where something was recorded; none other may be under way.
 *
 * @returns its bytes, or 0
 */
export function sealJournal(): u32 {
  assert(sealedUsed === 0, "sealJournal: the last page is not committed");
  if (used === 0) return 0;
  store<u32>(page, used, JOURNAL_BYTES_AT);
  sealed = page;
  sealedUsed = used;
  sealedCapacity = capacity;
  const emptied = sealedApart;
  sealedApart = apart;
  sealedCount = apartCount;
  apart = emptied;
  apartCount = 0;
  page = spare;
  capacity = spareCapacity;
  used = 0;
  spare = 0;
  spareCapacity = 0;
  turnSealed = nextTurn();
  return sealedUsed;
}

/** Bytes, address and turn of the page that is being committed. */
export function sealedBytes(): u32 {
  return sealedUsed;
}

export function sealedAt(): usize {
  return sealed;
}

export function sealedTurn(): u32 {
  return turnSealed;
}

/** Number of its payloads apart; where each lies, and its bytes. */
export function sealedApartCount(): u32 {
  return sealedCount;
}

export function sealedApartAt(index: u32): usize {
  return payloadOf(load<u32>(sealedApart + (index << 2)));
}

export function sealedApartBytes(index: u32): u32 {
  return load<u32>(load<u32>(sealedApart + (index << 2)), M_PAYLOAD_BYTES);
}

function dropApart(list: usize, total: u32): void {
  for (let i: u32 = 0; i < total; i++) releaseMessage(load<u32>(list + (i << 2)));
}

/** The sealed page is committed: its buffer serves another one. */
export function dropSealed(): void {
  if (sealedUsed === 0) return;
  dropApart(sealedApart, sealedCount);
  sealedCount = 0;
  sealedUsed = 0;
  if (sealedCapacity > PAGE_BYTES_KEPT_MAX || spare !== 0) {
    free(sealed);
  } else {
    spare = sealed;
    spareCapacity = sealedCapacity;
  }
  sealed = 0;
}

/** Gives all buffers back: the engine is to be empty. */
export function journalFree(): void {
  dropSealed();
  dropApart(apart, apartCount);
  apartCount = 0;
  used = 0;
  capacity = 0;
  if (page !== 0) free(page);
  if (spare !== 0) free(spare);
  page = 0;
  spare = 0;
  spareCapacity = 0;
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
 * Appends a record's header.
 *
 * @param session  that it is of, or 0
 * @returns the address behind it, or 0: nothing is recorded now, or the memory reserve is used up,
 *   which the refusals at the cap are there to prevent
 */
function record(type: u32, session: usize, fieldBytes: u32): usize {
  const number = session === 0 ? 0 : load<u32>(session, SESSION_NUMBER);
  const at = append(type, number, fieldBytes);
  if (at !== 0 && session !== 0) changed(session);
  return at;
}

function append(type: u32, number: u32, fieldBytes: u32): usize {
  if (isPaused || !isRecording) return 0;
  const bytes = (JOURNAL_RECORD_BYTES + fieldBytes + 3) & ~3;
  if (!ensure(bytes + JOURNAL_HEADER_BYTES)) {
    count(S_JOURNAL_LOST, 1);
    return 0;
  }
  if (used === 0) {
    store<u32>(page, JOURNAL_FORMAT);
    store<u32>(page, turn, 4);
    store<u64>(page, nowMs, JOURNAL_TIME_AT);
    store<u32>(page, 0, JOURNAL_CRC_AT);
    used = JOURNAL_HEADER_BYTES;
  }
  const at = page + used;
  // The padding is part of the page: no byte of it may be left to chance.
  store<u32>(at + bytes - 4, 0);
  store<u32>(at, type | (bytes << 8));
  store<u32>(at, number, 4);
  used += bytes;
  count(S_JOURNAL_BYTES, bytes);
  count(S_JOURNAL_RECORDS, 1);
  return at + JOURNAL_RECORD_BYTES;
}

export function journalOpened(session: usize): void {
  const bytes = load<u32>(session, SESSION_ID_BYTES);
  const at = record(J_OPENED, session, 16 + bytes);
  if (at === 0) return;
  store<u32>(at, load<u32>(session, SESSION_FLAGS) & 1);
  store<u32>(at, load<u32>(session, SESSION_VERSION), 4);
  store<u32>(at, load<u32>(session, SESSION_EXPIRY_INTERVAL), 8);
  store<u32>(at, bytes, 12);
  memory.copy(at + 16, load<u32>(session, SESSION_ID_AT), bytes);
}

export function journalUser(session: usize): void {
  const bytes = <u32>load<u16>(session, SESSION_USER_BYTES);
  const at = record(J_USER, session, 8 + bytes);
  if (at === 0) return;
  store<u32>(at, <u32>load<u16>(session, SESSION_LISTENER));
  store<u32>(at, bytes, 4);
  const name = load<u32>(session, SESSION_ID_AT) + load<u32>(session, SESSION_ID_BYTES) + 1;
  memory.copy(at + 8, name, bytes);
}

export function journalClosed(session: usize): void {
  const at = record(J_CLOSED, session, 16);
  if (at === 0) return;
  store<u32>(at, load<u32>(session, SESSION_EXPIRY_INTERVAL));
  store<u32>(at, load<u32>(session, SESSION_EXPIRES_SECONDS), 4);
  store<u64>(at, nowMs, 8);
}

/** Whether what happens comes from the store. */
export function isJournalPaused(): bool {
  return isPaused;
}

export function journalLeft(session: usize): void {
  record(J_LEFT, session, 0);
}

export function journalEnded(number: u32): void {
  append(J_ENDED, number, 0);
}

export function journalSubscribed(
  session: usize,
  options: u32,
  identifier: u32,
  filterAt: usize,
  filterBytes: u32,
): void {
  const at = record(J_SUBSCRIBED, session, 12 + filterBytes);
  if (at === 0) return;
  resubscribed(session);
  store<u32>(at, options);
  store<u32>(at, identifier, 4);
  store<u32>(at, filterBytes, 8);
  memory.copy(at + 12, filterAt, filterBytes);
}

export function journalUnsubscribed(session: usize, filterAt: usize, filterBytes: u32): void {
  const at = record(J_UNSUBSCRIBED, session, 4 + filterBytes);
  if (at === 0) return;
  resubscribed(session);
  store<u32>(at, filterBytes);
  memory.copy(at + 4, filterAt, filterBytes);
}

export function journalRetainedDeleted(topicAt: usize, topicBytes: u32): void {
  const at = append(J_RETAINED_DELETED, 0, 4 + topicBytes);
  if (at === 0) return;
  store<u32>(at, topicBytes);
  memory.copy(at + 4, topicAt, topicBytes);
}

/**
 * @param delaySeconds  Will Delay Interval
 * @param dueSecond  Unix time at which it is due; 0 while its connection is open
 * @param packetBytes  0: there is no will any more
 */
export function journalWill(
  number: u32,
  delaySeconds: u32,
  dueSecond: u32,
  packetAt: usize,
  packetBytes: u32,
): void {
  const at = append(J_WILL, number, 12 + packetBytes);
  if (at === 0) return;
  store<u32>(at, delaySeconds);
  store<u32>(at, dueSecond, 4);
  store<u32>(at, packetBytes, 8);
  memory.copy(at + 12, packetAt, packetBytes);
}

/** The message's record in this page, written when first asked for. @returns its offset, or 0 */
function messageOffset(message: usize): u32 {
  if (used !== 0 && load<u32>(message, M_JOURNAL_TURN) === turn) {
    const written = load<u32>(message, M_JOURNAL_AT);
    if (written !== 0) return written;
  }
  const payloadBytes = load<u32>(message, M_PAYLOAD_BYTES);
  const head =
    load<u32>(message, M_TOPIC_BYTES) +
    load<u32>(message, M_PROPERTIES_BYTES) +
    load<u32>(message, M_PUBLISHER_BYTES);
  const isApart = payloadBytes > INLINE_PAYLOAD_BYTES_MAX && apartCount < APART_MAX;
  const inlineBytes = isApart ? head : head + payloadBytes;
  const at = append(J_MESSAGE, 0, 32 + inlineBytes);
  if (at === 0) return 0;
  store<u32>(at, load<u8>(message, M_FLAGS));
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

/**
 * @param flags  QoS, RETAIN, J_FLAG_SENT
 * @param identifiers  as for sendPublish() of encode.ts
 */
export function journalEnqueued(
  session: usize,
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
  const at = record(J_ENQUEUED, session, 16 + (listed << 2));
  if (at === 0) return;
  store<u64>(at, sequence);
  store<u32>(at, offset, 8);
  store<u32>(at, flags, 12);
  if (several) memory.copy(at + 16, identifiers + 4, listed << 2);
  else if (listed !== 0) store<u32>(at, identifiers, 16);
}

/** J_SENT, J_DONE, J_RELEASED, J_HEAD and J_SKIPPED. */
export function journalSequence(type: u32, session: usize, sequence: u64): void {
  const at = record(type, session, 8);
  if (at !== 0) store<u64>(at, sequence);
}

/** J_RECEIVED and J_FREED. */
export function journalIdentifier(type: u32, session: usize, packetIdentifier: u32): void {
  const at = record(type, session, 4);
  if (at !== 0) store<u32>(at, packetIdentifier);
}

export function journalRetained(message: usize): void {
  const offset = messageOffset(message);
  if (offset === 0) return;
  const at = append(J_RETAINED, 0, 4);
  if (at !== 0) store<u32>(at, offset);
}
