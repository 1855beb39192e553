/** MQTT packets that a load generator sends, built once, and the little it must read. */

/** The protocol level in CONNECT: 4 is MQTT 3.1.1, 5 is MQTT 5.0. */
export type ProtocolLevel = 4 | 5;
export type QoS = 0 | 1 | 2;
/** Whether a Session ends with its connection, or outlives it. */
export type SessionKind = "clean" | "durable";

export const CONNACK = 0x20;
export const PUBLISH = 0x30;
export const PUBACK = 0x40;
export const PUBREC = 0x50;
export const PUBREL = 0x62;
export const PUBCOMP = 0x70;
export const SUBACK = 0x90;
export const PINGRESP = 0xd0;
export const DISCONNECT = 0xe0;

/** Bytes of PUBACK, PUBREC, PUBREL and PUBCOMP as this generator sends them. */
export const ACKNOWLEDGEMENT_BYTES = 4;

const CLEAN_START = 0x02;
const USER_NAME = 0x80;
const SESSION_EXPIRY_INTERVAL = 0x11;
/** 86,400 seconds as a Four Byte Integer. */
const DAY = [0, 1, 0x51, 0x80];
const RECEIVE_MAXIMUM = 0x21;
const RECEIVE_MAXIMUM_DEFAULT = 65535;

/** Where the fields of a PUBLISH lie that are patched before each use; offsets from its start. */
export interface PublishTemplate {
  readonly bytes: Uint8Array;
  /** 0 at QoS 0. */
  readonly packetIdOffset: number;
  readonly payloadOffset: number;
}

function variableByteInteger(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>>= 7;
  } while (rest > 0);
  return bytes;
}

function string(text: string): number[] {
  const bytes = Buffer.from(text);
  return [bytes.length >> 8, bytes.length & 0xff, ...bytes];
}

function packet(firstByte: number, body: readonly number[]): Uint8Array {
  return Uint8Array.from([firstByte, ...variableByteInteger(body.length), ...body]);
}

/**
 * A CONNECT without password  [§3.1].
 *
 * @param session  `clean`: Clean Session (Clean Start); `durable`: without, and in MQTT 5.0 with a
 *   Session Expiry Interval of a day
 * @param userName  "": without one
 */
export function connectPacket(
  level: ProtocolLevel,
  clientIdentifier: string,
  keepAliveSeconds: number,
  session: SessionKind = "clean",
  userName = "",
): Uint8Array {
  const properties = session === "clean" ? [0] : [5, SESSION_EXPIRY_INTERVAL, ...DAY];
  return packet(0x10, [
    ...string("MQTT"),
    level,
    (session === "clean" ? CLEAN_START : 0) | (userName === "" ? 0 : USER_NAME),
    keepAliveSeconds >> 8,
    keepAliveSeconds & 0xff,
    ...(level === 5 ? properties : []),
    ...string(clientIdentifier),
    ...(userName === "" ? [] : string(userName)),
  ]);
}

/** @returns a SUBSCRIBE of one Topic Filter with Packet Identifier 1  [§3.8] */
export function subscribePacket(level: ProtocolLevel, filter: string, qos: QoS): Uint8Array {
  return packet(0x82, [0, 1, ...(level === 5 ? [0] : []), ...string(filter), qos]);
}

/** @returns a DISCONNECT that means a normal end  [§3.14] */
export function disconnectPacket(): Uint8Array {
  return packet(DISCONNECT, []);
}

/** @returns a PUBLISH whose payload is filled with dots, ready to be patched  [§3.3] */
export function publishTemplate(
  level: ProtocolLevel,
  qos: QoS,
  topic: string,
  payloadBytes: number,
): PublishTemplate {
  const head = string(topic);
  const packetIdAt = head.length;
  if (qos > 0) head.push(0, 0);
  if (level === 5) head.push(0);
  const length = variableByteInteger(head.length + payloadBytes);
  const bodyOffset = 1 + length.length;
  const bytes = new Uint8Array(bodyOffset + head.length + payloadBytes).fill(0x2e);
  bytes[0] = PUBLISH | (qos << 1);
  bytes.set(length, 1);
  bytes.set(head, bodyOffset);
  return {
    bytes,
    packetIdOffset: qos > 0 ? bodyOffset + packetIdAt : 0,
    payloadOffset: bodyOffset + head.length,
  };
}

/**
 * Offset just behind the packet at `at`. Hot.
 *
 * @returns 0 if the bytes below `end` do not hold the whole packet, -1 if the length is malformed
 */
export function packetEnd(bytes: Uint8Array, at: number, end: number): number {
  if (end - at < 2) return 0;
  let next = at + 1;
  let value = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    if (next >= end) return 0;
    const byte = bytes[next++] as number;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return next + value <= end ? next + value : 0;
  }
  return -1;
}

/** @returns offset of the first byte behind the fixed header of the whole packet at `at` */
export function packetBody(bytes: Uint8Array, at: number): number {
  let next = at + 1;
  while ((bytes[next] as number) >= 0x80) next++;
  return next + 1;
}

/** Bytes of a property's value, by kind of identifier; -1: one string, -2: two, -3: an integer. */
function propertyValueBytes(identifier: number): number {
  if ([0x11, 0x27, 0x02, 0x18].includes(identifier)) return 4;
  if ([0x13, 0x21, 0x22, 0x23].includes(identifier)) return 2;
  if ([0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2a].includes(identifier)) return 1;
  if (identifier === 0x26) return -2;
  return identifier === 0x0b ? -3 : -1;
}

/**
 * Receive Maximum that the broker gave in a CONNACK of MQTT 5.0  [§3.2.2.3.3].
 *
 * @param body  offset behind the CONNACK's fixed header
 * @returns 65535 where the CONNACK has none
 */
export function connackReceiveMaximum(bytes: Uint8Array, body: number, end: number): number {
  let at = body + 2;
  if (at >= end) return RECEIVE_MAXIMUM_DEFAULT;
  while ((bytes[at] as number) >= 0x80) at++;
  at++;
  while (at < end) {
    const identifier = bytes[at++] as number;
    if (identifier === RECEIVE_MAXIMUM) {
      return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
    }
    const valueBytes = propertyValueBytes(identifier);
    if (valueBytes >= 0) at += valueBytes;
    for (let strings = valueBytes; strings < 0 && valueBytes > -3; strings++) {
      at += 2 + (((bytes[at] as number) << 8) | (bytes[at + 1] as number));
    }
    if (valueBytes === -3) at = packetBody(bytes, at - 1);
  }
  return RECEIVE_MAXIMUM_DEFAULT;
}
