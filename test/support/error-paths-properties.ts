/**
 * Every way to get a property list wrong, in each packet that a client sends with one.
 */
import { concat, fourBytes, propertyList, rawPacket, text, twoBytes } from "./client-bytes.ts";
import {
  PROPERTY_ROWS,
  type PropertyForm,
  type PropertyPlace,
  type PropertyRow,
} from "./packets-tables.ts";

export type PathVersion = 4 | 5;

/** Reason Code of the fault; null: none, the packet is good. */
export type Fault = number | null;

export interface ErrorPath {
  readonly title: string;
  readonly version: PathVersion;
  readonly sent: Uint8Array;
  readonly fault: Fault;
  /** A CONNECT whose version, or whose very beginning, the broker does not get to know. */
  readonly isUnanswered?: boolean;
}

const MALFORMED = 0x81;
const PROTOCOL = 0x82;
const TOPIC_ALIAS_INVALID = 0x94;

interface Place {
  readonly name: PropertyPlace;
  /** A packet with this list, its length included. */
  packet(list: Uint8Array): Buffer;
  /** Bytes that follow the list: what a list too long swallows. */
  readonly isLast: boolean;
}

const ID = [0, 7];

function connectWith(list: Uint8Array, willList: Uint8Array | null): Buffer {
  const client = concat(text("MQTT"), 5, willList === null ? 2 : 6, 0, 60, list, text("property"));
  if (willList === null) return rawPacket(0x10, client);
  return rawPacket(0x10, client, willList, text("will/topic"), text("gone"));
}

const PLACES: readonly Place[] = [
  { name: "connect", packet: (list) => connectWith(list, null), isLast: false },
  { name: "will", packet: (list) => connectWith(Buffer.of(0), list), isLast: false },
  { name: "publish", packet: (list) => rawPacket(0x30, text("a/b"), list), isLast: true },
  { name: "puback", packet: (list) => rawPacket(0x40, ID, 0, list), isLast: true },
  { name: "pubrec", packet: (list) => rawPacket(0x50, ID, 0, list), isLast: true },
  { name: "pubrel", packet: (list) => rawPacket(0x62, ID, 0, list), isLast: true },
  { name: "pubcomp", packet: (list) => rawPacket(0x70, ID, 0, list), isLast: true },
  { name: "subscribe", packet: (list) => rawPacket(0x82, ID, list, text("a/+"), 0), isLast: false },
  { name: "unsubscribe", packet: (list) => rawPacket(0xa2, ID, list, text("a/+")), isLast: false },
  { name: "disconnect", packet: (list) => rawPacket(0xe0, 0, list), isLast: true },
  { name: "auth", packet: (list) => rawPacket(0xf0, 0x18, list), isLast: true },
];

/** A value that is good everywhere: no Session, and no will, outlives the connection. */
const VALUES: Readonly<Record<PropertyForm, Buffer>> = {
  byte: Buffer.of(1),
  two: twoBytes(1),
  four: fourBytes(0),
  varint: Buffer.of(1),
  string: text("value"),
  binary: text([0, 0xff]),
  pair: concat(text("name"), text("value")),
};

function goodValue({ name, form }: PropertyRow): Buffer {
  return name === "maximum_packet_size" ? fourBytes(1000) : VALUES[form];
}

/** Two that a client may not send though the table has them in its packet. */
function isServerAlone(place: Place, { name }: PropertyRow): boolean {
  return (
    (place.name === "publish" && name === "subscription_identifier") ||
    (place.name === "disconnect" && name === "server_reference")
  );
}

function path(place: Place, what: string, list: Uint8Array, fault: Fault): ErrorPath {
  // Without a method in CONNECT also a good AUTH is a Protocol Error.
  const known = place.name === "auth" && fault === null ? PROTOCOL : fault;
  return { title: `${place.name}: ${what}`, version: 5, sent: place.packet(list), fault: known };
}

/** Values out of the range of their property. */
function badValues(property: PropertyRow): readonly (readonly [string, Uint8Array, number])[] {
  const { name, form } = property;
  const zero = {
    receive_maximum: PROTOCOL,
    maximum_packet_size: PROTOCOL,
    topic_alias: TOPIC_ALIAS_INVALID,
  }[name];
  const rows: [string, Uint8Array, number][] = [];
  if (form === "byte") rows.push(["2", Buffer.of(2), PROTOCOL], ["255", Buffer.of(255), PROTOCOL]);
  if (form === "two" && zero !== undefined) rows.push(["0", twoBytes(0), zero]);
  if (form === "four" && zero !== undefined) rows.push(["0", fourBytes(0), zero]);
  if (form === "varint") {
    rows.push(["0", Buffer.of(0), PROTOCOL]);
    rows.push(["1 in two bytes", Buffer.of(0x81, 0), MALFORMED]);
    rows.push(["of five bytes", Buffer.of(0x81, 0x80, 0x80, 0x80, 1), MALFORMED]);
  }
  const bad = [
    ["a surrogate", [0xed, 0xa0, 0x80]],
    ["U+0000", [0]],
    ["an overlong form", [0xc0, 0xaf]],
    ["a cut character", [0xe2, 0x82]],
  ] as const;
  for (const [what, bytes] of bad) {
    if (form === "string") rows.push([what, text(bytes), MALFORMED]);
    if (form !== "pair") continue;
    rows.push([`${what} in the name`, concat(text(bytes), text("v")), MALFORMED]);
    rows.push([`${what} in the value`, concat(text("n"), text(bytes)), MALFORMED]);
  }
  if (name === "response_topic") {
    for (const topic of ["", "#", "a/+", "a#"]) rows.push([`"${topic}"`, text(topic), PROTOCOL]);
  }
  return rows;
}

/** One property in one place: alone, twice, cut at each byte, out of its range. */
function propertyIn(place: Place, property: PropertyRow): readonly ErrorPath[] {
  const { identifier, name } = property;
  const one = concat(identifier, goodValue(property));
  if (!property.places.includes(place.name)) {
    return [
      path(place, `${name} is of another packet`, propertyList(one), MALFORMED),
      path(place, `${name} is of another packet, twice`, propertyList(one, one), MALFORMED),
      path(
        place,
        `${name} is of another packet, without value`,
        propertyList(identifier),
        MALFORMED,
      ),
    ];
  }
  const isAlone = isServerAlone(place, property);
  // An Authentication Method is the broker's to judge, and Data go with one only.
  const isJudged = place.name !== "connect" || name !== "authentication_method";
  const needs = name === "authentication_data";
  const alone = isAlone || needs ? PROTOCOL : null;
  const cut = Array.from({ length: one.length - 1 }, (_, index) => one.subarray(0, index + 1));
  return [
    ...(isJudged ? [path(place, name, propertyList(one), alone)] : []),
    path(
      place,
      `${name} twice`,
      propertyList(one, one),
      name === "user_property" ? null : PROTOCOL,
    ),
    ...cut.map((bytes) =>
      path(
        place,
        `${name} cut to ${bytes.length} bytes`,
        propertyList(bytes),
        isAlone ? PROTOCOL : MALFORMED,
      ),
    ),
    ...badValues(property).map(([what, value, fault]) =>
      path(place, `${name} ${what}`, propertyList(identifier, value), isAlone ? PROTOCOL : fault),
    ),
  ];
}

/** The list's length, and identifiers that nobody knows. */
function listsOf(place: Place): readonly ErrorPath[] {
  const pair = concat(0x26, text("name"), text("value"));
  const known = new Set(PROPERTY_ROWS.map(({ identifier }) => identifier));
  const unknown = Array.from({ length: 128 }, (_, identifier) => identifier)
    .filter((identifier) => !known.has(identifier))
    .map((identifier) =>
      path(place, `identifier ${identifier}`, propertyList(identifier, 0, 0, 0, 0), MALFORMED),
    );
  const long = place.isLast
    ? [path(place, "list one byte too long", concat(pair.length + 1, pair), MALFORMED)]
    : [];
  return [
    path(place, "empty list", Buffer.of(0), null),
    path(place, "User Property", propertyList(pair), null),
    path(
      place,
      "many User Properties",
      propertyList(...Array.from({ length: 40 }, () => pair)),
      null,
    ),
    path(place, "length 0 in two bytes", Buffer.of(0x80, 0), MALFORMED),
    path(place, "length of five bytes", Buffer.of(0x80, 0x80, 0x80, 0x80, 1), MALFORMED),
    path(place, "list past the packet", concat(0xff, 0x7f, pair), MALFORMED),
    path(place, "identifier in two bytes", propertyList(0xa6, 0, text("n"), text("v")), MALFORMED),
    path(place, "identifier 128", propertyList(0x80, 0x01, 0), MALFORMED),
    path(place, "identifier of five bytes", propertyList(0xa6, 0x80, 0x80, 0x80, 1), MALFORMED),
    ...long,
    ...unknown,
  ];
}

export function propertyPaths(): readonly ErrorPath[] {
  return PLACES.flatMap((place) => [
    ...listsOf(place),
    ...PROPERTY_ROWS.flatMap((property) => propertyIn(place, property)),
  ]);
}
