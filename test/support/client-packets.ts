/**
 * What a test says about packets, and how packets are shown to it.
 */
import type { IConnectPacket, IPublishPacket, ISubscription, Packet, QoS } from "mqtt-packet";
import type { Opener } from "./client-transport.ts";

export type Version = 3 | 4 | 5;
export type ConnectProperties = NonNullable<IConnectPacket["properties"]>;
export type PublishProperties = NonNullable<IPublishPacket["properties"]>;
export type Will = NonNullable<IConnectPacket["will"]>;

/** Where the client connects to. */
export interface BrokerAddress {
  readonly port: number;
  readonly webSocketPort: number;
}

export interface OpenOptions {
  /** Protocol version, 5 if left out. */
  readonly version?: Version;
  /** TCP if left out. */
  readonly transport?: "tcp" | "webSocket" | Opener;
}

export interface ConnectOptions extends OpenOptions {
  /** Client Identifier; one of its own if left out. */
  readonly clientId?: string;
  /** Clean Start, or cleanSession; true if left out. */
  readonly clean?: boolean;
  /** 0, which is off, if left out. */
  readonly keepAliveSeconds?: number;
  readonly will?: Will;
  readonly userName?: string;
  readonly password?: string;
  readonly properties?: ConnectProperties;
}

export interface PublishOptions {
  readonly qos?: QoS;
  readonly retain?: boolean;
  readonly dup?: boolean;
  /** The next free one if left out. */
  readonly packetIdentifier?: number;
  readonly properties?: PublishProperties;
}

export interface SubscribeOptions {
  readonly qos?: QoS;
  readonly noLocal?: boolean;
  readonly retainAsPublished?: boolean;
  readonly retainHandling?: 0 | 1 | 2;
  readonly subscriptionIdentifier?: number;
}

/** A PUBLISH from the broker. */
export interface Delivery {
  readonly topic: string;
  /** The payload read as UTF-8. */
  readonly payload: string;
  readonly payloadBytes: Buffer;
  readonly qos: QoS;
  readonly dup: boolean;
  readonly retain: boolean;
  /** 0 with QoS 0. */
  readonly packetIdentifier: number;
  readonly properties: PublishProperties;
  /** The packet as it came. */
  readonly bytes: Buffer;
}

/** An entry of a SUBSCRIBE for `subscribeAll`. */
export function subscription(
  filter: string,
  options: SubscribeOptions = {},
  version: Version = 5,
): ISubscription {
  const entry = { topic: filter, qos: options.qos ?? 0 };
  if (version < 5) return entry;
  return {
    ...entry,
    nl: options.noLocal ?? false,
    rap: options.retainAsPublished ?? false,
    rh: options.retainHandling ?? 0,
  };
}

/** A PUBLISH as tests look at it. */
export function toDelivery(packet: IPublishPacket, bytes: Buffer): Delivery {
  const payloadBytes = Buffer.from(packet.payload);
  return {
    topic: packet.topic,
    payload: payloadBytes.toString(),
    payloadBytes,
    qos: packet.qos,
    dup: packet.dup,
    retain: packet.retain,
    packetIdentifier: packet.messageId ?? 0,
    properties: packet.properties ?? {},
    bytes,
  };
}

/** A Reason Code as the standard writes it. */
export function hex(code: number): string {
  return `0x${code.toString(16).padStart(2, "0")}`;
}

/** A packet in one line, long values cut. */
export function describe(packet: Packet): string {
  const { cmd, ...fields } = packet;
  const shown = JSON.stringify(fields, (key, value: unknown) => {
    if (value === null || value === undefined || value === "") return undefined;
    if (key === "length") return undefined;
    return shorten(value);
  });
  return `${cmd.toUpperCase()} ${shown}`;
}

function shorten(value: unknown): unknown {
  const isBuffer =
    typeof value === "object" && value !== null && "type" in value && "data" in value;
  const whole = isBuffer ? Buffer.from(value.data as number[]).toString("latin1") : value;
  if (typeof whole !== "string" || whole.length <= 60) return whole;
  return `${whole.slice(0, 40)}… (${whole.length})`;
}
