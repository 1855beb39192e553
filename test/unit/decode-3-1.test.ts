/** What MQTT 3.1 has of its own: DUP on more packets, and fields that may be missing. */
import { describe, expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { MALFORMED_PACKET } from "#assembly/spec";
import {
  BUILDS,
  decoded,
  field,
  judge,
  loadCodec,
  packet,
  placeAtEnd,
} from "../support/codec-engine.ts";

describe.each(BUILDS)("decode of 3.1, %s build", (build) => {
  const codec = loadCodec(build);

  test.each([
    ["both", 0xc2, [field("u"), field("p")], 0xc2],
    ["no password", 0xc2, [field("u")], 0x82],
    ["neither", 0xc2, [], 0x02],
  ] as const)(
    "CONNECT of 3.1 leaves the flags of what is there: %s",
    (_title, flags, fields, left) => {
      expect(
        judge(codec, 3, packet(0x10, field("MQIsdp"), 3, flags, 0, 60, field("c"), fields)),
      ).toBe(0);
      expect(decoded(codec, abi.D_CONNECT_FLAGS)).toBe(left);
      expect(decoded(codec, abi.D_VERSION)).toBe(3);
    },
  );

  test.each([0x62, 0x82, 0xa2])("0x%s with DUP is of 3.1 alone, §2.1", (first) => {
    const cut = (version: number, byte: number) =>
      codec.cutPacket(placeAtEnd(codec, Uint8Array.of(byte)), codec.bytes.length, 100, version);
    for (const version of [0, 3, 4, 5]) {
      expect(cut(version, first)).toBe(abi.NEED_MORE);
      expect(cut(version, first | 8)).toBe(version === 3 ? abi.NEED_MORE : -MALFORMED_PACKET);
      expect(cut(version, first | 12)).toBe(-MALFORMED_PACKET);
      expect(cut(version, 0xc8)).toBe(-MALFORMED_PACKET);
    }
  });
});
