/**
 * Sessions: found by Client Identifier, attached to a Network Connection and detached from it.
 *
 * Records lie in pages of their own (memory.ts), so an address that outlived its Session still
 * points to a record; the number tells whether it is the same Session.
 */
import { C_SESSION, recordOf } from "./connection";
import { setConnection, uncountEpisodes } from "./episode";
import { freeWheel, setExpires, stopExpiry } from "./expiry";
import { endEmptied } from "./groups";
import { dropAccess, endGuard, startGuard } from "./guard";
import { noteEnded } from "./index-changes";
import { isJournalPaused, journalClosed, journalEnded, journalOpened } from "./journal";
import { keepLatestOfAll } from "./latest";
import { leaveOn, startLeaving } from "./leave";
import { endGroup, welcomeMembers } from "./members";
import { alloc, allocStable, free, STABLE_BYTES } from "./memory";
import { hasQueued, recordMoved } from "./queue";
import { dropReceived } from "./received";
import { announce, recordFresh } from "./record";
import { dropKeptJobs, keepRetainedJobs, takeRetainedJobs } from "./retained-jobs";
import { unannounce } from "./sent-mark";
import {
  SESSION_CARRIED,
  SESSION_CONNECTION,
  SESSION_CURSOR,
  SESSION_DROPS,
  SESSION_DURABLE,
  SESSION_EXPIRY_INTERVAL,
  SESSION_FLAGS,
  SESSION_HAS_FRESH,
  SESSION_HAS_ROW,
  SESSION_HAS_SEGMENTS,
  SESSION_HEAD,
  SESSION_ID_AT,
  SESSION_ID_BYTES,
  SESSION_ID_HASH,
  SESSION_ID_NEXT,
  SESSION_IS_GROUP,
  SESSION_IS_LEAVING,
  SESSION_NUMBER,
  SESSION_NUMBER_NEXT,
  SESSION_OWES_SHARED,
  SESSION_RECEIVE_MAXIMUM,
  SESSION_SENT_MOVED,
  SESSION_VERSION,
} from "./session-layout";
import { isListed, keepListed } from "./session-lists";
import { inFlightMax } from "./settings";
import { keepLatestOfGroups } from "./shared";
import { leaveSlice } from "./slices";
import { restartWindow, startWindow } from "./slots";
import { VERSION_5 } from "./spec";
import { dropSubscriptions } from "./topic-tree";
import { dropWindow, resendReleases } from "./window";

/** Buckets of a new table; it doubles when there are more Sessions than buckets. */
const BUCKETS_MIN: u32 = 1024;

/** Heads by hash of the Client Identifier; behind them, as many heads by number. */
let buckets: usize = 0;
let bucketMask: u32 = 0;
let sessions: u32 = 0;
/** Those of them that no client has: groups, and what is leaving. */
let hidden: u32 = 0;
/** Numbers past this one are given out while the store is read, to groups that wait for theirs. */
export const NUMBER_MAX: u32 = 0xefffffff;
let nextNumber: u32 = 1;
let hashSeed: u64 = ((<u64>0x9e3779b9) << 32) | 0x7f4a7c15;

/** @param seed  makes the buckets of Client Identifiers unguessable */
export function setSessionSeed(seed: u64): void {
  hashSeed = seed | 1;
}

/** Hash of a Client Identifier. */
export function hashOf(at: usize, bytes: u32): u32 {
  let hash = hashSeed ^ bytes;
  for (let i: u32 = 0; i < bytes; i++) {
    hash = (hash ^ load<u8>(at + i)) * 0x100000001b3;
    hash ^= hash >> 29;
  }
  return <u32>(hash ^ (hash >> 32));
}

function sameBytes(one: usize, other: usize, bytes: u32): bool {
  return memory.compare(one, other, bytes) === 0;
}

function idBucket(hash: u32): usize {
  return buckets + ((hash & bucketMask) << 2);
}

function numberBucket(number: u32): usize {
  return buckets + ((bucketMask + 1 + (number & bucketMask)) << 2);
}

function growBuckets(): bool {
  const total = buckets === 0 ? BUCKETS_MIN : (bucketMask + 1) << 1;
  const grown = alloc(total << 3);
  if (grown === 0) return buckets !== 0;
  memory.fill(grown, 0, total << 3);
  const before = buckets;
  const beforeTotal = bucketMask + 1;
  buckets = grown;
  bucketMask = total - 1;
  if (before === 0) return true;
  for (let i: u32 = beforeTotal; i < beforeTotal << 1; i++) {
    let session: usize = load<u32>(before + (i << 2));
    while (session !== 0) {
      const next: usize = load<u32>(session, SESSION_NUMBER_NEXT);
      linkBuckets(session);
      session = next;
    }
  }
  free(before);
  return true;
}

function linkBuckets(session: usize): void {
  const byId = idBucket(load<u32>(session, SESSION_ID_HASH));
  store<u32>(session, load<u32>(byId), SESSION_ID_NEXT);
  store<u32>(byId, <u32>session);
  linkNumber(session);
}

function linkNumber(session: usize): void {
  const byNumber = numberBucket(load<u32>(session, SESSION_NUMBER));
  store<u32>(session, load<u32>(byNumber), SESSION_NUMBER_NEXT);
  store<u32>(byNumber, <u32>session);
}

/** Sessions that clients have. */
export function sessionCount(): u32 {
  return sessions - hidden;
}

/** Number that the next Session gets. */
export function nextSessionNumber(): u32 {
  return nextNumber;
}

/** @param next  at least the number that the next Session is to get */
export function setNumbers(next: u32): void {
  nextNumber = max(nextNumber, next);
}

/** The Session behind this one, in no order; behind 0 the first. @returns it, or 0 */
export function sessionAfter(session: usize): usize {
  if (buckets === 0) return 0;
  let bucket: u32 = 0;
  if (session !== 0) {
    const next = load<u32>(session, SESSION_NUMBER_NEXT);
    if (next !== 0) return next;
    bucket = (load<u32>(session, SESSION_NUMBER) & bucketMask) + 1;
  }
  for (; bucket <= bucketMask; bucket++) {
    const first = load<u32>(buckets + ((bucketMask + 1 + bucket) << 2));
    if (first !== 0) return first;
  }
  return 0;
}

/** The Session of a Client Identifier. @returns its record, or 0 */
export function findSession(at: usize, bytes: u32): usize {
  if (buckets === 0) return 0;
  const hash = hashOf(at, bytes);
  let session: usize = load<u32>(buckets + ((hash & bucketMask) << 2));
  while (session !== 0) {
    if (
      load<u32>(session, SESSION_ID_HASH) === hash &&
      load<u32>(session, SESSION_ID_BYTES) === bytes &&
      sameBytes(load<u32>(session, SESSION_ID_AT), at, bytes)
    ) {
      return session;
    }
    session = load<u32>(session, SESSION_ID_NEXT);
  }
  return 0;
}

/** The Session of a number. @returns its record, or 0 */
export function sessionOfNumber(number: u32): usize {
  if (buckets === 0) return 0;
  let session: usize = load<u32>(numberBucket(number));
  while (session !== 0 && load<u32>(session, SESSION_NUMBER) !== number) {
    session = load<u32>(session, SESSION_NUMBER_NEXT);
  }
  return session;
}

function unlink(session: usize): void {
  let at = idBucket(load<u32>(session, SESSION_ID_HASH));
  while (load<u32>(at) !== <u32>session) at = load<u32>(at) + SESSION_ID_NEXT;
  store<u32>(at, load<u32>(session, SESSION_ID_NEXT));
  unlinkNumber(session);
}

function unlinkNumber(session: usize): void {
  let at = numberBucket(load<u32>(session, SESSION_NUMBER));
  while (load<u32>(at) !== <u32>session) at = load<u32>(at) + SESSION_NUMBER_NEXT;
  store<u32>(at, load<u32>(session, SESSION_NUMBER_NEXT));
}

/**
 * Makes a Session for a Client Identifier that has none.
 *
 * @param number  0: the next free one; otherwise the number that a journal gives it
 * @param expiryInterval  seconds; 0 = it ends with its connection
 * @returns its record, or 0 where there is no memory
 */
export function createSession(
  at: usize,
  bytes: u32,
  number: u32,
  version: u32,
  expiryInterval: u32,
): usize {
  if (buckets === 0 || sessions > bucketMask) {
    if (!growBuckets()) return 0;
  }
  const session = allocStable();
  if (session === 0) return 0;
  // The zero behind it parts it from a user name: user-name.ts.
  const id = alloc(bytes + 1);
  if (id === 0) {
    free(session);
    return 0;
  }
  memory.fill(session, 0, STABLE_BYTES);
  memory.copy(id, at, bytes);
  store<u8>(id + bytes, 0);
  if (number === 0) number = nextNumber;
  if (number >= nextNumber && number <= NUMBER_MAX) nextNumber = number + 1;
  store<u32>(session, number, SESSION_NUMBER);
  store<u32>(session, <u32>id, SESSION_ID_AT);
  store<u32>(session, bytes, SESSION_ID_BYTES);
  store<u32>(session, hashOf(at, bytes), SESSION_ID_HASH);
  store<u32>(session, version, SESSION_VERSION);
  store<u32>(session, expiryInterval, SESSION_EXPIRY_INTERVAL);
  if (expiryInterval !== 0) store<u32>(session, SESSION_DURABLE | SESSION_CARRIED, SESSION_FLAGS);
  startWindow(session);
  linkBuckets(session);
  sessions++;
  if (expiryInterval !== 0) recordOpened(session);
  return session;
}

/** The Session is no client's: it does not count as one. @param flag  SESSION_IS_… */
export function hide(session: usize, flag: u32): void {
  const flags = load<u32>(session, SESSION_FLAGS) & ~SESSION_CARRIED;
  store<u32>(session, flags | flag, SESSION_FLAGS);
  hidden++;
}

/** Makes a Session that no client has, not durable yet. @returns its record, or 0: no memory */
export function createHidden(at: usize, bytes: u32, number: u32, flag: u32): usize {
  const session = createSession(at, bytes, number, VERSION_5, 0);
  if (session === 0) return 0;
  store<u32>(session, u32.MAX_VALUE, SESSION_EXPIRY_INTERVAL);
  hide(session, flag);
  return session;
}

/** Gives a Session another number; 0: the next free one. */
export function renumber(session: usize, number: u32): void {
  unlinkNumber(session);
  store<u32>(session, number !== 0 ? number : nextNumber, SESSION_NUMBER);
  setNumbers(load<u32>(session, SESSION_NUMBER) + 1);
  linkNumber(session);
}

/** Gives a Session another Client Identifier, or without memory the empty one. */
export function rename(session: usize, at: usize, bytes: u32): void {
  unlink(session);
  const identifier = alloc(bytes);
  if (identifier !== 0) {
    memory.copy(identifier, at, bytes);
    free(load<u32>(session, SESSION_ID_AT));
    store<u32>(session, <u32>identifier, SESSION_ID_AT);
  }
  store<u32>(session, identifier !== 0 ? bytes : 0, SESSION_ID_BYTES);
  store<u32>(session, hashOf(at, bytes), SESSION_ID_HASH);
  linkBuckets(session);
}

/**
 * Sets how long the Session outlives its connection.
 *
 * @param expiryInterval  seconds; 0 = it ends with its connection
 */
export function setExpiry(session: usize, expiryInterval: u32, version: u32): void {
  store<u32>(session, expiryInterval, SESSION_EXPIRY_INTERVAL);
  store<u32>(session, version, SESSION_VERSION);
  // Whoever sets it is connected, or about to be: the countdown begins when that ends.
  stopExpiry(session);
  const flags = load<u32>(session, SESSION_FLAGS) | SESSION_CARRIED;
  store<u32>(session, flags, SESSION_FLAGS);
  // A durable Session that is to end with its connection stays durable until then.
  if (expiryInterval !== 0) store<u32>(session, flags | SESSION_DURABLE, SESSION_FLAGS);
  if (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) recordOpened(session);
}

/** Its client came: what was sent before that stands before it, and what is due is announced. */
function recordOpened(session: usize): void {
  if (load<u32>(session, SESSION_FLAGS) & SESSION_SENT_MOVED) recordMoved(session);
  journalOpened(session);
  unannounce(session);
  // Where something waits to be sent again, that comes first, and may take long.
  const isIdle = load<u64>(session, SESSION_HEAD) === load<u64>(session, SESSION_CURSOR);
  if (isIdle && hasQueued(session)) announce(session);
}

/**
 * Lets a connection carry the Session; pump() then sends what is owed.
 *
 * @param receiveMaximum  of the client, 1 … 65535
 */
export function attachSession(session: usize, connection: u32, receiveMaximum: u32): void {
  const record = recordOf(connection);
  store<u32>(record, <u32>session, C_SESSION);
  setConnection(session, record);
  store<u32>(session, min(receiveMaximum, inFlightMax), SESSION_RECEIVE_MAXIMUM);
  startGuard(session);
  restartWindow(session);
  resendReleases(session);
  keepLatestOfAll(session);
  keepLatestOfGroups(session);
  welcomeMembers(session);
  takeRetainedJobs(session, record);
}

/**
 * The connection is gone; the Session stays.
 *
 * @param expiresSeconds  Unix time at which it expires if it is not continued; 0 = never
 */
export function detachSession(session: usize, expiresSeconds: u32): void {
  const record: usize = load<u32>(session, SESSION_CONNECTION);
  if (record !== 0) {
    leaveSlice(record, session);
    if (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) keepRetainedJobs(record, session);
    store<u32>(record, 0, C_SESSION);
  }
  setConnection(session, 0);
  endGuard(session);
  setExpires(session, expiresSeconds);
  if (load<u32>(session, SESSION_FLAGS) & SESSION_HAS_FRESH) recordFresh(session, true);
  // In the page that says so: from then on nobody takes more as sent than what is on record.
  if (load<u32>(session, SESSION_FLAGS) & SESSION_SENT_MOVED) recordMoved(session);
  const flags = load<u32>(session, SESSION_FLAGS) & ~SESSION_CARRIED;
  store<u32>(session, flags, SESSION_FLAGS);
  if (flags & SESSION_DURABLE) journalClosed(session);
}

/**
 * Ends the Session: its State is gone, and its number is never used again [MQTT-3.1.2-4]. What it
 * was owed as the member of groups goes to other members first.
 */
export function endSession(session: usize): void {
  const flags = load<u32>(session, SESSION_FLAGS);
  const owes = (flags & (SESSION_OWES_SHARED | SESSION_IS_LEAVING)) === SESSION_OWES_SHARED;
  if (owes && !isJournalPaused()) {
    startLeaving(session);
    leaveOn(session);
  } else {
    forget(session, flags);
  }
  endEmptied();
}

function forget(session: usize, flags: u32): void {
  const number = load<u32>(session, SESSION_NUMBER);
  const record: usize = load<u32>(session, SESSION_CONNECTION);
  if (record !== 0) store<u32>(record, 0, C_SESSION);
  setConnection(session, 0);
  stopExpiry(session);
  dropSubscriptions(session);
  if (flags & SESSION_IS_GROUP) endGroup(session);
  dropWindow(session);
  dropReceived(session);
  dropAccess(session);
  dropKeptJobs(session);
  unlink(session);
  // What went out of its queue may have ended its episodes.
  uncountEpisodes(session, load<u32>(session, SESSION_FLAGS));
  free(load<u32>(session, SESSION_ID_AT));
  const drops: usize = load<u32>(session, SESSION_DROPS);
  if (drops !== 0) free(drops);
  sessions--;
  if (flags & (SESSION_IS_GROUP | SESSION_IS_LEAVING)) hidden--;
  if (flags & SESSION_DURABLE) journalEnded(number);
  if (flags & SESSION_HAS_ROW) noteEnded(number, (flags & SESSION_HAS_SEGMENTS) !== 0);
  store<u32>(session, 0, SESSION_NUMBER);
  if (isListed(session)) keepListed(session);
  else free(session);
}

/** Gives the table of Client Identifiers back where no Session is left. */
export function freeSessionTable(): void {
  if (sessions !== 0 || buckets === 0) return;
  freeWheel();
  free(buckets);
  buckets = 0;
}
