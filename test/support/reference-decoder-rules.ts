/**
 * Every rule by which the reference decoder refuses a packet, with its Reason Code.
 *
 * A refusal names its rule, so that a disagreement with another decoder says where to look.
 */

export const RULES = {
  // Framing
  "packet type 0": 0x81,
  "fixed-header flags": 0x81,
  "PUBLISH with QoS 3": 0x81,
  "DUP with QoS 0": 0x81,
  "Remaining Length over four bytes": 0x81,
  "Remaining Length not minimal": 0x81,
  "packet larger than allowed": 0x95,
  "not exactly one packet": 0x81,
  "packet type only a server sends": 0x82,
  "AUTH before version 5": 0x81,
  "field cut off": 0x81,
  "bytes behind the last field": 0x81,
  "Remaining Length of the type": 0x81,
  "ill-formed UTF-8": 0x81,
  "U+0000 in a string": 0x81,
  // Properties
  "property list longer than the packet": 0x81,
  "Variable Byte Integer over four bytes": 0x81,
  "Variable Byte Integer not minimal": 0x81,
  "property unknown or misplaced": 0x81,
  "property repeated": 0x82,
  "property above 1": 0x82,
  "property 0": 0x82,
  "Topic Alias 0": 0x94,
  "Subscription Identifier in PUBLISH from a client": 0x82,
  "Server Reference from a client": 0x82,
  "Response Topic empty or with wildcard": 0x82,
  "Authentication Data without Method": 0x82,
  // CONNECT
  "protocol name": 0x84,
  "protocol level": 0x84,
  "reserved Connect Flag": 0x81,
  "Will QoS or Will Retain without Will Flag": 0x81,
  "Will QoS 3": 0x81,
  "password without user name": 0x81,
  "Will Topic empty or with wildcard": 0x90,
  // PUBLISH and the others
  "Topic Name with wildcard": 0x90,
  "empty Topic Name before version 5": 0x90,
  "empty Topic Name without Topic Alias": 0x82,
  "Packet Identifier 0": 0x82,
  "Reason Code not in the table": 0x82,
  "no Topic Filter": 0x82,
  "Topic Filter": 0x8f,
  "reserved Subscription Options": 0x81,
  "Subscription Options above 2 before version 5": 0x81,
  "Subscription QoS 3": 0x82,
  "Retain Handling 3": 0x82,
  "AUTH without Authentication Method": 0x82,
  // Only in what a server sends
  "CONNACK flags": 0x81,
  "packet type only a client sends": 0x82,
} as const satisfies Record<string, number>;

export type Rule = keyof typeof RULES;

/** Thrown inside the reference decoder, never out of it. Not an Error: it needs no stack. */
export class Refusal {
  readonly rule: Rule;
  readonly reasonCode: number;

  constructor(rule: Rule) {
    this.rule = rule;
    this.reasonCode = RULES[rule];
  }
}

export function refuse(rule: Rule): never {
  throw new Refusal(rule);
}

export function refuseIf(broken: boolean, rule: Rule): void {
  if (broken) throw new Refusal(rule);
}
