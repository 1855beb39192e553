/**
 * Topic Aliases that we set on a connection: Topic Name → alias, §3.3.2.3.4.
 *
 *          ┌───────┬────────────┬──────┬───┬────────┐   made when the first message is sent; until
 *   table: │ count │ text bytes │ next │ 0 │ slots… │   then C_ALIASES_OUT is count × 2 + 1
 *          └───────┴────────────┴──────┴───┴────────┘
 *          ┌──────┬──────┬──────┬───────────┐
 *   slot:  │ hash │ text │ hits │ candidate │   u32 each; the alias is its index + 1; text is a
 *          └──────┴──────┴──────┴───────────┘   block of {u32 bytes, text}, or 0
 *
 * A topic looks at WAYS slots from where its hash says. At its first sending it becomes a
 * candidate, at its second it gets a slot that is free; or one that nobody needed of late, since
 * each topic that is turned away takes a hit off the weakest. The client's maximum bounds the
 * slots, and TEXT_BYTES_MAX the texts. They go with their connection [MQTT-3.3.2-7].
 */
import { C_ALIASES_OUT, C_PACKET_BYTES_MAX } from "./connection";
import { alloc, free, memoryHasRoom, memoryTight } from "./memory";
import { topicAliasOutMaximum } from "./settings";
import { equalBytes, hashBytes } from "./topic";

const A_COUNT: u32 = 0;
const A_TEXT_BYTES: u32 = 4;
/** Topics that came new to a full window: every so many of them displace a candidate. */
const A_NEXT: u32 = 8;
const A_SLOTS: u32 = 16;

const SLOT_BYTES: u32 = 16;
const SLOT_HASH: u32 = 0;
const SLOT_TEXT: u32 = 4;
const SLOT_HITS: u32 = 8;
const SLOT_CANDIDATE: u32 = 12;

/** Slots that a topic may be in. */
const WAYS: u32 = 8;
/** So many topics have to be turned away before the hottest one goes. */
const HITS_MAX: u32 = 15;
/** An alias takes three bytes: shorter names are not worth one. */
const TOPIC_BYTES_MIN: u32 = 4;
/** Of so many new topics one displaces a candidate, so that topics sent once in a row do not. */
const NEWCOMERS_SHIFT: u32 = 2;
/** Topic Names that one connection's aliases stand for, bytes. */
const TEXT_BYTES_MAX: u32 = 65536;

/** Whether the client does not know yet what the alias found last stands for. */
export let aliasIsNew: bool = false;
let foundSlot: usize = 0;
let foundCandidate: usize = 0;
let foundHash: u32 = 0;

/**
 * Notes how many aliases a client takes, as its CONNECT says [MQTT-3.1.2-26]: none, if that is 0
 * [MQTT-3.1.2-27].
 */
export function allowAliases(record: usize, clientMaximum: u32): void {
  const count = min(clientMaximum, topicAliasOutMaximum);
  if (count === 0) return;
  store<u32>(record, (count << 1) | 1, C_ALIASES_OUT);
  // Who has no limit and no aliases is told from all others by one word.
  if (load<u32>(record, C_PACKET_BYTES_MAX) === 0) {
    store<u32>(record, u32.MAX_VALUE, C_PACKET_BYTES_MAX);
  }
}

/** Makes the table. @returns its address, or 0: no memory for it now */
function makeTable(record: usize, count: u32): usize {
  const bytes = A_SLOTS + count * SLOT_BYTES;
  if (memoryTight() || !memoryHasRoom(bytes)) return 0;
  const table = alloc(bytes);
  if (table === 0) return 0;
  memory.fill(table, 0, bytes);
  store<u32>(table, count, A_COUNT);
  store<u32>(record, <u32>table, C_ALIASES_OUT);
  return table;
}

/** Bytes of a slot's Topic Name with what is kept in front of it. */
function textBytesOf(slot: usize): u32 {
  const text: usize = load<u32>(slot, SLOT_TEXT);
  return text === 0 ? 0 : 4 + load<u32>(text);
}

/** Notes that the topic was sent once, in the window from `home` on. */
function noteCandidate(table: usize, home: u32, ways: u32, hash: u32): void {
  const count = load<u32>(table, A_COUNT);
  let way: u32 = 0;
  while (way < ways) {
    const slot = table + A_SLOTS + ((home + way) % count) * SLOT_BYTES;
    if (load<u32>(slot, SLOT_CANDIDATE) === 0) break;
    way++;
  }
  if (way === ways) {
    const next = load<u32>(table, A_NEXT);
    store<u32>(table, next + 1, A_NEXT);
    if (next & ((1 << NEWCOMERS_SHIFT) - 1)) return;
    way = (next >> NEWCOMERS_SHIFT) % ways;
  }
  store<u32>(table + A_SLOTS + ((home + way) % count) * SLOT_BYTES, hash, SLOT_CANDIDATE);
}

/** Whether a topic that came a second time may have the slot. */
function mayTake(table: usize, slot: usize, bytes: u32): bool {
  const hits = load<u32>(slot, SLOT_HITS);
  if (hits !== 0) {
    store<u32>(slot, hits - 1, SLOT_HITS);
    return false;
  }
  if (memoryTight()) return false;
  return load<u32>(table, A_TEXT_BYTES) - textBytesOf(slot) + 4 + bytes <= TEXT_BYTES_MAX;
}

/**
 * Finds the alias under which a topic is to be sent: with aliasIsNew beside its name, and then
 * keepAlias() once that packet is on its way; otherwise in its place. Hot.
 *
 * @returns 1 … the client's Topic Alias Maximum, or 0: it goes without
 */
export function findAlias(record: usize, at: usize, bytes: u32): u32 {
  if (bytes < TOPIC_BYTES_MIN) return 0;
  let table: usize = load<u32>(record, C_ALIASES_OUT);
  if (table & 1) {
    table = makeTable(record, <u32>table >> 1);
    if (table === 0) return 0;
  }
  const count = load<u32>(table, A_COUNT);
  const hash = <u32>hashBytes(0, at, bytes) | 1;
  const home = hash % count;
  const ways = min(count, WAYS);
  let index = home;
  let candidate: usize = 0;
  let weakest: usize = 0;
  let least: u32 = u32.MAX_VALUE;
  for (let way: u32 = 0; way < ways; way++) {
    const slot = table + A_SLOTS + index * SLOT_BYTES;
    const text: usize = load<u32>(slot, SLOT_TEXT);
    if (text !== 0 && load<u32>(slot, SLOT_HASH) === hash && load<u32>(text) === bytes) {
      if (equalBytes(text + 4, at, bytes)) {
        store<u32>(slot, min(load<u32>(slot, SLOT_HITS) + 1, HITS_MAX), SLOT_HITS);
        aliasIsNew = false;
        return index + 1;
      }
    }
    if (load<u32>(slot, SLOT_CANDIDATE) === hash) candidate = slot;
    // A free slot is weaker than any that is taken.
    const strength: u32 = text === 0 ? 0 : 1 + load<u32>(slot, SLOT_HITS);
    if (strength < least) {
      least = strength;
      weakest = slot;
    }
    index++;
    if (index === count) index = 0;
  }
  if (candidate === 0) {
    noteCandidate(table, home, ways, hash);
    return 0;
  }
  if (!mayTake(table, weakest, bytes)) return 0;
  aliasIsNew = true;
  foundSlot = weakest;
  foundCandidate = candidate;
  foundHash = hash;
  return <u32>(weakest - table - A_SLOTS) / SLOT_BYTES + 1;
}

/**
 * The packet that sets the alias found last is on its way, and none will get between it and the
 * client's reading it: from now on the alias stands for the topic.
 */
export function keepAlias(record: usize, at: usize, bytes: u32): void {
  const table: usize = load<u32>(record, C_ALIASES_OUT);
  const slot = foundSlot;
  store<u32>(foundCandidate, 0, SLOT_CANDIDATE);
  const before = textBytesOf(slot);
  if (before !== 0) free(load<u32>(slot, SLOT_TEXT));
  const text = alloc(4 + bytes);
  // Without memory the client knows an alias that we never use.
  const kept: u32 = text === 0 ? 0 : 4 + bytes;
  store<u32>(slot, <u32>text, SLOT_TEXT);
  store<u32>(slot, foundHash, SLOT_HASH);
  store<u32>(slot, text === 0 ? 0 : 1, SLOT_HITS);
  store<u32>(table, load<u32>(table, A_TEXT_BYTES) - before + kept, A_TEXT_BYTES);
  if (text === 0) return;
  store<u32>(text, bytes);
  memory.copy(text + 4, at, bytes);
}

/** Frees the table: the connection closes. */
export function dropAliasesOut(record: usize): void {
  const table: usize = load<u32>(record, C_ALIASES_OUT);
  store<u32>(record, 0, C_ALIASES_OUT);
  if (table === 0 || table & 1) return;
  const count = load<u32>(table, A_COUNT);
  for (let index: u32 = 0; index < count; index++) {
    const text: usize = load<u32>(table + A_SLOTS + index * SLOT_BYTES, SLOT_TEXT);
    if (text !== 0) free(text);
  }
  free(table);
}
