/**
 * PUBLISHes of which some receivers are served, and the others are in a later turn.
 *
 * One of QoS 2 is on record as received with its first slice, and is not sent again. So what is
 * left of it is delivered also where its connection ends, and its page is not sealed before: on
 * disk is all of it or nothing.
 *
 *   left: ┌──────┬──────┬───────┬─────────┬───────────┬────────┐
 *         │ next │ list │ index │ message │ publisher │ number │
 *         └──────┴──────┴───────┴─────────┴───────────┴────────┘
 */
import { isDurable } from "./admission";
import { C_FLAGS, C_SLICE_HELD, C_SLICE_INDEX, C_SLICE_LIST, C_SLICE_MESSAGE } from "./connection";
import { journalFull } from "./journal";
import { releaseList } from "./match-cache";
import { alloc, free } from "./memory";
import { M_FLAGS, M_QOS, releaseMessage } from "./message";
import { SESSION_NUMBER } from "./session-layout";

const L_NEXT: u32 = 0;
export const L_LIST: u32 = 4;
export const L_INDEX: u32 = 8;
export const L_MESSAGE: u32 = 12;
const L_PUBLISHER: u32 = 16;
const L_NUMBER: u32 = 20;
const LEFT_BYTES: u32 = 24;

/** Those whose connections have ended, the oldest first. */
let first: usize = 0;
let last: usize = 0;
/** Slices of QoS 2, of connections and of those left. */
let wholeCount: i32 = 0;

function isWhole(message: usize): bool {
  return message !== 0 && (load<u8>(message, M_FLAGS) & M_QOS) === 2;
}

/** Keeps the place in a PUBLISH for the next turn. @param message  its stored form, or 0 */
export function parkSlice(
  record: usize,
  list: usize,
  index: u32,
  message: usize,
  held: bool,
): void {
  if (isWhole(message)) wholeCount++;
  store<u32>(record, <u32>list, C_SLICE_LIST);
  store<u32>(record, index, C_SLICE_INDEX);
  store<u32>(record, <u32>message, C_SLICE_MESSAGE);
  const flags = load<u32>(record, C_FLAGS) & ~C_SLICE_HELD;
  store<u32>(record, held ? flags | C_SLICE_HELD : flags, C_FLAGS);
}

/** The place is taken up: list, message and index are the caller's. */
export function takeSlice(record: usize): void {
  if (isWhole(load<u32>(record, C_SLICE_MESSAGE))) wholeCount--;
  store<u32>(record, 0, C_SLICE_LIST);
  store<u32>(record, 0, C_SLICE_MESSAGE);
}

/** Gives back the list of a PUBLISH that will not be finished. */
export function dropSlice(record: usize): void {
  const list: usize = load<u32>(record, C_SLICE_LIST);
  const message: usize = load<u32>(record, C_SLICE_MESSAGE);
  takeSlice(record);
  if (list !== 0) releaseList(list);
  if (message !== 0) releaseMessage(message);
}

/** The Session is left by its connection: what its publisher does not send again is kept. */
export function leaveSlice(record: usize, session: usize): void {
  const message: usize = load<u32>(record, C_SLICE_MESSAGE);
  if (!isWhole(message) || !isDurable(session)) return;
  const left = alloc(LEFT_BYTES);
  if (left === 0) return; // Without memory it ends here.
  store<u32>(left, 0, L_NEXT);
  store<u32>(left, load<u32>(record, C_SLICE_LIST), L_LIST);
  store<u32>(left, load<u32>(record, C_SLICE_INDEX), L_INDEX);
  store<u32>(left, <u32>message, L_MESSAGE);
  store<u32>(left, <u32>session, L_PUBLISHER);
  store<u32>(left, load<u32>(session, SESSION_NUMBER), L_NUMBER);
  if (first === 0) first = left;
  else store<u32>(last, <u32>left, L_NEXT);
  last = left;
  store<u32>(record, 0, C_SLICE_LIST);
  store<u32>(record, 0, C_SLICE_MESSAGE);
}

/** The oldest PUBLISH that is left, or 0. */
export function firstLeft(): usize {
  return first;
}

/** Its publisher's Session, or 0: it has ended. */
export function publisherOfLeft(left: usize): usize {
  const session: usize = load<u32>(left, L_PUBLISHER);
  return load<u32>(session, SESSION_NUMBER) === load<u32>(left, L_NUMBER) ? session : 0;
}

/** The oldest one is delivered; its list and message are the caller's. */
export function endLeft(): void {
  const left = first;
  first = load<u32>(left, L_NEXT);
  wholeCount--;
  free(left);
}

/** @returns 1 where the page is not to be sealed yet, because a PUBLISH of QoS 2 is half in it */
export function pageHeld(): u32 {
  return wholeCount > 0 && !journalFull() ? 1 : 0;
}

/** @returns 1 where resume(0) has PUBLISHes to deliver whose connections have ended */
export function slicesLeft(): u32 {
  return first !== 0 ? 1 : 0;
}
