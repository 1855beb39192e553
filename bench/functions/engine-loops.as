/**
 * Loops over the engine's own functions, so that a benchmark pays the call from JavaScript once a
 * batch, as the broker does. Compiled together with assembly/; the ending keeps tsc away.
 */
import { CONNECTION_BYTES } from "./assembly/abi";
import { C_VERSION, recordOf } from "./assembly/connection";
import { cutPacket, decodePacket } from "./assembly/decode";
import { describe, sendPublish } from "./assembly/encode";
import { lookup, match, releaseList } from "./assembly/match-cache";
import { alloc, allocStable, memoryStart, STABLE_BYTES } from "./assembly/memory";
import { dropOutput } from "./assembly/out";
import { SESSION_NUMBER } from "./assembly/session-layout";
import { setHashSeed } from "./assembly/topic";
import { buildReceivers, LIST_COUNT } from "./assembly/topic-match";
import { subscribe } from "./assembly/topic-tree";
import { utf8Valid } from "./assembly/utf8";

/** Stands for "nothing matches". */
const NONE: usize = memory.data(16, 8);
const ENCODE_CONNECTION: u32 = 1;
const PACKET_BYTES_MAX: u32 = 268435460;

export { alloc, heapBytesUsed } from "./assembly/memory";

/** Makes an empty heap and sets the secret of the topic hashes. Called once. */
export function prepare(): void {
  memoryStart(0);
  setHashSeed(0x9e3779b97f4a7c15);
}

/** Decodes packets one behind the other. @returns how many, or a negative status */
export function decodeAll(version: u32, at: usize, end: usize): i32 {
  let count = 0;
  while (at < end) {
    const bytes = cutPacket(at, end, PACKET_BYTES_MAX);
    if (bytes < 0) return bytes;
    const status = decodePacket(version, at, at + bytes);
    if (status < 0) return status;
    at += bytes;
    count++;
  }
  return count;
}

/** Encodes a message `messages` times, each for `receivers` receivers. @returns packets made */
export function encodeAll(
  version: u32,
  qos: u32,
  topicAt: usize,
  topicBytes: u32,
  payloadAt: usize,
  payloadBytes: u32,
  messages: u32,
  receivers: u32,
): i32 {
  const record = recordOf(ENCODE_CONNECTION);
  memory.fill(record, 0, CONNECTION_BYTES);
  store<u32>(record, version, C_VERSION);
  let made = 0;
  for (let message: u32 = 0; message < messages; message++) {
    describe(topicAt, topicBytes, 0, 0, payloadAt, payloadBytes, 0xffffffff);
    for (let receiver: u32 = 0; receiver < receivers; receiver++) {
      if (sendPublish(record, qos, 0, receiver + 1, false, 0) === 0) made++;
    }
  }
  dropOutput(record);
  return made;
}

/** Makes Sessions that hold nothing. @returns address of a table of their addresses, or 0 */
export function makeSessions(count: u32): usize {
  const table = alloc(count << 2);
  if (table === 0) return 0;
  for (let index: u32 = 0; index < count; index++) {
    const session = allocStable();
    if (session === 0) return 0;
    memory.fill(session, 0, STABLE_BYTES);
    store<u32>(session, index + 1, SESSION_NUMBER);
    store<u32>(table + (index << 2), <u32>session);
  }
  return table;
}

/** Subscribes each Session to a filter. @returns how many; texts are {u32 address, u32 bytes} */
export function subscribeAll(sessions: usize, texts: usize, count: u32): i32 {
  let done = 0;
  for (let index: u32 = 0; index < count; index++) {
    const session: usize = load<u32>(sessions + (index << 2));
    const text = texts + (index << 3);
    if (subscribe(session, load<u32>(text), load<u32>(text, 4), 0, 0) === 0) done++;
  }
  return done;
}

/** Matches each topic through the cache. @returns receivers found */
export function matchCached(texts: usize, count: u32): i32 {
  let found = 0;
  for (let index: u32 = 0; index < count; index++) {
    const text = texts + (index << 3);
    const at: usize = load<u32>(text);
    const bytes = load<u32>(text, 4);
    let list = lookup(at, bytes);
    if (list === 0) list = match(at, bytes);
    if (list === 0) return -1;
    found += load<u32>(list, LIST_COUNT);
    releaseList(list);
  }
  return found;
}

/** Matches each topic in the tree, past the cache. @returns receivers found */
export function matchTree(texts: usize, count: u32): i32 {
  let found = 0;
  for (let index: u32 = 0; index < count; index++) {
    const text = texts + (index << 3);
    const list = buildReceivers(load<u32>(text), load<u32>(text, 4), NONE);
    if (list === 0) return -1;
    if (list === NONE) continue;
    found += load<u32>(list, LIST_COUNT);
    releaseList(list);
  }
  return found;
}

/** @returns how many of the texts are valid */
export function utf8All(texts: usize, count: u32): i32 {
  let valid = 0;
  for (let index: u32 = 0; index < count; index++) {
    const text = texts + (index << 3);
    if (utf8Valid(load<u32>(text), load<u32>(text, 4))) valid++;
  }
  return valid;
}
