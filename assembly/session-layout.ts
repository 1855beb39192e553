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
  SESSION_ACCESS,
  SESSION_CONNECTION,
  SESSION_DROPPED,
  SESSION_DROPS,
  SESSION_DURABLE,
  SESSION_EXPIRES_SECONDS,
  SESSION_EXPIRY_INTERVAL,
  SESSION_FLAGS,
  SESSION_ID_AT,
  SESSION_ID_BYTES,
  SESSION_LISTENER,
  SESSION_NUMBER,
  SESSION_QUEUED_COUNT,
  SESSION_USER_BYTES,
} from "./abi";

/** Address of its newest subscription record, or 0. */
export const SESSION_SUBSCRIPTIONS: u32 = 4;
/** Scratch of the matcher: where the list under construction has this Session's entry. */
export const SESSION_MARK: u32 = 8;
/**
 * First of its memberships that its groups have set aside (members.ts), or 0; of a group, the
 * address of what members.ts keeps of it.
 */
export const SESSION_SHARES: u32 = 12;
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
/** Wheel of expiry (expiry.ts): the list of its second. */
export const SESSION_WHEEL_NEXT: u32 = 128;
export const SESSION_WHEEL_PREVIOUS: u32 = 132;
/** Next record of the same bucket of numbers. */
export const SESSION_NUMBER_NEXT: u32 = 136;
/** Next Session whose state the index does not have; turn of its newest record. */
export const SESSION_CHANGED_NEXT: u32 = 140;
export const SESSION_CHANGED_TURN: u32 = 220;
/** u64: from here to the cursor, what an earlier connection carried waits to be sent again. */
export const SESSION_RESEND: u32 = 144;
/** First and last entry of the queue. */
export const SESSION_QUEUE_HEAD: u32 = 152;
export const SESSION_QUEUE_TAIL: u32 = 156;

/**
 * u64: what is owed below this is in the store, too; and the first that is only there and was not
 * sent, or the same where there is none.
 */
export const SESSION_STORED_END: u32 = 160;
export const SESSION_GAP: u32 = 168;
/** u64 bytes and u32 number of the messages below the stored end that were not sent. */
export const SESSION_STORED_BYTES: u32 = 176;
export const SESSION_STORED_COUNT: u32 = 212;
/** u64: one past the newest sequence that a record names; the head that was recorded last. */
export const SESSION_RECORDED_END: u32 = 184;
export const SESSION_RECORDED_HEAD: u32 = 192;
/** u64: from here to the cursor there may be entries that no record names yet. */
export const SESSION_FRESH: u32 = 200;
/** Low 32 bits of the head up to which the store was trimmed. */
export const SESSION_TRIMMED: u32 = 208;
/** Last entry of the queue that stands before the gap, or 0. */
export const SESSION_GAP_AFTER: u32 = 216;
/** Next Session to be looked at when the page is sealed. */
export const SESSION_PAGE_NEXT: u32 = 224;
/**
 * Low 32 bits of the cursor when it was recorded last, the turn of that record, and the cursor on
 * the record before it that was committed: see sent-mark.ts.
 */
export const SESSION_SENT_MARK: u32 = 232;
export const SESSION_SENT_TURN: u32 = 236;
export const SESSION_SENT_SAFE: u32 = 240;
/** First of the jobs that its connection left (retained-jobs.ts), or 0. */
export const SESSION_RETAINED: u32 = 252;

// SESSION_FLAGS.
/** It is in the list of those that wait for the commit. */
export const SESSION_WAITS_COMMIT: u32 = 2;
/** Its queue drops; its queue is four fifths full: each told once per episode. */
export const SESSION_FULL: u32 = 4;
export const SESSION_FILLS: u32 = 8;
/** It is in the list of those to be looked at when the page is sealed. */
export const SESSION_IN_PAGE: u32 = 16;
/** It has entries that no record names yet. */
export const SESSION_HAS_FRESH: u32 = 32;
/** What was sent, what was skipped: to be recorded when the page is sealed. */
export const SESSION_SENT_MOVED: u32 = 64;
export const SESSION_SKIP_MOVED: u32 = 128;
/** It is in the list of those whose state the index does not have. */
export const SESSION_CHANGED: u32 = 256;
/** It has a row in the index, or is about to. */
export const SESSION_HAS_ROW: u32 = 512;
/** The host was asked to load what is in the store. */
export const SESSION_LOADING: u32 = 1024;
/** A connection carries it, or carried it when the broker ended without notice. */
export const SESSION_CARRIED: u32 = 2048;
/** Messages before the gap were skipped since the store was trimmed. */
export const SESSION_TRIM_MIDDLE: u32 = 4096;
/** Segments of it are in the store, or about to be; chunks of its subscriptions are. */
export const SESSION_HAS_SEGMENTS: u32 = 8192;
export const SESSION_HAS_CHUNKS: u32 = 16384;
/** Its subscriptions changed since its row was written. */
export const SESSION_RESUBSCRIBED: u32 = 32768;
/** Its client let a message wait too long for its acknowledgement: what is sent is on record. */
export const SESSION_SILENT: u32 = 131072;
/** Rows of its topics' newest messages (latest.ts) may be in the store. */
export const SESSION_HAS_LATEST: u32 = 262144;
/** No record says that something of its queue was sent since its client came: sent-mark.ts. */
export const SESSION_UNANNOUNCED: u32 = 16777216;
/** It is no client's: it holds what a group of shared subscriptions is owed (shared.ts). */
export const SESSION_IS_GROUP: u32 = 524288;
/** It is owed messages as the member of a group. */
export const SESSION_OWES_SHARED: u32 = 1048576;
/** It is no client's any more: what it was owed as a member goes to other members. */
export const SESSION_IS_LEAVING: u32 = 2097152;
/** Since the broker started, a subscription of it may say OPTION_RETAINED_DUE (retained-due.ts). */
export const SESSION_OWES_RETAINED: u32 = 4194304;
/** Messages in its queue may expire. */
export const SESSION_EXPIRES: u32 = 65536;
/** Above this bit: the rule by whose bounds its episode ends (episode.ts). */
export const SESSION_EPISODE_SHIFT: u32 = 25;
