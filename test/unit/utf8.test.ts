/** UTF-8 Encoded Strings, Topic Names and Topic Filters. MQTT 5.0 §1.5.4, §4.7. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MALFORMED_PACKET, TOPIC_FILTER_INVALID, TOPIC_NAME_INVALID } from "#assembly/spec";
import { BUILDS, type Codec, joined, loadCodec, type Part } from "../support/codec-engine.ts";

const decoder = new TextDecoder("utf-8", { fatal: true });

/** What the standard says, by another decoder. */
function wellFormed(bytes: Uint8Array): boolean {
  try {
    decoder.decode(bytes);
  } catch {
    return false;
  }
  return !bytes.includes(0);
}

/** A Topic Filter, judged level by level. */
function filterWellFormed(filter: string): boolean {
  const levels = filter.split("/");
  return (
    filter !== "" &&
    levels.every((level, index) => {
      if (level === "+" || (level === "#" && index === levels.length - 1)) return true;
      return !/[+#]/.test(level);
    })
  );
}

/** Calls at the end of the memory and at all 16 alignments between bytes that would be refused. */
function everywhere(
  codec: Codec,
  bytes: Uint8Array,
  call: (at: number, size: number) => number,
): number {
  const end = codec.bytes.length - bytes.length;
  codec.bytes.set(bytes, end);
  const status = call(end, bytes.length);
  for (let offset = 0; offset < 16; offset++) {
    const at = 0x20000 + offset;
    codec.bytes.fill(0xff, 0x20000 - 16, at);
    codec.bytes.set(bytes, at);
    codec.bytes.fill(0xff, at + bytes.length, at + bytes.length + 16);
    expect(call(at, bytes.length)).toBe(status);
  }
  return status;
}

const CHARACTERS: readonly (readonly [title: string, part: Part, valid: boolean])[] = [
  ["U+0000", 0x00, false],
  ["U+0001", 0x01, true],
  ["U+007F", 0x7f, true],
  ["a stray continuation 80", 0x80, false],
  ["a stray continuation BF", 0xbf, false],
  ["overlong C0 80", [0xc0, 0x80], false],
  ["overlong C1 BF", [0xc1, 0xbf], false],
  ["U+0080", [0xc2, 0x80], true],
  ["U+07FF", [0xdf, 0xbf], true],
  ["C2 with an ASCII byte", [0xc2, 0x41], false],
  ["C2 with a lead byte", [0xc2, 0xc2], false],
  ["overlong E0 9F BF", [0xe0, 0x9f, 0xbf], false],
  ["U+0800", [0xe0, 0xa0, 0x80], true],
  ["U+D7FF", [0xed, 0x9f, 0xbf], true],
  ["surrogate U+D800 [MQTT-1.5.4-1]", [0xed, 0xa0, 0x80], false],
  ["surrogate U+DFFF [MQTT-1.5.4-1]", [0xed, 0xbf, 0xbf], false],
  ["a pair of surrogates", [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80], false],
  ["U+E000", [0xee, 0x80, 0x80], true],
  ["U+FEFF [MQTT-1.5.4-3]", [0xef, 0xbb, 0xbf], true],
  ["U+FFFF", [0xef, 0xbf, 0xbf], true],
  ["E1 80 with an ASCII byte", [0xe1, 0x80, 0x41], false],
  ["overlong F0 8F BF BF", [0xf0, 0x8f, 0xbf, 0xbf], false],
  ["U+10000", [0xf0, 0x90, 0x80, 0x80], true],
  ["U+10FFFF", [0xf4, 0x8f, 0xbf, 0xbf], true],
  ["U+110000", [0xf4, 0x90, 0x80, 0x80], false],
  ["F1 80 80 with an ASCII byte", [0xf1, 0x80, 0x80, 0x41], false],
  ["F5", [0xf5, 0x80, 0x80, 0x80], false],
  ["FF", 0xff, false],
  ["one of two bytes", 0xc2, false],
  ["two of three bytes", [0xe1, 0x80], false],
  ["three of four bytes", [0xf1, 0x80, 0x80], false],
];

const FILTERS: readonly (readonly [filter: string, status: number])[] = [
  ["", TOPIC_FILTER_INVALID],
  ["/", 0],
  ["#", 0],
  ["+", 0],
  ["/#", 0],
  ["+/+", 0],
  ["+/#", 0],
  ["a/+/b", 0],
  ["a/b/#", 0],
  ["//+//#", 0],
  ["ü/+/€", 0],
  ["##", TOPIC_FILTER_INVALID],
  ["#/", TOPIC_FILTER_INVALID],
  ["#/a", TOPIC_FILTER_INVALID],
  ["a#", TOPIC_FILTER_INVALID],
  ["a/#/b", TOPIC_FILTER_INVALID],
  ["a/#b", TOPIC_FILTER_INVALID],
  ["a+", TOPIC_FILTER_INVALID],
  ["+a", TOPIC_FILTER_INVALID],
  ["++", TOPIC_FILTER_INVALID],
  ["a/+b/c", TOPIC_FILTER_INVALID],
  ["+#", TOPIC_FILTER_INVALID],
  ["ü+", TOPIC_FILTER_INVALID],
  ["fleet/0123456789/abcdef/cmd/x+", TOPIC_FILTER_INVALID],
];

const mutated = fc
  .tuple(
    fc.string({ unit: "binary", maxLength: 40 }),
    fc.nat(79),
    fc.constantFrom(0, 1, 2, 3),
    fc.nat(255),
  )
  .map(([text, position, kind, byte]) => {
    const bytes = Buffer.from(text, "utf8").subarray(0, 80);
    if (bytes.length > 0 && kind > 0) bytes[position % bytes.length] = byte;
    return Uint8Array.from(kind === 3 ? bytes.subarray(0, position) : bytes);
  });

describe.each(BUILDS)("utf8, %s build", (build) => {
  const codec = loadCodec(build);
  const runs = build === "release" ? 20_000 : 4000;

  test.each(CHARACTERS)("%s in a text of any length and place", (_title, part, valid) => {
    const middle = joined(part);
    expect(wellFormed(middle)).toBe(valid);
    for (let before = 0; before <= 34; before++) {
      for (const after of [0, 1, 2, 7, 15, 16, 17, 40]) {
        const bytes = joined("a".repeat(before), middle, "z".repeat(after));
        const at = codec.bytes.length - bytes.length;
        codec.bytes.set(bytes, at);
        expect(codec.utf8Valid(at, bytes.length)).toBe(valid ? 1 : 0);
        expect(codec.topicNameStatus(at, bytes.length)).toBe(valid ? 0 : -MALFORMED_PACKET);
        // A payload may hold U+0000.
        const isPayload = valid || part === 0x00;
        expect(codec.payloadUtf8Valid(at, bytes.length)).toBe(isPayload ? 1 : 0);
      }
    }
  });

  test("ASCII of 0 to 80 bytes, and one bad byte at each place [MQTT-1.5.4-2]", () => {
    for (let size = 0; size <= 80; size++) {
      const text = Uint8Array.from({ length: size }, (_, index) => 0x61 + (index % 26));
      expect(everywhere(codec, text, codec.utf8Valid)).toBe(1);
      for (let place = 0; place < size; place++) {
        for (const byte of [0x00, 0x80, 0xff]) {
          const bytes = text.with(place, byte);
          const at = codec.bytes.length - size;
          codec.bytes.set(bytes, at);
          expect(codec.utf8Valid(at, size)).toBe(0);
        }
      }
    }
  });

  test("a wildcard at each place of a Topic Name is found [MQTT-3.3.2-2]", () => {
    for (let size = 1; size <= 80; size++) {
      for (let place = 0; place < size; place++) {
        const at = codec.bytes.length - size;
        codec.bytes.fill(0x61, at);
        for (const byte of [0x23, 0x2b]) {
          codec.bytes[at + place] = byte;
          expect(codec.topicNameStatus(at, size)).toBe(-TOPIC_NAME_INVALID);
        }
        for (const byte of [0x22, 0x24, 0x2a, 0x2c, 0x33, 0x3b, 0x63, 0x6b]) {
          codec.bytes[at + place] = byte;
          expect(codec.topicNameStatus(at, size)).toBe(0);
        }
      }
    }
  });

  test("ill-formed text comes before a wildcard, wherever they stand", () => {
    for (const bytes of [
      joined("+", 0xff),
      joined(0xff, "+"),
      joined("a/#/", "b".repeat(40), 0x00),
    ]) {
      expect(everywhere(codec, bytes, codec.topicNameStatus)).toBe(-MALFORMED_PACKET);
      expect(everywhere(codec, bytes, codec.filterStatus)).toBe(-MALFORMED_PACKET);
    }
  });

  test("an empty Topic Name is left to the caller", () => {
    expect(codec.topicNameStatus(0x20000, 0)).toBe(0);
  });

  test.each(FILTERS)("Topic Filter '%s' [MQTT-4.7.1-1] [MQTT-4.7.1-2]", (filter, reason) => {
    const status = everywhere(codec, joined(filter), codec.filterStatus);
    expect(status).toBe(reason === 0 ? 0 : -reason);
  });

  test("equal to TextDecoder on random bytes and on mutated text", () => {
    fc.assert(
      fc.property(
        fc.oneof(mutated, fc.uint8Array({ maxLength: 80 })),
        fc.nat(15),
        (bytes, skew) => {
          const expected = wellFormed(bytes) ? 1 : 0;
          const payload = wellFormed(bytes.map((byte) => byte || 0x20)) ? 1 : 0;
          codec.bytes.set(bytes, 0x20000 + skew);
          expect(codec.payloadUtf8Valid(0x20000 + skew, bytes.length)).toBe(payload);
          const end = codec.bytes.length - bytes.length;
          codec.bytes.set(bytes, end);
          expect(codec.utf8Valid(end, bytes.length)).toBe(expected);
          codec.bytes.set(bytes, 0x20000 + skew);
          expect(codec.utf8Valid(0x20000 + skew, bytes.length)).toBe(expected);
        },
      ),
      { numRuns: runs },
    );
  });

  test("filters equal to a check level by level", () => {
    const unit = fc.constantFrom("/", "+", "#", "a", "é", "𝄞", "/+/", "0123456789abcdef");
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 10 }), (units) => {
        const filter = units.join("");
        const bytes = joined(filter);
        const at = codec.bytes.length - bytes.length;
        codec.bytes.set(bytes, at);
        const filterExpected = filterWellFormed(filter) ? 0 : -TOPIC_FILTER_INVALID;
        expect(codec.filterStatus(at, bytes.length)).toBe(filterExpected);
        const nameExpected = /[+#]/.test(filter) ? -TOPIC_NAME_INVALID : 0;
        expect(codec.topicNameStatus(at, bytes.length)).toBe(nameExpected);
      }),
      { numRuns: runs },
    );
  });
});
