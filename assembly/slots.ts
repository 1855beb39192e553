/**
 * The window of a Session: what was sent and is not finished, as a ring of slots by sequence.
 *
 *   slot: ┌──────────────────────┬───────┐
 *         │ entry address, or 0  │ state │   u32; the state is its low 3 bits
 *         └──────────────────────┴───────┘
 */
import { C_RECEIVED_BEFORE } from "./connection";
import { alloc, free } from "./memory";
import {
  SESSION_CONNECTION,
  SESSION_CURSOR,
  SESSION_HEAD,
  SESSION_HEAD_IDENTIFIER,
  SESSION_IN_FLIGHT,
  SESSION_NEXT,
  SESSION_RECEIVE_MAXIMUM,
  SESSION_RECEIVED_COUNT,
  SESSION_RESEND,
  SESSION_RING,
  SESSION_RING_MASK,
} from "./session-layout";

// Slot states.
/** Acknowledged, or never sent. */
export const DONE: u32 = 0;
/** QoS 1: a PUBACK is due. QoS 2: a PUBREC is due, then a PUBCOMP. */
export const AWAITS_PUBACK: u32 = 1;
export const AWAITS_PUBREC: u32 = 2;
export const AWAITS_PUBCOMP: u32 = 3;
/** Sent on an earlier connection; what it is stands in the store only. */
export const NOT_LOADED: u32 = 4;
export const STATE: u32 = 7;
/** Packet Identifiers go round: 1 … 65535. */
const IDENTIFIERS: u64 = 65535;
/** Slots of a new window. */
const SLOTS_MIN: u32 = 16;
/** A window with more slots is given back when it is empty. */
const SLOTS_KEPT_MAX: u32 = 256;

/** First slot of the window that a sequence has. Hot. */
export function slotAt(session: usize, sequence: u64): usize {
  const mask = load<u32>(session, SESSION_RING_MASK);
  return load<u32>(session, SESSION_RING) + ((<u32>sequence & mask) << 2);
}

/** Packet Identifier of a sequence in the window. Hot. */
export function identifierOf(session: usize, sequence: u64): u32 {
  const ahead = <u32>(sequence - load<u64>(session, SESSION_HEAD));
  const identifier = load<u32>(session, SESSION_HEAD_IDENTIFIER) + ahead;
  return identifier > 65535 ? identifier - 65535 : identifier;
}

function growWindow(session: usize, slots: u32): bool {
  const ring: usize = load<u32>(session, SESSION_RING);
  const grown = alloc(slots << 2);
  if (grown === 0) return false;
  memory.fill(grown, 0, slots << 2);
  if (ring !== 0) {
    const cursor = load<u64>(session, SESSION_CURSOR);
    for (let at = load<u64>(session, SESSION_HEAD); at < cursor; at++) {
      store<u32>(grown + ((<u32>at & (slots - 1)) << 2), load<u32>(slotAt(session, at)));
    }
    free(ring);
  }
  store<u32>(session, <u32>grown, SESSION_RING);
  store<u32>(session, slots - 1, SESSION_RING_MASK);
  return true;
}

/** Moves the window's end behind this sequence; skipped ones are done. @returns its slot, or 0 */
export function openSlot(session: usize, sequence: u64): usize {
  let head = load<u64>(session, SESSION_HEAD);
  const cursor = load<u64>(session, SESSION_CURSOR);
  if (head === cursor && head !== sequence) {
    head = sequence;
    store<u64>(session, head, SESSION_HEAD);
    store<u32>(session, 1 + <u32>(sequence % IDENTIFIERS), SESSION_HEAD_IDENTIFIER);
  }
  // Only a damaged journal asks for more; the window never does.
  if (sequence - head >= IDENTIFIERS) return 0;
  const ring = load<u32>(session, SESSION_RING);
  let slots = ring === 0 ? SLOTS_MIN : load<u32>(session, SESSION_RING_MASK) + 1;
  const wanted = <u32>(sequence - head) + 1;
  if (ring === 0 || wanted > slots) {
    while (slots < wanted) slots <<= 1;
    if (!growWindow(session, slots)) return 0;
  }
  for (let at = max(cursor, head); at < sequence; at++) store<u32>(slotAt(session, at), DONE);
  const resend = load<u64>(session, SESSION_RESEND);
  store<u64>(session, sequence + 1, SESSION_CURSOR);
  if (resend >= cursor) store<u64>(session, sequence + 1, SESSION_RESEND);
  return slotAt(session, sequence);
}

/** Whether the window may take one more on this connection. Hot. */
export function windowOpen(session: usize, sequence: u64): bool {
  const head = load<u64>(session, SESSION_HEAD);
  const empty = head === load<u64>(session, SESSION_CURSOR);
  return (
    load<u32>(session, SESSION_IN_FLIGHT) < load<u32>(session, SESSION_RECEIVE_MAXIMUM) &&
    (empty || sequence - head < IDENTIFIERS)
  );
}

/** One less in flight, and the head past all that is done. Hot. */
export function settle(session: usize, sequence: u64): void {
  if (sequence < load<u64>(session, SESSION_RESEND)) {
    store<u32>(session, load<u32>(session, SESSION_IN_FLIGHT) - 1, SESSION_IN_FLIGHT);
  }
  let head = load<u64>(session, SESSION_HEAD);
  if (sequence !== head) return;
  const cursor = load<u64>(session, SESSION_CURSOR);
  let identifier = load<u32>(session, SESSION_HEAD_IDENTIFIER);
  const ring = load<u32>(session, SESSION_RING);
  const mask = load<u32>(session, SESSION_RING_MASK);
  while (head < cursor && load<u32>(ring + ((<u32>head & mask) << 2)) === DONE) {
    head++;
    identifier = identifier === 65535 ? 1 : identifier + 1;
  }
  store<u64>(session, head, SESSION_HEAD);
  store<u32>(session, identifier, SESSION_HEAD_IDENTIFIER);
  if (load<u64>(session, SESSION_RESEND) < head) store<u64>(session, head, SESSION_RESEND);
  if (head === cursor && mask >= SLOTS_KEPT_MAX) {
    free(ring);
    store<u32>(session, 0, SESSION_RING);
  }
}

/** Sequence that an identifier stands for in the window. @returns it, or u64.MAX_VALUE. Hot. */
export function sequenceOf(session: usize, packetIdentifier: u32): u64 {
  const first = load<u32>(session, SESSION_HEAD_IDENTIFIER);
  const ahead =
    packetIdentifier >= first ? packetIdentifier - first : packetIdentifier + 65535 - first;
  const sequence = load<u64>(session, SESSION_HEAD) + ahead;
  return sequence < load<u64>(session, SESSION_CURSOR) ? sequence : u64.MAX_VALUE;
}

/** State of a sequence in the window. Hot. */
export function stateOf(session: usize, sequence: u64): u32 {
  return load<u32>(slotAt(session, sequence)) & STATE;
}

/**
 * The sequence to look at next in a loop that settles: the head may have passed more, and where it
 * has passed all, there is no ring any more.
 */
export function nextInWindow(session: usize, sequence: u64): u64 {
  return max(sequence + 1, load<u64>(session, SESSION_HEAD));
}

/** Entry of a sequence in the window, or 0. */
export function entryOf(session: usize, sequence: u64): usize {
  return load<u32>(slotAt(session, sequence)) & ~STATE;
}

/** A window and a queue for a new Session. */
export function startWindow(session: usize): void {
  store<u64>(session, 1, SESSION_HEAD);
  store<u64>(session, 1, SESSION_CURSOR);
  store<u64>(session, 1, SESSION_NEXT);
  store<u64>(session, 1, SESSION_RESEND);
  store<u32>(session, 2, SESSION_HEAD_IDENTIFIER);
}

/** The Session has a new connection: all that was sent before is to be sent again. */
export function restartWindow(session: usize): void {
  store<u64>(session, load<u64>(session, SESSION_HEAD), SESSION_RESEND);
  store<u32>(session, 0, SESSION_IN_FLIGHT);
  const record: usize = load<u32>(session, SESSION_CONNECTION);
  store<u16>(record, <u16>load<u32>(session, SESSION_RECEIVED_COUNT), C_RECEIVED_BEFORE);
}

/** Moves the head past what is done: after a recovery there may be such. */
export function passDone(session: usize): void {
  const head = load<u64>(session, SESSION_HEAD);
  if (head === load<u64>(session, SESSION_CURSOR)) return;
  if (stateOf(session, head) !== DONE) return;
  // Nothing is in flight then: settle() is not to count one less.
  store<u64>(session, head, SESSION_RESEND);
  settle(session, head);
}

/** All before this sequence is done, though the window never had it. */
export function jumpHead(session: usize, head: u64): void {
  store<u64>(session, head, SESSION_HEAD);
  store<u64>(session, head, SESSION_CURSOR);
  store<u64>(session, head, SESSION_RESEND);
  store<u32>(session, 1 + <u32>(head % IDENTIFIERS), SESSION_HEAD_IDENTIFIER);
}

/** Takes a message back into the window at this place, as a replay or a dump finds it. */
export function placeEntry(session: usize, sequence: u64, entry: usize, state: u32): bool {
  const isInside = sequence < load<u64>(session, SESSION_CURSOR);
  const slot = isInside ? slotAt(session, sequence) : openSlot(session, sequence);
  if (slot === 0) return false;
  store<u32>(slot, <u32>entry | state);
  return true;
}
