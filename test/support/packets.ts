/**
 * Packets written by hand in tests: each builder fills in what a test does not care about.
 *
 * `encode(5, publish({ topicName: "a" }))` gives bytes; `hex('00 04 "MQTT" 05')` reads them as they
 * stand in the pages of `test/wire`.
 */
import { propertyIdentifier } from "./packets-tables.ts";
import type {
  AcknowledgementPacket,
  AcknowledgementType,
  AuthPacket,
  ConnackPacket,
  ConnectPacket,
  DisconnectPacket,
  Properties,
  PropertyValue,
  PublishPacket,
  SubackPacket,
  SubscribePacket,
  Subscription,
  UnsubscribePacket,
  Will,
} from "./packets-types.ts";

type Fields<P> = Partial<Omit<P, "type">>;

export function connect(fields: Fields<ConnectPacket> = {}): ConnectPacket {
  return {
    type: "connect",
    version: 5,
    cleanStart: true,
    keepAliveSeconds: 60,
    properties: [],
    clientIdentifier: "a",
    will: null,
    userName: null,
    password: null,
    ...fields,
  };
}

export function will(fields: Partial<Will> = {}): Will {
  const payload = new Uint8Array();
  return { qos: 0, retain: false, properties: [], topicName: "will", payload, ...fields };
}

/** QoS 1 and 2 get Packet Identifier 1 unless told otherwise. */
export function publish(fields: Fields<PublishPacket> = {}): PublishPacket {
  return {
    type: "publish",
    duplicate: false,
    qos: 0,
    retain: false,
    topicName: "a/b",
    packetIdentifier: (fields.qos ?? 0) > 0 ? 1 : 0,
    properties: [],
    payload: new Uint8Array(),
    ...fields,
  };
}

export function acknowledgement(
  type: AcknowledgementType,
  packetIdentifier: number,
  reasonCode = 0,
  properties: Properties = [],
): AcknowledgementPacket {
  return { type, packetIdentifier, reasonCode, properties };
}

/** One subscription per Topic Filter; a string means QoS 0 and no other option. */
export function subscribe(
  packetIdentifier: number,
  filters: readonly (string | (Partial<Subscription> & { readonly topicFilter: string }))[],
  properties: Properties = [],
): SubscribePacket {
  const plain = { qos: 0, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const;
  const subscriptions = filters.map((filter) =>
    typeof filter === "string" ? { ...plain, topicFilter: filter } : { ...plain, ...filter },
  );
  return { type: "subscribe", packetIdentifier, properties, subscriptions };
}

export function unsubscribe(
  packetIdentifier: number,
  topicFilters: readonly string[],
  properties: Properties = [],
): UnsubscribePacket {
  return { type: "unsubscribe", packetIdentifier, properties, topicFilters };
}

export function disconnect(reasonCode = 0, properties: Properties = []): DisconnectPacket {
  return { type: "disconnect", reasonCode, properties };
}

export function auth(reasonCode: number, properties: Properties = []): AuthPacket {
  return { type: "auth", reasonCode, properties };
}

export function connack(fields: Fields<ConnackPacket> = {}): ConnackPacket {
  return { type: "connack", sessionPresent: false, reasonCode: 0, properties: [], ...fields };
}

export function suback(
  type: SubackPacket["type"],
  packetIdentifier: number,
  reasonCodes: readonly number[],
): SubackPacket {
  return { type, packetIdentifier, properties: [], reasonCodes };
}

/** `properties({ topic_alias: 7 })`, by the names of packets-tables.ts. */
export function properties(values: Readonly<Record<string, PropertyValue>>): Properties {
  return Object.entries(values).map(([name, value]) => [propertyIdentifier(name), value]);
}

export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/**
 * Bytes from text: two hexadecimal digits a byte, `"…"` for ASCII text, and from `;` on a comment.
 *
 * @throws Error at anything else
 */
export function hex(text: string): Uint8Array<ArrayBuffer> {
  const bytes: number[] = [];
  for (const line of text.split("\n")) {
    const tokens = line.matchAll(/\s+|;.*|"([^"]*)"|([0-9a-fA-F]{2})(?![0-9a-fA-F])|(.)/g);
    for (const [, ascii, byte, other] of tokens) {
      if (ascii !== undefined) bytes.push(...utf8(ascii));
      if (byte !== undefined) bytes.push(Number.parseInt(byte, 16));
      if (other !== undefined) throw new Error(`not bytes: ${line}`);
    }
  }
  return Uint8Array.from(bytes);
}
