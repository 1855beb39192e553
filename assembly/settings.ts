/**
 * What the operator set, the clock, the turn, and the counters: plain numbers that every part
 * reads.
 */
import { STATS } from "./abi";

/** Largest packet a client may send, bytes. */
export let packetBytesMax: u32 = 2000000;
/** Unfinished QoS 1 and 2 messages that we allow a client to have on its way to us. */
export let receiveMaximum: u32 = 1000;
/** Unfinished QoS 1 and 2 messages that we send at most to one client. */
export let inFlightMax: u32 = 1000;
/** Messages and bytes that wait for one Session. */
export let queuedMessagesMax: u32 = 100000;
export let queuedBytesMax: u64 = 67108864;
/** Bytes not yet taken by the kernel past which QoS 0 is dropped and the rest waits: as set, and
 * less
 * where memory gets short. */
export let outgoingBytesMax: u32 = 8388608;
let outgoingBytesSet: u32 = 8388608;
export const DROP_OLDEST: u32 = 0;
export const DROP_NEWEST: u32 = 1;
export const REJECT: u32 = 2;
/** The store takes no more: refused with 0x97; its tail is long: publishers wait. */
export const REFUSING_FULL: u32 = 1;
export const REFUSING_TAIL: u32 = 2;
/** Every connection may have so much unsent, however short memory is. */
const OUTGOING_BYTES_MIN: u32 = 65536;
/** Share of the free memory that one connection's output may take. */
const OUTGOING_SHARE_SHIFT: u32 = 6;
/** Largest payload of a PUBLISH, bytes. */
export let payloadBytesMax: u32 = 268435455;
/** Whether a payload must be what its Payload Format Indicator says. */
export let payloadsChecked: bool = false;
/** Whether a PUBLISH may carry RETAIN. */
export let retainAvailable: bool = true;
/** What becomes of a message for a full queue: OVERFLOW_…. */
export let queueOverflow: u32 = 0;
/** Whether QoS 0 messages wait for Sessions without a connection. */
export let queueQos0: bool = false;
/** Longest life of a message, milliseconds; 0 = no bound. */
export let messageExpiryMsMax: u64 = 0;
/** Longest life of a retained message as such, milliseconds; 0 = no bound. */
export let retainedExpiryMsMax: u64 = 0;
/** Who of a group is chosen: 0 in turn, or LEAST_INFLIGHT, STICKY_BY_PUBLISHER of shared.ts. */
export let sharedStrategy: u32 = 0;
/** Whether what happens to durable Sessions is recorded; otherwise nothing waits for a commit. */
export let isRecording: bool = true;
/** See setRecording(). */
export let freshMsMax: u32 = 0;
/** REFUSING_…: whether durable Sessions may be owed more. */
export let refusing: u32 = 0;
/** Highest Topic Alias a client may use. */
export let topicAliasMaximum: u32 = 10;
/** Highest Topic Alias that we use, where the client takes as many. */
export let topicAliasOutMaximum: u32 = 10;
/** Unix time, milliseconds; the host sets it each turn. */
export let nowMs: u64 = 0;
/** The second that it is for Keep Alive; see setClock(). */
export let activeSeconds: u32 = 0;
/** Number of the journal page being filled. */
export let turn: u32 = 1;
/** The page committed last. */
export let turnCommitted: u32 = 0;

/**
 * Takes over the limits; the host calls it before the first connection, and when they change.
 *
 * @param packetBytes  5 … 268435460
 * @param received  the largest Receive Maximum that clients were told, 1 … 65535
 * @param inFlight  1 … 65535
 * @param queuedMessages  0 … 2^30
 * @param queuedBytes  0 … 2^63
 * @param outgoingBytes  at least 65536
 * @param aliases  0 … 65535; never changes once there are connections
 * @param payloadBytes  1 … 268435455
 * @param mayRetain  1, or 0: RETAIN is refused
 * @param aliasesOut  0 … 65535: Topic Aliases that we set on a connection at most
 */
export function configure(
  packetBytes: u32,
  received: u32,
  inFlight: u32,
  queuedMessages: u32,
  queuedBytes: f64,
  outgoingBytes: u32,
  aliases: u32,
  payloadBytes: u32,
  mayRetain: u32,
  aliasesOut: u32,
): void {
  packetBytesMax = packetBytes;
  receiveMaximum = received;
  inFlightMax = inFlight;
  queuedMessagesMax = queuedMessages;
  queuedBytesMax = <u64>queuedBytes;
  outgoingBytesSet = outgoingBytes;
  outgoingBytesMax = outgoingBytes;
  payloadBytesMax = payloadBytes;
  retainAvailable = mayRetain !== 0;
  topicAliasMaximum = aliases;
  topicAliasOutMaximum = aliasesOut;
}

/**
 * Takes over what becomes of messages that wait; the host calls it before the first connection,
 * and when it changes.
 *
 * @param overflow  DROP_OLDEST, DROP_NEWEST or REJECT
 * @param qos0  1 where QoS 0 messages wait, too
 * @param expirySecondsMax  longest life of a message; 0 = no bound
 * @param retainedSecondsMax  longest life of a retained message as such; 0 = no bound
 */
export function configureQueues(
  overflow: u32,
  qos0: u32,
  expirySecondsMax: u32,
  retainedSecondsMax: u32,
): void {
  queueOverflow = overflow;
  queueQos0 = qos0 !== 0;
  messageExpiryMsMax = <u64>expirySecondsMax * 1000;
  retainedExpiryMsMax = <u64>retainedSecondsMax * 1000;
}

/** @param on  1: see payloadsChecked */
export function setPayloadsChecked(on: u32): void {
  payloadsChecked = on !== 0;
}

/** @param strategy  how a group's members are chosen: see shared.ts; before the first connection */
export function configureShared(strategy: u32): void {
  sharedStrategy = strategy;
}

/**
 * Switches recording on or off, before the first connection.
 *
 * @param freshMs  how long a message sent to a durable Session may be acknowledged before it is put
 *   on record, milliseconds: a healthy flow then never touches the disk; 0 = it always is
 */
export function setRecording(on: u32, freshMs: u32): void {
  isRecording = on !== 0;
  freshMsMax = freshMs;
}

/** @param reason  0, REFUSING_FULL or REFUSING_TAIL */
export function setRefusing(reason: u32): void {
  refusing = reason;
}

/**
 * @param unixMs  Unix time, milliseconds; never goes back for the engine
 * @param monotonicSeconds  of the host's clock that is never set; 0: as it was
 */
export function setClock(unixMs: f64, monotonicSeconds: u32): void {
  const value = <u64>unixMs;
  if (value > nowMs) nowMs = value;
  if (monotonicSeconds !== 0) activeSeconds = monotonicSeconds;
}

/** Unix time, milliseconds; what is on record may be later than what the host said. */
export function clockMs(): f64 {
  return <f64>nowMs;
}

/** Fits the output that one connection may have to the memory that is left; once a turn. */
export function fitOutgoing(freeBytes: u64): void {
  const share = <u32>min(freeBytes >> OUTGOING_SHARE_SHIFT, <u64>outgoingBytesSet);
  outgoingBytesMax = max(share, min(outgoingBytesSet, OUTGOING_BYTES_MIN));
}

/** Ends the page being filled. @returns its number */
export function nextTurn(): u32 {
  return turn++;
}

/** The number of the page to be filled next, low 32 bits; all before it are committed. */
export function setTurn(value: u32): void {
  turn = value;
  turnCommitted = value - 1;
}

export function setTurnCommitted(value: u32): void {
  turnCommitted = value;
}

/** Adds to the counter at this offset of STATS. Hot. */
export function count(offset: u32, amount: u64): void {
  store<u64>(STATS + offset, load<u64>(STATS + offset) + amount);
}
