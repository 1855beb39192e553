/**
 * Encodes packet values, plainly: lists of bytes put one behind the other.
 */
import { fixedHeaderFlags, PACKET_TYPES, propertyRow } from "./packets-tables.ts";
import type {
  ConnectPacket,
  Packet,
  Properties,
  Property,
  PublishPacket,
  Subscription,
  Version,
} from "./packets-types.ts";

type Bytes = readonly number[];

/**
 * How to write what may be left out: "shortest" leaves out Reason Code 0 and an empty property list
 * where the standard lets it, "full" writes them.
 */
export type EncodedForm = "shortest" | "full";

/** One packet, fixed header included. */
export function encode(
  version: Version,
  packet: Packet,
  form: EncodedForm = "shortest",
): Uint8Array<ArrayBuffer> {
  const body = encodeBody(packet.type === "connect" ? packet.version : version, packet, form);
  const type = PACKET_TYPES.indexOf(packet.type);
  const flags = packet.type === "publish" ? publishFlags(packet) : fixedHeaderFlags(packet.type);
  return concatenate([[type * 16 + flags], variableByteInteger(body.length), body]);
}

/** Several packets, one behind the other. */
export function encodeAll(version: Version, packets: readonly Packet[]): Uint8Array<ArrayBuffer> {
  return concatenate(packets.map((packet) => encode(version, packet)));
}

export function concatenate(parts: readonly ArrayLike<number>[]): Uint8Array<ArrayBuffer> {
  const byteCount = parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(byteCount);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function encodeBody(version: Version, packet: Packet, form: EncodedForm): Uint8Array {
  switch (packet.type) {
    case "connect":
      return concatenate(connectParts(packet));
    case "publish":
      return concatenate([
        string(packet.topicName),
        packet.qos > 0 ? twoBytes(packet.packetIdentifier) : [],
        propertyList(version, packet.properties),
        packet.payload,
      ]);
    case "puback":
    case "pubrec":
    case "pubrel":
    case "pubcomp":
      return concatenate([twoBytes(packet.packetIdentifier), reason(version, packet, form)]);
    case "subscribe":
      return concatenate([
        twoBytes(packet.packetIdentifier),
        propertyList(version, packet.properties),
        ...packet.subscriptions.flatMap((entry) => [string(entry.topicFilter), [options(entry)]]),
      ]);
    case "unsubscribe":
      return concatenate([
        twoBytes(packet.packetIdentifier),
        propertyList(version, packet.properties),
        ...packet.topicFilters.map(string),
      ]);
    case "disconnect":
    case "auth":
      return concatenate([reason(version, packet, form)]);
    case "connack":
      return concatenate([
        [packet.sessionPresent ? 1 : 0, packet.reasonCode],
        propertyList(version, packet.properties),
      ]);
    case "suback":
    case "unsuback":
      return concatenate([
        twoBytes(packet.packetIdentifier),
        propertyList(version, packet.properties),
        packet.type === "suback" || version === 5 ? packet.reasonCodes : [],
      ]);
    case "pingreq":
    case "pingresp":
      return new Uint8Array();
  }
}

function connectParts(packet: ConnectPacket): readonly ArrayLike<number>[] {
  const { version, will, userName, password } = packet;
  const willFlags = will === null ? 0 : 0x04 + will.qos * 0x08 + (will.retain ? 0x20 : 0);
  const flags =
    (userName === null ? 0 : 0x80) +
    (password === null ? 0 : 0x40) +
    willFlags +
    (packet.cleanStart ? 0x02 : 0);
  return [
    string(version === 3 ? "MQIsdp" : "MQTT"),
    [version, flags],
    twoBytes(packet.keepAliveSeconds),
    propertyList(version, packet.properties),
    string(packet.clientIdentifier),
    ...(will === null
      ? []
      : [propertyList(version, will.properties), string(will.topicName), binary(will.payload)]),
    userName === null ? [] : string(userName),
    password === null ? [] : binary(password),
  ];
}

function publishFlags(packet: PublishPacket): number {
  return (packet.duplicate ? 8 : 0) + packet.qos * 2 + (packet.retain ? 1 : 0);
}

function options(entry: Subscription): number {
  return (
    entry.qos +
    (entry.noLocal ? 0x04 : 0) +
    (entry.retainAsPublished ? 0x08 : 0) +
    entry.retainHandling * 0x10
  );
}

function reason(
  version: Version,
  packet: { readonly reasonCode: number; readonly properties: Properties },
  form: EncodedForm,
): ArrayLike<number> {
  if (version < 5) return [];
  const isShort = form === "shortest" && packet.properties.length === 0;
  if (isShort) return packet.reasonCode === 0 ? [] : [packet.reasonCode];
  return concatenate([[packet.reasonCode], propertyList(version, packet.properties)]);
}

function twoBytes(value: number): Bytes {
  return [value >> 8, value & 0xff];
}

function fourBytes(value: number): Bytes {
  return [...twoBytes(Math.floor(value / 65536)), ...twoBytes(value % 65536)];
}

export function variableByteInteger(value: number): Bytes {
  return value < 128 ? [value] : [128 + (value % 128), ...variableByteInteger(value >> 7)];
}

function binary(bytes: Uint8Array): ArrayLike<number> {
  return concatenate([twoBytes(bytes.length), bytes]);
}

function string(text: string): ArrayLike<number> {
  return binary(new TextEncoder().encode(text));
}

function propertyList(version: Version, properties: Properties): ArrayLike<number> {
  if (version < 5) return [];
  const list = concatenate(properties.map(property));
  return concatenate([variableByteInteger(list.length), list]);
}

function property([identifier, value]: Property): ArrayLike<number> {
  return concatenate([[identifier], propertyValue(identifier, value)]);
}

function propertyValue(identifier: number, value: Property[1]): ArrayLike<number> {
  if (typeof value === "string") return string(value);
  if (value instanceof Uint8Array) return binary(value);
  if (typeof value !== "number") return concatenate(value.map(string));
  switch (propertyRow(identifier)?.form) {
    case "byte":
      return [value];
    case "two":
      return twoBytes(value);
    case "four":
      return fourBytes(value);
    default:
      return variableByteInteger(value);
  }
}
