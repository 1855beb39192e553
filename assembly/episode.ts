/**
 * Episodes: a queue that fills up is told of once, one that drops once, until it has room again.
 *
 * Several queue_rule bound one queue. An episode ends by the bounds that began it, or by narrower
 * ones that were met since: bounds that other Sessions have, or other topics, do not end it.
 */
import {
  E_QUEUE_FILLS,
  E_QUEUE_FULL,
  S_QUEUES_FILLING,
  S_QUEUES_FULL,
  S_SESSIONS_CONNECTED,
  S_SESSIONS_ORPHANED,
} from "./abi";
import { raise } from "./connection";
import {
  boundsCount,
  bytesOfRule,
  messagesOfRule,
  ruleBytesMax,
  ruleIndex,
  ruleMessagesMax,
} from "./rules";
import {
  SESSION_CONNECTION,
  SESSION_EPISODE_SHIFT,
  SESSION_FILLS,
  SESSION_FLAGS,
  SESSION_FULL,
  SESSION_NUMBER,
  SESSION_QUEUED_BYTES,
  SESSION_QUEUED_COUNT,
} from "./session-layout";
import { count } from "./settings";

const EPISODE_MASK: u32 = u32.MAX_VALUE << SESSION_EPISODE_SHIFT;

/**
 * An episode of a queue begins, by a rule.
 *
 * @param messagesMax  bound of the rule
 * @returns false: it had begun
 */
function begin(session: usize, bit: u32, counter: u32, rule: u32, messagesMax: u32): bool {
  let flags = load<u32>(session, SESSION_FLAGS);
  if (flags & bit) return false;
  const isFirst = (flags & (SESSION_FULL | SESSION_FILLS)) === 0;
  if (isFirst || messagesMax < messagesOfRule(flags >>> SESSION_EPISODE_SHIFT)) {
    flags = (flags & ~EPISODE_MASK) | (rule << SESSION_EPISODE_SHIFT);
  }
  store<u32>(session, flags | bit, SESSION_FLAGS);
  count(counter, 1);
  if (bit === SESSION_FULL && load<u32>(session, SESSION_CONNECTION) === 0) {
    count(S_SESSIONS_ORPHANED, 1);
  }
  return true;
}

/** By the rule found last. */
function tell(session: usize, kind: u32, bit: u32, counter: u32): void {
  if (!begin(session, bit, counter, ruleIndex, ruleMessagesMax)) return;
  raise(kind, load<u32>(session, SESSION_NUMBER), <u32>session);
}

/** Whether the queue is four fifths full. */
function fills(session: usize, messagesMax: u32, bytesMax: u64): bool {
  const queued = <u64>load<u32>(session, SESSION_QUEUED_COUNT);
  const bytes = load<u64>(session, SESSION_QUEUED_BYTES);
  return queued * 5 >= <u64>messagesMax * 4 || bytes >= bytesMax - bytesMax / 5;
}

/** The queue takes no more, by the rule found last. */
export function noteFull(session: usize): void {
  // It may have come to that with one message, or before a restart: first things first.
  if (load<u32>(session, SESSION_QUEUED_COUNT) !== 0) noteFilling(session);
  tell(session, E_QUEUE_FULL, SESSION_FULL, S_QUEUES_FULL);
}

/** Says what is to be said of a queue that took one more message, by the rule found last. */
export function noteFilling(session: usize): void {
  if (load<u32>(session, SESSION_FLAGS) & SESSION_FILLS) return;
  if (!fills(session, ruleMessagesMax, ruleBytesMax)) return;
  tell(session, E_QUEUE_FILLS, SESSION_FILLS, S_QUEUES_FILLING);
}

/**
 * The queue is as it was when the broker ended: its episodes go on, and were told of. Which rule
 * began them is on no record: they go on where all bounds that there are would have.
 */
export function recoverEpisodes(session: usize): void {
  const queued = load<u32>(session, SESSION_QUEUED_COUNT);
  if (queued === 0) return;
  let rule: u32 = 0;
  for (let other: u32 = 0; other < boundsCount(); other++) {
    if (!fills(session, messagesOfRule(other), bytesOfRule(other))) return;
    if (messagesOfRule(other) > messagesOfRule(rule)) rule = other;
  }
  const messagesMax = messagesOfRule(rule);
  begin(session, SESSION_FILLS, S_QUEUES_FILLING, rule, messagesMax);
  // One more of the usual size is too much.
  const bytes = load<u64>(session, SESSION_QUEUED_BYTES);
  if (queued < messagesMax && bytes + bytes / queued <= bytesOfRule(rule)) return;
  begin(session, SESSION_FULL, S_QUEUES_FULL, rule, messagesMax);
}

/** Something left the queue: its next episode begins when three tenths of it are free again. */
export function endEpisodes(session: usize, flags: u32): void {
  const rule = flags >>> SESSION_EPISODE_SHIFT;
  const messagesMax = <u64>messagesOfRule(rule);
  const bytesMax = bytesOfRule(rule);
  const left = <u64>load<u32>(session, SESSION_QUEUED_COUNT);
  const bytes = load<u64>(session, SESSION_QUEUED_BYTES);
  if (left * 10 >= messagesMax * 7 || bytes > bytesMax - (bytesMax >> 2)) return;
  uncountEpisodes(session, flags);
  store<u32>(session, flags & ~(SESSION_FULL | SESSION_FILLS | EPISODE_MASK), SESSION_FLAGS);
}

/** Its episodes end, or it is about to be gone. @param flags  SESSION_FLAGS */
export function uncountEpisodes(session: usize, flags: u32): void {
  if (flags & SESSION_FILLS) count(S_QUEUES_FILLING, -1);
  if (!(flags & SESSION_FULL)) return;
  count(S_QUEUES_FULL, -1);
  if (load<u32>(session, SESSION_CONNECTION) === 0) count(S_SESSIONS_ORPHANED, -1);
}

/** Lets a connection carry the Session, or 0: none does any more. */
export function setConnection(session: usize, record: usize): void {
  const was = load<u32>(session, SESSION_CONNECTION) !== 0;
  const is = record !== 0;
  store<u32>(session, <u32>record, SESSION_CONNECTION);
  if (was === is) return;
  count(S_SESSIONS_CONNECTED, is ? 1 : -1);
  if (load<u32>(session, SESSION_FLAGS) & SESSION_FULL) count(S_SESSIONS_ORPHANED, is ? -1 : 1);
}
