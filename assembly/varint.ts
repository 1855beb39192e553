/**
 * The integers of the wire. The Variable Byte Integer stands before every packet body and before
 * every property list; it is always in its shortest form, so that a value tells its own size.
 *
 *      7     6 … 0
 *   ┌──────┬────────┐
 *   │ more │ 7 bits │  value = Σ (byte[i] & 0x7f) << 7i,  1 to 4 bytes     MQTT 5.0 §1.5.5
 *   └──────┴────────┘
 *
 * Two and Four Byte Integers are big endian, §1.5.2, §1.5.3.
 */
import { NEED_MORE } from "./abi";
import { MALFORMED_PACKET } from "./spec";

/** Longest form, in bytes. */
export const VARINT_BYTES_MAX: u32 = 4;
/** Largest value. */
export const VARINT_MAX: u32 = 0x0fffffff;

/** The forms of two to four bytes; apart, so that readVarint() is small enough to inline. */
function readLongVarint(at: usize, end: usize): i32 {
  let value = <i32>load<u8>(at) & 0x7f;
  for (let shift: u32 = 7; shift < 7 * VARINT_BYTES_MAX; shift += 7) {
    if (++at >= end) return NEED_MORE;
    const byte = <i32>load<u8>(at);
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return byte !== 0 ? value : -MALFORMED_PACKET; // A last 0 adds nothing.
  }
  return -MALFORMED_PACKET;
}

/**
 * Reads the integer at `at`; no byte at or past `end` is touched. Hot.
 *
 * @returns 0 … VARINT_MAX; NEED_MORE if `end` cuts it short; −0x81 if a fifth byte would follow, or
 *   if fewer bytes could have carried the value [MQTT-1.5.5-1]
 */
export function readVarint(at: usize, end: usize): i32 {
  if (at >= end) return NEED_MORE;
  const byte = <i32>load<u8>(at);
  return byte < 0x80 ? byte : readLongVarint(at, end); // One byte: nearly every packet.
}

/** Bytes of the integer at `at`, which readVarint() has accepted: 1 … VARINT_BYTES_MAX. */
export function varintBytes(at: usize): u32 {
  let bytes: u32 = 1;
  while (bytes < VARINT_BYTES_MAX && load<u8>(at + bytes - 1) >= 0x80) bytes++;
  return bytes;
}

/** Bytes that `value`, 0 … VARINT_MAX, takes. Hot. */
export function varintSize(value: u32): u32 {
  return 1 + <u32>(value >= 0x80) + <u32>(value >= 0x4000) + <u32>(value >= 0x200000);
}

/**
 * Writes `value`, 0 … VARINT_MAX, in its shortest form. Hot.
 *
 * @returns the address behind it
 */
export function writeVarint(at: usize, value: u32): usize {
  assert(value <= VARINT_MAX, "writeVarint: more than four bytes can carry");
  while (value >= 0x80) {
    store<u8>(at++, (value & 0x7f) | 0x80);
    value >>= 7;
  }
  store<u8>(at, value);
  return at + 1;
}

/** Bytes of the fixed header of a packet of so many bytes, fixed header included: 2 … 5. Hot. */
export function headerBytes(packetBytes: u32): u32 {
  if (packetBytes < 2 + 0x80) return 2; // No Remaining Length is longer than it must be.
  return 3 + <u32>(packetBytes >= 3 + 0x4000) + <u32>(packetBytes >= 4 + 0x200000);
}

/** The Two Byte Integer at `at`. Hot. */
export function readTwoBytes(at: usize): u32 {
  return ((<u32>load<u8>(at)) << 8) | <u32>load<u8>(at, 1);
}

/** The Four Byte Integer at `at`. */
export function readFourBytes(at: usize): u32 {
  return bswap<u32>(load<u32>(at));
}
