/**
 * Bounds of queues: the operator's, and those of the first queue_rule whose Topic Filter matches.
 *
 *   rule: ┌────────┬──────────┬─────────┬──────┬────────┬───────────┬───────┬───┬────────┐
 *         │ filter │ messages │ over-   │ qos0 │ expiry │ bytes max │ keeps │ 0 │ text … │   u32;
 *         │ bytes  │ max      │ flow    │      │ ms u64 │ u64       │ last  │   │        │   u64
 *         └────────┴──────────┴─────────┴──────┴────────┴───────────┴───────┴───┴────────┘
 */
import { alloc, free } from "./memory";
import { M_TOPIC_BYTES, topicOf } from "./message";
import {
  messageExpiryMsMax,
  queuedBytesMax,
  queuedMessagesMax,
  queueOverflow,
  queueQos0,
} from "./settings";
import { DOLLAR_SIGN, isHash, isPlus, levelEnd, NUMBER_SIGN, PLUS_SIGN } from "./topic";

const RULE_FILTER_BYTES: u32 = 0;
const RULE_MESSAGES: u32 = 4;
const RULE_OVERFLOW: u32 = 8;
const RULE_QOS0: u32 = 12;
const RULE_EXPIRY: u32 = 16;
const RULE_BYTES: u32 = 24;
const RULE_KEEPS_LAST: u32 = 32;
const RULE_FILTER: u32 = 40;

/** Rules that there may be. */
const RULES_MAX: u32 = 64;

const rules: usize = memory.data(64 * 4, 4);
let ruleCount: u32 = 0;
let keepingRules: u32 = 0;

// What useRule() found.
export let ruleMessagesMax: u32 = 0;
export let ruleBytesMax: u64 = 0;
let ruleOverflow: u32 = 0;
let ruleQos0: bool = false;
let ruleExpiryMs: u64 = 0;
/** Which it is: 0 for the operator's own bounds, or one more than its place. */
export let ruleIndex: u32 = 0;

/** Removes all rules, for others to be added; none of those that keep the newest only. */
export function clearQueueRules(): void {
  for (let i: u32 = 0; i < ruleCount; i++) free(load<u32>(rules + (i << 2)));
  ruleCount = 0;
}

/**
 * Adds a rule behind those that there are. One that keeps the newest message only is added before
 * the first connection: queues know which of their messages were the newest.
 *
 * @param at  its Topic Filter, copied
 * @param messages  as for configure()
 * @param overflow  DROP_OLDEST, DROP_NEWEST, REJECT
 * @param expirySeconds  0 = no bound
 * @param keepsLast  1: only the newest message per Topic Name waits for a client that is away
 * @returns 0, or 1: there are RULES_MAX, or no memory
 */
export function addQueueRule(
  at: usize,
  bytes: u32,
  messages: u32,
  queuedBytes: f64,
  overflow: u32,
  qos0: u32,
  expirySeconds: u32,
  keepsLast: u32,
): u32 {
  const rule = ruleCount < RULES_MAX ? alloc(RULE_FILTER + bytes) : 0;
  if (rule === 0) return 1;
  store<u32>(rule, bytes, RULE_FILTER_BYTES);
  store<u32>(rule, messages, RULE_MESSAGES);
  store<u32>(rule, overflow, RULE_OVERFLOW);
  store<u32>(rule, qos0, RULE_QOS0);
  store<u64>(rule, <u64>expirySeconds * 1000, RULE_EXPIRY);
  store<u64>(rule, <u64>queuedBytes, RULE_BYTES);
  store<u32>(rule, keepsLast, RULE_KEEPS_LAST);
  if (keepsLast !== 0) keepingRules++;
  memory.copy(rule + RULE_FILTER, at, bytes);
  store<u32>(rules + (ruleCount << 2), <u32>rule);
  ruleCount++;
  return 0;
}

/** Whether a Topic Filter matches a Topic Name, §4.7. */
function matches(filterAt: usize, filterBytes: u32, topicAt: usize, topicBytes: u32): bool {
  let filter = filterAt;
  const filterEnd = filterAt + filterBytes;
  let topic = topicAt;
  const topicEnd = topicAt + topicBytes;
  const first = load<u8>(filter);
  // [MQTT-4.7.2-1]
  if (load<u8>(topic) === DOLLAR_SIGN && (first === PLUS_SIGN || first === NUMBER_SIGN)) {
    return false;
  }
  while (true) {
    const stop = levelEnd(filter, filterEnd);
    if (isHash(filter, stop, filterEnd)) return true;
    const level = levelEnd(topic, topicEnd);
    if (!isPlus(filter, stop)) {
      if (stop - filter !== level - topic) return false;
      if (memory.compare(filter, topic, stop - filter) !== 0) return false;
    }
    if (level === topicEnd) {
      // `a/#` matches `a` as well.
      return stop === filterEnd || isHash(stop + 1, filterEnd, filterEnd);
    }
    if (stop === filterEnd) return false;
    filter = stop + 1;
    topic = level + 1;
  }
}

/** Finds the bounds for messages of this Topic Name. */
export function useRuleFor(topicAt: usize, topicBytes: u32): void {
  ruleMessagesMax = queuedMessagesMax;
  ruleBytesMax = queuedBytesMax;
  ruleOverflow = queueOverflow;
  ruleQos0 = queueQos0;
  ruleExpiryMs = messageExpiryMsMax;
  ruleIndex = 0;
  for (let i: u32 = 0; i < ruleCount; i++) {
    const rule: usize = load<u32>(rules + (i << 2));
    const filterBytes = load<u32>(rule, RULE_FILTER_BYTES);
    if (!matches(rule + RULE_FILTER, filterBytes, topicAt, topicBytes)) continue;
    ruleIndex = i + 1;
    ruleMessagesMax = load<u32>(rule, RULE_MESSAGES);
    ruleBytesMax = load<u64>(rule, RULE_BYTES);
    ruleOverflow = load<u32>(rule, RULE_OVERFLOW);
    ruleQos0 = load<u32>(rule, RULE_QOS0) !== 0;
    ruleExpiryMs = load<u64>(rule, RULE_EXPIRY);
    return;
  }
}

/** As useRuleFor(), for a stored message. */
export function useRule(message: usize): void {
  useRuleFor(topicOf(message), load<u32>(message, M_TOPIC_BYTES));
}

/** How many bounds there may be for a queue: a ruleIndex is less. */
export function boundsCount(): u32 {
  return ruleCount + 1;
}

/** Bounds of a rule, by its ruleIndex. */
export function messagesOfRule(index: u32): u32 {
  if (index === 0) return queuedMessagesMax;
  return load<u32>(load<u32>(rules + ((index - 1) << 2)), RULE_MESSAGES);
}

export function bytesOfRule(index: u32): u64 {
  if (index === 0) return queuedBytesMax;
  return load<u64>(load<u32>(rules + ((index - 1) << 2)), RULE_BYTES);
}

/** Whether of this message's topic only the newest waits for a client that is away. */
export function keepsLast(message: usize): bool {
  const topicBytes = load<u32>(message, M_TOPIC_BYTES);
  for (let i: u32 = 0; i < ruleCount; i++) {
    const rule: usize = load<u32>(rules + (i << 2));
    const filterBytes = load<u32>(rule, RULE_FILTER_BYTES);
    if (matches(rule + RULE_FILTER, filterBytes, topicOf(message), topicBytes)) {
      return load<u32>(rule, RULE_KEEPS_LAST) !== 0;
    }
  }
  return false;
}

/** Whether keepsLast() holds for any message at all. */
export function hasKeepingRules(): bool {
  return keepingRules !== 0;
}

/** What becomes of a message for a full queue. */
export function overflowOf(): u32 {
  return ruleOverflow;
}

/** Whether QoS 0 messages wait. */
export function keepsQos0(): bool {
  return ruleQos0;
}

/** Longest life of a message, milliseconds; 0 = no bound. */
export function expiryMsOf(): u64 {
  return ruleExpiryMs;
}

/** Whether there is any rule or bound that differs from what is the same for all messages. */
export function hasRules(): bool {
  return ruleCount !== 0;
}
