/**
 * UTF-8 Encoded Strings, and what Topic Names and Topic Filters may hold. MQTT 5.0 §1.5.4, §4.7.
 *
 * Text is looked at in blocks of 16 bytes; nearly all of it is ASCII and needs no more. A block
 * with anything else is walked character by character. A text shorter than a block is put together
 * from loads that overlap, so that nothing behind the text is touched.
 */
import { MALFORMED_PACKET, TOPIC_FILTER_INVALID, TOPIC_NAME_INVALID } from "./spec";

const BLOCK_BYTES: u32 = 16;
const SLASH: u32 = 0x2f;
const HASH: u32 = 0x23;
/** `#` is 0x23 and `+` is 0x2b: this bit apart they are one. */
const WILDCARD_MASK: u32 = 0xf7;

/** The 1 to 15 bytes at `at` as a block; some of them stand in it more than once. */
function shortBlock(at: usize, bytes: u32): v128 {
  if (bytes >= 8) {
    return i64x2.replace_lane(i64x2.splat(load<i64>(at)), 1, load<i64>(at + bytes - 8));
  }
  if (bytes >= 4) {
    const tail = <u64>load<u32>(at + bytes - 4);
    return i64x2.splat(<i64>((tail << 32) | <u64>load<u32>(at)));
  }
  const first = <u32>load<u8>(at);
  const middle = <u32>load<u8>(at + (bytes >> 1));
  const last = <u32>load<u8>(at + bytes - 1);
  return i32x4.splat(<i32>(first | (middle << 8) | (last << 16) | (last << 24)));
}

/** Whether a byte goes on with a character: 10xxxxxx. */
function continues(byte: u32): bool {
  return (byte & 0xc0) === 0x80;
}

/**
 * Judges the character of two to four bytes at `at`: nothing overlong, no surrogate, nothing above
 * U+10FFFF [MQTT-1.5.4-1].
 *
 * @returns its bytes, or 0 if it is ill-formed or `end` cuts it short
 */
function characterBytes(at: usize, end: usize): u32 {
  const lead = <u32>load<u8>(at);
  if (lead < 0xc2 || lead > 0xf4) return 0; // A stray continuation, C0, C1: overlong.
  const left = <u32>(end - at);
  if (left < 2) return 0;
  const second = <u32>load<u8>(at, 1);
  if (!continues(second)) return 0;
  if (lead < 0xe0) return 2;
  if (left < 3 || !continues(<u32>load<u8>(at, 2))) return 0;
  const start = ((lead & 0x0f) << 6) | (second & 0x3f); // Code point >> 6, or >> 12 of four bytes.
  if (lead < 0xf0) return start >= 0x20 && start >> 5 !== 0x1b ? 3 : 0; // U+0800; U+D800 … U+DFFF.
  if (left < 4 || !continues(<u32>load<u8>(at, 3))) return 0;
  return start >= 0x10 && start < 0x110 ? 4 : 0; // U+10000 … U+10FFFF.
}

/**
 * One pass over a text.
 *
 * @returns 0; 1 if there is a `+` or a `#` in it; −0x81 if it is ill-formed [MQTT-1.5.4-1] or holds
 *   U+0000 [MQTT-1.5.4-2], whatever else it holds
 */
function scanText(at: usize, bytes: u32): i32 {
  const end = at + bytes;
  let wildcards = i8x16.splat(0);
  let wildcard = false;
  while (at < end) {
    const left = <u32>(end - at);
    const block = left >= BLOCK_BYTES ? v128.load(at) : shortBlock(at, left);
    if (i8x16.all_true(i8x16.gt_s(block, i8x16.splat(0)))) {
      const folded = v128.and(block, i8x16.splat(<i8>WILDCARD_MASK));
      wildcards = v128.or(wildcards, i8x16.eq(folded, i8x16.splat(<i8>HASH)));
      if (left <= BLOCK_BYTES) break;
      // The last whole block reaches back over ASCII that is known already.
      at = left >= 2 * BLOCK_BYTES ? at + BLOCK_BYTES : end - BLOCK_BYTES;
      continue;
    }
    const stop = left >= BLOCK_BYTES ? at + BLOCK_BYTES : end;
    while (at < stop) {
      const byte = <u32>load<u8>(at);
      if (byte === 0) return -MALFORMED_PACKET;
      if ((byte & WILDCARD_MASK) === HASH) wildcard = true;
      const size = byte < 0x80 ? 1 : characterBytes(at, end);
      if (size === 0) return -MALFORMED_PACKET;
      at += size;
    }
  }
  return <i32>(wildcard || v128.any_true(wildcards));
}

/**
 * Whether the text is well-formed UTF-8 without U+0000 [MQTT-1.5.4-1] [MQTT-1.5.4-2].
 * U+FEFF is a character as any other [MQTT-1.5.4-3]. Hot.
 */
export function utf8Valid(at: usize, bytes: u32): bool {
  return scanText(at, bytes) >= 0;
}

/**
 * Whether the bytes are well-formed UTF-8; U+0000 is a character as any other: a payload is no
 * UTF-8 Encoded String, §3.3.2.3.2.
 */
export function payloadUtf8Valid(at: usize, bytes: u32): bool {
  const end = at + bytes;
  while (at < end) {
    const left = <u32>(end - at);
    const stop = left >= BLOCK_BYTES ? at + BLOCK_BYTES : end;
    const block = left >= BLOCK_BYTES ? v128.load(at) : shortBlock(at, left);
    if (i8x16.bitmask(block) === 0) {
      at = stop;
      continue;
    }
    while (at < stop) {
      const size = <u32>load<u8>(at) < 0x80 ? 1 : characterBytes(at, end);
      if (size === 0) return false;
      at += size;
    }
  }
  return true;
}

/**
 * Judges a Topic Name; an empty one is the caller's to judge. Hot.
 *
 * @returns 0; −0x81 if it is no valid UTF-8; −0x90 if it has a wildcard [MQTT-3.3.2-2]
 */
export function topicNameStatus(at: usize, bytes: u32): i32 {
  const scan = scanText(at, bytes);
  return scan > 0 ? -TOPIC_NAME_INVALID : scan;
}

/** Whether each `+` fills a level [MQTT-4.7.1-2] and `#` fills the last one [MQTT-4.7.1-1]. */
function wildcardsPlaced(at: usize, end: usize): bool {
  let before = SLASH;
  while (at < end) {
    const byte = <u32>load<u8>(at++);
    if ((byte & WILDCARD_MASK) === HASH) {
      if (before !== SLASH) return false;
      if (at < end && (byte === HASH || <u32>load<u8>(at) !== SLASH)) return false;
    }
    before = byte;
  }
  return true;
}

/**
 * Judges a Topic Filter.
 *
 * @returns 0; −0x81 if it is no valid UTF-8; −0x8F if it is empty [MQTT-4.7.3-1] or a wildcard is
 *   out of its place
 */
export function filterStatus(at: usize, bytes: u32): i32 {
  const scan = scanText(at, bytes);
  if (scan < 0) return scan;
  if (bytes === 0) return -TOPIC_FILTER_INVALID;
  return scan === 0 || wildcardsPlaced(at, at + bytes) ? 0 : -TOPIC_FILTER_INVALID;
}
