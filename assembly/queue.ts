/**
 * The queue of a Session: messages that are owed and were not sent yet, oldest first.
 *
 *   entry: ┌─────────┬───────┬─────────────┬──────┬──────┬───────┬──────────────┐
 *          │ message │ flags │ identifiers │ turn │ next │ bytes │ sequence u64 │   u32 unless said
 *          └─────────┴───────┴─────────────┴──────┴──────┴───────┴──────────────┘
 *
 *      cursor            gap             stored end        next
 *   ─────┬────────────────┬──────────────────┬───────────────┬────▶ sequence
 *        │ in memory and  │ in the store     │ in memory and │
 *        │ in the store   │ only             │ the journal   │
 *
 * The list has the first and the last part; the gap between them is loaded as the first is sent.
 */
import {
  DROPS_BYTES,
  DROPS_EXPIRED,
  DROPS_MEMORY,
  DROPS_QUEUE_FULL,
  J_DONE,
  J_FLAG_SENT,
  J_FLAG_SHARED,
  J_SENT,
  J_SKIPPED,
  S_DROPPED_EXPIRED,
  S_DROPPED_MEMORY,
  S_DROPPED_QUEUE_FULL,
  S_QUEUED_MESSAGES,
} from "./abi";
import { storeDescribed } from "./described";
import { endEpisodes, noteFull } from "./episode";
import { passGap, skipGapFirst } from "./gap";
import { unwait } from "./held";
import { journalEnqueued, journalSequence, recordedTurn } from "./journal";
import { alloc, free } from "./memory";
import {
  holdMessage,
  M_EXPIRES_MS,
  M_PAYLOAD_BYTES,
  M_PROPERTIES_BYTES,
  M_QOS,
  M_RETAIN,
  M_TOPIC_BYTES,
  ROOM_BYTES,
  releaseMessage,
} from "./message";
import { markRecorded } from "./sent-mark";
import {
  SESSION_CURSOR,
  SESSION_DROPPED,
  SESSION_DROPS,
  SESSION_DURABLE,
  SESSION_EXPIRES,
  SESSION_FILLS,
  SESSION_FLAGS,
  SESSION_FULL,
  SESSION_GAP,
  SESSION_GAP_AFTER,
  SESSION_NEXT,
  SESSION_QUEUE_HEAD,
  SESSION_QUEUE_TAIL,
  SESSION_QUEUED_BYTES,
  SESSION_QUEUED_COUNT,
  SESSION_RECORDED_END,
  SESSION_SENT_MOVED,
  SESSION_SKIP_MOVED,
  SESSION_STORED_BYTES,
  SESSION_STORED_COUNT,
  SESSION_STORED_END,
  SESSION_TRIM_MIDDLE,
} from "./session-layout";
import { touch } from "./session-lists";
import { count, nowMs, turnCommitted } from "./settings";
import { isOfGroup, listOfGroup } from "./shared-entry";

export const E_MESSAGE: u32 = 0;
/** QoS in bits 0 and 1, RETAIN in bit 2 as in message.ts, and what follows. */
export const E_FLAGS: u32 = 4;
export const E_IDENTIFIERS: u32 = 8;
/** Turn of its record; while it is fresh, low 32 bits of the millisecond it was sent. */
export const E_TURN: u32 = 12;
export const E_NEXT: u32 = 16;
export const E_BYTES: u32 = 20;
export const E_SEQUENCE: u32 = 24;
const ENTRY_BYTES: u32 = 32;

// E_FLAGS.
/** Several Subscription Identifiers. */
export const E_SEVERAL: u32 = 8;
/** Sent, and no record names it: the publisher's PUBACK waits for its own, or for the record's. */
export const E_FRESH: u32 = 16;
/** It came while its client was away, and is the newest of a topic that keeps only that. */
export const E_LAST: u32 = 32;
/** A newer one took its place: it is about to be dropped. */
export const E_REPLACED: u32 = 64;
/**
 * It came through a shared subscription: `identifiers` is a list, of the number of the group and
 * the Subscription Identifier, if there is one. As in journal and index.
 */
export const E_SHARED: u32 = J_FLAG_SHARED;

/** Entries looked at for an expired one before the oldest is dropped. */
const EXPIRED_LOOKED_AT_MAX: u32 = 64;

/** It lies in front of its message, in the same block. */
const E_IN_ROOM: u32 = 64;

/** What a queued message counts besides its bytes. */
export const QUEUED_OVERHEAD_BYTES: u32 = 96;

export function freeEntry(entry: usize): void {
  const flags = load<u32>(entry, E_FLAGS);
  const message: usize = load<u32>(entry, E_MESSAGE);
  if (flags & E_FRESH) unwait(message);
  releaseMessage(message);
  if (flags & E_IN_ROOM) return;
  if (flags & E_SEVERAL) free(load<u32>(entry, E_IDENTIFIERS));
  free(entry);
}

/** Makes an entry of QoS 1 in the room in front of a message, whose reference it takes over. */
export function entryInRoom(room: usize, sequence: u64, counted: u32): void {
  store<u32>(room, <u32>room + ROOM_BYTES, E_MESSAGE);
  store<u32>(room, 1 | E_IN_ROOM, E_FLAGS);
  store<u32>(room, 0, E_IDENTIFIERS);
  store<u32>(room, turnCommitted, E_TURN);
  store<u32>(room, 0, E_NEXT);
  store<u32>(room, counted + QUEUED_OVERHEAD_BYTES, E_BYTES);
  store<u64>(room, sequence, E_SEQUENCE);
}

/** Makes an entry for the described message. @returns its address, or 0 */
export function newEntry(
  sequence: u64,
  qos: u32,
  retain: bool,
  several: bool,
  identifiers: u32,
): usize {
  const message = storeDescribed();
  if (message === 0) return 0;
  const flags = qos | (retain ? M_RETAIN : 0);
  if (!isOfGroup()) return entryFor(message, sequence, flags, several, identifiers);
  return entryFor(message, sequence, flags | E_SHARED, true, listOfGroup(identifiers));
}

/**
 * Makes an entry for a stored message, which it holds.
 *
 * @param flags  QoS, RETAIN and E_SHARED
 * @param identifiers  as for sendPublish() of encode.ts; copied
 * @returns its address, or 0
 */
export function entryFor(
  message: usize,
  sequence: u64,
  flags: u32,
  several: bool,
  identifiers: u32,
): usize {
  const entry = alloc(ENTRY_BYTES);
  if (entry === 0) return 0;
  let kept = identifiers;
  if (several) {
    const bytes = 4 + (load<u32>(identifiers) << 2);
    kept = <u32>alloc(bytes);
    if (kept === 0) {
      free(entry);
      return 0;
    }
    memory.copy(kept, identifiers, bytes);
  }
  holdMessage(message);
  const bytes =
    load<u32>(message, M_TOPIC_BYTES) +
    load<u32>(message, M_PROPERTIES_BYTES) +
    load<u32>(message, M_PAYLOAD_BYTES);
  store<u32>(entry, <u32>message, E_MESSAGE);
  store<u32>(entry, flags | (several ? E_SEVERAL : 0), E_FLAGS);
  store<u32>(entry, kept, E_IDENTIFIERS);
  store<u32>(entry, turnCommitted, E_TURN);
  store<u32>(entry, 0, E_NEXT);
  store<u32>(entry, bytes + QUEUED_OVERHEAD_BYTES, E_BYTES);
  store<u64>(entry, sequence, E_SEQUENCE);
  return entry;
}

/** Records that the message is owed, and whether it was sent. */
export function recordEnqueued(session: usize, entry: usize, sent: bool): void {
  const flags = load<u32>(entry, E_FLAGS);
  const sequence = load<u64>(entry, E_SEQUENCE);
  // What was skipped before it was not sent.
  if (sent && load<u32>(session, SESSION_FLAGS) & SESSION_SKIP_MOVED) recordMoved(session);
  journalEnqueued(
    session,
    sequence,
    load<u32>(entry, E_MESSAGE),
    (flags & (M_QOS | M_RETAIN | E_SHARED)) | (sent ? J_FLAG_SENT : 0),
    (flags & E_SEVERAL) !== 0,
    load<u32>(entry, E_IDENTIFIERS),
  );
  store<u32>(entry, recordedTurn(), E_TURN);
  store<u64>(session, sequence + 1, SESSION_RECORDED_END);
}

/**
 * Counts a drop for the whole broker and for the Session.
 *
 * @param counter  S_DROPPED_…
 * @param reason  DROPS_…
 */
export function countDrop(session: usize, counter: u32, reason: u32): void {
  count(counter, 1);
  countOwnDrop(session, reason);
}

/** Counts a drop for the Session alone. */
export function countOwnDrop(session: usize, reason: u32): void {
  store<u32>(session, load<u32>(session, SESSION_DROPPED) + 1, SESSION_DROPPED);
  let drops: usize = load<u32>(session, SESSION_DROPS);
  if (drops === 0) {
    drops = alloc(DROPS_BYTES);
    if (drops === 0) return;
    memory.fill(drops, 0, DROPS_BYTES);
    store<u32>(session, <u32>drops, SESSION_DROPS);
  }
  store<u32>(drops + reason, load<u32>(drops + reason) + 1);
}

export function dropForMemory(session: usize): bool {
  countDrop(session, S_DROPPED_MEMORY, DROPS_MEMORY);
  return false;
}

/** Whether some of the queue is in the store only. */
export function hasGap(session: usize): bool {
  return load<u64>(session, SESSION_GAP) < load<u64>(session, SESSION_STORED_END);
}

/** Whether something waits: its count may be an estimate, and say that nothing does. Hot. */
export function hasQueued(session: usize): bool {
  return load<u32>(session, SESSION_QUEUE_HEAD) !== 0 || hasGap(session);
}

/** Whether what is to be sent next is in the store only. */
export function isGapFirst(session: usize): bool {
  return load<u32>(session, SESSION_GAP_AFTER) === 0 && hasGap(session);
}

/**
 * So many messages and bytes left the queue; a correction may add, and be negative. Of what is
 * stored the count is an estimate, and never less than nothing.
 */
export function uncount(session: usize, messages: i32, bytes: i64, isStored: bool): void {
  let gone = messages;
  let goneBytes = bytes;
  if (isStored) {
    const stored = <i32>load<u32>(session, SESSION_STORED_COUNT);
    const storedBytes = <i64>load<u64>(session, SESSION_STORED_BYTES);
    gone = min(gone, stored);
    goneBytes = min(goneBytes, storedBytes);
    store<u32>(session, stored - gone, SESSION_STORED_COUNT);
    store<u64>(session, storedBytes - goneBytes, SESSION_STORED_BYTES);
  }
  const left = <i32>load<u32>(session, SESSION_QUEUED_COUNT) - gone;
  store<u32>(session, left, SESSION_QUEUED_COUNT);
  const bytesLeft = <i64>load<u64>(session, SESSION_QUEUED_BYTES) - goneBytes;
  store<u64>(session, bytesLeft, SESSION_QUEUED_BYTES);
  count(S_QUEUED_MESSAGES, <u64>-(<i64>gone));
}

/** What leaves the queue leaves it to the next message: it has no more room than before. */
let makesRoom: bool = false;

/** Takes the first entry off the list. */
export function unqueue(session: usize): usize {
  const entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
  const next = load<u32>(entry, E_NEXT);
  store<u32>(session, next, SESSION_QUEUE_HEAD);
  if (next === 0) store<u32>(session, 0, SESSION_QUEUE_TAIL);
  if (load<u32>(session, SESSION_GAP_AFTER) === <u32>entry) {
    store<u32>(session, 0, SESSION_GAP_AFTER);
  }
  const isStored = load<u64>(entry, E_SEQUENCE) < load<u64>(session, SESSION_STORED_END);
  uncount(session, 1, load<u32>(entry, E_BYTES), isStored);
  const flags = load<u32>(session, SESSION_FLAGS);
  if (!makesRoom && flags & (SESSION_FULL | SESSION_FILLS)) endEpisodes(session, flags);
  return entry;
}

/** Records that a sequence is done, behind what was sent before it: a gap has no place for it. */
export function recordDone(session: usize, sequence: u64): void {
  const flags = load<u32>(session, SESSION_FLAGS);
  if (flags & (SESSION_SENT_MOVED | SESSION_SKIP_MOVED)) recordMoved(session);
  journalSequence(J_DONE, session, sequence);
}

/** Takes the first entry away for good, and records that. */
export function takeAway(session: usize): void {
  const entry = unqueue(session);
  if (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) {
    recordDone(session, load<u64>(entry, E_SEQUENCE));
  }
  freeEntry(entry);
}

/** As takeAway(), for a reason of its own. */
export function dropQueued(session: usize, counter: u32, reason: u32): void {
  takeAway(session);
  countDrop(session, counter, reason);
}

/**
 * Records what was sent and what was skipped since the page began. Both are recorded once a page,
 * but in the order in which they happened: what is skipped was not sent.
 */
export function recordMoved(session: usize): void {
  const flags = load<u32>(session, SESSION_FLAGS);
  store<u32>(session, flags & ~(SESSION_SENT_MOVED | SESSION_SKIP_MOVED), SESSION_FLAGS);
  if (flags & SESSION_SENT_MOVED) {
    journalSequence(J_SENT, session, load<u64>(session, SESSION_CURSOR) - 1);
    markRecorded(session);
  }
  if (flags & SESSION_SKIP_MOVED) {
    const next = load<u64>(session, SESSION_NEXT);
    journalSequence(J_SKIPPED, session, firstUnsent(session, next));
  }
}

/** Notes that something was sent, or skipped: what was noted of the other is recorded first. */
export function noteMoved(session: usize, bit: u32): void {
  const both = SESSION_SENT_MOVED | SESSION_SKIP_MOVED;
  if (load<u32>(session, SESSION_FLAGS) & (both & ~bit)) recordMoved(session);
  store<u32>(session, load<u32>(session, SESSION_FLAGS) | bit, SESSION_FLAGS);
  touch(session);
}

/** As dropQueued(), for an entry whose time has come. */
export function dropExpired(session: usize): void {
  dropQueued(session, S_DROPPED_EXPIRED, DROPS_EXPIRED);
}

/** Takes the oldest message away that was not sent: its place in the queue is wanted. */
export function skipOldest(session: usize): void {
  const durable = (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) !== 0;
  if (durable) noteMoved(session, SESSION_SKIP_MOVED);
  if (isGapFirst(session)) {
    skipGapFirst(session);
  } else {
    freeEntry(unqueue(session));
  }
  countDrop(session, S_DROPPED_QUEUE_FULL, DROPS_QUEUE_FULL);
  if (!durable) return;
  store<u32>(session, load<u32>(session, SESSION_FLAGS) | SESSION_TRIM_MIDDLE, SESSION_FLAGS);
  // In the page of the message that took its place: after a crash a queue is within its bounds.
  recordMoved(session);
}

/** Drops the first expired message among the oldest in memory. @returns false: there is none */
function dropOneExpired(session: usize): bool {
  if (!(load<u32>(session, SESSION_FLAGS) & SESSION_EXPIRES)) return false;
  let entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
  for (let i: u32 = 0; i < EXPIRED_LOOKED_AT_MAX && entry !== 0; i++) {
    const expires = load<u64>(load<u32>(entry, E_MESSAGE), M_EXPIRES_MS);
    if (expires !== 0 && expires <= nowMs) {
      const sequence = load<u64>(entry, E_SEQUENCE);
      forgetQueued(session, sequence);
      if (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) {
        journalSequence(J_DONE, session, sequence);
      }
      countDrop(session, S_DROPPED_EXPIRED, DROPS_EXPIRED);
      return true;
    }
    entry = load<u32>(entry, E_NEXT);
  }
  return false;
}

/** Whether the queue takes no message of so many bytes. */
export function isFull(session: usize, bytes: u32, messagesMax: u32, bytesMax: u64): bool {
  return (
    load<u32>(session, SESSION_QUEUED_COUNT) >= messagesMax ||
    load<u64>(session, SESSION_QUEUED_BYTES) + bytes > bytesMax
  );
}

/**
 * Makes room in the queue for a message of so many bytes: the oldest unsent ones go.
 *
 * @returns false where there is none: this one is to be dropped
 */
export function makeRoom(
  session: usize,
  bytes: u32,
  messagesMax: u32,
  bytesMax: u64,
  dropOldest: bool,
): bool {
  if (!isFull(session, bytes, messagesMax, bytesMax)) return true;
  noteFull(session);
  if (!dropOldest || messagesMax === 0 || <u64>bytes > bytesMax) return false;
  makesRoom = true;
  while (isFull(session, bytes, messagesMax, bytesMax)) {
    if (load<u32>(session, SESSION_QUEUED_COUNT) === 0) break;
    if (!dropOneExpired(session)) skipOldest(session);
  }
  makesRoom = false;
  return !isFull(session, bytes, messagesMax, bytesMax);
}

/** Puts an entry at the end of the queue. */
export function appendEntry(session: usize, entry: usize): void {
  if (load<u64>(load<u32>(entry, E_MESSAGE), M_EXPIRES_MS) !== 0) {
    store<u32>(session, load<u32>(session, SESSION_FLAGS) | SESSION_EXPIRES, SESSION_FLAGS);
  }
  const tail: usize = load<u32>(session, SESSION_QUEUE_TAIL);
  if (tail !== 0) store<u32>(tail, <u32>entry, E_NEXT);
  else store<u32>(session, <u32>entry, SESSION_QUEUE_HEAD);
  store<u32>(session, <u32>entry, SESSION_QUEUE_TAIL);
  store<u32>(session, load<u32>(session, SESSION_QUEUED_COUNT) + 1, SESSION_QUEUED_COUNT);
  const bytes = load<u64>(session, SESSION_QUEUED_BYTES) + load<u32>(entry, E_BYTES);
  store<u64>(session, bytes, SESSION_QUEUED_BYTES);
  count(S_QUEUED_MESSAGES, 1);
}

/** Puts a loaded entry, counted already, before the gap; the gap begins behind it. */
export function insertLoaded(session: usize, entry: usize): void {
  const after: usize = load<u32>(session, SESSION_GAP_AFTER);
  const next = after !== 0 ? load<u32>(after, E_NEXT) : load<u32>(session, SESSION_QUEUE_HEAD);
  store<u32>(entry, next, E_NEXT);
  if (after !== 0) store<u32>(after, <u32>entry, E_NEXT);
  else store<u32>(session, <u32>entry, SESSION_QUEUE_HEAD);
  if (next === 0) store<u32>(session, <u32>entry, SESSION_QUEUE_TAIL);
  store<u32>(session, <u32>entry, SESSION_GAP_AFTER);
  store<u64>(session, load<u64>(entry, E_SEQUENCE) + 1, SESSION_GAP);
}

/** Takes a queued message out, wherever it stands, without a trace. */
export function forgetQueued(session: usize, sequence: u64): void {
  let before: usize = 0;
  let entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
  while (entry !== 0 && load<u64>(entry, E_SEQUENCE) < sequence) {
    before = entry;
    entry = load<u32>(entry, E_NEXT);
  }
  if (entry !== 0 && load<u64>(entry, E_SEQUENCE) === sequence) {
    forgetBehind(session, before, entry);
  } else if (isGapFirst(session) && load<u64>(session, SESSION_GAP) === sequence) {
    passGap(session, sequence + 1);
  }
}

/** Takes the entry behind `before` out of the list, or the first where that is 0. */
export function forgetBehind(session: usize, before: usize, entry: usize): void {
  if (before === 0) {
    freeEntry(unqueue(session));
    return;
  }
  // unqueue() takes the first: the one behind `before` becomes it for a moment.
  const head = load<u32>(session, SESSION_QUEUE_HEAD);
  const isGapAfter = load<u32>(session, SESSION_GAP_AFTER) === <u32>entry;
  store<u32>(session, <u32>entry, SESSION_QUEUE_HEAD);
  if (load<u32>(entry, E_NEXT) === 0) store<u32>(session, <u32>before, SESSION_QUEUE_TAIL);
  store<u32>(before, load<u32>(entry, E_NEXT), E_NEXT);
  const tail = load<u32>(session, SESSION_QUEUE_TAIL);
  freeEntry(unqueue(session));
  store<u32>(session, head, SESSION_QUEUE_HEAD);
  store<u32>(session, tail, SESSION_QUEUE_TAIL);
  if (isGapAfter) store<u32>(session, <u32>before, SESSION_GAP_AFTER);
}

/** First sequence that was not sent and is owed; next where there is none. */
export function firstUnsent(session: usize, next: u64): u64 {
  if (isGapFirst(session)) return load<u64>(session, SESSION_GAP);
  const entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
  return entry !== 0 ? load<u64>(entry, E_SEQUENCE) : next;
}
