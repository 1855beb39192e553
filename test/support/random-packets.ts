/**
 * Arbitraries of fast-check for valid packets from a client, in every version.
 *
 * They know the structure: properties only where they belong, Topic Filters with wildcards in
 * their places, strings with characters of one to four bytes, U+FEFF among them.
 */
import fc, { type Arbitrary } from "fast-check";
import { encode } from "./naive-encoder.ts";
import {
  ACKNOWLEDGEMENT_CODES,
  CLIENT_AUTH_CODES,
  CLIENT_DISCONNECT_CODES,
  PROPERTY_ROWS,
  type PropertyPlace,
  type PropertyRow,
} from "./packets-tables.ts";
import type {
  AcknowledgementPacket,
  AcknowledgementType,
  AuthPacket,
  ClientPacket,
  ConnectPacket,
  DisconnectPacket,
  Properties,
  Property,
  PropertyValue,
  PublishPacket,
  QoS,
  SubscribePacket,
  UnsubscribePacket,
  Version,
  Will,
} from "./packets-types.ts";

export const VERSIONS: readonly Version[] = [3, 4, 5];

/** A packet with the version of its connection. */
export interface VersionedPacket {
  readonly version: Version;
  readonly packet: ClientPacket;
}

const character = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(..."abcXYZ019 -_$") },
  { weight: 1, arbitrary: fc.constantFrom("\u{feff}", "\u{7f}", "é", "\u{ffff}", "中", "🚚") },
  { weight: 1, arbitrary: fc.string({ unit: "binary", minLength: 1, maxLength: 1 }) },
);

/** Text that may stand in any UTF-8 string. */
export const text: Arbitrary<string> = fc
  .array(character, { maxLength: 12 })
  .map((characters) => characters.join("").replaceAll("\0", "0"));

const level = text.map((value) => value.replaceAll(/[+#/]/g, "x"));

export const topicName: Arbitrary<string> = fc
  .array(level, { minLength: 1, maxLength: 5 })
  .map((levels) => levels.join("/") || "t");

export const topicFilter: Arbitrary<string> = fc
  .tuple(fc.array(fc.oneof(level, fc.constant("+")), { minLength: 1, maxLength: 5 }), fc.boolean())
  .map(([levels, open]) => (open ? [...levels, "#"] : levels).join("/") || "#");

const bytes: Arbitrary<Uint8Array> = fc
  .uint8Array({ maxLength: 24 })
  .map((value) => new Uint8Array(value));

/** Payloads that push the Remaining Length over one, and now and then two, bytes. */
const payload: Arbitrary<Uint8Array> = fc.oneof(
  { weight: 6, arbitrary: bytes },
  { weight: 2, arbitrary: fc.integer({ min: 90, max: 300 }).map((count) => filled(count)) },
  { weight: 1, arbitrary: fc.integer({ min: 16_300, max: 16_500 }).map((count) => filled(count)) },
);

function filled(byteCount: number): Uint8Array {
  return new Uint8Array(byteCount).fill(byteCount);
}

const packetIdentifier = fc.integer({ min: 1, max: 65_535 });
const qos: Arbitrary<QoS> = fc.constantFrom(0, 1, 2);

function propertyValue(row: PropertyRow): Arbitrary<PropertyValue> {
  const least = [
    "receive_maximum",
    "maximum_packet_size",
    "subscription_identifier",
    "topic_alias",
  ];
  const min = least.includes(row.name) ? 1 : 0;
  switch (row.form) {
    case "byte":
      return fc.integer({ min: 0, max: 1 });
    case "two":
      return fc.integer({ min, max: 0xffff });
    case "four":
      return fc.integer({ min, max: 0xffff_ffff });
    case "varint":
      return fc.integer({ min, max: 268_435_455 });
    case "binary":
      return bytes;
    case "pair":
      return fc.tuple(text, text);
    case "string":
      return row.name === "response_topic" ? topicName : text;
  }
}

/** Properties that a client may send at a place, in any order, User Property up to three times. */
function properties(version: Version, place: PropertyPlace): Arbitrary<Properties> {
  if (version < 5) return fc.constant([]);
  const mayNotSend = place === "publish" ? 11 : place === "disconnect" ? 28 : 0;
  const rows = PROPERTY_ROWS.filter(
    (row) => row.places.includes(place) && row.identifier !== mayNotSend,
  );
  const repeated = [...rows, ...rows.filter((row) => row.form === "pair")];
  return fc
    .shuffledSubarray(repeated)
    .chain((chosen) =>
      fc.tuple(
        ...chosen.map((row) =>
          propertyValue(row).map((value): Property => [row.identifier, value]),
        ),
      ),
    )
    .map((list) => withoutLoneData(list));
}

/** Authentication Data needs its Method beside it. */
function withoutLoneData(list: Properties): Properties {
  const hasMethod = list.some(([identifier]) => identifier === 21);
  return hasMethod ? list : list.filter(([identifier]) => identifier !== 22);
}

function will(version: Version): Arbitrary<Will> {
  const retain = fc.boolean();
  const list = properties(version, "will");
  return fc.record({ qos, retain, properties: list, topicName, payload: bytes });
}

function connect(version: Version): Arbitrary<ConnectPacket> {
  return fc
    .record({
      type: fc.constant("connect" as const),
      version: fc.constant(version),
      cleanStart: fc.boolean(),
      keepAliveSeconds: fc.integer({ min: 0, max: 65_535 }),
      properties: properties(version, "connect"),
      clientIdentifier: text,
      will: fc.option(will(version)),
      userName: fc.option(text),
      password: fc.option(bytes),
    })
    .map((packet) =>
      version < 5 && packet.userName === null ? { ...packet, password: null } : packet,
    );
}

function publish(version: Version): Arbitrary<PublishPacket> {
  return fc
    .record({
      type: fc.constant("publish" as const),
      duplicate: fc.boolean(),
      qos,
      retain: fc.boolean(),
      topicName: fc.oneof({ weight: 9, arbitrary: topicName }, fc.constant("")),
      packetIdentifier,
      properties: properties(version, "publish"),
      payload,
    })
    .map((packet) => {
      const hasAlias = packet.properties.some(([identifier]) => identifier === 35);
      const name = packet.topicName === "" && !hasAlias ? "t" : packet.topicName;
      const atMostOnce = { duplicate: false, packetIdentifier: 0 };
      return { ...packet, topicName: name, ...(packet.qos === 0 ? atMostOnce : {}) };
    });
}

function acknowledgement(version: Version): Arbitrary<AcknowledgementPacket> {
  const types: readonly AcknowledgementType[] = ["puback", "pubrec", "pubrel", "pubcomp"];
  return fc.constantFrom(...types).chain((type) =>
    fc.record({
      type: fc.constant(type),
      packetIdentifier,
      reasonCode: version < 5 ? fc.constant(0) : fc.constantFrom(...ACKNOWLEDGEMENT_CODES[type]),
      properties: properties(version, type),
    }),
  );
}

function subscribe(version: Version): Arbitrary<SubscribePacket> {
  const options = version === 5 ? fc.boolean() : fc.constant(false);
  const subscription = fc.record({
    topicFilter,
    qos,
    noLocal: options,
    retainAsPublished: options,
    retainHandling: version === 5 ? qos : fc.constant(0 as const),
  });
  return fc.record({
    type: fc.constant("subscribe" as const),
    packetIdentifier,
    properties: properties(version, "subscribe"),
    subscriptions: fc.array(subscription, { minLength: 1, maxLength: 4 }),
  });
}

function unsubscribe(version: Version): Arbitrary<UnsubscribePacket> {
  return fc.record({
    type: fc.constant("unsubscribe" as const),
    packetIdentifier,
    properties: properties(version, "unsubscribe"),
    topicFilters: fc.array(topicFilter, { minLength: 1, maxLength: 4 }),
  });
}

function disconnect(version: Version): Arbitrary<DisconnectPacket> {
  return fc.record({
    type: fc.constant("disconnect" as const),
    reasonCode: version < 5 ? fc.constant(0) : fc.constantFrom(...CLIENT_DISCONNECT_CODES),
    properties: properties(version, "disconnect"),
  });
}

function auth(): Arbitrary<AuthPacket> {
  return fc.record({
    type: fc.constant("auth" as const),
    reasonCode: fc.constantFrom(...CLIENT_AUTH_CODES),
    properties: fc.tuple(text, properties(5, "auth")).map(([method, list]): Properties => {
      const others = list.filter(([identifier]) => identifier !== 21);
      return [[21, method], ...others];
    }),
  });
}

/** Any valid packet that a client of this version may send. */
export function clientPacket(version: Version): Arbitrary<ClientPacket> {
  const everywhere: readonly Arbitrary<ClientPacket>[] = [
    connect(version),
    publish(version),
    publish(version),
    acknowledgement(version),
    subscribe(version),
    unsubscribe(version),
    disconnect(version),
    fc.constant({ type: "pingreq" as const }),
  ];
  return fc.oneof(...everywhere, ...(version === 5 ? [auth()] : []));
}

/** Any valid packet of any version. */
export const versionedPacket: Arbitrary<VersionedPacket> = fc
  .constantFrom(...VERSIONS)
  .chain((version) => fc.record({ version: fc.constant(version), packet: clientPacket(version) }));

/** A stream of valid packets of one version, CONNECT first. */
export function clientStream(version: Version): Arbitrary<readonly ClientPacket[]> {
  const others = fc.array(clientPacket(version), { minLength: 1, maxLength: 5 });
  return fc.tuple(connect(version), others).map(([first, rest]) => [first, ...rest]);
}

/** Streams longer than this, in bytes, would draw most mutations into their payloads. */
const SAMPLE_BYTES_MAX = 600;

/** The same as bytes, always the same ones for one seed: seed material for the fuzz tests. */
export function sampleStreams(
  version: Version,
  streamCount: number,
  seed: number,
): readonly Uint8Array[] {
  return fc
    .sample(clientStream(version), { numRuns: streamCount, seed })
    .map((packets) =>
      Buffer.concat(
        packets.map((packet, index) =>
          encode(version, packet, (seed + index) % 2 === 0 ? "full" : "shortest"),
        ),
      ),
    )
    .filter((bytes, index) => bytes.length <= SAMPLE_BYTES_MAX || index % 50 === 0);
}
