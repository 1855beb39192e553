/**
 * What a Session is owed: its window of sent messages, and the queue behind it.
 *
 *   slot of the window: ┌──────────────────────┬───────┐
 *                       │ entry address, or 0  │ state │   low 3 bits
 *                       └──────────────────────┴───────┘
 *   entry: ┌─────────┬───────┬─────────────┬──────┬──────┬───────┬──────────────┐
 *          │ message │ flags │ identifiers │ turn │ next │ bytes │ sequence u64 │
 *          └─────────┴───────┴─────────────┴──────┴──────┴───────┴──────────────┘
 *
 * A Session that ends with its connection never sends anything again, so its window has states but
 * no entries: a message that could be sent at once is not stored for it.
 */
import {
  E_CLOSE,
  E_QUEUE_FULL,
  J_DONE,
  J_SENT,
  NO_MEMORY,
  S_DROPPED_EXPIRED,
  S_DROPPED_MEMORY,
  S_DROPPED_QUEUE_FULL,
  S_QUEUED_MESSAGES,
} from "./abi";
import { C_FLAGS, C_OUT_BYTES, C_WANTS_PUMP, connectionOf, raise } from "./connection";
import {
  describeStored,
  retainFlag,
  SENT,
  sendPublish,
  storeDescribed,
  TOO_LARGE,
} from "./encode";
import { writeAcknowledgement } from "./held";
import { journalEnqueued, journalSequence } from "./journal";
import { alloc, free, memoryTight } from "./memory";
import {
  holdMessage,
  M_EXPIRES_MS,
  M_PAYLOAD_BYTES,
  M_PROPERTIES_BYTES,
  M_QOS,
  M_RETAIN,
  M_TOPIC_BYTES,
  releaseMessage,
} from "./message";
import {
  SESSION_COMMIT_NEXT,
  SESSION_CONNECTION,
  SESSION_CURSOR,
  SESSION_DROPPED,
  SESSION_DURABLE,
  SESSION_FLAGS,
  SESSION_FULL,
  SESSION_HEAD,
  SESSION_HEAD_IDENTIFIER,
  SESSION_IN_FLIGHT,
  SESSION_NEXT,
  SESSION_NUMBER,
  SESSION_QUEUE_HEAD,
  SESSION_QUEUE_TAIL,
  SESSION_QUEUED_BYTES,
  SESSION_QUEUED_COUNT,
  SESSION_RECEIVE_MAXIMUM,
  SESSION_RESEND,
  SESSION_RING,
  SESSION_RING_MASK,
  SESSION_WAITS_COMMIT,
} from "./session-layout";
import {
  count,
  nowMs,
  outgoingBytesMax,
  queuedBytesMax,
  queuedMessagesMax,
  turn,
  turnCommitted,
} from "./settings";
import { FLAG_DUP, PUBREL } from "./spec";

// Slot states.
/** Acknowledged, or never sent. */
export const DONE: u32 = 0;
/** QoS 1: a PUBACK is due. QoS 2: a PUBREC is due, then a PUBCOMP. */
export const AWAITS_PUBACK: u32 = 1;
export const AWAITS_PUBREC: u32 = 2;
export const AWAITS_PUBCOMP: u32 = 3;
const STATE: u32 = 7;

// Entries.
export const E_MESSAGE: u32 = 0;
/** QoS in bits 0 and 1, RETAIN in bit 2 as in message.ts; bit 3: several identifiers. */
export const E_FLAGS: u32 = 4;
export const E_IDENTIFIERS: u32 = 8;
export const E_TURN: u32 = 12;
export const E_NEXT: u32 = 16;
export const E_BYTES: u32 = 20;
export const E_SEQUENCE: u32 = 24;
const ENTRY_BYTES: u32 = 32;
export const E_SEVERAL: u32 = 8;

/** Packet Identifiers go round: 1 … 65535. */
const IDENTIFIERS: u64 = 65535;
/** Slots of a new window. */
const SLOTS_MIN: u32 = 16;
/** A window with more slots is given back when it is empty. */
const SLOTS_KEPT_MAX: u32 = 256;
/** What a queued message counts besides its bytes. */
const QUEUED_OVERHEAD_BYTES: u32 = 96;

let commitHead: u32 = 0;

/** First slot of the window that a sequence has. Hot. */
function slotAt(session: usize, sequence: u64): usize {
  const mask = load<u32>(session, SESSION_RING_MASK);
  return load<u32>(session, SESSION_RING) + ((<u32>sequence & mask) << 2);
}

/** Packet Identifier of a sequence in the window. Hot. */
function identifierOf(session: usize, sequence: u64): u32 {
  const ahead = <u32>(sequence - load<u64>(session, SESSION_HEAD));
  const identifier = load<u32>(session, SESSION_HEAD_IDENTIFIER) + ahead;
  return identifier > 65535 ? identifier - 65535 : identifier;
}

function growWindow(session: usize, slots: u32): bool {
  const ring: usize = load<u32>(session, SESSION_RING);
  const grown = alloc(slots << 2);
  if (grown == 0) return false;
  memory.fill(grown, 0, slots << 2);
  if (ring != 0) {
    const cursor = load<u64>(session, SESSION_CURSOR);
    for (let at = load<u64>(session, SESSION_HEAD); at < cursor; at++) {
      store<u32>(grown + ((<u32>at & (slots - 1)) << 2), load<u32>(slotAt(session, at)));
    }
    free(ring);
  }
  store<u32>(session, <u32>grown, SESSION_RING);
  store<u32>(session, slots - 1, SESSION_RING_MASK);
  return true;
}

/** Moves the window's end behind this sequence; skipped ones are done. @returns its slot, or 0 */
function openSlot(session: usize, sequence: u64): usize {
  let head = load<u64>(session, SESSION_HEAD);
  const cursor = load<u64>(session, SESSION_CURSOR);
  if (head == cursor && head != sequence) {
    head = sequence;
    store<u64>(session, head, SESSION_HEAD);
    store<u32>(session, 1 + <u32>(sequence % IDENTIFIERS), SESSION_HEAD_IDENTIFIER);
  }
  const ring = load<u32>(session, SESSION_RING);
  let slots = ring == 0 ? SLOTS_MIN : load<u32>(session, SESSION_RING_MASK) + 1;
  const wanted = <u32>(sequence - head) + 1;
  if (ring == 0 || wanted > slots) {
    while (slots < wanted) slots <<= 1;
    if (!growWindow(session, slots)) return 0;
  }
  for (let at = max(cursor, head); at < sequence; at++) store<u32>(slotAt(session, at), DONE);
  const resend = load<u64>(session, SESSION_RESEND);
  store<u64>(session, sequence + 1, SESSION_CURSOR);
  if (resend >= cursor) store<u64>(session, sequence + 1, SESSION_RESEND);
  return slotAt(session, sequence);
}

/** Whether the window may take one more on this connection. Hot. */
function windowOpen(session: usize, sequence: u64): bool {
  const head = load<u64>(session, SESSION_HEAD);
  const empty = head == load<u64>(session, SESSION_CURSOR);
  return (
    load<u32>(session, SESSION_IN_FLIGHT) < load<u32>(session, SESSION_RECEIVE_MAXIMUM) &&
    (empty || sequence - head < IDENTIFIERS)
  );
}

function freeEntry(entry: usize): void {
  releaseMessage(load<u32>(entry, E_MESSAGE));
  if (load<u32>(entry, E_FLAGS) & E_SEVERAL) free(load<u32>(entry, E_IDENTIFIERS));
  free(entry);
}

/** Makes an entry for the described message. @returns its address, or 0 */
function newEntry(
  sequence: u64,
  qos: u32,
  retain: bool,
  several: bool,
  identifiers: u32,
): usize {
  const message = storeDescribed();
  if (message == 0) return 0;
  const entry = alloc(ENTRY_BYTES);
  if (entry == 0) return 0;
  let kept = identifiers;
  if (several) {
    const bytes = 4 + (load<u32>(identifiers) << 2);
    kept = <u32>alloc(bytes);
    if (kept == 0) {
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
  store<u32>(entry, qos | (retain ? M_RETAIN : 0) | (several ? E_SEVERAL : 0), E_FLAGS);
  store<u32>(entry, kept, E_IDENTIFIERS);
  store<u32>(entry, turn, E_TURN);
  store<u32>(entry, 0, E_NEXT);
  store<u32>(entry, bytes + QUEUED_OVERHEAD_BYTES, E_BYTES);
  store<u64>(entry, sequence, E_SEQUENCE);
  return entry;
}

/** Records that the message is owed. */
function recordEnqueued(session: usize, entry: usize): void {
  const flags = load<u32>(entry, E_FLAGS);
  journalEnqueued(
    load<u32>(session, SESSION_NUMBER),
    load<u64>(entry, E_SEQUENCE),
    load<u32>(entry, E_MESSAGE),
    flags & (M_QOS | M_RETAIN),
    (flags & E_SEVERAL) != 0,
    load<u32>(entry, E_IDENTIFIERS),
  );
}

function broken(record: usize): void {
  raise(E_CLOSE, connectionOf(record), 0x97);
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
  const durable = (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) != 0;
  let entry: usize = 0;
  if (durable) {
    entry = newEntry(sequence, qos, retain, several, identifiers);
    if (entry == 0) return dropForMemory(session);
  }
  const slot = openSlot(session, sequence);
  if (slot == 0) {
    if (entry != 0) freeEntry(entry);
    return dropForMemory(session);
  }
  store<u64>(session, sequence + 1, SESSION_NEXT);
  store<u32>(slot, <u32>entry | (qos == 1 ? AWAITS_PUBACK : AWAITS_PUBREC));
  store<u32>(session, load<u32>(session, SESSION_IN_FLIGHT) + 1, SESSION_IN_FLIGHT);
  const identifier = identifierOf(session, sequence);
  const status = sendPublish(record, qos, retainFlag(retain), identifier, several, identifiers);
  if (status == NO_MEMORY) broken(record);
  if (status == TOO_LARGE) {
    if (entry != 0) freeEntry(entry);
    store<u32>(slot, DONE);
    settle(session, sequence);
    return false;
  }
  if (durable) {
    recordEnqueued(session, entry);
    journalSequence(J_SENT, load<u32>(session, SESSION_NUMBER), sequence);
  }
  return true;
}

function dropForMemory(session: usize): bool {
  count(S_DROPPED_MEMORY, 1);
  store<u32>(session, load<u32>(session, SESSION_DROPPED) + 1, SESSION_DROPPED);
  return false;
}

/** One less in flight, and the head past all that is done. Hot. */
function settle(session: usize, sequence: u64): void {
  if (sequence < load<u64>(session, SESSION_RESEND)) {
    store<u32>(session, load<u32>(session, SESSION_IN_FLIGHT) - 1, SESSION_IN_FLIGHT);
  }
  let head = load<u64>(session, SESSION_HEAD);
  if (sequence != head) return;
  const cursor = load<u64>(session, SESSION_CURSOR);
  let identifier = load<u32>(session, SESSION_HEAD_IDENTIFIER);
  const ring = load<u32>(session, SESSION_RING);
  const mask = load<u32>(session, SESSION_RING_MASK);
  while (head < cursor && load<u32>(ring + ((<u32>head & mask) << 2)) == DONE) {
    head++;
    identifier = identifier == 65535 ? 1 : identifier + 1;
  }
  store<u64>(session, head, SESSION_HEAD);
  store<u32>(session, identifier, SESSION_HEAD_IDENTIFIER);
  if (load<u64>(session, SESSION_RESEND) < head) store<u64>(session, head, SESSION_RESEND);
  if (head == cursor && mask >= SLOTS_KEPT_MAX) {
    free(ring);
    store<u32>(session, 0, SESSION_RING);
  }
}

/** Takes the first entry off the queue. */
function unqueue(session: usize): usize {
  const entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
  const next = load<u32>(entry, E_NEXT);
  store<u32>(session, next, SESSION_QUEUE_HEAD);
  if (next == 0) store<u32>(session, 0, SESSION_QUEUE_TAIL);
  const left = load<u32>(session, SESSION_QUEUED_COUNT) - 1;
  store<u32>(session, left, SESSION_QUEUED_COUNT);
  const bytes = load<u64>(session, SESSION_QUEUED_BYTES) - load<u32>(entry, E_BYTES);
  store<u64>(session, bytes, SESSION_QUEUED_BYTES);
  count(S_QUEUED_MESSAGES, -1);
  // The next episode begins when a fifth of the queue is free again.
  if (left < queuedMessagesMax - queuedMessagesMax / 5) {
    store<u32>(session, load<u32>(session, SESSION_FLAGS) & ~SESSION_FULL, SESSION_FLAGS);
  }
  return entry;
}

/** Takes the oldest queued message away for good, and says so in the journal. */
function dropQueued(session: usize, counter: u32): void {
  const entry = unqueue(session);
  if (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) {
    journalSequence(J_DONE, load<u32>(session, SESSION_NUMBER), load<u64>(entry, E_SEQUENCE));
  }
  freeEntry(entry);
  count(counter, 1);
  store<u32>(session, load<u32>(session, SESSION_DROPPED) + 1, SESSION_DROPPED);
}

/** Makes room in the queue for a message of so many bytes: the oldest unsent ones go. */
function makeRoom(session: usize, bytes: u32): bool {
  if (queuedMessagesMax == 0 || <u64>bytes > queuedBytesMax) return false;
  while (
    load<u32>(session, SESSION_QUEUED_COUNT) >= queuedMessagesMax ||
    load<u64>(session, SESSION_QUEUED_BYTES) + bytes > queuedBytesMax
  ) {
    if (!(load<u32>(session, SESSION_FLAGS) & SESSION_FULL)) {
      store<u32>(session, load<u32>(session, SESSION_FLAGS) | SESSION_FULL, SESSION_FLAGS);
      raise(E_QUEUE_FULL, load<u32>(session, SESSION_NUMBER), <u32>session);
    }
    dropQueued(session, S_DROPPED_QUEUE_FULL);
  }
  return true;
}

function enqueue(
  session: usize,
  qos: u32,
  retain: bool,
  several: bool,
  identifiers: u32,
): bool {
  if (memoryTight()) return dropForMemory(session);
  const sequence = load<u64>(session, SESSION_NEXT);
  const entry = newEntry(sequence, qos, retain, several, identifiers);
  if (entry == 0) return dropForMemory(session);
  const bytes = load<u32>(entry, E_BYTES);
  if (!makeRoom(session, bytes)) {
    freeEntry(entry);
    count(S_DROPPED_QUEUE_FULL, 1);
    store<u32>(session, load<u32>(session, SESSION_DROPPED) + 1, SESSION_DROPPED);
    return false;
  }
  store<u64>(session, sequence + 1, SESSION_NEXT);
  appendEntry(session, entry);
  if (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) {
    recordEnqueued(session, entry);
    if (qos == 2) waitForCommit(session);
  }
  const record: usize = load<u32>(session, SESSION_CONNECTION);
  if (record != 0 && load<u32>(record, C_OUT_BYTES) >= outgoingBytesMax) wantPump(record);
  return true;
}

/** Puts an entry at the end of the queue. */
export function appendEntry(session: usize, entry: usize): void {
  const tail: usize = load<u32>(session, SESSION_QUEUE_TAIL);
  if (tail != 0) store<u32>(tail, <u32>entry, E_NEXT);
  else store<u32>(session, <u32>entry, SESSION_QUEUE_HEAD);
  store<u32>(session, <u32>entry, SESSION_QUEUE_TAIL);
  store<u32>(session, load<u32>(session, SESSION_QUEUED_COUNT) + 1, SESSION_QUEUED_COUNT);
  const bytes = load<u64>(session, SESSION_QUEUED_BYTES) + load<u32>(entry, E_BYTES);
  store<u64>(session, bytes, SESSION_QUEUED_BYTES);
  count(S_QUEUED_MESSAGES, 1);
}

function wantPump(record: usize): void {
  store<u32>(record, load<u32>(record, C_FLAGS) | C_WANTS_PUMP, C_FLAGS);
}

function waitForCommit(session: usize): void {
  const flags = load<u32>(session, SESSION_FLAGS);
  if (flags & SESSION_WAITS_COMMIT) return;
  store<u32>(session, flags | SESSION_WAITS_COMMIT, SESSION_FLAGS);
  store<u32>(session, commitHead, SESSION_COMMIT_NEXT);
  commitHead = <u32>session;
}

/** Whether some Session waits for a commit. */
export function hasCommitWaiters(): bool {
  return commitHead != 0;
}

/** First Session of those that wait for a commit; the list is then empty. */
export function takeCommitWaiters(): usize {
  const session = commitHead;
  commitHead = 0;
  return session;
}

/**
 * Adds the described QoS 1 or 2 message to what the Session is owed: sent at once where its window is
 * open and nothing waits before it, queued otherwise. Hot.
 *
 * @param qos  effective QoS, 1 or 2
 * @returns false where it was dropped; counted
 */
export function owe(
  session: usize,
  qos: u32,
  retain: bool,
  several: bool,
  identifiers: u32,
): bool {
  const record: usize = load<u32>(session, SESSION_CONNECTION);
  if (
    record != 0 &&
    load<u32>(session, SESSION_QUEUE_HEAD) == 0 &&
    load<u64>(session, SESSION_RESEND) == load<u64>(session, SESSION_CURSOR) &&
    load<u32>(record, C_OUT_BYTES) < outgoingBytesMax &&
    windowOpen(session, load<u64>(session, SESSION_NEXT)) &&
    // Outbox rule: a QoS 2 PUBLISH to a durable Session follows its record's commit.
    (qos == 1 || !(load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE))
  ) {
    return sendNow(session, record, qos, retain, several, identifiers);
  }
  return enqueue(session, qos, retain, several, identifiers);
}

/** Sends the message of a queue entry or slot. */
function sendEntry(record: usize, entry: usize, identifier: u32, dup: bool): i32 {
  const flags = load<u32>(entry, E_FLAGS);
  describeStored(load<u32>(entry, E_MESSAGE));
  const retain = (flags & M_RETAIN) != 0;
  return sendPublish(
    record,
    flags & M_QOS,
    retainFlag(retain) | (dup ? FLAG_DUP : 0),
    identifier,
    (flags & E_SEVERAL) != 0,
    load<u32>(entry, E_IDENTIFIERS),
  );
}

/** Sends one message of an earlier connection again, with its identifier [MQTT-4.4.0-1]. */
function resendOne(session: usize, record: usize): void {
  const sequence = load<u64>(session, SESSION_RESEND);
  const slot = slotAt(session, sequence);
  const state = load<u32>(slot) & STATE;
  store<u64>(session, sequence + 1, SESSION_RESEND);
  if (state == DONE) return;
  store<u32>(session, load<u32>(session, SESSION_IN_FLIGHT) + 1, SESSION_IN_FLIGHT);
  const identifier = identifierOf(session, sequence);
  if (state == AWAITS_PUBCOMP) {
    if (!writeAcknowledgement(record, PUBREL, identifier, 0)) broken(record);
    return;
  }
  const entry: usize = load<u32>(slot) & ~STATE;
  const status = sendEntry(record, entry, identifier, true);
  if (status == NO_MEMORY) broken(record);
  if (status == TOO_LARGE) finish(session, sequence);
}

/** Sends the first queued message. @returns false where it must wait */
function sendQueued(session: usize, record: usize): bool {
  let entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
  const flags = load<u32>(entry, E_FLAGS);
  const sequence = load<u64>(entry, E_SEQUENCE);
  const expires = load<u64>(load<u32>(entry, E_MESSAGE), M_EXPIRES_MS);
  if (expires != 0 && expires <= nowMs) {
    dropQueued(session, S_DROPPED_EXPIRED);
    return true;
  }
  if (!windowOpen(session, sequence)) return false;
  const durable = (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) != 0;
  if (durable && (flags & M_QOS) == 2 && <i32>(load<u32>(entry, E_TURN) - turnCommitted) > 0) {
    waitForCommit(session);
    return false;
  }
  const slot = openSlot(session, sequence);
  if (slot == 0) return false;
  entry = unqueue(session);
  const state = (flags & M_QOS) == 1 ? AWAITS_PUBACK : AWAITS_PUBREC;
  store<u32>(slot, <u32>entry | state);
  store<u32>(session, load<u32>(session, SESSION_IN_FLIGHT) + 1, SESSION_IN_FLIGHT);
  const status = sendEntry(record, entry, identifierOf(session, sequence), false);
  if (durable) journalSequence(J_SENT, load<u32>(session, SESSION_NUMBER), sequence);
  if (status == NO_MEMORY) broken(record);
  if (status == TOO_LARGE) {
    finish(session, sequence);
  } else if (!durable) {
    store<u32>(slot, state);
    freeEntry(entry);
  }
  return true;
}

/** Sends what the window and the connection's output take: first again, then anew. */
export function pump(session: usize): void {
  const record: usize = load<u32>(session, SESSION_CONNECTION);
  if (record == 0) return;
  for (;;) {
    const resending = load<u64>(session, SESSION_RESEND) < load<u64>(session, SESSION_CURSOR);
    if (!resending && load<u32>(session, SESSION_QUEUE_HEAD) == 0) return;
    if (load<u32>(record, C_OUT_BYTES) >= outgoingBytesMax) {
      wantPump(record);
      return;
    }
    if (resending) {
      const inFlight = load<u32>(session, SESSION_IN_FLIGHT);
      if (inFlight >= load<u32>(session, SESSION_RECEIVE_MAXIMUM)) return;
      resendOne(session, record);
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
  if (entry != 0) freeEntry(entry);
  if (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) {
    journalSequence(J_DONE, load<u32>(session, SESSION_NUMBER), sequence);
  }
  settle(session, sequence);
}

/** Sequence that an identifier stands for in the window. @returns it, or u64.MAX_VALUE. Hot. */
export function sequenceOf(session: usize, packetIdentifier: u32): u64 {
  const first = load<u32>(session, SESSION_HEAD_IDENTIFIER);
  const ahead = packetIdentifier >= first ? packetIdentifier - first : packetIdentifier + 65535 - first;
  const sequence = load<u64>(session, SESSION_HEAD) + ahead;
  return sequence < load<u64>(session, SESSION_CURSOR) ? sequence : u64.MAX_VALUE;
}

/** State of a sequence in the window. Hot. */
export function stateOf(session: usize, sequence: u64): u32 {
  return load<u32>(slotAt(session, sequence)) & STATE;
}

/** Entry of a sequence in the window, or 0. */
export function entryOf(session: usize, sequence: u64): usize {
  return load<u32>(slotAt(session, sequence)) & ~STATE;
}

/** PUBREC came: the message is not needed any more, a PUBCOMP is due [MQTT-4.3.3-5]. */
export function release(session: usize, sequence: u64): void {
  const slot = slotAt(session, sequence);
  const entry: usize = load<u32>(slot) & ~STATE;
  store<u32>(slot, AWAITS_PUBCOMP);
  if (entry != 0) freeEntry(entry);
}

/** The Session has a new connection: all that was sent before is to be sent again. */
export function restartWindow(session: usize): void {
  store<u64>(session, load<u64>(session, SESSION_HEAD), SESSION_RESEND);
  store<u32>(session, 0, SESSION_IN_FLIGHT);
}

/** A window and a queue for a new Session. */
export function startWindow(session: usize): void {
  store<u64>(session, 1, SESSION_HEAD);
  store<u64>(session, 1, SESSION_CURSOR);
  store<u64>(session, 1, SESSION_NEXT);
  store<u64>(session, 1, SESSION_RESEND);
  store<u32>(session, 2, SESSION_HEAD_IDENTIFIER);
}

/** Takes a message back into the window at this place, as a replay or a dump finds it. */
export function placeEntry(session: usize, sequence: u64, entry: usize, state: u32): bool {
  const slot = openSlot(session, sequence);
  if (slot == 0) return false;
  store<u32>(slot, <u32>entry | state);
  return true;
}

/** Makes a queue entry for the described message with a sequence given. @returns it, or 0 */
export function makeEntry(
  sequence: u64,
  qos: u32,
  retain: bool,
  several: bool,
  identifiers: u32,
): usize {
  return newEntry(sequence, qos, retain, several, identifiers);
}

/** Takes a queued message out, wherever it stands, without a trace. */
export function forgetQueued(session: usize, sequence: u64): void {
  let before: usize = 0;
  let entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
  while (entry != 0 && load<u64>(entry, E_SEQUENCE) != sequence) {
    before = entry;
    entry = load<u32>(entry, E_NEXT);
  }
  if (entry == 0) return;
  if (before == 0) {
    freeEntry(unqueue(session));
    return;
  }
  // unqueue() takes the first: the one behind `before` becomes it for a moment.
  const head = load<u32>(session, SESSION_QUEUE_HEAD);
  store<u32>(session, <u32>entry, SESSION_QUEUE_HEAD);
  if (load<u32>(entry, E_NEXT) == 0) store<u32>(session, <u32>before, SESSION_QUEUE_TAIL);
  store<u32>(before, load<u32>(entry, E_NEXT), E_NEXT);
  const tail = load<u32>(session, SESSION_QUEUE_TAIL);
  freeEntry(unqueue(session));
  store<u32>(session, head, SESSION_QUEUE_HEAD);
  store<u32>(session, tail, SESSION_QUEUE_TAIL);
}

/** All queued messages up to a sequence were sent: they move into the window. @returns false: no memory */
export function sendUpTo(session: usize, sequence: u64): bool {
  while (true) {
    const entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
    if (entry == 0 || load<u64>(entry, E_SEQUENCE) > sequence) return true;
    const qos = load<u32>(entry, E_FLAGS) & M_QOS;
    const state = qos == 1 ? AWAITS_PUBACK : AWAITS_PUBREC;
    if (!placeEntry(session, load<u64>(entry, E_SEQUENCE), entry, state)) return false;
    unqueue(session);
  }
}

/** Frees all that is owed. */
export function dropWindow(session: usize): void {
  while (load<u32>(session, SESSION_QUEUE_HEAD) != 0) freeEntry(unqueue(session));
  const ring = load<u32>(session, SESSION_RING);
  if (ring == 0) return;
  const cursor = load<u64>(session, SESSION_CURSOR);
  for (let at = load<u64>(session, SESSION_HEAD); at < cursor; at++) {
    const entry: usize = load<u32>(slotAt(session, at)) & ~STATE;
    if (entry != 0) freeEntry(entry);
  }
  free(ring);
  store<u32>(session, 0, SESSION_RING);
}
