/**
 * What the engine and its host agree on: the memory map, the layouts of records, status codes.
 *
 * Typed constants only: asc compiles this file into the engine, tsc and vitest read it as well.
 * All numbers in records are little endian, as WebAssembly has them.
 *
 *   0x00000000 ┌───────────────────────────────┐
 *              │ statics of asc       64 KiB   │
 *   0x00010000 ├───────────────────────────────┤
 *              │ HEADROOM             64 KiB   │ a partial packet is copied in front of the chunk
 *   0x00020000 ├───────────────────────────────┤
 *              │ READ                 64 KiB   │ the kernel's bytes land here
 *   0x00030000 ├───────────────────────────────┤
 *              │ slop                 64 KiB   │ SIMD loads and copies may run past READ
 *   0x00040000 ├───────────────────────────────┤
 *              │ SCRATCH             256 KiB   │ what TypeScript hands in or reads back
 *   0x00080000 ├───────────────────────────────┤
 *              │ DECODED               4 KiB   │ fields of the packet decoded last
 *   0x00081000 ├───────────────────────────────┤
 *              │ STATS                 4 KiB   │ counters, u64 each
 *   0x00082000 ├───────────────────────────────┤
 *              │ TEMPLATE             56 KiB   │ one PUBLISH, encoded once per layout
 *   0x00090000 ├───────────────────────────────┤
 *              │ EVENTS              448 KiB   │ what the engine tells TypeScript at a turn's end
 *   0x00100000 ├───────────────────────────────┤
 *              │ FLUSH                 5 MiB   │ writes of a turn, 20 bytes each
 *   0x00600000 ├───────────────────────────────┤
 *              │ CONNECTIONS          32 MiB   │ 256 Ki records of 128 bytes
 *   0x02600000 ├───────────────────────────────┤
 *              │ PAGES                 2 MiB   │ 64 Ki page descriptors of the allocator
 *   0x02800000 ├───────────────────────────────┤
 *              │ HEAP                          │ pages of 64 KiB, up to the configured cap
 *              └───────────────────────────────┘
 */

export const HEADROOM: u32 = 0x10000;
export const READ: u32 = 0x20000;
export const READ_BYTES: u32 = 0x10000;
export const SCRATCH: u32 = 0x40000;
export const SCRATCH_BYTES: u32 = 0x40000;
export const DECODED: u32 = 0x80000;
export const STATS: u32 = 0x81000;
export const TEMPLATE: u32 = 0x82000;
export const EVENTS: u32 = 0x90000;
export const EVENTS_BYTES: u32 = 0x70000;
export const FLUSH: u32 = 0x100000;
export const CONNECTIONS: u32 = 0x600000;
export const CONNECTIONS_MAX: u32 = 0x40000;
export const CONNECTION_BYTES: u32 = 128;
export const PAGES: u32 = 0x2600000;
export const HEAP: u32 = 0x2800000;

/** Bytes of an allocator page, and of a WebAssembly page. */
export const PAGE_BYTES: u32 = 0x10000;

// Status codes. A status ≥ 0 is success; −Reason Code is the peer's fault (spec.ts).

/** The bytes at hand end before the packet does. */
export const NEED_MORE: i32 = -1;
/** No memory below the configured cap. */
export const NO_MEMORY: i32 = -2;

// DECODED: u32 fields, offsets from DECODED. Pointers are absolute and borrowed: they die with the
// next call that takes bytes.

/** Control Packet type, 1 … 15. */
export const D_TYPE: u32 = 0;
/** Low four bits of the first byte. */
export const D_FLAGS: u32 = 4;
/** First byte of the packet, and first byte behind it. */
export const D_AT: u32 = 8;
export const D_END: u32 = 12;
/** Packet Identifier, or 0. */
export const D_PACKET_ID: u32 = 16;
/** Reason Code; 0 where the packet leaves it out. */
export const D_REASON: u32 = 20;
/** PUBLISH: Topic Name. */
export const D_TOPIC_AT: u32 = 24;
export const D_TOPIC_BYTES: u32 = 28;
/** The property list without its length; 0 bytes where there is none. */
export const D_PROPERTIES_AT: u32 = 32;
export const D_PROPERTIES_BYTES: u32 = 36;
/** PUBLISH: Application Message. SUBSCRIBE, UNSUBSCRIBE: the list of Topic Filters. */
export const D_PAYLOAD_AT: u32 = 40;
export const D_PAYLOAD_BYTES: u32 = 44;
/** CONNECT: the version byte, also of a protocol that is not ours. */
export const D_LEVEL: u32 = 120;
/** CONNECT: protocol version 3, 4 or 5; Connect Flags; Keep Alive in seconds. */
export const D_VERSION: u32 = 48;
export const D_CONNECT_FLAGS: u32 = 52;
export const D_KEEP_ALIVE: u32 = 56;
export const D_CLIENT_ID_AT: u32 = 60;
export const D_CLIENT_ID_BYTES: u32 = 64;
export const D_WILL_TOPIC_AT: u32 = 68;
export const D_WILL_TOPIC_BYTES: u32 = 72;
export const D_WILL_PAYLOAD_AT: u32 = 76;
export const D_WILL_PAYLOAD_BYTES: u32 = 80;
export const D_USER_NAME_AT: u32 = 84;
export const D_USER_NAME_BYTES: u32 = 88;
export const D_PASSWORD_AT: u32 = 92;
export const D_PASSWORD_BYTES: u32 = 96;
/** CONNECT: the Will Properties without their length. */
export const D_WILL_PROPERTIES_AT: u32 = 100;
export const D_WILL_PROPERTIES_BYTES: u32 = 104;
/** SUBSCRIBE, UNSUBSCRIBE: the entry that nextFilter() read last. */
export const D_FILTER_AT: u32 = 108;
export const D_FILTER_BYTES: u32 = 112;
export const D_FILTER_OPTIONS: u32 = 116;

/** Which properties the packet has: bit i of two u32 words stands for identifier i (0 … 63). */
export const D_PRESENT: u32 = 128;
/** The same for the Will Properties. */
export const D_WILL_PRESENT: u32 = 136;
/**
 * Values: 8 bytes per property identifier. Numbers: u32 value. Strings and binary: u32 address, u32
 * bytes. User Property: u32 address of the first one's identifier, u32 count.
 */
export const D_VALUES: u32 = 256;
/** The same for the Will Properties. */
export const D_WILL_VALUES: u32 = 1024;

// STATS: u64 counters, offsets from STATS.

export const S_PACKETS_RECEIVED: u32 = 0;
export const S_PACKETS_SENT: u32 = 8;
export const S_BYTES_RECEIVED: u32 = 16;
export const S_PUBLISH_RECEIVED: u32 = 24;
export const S_PUBLISH_SENT: u32 = 32;
export const S_PUBLISH_BYTES_RECEIVED: u32 = 40;
export const S_PUBLISH_BYTES_SENT: u32 = 48;
/** QoS 0 messages not sent because the receiver reads too slowly. */
export const S_DROPPED_SLOW: u32 = 56;
/** QoS 1 and 2 messages dropped from a full queue. */
export const S_DROPPED_QUEUE_FULL: u32 = 64;
export const S_DROPPED_EXPIRED: u32 = 72;
/** Over the client's Maximum Packet Size. */
export const S_DROPPED_TOO_LARGE: u32 = 80;
/** The memory cap was reached. */
export const S_DROPPED_MEMORY: u32 = 88;
/** Refused for the memory cap: messages of QoS 1 and 2, and packets that came in pieces. */
export const S_REFUSED_MEMORY: u32 = 96;
/** Acknowledgements for identifiers that are not in use. */
export const S_ACKNOWLEDGEMENTS_UNKNOWN: u32 = 104;
/** Acknowledgements that waited for a commit. */
export const S_ACKNOWLEDGEMENTS_HELD: u32 = 112;
export const S_JOURNAL_BYTES: u32 = 120;
export const S_JOURNAL_RECORDS: u32 = 128;
export const S_QUEUED_MESSAGES: u32 = 136;
/** Messages in memory, and the bytes of their payloads. */
export const S_MESSAGES_STORED: u32 = 144;
export const S_MESSAGE_BYTES_STORED: u32 = 152;
export const S_BYTES_SENT: u32 = 160;
export const S_PARTIAL_BYTES: u32 = 168;
/** PUBACKs that left before a commit: every durable receiver had acknowledged. */
export const S_ACKNOWLEDGEMENTS_ELIDED: u32 = 176;
/** QoS 1 and 2 messages refused because the store does not take them, or a queue rejects. */
export const S_REFUSED_STORE: u32 = 184;
export const S_REFUSED_QUEUE_FULL: u32 = 192;
/** Messages of queue_rule keep=last that a newer one replaced. */
export const S_DROPPED_REPLACED: u32 = 200;
/** Records that found no memory: what they say is not on disk. */
export const S_JOURNAL_LOST: u32 = 208;
/** Sessions whose queue is four fifths full, and whose queue drops. */
export const S_QUEUES_FILLING: u32 = 320;
export const S_QUEUES_FULL: u32 = 328;
/** Blocks of output that the kernel has not taken (out.ts). */
export const S_OUT_BLOCKS: u32 = 336;
/** Memory that retained messages take. */
export const S_RETAINED_BYTES: u32 = 360;
/** Sessions that a connection carries; those that none does, while their queue drops. */
export const S_SESSIONS_CONNECTED: u32 = 344;
export const S_SESSIONS_ORPHANED: u32 = 352;
/** PUBLISH packets that their client may not send; messages that a receiver may not read. */
export const S_DENIED_PUBLISH: u32 = 216;
export const S_DENIED_READ: u32 = 224;

// CONNECTIONS: the fields of a record that TypeScript reads; connection.ts has them all.

/** Chain of output not yet handed to the host; 0 = none. */
export const C_OUT_HEAD: u32 = 16;
/** Bytes of that chain, and of what is being written. */
export const C_OUT_BYTES: u32 = 24;
/** Acknowledgements that wait for a commit, or behind one that does. */
export const C_HELD_COUNT: u32 = 68;
/** Monotonic second of the last bytes received. */
export const C_ACTIVE_SECONDS: u32 = 52;
/** QoS 0 messages dropped because this client reads too slowly. */
export const C_DROPPED: u32 = 112;

// Session records: the fields that TypeScript reads; session-layout.ts has them all.

/** Incarnation of the Session, never reused; 0 where the record is free. */
export const SESSION_NUMBER: u32 = 0;
/** Record of the connection that carries the Session, or 0. */
export const SESSION_CONNECTION: u32 = 16;
export const SESSION_FLAGS: u32 = 20;
/** Bit of SESSION_FLAGS: the Session outlives its connection. */
export const SESSION_DURABLE: u32 = 1;
/** Client Identifier: address, bytes. */
export const SESSION_ID_AT: u32 = 24;
export const SESSION_ID_BYTES: u32 = 28;
/** Session Expiry Interval, seconds; 0xffffffff never. */
export const SESSION_EXPIRY_INTERVAL: u32 = 108;
/** Unix seconds, low 32 bits, at which it expires while it has no connection; 0 = never. */
export const SESSION_EXPIRES_SECONDS: u32 = 124;
/** Messages dropped from its queue. */
export const SESSION_DROPPED: u32 = 116;
/** Messages that wait in its queue, in memory and in the store. */
export const SESSION_QUEUED_COUNT: u32 = 84;
/** Drops by reason: address of a block of DROPS_… counters, or 0. */
export const SESSION_DROPS: u32 = 228;
/** What it may do: see access.ts. */
export const SESSION_ACCESS: u32 = 244;
/**
 * u16 bytes of its user name, which stands behind the Client Identifier and a zero; u16 key of the
 * listener that its client came by last (src/config/listener-keys.ts).
 */
export const SESSION_USER_BYTES: u32 = 248;
export const SESSION_LISTENER: u32 = 250;
/** Counters of the block at SESSION_DROPS, u32 each. */
export const DROPS_QUEUE_FULL: u32 = 0;
export const DROPS_EXPIRED: u32 = 4;
export const DROPS_TOO_LARGE: u32 = 8;
export const DROPS_MEMORY: u32 = 12;
export const DROPS_REPLACED: u32 = 16;
/** Its client may not read them. */
export const DROPS_DENIED: u32 = 20;
export const DROPS_BYTES: u32 = 24;

// What receive() and resume() answer besides −Reason Code.

/** All bytes are consumed, or kept as a partial packet. */
export const R_DONE: i32 = 0;
/** A control packet is in DECODED: act on it, then call resume() or park(). */
export const R_CONTROL: i32 = 1;
/** The budget of the turn is used up; the rest is parked: call resume() in a later turn. */
export const R_BUDGET: i32 = 2;
/** The connection must not read on; the rest is parked until an E_RESUME event names it. */
export const R_PAUSED: i32 = 3;
/** The store must go on first; the rest is parked: call resume() when a commit has ended. */
export const R_COMMIT: i32 = 4;

/**
 * Whether a PUBLISH is allowed is to be asked outside, or its refusal is to be told: SCRATCH says
 * (A_…). The rest is parked: call answerAccess(), then resume().
 */
export const R_ACCESS: i32 = 5;

// SCRATCH after R_ACCESS, u32 each: what is to be done, first byte of the packet, Packet
// Identifier, bytes of the payload, bytes of the Topic Name; then the Topic Name.

export const A_KIND: u32 = 0;
export const A_FIRST: u32 = 4;
export const A_PACKET_ID: u32 = 8;
export const A_PAYLOAD_BYTES: u32 = 12;
export const A_TOPIC_BYTES: u32 = 16;
export const A_TOPIC: u32 = 20;
/** A_KIND: ask; tell that it was refused. */
export const A_ASK: u32 = 1;
export const A_DENIED: u32 = 2;
/**
 * A_KIND: judge who published a retained message. In A_FIRST stands its address, in A_PACKET_ID the
 * bytes of what follows the Topic Name: Client Identifier, zero, user name.
 */
export const A_SOURCE: u32 = 3;

// Rule sets: what internRules() takes, a block of the heap. u32 each; the rest of the header is the
// engine's.

/** Rules that follow; flags of all. */
export const RULES_COUNT: u32 = 16;
/** Where no rule matches: in bits 0 to 3 what is allowed, in 4 to 7 what is to be asked outside. */
export const RULES_FLAGS: u32 = 20;
/** Flag: some rule has a name of the Session in its filter. */
export const RULES_OF_NAMES: u32 = 256;
export const RULES_HEADER_BYTES: u32 = 32;
/** Rule: u32 bytes of its filter | flags << 16, the filter, padding to 4. Flags 1 to 8: actions. */
export const RULE_ALLOWS: u32 = 16;
/** Flag: the filter is compared as text. */
export const RULE_IS_LITERAL: u32 = 32;
/** Bytes of a filter that stand for the Client Identifier, the user name. */
export const RULE_CLIENT_ID: u8 = 0xfe;
export const RULE_USER_NAME: u8 = 0xff;

// FLUSH: a record per piece of output, u32 each.

export const F_CONNECTION: u32 = 0;
export const F_AT: u32 = 4;
export const F_BYTES: u32 = 8;
/** 1 where another piece of the same connection follows. */
export const F_MORE: u32 = 12;
/** Written by the host: 0 the kernel took all of it, 1 written() will be called. */
export const F_PENDING: u32 = 16;
export const FLUSH_RECORD_BYTES: u32 = 20;

// EVENTS: a record of three u32 each: kind, connection or Session, argument.

/** The connection may read on: call resume(). */
export const E_RESUME: u32 = 1;
/** The retained messages of the connection may go on: call continueRetained(). */
export const E_RETAINED: u32 = 4;
/** The connection is to be closed; the argument is the Reason Code. */
export const E_CLOSE: u32 = 2;
/** A Session's queue is full and drops; once per episode. The argument is the Session's address. */
export const E_QUEUE_FULL: u32 = 3;
/** A Session needs what is in the store: its number, its address. */
export const E_LOAD: u32 = 5;
/** A Session's queue is four fifths full; once per episode. Its number, its address. */
export const E_QUEUE_FILLS: u32 = 6;
/** A group has messages for members that were not looked at: call drainShared(). As E_LOAD. */
export const E_DRAIN: u32 = 7;
export const EVENT_BYTES: u32 = 12;

// Journal records. Each begins with u32 type | bytes << 8 (the whole record, header included, a
// multiple of 4), u32 Session number (0 where none); the fields below follow.

export const JOURNAL_FORMAT: u32 = 2;
/**
 * u32 format, u32 turn (the page's number, low 32 bits), u64 Unix time in milliseconds, u32 bytes
 * of the whole page, u32 CRC-32 of the page with this field 0 and of the payloads apart.
 */
export const JOURNAL_HEADER_BYTES: u32 = 24;
export const JOURNAL_TIME_AT: u32 = 8;
export const JOURNAL_BYTES_AT: u32 = 16;
export const JOURNAL_CRC_AT: u32 = 20;
export const JOURNAL_RECORD_BYTES: u32 = 8;
/** u32 flags, u32 version, u32 Session Expiry Interval, u32 bytes, Client Identifier. */
export const J_OPENED: u32 = 1;
/** u32 Session Expiry Interval, u32 Unix seconds it expires at (0 never), u64 Unix milliseconds. */
export const J_CLOSED: u32 = 2;
/** The Session ended: everything of it is gone. */
export const J_ENDED: u32 = 3;
/** u32 options, u32 Subscription Identifier, u32 bytes, Topic Filter. */
export const J_SUBSCRIBED: u32 = 4;
/** u32 bytes, Topic Filter. */
export const J_UNSUBSCRIBED: u32 = 5;
/**
 * An Application Message; later records of the page name it by its offset in the page. u32 flags,
 * u32 Topic Name bytes, u32 property bytes, u32 publisher bytes, u32 payload bytes, u32 0, u64
 * expiry in Unix milliseconds, then the four texts.
 */
export const J_MESSAGE: u32 = 6;
/**
 * u64 sequence, u32 offset of the message, u32 flags, then u32 Subscription Identifiers; with
 * J_FLAG_SHARED the number of the group before them.
 */
export const J_ENQUEUED: u32 = 7;
/** u64 sequence: all up to here may have been sent. */
export const J_SENT: u32 = 8;
/** u64 sequence: acknowledged, or dropped. */
export const J_DONE: u32 = 9;
/** u64 sequence: PUBREC came, PUBREL is owed. */
export const J_RELEASED: u32 = 10;
/** u32 Packet Identifier of a QoS 2 message received. */
export const J_RECEIVED: u32 = 11;
/** u32 Packet Identifier released by PUBREL. */
export const J_FREED: u32 = 12;
/** u32 offset of the message retained for its Topic Name. */
export const J_RETAINED: u32 = 13;
/** u32 bytes, Topic Name whose retained message is deleted. */
export const J_RETAINED_DELETED: u32 = 14;
/**
 * u32 Will Delay Interval, u32 Unix seconds at which it is due (0: its connection is open), u32
 * bytes, PUBLISH packet in version 5; 0 bytes: there is none any more.
 */
export const J_WILL: u32 = 15;
/** u64 sequence: all below are done. */
export const J_HEAD: u32 = 16;
/** u64 sequence: those below that were not sent are dropped. */
export const J_SKIPPED: u32 = 17;
/** The Session ended, but what it was owed as the member of groups is on its way to others. */
export const J_LEFT: u32 = 18;
/** Whose the Session is: u32 port of the listener, u32 bytes, user name. */
export const J_USER: u32 = 19;

/** Flag of J_ENQUEUED, besides QoS and RETAIN: it was sent when this was written. */
export const J_FLAG_SENT: u32 = 16;
/** Flag of J_ENQUEUED: it is owed as to the member of a group. */
export const J_FLAG_SHARED: u32 = 128;

// Operations of the index step: eight u32 each, the kind first.

export const I_KIND: u32 = 0;
/** Table T_…, key address and bytes, value address and bytes. */
export const I_PUT: u32 = 1;
/**
 * 1 where rows of I_LATEST are meant as well, Session number, u64 from, u64 to: its segments whose
 * entries all lie in from … to − 1 are done.
 */
export const I_TRIM: u32 = 3;
/** Session number, 1 where it may have segments: the Session ended. */
export const I_END: u32 = 4;
/** u64 message id, references to add, address and bytes of the message. */
export const I_REFER: u32 = 5;
/** Table T_…, key address and bytes. */
export const I_REMOVE: u32 = 2;
/** Session number: all its rows of T_SUBSCRIPTIONS. */
export const I_CLEAR: u32 = 6;
/**
 * As I_PUT into T_QUEUE, for the newest message of a topic; the Topic Name stands behind the key,
 * and its bytes are counted with it.
 */
export const I_LATEST: u32 = 7;
export const I_OPERATION_BYTES: u32 = 32;

// Tables of the index that operations name.

export const T_SESSIONS: u32 = 1;
export const T_SUBSCRIPTIONS: u32 = 2;
export const T_QUEUE: u32 = 3;
export const T_RETAINED: u32 = 5;

// Rows of the index. The low byte of the first u32 of each is the version of its form.

export const ROW_VERSION: u32 = 1;
/**
 * Of a Session that has a user name or a port: behind its Client Identifier, padded, stand u16
 * bytes, u16 port and the user name, padded.
 */
export const ROW_SESSION_VERSION: u32 = 2;

/** Session: version | flags << 8, protocol version, Session Expiry Interval, Unix seconds. */
export const ROW_SESSION_FLAGS: u32 = 0;
export const ROW_SESSION_PROTOCOL: u32 = 4;
export const ROW_SESSION_EXPIRY_INTERVAL: u32 = 8;
export const ROW_SESSION_EXPIRES_SECONDS: u32 = 12;
/** u64 each: all below are done; one past the newest sent; next to give out; see rows.ts. */
export const ROW_SESSION_HEAD: u32 = 16;
export const ROW_SESSION_SENT: u32 = 24;
export const ROW_SESSION_NEXT: u32 = 32;
/** u64: all that is owed below this is in the queue table. */
export const ROW_SESSION_STORED_END: u32 = 40;
/** u64: first stored sequence that was not sent; u64 bytes and u32 count of those. */
export const ROW_SESSION_UNSENT: u32 = 48;
export const ROW_SESSION_UNSENT_BYTES: u32 = 56;
export const ROW_SESSION_UNSENT_COUNT: u32 = 64;
export const ROW_SESSION_DROPPED: u32 = 68;
export const ROW_SESSION_ID_BYTES: u32 = 72;
/** Counts: subscriptions in the row, received identifiers, done and released sequences. */
export const ROW_SESSION_SUBSCRIPTIONS: u32 = 76;
export const ROW_SESSION_RECEIVED: u32 = 80;
export const ROW_SESSION_DONE: u32 = 84;
export const ROW_SESSION_RELEASED: u32 = 88;
/** Subscriptions that stand in the table of their own; then there are none in the row. */
export const ROW_SESSION_CHUNKED: u32 = 92;
export const ROW_SESSION_BYTES: u32 = 96;
/** Flags of a Session row. */
export const ROW_SESSION_IS_DURABLE: u32 = 1;
export const ROW_SESSION_IS_CONNECTED: u32 = 2;
/** It may have rows of I_LATEST. */
export const ROW_SESSION_HAS_LATEST: u32 = 4;
/** No record says that something of its queue was sent since its client came. */
export const ROW_SESSION_IS_UNANNOUNCED: u32 = 16;
/** It is owed messages as the member of a group. */
export const ROW_SESSION_OWES_SHARED: u32 = 8;

/** Segment: version | entries << 8, last sequence − first, references, 0; u64 each. */
export const ROW_SEGMENT_SPAN: u32 = 4;
export const ROW_SEGMENT_REFERENCES: u32 = 8;
export const ROW_SEGMENT_BYTES: u32 = 16;
/** Entry: sequence − first, flags, bytes counted, bytes of it; u32 identifiers; its message. */
export const ROW_ENTRY_FLAGS: u32 = 4;
export const ROW_ENTRY_COUNTED: u32 = 8;
export const ROW_ENTRY_LENGTH: u32 = 12;
export const ROW_ENTRY_BYTES: u32 = 16;
/** Flag of an entry, besides QoS and RETAIN: an index into the references is its message. */
export const ROW_ENTRY_REFERS: u32 = 8;
/** Flag: it is owed as to the member of a group, whose number is the first identifier. */
export const ROW_ENTRY_IS_SHARED: u32 = 128;
export const ROW_ENTRY_IDENTIFIERS_SHIFT: u32 = 8;

/** Message: version | flags << 8, u32 bytes of its four texts, u32 0, u64 expiry; the texts. */
export const ROW_MESSAGE_TOPIC_BYTES: u32 = 4;
export const ROW_MESSAGE_PROPERTIES_BYTES: u32 = 8;
export const ROW_MESSAGE_PUBLISHER_BYTES: u32 = 12;
export const ROW_MESSAGE_PAYLOAD_BYTES: u32 = 16;
export const ROW_MESSAGE_EXPIRES_MS: u32 = 24;
export const ROW_MESSAGE_BYTES: u32 = 32;
