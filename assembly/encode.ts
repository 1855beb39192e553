/**
 * Outgoing PUBLISH packets: each is built once per layout and then copied to its receivers.
 *
 *   ┌────────────┬───────────┬─────────────┬────────────┬─────────────────────┬─────────┐
 *   │ type,flags │ Remaining │ Topic Name  │ Packet     │ properties          │ payload │  §3.3
 *   │ 1 byte     │ Length    │ u16 + text  │ Identifier │ (5.0)               │         │
 *   └────────────┴───────────┴─────────────┴────────────┴─────────────────────┴─────────┘
 *
 * A layout is version 5 or not × Packet Identifier or not; in version 5 there is also one with a
 * Topic Alias in the place of the name. The message described last (described.ts) is the one that
 * sendPublish() sends.
 */
import {
  NO_MEMORY,
  S_DROPPED_TOO_LARGE,
  S_PUBLISH_BYTES_SENT,
  S_PUBLISH_SENT,
  TEMPLATE,
} from "./abi";
import { aliasIsNew, findAlias, keepAlias } from "./alias-out";
import { C_ALIASES_OUT, C_PACKET_BYTES_MAX, C_VERSION } from "./connection";
import {
  cutBytes,
  expirySeconds,
  NO_EXPIRY,
  payloadAt,
  payloadBytes,
  propertiesAt,
  propertiesBytes,
  setTemplate,
  storeDescribed,
  TEMPLATE_BYTES,
  TEMPLATE_BYTES_MAX,
  TEMPLATE_IDENTIFIER,
  templateOf,
  topicAt,
  topicBytes,
  uncutTopic,
} from "./described";
import { payloadOf, propertiesOf, topicOf } from "./message";
import { cutMount, isMounted } from "./mount";
import { append, appendView, room } from "./out";
import { count } from "./settings";
import {
  FLAG_RETAIN,
  MESSAGE_EXPIRY_INTERVAL,
  PUBLISH,
  SUBSCRIPTION_IDENTIFIER,
  TOPIC_ALIAS,
  VERSION_5,
} from "./spec";
import { varintBytes, varintSize, writeVarint } from "./varint";

/** Sent, or too large for this client and dropped. */
export const SENT: i32 = 0;
export const TOO_LARGE: i32 = 1;

/** Longest packet that is built in one piece. */
const ONE_PIECE_BYTES_MAX: u32 = 16384;
/** A shorter message is not stored for being sent in pieces. */
const CUT_BYTES_MAX: u32 = ONE_PIECE_BYTES_MAX / 8;
/** A part at least so long is sent from the stored message, not copied. */
const VIEW_BYTES_MIN: u32 = 4096;
/** The first of the two layouts whose Topic Name is an alias. */
const LAYOUT_ALIASED: u32 = 4;

// The packet being written: see layOut().
let version5: bool = false;
let firstByte: u32 = 0;
let qos: u32 = 0;
let packetIdentifier: u32 = 0;
/** Topic Alias, or 0; bytes of the Topic Name written: none where the alias stands for it. */
let alias: u32 = 0;
let nameBytes: u32 = 0;
/** Subscription Identifier, or 0; if several, address of {u32 count, u32 …}. */
let several: bool = false;
let identifiers: u32 = 0;
/** Bytes of the property list; Remaining Length. */
let listBytes: u32 = 0;
let remaining: u32 = 0;

function identifiersSize(): u32 {
  if (identifiers === 0) return 0;
  if (!several) return 1 + varintSize(identifiers);
  let bytes: u32 = 0;
  const total = load<u32>(identifiers);
  for (let i: u32 = 0; i < total; i++) {
    bytes += 1 + varintSize(load<u32>(identifiers + 4 + (i << 2)));
  }
  return bytes;
}

/**
 * Fixes the packet to be written for the described message.
 *
 * @param topicAlias  Topic Alias, or 0
 * @param named  whether the Topic Name is written
 * @returns its whole size, bytes
 */
function layOut(
  isVersion5: bool,
  first: u32,
  withQos: u32,
  identifier: u32,
  hasSeveral: bool,
  subscriptionIdentifiers: u32,
  topicAlias: u32,
  named: bool,
): u32 {
  version5 = isVersion5;
  firstByte = first;
  qos = withQos;
  packetIdentifier = identifier;
  several = hasSeveral;
  identifiers = subscriptionIdentifiers;
  alias = topicAlias;
  nameBytes = named ? topicBytes : 0;
  remaining = 2 + nameBytes + payloadBytes;
  if (qos !== 0) remaining += 2;
  if (version5) {
    const expiry: u32 = expirySeconds !== NO_EXPIRY ? 5 : 0;
    listBytes = (alias !== 0 ? 3 : 0) + expiry + propertiesBytes + identifiersSize();
    remaining += varintSize(listBytes) + listBytes;
  }
  return 1 + varintSize(remaining) + remaining;
}

function writeIdentifier(at: usize, identifier: u32): usize {
  store<u8>(at, SUBSCRIPTION_IDENTIFIER);
  return writeVarint(at + 1, identifier);
}

/** Writes the property list's length, and those of its properties that are not the publisher's. */
function writeProperties(at: usize): usize {
  let to = writeVarint(at, listBytes);
  if (alias !== 0) {
    store<u8>(to, TOPIC_ALIAS);
    store<u16>(to, bswap<u16>(<u16>alias), 1);
    to += 3;
  }
  if (expirySeconds !== NO_EXPIRY) {
    store<u8>(to, MESSAGE_EXPIRY_INTERVAL);
    store<u32>(to, bswap<u32>(<u32>expirySeconds), 1);
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

/** Writes the fixed header and the length of the Topic Name. */
function writeHead(at: usize): usize {
  store<u8>(at, firstByte);
  const to = writeVarint(at + 1, remaining);
  store<u16>(to, bswap<u16>(<u16>nameBytes));
  return to + 2;
}

function writePacketIdentifier(at: usize, identifier: u32): usize {
  store<u16>(at, bswap<u16>(<u16>identifier));
  return at + 2;
}

function writeWhole(at: usize): void {
  let to = writeHead(at);
  memory.copy(to, topicAt, nameBytes);
  to += nameBytes;
  if (qos !== 0) to = writePacketIdentifier(to, packetIdentifier);
  if (version5) {
    to = writeProperties(to);
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

function sendInPieces(record: usize): i32 {
  const message = storeDescribed();
  if (message === 0) return NO_MEMORY;
  const head = room(record, 1 + varintSize(remaining) + 2);
  if (head === 0) return NO_MEMORY;
  writeHead(head);
  let whole = appendPart(record, message, topicOf(message) + cutBytes, nameBytes);
  if (qos !== 0 && whole) {
    const at = room(record, 2);
    if (at !== 0) writePacketIdentifier(at, packetIdentifier);
    else whole = false;
  }
  if (version5 && whole) {
    const at = room(record, varintSize(listBytes) + listBytes - propertiesBytes);
    if (at !== 0) writeProperties(at);
    whole = at !== 0 && appendPart(record, message, propertiesOf(message), propertiesBytes);
  }
  if (whole) whole = appendPart(record, message, payloadOf(message), payloadBytes);
  return whole ? SENT : NO_MEMORY;
}

/** @param topicAlias  any, for a layout that has one in the place of the Topic Name; or 0 */
function buildTemplate(layout: u32, isVersion5: bool, withQos: u32, topicAlias: u32): bool {
  const named = topicAlias === 0;
  const total = layOut(isVersion5, PUBLISH << 4, withQos, 0, false, 0, topicAlias, named);
  if (total > TEMPLATE_BYTES_MAX) return false;
  const at = TEMPLATE + layout * (TEMPLATE_BYTES_MAX + 64);
  writeWhole(at);
  setTemplate(layout, at, total, total - remaining + 2 + nameBytes);
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

/** Builds the packet laid out last for one receiver alone. */
function sendOwn(record: usize, total: u32): i32 {
  const limit = load<u32>(record, C_PACKET_BYTES_MAX);
  if (limit !== 0 && total > limit) return TOO_LARGE;
  if (total > ONE_PIECE_BYTES_MAX) return sendInPieces(record);
  const at = room(record, total);
  if (at === 0) return NO_MEMORY;
  writeWhole(at);
  return SENT;
}

/**
 * Appends the described message to a connection's output. Hot.
 *
 * @param withQos  0, 1 or 2
 * @param flags  RETAIN and DUP bits of the first byte
 * @param identifier  Packet Identifier, where the QoS has one
 * @param subscriptionIdentifiers  one, or 0; if several, address of {u32 count, u32 …}
 * @returns SENT, TOO_LARGE for the client's Maximum Packet Size [MQTT-3.1.2-25], NO_MEMORY: the
 *   stream may be cut inside the packet and the connection must be closed
 */
export function sendPublish(
  record: usize,
  withQos: u32,
  flags: u32,
  identifier: u32,
  hasSeveral: bool,
  subscriptionIdentifiers: u32,
): i32 {
  const isVersion5 = load<u32>(record, C_VERSION) === VERSION_5;
  const first = (PUBLISH << 4) | (withQos << 1) | flags;
  const limit = load<u32>(record, C_PACKET_BYTES_MAX);
  if (limit !== 0 && cutBytes === 0 && isMounted(record)) {
    return sendCut(record, withQos, flags, identifier, hasSeveral, subscriptionIdentifiers);
  }
  if (limit !== 0 && load<u32>(record, C_ALIASES_OUT) !== 0) {
    const found = findAlias(record, topicAt, topicBytes);
    if (found !== 0) {
      return sendAliased(
        record,
        first,
        withQos,
        identifier,
        hasSeveral,
        subscriptionIdentifiers,
        found,
      );
    }
  }
  if ((subscriptionIdentifiers === 0 || !isVersion5) && cutBytes === 0) {
    const layout: u32 = (isVersion5 ? 2 : 0) | (withQos !== 0 ? 1 : 0);
    const template = templateOf(layout);
    if (load<u32>(template) !== 0 || buildTemplate(layout, isVersion5, withQos, 0)) {
      return sendTemplate(record, template, first, withQos, identifier);
    }
  }
  const listed = isVersion5 ? subscriptionIdentifiers : 0;
  const total = layOut(isVersion5, first, withQos, identifier, hasSeveral, listed, 0, true);
  return counted(sendOwn(record, total));
}

/** As sendPublish(), without the mount point that the client does not see. */
function sendCut(
  record: usize,
  withQos: u32,
  flags: u32,
  identifier: u32,
  hasSeveral: bool,
  listed: u32,
): i32 {
  // Others may want it whole.
  const bytes = topicBytes + payloadBytes + propertiesBytes;
  if (bytes > CUT_BYTES_MAX && storeDescribed() === 0) return NO_MEMORY;
  if (!cutMount(record)) return counted(TOO_LARGE);
  const status = sendPublish(record, withQos, flags, identifier, hasSeveral, listed);
  uncutTopic();
  return status;
}

function counted(status: i32): i32 {
  if (status === TOO_LARGE) count(S_DROPPED_TOO_LARGE, 1);
  else if (status === SENT) countSent(payloadBytes);
  return status;
}

/**
 * Appends the described message with the Topic Alias that findAlias() found, the rest as
 * sendPublish().
 */
function sendAliased(
  record: usize,
  first: u32,
  withQos: u32,
  identifier: u32,
  hasSeveral: bool,
  listed: u32,
  found: u32,
): i32 {
  const isNew = aliasIsNew;
  if (listed === 0 && !isNew) {
    const layout = LAYOUT_ALIASED | (withQos !== 0 ? 1 : 0);
    const template = templateOf(layout);
    if (load<u32>(template) !== 0 || buildTemplate(layout, true, withQos, found)) {
      return sendAliasedTemplate(record, template, first, withQos, identifier, found);
    }
  }
  const limit = load<u32>(record, C_PACKET_BYTES_MAX);
  let total = layOut(true, first, withQos, identifier, hasSeveral, listed, found, isNew);
  // What sets an alias is longer than what has none; it must not be dropped for that.
  const sets = isNew && total <= limit;
  if (isNew && !sets) {
    total = layOut(true, first, withQos, identifier, hasSeveral, listed, 0, true);
  }
  const status = sendOwn(record, total);
  if (sets && status === SENT) keepAlias(record, topicAt, topicBytes);
  return counted(status);
}

/** Copies a template with what is the receiver's own. Hot. */
function sendTemplate(
  record: usize,
  template: usize,
  first: u32,
  withQos: u32,
  identifier: u32,
): i32 {
  const bytes = load<u32>(template, TEMPLATE_BYTES);
  const limit = load<u32>(record, C_PACKET_BYTES_MAX);
  if (limit !== 0 && bytes > limit) {
    count(S_DROPPED_TOO_LARGE, 1);
    return TOO_LARGE;
  }
  const at = room(record, bytes);
  if (at === 0) return NO_MEMORY;
  copyVectors(at, load<u32>(template), bytes);
  store<u8>(at, first);
  if (withQos !== 0)
    writePacketIdentifier(at + load<u32>(template, TEMPLATE_IDENTIFIER), identifier);
  countSent(payloadBytes);
  return SENT;
}

/** As sendTemplate(), with a Topic Alias in the place of the Topic Name. Hot. */
function sendAliasedTemplate(
  record: usize,
  template: usize,
  first: u32,
  withQos: u32,
  identifier: u32,
  topicAlias: u32,
): i32 {
  const bytes = load<u32>(template, TEMPLATE_BYTES);
  if (bytes > load<u32>(record, C_PACKET_BYTES_MAX)) return counted(TOO_LARGE);
  const at = room(record, bytes);
  if (at === 0) return NO_MEMORY;
  copyVectors(at, load<u32>(template), bytes);
  store<u8>(at, first);
  let list = at + load<u32>(template, TEMPLATE_IDENTIFIER);
  if (withQos !== 0) list = writePacketIdentifier(list, identifier);
  // It is the first property.
  store<u16>(list + varintBytes(list) + 1, bswap<u16>(<u16>topicAlias));
  return counted(SENT);
}

/** Counts one PUBLISH sent, with the bytes of its payload. Hot. */
export function countSent(bytes: u32): void {
  count(S_PUBLISH_SENT, 1);
  count(S_PUBLISH_BYTES_SENT, bytes);
}

/** RETAIN in the flags of an outgoing packet, from a truth value. Hot. */
export function retainFlag(retain: bool): u32 {
  return retain ? FLAG_RETAIN : 0;
}
