/**
 * Application Messages kept for later: one block with a reference count, however many want it.
 *
 *   ┌────────────┬─────────┬───────┬────────┬────────┬──────────┐
 *   │ references │ journal │ waits │ holder │ listed │ store id │  40 bytes, the engine's own;
 *   │ u32        │ turn,at │ u32   │ u32    │ u32    │ u64      │  behind them room or not, u32
 *   ├─────────┬──┴────┬────┴───┬───┴────────┼────────┴──┬───────┴─┬───┬─────────┬──────┐
 *   │ version │ flags │ topic  │ properties │ publisher │ payload │ 0 │ expires │ text │  a row of
 *   │ u8      │ u8    │ bytes  │ bytes      │ bytes     │ bytes   │   │ u64 ms  │  …   │  the index
 *   └─────────┴───────┴────────┴────────────┴───────────┴─────────┴───┴─────────┴──────┘
 *
 * The text: Topic Name with its alias resolved, properties without Topic Alias, Message Expiry
 * Interval and Subscription Identifiers, the publisher's Client Identifier (of what is retained
 * also a zero and its user name, where that is judged), the payload.
 */
import {
  ROW_MESSAGE_BYTES,
  ROW_MESSAGE_EXPIRES_MS,
  ROW_MESSAGE_PAYLOAD_BYTES,
  ROW_MESSAGE_PROPERTIES_BYTES,
  ROW_MESSAGE_PUBLISHER_BYTES,
  ROW_MESSAGE_TOPIC_BYTES,
  ROW_VERSION,
  S_MESSAGE_BYTES_STORED,
  S_MESSAGES_STORED,
} from "./abi";
import { alloc, free } from "./memory";
import { count } from "./settings";
import { forgetStored } from "./stored";

export const M_REFERENCES: u32 = 0;
/** Page in which its journal record stands newest (0: none), and the record's offset there. */
export const M_JOURNAL_TURN: u32 = 4;
export const M_JOURNAL_AT: u32 = 8;
/** Entries of durable Sessions that are neither acknowledged nor recorded. */
export const M_WAITS: u32 = 12;
/** Connection whose PUBACK waits for this message, or 0. */
export const M_HOLDER: u32 = 16;
/** Its place in the list of retained messages that the index does not have, or 0. */
export const M_LISTED: u32 = 20;
/** u64: key of its row in the store, or 0. */
export const M_STORE_ID: u32 = 24;
/** 1 where the block begins ROOM_BYTES before: see newMessageWithRoom(). */
const M_HAS_ROOM: u32 = 32;
/** Of a retained message: see retained-source.ts. */
export const M_JUDGED: u32 = 36;
/** What follows is a row of the index as it stands. */
export const M_ROW: u32 = 40;
/** QoS in bits 0 and 1, RETAIN in bit 2, as published: u8. */
export const M_FLAGS: u32 = 41;
export const M_TOPIC_BYTES: u32 = 44;
export const M_PROPERTIES_BYTES: u32 = 48;
export const M_PUBLISHER_BYTES: u32 = 52;
export const M_PAYLOAD_BYTES: u32 = 56;
/** Unix time, milliseconds; 0 = never. */
export const M_EXPIRES_MS: u32 = 64;
export const M_TEXT: u32 = 72;
/** Room in front of a message, for a queue entry. */
export const ROOM_BYTES: u32 = 32;
/** Kept free behind the text, so that copies may write whole vectors. */
const SLOP_BYTES: u32 = 16;

/** M_FLAGS and the flags of queue entries. */
export const M_QOS: u32 = 3;
export const M_RETAIN: u32 = 4;

/**
 * Makes room for a message with one reference; the caller fills the four texts in.
 *
 * @returns its address, or 0 where there is no memory
 */
export function newMessage(
  flags: u32,
  topicBytes: u32,
  propertiesBytes: u32,
  publisherBytes: u32,
  payloadBytes: u32,
  expiresMs: u64,
): usize {
  const textBytes = topicBytes + propertiesBytes + publisherBytes + payloadBytes;
  const message = alloc(M_TEXT + textBytes + SLOP_BYTES);
  if (message === 0) return 0;
  describeMessage(
    message,
    flags,
    topicBytes,
    propertiesBytes,
    publisherBytes,
    payloadBytes,
    expiresMs,
  );
  return message;
}

/**
 * As newMessage(), with room in front of it that lives as long, for the entry of its only receiver:
 * one block instead of two.
 *
 * @returns address of the room, ROOM_BYTES before the message, or 0
 */
export function newMessageWithRoom(
  topicBytes: u32,
  propertiesBytes: u32,
  publisherBytes: u32,
  payloadBytes: u32,
): usize {
  const textBytes = topicBytes + propertiesBytes + publisherBytes + payloadBytes;
  const room = alloc(ROOM_BYTES + M_TEXT + textBytes + SLOP_BYTES);
  if (room === 0) return 0;
  const message = room + ROOM_BYTES;
  describeMessage(message, 1, topicBytes, propertiesBytes, publisherBytes, payloadBytes, 0);
  store<u32>(message, 1, M_HAS_ROOM);
  return room;
}

function describeMessage(
  message: usize,
  flags: u32,
  topicBytes: u32,
  propertiesBytes: u32,
  publisherBytes: u32,
  payloadBytes: u32,
  expiresMs: u64,
): void {
  v128.store(message, i32x4(1, 0, 0, 0));
  v128.store(message, i32x4(0, 0, 0, 0), M_HOLDER);
  store<u64>(message, 0, M_HAS_ROOM);
  store<u32>(message, ROW_VERSION | (flags << 8), M_ROW);
  store<u32>(message, 0, M_PAYLOAD_BYTES + 4);
  store<u32>(message, topicBytes, M_TOPIC_BYTES);
  store<u32>(message, propertiesBytes, M_PROPERTIES_BYTES);
  store<u32>(message, publisherBytes, M_PUBLISHER_BYTES);
  store<u32>(message, payloadBytes, M_PAYLOAD_BYTES);
  store<u64>(message, expiresMs, M_EXPIRES_MS);
  count(S_MESSAGES_STORED, 1);
  count(S_MESSAGE_BYTES_STORED, payloadBytes);
}

export function topicOf(message: usize): usize {
  return message + M_TEXT;
}

export function propertiesOf(message: usize): usize {
  return message + M_TEXT + load<u32>(message, M_TOPIC_BYTES);
}

export function publisherOf(message: usize): usize {
  return propertiesOf(message) + load<u32>(message, M_PROPERTIES_BYTES);
}

/** Bytes of the publisher's Client Identifier: behind it a zero and a user name may stand. */
export function idBytesOfPublisher(message: usize): u32 {
  const at = publisherOf(message);
  const bytes = load<u32>(message, M_PUBLISHER_BYTES);
  let id: u32 = 0;
  while (id < bytes && load<u8>(at + id) !== 0) id++;
  return id;
}

export function payloadOf(message: usize): usize {
  return publisherOf(message) + load<u32>(message, M_PUBLISHER_BYTES);
}

export function holdMessage(message: usize): void {
  store<u32>(message, load<u32>(message, M_REFERENCES) + 1, M_REFERENCES);
}

/** Bytes of the message's row, padding included. */
export function rowBytes(message: usize): u32 {
  const bytes =
    ROW_MESSAGE_BYTES +
    load<u32>(message, M_TOPIC_BYTES) +
    load<u32>(message, M_PROPERTIES_BYTES) +
    load<u32>(message, M_PUBLISHER_BYTES) +
    load<u32>(message, M_PAYLOAD_BYTES);
  return (bytes + 3) & ~3;
}

/** Makes a message of a row that was checked. @returns it with one reference, or 0: no memory */
export function messageOfRow(row: usize): usize {
  const message = newMessage(
    load<u8>(row, 1),
    load<u32>(row, ROW_MESSAGE_TOPIC_BYTES),
    load<u32>(row, ROW_MESSAGE_PROPERTIES_BYTES),
    load<u32>(row, ROW_MESSAGE_PUBLISHER_BYTES),
    load<u32>(row, ROW_MESSAGE_PAYLOAD_BYTES),
    load<u64>(row, ROW_MESSAGE_EXPIRES_MS),
  );
  if (message === 0) return 0;
  memory.copy(message + M_TEXT, row + ROW_MESSAGE_BYTES, rowBytes(message) - ROW_MESSAGE_BYTES);
  return message;
}

/** Whether so many bytes hold a whole message row of our version. */
export function isMessageRow(row: usize, bytes: u32): bool {
  if (bytes < ROW_MESSAGE_BYTES || <u32>load<u8>(row) !== ROW_VERSION) return false;
  const texts =
    <u64>load<u32>(row, ROW_MESSAGE_TOPIC_BYTES) +
    load<u32>(row, ROW_MESSAGE_PROPERTIES_BYTES) +
    load<u32>(row, ROW_MESSAGE_PUBLISHER_BYTES) +
    load<u32>(row, ROW_MESSAGE_PAYLOAD_BYTES);
  return texts <= bytes - ROW_MESSAGE_BYTES;
}

/** The block that the message lies in. */
export function blockOf(message: usize): usize {
  return load<u32>(message, M_HAS_ROOM) !== 0 ? message - ROOM_BYTES : message;
}

/** Gives one reference back; the last one frees the message. */
export function releaseMessage(message: usize): void {
  const references = load<u32>(message, M_REFERENCES) - 1;
  store<u32>(message, references, M_REFERENCES);
  if (references !== 0) return;
  count(S_MESSAGES_STORED, -1);
  count(S_MESSAGE_BYTES_STORED, -(<u64>load<u32>(message, M_PAYLOAD_BYTES)));
  if (load<u64>(message, M_STORE_ID) !== 0) forgetStored(message);
  free(blockOf(message));
}
