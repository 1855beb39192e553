/**
 * PUBACK, PUBREC, PUBREL and PUBCOMP from a client, §4.3.
 *
 *   we send QoS 1     PUBLISH ─▶   ◀─ PUBACK
 *   we send QoS 2     PUBLISH ─▶   ◀─ PUBREC   PUBREL ─▶   ◀─ PUBCOMP
 *   we get QoS 2      ◀─ PUBLISH   PUBREC ─▶   ◀─ PUBREL   PUBCOMP ─▶
 *
 * An acknowledgement of the wrong kind for its message is a Protocol Error; one for an identifier
 * that is not in use is counted and, where the standard has an answer, answered with 0x92.
 */
import {
  D_PACKET_ID,
  D_REASON,
  DECODED,
  E_RETAINED,
  J_FREED,
  J_RELEASED,
  R_DONE,
  S_ACKNOWLEDGEMENTS_UNKNOWN,
} from "./abi";
import { C_FLAGS, C_RETAINED_WAITS, C_SESSION, connectionOf, raise } from "./connection";
import { acknowledge } from "./held";
import { journalIdentifier, journalSequence } from "./journal";
import { decodeAcknowledgement } from "./publish-decode";
import { hasQueued } from "./queue";
import { removeReceived } from "./received";
import { RETAINED_QUEUED_MAX } from "./retained";
import {
  SESSION_CURSOR,
  SESSION_DURABLE,
  SESSION_FLAGS,
  SESSION_QUEUED_COUNT,
  SESSION_RESEND,
  SESSION_SHARES,
} from "./session-layout";
import { count } from "./settings";
import { AWAITS_PUBACK, AWAITS_PUBCOMP, DONE, NOT_LOADED, sequenceOf, stateOf } from "./slots";
import {
  PACKET_IDENTIFIER_NOT_FOUND,
  PROTOCOL_ERROR,
  PUBACK,
  PUBCOMP,
  PUBREC,
  PUBREL,
  QUOTA_EXCEEDED,
  UNSPECIFIED_ERROR,
} from "./spec";
import { finish, pump, release } from "./window";

/** Room in the window: send what waits, and go on with retained messages. Hot. */
function goOn(record: usize, session: usize): void {
  if (
    hasQueued(session) ||
    load<u32>(session, SESSION_SHARES) !== 0 ||
    load<u64>(session, SESSION_RESEND) < load<u64>(session, SESSION_CURSOR)
  ) {
    pump(session);
  }
  if (
    load<u32>(record, C_FLAGS) & C_RETAINED_WAITS &&
    load<u32>(session, SESSION_QUEUED_COUNT) < RETAINED_QUEUED_MAX / 2 &&
    raise(E_RETAINED, connectionOf(record), 0)
  ) {
    store<u32>(record, load<u32>(record, C_FLAGS) & ~C_RETAINED_WAITS, C_FLAGS);
  }
}

function send(record: usize, type: u32, packetIdentifier: u32, reason: i32, hold: bool): i32 {
  const sent = acknowledge(record, type, packetIdentifier, <u32>reason, hold);
  return sent ? R_DONE : -QUOTA_EXCEEDED;
}

function unknown(record: usize, type: u32, packetIdentifier: u32): i32 {
  count(S_ACKNOWLEDGEMENTS_UNKNOWN, 1);
  // A PUBREC of 0x80 or more has ended the exchange already [MQTT-4.3.3-4].
  if (type !== PUBREC || load<u32>(DECODED, D_REASON) >= <u32>UNSPECIFIED_ERROR) return R_DONE;
  return send(record, PUBREL, packetIdentifier, PACKET_IDENTIFIER_NOT_FOUND, false);
}

/** PUBACK, PUBREC or PUBCOMP: the receiver of one of our messages speaks. Hot. */
function ofOurs(record: usize, session: usize, type: u32, packetIdentifier: u32): i32 {
  const sequence = sequenceOf(session, packetIdentifier);
  const state = sequence === u64.MAX_VALUE ? DONE : stateOf(session, sequence);
  if (state === DONE) return unknown(record, type, packetIdentifier);
  if (type === PUBREC) return received(record, session, sequence, state, packetIdentifier);
  // What is in the store only was sent on an earlier connection: its acknowledgement came late.
  if (state === NOT_LOADED) {
    if (type === PUBCOMP) return -PROTOCOL_ERROR;
  } else if (state !== (type === PUBACK ? AWAITS_PUBACK : AWAITS_PUBCOMP)) return -PROTOCOL_ERROR;
  finish(session, sequence);
  goOn(record, session);
  return R_DONE;
}

/**
 * PUBREC: success makes a PUBREL due [MQTT-4.3.3-4], a Reason Code of 0x80 or more ends it, for
 * whom a group chose as for any other [MQTT-4.8.2-6].
 */
function received(
  record: usize,
  session: usize,
  sequence: u64,
  state: u32,
  packetIdentifier: u32,
): i32 {
  if (state === AWAITS_PUBACK) return -PROTOCOL_ERROR;
  const durable = (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) !== 0;
  if (state !== AWAITS_PUBCOMP) {
    if (load<u32>(DECODED, D_REASON) >= <u32>UNSPECIFIED_ERROR) {
      finish(session, sequence); // [MQTT-4.4.0-2]
      goOn(record, session);
      return R_DONE;
    }
    release(session, sequence);
    if (durable) journalSequence(J_RELEASED, session, sequence);
  }
  return send(record, PUBREL, packetIdentifier, 0, durable);
}

/** PUBREL: the identifier of a message received is free again [MQTT-4.3.3-11]. */
function released(record: usize, session: usize, packetIdentifier: u32): i32 {
  if (!removeReceived(session, packetIdentifier)) {
    count(S_ACKNOWLEDGEMENTS_UNKNOWN, 1);
    return send(record, PUBCOMP, packetIdentifier, PACKET_IDENTIFIER_NOT_FOUND, false);
  }
  const durable = (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) !== 0;
  if (durable) journalIdentifier(J_FREED, session, packetIdentifier);
  return send(record, PUBCOMP, packetIdentifier, 0, durable);
}

/**
 * Takes one acknowledgement that cutPacket() found whole. Hot.
 *
 * @returns R_DONE, or −Reason Code
 */
export function acknowledgement(record: usize, version: u32, at: usize, end: usize): i32 {
  const status = decodeAcknowledgement(version, at, end);
  if (status < 0) return status;
  const type = <u32>load<u8>(at) >> 4;
  const session: usize = load<u32>(record, C_SESSION);
  const packetIdentifier = load<u32>(DECODED, D_PACKET_ID);
  if (type === PUBREL) return released(record, session, packetIdentifier);
  return ofOurs(record, session, type, packetIdentifier);
}
