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
 *              │ TEMPLATE             24 KiB   │ one PUBLISH, encoded once per layout
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
