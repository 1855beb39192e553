/**
 * Acknowledgements on their way out: one FIFO per Network Connection, so that they leave in the
 * order in which their packets came [MQTT-4.6.0-2] [MQTT-4.6.0-3]. Those that may leave only after
 * a commit wait in it, and nothing passes them.
 *
 *   entry: ┌──────┬───────────────────────────────┬───────┐
 *          │ turn │ type << 24 | reason << 16 | id │ block │
 *          └──────┴───────────────────────────────┴───────┘
 *
 * Type 0: a whole packet in the block, {u32 bytes, packet}. A PUBACK with a block waits for the
 * message that it is: it leaves when every durable receiver has acknowledged, or when the pages
 * that name them all are committed, whichever comes first.
 */
import { E_CLOSE, S_ACKNOWLEDGEMENTS_ELIDED, S_ACKNOWLEDGEMENTS_HELD, S_PACKETS_SENT } from "./abi";
import {
  C_FLAGS,
  C_HELD_AT,
  C_HELD_CAPACITY,
  C_HELD_COUNT,
  C_HELD_FIRST,
  C_HELD_NEXT,
  C_HELD_PUBACKS,
  C_HOLDS,
  C_OPEN,
  C_VERSION,
  connectionOf,
  markUrgent,
  raise,
} from "./connection";
import { recordedTurn } from "./journal";
import { alloc, free } from "./memory";
import {
  holdMessage,
  M_HOLDER,
  M_JOURNAL_AT,
  M_JOURNAL_TURN,
  M_WAITS,
  releaseMessage,
} from "./message";
import { append, room } from "./out";
import { count, turnCommitted } from "./settings";
import { PUBACK, PUBREL } from "./spec";

const ENTRY_BYTES: u32 = 12;
const ENTRIES_MIN: u32 = 16;
/** Held acknowledgements of one connection past which it is not read on. */
export const HELD_MAX: u32 = 4096;

let holderHead: u32 = 0;

/** Appends one of the four acknowledgements to a connection's output. Hot. */
export function writeAcknowledgement(
  record: usize,
  type: u32,
  packetIdentifier: u32,
  reason: u32,
): bool {
  const flags: u32 = type === PUBREL ? 2 : 0;
  const withReason = reason !== 0 && load<u32>(record, C_VERSION) === 5;
  const at = room(record, withReason ? 5 : 4);
  if (at === 0) return false;
  markUrgent(record);
  count(S_PACKETS_SENT, 1);
  const identifier = ((packetIdentifier & 0xff) << 8) | (packetIdentifier >> 8);
  store<u32>(at, (type << 4) | flags | ((withReason ? 3 : 2) << 8) | (identifier << 16));
  if (withReason) store<u8>(at, reason, 4);
  return true;
}

function growRing(record: usize): bool {
  const capacity = load<u32>(record, C_HELD_CAPACITY);
  const grownCapacity = capacity === 0 ? ENTRIES_MIN : capacity << 1;
  const grown = alloc(grownCapacity * ENTRY_BYTES);
  if (grown === 0) return false;
  const ring = load<u32>(record, C_HELD_AT);
  if (ring !== 0) {
    const first = load<u32>(record, C_HELD_FIRST);
    const before = capacity - first;
    memory.copy(grown, ring + first * ENTRY_BYTES, before * ENTRY_BYTES);
    memory.copy(grown + before * ENTRY_BYTES, ring, first * ENTRY_BYTES);
    free(ring);
  }
  store<u32>(record, <u32>grown, C_HELD_AT);
  store<u32>(record, grownCapacity, C_HELD_CAPACITY);
  store<u32>(record, 0, C_HELD_FIRST);
  return true;
}

function push(record: usize, untilTurn: u32, word: u32, block: u32): bool {
  const held = load<u32>(record, C_HELD_COUNT);
  if (held === load<u32>(record, C_HELD_CAPACITY) && !growRing(record)) return false;
  const capacity = load<u32>(record, C_HELD_CAPACITY);
  const index = (load<u32>(record, C_HELD_FIRST) + held) & (capacity - 1);
  const at = load<u32>(record, C_HELD_AT) + index * ENTRY_BYTES;
  store<u32>(at, untilTurn);
  store<u32>(at, word, 4);
  store<u32>(at, block, 8);
  store<u32>(record, held + 1, C_HELD_COUNT);
  if (word >> 24 === PUBACK) {
    store<u16>(record, load<u16>(record, C_HELD_PUBACKS) + 1, C_HELD_PUBACKS);
  }
  const flags = load<u32>(record, C_FLAGS);
  if (!(flags & C_HOLDS)) {
    store<u32>(record, flags | C_HOLDS, C_FLAGS);
    store<u32>(record, holderHead, C_HELD_NEXT);
    holderHead = <u32>record;
  }
  count(S_ACKNOWLEDGEMENTS_HELD, 1);
  return true;
}

/** Whether the page of this turn is committed. Turns wrap: the distance's sign counts. */
function isCommitted(ofTurn: u32): bool {
  return <i32>(ofTurn - turnCommitted) <= 0;
}

/**
 * Sends a PUBACK once all durable receivers of the message have acknowledged it or have it on
 * disk. Hot.
 *
 * @returns false where there is no memory: the connection must be closed
 */
export function acknowledgeMessage(
  record: usize,
  packetIdentifier: u32,
  reason: u32,
  message: usize,
): bool {
  const word = (PUBACK << 24) | (reason << 16) | packetIdentifier;
  if (!push(record, 0, word, <u32>message)) return false;
  holdMessage(message);
  store<u32>(message, <u32>record, M_HOLDER);
  return true;
}

/** One more receiver of the message has neither acknowledged it nor is it on record. Hot. */
export function wait(message: usize): void {
  store<u32>(message, load<u32>(message, M_WAITS) + 1, M_WAITS);
}

/** One receiver less is waited for; the last one may set the publisher's PUBACK free. Hot. */
export function unwait(message: usize): void {
  const left = load<u32>(message, M_WAITS) - 1;
  store<u32>(message, left, M_WAITS);
  const record: usize = load<u32>(message, M_HOLDER);
  if (left !== 0 || record === 0) return;
  const first = load<u32>(record, C_HELD_AT) + load<u32>(record, C_HELD_FIRST) * ENTRY_BYTES;
  // What stands behind another waits for that one.
  if (load<u32>(first, 8) !== <u32>message) return;
  if (!releaseHeld(record)) raise(E_CLOSE, connectionOf(record), 0x97);
}

/** One receiver's message is on record: what is waited for is the page. */
export function unwaitRecorded(message: usize): void {
  store<u32>(message, load<u32>(message, M_WAITS) - 1, M_WAITS);
}

function isMessageFree(message: usize): bool {
  if (load<u32>(message, M_WAITS) !== 0) return false;
  if (load<u32>(message, M_JOURNAL_AT) !== 0)
    return isCommitted(load<u32>(message, M_JOURNAL_TURN));
  count(S_ACKNOWLEDGEMENTS_ELIDED, 1);
  return true;
}

function isFree(at: usize): bool {
  const block: usize = load<u32>(at, 8);
  if (block !== 0 && load<u32>(at, 4) !== 0) return isMessageFree(block);
  return isCommitted(load<u32>(at));
}

/**
 * Sends an acknowledgement, now or, if `hold`, once what was recorded so far is committed. Hot.
 *
 * @returns false where there is no memory: the connection must be closed
 */
export function acknowledge(
  record: usize,
  type: u32,
  packetIdentifier: u32,
  reason: u32,
  hold: bool,
): bool {
  const untilTurn = hold ? recordedTurn() : turnCommitted;
  if (load<u32>(record, C_HELD_COUNT) === 0 && isCommitted(untilTurn)) {
    return writeAcknowledgement(record, type, packetIdentifier, reason);
  }
  const word = (type << 24) | (reason << 16) | packetIdentifier;
  return push(record, untilTurn, word, 0);
}

/** Sends a packet of the control plane in the same order; if `hold`, after the commit. */
export function sendInOrder(record: usize, at: usize, bytes: u32, hold: bool): bool {
  const untilTurn = hold ? recordedTurn() : turnCommitted;
  if (load<u32>(record, C_HELD_COUNT) === 0 && isCommitted(untilTurn)) {
    count(S_PACKETS_SENT, 1);
    markUrgent(record);
    return append(record, at, bytes);
  }
  const block = alloc(4 + bytes);
  if (block === 0) return false;
  store<u32>(block, bytes);
  memory.copy(block + 4, at, bytes);
  if (push(record, untilTurn, 0, <u32>block)) return true;
  free(block);
  return false;
}

/** A held PUBACK is sent, or never will be: the message is not held for it any more. */
function letGo(message: usize): void {
  store<u32>(message, 0, M_HOLDER);
  releaseMessage(message);
}

/** Sends what waits for nothing any more. @returns false: close it */
function releaseHeld(record: usize): bool {
  let held = load<u32>(record, C_HELD_COUNT);
  let first = load<u32>(record, C_HELD_FIRST);
  const mask = load<u32>(record, C_HELD_CAPACITY) - 1;
  const ring = load<u32>(record, C_HELD_AT);
  let whole = true;
  while (held > 0 && whole) {
    const at = ring + first * ENTRY_BYTES;
    if (!isFree(at)) break;
    const word = load<u32>(at, 4);
    const block = load<u32>(at, 8);
    if (word === 0) {
      count(S_PACKETS_SENT, 1);
      markUrgent(record);
      whole = append(record, block + 4, load<u32>(block));
      free(block);
    } else {
      whole = writeAcknowledgement(record, word >> 24, word & 0xffff, (word >> 16) & 0xff);
      if (word >> 24 === PUBACK) {
        store<u16>(record, load<u16>(record, C_HELD_PUBACKS) - 1, C_HELD_PUBACKS);
      }
      if (block !== 0) letGo(block);
    }
    first = (first + 1) & mask;
    held--;
  }
  store<u32>(record, first, C_HELD_FIRST);
  store<u32>(record, held, C_HELD_COUNT);
  return whole;
}

/** First connection of those that hold acknowledgements; the list is then empty. */
export function takeHolders(): usize {
  const record = holderHead;
  holderHead = 0;
  return record;
}

/**
 * Sends one holder's acknowledgements that the commit set free and lists it again if some are left.
 *
 * @returns false where there is no memory: the connection must be closed
 */
export function releaseHolder(record: usize): bool {
  store<u32>(record, load<u32>(record, C_FLAGS) & ~C_HOLDS, C_FLAGS);
  if (!(load<u32>(record, C_FLAGS) & C_OPEN)) return true;
  const whole = releaseHeld(record);
  if (load<u32>(record, C_HELD_COUNT) !== 0) {
    store<u32>(record, load<u32>(record, C_FLAGS) | C_HOLDS, C_FLAGS);
    store<u32>(record, holderHead, C_HELD_NEXT);
    holderHead = <u32>record;
  }
  return whole;
}

/** Forgets all held acknowledgements: the connection closes. */
export function dropHeld(record: usize): void {
  const ring = load<u32>(record, C_HELD_AT);
  if (ring === 0) return;
  const held = load<u32>(record, C_HELD_COUNT);
  const mask = load<u32>(record, C_HELD_CAPACITY) - 1;
  let first = load<u32>(record, C_HELD_FIRST);
  for (let i: u32 = 0; i < held; i++) {
    const block = load<u32>(ring + first * ENTRY_BYTES, 8);
    if (block !== 0) {
      if (load<u32>(ring + first * ENTRY_BYTES, 4) === 0) free(block);
      else letGo(block);
    }
    first = (first + 1) & mask;
  }
  free(ring);
  store<u32>(record, 0, C_HELD_AT);
  store<u32>(record, 0, C_HELD_COUNT);
  store<u32>(record, 0, C_HELD_CAPACITY);
  store<u32>(record, 0, C_HELD_FIRST);
  store<u16>(record, 0, C_HELD_PUBACKS);
}
