/**
 * What a Session is owed, sent as its window opens: again what an earlier connection carried, then
 * the queue, then what comes.
 *
 * A Session that ends with its connection never sends anything again, so its window has states but
 * no entries: a message that could be sent at once is not stored for it.
 */
import {
  DROPS_DENIED,
  DROPS_QUEUE_FULL,
  DROPS_TOO_LARGE,
  E_CLOSE,
  E_LOAD,
  NO_MEMORY,
  S_DENIED_READ,
  S_DROPPED_QUEUE_FULL,
} from "./abi";
import { C_FLAGS, C_OUT_BYTES, C_WANTS_PUMP, connectionOf, raise } from "./connection";
import { describedMessage, describeStored, storeDescribed } from "./described";
import { retainFlag, sendPublish, TOO_LARGE } from "./encode";
import { noteFilling } from "./episode";
import { forgetStoredQueue } from "./gap";
import { writeAcknowledgement } from "./held";
import { keepLatestIfFull } from "./latest";
import { leaveOn } from "./leave";
import { free, memoryTight } from "./memory";
import { M_EXPIRES_MS, M_QOS, M_RETAIN } from "./message";
import {
  appendEntry,
  countDrop,
  countOwnDrop,
  dropExpired,
  dropForMemory,
  dropQueued,
  E_BYTES,
  E_FLAGS,
  E_FRESH,
  E_MESSAGE,
  E_SEQUENCE,
  E_SEVERAL,
  E_SHARED,
  E_TURN,
  freeEntry,
  hasQueued,
  isGapFirst,
  makeRoom,
  newEntry,
  noteMoved,
  recordDone,
  recordEnqueued,
  recordMoved,
  takeAway,
  unqueue,
} from "./queue";
import { isDenied } from "./read-access";
import { announce, keepFresh, recordFresh, recordSent } from "./record";
import { overflowOf, ruleBytesMax, ruleMessagesMax, useRule } from "./rules";
import { isMarkUnderway, isNearMark, isUnannounced, SENT_AHEAD_MAX } from "./sent-mark";
import {
  SESSION_CONNECTION,
  SESSION_CURSOR,
  SESSION_DURABLE,
  SESSION_FLAGS,
  SESSION_HAS_FRESH,
  SESSION_HAS_LATEST,
  SESSION_HEAD,
  SESSION_IN_FLIGHT,
  SESSION_IS_GROUP,
  SESSION_IS_LEAVING,
  SESSION_LOADING,
  SESSION_NEXT,
  SESSION_NUMBER,
  SESSION_QUEUE_HEAD,
  SESSION_RECEIVE_MAXIMUM,
  SESSION_RECORDED_END,
  SESSION_RESEND,
  SESSION_RING,
  SESSION_SENT_MOVED,
  SESSION_SHARES,
  SESSION_SILENT,
  SESSION_SKIP_MOVED,
} from "./session-layout";
import { touch, waitForCommit } from "./session-lists";
import {
  DROP_OLDEST,
  freshMsMax,
  isRecording,
  nowMs,
  outgoingBytesMax,
  refusing,
  turnCommitted,
} from "./settings";
import { drain, serveGroups } from "./shared";
import { identifierOfEntry, isOfGroup } from "./shared-entry";
import {
  AWAITS_PUBACK,
  AWAITS_PUBCOMP,
  AWAITS_PUBREC,
  DONE,
  identifierOf,
  jumpHead,
  NOT_LOADED,
  openSlot,
  STATE,
  settle,
  slotAt,
  windowOpen,
} from "./slots";
import { FLAG_DUP, PUBREL } from "./spec";

/** Whether what is sent now may wait for its receiver instead of a record. */
let mayBeFresh: bool = false;

/** @param fresh  true while the publisher's PUBACK can wait for receivers */
export function allowFresh(fresh: bool): void {
  mayBeFresh = fresh && isRecording && freshMsMax !== 0;
}

function broken(record: usize): void {
  raise(E_CLOSE, connectionOf(record), 0x97);
}

/**
 * Puts the next sequence into a window that mayOpenNext() found open. Hot.
 *
 * @param entry  of a durable Session, or 0
 * @returns its Packet Identifier, or 0 where there is no memory
 */
export function openNext(session: usize, qos: u32, entry: usize): u32 {
  const sequence = load<u64>(session, SESSION_NEXT);
  const slot = openSlot(session, sequence);
  if (slot === 0) return 0;
  store<u64>(session, sequence + 1, SESSION_NEXT);
  store<u32>(slot, <u32>entry | (qos === 1 ? AWAITS_PUBACK : AWAITS_PUBREC));
  store<u32>(session, load<u32>(session, SESSION_IN_FLIGHT) + 1, SESSION_IN_FLIGHT);
  return identifierOf(session, sequence);
}

/** Whether the next message may go out at once: nothing waits before it. Hot. */
export function mayOpenNext(session: usize, record: usize): bool {
  return (
    !hasQueued(session) &&
    load<u64>(session, SESSION_RESEND) === load<u64>(session, SESSION_CURSOR) &&
    load<u32>(record, C_OUT_BYTES) < outgoingBytesMax &&
    windowOpen(session, load<u64>(session, SESSION_NEXT))
  );
}

/** Sends the described message in a window that is open, past an empty queue. Hot. */
function sendNow(
  session: usize,
  record: usize,
  qos: u32,
  retain: bool,
  several: bool,
  identifiers: u32,
): bool {
  const sequence = load<u64>(session, SESSION_NEXT);
  const durable = (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) !== 0;
  let entry: usize = 0;
  // What is a group's is kept: another member gets it where this one ends.
  if (durable || isOfGroup()) {
    entry = newEntry(sequence, qos, retain, several, identifiers);
    if (entry === 0) return dropForMemory(session);
  }
  const identifier = openNext(session, qos, entry);
  if (identifier === 0) {
    if (entry !== 0) freeEntry(entry);
    return dropForMemory(session);
  }
  const status = sendPublish(record, qos, retainFlag(retain), identifier, several, identifiers);
  if (status === NO_MEMORY) broken(record);
  if (status === TOO_LARGE) {
    if (entry !== 0) freeEntry(entry);
    store<u32>(slotAt(session, sequence), DONE);
    settle(session, sequence);
    countOwnDrop(session, DROPS_TOO_LARGE);
    return false;
  }
  if (!durable) return true;
  const isSilent = (load<u32>(session, SESSION_FLAGS) & SESSION_SILENT) !== 0;
  if (mayBeFresh && !isSilent) keepFresh(session, sequence, entry);
  else recordSent(session, entry);
  return true;
}

/** Drops the described message, counted, where a queue takes no more. */
function dropFull(session: usize): bool {
  countDrop(session, S_DROPPED_QUEUE_FULL, DROPS_QUEUE_FULL);
  return false;
}

function enqueue(session: usize, qos: u32, retain: bool, several: bool, identifiers: u32): bool {
  const flags = load<u32>(session, SESSION_FLAGS);
  // What is in memory already, for others or from a group, was admitted: the reserve is for it.
  if (memoryTight() && (qos === 0 || describedMessage() === 0)) return dropForMemory(session);
  const durable = (flags & SESSION_DURABLE) !== 0;
  if (durable && refusing !== 0 && qos === 0) return dropFull(session);
  const sequence = load<u64>(session, SESSION_NEXT);
  const entry = newEntry(sequence, qos, retain, several, identifiers);
  if (entry === 0) return dropForMemory(session);
  const bytes = load<u32>(entry, E_BYTES);
  useRule(storeDescribed());
  keepLatestIfFull(session, bytes);
  const dropOldest = overflowOf() === DROP_OLDEST;
  if (!makeRoom(session, bytes, ruleMessagesMax, ruleBytesMax, dropOldest)) {
    freeEntry(entry);
    return dropFull(session);
  }
  store<u64>(session, sequence + 1, SESSION_NEXT);
  appendEntry(session, entry);
  noteFilling(session);
  if (durable) {
    if (flags & SESSION_HAS_FRESH) recordFresh(session, true);
    recordEnqueued(session, entry, false);
    const isThere = load<u32>(session, SESSION_CONNECTION) !== 0;
    // With what is to be sent, so that this waits for one commit only.
    if (isThere && isUnannounced(session)) announce(session);
    if (qos === 2 && !(flags & SESSION_IS_GROUP)) waitForCommit(session);
  }
  const record: usize = load<u32>(session, SESSION_CONNECTION);
  if (record !== 0 && load<u32>(record, C_OUT_BYTES) >= outgoingBytesMax) wantPump(record);
  return true;
}

/** Queues the described QoS 0 message for a Session without a connection. */
export function queueUnacknowledged(
  session: usize,
  retain: bool,
  several: bool,
  identifiers: u32,
): bool {
  return enqueue(session, 0, retain, several, identifiers);
}

/**
 * Queues the described message in a group (shared.ts), as it was published.
 *
 * @returns false where it was dropped; counted
 */
export function queueForGroup(group: usize, qos: u32, retained: bool): bool {
  return enqueue(group, qos, retained, false, 0);
}

function wantPump(record: usize): void {
  store<u32>(record, load<u32>(record, C_FLAGS) | C_WANTS_PUMP, C_FLAGS);
}

/**
 * Adds the described QoS 1 or 2 message to what the Session is owed: sent at once where its window
 * is open and nothing waits before it, queued otherwise. Hot.
 *
 * @param qos  effective QoS, 1 or 2
 * @returns false where it was dropped; counted
 */
export function owe(session: usize, qos: u32, retain: bool, several: bool, identifiers: u32): bool {
  const record: usize = load<u32>(session, SESSION_CONNECTION);
  if (
    record !== 0 &&
    mayOpenNext(session, record) &&
    // Outbox rule: a QoS 2 PUBLISH to a durable Session follows its record's commit.
    (qos === 1 || !isRecording || !(load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE))
  ) {
    return sendNow(session, record, qos, retain, several, identifiers);
  }
  return enqueue(session, qos, retain, several, identifiers);
}

/** Sends the message of a queue entry or slot. */
function sendEntry(record: usize, entry: usize, identifier: u32, dup: bool): i32 {
  const flags = load<u32>(entry, E_FLAGS);
  describeStored(load<u32>(entry, E_MESSAGE));
  const retain = (flags & M_RETAIN) !== 0;
  return sendPublish(
    record,
    flags & M_QOS,
    retainFlag(retain) | (dup ? FLAG_DUP : 0),
    identifier,
    (flags & (E_SEVERAL | E_SHARED)) === E_SEVERAL,
    identifierOfEntry(entry),
  );
}

/** Asks the host to load what is in the store; loadWanted() of load.ts tells what. */
export function wantLoad(session: usize): void {
  const flags = load<u32>(session, SESSION_FLAGS);
  if (flags & SESSION_LOADING) return;
  if (raise(E_LOAD, load<u32>(session, SESSION_NUMBER), <u32>session)) {
    store<u32>(session, flags | SESSION_LOADING, SESSION_FLAGS);
  }
}

/** Drops an entry of the window that the client would not take. */
function finishTooLarge(session: usize, sequence: u64): void {
  finish(session, sequence);
  countOwnDrop(session, DROPS_TOO_LARGE);
}

/**
 * Sends the PUBRELs again that an earlier connection carried: the Receive Maximum holds no PUBREL
 * back, only the PUBLISHes among which they stand [MQTT-4.4.0-1] [MQTT-4.9.0-3].
 */
export function resendReleases(session: usize): void {
  const record: usize = load<u32>(session, SESSION_CONNECTION);
  const cursor = load<u64>(session, SESSION_CURSOR);
  for (let sequence = load<u64>(session, SESSION_HEAD); sequence < cursor; sequence++) {
    if ((load<u32>(slotAt(session, sequence)) & STATE) !== AWAITS_PUBCOMP) continue;
    if (!writeAcknowledgement(record, PUBREL, identifierOf(session, sequence), 0)) {
      broken(record);
      return;
    }
  }
}

/**
 * Sends one message of an earlier connection again, with its identifier [MQTT-4.4.0-1].
 *
 * @returns false where it must be loaded first
 */
function resendOne(session: usize, record: usize): bool {
  const sequence = load<u64>(session, SESSION_RESEND);
  const slot = slotAt(session, sequence);
  const state = load<u32>(slot) & STATE;
  if (state === NOT_LOADED) {
    wantLoad(session);
    return false;
  }
  store<u64>(session, sequence + 1, SESSION_RESEND);
  if (state === DONE) return true;
  store<u32>(session, load<u32>(session, SESSION_IN_FLIGHT) + 1, SESSION_IN_FLIGHT);
  if (state === AWAITS_PUBCOMP) return true; // resendReleases() did it.
  const entry: usize = load<u32>(slot) & ~STATE;
  if (isDenied(session, entry)) {
    finish(session, sequence);
    countDrop(session, S_DENIED_READ, DROPS_DENIED);
    return true;
  }
  const status = sendEntry(record, entry, identifierOf(session, sequence), true);
  if (status === NO_MEMORY) broken(record);
  if (status === TOO_LARGE) finishTooLarge(session, sequence);
  return true;
}

/** Sends a queued QoS 0 message: it is done with that. */
function sendQos0(session: usize, record: usize): void {
  const entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
  const status = sendEntry(record, entry, 0, false);
  takeAway(session);
  if (status === NO_MEMORY) broken(record);
  if (status === TOO_LARGE) countOwnDrop(session, DROPS_TOO_LARGE);
}

/**
 * Nothing is owed in a stretch so long that no mark before it is near what follows: the window ends
 * behind it, where a mark may stand.
 *
 * @returns false: no memory
 */
function passStretch(session: usize, to: u64): bool {
  // Whatever the store has of it is not owed.
  noteMoved(session, SESSION_SKIP_MOVED);
  recordMoved(session);
  if (load<u64>(session, SESSION_HEAD) === load<u64>(session, SESSION_CURSOR)) {
    jumpHead(session, to);
    return true;
  }
  const slot = openSlot(session, to - 1);
  if (slot === 0) return false;
  store<u32>(slot, DONE);
  return true;
}

/** Sends the first queued message. @returns false where it must wait */
function sendQueued(session: usize, record: usize): bool {
  if (isGapFirst(session)) {
    wantLoad(session);
    return false;
  }
  let entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
  const flags = load<u32>(entry, E_FLAGS);
  const sequence = load<u64>(entry, E_SEQUENCE);
  const expires = load<u64>(load<u32>(entry, E_MESSAGE), M_EXPIRES_MS);
  if (expires !== 0 && expires <= nowMs) {
    dropExpired(session);
    return true;
  }
  if (isDenied(session, entry)) {
    dropQueued(session, S_DENIED_READ, DROPS_DENIED);
    return true;
  }
  if ((flags & M_QOS) === 0) {
    sendQos0(session, record);
    return true;
  }
  if (!windowOpen(session, sequence)) return false;
  const durable = (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) !== 0;
  if (durable && (flags & M_QOS) === 2 && <i32>(load<u32>(entry, E_TURN) - turnCommitted) > 0) {
    waitForCommit(session);
    return false;
  }
  if (durable && isRecording && !isNearMark(session, sequence)) {
    const isFar = sequence - load<u64>(session, SESSION_CURSOR) >= SENT_AHEAD_MAX;
    if (isFar && !passStretch(session, sequence)) return false;
    if (!isMarkUnderway(session)) announce(session);
    waitForCommit(session);
    return false;
  }
  if (durable) {
    // What stands in between was replaced, though the store may have it: it was not sent.
    const isBehind = sequence > load<u64>(session, SESSION_CURSOR);
    if (isBehind && load<u32>(session, SESSION_FLAGS) & SESSION_HAS_LATEST) {
      noteMoved(session, SESSION_SKIP_MOVED);
    }
    noteMoved(session, SESSION_SENT_MOVED);
  }
  const slot = openSlot(session, sequence);
  if (slot === 0) return false;
  entry = unqueue(session);
  const state = (flags & M_QOS) === 1 ? AWAITS_PUBACK : AWAITS_PUBREC;
  store<u32>(slot, <u32>entry | state);
  store<u32>(session, load<u32>(session, SESSION_IN_FLIGHT) + 1, SESSION_IN_FLIGHT);
  const status = sendEntry(record, entry, identifierOf(session, sequence), false);
  if (status === NO_MEMORY) broken(record);
  if (status === TOO_LARGE) {
    finishTooLarge(session, sequence);
  } else if (!durable && !(flags & E_SHARED)) {
    store<u32>(slot, state);
    freeEntry(entry);
  }
  return true;
}

/** Sends what the window and the connection's output take: first again, then anew. */
export function pump(session: usize): void {
  const record: usize = load<u32>(session, SESSION_CONNECTION);
  if (record === 0) {
    const flags = load<u32>(session, SESSION_FLAGS);
    if (flags & SESSION_IS_GROUP) drain(session);
    else if (flags & SESSION_IS_LEAVING) leaveOn(session);
    return;
  }
  for (;;) {
    const resending = load<u64>(session, SESSION_RESEND) < load<u64>(session, SESSION_CURSOR);
    if (!resending && !hasQueued(session)) {
      if (load<u32>(session, SESSION_SHARES) !== 0) serveGroups(session, record);
      return;
    }
    if (load<u32>(record, C_OUT_BYTES) >= outgoingBytesMax) {
      wantPump(record);
      return;
    }
    if (resending) {
      const inFlight = load<u32>(session, SESSION_IN_FLIGHT);
      if (inFlight >= load<u32>(session, SESSION_RECEIVE_MAXIMUM)) return;
      if (!resendOne(session, record)) return;
    } else if (!sendQueued(session, record)) {
      return;
    }
  }
}

/** Marks a sequence of the window done, and frees what it kept. */
export function finish(session: usize, sequence: u64): void {
  const slot = slotAt(session, sequence);
  const entry: usize = load<u32>(slot) & ~STATE;
  store<u32>(slot, DONE);
  store<u32>(session, load<u32>(session, SESSION_FLAGS) & ~SESSION_SILENT, SESSION_FLAGS);
  const isRecorded = sequence < load<u64>(session, SESSION_RECORDED_END);
  const isFresh = entry !== 0 && (load<u32>(entry, E_FLAGS) & E_FRESH) !== 0;
  if (entry !== 0) freeEntry(entry);
  const isFirst = sequence === load<u64>(session, SESSION_HEAD);
  settle(session, sequence);
  if (!isRecorded || isFresh || !(load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE)) return;
  // In order, as nearly always, one record a page says how far it is.
  if (isFirst) touch(session);
  else recordDone(session, sequence);
}

/** PUBREC came: the message is not needed any more, a PUBCOMP is due [MQTT-4.3.3-5]. */
export function release(session: usize, sequence: u64): void {
  const slot = slotAt(session, sequence);
  const entry: usize = load<u32>(slot) & ~STATE;
  store<u32>(slot, AWAITS_PUBCOMP);
  if (entry !== 0) freeEntry(entry);
}

/** Frees all that is owed. */
export function dropWindow(session: usize): void {
  forgetStoredQueue(session);
  while (load<u32>(session, SESSION_QUEUE_HEAD) !== 0) freeEntry(unqueue(session));
  const ring = load<u32>(session, SESSION_RING);
  if (ring === 0) return;
  const cursor = load<u64>(session, SESSION_CURSOR);
  for (let at = load<u64>(session, SESSION_HEAD); at < cursor; at++) {
    const entry: usize = load<u32>(slotAt(session, at)) & ~STATE;
    if (entry !== 0) freeEntry(entry);
  }
  free(ring);
  store<u32>(session, 0, SESSION_RING);
}
