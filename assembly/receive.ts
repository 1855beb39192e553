/**
 * Bytes of a connection become packets; packets of the data plane are acted on here.
 *
 *           HEADROOM        READ                                   a packet that is cut off
 *   ┌────────────┬──────┬──────────┬──────────┬─────┬───╌╌┐        waits in a block of its own, the
 *   │            │ rest │ packet   │ packet   │ …   │ cut │        connection's rest; so does what
 *   └────────────┴──────┴──────────┴──────────┴─────┴───╌╌┘        is parked
 *
 * A stretch of bytes under way is at ── end in memory; behind it there may be a second one: what
 * the kernel gave after the end of a packet that was gathered in the rest.
 */
import {
  D_TYPE,
  DECODED,
  HEADROOM,
  NEED_MORE,
  NO_MEMORY,
  R_BUDGET,
  R_CONTROL,
  R_DONE,
  R_PAUSED,
  READ,
  S_BYTES_RECEIVED,
  S_PACKETS_RECEIVED,
  S_PACKETS_SENT,
  S_PARTIAL_BYTES,
  S_REFUSED_MEMORY,
} from "./abi";
import { acknowledgement } from "./acknowledge";
import {
  C_ACTIVE_SECONDS,
  C_AUTHENTICATES,
  C_FLAGS,
  C_OUT_BYTES,
  C_OUT_OF_BUDGET,
  C_PARKED,
  C_PAUSED,
  C_REST_AT,
  C_REST_BYTES,
  C_REST_NEED,
  C_REST_USED,
  C_VERSION,
  connectionOf,
  markUrgent,
  recordOf,
} from "./connection";
import { cutPacket, decodePacket } from "./decode";
import { deliverLeft } from "./left";
import { alloc, blockBytes, free, heapBytesCap, memoryHasRoom } from "./memory";
import { room } from "./out";
import { budgetLeft, publish, startBudget } from "./route";
import { activeSeconds, count, outgoingBytesMax, packetBytesMax } from "./settings";
import { firstLeft } from "./slices";
import {
  AUTH,
  CONNECT,
  DISCONNECT,
  MALFORMED_PACKET,
  PINGREQ,
  PINGRESP,
  PROTOCOL_ERROR,
  PUBACK,
  PUBCOMP,
  PUBLISH,
  QUOTA_EXCEEDED,
  VERSION_5,
} from "./spec";
import { readVarint, varintBytes } from "./varint";

/** Longest CONNECT: five fields of 64 KiB, and User Properties. */
export const CONNECT_BYTES_MAX: u32 = 524288;
/** What a connection that is not to be read on may still hand in, besides one packet. */
const PARKED_EXTRA_BYTES_MAX: u32 = 64 * 1024 * 1024;
/** With more than this parked, new bytes have to work some of it off, in so many budgets. */
const PARKED_WORKED_OFF_BYTES_MIN: u32 = 1024 * 1024;
const PARKED_BUDGETS: u32 = 8;
/** All rests together: this share of the heap's cap. */
const RESTS_SHARE_SHIFT: u32 = 2;
/** Longest header of a packet. */
const HEADER_BYTES_MAX: u32 = 5;
/** First size of a rest that grows while its packet comes in. */
const REST_BYTES_MIN: u32 = 65536;

let record: usize = 0;
let at: usize = 0;
let end: usize = 0;
/** The stretch behind, or 0. */
let laterAt: usize = 0;
let laterEnd: usize = 0;
/** The block that the stretch lies in, to be freed behind it; 0 while it is READ. */
let owned: usize = 0;

let restBytes: u64 = 0;

function setRest(block: usize, bytes: u32, used: u32, need: u32): void {
  store<u32>(record, <u32>block, C_REST_AT);
  store<u32>(record, bytes, C_REST_BYTES);
  store<u32>(record, used, C_REST_USED);
  store<u32>(record, need, C_REST_NEED);
}

function allocRest(bytes: u32): usize {
  if (restBytes + bytes > heapBytesCap() >> RESTS_SHARE_SHIFT) return 0;
  const block = bytes > REST_BYTES_MIN && !memoryHasRoom(bytes) ? 0 : alloc(bytes);
  if (block === 0) {
    count(S_REFUSED_MEMORY, 1);
    return 0;
  }
  restBytes += blockBytes(block);
  count(S_PARTIAL_BYTES, blockBytes(block));
  return block;
}

function freeRest(block: usize): void {
  restBytes -= blockBytes(block);
  count(S_PARTIAL_BYTES, -(<u64>blockBytes(block)));
  free(block);
}

/** Frees what the connection has not consumed: it closes. */
export function dropRest(closing: usize): void {
  const block = load<u32>(closing, C_REST_AT);
  if (block !== 0) freeRest(block);
  store<u32>(closing, 0, C_REST_AT);
  store<u32>(closing, 0, C_REST_BYTES);
  store<u32>(closing, 0, C_REST_NEED);
  if (closing !== record) return;
  // The host closes a connection in the middle of its bytes: nothing of them is left.
  if (owned !== 0 && owned !== block) freeRest(owned);
  owned = 0;
  record = 0;
}

/** Whole size of the packet at `from`, where its header is there; otherwise 0. */
function packetNeed(from: usize, to: usize): u32 {
  const remaining = readVarint(from + 1, to);
  return remaining < 0 ? 0 : 1 + varintBytes(from + 1) + <u32>remaining;
}

/** Frees what is left of a stretch whose connection ends: a control packet was its last. */
function leaveStretch(): void {
  if (owned !== 0) freeRest(owned);
  owned = 0;
  laterAt = 0;
  laterEnd = 0;
}

/** Keeps the cut packet at the end of the stretch until more comes. @returns R_DONE or −0x97 */
function keepCut(): i32 {
  const bytes = <u32>(end - at);
  if (bytes === 0) {
    if (owned !== 0) freeRest(owned);
    owned = 0;
    setRest(0, 0, 0, 0);
    return R_DONE;
  }
  const need = packetNeed(at, end);
  let block = owned;
  if (block !== 0) {
    memory.copy(block, at, bytes);
  } else {
    block = allocRest(min(max(need, bytes), max(bytes << 1, REST_BYTES_MIN)));
    if (block === 0) return -QUOTA_EXCEEDED;
    memory.copy(block, at, bytes);
  }
  owned = 0;
  setRest(block, bytes, 0, need);
  return R_DONE;
}

/** Appends to a rest; it doubles up to `wanted` bytes. @returns false: no memory for it */
function appendRest(from: usize, bytes: u32, wanted: u32): bool {
  let block: usize = load<u32>(record, C_REST_AT);
  const present = load<u32>(record, C_REST_BYTES);
  if (block === 0 || blockBytes(block) < present + bytes) {
    const grownBytes = max(present + bytes, min(wanted, (present + bytes) << 1));
    const grown = allocRest(grownBytes);
    if (grown === 0) return false;
    if (block !== 0) {
      memory.copy(grown, block, present);
      freeRest(block);
    }
    block = grown;
    store<u32>(record, <u32>grown, C_REST_AT);
  }
  memory.copy(block + present, from, bytes);
  store<u32>(record, present + bytes, C_REST_BYTES);
  return true;
}

/**
 * Keeps all that is not consumed with the connection; resume() goes on with it. The host calls it
 * when it cannot answer a control packet at once.
 *
 * @returns R_DONE, or −0x97 where there is no memory
 */
export function park(): i32 {
  store<u32>(record, load<u32>(record, C_FLAGS) | C_PARKED, C_FLAGS);
  const later = <u32>(laterEnd - laterAt);
  const bytes = <u32>(end - at) + later;
  if (owned !== 0 && later === 0) {
    setRest(owned, <u32>(end - owned), <u32>(at - owned), 0);
    owned = 0;
    record = 0;
    return R_DONE;
  }
  const block = allocRest(max(bytes, 16));
  if (block === 0) return -QUOTA_EXCEEDED;
  memory.copy(block, at, end - at);
  memory.copy(block + (end - at), laterAt, later);
  if (owned !== 0) freeRest(owned);
  owned = 0;
  laterAt = laterEnd;
  setRest(block, bytes, 0, 0);
  record = 0;
  return R_DONE;
}

function answerPing(bytes: u32): i32 {
  if (bytes !== 2) return -MALFORMED_PACKET;
  const to = room(record, 2);
  if (to === 0) return -QUOTA_EXCEEDED;
  store<u16>(to, <u16>(PINGRESP << 4));
  markUrgent(record);
  count(S_PACKETS_SENT, 1);
  return R_DONE;
}

/** A packet for TypeScript; CONNECT comes first and only once [MQTT-3.1.0-1] [MQTT-3.1.0-2]. */
function control(version: u32, type: u32, bytes: u32): i32 {
  store<u32>(DECODED, 0, D_TYPE);
  let spoken = version;
  if (version === 0 && load<u32>(record, C_FLAGS) & C_AUTHENTICATES) {
    if (type !== AUTH && type !== DISCONNECT) return -PROTOCOL_ERROR; // [MQTT-3.1.2-30]
    spoken = VERSION_5;
  } else if ((version === 0) !== (type === CONNECT)) {
    return -PROTOCOL_ERROR;
  }
  const status = decodePacket(spoken, at, at + bytes);
  return status < 0 ? status : R_CONTROL;
}

/** Whether what is not whole yet can be no CONNECT, where one is due [MQTT-3.1.0-1]. */
function beginsOtherwise(version: u32): bool {
  if (version !== 0 || at >= end || load<u32>(record, C_FLAGS) & C_AUTHENTICATES) return false;
  return <u32>load<u8>(at) >> 4 !== CONNECT;
}

/** Whether this connection may go on: it takes what we send, and the turn has budget left. */
function mayGoOn(): i32 {
  if (!budgetLeft()) return R_BUDGET;
  if (load<u32>(record, C_OUT_BYTES) < outgoingBytesMax << 1) return R_DONE;
  store<u32>(record, load<u32>(record, C_FLAGS) | C_PAUSED, C_FLAGS);
  return R_PAUSED;
}

/** Consumes packets of the stretch. Hot. */
function consume(): i32 {
  while (true) {
    const version = load<u32>(record, C_VERSION);
    const limit = version === 0 ? min(CONNECT_BYTES_MAX, packetBytesMax) : packetBytesMax;
    const bytes = cutPacket(at, end, limit, version);
    if (bytes < 0) {
      store<u32>(DECODED, 0, D_TYPE);
      return bytes === NEED_MORE && beginsOtherwise(version) ? -PROTOCOL_ERROR : bytes;
    }
    const type = <u32>load<u8>(at) >> 4;
    let status = mayGoOn();
    if (status !== R_DONE) return status;
    if (type === PUBLISH && version !== 0) {
      status = publish(record, version, at, at + bytes);
    } else if (type >= PUBACK && type <= PUBCOMP && version !== 0) {
      status = acknowledgement(record, version, at, at + bytes);
    } else if (type === PINGREQ && version !== 0) {
      status = answerPing(bytes);
    } else {
      status = control(version, type, bytes);
    }
    if (status !== R_DONE && status !== R_CONTROL) return status;
    at += bytes;
    // What the broker itself publishes was not received.
    if (record !== recordOf(0)) count(S_PACKETS_RECEIVED, 1);
    if (status !== R_DONE) return R_CONTROL;
  }
}

/**
 * Works through the stretch and the one behind it; nothing is under way behind any other answer.
 */
function run(): i32 {
  const status = runStretches();
  if (status === R_CONTROL) return status;
  // After a fault the rest of the stretch is of no use to anybody.
  if (owned !== 0) freeRest(owned);
  owned = 0;
  record = 0;
  return status;
}

function runStretches(): i32 {
  while (true) {
    const status = consume();
    if (status >= R_BUDGET) {
      if (status === R_BUDGET) {
        store<u32>(record, load<u32>(record, C_FLAGS) | C_OUT_OF_BUDGET, C_FLAGS);
      }
      const parked = park();
      return parked < 0 ? parked : status;
    }
    if (status === R_CONTROL) return R_CONTROL;
    if (status !== NEED_MORE) return status === NO_MEMORY ? -QUOTA_EXCEEDED : status;
    const kept = keepCut();
    if (kept < 0 || laterAt === laterEnd) return kept;
    at = laterAt;
    end = laterEnd;
    laterAt = laterEnd;
  }
}

/** Adds a chunk to a packet that is being gathered. */
function gather(bytes: u32): i32 {
  const present = load<u32>(record, C_REST_BYTES);
  const need = load<u32>(record, C_REST_NEED);
  const take = min(bytes, need - present);
  if (!appendRest(READ, take, need)) return -QUOTA_EXCEEDED;
  if (present + take < need) return R_DONE;
  owned = load<u32>(record, C_REST_AT);
  setRest(0, 0, 0, 0);
  at = owned;
  end = owned + need;
  laterAt = READ + take;
  laterEnd = READ + bytes;
  return run();
}

/** Moves what is not consumed to the front of the rest, once that is the smaller part. */
function dropUsed(unused: u32): void {
  const used = load<u32>(record, C_REST_USED);
  if (used <= unused) return;
  const block: usize = load<u32>(record, C_REST_AT);
  memory.copy(block, block + used, unused);
  store<u32>(record, unused, C_REST_BYTES);
  store<u32>(record, 0, C_REST_USED);
}

/**
 * Bytes of a connection that its transport cannot stop. What is parked is bounded; while only the
 * budget keeps it waiting, more of it is worked off here, so that the flood slows itself down.
 */
function receiveParked(bytes: u32): i32 {
  const unused = load<u32>(record, C_REST_BYTES) - load<u32>(record, C_REST_USED);
  if (unused + bytes > packetBytesMax + PARKED_EXTRA_BYTES_MAX) return -QUOTA_EXCEEDED;
  dropUsed(unused);
  if (!appendRest(READ, bytes, u32.MAX_VALUE)) return -QUOTA_EXCEEDED;
  if (unused < PARKED_WORKED_OFF_BYTES_MIN) return R_DONE;
  const connection = connectionOf(record);
  const parked = record;
  for (let i: u32 = 0; i < PARKED_BUDGETS; i++) {
    if (!(load<u32>(parked, C_FLAGS) & C_OUT_OF_BUDGET)) return R_DONE;
    const status = resume(connection);
    if (status !== R_BUDGET) return status;
  }
  return R_DONE;
}

/**
 * Takes bytes that a connection sent, in order, from READ. Hot.
 *
 * @param connection  open
 * @param bytes  1 … READ_BYTES
 * @returns R_DONE, R_CONTROL, R_BUDGET, R_PAUSED, R_COMMIT, R_ACCESS, or −Reason Code: close the
 *   connection
 */
export function receive(connection: u32, bytes: u32): i32 {
  record = recordOf(connection);
  store<u32>(record, activeSeconds, C_ACTIVE_SECONDS);
  count(S_BYTES_RECEIVED, bytes);
  leaveStretch();
  const present = load<u32>(record, C_REST_BYTES);
  if (load<u32>(record, C_FLAGS) & C_PARKED) {
    return receiveParked(bytes);
  }
  startBudget();
  at = READ;
  end = READ + bytes;
  if (present === 0) return run();
  if (load<u32>(record, C_REST_NEED) !== 0) return gather(bytes);
  // Not even the length is there: at most HEADER_BYTES_MAX − 1 bytes go in front of the chunk.
  assert(present < HEADER_BYTES_MAX && READ - present > HEADROOM, "receive: rest too long");
  at = READ - present;
  memory.copy(at, load<u32>(record, C_REST_AT), present);
  freeRest(load<u32>(record, C_REST_AT));
  setRest(0, 0, 0, 0);
  return run();
}

/**
 * Goes on behind a control packet, or in a later turn with what was parked.
 *
 * @returns as receive()
 */
export function resume(connection: u32): i32 {
  const wanted = recordOf(connection);
  const flags = load<u32>(wanted, C_FLAGS);
  if (connection === 0 && firstLeft() !== 0) {
    startBudget();
    const status = deliverLeft();
    if (status !== R_DONE) return status;
  }
  if (flags & C_PARKED) {
    leaveStretch();
    record = wanted;
    store<u32>(record, flags & ~(C_PARKED | C_PAUSED | C_OUT_OF_BUDGET), C_FLAGS);
    owned = load<u32>(record, C_REST_AT);
    at = owned + load<u32>(record, C_REST_USED);
    end = owned + load<u32>(record, C_REST_BYTES);
    setRest(0, 0, 0, 0);
    startBudget();
  }
  return record === wanted ? run() : R_DONE;
}

/**
 * Publishes a packet of the broker itself, connection 0: a will, a $SYS value. What is under way
 * for another connection is not disturbed.
 *
 * @param from  a whole PUBLISH in version 5, anywhere in memory; borrowed for the call
 * @returns R_DONE; R_BUDGET, R_COMMIT: call resume(0) in a later turn; −Reason Code: it was dropped
 */
export function inject(from: usize, bytes: u32): i32 {
  const outerRecord = record;
  const outerAt = at;
  const outerEnd = end;
  const outerLaterAt = laterAt;
  const outerLaterEnd = laterEnd;
  const outerOwned = owned;
  record = recordOf(0);
  let status: i32 = R_BUDGET;
  if (load<u32>(record, C_FLAGS) & C_PARKED) {
    if (!appendRest(from, bytes, u32.MAX_VALUE)) status = -QUOTA_EXCEEDED;
  } else {
    at = from;
    end = from + bytes;
    laterAt = 0;
    laterEnd = 0;
    owned = 0;
    startBudget();
    status = run();
  }
  record = outerRecord;
  at = outerAt;
  end = outerEnd;
  laterAt = outerLaterAt;
  laterEnd = outerLaterEnd;
  owned = outerOwned;
  return status;
}
