/**
 * The engine's decoder, in both builds, as a decoder under test: its Reason Codes, and the fields
 * that it leaves in DECODED as packet values.
 */
import {
  D_CLIENT_ID_AT,
  D_CONNECT_FLAGS,
  D_FILTER_AT,
  D_FILTER_OPTIONS,
  D_FLAGS,
  D_KEEP_ALIVE,
  D_PACKET_ID,
  D_PASSWORD_AT,
  D_PAYLOAD_AT,
  D_PRESENT,
  D_PROPERTIES_AT,
  D_REASON,
  D_TOPIC_AT,
  D_TYPE,
  D_USER_NAME_AT,
  D_VALUES,
  D_VERSION,
  D_WILL_PAYLOAD_AT,
  D_WILL_PRESENT,
  D_WILL_PROPERTIES_AT,
  D_WILL_TOPIC_AT,
  D_WILL_VALUES,
  DECODED,
} from "#assembly/abi";
import { type Build, type Codec, decoded, loadCodec, placeAtEnd } from "./codec-engine.ts";
import type { Cut, Decoder, Outcome } from "./decoder.ts";
import { PACKET_TYPES, propertyRow } from "./packets-tables.ts";
import type {
  ClientPacket,
  ConnectPacket,
  Properties,
  Property,
  PublishPacket,
  QoS,
  Subscription,
  Version,
} from "./packets-types.ts";
import { readByte, readString } from "./reference-decoder-fields.ts";

/** Statuses that are no Reason Code: abi.ts. */
const NEED_MORE = -1;

/** The engine's decoder in one build. Packets end with its memory: a read behind them traps. */
export function engineDecoder(build: Build): Decoder {
  const codec = loadCodec(build);
  const end = codec.bytes.length;
  const judge = (version: Version, bytes: Uint8Array): number =>
    Math.abs(codec.decodePacket(version, placeAtEnd(codec, bytes), end));
  return {
    name: `engine, ${build}`,
    cut: (bytes, packetBytesMax, version = 5): Cut => {
      const status = codec.cutPacket(placeAtEnd(codec, bytes), end, packetBytesMax, version);
      if (status === NEED_MORE) return "need more";
      return status < 0 ? { reasonCode: -status } : status;
    },
    judge,
    decode: (version, bytes): Outcome => {
      const reasonCode = judge(version, bytes);
      if (reasonCode !== 0) return { ok: false, reasonCode };
      return { ok: true, packet: packetFrom(codec, version) };
    },
  };
}

function bytesOf(codec: Codec, field: number): Uint8Array {
  const at = decoded(codec, field);
  return codec.bytes.slice(at, at + decoded(codec, field + 4));
}

function textOf(codec: Codec, field: number): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytesOf(codec, field));
}

function qosFrom(bits: number): QoS {
  if (bits === 0 || bits === 1 || bits === 2) return bits;
  throw new Error("engine accepted QoS 3");
}

interface PropertyFields {
  readonly listAt: number;
  readonly present: number;
  readonly values: number;
}

const OWN: PropertyFields = { listAt: D_PROPERTIES_AT, present: D_PRESENT, values: D_VALUES };
const WILL: PropertyFields = {
  listAt: D_WILL_PROPERTIES_AT,
  present: D_WILL_PRESENT,
  values: D_WILL_VALUES,
};

/** By ascending identifier, as DECODED has them; User Properties in the order of the bytes. */
function propertiesFrom(codec: Codec, version: Version, fields: PropertyFields): Properties {
  if (version < 5) return [];
  const list: Property[] = [];
  for (let identifier = 0; identifier < 64; identifier++) {
    const word = decoded(codec, fields.present + (identifier < 32 ? 0 : 4));
    if (((word >>> (identifier % 32)) & 1) === 0) continue;
    const field = fields.values + 8 * identifier;
    const form = propertyRow(identifier)?.form;
    if (form === "string") list.push([identifier, textOf(codec, field)]);
    else if (form === "binary") list.push([identifier, bytesOf(codec, field)]);
    else if (form === "pair") list.push(...userProperties(codec, field, fields.listAt));
    else list.push([identifier, decoded(codec, field)]);
  }
  return list;
}

/** From the first User Property on, to the end of the list; the engine counted them. */
function userProperties(codec: Codec, field: number, listField: number): Property[] {
  const end = decoded(codec, listField) + decoded(codec, listField + 4);
  const cursor = { bytes: codec.bytes, at: decoded(codec, field), end };
  const list: Property[] = [];
  while (cursor.at < end) {
    const identifier = readByte(cursor);
    const form = propertyRow(identifier)?.form ?? "byte";
    if (form === "pair") list.push([identifier, [readString(cursor), readString(cursor)]]);
    else if (form === "string" || form === "binary") {
      cursor.at += 2 + codec.view.getUint16(cursor.at);
    } else if (form === "varint") while (readByte(cursor) >= 0x80);
    else cursor.at += { byte: 1, two: 2, four: 4 }[form];
  }
  const count = decoded(codec, field + 4);
  if (list.length !== count) throw new Error(`engine counts ${count} of ${list.length}`);
  return list;
}

function packetFrom(codec: Codec, version: Version): ClientPacket {
  const type = PACKET_TYPES[decoded(codec, D_TYPE)];
  const packetIdentifier = decoded(codec, D_PACKET_ID);
  const reasonCode = decoded(codec, D_REASON);
  const properties = propertiesFrom(codec, version, OWN);
  switch (type) {
    case "connect":
      return connectFrom(codec);
    case "publish":
      return publishFrom(codec, version);
    case "puback":
    case "pubrec":
    case "pubrel":
    case "pubcomp":
      return { type, packetIdentifier, reasonCode, properties };
    case "subscribe":
      return { type, packetIdentifier, properties, subscriptions: filtersFrom(codec) };
    case "unsubscribe": {
      const topicFilters = filtersFrom(codec).map((entry) => entry.topicFilter);
      return { type, packetIdentifier, properties, topicFilters };
    }
    case "pingreq":
      return { type };
    case "disconnect":
    case "auth":
      return { type, reasonCode, properties };
    default:
      throw new Error(`engine accepted ${type} from a client`);
  }
}

function connectFrom(codec: Codec): ConnectPacket {
  const flags = decoded(codec, D_CONNECT_FLAGS);
  const level = decoded(codec, D_VERSION);
  const version: Version = level === 3 ? 3 : level === 4 ? 4 : 5;
  const will = {
    qos: qosFrom((flags >> 3) & 3),
    retain: (flags & 0x20) !== 0,
    properties: propertiesFrom(codec, version, WILL),
    topicName: textOf(codec, D_WILL_TOPIC_AT),
    payload: bytesOf(codec, D_WILL_PAYLOAD_AT),
  };
  return {
    type: "connect",
    version,
    cleanStart: (flags & 0x02) !== 0,
    keepAliveSeconds: decoded(codec, D_KEEP_ALIVE),
    properties: propertiesFrom(codec, version, OWN),
    clientIdentifier: textOf(codec, D_CLIENT_ID_AT),
    will: (flags & 0x04) !== 0 ? will : null,
    userName: (flags & 0x80) !== 0 ? textOf(codec, D_USER_NAME_AT) : null,
    password: (flags & 0x40) !== 0 ? bytesOf(codec, D_PASSWORD_AT) : null,
  };
}

function publishFrom(codec: Codec, version: Version): PublishPacket {
  const flags = decoded(codec, D_FLAGS);
  return {
    type: "publish",
    duplicate: (flags & 8) !== 0,
    qos: qosFrom((flags >> 1) & 3),
    retain: (flags & 1) !== 0,
    topicName: textOf(codec, D_TOPIC_AT),
    packetIdentifier: decoded(codec, D_PACKET_ID),
    properties: propertiesFrom(codec, version, OWN),
    payload: bytesOf(codec, D_PAYLOAD_AT),
  };
}

function filtersFrom(codec: Codec): readonly Subscription[] {
  const entries: Subscription[] = [];
  for (let status = codec.firstFilter(); status === 1; status = codec.nextFilter()) {
    const options = codec.view.getUint32(DECODED + D_FILTER_OPTIONS, true);
    entries.push({
      topicFilter: textOf(codec, D_FILTER_AT),
      qos: qosFrom(options & 3),
      noLocal: (options & 4) !== 0,
      retainAsPublished: (options & 8) !== 0,
      retainHandling: qosFrom((options >> 4) & 3),
    });
  }
  return entries;
}
