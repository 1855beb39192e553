/**
 * Every way to get a packet wrong that follows from its form, with the Reason Code that it must
 * bring: fields cut short, bytes left over, strings that are no UTF-8, flags, Reason Codes, each
 * property twice, misplaced, cut, out of its range.
 *
 * The rows are made from what a packet consists of; nothing here comes from the broker's tables.
 */
import { concat, propertyList, rawPacket, text } from "./client-bytes.ts";
import {
  type ErrorPath,
  type Fault,
  type PathVersion,
  propertyPaths,
} from "./error-paths-properties.ts";
import { ACKNOWLEDGEMENT_CODES, CLIENT_DISCONNECT_CODES } from "./packets-tables.ts";

const MALFORMED = 0x81;
const PROTOCOL = 0x82;
const TOPIC_NAME_INVALID = 0x90;
const TOPIC_FILTER_INVALID = 0x8f;
const UNSUPPORTED_VERSION = 0x84;

/** A field of a packet: text is judged as UTF-8, data are any bytes behind their length. */
interface Field {
  readonly name: string;
  readonly form: "text" | "data" | "number" | "list";
  readonly bytes: Buffer;
}

interface Sample {
  readonly name: string;
  readonly version: PathVersion;
  readonly first: number;
  readonly fields: readonly Field[];
  /** What a body of so many bytes brings, where it is not a Malformed Packet. */
  readonly cuts: Readonly<Record<number, Fault>>;
}

const field = (name: string, form: Field["form"], bytes: Buffer): Field => ({ name, form, bytes });
const textField = (name: string, value: string) => field(name, "text", text(value));
const number = (name: string, ...bytes: readonly number[]) =>
  field(name, "number", Buffer.from(bytes));
const IDENTIFIER = number("Packet Identifier", 0, 7);
const NO_LIST = field("properties", "list", Buffer.of(0));
const WHY = field(
  "properties",
  "list",
  propertyList(Buffer.concat([Buffer.of(0x1f), text("why")]), userProperty()),
);

function userProperty(): Buffer {
  return concat(0x26, text("name"), text("value"));
}

function bodyOf({ fields }: Sample): Buffer {
  return Buffer.concat(fields.map(({ bytes }) => bytes));
}

const CONNECT_FLAGS_ALL = 0xce; // User name, password, will with QoS 1, clean.

function connectSample(version: PathVersion): Sample {
  const list = version === 5 ? [NO_LIST] : [];
  return {
    name: "CONNECT",
    version,
    first: 0x10,
    fields: [
      field("Protocol Name", "data", text("MQTT")),
      number("Protocol Version", version),
      number("Connect Flags", CONNECT_FLAGS_ALL),
      number("Keep Alive", 0, 60),
      ...list,
      textField("Client Identifier", "error path"),
      ...list.map((one) => ({ ...one, name: "Will Properties" })),
      textField("Will Topic", "will/topic"),
      field("Will Payload", "data", text("gone")),
      textField("User Name", "user"),
      field("Password", "data", text("secret")),
    ],
    cuts: {},
  };
}

function publishSample(version: PathVersion, qos: 0 | 1 | 2): Sample {
  const list = version === 5 ? [NO_LIST] : [];
  return {
    name: `PUBLISH of QoS ${qos}`,
    version,
    first: 0x30 | (qos << 1),
    fields: [textField("Topic Name", "a/b"), ...(qos > 0 ? [IDENTIFIER] : []), ...list],
    cuts: {},
  };
}

type AcknowledgementName = keyof typeof ACKNOWLEDGEMENT_CODES;
const ACKNOWLEDGEMENTS = { puback: 0x40, pubrec: 0x50, pubrel: 0x62, pubcomp: 0x70 } as const;
const NAMES = Object.keys(ACKNOWLEDGEMENTS) as AcknowledgementName[];

function acknowledgementSample(version: PathVersion, type: AcknowledgementName): Sample {
  const more = version === 5 ? [number("Reason Code", 0), WHY] : [];
  return {
    name: type.toUpperCase(),
    version,
    first: ACKNOWLEDGEMENTS[type],
    fields: [IDENTIFIER, ...more],
    cuts: version === 5 ? { 2: null, 3: null } : {},
  };
}

/** Bodies that end behind a whole entry are good; one without any entry is a Protocol Error. */
function filterSample(version: PathVersion, type: "SUBSCRIBE" | "UNSUBSCRIBE"): Sample {
  const options = type === "SUBSCRIBE" ? [number("Subscription Options", 1)] : [];
  const head = [IDENTIFIER, ...(version === 5 ? [NO_LIST] : [])];
  const entry = [textField("Topic Filter", "a/+"), ...options];
  const headBytes = version === 5 ? 3 : 2;
  const entryBytes = 5 + options.length;
  return {
    name: type,
    version,
    first: type === "SUBSCRIBE" ? 0x82 : 0xa2,
    fields: [...head, ...entry, textField("second Topic Filter", "b/#"), ...options],
    cuts: { [headBytes]: PROTOCOL, [headBytes + entryBytes]: null },
  };
}

function leavingSample(version: PathVersion): Sample {
  const fields = version === 5 ? [number("Reason Code", 0), WHY] : [];
  return { name: "DISCONNECT", version, first: 0xe0, fields, cuts: { 0: null, 1: null } };
}

/** Of a client that named no Authentication Method: also a whole one is a Protocol Error. */
const AUTH_SAMPLE: Sample = {
  name: "AUTH",
  version: 5,
  first: 0xf0,
  fields: [
    number("Reason Code", 0x18),
    field("properties", "list", propertyList(concat(0x15, text("method")), userProperty())),
  ],
  // 0x00, which stands for what is left out, is the server's; so is a list without a method.
  cuts: { 0: PROTOCOL, 1: PROTOCOL },
};

const VERSIONS: readonly PathVersion[] = [4, 5];

const SAMPLES: readonly Sample[] = [
  ...VERSIONS.flatMap((version) => [
    connectSample(version),
    ...([0, 1, 2] as const).map((qos) => publishSample(version, qos)),
    ...NAMES.map((type) => acknowledgementSample(version, type)),
    filterSample(version, "SUBSCRIBE"),
    filterSample(version, "UNSUBSCRIBE"),
    { name: "PINGREQ", version, first: 0xc0, fields: [], cuts: {} },
    leavingSample(version),
  ]),
  AUTH_SAMPLE,
];

/** Behind the Protocol Version the broker knows how to answer a CONNECT. */
const CONNECT_KNOWN_BYTES = 7;

function row(sample: Sample, what: string, body: Uint8Array, fault: Fault): ErrorPath {
  const { name, version, first } = sample;
  const title = `${name} ${version}: ${what}`;
  const isUnanswered = name === "CONNECT" && body.length < CONNECT_KNOWN_BYTES;
  return { title, version, sent: rawPacket(first, body), fault, isUnanswered };
}

/** The fault of a sample as it is. */
function ownFault({ name }: Sample): Fault {
  return name === "AUTH" ? PROTOCOL : null;
}

/** The packet as it should be, ended at each byte, and with one byte more. */
function lengths(sample: Sample): readonly ErrorPath[] {
  const body = bodyOf(sample);
  const cut = Array.from({ length: body.length }, (_, byteCount) => {
    const fault = byteCount in sample.cuts ? (sample.cuts[byteCount] ?? null) : MALFORMED;
    return row(sample, `ended at byte ${byteCount}`, body.subarray(0, byteCount), fault);
  });
  const longer = concat(body, 0);
  // What is behind the fields of a PUBLISH is its payload; DISCONNECT 3.1.1 has no body at all.
  const isPayload = sample.name.startsWith("PUBLISH");
  return [
    row(sample, "as it should be", body, ownFault(sample)),
    ...cut,
    row(sample, "a byte left over", longer, isPayload ? null : MALFORMED),
  ];
}

const ILL_FORMED: readonly (readonly [string, readonly number[]])[] = [
  ["a surrogate", [0xed, 0xa0, 0x80]],
  ["a surrogate pair", [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]],
  ["U+0000", [0x61, 0x00, 0x62]],
  ["an overlong /", [0xc0, 0xaf]],
  ["an overlong U+0000", [0xc0, 0x80]],
  ["an overlong form of three bytes", [0xe0, 0x80, 0xaf]],
  ["a stray continuation", [0x80]],
  ["a character cut short", [0x61, 0xe2, 0x82]],
  ["a character above U+10FFFF", [0xf4, 0x90, 0x80, 0x80]],
  ["no byte of UTF-8", [0xff]],
];

function replaced(sample: Sample, index: number, bytes: Uint8Array): Buffer {
  return Buffer.concat(sample.fields.map((one, at) => (at === index ? bytes : one.bytes)));
}

/** What an empty string is in its place; a Client Identifier may be. */
function emptyFault({ name, version }: Sample, { name: place }: Field): Fault {
  if (place === "Will Topic") return TOPIC_NAME_INVALID;
  if (place.endsWith("Topic Filter")) return TOPIC_FILTER_INVALID;
  if (name.startsWith("PUBLISH")) return version === 5 ? PROTOCOL : TOPIC_NAME_INVALID;
  return null;
}

/** Each string of a packet, ill-formed, empty, with a byte order mark, and with wildcards. */
function strings(sample: Sample): readonly ErrorPath[] {
  return sample.fields.flatMap((one, index) => {
    if (one.form !== "text") return [];
    const put = (what: string, bytes: readonly number[] | string, fault: Fault) =>
      row(sample, `${one.name} ${what}`, replaced(sample, index, text(bytes)), fault);
    const isName = one.name === "Topic Name" || one.name === "Will Topic";
    const isFilter = one.name.endsWith("Topic Filter");
    const wild = isName ? TOPIC_NAME_INVALID : TOPIC_FILTER_INVALID;
    return [
      ...ILL_FORMED.map(([what, bytes]) => put(`with ${what}`, bytes, MALFORMED)),
      put("empty", "", emptyFault(sample, one)),
      put("with U+FEFF", "\uFEFFa", null),
      ...(isName ? ["#", "+", "a/#", "a/+/b", "a+", "#/"] : []).map((name) =>
        put(name, name, wild),
      ),
      ...(isFilter ? ["a#", "#/a", "##", "a+", "+a/b", "a/#/b", "++"] : []).map((filter) =>
        put(filter, filter, wild),
      ),
    ];
  });
}

/** The Packet Identifier that no packet has. */
function identifiers(sample: Sample): readonly ErrorPath[] {
  const index = sample.fields.indexOf(IDENTIFIER);
  if (index < 0) return [];
  const body = replaced(sample, index, Buffer.of(0, 0));
  return [row(sample, "Packet Identifier 0", body, PROTOCOL)];
}

/** All flags of the first byte; DUP of a PUBLISH belongs to QoS 1 and 2. */
function flags(sample: Sample): readonly ErrorPath[] {
  const isPublish = sample.name.startsWith("PUBLISH");
  const own = sample.first & 15;
  return Array.from({ length: 16 }, (_, low) => low).flatMap((low) => {
    const qos = (low >> 1) & 3;
    // Another QoS is another packet.
    if (isPublish && qos !== 3 && qos !== own >> 1) return [];
    const isRight = isPublish ? qos !== 3 && (qos > 0 || (low & 8) === 0) : low === own;
    const first = (sample.first & 0xf0) | low;
    const fault = isRight ? ownFault(sample) : MALFORMED;
    const made = row({ ...sample, first }, `with flags ${low.toString(2)}`, bodyOf(sample), fault);
    return [{ ...made, isUnanswered: sample.name === "CONNECT" && !isRight }];
  });
}

/** All 256 Reason Codes of a packet that has one. */
function reasonCodes(): readonly ErrorPath[] {
  const tables: readonly (readonly [string, number, readonly number[], Uint8Array])[] = [
    ...NAMES.map(
      (type) =>
        [
          type.toUpperCase(),
          ACKNOWLEDGEMENTS[type],
          ACKNOWLEDGEMENT_CODES[type],
          IDENTIFIER.bytes,
        ] as const,
    ),
    ["DISCONNECT", 0xe0, CLIENT_DISCONNECT_CODES, Buffer.alloc(0)],
    // The right ones are wrong from a client that named no method.
    ["AUTH", 0xf0, [], Buffer.alloc(0)],
  ];
  const method = propertyList(concat(0x15, text("method")));
  return tables.flatMap(([name, first, codes, head]) =>
    Array.from({ length: 256 }, (_, code) => {
      const sample: Sample = { name, version: 5, first, fields: [], cuts: {} };
      const tail = name === "AUTH" ? method : Buffer.alloc(0);
      const fault = codes.includes(code) ? null : PROTOCOL;
      return row(sample, `Reason Code ${code}`, concat(head, code, tail), fault);
    }),
  );
}

function optionsFault(version: PathVersion, options: number): Fault {
  if (version === 4) return options > 2 ? MALFORMED : null;
  if (options >= 0x40) return MALFORMED;
  return (options & 3) === 3 || (options & 0x30) === 0x30 ? PROTOCOL : null;
}

/** All 256 bytes behind a Topic Filter. */
function subscriptionOptions(version: PathVersion): readonly ErrorPath[] {
  const sample = filterSample(version, "SUBSCRIBE");
  const index = sample.fields.findIndex(({ name }) => name === "Subscription Options");
  return Array.from({ length: 256 }, (_, options) =>
    row(
      sample,
      `Subscription Options ${options}`,
      replaced(sample, index, Buffer.of(options)),
      optionsFault(version, options),
    ),
  );
}

function connectFlagsFault(version: PathVersion, bits: number): Fault {
  if ((bits & 1) !== 0) return MALFORMED;
  if ((bits & 4) === 0 && (bits & 0x38) !== 0) return MALFORMED;
  if ((bits & 0x18) === 0x18) return MALFORMED;
  return version === 4 && (bits & 0xc0) === 0x40 ? MALFORMED : null;
}

/** All 256 Connect Flags, with the fields that they announce; no Session is left behind. */
function connectFlags(version: PathVersion): readonly ErrorPath[] {
  const sample = connectSample(version);
  return Array.from({ length: 256 }, (_, bits) => {
    const fields = sample.fields.filter(({ name }) => {
      if (name.startsWith("Will")) return (bits & 4) !== 0;
      if (name === "User Name") return (bits & 0x80) !== 0;
      return name !== "Password" || (bits & 0x40) !== 0;
    });
    const index = fields.findIndex(({ name }) => name === "Connect Flags");
    const body = replaced({ ...sample, fields }, index, Buffer.of(bits));
    return row(sample, `Connect Flags ${bits}`, body, connectFlagsFault(version, bits));
  });
}

/**
 * All Protocol Versions, but those of mosquitto's bridges, and other names. A version too new is
 * told in the form of 5.0, and not to what says that it is a bridge.
 */
function protocols(): readonly ErrorPath[] {
  const sample = connectSample(4);
  const levels = Array.from({ length: 256 }, (_, level) => level)
    .filter((level) => level !== 4 && level !== 5 && level !== 0x84)
    .map((level): ErrorPath => {
      const version = level > 5 && level < 0x80 ? 5 : 4;
      const body = replaced(sample, 1, Buffer.of(level));
      return { ...row(sample, `Protocol Version ${level}`, body, UNSUPPORTED_VERSION), version };
    });
  const names = ["MQTt", "mqtt", "MQT", "MQTTT", "MQIsdp", "", "\uFEFFMQTT"].map((name) =>
    row(sample, `Protocol Name "${name}"`, replaced(sample, 0, text(name)), UNSUPPORTED_VERSION),
  );
  return [...levels, ...names];
}

/** Headers that belong to no packet of a client. */
function framing(version: PathVersion): readonly ErrorPath[] {
  const path = (title: string, sent: Uint8Array, fault: Fault): ErrorPath => {
    return { title: `framing ${version}: ${title}`, version, sent, fault };
  };
  const types = [
    ["CONNACK", 0x20, concat(0, 0)],
    ["SUBACK", 0x90, concat(0, 7, 0)],
    ["UNSUBACK", 0xb0, concat(0, 7)],
    ["PINGRESP", 0xd0, Buffer.alloc(0)],
  ] as const;
  return [
    ...types.map(([name, first, body]) => path(name, rawPacket(first, body), PROTOCOL)),
    ...types.flatMap(([name, first, body]) =>
      [1, 2, 8, 15].map((low) =>
        path(`${name}, flags ${low}`, rawPacket(first | low, body), MALFORMED),
      ),
    ),
    ...Array.from({ length: 16 }, (_, low) =>
      path(`type 0, flags ${low}`, Buffer.of(low, 0), MALFORMED),
    ),
    path("Remaining Length of five bytes", Buffer.from("c08080808001", "hex"), MALFORMED),
    path("Remaining Length 0 in two bytes", Buffer.from("c08000", "hex"), MALFORMED),
    path("Remaining Length 0 in four bytes", Buffer.from("c080808000", "hex"), MALFORMED),
    path(
      "Remaining Length 2 in three bytes",
      Buffer.from("40828000 0001".replace(" ", ""), "hex"),
      MALFORMED,
    ),
    ...(version === 4 ? [path("type 15", Buffer.from("f000", "hex"), MALFORMED)] : []),
  ];
}

/** Every row, by what it is about. */
export const ERROR_PATHS: ReadonlyMap<string, readonly ErrorPath[]> = new Map([
  ["lengths", SAMPLES.flatMap(lengths)],
  ["strings", SAMPLES.flatMap(strings)],
  ["Packet Identifiers", SAMPLES.flatMap(identifiers)],
  ["fixed headers", [...SAMPLES.flatMap(flags), ...VERSIONS.flatMap(framing)]],
  ["Reason Codes", reasonCodes()],
  ["Subscription Options", VERSIONS.flatMap(subscriptionOptions)],
  ["Connect Flags", VERSIONS.flatMap(connectFlags)],
  ["protocols", protocols()],
  ["properties", propertyPaths()],
]);
