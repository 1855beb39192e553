/**
 * The tables of the index, and their keys. Numbers in keys are big endian: they sort.
 *
 *   meta           name
 *   sessions       u32 Session number
 *   subscriptions  u32 Session number, u16 chunk
 *   queue          u32 Session number, u64 first sequence of the segment; of a topic that keeps
 *                  only its newest message: 2^63 + its sequence, a segment of that one alone, and
 *                  2^63 + 2^62 + hash of the Topic Name, whose value is that sequence, u64
 *   messages       u64 message id
 *   references     u64 message id
 *   retained       Topic Name; one too long for a key: its first bytes and SHA-256
 *   wills, wipes   u32 Session number
 */
import assert from "node:assert";
import { createHash } from "node:crypto";

export const INDEX_TABLES = [
  "meta",
  "sessions",
  "subscriptions",
  "queue",
  "messages",
  "references",
  "retained",
  "wills",
  "wipes",
] as const;

export type IndexTable = (typeof INDEX_TABLES)[number];

/** Longest key that lmdb takes. */
export const KEY_BYTES_MAX = 1978;

/** Of a Topic Name that is too long for a key so many bytes stand in front of its hash. */
const KEY_HEAD_BYTES = 1900;

/** Rows of `meta`. */
export const META = {
  /** u64: everything up to and including this page is in the index. */
  position: Buffer.from("position"),
  /** u32: the next Session number; 0: as a new engine begins. */
  numbers: Buffer.from("numbers"),
  /** u64: the next message id; 0: as a new engine begins. */
  messages: Buffer.from("messages"),
  /** u32: format of the rows. */
  format: Buffer.from("format"),
} as const;

export function u32Row(value: number): Buffer {
  const row = Buffer.alloc(4);
  row.writeUInt32LE(value);
  return row;
}

export function u64Row(value: bigint): Buffer {
  const row = Buffer.alloc(8);
  row.writeBigUInt64LE(value);
  return row;
}

/** Keys of `sessions`, `wills`, `wipes`; also where the other rows of a Session begin. */
export function sessionKey(number: number): Buffer {
  const key = Buffer.alloc(4);
  key.writeUInt32BE(number);
  return key;
}

/** Where the rows of the next Session begin; undefined: there can be none. */
export function afterSession(number: number): Buffer | undefined {
  return number === 0xffffffff ? undefined : sessionKey(number + 1);
}

export function segmentKey(number: number, firstSequence: bigint): Buffer {
  const key = Buffer.alloc(12);
  key.writeUInt32BE(number);
  key.writeBigUInt64BE(firstSequence, 4);
  return key;
}

/** Sequences end below it; segments of topics' newest messages begin there. */
export const LATEST = 2n ** 63n;

/** Sequences of topics' newest messages begin here, by the hash of the topic. */
export const LATEST_TOPICS = LATEST + 2n ** 62n;

/** The first sequence of a segment. */
export function firstSequenceOf(key: Buffer): bigint {
  return key.readBigUInt64BE(4) & (LATEST - 1n);
}

/** Whether the row holds a segment; otherwise, where that of a topic's newest message is. */
export function isSegmentKey(key: Buffer): boolean {
  return key.readUInt8(4) < 0xc0;
}

/** Whether the row is a segment of a topic's newest message. */
export function isLatestKey(key: Buffer): boolean {
  return key.readUInt8(4) >= 0x80 && isSegmentKey(key);
}

/** Where the sequence of a topic's newest message is. No two topics are made to share it. */
export function latestTopicKey(number: number, topicName: Buffer): Buffer {
  const hash = createHash("sha256").update(topicName).digest();
  return segmentKey(number, LATEST_TOPICS + (hash.readBigUInt64BE() >> 2n));
}

/** Keys of `messages` and `references`. */
export function messageKey(id: bigint): Buffer {
  const key = Buffer.alloc(8);
  key.writeBigUInt64BE(id);
  return key;
}

export function retainedKey(topicName: Buffer): Buffer {
  if (topicName.length <= KEY_BYTES_MAX) return topicName;
  const hash = createHash("sha256").update(topicName).digest();
  return Buffer.concat([topicName.subarray(0, KEY_HEAD_BYTES), hash]);
}

assert(KEY_HEAD_BYTES + 32 < KEY_BYTES_MAX);
