/**
 * The npm package mqtt-packet as one more decoder and encoder, in this project's packet values.
 */
import mqttPacket, { type Packet as MqttPacket } from "mqtt-packet";
import { propertyIdentifier, propertyRow } from "../support/packets-tables.ts";
import type {
  ClientPacket,
  ConnectPacket,
  Properties,
  Property,
  PropertyValue,
  QoS,
  Version,
} from "../support/packets-types.ts";

export type OracleOutcome =
  | { readonly ok: true; readonly packet: ClientPacket }
  | { readonly ok: false; readonly error: string };

/** Parses one packet as mqtt-packet does; whatever it throws is a refusal too. */
export function oracleDecode(version: Version, bytes: Uint8Array): OracleOutcome {
  const parser = mqttPacket.parser({ protocolVersion: version });
  let parsed: MqttPacket | null = null;
  let error: string | null = null;
  parser.on("packet", (packet) => {
    parsed ??= packet;
  });
  parser.on("error", (thrown) => {
    error ??= String(thrown);
  });
  try {
    parser.parse(Buffer.from(bytes));
    if (error !== null) return { ok: false, error };
    if (parsed === null) return { ok: false, error: "waits for more bytes" };
    return { ok: true, packet: fromOracle(parsed) };
  } catch (thrown) {
    return { ok: false, error: `throws ${thrown}` };
  }
}

/** @throws Error where mqtt-packet will not write the packet */
export function oracleEncode(version: Version, packet: ClientPacket): Uint8Array {
  return new Uint8Array(mqttPacket.generate(toOracle(packet), { protocolVersion: version }));
}

function snakeCase(name: string): string {
  if (name === "userProperties") return "user_property";
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function camelCase(name: string): string {
  if (name === "user_property") return "userProperties";
  return name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function fromOracleProperties(list: object | undefined): Properties {
  return Object.entries(list ?? {}).flatMap(([name, value]): Property[] => {
    const identifier = propertyIdentifier(snakeCase(name));
    if (name === "userProperties") {
      return Object.entries(value as Record<string, string | string[]>).flatMap(([key, values]) =>
        [values].flat().map((one): Property => [identifier, [key, one]]),
      );
    }
    return [value].flat().map((one): Property => [identifier, plainValue(one)]);
  });
}

function plainValue(value: unknown): PropertyValue {
  if (typeof value === "boolean") return Number(value);
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (typeof value === "number" || typeof value === "string") return value;
  throw new Error(`mqtt-packet gave a property value of ${typeof value}`);
}

function toOracleProperties(list: Properties): object {
  const result: Record<string, unknown> & { userProperties?: object } = {};
  const userProperties: Record<string, string[]> = Object.create(null);
  for (const [identifier, value] of list) {
    const row = propertyRow(identifier);
    if (row === null) throw new Error(`no property has identifier ${identifier}`);
    if (typeof value === "object" && !(value instanceof Uint8Array)) {
      const [name, text] = value;
      userProperties[name] = [...(userProperties[name] ?? []), text];
      result.userProperties = userProperties;
    } else if (row.form === "byte") result[camelCase(row.name)] = value === 1;
    else result[camelCase(row.name)] = value instanceof Uint8Array ? Buffer.from(value) : value;
  }
  return result;
}

function toOracle(packet: ClientPacket): MqttPacket {
  const properties = "properties" in packet ? toOracleProperties(packet.properties) : {};
  switch (packet.type) {
    case "connect":
      return connectToOracle(packet);
    case "publish":
      return {
        cmd: "publish",
        dup: packet.duplicate,
        qos: packet.qos,
        retain: packet.retain,
        topic: packet.topicName,
        ...(packet.qos > 0 ? { messageId: packet.packetIdentifier } : {}),
        properties,
        payload: Buffer.from(packet.payload),
      };
    case "puback":
    case "pubrec":
    case "pubrel":
    case "pubcomp": {
      const { type, packetIdentifier, reasonCode } = packet;
      const shared = { cmd: type, messageId: packetIdentifier, reasonCode };
      return packet.properties.length === 0 ? shared : { ...shared, properties };
    }
    case "subscribe":
      return {
        cmd: "subscribe",
        messageId: packet.packetIdentifier,
        properties,
        subscriptions: packet.subscriptions.map((entry) => ({
          topic: entry.topicFilter,
          qos: entry.qos,
          nl: entry.noLocal,
          rap: entry.retainAsPublished,
          rh: entry.retainHandling,
        })),
      };
    case "unsubscribe":
      return {
        cmd: "unsubscribe",
        messageId: packet.packetIdentifier,
        properties,
        unsubscriptions: [...packet.topicFilters],
      };
    case "pingreq":
      return { cmd: "pingreq" };
    case "disconnect":
    case "auth":
      return { cmd: packet.type, reasonCode: packet.reasonCode, properties };
  }
}

function connectToOracle(packet: ConnectPacket): MqttPacket {
  const { will, userName, password } = packet;
  return {
    cmd: "connect",
    protocolId: packet.version === 3 ? "MQIsdp" : "MQTT",
    protocolVersion: packet.version,
    clean: packet.cleanStart,
    keepalive: packet.keepAliveSeconds,
    properties: toOracleProperties(packet.properties),
    clientId: packet.clientIdentifier,
    ...(will === null
      ? {}
      : {
          will: {
            topic: will.topicName,
            payload: Buffer.from(will.payload),
            qos: will.qos,
            retain: will.retain,
            properties: toOracleProperties(will.properties),
          },
        }),
    ...(userName === null ? {} : { username: userName }),
    ...(password === null ? {} : { password: Buffer.from(password) }),
  };
}

function fromOracle(packet: MqttPacket): ClientPacket {
  const properties = "properties" in packet ? fromOracleProperties(packet.properties) : [];
  const packetIdentifier = packet.messageId ?? 0;
  switch (packet.cmd) {
    case "connect": {
      const { will } = packet;
      return {
        type: "connect",
        version: packet.protocolVersion ?? 4,
        cleanStart: packet.clean ?? false,
        keepAliveSeconds: packet.keepalive ?? 0,
        properties,
        clientIdentifier: packet.clientId,
        will:
          will === undefined
            ? null
            : {
                qos: will.qos ?? 0,
                retain: will.retain ?? false,
                properties: fromOracleProperties(will.properties),
                topicName: will.topic,
                payload: plainBytes(will.payload),
              },
        userName: packet.username ?? null,
        password: packet.password === undefined ? null : plainBytes(packet.password),
      };
    }
    case "publish": {
      const { dup, qos, retain, topic, payload } = packet;
      const header = { duplicate: dup, qos, retain, topicName: topic };
      const body = { packetIdentifier, properties, payload: plainBytes(payload) };
      return { type: "publish", ...header, ...body };
    }
    case "puback":
    case "pubrec":
    case "pubrel":
    case "pubcomp":
      return { type: packet.cmd, packetIdentifier, reasonCode: packet.reasonCode ?? 0, properties };
    case "subscribe":
      return {
        type: "subscribe",
        packetIdentifier,
        properties,
        subscriptions: packet.subscriptions.map((entry) => ({
          topicFilter: entry.topic,
          qos: entry.qos,
          noLocal: entry.nl ?? false,
          retainAsPublished: entry.rap ?? false,
          retainHandling: (entry.rh ?? 0) as QoS,
        })),
      };
    case "unsubscribe":
      return {
        type: "unsubscribe",
        packetIdentifier,
        properties,
        topicFilters: packet.unsubscriptions,
      };
    case "pingreq":
      return { type: "pingreq" };
    case "disconnect":
    case "auth":
      return { type: packet.cmd, reasonCode: packet.reasonCode ?? 0, properties };
    default:
      throw new Error(`a server's ${packet.cmd}`);
  }
}

function plainBytes(value: string | Uint8Array): Uint8Array {
  return typeof value === "string" ? new TextEncoder().encode(value) : new Uint8Array(value);
}
