/**
 * Connections begin and end, turns end, commits arrive.
 */
import {
  CONNECTION_BYTES,
  E_CLOSE,
  E_RESUME,
  E_RETAINED,
  F_CONNECTION,
  F_MORE,
  F_PENDING,
} from "./abi";
import { dropAliases } from "./alias";
import { allowAliases, dropAliasesOut } from "./alias-out";
import {
  C_ACTIVE_SECONDS,
  C_AUTHENTICATES,
  C_BUSY,
  C_CLOSING,
  C_DIRTY,
  C_DIRTY_NEXT,
  C_FLAGS,
  C_GENERATION,
  C_HELD_COUNT,
  C_HELD_NEXT,
  C_HOLDS,
  C_OPEN,
  C_OUT_BYTES,
  C_OUT_HEAD,
  C_PACKET_BYTES_MAX,
  C_PARKED,
  C_PAUSED,
  C_QOS_DENIED_SHIFT,
  C_RETAINED_WAITS,
  C_SESSION,
  C_URGENT,
  C_URGENT_NEXT,
  C_VERSION,
  C_WANTS_PUMP,
  connectionOf,
  hasDirty,
  markDirty,
  raise,
  recordOf,
} from "./connection";
import { dropHeld, HELD_MAX, releaseHolder, takeHolders } from "./held";
import { dropSealed } from "./journal";
import { dropOutput, flushedRecords, flushRecord, freeWritten } from "./out";
import { dropRest } from "./receive";
import { dropRetainedJobs } from "./retained-jobs";
import { SESSION_COMMIT_NEXT, SESSION_WAITS_COMMIT } from "./session-layout";
import { leaveList, takeCommitWaiters } from "./session-lists";
import { activeSeconds, outgoingBytesMax, setTurnCommitted } from "./settings";
import { dropSlice } from "./slices";
import { pump } from "./window";

/** Prepares the record of a new Network Connection. @returns its generation */
export function openConnection(connection: u32): u32 {
  const record = recordOf(connection);
  // Lists may still name the record: its places in them stay.
  const flags = load<u32>(record, C_FLAGS) & (C_DIRTY | C_HOLDS | C_URGENT);
  const dirtyNext = load<u32>(record, C_DIRTY_NEXT);
  const heldNext = load<u32>(record, C_HELD_NEXT);
  const urgentNext = load<u32>(record, C_URGENT_NEXT);
  const generation = load<u32>(record, C_GENERATION) + 1;
  memory.fill(record, 0, CONNECTION_BYTES);
  store<u32>(record, generation, C_GENERATION);
  store<u32>(record, flags | C_OPEN, C_FLAGS);
  store<u32>(record, dirtyNext, C_DIRTY_NEXT);
  store<u32>(record, heldNext, C_HELD_NEXT);
  store<u32>(record, urgentNext, C_URGENT_NEXT);
  store<u32>(record, activeSeconds, C_ACTIVE_SECONDS);
  return generation;
}

/**
 * CONNECT was accepted.
 *
 * @param version  3, 4 or 5
 * @param clientPacketBytesMax  Maximum Packet Size of the client; 0 = none
 * @param clientAliasMax  Topic Alias Maximum of the client, 0 … 65535
 */
export function acceptConnection(
  connection: u32,
  version: u32,
  clientPacketBytesMax: u32,
  clientAliasMax: u32,
): void {
  const record = recordOf(connection);
  store<u32>(record, version, C_VERSION);
  store<u32>(record, clientPacketBytesMax, C_PACKET_BYTES_MAX);
  allowAliases(record, clientAliasMax);
}

/**
 * CONNECT came, and its client is to prove who it is.
 *
 * @param on  1: AUTH and DISCONNECT are taken, nothing else; 0: the CONNECT is decided
 */
export function setAuthenticating(connection: u32, on: u32): void {
  const record = recordOf(connection);
  const flags = load<u32>(record, C_FLAGS) & ~C_AUTHENTICATES;
  store<u32>(record, on !== 0 ? flags | C_AUTHENTICATES : flags, C_FLAGS);
}

/** @param qosMax  highest QoS that the client may publish with: 0, 1, or 2 as without this call */
export function limitQos(connection: u32, qosMax: u32): void {
  const record = recordOf(connection);
  const flags = load<u32>(record, C_FLAGS) & ~(3 << C_QOS_DENIED_SHIFT);
  store<u32>(record, flags | ((2 - qosMax) << C_QOS_DENIED_SHIFT), C_FLAGS);
}

/** Whether bytes of the connection wait for resume(). */
export function isParked(connection: u32): bool {
  return (load<u32>(recordOf(connection), C_FLAGS) & C_PARKED) !== 0;
}

/**
 * Frees all that a connection has; its Session must be detached or ended before.
 *
 * @returns 1 while a write is under way: the number may be used again after written(); otherwise 0
 */
export function closeConnection(connection: u32): u32 {
  const record = recordOf(connection);
  const flags = load<u32>(record, C_FLAGS);
  assert(load<u32>(record, C_SESSION) === 0, "closeConnection: its Session is still attached");
  dropRest(record);
  dropHeld(record);
  dropAliases(record);
  dropAliasesOut(record);
  dropSlice(record);
  dropRetainedJobs(record);
  dropOutput(record);
  const kept = flags & (C_DIRTY | C_HOLDS | C_URGENT);
  if (flags & C_BUSY) {
    store<u32>(record, kept | C_BUSY | C_CLOSING, C_FLAGS);
    return 1;
  }
  freeWritten(record);
  store<u32>(record, kept, C_FLAGS);
  return 0;
}

/** Output went out: what waited for that goes on. */
export function drained(record: usize): void {
  if (load<u32>(record, C_OUT_HEAD) !== 0) markDirty(record);
  const flags = load<u32>(record, C_FLAGS);
  if (!(flags & (C_WANTS_PUMP | C_PAUSED | C_RETAINED_WAITS))) return;
  if (load<u32>(record, C_OUT_BYTES) > outgoingBytesMax >> 1) return;
  if (flags & C_WANTS_PUMP) {
    store<u32>(record, load<u32>(record, C_FLAGS) & ~C_WANTS_PUMP, C_FLAGS);
    const session: usize = load<u32>(record, C_SESSION);
    if (session !== 0) pump(session);
  }
  if (flags & C_RETAINED_WAITS && raise(E_RETAINED, connectionOf(record), 0)) {
    store<u32>(record, load<u32>(record, C_FLAGS) & ~C_RETAINED_WAITS, C_FLAGS);
  }
  const mayRead = load<u32>(record, C_HELD_COUNT) < HELD_MAX;
  if (flags & C_PAUSED && mayRead && raise(E_RESUME, connectionOf(record), 0)) {
    store<u32>(record, load<u32>(record, C_FLAGS) & ~C_PAUSED, C_FLAGS);
  }
}

/**
 * The host has written the records of the last flush(), or marked them F_PENDING.
 *
 * @returns 1 where there is more to write: flush() again in the next turn
 */
export function flushDone(): u32 {
  const records = flushedRecords();
  for (let i: u32 = 0; i < records; i++) {
    const at = flushRecord(i);
    if (load<u32>(at, F_MORE) !== 0) continue;
    const record = recordOf(load<u32>(at, F_CONNECTION));
    const flags = load<u32>(record, C_FLAGS);
    if (load<u32>(at, F_PENDING) !== 0) {
      store<u32>(record, flags | C_BUSY, C_FLAGS);
      continue;
    }
    freeWritten(record);
    if (flags & C_OPEN) drained(record);
  }
  return hasDirty() ? 1 : 0;
}

/**
 * A write that flushDone() found pending has ended, in whatever way.
 *
 * @returns 1 where the connection was closed meanwhile and its number is free now; otherwise 0
 */
export function written(connection: u32): u32 {
  const record = recordOf(connection);
  const flags = load<u32>(record, C_FLAGS) & ~C_BUSY;
  freeWritten(record);
  if (flags & C_CLOSING) {
    store<u32>(record, flags & ~C_CLOSING, C_FLAGS);
    return 1;
  }
  store<u32>(record, flags, C_FLAGS);
  drained(record);
  return 0;
}

/** All pages up to this turn are committed: what waited for that goes out. */
export function committed(turn: u32): void {
  setTurnCommitted(turn);
  dropSealed();
  let record = takeHolders();
  while (record !== 0) {
    const next = load<u32>(record, C_HELD_NEXT);
    if (!releaseHolder(record)) raise(E_CLOSE, connectionOf(record), 0x97);
    drained(record);
    record = next;
  }
  let session = takeCommitWaiters();
  while (session !== 0) {
    const next = load<u32>(session, SESSION_COMMIT_NEXT);
    if (leaveList(session, SESSION_WAITS_COMMIT)) pump(session);
    session = next;
  }
}
