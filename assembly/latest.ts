/**
 * queue_rule keep=last: of some topics only the newest message waits for a client that is away.
 *
 * A message gets its sequence and its record as any other. It is replaced by a newer one of its
 * topic in three places: in memory, when the client comes back and when the index step looks at
 * the queue; in the store, whose row the newer one takes; and on the way back from there.
 */
import {
  DROPS_REPLACED,
  J_DONE,
  ROW_SESSION_UNSENT_BYTES,
  ROW_SESSION_UNSENT_COUNT,
  S_DROPPED_REPLACED,
} from "./abi";
import { forgetInGap } from "./gap";
import { journalSequence } from "./journal";
import { alloc, free } from "./memory";
import { M_TOPIC_BYTES, topicOf } from "./message";
import {
  countDrop,
  E_FLAGS,
  E_LAST,
  E_MESSAGE,
  E_NEXT,
  E_REPLACED,
  E_SEQUENCE,
  forgetBehind,
  hasGap,
  isFull,
} from "./queue";
import { hasKeepingRules, keepsLast, ruleBytesMax, ruleMessagesMax } from "./rules";
import { sessionOfNumber } from "./session";
import {
  SESSION_CONNECTION,
  SESSION_CURSOR,
  SESSION_DURABLE,
  SESSION_FLAGS,
  SESSION_FULL,
  SESSION_GAP,
  SESSION_GAP_AFTER,
  SESSION_HEAD,
  SESSION_QUEUE_HEAD,
} from "./session-layout";
import { AWAITS_PUBCOMP, DONE, stateOf } from "./slots";
import { equalBytes, hashBytes } from "./topic";

/** Entries by topic while keepLatest() works: addresses, with linear probing. */
let table: usize = 0;
let tableMask: u32 = 0;

function isSameTopic(one: usize, other: usize): bool {
  const bytes = load<u32>(one, M_TOPIC_BYTES);
  if (load<u32>(other, M_TOPIC_BYTES) !== bytes) return false;
  return equalBytes(topicOf(one), topicOf(other), bytes);
}

/** Where the table has the topic of this message, or has room for it. */
function place(message: usize): usize {
  let slot = <u32>hashBytes(0, topicOf(message), load<u32>(message, M_TOPIC_BYTES)) & tableMask;
  while (true) {
    const at = table + (slot << 2);
    const entry: usize = load<u32>(at);
    if (entry === 0 || isSameTopic(load<u32>(entry, E_MESSAGE), message)) return at;
    slot = (slot + 1) & tableMask;
  }
}

/** Marks those that a later one replaces. @returns how many they are */
function markReplaced(first: usize, end: usize, mark: u32): u32 {
  let replaced: u32 = 0;
  for (let entry = first; entry !== end; entry = load<u32>(entry, E_NEXT)) {
    const message: usize = load<u32>(entry, E_MESSAGE);
    if (!keepsLast(message)) continue;
    const at = place(message);
    const older: usize = load<u32>(at);
    store<u32>(at, <u32>entry);
    store<u32>(entry, load<u32>(entry, E_FLAGS) | mark, E_FLAGS);
    if (older === 0) continue;
    store<u32>(older, load<u32>(older, E_FLAGS) | E_REPLACED, E_FLAGS);
    replaced++;
  }
  return replaced;
}

function isDurable(session: usize): bool {
  return (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) !== 0;
}

/** Drops the entries that are marked. */
function dropReplaced(session: usize, total: u32, records: bool): void {
  let left = total;
  let before: usize = 0;
  let entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
  while (left !== 0) {
    const next: usize = load<u32>(entry, E_NEXT);
    if (load<u32>(entry, E_FLAGS) & E_REPLACED) {
      if (records) journalSequence(J_DONE, session, load<u64>(entry, E_SEQUENCE));
      forgetBehind(session, before, entry);
      countDrop(session, S_DROPPED_REPLACED, DROPS_REPLACED);
      left--;
    } else {
      before = entry;
    }
    entry = next;
  }
}

/**
 * Drops of the topics that keep only their newest message all others, from one entry of the queue
 * up to another. Without memory for it nothing happens.
 *
 * @param first  an entry of the Session's queue, or 0
 * @param end  the entry behind the last, or 0
 * @param mark  E_LAST, or 0: what the flags of the newest get
 * @param records  whether the journal is to say so; otherwise the index is about to
 */
export function keepLatest(
  session: usize,
  first: usize,
  end: usize,
  mark: u32,
  records: bool,
): void {
  let total: u32 = 0;
  for (let entry = first; entry !== end; entry = load<u32>(entry, E_NEXT)) total++;
  if (total === 0) return;
  let slots: u32 = 4;
  while (slots < total << 1) slots <<= 1;
  table = alloc(slots << 2);
  if (table === 0) return;
  memory.fill(table, 0, slots << 2);
  tableMask = slots - 1;
  const replaced = markReplaced(first, end, mark);
  free(table);
  dropReplaced(session, replaced, records);
}

/** The client is back: what came while it was away is what its queue has now. */
export function keepLatestOfAll(session: usize): void {
  if (!hasKeepingRules()) return;
  keepLatest(session, load<u32>(session, SESSION_QUEUE_HEAD), 0, E_LAST, isDurable(session));
}

/** The queue of a client that is away is full, by the rule found last: some of it may be old. */
export function keepLatestIfFull(session: usize, bytes: u32): void {
  if (!hasKeepingRules() || load<u32>(session, SESSION_CONNECTION) !== 0) return;
  // Once per episode: while that lasts, hardly any is.
  if (load<u32>(session, SESSION_FLAGS) & SESSION_FULL) return;
  if (!isFull(session, bytes, ruleMessagesMax, ruleBytesMax)) return;
  keepLatest(session, load<u32>(session, SESSION_QUEUE_HEAD), 0, 0, isDurable(session));
}

/** Whether a message that comes from the store has a newer one behind the gap. */
export function isReplaced(session: usize, message: usize): bool {
  if (!hasKeepingRules() || !keepsLast(message)) return false;
  const after: usize = load<u32>(session, SESSION_GAP_AFTER);
  let entry: usize =
    after !== 0 ? load<u32>(after, E_NEXT) : load<u32>(session, SESSION_QUEUE_HEAD);
  while (entry !== 0) {
    const flags = load<u32>(entry, E_FLAGS);
    if (flags & E_LAST && isSameTopic(load<u32>(entry, E_MESSAGE), message)) return true;
    entry = load<u32>(entry, E_NEXT);
  }
  return false;
}

/** Takes a message out of the list, where it has it. */
function forgetListed(session: usize, sequence: u64): bool {
  let before: usize = 0;
  let entry: usize = load<u32>(session, SESSION_QUEUE_HEAD);
  while (entry !== 0 && load<u64>(entry, E_SEQUENCE) < sequence) {
    before = entry;
    entry = load<u32>(entry, E_NEXT);
  }
  if (entry === 0 || load<u64>(entry, E_SEQUENCE) !== sequence) return false;
  forgetBehind(session, before, entry);
  return true;
}

/**
 * The store is about to put a topic's newest message in the place of an older one.
 *
 * @param number  of the Session
 * @param sequence  of the older one
 * @param bytes  that it counts
 * @param row  of the Session, as the batch puts it, or 0
 * @returns 1: it was sent and is still owed, so its row is to stay; otherwise 0
 */
export function replaceLatest(number: u32, sequence: u64, bytes: u32, row: usize): u32 {
  const session = sessionOfNumber(number);
  if (session === 0 || sequence < load<u64>(session, SESSION_HEAD)) return 0;
  if (sequence < load<u64>(session, SESSION_CURSOR)) {
    const state = stateOf(session, sequence);
    return state !== DONE && state !== AWAITS_PUBCOMP ? 1 : 0;
  }
  if (!forgetListed(session, sequence)) {
    if (!hasGap(session) || sequence < load<u64>(session, SESSION_GAP)) return 0;
    forgetInGap(session, bytes);
  }
  countDrop(session, S_DROPPED_REPLACED, DROPS_REPLACED);
  if (row === 0) return 0;
  const unsent = load<u32>(row, ROW_SESSION_UNSENT_COUNT);
  if (unsent < 2) return 0;
  const unsentBytes = load<u64>(row, ROW_SESSION_UNSENT_BYTES);
  store<u32>(row, unsent - 1, ROW_SESSION_UNSENT_COUNT);
  store<u64>(row, unsentBytes - min(<u64>bytes, unsentBytes), ROW_SESSION_UNSENT_BYTES);
  return 0;
}
