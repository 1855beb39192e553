/** Integers of the wire, and the fixed header with its Remaining Length. MQTT 5.0 §1.5, §2.1. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { D_PAYLOAD_BYTES, D_TOPIC_BYTES, NEED_MORE } from "#assembly/abi";
import { MALFORMED_PACKET, PACKET_TOO_LARGE } from "#assembly/spec";
import {
  BUILDS,
  decoded,
  field,
  joined,
  judge,
  loadCodec,
  packet,
  placeAtEnd,
  variable,
} from "../support/codec-engine.ts";

const EDGES: readonly (readonly [value: number, bytes: readonly number[]])[] = [
  [0, [0x00]],
  [1, [0x01]],
  [127, [0x7f]],
  [128, [0x80, 0x01]],
  [16_383, [0xff, 0x7f]],
  [16_384, [0x80, 0x80, 0x01]],
  [2_097_151, [0xff, 0xff, 0x7f]],
  [2_097_152, [0x80, 0x80, 0x80, 0x01]],
  [268_435_455, [0xff, 0xff, 0xff, 0x7f]],
];

const REFUSED: readonly (readonly [title: string, bytes: readonly number[], status: number])[] = [
  ["no byte", [], NEED_MORE],
  ["one of two bytes", [0x80], NEED_MORE],
  ["two of three bytes", [0x80, 0x80], NEED_MORE],
  ["three of four bytes", [0xff, 0xff, 0xff], NEED_MORE],
  ["a fourth byte that goes on", [0x80, 0x80, 0x80, 0x80], -MALFORMED_PACKET],
  ["a fifth byte", [0xff, 0xff, 0xff, 0xff, 0x01], -MALFORMED_PACKET],
  ["0 in two bytes", [0x80, 0x00], -MALFORMED_PACKET],
  ["127 in two bytes", [0xff, 0x00], -MALFORMED_PACKET],
  ["128 in three bytes", [0x80, 0x81, 0x00], -MALFORMED_PACKET],
  ["0 in four bytes", [0x80, 0x80, 0x80, 0x00], -MALFORMED_PACKET],
];

/** Flags that the fixed header may have, by type. */
const FLAGS = new Map<number, readonly number[]>([
  [0, []],
  [3, [0, 1, 2, 3, 4, 5, 10, 11, 12, 13]],
  [6, [2]],
  [8, [2]],
  [10, [2]],
]);

describe.each(BUILDS)("varint, %s build", (build) => {
  const codec = loadCodec(build);
  const cut = (bytes: Uint8Array, packetBytesMax = 0x10000000): number => {
    const at = placeAtEnd(codec, bytes);
    return codec.cutPacket(at, at + bytes.length, packetBytesMax, 5);
  };

  test.each(EDGES)("%i is read, measured and written [MQTT-1.5.5-1]", (value, bytes) => {
    const at = placeAtEnd(codec, Uint8Array.from(bytes));
    expect(codec.readVarint(at, at + bytes.length)).toBe(value);
    expect(codec.varintBytes(at)).toBe(bytes.length);
    expect(codec.varintSize(value)).toBe(bytes.length);
    codec.bytes.fill(0xee, 0x20000, 0x20008);
    expect(codec.writeVarint(0x20000, value)).toBe(0x20000 + bytes.length);
    expect([...codec.bytes.subarray(0x20000, 0x20008)]).toEqual([
      ...bytes,
      ...Array<number>(8 - bytes.length).fill(0xee),
    ]);
    for (let cut = 0; cut < bytes.length; cut++) {
      expect(codec.readVarint(at, at + cut)).toBe(NEED_MORE);
    }
  });

  test.each(REFUSED)("%s is refused or waited for [MQTT-1.5.5-1]", (_title, bytes, status) => {
    const at = placeAtEnd(codec, Uint8Array.from(bytes));
    expect(codec.readVarint(at, at + bytes.length)).toBe(status);
  });

  test("any value comes back from its bytes", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 268_435_455 }), (value) => {
        const end = codec.writeVarint(0x20000, value);
        expect(codec.bytes.slice(0x20000, end)).toEqual(variable(value));
        expect(codec.readVarint(0x20000, end)).toBe(value);
      }),
    );
  });

  test("the size of a packet tells that of its fixed header", () => {
    for (const [value] of EDGES) {
      const header = 1 + variable(value).length;
      expect(codec.headerBytes(header + value)).toBe(header);
    }
    expect(packet(0xc0)).toEqual(joined(0xc0, 0x00));
  });

  test("integers of two and four bytes are big endian [§1.5.2, §1.5.3]", () => {
    const at = placeAtEnd(codec, joined(0x12, 0x34, 0xfe, 0xdc));
    expect(codec.readTwoBytes(at)).toBe(0x1234);
    expect(codec.readTwoBytes(at + 2)).toBe(0xfedc);
    expect(codec.readFourBytes(at) >>> 0).toBe(0x1234fedc);
  });

  test("flags are judged at the first byte [MQTT-2.1.3-1] [MQTT-3.3.1-2] [MQTT-3.3.1-4]", () => {
    for (let first = 0; first < 256; first++) {
      const allowed = FLAGS.get(first >> 4) ?? [0];
      const status = allowed.includes(first & 15) ? NEED_MORE : -MALFORMED_PACKET;
      expect([first, cut(Uint8Array.of(first))]).toEqual([first, status]);
    }
  });

  test.each([
    ["nothing", [], 100, NEED_MORE],
    ["no length yet", [0x30], 100, NEED_MORE],
    ["length cut off", [0x30, 0xff, 0xff, 0xff], 0x10000000, NEED_MORE],
    ["a fourth byte that goes on", [0x30, 0x80, 0x80, 0x80, 0x80], 100, -MALFORMED_PACKET],
    ["length not minimal [MQTT-1.5.5-1]", [0x30, 0x80, 0x00], 100, -MALFORMED_PACKET],
    ["three bytes where two do", [0x30, 0xff, 0x80, 0x00], 100, -MALFORMED_PACKET],
    ["whole", [0xc0, 0x00], 100, 2],
    ["whole, then more", [0xc0, 0x00, 0xc0], 100, 2],
    ["body cut off", [0x30, 0x03, 0, 1], 100, NEED_MORE],
    ["body whole", [0x30, 0x03, 0, 1, 97], 100, 5],
    ["as large as allowed", [0x30, 0x03], 5, NEED_MORE],
    ["one byte too large, body not yet here", [0x30, 0x04], 5, -PACKET_TOO_LARGE],
    ["too large, two bytes of length", [0x30, 0x80, 0x01], 130, -PACKET_TOO_LARGE],
    ["as large, two bytes of length", [0x30, 0x80, 0x01], 131, NEED_MORE],
    ["the largest there is", [0x30, 255, 255, 255, 127], 268_435_460, NEED_MORE],
    ["one less allowed", [0x30, 255, 255, 255, 127], 268_435_459, -PACKET_TOO_LARGE],
    ["malformed length told before its size", [0x30, 0x84, 0x00], 5, -MALFORMED_PACKET],
  ] as const)("cutPacket: %s", (_title, bytes, packetBytesMax, status) => {
    expect(cut(Uint8Array.from(bytes), packetBytesMax)).toBe(status);
  });

  test("cutPacket gives the sizes of packets around each length of the header", () => {
    for (const size of [126, 127, 128, 129, 16_382, 16_383, 16_384, 2_097_151, 2_097_152]) {
      const bytes = packet(0x30, new Uint8Array(size));
      expect(cut(bytes)).toBe(bytes.length);
      expect(cut(bytes.subarray(0, -1))).toBe(NEED_MORE);
      const topicBytes = Math.min(size - 2, 0xffff);
      const text = new Uint8Array(topicBytes).fill(0x61);
      const publish = packet(0x30, field(text), new Uint8Array(size - 2 - topicBytes));
      expect(judge(codec, 4, publish)).toBe(0);
      expect(decoded(codec, D_TOPIC_BYTES)).toBe(topicBytes);
      expect(decoded(codec, D_PAYLOAD_BYTES)).toBe(size - 2 - topicBytes);
    }
  });
});
