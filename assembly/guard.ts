/**
 * What stands between a connection and what it publishes: whether its client may publish to a topic
 * is judged once, and remembered for the topics that it uses.
 *
 *   guard   ┌───────┬────────┬───────┬──────┬───────┬───────────┬──────┬───────┬────────┬────────┐
 *           │ rules │ answer │ slots │ mask │ taken │ evictions │ rate │ burst │ tokens │ filled │
 *           └───────┴────────┴───────┴──────┴───────┴───────────┴──────┴───────┴────────┴────────┘
 *             u32 each but the last, u64
 *   slots   sets of four            verdict
 *           ┌────────┬─────────┐    ┌───────┬─────────┬───┬─────────┬──────┐
 *           │ hash×4 │ topic×4 │    │ bytes │ allowed │ 0 │ expires │ text │
 *           └────────┴─────────┘    └───────┴─────────┴───┴─────────┴──────┘
 *                                     u16     u8            u32, Unix seconds; 0: with the rules
 *
 * A Session has one while a connection carries it and something is to be judged, or counted: how
 * many messages it may publish is a bucket of tokens, a thousandth of a message each. Most devices
 * publish to fewer topics than one set holds; who uses more gets more sets.
 */
import {
  A_ASK,
  A_DENIED,
  A_FIRST,
  A_KIND,
  A_PACKET_ID,
  A_PAYLOAD_BYTES,
  A_TOPIC,
  A_TOPIC_BYTES,
  D_PACKET_ID,
  D_PAYLOAD_BYTES,
  D_TOPIC_AT,
  D_TOPIC_BYTES,
  DECODED,
  NO_MEMORY,
  R_ACCESS,
  SCRATCH,
} from "./abi";
import { GUARD_RULES, IS_GUARD, judge, MAY_WRITE, releaseRules, rulesOfSession } from "./access";
import { lookedUpHash } from "./match-cache";
import { alloc, free, heapBytesCap, memoryTight } from "./memory";
import { isReserved } from "./reserved-names";
import { SESSION_ACCESS, SESSION_CONNECTION, SESSION_SUBSCRIPTIONS } from "./session-layout";
import { nowMs } from "./settings";
import { MESSAGE_RATE_TOO_HIGH } from "./spec";
import { equalBytes, hashBytes } from "./topic";
import { treeChanged } from "./topic-tree";

/** What was answered outside about the PUBLISH that comes next: 0, ALLOWED or REFUSED. */
const GUARD_ANSWER: u32 = 4;
const GUARD_SLOTS: u32 = 8;
const GUARD_MASK: u32 = 12;
const GUARD_TAKEN: u32 = 16;
const GUARD_EVICTIONS: u32 = 20;
/** Messages a second, or 0: any number; most that may come at once. */
const GUARD_RATE: u32 = 24;
const GUARD_BURST: u32 = 28;
const GUARD_TOKENS: u32 = 32;
/** Unix milliseconds at which the bucket was filled last. */
const GUARD_FILLED: u32 = 40;
const GUARD_BYTES: u32 = 48;
const TOKENS_PER_MESSAGE: u32 = 1000;

const SET_BYTES: u32 = 32;
const SET_SHIFT: u32 = 5;
const SET_TOPICS: u32 = 16;

const VERDICT_ALLOWED: u32 = 2;
const VERDICT_EXPIRES: u32 = 4;
const VERDICT_TEXT: u32 = 8;

const ALLOWED: u32 = 1;
const REFUSED: u32 = 2;

/** Topics that a guard remembers: sets of four. */
const SETS_MAX: u32 = 32;
/** Longer topics are judged anew each time. */
const REMEMBERED_BYTES_MAX: u32 = 512;
/** What all guards remember: this share of the heap's cap. */
const REMEMBERED_SHARE_SHIFT: u32 = 5;

let rememberedBytes: u64 = 0;
/** Whether the host wants to tell of what is refused. */
let tellsDenied: bool = false;

/** @param on  1: R_ACCESS comes for each PUBLISH that is refused, so that it can be logged */
export function setTellsDenied(on: u32): void {
  tellsDenied = on !== 0;
}

/** Bytes of the topics that guards remember. */
export function guardBytes(): f64 {
  return <f64>rememberedBytes;
}

function guardOf(session: usize): usize {
  const word = load<u32>(session, SESSION_ACCESS);
  return word & IS_GUARD ? <usize>(word - IS_GUARD) : 0;
}

/** Forgets all verdicts. */
function forget(guard: usize): void {
  const slots: usize = load<u32>(guard, GUARD_SLOTS);
  if (slots === 0) return;
  const end = slots + ((load<u32>(guard, GUARD_MASK) + 1) << SET_SHIFT);
  for (let set = slots; set < end; set += SET_BYTES) {
    for (let i: u32 = 0; i < 16; i += 4) drop(set + i);
  }
  rememberedBytes -= <u64>(end - slots);
  free(slots);
  store<u32>(guard, 0, GUARD_SLOTS);
  store<u32>(guard, 0, GUARD_TAKEN);
}

/** Empties a slot; its address is that of its hash. */
function drop(slot: usize): void {
  const verdict: usize = load<u32>(slot, SET_TOPICS);
  if (verdict === 0) return;
  rememberedBytes -= VERDICT_TEXT + <u32>load<u16>(verdict);
  free(verdict);
  store<u32>(slot, 0, SET_TOPICS);
  store<u32>(slot, 0);
}

/**
 * Lets the Session do what a rule set says, and forgets what was judged before.
 *
 * @param set  0: everything; otherwise with a reference that the Session takes over
 */
export function setRules(session: usize, set: usize): void {
  const before = rulesOfSession(session);
  const guard = guardOf(session);
  // Who was asked may answer otherwise now, whatever the rules say.
  if (guard !== 0) forget(guard);
  if (before === set) {
    if (set !== 0) releaseRules(set);
    return;
  }
  if (guard !== 0) {
    store<u32>(guard, <u32>set, GUARD_RULES);
  } else {
    store<u32>(session, <u32>set, SESSION_ACCESS);
  }
  if (before !== 0) releaseRules(before);
  if (load<u32>(session, SESSION_SUBSCRIPTIONS) !== 0) treeChanged();
  if (load<u32>(session, SESSION_CONNECTION) !== 0) startGuard(session);
}

/** A connection carries the Session: where something is to be judged, it gets its guard. */
export function startGuard(session: usize): void {
  const word = load<u32>(session, SESSION_ACCESS);
  if (word !== 0 && !(word & IS_GUARD)) makeGuard(session, word);
}

/**
 * Bounds how many messages the client of a connected Session may publish.
 *
 * @param rate  messages a second, 1 …
 * @param burst  most that may come at once, 1 … 4,000,000
 * @returns 0, or NO_MEMORY
 */
export function limitRate(session: usize, rate: u32, burst: u32): i32 {
  if (guardOf(session) === 0) makeGuard(session, load<u32>(session, SESSION_ACCESS));
  const guard = guardOf(session);
  if (guard === 0) return NO_MEMORY;
  store<u32>(guard, rate, GUARD_RATE);
  store<u32>(guard, burst * TOKENS_PER_MESSAGE, GUARD_BURST);
  store<u32>(guard, burst * TOKENS_PER_MESSAGE, GUARD_TOKENS);
  store<u64>(guard, nowMs, GUARD_FILLED);
  return 0;
}

/** Takes what a message costs out of the bucket. @returns whether there was enough. Hot. */
function takeTokens(guard: usize): bool {
  const filled = load<u64>(guard, GUARD_FILLED);
  const burst: u64 = load<u32>(guard, GUARD_BURST);
  let tokens: u64 = load<u32>(guard, GUARD_TOKENS);
  if (nowMs > filled) {
    tokens = min(burst, tokens + (nowMs - filled) * load<u32>(guard, GUARD_RATE));
    store<u64>(guard, nowMs, GUARD_FILLED);
  }
  const isEnough = tokens >= TOKENS_PER_MESSAGE;
  store<u32>(guard, <u32>(isEnough ? tokens - TOKENS_PER_MESSAGE : tokens), GUARD_TOKENS);
  return isEnough;
}

function makeGuard(session: usize, word: u32): void {
  const guard = alloc(GUARD_BYTES);
  // Without memory the rules stand: each PUBLISH is judged anew.
  if (guard === 0) return;
  memory.fill(guard, 0, GUARD_BYTES);
  store<u32>(guard, word, GUARD_RULES);
  store<u32>(session, <u32>guard | IS_GUARD, SESSION_ACCESS);
}

/** No connection carries the Session any more: it keeps its rules only. */
export function endGuard(session: usize): void {
  const guard = guardOf(session);
  if (guard === 0) return;
  forget(guard);
  store<u32>(session, load<u32>(guard, GUARD_RULES), SESSION_ACCESS);
  free(guard);
}

/** The Session ends. */
export function dropAccess(session: usize): void {
  endGuard(session);
  const set = rulesOfSession(session);
  if (set !== 0) releaseRules(set);
  store<u32>(session, 0, SESSION_ACCESS);
}

/** What is remembered of a topic, or 0. Hot. */
function recall(guard: usize, hash: u64, at: usize, bytes: u32): usize {
  const slots: usize = load<u32>(guard, GUARD_SLOTS);
  if (slots === 0) return 0;
  const set = slots + ((<u32>(hash >> 32) & load<u32>(guard, GUARD_MASK)) << SET_SHIFT);
  let hits = i32x4.bitmask(i32x4.eq(v128.load(set), i32x4.splat(<u32>hash)));
  while (hits !== 0) {
    const verdict: usize = load<u32>(set + (ctz(hits) << 2), SET_TOPICS);
    if (
      verdict !== 0 &&
      <u32>load<u16>(verdict) === bytes &&
      equalBytes(verdict + VERDICT_TEXT, at, bytes)
    ) {
      const expires = load<u32>(verdict, VERDICT_EXPIRES);
      if (expires === 0 || expires > <u32>(nowMs / 1000)) return verdict;
      drop(set + (ctz(hits) << 2));
      return 0;
    }
    hits &= hits - 1;
  }
  return 0;
}

/** Doubles the sets of a guard; what finds no place is forgotten. */
function grow(guard: usize): void {
  const before: usize = load<u32>(guard, GUARD_SLOTS);
  const total: u32 = before === 0 ? 0 : load<u32>(guard, GUARD_MASK) + 1;
  const grownTotal = max(total << 1, 1);
  const grown = alloc(grownTotal << SET_SHIFT);
  if (grown === 0) return;
  memory.fill(grown, 0, grownTotal << SET_SHIFT);
  rememberedBytes += grownTotal << SET_SHIFT;
  store<u32>(guard, <u32>grown, GUARD_SLOTS);
  store<u32>(guard, grownTotal - 1, GUARD_MASK);
  store<u32>(guard, 0, GUARD_EVICTIONS);
  if (before === 0) return;
  for (let i: u32 = 0; i < total << 2; i++) {
    const slot = before + ((i >> 2) << SET_SHIFT) + ((i & 3) << 2);
    const verdict: usize = load<u32>(slot, SET_TOPICS);
    if (verdict !== 0) {
      place(guard, hashBytes(0, verdict + VERDICT_TEXT, <u32>load<u16>(verdict)), verdict);
    }
  }
  rememberedBytes -= total << SET_SHIFT;
  free(before);
}

/** Puts a verdict into its set, in place of another one where there is no empty slot. */
function place(guard: usize, hash: u64, verdict: usize): void {
  const mask = load<u32>(guard, GUARD_MASK);
  const set = load<u32>(guard, GUARD_SLOTS) + ((<u32>(hash >> 32) & mask) << SET_SHIFT);
  let slot: usize = 0;
  for (let i: u32 = 0; i < 16 && slot === 0; i += 4) {
    if (load<u32>(set + i, SET_TOPICS) === 0) slot = set + i;
  }
  if (slot === 0) {
    const turn = load<u32>(guard, GUARD_TAKEN);
    store<u32>(guard, turn + 1, GUARD_TAKEN);
    store<u32>(guard, load<u32>(guard, GUARD_EVICTIONS) + 1, GUARD_EVICTIONS);
    slot = set + ((turn & 3) << 2);
    drop(slot);
  }
  store<u32>(slot, <u32>hash);
  store<u32>(slot, <u32>verdict, SET_TOPICS);
}

/** Remembers a verdict, where there is room for it. */
function remember(
  guard: usize,
  hash: u64,
  at: usize,
  bytes: u32,
  allowed: bool,
  expires: u32,
): void {
  if (bytes > REMEMBERED_BYTES_MAX || memoryTight()) return;
  if (rememberedBytes > heapBytesCap() >> REMEMBERED_SHARE_SHIFT) return;
  const hasSlots = load<u32>(guard, GUARD_SLOTS) !== 0;
  const total: u32 = hasSlots ? load<u32>(guard, GUARD_MASK) + 1 : 0;
  if (total === 0 || (total < SETS_MAX && load<u32>(guard, GUARD_EVICTIONS) > total << 3)) {
    grow(guard);
  }
  if (load<u32>(guard, GUARD_SLOTS) === 0) return;
  const verdict = alloc(VERDICT_TEXT + bytes);
  if (verdict === 0) return;
  store<u32>(verdict, bytes | ((allowed ? 1 : 0) << 16));
  store<u32>(verdict, expires, VERDICT_EXPIRES);
  memory.copy(verdict + VERDICT_TEXT, at, bytes);
  rememberedBytes += VERDICT_TEXT + bytes;
  place(guard, hash, verdict);
}

/** Leaves in SCRATCH what the host is to do about the PUBLISH in DECODED. @returns R_ACCESS */
function askHost(kind: u32, first: u32): i32 {
  const bytes = load<u32>(DECODED, D_TOPIC_BYTES);
  store<u32>(SCRATCH, kind, A_KIND);
  store<u32>(SCRATCH, first, A_FIRST);
  store<u32>(SCRATCH, load<u32>(DECODED, D_PACKET_ID), A_PACKET_ID);
  store<u32>(SCRATCH, load<u32>(DECODED, D_PAYLOAD_BYTES), A_PAYLOAD_BYTES);
  store<u32>(SCRATCH, bytes, A_TOPIC_BYTES);
  memory.copy(SCRATCH + A_TOPIC, load<u32>(DECODED, D_TOPIC_AT), bytes);
  return R_ACCESS;
}

/**
 * Whether the Session, which has rules, may publish what is in DECODED, whose topic lookup() saw
 * last. Hot.
 *
 * @param first  first byte of the packet
 * @returns 1, 0, R_ACCESS; −0x96: it publishes too much
 */
export function mayPublish(session: usize, first: u32): i32 {
  const at: usize = load<u32>(DECODED, D_TOPIC_AT);
  const bytes = load<u32>(DECODED, D_TOPIC_BYTES);
  const guard = guardOf(session);
  if (guard === 0) return judgeAnew(session, 0, at, bytes, first);
  const answer = load<u32>(guard, GUARD_ANSWER);
  if (answer !== 0) {
    store<u32>(guard, 0, GUARD_ANSWER);
    return answer === ALLOWED ? 1 : 0;
  }
  if (load<u32>(guard, GUARD_RATE) !== 0 && !takeTokens(guard)) return -MESSAGE_RATE_TOO_HIGH;
  const verdict = recall(guard, lookedUpHash, at, bytes);
  if (verdict === 0) return judgeAnew(session, guard, at, bytes, first);
  if (<u32>load<u8>(verdict, VERDICT_ALLOWED) !== 0) return 1;
  return tellsDenied ? askHost(A_DENIED, first) : 0;
}

function judgeAnew(session: usize, guard: usize, at: usize, bytes: u32, first: u32): i32 {
  const set = rulesOfSession(session);
  if (set === 0) return 1;
  const judged = judge(set, session, MAY_WRITE, at, bytes);
  // Without a guard nothing could be answered.
  if (judged < 0) return guard === 0 ? 0 : askHost(A_ASK, first);
  if (guard === 0) return judged;
  remember(guard, lookedUpHash, at, bytes, judged !== 0, 0);
  return judged === 0 && tellsDenied ? askHost(A_DENIED, first) : judged;
}

/**
 * What R_ACCESS asked: resume() goes on with it.
 *
 * @param allowed  1 or 0; of A_DENIED always 0
 * @param at  the Topic Name, copied; 0 bytes: the verdict is of this PUBLISH only
 * @param seconds  how long it holds, from now; 0: until the rules change
 */
export function answerAccess(
  session: usize,
  allowed: u32,
  at: usize,
  bytes: u32,
  seconds: u32,
): void {
  const guard = guardOf(session);
  if (guard === 0) return;
  store<u32>(guard, allowed !== 0 ? ALLOWED : REFUSED, GUARD_ANSWER);
  if (bytes === 0) return;
  const expires = seconds === 0 ? 0 : <u32>(nowMs / 1000) + seconds;
  remember(guard, hashBytes(0, at, bytes), at, bytes, allowed !== 0, expires);
}

/**
 * Whether the Session may publish to a topic by its will.
 *
 * @returns 1, 0, or −1: that is to be asked outside
 */
export function mayPublishWill(session: usize, at: usize, bytes: u32): i32 {
  if (isReserved(at, bytes)) return 0;
  const set = rulesOfSession(session);
  return set === 0 ? 1 : judge(set, session, MAY_WRITE, at, bytes);
}
