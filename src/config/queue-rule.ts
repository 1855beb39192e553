/**
 * `queue_rule FILTER key=value …`: other bounds for the messages of some topics.
 *
 * The keys are options' names and take their values; what a rule leaves out is as for all others.
 */
import { nearest } from "../base/nearest.ts";
import { DURATION, integer, oneOf, SWITCH, shown, type ValueType } from "./values.ts";

/** What happens to a message when a Session's queue is full, in the words of the option. */
export const QUEUE_OVERFLOW = oneOf(["drop-oldest", "drop-newest", "reject"]);
export const QUEUED_MESSAGES: ValueType<number> = integer(0, 0xffffffff);
export const QUEUED_BYTES: ValueType<number> = integer(0, Number.MAX_SAFE_INTEGER);
const KEEP = oneOf(["last"]);

/** Lines of `queue_rule` in one file: each new topic is compared with all of them. */
export const QUEUE_RULES_MAX = 64;

/** Longest Topic Filter, in bytes of UTF-8: what a length field of two bytes can say. [§1.5.4] */
const TOPIC_FILTER_BYTES_MAX = 65_535;

const KEYS = {
  max_queued_messages: QUEUED_MESSAGES,
  max_queued_bytes: QUEUED_BYTES,
  queue_overflow: QUEUE_OVERFLOW,
  queue_qos0_messages: SWITCH,
  max_message_expiry_interval: DURATION,
  keep: KEEP,
} as const;

type Key = keyof typeof KEYS;

/** The keys that a line names, with their values as the options of the same name have them. */
export type QueueRuleKeys = {
  readonly [Name in Key]?: (typeof KEYS)[Name] extends ValueType<infer Value> ? Value : never;
};

/** A `queue_rule` line. */
export interface QueueRuleValue {
  readonly topicFilter: string;
  readonly keys: QueueRuleKeys;
}

/** `FILTER key=value …`. */
export const QUEUE_RULE: ValueType<QueueRuleValue> = {
  name: "FILTER KEY=VALUE …",
  form: "a Topic Filter, then key=value at least once",
  isRestOfLine: true,
  read: (written) => {
    const judged = judge(written);
    return typeof judged === "string" ? null : judged;
  },
  explain: (written) => {
    const judged = judge(written);
    return typeof judged === "string" ? judged : null;
  },
};

/** @returns the rule, or what is wrong with it */
function judge(written: string): QueueRuleValue | string {
  const [topicFilter = "", ...pairs] = written.split(/[ \t]+/);
  const fault = faultOfFilter(topicFilter);
  if (fault !== null) return fault;
  if (pairs.length === 0) return `nothing stands behind the filter; expected ${listOfKeys()}`;
  const keys: Record<string, unknown> = {};
  for (const pair of pairs) {
    const [, name = "", value = ""] = /^([^=]*)=?(.*)$/.exec(pair) ?? [];
    if (!isKey(name)) return `unknown key ${shown(name)}${hintFor(name)}`;
    const type: ValueType<unknown> = KEYS[name];
    const read = value === "" ? null : type.read(value);
    if (read === null) return `${name}: "${shown(value)}" is not accepted; expected ${type.form}`;
    if (Object.hasOwn(keys, name)) return `${name} is set twice`;
    keys[name] = read;
  }
  return { topicFilter, keys: keys as QueueRuleKeys };
}

/** `+` and `#` fill a level, and nothing follows `#` [MQTT-4.7.1-1, -2]; null: it is valid. */
function faultOfFilter(topicFilter: string): string | null {
  const levels = topicFilter.split("/");
  const isWhole = levels.every((level) => level.length === 1 || !/[+#]/.test(level));
  if (!isWhole || levels.slice(0, -1).includes("#")) {
    return `"${shown(topicFilter)}" is no Topic Filter: + and # fill a level, and # is the last`;
  }
  if (levels[0] === "$share") {
    return "a rule has no $share; give the Topic Filter behind $share/NAME/";
  }
  const isLong = Buffer.byteLength(topicFilter) > TOPIC_FILTER_BYTES_MAX;
  if (isLong || topicFilter.includes("\0") || !topicFilter.isWellFormed()) {
    return "the Topic Filter is too long, or no UTF-8 that MQTT allows";
  }
  return null;
}

function isKey(name: string): name is Key {
  return Object.hasOwn(KEYS, name);
}

function hintFor(name: string): string {
  const guess = nearest(name, Object.keys(KEYS));
  return guess === null ? `; expected ${listOfKeys()}` : `; did you mean ${guess}?`;
}

function listOfKeys(): string {
  return Object.keys(KEYS).join("=, ").concat("=");
}
