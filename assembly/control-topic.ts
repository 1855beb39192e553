/**
 * Topics below $CONTROL/: what is published there is for the host alone, and goes to nobody else.
 *
 * The packet is acknowledged here, in its order; whether what it asked for could be done is said in
 * the answer, which the host sends to who asked, if it subscribes to that.
 */
import {
  D_PACKET_ID,
  D_TOPIC_AT,
  D_TOPIC_BYTES,
  D_TYPE,
  DECODED,
  J_RECEIVED,
  R_CONTROL,
  R_DONE,
} from "./abi";
import { isDurable } from "./admission";
import { C_OUT_BYTES } from "./connection";
import { acknowledge } from "./held";
import { journalIdentifier } from "./journal";
import { lookup, match, releaseList } from "./match-cache";
import { addReceived } from "./received";
import { SESSION_CONNECTION, SESSION_NUMBER } from "./session-layout";
import { outgoingBytesMax } from "./settings";
import { PUBACK, PUBLISH, PUBREC, QUOTA_EXCEEDED, SUCCESS } from "./spec";
import { DOLLAR_SIGN, SLASH } from "./topic";
import {
  ENTRY_BITS,
  ENTRY_BYTES,
  ENTRY_NUMBER,
  ENTRY_SESSION,
  LIST_COUNT,
  LIST_ENTRIES,
} from "./topic-match";
import { ENTRY_SHARED } from "./topic-tree";

/** `$CONTROL`, as a u64. */
const CONTROL: u64 = ((<u64>0x4c4f5254) << 32) | 0x4e4f4324;
const PREFIX_BYTES: u32 = 9;

/** Whether the topic in DECODED is below $CONTROL. Hot. */
export function isControlTopic(): bool {
  const at: usize = load<u32>(DECODED, D_TOPIC_AT);
  return (
    load<u8>(at) === DOLLAR_SIGN &&
    load<u32>(DECODED, D_TOPIC_BYTES) >= PREFIX_BYTES &&
    load<u64>(at) === CONTROL &&
    load<u8>(at + 8) === SLASH
  );
}

/**
 * Acknowledges the PUBLISH in DECODED, which its client may send, and leaves it to the host.
 *
 * @param session  of the publisher; 0: what the broker itself says, a will, passes for no request
 *   and for no answer
 * @returns R_CONTROL, or R_DONE: nothing comes of it; −0x97: no memory
 */
export function takeControl(record: usize, session: usize, qos: u32): i32 {
  if (session === 0) return R_DONE;
  const packetIdentifier = load<u32>(DECODED, D_PACKET_ID);
  let isTaken = true;
  if (qos === 2) {
    const hold = isDurable(session);
    isTaken = addReceived(session, packetIdentifier) >= 0;
    if (isTaken && hold) journalIdentifier(J_RECEIVED, session, packetIdentifier);
    if (isTaken) isTaken = acknowledge(record, PUBREC, packetIdentifier, SUCCESS, hold);
  } else if (qos === 1) {
    isTaken = acknowledge(record, PUBACK, packetIdentifier, SUCCESS, false);
  }
  if (!isTaken) return -QUOTA_EXCEEDED;
  store<u32>(DECODED, PUBLISH, D_TYPE);
  return R_CONTROL;
}

/**
 * Whether a connected Session gets what is published to a topic: it subscribes to it, may read it,
 * and takes what it is sent.
 *
 * @param at, bytes  a Topic Name; borrowed
 * @returns 1 or 0
 */
export function isReceiver(session: usize, at: usize, bytes: u32): u32 {
  const record: usize = load<u32>(session, SESSION_CONNECTION);
  if (record === 0 || load<u32>(record, C_OUT_BYTES) >= outgoingBytesMax) return 0;
  let list = lookup(at, bytes);
  if (list === 0) list = match(at, bytes);
  if (list === 0) return 0;
  const number = load<u32>(session, SESSION_NUMBER);
  const total = load<u32>(list, LIST_COUNT);
  let found: u32 = 0;
  for (let i: u32 = 0; i < total && found === 0; i++) {
    const entry = list + LIST_ENTRIES + i * ENTRY_BYTES;
    const isOwn =
      load<u32>(entry, ENTRY_SESSION) === <u32>session && load<u32>(entry, ENTRY_NUMBER) === number;
    if (isOwn && !(load<u32>(entry, ENTRY_BITS) & ENTRY_SHARED)) found = 1;
  }
  releaseList(list);
  return found;
}
