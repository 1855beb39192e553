/**
 * The start: rows of the index become Sessions and retained messages again, before the pages behind
 * them are replayed (replay.ts) and a listener opens.
 */
import {
  NO_MEMORY,
  ROW_SESSION_BYTES,
  ROW_SESSION_CHUNKED,
  ROW_SESSION_DONE,
  ROW_SESSION_DROPPED,
  ROW_SESSION_EXPIRES_SECONDS,
  ROW_SESSION_EXPIRY_INTERVAL,
  ROW_SESSION_FLAGS,
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
  S_QUEUED_MESSAGES,
} from "./abi";
import { recoverEpisodes } from "./episode";
import { setExpires } from "./expiry";
import {
  deferEmptied,
  endEmptied,
  groupOfRecord,
  isGroup,
  isGroupIdentifier,
  recoverGroup,
} from "./groups";
import { journalPause } from "./journal";
import { isLeavingIdentifier, leaveOn } from "./leave";
import { DAMAGED } from "./load";
import { isMessageRow, messageOfRow, releaseMessage } from "./message";
import { firstUnsent, noteMoved } from "./queue";
import { addReceived } from "./received";
import { sendUpTo } from "./recovered-window";
import { keepRetained } from "./retained";
import { SENT_AHEAD_MAX } from "./sent-mark";
import {
  createHidden,
  createSession,
  detachSession,
  endSession,
  sessionAfter,
  sessionOfNumber,
} from "./session";
import {
  SESSION_CARRIED,
  SESSION_CURSOR,
  SESSION_DROPPED,
  SESSION_DURABLE,
  SESSION_EXPIRY_INTERVAL,
  SESSION_FLAGS,
  SESSION_GAP,
  SESSION_HAS_CHUNKS,
  SESSION_HAS_LATEST,
  SESSION_HAS_ROW,
  SESSION_HAS_SEGMENTS,
  SESSION_HEAD,
  SESSION_HEAD_IDENTIFIER,
  SESSION_IS_GROUP,
  SESSION_IS_LEAVING,
  SESSION_NEXT,
  SESSION_OWES_SHARED,
  SESSION_QUEUED_BYTES,
  SESSION_QUEUED_COUNT,
  SESSION_RECORDED_END,
  SESSION_RECORDED_HEAD,
  SESSION_RESEND,
  SESSION_SENT_MOVED,
  SESSION_STORED_BYTES,
  SESSION_STORED_COUNT,
  SESSION_STORED_END,
  SESSION_UNANNOUNCED,
} from "./session-layout";
import { count } from "./settings";
import { AWAITS_PUBCOMP, DONE, NOT_LOADED, passDone, placeEntry } from "./slots";
import { addSubscription } from "./subscriptions";
import { setUser } from "./user-name";

const IDENTIFIERS: u64 = 65535;
const IDENTIFIERS_MAX: u32 = 65535;

function padded(bytes: u32): u32 {
  return (bytes + 3) & ~3;
}

/** Adds so many subscriptions that stand at `from`. @returns 0, DAMAGED or NO_MEMORY */
function loadFilters(session: usize, total: u32, from: usize, end: usize): i32 {
  let at = from;
  for (let i: u32 = 0; i < total; i++) {
    if (at + 12 > end) return DAMAGED;
    const bytes = load<u32>(at, 8);
    if (bytes === 0 || bytes > 65535 || at + 12 + padded(bytes) > end) return DAMAGED;
    const status = addSubscription(session, at + 12, bytes, load<u32>(at), load<u32>(at, 4));
    if (status < 0) return status;
    at += 12 + padded(bytes);
  }
  return 0;
}

/** The window as the row has it: what was sent and is not done stands in the store. */
function loadWindow(session: usize, row: usize, done: usize, released: usize): i32 {
  const head = load<u64>(row, ROW_SESSION_HEAD);
  const sent = load<u64>(row, ROW_SESSION_SENT);
  const stored = load<u64>(row, ROW_SESSION_STORED_END);
  if (sent < head || sent - head > IDENTIFIERS) return DAMAGED;
  for (let sequence = head; sequence < sent; sequence++) {
    // What is not in the store is in a page behind the index, or nobody is owed it.
    const state = sequence < stored ? NOT_LOADED : DONE;
    if (!placeEntry(session, sequence, 0, state)) return NO_MEMORY;
  }
  for (let i: u32 = 0; i < load<u32>(row, ROW_SESSION_DONE); i++) {
    const sequence = head + load<u32>(done + (i << 2));
    if (sequence >= sent) return DAMAGED;
    placeEntry(session, sequence, 0, DONE);
  }
  for (let i: u32 = 0; i < load<u32>(row, ROW_SESSION_RELEASED); i++) {
    const sequence = head + load<u32>(released + (i << 2));
    if (sequence >= sent) return DAMAGED;
    placeEntry(session, sequence, 0, AWAITS_PUBCOMP);
  }
  store<u64>(session, head, SESSION_RESEND);
  return 0;
}

function loadMarks(session: usize, row: usize): void {
  const head = load<u64>(row, ROW_SESSION_HEAD);
  store<u64>(session, head, SESSION_HEAD);
  store<u64>(session, head, SESSION_CURSOR);
  store<u64>(session, head, SESSION_RESEND);
  store<u32>(session, 1 + <u32>(head % IDENTIFIERS), SESSION_HEAD_IDENTIFIER);
  const next = load<u64>(row, ROW_SESSION_NEXT);
  store<u64>(session, next, SESSION_NEXT);
  store<u64>(session, next, SESSION_RECORDED_END);
  store<u64>(session, head, SESSION_RECORDED_HEAD);
  store<u64>(session, load<u64>(row, ROW_SESSION_STORED_END), SESSION_STORED_END);
  store<u64>(session, load<u64>(row, ROW_SESSION_UNSENT), SESSION_GAP);
  const queued = load<u32>(row, ROW_SESSION_UNSENT_COUNT);
  const bytes = load<u64>(row, ROW_SESSION_UNSENT_BYTES);
  store<u32>(session, queued, SESSION_STORED_COUNT);
  store<u32>(session, queued, SESSION_QUEUED_COUNT);
  store<u64>(session, bytes, SESSION_STORED_BYTES);
  store<u64>(session, bytes, SESSION_QUEUED_BYTES);
  count(S_QUEUED_MESSAGES, queued);
  store<u32>(session, load<u32>(row, ROW_SESSION_DROPPED), SESSION_DROPPED);
}

/** @param id  bytes of the Client Identifier @returns bytes of what follows; −1: it is cut off */
function userBytesOf(row: usize, id: u32, bytes: u32): i32 {
  if (<u32>load<u8>(row) !== ROW_SESSION_VERSION) return 0;
  const at = ROW_SESSION_BYTES + padded(id);
  if (at + 4 > bytes) return -1;
  return 4 + padded(<u32>load<u16>(row + at));
}

/** Whether the row holds all the parts that it announces. */
function isSessionRow(row: usize, bytes: u32): bool {
  if (bytes < ROW_SESSION_BYTES || <u32>load<u8>(row) - ROW_VERSION > 1) return false;
  const id = load<u32>(row, ROW_SESSION_ID_BYTES);
  const received = load<u32>(row, ROW_SESSION_RECEIVED);
  const done = load<u32>(row, ROW_SESSION_DONE);
  const released = load<u32>(row, ROW_SESSION_RELEASED);
  if (id > 65535 || received > IDENTIFIERS_MAX) return false;
  if (done > IDENTIFIERS_MAX || released > IDENTIFIERS_MAX) return false;
  const user = userBytesOf(row, id, bytes);
  if (user < 0) return false;
  return ROW_SESSION_BYTES + padded(id) + user + ((received + done + released) << 2) <= bytes;
}

function loadWhole(number: u32, row: usize, bytes: u32): i32 {
  if (!isSessionRow(row, bytes) || sessionOfNumber(number) !== 0) return DAMAGED;
  const idBytes = load<u32>(row, ROW_SESSION_ID_BYTES);
  const interval = load<u32>(row, ROW_SESSION_EXPIRY_INTERVAL);
  const version = load<u32>(row, ROW_SESSION_PROTOCOL);
  const id: usize = row + ROW_SESSION_BYTES;
  let flags: u32 = SESSION_HAS_ROW;
  let session: usize = 0;
  if (isGroupIdentifier(id, idBytes)) {
    session = groupOfRecord(id, idBytes, number);
    flags |= SESSION_IS_GROUP;
  } else if (isLeavingIdentifier(id, idBytes)) {
    session = createHidden(id, idBytes, number, SESSION_IS_LEAVING);
    flags |= SESSION_IS_LEAVING;
  } else {
    session = createSession(id, idBytes, number, version, interval);
  }
  if (session === 0) return NO_MEMORY;
  const shown = load<u32>(row, ROW_SESSION_FLAGS) >> 8;
  if (shown & ROW_SESSION_OWES_SHARED) flags |= SESSION_OWES_SHARED;
  if (shown & ROW_SESSION_IS_DURABLE) flags |= SESSION_DURABLE;
  if (shown & ROW_SESSION_IS_CONNECTED) flags |= SESSION_CARRIED;
  if (shown & ROW_SESSION_HAS_LATEST) flags |= SESSION_HAS_LATEST;
  if (shown & ROW_SESSION_IS_UNANNOUNCED) flags |= SESSION_UNANNOUNCED;
  if (load<u64>(row, ROW_SESSION_STORED_END) !== 0) flags |= SESSION_HAS_SEGMENTS;
  if (load<u32>(row, ROW_SESSION_CHUNKED) !== 0) flags |= SESSION_HAS_CHUNKS;
  store<u32>(session, flags, SESSION_FLAGS);
  loadMarks(session, row);
  setExpires(session, load<u32>(row, ROW_SESSION_EXPIRES_SECONDS));
  const user = row + ROW_SESSION_BYTES + padded(idBytes);
  const userBytes = userBytesOf(row, idBytes, bytes);
  if (userBytes !== 0) {
    const named = <u32>load<u16>(user);
    if (setUser(session, user + 4, named, <u32>load<u16>(user, 2)) < 0) return NO_MEMORY;
  }
  const received = user + userBytes;
  const done = received + (load<u32>(row, ROW_SESSION_RECEIVED) << 2);
  const released = done + (load<u32>(row, ROW_SESSION_DONE) << 2);
  for (let at = received; at < done; at += 4) {
    if (load<u32>(at) - 1 >= IDENTIFIERS_MAX) return DAMAGED;
    if (addReceived(session, load<u32>(at)) < 0) return NO_MEMORY;
  }
  const status = loadWindow(session, row, done, released);
  if (status < 0) return status;
  const filters = released + (load<u32>(row, ROW_SESSION_RELEASED) << 2);
  return loadFilters(session, load<u32>(row, ROW_SESSION_SUBSCRIPTIONS), filters, row + bytes);
}

/**
 * Makes a Session of its row.
 *
 * @param at  the row, borrowed for the call
 * @returns 0, NO_MEMORY, or −0x83: the row is damaged
 */
export function loadSession(number: u32, at: usize, bytes: u32): i32 {
  journalPause(true);
  const status = loadWhole(number, at, bytes);
  journalPause(false);
  return status;
}

/** Adds a chunk of subscriptions to a Session. @returns as loadSession() */
export function loadSubscriptions(number: u32, at: usize, bytes: u32): i32 {
  const session = sessionOfNumber(number);
  if (session === 0 || bytes < 8 || <u32>load<u8>(at) !== ROW_VERSION) return DAMAGED;
  journalPause(true);
  const status = loadFilters(session, load<u32>(at, 4), at + 8, at + bytes);
  journalPause(false);
  return status;
}

/** Keeps a retained message of its row. @returns as loadSession() */
export function loadRetained(at: usize, bytes: u32): i32 {
  if (!isMessageRow(at, bytes)) return DAMAGED;
  const message = messageOfRow(at);
  if (message === 0) return NO_MEMORY;
  const status = keepRetained(message);
  releaseMessage(message);
  return status;
}

/**
 * All is loaded and replayed: Sessions whose connection ended with the broker begin their
 * countdown, or end.
 */
export function recoveryEnd(nowSeconds: u32): void {
  let session = sessionAfter(0);
  while (session !== 0) {
    const next = sessionAfter(session);
    passDone(session);
    if (isGroup(session)) recoverGroup(session);
    session = next;
  }
  // Groups end last: one of them may be the next.
  deferEmptied(true);
  session = sessionAfter(0);
  while (session !== 0) {
    const next = sessionAfter(session);
    const flags = load<u32>(session, SESSION_FLAGS);
    if (flags & SESSION_IS_LEAVING) leaveOn(session);
    else if (flags & SESSION_CARRIED) leave(session, nowSeconds);
    session = next;
  }
  deferEmptied(false);
  endEmptied();
  for (session = sessionAfter(0); session !== 0; session = sessionAfter(session)) {
    if (!(load<u32>(session, SESSION_FLAGS) & SESSION_IS_LEAVING)) recoverEpisodes(session);
  }
}

/** What was sent last is not on record: so much of it may have been. */
function takeAsSent(session: usize): void {
  const cursor = load<u64>(session, SESSION_CURSOR);
  // Marks stand near what is owed: of what is skipped there may be a stretch before it.
  const first = max(cursor, firstUnsent(session, load<u64>(session, SESSION_NEXT)));
  const head = load<u64>(session, SESSION_HEAD);
  const windowEnd = (head === cursor ? first : head) + IDENTIFIERS;
  sendUpTo(session, min(first + SENT_AHEAD_MAX, windowEnd) - 1);
  if (load<u64>(session, SESSION_CURSOR) !== cursor) noteMoved(session, SESSION_SENT_MOVED);
}

function leave(session: usize, nowSeconds: u32): void {
  const interval = load<u32>(session, SESSION_EXPIRY_INTERVAL);
  if (!(load<u32>(session, SESSION_FLAGS) & SESSION_UNANNOUNCED)) takeAsSent(session);
  if (interval === 0) {
    endSession(session);
    return;
  }
  const due = <u64>nowSeconds + interval;
  detachSession(session, interval === u32.MAX_VALUE || due > u32.MAX_VALUE ? 0 : <u32>due);
}
