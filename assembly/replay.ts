/**
 * Journal pages become Session State again.
 *
 * A page is applied record by record, in the order in which it was written; nothing is sent,
 * nothing is journalled.
 */
import {
  J_CLOSED,
  J_DONE,
  J_ENDED,
  J_ENQUEUED,
  J_FLAG_SENT,
  J_FLAG_SHARED,
  J_FREED,
  J_HEAD,
  J_LEFT,
  J_MESSAGE,
  J_OPENED,
  J_RECEIVED,
  J_RELEASED,
  J_RETAINED,
  J_RETAINED_DELETED,
  J_SENT,
  J_SKIPPED,
  J_SUBSCRIBED,
  J_UNSUBSCRIBED,
  J_USER,
  J_WILL,
  JOURNAL_FORMAT,
  JOURNAL_HEADER_BYTES,
  JOURNAL_RECORD_BYTES,
  JOURNAL_TIME_AT,
  NO_MEMORY,
} from "./abi";
import { describeStored } from "./described";
import { skipUnsent } from "./gap";
import { groupOfRecord, isGroupIdentifier } from "./groups";
import { journalPause } from "./journal";
import { startLeaving } from "./leave";
import { alloc, free } from "./memory";
import { holdMessage, M_QOS, M_RETAIN, M_TEXT, newMessage, releaseMessage } from "./message";
import { appendEntry, E_FLAGS, E_SHARED, forgetQueued, newEntry } from "./queue";
import { addReceived, isReceived, removeReceived } from "./received";
import { sendUpTo } from "./recovered-window";
import { deleteRetained, replaceRetained } from "./retained";
import { announced, unannounce } from "./sent-mark";
import { createSession, detachSession, endSession, sessionOfNumber, setExpiry } from "./session";
import {
  SESSION_CARRIED,
  SESSION_CURSOR,
  SESSION_DURABLE,
  SESSION_FLAGS,
  SESSION_HEAD,
  SESSION_NEXT,
  SESSION_OWES_SHARED,
  SESSION_RECORDED_END,
  SESSION_RECORDED_HEAD,
  SESSION_STORED_END,
  SESSION_UNANNOUNCED,
} from "./session-layout";
import { changed } from "./session-lists";
import { setClock, setTurn } from "./settings";
import {
  AWAITS_PUBACK,
  AWAITS_PUBCOMP,
  AWAITS_PUBREC,
  DONE,
  jumpHead,
  nextInWindow,
  passDone,
  placeEntry,
  stateOf,
} from "./slots";
import { addSubscription, removeSubscription } from "./subscriptions";
import { setUser } from "./user-name";
import { finish, release } from "./window";

/** The page is not of a format that this engine reads, or is damaged. */
const DAMAGED: i32 = -0x83;

/** Payloads that stand outside the page: addresses and bytes, given before replay(). */
const apart: usize = memory.data(8 * 1024, 4);
const APART_MAX: u32 = 1024;
let apartCount: u32 = 0;

let page: usize = 0;
let pageBytes: u32 = 0;
/** The Session that the last record named. */
let current: usize = 0;
let currentNumber: u32 = 0;
/** J_WILL records of the page: number, address of the fields, bytes. */
let wills: usize = 0;
let willCount: u32 = 0;
let willRoom: u32 = 0;
const WILL_BYTES: u32 = 12;

/**
 * Hands in a payload that the page to be replayed keeps apart.
 *
 * @param index  0 … 1023, in order
 * @param at  the bytes, borrowed until replay() has ended
 * @returns 0, or a negative status
 */
export function replayApart(index: u32, at: usize, bytes: u32): i32 {
  if (index >= APART_MAX) return DAMAGED;
  store<u32>(apart + (index << 3), <u32>at);
  store<u32>(apart + (index << 3), bytes, 4);
  apartCount = index + 1;
  return 0;
}

function sessionFor(number: u32): usize {
  if (number !== currentNumber || current === 0) {
    current = sessionOfNumber(number);
    currentNumber = number;
  }
  return current;
}

/**
 * Messages that were made of J_MESSAGE records of the page, by the records' offsets: {u32 offset,
 * u32 message, held}. A body that many are owed is one, as it was when it was recorded.
 */
const made: usize = memory.data(8 * 256, 4);
const MADE_MASK: u32 = 255;
/** Why loadMessage() made none. */
let whyNone: i32 = 0;

/** The page is done: what was made of it is whose it is. */
function releaseMade(): void {
  for (let slot: u32 = 0; slot <= MADE_MASK; slot++) {
    const message: usize = load<u32>(made + (slot << 3), 4);
    if (message !== 0) releaseMessage(message);
    store<u64>(made + (slot << 3), 0);
  }
}

/** The message of a J_MESSAGE record. @returns it with one reference, or 0: see whyNone */
function loadMessage(offset: u32): usize {
  const slot = made + (((offset >> 2) & MADE_MASK) << 3);
  let message: usize = load<u32>(slot, 4);
  if (message === 0 || load<u32>(slot) !== offset) {
    const fresh = makeMessage(offset);
    if (fresh === 0) return 0;
    if (message !== 0) releaseMessage(message);
    store<u32>(slot, offset);
    store<u32>(slot, <u32>fresh, 4);
    message = fresh;
  }
  holdMessage(message);
  return message;
}

function makeMessage(offset: u32): usize {
  whyNone = DAMAGED;
  // It stands before the record that names it, so it was judged by fits().
  if (offset < JOURNAL_HEADER_BYTES || offset > pageBytes - JOURNAL_RECORD_BYTES - 32) return 0;
  if ((load<u32>(page + offset) & 0xff) !== J_MESSAGE) return 0;
  const at = page + offset + JOURNAL_RECORD_BYTES;
  const topicBytes = load<u32>(at, 4);
  const propertiesBytes = load<u32>(at, 8);
  const publisherBytes = load<u32>(at, 12);
  const payloadBytes = load<u32>(at, 16);
  const index = load<u32>(at, 20);
  if (index > apartCount) return 0;
  const head = topicBytes + propertiesBytes + publisherBytes;
  const message = newMessage(
    load<u32>(at),
    topicBytes,
    propertiesBytes,
    publisherBytes,
    payloadBytes,
    load<u64>(at, 24),
  );
  whyNone = NO_MEMORY;
  if (message === 0) return 0;
  memory.copy(message + M_TEXT, at + 32, head);
  const from: usize = index === 0 ? at + 32 + head : load<u32>(apart + ((index - 1) << 3));
  memory.copy(message + M_TEXT + head, from, payloadBytes);
  return message;
}

function opened(number: u32, at: usize): i32 {
  const expiryInterval = load<u32>(at, 8);
  let session = sessionFor(number);
  if (isGroupIdentifier(at + 16, load<u32>(at, 12))) {
    current = groupOfRecord(at + 16, load<u32>(at, 12), number);
    if (current !== 0) changed(current);
    return 0;
  }
  if (session === 0) {
    session = createSession(at + 16, load<u32>(at, 12), number, load<u32>(at, 4), expiryInterval);
    current = session;
    currentNumber = number;
    if (session === 0) return NO_MEMORY;
    // One that is to end with its connection is durable until then.
    const flags = (load<u32>(at) & SESSION_DURABLE) | SESSION_CARRIED | SESSION_UNANNOUNCED;
    store<u32>(session, flags, SESSION_FLAGS);
  } else {
    setExpiry(session, expiryInterval, load<u32>(at, 4));
    unannounce(session);
  }
  changed(session);
  return 0;
}

/** Whether the State has what this record says, or more: it was loaded as it stood later. */
function isKnown(session: usize, sequence: u64): bool {
  if (sequence < load<u64>(session, SESSION_STORED_END)) return true;
  if (sequence < load<u64>(session, SESSION_HEAD)) return true;
  const inWindow = sequence < load<u64>(session, SESSION_CURSOR);
  return inWindow && stateOf(session, sequence) !== DONE;
}

function enqueued(session: usize, at: usize, bytes: u32): i32 {
  const sequence = load<u64>(at);
  store<u64>(session, max(sequence + 1, load<u64>(session, SESSION_NEXT)), SESSION_NEXT);
  store<u64>(session, load<u64>(session, SESSION_NEXT), SESSION_RECORDED_END);
  if (isKnown(session, sequence)) return 0;
  const flags = load<u32>(at, 12);
  const listed = (bytes - 16) >> 2;
  const message = loadMessage(load<u32>(at, 8));
  if (message === 0) return whyNone;
  describeStored(message);
  // {count, identifiers}: the count goes where the flags of the record were.
  store<u32>(at, listed, 12);
  const shared = flags & J_FLAG_SHARED;
  if (shared && listed === 0) return DAMAGED;
  const several = listed > 1 || shared !== 0;
  const identifiers: u32 = several ? <u32>at + 12 : listed === 1 ? load<u32>(at, 16) : 0;
  const retain = (flags & M_RETAIN) !== 0;
  const entry = newEntry(sequence, flags & M_QOS, retain, several, identifiers);
  store<u32>(at, flags, 12);
  releaseMessage(message);
  if (entry === 0) return NO_MEMORY;
  if (shared) {
    store<u32>(entry, load<u32>(entry, E_FLAGS) | E_SHARED, E_FLAGS);
    store<u32>(session, load<u32>(session, SESSION_FLAGS) | SESSION_OWES_SHARED, SESSION_FLAGS);
  }
  if (sequence < load<u64>(session, SESSION_CURSOR)) {
    const state = (flags & M_QOS) === 1 ? AWAITS_PUBACK : AWAITS_PUBREC;
    return placeEntry(session, sequence, entry, state) ? 0 : NO_MEMORY;
  }
  appendEntry(session, entry);
  if (flags & J_FLAG_SENT) return sentUpTo(session, sequence) ? 0 : NO_MEMORY;
  return 0;
}

function retainedRecord(at: usize): i32 {
  const message = loadMessage(load<u32>(at));
  if (message === 0) return whyNone;
  const status = replaceRetained(message);
  releaseMessage(message);
  return status;
}

/** A sequence is done: it may be in the window or still in the queue. */
function done(session: usize, sequence: u64): void {
  store<u64>(session, max(sequence + 1, load<u64>(session, SESSION_NEXT)), SESSION_NEXT);
  if (sequence < load<u64>(session, SESSION_CURSOR)) {
    const inWindow = sequence >= load<u64>(session, SESSION_HEAD);
    if (inWindow && stateOf(session, sequence) !== DONE) finish(session, sequence);
  } else {
    forgetQueued(session, sequence);
  }
}

/** All below a sequence is done. */
function headMoved(session: usize, head: u64): void {
  const cursor = load<u64>(session, SESSION_CURSOR);
  const end = min(head, cursor);
  let sequence = load<u64>(session, SESSION_HEAD);
  while (sequence < end) {
    if (stateOf(session, sequence) !== DONE) finish(session, sequence);
    sequence = nextInWindow(session, sequence);
  }
  store<u64>(session, max(head, load<u64>(session, SESSION_NEXT)), SESSION_NEXT);
  store<u64>(session, max(head, load<u64>(session, SESSION_RECORDED_HEAD)), SESSION_RECORDED_HEAD);
  if (head <= cursor) return;
  // Messages that no record names were sent and acknowledged.
  skipUnsent(session, head);
  jumpHead(session, head);
}

/** As sendUpTo(). No window has more than 65535: what is below is done, as a later record says. */
function sentUpTo(session: usize, sequence: u64): bool {
  if (sequence >= load<u64>(session, SESSION_HEAD) + 65535) {
    headMoved(session, sequence - 65534);
    passDone(session);
  }
  return sendUpTo(session, sequence);
}

function released(session: usize, sequence: u64): i32 {
  // Who released it was sent it.
  if (!sentUpTo(session, sequence)) return NO_MEMORY;
  if (sequence >= load<u64>(session, SESSION_CURSOR)) {
    // Of a dump, which no longer has the message.
    if (!placeEntry(session, sequence, 0, AWAITS_PUBCOMP)) return NO_MEMORY;
    store<u64>(session, max(sequence + 1, load<u64>(session, SESSION_NEXT)), SESSION_NEXT);
  } else if (sequence >= load<u64>(session, SESSION_HEAD)) {
    const state = stateOf(session, sequence);
    if (state !== DONE && state !== AWAITS_PUBCOMP) release(session, sequence);
  }
  return 0;
}

function willRecord(number: u32, at: usize, bytes: u32): i32 {
  if (willCount === willRoom) {
    const room = willRoom === 0 ? 64 : willRoom << 1;
    const grown = alloc(room * WILL_BYTES);
    if (grown === 0) return NO_MEMORY;
    if (wills !== 0) {
      memory.copy(grown, wills, willCount * WILL_BYTES);
      free(wills);
    }
    wills = grown;
    willRoom = room;
  }
  const to = wills + willCount * WILL_BYTES;
  store<u32>(to, number);
  store<u32>(to, <u32>at, 4);
  store<u32>(to, bytes, 8);
  willCount++;
  return 0;
}

/** Number of J_WILL records in the page replayed last, and where each stands. */
export function replayedWills(): u32 {
  return willCount;
}

/** Address of {u32 number, u32 address of the fields, u32 bytes}, until the next replay(). */
export function replayedWill(index: u32): usize {
  return wills + index * WILL_BYTES;
}

/** Gives what replay() keeps back. */
export function freeReplayed(): void {
  if (wills !== 0) free(wills);
  wills = 0;
  willCount = 0;
  willRoom = 0;
}

function receivedAgain(session: usize, packetIdentifier: u32): i32 {
  if (packetIdentifier - 1 >= 65535) return DAMAGED;
  return isReceived(session, packetIdentifier) ? 0 : addReceived(session, packetIdentifier);
}

/** Records of a Session that must exist. */
function ofSession(type: u32, session: usize, at: usize, bytes: u32): i32 {
  if (type === J_SUBSCRIBED) {
    const filterBytes = load<u32>(at, 8);
    const options = load<u32>(at);
    return min(0, addSubscription(session, at + 12, filterBytes, options, load<u32>(at, 4)));
  }
  if (type === J_UNSUBSCRIBED) removeSubscription(session, at + 4, load<u32>(at));
  else if (type === J_ENQUEUED) return enqueued(session, at, bytes);
  else if (type === J_SENT) {
    announced(session);
    return sentUpTo(session, load<u64>(at)) ? 0 : NO_MEMORY;
  } else if (type === J_DONE) done(session, load<u64>(at));
  else if (type === J_HEAD) headMoved(session, load<u64>(at));
  else if (type === J_SKIPPED) skipUnsent(session, load<u64>(at));
  else if (type === J_RELEASED) return released(session, load<u64>(at));
  else if (type === J_RECEIVED) return receivedAgain(session, load<u32>(at));
  else if (type === J_FREED) removeReceived(session, load<u32>(at));
  else if (type === J_CLOSED) detachSession(session, load<u32>(at, 4));
  else if (type === J_USER) return setUser(session, at + 8, load<u32>(at, 4), load<u32>(at));
  else if (type === J_LEFT) startLeaving(session);
  else if (type === J_ENDED) {
    endSession(session);
    current = 0;
  } else return DAMAGED;
  return 0;
}

/** Bytes that the fields of a record of this type have before its texts; u32.MAX_VALUE: unknown. */
function fixedBytes(type: u32): u32 {
  if (type === J_MESSAGE) return 32;
  if (type === J_OPENED || type === J_CLOSED || type === J_ENQUEUED) return 16;
  if (type === J_SUBSCRIBED || type === J_WILL) return 12;
  if (type === J_SENT || type === J_DONE || type === J_RELEASED) return 8;
  if (type === J_HEAD || type === J_SKIPPED || type === J_USER) return 8;
  if (type === J_ENDED || type === J_LEFT) return 0;
  return type >= J_OPENED && type <= J_RETAINED_DELETED ? 4 : u32.MAX_VALUE;
}

/** Whether the fields of a record, and the texts that they announce, lie inside it. */
function fits(type: u32, at: usize, bytes: u32): bool {
  const fixed = fixedBytes(type);
  if (bytes < fixed) return false;
  let texts: u64 = 0;
  if (type === J_OPENED) texts = load<u32>(at, 12);
  else if (type === J_SUBSCRIBED || type === J_WILL) texts = load<u32>(at, 8);
  else if (type === J_USER) {
    texts = load<u32>(at, 4);
    if (texts > 65535) return false;
  } else if (type === J_UNSUBSCRIBED || type === J_RETAINED_DELETED) {
    texts = load<u32>(at);
  } else if (type === J_MESSAGE) {
    texts = <u64>load<u32>(at, 4) + load<u32>(at, 8) + load<u32>(at, 12);
    const index = load<u32>(at, 20);
    if (index === 0) texts += load<u32>(at, 16);
    else if (index > apartCount || load<u32>(apart + ((index - 1) << 3), 4) !== load<u32>(at, 16)) {
      return false;
    }
  }
  return texts <= bytes - fixed;
}

function apply(type: u32, number: u32, at: usize, bytes: u32): i32 {
  if (!fits(type, at, bytes)) return DAMAGED;
  if (type === J_MESSAGE) return 0;
  if (type === J_WILL) return willRecord(number, at, bytes);
  if (type === J_OPENED) return opened(number, at);
  if (type === J_RETAINED) return retainedRecord(at);
  if (type === J_RETAINED_DELETED) return replaceRetainedBy(at);
  const session = sessionFor(number);
  // A Session that ended in this page may still have records behind its end: none revives it.
  if (session === 0) return 0;
  changed(session);
  return ofSession(type, session, at, bytes);
}

function replaceRetainedBy(at: usize): i32 {
  deleteRetained(at + 4, load<u32>(at));
  return 0;
}

/**
 * Applies a journal page to the State that the engine has.
 *
 * @param at  a page as journalPage() gives it; unchanged afterwards
 * @returns 0; NO_MEMORY; −0x83 where the page is damaged or of another format
 */
export function replay(at: usize, bytes: u32): i32 {
  if (bytes < JOURNAL_HEADER_BYTES || load<u32>(at) !== JOURNAL_FORMAT) return DAMAGED;
  page = at;
  pageBytes = bytes;
  current = 0;
  willCount = 0;
  setTurn(load<u32>(at, 4) + 1);
  setClock(<f64>load<u64>(at, JOURNAL_TIME_AT), 0);
  journalPause(true);
  let offset = JOURNAL_HEADER_BYTES;
  let status: i32 = 0;
  while (offset < bytes && status === 0) {
    const recordBytes = load<u32>(at + offset) >> 8;
    const whole = recordBytes >= JOURNAL_RECORD_BYTES && recordBytes <= bytes - offset;
    if (!whole) {
      status = DAMAGED;
      break;
    }
    status = apply(
      load<u32>(at + offset) & 0xff,
      load<u32>(at + offset, 4),
      at + offset + JOURNAL_RECORD_BYTES,
      recordBytes - JOURNAL_RECORD_BYTES,
    );
    offset += recordBytes;
  }
  journalPause(false);
  releaseMade();
  apartCount = 0;
  return status;
}
