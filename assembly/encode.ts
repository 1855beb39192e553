/**
 * Outgoing PUBLISH packets: each is built once per layout and then copied to its receivers.
 *
 *   ┌────────────┬───────────┬─────────────┬────────────┬─────────────────────┬─────────┐
 *   │ type,flags │ Remaining │ Topic Name  │ Packet     │ properties          │ payload │  §3.3
 *   │ 1 byte     │ Length    │ u16 + text  │ Identifier │ (5.0)               │         │
 *   └────────────┴───────────┴─────────────┴────────────┴─────────────────────┴─────────┘
 *
 * A layout is version 5 or not × Packet Identifier or not. The message described last (describe…)
 * is the one that sendPublish() sends.
 */
import {
  NO_MEMORY,
  S_DROPPED_TOO_LARGE,
  S_PUBLISH_BYTES_SENT,
  S_PUBLISH_SENT,
  TEMPLATE,
} from "./abi";
import { C_PACKET_BYTES_MAX, C_VERSION } from "./connection";
import {
  M_EXPIRES_MS,
  M_PAYLOAD_BYTES,
  M_PROPERTIES_BYTES,
  M_TOPIC_BYTES,
  newMessage,
  payloadOf,
  propertiesOf,
  publisherOf,
  topicOf,
} from "./message";
import { append, appendView, room } from "./out";
import { count, nowMs } from "./settings";
import { FLAG_RETAIN, MESSAGE_EXPIRY_INTERVAL, PUBLISH, SUBSCRIPTION_IDENTIFIER } from "./spec";
import { varintSize, writeVarint } from "./varint";

/** Sent, or too large for this client and dropped. */
export const SENT: i32 = 0;
export const TOO_LARGE: i32 = 1;

/** No Message Expiry Interval. */
export const NO_EXPIRY: u32 = 0xffffffff;
/** Longest packet that is built as a template, or in one piece. */
const TEMPLATE_BYTES_MAX: u32 = 4096;
const ONE_PIECE_BYTES_MAX: u32 = 16384;
/** A part at least so long is sent from the stored message, not copied. */
const VIEW_BYTES_MIN: u32 = 4096;

// The message being sent.
let topicAt: usize = 0;
let topicBytes: u32 = 0;
let propertiesAt: usize = 0;
let propertiesBytes: u32 = 0;
let payloadAt: usize = 0;
let payloadBytes: u32 = 0;
let expirySeconds: u32 = NO_EXPIRY;
/** The stored message, where there is one already. */
let stored: usize = 0;
let storedFlags: u32 = 0;
let publisherAt: usize = 0;
let publisherBytes: u32 = 0;

/** Four templates: address (0 = not built), bytes, offset of the Packet Identifier. */
const templates: usize = memory.data(4 * 12, 4);

function resetTemplates(): void {
  store<u32>(templates, 0);
  store<u32>(templates, 0, 12);
  store<u32>(templates, 0, 24);
  store<u32>(templates, 0, 36);
}

function setTemplate(layout: u32, at: usize, bytes: u32, identifierOffset: u32): void {
  const template = templates + layout * 12;
  store<u32>(template, <u32>at);
  store<u32>(template, bytes, 4);
  store<u32>(template, identifierOffset, 8);
}

/**
 * Describes a message that came as a packet; all addresses are borrowed until the next one. Hot.
 */
export function describe(
  atTopic: usize,
  bytesTopic: u32,
  atProperties: usize,
  bytesProperties: u32,
  atPayload: usize,
  bytesPayload: u32,
  seconds: u32,
): void {
  topicAt = atTopic;
  topicBytes = bytesTopic;
  propertiesAt = atProperties;
  propertiesBytes = bytesProperties;
  payloadAt = atPayload;
  payloadBytes = bytesPayload;
  expirySeconds = seconds;
  stored = 0;
  resetTemplates();
}

/** Who published it and how, should it be stored: M_FLAGS and the Client Identifier. Hot. */
export function describeOrigin(flags: u32, at: usize, bytes: u32): void {
  storedFlags = flags;
  publisherAt = at;
  publisherBytes = bytes;
}

/** Lets the packet that came serve as the template of its own layout. Hot. */
export function describeAsPacket(version5: bool, qos: u32, at: usize, bytes: u32): void {
  if (bytes > TEMPLATE_BYTES_MAX) return;
  const layout = (version5 ? 2 : 0) | (qos !== 0 ? 1 : 0);
  setTemplate(layout, at, bytes, <u32>(topicAt - at) + topicBytes);
}

/** Describes a stored message, with what is left of its Message Expiry Interval [MQTT-3.3.2-6]. */
export function describeStored(message: usize): void {
  const expires = load<u64>(message, M_EXPIRES_MS);
  let seconds: u32 = NO_EXPIRY;
  if (expires !== 0) seconds = expires > nowMs ? <u32>((expires - nowMs + 999) / 1000) : 0;
  describe(
    topicOf(message),
    load<u32>(message, M_TOPIC_BYTES),
    propertiesOf(message),
    load<u32>(message, M_PROPERTIES_BYTES),
    payloadOf(message),
    load<u32>(message, M_PAYLOAD_BYTES),
    seconds,
  );
  stored = message;
}

/**
 * The described message in a block of its own, made when first asked for.
 *
 * @returns its address with the reference of the description, or 0 where there is no memory;
 *   whoever described it gives that reference back (forgetStored)
 */
export function storeDescribed(): usize {
  if (stored !== 0) return stored;
  const expires: u64 = expirySeconds === NO_EXPIRY ? 0 : nowMs + <u64>expirySeconds * 1000;
  const message = newMessage(
    storedFlags,
    topicBytes,
    propertiesBytes,
    publisherBytes,
    payloadBytes,
    expires,
  );
  if (message === 0) return 0;
  memory.copy(topicOf(message), topicAt, topicBytes);
  memory.copy(propertiesOf(message), propertiesAt, propertiesBytes);
  memory.copy(publisherOf(message), publisherAt, publisherBytes);
  memory.copy(payloadOf(message), payloadAt, payloadBytes);
  stored = message;
  return message;
}

/** The stored form of the described message, or 0 where nobody asked for one. */
export function describedMessage(): usize {
  return stored;
}

function identifiersSize(several: bool, identifiers: u32): u32 {
  if (identifiers === 0) return 0;
  if (!several) return 1 + varintSize(identifiers);
  let bytes: u32 = 0;
  const total = load<u32>(identifiers);
  for (let i: u32 = 0; i < total; i++)
    bytes += 1 + varintSize(load<u32>(identifiers + 4 + (i << 2)));
  return bytes;
}

function writeIdentifier(at: usize, identifier: u32): usize {
  store<u8>(at, SUBSCRIPTION_IDENTIFIER);
  return writeVarint(at + 1, identifier);
}

/** Writes the property list with its length: expiry and Subscription Identifiers first. */
function writeProperties(at: usize, total: u32, several: bool, identifiers: u32): usize {
  let to = writeVarint(at, total);
  if (expirySeconds !== NO_EXPIRY) {
    store<u8>(to, MESSAGE_EXPIRY_INTERVAL);
    store<u32>(to, bswap<u32>(expirySeconds), 1);
    to += 5;
  }
  if (identifiers === 0) return to;
  if (!several) return writeIdentifier(to, identifiers);
  const listed = load<u32>(identifiers);
  for (let i: u32 = 0; i < listed; i++) {
    to = writeIdentifier(to, load<u32>(identifiers + 4 + (i << 2)));
  }
  return to;
}

function writeHead(at: usize, first: u32, remaining: u32): usize {
  store<u8>(at, first);
  const to = writeVarint(at + 1, remaining);
  store<u16>(to, bswap<u16>(<u16>topicBytes));
  return to + 2;
}

function writeIdentifierField(at: usize, packetIdentifier: u32): usize {
  store<u16>(at, bswap<u16>(<u16>packetIdentifier));
  return at + 2;
}

/** Bytes of the property list without its length. */
function propertyListSize(several: bool, identifiers: u32): u32 {
  const expiry: u32 = expirySeconds !== NO_EXPIRY ? 5 : 0;
  return expiry + propertiesBytes + identifiersSize(several, identifiers);
}

function remainingSize(version5: bool, qos: u32, listBytes: u32): u32 {
  let bytes = 2 + topicBytes + payloadBytes;
  if (qos !== 0) bytes += 2;
  if (version5) bytes += varintSize(listBytes) + listBytes;
  return bytes;
}

function writeWhole(
  at: usize,
  first: u32,
  remaining: u32,
  version5: bool,
  qos: u32,
  packetIdentifier: u32,
  listBytes: u32,
  several: bool,
  identifiers: u32,
): void {
  let to = writeHead(at, first, remaining);
  memory.copy(to, topicAt, topicBytes);
  to += topicBytes;
  if (qos !== 0) to = writeIdentifierField(to, packetIdentifier);
  if (version5) {
    to = writeProperties(to, listBytes, several, identifiers);
    memory.copy(to, propertiesAt, propertiesBytes);
    to += propertiesBytes;
  }
  memory.copy(to, payloadAt, payloadBytes);
}

/** Long parts are views of the stored message; short ones are copied. */
function appendPart(record: usize, message: usize, at: usize, bytes: u32): bool {
  if (bytes >= VIEW_BYTES_MIN) return appendView(record, message, at, bytes);
  return append(record, at, bytes);
}

function sendInPieces(
  record: usize,
  first: u32,
  remaining: u32,
  version5: bool,
  qos: u32,
  packetIdentifier: u32,
  listBytes: u32,
  several: bool,
  identifiers: u32,
): i32 {
  const message = storeDescribed();
  if (message === 0) return NO_MEMORY;
  const head = room(record, 1 + varintSize(remaining) + 2);
  if (head === 0) return NO_MEMORY;
  writeHead(head, first, remaining);
  let whole = appendPart(record, message, topicOf(message), topicBytes);
  if (qos !== 0 && whole) {
    const at = room(record, 2);
    if (at !== 0) writeIdentifierField(at, packetIdentifier);
    else whole = false;
  }
  if (version5 && whole) {
    const at = room(record, varintSize(listBytes) + listBytes - propertiesBytes);
    if (at !== 0) writeProperties(at, listBytes, several, identifiers);
    whole = at !== 0 && appendPart(record, message, propertiesOf(message), propertiesBytes);
  }
  if (whole) whole = appendPart(record, message, payloadOf(message), payloadBytes);
  return whole ? SENT : NO_MEMORY;
}

function buildTemplate(layout: u32, version5: bool, qos: u32): bool {
  const listBytes = version5 ? propertyListSize(false, 0) : 0;
  const remaining = remainingSize(version5, qos, listBytes);
  if (remaining > TEMPLATE_BYTES_MAX - 5) return false;
  const at = TEMPLATE + layout * (TEMPLATE_BYTES_MAX + 64);
  writeWhole(at, PUBLISH << 4, remaining, version5, qos, 0, listBytes, false, 0);
  const headBytes = 1 + varintSize(remaining) + 2;
  setTemplate(layout, at, headBytes - 2 + remaining, headBytes + topicBytes);
  return true;
}

/** Copies whole vectors; up to 15 bytes past both ends are touched. Hot. */
export function copyVectors(to: usize, from: usize, bytes: u32): void {
  if (bytes > 512) {
    memory.copy(to, from, bytes);
    return;
  }
  const end = to + bytes;
  while (to < end) {
    v128.store(to, v128.load(from));
    to += 16;
    from += 16;
  }
}

function sendGeneric(
  record: usize,
  version5: bool,
  first: u32,
  qos: u32,
  packetIdentifier: u32,
  several: bool,
  identifiers: u32,
): i32 {
  const listBytes = version5 ? propertyListSize(several, identifiers) : 0;
  const remaining = remainingSize(version5, qos, listBytes);
  const total: u32 = 1 + varintSize(remaining) + remaining;
  const limit = load<u32>(record, C_PACKET_BYTES_MAX);
  if (limit !== 0 && total > limit) return TOO_LARGE;
  if (total > ONE_PIECE_BYTES_MAX) {
    return sendInPieces(
      record,
      first,
      remaining,
      version5,
      qos,
      packetIdentifier,
      listBytes,
      several,
      identifiers,
    );
  }
  const at = room(record, total);
  if (at === 0) return NO_MEMORY;
  writeWhole(
    at,
    first,
    remaining,
    version5,
    qos,
    packetIdentifier,
    listBytes,
    several,
    identifiers,
  );
  return SENT;
}

/**
 * Appends the described message to a connection's output. Hot.
 *
 * @param flags  RETAIN and DUP bits of the first byte
 * @param identifiers  Subscription Identifier, or 0; if several, address of {u32 count, u32 …}
 * @returns SENT, TOO_LARGE for the client's Maximum Packet Size [MQTT-3.1.2-25], NO_MEMORY: the
 *   stream may be cut inside the packet and the connection must be closed
 */
export function sendPublish(
  record: usize,
  qos: u32,
  flags: u32,
  packetIdentifier: u32,
  several: bool,
  identifiers: u32,
): i32 {
  const version5 = load<u32>(record, C_VERSION) === 5;
  const first = (PUBLISH << 4) | (qos << 1) | flags;
  if (identifiers === 0 || !version5) {
    const layout: u32 = (version5 ? 2 : 0) | (qos !== 0 ? 1 : 0);
    const template = templates + layout * 12;
    if (load<u32>(template) !== 0 || buildTemplate(layout, version5, qos)) {
      const bytes = load<u32>(template, 4);
      const limit = load<u32>(record, C_PACKET_BYTES_MAX);
      if (limit !== 0 && bytes > limit) return tooLarge();
      const at = room(record, bytes);
      if (at === 0) return NO_MEMORY;
      copyVectors(at, load<u32>(template), bytes);
      store<u8>(at, first);
      if (qos !== 0) writeIdentifierField(at + load<u32>(template, 8), packetIdentifier);
      countSent(payloadBytes);
      return SENT;
    }
  }
  const withIdentifiers = version5 ? identifiers : 0;
  const status = sendGeneric(
    record,
    version5,
    first,
    qos,
    packetIdentifier,
    several,
    withIdentifiers,
  );
  if (status === TOO_LARGE) return tooLarge();
  if (status === SENT) countSent(payloadBytes);
  return status;
}

/** Counts one PUBLISH sent, with the bytes of its payload. Hot. */
export function countSent(bytes: u32): void {
  count(S_PUBLISH_SENT, 1);
  count(S_PUBLISH_BYTES_SENT, bytes);
}

function tooLarge(): i32 {
  count(S_DROPPED_TOO_LARGE, 1);
  return TOO_LARGE;
}

/** RETAIN in the flags of an outgoing packet, from a truth value. Hot. */
export function retainFlag(retain: bool): u32 {
  return retain ? FLAG_RETAIN : 0;
}
