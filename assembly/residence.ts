/**
 * What of a Session's messages stays in memory once the store has them: nothing where its client
 * is away, a little of the queue where it is there. The rest is loaded when its turn comes.
 */
import { E_BYTES, E_NEXT, E_SEQUENCE, freeEntry, hasGap } from "./queue";
import {
  SESSION_CONNECTION,
  SESSION_CURSOR,
  SESSION_GAP,
  SESSION_GAP_AFTER,
  SESSION_HEAD,
  SESSION_QUEUE_HEAD,
  SESSION_QUEUE_TAIL,
  SESSION_RING,
  SESSION_STORED_BYTES,
  SESSION_STORED_COUNT,
  SESSION_STORED_END,
} from "./session-layout";
import { NOT_LOADED, STATE, slotAt } from "./slots";

/** Messages of the queue that stay in memory for a client that is there. */
export const RESIDENT_MAX: u32 = 64;

/** What is owed below this is in the store now. */
export function movedToStore(session: usize, storedEnd: u64): void {
  const before = load<u64>(session, SESSION_STORED_END);
  if (storedEnd <= before) return;
  let entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
  let stored = load<u32>(session, SESSION_STORED_COUNT);
  let bytes = load<u64>(session, SESSION_STORED_BYTES);
  while (entry !== 0 && load<u64>(entry, E_SEQUENCE) < storedEnd) {
    if (load<u64>(entry, E_SEQUENCE) >= before) {
      stored++;
      bytes += load<u32>(entry, E_BYTES);
    }
    entry = load<u32>(entry, E_NEXT);
  }
  store<u32>(session, stored, SESSION_STORED_COUNT);
  store<u64>(session, bytes, SESSION_STORED_BYTES);
  if (!hasGap(session)) store<u64>(session, storedEnd, SESSION_GAP);
  store<u64>(session, storedEnd, SESSION_STORED_END);
  // Behind a gap nothing that is stored stays: it is all between gap and stored end.
  if (load<u64>(session, SESSION_GAP) < before) evictBehind(session, gapAfter(session));
}

function gapAfter(session: usize): usize {
  return load<u32>(session, SESSION_GAP_AFTER);
}

/** Frees what is stored behind this entry, or from the first on; the gap begins there. */
function evictBehind(session: usize, after: usize): void {
  const end = load<u64>(session, SESSION_STORED_END);
  let entry: usize =
    after !== 0 ? load<u32>(after, E_NEXT) : load<u32>(session, SESSION_QUEUE_HEAD);
  if (entry === 0 || load<u64>(entry, E_SEQUENCE) >= end) return;
  const gap = min(load<u64>(session, SESSION_GAP), load<u64>(entry, E_SEQUENCE));
  while (entry !== 0 && load<u64>(entry, E_SEQUENCE) < end) {
    const next: usize = load<u32>(entry, E_NEXT);
    freeEntry(entry);
    entry = next;
  }
  if (after !== 0) store<u32>(after, <u32>entry, E_NEXT);
  else store<u32>(session, <u32>entry, SESSION_QUEUE_HEAD);
  if (entry === 0) store<u32>(session, <u32>after, SESSION_QUEUE_TAIL);
  store<u32>(session, <u32>after, SESSION_GAP_AFTER);
  store<u64>(session, gap, SESSION_GAP);
}

/** Frees the bodies of what was sent; their places in the window stay. */
function evictWindow(session: usize): void {
  if (load<u32>(session, SESSION_RING) === 0) return;
  const end = min(load<u64>(session, SESSION_CURSOR), load<u64>(session, SESSION_STORED_END));
  for (let sequence = load<u64>(session, SESSION_HEAD); sequence < end; sequence++) {
    const slot = slotAt(session, sequence);
    const entry: usize = load<u32>(slot) & ~STATE;
    if (entry === 0) continue;
    freeEntry(entry);
    store<u32>(slot, NOT_LOADED);
  }
}

/** Lets go of what the store has. */
export function evict(session: usize): void {
  if (load<u32>(session, SESSION_CONNECTION) === 0) {
    evictWindow(session);
    evictBehind(session, 0);
    return;
  }
  if (hasGap(session)) return;
  const end = load<u64>(session, SESSION_STORED_END);
  let kept: usize = 0;
  let entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
  let resident: u32 = 0;
  while (entry !== 0 && load<u64>(entry, E_SEQUENCE) < end && resident < RESIDENT_MAX) {
    kept = entry;
    resident++;
    entry = load<u32>(entry, E_NEXT);
  }
  if (resident === RESIDENT_MAX) evictBehind(session, kept);
}
