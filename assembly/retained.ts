/**
 * Retained messages: kept by Topic Name in a tree (retained-tree.ts), sent upon SUBSCRIBE in
 * slices.
 */
import {
  E_CLOSE,
  NO_MEMORY,
  R_ACCESS,
  R_BUDGET,
  R_DONE,
  R_PAUSED,
  S_DENIED_READ,
  S_RETAINED_BYTES,
  STATS,
} from "./abi";
import { mayRead } from "./access";
import {
  C_FLAGS,
  C_OUT_BYTES,
  C_RETAINED_JOBS,
  C_RETAINED_WAITS,
  C_SESSION,
  connectionOf,
  raise,
  recordOf,
} from "./connection";
import { describedMessage, describeStored, storeDescribed, storeRetained } from "./described";
import { sendPublish } from "./encode";
import { noteRetained } from "./index-changes";
import { journalFull, journalRetained, journalRetainedDeleted } from "./journal";
import { blockBytes, heapBytesCap } from "./memory";
import {
  blockOf,
  holdMessage,
  idBytesOfPublisher,
  M_EXPIRES_MS,
  M_FLAGS,
  M_PAYLOAD_BYTES,
  M_QOS,
  M_TOPIC_BYTES,
  publisherOf,
  releaseMessage,
  topicOf,
} from "./message";
import {
  CURSOR_END,
  CURSOR_PAUSE,
  cursorClose,
  cursorNext,
  cursorOpen,
  cursorOpenAll,
} from "./retained-cursor";
import {
  endJob,
  finishJob,
  isPast,
  isSubscribed,
  J_ASKED,
  J_CURSOR,
  J_IDENTIFIER,
  J_OPTIONS,
  openJob,
  recordJobs,
  startOwed,
} from "./retained-jobs";
import { askSource, noteSource, sourceAllows } from "./retained-source";
import {
  retainedGet,
  retainedPrune,
  retainedRemove,
  retainedReplaced,
  retainedSet,
} from "./retained-tree";
import { SESSION_ID_AT, SESSION_ID_BYTES, SESSION_QUEUED_COUNT } from "./session-layout";
import { count, nowMs, outgoingBytesMax } from "./settings";
import { FLAG_RETAIN, OPTION_NO_LOCAL, OPTION_QOS } from "./spec";
import { SLASH } from "./topic";
import { owe } from "./window";

/** `$SYS`, little endian. */
const SYS: u32 = 0x53595324;
/** Steps through the tree in one slice. */
const STEPS_MAX: u32 = 4096;
/** Expired messages that one call of sweepRetained() deletes. */
const SWEPT_MAX: u32 = 256;
/** Retained messages that wait in one Session's queue: the rest follows as its window opens. */
export const RETAINED_QUEUED_MAX: u32 = 64;

/** What a retained message costs beside its message: a node or more of the tree. */
const NODE_BYTES: u32 = 128;
/** Of memory_limit so much at most is retained: the rest is for who is there. */
const RETAINED_SHARE_SHIFT: u32 = 1;

function countRetained(message: usize, sign: i64): void {
  const bytes = blockBytes(blockOf(message)) + NODE_BYTES;
  count(S_RETAINED_BYTES, <u64>(sign * <i64>bytes));
}

function letGo(message: usize): void {
  countRetained(message, -1);
  releaseMessage(message);
}

/**
 * Whether a client may have a message retained: where a share of the memory is taken, only in place
 * of one that is as long.
 */
export function mayRetain(topicAt: usize, topicBytes: u32, payloadBytes: u32): bool {
  const full = load<u64>(STATS + S_RETAINED_BYTES) > heapBytesCap() >> RETAINED_SHARE_SHIFT;
  if (!full) return true;
  const before: usize = retainedGet(topicAt, topicBytes);
  return before !== 0 && payloadBytes <= load<u32>(before, M_PAYLOAD_BYTES);
}

/**
 * Keeps the described message for its topic; an empty payload deletes instead [MQTT-3.3.1-6].
 *
 * @returns 0, or NO_MEMORY with nothing changed
 */
export function retain(topicAt: usize, topicBytes: u32, payloadBytes: u32): i32 {
  if (payloadBytes === 0) {
    if (deleteRetained(topicAt, topicBytes)) journalRetainedDeleted(topicAt, topicBytes);
    return 0;
  }
  const isOwn = isOfBroker(topicAt, topicBytes);
  const message = isOwn ? storeDescribed() : storeRetained();
  if (message === 0) return NO_MEMORY;
  noteSource(message);
  const status = replaceRetained(message);
  if (status === 0 && !isOwn) journalRetained(message);
  if (message !== describedMessage()) releaseMessage(message);
  return status;
}

/** `$SYS`: true of this run of the broker only, and not to be found by the next. */
function isOfBroker(topicAt: usize, topicBytes: u32): bool {
  return topicBytes > 4 && load<u32>(topicAt) === SYS && load<u8>(topicAt, 4) === SLASH;
}

/** Keeps a message for its topic, as the index has it. @returns 0, or NO_MEMORY */
export function keepRetained(message: usize): i32 {
  const status = retainedSet(topicOf(message), load<u32>(message, M_TOPIC_BYTES), <u32>message);
  if (status < 0) return status;
  holdMessage(message);
  countRetained(message, 1);
  const before = retainedReplaced();
  if (before !== 0) letGo(before);
  return 0;
}

/** Keeps a message for its topic, as a journal says. @returns 0, or NO_MEMORY */
export function replaceRetained(message: usize): i32 {
  const topicBytes = load<u32>(message, M_TOPIC_BYTES);
  const status = retainedSet(topicOf(message), topicBytes, <u32>message);
  if (status < 0) return status;
  holdMessage(message);
  countRetained(message, 1);
  const before = retainedReplaced();
  if (!isOfBroker(topicOf(message), topicBytes)) noteRetained(message, before);
  if (before !== 0) letGo(before);
  return 0;
}

/** Deletes what is retained for a topic. @returns whether there was something */
export function deleteRetained(topicAt: usize, topicBytes: u32): bool {
  const before = retainedRemove(topicAt, topicBytes);
  if (before === 0) return false;
  if (!isOfBroker(topicAt, topicBytes)) noteRetained(before, 0);
  letGo(before);
  return true;
}

/** Forgets all retained messages under a filter: for tests and administration. */
export function dropRetained(filterAt: usize, filterBytes: u32): void {
  const cursor = cursorOpen(filterAt, filterBytes);
  if (cursor === 0) return;
  for (;;) {
    const found = cursorNext(cursor, STEPS_MAX);
    if (found === CURSOR_END) break;
    if (found !== CURSOR_PAUSE) forget(found);
  }
  cursorClose(cursor);
}

function forget(message: usize): void {
  deleteRetained(topicOf(message), load<u32>(message, M_TOPIC_BYTES));
}

/** Deletes a retained message whose time is over [MQTT-3.3.2-5]. @returns whether it was */
function dropIfExpired(message: usize): bool {
  const expires = load<u64>(message, M_EXPIRES_MS);
  if (expires === 0 || expires > nowMs) return false;
  journalRetainedDeleted(topicOf(message), load<u32>(message, M_TOPIC_BYTES));
  forget(message);
  return true;
}

/** The cursor of the sweep under way, or 0. */
let sweep: usize = 0;

/**
 * Deletes what has expired and nobody asks for, in slices.
 *
 * @returns 1: call again in a later turn; 0: all was looked at, the next call begins anew
 */
export function sweepRetained(): u32 {
  if (sweep === 0) sweep = cursorOpenAll();
  if (sweep === 0) return 0;
  for (let swept: u32 = 0; swept < SWEPT_MAX; ) {
    if (journalFull()) return 1;
    const found = cursorNext(sweep, STEPS_MAX);
    if (found === CURSOR_PAUSE) return 1;
    if (found === CURSOR_END) {
      cursorClose(sweep);
      sweep = 0;
      // While it was open no node could be freed.
      retainedPrune(STEPS_MAX);
      return 0;
    }
    if (dropIfExpired(found)) swept++;
  }
  return 1;
}

function isOwn(session: usize, message: usize): bool {
  const bytes = load<u32>(session, SESSION_ID_BYTES);
  if (idBytesOfPublisher(message) !== bytes) return false;
  return memory.compare(publisherOf(message), load<u32>(session, SESSION_ID_AT), bytes) === 0;
}

/** Sends one retained message; its RETAIN is 1 whatever Retain As Published says, §3.8.3.1. */
function sendRetained(record: usize, session: usize, job: usize, message: usize): void {
  if (dropIfExpired(message)) return;
  // What the host did not judge is not sent.
  if (sourceAllows(message) < 1) {
    count(S_DENIED_READ, 1);
    return;
  }
  if (!mayRead(session, topicOf(message), load<u32>(message, M_TOPIC_BYTES))) {
    count(S_DENIED_READ, 1);
    return;
  }
  const options = load<u32>(job, J_OPTIONS);
  if (options & OPTION_NO_LOCAL && isOwn(session, message)) return; // [MQTT-3.8.3-3]
  const qos = min(load<u32>(message, M_FLAGS) & M_QOS, options & OPTION_QOS);
  const identifier = load<u32>(job, J_IDENTIFIER);
  describeStored(message);
  if (qos !== 0) {
    owe(session, qos, true, false, identifier);
    return;
  }
  const status = sendPublish(record, 0, FLAG_RETAIN, 0, false, identifier);
  if (status === NO_MEMORY) raise(E_CLOSE, connectionOf(record), 0x97);
}

/**
 * Sends the next slice of the retained messages due. SCRATCH is overwritten.
 *
 * @returns R_DONE, R_BUDGET (call again in a later turn), R_PAUSED until an E_RETAINED event, or
 *   R_ACCESS: call judgeSource(), then this again
 */
export function continueRetained(connection: u32): i32 {
  const record = recordOf(connection);
  store<u32>(record, load<u32>(record, C_FLAGS) & ~C_RETAINED_WAITS, C_FLAGS);
  const session: usize = load<u32>(record, C_SESSION);
  if (session === 0) return R_DONE;
  startOwed(record, session);
  const status = sendSlice(record, session);
  if (status !== R_DONE) recordJobs(record, session);
  return status;
}

/** @returns as continueRetained() */
function sendSlice(record: usize, session: usize): i32 {
  let sent: u32 = 0;
  let begun: usize = 0;
  while (load<u32>(record, C_RETAINED_JOBS) !== 0) {
    const job: usize = load<u32>(record, C_RETAINED_JOBS);
    if (
      load<u32>(record, C_OUT_BYTES) >= outgoingBytesMax ||
      load<u32>(session, SESSION_QUEUED_COUNT) >= RETAINED_QUEUED_MAX
    ) {
      store<u32>(record, load<u32>(record, C_FLAGS) | C_RETAINED_WAITS, C_FLAGS);
      return R_PAUSED;
    }
    const isOver = job !== begun && !isSubscribed(job, session);
    if (isOver || (load<u32>(job, J_CURSOR) === 0 && !openJob(job))) {
      endJob(record);
      continue;
    }
    begun = job;
    const asked: usize = load<u32>(job, J_ASKED);
    const found = asked !== 0 ? <u32>asked : cursorNext(load<u32>(job, J_CURSOR), STEPS_MAX);
    if (found === CURSOR_PAUSE) return R_BUDGET;
    const wasSent = found !== CURSOR_END && asked === 0 && isPast(job);
    if (found === CURSOR_END) finishJob(record, session);
    else if (asked === 0 && !wasSent && sourceAllows(found) < 0) {
      holdMessage(found);
      store<u32>(job, found, J_ASKED);
      askSource(found);
      return R_ACCESS;
    } else if (!wasSent) {
      store<u32>(job, 0, J_ASKED);
      sendRetained(record, session, job, found);
      if (asked !== 0) releaseMessage(asked);
    }
    if (++sent > STEPS_MAX) return R_BUDGET;
  }
  return R_DONE;
}
