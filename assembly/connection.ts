/**
 * Records of Network Connections, by number; 0 is the broker itself, which publishes wills and
 * $SYS.
 *
 * The host gives out the numbers. A generation tells a connection from the next one with its
 * number, so that a commit or a write that ends late never reaches a stranger.
 */
import {
  CONNECTION_BYTES,
  CONNECTIONS,
  E_QUEUE_FILLS,
  E_QUEUE_FULL,
  EVENT_BYTES,
  EVENTS,
  EVENTS_BYTES,
} from "./abi";

export { C_ACTIVE_SECONDS, C_DROPPED, C_HELD_COUNT, C_OUT_BYTES, C_OUT_HEAD } from "./abi";

export const C_GENERATION: u32 = 0;
/** Protocol version 3, 4, 5; 0 before CONNECT. */
export const C_VERSION: u32 = 4;
/** Session record, or 0. */
export const C_SESSION: u32 = 8;
export const C_FLAGS: u32 = 12;
/** End of the chain that C_OUT_HEAD begins. */
export const C_OUT_TAIL: u32 = 20;
/** Chain handed to the host, and its bytes. */
export const C_WRITING: u32 = 28;
export const C_WRITING_BYTES: u32 = 32;
/** Bytes not consumed yet: a partial packet, or a parked chunk; block, bytes, bytes consumed. */
export const C_REST_AT: u32 = 36;
export const C_REST_BYTES: u32 = 40;
export const C_REST_USED: u32 = 44;
/** Whole size of the partial packet, where its length is known. */
export const C_REST_NEED: u32 = 48;
/** Maximum Packet Size of the client; 0 = none, nor a C_ALIASES_OUT, nor a mount point. */
export const C_PACKET_BYTES_MAX: u32 = 56;
/** Held acknowledgements: ring block, first entry, capacity; C_HELD_COUNT of them. */
export const C_HELD_AT: u32 = 60;
export const C_HELD_FIRST: u32 = 64;
export const C_HELD_CAPACITY: u32 = 72;
/**
 * u16 each: PUBACKs that are held, which count against our Receive Maximum; messages of QoS 2 of
 * earlier connections that were not released when this one began, which do not.
 */
export const C_HELD_PUBACKS: u32 = 76;
export const C_RECEIVED_BEFORE: u32 = 78;
/** Topic Alias table: topicAliasMaximum addresses of {u32 bytes, text}. */
export const C_ALIASES: u32 = 80;
export const C_DIRTY_NEXT: u32 = 84;
export const C_HELD_NEXT: u32 = 88;
/** A PUBLISH whose receivers were not all served: list, next entry. */
export const C_SLICE_LIST: u32 = 92;
export const C_SLICE_INDEX: u32 = 96;
/** Topic Aliases that we set: table, or how many there may be; 0 = none. See alias-out.ts. */
export const C_ALIASES_OUT: u32 = 100;
/** Retained messages to send, by Topic Filter: first and last job, bytes of all. */
export const C_RETAINED_JOBS: u32 = 104;
export const C_RETAINED_LAST: u32 = 108;
export const C_RETAINED_BYTES: u32 = 116;
export const C_URGENT_NEXT: u32 = 120;
/** The stored message of that PUBLISH, held, or 0. */
export const C_SLICE_MESSAGE: u32 = 124;

// C_FLAGS.
export const C_OPEN: u32 = 1;
/** In the list of connections with output. */
export const C_DIRTY: u32 = 2;
/** The host has a write under way. */
export const C_BUSY: u32 = 4;
/** Its unconsumed bytes wait for resume(). */
export const C_PARKED: u32 = 8;
/** In the list of connections with held acknowledgements. */
export const C_HOLDS: u32 = 16;
/** Closed, but a write is still under way. */
export const C_CLOSING: u32 = 32;
/** Its Session has more to send once output drains. */
export const C_WANTS_PUMP: u32 = 64;
/** Not read on until output drains, or a commit comes. */
export const C_PAUSED: u32 = 128;
/** Parked because the budget of its turn was used up: nothing else keeps it waiting. */
export const C_OUT_OF_BUDGET: u32 = 512;
/** In the list of connections that wait for an answer to a packet of their own. */
export const C_URGENT: u32 = 1024;
/** The acknowledgement of the PUBLISH in C_SLICE_LIST is held. */
export const C_SLICE_HELD: u32 = 16384;
/** CONNECT came and its client proves who it is: AUTH and DISCONNECT only until the CONNACK. */
export const C_AUTHENTICATES: u32 = 2048;
/** Two bits: how far below 2 the highest QoS is that the client may publish with. */
export const C_QOS_DENIED_SHIFT: u32 = 12;
/** The upper half: number of its mount point (mount.ts), or 0. */
export const C_MOUNT_SHIFT: u32 = 16;
/** Retained messages are due and wait for output to drain, or for room in the window. */
export const C_RETAINED_WAITS: u32 = 256;

let dirtyHead: u32 = 0;
let dirtyTail: u32 = 0;
/** Connections whose output did not leave in the turn that made it. */
let backlogHead: u32 = 0;
let backlogTail: u32 = 0;
let urgentHead: u32 = 0;
let urgentTail: u32 = 0;
let eventCount: u32 = 0;
let isRefused: bool = false;

/** Address of a connection's record. Hot. */
export function recordOf(connection: u32): usize {
  return CONNECTIONS + connection * CONNECTION_BYTES;
}

/** Number of the connection with this record. */
export function connectionOf(record: usize): u32 {
  return <u32>(record - CONNECTIONS) / CONNECTION_BYTES;
}

/** Puts the connection into the list of those with output. Hot. */
export function markDirty(record: usize): void {
  const flags = load<u32>(record, C_FLAGS);
  if (flags & C_DIRTY) return;
  store<u32>(record, flags | C_DIRTY, C_FLAGS);
  store<u32>(record, 0, C_DIRTY_NEXT);
  if (dirtyTail !== 0) store<u32>(dirtyTail, <u32>record, C_DIRTY_NEXT);
  else dirtyHead = <u32>record;
  dirtyTail = <u32>record;
}

/**
 * Lets the connection's output leave before what others are merely sent: it holds an answer. Hot.
 */
export function markUrgent(record: usize): void {
  const flags = load<u32>(record, C_FLAGS);
  if (flags & C_URGENT) return;
  store<u32>(record, flags | C_URGENT, C_FLAGS);
  store<u32>(record, 0, C_URGENT_NEXT);
  if (urgentTail !== 0) store<u32>(urgentTail, <u32>record, C_URGENT_NEXT);
  else urgentHead = <u32>record;
  urgentTail = <u32>record;
}

/** Takes the first connection that waits for an answer; it stays in the other lists. */
export function takeUrgent(): usize {
  const record = urgentHead;
  if (record === 0) return 0;
  urgentHead = load<u32>(record, C_URGENT_NEXT);
  if (urgentHead === 0) urgentTail = 0;
  store<u32>(record, load<u32>(record, C_FLAGS) & ~C_URGENT, C_FLAGS);
  return record;
}

function taken(record: usize): usize {
  store<u32>(record, load<u32>(record, C_FLAGS) & ~C_DIRTY, C_FLAGS);
  return record;
}

/** Takes the first connection that got output since the last flush. @returns its record, or 0 */
export function takeDirty(): usize {
  const record = dirtyHead;
  if (record === 0) return 0;
  dirtyHead = load<u32>(record, C_DIRTY_NEXT);
  if (dirtyHead === 0) dirtyTail = 0;
  return taken(record);
}

/** Takes the connection that waits longest for its output to be written. @returns as above */
export function takeBacklog(): usize {
  const record = backlogHead;
  if (record === 0) return 0;
  backlogHead = load<u32>(record, C_DIRTY_NEXT);
  if (backlogHead === 0) backlogTail = 0;
  return taken(record);
}

/** What was not taken since the last flush waits behind all that waits already. */
export function deferDirty(): void {
  if (dirtyHead === 0) return;
  if (backlogTail !== 0) store<u32>(backlogTail, dirtyHead, C_DIRTY_NEXT);
  else backlogHead = dirtyHead;
  backlogTail = dirtyTail;
  dirtyHead = 0;
  dirtyTail = 0;
}

/** Whether some connection has output. */
export function hasDirty(): bool {
  return dirtyHead !== 0 || backlogHead !== 0 || urgentHead !== 0;
}

/**
 * Tells the host something at the turn's end. What is said of queues is dropped past a quarter of
 * the list; what somebody waits for is told again, where the list is full (events.ts).
 *
 * @returns false: there is no room
 */
export function raise(kind: u32, subject: u32, argument: u32): bool {
  const room = isOfSession(kind) ? EVENTS_BYTES >> 2 : EVENTS_BYTES;
  if ((eventCount + 1) * EVENT_BYTES > room) {
    if (!isOfSession(kind)) isRefused = true;
    return false;
  }
  const at = EVENTS + eventCount * EVENT_BYTES;
  store<u32>(at, kind);
  store<u32>(at, subject, 4);
  store<u32>(at, argument, 8);
  eventCount++;
  return true;
}

function isOfSession(kind: u32): bool {
  return kind === E_QUEUE_FULL || kind === E_QUEUE_FILLS;
}

/** Whether the list was full since it was asked last, so that something is to be told again. */
export function takeRefused(): bool {
  const refused = isRefused;
  isRefused = false;
  return refused;
}

/**
 * @returns number of records in EVENTS, 0 … EVENTS_BYTES / EVENT_BYTES; they are gone with the call
 */
export function takeRaised(): u32 {
  const events = eventCount;
  eventCount = 0;
  return events;
}
