/**
 * The commonest PUBLISH of all: one receiver that takes the packet as it came. It is copied once
 * into the receiver's output, and nothing is described or encoded. For a durable Session its
 * message is stored as well, and waits there to be acknowledged or put on record.
 *
 * Whatever is not that plain is left to route.ts; what is done here must be what it would do.
 */
import {
  D_PAYLOAD_AT,
  D_PAYLOAD_BYTES,
  D_PROPERTIES_AT,
  D_PROPERTIES_BYTES,
  D_TOPIC_AT,
  D_TOPIC_BYTES,
  DECODED,
} from "./abi";
import { C_OUT_BYTES, C_PACKET_BYTES_MAX, C_VERSION } from "./connection";
import { copyVectors, countSent } from "./encode";
import { memoryTight } from "./memory";
import { M_TEXT, newMessageWithRoom, ROOM_BYTES } from "./message";
import { room } from "./out";
import { hasProperty } from "./properties";
import { E_MESSAGE, E_SEQUENCE, entryInRoom, freeEntry } from "./queue";
import { keepFresh } from "./record";
import { hasRules } from "./rules";
import {
  SESSION_CONNECTION,
  SESSION_DURABLE,
  SESSION_FLAGS,
  SESSION_ID_AT,
  SESSION_ID_BYTES,
  SESSION_NEXT,
  SESSION_NUMBER,
  SESSION_SILENT,
} from "./session-layout";
import {
  freshMsMax,
  isRecording,
  messageExpiryMsMax,
  outgoingBytesMax,
  refusing,
} from "./settings";
import { FLAG_DUP, MESSAGE_EXPIRY_INTERVAL, VERSION_5 } from "./spec";
import { ENTRY_BITS, ENTRY_NUMBER, ENTRY_SESSION, LIST_COUNT, LIST_ENTRIES } from "./topic-match";
import { ENTRY_IDENTIFIED, ENTRY_NO_LOCAL, ENTRY_QOS_MASK, ENTRY_SEVERAL } from "./topic-tree";
import { mayOpenNext, openNext } from "./window";

let directMessage: usize = 0;

/** Longer packets are not worth a way of their own. */
const DIRECT_BYTES_MAX: u32 = 512;

/** Marks that make a receiver want something else than the packet as it came. */
const NOT_PLAIN: u32 = ENTRY_NO_LOCAL | ENTRY_SEVERAL | ENTRY_IDENTIFIED;

/**
 * Delivers the packet in DECODED, of QoS 0 or 1, without RETAIN and Topic Alias, if its only
 * receiver takes it as it came. Hot.
 *
 * @param publisher  Session of who published it, or 0: the broker
 * @param list  receivers, as match-cache.ts gives them
 * @returns whether it was delivered; if not, nothing has happened
 */
export function deliverDirect(
  publisher: usize,
  list: usize,
  version: u32,
  qos: u32,
  at: usize,
  bytes: u32,
): bool {
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
    if (!mayOpenNext(session, receiver)) return false;
    let entry: usize = 0;
    const flags = load<u32>(session, SESSION_FLAGS);
    if (flags & SESSION_DURABLE) {
      if (flags & SESSION_SILENT) return false;
      entry = storeDirect(version, publisher, load<u64>(session, SESSION_NEXT));
      if (entry === 0) return false;
    }
    identifier = openNext(session, qos, entry);
    if (identifier === 0) {
      if (entry !== 0) freeEntry(entry);
      return false;
    }
    if (entry !== 0 && isRecording) {
      keepFresh(session, load<u64>(entry, E_SEQUENCE), entry);
      directMessage = load<u32>(entry, E_MESSAGE);
    }
  }
  copyOut(receiver, at, bytes, identifier);
  return true;
}

/** The message that deliverDirect() stored last and that its PUBACK waits for, or 0; told once. */
export function takeDirectMessage(): usize {
  const message = directMessage;
  directMessage = 0;
  return message;
}

/**
 * Stores the message of the packet in DECODED for a durable Session, where its PUBACK can wait for
 * the receiver's.
 *
 * @returns its entry, or 0: it is left to route.ts
 */
function storeDirect(version: u32, publisher: usize, sequence: u64): usize {
  if (publisher === 0 || refusing !== 0 || messageExpiryMsMax !== 0 || hasRules()) return 0;
  if (isRecording && freshMsMax === 0) return 0;
  if (version === VERSION_5 && hasProperty(MESSAGE_EXPIRY_INTERVAL)) return 0;
  const topicBytes = load<u32>(DECODED, D_TOPIC_BYTES);
  const propertiesBytes = version === VERSION_5 ? load<u32>(DECODED, D_PROPERTIES_BYTES) : 0;
  const publisherBytes = load<u32>(publisher, SESSION_ID_BYTES);
  const payloadBytes = load<u32>(DECODED, D_PAYLOAD_BYTES);
  const entry = newMessageWithRoom(topicBytes, propertiesBytes, publisherBytes, payloadBytes);
  if (entry === 0) return 0;
  let to = entry + ROOM_BYTES + M_TEXT;
  // Each copy may write past its end, where the next one writes; behind the last there is slop.
  copyVectors(to, load<u32>(DECODED, D_TOPIC_AT), topicBytes);
  to += topicBytes;
  if (propertiesBytes !== 0) {
    copyVectors(to, load<u32>(DECODED, D_PROPERTIES_AT), propertiesBytes);
    to += propertiesBytes;
  }
  copyVectors(to, load<u32>(publisher, SESSION_ID_AT), publisherBytes);
  copyVectors(to + publisherBytes, load<u32>(DECODED, D_PAYLOAD_AT), payloadBytes);
  entryInRoom(entry, sequence, topicBytes + propertiesBytes + payloadBytes);
  return entry;
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
