/**
 * Topic Aliases that a client sets on its connection: alias → Topic Name, §3.3.2.3.4.
 *
 * A block of topicAliasMaximum addresses, made when the first alias comes; each is 0 or a block of
 * {u32 bytes, text}. Mappings die with their connection [MQTT-3.3.2-7].
 */
import { D_TOPIC_AT, D_TOPIC_BYTES, D_VALUES, DECODED, NO_MEMORY } from "./abi";
import { C_ALIASES } from "./connection";
import { alloc, free, memoryTight } from "./memory";
import { topicAliasMaximum } from "./settings";
import { PROTOCOL_ERROR, TOPIC_ALIAS, TOPIC_ALIAS_INVALID } from "./spec";

function slotOf(record: usize, alias: u32): usize {
  return load<u32>(record, C_ALIASES) + ((alias - 1) << 2);
}

function setAlias(record: usize, alias: u32): i32 {
  if (load<u32>(record, C_ALIASES) === 0) {
    const table = alloc(topicAliasMaximum << 2);
    if (table === 0) return NO_MEMORY;
    memory.fill(table, 0, topicAliasMaximum << 2);
    store<u32>(record, <u32>table, C_ALIASES);
  }
  const slot = slotOf(record, alias);
  const bytes = load<u32>(DECODED, D_TOPIC_BYTES);
  const before: usize = load<u32>(slot);
  const at = load<u32>(DECODED, D_TOPIC_AT);
  if (before !== 0 && load<u32>(before) === bytes && memory.compare(before + 4, at, bytes) === 0) {
    return 0;
  }
  if (memoryTight()) return NO_MEMORY;
  const kept = alloc(4 + bytes);
  if (kept === 0) return NO_MEMORY;
  store<u32>(kept, bytes);
  memory.copy(kept + 4, at, bytes);
  if (before !== 0) free(before);
  store<u32>(slot, <u32>kept);
  return 0;
}

/**
 * Puts the aliased Topic Name into DECODED, or keeps the mapping that the packet sets. The packet's
 * topic, where it has one, is valid.
 *
 * @returns 0; −0x94 for an alias above the maximum [MQTT-3.3.2-9]; −0x82 for one that is not set;
 *   NO_MEMORY
 */
export function resolveAlias(record: usize): i32 {
  const alias = load<u32>(DECODED, D_VALUES + (TOPIC_ALIAS << 3));
  if (alias > topicAliasMaximum) return -TOPIC_ALIAS_INVALID;
  if (load<u32>(DECODED, D_TOPIC_BYTES) !== 0) return setAlias(record, alias);
  const kept = load<u32>(record, C_ALIASES) === 0 ? 0 : load<u32>(slotOf(record, alias));
  if (kept === 0) return -PROTOCOL_ERROR;
  store<u32>(DECODED, kept + 4, D_TOPIC_AT);
  store<u32>(DECODED, load<u32>(kept), D_TOPIC_BYTES);
  return 0;
}

/** Frees the mappings: the connection closes. */
export function dropAliases(record: usize): void {
  const table = load<u32>(record, C_ALIASES);
  if (table === 0) return;
  for (let i: u32 = 0; i < topicAliasMaximum; i++) {
    const kept = load<u32>(table + (i << 2));
    if (kept !== 0) free(kept);
  }
  free(table);
  store<u32>(record, 0, C_ALIASES);
}
