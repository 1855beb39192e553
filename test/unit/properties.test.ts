/** Property lists: Table 2-4, the forms of values and what they may be. MQTT 5.0 §2.2.2. */
import { describe, expect, test } from "vitest";
import {
  D_PRESENT,
  D_PROPERTIES_AT,
  D_PROPERTIES_BYTES,
  D_VALUES,
  D_WILL_PRESENT,
  D_WILL_PROPERTIES_BYTES,
  D_WILL_VALUES,
} from "#assembly/abi";
import {
  AUTH,
  CONNACK,
  CONNECT,
  DISCONNECT,
  MALFORMED_PACKET,
  PROTOCOL_ERROR,
  PUBACK,
  PUBCOMP,
  PUBLISH,
  PUBREC,
  PUBREL,
  SUBACK,
  SUBSCRIBE,
  TOPIC_ALIAS_INVALID,
  UNSUBACK,
  UNSUBSCRIBE,
} from "#assembly/spec";
import {
  BUILDS,
  type Codec,
  decoded,
  decodedText,
  field,
  joined,
  loadCodec,
  type Part,
  placeAtEnd,
  properties,
  variable,
} from "../support/codec-engine.ts";

const WILL = 0;
const KINDS = [
  ...[WILL, CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP],
  ...[SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, DISCONNECT, AUTH],
];
const MESSAGE = [PUBLISH, WILL];
const ANSWERS = [...[CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, DISCONNECT, AUTH]];

/** Table 2-4: name, identifier, a valid value, where it may stand. */
const TABLE: readonly (readonly [string, number, Part, readonly number[]])[] = [
  ["Payload Format Indicator", 0x01, 1, MESSAGE],
  ["Message Expiry Interval", 0x02, [0, 0, 0, 9], MESSAGE],
  ["Content Type", 0x03, field("text/plain"), MESSAGE],
  ["Response Topic", 0x08, field("a/b"), MESSAGE],
  ["Correlation Data", 0x09, field(0x00, 0xff), MESSAGE],
  ["Subscription Identifier", 0x0b, [0x80, 0x01], [PUBLISH, SUBSCRIBE]],
  ["Session Expiry Interval", 0x11, [0xff, 0xff, 0xff, 0xff], [CONNECT, CONNACK, DISCONNECT]],
  ["Assigned Client Identifier", 0x12, field("c"), [CONNACK]],
  ["Server Keep Alive", 0x13, [0, 60], [CONNACK]],
  ["Authentication Method", 0x15, field("SCRAM"), [CONNECT, CONNACK, AUTH]],
  ["Request Problem Information", 0x17, 0, [CONNECT]],
  ["Will Delay Interval", 0x18, [0, 0, 0, 0], [WILL]],
  ["Request Response Information", 0x19, 1, [CONNECT]],
  ["Response Information", 0x1a, field("r"), [CONNACK]],
  ["Server Reference", 0x1c, field("s"), [CONNACK, DISCONNECT]],
  ["Reason String", 0x1f, field(""), ANSWERS],
  ["Receive Maximum", 0x21, [0, 1], [CONNECT, CONNACK]],
  ["Topic Alias Maximum", 0x22, [0, 0], [CONNECT, CONNACK]],
  ["Topic Alias", 0x23, [0, 1], [PUBLISH]],
  ["Maximum QoS", 0x24, 1, [CONNACK]],
  ["Retain Available", 0x25, 0, [CONNACK]],
  ["User Property", 0x26, [field("k"), field("v")], KINDS],
  ["Maximum Packet Size", 0x27, [0, 0, 0, 1], [CONNECT, CONNACK]],
  ["Wildcard Subscription Available", 0x28, 1, [CONNACK]],
  ["Subscription Identifier Available", 0x29, 1, [CONNACK]],
  ["Shared Subscription Available", 0x2a, 1, [CONNACK]],
];

/** What only a Server sends is known, but a Protocol Error from a client. */
const SERVER_ONLY: readonly (readonly [identifier: number, kind: number])[] = [
  [0x0b, PUBLISH],
  [0x1c, DISCONNECT],
];

const OK = 0;
const METHOD = [0x15, field("m")];

const VALUES: readonly (readonly [string, number, Part, number])[] = [
  ["Payload Format Indicator 0", PUBLISH, [0x01, 0], OK],
  ["Payload Format Indicator 2", PUBLISH, [0x01, 2], PROTOCOL_ERROR],
  ["Payload Format Indicator 255 of a Will", WILL, [0x01, 255], PROTOCOL_ERROR],
  ["Request Problem Information 1", CONNECT, [0x17, 1], OK],
  ["Request Problem Information 2", CONNECT, [0x17, 2], PROTOCOL_ERROR],
  ["Request Response Information 0", CONNECT, [0x19, 0], OK],
  ["Request Response Information 2", CONNECT, [0x19, 2], PROTOCOL_ERROR],
  ["Receive Maximum 0", CONNECT, [0x21, 0, 0], PROTOCOL_ERROR],
  ["Receive Maximum 65535", CONNECT, [0x21, 0xff, 0xff], OK],
  ["Maximum Packet Size 0", CONNECT, [0x27, 0, 0, 0, 0], PROTOCOL_ERROR],
  ["Maximum Packet Size 2^32 - 1", CONNECT, [0x27, 0xff, 0xff, 0xff, 0xff], OK],
  ["Subscription Identifier 0", SUBSCRIBE, [0x0b, 0], PROTOCOL_ERROR],
  ["Subscription Identifier 268435455", SUBSCRIBE, [0x0b, 0xff, 0xff, 0xff, 0x7f], OK],
  ["Subscription Identifier not minimal", SUBSCRIBE, [0x0b, 0x81, 0x00], MALFORMED_PACKET],
  ["Subscription Identifier of 5", SUBSCRIBE, [0x0b, 255, 255, 255, 255, 1], MALFORMED_PACKET],
  ["Topic Alias 0 [MQTT-3.3.2-8]", PUBLISH, [0x23, 0, 0], TOPIC_ALIAS_INVALID],
  ["Topic Alias 65535", PUBLISH, [0x23, 0xff, 0xff], OK],
  ["Response Topic empty", PUBLISH, [0x08, field("")], PROTOCOL_ERROR],
  ["Response Topic with + [MQTT-3.3.2-14]", PUBLISH, [0x08, field("a/+")], PROTOCOL_ERROR],
  ["Response Topic with # [MQTT-3.3.2-14]", WILL, [0x08, field("#")], PROTOCOL_ERROR],
  ["Response Topic ill-formed", PUBLISH, [0x08, field("#", 0xff)], MALFORMED_PACKET],
  ["Content Type ill-formed [MQTT-3.3.2-19]", PUBLISH, [0x03, field(0xc0, 0x80)], MALFORMED_PACKET],
  ["Content Type with U+0000 [MQTT-1.5.4-2]", PUBLISH, [0x03, field("a\0")], MALFORMED_PACKET],
  ["Content Type empty", PUBLISH, [0x03, field("")], OK],
  ["Correlation Data empty", PUBLISH, [0x09, field("")], OK],
  ["User Property twice", PUBLISH, [0x26, field(""), field(""), 0x26, field("k"), field("v")], OK],
  ["User Property name ill-formed", PUBLISH, [0x26, field(0xff), field("")], MALFORMED_PACKET],
  ["User Property value ill-formed", PUBLISH, [0x26, field(""), field(0xff)], MALFORMED_PACKET],
  ["User Property without value", PUBLISH, [0x26, field("k")], MALFORMED_PACKET],
  ["Authentication Data with Method", CONNECT, [METHOD, 0x16, field("d")], OK],
  ["Authentication Data before Method", CONNECT, [0x16, field("d"), METHOD], OK],
  ["Authentication Data alone", CONNECT, [0x16, field("d")], PROTOCOL_ERROR],
  ["Authentication Data alone in AUTH", AUTH, [0x16, field("d")], PROTOCOL_ERROR],
  ["Authentication Data, then malformed", CONNECT, [0x16, field("d"), 0x04], MALFORMED_PACKET],
  ["Authentication Data in PUBLISH", PUBLISH, [METHOD, 0x16, field("d")], MALFORMED_PACKET],
  ["identifier 0", PUBLISH, [0x00, 0], MALFORMED_PACKET],
  ["identifier 0x2b, above the last", PUBLISH, [0x2b, 0], MALFORMED_PACKET],
  ["identifier 0x7f", PUBLISH, [0x7f, 0], MALFORMED_PACKET],
  ["identifier of two bytes", PUBLISH, [0x81, 0x01, 0], MALFORMED_PACKET],
  ["identifier not minimal [MQTT-1.5.5-1]", PUBLISH, [0x81, 0x00, 0], MALFORMED_PACKET],
  ["identifier cut off", PUBLISH, [0x80], MALFORMED_PACKET],
  ["repeat told before its cut value", PUBLISH, [0x01, 1, 0x01], PROTOCOL_ERROR],
  ["first of two faults: value", PUBLISH, [0x23, 0, 0, 0x04], TOPIC_ALIAS_INVALID],
  ["first of two faults: identifier", PUBLISH, [0x04, 0x23, 0, 0], MALFORMED_PACKET],
];

/** Reads the list twice, at the memory's end and before other bytes. @returns 0 or Reason Code */
function judgeList(codec: Codec, kind: number, list: Uint8Array): number {
  codec.bytes.fill(0x01, 0x20000, 0x20000 + list.length + 64);
  codec.bytes.set(list, 0x20000);
  const amid = codec.readProperties(kind, 0x20000, 0x20000 + list.length);
  const at = placeAtEnd(codec, list);
  const status = codec.readProperties(kind, at, at + list.length);
  expect(amid).toBe(status);
  if (status >= 0) expect(status).toBe(list.length);
  return status >= 0 ? 0 : -status;
}

describe.each(BUILDS)("properties, %s build", (build) => {
  const codec = loadCodec(build);

  test.each(TABLE)("%s (%i) stands where Table 2-4 has it", (_name, identifier, value, kinds) => {
    for (const kind of KINDS) {
      let expected = kinds.includes(kind) ? OK : MALFORMED_PACKET;
      if (SERVER_ONLY.some(([id, packet]) => id === identifier && packet === kind)) {
        expected = PROTOCOL_ERROR;
      }
      expect([kind, judgeList(codec, kind, properties(identifier, value))]).toEqual([
        kind,
        expected,
      ]);
    }
  });

  test("no other identifier is known", () => {
    const known = [...TABLE.map(([, identifier]) => identifier), 0x16];
    for (let identifier = 0; identifier < 300; identifier++) {
      if (known.includes(identifier)) continue;
      for (const kind of KINDS) {
        const list = properties(variable(identifier), 0, 0, 0, 0);
        expect(judgeList(codec, kind, list)).toBe(MALFORMED_PACKET);
      }
    }
  });

  test.each(TABLE)("%s (%i) twice is a Protocol Error, but for User Property", (...row) => {
    const [, identifier, value, kinds] = row;
    const kind = kinds.find((each) => each !== PUBLISH) ?? PUBLISH;
    const twice = properties(identifier, value, identifier, value);
    expect(judgeList(codec, kind, twice)).toBe(identifier === 0x26 ? OK : PROTOCOL_ERROR);
  });

  test.each(TABLE)("%s (%i) cut anywhere is malformed", (_name, identifier, value, kinds) => {
    const kind = kinds.at(-1) ?? WILL;
    if (SERVER_ONLY.some(([id, packet]) => id === identifier && packet === kind)) return;
    const whole = joined(identifier, value);
    for (let cut = 1; cut < whole.length; cut++) {
      const list = properties(whole.subarray(0, cut));
      expect(judgeList(codec, kind, list)).toBe(MALFORMED_PACKET);
      // The list ends within the value, the packet goes on with what would be the rest of it.
      const at = placeAtEnd(codec, joined(list, whole.subarray(cut)));
      expect(codec.readProperties(kind, at, codec.bytes.length)).toBe(-MALFORMED_PACKET);
    }
  });

  test.each(VALUES)("%s", (_title, kind, list, expected) => {
    expect(judgeList(codec, kind, properties(list))).toBe(expected);
  });

  test.each([
    ["missing", [], MALFORMED_PACKET],
    ["cut off", [0x80], MALFORMED_PACKET],
    ["not minimal [MQTT-1.5.5-1]", [0x80, 0x00], MALFORMED_PACKET],
    ["of five bytes", [0x80, 0x80, 0x80, 0x80, 0x01], MALFORMED_PACKET],
    ["beyond the packet", [2, 0x01], MALFORMED_PACKET],
    ["far beyond the packet", [0xff, 0xff, 0xff, 0x7f, 0x01, 1], MALFORMED_PACKET],
    ["0 [MQTT-2.2.2-1]", [0], OK],
  ] as const)("Property Length %s", (_title, bytes, expected) => {
    expect(judgeList(codec, PUBLISH, Uint8Array.from(bytes))).toBe(expected);
  });

  test("a length of two bytes", () => {
    const list = properties(0x26, field("k".repeat(200)), field("v"));
    expect(list[0]).toBeGreaterThan(0x7f);
    expect(judgeList(codec, PUBLISH, list)).toBe(OK);
    expect(decoded(codec, D_PROPERTIES_BYTES)).toBe(list.length - 2);
  });

  test("values and presence are in DECODED", () => {
    const list = properties(
      [0x26, field("a"), field("1"), 0x01, 1, 0x02, 0x12, 0x34, 0x56, 0x78],
      [0x08, field("re/ply"), 0x26, field("b"), field("2"), 0x23, 0x01, 0x02, 0x09, field("xyz")],
    );
    expect(judgeList(codec, PUBLISH, list)).toBe(OK);
    const at = codec.bytes.length - list.length;
    expect(decoded(codec, D_PROPERTIES_AT)).toBe(at + 1);
    expect(decoded(codec, D_PROPERTIES_BYTES)).toBe(list.length - 1);
    expect(decoded(codec, D_PRESENT)).toBe((1 << 1) | (1 << 2) | (1 << 8) | (1 << 9));
    expect(decoded(codec, D_PRESENT + 4)).toBe((1 << 3) | (1 << 6));
    const present = [0x01, 0x02, 0x08, 0x09, 0x23, 0x26];
    for (let identifier = 0; identifier < 64; identifier++) {
      expect(codec.hasProperty(identifier)).toBe(present.includes(identifier) ? 1 : 0);
    }
    expect(decoded(codec, D_VALUES + 8 * 0x01)).toBe(1);
    expect(decoded(codec, D_VALUES + 8 * 0x02)).toBe(0x12345678);
    expect(decodedText(codec, D_VALUES + 8 * 0x08)).toBe("re/ply");
    expect(decodedText(codec, D_VALUES + 8 * 0x09)).toBe("xyz");
    expect(decoded(codec, D_VALUES + 8 * 0x23)).toBe(0x0102);
    expect(decoded(codec, D_VALUES + 8 * 0x26)).toBe(at + 1);
    expect(decoded(codec, D_VALUES + 8 * 0x26 + 4)).toBe(2);
  });

  test("Will Properties have a place of their own", () => {
    expect(judgeList(codec, CONNECT, properties(0x21, 0, 7))).toBe(OK);
    const list = properties(0x18, 0, 0, 1, 0, 0x01, 0);
    expect(judgeList(codec, WILL, list)).toBe(OK);
    expect(decoded(codec, D_WILL_PRESENT)).toBe((1 << 1) | (1 << 0x18));
    expect(decoded(codec, D_WILL_PROPERTIES_BYTES)).toBe(list.length - 1);
    expect(decoded(codec, D_WILL_VALUES + 8 * 0x18)).toBe(256);
    expect(decoded(codec, D_PROPERTIES_BYTES)).toBe(3);
    expect(decoded(codec, D_VALUES + 8 * 0x21)).toBe(7);
    expect(codec.hasProperty(0x18)).toBe(0);
  });
});
