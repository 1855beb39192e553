/**
 * Control Packets of a client: cut out of a stream of bytes, judged, their fields put into DECODED.
 * MQTT 5.0 §2 and §3; MQTT 3.1.1 §2 and §3; MQTT 3.1 where the version is 3.
 *
 *     7 … 4     3 … 0
 *   ┌─────────┬────────┐┌──────────────────┐┌──────────────────────────────────────┐
 *   │ type    │ flags  ││ Remaining Length ││ body: Remaining Length bytes         │
 *   └─────────┴────────┘└──────────────────┘└──────────────────────────────────────┘
 *     byte 0              varint              fields in the order of the standard
 *
 * The first rule broken in the order of the bytes decides the Reason Code. A field is read whole:
 * that it is cut off or ill-formed comes before what its value breaks. Rules about several fields
 * come last: behind the list that they are about, or behind the packet.
 */
import {
  D_AT,
  D_CLIENT_ID_AT,
  D_CONNECT_FLAGS,
  D_END,
  D_FILTER_AT,
  D_FILTER_BYTES,
  D_FILTER_OPTIONS,
  D_FLAGS,
  D_KEEP_ALIVE,
  D_LEVEL,
  D_PACKET_ID,
  D_PASSWORD_AT,
  D_PAYLOAD_AT,
  D_PAYLOAD_BYTES,
  D_REASON,
  D_TOPIC_AT,
  D_TOPIC_BYTES,
  D_TYPE,
  D_USER_NAME_AT,
  D_VALUES,
  D_VERSION,
  D_WILL_PAYLOAD_AT,
  D_WILL_TOPIC_AT,
  DECODED,
  NEED_MORE,
} from "./abi";
import { hasProperty, readProperties, WILL } from "./properties";
import { decodeAcknowledgement, decodePublish } from "./publish-decode";
import {
  ADMINISTRATIVE_ACTION,
  AUTH,
  AUTHENTICATION_METHOD,
  CONNACK,
  CONNECT,
  CONNECT_PASSWORD,
  CONNECT_RESERVED,
  CONNECT_USER_NAME,
  CONNECT_WILL,
  CONNECT_WILL_QOS_SHIFT,
  CONNECT_WILL_RETAIN,
  CONTINUE_AUTHENTICATION,
  DISCONNECT,
  DISCONNECT_WITH_WILL,
  IMPLEMENTATION_SPECIFIC_ERROR,
  LEVEL_BRIDGE,
  MALFORMED_PACKET,
  MESSAGE_RATE_TOO_HIGH,
  OPTION_QOS,
  OPTION_RESERVED,
  OPTION_RETAIN_HANDLING_SHIFT,
  PACKET_TOO_LARGE,
  PAYLOAD_FORMAT_INVALID,
  PINGREQ,
  PINGRESP,
  PROTOCOL_ERROR,
  PUBACK,
  PUBCOMP,
  PUBLISH,
  QUOTA_EXCEEDED,
  RE_AUTHENTICATE,
  RECEIVE_MAXIMUM_EXCEEDED,
  SUBACK,
  SUBSCRIBE,
  SUCCESS,
  TOPIC_ALIAS_INVALID,
  TOPIC_NAME_INVALID,
  UNSPECIFIED_ERROR,
  UNSUBACK,
  UNSUBSCRIBE,
  UNSUPPORTED_PROTOCOL_VERSION,
  VERSION_3_1,
  VERSION_3_1_1,
  VERSION_5,
} from "./spec";
import { filterStatus, topicNameStatus, utf8Valid } from "./utf8";
import { headerBytes, readTwoBytes, readVarint, varintSize } from "./varint";

/**
 * Flags a packet may have, a row per type 0 … 15: bit i stands for flags i, Table 2-2
 * [MQTT-2.1.3-1]. PUBLISH: no QoS 3 [MQTT-3.3.1-4], no DUP with QoS 0 [MQTT-3.3.1-2].
 */
const flagsAllowed: usize = memory.data<u16>([
  0,
  1,
  1,
  0x3c3f,
  1,
  1,
  1 << 2,
  1,
  1 << 2,
  1,
  1 << 2,
  1,
  1,
  1,
  1,
  1,
]);

/** Errors that a client's DISCONNECT may carry: bit i stands for 0x80 + i. Table 3-10. */
const DISCONNECT_ERRORS: u32 =
  (1 << (UNSPECIFIED_ERROR & 31)) |
  (1 << (MALFORMED_PACKET & 31)) |
  (1 << (PROTOCOL_ERROR & 31)) |
  (1 << (IMPLEMENTATION_SPECIFIC_ERROR & 31)) |
  (1 << (TOPIC_NAME_INVALID & 31)) |
  (1 << (RECEIVE_MAXIMUM_EXCEEDED & 31)) |
  (1 << (TOPIC_ALIAS_INVALID & 31)) |
  (1 << (PACKET_TOO_LARGE & 31)) |
  (1 << (MESSAGE_RATE_TOO_HIGH & 31)) |
  (1 << (QUOTA_EXCEEDED & 31)) |
  (1 << (ADMINISTRATIVE_ACTION & 31)) |
  (1 << (PAYLOAD_FORMAT_INVALID & 31));

// Protocol Names as little-endian numbers.
const NAME_MQTT: u32 = 0x5454514d;
const NAME_MQIS: u32 = 0x7349514d;
const NAME_DP: u32 = 0x7064;

const WILL_QOS_BITS: u32 = 3 << CONNECT_WILL_QOS_SHIFT;
const RETAIN_HANDLING_BITS: u32 = 3 << OPTION_RETAIN_HANDLING_SHIFT;

/** Next byte to read, and first byte behind what is read. */
let cursor: usize = 0;
let limit: usize = 0;

/** PUBREL, SUBSCRIBE and UNSUBSCRIBE with DUP: so MQTT 3.1 sends them again, §2.1. */
function isRepeatOf31(version: u32, allowed: u32, flags: u32): bool {
  return version === VERSION_3_1 && allowed === 1 << 2 && flags === 10;
}

/**
 * Finds the end of the packet that begins at `at`. Hot.
 *
 * @param end  first byte not at hand yet
 * @param packetBytesMax  largest packet taken, fixed header included
 * @param version  protocol version of the Network Connection; 0: not known yet
 * @returns bytes of the packet, fixed header included; NEED_MORE; −0x81 as soon as no further byte
 *   can make it valid; −0x95 as soon as it is known to be too large
 */
export function cutPacket(at: usize, end: usize, packetBytesMax: u32, version: u32): i32 {
  if (at >= end) return NEED_MORE;
  const first = <u32>load<u8>(at);
  const allowed = <u32>load<u16>(flagsAllowed + ((first >> 4) << 1));
  const flags = first & 15;
  if (((allowed >> flags) & 1) === 0 && !isRepeatOf31(version, allowed, flags)) {
    return -MALFORMED_PACKET;
  }
  if (end - at < 2) return NEED_MORE;
  let packetBytes = <u32>load<u8>(at, 1) + 2;
  if (packetBytes >= 2 + 0x80) {
    const remaining = readVarint(at + 1, end); // More than one byte of length.
    if (remaining < 0) return remaining;
    packetBytes = varintSize(remaining) + <u32>remaining + 1;
  }
  if (packetBytes > packetBytesMax) return -PACKET_TOO_LARGE;
  return packetBytes <= <u32>(end - at) ? <i32>packetBytes : NEED_MORE;
}

/** Reads a field with a Two Byte Integer as its length. @returns 0, or −0x81 if it is cut off */
function takeField(field: u32): i32 {
  if (limit - cursor < 2) return -MALFORMED_PACKET;
  const bytes = readTwoBytes(cursor);
  cursor += 2;
  if (limit - cursor < bytes) return -MALFORMED_PACKET;
  store<u32>(DECODED + field, <u32>cursor);
  store<u32>(DECODED + field, bytes, 4);
  cursor += bytes;
  return 0;
}

/** As takeField(), of valid UTF-8. */
function takeText(field: u32): i32 {
  const status = takeField(field);
  if (status < 0) return status;
  return utf8Valid(load<u32>(DECODED + field), load<u32>(DECODED + field, 4))
    ? 0
    : -MALFORMED_PACKET;
}

/** Reads the properties at the cursor. @returns 0, or −Reason Code */
function takeProperties(kind: u32): i32 {
  const bytes = readProperties(kind, cursor, limit);
  if (bytes < 0) return bytes;
  cursor += bytes;
  return 0;
}

/** 0 where the packet ends with the last field read, −0x81 where bytes are left over. */
function takeEnd(): i32 {
  return cursor === limit ? 0 : -MALFORMED_PACKET;
}

/**
 * Protocol Name and Protocol Version, §3.1.2.1, §3.1.2.2. mosquitto's bridges say by the high bit
 * of a version before 5 that they are bridges.
 *
 * @returns 3, 4 or 5, or −Reason Code
 */
function takeProtocol(): i32 {
  if (limit - cursor < 2) return -MALFORMED_PACKET;
  const nameBytes = readTwoBytes(cursor);
  const nameAt = cursor + 2;
  if (limit - nameAt < nameBytes) return -MALFORMED_PACKET;
  const mqtt = nameBytes === 4 && load<u32>(nameAt) === NAME_MQTT;
  const mqIsdp =
    nameBytes === 6 && load<u32>(nameAt) === NAME_MQIS && <u32>load<u16>(nameAt, 4) === NAME_DP;
  cursor = nameAt + nameBytes;
  if (cursor < limit) store<u32>(DECODED, <u32>load<u8>(cursor), D_LEVEL);
  if (!mqtt && !mqIsdp) return -UNSUPPORTED_PROTOCOL_VERSION; // [MQTT-3.1.2-1]
  if (cursor === limit) return -MALFORMED_PACKET;
  const level = <u32>load<u8>(cursor++);
  const version = level === (LEVEL_BRIDGE | VERSION_5) ? level : level & ~LEVEL_BRIDGE;
  const known = mqtt ? version === VERSION_3_1_1 || version === VERSION_5 : version === VERSION_3_1;
  return known ? version : -UNSUPPORTED_PROTOCOL_VERSION; // [MQTT-3.1.2-2]
}

/** Connect Flags and Keep Alive, §3.1.2.3 – §3.1.2.10. @returns the flags, or −0x81 */
function takeConnectFlags(version: u32): i32 {
  if (cursor === limit) return -MALFORMED_PACKET;
  const flags = <u32>load<u8>(cursor++);
  if ((flags & CONNECT_RESERVED) !== 0) return -MALFORMED_PACKET; // [MQTT-3.1.2-3]
  const willBits = flags & (WILL_QOS_BITS | CONNECT_WILL_RETAIN);
  // [MQTT-3.1.2-11] [MQTT-3.1.2-13]
  if ((flags & CONNECT_WILL) === 0 && willBits !== 0) return -MALFORMED_PACKET;
  if ((flags & WILL_QOS_BITS) === WILL_QOS_BITS) return -MALFORMED_PACKET; // [MQTT-3.1.2-12]
  if (
    version < VERSION_5 &&
    (flags & CONNECT_PASSWORD) !== 0 &&
    (flags & CONNECT_USER_NAME) === 0
  ) {
    return -MALFORMED_PACKET; // [MQTT-3.1.2-22 @3.1.1]
  }
  if (limit - cursor < 2) return -MALFORMED_PACKET;
  store<u32>(DECODED, flags, D_CONNECT_FLAGS);
  store<u32>(DECODED, readTwoBytes(cursor), D_KEEP_ALIVE);
  cursor += 2;
  return flags;
}

/** Will Properties, Will Topic and Will Payload, §3.1.3.2 – §3.1.3.4. @returns 0 or −Reason Code */
function takeWill(version: u32): i32 {
  let status = version === VERSION_5 ? takeProperties(WILL) : 0;
  if (status < 0) return status;
  status = takeField(D_WILL_TOPIC_AT);
  if (status < 0) return status;
  const topicBytes = load<u32>(DECODED + D_WILL_TOPIC_AT, 4);
  status = topicNameStatus(load<u32>(DECODED + D_WILL_TOPIC_AT), topicBytes); // [MQTT-3.1.3-11]
  if (status < 0) return status;
  if (topicBytes === 0) return -TOPIC_NAME_INVALID; // [MQTT-4.7.3-1]
  return takeField(D_WILL_PAYLOAD_AT);
}

/** MQTT 3.1 §3.1: what the flags announce may be missing at the end of the packet. */
function withoutMissing(version: i32, flags: i32, fields: u32): i32 {
  if (version !== VERSION_3_1 || cursor !== limit) return flags;
  const present = flags & ~fields;
  store<u32>(DECODED, present, D_CONNECT_FLAGS);
  return present;
}

/** CONNECT, §3.1. */
function decodeConnect(): i32 {
  const version = takeProtocol();
  if (version < 0) return version;
  store<u32>(DECODED, version, D_VERSION);
  let flags = takeConnectFlags(version);
  if (flags < 0) return flags;
  let status = <u32>version === VERSION_5 ? takeProperties(CONNECT) : 0;
  if (status < 0) return status;
  status = takeText(D_CLIENT_ID_AT); // [MQTT-3.1.3-3] [MQTT-3.1.3-4]
  if (status < 0) return status;
  if ((flags & CONNECT_WILL) !== 0) status = takeWill(version);
  if (status < 0) return status;
  flags = withoutMissing(version, flags, CONNECT_USER_NAME | CONNECT_PASSWORD);
  if ((flags & CONNECT_USER_NAME) !== 0) status = takeText(D_USER_NAME_AT); // [MQTT-3.1.3-12]
  if (status < 0) return status;
  flags = withoutMissing(version, flags, CONNECT_PASSWORD);
  if ((flags & CONNECT_PASSWORD) !== 0) status = takeField(D_PASSWORD_AT);
  return status < 0 ? status : takeEnd();
}

/** What is wrong with the byte behind a SUBSCRIBE's Topic Filter, §3.8.3.1: 0, −0x81 or −0x82. */
function optionsStatus(version: u32, options: u32): i32 {
  const qos = options & OPTION_QOS;
  if (version < VERSION_5) return options <= 2 ? 0 : -MALFORMED_PACKET; // [MQTT-3.8.3-4 @3.1.1]
  if ((options & OPTION_RESERVED) !== 0) return -MALFORMED_PACKET; // [MQTT-3.8.3-5]
  if (qos === 3) return -PROTOCOL_ERROR;
  return (options & RETAIN_HANDLING_BITS) !== RETAIN_HANDLING_BITS ? 0 : -PROTOCOL_ERROR;
}

/** SUBSCRIBE, §3.8, and UNSUBSCRIBE, §3.10. */
function decodeFilters(version: u32, type: u32): i32 {
  if (limit - cursor < 2) return -MALFORMED_PACKET;
  const packetId = readTwoBytes(cursor);
  cursor += 2;
  if (packetId === 0) return -PROTOCOL_ERROR; // [MQTT-2.2.1-3]
  store<u32>(DECODED, packetId, D_PACKET_ID);
  let status = version === VERSION_5 ? takeProperties(type) : 0;
  if (status < 0) return status;
  store<u32>(DECODED, <u32>cursor, D_PAYLOAD_AT);
  store<u32>(DECODED, <u32>(limit - cursor), D_PAYLOAD_BYTES);
  if (cursor === limit) return -PROTOCOL_ERROR; // [MQTT-3.8.3-2] [MQTT-3.10.3-2]
  while (cursor < limit) {
    status = takeField(D_FILTER_AT);
    if (status < 0) return status;
    status = filterStatus(load<u32>(DECODED, D_FILTER_AT), load<u32>(DECODED, D_FILTER_BYTES));
    if (status < 0) return status; // [MQTT-3.8.3-1] [MQTT-3.10.3-1]
    if (type === UNSUBSCRIBE) continue;
    if (cursor === limit) return -MALFORMED_PACKET;
    status = optionsStatus(version, load<u8>(cursor++));
    if (status < 0) return status;
  }
  return 0;
}

/** Reads the Reason Code at the cursor, if the packet has one; what it leaves out stays 0. */
function takeReason(): u32 {
  const reason = cursor === limit ? 0 : <u32>load<u8>(cursor++);
  store<u32>(DECODED, reason, D_REASON);
  return reason;
}

/** DISCONNECT, §3.14. */
function decodeDisconnect(version: u32): i32 {
  if (version < VERSION_5) return takeEnd();
  const reason = takeReason();
  const error = reason >> 5 === 4 && ((DISCONNECT_ERRORS >> (reason & 31)) & 1) !== 0;
  // [MQTT-3.14.2-1]
  if (!error && reason !== SUCCESS && reason !== DISCONNECT_WITH_WILL) return -PROTOCOL_ERROR;
  if (cursor === limit) return 0;
  const status = takeProperties(DISCONNECT);
  return status < 0 ? status : takeEnd();
}

/** AUTH, §3.15. */
function decodeAuth(version: u32): i32 {
  if (version < VERSION_5) return -MALFORMED_PACKET;
  const reason = takeReason();
  // Only a Server sends Success, and so the forms without a Reason Code [MQTT-3.15.2-1].
  if (reason !== CONTINUE_AUTHENTICATION && reason !== RE_AUTHENTICATE) return -PROTOCOL_ERROR;
  if (cursor === limit) return -PROTOCOL_ERROR; // As below.
  let status = takeProperties(AUTH);
  if (status < 0) return status;
  status = takeEnd();
  if (status < 0) return status;
  return hasProperty(AUTHENTICATION_METHOD) ? 0 : -PROTOCOL_ERROR; // §3.15.2.2.2
}

/**
 * Judges one whole packet of a client and fills DECODED with all of its fields; a field, string or
 * property that the packet does not have is 0. After a negative status only D_TYPE, D_FLAGS, D_AT,
 * D_END and, where the packet got that far, D_VERSION mean anything.
 *
 * @param version  protocol version of the Network Connection, 3, 4 or 5; a CONNECT tells its own
 * @param at  first byte of a packet that cutPacket() has found whole
 * @param end  first byte behind it; nothing there is touched
 * @returns 0, or −Reason Code of the first rule broken
 */
export function decodePacket(version: u32, at: usize, end: usize): i32 {
  const whole = cutPacket(at, end, u32.MAX_VALUE, version) === <i32>(end - at);
  assert(whole, "decodePacket: not one packet");
  const type = <u32>load<u8>(at) >> 4;
  memory.fill(DECODED, 0, D_VALUES);
  store<u32>(DECODED, type, D_TYPE);
  store<u32>(DECODED, <u32>load<u8>(at) & 15, D_FLAGS);
  store<u32>(DECODED, <u32>at, D_AT);
  store<u32>(DECODED, <u32>end, D_END);
  if (type === PUBLISH) {
    const status = decodePublish(version, at, end);
    if (status < 0) return status;
    return topicNameStatus(load<u32>(DECODED, D_TOPIC_AT), load<u32>(DECODED, D_TOPIC_BYTES));
  }
  if (type >= PUBACK && type <= PUBCOMP) return decodeAcknowledgement(version, at, end);
  cursor = at + headerBytes(<u32>(end - at));
  limit = end;
  if (type === CONNECT) return decodeConnect();
  if (type === SUBSCRIBE || type === UNSUBSCRIBE) return decodeFilters(version, type);
  if (type === PINGREQ) return takeEnd();
  if (type === DISCONNECT) return decodeDisconnect(version);
  if (type === AUTH) return decodeAuth(version);
  assert(
    type === CONNACK || type === SUBACK || type === UNSUBACK || type === PINGRESP,
    "no such type",
  );
  return -PROTOCOL_ERROR; // Only a Server sends it.
}

/**
 * Goes to the first entry of the SUBSCRIBE or UNSUBSCRIBE that decodePacket() accepted last, whose
 * bytes must still be in their place; then as nextFilter().
 */
export function firstFilter(): i32 {
  cursor = load<u32>(DECODED, D_PAYLOAD_AT);
  limit = cursor + load<u32>(DECODED, D_PAYLOAD_BYTES);
  return nextFilter();
}

/**
 * Reads the next entry into D_FILTER_AT, D_FILTER_BYTES and D_FILTER_OPTIONS (0 of an UNSUBSCRIBE).
 * Nothing else may be decoded between firstFilter() and the end.
 *
 * @returns 1, or 0 behind the last entry
 */
export function nextFilter(): i32 {
  if (cursor >= limit) return 0;
  if (takeField(D_FILTER_AT) < 0) return 0; // Not of a list that was accepted.
  const hasOptions = load<u32>(DECODED, D_TYPE) === SUBSCRIBE;
  store<u32>(DECODED, hasOptions ? <u32>load<u8>(cursor++) : 0, D_FILTER_OPTIONS);
  return 1;
}
