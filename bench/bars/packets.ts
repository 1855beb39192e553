/** Packets that bars send in bulk. */
import { encodePublish } from "../functions/plain-publish.ts";

const RETAIN = 0x01;
const PUBLISH_HEAD_BYTES_MAX = 7;

/** Packets one behind the other. */
export interface PacketRow {
  readonly bytes: Buffer;
  /** Offset behind each packet. */
  readonly ends: Uint32Array;
}

/** @returns a SUBSCRIBE at QoS 0, Packet Identifier 1, of all filters, which are ASCII */
export function batchSubscribePacket(filters: readonly string[]): Buffer {
  const listBytes = filters.reduce((sum, filter) => sum + filter.length + 3, 0);
  const packet = Buffer.alloc(listBytes + 7);
  let at = 0;
  packet[at++] = 0x82;
  let length = listBytes + 2;
  for (; length > 0x7f; length >>>= 7) packet[at++] = (length & 0x7f) | 0x80;
  packet[at++] = length;
  at = packet.writeUInt16BE(1, at);
  for (const filter of filters) {
    at = packet.writeUInt16BE(filter.length, at);
    at += packet.write(filter, at, "latin1");
    packet[at++] = 0;
  }
  return packet.subarray(0, at);
}

/** @returns a PUBLISH of MQTT 3.1.1 at QoS 0 to each topic, which are ASCII */
export function publishRow(
  topics: readonly string[],
  payload: Uint8Array,
  retain: boolean,
): PacketRow {
  const bytesMax = topics.reduce(
    (sum, topic) => sum + topic.length + payload.length + PUBLISH_HEAD_BYTES_MAX,
    0,
  );
  const bytes = Buffer.alloc(bytesMax);
  const ends = new Uint32Array(topics.length);
  let at = 0;
  for (const [index, topic] of topics.entries()) {
    const start = at;
    at = encodePublish(4, 0, 0, topic, payload, bytes, start);
    if (retain) bytes[start] = (bytes[start] as number) | RETAIN;
    ends[index] = at;
  }
  return { bytes: bytes.subarray(0, at), ends };
}

/** @returns the packets `from` to `to` of the row */
export function packetsOf(row: PacketRow, from: number, to: number): Buffer {
  return row.bytes.subarray(from === 0 ? 0 : row.ends[from - 1], row.ends[to - 1]);
}
