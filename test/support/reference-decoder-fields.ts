/**
 * The fields that packets are made of, read one after the other.         MQTT 5.0 §1.5, §2.2.2
 */
import { type PropertyPlace, propertyRow } from "./packets-tables.ts";
import type { Properties, Property, PropertyValue } from "./packets-types.ts";
import { refuse, refuseIf } from "./reference-decoder-rules.ts";

/** A place in some bytes: `at` moves up to `end`, and no further. */
export interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
  readonly end: number;
}

const UTF_8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function hasWildcard(text: string): boolean {
  return text.includes("+") || text.includes("#");
}

/** `#` only as the last whole level, `+` only as a whole level [MQTT-4.7.1-1, -2]. */
export function isTopicFilter(text: string): boolean {
  if (text === "") return false;
  const levels = text.split("/");
  return levels.every((level, index) => {
    if (level === "+") return true;
    if (level === "#") return index === levels.length - 1;
    return !hasWildcard(level);
  });
}

export function isAtEnd(cursor: Cursor): boolean {
  return cursor.at === cursor.end;
}

export function expectEnd(cursor: Cursor): void {
  refuseIf(!isAtEnd(cursor), "bytes behind the last field");
}

export function readBytes(cursor: Cursor, byteCount: number): Uint8Array {
  refuseIf(cursor.at + byteCount > cursor.end, "field cut off");
  const bytes = cursor.bytes.subarray(cursor.at, cursor.at + byteCount);
  cursor.at += byteCount;
  return bytes;
}

export function readByte(cursor: Cursor): number {
  refuseIf(isAtEnd(cursor), "field cut off");
  const byte = cursor.bytes[cursor.at] ?? 0;
  cursor.at += 1;
  return byte;
}

export function readTwoBytes(cursor: Cursor): number {
  const [high = 0, low = 0] = readBytes(cursor, 2);
  return high * 256 + low;
}

export function readFourBytes(cursor: Cursor): number {
  const bytes = readBytes(cursor, 4);
  return bytes.reduce((value, byte) => value * 256 + byte, 0);
}

/** §1.5.5. */
export function readVariableByteInteger(cursor: Cursor): number {
  let value = 0;
  for (let index = 0; index < 4; index++) {
    const byte = readByte(cursor);
    value += (byte % 128) * 128 ** index;
    if (byte < 128) {
      refuseIf(byte === 0 && index > 0, "Variable Byte Integer not minimal");
      return value;
    }
  }
  return refuse("Variable Byte Integer over four bytes");
}

export function readBinary(cursor: Cursor): Uint8Array {
  return readBytes(cursor, readTwoBytes(cursor));
}

/** §1.5.4. */
export function readString(cursor: Cursor): string {
  const bytes = readBinary(cursor);
  let text = "";
  try {
    text = UTF_8.decode(bytes);
  } catch {
    refuse("ill-formed UTF-8");
  }
  refuseIf(text.includes("\0"), "U+0000 in a string");
  return text;
}

export function readPacketIdentifier(cursor: Cursor): number {
  const packetIdentifier = readTwoBytes(cursor);
  refuseIf(packetIdentifier === 0, "Packet Identifier 0");
  return packetIdentifier;
}

/** One Topic Filter of a SUBSCRIBE or UNSUBSCRIBE. */
export function readTopicFilter(cursor: Cursor): string {
  const topicFilter = readString(cursor);
  refuseIf(!isTopicFilter(topicFilter), "Topic Filter");
  return topicFilter;
}

/** A property list with its length before it. */
export function readProperties(
  cursor: Cursor,
  place: PropertyPlace,
  sender: "client" | "server",
): Properties {
  const byteCount = readVariableByteInteger(cursor);
  const end = cursor.at + byteCount;
  refuseIf(end > cursor.end, "property list longer than the packet");
  const list: Cursor = { bytes: cursor.bytes, at: cursor.at, end };
  const properties: Property[] = [];
  const seen = new Set<number>();
  while (!isAtEnd(list)) {
    const identifier = readVariableByteInteger(list);
    expectProperty(identifier, place, sender, seen);
    seen.add(identifier);
    properties.push([identifier, readPropertyValue(list, identifier)]);
  }
  refuseIf(seen.has(22) && !seen.has(21), "Authentication Data without Method");
  cursor.at = end;
  return properties;
}

/** The rules on a property's identifier, before its value is read. */
function expectProperty(
  identifier: number,
  place: PropertyPlace,
  sender: "client" | "server",
  seen: ReadonlySet<number>,
): void {
  const name = propertyRow(identifier)?.name;
  const fits = propertyRow(identifier)?.places.includes(place) ?? false;
  refuseIf(!fits, "property unknown or misplaced");
  if (sender === "client" && place === "publish") {
    const broken = name === "subscription_identifier";
    refuseIf(broken, "Subscription Identifier in PUBLISH from a client");
  }
  if (sender === "client" && place === "disconnect") {
    refuseIf(name === "server_reference", "Server Reference from a client");
  }
  const mayRepeat =
    name === "user_property" || (name === "subscription_identifier" && place === "publish");
  refuseIf(!mayRepeat && seen.has(identifier), "property repeated");
}

/** The value behind an identifier, and the rules on it. */
function readPropertyValue(list: Cursor, identifier: number): PropertyValue {
  const row = propertyRow(identifier);
  switch (row?.form) {
    case "byte": {
      const value = readByte(list);
      refuseIf(value > 1, "property above 1");
      return value;
    }
    case "two":
      return expectNotZero(row.name, readTwoBytes(list));
    case "four":
      return expectNotZero(row.name, readFourBytes(list));
    case "varint":
      return expectNotZero(row.name, readVariableByteInteger(list));
    case "binary":
      return readBinary(list);
    case "pair":
      return [readString(list), readString(list)];
    case "string": {
      const text = readString(list);
      const broken = row.name === "response_topic" && (text === "" || hasWildcard(text));
      refuseIf(broken, "Response Topic empty or with wildcard");
      return text;
    }
    case undefined:
      return refuse("property unknown or misplaced");
  }
}

const NEVER_ZERO = ["receive_maximum", "maximum_packet_size", "subscription_identifier"];

function expectNotZero(name: string, value: number): number {
  refuseIf(value === 0 && name === "topic_alias", "Topic Alias 0");
  refuseIf(value === 0 && NEVER_ZERO.includes(name), "property 0");
  return value;
}
