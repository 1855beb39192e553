/**
 * The index step: what the journal says becomes rows, in batches that the host commits.
 *
 * A cycle covers all that changed up to a turn. Its rows may say more than that: what happened
 * since is in later pages, and replaying them on top ends in the same State. What a Session is owed
 * up to that turn and is still not done goes into segments; then memory lets go of it, but for a
 * little of those that are connected. While the client is away, a topic that keeps only its newest
 * message has a row of its own, which that one takes (latest.ts).
 */
import { NO_MEMORY, T_RETAINED } from "./abi";
import {
  addEnd,
  addPutMessage,
  addRemove,
  addTrim,
  batchCount,
  batchRoom,
  beginBatch,
  endBatch,
} from "./index-batch";
import { takeEnded, takeRetained } from "./index-changes";
import { keepLatest, replaceLatest } from "./latest";
import { alloc, free } from "./memory";
import { holdMessage, M_TOPIC_BYTES, releaseMessage, topicOf } from "./message";
import {
  E_BYTES,
  E_FLAGS,
  E_FRESH,
  E_LAST,
  E_MESSAGE,
  E_NEXT,
  E_SEQUENCE,
  E_TURN,
  firstUnsent,
  hasGap,
} from "./queue";
import { evict, movedToStore } from "./residence";
import { retainedGet } from "./retained-tree";
import { hasKeepingRules, keepsLast } from "./rules";
import { addToSegment, beginSegments, endSegment, putLatest, segmentRoom } from "./segment";
import {
  SESSION_CHANGED,
  SESSION_CHANGED_NEXT,
  SESSION_CHANGED_TURN,
  SESSION_CONNECTION,
  SESSION_CURSOR,
  SESSION_DURABLE,
  SESSION_FLAGS,
  SESSION_GAP_AFTER,
  SESSION_HAS_LATEST,
  SESSION_HAS_ROW,
  SESSION_HAS_SEGMENTS,
  SESSION_HEAD,
  SESSION_NEXT,
  SESSION_NUMBER,
  SESSION_QUEUE_HEAD,
  SESSION_RING,
  SESSION_STORED_BYTES,
  SESSION_STORED_COUNT,
  SESSION_STORED_END,
  SESSION_TRIM_MIDDLE,
  SESSION_TRIMMED,
} from "./session-layout";
import { changed, dropChanged, leaveList, takeChanged } from "./session-lists";
import { putSession, rowOperations, rowPut } from "./session-row";
import { entryOf } from "./slots";

/** A Session of the batch: record, its number, u64 stored end that comes with the batch, row, 0. */
const GATHERED_BYTES: u32 = 24;
const GATHERED_MAX: u32 = 4096;

/** The Session was gathered in part: go on with it in the next batch. */
const PART: i32 = 1;

let limit: u32 = 0;
/** Sessions of the cycle that are still to be gathered. */
let cycleHead: u32 = 0;
let gathered: usize = 0;
let gatheredCount: u32 = 0;

// What of a Session gatherEntries() found below the new stored end and not sent.
let unsentCount: u32 = 0;
let unsentBytes: u64 = 0;
let endFound: u64 = 0;

/** Begins a cycle that covers all that changed up to this turn. */
export function indexBegin(turnMax: u32): void {
  limit = turnMax;
  assert(cycleHead === 0, "indexBegin: the last cycle is not complete");
  cycleHead = <u32>takeChanged();
}

/** Whether the entry is on record no later than the cycle's turn. */
function isCovered(entry: usize): bool {
  if (load<u32>(entry, E_FLAGS) & E_FRESH) return false;
  return <i32>(load<u32>(entry, E_TURN) - limit) <= 0;
}

/** First entry of the list that is not in the store. */
function firstUnstored(session: usize, storedEnd: u64): usize {
  let entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
  if (hasGap(session)) {
    const after: usize = load<u32>(session, SESSION_GAP_AFTER);
    if (after !== 0) entry = load<u32>(after, E_NEXT);
  }
  while (entry !== 0 && load<u64>(entry, E_SEQUENCE) < storedEnd) entry = load<u32>(entry, E_NEXT);
  return entry;
}

/** Drops what need not be written since a newer message of its topic is. */
function dropReplaced(session: usize, first: usize): void {
  if (load<u32>(session, SESSION_CONNECTION) !== 0) return;
  let end = first;
  while (end !== 0 && isCovered(end)) end = load<u32>(end, E_NEXT);
  keepLatest(session, first, end, 0, false);
}

/** Whether the entry takes the row of its topic's newest message. */
function isLatest(session: usize, entry: usize): bool {
  const isAway = load<u32>(session, SESSION_CONNECTION) === 0;
  if (!isAway && !(load<u32>(entry, E_FLAGS) & E_LAST)) return false;
  if (!keepsLast(load<u32>(entry, E_MESSAGE))) return false;
  store<u32>(session, load<u32>(session, SESSION_FLAGS) | SESSION_HAS_LATEST, SESSION_FLAGS);
  return true;
}

/** Writes what is owed and covered into segments. @returns 0, PART, or NO_MEMORY */
function gatherEntries(session: usize): i32 {
  const storedEnd = load<u64>(session, SESSION_STORED_END);
  const reserve = rowOperations(session);
  unsentCount = load<u32>(session, SESSION_STORED_COUNT);
  unsentBytes = load<u64>(session, SESSION_STORED_BYTES);
  endFound = storedEnd;
  beginSegments(load<u32>(session, SESSION_NUMBER));
  const cursor = load<u64>(session, SESSION_CURSOR);
  if (load<u32>(session, SESSION_RING) !== 0) {
    let sequence = max(storedEnd, load<u64>(session, SESSION_HEAD));
    for (; sequence < cursor; sequence++) {
      const entry = entryOf(session, sequence);
      if (entry === 0) continue;
      if (!isCovered(entry)) return endSegment();
      if (!segmentRoom(reserve)) return endSegment() < 0 ? NO_MEMORY : PART;
      if (addToSegment(entry) < 0) return NO_MEMORY;
      endFound = sequence + 1;
    }
  }
  let entry = firstUnstored(session, storedEnd);
  const keeps = hasKeepingRules();
  if (keeps) {
    dropReplaced(session, entry);
    entry = firstUnstored(session, storedEnd);
  }
  while (entry !== 0 && isCovered(entry)) {
    if (!segmentRoom(reserve)) return endSegment() < 0 ? NO_MEMORY : PART;
    if ((keeps && isLatest(session, entry) ? putLatest(entry) : addToSegment(entry)) < 0) {
      return NO_MEMORY;
    }
    endFound = load<u64>(entry, E_SEQUENCE) + 1;
    unsentCount++;
    unsentBytes += load<u32>(entry, E_BYTES);
    entry = load<u32>(entry, E_NEXT);
  }
  return endSegment();
}

/** Segments that hold nothing any more are removed. */
function trim(session: usize): void {
  const flags = load<u32>(session, SESSION_FLAGS);
  if (!(flags & SESSION_HAS_SEGMENTS)) return;
  const number = load<u32>(session, SESSION_NUMBER);
  const head = load<u64>(session, SESSION_HEAD);
  const end = load<u64>(session, SESSION_STORED_END);
  const hasLatest = (flags & SESSION_HAS_LATEST) !== 0;
  if (<u32>head !== load<u32>(session, SESSION_TRIMMED)) {
    store<u32>(session, <u32>head, SESSION_TRIMMED);
    addTrim(number, 0, head, hasLatest);
  }
  if (!(flags & SESSION_TRIM_MIDDLE)) return;
  store<u32>(session, flags & ~SESSION_TRIM_MIDDLE, SESSION_FLAGS);
  const cursor = load<u64>(session, SESSION_CURSOR);
  const unsent = min(firstUnsent(session, load<u64>(session, SESSION_NEXT)), end);
  if (cursor < unsent) addTrim(number, cursor, unsent, hasLatest);
}

/** Adds what the index is to know of a Session. @returns 0, PART, or NO_MEMORY */
function gatherSession(session: usize): i32 {
  const status = gatherEntries(session);
  if (status < 0) return status;
  if (putSession(session, endFound, unsentCount, unsentBytes) < 0) return NO_MEMORY;
  let flags = load<u32>(session, SESSION_FLAGS) | SESSION_HAS_ROW;
  if (endFound !== load<u64>(session, SESSION_STORED_END)) flags |= SESSION_HAS_SEGMENTS;
  store<u32>(session, flags, SESSION_FLAGS);
  trim(session);
  const at = gathered + gatheredCount * GATHERED_BYTES;
  store<u32>(at, <u32>session);
  store<u32>(at, load<u32>(session, SESSION_NUMBER), 4);
  store<u64>(at, endFound, 8);
  store<u32>(at, <u32>rowPut, 16);
  gatheredCount++;
  return status;
}

function gatherRetained(message: usize): void {
  const topic = topicOf(message);
  const bytes = load<u32>(message, M_TOPIC_BYTES);
  const now: usize = retainedGet(topic, bytes);
  if (now === 0) {
    addRemove(T_RETAINED, topic, bytes, message);
    return;
  }
  holdMessage(now);
  addPutMessage(T_RETAINED, topicOf(now), bytes, now);
  releaseMessage(message);
}

/** Gathers the next Session of the cycle. @returns 0, PART, or NO_MEMORY */
function gatherNext(): i32 {
  const session: usize = cycleHead;
  const next = load<u32>(session, SESSION_CHANGED_NEXT);
  const hasEnded = load<u32>(session, SESSION_NUMBER) === 0;
  if (hasEnded || !(load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE)) {
    cycleHead = next;
    leaveList(session, SESSION_CHANGED);
    return 0;
  }
  if (batchRoom() < rowOperations(session) + 16) return PART;
  const status = gatherSession(session);
  if (status !== 0) return status;
  cycleHead = next;
  leaveList(session, SESSION_CHANGED);
  // What happened to it since the cycle's turn is for the next cycle.
  if (<i32>(load<u32>(session, SESSION_CHANGED_TURN) - limit) > 0) changed(session);
  return 0;
}

/**
 * Gathers the next batch of the cycle; the last one must be committed.
 *
 * @param rowsMax  about so many operations, at most 1024
 * @returns the number of operations, 0 where the cycle is complete, or NO_MEMORY
 */
export function indexGather(rowsMax: u32): i32 {
  if (gathered === 0) gathered = alloc(GATHERED_MAX * GATHERED_BYTES);
  if (gathered === 0 || !beginBatch()) return NO_MEMORY;
  while (batchCount() < rowsMax) {
    const ended = takeEnded();
    if (ended === 0) break;
    addEnd(<u32>ended, ended >> 32 !== 0);
  }
  while (batchCount() < rowsMax) {
    const message = takeRetained(limit);
    if (message === 0) break;
    gatherRetained(message);
  }
  let status: i32 = 0;
  while (cycleHead !== 0 && status === 0 && batchCount() < rowsMax) status = gatherNext();
  if (status < 0 && batchCount() === 0) return status;
  return <i32>batchCount();
}

/**
 * A row that the batch puts takes the place of an older message of its topic.
 *
 * @param number  of the Session
 * @param sequence  of the older message
 * @param bytes  that it counts in the queue
 * @returns 1: it was sent and is still owed, so its row is to stay; 0: it is to be removed
 */
export function indexReplaced(number: u32, sequence: u64, bytes: u32): u32 {
  let at = gathered + gatheredCount * GATHERED_BYTES;
  while (at !== gathered) {
    at -= GATHERED_BYTES;
    if (load<u32>(at, 4) !== number) continue;
    return replaceLatest(number, sequence, bytes, load<u32>(at, 16));
  }
  return replaceLatest(number, sequence, bytes, 0);
}

/** The batch is committed: memory lets go of what the store has. */
export function indexCommitted(): void {
  endBatch();
  for (let i: u32 = 0; i < gatheredCount; i++) {
    const at = gathered + i * GATHERED_BYTES;
    const session: usize = load<u32>(at);
    if (load<u32>(session, SESSION_NUMBER) !== load<u32>(at, 4)) continue;
    movedToStore(session, load<u64>(at, 8));
    evict(session);
  }
  gatheredCount = 0;
}

/** Gives what the step keeps back: the engine is to be empty. */
export function freeIndex(): void {
  if (gathered !== 0) free(gathered);
  gathered = 0;
  gatheredCount = 0;
  dropChanged(cycleHead);
  cycleHead = 0;
}
