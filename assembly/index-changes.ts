/**
 * What the index step has to learn besides the Sessions that changed: those that ended, and topics
 * whose retained message is another one, oldest change first.
 *
 *   ended: ┌──────┬────────┬──────────────┐     retained: ┌──────┬─────────┬──────┐
 *          │ next │ number │ has segments │               │ next │ message │ turn │
 *          └──────┴────────┴──────────────┘               └──────┴─────────┴──────┘
 */
import { isJournalPaused } from "./journal";
import { alloc, free } from "./memory";
import { holdMessage, M_LISTED, releaseMessage } from "./message";
import { isRecording, turn } from "./settings";

const NODE_BYTES: u32 = 12;
const NEXT: u32 = 0;
const NUMBER: u32 = 4;
const HAS_SEGMENTS: u32 = 8;
const MESSAGE: u32 = 4;
const TURN: u32 = 8;

let endedHead: u32 = 0;
let endedTail: u32 = 0;
let retainedHead: u32 = 0;
let retainedTail: u32 = 0;

/** A Session that has a row has ended. */
export function noteEnded(number: u32, hasSegments: bool): void {
  const node = alloc(NODE_BYTES);
  // Without memory its row stays: after a restart its journal record ends it again.
  if (node === 0) return;
  store<u32>(node, 0, NEXT);
  store<u32>(node, number, NUMBER);
  store<u32>(node, hasSegments ? 1 : 0, HAS_SEGMENTS);
  if (endedTail !== 0) store<u32>(endedTail, <u32>node, NEXT);
  else endedHead = <u32>node;
  endedTail = <u32>node;
}

/** Number and HAS_SEGMENTS << 32 of the Session that ended first, or 0; told once. */
export function takeEnded(): u64 {
  const node: usize = endedHead;
  if (node === 0) return 0;
  const told = <u64>load<u32>(node, NUMBER) | ((<u64>load<u32>(node, HAS_SEGMENTS)) << 32);
  endedHead = load<u32>(node, NEXT);
  if (endedHead === 0) endedTail = 0;
  free(node);
  return told;
}

/**
 * A message is retained now, or was until now, for its topic.
 *
 * @param before  the message that it replaced, or 0: where that is listed, this takes its place
 */
export function noteRetained(message: usize, before: usize): void {
  if (!isRecording) return;
  let node: usize = before === 0 ? load<u32>(message, M_LISTED) : load<u32>(before, M_LISTED);
  if (node !== 0) {
    if (before === 0) return;
    holdMessage(message);
    store<u32>(message, <u32>node, M_LISTED);
    store<u32>(node, <u32>message, MESSAGE);
    store<u32>(before, 0, M_LISTED);
    releaseMessage(before);
    return;
  }
  node = alloc(NODE_BYTES);
  if (node === 0) return;
  holdMessage(message);
  store<u32>(message, <u32>node, M_LISTED);
  store<u32>(node, 0, NEXT);
  store<u32>(node, <u32>message, MESSAGE);
  // What a journal says is in a page that is committed: no later one is waited for.
  store<u32>(node, isJournalPaused() ? turn - 1 : turn, TURN);
  if (retainedTail !== 0) store<u32>(retainedTail, <u32>node, NEXT);
  else retainedHead = <u32>node;
  retainedTail = <u32>node;
}

/**
 * The topic whose retained message changed first, if no later than in this turn.
 *
 * @returns a message of that topic, with a reference for the caller, or 0; told once
 */
export function takeRetained(turnMax: u32): usize {
  const node: usize = retainedHead;
  if (node === 0 || <i32>(load<u32>(node, TURN) - turnMax) > 0) return 0;
  const message: usize = load<u32>(node, MESSAGE);
  retainedHead = load<u32>(node, NEXT);
  if (retainedHead === 0) retainedTail = 0;
  store<u32>(message, 0, M_LISTED);
  free(node);
  return message;
}

/** Forgets all that the index was to learn: the engine is to be empty. */
export function dropChanges(): void {
  while (endedHead !== 0) takeEnded();
  while (retainedHead !== 0) {
    const node: usize = retainedHead;
    releaseMessage(takeRetained(load<u32>(node, TURN)));
  }
}
