/**
 * What the store has comes back: at the start all Sessions, later the messages of those whose
 * clients are there, as their windows open.
 */
import {
  DROPS_REPLACED,
  NO_MEMORY,
  ROW_ENTRY_BYTES,
  ROW_ENTRY_COUNTED,
  ROW_ENTRY_FLAGS,
  ROW_ENTRY_IDENTIFIERS_SHIFT,
  ROW_ENTRY_IS_SHARED,
  ROW_ENTRY_LENGTH,
  ROW_ENTRY_REFERS,
  ROW_MESSAGE_BYTES,
  ROW_SEGMENT_BYTES,
  ROW_SEGMENT_REFERENCES,
  ROW_SEGMENT_SPAN,
  ROW_VERSION,
  S_DROPPED_REPLACED,
} from "./abi";
import { closeGap, forgetInGap } from "./gap";
import { isReplaced } from "./latest";
import { isMessageRow, M_QOS, M_RETAIN, messageOfRow, releaseMessage } from "./message";
import { countDrop, E_BYTES, E_MESSAGE, entryFor, freeEntry, hasGap, insertLoaded } from "./queue";
import { KEY_LATEST, SEGMENT_ENTRIES_MAX } from "./segment";
import {
  SESSION_CONNECTION,
  SESSION_CURSOR,
  SESSION_FLAGS,
  SESSION_GAP,
  SESSION_GAP_AFTER,
  SESSION_HAS_LATEST,
  SESSION_HEAD,
  SESSION_IS_GROUP,
  SESSION_IS_LEAVING,
  SESSION_LOADING,
  SESSION_NUMBER,
  SESSION_RESEND,
  SESSION_STORED_END,
} from "./session-layout";
import {
  AWAITS_PUBACK,
  AWAITS_PUBREC,
  DONE,
  NOT_LOADED,
  nextInWindow,
  settle,
  slotAt,
  stateOf,
} from "./slots";
import { addStored, findStored } from "./stored";
import { pump } from "./window";

/** The row is not of a form that this engine reads, or is damaged. */
export const DAMAGED: i32 = -0x83;
/** A message that the segment refers to is to be loaded first: loadMissing() names it. */
const MISSING: i32 = 1;
/** The segment ends before what is wanted: the next one may have it. */
const BEFORE: i32 = 2;
/** Nothing is wanted. */
const NOTHING: i64 = -1;

let missing: u64 = 0;
/** The row being taken is a topic's newest message; what is at or past the end is not taken. */
let isLatest: bool = false;
let takenEnd: u64 = 0;
/** Messages that loadMessage() made: held until the segment that wanted them is taken. */
const loaded: usize = memory.data(64 * 4, 4);
let loadedCount: u32 = 0;
/** Subscription Identifiers of an entry: {u32 count, u32 …}. */
const listed: usize = memory.data(4 + 4 * 1024, 4);
const LISTED_MAX: u32 = 1024;

/** Key of the message that loadSegment() found missing. */
export function loadMissing(): u64 {
  return missing;
}

/** @returns the first sequence that the Session needs of the store, or −1 */
export function wanted(session: usize): i64 {
  const isOurs = load<u32>(session, SESSION_FLAGS) & (SESSION_IS_GROUP | SESSION_IS_LEAVING);
  if (load<u32>(session, SESSION_CONNECTION) === 0 && isOurs === 0) return NOTHING;
  const resend = load<u64>(session, SESSION_RESEND);
  if (resend < load<u64>(session, SESSION_CURSOR)) {
    return stateOf(session, resend) === NOT_LOADED ? <i64>resend : NOTHING;
  }
  if (!hasGap(session) || load<u32>(session, SESSION_GAP_AFTER) !== 0) return NOTHING;
  return <i64>load<u64>(session, SESSION_GAP);
}

/**
 * What an E_LOAD event asks for.
 *
 * @param number  of the Session when it asked
 * @returns the first sequence to load, or −1: nothing more now
 */
export function loadWanted(session: usize, number: u32): i64 {
  if (load<u32>(session, SESSION_NUMBER) !== number) return NOTHING;
  const sequence = wanted(session);
  if (sequence < 0) {
    const flags = load<u32>(session, SESSION_FLAGS) & ~SESSION_LOADING;
    store<u32>(session, flags, SESSION_FLAGS);
  }
  return sequence;
}

/**
 * Hands in a message that a segment refers to.
 *
 * @returns 0, or a negative status
 */
export function loadMessage(id: u64, at: usize, bytes: u32): i32 {
  if (!isMessageRow(at, bytes) || loadedCount === SEGMENT_ENTRIES_MAX) return DAMAGED;
  const message = messageOfRow(at);
  if (message === 0) return NO_MEMORY;
  if (!addStored(message, id)) {
    releaseMessage(message);
    return NO_MEMORY;
  }
  store<u32>(loaded + (loadedCount << 2), <u32>message);
  loadedCount++;
  return 0;
}

function releaseLoaded(): void {
  for (let i: u32 = 0; i < loadedCount; i++) releaseMessage(load<u32>(loaded + (i << 2)));
  loadedCount = 0;
}

/** Whether an entry and what it announces lie inside the row. */
function isEntry(at: usize, end: usize, references: u32): bool {
  if (at + ROW_ENTRY_BYTES + 4 > end) return false;
  const bytes = load<u32>(at, ROW_ENTRY_LENGTH);
  const flags = load<u32>(at, ROW_ENTRY_FLAGS);
  const identifiers = flags >> ROW_ENTRY_IDENTIFIERS_SHIFT;
  if (bytes > end - at || identifiers > LISTED_MAX) return false;
  const body = ROW_ENTRY_BYTES + (identifiers << 2);
  if (flags & ROW_ENTRY_IS_SHARED && identifiers === 0) return false;
  if (flags & ROW_ENTRY_REFERS) return bytes === body + 4 && load<u32>(at + body) < references;
  return bytes >= body + ROW_MESSAGE_BYTES && isMessageRow(at + body, bytes - body);
}

/** Makes the queue entry of a segment's entry. @returns it, or 0: no memory */
function makeEntry(row: usize, at: usize, sequence: u64): usize {
  const flags = load<u32>(at, ROW_ENTRY_FLAGS);
  const identifiers = flags >> ROW_ENTRY_IDENTIFIERS_SHIFT;
  const body = at + ROW_ENTRY_BYTES + (identifiers << 2);
  let message: usize = 0;
  if (flags & ROW_ENTRY_REFERS) {
    message = findStored(load<u64>(row + ROW_SEGMENT_BYTES + (load<u32>(body) << 3)));
  } else {
    message = messageOfRow(body);
  }
  if (message === 0) return 0;
  const several = identifiers > 1 || (flags & ROW_ENTRY_IS_SHARED) !== 0;
  let list: u32 = 0;
  if (several) {
    store<u32>(listed, identifiers);
    memory.copy(listed + 4, at + ROW_ENTRY_BYTES, identifiers << 2);
    list = <u32>listed;
  } else if (identifiers === 1) {
    list = load<u32>(at, ROW_ENTRY_BYTES);
  }
  const kept = flags & (M_QOS | M_RETAIN | ROW_ENTRY_IS_SHARED);
  const entry = entryFor(message, sequence, kept, several, list);
  if (!(flags & ROW_ENTRY_REFERS)) releaseMessage(message);
  if (entry !== 0) store<u32>(entry, load<u32>(at, ROW_ENTRY_COUNTED), E_BYTES);
  return entry;
}

/** Puts what a segment's entry says where it belongs. @returns 0, or NO_MEMORY */
function placeLoaded(session: usize, row: usize, at: usize, sequence: u64): i32 {
  const cursor = load<u64>(session, SESSION_CURSOR);
  const isSent = sequence < cursor;
  if (sequence < load<u64>(session, SESSION_HEAD) || sequence >= takenEnd) return 0;
  if (isSent && stateOf(session, sequence) !== NOT_LOADED) return 0;
  if (!isSent && sequence < load<u64>(session, SESSION_GAP)) return 0;
  if (sequence >= load<u64>(session, SESSION_STORED_END)) return 0;
  const qos = load<u32>(at, ROW_ENTRY_FLAGS) & M_QOS;
  if (isSent && qos === 0) {
    // It may have been sent, and is never sent again [MQTT-3.3.1-2].
    store<u32>(slotAt(session, sequence), DONE);
    settle(session, sequence);
    return 0;
  }
  const entry = makeEntry(row, at, sequence);
  if (entry === 0) return NO_MEMORY;
  if (isSent) {
    store<u32>(slotAt(session, sequence), <u32>entry | (qos === 1 ? AWAITS_PUBACK : AWAITS_PUBREC));
  } else if (isLatest && isReplaced(session, load<u32>(entry, E_MESSAGE))) {
    forgetInGap(session, load<u32>(entry, E_BYTES));
    freeEntry(entry);
    countDrop(session, S_DROPPED_REPLACED, DROPS_REPLACED);
  } else {
    insertLoaded(session, entry);
  }
  return 0;
}

/** What the store does not have in this stretch is done: nothing is owed there. */
function passOver(session: usize, from: u64, to: u64): void {
  const cursor = load<u64>(session, SESSION_CURSOR);
  const end = min(to, cursor);
  let sequence = max(from, load<u64>(session, SESSION_HEAD));
  while (sequence < end) {
    if (stateOf(session, sequence) === NOT_LOADED) {
      store<u32>(slotAt(session, sequence), DONE);
      settle(session, sequence);
    }
    sequence = nextInWindow(session, sequence);
  }
  if (to > cursor && hasGap(session) && load<u64>(session, SESSION_GAP) < to) {
    store<u64>(session, min(to, load<u64>(session, SESSION_STORED_END)), SESSION_GAP);
  }
}

/** Whether all messages that the segment refers to are in memory. */
function hasAll(row: usize): bool {
  const references = load<u32>(row, ROW_SEGMENT_REFERENCES);
  for (let i: u32 = 0; i < references; i++) {
    missing = load<u64>(row + ROW_SEGMENT_BYTES + (i << 3));
    if (findStored(missing) === 0) return false;
  }
  return true;
}

/** Whether the segment is whole, and of our form. */
function isSegment(row: usize, bytes: u32): bool {
  if (bytes < ROW_SEGMENT_BYTES || <u32>load<u8>(row) !== ROW_VERSION) return false;
  const references = load<u32>(row, ROW_SEGMENT_REFERENCES);
  const entries = load<u32>(row) >> 8;
  if (entries === 0 || entries > SEGMENT_ENTRIES_MAX || references > entries) return false;
  const end = row + bytes;
  let at = row + ROW_SEGMENT_BYTES + (references << 3);
  for (let i: u32 = 0; i < entries; i++) {
    if (!isEntry(at, end, references)) return false;
    at += load<u32>(at, ROW_ENTRY_LENGTH);
  }
  return at === end;
}

/** 1 where the Session may have rows of its topics' newest messages between its segments. */
export function loadsLatest(session: usize, number: u32): u32 {
  if (load<u32>(session, SESSION_NUMBER) !== number) return 0;
  return load<u32>(session, SESSION_FLAGS) & SESSION_HAS_LATEST ? 1 : 0;
}

/**
 * Hands in a segment.
 *
 * @param at  its row, borrowed for the call
 * @param key  the u64 in its key: its first sequence, KEY_LATEST
 * @param end  what it has from this sequence on is not taken: something stands between
 * @returns 0: taken, ask loadWanted() again; MISSING, BEFORE, or a negative status
 */
export function loadSegment(
  session: usize,
  number: u32,
  at: usize,
  bytes: u32,
  key: u64,
  end: u64,
): i32 {
  const first = key & ~KEY_LATEST;
  isLatest = first !== key;
  takenEnd = end;
  const isSame = load<u32>(session, SESSION_NUMBER) === number;
  const sequence = isSame ? wanted(session) : NOTHING;
  const status = sequence < 0 ? 0 : judgeSegment(at, bytes, first, <u64>sequence);
  if (status !== MISSING) {
    const taken = sequence < 0 || status !== 0 ? status : takeSegment(session, at, first);
    releaseLoaded();
    if (sequence < 0 || taken !== 0) return taken;
    const behind = first + load<u32>(at, ROW_SEGMENT_SPAN) + 1;
    passOver(session, <u64>sequence, min(behind, end));
    const gap = load<u64>(session, SESSION_GAP);
    if (gap >= load<u64>(session, SESSION_STORED_END)) closeGap(session);
    pump(session);
  }
  return status;
}

/** Whether the segment can be taken. @returns 0, MISSING, BEFORE, DAMAGED */
function judgeSegment(at: usize, bytes: u32, first: u64, sequence: u64): i32 {
  if (!isSegment(at, bytes)) return DAMAGED;
  if (first + load<u32>(at, ROW_SEGMENT_SPAN) < sequence) return BEFORE;
  return hasAll(at) ? 0 : MISSING;
}

/** Takes what a segment has for the Session. @returns 0, or NO_MEMORY: give it again */
function takeSegment(session: usize, at: usize, first: u64): i32 {
  const entries = load<u32>(at) >> 8;
  let entry = at + ROW_SEGMENT_BYTES + (load<u32>(at, ROW_SEGMENT_REFERENCES) << 3);
  for (let i: u32 = 0; i < entries; i++) {
    const status = placeLoaded(session, at, entry, first + load<u32>(entry));
    if (status < 0) return status;
    entry += load<u32>(entry, ROW_ENTRY_LENGTH);
  }
  return 0;
}

/** The store has nothing more for the Session from what is wanted on. */
export function loadNone(session: usize, number: u32): void {
  releaseLoaded();
  if (load<u32>(session, SESSION_NUMBER) !== number) return;
  const sequence = wanted(session);
  if (sequence < 0) return;
  passOver(session, <u64>sequence, load<u64>(session, SESSION_STORED_END));
  if (!hasGap(session)) closeGap(session);
  pump(session);
}
