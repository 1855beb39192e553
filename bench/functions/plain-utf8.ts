/** UTF-8 Encoded Strings checked in plain JavaScript: the engine's rival.   MQTT 5.0 §1.5.4 */

function continues(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}

/** Bytes of the character at `at` whose first byte is not ASCII; 0 if it is ill-formed. */
function characterBytes(bytes: Uint8Array, at: number, end: number): number {
  const lead = bytes[at] as number;
  const second = bytes[at + 1] as number;
  if (lead < 0xc2 || lead > 0xf4 || at + 1 >= end || !continues(second)) return 0;
  if (lead < 0xe0) return 2;
  if (at + 2 >= end || !continues(bytes[at + 2])) return 0;
  if (lead < 0xf0) {
    if ((lead === 0xe0 && second < 0xa0) || (lead === 0xed && second > 0x9f)) return 0;
    return 3;
  }
  if (at + 3 >= end || !continues(bytes[at + 3])) return 0;
  return (lead === 0xf0 && second < 0x90) || (lead === 0xf4 && second > 0x8f) ? 0 : 4;
}

/** @returns whether the bytes from `at` to `end` are well-formed and without U+0000 */
export function isUtf8(bytes: Uint8Array, at: number, end: number): boolean {
  let next = at;
  while (next < end) {
    const byte = bytes[next] as number;
    if (byte === 0) return false;
    const size = byte < 0x80 ? 1 : characterBytes(bytes, next, end);
    if (size === 0) return false;
    next += size;
  }
  return true;
}
