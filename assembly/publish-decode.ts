/**
 * The packets that come once per Application Message: PUBLISH and its four acknowledgements.
 *
 *   PUBLISH      ┌──────────────┬──────────────┬────────────┬────────────┬─────────┐
 *   §3.3         │ fixed header │ Topic Name   │ Packet     │ properties │ payload │
 *                │ 2 … 5        │ 2 + bytes    │ Identifier │ v5         │         │
 *                └──────────────┴──────────────┴────────────┴────────────┴─────────┘
 *                                                QoS 1, 2
 *   PUBACK …     ┌──────────────┬────────────┬─────────────┬────────────┐
 *   §3.4 – §3.7  │ fixed header │ Packet     │ Reason Code │ properties │
 *                │ 2 … 5        │ Identifier │ v5, from 3  │ v5, from 4 │ Remaining Length
 *                └──────────────┴────────────┴─────────────┴────────────┘
 *
 * Both functions take one whole packet as cutPacket() gives it and fill the fields of DECODED that
 * their packet has. D_TYPE, D_FLAGS, D_AT and D_END are not theirs.
 */
import {
  D_PACKET_ID,
  D_PAYLOAD_AT,
  D_PAYLOAD_BYTES,
  D_PRESENT,
  D_PROPERTIES_AT,
  D_PROPERTIES_BYTES,
  D_REASON,
  D_TOPIC_AT,
  D_TOPIC_BYTES,
  DECODED,
} from "./abi";
import { hasProperty, readProperties } from "./properties";
import {
  FLAG_QOS_SHIFT,
  IMPLEMENTATION_SPECIFIC_ERROR,
  MALFORMED_PACKET,
  NO_MATCHING_SUBSCRIBERS,
  NOT_AUTHORIZED,
  PACKET_IDENTIFIER_IN_USE,
  PACKET_IDENTIFIER_NOT_FOUND,
  PAYLOAD_FORMAT_INVALID,
  PROTOCOL_ERROR,
  PUBLISH,
  PUBREL,
  QUOTA_EXCEEDED,
  SUCCESS,
  TOPIC_ALIAS,
  TOPIC_NAME_INVALID,
  UNSPECIFIED_ERROR,
  VERSION_5,
} from "./spec";
import { topicNameStatus } from "./utf8";
import { headerBytes, readTwoBytes } from "./varint";

const QOS_BITS: u32 = 3 << FLAG_QOS_SHIFT;

/** Errors that PUBACK and PUBREC may carry: bit i stands for 0x80 + i. Tables 3-4 and 3-5. */
const RECEIPT_ERRORS: u32 =
  (1 << (UNSPECIFIED_ERROR & 31)) |
  (1 << (IMPLEMENTATION_SPECIFIC_ERROR & 31)) |
  (1 << (NOT_AUTHORIZED & 31)) |
  (1 << (TOPIC_NAME_INVALID & 31)) |
  (1 << (PACKET_IDENTIFIER_IN_USE & 31)) |
  (1 << (QUOTA_EXCEEDED & 31)) |
  (1 << (PAYLOAD_FORMAT_INVALID & 31));

/** The fault of a PUBLISH, found behind its Topic Name: what is wrong with the name comes first. */
function behindTopic(status: i32): i32 {
  const topic = topicNameStatus(load<u32>(DECODED, D_TOPIC_AT), load<u32>(DECODED, D_TOPIC_BYTES));
  return topic < 0 ? topic : status;
}

/**
 * Reads a PUBLISH whose Topic Name may be ill-formed or hold wildcards: where this answers 0, only
 * what topicNameStatus() says of the name may still be wrong; a caller who knows the name already
 * need not ask. Hot.
 *
 * @param version  protocol version of the Network Connection: 3, 4 or 5
 * @returns 0, or −Reason Code of the first rule broken, the rules for the Topic Name included
 */
export function decodePublish(version: u32, at: usize, end: usize): i32 {
  let next = at + headerBytes(<u32>(end - at));
  if (end - next < 2) return -MALFORMED_PACKET;
  const topicBytes = readTwoBytes(next);
  next += 2;
  if (end - next < topicBytes) return -MALFORMED_PACKET;
  store<u32>(DECODED, <u32>next, D_TOPIC_AT);
  store<u32>(DECODED, topicBytes, D_TOPIC_BYTES);
  next += topicBytes;
  if (topicBytes === 0 && version < VERSION_5) return -TOPIC_NAME_INVALID; // [MQTT-4.7.3-1 @3.1.1]
  let packetId: u32 = 0;
  if ((<u32>load<u8>(at) & QOS_BITS) !== 0) {
    if (end - next < 2) return behindTopic(-MALFORMED_PACKET);
    packetId = readTwoBytes(next);
    if (packetId === 0) return behindTopic(-PROTOCOL_ERROR); // [MQTT-2.2.1-3]
    next += 2;
  }
  store<u32>(DECODED, packetId, D_PACKET_ID);
  store<u64>(DECODED, 0, D_PRESENT);
  store<u32>(DECODED, 0, D_PROPERTIES_BYTES);
  if (version >= VERSION_5) {
    const propertyBytes = publishPropertyBytes(next, end, topicBytes);
    if (propertyBytes < 0) return propertyBytes;
    next += propertyBytes;
  }
  store<u32>(DECODED, <u32>next, D_PAYLOAD_AT);
  store<u32>(DECODED, <u32>(end - next), D_PAYLOAD_BYTES);
  return 0;
}

/** Reads the properties of a PUBLISH. @returns their bytes with the length, or −Reason Code */
function publishPropertyBytes(at: usize, end: usize, topicBytes: u32): i32 {
  if (at < end && load<u8>(at) === 0 && topicBytes !== 0) {
    store<u32>(DECODED, <u32>(at + 1), D_PROPERTIES_AT);
    return 1;
  }
  const bytes = readProperties(PUBLISH, at, end);
  if (bytes < 0) return behindTopic(bytes);
  // No Topic Name and no Topic Alias either, §3.3.2.1.
  return topicBytes === 0 && !hasProperty(TOPIC_ALIAS) ? -PROTOCOL_ERROR : bytes;
}

/** Whether the Reason Code is in the packet type's table: 3-4, 3-5, 3-6 or 3-7. */
function acknowledgementMay(type: u32, reason: u32): bool {
  if (reason === SUCCESS) return true;
  if (type >= PUBREL) return reason === PACKET_IDENTIFIER_NOT_FOUND; // PUBREL and PUBCOMP.
  if (reason === NO_MATCHING_SUBSCRIBERS) return true;
  return reason >> 5 === 4 && ((RECEIPT_ERRORS >> (reason & 31)) & 1) !== 0;
}

/** The rest of a PUBACK, PUBREC, PUBREL or PUBCOMP that is not of the shortest form. */
function longAcknowledgement(version: u32, at: usize, end: usize): i32 {
  const bodyAt = at + headerBytes(<u32>(end - at));
  if (version < VERSION_5 || end - bodyAt < 2) return -MALFORMED_PACKET;
  const packetId = readTwoBytes(bodyAt);
  if (packetId === 0) return -PROTOCOL_ERROR; // No PUBLISH has it [MQTT-2.2.1-5].
  // A body of two bytes has been dealt with: there is a third.
  const reason = <u32>load<u8>(bodyAt, 2);
  if (!acknowledgementMay(<u32>load<u8>(at) >> 4, reason)) return -PROTOCOL_ERROR;
  store<u32>(DECODED, packetId, D_PACKET_ID);
  store<u32>(DECODED, reason, D_REASON);
  const listAt = bodyAt + 3;
  if (listAt === end) return 0;
  const bytes = readProperties(<u32>load<u8>(at) >> 4, listAt, end);
  if (bytes < 0) return bytes;
  return listAt + bytes === end ? 0 : -MALFORMED_PACKET;
}

/**
 * Reads a PUBACK, PUBREC, PUBREL or PUBCOMP: D_PACKET_ID and D_REASON, and D_PROPERTIES_*,
 * D_PRESENT and D_VALUES only where there is a property list. Hot.
 *
 * @param version  protocol version of the Network Connection: 3, 4 or 5
 * @returns 0, or −Reason Code of the first rule broken
 */
export function decodeAcknowledgement(version: u32, at: usize, end: usize): i32 {
  if (end - at !== 4) return longAcknowledgement(version, at, end);
  const packetId = readTwoBytes(at + 2); // Remaining Length 2: what nearly every device sends.
  store<u32>(DECODED, packetId, D_PACKET_ID);
  store<u32>(DECODED, SUCCESS, D_REASON);
  return packetId !== 0 ? 0 : -PROTOCOL_ERROR;
}
