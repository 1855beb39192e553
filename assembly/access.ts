/**
 * What Sessions may do: rule sets, interned, and the judgement of a Topic Name by one.
 *
 *   rule set  ┌──────┬──────┬────────────┬───────┬───────┬───────┬───────┬─────────┬───────┐
 *             │ hash │ next │ references │ bytes │ count │ flags │ stamp │ verdict │ rules │ u32
 *             └──────┴──────┴────────────┴───────┴───────┴───────┴───────┴─────────┴───────┘
 *   rule      ┌───────────────────────┬──────────────────────────┐
 *             │ bytes │ flags << 16   │ Topic Filter, padded     │  of the first that matches
 *             └───────────────────────┴──────────────────────────┘
 *
 * The host writes them (src/access/rule-set.ts); Sessions with the same rules share one. In a
 * filter RULE_CLIENT_ID and RULE_USER_NAME, bytes that no text has, stand for the names of the
 * Session that is judged, so that a fleet of one kind has one rule set. `stamp` and `verdict` are
 * what it said of the topic that is matched now.
 *
 * A Session's word is 0 where it may do everything, the address of its rule set, or that of its
 * guard (guard.ts) and 1 while a connection carries it.
 */
import {
  RULE_ALLOWS,
  RULE_CLIENT_ID,
  RULE_IS_LITERAL,
  RULE_USER_NAME,
  RULES_COUNT,
  RULES_FLAGS,
  RULES_HEADER_BYTES,
  RULES_OF_NAMES,
  SESSION_ACCESS,
} from "./abi";
import { alloc, free } from "./memory";
import { SESSION_ID_AT, SESSION_ID_BYTES, SESSION_USER_BYTES } from "./session-layout";
import { DOLLAR_SIGN, hashBytes, NUMBER_SIGN, PLUS_SIGN, SLASH } from "./topic";

const RULES_HASH: u32 = 0;
const RULES_NEXT: u32 = 4;
const RULES_REFERENCES: u32 = 8;
const RULES_BYTES: u32 = 12;
const RULES_STAMP: u32 = 24;
const RULES_VERDICT: u32 = 28;

/** Actions, as bits of rules and of defaults: src/access/access-rules.ts. */
export const MAY_READ: u32 = 1;
export const MAY_WRITE: u32 = 2;

/** Offset of the rule set's address in a guard. */
export const GUARD_RULES: u32 = 0;
/** Bit of a Session's word: it is its guard. */
export const IS_GUARD: u32 = 1;

const BUCKETS_MIN: u32 = 64;

let buckets: usize = 0;
let bucketMask: u32 = 0;
let sets: u32 = 0;
let bytesOfSets: u64 = 0;
let stamp: u32 = 0;

/** Rule sets that there are. */
export function ruleSetCount(): u32 {
  return sets;
}

/** Their bytes. */
export function ruleSetBytes(): f64 {
  return <f64>bytesOfSets;
}

function bucketOf(hash: u32): usize {
  return buckets + ((hash & bucketMask) << 2);
}

function growBuckets(): bool {
  const total = buckets === 0 ? BUCKETS_MIN : (bucketMask + 1) << 1;
  const grown = alloc(total << 2);
  if (grown === 0) return buckets !== 0;
  memory.fill(grown, 0, total << 2);
  const before = buckets;
  const beforeTotal = bucketMask + 1;
  buckets = grown;
  bucketMask = total - 1;
  if (before === 0) return true;
  for (let i: u32 = 0; i < beforeTotal; i++) {
    let set: usize = load<u32>(before + (i << 2));
    while (set !== 0) {
      const next: usize = load<u32>(set, RULES_NEXT);
      link(set);
      set = next;
    }
  }
  free(before);
  return true;
}

function link(set: usize): void {
  const bucket = bucketOf(load<u32>(set, RULES_HASH));
  store<u32>(set, load<u32>(bucket), RULES_NEXT);
  store<u32>(bucket, <u32>set);
}

function isSame(one: usize, other: usize, bytes: u32): bool {
  return (
    load<u32>(one, RULES_HASH) === load<u32>(other, RULES_HASH) &&
    load<u32>(one, RULES_BYTES) === bytes &&
    load<u64>(one, RULES_COUNT) === load<u64>(other, RULES_COUNT) &&
    memory.compare(
      one + RULES_HEADER_BYTES,
      other + RULES_HEADER_BYTES,
      bytes - RULES_HEADER_BYTES,
    ) === 0
  );
}

/**
 * The rule set with this content.
 *
 * @param block  a block of the heap with count, flags and rules; taken over
 * @returns it with a reference for the caller (releaseRules), or 0: no memory
 */
export function internRules(block: usize, bytes: u32): usize {
  if (sets > bucketMask || buckets === 0) {
    if (!growBuckets()) {
      free(block);
      return 0;
    }
  }
  const flags = <usize>load<u32>(block, RULES_FLAGS);
  const hash = hashBytes(flags, block + RULES_HEADER_BYTES, bytes - RULES_HEADER_BYTES);
  store<u32>(block, <u32>hash, RULES_HASH);
  let set: usize = load<u32>(bucketOf(<u32>hash));
  while (set !== 0) {
    if (isSame(set, block, bytes)) {
      free(block);
      holdRules(set);
      return set;
    }
    set = load<u32>(set, RULES_NEXT);
  }
  store<u32>(block, 1, RULES_REFERENCES);
  store<u32>(block, bytes, RULES_BYTES);
  store<u32>(block, 0, RULES_STAMP);
  link(block);
  sets++;
  bytesOfSets += bytes;
  return block;
}

export function holdRules(set: usize): void {
  store<u32>(set, load<u32>(set, RULES_REFERENCES) + 1, RULES_REFERENCES);
}

/** Gives a reference back; the last one frees the rule set. */
export function releaseRules(set: usize): void {
  const references = load<u32>(set, RULES_REFERENCES) - 1;
  store<u32>(set, references, RULES_REFERENCES);
  if (references !== 0) return;
  let at = bucketOf(load<u32>(set, RULES_HASH));
  while (load<u32>(at) !== <u32>set) at = load<u32>(at) + RULES_NEXT;
  store<u32>(at, load<u32>(set, RULES_NEXT));
  bytesOfSets -= load<u32>(set, RULES_BYTES);
  free(set);
  if (--sets !== 0) return;
  free(buckets);
  buckets = 0;
}

/** The Session's rule set; 0: it may do everything. Hot. */
export function rulesOfSession(session: usize): usize {
  const word = load<u32>(session, SESSION_ACCESS);
  if (!(word & IS_GUARD)) return word;
  return load<u32>(<usize>(word - IS_GUARD), GUARD_RULES);
}

/**
 * Whether a filter of a rule matches a Topic Name. A name that it has to hold and that is empty
 * makes it match nothing. Hot.
 */
function filterMatches(
  filterAt: usize,
  filterEnd: usize,
  topicAt: usize,
  topicEnd: usize,
  isLiteral: bool,
  session: usize,
): bool {
  let at = filterAt;
  let topic = topicAt;
  // What begins with `$` is matched only by what begins with it in so many words.
  if (topic < topicEnd && load<u8>(topic) === DOLLAR_SIGN && load<u8>(at) !== DOLLAR_SIGN) {
    return false;
  }
  while (at < filterEnd) {
    const byte = load<u8>(at);
    if (byte >= RULE_CLIENT_ID) {
      let name: usize = load<u32>(session, SESSION_ID_AT);
      let bytes = load<u32>(session, SESSION_ID_BYTES);
      if (byte === RULE_USER_NAME) {
        name += bytes + 1;
        bytes = <u32>load<u16>(session, SESSION_USER_BYTES);
      }
      if (bytes === 0 || bytes > <u32>(topicEnd - topic)) return false;
      if (memory.compare(name, topic, bytes) !== 0) return false;
      topic += bytes;
      at++;
      continue;
    }
    if (!isLiteral) {
      if (byte === NUMBER_SIGN) return true;
      if (byte === PLUS_SIGN) {
        while (topic < topicEnd && load<u8>(topic) !== SLASH) topic++;
        at++;
        continue;
      }
      // `a/#` matches `a` as well.
      if (topic === topicEnd) {
        return at + 2 === filterEnd && byte === SLASH && load<u8>(at, 1) === NUMBER_SIGN;
      }
    }
    if (topic === topicEnd || load<u8>(topic) !== byte) return false;
    topic++;
    at++;
  }
  return topic === topicEnd;
}

/**
 * Whether a rule set lets the Session do something with a topic: what its first rule says that
 * matches, or its defaults. O(rules). Hot.
 *
 * @param action  MAY_READ or MAY_WRITE
 * @returns 1, 0, or −1: no rule matches, and that is to be asked outside
 */
export function judge(set: usize, session: usize, action: u32, at: usize, bytes: u32): i32 {
  let rule = set + RULES_HEADER_BYTES;
  const end = at + bytes;
  for (let left = load<u32>(set, RULES_COUNT); left !== 0; left--) {
    const word = load<u32>(rule);
    const text = rule + 4;
    const textEnd = text + (word & 0xffff);
    rule = (textEnd + 3) & ~3;
    if (!((word >> 16) & action)) continue;
    const isLiteral = ((word >> 16) & RULE_IS_LITERAL) !== 0;
    if (!filterMatches(text, textEnd, at, end, isLiteral, session)) continue;
    return (word >> 16) & RULE_ALLOWS ? 1 : 0;
  }
  const flags = load<u32>(set, RULES_FLAGS);
  if (flags & (action << 4)) return -1;
  return flags & action ? 1 : 0;
}

/** Whether the Session may be sent messages of this topic. */
export function mayRead(session: usize, at: usize, bytes: u32): bool {
  const set = rulesOfSession(session);
  // What is to be asked outside was asked at SUBSCRIBE.
  return set === 0 || judge(set, session, MAY_READ, at, bytes) !== 0;
}

/** Receivers of another topic are looked for: what rule sets said of the last one is void. */
export function startReceivers(): void {
  stamp++;
}

/** As mayRead(), for one of many receivers: a rule set without names is asked once a topic. */
export function receiverMayRead(session: usize, at: usize, bytes: u32): bool {
  const set = rulesOfSession(session);
  if (set === 0) return true;
  if (load<u32>(set, RULES_FLAGS) & RULES_OF_NAMES) return mayRead(session, at, bytes);
  if (load<u32>(set, RULES_STAMP) === stamp) return load<u32>(set, RULES_VERDICT) !== 0;
  const verdict = mayRead(session, at, bytes);
  store<u32>(set, stamp, RULES_STAMP);
  store<u32>(set, verdict ? 1 : 0, RULES_VERDICT);
  return verdict;
}
