/**
 * A PUBLISH on its way from one connection to all that want it.
 *
 * Who wants it is a list from the match cache. Work is measured in units, one per receiver, per KiB
 * copied, and per node of the subscription tree beyond the usual; past a budget the rest is left
 * for a later turn, also in the middle of one PUBLISH: its packet stays with the connection, and
 * the list with the place in it.
 */
import {
  D_PACKET_ID,
  D_PAYLOAD_AT,
  D_PAYLOAD_BYTES,
  D_TOPIC_AT,
  D_TOPIC_BYTES,
  D_VALUES,
  DECODED,
  E_CLOSE,
  J_RECEIVED,
  NO_MEMORY,
  R_ACCESS,
  R_BUDGET,
  R_COMMIT,
  R_DONE,
  R_PAUSED,
  S_DENIED_PUBLISH,
  S_DROPPED_MEMORY,
  S_DROPPED_SLOW,
  S_DROPPED_TOO_LARGE,
  S_PUBLISH_BYTES_RECEIVED,
  S_PUBLISH_RECEIVED,
  S_REFUSED_MEMORY,
} from "./abi";
import {
  admitStored,
  isDurable,
  keepsUnacknowledged,
  lacksMemory,
  payloadHolds,
} from "./admission";
import { resolveAlias } from "./alias";
import {
  C_DROPPED,
  C_FLAGS,
  C_HELD_COUNT,
  C_HELD_PUBACKS,
  C_OUT_BYTES,
  C_PAUSED,
  C_QOS_DENIED_SHIFT,
  C_RECEIVED_BEFORE,
  C_SESSION,
  C_SLICE_HELD,
  C_SLICE_INDEX,
  C_SLICE_LIST,
  C_SLICE_MESSAGE,
  connectionOf,
  raise,
} from "./connection";
import {
  describe,
  describeAsPacket,
  describedMessage,
  describeStored,
  NO_EXPIRY,
  storeDescribed,
} from "./described";
import { deliverDirect, takeDirectMessage } from "./direct";
import { retainFlag, sendPublish } from "./encode";
import { endForwarding, forwardedAt, forwardedBytes, forwardProperties } from "./forward";
import { acknowledge, acknowledgeMessage, HELD_MAX } from "./held";
import { journalFull, journalIdentifier } from "./journal";
import { releaseList } from "./match-cache";
import { memoryTight } from "./memory";
import { M_WAITS, releaseMessage } from "./message";
import { hasProperty } from "./properties";
import { decodePublish } from "./publish-decode";
import { addReceived, isReceived, removeReceived } from "./received";
import {
  receiverIdentifiers,
  receiverLookedAt,
  receiverOptions,
  receiverQos,
  receiverRetain,
  receiverSeveral,
} from "./receiver";
import { DENIED, findReceivers, mountDecoded } from "./receivers";
import { retain } from "./retained";
import { hasRules } from "./rules";
import {
  SESSION_CONNECTION,
  SESSION_DURABLE,
  SESSION_FLAGS,
  SESSION_NUMBER,
  SESSION_RECEIVED_COUNT,
} from "./session-layout";
import {
  count,
  outgoingBytesMax,
  payloadBytesMax,
  payloadsChecked,
  queueOverflow,
  REJECT,
  receiveMaximum,
  refusing,
  retainAvailable,
} from "./settings";
import { giveToGroup } from "./shared";
import { parkSlice, takeSlice } from "./slices";
import {
  FLAG_RETAIN,
  MESSAGE_EXPIRY_INTERVAL,
  NO_MATCHING_SUBSCRIBERS,
  NOT_AUTHORIZED,
  PAYLOAD_FORMAT_INVALID,
  PUBACK,
  PUBREC,
  QOS_NOT_SUPPORTED,
  QUOTA_EXCEEDED,
  RECEIVE_MAXIMUM_EXCEEDED,
  RETAIN_NOT_SUPPORTED,
  SUCCESS,
  TOPIC_ALIAS,
  VERSION_5,
} from "./spec";
import {
  ENTRY_BITS,
  ENTRY_BYTES,
  ENTRY_NUMBER,
  ENTRY_SESSION,
  LIST_COUNT,
  LIST_ENTRIES,
  takeSteps,
} from "./topic-match";
import { ENTRY_SHARED } from "./topic-tree";
import { describePublisher } from "./user-name";
import { topicNameStatus } from "./utf8";
import { allowFresh, owe, queueUnacknowledged } from "./window";

/** Units of work that one call may do: a slice of well under a millisecond. */
const BUDGET_UNITS: u32 = 8192;
/** So many subscriptions that are looked at for one receiver cost as much as a delivery. */
const LOOKED_AT_SHIFT: u32 = 5;

let unitsLeft: i32 = 0;
/**
 * Some durable Session got the message: its record must be committed before the publisher's ack.
 */
let holdAcknowledgement: bool = false;
/** A new budget: receive() and resume() call it. */
export function startBudget(): void {
  unitsLeft = BUDGET_UNITS;
}

/** True while the budget of this call lasts. Hot. */
export function budgetLeft(): bool {
  return unitsLeft > 0;
}

/** A QoS 0 message for a Session whose client is away: it waits only where the operator says so. */
function keepUnacknowledged(session: usize, retained: bool): void {
  if (!(load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE)) return;
  if (!keepsUnacknowledged()) return;
  const retainOut = retained && receiverRetain;
  queueUnacknowledged(session, retainOut, receiverSeveral, receiverIdentifiers);
}

/** QoS 0: to who is there and reads. Hot. */
function deliverUnacknowledged(session: usize, retained: bool): void {
  const record: usize = load<u32>(session, SESSION_CONNECTION);
  if (record === 0) {
    keepUnacknowledged(session, retained);
    return;
  }
  if (load<u32>(record, C_OUT_BYTES) >= outgoingBytesMax) {
    store<u32>(record, load<u32>(record, C_DROPPED) + 1, C_DROPPED);
    count(S_DROPPED_SLOW, 1);
    return;
  }
  if (memoryTight()) {
    count(S_DROPPED_MEMORY, 1);
    return;
  }
  const status = sendPublish(
    record,
    0,
    retainFlag(retained && receiverRetain),
    0,
    receiverSeveral,
    receiverIdentifiers,
  );
  if (status === NO_MEMORY) raise(E_CLOSE, connectionOf(record), 0x97);
}

/**
 * Delivers the described message to the list's receivers from `index` on. Hot.
 *
 * @returns the next index: the list's count when all are served, less where the budget ended
 */
export function deliver(publisher: usize, list: usize, from: u32, qos: u32, retained: bool): u32 {
  const total = load<u32>(list, LIST_COUNT);
  const cost = 1 + (load<u32>(DECODED, D_PAYLOAD_BYTES) >> 10);
  let index = from;
  while (index < total && unitsLeft > 0) {
    const entry = list + LIST_ENTRIES + index * ENTRY_BYTES;
    index++;
    unitsLeft -= cost;
    const session: usize = load<u32>(entry, ENTRY_SESSION);
    // The list may be older than the Session that has the record now.
    if (load<u32>(session, SESSION_NUMBER) !== load<u32>(entry, ENTRY_NUMBER)) continue;
    if (load<u32>(entry, ENTRY_BITS) & ENTRY_SHARED) {
      if (giveToGroup(session, qos, retained, publisher)) holdAcknowledgement = true;
      continue;
    }
    const wants = receiverOptions(list, entry, session === publisher);
    unitsLeft -= receiverLookedAt >> LOOKED_AT_SHIFT;
    if (!wants) continue;
    const effective = min(qos, receiverQos); // [MQTT-3.8.4-8]
    if (effective === 0) {
      deliverUnacknowledged(session, retained);
      continue;
    }
    const retainOut = retained && receiverRetain;
    const owed = owe(session, effective, retainOut, receiverSeveral, receiverIdentifiers);
    if (owed && isDurable(session)) holdAcknowledgement = true;
  }
  return index;
}

/** Whether the packet says its topic in so many words: neither by an alias, nor mounted. Hot. */
function isInPlace(at: usize, end: usize): bool {
  const topic: usize = load<u32>(DECODED, D_TOPIC_AT);
  return topic - at < end - at && !hasProperty(TOPIC_ALIAS);
}

/** Describes the packet in DECODED for the encoder. @returns false: no memory. Hot. */
function describeDecoded(version: u32, qos: u32, at: usize, end: usize): bool {
  const hasAlias = hasProperty(TOPIC_ALIAS);
  const hasExpiry = hasProperty(MESSAGE_EXPIRY_INTERVAL);
  if (!forwardProperties(hasAlias || hasExpiry)) return false;
  describe(
    load<u32>(DECODED, D_TOPIC_AT),
    load<u32>(DECODED, D_TOPIC_BYTES),
    forwardedAt,
    forwardedBytes,
    load<u32>(DECODED, D_PAYLOAD_AT),
    load<u32>(DECODED, D_PAYLOAD_BYTES),
    hasExpiry ? <u64>load<u32>(DECODED, D_VALUES + (MESSAGE_EXPIRY_INTERVAL << 3)) : NO_EXPIRY,
  );
  if (isInPlace(at, end)) describeAsPacket(version === VERSION_5, qos, at, <u32>(end - at));
  return true;
}

/** Frees what the description of the packet made. */
export function endDescription(): void {
  const message = describedMessage();
  if (message !== 0) releaseMessage(message);
  endForwarding();
}

/** Answers a PUBLISH of QoS 1 or 2 [MQTT-3.3.4-1]. Hot. */
function answer(record: usize, qos: u32, reason: i32, hold: bool): i32 {
  const type = qos === 1 ? PUBACK : PUBREC;
  const packetIdentifier = load<u32>(DECODED, D_PACKET_ID);
  if (acknowledge(record, type, packetIdentifier, <u32>reason, hold)) return R_DONE;
  return -QUOTA_EXCEEDED;
}

/** The memory cap is reached: 0x97, a close before version 5, or a drop at QoS 0. */
function refuse(record: usize, version: u32, qos: u32): i32 {
  if (qos === 0 || load<u32>(record, C_SESSION) === 0) {
    count(S_DROPPED_MEMORY, 1);
    return R_DONE;
  }
  count(S_REFUSED_MEMORY, 1);
  if (version < VERSION_5) return -QUOTA_EXCEEDED;
  return answer(record, qos, QUOTA_EXCEEDED, false);
}

/** The payload is over the operator's limit: it goes nowhere; before 5.0 no answer can say so. */
function dropTooLong(record: usize, qos: u32): i32 {
  count(S_DROPPED_TOO_LARGE, 1);
  if (qos === 0 || load<u32>(record, C_SESSION) === 0) return R_DONE;
  return answer(record, qos, QUOTA_EXCEEDED, false);
}

/**
 * Judges a PUBLISH of QoS 1 or 2 before it is routed.
 *
 * @returns 0 to route it; R_PAUSED; −Reason Code; 1 where it is a repeat of a QoS 2 message
 */
function admitQos(record: usize, session: usize, version: u32, qos: u32): i32 {
  const flags = load<u32>(record, C_FLAGS);
  if (load<u32>(record, C_HELD_COUNT) >= HELD_MAX) {
    store<u32>(record, flags | C_PAUSED, C_FLAGS);
    return R_PAUSED;
  }
  // [MQTT-3.2.2-11]
  if (qos + ((flags >> C_QOS_DENIED_SHIFT) & 3) > 2) return -QOS_NOT_SUPPORTED;
  if (qos === 2 && isReceived(session, load<u32>(DECODED, D_PACKET_ID))) return 1;
  if (version !== VERSION_5) return 0;
  // Of earlier connections there may be more: the quota begins anew with each [§4.9].
  const received = load<u32>(session, SESSION_RECEIVED_COUNT);
  const before = min(<u32>load<u16>(record, C_RECEIVED_BEFORE), received);
  const unfinished = received - before + <u32>load<u16>(record, C_HELD_PUBACKS);
  if (unfinished >= receiveMaximum) return -RECEIVE_MAXIMUM_EXCEEDED;
  return 0;
}

/** The client may not publish to this topic: before 5.0 it is not told. */
function deny(record: usize, version: u32, qos: u32): i32 {
  count(S_DENIED_PUBLISH, 1);
  if (qos === 0) return R_DONE;
  return answer(record, qos, version === VERSION_5 ? NOT_AUTHORIZED : SUCCESS, false);
}

/** The PUBLISH is not to be routed, or not yet: what findReceivers() answered instead of a list. */
function stopped(record: usize, version: u32, qos: u32, status: i32): i32 {
  if (status === NO_MEMORY) return refuse(record, version, qos);
  return status === DENIED ? deny(record, version, qos) : status;
}

/** Notes a QoS 2 identifier and keeps a retained message, once. @returns false: no memory */
function accept(session: usize, qos: u32, first: u32): bool {
  const isNoted = qos === 2 && session !== 0;
  const packetIdentifier = load<u32>(DECODED, D_PACKET_ID);
  if (isNoted && addReceived(session, packetIdentifier) < 0) return false;
  if (first & FLAG_RETAIN) {
    const topicAt = load<u32>(DECODED, D_TOPIC_AT);
    const topicBytes = load<u32>(DECODED, D_TOPIC_BYTES);
    if (retain(topicAt, topicBytes, load<u32>(DECODED, D_PAYLOAD_BYTES)) < 0) {
      // Its PUBREC ends the exchange: the identifier is free [MQTT-4.3.3-9].
      if (isNoted) removeReceived(session, packetIdentifier);
      return false;
    }
    holdAcknowledgement = true;
  }
  if (isNoted && isDurable(session)) {
    journalIdentifier(J_RECEIVED, session, packetIdentifier);
    holdAcknowledgement = true;
  }
  return true;
}

/**
 * Takes one PUBLISH that cutPacket() found whole. Hot.
 *
 * @returns R_DONE; R_BUDGET or R_PAUSED with the packet not consumed: call again with the same
 *   bytes; −Reason Code: the connection is to be closed
 */
export function publish(record: usize, version: u32, at: usize, end: usize): i32 {
  const status = decodePublish(version, at, end);
  if (status < 0) return status;
  let first = <u32>load<u8>(at);
  const qos = (first >> 1) & 3;
  const session: usize = load<u32>(record, C_SESSION);
  if (load<u32>(record, C_SLICE_LIST) !== 0) return publishSlice(record, version, at, end);
  if (qos !== 0 && session !== 0) {
    const admitted = admitQos(record, session, version, qos);
    if (admitted === 1) return repeated(record, session, version);
    if (admitted !== 0) return admitted;
  }
  if (journalFull()) return R_COMMIT;
  if (first & FLAG_RETAIN && !retainAvailable) {
    if (session !== 0) return -RETAIN_NOT_SUPPORTED; // [MQTT-3.2.2-14]
    // What the broker itself says is sent all the same, and not kept.
    first &= ~FLAG_RETAIN;
    store<u8>(at, <u8>first);
  }
  const found = findReceivers(record, version, first);
  unitsLeft -= <i32>takeSteps();
  if (found <= R_ACCESS) return stopped(record, version, qos, <i32>found);
  const list = <usize>found;
  if (payloadsChecked && session !== 0 && !payloadHolds(version)) {
    releaseList(list);
    if (qos === 0) return -PAYLOAD_FORMAT_INVALID;
    return answer(record, qos, PAYLOAD_FORMAT_INVALID, false);
  }
  if (refusing !== 0 || queueOverflow === REJECT || hasRules()) {
    const admitted = admitStored(list, version, qos, first);
    if (admitted !== 0) {
      releaseList(list);
      if (admitted === R_COMMIT || qos === 0 || session === 0) return max(admitted, R_DONE);
      return answer(record, qos, QUOTA_EXCEEDED, false);
    }
  }
  if (session !== 0) {
    count(S_PUBLISH_RECEIVED, 1);
    count(S_PUBLISH_BYTES_RECEIVED, load<u32>(DECODED, D_PAYLOAD_BYTES));
  }
  const tooLong = load<u32>(DECODED, D_PAYLOAD_BYTES) > payloadBytesMax;
  if (tooLong || lacksMemory(session, qos, first)) {
    releaseList(list);
    return tooLong ? dropTooLong(record, qos) : refuse(record, version, qos);
  }
  const isPlain = qos < 2 && !(first & FLAG_RETAIN) && isInPlace(at, end);
  if (isPlain && deliverDirect(session, list, version, qos, at, <u32>(end - at))) {
    releaseList(list);
    unitsLeft -= 2;
    if (qos === 0 || session === 0) return R_DONE;
    const message = takeDirectMessage();
    return message === 0
      ? answer(record, qos, SUCCESS, false)
      : answerOnce(record, SUCCESS, message);
  }
  if (!describeDecoded(version, qos, at, end)) {
    releaseList(list);
    return refuse(record, version, qos);
  }
  describePublisher(session, qos, first);
  holdAcknowledgement = false;
  if (qos === 2 || first & FLAG_RETAIN) {
    if (!accept(session, qos, first)) {
      releaseList(list);
      endDescription();
      return refuse(record, version, qos);
    }
  }
  return route(record, session, list, 0, qos, first);
}

/** Goes on with a PUBLISH of which some receivers are served. */
function publishSlice(record: usize, version: u32, at: usize, end: usize): i32 {
  const first = <u32>load<u8>(at);
  const qos = (first >> 1) & 3;
  const session: usize = load<u32>(record, C_SESSION);
  if (journalFull()) return R_COMMIT;
  const status = mountDecoded(record, version);
  if (status < 0) return status;
  const message: usize = load<u32>(record, C_SLICE_MESSAGE);
  if (message !== 0) {
    // One body, however many slices its receivers take.
    describeStored(message);
  } else {
    if (!describeDecoded(version, qos, at, end)) return R_BUDGET;
    describePublisher(session, qos, first);
  }
  const list: usize = load<u32>(record, C_SLICE_LIST);
  holdAcknowledgement = (load<u32>(record, C_FLAGS) & C_SLICE_HELD) !== 0;
  takeSlice(record);
  return route(record, session, list, load<u32>(record, C_SLICE_INDEX), qos, first);
}

/** Delivers as far as the budget goes, then answers. Hot. */
function route(record: usize, session: usize, list: usize, from: u32, qos: u32, first: u32): i32 {
  // QoS 2 and RETAIN are recorded in any case: then all of the message is.
  allowFresh(qos === 1 && session !== 0 && !(first & FLAG_RETAIN));
  const next = deliver(session, list, from, qos, (first & FLAG_RETAIN) !== 0);
  allowFresh(false);
  if (next < load<u32>(list, LIST_COUNT)) {
    const kept = qos === 2 ? storeDescribed() : describedMessage();
    parkSlice(record, list, next, kept, holdAcknowledgement);
    endForwarding();
    return R_BUDGET;
  }
  const message = describedMessage();
  unitsLeft--;
  const nobody = next === 0;
  releaseList(list);
  let status = R_DONE;
  if (qos !== 0 && session !== 0) {
    const reason = nobody ? NO_MATCHING_SUBSCRIBERS : SUCCESS;
    status =
      qos === 1 && message !== 0 && load<u32>(message, M_WAITS) !== 0
        ? answerOnce(record, reason, message)
        : answer(record, qos, reason, holdAcknowledgement);
  }
  endDescription();
  return status;
}

/** Answers a PUBLISH of QoS 1 once its receivers have it, or the disk has. Hot. */
function answerOnce(record: usize, reason: i32, message: usize): i32 {
  const packetIdentifier = load<u32>(DECODED, D_PACKET_ID);
  if (acknowledgeMessage(record, packetIdentifier, <u32>reason, message)) return R_DONE;
  return -QUOTA_EXCEEDED;
}

/**
 * A QoS 2 PUBLISH whose identifier is not released yet: answered, not delivered [MQTT-4.3.3-10].
 */
function repeated(record: usize, session: usize, version: u32): i32 {
  const topicBytes = load<u32>(DECODED, D_TOPIC_BYTES);
  const topic = topicBytes === 0 ? 0 : topicNameStatus(load<u32>(DECODED, D_TOPIC_AT), topicBytes);
  if (topic < 0) return topic;
  if (version === VERSION_5 && hasProperty(TOPIC_ALIAS)) {
    const status = resolveAlias(record);
    if (status < 0) return status;
  }
  return answer(record, 2, SUCCESS, isDurable(session));
}
