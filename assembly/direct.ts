/**
 * The commonest PUBLISH of all: one receiver that takes the packet as it came. It is copied once
 * into the receiver's output, and nothing is described, encoded or stored.
 *
 * Whatever is not that plain is left to route.ts; what is done here must be what it would do.
 */
import { D_PAYLOAD_BYTES, D_TOPIC_AT, D_TOPIC_BYTES, DECODED } from "./abi";
import { C_OUT_BYTES, C_PACKET_BYTES_MAX, C_VERSION } from "./connection";
import { copyVectors, countSent } from "./encode";
import { memoryTight } from "./memory";
import { room } from "./out";
import {
  SESSION_CONNECTION,
  SESSION_DURABLE,
  SESSION_FLAGS,
  SESSION_NUMBER,
} from "./session-layout";
import { outgoingBytesMax } from "./settings";
import { FLAG_DUP, VERSION_5 } from "./spec";
import { ENTRY_BITS, ENTRY_NUMBER, ENTRY_SESSION, LIST_COUNT, LIST_ENTRIES } from "./topic-match";
import { ENTRY_IDENTIFIED, ENTRY_NO_LOCAL, ENTRY_QOS_MASK, ENTRY_SEVERAL } from "./topic-tree";
import { mayOpenNext, openNext } from "./window";

/** Longer packets are not worth a way of their own. */
const DIRECT_BYTES_MAX: u32 = 512;

/** Marks that make a receiver want something else than the packet as it came. */
const NOT_PLAIN: u32 = ENTRY_NO_LOCAL | ENTRY_SEVERAL | ENTRY_IDENTIFIED;

/**
 * Delivers the packet in DECODED, of QoS 0 or 1, without RETAIN and Topic Alias, if its only
 * receiver takes it as it came. Hot.
 *
 * @param list  receivers, as match-cache.ts gives them
 * @returns whether it was delivered; if not, nothing has happened
 */
export function deliverDirect(list: usize, version: u32, qos: u32, at: usize, bytes: u32): bool {
  if (load<u32>(list, LIST_COUNT) !== 1 || bytes > DIRECT_BYTES_MAX) return false;
  const entry = list + LIST_ENTRIES;
  const bits = load<u32>(entry, ENTRY_BITS);
  // The lower of both counts: a QoS 0 message is QoS 0 to all.
  if (bits & NOT_PLAIN || (bits & ENTRY_QOS_MASK) < qos) return false;
  const session: usize = load<u32>(entry, ENTRY_SESSION);
  if (load<u32>(session, SESSION_NUMBER) !== load<u32>(entry, ENTRY_NUMBER)) return false;
  const receiver: usize = load<u32>(session, SESSION_CONNECTION);
  if (
    receiver === 0 ||
    (load<u32>(receiver, C_VERSION) === VERSION_5) !== (version === VERSION_5)
  ) {
    return false;
  }
  if (load<u32>(receiver, C_PACKET_BYTES_MAX) !== 0 || memoryTight()) return false;
  let identifier: u32 = 0;
  if (qos === 0) {
    if (load<u32>(receiver, C_OUT_BYTES) >= outgoingBytesMax) return false;
  } else {
    if (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) return false;
    if (!mayOpenNext(session, receiver)) return false;
    identifier = openNext(session, qos, 0);
    if (identifier === 0) return false;
  }
  copyOut(receiver, at, bytes, identifier);
  return true;
}

/** Copies the packet with the receiver's Packet Identifier, and DUP as a first delivery has it. */
function copyOut(receiver: usize, at: usize, bytes: u32, identifier: u32): void {
  // Below the cap there is always room for one block more: see RESERVE_BYTES of memory.ts.
  const to = room(receiver, bytes);
  if (to === 0) return;
  copyVectors(to, at, bytes);
  store<u8>(to, load<u8>(at) & ~(<u8>FLAG_DUP));
  if (identifier !== 0) {
    const offset = load<u32>(DECODED, D_TOPIC_AT) - <u32>at + load<u32>(DECODED, D_TOPIC_BYTES);
    store<u16>(to + offset, bswap<u16>(<u16>identifier));
  }
  countSent(load<u32>(DECODED, D_PAYLOAD_BYTES));
}
