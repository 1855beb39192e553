/**
 * Control Packets as values, in MQTT's nouns, for tests: what the reference decoder gives and what
 * the naive encoder takes.
 *
 * A field that a packet leaves out has its neutral value: Packet Identifier 0, Reason Code 0, an
 * empty property list. Versions 3 (MQTT 3.1), 4 (3.1.1) and 5 share the types; what a version does
 * not know stays neutral.
 */

export type Version = 3 | 4 | 5;
export type QoS = 0 | 1 | 2;

export type PropertyValue = number | string | Uint8Array | readonly [name: string, value: string];
export type Property = readonly [identifier: number, value: PropertyValue];

/** In the order of the bytes. */
export type Properties = readonly Property[];

export interface Will {
  readonly qos: QoS;
  readonly retain: boolean;
  readonly properties: Properties;
  readonly topicName: string;
  readonly payload: Uint8Array;
}

export interface ConnectPacket {
  readonly type: "connect";
  readonly version: Version;
  readonly cleanStart: boolean;
  readonly keepAliveSeconds: number;
  readonly properties: Properties;
  readonly clientIdentifier: string;
  readonly will: Will | null;
  readonly userName: string | null;
  readonly password: Uint8Array | null;
}

export interface PublishPacket {
  readonly type: "publish";
  readonly duplicate: boolean;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly topicName: string;
  readonly packetIdentifier: number;
  readonly properties: Properties;
  readonly payload: Uint8Array;
}

export type AcknowledgementType = "puback" | "pubrec" | "pubrel" | "pubcomp";

export interface AcknowledgementPacket {
  readonly type: AcknowledgementType;
  readonly packetIdentifier: number;
  readonly reasonCode: number;
  readonly properties: Properties;
}

export interface Subscription {
  readonly topicFilter: string;
  readonly qos: QoS;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: 0 | 1 | 2;
}

export interface SubscribePacket {
  readonly type: "subscribe";
  readonly packetIdentifier: number;
  readonly properties: Properties;
  readonly subscriptions: readonly Subscription[];
}

export interface UnsubscribePacket {
  readonly type: "unsubscribe";
  readonly packetIdentifier: number;
  readonly properties: Properties;
  readonly topicFilters: readonly string[];
}

export interface PingreqPacket {
  readonly type: "pingreq";
}

export interface DisconnectPacket {
  readonly type: "disconnect";
  readonly reasonCode: number;
  readonly properties: Properties;
}

export interface AuthPacket {
  readonly type: "auth";
  readonly reasonCode: number;
  readonly properties: Properties;
}

export interface ConnackPacket {
  readonly type: "connack";
  readonly sessionPresent: boolean;
  readonly reasonCode: number;
  readonly properties: Properties;
}

export interface SubackPacket {
  readonly type: "suback" | "unsuback";
  readonly packetIdentifier: number;
  readonly properties: Properties;
  readonly reasonCodes: readonly number[];
}

export interface PingrespPacket {
  readonly type: "pingresp";
}

/** What a client may send. */
export type ClientPacket =
  | ConnectPacket
  | PublishPacket
  | AcknowledgementPacket
  | SubscribePacket
  | UnsubscribePacket
  | PingreqPacket
  | DisconnectPacket
  | AuthPacket;

/** What a server may send. */
export type ServerPacket =
  | ConnackPacket
  | PublishPacket
  | AcknowledgementPacket
  | SubackPacket
  | PingrespPacket
  | DisconnectPacket
  | AuthPacket;

export type Packet = ClientPacket | ServerPacket;
export type PacketType = Packet["type"];
