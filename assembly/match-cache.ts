/**
 * Receiver lists of hot topics, so that a hot PUBLISH costs one hash and one comparison.
 *
 *   set of four ways, 64 bytes: one cache line                 seen, u32
 *   ┌──────────┬────────────┬───────────┬────────────┐         ┌─────────────┬───────┐
 *   │ tags × 4 │ topics × 4 │ lists × 4 │ epochs × 4 │  u32    │ fingerprint │ times │
 *   └──────────┴────────────┴───────────┴────────────┘         └─────────────┴───────┘
 *                                                                28 bits       4 bits
 *   resident topic
 *   ┌───────┬──────┬─────┬───────┐
 *   │ bytes │ hits │ age │ bytes │   u16, u8, u8, then the Topic Name
 *   └───────┴──────┴─────┴───────┘
 *
 * A list is valid while the tree's epoch is the way's. A stale way is filled again in place when
 * its topic is seen. A topic gets in at its second sighting: `seen` remembers fingerprints, which
 * give way to later ones. It displaces the resident with the fewest hits, and only one with fewer
 * hits than its own sightings; hits halve with every age. So one-time topics, in any number, pass
 * through `seen` and displace nobody.
 */
import { alloc, blockBytes, free, heapBytesCap, memoryTight } from "./memory";
import { equalBytes, hashBytes } from "./topic";
import { buildReceivers, LIST_REFERENCES } from "./topic-match";
import { treeEpoch } from "./topic-tree";

/** Sets of four ways: 65,536 topics, 1 MiB. A small cap allows 1/256 of itself. */
const SETS_MAX: u32 = 16384;
const SETS_MIN: u32 = 16;
const SETS_CAP_SHIFT: u32 = 8;
/** Slots of `seen` per set. */
const SEEN_SLOTS: u32 = 8;
/** Lists and topics together, bytes: 32 MiB, at most 1/16 of the cap. */
const CACHE_BYTES_MAX: u64 = 32 * 1024 * 1024;
const CACHE_CAP_SHIFT: u32 = 4;
/** A single list may have 1/4 of that, or it would displace all others. */
const LIST_SHARE_SHIFT: u32 = 2;
/** An age has so many cold matches per set; hits halve with every age. */
const AGE_SHIFT: u32 = 5;
const HITS_MAX: u32 = 15;
/** Sets that the hand passes for a topic that the bytes have no room for. */
const SWEEP_SETS: u32 = 4;

const SET_BYTES: u32 = 64;
const WAYS_BYTES: u32 = 16;
const SET_SHIFT: u32 = 6;
const SET_TAGS: u32 = 0;
const SET_TOPICS: u32 = 16;
const SET_LISTS: u32 = 32;
const SET_EPOCHS: u32 = 48;

const TOPIC_HITS: u32 = 2;
const TOPIC_AGE: u32 = 3;
const TOPIC_TEXT: u32 = 4;

const SEEN_TIMES_MASK: u32 = 15;
const SEEN_TIMES_MAX: u32 = 15;

/** The list of all topics that nobody wants. Never freed, so its references do not matter. */
const empty: usize = memory.data(16, 8);

let sets: usize = 0;
let setMask: u32 = 0;
let seen: usize = 0;
let bytesUsed: u64 = 0;
let bytesMax: u64 = 0;
let sweepSet: u32 = 0;
let age: u32 = 0;
let ageMatches: u32 = 0;
let coin: u32 = 1;
let resident: u32 = 0;

/** Hash of the topic that lookup() was asked for last. */
export let lookedUpHash: u64 = 0;
/** What lookup() missed last, for the match() that follows. */
let pendingHash: u64 = 0;
let pendingAt: usize = 0;
let pendingBytes: u32 = 0;
/** The way that holds the topic with a stale list, or 0. */
let pendingWay: usize = 0;

/** Adds a reference: the list outlives changes of subscriptions until it is released. */
export function holdList(list: usize): void {
  store<u32>(list, load<u32>(list, LIST_REFERENCES) + 1, LIST_REFERENCES);
}

/** Gives a reference back; the last one frees the list. */
export function releaseList(list: usize): void {
  if (list === empty) return;
  const references = load<u32>(list, LIST_REFERENCES) - 1;
  store<u32>(list, references, LIST_REFERENCES);
  if (references === 0) free(list);
}

/** Topics in the cache. */
export function cacheCount(): u32 {
  return resident;
}

/** Bytes of their lists and names. */
export function cacheBytes(): u64 {
  return bytesUsed;
}

function cacheStart(): bool {
  const cap = heapBytesCap();
  let count = SETS_MIN;
  while (count < SETS_MAX && (<u64>count) << (SET_SHIFT + 1 + SETS_CAP_SHIFT) <= cap) count <<= 1;
  const bytes = count * (SET_BYTES + SEEN_SLOTS * 4);
  sets = alloc(bytes);
  if (sets === 0) return false;
  memory.fill(sets, 0, bytes);
  seen = sets + (count << SET_SHIFT);
  setMask = count - 1;
  bytesMax = min(CACHE_BYTES_MAX, cap >> CACHE_CAP_SHIFT);
  sweepSet = 0;
  return true;
}

function listBytes(list: usize): u32 {
  return list === empty ? 0 : blockBytes(list);
}

/** Empties a way; `way` is the address of its tag. */
function evict(way: usize): void {
  const topic: usize = load<u32>(way, SET_TOPICS);
  const list: usize = load<u32>(way, SET_LISTS);
  bytesUsed -= blockBytes(topic) + listBytes(list);
  free(topic);
  releaseList(list);
  store<u32>(way, 0, SET_TAGS);
  resident--;
}

/** Frees the cache: every list without another reference, every name, the sets. */
export function clearCache(): void {
  if (sets === 0) return;
  const end = sets + ((setMask + 1) << SET_SHIFT);
  for (let set = sets; set < end; set += SET_BYTES) {
    for (let way = set; way < set + WAYS_BYTES; way += 4) {
      if (load<u32>(way, SET_TAGS) !== 0) evict(way);
    }
  }
  free(sets);
  sets = 0;
  pendingWay = 0;
  pendingAt = 0;
}

/** Hits of a resident as of now: halved for every age that went by. */
function hitsNow(topic: usize): u32 {
  const ages = (age - <u32>load<u8>(topic, TOPIC_AGE)) & 0xff;
  return ages > 4 ? 0 : <u32>load<u8>(topic, TOPIC_HITS) >> ages;
}

function touch(topic: usize): void {
  const hits = hitsNow(topic);
  store<u8>(topic, hits < HITS_MAX ? hits + 1 : hits, TOPIC_HITS);
  store<u8>(topic, age, TOPIC_AGE);
}

/** The way that holds the topic, fresh or stale, or 0. */
function findWay(hash: u64, topicAt: usize, topicBytes: u32): usize {
  const set = sets + ((<usize>hash & setMask) << SET_SHIFT);
  const tag = i32x4.splat(<u32>(hash >> 32) | 1);
  let hits = i32x4.bitmask(i32x4.eq(v128.load(set), tag));
  while (hits !== 0) {
    const way = set + (ctz(hits) << 2);
    const topic: usize = load<u32>(way, SET_TOPICS);
    if (
      <u32>load<u16>(topic) === topicBytes &&
      equalBytes(topic + TOPIC_TEXT, topicAt, topicBytes)
    ) {
      return way;
    }
    hits &= hits - 1;
  }
  return 0;
}

/**
 * The cached receivers of a topic. Hot.
 *
 * A hit proves that these very bytes were matched before, so the topic needs no further validation.
 *
 * @param topicAt  unchanged until the match() that follows a miss
 * @returns a list with a reference for the caller, who releases it; 0 on a miss
 */
export function lookup(topicAt: usize, topicBytes: u32): usize {
  const hash = hashBytes(0, topicAt, topicBytes);
  lookedUpHash = hash;
  if (sets !== 0) {
    const way = findWay(hash, topicAt, topicBytes);
    if (way !== 0) {
      touch(load<u32>(way, SET_TOPICS));
      if (load<u32>(way, SET_EPOCHS) === treeEpoch()) {
        const list: usize = load<u32>(way, SET_LISTS);
        holdList(list);
        return list;
      }
    }
    pendingWay = way;
  }
  pendingHash = hash;
  pendingAt = topicAt;
  pendingBytes = topicBytes;
  return 0;
}

/**
 * Counts a sighting. A stranger in the slot loses a sighting; at its last one a coin decides who
 * stays, or two hot topics that share a slot would overwrite each other for ever.
 *
 * @returns sightings so far, 0 … SEEN_TIMES_MAX
 */
function sighted(hash: u64): u32 {
  const slot = seen + ((<usize>(hash >> 8) & (setMask * SEEN_SLOTS + SEEN_SLOTS - 1)) << 2);
  const fingerprint = <u32>(hash >> 32) & ~SEEN_TIMES_MASK;
  const value = load<u32>(slot);
  let times = value & SEEN_TIMES_MASK;
  if ((value & ~SEEN_TIMES_MASK) === fingerprint) {
    times = min(times + 1, SEEN_TIMES_MAX);
    store<u32>(slot, fingerprint | times);
    return times;
  }
  coin = coin * 1664525 + 1013904223;
  if (times > 1) store<u32>(slot, value - 1);
  else if (times === 0 || <i32>coin < 0) store<u32>(slot, fingerprint | 1);
  return 0;
}

/** Ages the residents of the next sets, and frees those without hits: a clock's hand. */
function sweep(): void {
  for (let step: u32 = 0; step < SWEEP_SETS; step++) {
    sweepSet = (sweepSet + 1) & setMask;
    const set = sets + (sweepSet << SET_SHIFT);
    for (let way = set; way < set + WAYS_BYTES; way += 4) {
      if (load<u32>(way, SET_TAGS) === 0) continue;
      const stale = load<u32>(way, SET_EPOCHS) !== treeEpoch();
      const topic: usize = load<u32>(way, SET_TOPICS);
      const hits = hitsNow(topic);
      if (hits === 0 || (stale && hits <= 1)) {
        evict(way);
      } else {
        store<u8>(topic, hits >> 1, TOPIC_HITS);
        store<u8>(topic, age, TOPIC_AGE);
      }
    }
  }
}

/** An empty way of the topic's set, or one freed of a resident with fewer hits; 0 if none. */
function vacate(hash: u64, times: u32): usize {
  const set = sets + ((<usize>hash & setMask) << SET_SHIFT);
  let victim: usize = 0;
  let fewest = times;
  for (let way = set; way < set + WAYS_BYTES; way += 4) {
    if (load<u32>(way, SET_TAGS) === 0) return way;
    const hits = hitsNow(load<u32>(way, SET_TOPICS));
    if (hits < fewest) {
      fewest = hits;
      victim = way;
    }
  }
  if (victim !== 0) evict(victim);
  return victim;
}

function admit(hash: u64, topicAt: usize, topicBytes: u32, list: usize): void {
  const times = sighted(hash);
  if (times < 2) return;
  const bytes = <u64>listBytes(list) + TOPIC_TEXT + topicBytes;
  if (bytes > bytesMax >> LIST_SHARE_SHIFT) return;
  if (bytesUsed + bytes > bytesMax) sweep();
  if (bytesUsed + bytes > bytesMax) return;
  const topic = alloc(TOPIC_TEXT + topicBytes);
  if (topic === 0) return;
  const way = vacate(hash, times);
  if (way === 0) {
    free(topic);
    return;
  }
  store<u16>(topic, topicBytes);
  store<u8>(topic, times, TOPIC_HITS);
  store<u8>(topic, age, TOPIC_AGE);
  memory.copy(topic + TOPIC_TEXT, topicAt, topicBytes);
  store<u32>(way, <u32>(hash >> 32) | 1, SET_TAGS);
  store<u32>(way, <u32>topic, SET_TOPICS);
  store<u32>(way, <u32>list, SET_LISTS);
  store<u32>(way, treeEpoch(), SET_EPOCHS);
  holdList(list);
  bytesUsed += blockBytes(topic) + listBytes(list);
  resident++;
}

/** Gives a stale way the list of now. */
function refill(way: usize, list: usize): void {
  const before: usize = load<u32>(way, SET_LISTS);
  const bytes = bytesUsed + listBytes(list) - listBytes(before);
  if (bytes > bytesMax || <u64>listBytes(list) > bytesMax >> LIST_SHARE_SHIFT) {
    evict(way);
    return;
  }
  bytesUsed = bytes;
  releaseList(before);
  holdList(list);
  store<u32>(way, <u32>list, SET_LISTS);
  store<u32>(way, treeEpoch(), SET_EPOCHS);
}

/**
 * The receivers of a topic that lookup() did not know.
 *
 * @param topicAt  a valid Topic Name
 * @returns a list as topic-match.ts draws it, with a reference for the caller, who releases it; 0
 *   where memory is short
 */
export function match(topicAt: usize, topicBytes: u32): usize {
  if (pendingAt !== topicAt || pendingBytes !== topicBytes) {
    const list = lookup(topicAt, topicBytes);
    if (list !== 0) return list;
  }
  const hash = pendingHash;
  let way = pendingWay;
  pendingAt = 0;
  pendingWay = 0;
  let list = buildReceivers(topicAt, topicBytes, empty);
  if (list === 0 && sets !== 0) {
    clearCache(); // What it holds serves better now.
    way = 0;
    list = buildReceivers(topicAt, topicBytes, empty);
  }
  if (list === 0) return 0;
  if (memoryTight()) return list;
  if (sets === 0 && !cacheStart()) return list;
  if (++ageMatches > setMask << AGE_SHIFT) {
    ageMatches = 0;
    age = (age + 1) & 0xff;
  }
  if (way === 0) admit(hash, topicAt, topicBytes, list);
  else if (findWay(hash, topicAt, topicBytes) === way) refill(way, list);
  return list;
}
