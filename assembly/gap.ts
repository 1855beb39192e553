/**
 * The gap of a queue: what is in the store only (see queue.ts). How many messages and bytes it has
 * is an estimate, since it may have fewer than sequences; once it is loaded that is corrected.
 */
import {
  E_BYTES,
  E_NEXT,
  E_SEQUENCE,
  firstUnsent,
  freeEntry,
  hasGap,
  hasQueued,
  isGapFirst,
  uncount,
  unqueue,
} from "./queue";
import {
  SESSION_GAP,
  SESSION_QUEUE_HEAD,
  SESSION_STORED_BYTES,
  SESSION_STORED_COUNT,
  SESSION_STORED_END,
} from "./session-layout";

/** Moves the beginning of the gap, which is first: of what it counts, the share before goes. */
export function passGap(session: usize, to: u64): void {
  const end = load<u64>(session, SESSION_STORED_END);
  if (to >= end) {
    closeGap(session);
    return;
  }
  const span = end - load<u64>(session, SESSION_GAP);
  const stored: u64 = max(load<u32>(session, SESSION_STORED_COUNT), 1);
  // What a gap has is not known before it is loaded; one that is not empty never counts as such.
  const left = max((stored * (end - to) + (span >> 1)) / span, 1);
  const bytes = load<u64>(session, SESSION_STORED_BYTES) / stored;
  store<u64>(session, to, SESSION_GAP);
  if (left < stored) uncount(session, <i32>(stored - left), bytes * (stored - left), true);
}

/** A message of the gap is not owed any more: a newer one, in the list, took its place. */
export function forgetInGap(session: usize, bytes: u32): void {
  if (load<u32>(session, SESSION_STORED_COUNT) === 0) return;
  uncount(session, 1, min(<u64>bytes, load<u64>(session, SESSION_STORED_BYTES)), true);
}

/** Skips the first message of the gap: which it is stands in the store, so the means will do. */
export function skipGapFirst(session: usize): void {
  const stored = max(load<u32>(session, SESSION_STORED_COUNT), 1);
  const bytes = load<u64>(session, SESSION_STORED_BYTES) / stored;
  const end = load<u64>(session, SESSION_STORED_END);
  const gap = load<u64>(session, SESSION_GAP);
  const to = gap + max((end - gap) / stored, 1);
  if (to >= end) {
    closeGap(session);
    return;
  }
  store<u64>(session, to, SESSION_GAP);
  if (stored > 1) uncount(session, 1, bytes, true);
}

/** All before this sequence that was not sent is dropped, as a journal says. */
export function skipUnsent(session: usize, sequence: u64): void {
  while (hasQueued(session) && firstUnsent(session, sequence) < sequence) {
    if (isGapFirst(session)) passGap(session, sequence);
    else freeEntry(unqueue(session));
  }
}

/** The gap is empty: what the store was thought to have is corrected to what is in memory. */
export function closeGap(session: usize): void {
  const end = load<u64>(session, SESSION_STORED_END);
  store<u64>(session, end, SESSION_GAP);
  let stored: u32 = 0;
  let bytes: u64 = 0;
  let entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
  while (entry !== 0 && load<u64>(entry, E_SEQUENCE) < end) {
    stored++;
    bytes += load<u32>(entry, E_BYTES);
    entry = load<u32>(entry, E_NEXT);
  }
  const surplus = <i32>(load<u32>(session, SESSION_STORED_COUNT) - stored);
  uncount(session, surplus, <i64>(load<u64>(session, SESSION_STORED_BYTES) - bytes), true);
}

/** Counts what is in the store only out: the Session ends. */
export function forgetStoredQueue(session: usize): void {
  if (hasGap(session)) closeGap(session);
}
