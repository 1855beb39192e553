/**
 * The queue of a Session: messages that are owed and were not sent yet, oldest first.
 *
 *   entry: ┌─────────┬───────┬─────────────┬──────┬──────┬───────┬──────────────┐
 *          │ message │ flags │ identifiers │ turn │ next │ bytes │ sequence u64 │   u32 unless said
 *          └─────────┴───────┴─────────────┴──────┴──────┴───────┴──────────────┘
 */
import {
  E_QUEUE_FULL,
  J_DONE,
  S_DROPPED_MEMORY,
  S_DROPPED_QUEUE_FULL,
  S_QUEUED_MESSAGES,
} from "./abi";
import { raise } from "./connection";
import { storeDescribed } from "./encode";
import { journalEnqueued, journalSequence } from "./journal";
import { alloc, free } from "./memory";
import {
  holdMessage,
  M_PAYLOAD_BYTES,
  M_PROPERTIES_BYTES,
  M_QOS,
  M_RETAIN,
  M_TOPIC_BYTES,
  releaseMessage,
} from "./message";
import {
  SESSION_DROPPED,
  SESSION_DURABLE,
  SESSION_FLAGS,
  SESSION_FULL,
  SESSION_NUMBER,
  SESSION_QUEUE_HEAD,
  SESSION_QUEUE_TAIL,
  SESSION_QUEUED_BYTES,
  SESSION_QUEUED_COUNT,
} from "./session-layout";
import { count, queuedBytesMax, queuedMessagesMax, turn } from "./settings";
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
/** What a queued message counts besides its bytes. */
const QUEUED_OVERHEAD_BYTES: u32 = 96;

export function freeEntry(entry: usize): void {
  releaseMessage(load<u32>(entry, E_MESSAGE));
  if (load<u32>(entry, E_FLAGS) & E_SEVERAL) free(load<u32>(entry, E_IDENTIFIERS));
  free(entry);
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
  store<u32>(entry, qos | (retain ? M_RETAIN : 0) | (several ? E_SEVERAL : 0), E_FLAGS);
  store<u32>(entry, kept, E_IDENTIFIERS);
  store<u32>(entry, turn, E_TURN);
  store<u32>(entry, 0, E_NEXT);
  store<u32>(entry, bytes + QUEUED_OVERHEAD_BYTES, E_BYTES);
  store<u64>(entry, sequence, E_SEQUENCE);
  return entry;
}

/** Records that the message is owed. */
export function recordEnqueued(session: usize, entry: usize): void {
  const flags = load<u32>(entry, E_FLAGS);
  journalEnqueued(
    load<u32>(session, SESSION_NUMBER),
    load<u64>(entry, E_SEQUENCE),
    load<u32>(entry, E_MESSAGE),
    flags & (M_QOS | M_RETAIN),
    (flags & E_SEVERAL) !== 0,
    load<u32>(entry, E_IDENTIFIERS),
  );
}

export function dropForMemory(session: usize): bool {
  count(S_DROPPED_MEMORY, 1);
  store<u32>(session, load<u32>(session, SESSION_DROPPED) + 1, SESSION_DROPPED);
  return false;
}

/** Takes the first entry off the queue. */
export function unqueue(session: usize): usize {
  const entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
  const next = load<u32>(entry, E_NEXT);
  store<u32>(session, next, SESSION_QUEUE_HEAD);
  if (next === 0) store<u32>(session, 0, SESSION_QUEUE_TAIL);
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
export function dropQueued(session: usize, counter: u32): void {
  const entry = unqueue(session);
  if (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) {
    journalSequence(J_DONE, load<u32>(session, SESSION_NUMBER), load<u64>(entry, E_SEQUENCE));
  }
  freeEntry(entry);
  count(counter, 1);
  store<u32>(session, load<u32>(session, SESSION_DROPPED) + 1, SESSION_DROPPED);
}

/** Makes room in the queue for a message of so many bytes: the oldest unsent ones go. */
export function makeRoom(session: usize, bytes: u32): bool {
  if (queuedMessagesMax === 0 || <u64>bytes > queuedBytesMax) return false;
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

/** Puts an entry at the end of the queue. */
export function appendEntry(session: usize, entry: usize): void {
  const tail: usize = load<u32>(session, SESSION_QUEUE_TAIL);
  if (tail !== 0) store<u32>(tail, <u32>entry, E_NEXT);
  else store<u32>(session, <u32>entry, SESSION_QUEUE_HEAD);
  store<u32>(session, <u32>entry, SESSION_QUEUE_TAIL);
  store<u32>(session, load<u32>(session, SESSION_QUEUED_COUNT) + 1, SESSION_QUEUED_COUNT);
  const bytes = load<u64>(session, SESSION_QUEUED_BYTES) + load<u32>(entry, E_BYTES);
  store<u64>(session, bytes, SESSION_QUEUED_BYTES);
  count(S_QUEUED_MESSAGES, 1);
}

/** Takes a queued message out, wherever it stands, without a trace. */
export function forgetQueued(session: usize, sequence: u64): void {
  let before: usize = 0;
  let entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
  while (entry !== 0 && load<u64>(entry, E_SEQUENCE) !== sequence) {
    before = entry;
    entry = load<u32>(entry, E_NEXT);
  }
  if (entry === 0) return;
  if (before === 0) {
    freeEntry(unqueue(session));
    return;
  }
  // unqueue() takes the first: the one behind `before` becomes it for a moment.
  const head = load<u32>(session, SESSION_QUEUE_HEAD);
  store<u32>(session, <u32>entry, SESSION_QUEUE_HEAD);
  if (load<u32>(entry, E_NEXT) === 0) store<u32>(session, <u32>before, SESSION_QUEUE_TAIL);
  store<u32>(before, load<u32>(entry, E_NEXT), E_NEXT);
  const tail = load<u32>(session, SESSION_QUEUE_TAIL);
  freeEntry(unqueue(session));
  store<u32>(session, head, SESSION_QUEUE_HEAD);
  store<u32>(session, tail, SESSION_QUEUE_TAIL);
}
