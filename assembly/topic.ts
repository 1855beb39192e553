/**
 * Topic Names and Topic Filters as bytes: their levels, their hashes, their comparison.
 *
 * A text of n separators has n + 1 levels, empty ones included [MQTT-4.7.1-1]. A walk holds the
 * position of the next level; a position behind `end` means that no level is left.    MQTT 5.0 §4.7
 *
 * Hashes are keyed, since labels come from peers: 8 bytes at a time are added to the state, whose
 * halves are then multiplied. Both factors depend on the secret seed, so no two texts collide for
 * every seed, as they do with hashes that multiply by a known constant.
 */

export const SLASH: u8 = 0x2f;
export const PLUS_SIGN: u8 = 0x2b;
export const NUMBER_SIGN: u8 = 0x23;
export const DOLLAR_SIGN: u8 = 0x24;

const SLASHES: u64 = ((<u64>0x2f2f2f2f) << 32) | 0x2f2f2f2f;
const LOW_BITS: u64 = ((<u64>0x01010101) << 32) | 0x01010101;
const HIGH_BITS: u64 = ((<u64>0x80808080) << 32) | 0x80808080;
const MIX_1: u64 = ((<u64>0x9e3779b9) << 32) | 0x7f4a7c15;
const MIX_2: u64 = ((<u64>0xbf58476d) << 32) | 0x1ce4e5b9;

let seed: u64 = ((<u64>0x243f6a88) << 32) | 0x85a308d3;

/** Sets the secret of all topic hashes. Called once, before the first topic is stored. */
export function setHashSeed(secret: u64): void {
  seed = secret;
}

/** First separator at or behind `at`, or `end`. Hot. */
export function levelEnd(at: usize, end: usize): usize {
  while (at + 8 <= end) {
    const word = load<u64>(at) ^ SLASHES;
    const found = (word - LOW_BITS) & ~word & HIGH_BITS;
    if (found !== 0) return at + (<usize>ctz(found) >> 3);
    at += 8;
  }
  while (at < end && load<u8>(at) !== SLASH) at++;
  return at;
}

/** Whether the level is the wildcard `+`. */
export function isPlus(at: usize, stop: usize): bool {
  return stop - at === 1 && load<u8>(at) === PLUS_SIGN;
}

/** Whether the level is the wildcard `#`, which only ends a filter [MQTT-4.7.1-1]. */
export function isHash(at: usize, stop: usize, end: usize): bool {
  return stop === end && stop - at === 1 && load<u8>(at) === NUMBER_SIGN;
}

function fold(hash: u64, word: u64): u64 {
  const mixed = hash ^ word;
  return (mixed & 0xffffffff) * (mixed >> 32) + rotl(mixed, 29);
}

/** Keyed hash of a label below its owner, or of a topic with owner 0; all bits are good. Hot. */
export function hashBytes(owner: usize, at: usize, bytes: u32): u64 {
  const end = at + bytes;
  let hash = seed ^ ((((<u64>bytes) << 32) | <u64>owner) * MIX_1);
  if (bytes >= 8) {
    while (at + 8 < end) {
      hash = fold(hash, load<u64>(at));
      at += 8;
    }
    hash = fold(hash, load<u64>(end - 8));
  } else if (bytes >= 4) {
    hash = fold(hash, <u64>load<u32>(at) | ((<u64>load<u32>(end - 4)) << 32));
  } else if (bytes !== 0) {
    const word = <u32>load<u8>(at) | ((<u32>load<u8>(at + (bytes >> 1))) << 8);
    hash = fold(hash, <u64>(word | ((<u32>load<u8>(end - 1)) << 16)));
  }
  hash ^= hash >> 32;
  hash *= MIX_2;
  hash ^= hash >> 29;
  hash *= MIX_1;
  return hash ^ (hash >> 32);
}

/** Whether two texts of the same length are the same. Hot. */
export function equalBytes(left: usize, right: usize, bytes: u32): bool {
  if (bytes >= 8) {
    const last = bytes - 8;
    for (let offset: u32 = 0; offset < last; offset += 8) {
      if (load<u64>(left + offset) !== load<u64>(right + offset)) return false;
    }
    return load<u64>(left + last) === load<u64>(right + last);
  }
  if (bytes >= 4) {
    const last = bytes - 4;
    return (
      load<u32>(left) === load<u32>(right) && load<u32>(left + last) === load<u32>(right + last)
    );
  }
  for (let offset: u32 = 0; offset < bytes; offset++) {
    if (load<u8>(left + offset) !== load<u8>(right + offset)) return false;
  }
  return true;
}
