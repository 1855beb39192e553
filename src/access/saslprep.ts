/**
 * SASLprep, RFC 4013: user names and passwords in the one form in which they are compared.
 *
 * Mapping, NFKC and prohibited characters are those of the RFC; its rule about texts that mix
 * writing directions (RFC 3454 §6) is left to the client, since it only ever forbids names.
 */

/** Code points, from and to, both included. */
type Range = readonly [from: number, to: number];

/** Characters that are written as a space, RFC 3454 Table C.1.2. */
const SPACES: readonly Range[] = [
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200b],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
];

/** Characters that stand for nothing, RFC 3454 Table B.1. */
const NOTHING: readonly Range[] = [
  [0xad, 0xad],
  [0x34f, 0x34f],
  [0x1806, 0x1806],
  [0x180b, 0x180d],
  [0x200c, 0x200d],
  [0x2060, 0x2060],
  [0xfe00, 0xfe0f],
  [0xfeff, 0xfeff],
];

/** Prohibited besides the general categories below, RFC 3454 Tables C.2.2 and C.6 to C.9. */
const PROHIBITED: readonly Range[] = [
  [0x340, 0x341],
  [0x6dd, 0x6dd],
  [0x70f, 0x70f],
  [0x180e, 0x180e],
  [0x200e, 0x200f],
  [0x2028, 0x202e],
  [0x2061, 0x2063],
  [0x206a, 0x206f],
  [0x2ff0, 0x2ffb],
  [0xfff9, 0xfffd],
  [0x1d173, 0x1d17a],
  [0xe0001, 0xe0001],
  [0xe0020, 0xe007f],
];

/** Control, private, unassigned, surrogate: Tables C.2.1, C.3, C.4, C.5 and A.1. */
const PROHIBITED_CATEGORIES = /[\p{Cc}\p{Co}\p{Cn}\p{Cs}]/u;

function isIn(ranges: readonly Range[], character: string): boolean {
  const point = character.codePointAt(0) ?? 0;
  return ranges.some(([from, to]) => point >= from && point <= to);
}

/** @returns the prepared text; null where it is empty or holds what must not be in it */
export function prepare(text: string): string | null {
  const mapped = Array.from(text, (character) => {
    if (isIn(SPACES, character)) return " ";
    return isIn(NOTHING, character) ? "" : character;
  });
  const prepared = mapped.join("").normalize("NFKC");
  if (prepared === "" || PROHIBITED_CATEGORIES.test(prepared)) return null;
  return Array.from(prepared).some((character) => isIn(PROHIBITED, character)) ? null : prepared;
}
