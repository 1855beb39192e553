/**
 * The reference decoder: what a client sent, judged by the rules of the standard and nothing else.
 *
 * Naive on purpose. The first broken rule in the order of the bytes wins; where a field is read as
 * a whole, its own malformation comes before the rules on its value; rules across fields come last.
 * It shares no code and no constant with the engine, so their agreement means something.
 */
import {
  ACKNOWLEDGEMENT_CODES,
  CLIENT_AUTH_CODES,
  CLIENT_DISCONNECT_CODES,
  fixedHeaderFlags,
  PACKET_TYPES,
} from "./packets-tables.ts";
import type {
  AcknowledgementPacket,
  AcknowledgementType,
  AuthPacket,
  ClientPacket,
  ConnectPacket,
  DisconnectPacket,
  PingreqPacket,
  Properties,
  PublishPacket,
  QoS,
  SubscribePacket,
  Subscription,
  UnsubscribePacket,
  Version,
  Will,
} from "./packets-types.ts";
import {
  type Cursor,
  expectEnd,
  hasWildcard,
  isAtEnd,
  readBinary,
  readByte,
  readBytes,
  readPacketIdentifier,
  readProperties,
  readString,
  readTopicFilter,
  readTwoBytes,
} from "./reference-decoder-fields.ts";
import { Refusal, RULES, type Rule, refuse, refuseIf } from "./reference-decoder-rules.ts";

export interface Refused {
  readonly ok: false;
  readonly reasonCode: number;
  readonly rule: Rule;
}

export type ReferenceOutcome = { readonly ok: true; readonly packet: ClientPacket } | Refused;

export type ReferenceCut = number | "need more" | { readonly reasonCode: number; rule: Rule };

/**
 * Bytes of the first packet, fixed header included; or why none can come of them.   [§2.1]
 *
 * @param bytes  of one Network Connection, from the first byte of a packet on
 */
export function referenceCut(
  bytes: Uint8Array,
  packetBytesMax: number,
  version: Version = 5,
): ReferenceCut {
  const first = bytes[0];
  if (first === undefined) return "need more";
  const broken = brokenFirstByte(first, version);
  if (broken !== null) return { reasonCode: RULES[broken], rule: broken };
  let remainingLength = 0;
  for (let index = 0; index < 4; index++) {
    const byte = bytes[1 + index];
    if (byte === undefined) return "need more";
    remainingLength += (byte % 128) * 128 ** index;
    if (byte >= 128) continue;
    if (byte === 0 && index > 0) return { reasonCode: 0x81, rule: "Remaining Length not minimal" };
    const packetBytes = 1 + (index + 1) + remainingLength;
    if (packetBytes > packetBytesMax)
      return { reasonCode: 0x95, rule: "packet larger than allowed" };
    return packetBytes > bytes.length ? "need more" : packetBytes;
  }
  return { reasonCode: 0x81, rule: "Remaining Length over four bytes" };
}

function brokenFirstByte(first: number, version: Version): Rule | null {
  const type = PACKET_TYPES[first >> 4] ?? null;
  const flags = first & 0x0f;
  if (type === null) return "packet type 0";
  // MQTT 3.1 §2.1: what has QoS 1 may have DUP.
  if (version === 3 && flags === 0x0a && fixedHeaderFlags(type) === 2) return null;
  if (type !== "publish") return flags === fixedHeaderFlags(type) ? null : "fixed-header flags";
  const qos = (flags >> 1) & 3;
  if (qos === 3) return "PUBLISH with QoS 3";
  return qos === 0 && flags >= 8 ? "DUP with QoS 0" : null;
}

/**
 * Judges one whole packet from a client, fixed header included.
 *
 * @param version  of the Network Connection; a CONNECT brings its own
 */
export function referenceDecode(version: Version, bytes: Uint8Array): ReferenceOutcome {
  try {
    const packetBytes = referenceCut(bytes, Number.POSITIVE_INFINITY, version);
    if (typeof packetBytes === "object") refuse(packetBytes.rule);
    if (packetBytes !== bytes.length) refuse("not exactly one packet");
    return { ok: true, packet: decodePacket(version, bytes) };
  } catch (thrown) {
    if (!(thrown instanceof Refusal)) throw thrown;
    return { ok: false, reasonCode: thrown.reasonCode, rule: thrown.rule };
  }
}

function decodePacket(version: Version, bytes: Uint8Array): ClientPacket {
  const first = bytes[0] ?? 0;
  const cursor = behindFixedHeader(bytes);
  const type = PACKET_TYPES[first >> 4] ?? null;
  switch (type) {
    case "connect":
      return decodeConnect(cursor);
    case "publish":
      return decodePublish(version, first & 0x0f, cursor);
    case "puback":
    case "pubrec":
    case "pubrel":
    case "pubcomp":
      return decodeAcknowledgement(version, type, cursor);
    case "subscribe":
      return decodeSubscribe(version, cursor);
    case "unsubscribe":
      return decodeUnsubscribe(version, cursor);
    case "pingreq":
      return decodePingreq(cursor);
    case "disconnect":
      return decodeDisconnect(version, cursor);
    case "auth":
      return decodeAuth(version, cursor);
    case "connack":
    case "suback":
    case "unsuback":
    case "pingresp":
      return refuse("packet type only a server sends");
    case null:
      return refuse("packet type 0");
  }
}

/** Over a whole packet: from behind its Remaining Length to its end. */
export function behindFixedHeader(bytes: Uint8Array): Cursor {
  let at = 1;
  while ((bytes[at] ?? 0) >= 128) at += 1;
  return { bytes, at: at + 1, end: bytes.length };
}

// §3.1
function decodeConnect(cursor: Cursor): ConnectPacket {
  const name = new TextDecoder("latin1").decode(readBinary(cursor));
  refuseIf(name !== "MQTT" && name !== "MQIsdp", "protocol name");
  const read = readByte(cursor);
  // The high bit says that a mosquitto bridges.
  const level = read === 0x83 || read === 0x84 ? read - 0x80 : read;
  const version: Version =
    level === 3 || level === 4 || level === 5 ? level : refuse("protocol level");
  refuseIf((name === "MQIsdp") !== (version === 3), "protocol level");
  const flags = readByte(cursor);
  const qos = expectConnectFlags(version, flags);
  const keepAliveSeconds = readTwoBytes(cursor);
  const properties = version === 5 ? readProperties(cursor, "connect", "client") : [];
  const clientIdentifier = readString(cursor);
  const will = (flags & 0x04) !== 0 ? readWill(version, qos, (flags & 0x20) !== 0, cursor) : null;
  // MQTT 3.1 §3.1: they may be missing at the end.
  const isMissing = (): boolean => version === 3 && isAtEnd(cursor);
  const userName = (flags & 0x80) !== 0 && !isMissing() ? readString(cursor) : null;
  const password = (flags & 0x40) !== 0 && !isMissing() ? readBinary(cursor) : null;
  expectEnd(cursor);
  const cleanStart = (flags & 0x02) !== 0;
  const session = { version, cleanStart, keepAliveSeconds, properties, clientIdentifier };
  return { type: "connect", ...session, will, userName, password };
}

/** The rules on the Connect Flags, §3.1.2.3 to §3.1.2.9; gives the Will QoS. */
function expectConnectFlags(version: Version, flags: number): QoS {
  refuseIf((flags & 0x01) !== 0, "reserved Connect Flag");
  const hasWill = (flags & 0x04) !== 0;
  refuseIf(!hasWill && (flags & 0x38) !== 0, "Will QoS or Will Retain without Will Flag");
  const onlyPassword = (flags & 0xc0) === 0x40;
  const qos = upToTwo((flags >> 3) & 3, "Will QoS 3");
  refuseIf(version < 5 && onlyPassword, "password without user name");
  return qos;
}

function upToTwo(bits: number, rule: Rule): QoS {
  return bits === 0 || bits === 1 || bits === 2 ? bits : refuse(rule);
}

function readWill(version: Version, qos: QoS, retain: boolean, cursor: Cursor): Will {
  const properties = version === 5 ? readProperties(cursor, "will", "client") : [];
  const topicName = readString(cursor);
  refuseIf(topicName === "" || hasWildcard(topicName), "Will Topic empty or with wildcard");
  return { qos, retain, properties, topicName, payload: readBinary(cursor) };
}

// §3.3
function decodePublish(version: Version, flags: number, cursor: Cursor): PublishPacket {
  const qos = upToTwo((flags >> 1) & 3, "PUBLISH with QoS 3");
  const topicName = readString(cursor);
  refuseIf(hasWildcard(topicName), "Topic Name with wildcard");
  refuseIf(version < 5 && topicName === "", "empty Topic Name before version 5");
  const packetIdentifier = qos > 0 ? readPacketIdentifier(cursor) : 0;
  const properties = version === 5 ? readProperties(cursor, "publish", "client") : [];
  const hasAlias = properties.some(([identifier]) => identifier === 35);
  refuseIf(topicName === "" && !hasAlias, "empty Topic Name without Topic Alias");
  const payload = readBytes(cursor, cursor.end - cursor.at);
  const header = { duplicate: flags >= 8, qos, retain: (flags & 1) !== 0 };
  return { type: "publish", ...header, topicName, packetIdentifier, properties, payload };
}

// §3.4 to §3.7
function decodeAcknowledgement(
  version: Version,
  type: AcknowledgementType,
  cursor: Cursor,
): AcknowledgementPacket {
  refuseIf(version < 5 && cursor.end - cursor.at !== 2, "Remaining Length of the type");
  const packetIdentifier = readPacketIdentifier(cursor);
  const reason = readReason(cursor, type, ACKNOWLEDGEMENT_CODES[type]);
  return { type, packetIdentifier, ...reason };
}

/** Reason Code and properties as four packet types end with: each may be left out. */
function readReason(
  cursor: Cursor,
  type: AcknowledgementType | "disconnect" | "auth",
  reasonCodes: readonly number[],
): { reasonCode: number; properties: Properties } {
  if (isAtEnd(cursor)) return { reasonCode: 0, properties: [] };
  const reasonCode = readByte(cursor);
  refuseIf(!reasonCodes.includes(reasonCode), "Reason Code not in the table");
  const properties = isAtEnd(cursor) ? [] : readProperties(cursor, type, "client");
  expectEnd(cursor);
  return { reasonCode, properties };
}

// §3.8
function decodeSubscribe(version: Version, cursor: Cursor): SubscribePacket {
  const packetIdentifier = readPacketIdentifier(cursor);
  const properties = version === 5 ? readProperties(cursor, "subscribe", "client") : [];
  refuseIf(isAtEnd(cursor), "no Topic Filter");
  const subscriptions: Subscription[] = [];
  while (!isAtEnd(cursor)) {
    const topicFilter = readTopicFilter(cursor);
    subscriptions.push({ topicFilter, ...readSubscriptionOptions(version, cursor) });
  }
  return { type: "subscribe", packetIdentifier, properties, subscriptions };
}

function readSubscriptionOptions(
  version: Version,
  cursor: Cursor,
): Omit<Subscription, "topicFilter"> {
  const options = readByte(cursor);
  refuseIf(version < 5 && options > 2, "Subscription Options above 2 before version 5");
  refuseIf((options & 0xc0) !== 0, "reserved Subscription Options");
  return {
    qos: upToTwo(options & 3, "Subscription QoS 3"),
    noLocal: (options & 0x04) !== 0,
    retainAsPublished: (options & 0x08) !== 0,
    retainHandling: upToTwo((options >> 4) & 3, "Retain Handling 3"),
  };
}

// §3.10
function decodeUnsubscribe(version: Version, cursor: Cursor): UnsubscribePacket {
  const packetIdentifier = readPacketIdentifier(cursor);
  const properties = version === 5 ? readProperties(cursor, "unsubscribe", "client") : [];
  refuseIf(isAtEnd(cursor), "no Topic Filter");
  const topicFilters: string[] = [];
  while (!isAtEnd(cursor)) topicFilters.push(readTopicFilter(cursor));
  return { type: "unsubscribe", packetIdentifier, properties, topicFilters };
}

// §3.12
function decodePingreq(cursor: Cursor): PingreqPacket {
  refuseIf(!isAtEnd(cursor), "Remaining Length of the type");
  return { type: "pingreq" };
}

// §3.14
function decodeDisconnect(version: Version, cursor: Cursor): DisconnectPacket {
  refuseIf(version < 5 && !isAtEnd(cursor), "Remaining Length of the type");
  return { type: "disconnect", ...readReason(cursor, "disconnect", CLIENT_DISCONNECT_CODES) };
}

// §3.15
function decodeAuth(version: Version, cursor: Cursor): AuthPacket {
  refuseIf(version < 5, "AUTH before version 5");
  refuseIf(isAtEnd(cursor), "Reason Code not in the table");
  const reason = readReason(cursor, "auth", CLIENT_AUTH_CODES);
  const hasMethod = reason.properties.some(([identifier]) => identifier === 21);
  refuseIf(!hasMethod, "AUTH without Authentication Method");
  return { type: "auth", ...reason };
}
