/**
 * Application Messages kept for later: one block with a reference count, however many want it.
 *
 *   ┌────────────┬───────┬────────┬────────────┬───────────┬─────────┬─────────┬──────────┬──────┐
 *   │ references │ flags │ topic  │ properties │ publisher │ payload │ expires │ journal  │ text │
 *   │ u32        │ u32   │ bytes  │ bytes      │ bytes     │ bytes   │ u64 ms  │ turn, at │  …   │
 *   └────────────┴───────┴────────┴────────────┴───────────┴─────────┴─────────┴──────────┴──────┘
 *
 * The text: Topic Name with its alias resolved, properties without Topic Alias, Message Expiry
 * Interval and Subscription Identifiers, the publisher's Client Identifier, the payload.
 */
import { S_MESSAGE_BYTES_STORED, S_MESSAGES_STORED } from "./abi";
import { alloc, blockBytes, free } from "./memory";
import { count } from "./settings";

export const M_REFERENCES: u32 = 0;
/** QoS in bits 0 and 1, RETAIN in bit 2, as published. */
export const M_FLAGS: u32 = 4;
export const M_TOPIC_BYTES: u32 = 8;
export const M_PROPERTIES_BYTES: u32 = 12;
export const M_PUBLISHER_BYTES: u32 = 16;
export const M_PAYLOAD_BYTES: u32 = 20;
/** Unix time, milliseconds; 0 = never. */
export const M_EXPIRES_MS: u32 = 24;
/** Page in which its journal record stands, and the record's offset there. */
export const M_JOURNAL_TURN: u32 = 32;
export const M_JOURNAL_AT: u32 = 36;
export const M_TEXT: u32 = 40;

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
  const message = alloc(M_TEXT + topicBytes + propertiesBytes + publisherBytes + payloadBytes);
  if (message === 0) return 0;
  store<u32>(message, 1, M_REFERENCES);
  store<u32>(message, flags, M_FLAGS);
  store<u32>(message, topicBytes, M_TOPIC_BYTES);
  store<u32>(message, propertiesBytes, M_PROPERTIES_BYTES);
  store<u32>(message, publisherBytes, M_PUBLISHER_BYTES);
  store<u32>(message, payloadBytes, M_PAYLOAD_BYTES);
  store<u64>(message, expiresMs, M_EXPIRES_MS);
  store<u32>(message, 0, M_JOURNAL_TURN);
  count(S_MESSAGES_STORED, 1);
  count(S_MESSAGE_BYTES_STORED, blockBytes(message));
  return message;
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

export function payloadOf(message: usize): usize {
  return publisherOf(message) + load<u32>(message, M_PUBLISHER_BYTES);
}

export function holdMessage(message: usize): void {
  store<u32>(message, load<u32>(message, M_REFERENCES) + 1, M_REFERENCES);
}

/** Gives one reference back; the last one frees the message. */
export function releaseMessage(message: usize): void {
  const references = load<u32>(message, M_REFERENCES) - 1;
  store<u32>(message, references, M_REFERENCES);
  if (references !== 0) return;
  count(S_MESSAGES_STORED, -1);
  count(S_MESSAGE_BYTES_STORED, -(<u64>blockBytes(message)));
  free(message);
}
