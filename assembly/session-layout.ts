/**
 * Where the fields of a Session record lie; STABLE_BYTES of memory.ts each, u32 unless said.
 *
 * Sequences count the QoS 1 and 2 messages that were ever owed to the Session, from 1 and never
 * back:
 *
 *      head      resend    cursor                  next
 *   …────┬──────────┬────────┬──────────────────────┬──────▶ sequence
 *   done │ in flight│ to be  │ queued, not yet sent │ free
 *        │          │ resent │ (a list)             │
 *
 * Head to cursor is the window, a ring of slots. The Packet Identifier of a sequence is
 * 1 + (sequence mod 65535), so that resuming with the original ones needs no table [MQTT-4.4.0-1].
 */

export {
  SESSION_CONNECTION,
  SESSION_DROPPED,
  SESSION_DURABLE,
  SESSION_EXPIRES_SECONDS,
  SESSION_EXPIRY_INTERVAL,
  SESSION_FLAGS,
  SESSION_ID_AT,
  SESSION_ID_BYTES,
  SESSION_NUMBER,
} from "./abi";

/** Address of its newest subscription record, or 0. */
export const SESSION_SUBSCRIPTIONS: u32 = 4;
/** Scratch of the matcher: where the list under construction has this Session's entry; two u32. */
export const SESSION_MARK: u32 = 8;
/** Hash of the Client Identifier; next record of the same bucket. */
export const SESSION_ID_HASH: u32 = 32;
export const SESSION_ID_NEXT: u32 = 36;
/** The window: slots of u32, a power of two of them; 0 where nothing was sent yet. */
export const SESSION_RING: u32 = 40;
export const SESSION_RING_MASK: u32 = 44;
/** u64 each: oldest sequence not done, one past the newest ever sent, next to give out. */
export const SESSION_HEAD: u32 = 48;
export const SESSION_CURSOR: u32 = 56;
export const SESSION_NEXT: u32 = 64;
/** Packet Identifier of the head. */
export const SESSION_HEAD_IDENTIFIER: u32 = 72;
/** Sent on this connection and not finished. */
export const SESSION_IN_FLIGHT: u32 = 76;
/** The lower of the client's Receive Maximum and ours. */
export const SESSION_RECEIVE_MAXIMUM: u32 = 80;
export const SESSION_QUEUED_COUNT: u32 = 84;
/** u64: bytes of the queued messages, each counted with what it costs. */
export const SESSION_QUEUED_BYTES: u32 = 88;
/** Received and not released QoS 2 identifiers: directory block, count. */
export const SESSION_RECEIVED: u32 = 96;
export const SESSION_RECEIVED_COUNT: u32 = 100;
/** Protocol version of the connection seen last: 3, 4, 5. */
export const SESSION_VERSION: u32 = 104;
/** Next Session that waits for the commit to send. */
export const SESSION_COMMIT_NEXT: u32 = 112;
/** Subscriptions held. */
export const SESSION_SUBSCRIPTION_COUNT: u32 = 120;
/** All Sessions, in a list. */
export const SESSION_LIST_NEXT: u32 = 128;
export const SESSION_LIST_PREVIOUS: u32 = 132;
/** u64: from here to the cursor, what an earlier connection carried waits to be sent again. */
export const SESSION_RESEND: u32 = 144;
/** First and last entry of the queue. */
export const SESSION_QUEUE_HEAD: u32 = 152;
export const SESSION_QUEUE_TAIL: u32 = 156;

// SESSION_FLAGS.
/** It is in the list of those that wait for the commit. */
export const SESSION_WAITS_COMMIT: u32 = 2;
/** Its queue drops: told once per episode. */
export const SESSION_FULL: u32 = 4;
