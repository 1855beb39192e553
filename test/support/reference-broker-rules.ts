/**
 * The reference broker: what must come back on one Network Connection, alone on its broker.
 *
 * It plays the wire pages beside the real broker, so that a page which asks for something wrong is
 * found out. One connection, one Session, nothing stored, every answer at once.
 */
import { concatenate, encode } from "./naive-encoder.ts";
import { acknowledgement, connack, disconnect, properties, publish, suback } from "./packets.ts";
import { propertyIdentifier } from "./packets-tables.ts";
import type {
  AcknowledgementPacket,
  ClientPacket,
  ConnectPacket,
  DisconnectPacket,
  Properties,
  PropertyValue,
  PublishPacket,
  QoS,
  ServerPacket,
  SubscribePacket,
  Subscription,
  Version,
} from "./packets-types.ts";
import { referenceCut, referenceDecode } from "./reference-decoder.ts";
import { versionOf, type WireConnection, type WireTarget } from "./wire-target.ts";

const PACKET_BYTES_MAX = 2_000_000;
const TOPIC_ALIAS_MAXIMUM = 16;

/** A filter and a name, level by level [MQTT-4.7.1-1, -2, MQTT-4.7.2-1]. */
export function matches(topicFilter: string, topicName: string): boolean {
  const filter = topicFilter.split("/");
  const name = topicName.split("/");
  const startsWild = filter[0] === "#" || filter[0] === "+";
  if (startsWild && topicName.startsWith("$")) return false;
  for (const [index, level] of filter.entries()) {
    if (level === "#") return true;
    if (index >= name.length) return false;
    if (level !== "+" && level !== name[index]) return false;
  }
  return filter.length === name.length;
}

function valueIn(list: Properties, name: string): PropertyValue | undefined {
  const identifier = propertyIdentifier(name);
  return list.find(([candidate]) => candidate === identifier)?.[1];
}

interface Granted extends Subscription {
  readonly identifiers: Properties;
}

/** One Network Connection. `take` gives the answers to bytes, and sets `closed`. */
export class ReferenceConnection {
  closed = false;
  #connected: ConnectPacket | null = null;
  #pending = new Uint8Array();
  readonly #subscriptions = new Map<string, Granted>();
  readonly #retained = new Map<string, PublishPacket>();
  readonly #topicByAlias = new Map<number, string>();
  readonly #unreleased = new Set<number>();
  readonly #unacknowledged = new Map<number, QoS>();
  #lastPacketIdentifier = 0;

  take(bytes: Uint8Array): Uint8Array {
    const answers: Uint8Array[] = [];
    this.#pending = concatenate([this.#pending, bytes]);
    while (!this.closed) {
      const packetBytes = referenceCut(this.#pending, PACKET_BYTES_MAX);
      if (packetBytes === "need more") break;
      if (typeof packetBytes === "object") {
        answers.push(this.#refuse(packetBytes.reasonCode));
        break;
      }
      const packet = this.#pending.subarray(0, packetBytes);
      answers.push(this.#judge(packet));
      this.#pending = this.#pending.slice(packetBytes);
    }
    return concatenate(answers);
  }

  get #version(): Version {
    return this.#connected?.version ?? 4;
  }

  #send(...packets: readonly ServerPacket[]): Uint8Array {
    return concatenate(packets.map((packet) => encode(this.#version, packet)));
  }

  /** Closes; a version 5 client that is connected learns why [MQTT-4.13.1-1, MQTT-3.14.0-1]. */
  #refuse(reasonCode: number): Uint8Array {
    this.closed = true;
    if (this.#connected === null || this.#version < 5) return new Uint8Array();
    return this.#send(disconnect(reasonCode));
  }

  #judge(bytes: Uint8Array): Uint8Array {
    const isConnect = (bytes[0] ?? 0) === 0x10;
    // [MQTT-3.1.0-1]: nothing is owed to a stranger.
    if (!isConnect && this.#connected === null) return this.#refuse(0x82);
    const outcome = referenceDecode(this.#version, bytes);
    if (isConnect && this.#connected === null && !outcome.ok) {
      return this.#refuseConnect(bytes, outcome.reasonCode);
    }
    return outcome.ok ? this.#act(outcome.packet) : this.#refuse(outcome.reasonCode);
  }

  #refuseConnect(bytes: Uint8Array, reasonCode: number): Uint8Array {
    this.closed = true;
    const version = versionOf(bytes);
    const isOurs = Buffer.from(bytes).includes("MQTT") || Buffer.from(bytes).includes("MQIsdp");
    const refusal = connack({ reasonCode });
    if (version === 5 && isOurs) return encode(5, refusal);
    // 3.1.1: 0x01 for an unknown level [MQTT-3.1.2-2 @3.1.1], silence otherwise.
    return reasonCode === 0x84 && isOurs ? encode(4, { ...refusal, reasonCode: 1 }) : this.#send();
  }

  #act(packet: ClientPacket): Uint8Array {
    switch (packet.type) {
      case "connect":
        return this.#connected === null ? this.#connect(packet) : this.#refuse(0x82);
      case "publish":
        return this.#publish(packet);
      case "puback":
      case "pubrec":
      case "pubrel":
      case "pubcomp":
        return this.#acknowledge(packet);
      case "subscribe":
        return this.#subscribe(packet);
      case "unsubscribe": {
        const codes = packet.topicFilters.map((topicFilter) =>
          this.#subscriptions.delete(topicFilter) ? 0x00 : 0x11,
        );
        return this.#send(suback("unsuback", packet.packetIdentifier, codes));
      }
      case "pingreq":
        return this.#send({ type: "pingresp" });
      case "disconnect":
        return this.#disconnect(packet);
      case "auth":
        // No method in CONNECT, so no AUTH [MQTT-4.12.0-7].
        return this.#refuse(0x82);
    }
  }

  #connect(packet: ConnectPacket): Uint8Array {
    const { version, cleanStart, clientIdentifier } = packet;
    const isEmpty = clientIdentifier === "";
    const refused = version === 3 ? isEmpty : version === 4 && isEmpty && !cleanStart;
    if (refused) {
      this.closed = true;
      return encode(version, connack({ reasonCode: 0x02 }));
    }
    if (valueIn(packet.properties, "authentication_method") !== undefined) {
      this.closed = true;
      return encode(version, connack({ reasonCode: 0x8c }));
    }
    this.#connected = packet;
    const announced = properties({
      topic_alias_maximum: TOPIC_ALIAS_MAXIMUM,
      ...(isEmpty ? { assigned_client_identifier: "assigned" } : {}),
    });
    return this.#send(connack({ properties: announced }));
  }

  #publish(packet: PublishPacket): Uint8Array {
    const alias = valueIn(packet.properties, "topic_alias");
    if (typeof alias === "number" && alias > TOPIC_ALIAS_MAXIMUM) return this.#refuse(0x94);
    const known = typeof alias === "number" ? this.#topicByAlias.get(alias) : undefined;
    const topicName = packet.topicName === "" ? known : packet.topicName;
    if (topicName === undefined) return this.#refuse(0x82);
    if (typeof alias === "number") this.#topicByAlias.set(alias, topicName);
    const { packetIdentifier, qos } = packet;
    const isRepeat = qos === 2 && this.#unreleased.has(packetIdentifier);
    const deliveries = isRepeat ? [] : this.#route({ ...packet, topicName });
    const reasonCode = deliveries.length === 0 && this.#version === 5 ? 0x10 : 0;
    if (qos === 2) this.#unreleased.add(packetIdentifier);
    const type = qos === 2 ? "pubrec" : "puback";
    const answer = acknowledgement(type, packetIdentifier, reasonCode);
    return this.#send(...(qos === 0 ? [] : [answer]), ...deliveries);
  }

  #route(packet: PublishPacket): readonly ServerPacket[] {
    if (packet.retain && packet.payload.length === 0) this.#retained.delete(packet.topicName);
    else if (packet.retain) this.#retained.set(packet.topicName, packet);
    const matching = [...this.#subscriptions.values()].filter(
      ({ topicFilter, noLocal }) => matches(topicFilter, packet.topicName) && !noLocal,
    );
    if (matching.length === 0) return [];
    const granted = matching.reduce<QoS>((qos, entry) => (entry.qos > qos ? entry.qos : qos), 0);
    const retain = packet.retain && matching.some((entry) => entry.retainAsPublished);
    const identifiers = matching.flatMap((entry) => entry.identifiers);
    return [this.#delivery(packet, granted, retain, identifiers)];
  }

  #delivery(packet: PublishPacket, granted: QoS, retain: boolean, identifiers: Properties) {
    const qos = packet.qos < granted ? packet.qos : granted;
    const { topicName, payload } = packet;
    const ownAlias = propertyIdentifier("topic_alias");
    const kept = packet.properties.filter(([identifier]) => identifier !== ownAlias);
    const list = this.#version === 5 ? [...kept, ...identifiers] : [];
    const packetIdentifier = qos > 0 ? ++this.#lastPacketIdentifier : 0;
    if (qos > 0) this.#unacknowledged.set(packetIdentifier, qos);
    return publish({ qos, retain, topicName, payload, packetIdentifier, properties: list });
  }

  #acknowledge(packet: AcknowledgementPacket): Uint8Array {
    const { type, packetIdentifier, reasonCode } = packet;
    if (type === "pubrel") {
      const found = this.#unreleased.delete(packetIdentifier);
      const code = found || this.#version < 5 ? 0 : 0x92;
      return this.#send(acknowledgement("pubcomp", packetIdentifier, code));
    }
    const isKnown = this.#unacknowledged.has(packetIdentifier);
    if (type === "pubrec" && reasonCode < 0x80) {
      const code = isKnown || this.#version < 5 ? 0 : 0x92;
      return this.#send(acknowledgement("pubrel", packetIdentifier, code));
    }
    this.#unacknowledged.delete(packetIdentifier);
    return this.#send();
  }

  #subscribe(packet: SubscribePacket): Uint8Array {
    const identifiers = packet.properties.filter(
      ([identifier]) => identifier === propertyIdentifier("subscription_identifier"),
    );
    const retained: ServerPacket[] = [];
    for (const subscription of packet.subscriptions) {
      const { topicFilter, qos, retainHandling } = subscription;
      const isNew = !this.#subscriptions.has(topicFilter);
      this.#subscriptions.set(topicFilter, { ...subscription, identifiers });
      if (retainHandling === 2 || (retainHandling === 1 && !isNew)) continue;
      for (const kept of this.#retained.values()) {
        if (!matches(topicFilter, kept.topicName)) continue;
        retained.push(this.#delivery(kept, qos, true, identifiers));
      }
    }
    const codes = packet.subscriptions.map((subscription) => subscription.qos);
    return this.#send(suback("suback", packet.packetIdentifier, codes), ...retained);
  }

  #disconnect(packet: DisconnectPacket): Uint8Array {
    const expiry = valueIn(packet.properties, "session_expiry_interval") ?? 0;
    const before = valueIn(this.#connected?.properties ?? [], "session_expiry_interval") ?? 0;
    // §3.14.2.2.2: a Session without expiry cannot get one at its end.
    if (before === 0 && expiry !== 0) return this.#refuse(0x82);
    this.closed = true;
    return this.#send();
  }
}

/** The reference broker as a target of the wire pages. */
export const referenceBroker: WireTarget = {
  name: "reference broker",
  open: async (): Promise<WireConnection> => {
    const connection = new ReferenceConnection();
    const answers: Uint8Array[] = [];
    return {
      send: async (bytes) => {
        if (!connection.closed) answers.push(connection.take(bytes));
      },
      receive: async () => {
        const answer = answers.shift();
        if (answer !== undefined) return answer;
        return connection.closed ? null : new Promise<never>(() => {});
      },
      close: async () => {},
    };
  },
};
