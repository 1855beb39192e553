/**
 * Whether a PUBLISH may be taken for who is to get it later: what the store and the queues say.
 */
import {
  D_PAYLOAD_AT,
  D_PAYLOAD_BYTES,
  D_PROPERTIES_BYTES,
  D_TOPIC_AT,
  D_TOPIC_BYTES,
  D_VALUES,
  DECODED,
  R_COMMIT,
  S_REFUSED_QUEUE_FULL,
  S_REFUSED_STORE,
} from "./abi";
import { keepLatestIfFull } from "./latest";
import { memoryTight } from "./memory";
import { hasProperty } from "./properties";
import { isFull, QUEUED_OVERHEAD_BYTES } from "./queue";
import { mayRetain } from "./retained";
import {
  hasRules,
  keepsQos0,
  overflowOf,
  ruleBytesMax,
  ruleMessagesMax,
  useRuleFor,
} from "./rules";
import {
  SESSION_CONNECTION,
  SESSION_DURABLE,
  SESSION_FLAGS,
  SESSION_NUMBER,
} from "./session-layout";
import {
  count,
  isRecording,
  queueOverflow,
  queueQos0,
  REFUSING_FULL,
  REJECT,
  refusing,
} from "./settings";
import { mayGive } from "./shared";
import { FLAG_RETAIN, PAYLOAD_FORMAT_INDICATOR, QUOTA_EXCEEDED, VERSION_5 } from "./spec";
import {
  ENTRY_BITS,
  ENTRY_BYTES,
  ENTRY_NUMBER,
  ENTRY_SESSION,
  LIST_COUNT,
  LIST_ENTRIES,
} from "./topic-match";
import { ENTRY_QOS_MASK, ENTRY_SHARED } from "./topic-tree";
import { payloadUtf8Valid } from "./utf8";
import { mayOpenNext } from "./window";

/** Whether what the Session is owed is put on record. Hot. */
export function isDurable(session: usize): bool {
  return isRecording && (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) !== 0;
}

/** Whether the payload is what its Payload Format Indicator says it is, §3.3.2.3.2. */
export function payloadHolds(version: u32): bool {
  if (version !== VERSION_5 || !hasProperty(PAYLOAD_FORMAT_INDICATOR)) return true;
  if (load<u32>(DECODED, D_VALUES + (PAYLOAD_FORMAT_INDICATOR << 3)) === 0) return true;
  return payloadUtf8Valid(load<u32>(DECODED, D_PAYLOAD_AT), load<u32>(DECODED, D_PAYLOAD_BYTES));
}

/** Whether QoS 0 messages of the topic in DECODED wait for who is away: the operator says so. */
export function keepsUnacknowledged(): bool {
  if (!hasRules()) return queueQos0;
  useRuleFor(load<u32>(DECODED, D_TOPIC_AT), load<u32>(DECODED, D_TOPIC_BYTES));
  return keepsQos0();
}

/** Whether some durable Session would be owed the message. */
function hasDurable(list: usize): bool {
  const total = load<u32>(list, LIST_COUNT);
  for (let i: u32 = 0; i < total; i++) {
    const entry = list + LIST_ENTRIES + i * ENTRY_BYTES;
    const session: usize = load<u32>(entry, ENTRY_SESSION);
    if (load<u32>(session, SESSION_NUMBER) !== load<u32>(entry, ENTRY_NUMBER)) continue;
    if (load<u32>(entry, ENTRY_BITS) & ENTRY_QOS_MASK && isDurable(session)) return true;
  }
  return false;
}

/** Whether some receiver's queue is full, where the operator wants that to be refused. */
function isRejected(list: usize, bytes: u32): bool {
  if (hasRules()) {
    useRuleFor(load<u32>(DECODED, D_TOPIC_AT), load<u32>(DECODED, D_TOPIC_BYTES));
    if (overflowOf() !== REJECT) return false;
  } else {
    if (queueOverflow !== REJECT) return false;
    useRuleFor(load<u32>(DECODED, D_TOPIC_AT), 0);
  }
  const total = load<u32>(list, LIST_COUNT);
  for (let i: u32 = 0; i < total; i++) {
    const entry = list + LIST_ENTRIES + i * ENTRY_BYTES;
    const session: usize = load<u32>(entry, ENTRY_SESSION);
    if (load<u32>(session, SESSION_NUMBER) !== load<u32>(entry, ENTRY_NUMBER)) continue;
    if (!(load<u32>(entry, ENTRY_BITS) & ENTRY_QOS_MASK)) continue;
    const receiver: usize = load<u32>(session, SESSION_CONNECTION);
    if (load<u32>(entry, ENTRY_BITS) & ENTRY_SHARED && mayGive(session)) continue;
    if (receiver !== 0 && mayOpenNext(session, receiver)) continue;
    keepLatestIfFull(session, bytes);
    if (isFull(session, bytes, ruleMessagesMax, ruleBytesMax)) return true;
  }
  return false;
}

/** Whether there is no memory for the message in DECODED, or none for what is retained. Hot. */
export function lacksMemory(session: usize, qos: u32, first: u32): bool {
  const bytes = load<u32>(DECODED, D_PAYLOAD_BYTES);
  const isKept = (first & FLAG_RETAIN) !== 0 && bytes !== 0;
  if (isKept && session !== 0) {
    const topicBytes = load<u32>(DECODED, D_TOPIC_BYTES);
    if (!mayRetain(load<u32>(DECODED, D_TOPIC_AT), topicBytes, bytes)) return true;
  }
  // What deletes a retained message gives memory back.
  return (qos !== 0 || isKept) && memoryTight();
}

/**
 * Judges a message of QoS 1 or 2, or one to be retained, by what the store and the queues take.
 *
 * @returns 0; R_COMMIT: the publisher waits; −0x97: refused with that Reason Code
 */
export function admitStored(list: usize, version: u32, qos: u32, first: u32): i32 {
  const isRetained = (first & FLAG_RETAIN) !== 0;
  if (refusing !== 0 && (isRetained || (qos !== 0 && hasDurable(list)))) {
    // Before 5.0 nothing can say so: the publisher waits until there is room.
    if (refusing !== REFUSING_FULL || (version < VERSION_5 && qos !== 0)) return R_COMMIT;
    count(S_REFUSED_STORE, 1);
    return -QUOTA_EXCEEDED;
  }
  // As much as it counts in a queue, or a little more: what is taken here finds room there.
  const bytes =
    load<u32>(DECODED, D_PAYLOAD_BYTES) +
    load<u32>(DECODED, D_TOPIC_BYTES) +
    load<u32>(DECODED, D_PROPERTIES_BYTES) +
    QUEUED_OVERHEAD_BYTES;
  if (qos !== 0 && version === VERSION_5 && isRejected(list, bytes)) {
    count(S_REFUSED_QUEUE_FULL, 1);
    return -QUOTA_EXCEEDED;
  }
  return 0;
}
