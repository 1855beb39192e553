/**
 * Where mqtt-packet 9.0.2 and the rules of the standard part, by name: nothing else may differ.
 *
 * Each row is asserted to diverge still, so that a new mqtt-packet shows which rows can go.
 */
import type { ClientPacket, Properties, Version } from "../support/packets-types.ts";
import type { Rule } from "../support/reference-decoder-rules.ts";

/** mqtt-packet accepts what this rule refuses, in these forms of malformed.ts. */
export interface Laxer {
  readonly rule: Rule;
  /** "" for a rule with one form only. */
  readonly forms: readonly string[];
  readonly why: string;
}

export const LAXER: readonly Laxer[] = [
  { rule: "DUP with QoS 0", forms: [""], why: "DUP is read, not judged" },
  {
    rule: "Remaining Length not minimal",
    forms: ["", "three bytes for 4"],
    why: "no check for the shortest encoding",
  },
  {
    rule: "not exactly one packet",
    forms: ["two packets"],
    why: "it takes a stream: two packets are two events",
  },
  {
    rule: "field cut off",
    forms: ["Packet Identifier", "Property Length", "PUBACK"],
    why: "a missing number reads as -1, a missing list as empty",
  },
  {
    rule: "bytes behind the last field",
    forms: ["CONNECT", "PUBACK", "DISCONNECT", "AUTH"],
    why: "what follows the last field is skipped",
  },
  {
    rule: "Remaining Length of the type",
    forms: ["PUBACK", "PUBREL", "PINGREQ", "DISCONNECT"],
    why: "what follows the last field is skipped",
  },
  {
    rule: "ill-formed UTF-8",
    forms: [
      "no such byte",
      "overlong",
      "surrogate",
      "above U+10FFFF",
      "cut character",
      "Topic Filter",
      "Reason String",
    ],
    why: "ill-formed bytes become U+FFFD",
  },
  {
    rule: "U+0000 in a string",
    forms: ["Topic Name", "Client Identifier"],
    why: "no check of characters",
  },
  {
    rule: "Variable Byte Integer not minimal",
    forms: ["Property Length", "Subscription Identifier"],
    why: "no check for the shortest encoding",
  },
  {
    rule: "property unknown or misplaced",
    forms: ["misplaced in PUBLISH", "Reason String in SUBSCRIBE"],
    why: "one property table for all packets",
  },
  { rule: "property repeated", forms: ["with the same value"], why: "repeats overwrite or gather" },
  {
    rule: "property repeated",
    forms: ["Subscription Identifier"],
    why: "repeats gather in an array",
  },
  {
    rule: "property above 1",
    forms: [
      "Payload Format Indicator",
      "Request Problem Information",
      "Request Response Information",
    ],
    why: "anything but 0 reads as true",
  },
  {
    rule: "property 0",
    forms: ["Receive Maximum", "Maximum Packet Size", "Subscription Identifier"],
    why: "values are not judged",
  },
  { rule: "Topic Alias 0", forms: [""], why: "values are not judged" },
  {
    rule: "Subscription Identifier in PUBLISH from a client",
    forms: [""],
    why: "it does not know who sends",
  },
  { rule: "Server Reference from a client", forms: [""], why: "it does not know who sends" },
  {
    rule: "Response Topic empty or with wildcard",
    forms: ["empty", "wildcard"],
    why: "values are not judged",
  },
  { rule: "Authentication Data without Method", forms: [""], why: "no rules across properties" },
  {
    rule: "protocol level",
    forms: ["MQTT with 3", "MQIsdp with 4"],
    why: "name and level are judged apart",
  },
  { rule: "Will QoS 3", forms: [""], why: "Will QoS is read, not judged" },
  { rule: "password without user name", forms: [""], why: "no rules across Connect Flags" },
  {
    rule: "Will Topic empty or with wildcard",
    forms: ["empty", "wildcard"],
    why: "topics are not judged",
  },
  { rule: "Topic Name with wildcard", forms: ["#", "+"], why: "topics are not judged" },
  { rule: "empty Topic Name before version 5", forms: [""], why: "topics are not judged" },
  { rule: "empty Topic Name without Topic Alias", forms: [""], why: "topics are not judged" },
  {
    rule: "Packet Identifier 0",
    forms: ["PUBLISH", "PUBACK", "PUBREL", "SUBSCRIBE", "UNSUBSCRIBE"],
    why: "identifiers are not judged",
  },
  {
    rule: "Reason Code not in the table",
    forms: ["DISCONNECT, only a server's", "AUTH, only a server's"],
    why: "one table for both directions",
  },
  {
    rule: "no Topic Filter",
    forms: ["SUBSCRIBE", "SUBSCRIBE 5.0", "UNSUBSCRIBE"],
    why: "an empty list is a list",
  },
  {
    rule: "Topic Filter",
    forms: ["empty", "# in a level", "# not last", "+ in a level", "UNSUBSCRIBE"],
    why: "topics are not judged",
  },
  {
    rule: "AUTH without Authentication Method",
    forms: ["no list", "empty list"],
    why: "no rules across properties",
  },
];

/** mqtt-packet refuses what the rules accept, with this error. */
export interface Stricter {
  readonly error: RegExp;
  readonly version: Version;
  /** A valid packet that it refuses. */
  readonly bytes: string;
  readonly why: string;
}

export const STRICTER: readonly Stricter[] = [
  {
    error: /Cannot parse username/,
    version: 3,
    bytes: '10 0f 00 06 "MQIsdp" 03 82 00 3c 00 01 "a"',
    why: "MQTT 3.1 lets a user name be missing that the flags announce",
  },
  {
    error: /Cannot parse password/,
    version: 3,
    bytes: '10 12 00 06 "MQIsdp" 03 c2 00 3c 00 01 "a" 00 01 "u"',
    why: "MQTT 3.1 lets a password be missing that the flags announce",
  },
  {
    error: /Invalid header flag bits/,
    version: 3,
    bytes: '8a 06 12 34 00 01 "a" 00',
    why: "MQTT 3.1 sends with DUP what has QoS 1",
  },
];

/** A valid packet that mqtt-packet reads, or writes, otherwise than it stands. */
export interface Otherwise {
  readonly name: string;
  readonly version: Version;
  readonly bytes: string;
  readonly covers: (packet: ClientPacket) => boolean;
}

function propertyLists(packet: ClientPacket): readonly Properties[] {
  const own = "properties" in packet ? packet.properties : [];
  const will = packet.type === "connect" && packet.will !== null ? packet.will.properties : [];
  return [own, will];
}

/** A User Property with an empty value, and behind it another of the same name. */
function losesUserProperty(list: Properties): boolean {
  const pairs = list.flatMap(([, value]) => (Array.isArray(value) ? [value] : []));
  return pairs.some(([name, value], index) => {
    return value === "" && pairs.slice(index + 1).some(([other]) => other === name);
  });
}

export const READS_OTHERWISE: readonly Otherwise[] = [
  {
    name: "an empty User Property is lost when its name comes again",
    version: 5,
    bytes: '30 12 00 01 "a" 0d 26 00 01 "k" 00 00 26 00 01 "k" 00 01 "v" "x"',
    covers: (packet) => propertyLists(packet).some(losesUserProperty),
  },
];

/** Valid packets that mqtt-packet will not write. */
export const DOES_NOT_WRITE: readonly Otherwise[] = [
  {
    name: "an empty Client Identifier in version 3.1",
    version: 3,
    bytes: '10 0e 00 06 "MQIsdp" 03 02 00 3c 00 00',
    covers: (packet) =>
      packet.type === "connect" && packet.version === 3 && packet.clientIdentifier === "",
  },
  {
    name: "an empty Client Identifier without Clean Start",
    version: 5,
    bytes: '10 0d 00 04 "MQTT" 05 00 00 3c 00 00 00',
    covers: (packet) =>
      packet.type === "connect" && !packet.cleanStart && packet.clientIdentifier === "",
  },
  {
    name: "a password without user name",
    version: 5,
    bytes: '10 11 00 04 "MQTT" 05 42 00 3c 00 00 01 "a" 00 01 "p"',
    covers: (packet) =>
      packet.type === "connect" && packet.userName === null && packet.password !== null,
  },
];
