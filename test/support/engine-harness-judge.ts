/**
 * How a Network Connection must end for a stream of bytes: the reference decoder's judgement packet
 * by packet, and the rules that need the connection's state beside it.
 *
 * The connection breaks no quota, and has a Session of its own unless the limits say that others
 * are there: then an acknowledgement may name a message that any of them published.
 */
import { variableByteInteger } from "../../src/base/variable-byte-integer.ts";
import type {
  AcknowledgementPacket,
  ClientPacket,
  ConnectPacket,
  Subscription,
  Version,
} from "./packets-types.ts";
import { referenceCut, referenceDecode } from "./reference-decoder.ts";

/** The broker's last word: a CONNACK, a DISCONNECT, or none before it closes. */
export interface Ending {
  readonly says: "connack" | "disconnect" | "nothing";
  /** 0 where it says nothing. */
  readonly reasonCode: number;
}

export interface Verdict {
  /** null: the connection stays open. */
  readonly ending: Ending | null;
  /**
   * An acknowledgement named a message that may or may not be on its way to this client: if it is,
   * and of the other QoS, the connection ends there with a Protocol Error.
   */
  readonly mayEndEarly: boolean;
  /** Version that answers are written in. */
  readonly version: Version;
  /** First levels with `$` of Topic Names under which something may be retained. */
  readonly dollarLevels: ReadonlySet<string>;
  /** The CONNECT that was accepted. */
  readonly connect: ConnectPacket | null;
  /** Whether the bytes end behind a whole packet. */
  readonly isWhole: boolean;
}

export interface JudgedLimits {
  readonly packetBytesMax: number;
  readonly topicAliasMax: number;
  /** Whether other connections publish, or the Session is older than the connection. */
  readonly hasOthers?: boolean;
  /** Bytes of the CONNACK that takes a client of version 5 with a Client Identifier. */
  readonly connackBytes: number;
}

const CONNECT_TYPE = 1;
const PROTOCOL_ERROR = 0x82;
const FILTER_INVALID = 0x8f;
const SILENT: Ending = { says: "nothing", reasonCode: 0 };
/** CONNACK return codes of 3.1.1, §3.2.2.3. */
const UNACCEPTABLE_VERSION = 0x01;
const IDENTIFIER_REJECTED = 0x02;

const PACKET_TOO_LARGE = 0x95;
/** The shortest CONNACK of version 5. */
const CONNACK_BYTES_MIN = 5;
/** Assigned Client Identifier in CONNACK: the property, its length, `auto-` and 22 digits. */
const ASSIGNED_BYTES = 30;

const SESSION_EXPIRY_INTERVAL = 17;
const AUTHENTICATION_METHOD = 21;
const TOPIC_ALIAS = 35;
const MAXIMUM_PACKET_SIZE = 39;

function numberIn(packet: { readonly properties: ConnectPacket["properties"] }, wanted: number) {
  const found = packet.properties.find(([identifier]) => identifier === wanted);
  return typeof found?.[1] === "number" ? found[1] : null;
}

class JudgedConnection {
  readonly #limits: JudgedLimits;
  readonly #aliases = new Set<number>();
  readonly dollarLevels = new Set<string>();
  #connect: ConnectPacket | null = null;

  get connect(): ConnectPacket | null {
    return this.#connect;
  }

  /** Messages that the broker may have sent to this client at most. */
  #sentMax = 0;
  #isSubscribed = false;
  /** Filters of shared subscriptions asked for. */
  #sharedCount = 0;
  mayEndEarly = false;

  constructor(limits: JudgedLimits) {
    this.#limits = limits;
  }

  /** Version that the client speaks, from its CONNECT on. */
  version: Version = 4;

  /** The ending for a fault of the stream. */
  refuse(reasonCode: number): Ending {
    if (this.#connect?.version !== 5) return SILENT;
    return { says: "disconnect", reasonCode };
  }

  /** @returns null where the packet is taken and the connection goes on */
  judge(packet: Uint8Array): Ending | null {
    const isConnect = (packet[0] ?? 0) >> 4 === CONNECT_TYPE;
    // [MQTT-3.1.0-1] [MQTT-3.1.0-2]
    if (isConnect !== (this.#connect === null)) return this.refuse(PROTOCOL_ERROR);
    const outcome = referenceDecode(this.version, packet);
    if (outcome.ok) return this.#act(outcome.packet);
    if (!isConnect) return this.refuse(outcome.reasonCode);
    return this.#refuseConnect(packet, outcome.reasonCode);
  }

  /** Who speaks version 5 or higher is told why; others learn at most that they do not. */
  #refuseConnect(packet: Uint8Array, reasonCode: number): Ending {
    const { name, level } = protocolOf(packet);
    const isUnsupported = reasonCode === 0x84;
    if (isUnsupported ? level >= 5 && level < 0x80 : name === "MQTT" && level === 5) {
      this.version = 5;
      return { says: "connack", reasonCode };
    }
    return isUnsupported ? { says: "connack", reasonCode: UNACCEPTABLE_VERSION } : SILENT;
  }

  #act(packet: ClientPacket): Ending | null {
    switch (packet.type) {
      case "connect":
        return this.#connected(packet);
      case "publish":
        return this.#publish(packet);
      case "puback":
      case "pubrec":
      case "pubcomp":
        return this.#acknowledged(packet);
      case "subscribe":
        this.#isSubscribed ||= packet.subscriptions.some(({ qos }) => qos > 0);
        this.#sharedCount += packet.subscriptions.filter(({ topicFilter }) =>
          topicFilter.startsWith("$share/"),
        ).length;
        return (
          this.#judgeShared(packet.subscriptions) ?? this.#answered(packet.subscriptions.length)
        );
      case "unsubscribe":
        return packet.topicFilters.some(isBrokenShared)
          ? this.refuse(FILTER_INVALID)
          : this.#answered(packet.topicFilters.length);
      case "auth":
        return this.refuse(PROTOCOL_ERROR); // [MQTT-4.12.0-7]
      case "disconnect": {
        const expiry = numberIn(packet, SESSION_EXPIRY_INTERVAL) ?? 0;
        const before =
          this.#connect === null ? 0 : numberIn(this.#connect, SESSION_EXPIRY_INTERVAL);
        return expiry !== 0 && (before ?? 0) === 0 ? this.refuse(PROTOCOL_ERROR) : SILENT;
      }
      default:
        return null;
    }
  }

  #connected(packet: ConnectPacket): Ending | null {
    const { version, cleanStart, clientIdentifier, properties } = packet;
    this.version = version;
    const needsIdentifier = version === 3 || (version === 4 && !cleanStart);
    if (clientIdentifier === "" && needsIdentifier) {
      return { says: "connack", reasonCode: IDENTIFIER_REJECTED };
    }
    const packetBytesMax = numberIn(packet, MAXIMUM_PACKET_SIZE) ?? Number.POSITIVE_INFINITY;
    const refused = (reasonCode: number): Ending =>
      packetBytesMax < CONNACK_BYTES_MIN ? SILENT : { says: "connack", reasonCode };
    if (properties.some(([identifier]) => identifier === AUTHENTICATION_METHOD)) {
      return refused(0x8c);
    }
    // [MQTT-3.1.2-24]
    const connackBytes = this.#limits.connackBytes + (clientIdentifier === "" ? ASSIGNED_BYTES : 0);
    if (connackBytes > packetBytesMax) return refused(PACKET_TOO_LARGE);
    this.#connect = packet;
    if (packet.will !== null) this.#noteTopic(packet.will.topicName);
    return null;
  }

  /** The first filter that breaks a rule decides. */
  #judgeShared(subscriptions: readonly Subscription[]): Ending | null {
    for (const { topicFilter, noLocal } of subscriptions) {
      if (isBrokenShared(topicFilter)) return this.refuse(FILTER_INVALID);
      // [MQTT-3.8.3-4]
      if (noLocal && topicFilter.startsWith("$share/")) return this.refuse(PROTOCOL_ERROR);
    }
    return null;
  }

  /** SUBACK and UNSUBACK have a code for each filter, and no smaller form [MQTT-3.1.2-24]. */
  #answered(filterCount: number): Ending | null {
    const wanted = this.#connect === null ? null : numberIn(this.#connect, MAXIMUM_PACKET_SIZE);
    const bodyBytes = 3 + filterCount;
    const packetBytes = 1 + variableByteInteger(bodyBytes).length + bodyBytes;
    return wanted !== null && packetBytes > wanted ? this.refuse(PACKET_TOO_LARGE) : null;
  }

  #publish(packet: Extract<ClientPacket, { type: "publish" }>): Ending | null {
    const alias = numberIn(packet, TOPIC_ALIAS);
    if (alias !== null && alias > this.#limits.topicAliasMax) return this.refuse(0x94);
    if (packet.topicName === "" && alias !== null && !this.#aliases.has(alias)) {
      return this.refuse(PROTOCOL_ERROR);
    }
    if (alias !== null) this.#aliases.add(alias);
    this.#noteTopic(packet.topicName);
    this.#sentMax++;
    return null;
  }

  /** Identifiers of what the broker sends to a new Session begin with 2. */
  #acknowledged({ packetIdentifier }: AcknowledgementPacket): Ending | null {
    // A message that was kept may go out twice, once routed, once as retained, and for each group.
    const times = 2 + this.#sharedCount;
    const isSent = packetIdentifier >= 2 && packetIdentifier <= 1 + times * this.#sentMax;
    if (this.#limits.hasOthers || (this.#isSubscribed && isSent)) this.mayEndEarly = true;
    return null;
  }

  #noteTopic(topicName: string): void {
    if (topicName.startsWith("$")) this.dollarLevels.add(topicName.split("/")[0] ?? "");
  }
}

/** [MQTT-4.8.2-1] [MQTT-4.8.2-2] */
function isBrokenShared(topicFilter: string): boolean {
  return topicFilter.startsWith("$share/") && !/^\$share\/[^/+#]+\/./s.test(topicFilter);
}

/** The name and the level that a CONNECT begins with, as far as they are there. */
function protocolOf(packet: Uint8Array): { readonly name: string; readonly level: number } {
  const at = 1 + packet.subarray(1).findIndex((byte) => byte < 0x80) + 1;
  const nameBytes = (packet[at] ?? 0) * 256 + (packet[at + 1] ?? 0);
  const name = Buffer.from(packet.subarray(at + 2, at + 2 + nameBytes)).toString("latin1");
  return { name, level: packet[at + 2 + nameBytes] ?? 0 };
}

/** Judges a stream from its first byte on; what follows the end is not looked at. */
export function judgeConnection(bytes: Uint8Array, limits: JudgedLimits): Verdict {
  const connection = new JudgedConnection(limits);
  let ending: Ending | null = null;
  let isWhole = true;
  for (let at = 0; at < bytes.length && ending === null; ) {
    const rest = bytes.subarray(at);
    const packetBytes = referenceCut(rest, limits.packetBytesMax, connection.connect?.version ?? 5);
    isWhole = packetBytes !== "need more";
    if (packetBytes === "need more") {
      // What can be no CONNECT is not awaited [MQTT-3.1.0-1].
      if (connection.connect === null && (rest[0] ?? 0) >> 4 !== CONNECT_TYPE) ending = SILENT;
      break;
    }
    if (typeof packetBytes === "object") {
      ending = connection.refuse(packetBytes.reasonCode);
      break;
    }
    ending = connection.judge(rest.subarray(0, packetBytes));
    at += packetBytes;
  }
  const { version, mayEndEarly, dollarLevels, connect } = connection;
  return { ending, version, mayEndEarly, dollarLevels, connect, isWhole };
}
