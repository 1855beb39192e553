/**
 * Properties of MQTT 5.0, §2.2.2: a length, then identifiers and values in any order.
 *
 *   ┌─────────────────┬────────────┬───────┬────────────┬───────┬───
 *   │ Property Length │ identifier │ value │ identifier │ value │ …
 *   └─────────────────┴────────────┴───────┴────────────┴───────┴───
 *     varint            varint       by Table 2-4
 *
 * What is wrong with an identifier (unknown, not for this packet, a repeat) is told before its
 * value is looked at; that a value is cut off or ill-formed, before that it is out of its range.
 */
import {
  D_PRESENT,
  D_PROPERTIES_AT,
  D_VALUES,
  D_WILL_PRESENT,
  D_WILL_PROPERTIES_AT,
  D_WILL_VALUES,
  DECODED,
} from "./abi";
import {
  AUTH,
  AUTHENTICATION_DATA,
  AUTHENTICATION_METHOD,
  CONNACK,
  CONNECT,
  DISCONNECT,
  MALFORMED_PACKET,
  PROPERTY_MAX,
  PROTOCOL_ERROR,
  PUBACK,
  PUBCOMP,
  PUBLISH,
  PUBREC,
  PUBREL,
  RESPONSE_TOPIC,
  SERVER_REFERENCE,
  SUBACK,
  SUBSCRIBE,
  SUBSCRIPTION_IDENTIFIER,
  TOPIC_ALIAS,
  TOPIC_ALIAS_INVALID,
  UNSUBACK,
  UNSUBSCRIBE,
  USER_PROPERTY,
} from "./spec";
import { topicNameStatus, utf8Valid } from "./utf8";
import { readFourBytes, readTwoBytes, readVarint, varintSize } from "./varint";

/** Stands beside the Control Packet types as the place of the Will Properties. */
export const WILL: u32 = 0;

// A row of Table 2-4: bits 0 … 4 the form of the value, bit 7 NOT_ZERO, bit 8 + type the packets.
const FORM_MASK: u32 = 0x1f;
/** Fixed forms are their bytes. A Byte is always a switch: 0 or 1. */
const BYTE: u32 = 1;
const TWO: u32 = 2;
const FOUR: u32 = 4;
const VARINT: u32 = 8;
const TEXT: u32 = 16;
const DATA: u32 = 17;
const PAIR: u32 = 18;
const NOT_ZERO: u32 = 0x80;
const IN_SHIFT: u32 = 8;

const IN_WILL: u32 = 1 << (IN_SHIFT + WILL);
const IN_CONNECT: u32 = 1 << (IN_SHIFT + CONNECT);
const IN_CONNACK: u32 = 1 << (IN_SHIFT + CONNACK);
const IN_PUBLISH: u32 = 1 << (IN_SHIFT + PUBLISH);
const IN_SUBSCRIBE: u32 = 1 << (IN_SHIFT + SUBSCRIBE);
const IN_UNSUBSCRIBE: u32 = 1 << (IN_SHIFT + UNSUBSCRIBE);
const IN_DISCONNECT: u32 = 1 << (IN_SHIFT + DISCONNECT);
const IN_AUTH: u32 = 1 << (IN_SHIFT + AUTH);
const IN_MESSAGE: u32 = IN_PUBLISH | IN_WILL;
const IN_ANSWERS: u32 =
  IN_CONNACK |
  IN_DISCONNECT |
  IN_AUTH |
  (1 << (IN_SHIFT + PUBACK)) |
  (1 << (IN_SHIFT + PUBREC)) |
  (1 << (IN_SHIFT + PUBREL)) |
  (1 << (IN_SHIFT + PUBCOMP)) |
  (1 << (IN_SHIFT + SUBACK)) |
  (1 << (IN_SHIFT + UNSUBACK));
const IN_ALL: u32 = IN_MESSAGE | IN_CONNECT | IN_SUBSCRIBE | IN_UNSUBSCRIBE | IN_ANSWERS;

/** Table 2-4, a row per identifier 0 … PROPERTY_MAX; 0 where there is no such property. */
const table: usize = memory.data<u32>([
  0, // 0x00
  BYTE | IN_MESSAGE, // 0x01 Payload Format Indicator
  FOUR | IN_MESSAGE, // 0x02 Message Expiry Interval
  TEXT | IN_MESSAGE, // 0x03 Content Type
  0, // 0x04
  0, // 0x05
  0, // 0x06
  0, // 0x07
  TEXT | IN_MESSAGE, // 0x08 Response Topic
  DATA | IN_MESSAGE, // 0x09 Correlation Data
  0, // 0x0a
  VARINT | NOT_ZERO | IN_PUBLISH | IN_SUBSCRIBE, // 0x0b Subscription Identifier
  0, // 0x0c
  0, // 0x0d
  0, // 0x0e
  0, // 0x0f
  0, // 0x10
  FOUR | IN_CONNECT | IN_CONNACK | IN_DISCONNECT, // 0x11 Session Expiry Interval
  TEXT | IN_CONNACK, // 0x12 Assigned Client Identifier
  TWO | IN_CONNACK, // 0x13 Server Keep Alive
  0, // 0x14
  TEXT | IN_CONNECT | IN_CONNACK | IN_AUTH, // 0x15 Authentication Method
  DATA | IN_CONNECT | IN_CONNACK | IN_AUTH, // 0x16 Authentication Data
  BYTE | IN_CONNECT, // 0x17 Request Problem Information
  FOUR | IN_WILL, // 0x18 Will Delay Interval
  BYTE | IN_CONNECT, // 0x19 Request Response Information
  TEXT | IN_CONNACK, // 0x1a Response Information
  0, // 0x1b
  TEXT | IN_CONNACK | IN_DISCONNECT, // 0x1c Server Reference
  0, // 0x1d
  0, // 0x1e
  TEXT | IN_ANSWERS, // 0x1f Reason String
  0, // 0x20
  TWO | NOT_ZERO | IN_CONNECT | IN_CONNACK, // 0x21 Receive Maximum
  TWO | IN_CONNECT | IN_CONNACK, // 0x22 Topic Alias Maximum
  TWO | NOT_ZERO | IN_PUBLISH, // 0x23 Topic Alias
  BYTE | IN_CONNACK, // 0x24 Maximum QoS
  BYTE | IN_CONNACK, // 0x25 Retain Available
  PAIR | IN_ALL, // 0x26 User Property
  FOUR | NOT_ZERO | IN_CONNECT | IN_CONNACK, // 0x27 Maximum Packet Size
  BYTE | IN_CONNACK, // 0x28 Wildcard Subscription Available
  BYTE | IN_CONNACK, // 0x29 Subscription Identifier Available
  BYTE | IN_CONNACK, // 0x2a Shared Subscription Available
]);

/** Whether the packet decoded last has the property, 0 … PROPERTY_MAX; not for a Will's. */
export function hasProperty(identifier: u32): bool {
  return ((load<u64>(DECODED, D_PRESENT) >> <u64>identifier) & 1) !== 0;
}

/** What is wrong with an identifier before its value is known: 0, −0x81 or −0x82. */
function identifierStatus(kind: u32, identifier: u32, row: u32, seen: u64): i32 {
  if (((row >> (IN_SHIFT + kind)) & 1) === 0) return -MALFORMED_PACKET;
  // Only a Server sends these two: [MQTT-3.3.4-6], §3.14.2.2.5.
  if (identifier === SUBSCRIPTION_IDENTIFIER && kind === PUBLISH) return -PROTOCOL_ERROR;
  if (identifier === SERVER_REFERENCE && kind === DISCONNECT) return -PROTOCOL_ERROR;
  if (identifier === USER_PROPERTY) return 0;
  return ((seen >> <u64>identifier) & 1) === 0 ? 0 : -PROTOCOL_ERROR;
}

/** Bytes of the length-prefixed field at `at`, its length included; −0x81 if it is cut off. */
function fieldBytes(at: usize, end: usize): i32 {
  if (end - at < 2) return -MALFORMED_PACKET;
  const bytes = readTwoBytes(at) + 2;
  return end - at < bytes ? -MALFORMED_PACKET : <i32>bytes;
}

/** As fieldBytes(), of valid UTF-8. */
function textBytes(at: usize, end: usize): i32 {
  const bytes = fieldBytes(at, end);
  return bytes < 0 || utf8Valid(at + 2, bytes - 2) ? bytes : -MALFORMED_PACKET;
}

/** Reads a string or binary value. @returns its bytes with the length, or a negative status */
function readField(identifier: u32, form: u32, at: usize, end: usize, slot: usize): i32 {
  const bytes = form === TEXT ? textBytes(at, end) : fieldBytes(at, end);
  if (bytes < 0) return bytes;
  store<u32>(slot, <u32>(at + 2));
  store<u32>(slot, bytes - 2, 4);
  if (identifier !== RESPONSE_TOPIC) return bytes;
  // It is a Topic Name: no wildcards [MQTT-3.3.2-14], at least one character [MQTT-4.7.3-1].
  return bytes > 2 && topicNameStatus(at + 2, bytes - 2) === 0 ? bytes : -PROTOCOL_ERROR;
}

/** Reads a number. @returns its bytes, or a negative status */
function readNumber(identifier: u32, row: u32, at: usize, end: usize, slot: usize): i32 {
  const form = row & FORM_MASK;
  let bytes = form;
  let value: u32 = 0;
  if (form === VARINT) {
    const number = readVarint(at, end);
    if (number < 0) return -MALFORMED_PACKET;
    value = number;
    bytes = varintSize(value);
  } else {
    if (end - at < form) return -MALFORMED_PACKET;
    if (form === FOUR) value = readFourBytes(at);
    else if (form === TWO) value = readTwoBytes(at);
    else value = <u32>load<u8>(at);
  }
  if (form === BYTE && value > 1) return -PROTOCOL_ERROR;
  if (value === 0 && (row & NOT_ZERO) !== 0) {
    return identifier === TOPIC_ALIAS ? -TOPIC_ALIAS_INVALID : -PROTOCOL_ERROR; // [MQTT-3.3.2-8]
  }
  store<u64>(slot, value);
  return bytes;
}

/** Reads a User Property, the first one if `seen` is false. @returns its bytes, or −0x81 */
function readPair(identifierAt: usize, at: usize, end: usize, slot: usize, seen: bool): i32 {
  const nameBytes = textBytes(at, end);
  if (nameBytes < 0) return nameBytes;
  const valueBytes = textBytes(at + nameBytes, end);
  if (valueBytes < 0) return valueBytes;
  if (!seen) store<u64>(slot, identifierAt);
  store<u32>(slot, load<u32>(slot, 4) + 1, 4);
  return nameBytes + valueBytes;
}

/** Reads the list between `at` and `end` into the 8-byte values and the bits of `present`. */
function readList(kind: u32, at: usize, end: usize, present: usize, values: usize): i32 {
  let seen: u64 = 0;
  while (at < end) {
    const identifierAt = at;
    const identifier = readVarint(at, end);
    if (identifier < 0 || <u32>identifier > PROPERTY_MAX) return -MALFORMED_PACKET;
    const row = load<u32>(table + (identifier << 2));
    const status = identifierStatus(kind, identifier, row, seen);
    if (status < 0) return status;
    const form = row & FORM_MASK;
    const slot = values + (identifier << 3);
    const bit = (<u64>1) << (<u64>identifier);
    at += 1; // Every known identifier is one byte.
    let bytes: i32;
    if (form === PAIR) bytes = readPair(identifierAt, at, end, slot, (seen & bit) !== 0);
    else if (form < TEXT) bytes = readNumber(identifier, row, at, end, slot);
    else bytes = readField(identifier, form, at, end, slot);
    if (bytes < 0) return bytes;
    at += bytes;
    seen |= bit;
  }
  const data = (<u64>1) << AUTHENTICATION_DATA;
  const method = (<u64>1) << AUTHENTICATION_METHOD;
  if ((seen & (data | method)) === data) return -PROTOCOL_ERROR; // §3.1.2.11.10, §3.15.2.2.3
  store<u64>(present, seen);
  return 0;
}

/**
 * Reads Property Length and properties into DECODED: D_PROPERTIES_*, D_PRESENT and D_VALUES, or for
 * the Will Properties the fields of the same names with WILL.
 *
 * @param kind  Control Packet type, or WILL
 * @param at  the Property Length
 * @param end  first byte behind the packet
 * @returns bytes of length and list; −0x81, −0x82 or −0x94 by the first rule that is broken
 */
export function readProperties(kind: u32, at: usize, end: usize): i32 {
  const listBytes = readVarint(at, end);
  if (listBytes < 0) return -MALFORMED_PACKET;
  const lengthBytes = varintSize(listBytes);
  const listAt = at + lengthBytes;
  if (end - listAt < <u32>listBytes) return -MALFORMED_PACKET;
  const will = kind === WILL;
  const field = DECODED + (will ? D_WILL_PROPERTIES_AT : D_PROPERTIES_AT);
  store<u32>(field, <u32>listAt);
  store<u32>(field, listBytes, 4);
  const present = DECODED + (will ? D_WILL_PRESENT : D_PRESENT);
  const values = DECODED + (will ? D_WILL_VALUES : D_VALUES);
  const status = readList(kind, listAt, listAt + listBytes, present, values);
  return status < 0 ? status : <i32>lengthBytes + listBytes;
}
