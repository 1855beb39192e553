/**
 * One malformed packet, or more, for each rule of the reference decoder.
 *
 * Every decoder must refuse these with the rule's Reason Code. CONNECTs carry their own version;
 * the others stand on a connection of the version given.
 */
import type { Version } from "../support/packets-types.ts";
import type { Rule } from "../support/reference-decoder-rules.ts";

export interface Malformed {
  readonly rule: Rule;
  readonly version: Version;
  /** As `hex()` reads it. */
  readonly bytes: string;
  /** Which of the rule's forms, where there are several. */
  readonly form?: string;
}

function row(rule: Rule, version: Version, bytes: string, form?: string): Malformed {
  return form === undefined ? { rule, version, bytes } : { rule, version, bytes, form };
}

const FRAMING: readonly Malformed[] = [
  row("packet type 0", 4, "00 00"),
  row("packet type 0", 5, "0f 00", "with flags"),
  row("fixed-header flags", 5, '11 0e 00 04 "MQTT" 05 02 00 3c 00 00 01 "a"', "CONNECT"),
  row("fixed-header flags", 4, "41 02 00 01", "PUBACK"),
  row("fixed-header flags", 4, "60 02 00 01", "PUBREL"),
  row("fixed-header flags", 4, '80 06 00 01 00 01 "a" 00', "SUBSCRIBE"),
  row("fixed-header flags", 4, 'a0 05 00 01 00 01 "a"', "UNSUBSCRIBE"),
  row("fixed-header flags", 5, "c1 00", "PINGREQ"),
  row("fixed-header flags", 5, "e2 00", "DISCONNECT"),
  row("fixed-header flags", 5, "f1 02 18 00", "AUTH"),
  row("PUBLISH with QoS 3", 4, '36 05 00 01 "a" 00 01'),
  row("DUP with QoS 0", 4, '38 03 00 01 "a"'),
  row("Remaining Length over four bytes", 4, "c0 80 80 80 80 00"),
  row("Remaining Length not minimal", 4, "c0 80 00"),
  row("Remaining Length not minimal", 5, '30 84 80 00 00 01 "a" 00', "three bytes for 4"),
  row("not exactly one packet", 4, "c0 00 c0 00", "two packets"),
  row("not exactly one packet", 4, '30 05 00 01 "a"', "a part of one"),
  row("packet type only a server sends", 4, "20 02 00 00", "CONNACK"),
  row("packet type only a server sends", 5, "90 04 00 01 00 00", "SUBACK"),
  row("packet type only a server sends", 4, "b0 02 00 01", "UNSUBACK"),
  row("packet type only a server sends", 5, "d0 00", "PINGRESP"),
  row("AUTH before version 5", 4, "f0 00"),
];

const FIELDS: readonly Malformed[] = [
  row("field cut off", 4, '30 03 00 02 "a"', "Topic Name"),
  row("field cut off", 4, '32 04 00 01 "a" 00', "Packet Identifier"),
  row("field cut off", 5, '30 03 00 01 "a"', "Property Length"),
  row("field cut off", 5, "40 01 00", "PUBACK"),
  row("field cut off", 4, '82 05 00 01 00 01 "a"', "Subscription Options"),
  row("field cut off", 4, 'a2 05 00 01 00 02 "a"', "Topic Filter"),
  row("field cut off", 5, '30 07 00 01 "a" 03 02 00 00', "property value"),
  row("bytes behind the last field", 4, '10 0e 00 04 "MQTT" 04 02 00 3c 00 01 "a" 00', "CONNECT"),
  row("bytes behind the last field", 5, "40 05 00 01 00 00 00", "PUBACK"),
  row("bytes behind the last field", 5, "e0 03 00 00 00", "DISCONNECT"),
  row("bytes behind the last field", 5, 'f0 07 18 04 15 00 01 "m" 00', "AUTH"),
  row("Remaining Length of the type", 4, "40 03 00 01 00", "PUBACK"),
  row("Remaining Length of the type", 4, "62 04 00 01 00 00", "PUBREL"),
  row("Remaining Length of the type", 4, "c0 01 00", "PINGREQ"),
  row("Remaining Length of the type", 4, "e0 01 00", "DISCONNECT"),
  row("ill-formed UTF-8", 4, "30 03 00 01 ff", "no such byte"),
  row("ill-formed UTF-8", 4, "30 04 00 02 c0 af", "overlong"),
  row("ill-formed UTF-8", 4, "30 05 00 03 ed a0 80", "surrogate"),
  row("ill-formed UTF-8", 4, "30 06 00 04 f4 90 80 80", "above U+10FFFF"),
  row("ill-formed UTF-8", 4, "30 04 00 02 e2 82", "cut character"),
  row("ill-formed UTF-8", 4, "82 06 00 01 00 01 ff 00", "Topic Filter"),
  row("ill-formed UTF-8", 5, "e0 06 00 04 1f 00 01 ff", "Reason String"),
  row("U+0000 in a string", 4, '30 05 00 03 "a" 00 "b"', "Topic Name"),
  row("U+0000 in a string", 4, '10 0d 00 04 "MQTT" 04 02 00 3c 00 01 00', "Client Identifier"),
];

const PROPERTIES: readonly Malformed[] = [
  row("property list longer than the packet", 5, '30 04 00 01 "a" 01'),
  row("Variable Byte Integer over four bytes", 5, '30 08 00 01 "a" 80 80 80 80 00'),
  row("Variable Byte Integer not minimal", 5, '30 05 00 01 "a" 80 00', "Property Length"),
  row("Variable Byte Integer not minimal", 5, '30 07 00 01 "a" 03 81 00 01', "identifier"),
  row(
    "Variable Byte Integer not minimal",
    5,
    '82 0a 00 01 03 0b 81 00 00 01 "a" 00',
    "Subscription Identifier",
  ),
  row("property unknown or misplaced", 5, '30 06 00 01 "a" 02 7f 00', "unknown"),
  row("property unknown or misplaced", 5, '30 07 00 01 "a" 03 21 00 01', "misplaced in PUBLISH"),
  row(
    "property unknown or misplaced",
    5,
    '82 0b 00 01 04 1f 00 01 "r" 00 01 "a" 00',
    "Reason String in SUBSCRIBE",
  ),
  row("property repeated", 5, '30 08 00 01 "a" 04 01 00 01 00', "with the same value"),
  row("property repeated", 5, '82 0b 00 01 04 0b 01 0b 02 00 01 "a" 00', "Subscription Identifier"),
  row("property above 1", 5, '30 06 00 01 "a" 02 01 02', "Payload Format Indicator"),
  row(
    "property above 1",
    5,
    '10 10 00 04 "MQTT" 05 02 00 3c 02 17 02 00 01 "a"',
    "Request Problem Information",
  ),
  row(
    "property above 1",
    5,
    '10 10 00 04 "MQTT" 05 02 00 3c 02 19 02 00 01 "a"',
    "Request Response Information",
  ),
  row("property 0", 5, '10 11 00 04 "MQTT" 05 02 00 3c 03 21 00 00 00 01 "a"', "Receive Maximum"),
  row(
    "property 0",
    5,
    '10 13 00 04 "MQTT" 05 02 00 3c 05 27 00 00 00 00 00 01 "a"',
    "Maximum Packet Size",
  ),
  row("property 0", 5, '82 09 00 01 02 0b 00 00 01 "a" 00', "Subscription Identifier"),
  row("Topic Alias 0", 5, '30 07 00 01 "a" 03 23 00 00'),
  row("Subscription Identifier in PUBLISH from a client", 5, '30 06 00 01 "a" 02 0b 01'),
  row("Server Reference from a client", 5, 'e0 06 00 04 1c 00 01 "s"'),
  row("Response Topic empty or with wildcard", 5, '30 07 00 01 "a" 03 08 00 00', "empty"),
  row("Response Topic empty or with wildcard", 5, '30 08 00 01 "a" 04 08 00 01 "#"', "wildcard"),
  row(
    "Authentication Data without Method",
    5,
    '10 12 00 04 "MQTT" 05 02 00 3c 04 16 00 01 ff 00 01 "a"',
  ),
];

const CONNECT: readonly Malformed[] = [
  row("protocol name", 4, '10 0d 00 04 "MQTt" 04 02 00 3c 00 01 "a"'),
  row("protocol name", 4, '10 0c 00 03 "MQT" 04 02 00 3c 00 01 "a"', "too short"),
  row("protocol level", 4, '10 0d 00 04 "MQTT" 03 02 00 3c 00 01 "a"', "MQTT with 3"),
  row("protocol level", 4, '10 0e 00 04 "MQTT" 06 02 00 3c 00 00 01 "a"', "MQTT with 6"),
  row("protocol level", 4, '10 0f 00 06 "MQIsdp" 04 02 00 3c 00 01 "a"', "MQIsdp with 4"),
  row("protocol level", 4, '10 0d 00 04 "MQTT" 85 02 00 3c 00 01 "a"', "bridge bit"),
  row("reserved Connect Flag", 4, '10 0d 00 04 "MQTT" 04 03 00 3c 00 01 "a"'),
  row(
    "Will QoS or Will Retain without Will Flag",
    4,
    '10 0d 00 04 "MQTT" 04 0a 00 3c 00 01 "a"',
    "QoS",
  ),
  row(
    "Will QoS or Will Retain without Will Flag",
    4,
    '10 0d 00 04 "MQTT" 04 22 00 3c 00 01 "a"',
    "Retain",
  ),
  row("Will QoS 3", 4, '10 12 00 04 "MQTT" 04 1e 00 3c 00 01 "a" 00 01 "w" 00 00'),
  row("password without user name", 4, '10 10 00 04 "MQTT" 04 42 00 3c 00 01 "a" 00 01 "p"'),
  row(
    "Will Topic empty or with wildcard",
    4,
    '10 11 00 04 "MQTT" 04 06 00 3c 00 01 "a" 00 00 00 00',
    "empty",
  ),
  row(
    "Will Topic empty or with wildcard",
    4,
    '10 12 00 04 "MQTT" 04 06 00 3c 00 01 "a" 00 01 "+" 00 00',
    "wildcard",
  ),
];

const OTHERS: readonly Malformed[] = [
  row("Topic Name with wildcard", 4, '30 05 00 03 "a/#"', "#"),
  row("Topic Name with wildcard", 5, '30 06 00 03 "a+b" 00', "+"),
  row("empty Topic Name before version 5", 4, "30 02 00 00"),
  row("empty Topic Name without Topic Alias", 5, "30 03 00 00 00"),
  row("Packet Identifier 0", 4, '32 05 00 01 "a" 00 00', "PUBLISH"),
  row("Packet Identifier 0", 4, "40 02 00 00", "PUBACK"),
  row("Packet Identifier 0", 4, "62 02 00 00", "PUBREL"),
  row("Packet Identifier 0", 4, '82 06 00 00 00 01 "a" 00', "SUBSCRIBE"),
  row("Packet Identifier 0", 4, 'a2 05 00 00 00 01 "a"', "UNSUBSCRIBE"),
  row("Reason Code not in the table", 5, "40 03 00 01 01", "PUBACK"),
  row("Reason Code not in the table", 5, "62 03 00 01 80", "PUBREL"),
  row("Reason Code not in the table", 5, "e0 01 8e", "DISCONNECT, only a server's"),
  row("Reason Code not in the table", 5, "e0 01 01", "DISCONNECT, nobody's"),
  row("Reason Code not in the table", 5, 'f0 06 00 04 15 00 01 "m"', "AUTH, only a server's"),
  row("Reason Code not in the table", 5, "f0 00", "AUTH left out"),
  row("no Topic Filter", 4, "82 02 00 01", "SUBSCRIBE"),
  row("no Topic Filter", 5, "82 03 00 01 00", "SUBSCRIBE 5.0"),
  row("no Topic Filter", 5, "a2 03 00 01 00", "UNSUBSCRIBE"),
  row("Topic Filter", 4, "82 05 00 01 00 00 00", "empty"),
  row("Topic Filter", 4, '82 08 00 01 00 03 "a#b" 00', "# in a level"),
  row("Topic Filter", 4, '82 08 00 01 00 03 "#/a" 00', "# not last"),
  row("Topic Filter", 4, '82 07 00 01 00 02 "a+" 00', "+ in a level"),
  row("Topic Filter", 4, 'a2 06 00 01 00 02 "+a"', "UNSUBSCRIBE"),
  row("reserved Subscription Options", 5, '82 07 00 01 00 00 01 "a" 40'),
  row("Subscription Options above 2 before version 5", 4, '82 06 00 01 00 01 "a" 04', "No Local"),
  row("Subscription Options above 2 before version 5", 4, '82 06 00 01 00 01 "a" 03', "QoS 3"),
  row("Subscription QoS 3", 5, '82 07 00 01 00 00 01 "a" 03'),
  row("Retain Handling 3", 5, '82 07 00 01 00 00 01 "a" 30'),
  row("AUTH without Authentication Method", 5, "f0 01 18", "no list"),
  row("AUTH without Authentication Method", 5, "f0 02 18 00", "empty list"),
];

export const MALFORMED: readonly Malformed[] = [
  ...FRAMING,
  ...FIELDS,
  ...PROPERTIES,
  ...CONNECT,
  ...OTHERS,
];
