/** Control Packets of a client: which are accepted, and which Reason Code refuses the others. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as abi from "#assembly/abi";
import {
  MALFORMED_PACKET,
  PROTOCOL_ERROR,
  TOPIC_ALIAS_INVALID,
  TOPIC_FILTER_INVALID,
  TOPIC_NAME_INVALID,
  UNSUPPORTED_PROTOCOL_VERSION,
} from "#assembly/spec";
import {
  BUILDS,
  decoded,
  decodedText,
  field,
  joined,
  judge,
  loadCodec,
  type Part,
  packet,
  placeAtEnd,
  properties,
} from "../support/codec-engine.ts";

const OK = 0;
const MALFORMED = MALFORMED_PACKET;
const PROTOCOL = PROTOCOL_ERROR;
const VERSION = UNSUPPORTED_PROTOCOL_VERSION;
const NONE = properties();
const ID = [0x12, 0x34];
const METHOD = [0x15, field("m")];

/** Title, protocol version, first byte, body, Reason Code. */
type Row = readonly [title: string, version: number, first: number, body: Part, reason: number];

const MQTT = field("MQTT");
const CLIENT = field("c");

/** CONNECT of a version: flags, then the fields behind Keep Alive. */
function connect(version: 3 | 4 | 5, flags: number, ...rest: readonly Part[]): readonly Part[] {
  return [version === 3 ? field("MQIsdp") : MQTT, version, flags, 0x00, 0x3c, ...rest];
}

const CONNECTS: readonly (readonly [title: string, body: Part, reason: number])[] = [
  ["MQTT 3.1", connect(3, 2, CLIENT), OK],
  ["MQTT 3.1.1", connect(4, 2, CLIENT), OK],
  ["MQTT 5.0", connect(5, 2, NONE, CLIENT), OK],
  ["empty Client Identifier", connect(4, 0, field("")), OK],
  ["no body", [], MALFORMED],
  ["name cut off", [0, 4, "MQT"], MALFORMED],
  ["name's length cut off", [0], MALFORMED],
  ["other name [MQTT-3.1.2-1]", [field("MQTZ"), 4, 2, 0, 0, CLIENT], VERSION],
  ["name in lower case", [field("mqtt"), 4, 2, 0, 0, CLIENT], VERSION],
  ["empty name", [field(""), 4, 2, 0, 0, CLIENT], VERSION],
  ["empty name, nothing behind it", [field("")], VERSION],
  ["longer name", [field("MQTTT"), 4, 2, 0, 0, CLIENT], VERSION],
  ["MQIsdq", [field("MQIsdq"), 3, 2, 0, 0, CLIENT], VERSION],
  ["other name, ill-formed", [field(0xff)], VERSION],
  ["other name, nothing behind it", [field("X")], VERSION],
  ["level cut off", [MQTT], MALFORMED],
  ["MQTT, level 3 [MQTT-3.1.2-2]", [MQTT, 3, 2, 0, 0, CLIENT], VERSION],
  ["MQTT, level 6 [MQTT-3.1.2-2]", [MQTT, 6], VERSION],
  ["a bridge of 3.1.1", [MQTT, 0x84, 2, 0, 0, CLIENT], OK],
  ["a bridge of 3.1", [field("MQIsdp"), 0x83, 2, 0, 0, CLIENT], OK],
  ["no bridge of 5.0 says so", [MQTT, 0x85, 2, 0, 0, NONE, CLIENT], VERSION],
  ["a bridge of another level", [MQTT, 0x83, 2, 0, 0, CLIENT], VERSION],
  ["MQIsdp, level 4", [field("MQIsdp"), 4, 2, 0, 0, CLIENT], VERSION],
  ["flags cut off", [MQTT, 4], MALFORMED],
  ["reserved flag [MQTT-3.1.2-3]", connect(4, 3, CLIENT), MALFORMED],
  ["Will QoS without Will [MQTT-3.1.2-11]", connect(4, 0x08, CLIENT), MALFORMED],
  ["Will Retain without Will [MQTT-3.1.2-13]", connect(5, 0x20, NONE, CLIENT), MALFORMED],
  ["Will QoS 3 [MQTT-3.1.2-12]", connect(4, 0x1e, CLIENT, field("w"), field("")), MALFORMED],
  ["Password alone, 3.1", connect(3, 0x42, CLIENT, field("p")), MALFORMED],
  ["Password alone [MQTT-3.1.2-22 @3.1.1]", connect(4, 0x42, CLIENT, field("p")), MALFORMED],
  ["Password alone, 5.0", connect(5, 0x42, NONE, CLIENT, field("p")), OK],
  ["Keep Alive missing", [MQTT, 4, 2], MALFORMED],
  ["Keep Alive cut off", [MQTT, 4, 2, 0], MALFORMED],
  ["flags told before Keep Alive is missing", [MQTT, 4, 3], MALFORMED],
  ["properties missing", connect(5, 2), MALFORMED],
  ["Receive Maximum 0", connect(5, 2, properties(0x21, 0, 0), CLIENT), PROTOCOL],
  ["Topic Alias", connect(5, 2, properties(0x23, 0, 1), CLIENT), MALFORMED],
  ["Will Delay outside the Will", connect(5, 2, properties(0x18, 0, 0, 0, 0)), MALFORMED],
  ["Client Identifier missing [MQTT-3.1.3-3]", connect(4, 2), MALFORMED],
  ["Client Identifier cut off", connect(4, 2, 0, 2, "c"), MALFORMED],
  ["Client Identifier ill-formed [MQTT-3.1.3-4]", connect(4, 2, field(0xff)), MALFORMED],
  ["Client Identifier with U+0000", connect(4, 2, field("a\0")), MALFORMED],
  ["Client Identifier with U+FEFF", connect(4, 2, field("\uFEFF")), OK],
  ["bytes left over", connect(4, 2, CLIENT, 0), MALFORMED],
  ["user name missing [MQTT-3.1.2-17]", connect(4, 0x82, CLIENT), MALFORMED],
  ["user name left over [MQTT-3.1.2-16]", connect(4, 2, CLIENT, field("u")), MALFORMED],
  ["user name ill-formed [MQTT-3.1.3-12]", connect(4, 0x82, CLIENT, field(0xc0)), MALFORMED],
  ["user name missing, 3.1", connect(3, 0x82, CLIENT), OK],
  ["user name and password missing, 3.1", connect(3, 0xc2, CLIENT), OK],
  ["password missing, 3.1", connect(3, 0xc2, CLIENT, field("u")), OK],
  ["user name cut off, 3.1", connect(3, 0x82, CLIENT, 0), MALFORMED],
  ["user name alone", connect(3, 0x82, CLIENT, field("u")), OK],
  ["password missing [MQTT-3.1.2-19]", connect(4, 0xc2, CLIENT, field("u")), MALFORMED],
  ["password of any bytes", connect(4, 0xc2, CLIENT, field("u"), field(0, 0xff)), OK],
  ["Will", connect(4, 0x36, CLIENT, field("w"), field(0, 0xff)), OK],
  ["Will, empty payload", connect(5, 0x06, NONE, CLIENT, NONE, field("w"), field("")), OK],
  ["Will Topic missing [MQTT-3.1.2-9]", connect(4, 0x06, CLIENT), MALFORMED],
  ["Will Payload missing", connect(4, 0x06, CLIENT, field("w")), MALFORMED],
  ["Will Payload cut off", connect(4, 0x06, CLIENT, field("w"), 0, 2, 1), MALFORMED],
  [
    "Will Topic ill-formed [MQTT-3.1.3-11]",
    connect(4, 0x06, CLIENT, field("#", 0xff), field("")),
    MALFORMED,
  ],
  ["Will Topic empty", connect(4, 0x06, CLIENT, field(""), field("")), TOPIC_NAME_INVALID],
  ["Will Topic with a wildcard", connect(4, 0x06, CLIENT, field("a/#")), TOPIC_NAME_INVALID],
  ["Will Properties missing", connect(5, 0x06, NONE, CLIENT), MALFORMED],
  [
    "Will Delay in the Will",
    connect(5, 0x06, NONE, CLIENT, properties(0x18, 0, 0, 0, 5), field("w"), field("")),
    OK,
  ],
  ["Topic Alias in the Will", connect(5, 6, NONE, CLIENT, properties(0x23, 0, 1)), MALFORMED],
  [
    "Will Properties told before Will Topic",
    connect(5, 6, NONE, CLIENT, properties(1, 2), field("#")),
    PROTOCOL,
  ],
];

const TOPIC = field("a/b");

const PUBLISHES: readonly Row[] = [
  ["QoS 0", 4, 0x30, [TOPIC, "payload"], OK],
  ["QoS 0, 3.1", 3, 0x31, [TOPIC], OK],
  ["QoS 1", 4, 0x32, [TOPIC, ID], OK],
  ["QoS 2 with DUP and RETAIN", 4, 0x3d, [TOPIC, ID, "payload"], OK],
  ["QoS 0, 5.0", 5, 0x30, [TOPIC, NONE, "payload"], OK],
  ["QoS 1, 5.0", 5, 0x32, [TOPIC, ID, properties(0x01, 1), "payload"], OK],
  ["payload may be anything", 4, 0x30, [TOPIC, 0x00, 0xff], OK],
  ["no body", 4, 0x30, [], MALFORMED],
  ["topic's length cut off", 4, 0x30, [0], MALFORMED],
  ["topic cut off", 4, 0x30, [0, 2, "a"], MALFORMED],
  ["topic ill-formed [MQTT-3.3.2-1]", 4, 0x30, [field(0xff)], MALFORMED],
  ["topic with U+0000 [MQTT-1.5.4-2]", 5, 0x30, [field("a\0"), NONE], MALFORMED],
  ["topic with a wildcard [MQTT-3.3.2-2]", 4, 0x30, [field("a/+")], TOPIC_NAME_INVALID],
  ["topic with a wildcard, 5.0", 5, 0x30, [field("#"), NONE], TOPIC_NAME_INVALID],
  ["topic ill-formed and with a wildcard", 4, 0x30, [field("#", 0xff)], MALFORMED],
  ["empty topic [MQTT-4.7.3-1 @3.1.1]", 4, 0x30, [field("")], TOPIC_NAME_INVALID],
  ["empty topic, 3.1", 3, 0x30, [field(""), "p"], TOPIC_NAME_INVALID],
  ["empty topic told before identifier 0", 4, 0x32, [field(""), 0, 0], TOPIC_NAME_INVALID],
  ["empty topic told before a cut identifier", 4, 0x32, [field("")], TOPIC_NAME_INVALID],
  ["empty topic without Topic Alias", 5, 0x30, [field(""), NONE], PROTOCOL],
  ["empty topic, other properties", 5, 0x30, [field(""), properties(0x01, 0)], PROTOCOL],
  ["empty topic with Topic Alias", 5, 0x30, [field(""), properties(0x23, 0, 1), "p"], OK],
  ["empty topic, properties malformed", 5, 0x30, [field(""), properties(0x04)], MALFORMED],
  ["empty topic, properties missing", 5, 0x30, [field("")], MALFORMED],
  ["empty topic, identifier 0", 5, 0x32, [field(""), 0, 0, NONE], PROTOCOL],
  ["identifier 0 [MQTT-2.2.1-3]", 4, 0x32, [TOPIC, 0, 0], PROTOCOL],
  ["identifier 0, QoS 2, 5.0", 5, 0x34, [TOPIC, 0, 0, NONE], PROTOCOL],
  ["identifier 0x0100", 4, 0x32, [TOPIC, 1, 0], OK],
  ["identifier missing", 4, 0x32, [TOPIC], MALFORMED],
  ["identifier cut off", 4, 0x34, [TOPIC, 1], MALFORMED],
  ["wildcard told before identifier 0", 4, 0x32, [field("+"), 0, 0], TOPIC_NAME_INVALID],
  ["wildcard told before a cut identifier", 4, 0x32, [field("+"), 0], TOPIC_NAME_INVALID],
  ["ill-formed told before identifier 0", 4, 0x32, [field(0xff), 0, 0], MALFORMED],
  ["wildcard told before bad properties", 5, 0x30, [field("+"), 9], TOPIC_NAME_INVALID],
  ["identifier 0 told before bad properties", 5, 0x32, [TOPIC, 0, 0, 9], PROTOCOL],
  ["properties missing", 5, 0x30, [TOPIC], MALFORMED],
  ["properties longer than the packet", 5, 0x30, [TOPIC, 3, 0x01, 0], MALFORMED],
  ["Topic Alias 0 [MQTT-3.3.2-8]", 5, 0x30, [TOPIC, properties(0x23, 0, 0)], TOPIC_ALIAS_INVALID],
  ["Subscription Identifier [MQTT-3.3.4-6]", 5, 0x30, [TOPIC, properties(0x0b, 1)], PROTOCOL],
  ["Receive Maximum", 5, 0x30, [TOPIC, properties(0x21, 0, 1)], MALFORMED],
  ["repeat", 5, 0x30, [TOPIC, properties(0x01, 1, 0x01, 1)], PROTOCOL],
];

const RECEIPTS = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const DISCONNECTS = [
  ...[0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93],
  ...[0x94, 0x95, 0x96, 0x97, 0x98, 0x99],
];
/** The Reason Codes that a packet of a client may carry, by its first byte. */
const REASONS: readonly (readonly [name: string, first: number, codes: readonly number[]])[] = [
  ["PUBACK", 0x40, RECEIPTS],
  ["PUBREC", 0x50, RECEIPTS],
  ["PUBREL", 0x62, [0x00, 0x92]],
  ["PUBCOMP", 0x70, [0x00, 0x92]],
];

const TEXT = properties(0x1f, field("why"), 0x26, field("k"), field("v"));

/** The same rules for all four acknowledgements. */
const ACKNOWLEDGEMENTS: readonly Row[] = REASONS.flatMap(([name, first]): readonly Row[] => [
  [`${name} 3.1`, 3, first, ID, OK],
  [`${name} 3.1.1`, 4, first, ID, OK],
  [`${name} 5.0`, 5, first, ID, OK],
  [`${name} empty`, 4, first, [], MALFORMED],
  [`${name} empty, 5.0`, 5, first, [], MALFORMED],
  [`${name} of one byte`, 4, first, [1], MALFORMED],
  [`${name} of one byte, 5.0`, 5, first, [1], MALFORMED],
  [`${name} of three bytes, 3.1.1`, 4, first, [ID, 0], MALFORMED],
  [`${name} of three bytes and identifier 0, 3.1.1`, 4, first, [0, 0, 0], MALFORMED],
  [`${name} identifier 0`, 4, first, [0, 0], PROTOCOL],
  [`${name} identifier 0, 5.0`, 5, first, [0, 0], PROTOCOL],
  [`${name} identifier 0 with a code`, 5, first, [0, 0, 0], PROTOCOL],
  [`${name} identifier 0 with bad properties`, 5, first, [0, 0, 0, 9], PROTOCOL],
  [`${name} no properties`, 5, first, [ID, 0, NONE], OK],
  [`${name} Reason String and User Property`, 5, first, [ID, 0, TEXT], OK],
  [`${name} long property list`, 5, first, [ID, 0, properties(0x1f, field("x".repeat(200)))], OK],
  [`${name} Session Expiry`, 5, first, [ID, 0, properties(0x11, 0, 0, 0, 0)], MALFORMED],
  [`${name} properties cut off`, 5, first, [ID, 0, 2, 0x1f], MALFORMED],
  [`${name} bytes left over`, 5, first, [ID, 0, NONE, 0], MALFORMED],
  [`${name} code told before bad properties`, 5, first, [ID, 0x01, 9], PROTOCOL],
]);

const FILTER = field("a/+");

const SUBSCRIBES: readonly Row[] = [
  ["one filter, 3.1", 3, 0x82, [ID, FILTER, 0], OK],
  ["two filters", 4, 0x82, [ID, FILTER, 1, field("#"), 2], OK],
  ["one filter, 5.0", 5, 0x82, [ID, NONE, FILTER, 0x2e], OK],
  ["no body", 4, 0x82, [], MALFORMED],
  ["identifier cut off", 4, 0x82, [1], MALFORMED],
  ["identifier 0 [MQTT-2.2.1-3]", 4, 0x82, [0, 0, FILTER, 0], PROTOCOL],
  ["identifier 0 and no more", 5, 0x82, [0, 0], PROTOCOL],
  ["properties missing", 5, 0x82, [ID], MALFORMED],
  ["no filter [MQTT-3.8.3-2]", 5, 0x82, [ID, NONE], PROTOCOL],
  ["no filter [MQTT-3.8.3-3 @3.1.1]", 4, 0x82, [ID], PROTOCOL],
  ["Subscription Identifier", 5, 0x82, [ID, properties(0x0b, 1), FILTER, 0], OK],
  ["Subscription Identifier 0", 5, 0x82, [ID, properties(0x0b, 0), FILTER, 0], PROTOCOL],
  ["two of them", 5, 0x82, [ID, properties(0x0b, 1, 0x0b, 2), FILTER, 0], PROTOCOL],
  ["Reason String", 5, 0x82, [ID, properties(0x1f, field("")), FILTER, 0], MALFORMED],
  ["filter cut off", 4, 0x82, [ID, 0, 2, "a"], MALFORMED],
  ["filter's length cut off", 4, 0x82, [ID, FILTER, 0, 0], MALFORMED],
  ["filter ill-formed [MQTT-3.8.3-1]", 4, 0x82, [ID, field(0xff), 0], MALFORMED],
  ["filter empty [MQTT-4.7.3-1]", 4, 0x82, [ID, field(""), 0], TOPIC_FILTER_INVALID],
  ["# not last [MQTT-4.7.1-1]", 4, 0x82, [ID, field("#/a"), 0], TOPIC_FILTER_INVALID],
  ["+ beside text [MQTT-4.7.1-2]", 5, 0x82, [ID, NONE, field("a+"), 0], TOPIC_FILTER_INVALID],
  ["bad filter told before bad options", 4, 0x82, [ID, field("a#"), 3], TOPIC_FILTER_INVALID],
  ["bad filter told before no options", 4, 0x82, [ID, field("a#")], TOPIC_FILTER_INVALID],
  ["second filter bad", 4, 0x82, [ID, FILTER, 0, field("a#"), 0], TOPIC_FILTER_INVALID],
  ["options cut off", 4, 0x82, [ID, FILTER], MALFORMED],
  ["options of the second cut off", 5, 0x82, [ID, NONE, FILTER, 0, FILTER], MALFORMED],
  ["QoS 3 [MQTT-3.8.3-4 @3.1.1]", 4, 0x82, [ID, FILTER, 3], MALFORMED],
  ["No Local in 3.1.1 [MQTT-3.8.3-4 @3.1.1]", 4, 0x82, [ID, FILTER, 4], MALFORMED],
  ["options 0x80 in 3.1", 3, 0x82, [ID, FILTER, 0x80], MALFORMED],
  ["QoS 3, 5.0", 5, 0x82, [ID, NONE, FILTER, 3], PROTOCOL],
  ["Retain Handling 3", 5, 0x82, [ID, NONE, FILTER, 0x30], PROTOCOL],
  ["bit 6 [MQTT-3.8.3-5]", 5, 0x82, [ID, NONE, FILTER, 0x40], MALFORMED],
  ["bit 7 [MQTT-3.8.3-5]", 5, 0x82, [ID, NONE, FILTER, 0x80], MALFORMED],
  ["bit 7 told before QoS 3", 5, 0x82, [ID, NONE, FILTER, 0x83], MALFORMED],
  ["UNSUBSCRIBE", 4, 0xa2, [ID, FILTER, field("#")], OK],
  ["UNSUBSCRIBE, 5.0", 5, 0xa2, [ID, properties(0x26, field(""), field("")), FILTER], OK],
  ["UNSUBSCRIBE without filter [MQTT-3.10.3-2]", 4, 0xa2, [ID], PROTOCOL],
  ["UNSUBSCRIBE without filter, 5.0", 5, 0xa2, [ID, NONE], PROTOCOL],
  ["UNSUBSCRIBE identifier 0", 4, 0xa2, [0, 0, FILTER], PROTOCOL],
  ["UNSUBSCRIBE ill-formed [MQTT-3.10.3-1]", 4, 0xa2, [ID, field(0xc0)], MALFORMED],
  ["UNSUBSCRIBE empty filter", 4, 0xa2, [ID, field("")], TOPIC_FILTER_INVALID],
  ["UNSUBSCRIBE with an options byte", 4, 0xa2, [ID, FILTER, 0], MALFORMED],
  ["UNSUBSCRIBE Subscription Identifier", 5, 0xa2, [ID, properties(0x0b, 1), FILTER], MALFORMED],
];

const SHORT: readonly Row[] = [
  ["PINGREQ", 4, 0xc0, [], OK],
  ["PINGREQ, 5.0", 5, 0xc0, [], OK],
  ["PINGREQ with a byte", 5, 0xc0, [0], MALFORMED],
  ["DISCONNECT, 3.1", 3, 0xe0, [], OK],
  ["DISCONNECT, 3.1.1", 4, 0xe0, [], OK],
  ["DISCONNECT with a byte, 3.1.1", 4, 0xe0, [0], MALFORMED],
  ["DISCONNECT, 5.0", 5, 0xe0, [], OK],
  ["DISCONNECT with Will, no properties", 5, 0xe0, [4, NONE], OK],
  ["DISCONNECT Session Expiry", 5, 0xe0, [0, properties(0x11, 0, 0, 0, 1, 0x1f, field(""))], OK],
  ["DISCONNECT Server Reference", 5, 0xe0, [0, properties(0x1c, field("s"))], PROTOCOL],
  ["DISCONNECT Receive Maximum", 5, 0xe0, [0, properties(0x21, 0, 1)], MALFORMED],
  ["DISCONNECT properties cut off", 5, 0xe0, [0, 9], MALFORMED],
  ["DISCONNECT bytes left over", 5, 0xe0, [0, NONE, 0], MALFORMED],
  ["DISCONNECT code told before properties", 5, 0xe0, [0x8b, 9], PROTOCOL],
  ["AUTH 3.1.1", 4, 0xf0, [], MALFORMED],
  ["AUTH 3.1, whatever it holds", 3, 0xf0, [0x18, properties(METHOD)], MALFORMED],
  ["AUTH continue", 5, 0xf0, [0x18, properties(METHOD, 0x16, field(0xff))], OK],
  ["AUTH again", 5, 0xf0, [0x19, properties(METHOD, TEXT.subarray(1))], OK],
  ["AUTH empty", 5, 0xf0, [], PROTOCOL],
  ["AUTH Success", 5, 0xf0, [0, properties(METHOD)], PROTOCOL],
  ["AUTH other code", 5, 0xf0, [0x1a, properties(METHOD)], PROTOCOL],
  ["AUTH without properties", 5, 0xf0, [0x18], PROTOCOL],
  ["AUTH without method", 5, 0xf0, [0x18, NONE], PROTOCOL],
  ["AUTH without method, with data", 5, 0xf0, [0x18, properties(0x16, field(""))], PROTOCOL],
  ["AUTH without method, malformed", 5, 0xf0, [0x18, properties(0x1f)], MALFORMED],
  ["AUTH without method, bytes left over", 5, 0xf0, [0x18, NONE, 0], MALFORMED],
  ["AUTH data alone, bytes left over", 5, 0xf0, [0x18, properties(0x16, field("")), 0], PROTOCOL],
  ["AUTH bytes left over", 5, 0xf0, [0x18, properties(METHOD), 0], MALFORMED],
  ["CONNACK", 5, 0x20, [0, 0, 0], PROTOCOL],
  ["SUBACK", 4, 0x90, [ID, 0], PROTOCOL],
  ["UNSUBACK", 4, 0xb0, ID, PROTOCOL],
  ["PINGRESP", 4, 0xd0, [], PROTOCOL],
];

/** All rows of all tables. */
const ROWS: readonly Row[] = [
  ...CONNECTS.map(([title, body, reason]): Row => [title, 0, 0x10, body, reason]),
  ...[PUBLISHES, ACKNOWLEDGEMENTS, SUBSCRIBES, SHORT].flat(),
];

describe.each(BUILDS)("decode, %s build", (build) => {
  const codec = loadCodec(build);

  test.each(CONNECTS)("CONNECT: %s", (_title, body, reason) => {
    // It tells its version: that of the Network Connection does not matter.
    for (const version of [0, 3, 4, 5]) {
      expect(judge(codec, version, packet(0x10, body))).toBe(reason);
    }
  });

  test.each(PUBLISHES)("PUBLISH: %s", (_title, version, first, body, reason) => {
    expect(judge(codec, version, packet(first, body))).toBe(reason);
  });

  test.each(ACKNOWLEDGEMENTS)("%s", (_title, version, first, body, reason) => {
    expect(judge(codec, version, packet(first, body))).toBe(reason);
  });

  test.each(SUBSCRIBES)("SUBSCRIBE: %s", (_title, version, first, body, reason) => {
    expect(judge(codec, version, packet(first, body))).toBe(reason);
  });

  test.each(SHORT)("%s", (_title, version, first, body, reason) => {
    expect(judge(codec, version, packet(first, body))).toBe(reason);
  });

  test.each(REASONS)("%s: the Reason Codes of its table", (_name, first, codes) => {
    for (let code = 0; code < 256; code++) {
      const reason = codes.includes(code) ? OK : PROTOCOL;
      expect([code, judge(codec, 5, packet(first, ID, code))]).toEqual([code, reason]);
      if (reason === OK) expect(decoded(codec, abi.D_REASON)).toBe(code);
      expect(judge(codec, 5, packet(first, ID, code, TEXT))).toBe(reason);
    }
  });

  test("DISCONNECT: the Reason Codes that a client may send [MQTT-3.14.2-1]", () => {
    for (let code = 0; code < 256; code++) {
      const reason = DISCONNECTS.includes(code) ? OK : PROTOCOL;
      expect([code, judge(codec, 5, packet(0xe0, code))]).toEqual([code, reason]);
      if (reason === OK) expect(decoded(codec, abi.D_REASON)).toBe(code);
    }
  });

  test("AUTH: the Reason Codes that a client may send [MQTT-3.15.2-1]", () => {
    for (let code = 0; code < 256; code++) {
      const reason = code === 0x18 || code === 0x19 ? OK : PROTOCOL;
      expect(judge(codec, 5, packet(0xf0, code, properties(METHOD)))).toBe(reason);
    }
  });

  test("CONNECT leaves all its fields", () => {
    const list = properties(0x11, 0, 0, 0, 9);
    const will = properties(0x18, 0, 0, 0, 3);
    const rest = [
      field("client"),
      will,
      field("will/topic"),
      field("gone"),
      field("me"),
      field(""),
    ];
    expect(judge(codec, 0, packet(0x10, connect(5, 0xf6, list, ...rest)))).toBe(OK);
    expect(decoded(codec, abi.D_TYPE)).toBe(1);
    expect(decoded(codec, abi.D_FLAGS)).toBe(0);
    expect(decoded(codec, abi.D_END)).toBe(codec.bytes.length);
    expect(decoded(codec, abi.D_VERSION)).toBe(5);
    expect(decoded(codec, abi.D_CONNECT_FLAGS)).toBe(0xf6);
    expect(decoded(codec, abi.D_KEEP_ALIVE)).toBe(60);
    expect(decodedText(codec, abi.D_CLIENT_ID_AT)).toBe("client");
    expect(decodedText(codec, abi.D_WILL_TOPIC_AT)).toBe("will/topic");
    expect(decodedText(codec, abi.D_WILL_PAYLOAD_AT)).toBe("gone");
    expect(decodedText(codec, abi.D_USER_NAME_AT)).toBe("me");
    expect(decodedText(codec, abi.D_PASSWORD_AT)).toBe("");
    expect(decoded(codec, abi.D_PASSWORD_AT)).toBe(codec.bytes.length);
    expect(decoded(codec, abi.D_PRESENT)).toBe(1 << 0x11);
    expect(decoded(codec, abi.D_VALUES + 8 * 0x11)).toBe(9);
    expect(decoded(codec, abi.D_WILL_VALUES + 8 * 0x18)).toBe(3);
    // A CONNECT without them leaves nothing of the one before.
    expect(judge(codec, 0, packet(0x10, connect(4, 2, CLIENT)))).toBe(OK);
    for (const at of [abi.D_WILL_TOPIC_AT, abi.D_USER_NAME_AT, abi.D_PASSWORD_AT]) {
      expect([decoded(codec, at), decoded(codec, at + 4)]).toEqual([0, 0]);
    }
    expect([decoded(codec, abi.D_PRESENT), decoded(codec, abi.D_WILL_PRESENT)]).toEqual([0, 0]);
  });

  test("PUBLISH leaves all its fields", () => {
    const bytes = packet(0x3b, TOPIC, ID, properties(0x02, 0, 0, 1, 0), "payload");
    expect(judge(codec, 5, bytes)).toBe(OK);
    expect(decoded(codec, abi.D_AT)).toBe(codec.bytes.length - bytes.length);
    expect(decoded(codec, abi.D_TYPE)).toBe(3);
    expect(decoded(codec, abi.D_FLAGS)).toBe(0x0b);
    expect(decoded(codec, abi.D_PACKET_ID)).toBe(0x1234);
    expect(decodedText(codec, abi.D_TOPIC_AT)).toBe("a/b");
    expect(decodedText(codec, abi.D_PAYLOAD_AT)).toBe("payload");
    expect(decoded(codec, abi.D_PROPERTIES_BYTES)).toBe(5);
    expect(decoded(codec, abi.D_VALUES + 8 * 0x02)).toBe(256);
    // The next, by the hot function, leaves nothing of it.
    for (const [version, next] of [
      [4, packet(0x30, TOPIC)],
      [5, packet(0x30, TOPIC, NONE)],
    ] as const) {
      expect(judge(codec, 5, bytes)).toBe(OK);
      const at = placeAtEnd(codec, next);
      expect(codec.decodePublish(version, at, at + next.length)).toBe(0);
      expect(decoded(codec, abi.D_PACKET_ID)).toBe(0);
      expect(decoded(codec, abi.D_PRESENT)).toBe(0);
      expect(decoded(codec, abi.D_PROPERTIES_BYTES)).toBe(0);
      expect(decoded(codec, abi.D_PAYLOAD_BYTES)).toBe(0);
    }
  });

  test("decodePublish leaves the Topic Name unjudged, unless the packet is refused anyway", () => {
    for (const topic of [field("a/+"), field(0xff)]) {
      const good = packet(0x30, topic, "p");
      const at = placeAtEnd(codec, good);
      expect(codec.decodePublish(4, at, at + good.length)).toBe(0);
      const bad = packet(0x32, topic, 0, 0);
      const badAt = placeAtEnd(codec, bad);
      const reason = topic.includes(0xff) ? MALFORMED : TOPIC_NAME_INVALID;
      expect(codec.decodePublish(4, badAt, badAt + bad.length)).toBe(-reason);
    }
  });

  test("the entries of SUBSCRIBE and UNSUBSCRIBE are read one by one", () => {
    const entries = (): readonly (readonly [string, number])[] => {
      const found: (readonly [string, number])[] = [];
      for (let more = codec.firstFilter(); more === 1; more = codec.nextFilter()) {
        found.push([decodedText(codec, abi.D_FILTER_AT), decoded(codec, abi.D_FILTER_OPTIONS)]);
      }
      expect(codec.nextFilter()).toBe(0);
      return found;
    };
    const list = [field("a/+"), 0x2d, field("#"), 2, field("ü"), 0];
    expect(judge(codec, 5, packet(0x82, ID, properties(0x0b, 7), list))).toBe(OK);
    const expected = [
      ["a/+", 0x2d],
      ["#", 2],
      ["ü", 0],
    ];
    expect(entries()).toEqual(expected);
    expect(entries()).toEqual(expected);
    expect(decoded(codec, abi.D_PACKET_ID)).toBe(0x1234);
    expect(decoded(codec, abi.D_VALUES + 8 * 0x0b)).toBe(7);
    expect(judge(codec, 4, packet(0xa2, ID, field("a"), field("b/#")))).toBe(OK);
    expect(entries()).toEqual([
      ["a", 0],
      ["b/#", 0],
    ]);
  });

  test("no packet is accepted with its last byte cut off, but for shorter payloads", () => {
    for (const [title, version, first, body, reason] of ROWS) {
      const whole = joined(body);
      if (reason !== OK || whole.length === 0) continue;
      // MQTT 3.1: user name and password may be left out.
      if (first === 0x10 && whole[1] === 6 && whole[8] === 3) continue;
      for (let size = 0; size < whole.length; size++) {
        const judged = judge(codec, version, packet(first, whole.subarray(0, size)));
        if (judged === OK) expect([title, first]).toEqual([title, shortened(first, version)]);
      }
    }
  });

  test("any bytes are judged alike wherever they stand, and nothing traps", () => {
    const row = fc.constantFrom(...ROWS);
    const change = fc.tuple(fc.nat(200), fc.nat(255));
    fc.assert(
      fc.property(row, fc.array(change, { maxLength: 3 }), fc.nat(60), (each, changes, size) => {
        const [, version, first, part] = each;
        const body = joined(part);
        for (const [place, byte] of changes) if (body.length > 0) body[place % body.length] = byte;
        const bytes = packet(first, size % 2 === 0 ? body : body.subarray(0, size));
        const reason = judge(codec, version === 0 ? 4 : version, bytes);
        expect([0, 0x81, 0x82, 0x84, 0x8f, 0x90, 0x94]).toContain(reason);
      }),
      { numRuns: build === "release" ? 20_000 : 5000 },
    );
  });
});

/** The first byte, if a packet of it may be shorter and still be valid; otherwise none. */
function shortened(first: number, version: number): number {
  const type = first >> 4;
  if (type === 3 || type === 8 || type === 10) return first; // Payload, fewer filters.
  return version === 5 && type !== 1 ? first : -1; // Reason Code and properties may be left out.
}
