/** A client of the harness: packets as values, in and out. */
import type { ListenerRules } from "../../src/session/network-connection.ts";
import type { EngineHarness, Peer } from "./engine-harness.ts";
import type { MemoryWire } from "./engine-harness-wire.ts";
import { LISTENER_RULES } from "./listener-rules.ts";
import { encode } from "./naive-encoder.ts";
import { acknowledgement, connect, properties, publish, subscribe } from "./packets.ts";
import type {
  ClientPacket,
  ConnackPacket,
  ConnectPacket,
  PublishPacket,
  QoS,
  ServerPacket,
  Subscription,
  Version,
} from "./packets-types.ts";
import { readServerPackets } from "./reference-decoder-server.ts";

/** What a test changes of a CONNECT. */
export interface ClientOptions {
  readonly version?: Version;
  /** Whether the Session is new; true if left out. */
  readonly clean?: boolean;
  /** Version 5: Session Expiry Interval; 0 if left out. Before it, `clean` decides. */
  readonly expirySeconds?: number;
  readonly receiveMaximum?: number;
  readonly topicAliasMaximum?: number;
  readonly packetBytesMax?: number;
  readonly connect?: Partial<ConnectPacket>;
  /** What its listener has of its own. */
  readonly listener?: Partial<ListenerRules>;
}

export class HarnessClient {
  readonly harness: EngineHarness;
  readonly peer: Peer;
  readonly version: Version;
  connack: ConnackPacket | null = null;
  /** Packets that came with the CONNACK; the next take() gives them. */
  #early: ServerPacket[] = [];
  /** What came and does not make a whole packet yet. */
  #rest = Buffer.alloc(0);

  constructor(harness: EngineHarness, version: Version, listener: Partial<ListenerRules> = {}) {
    this.harness = harness;
    this.peer = harness.open({ ...LISTENER_RULES, ...listener });
    this.version = version;
  }

  get wire(): MemoryWire {
    return this.peer.wire;
  }

  get isClosed(): boolean {
    return this.wire.isEnded;
  }

  send(...packets: readonly ClientPacket[]): void {
    this.sendBytes(Buffer.concat(packets.map((packet) => encode(this.version, packet))));
  }

  sendBytes(bytes: Uint8Array): void {
    this.harness.send(this.peer, bytes);
  }

  /** What the broker has sent since this was asked last. */
  take(): readonly ServerPacket[] {
    const bytes = Buffer.concat([this.#rest, this.wire.takeReceived()]);
    const { packets, byteCount } = readServerPackets(this.version, bytes);
    this.#rest = bytes.subarray(byteCount);
    return [...this.#early.splice(0), ...packets];
  }

  /** Takes the CONNACK, which must come first and be a success. */
  expectConnack(): void {
    const [first, ...more] = this.take();
    if (first?.type !== "connack" || first.reasonCode !== 0) {
      throw new Error(`no CONNACK with success: ${JSON.stringify(first ?? "nothing")}`);
    }
    this.connack = first;
    this.#early = more;
  }

  /** As take(), only what is published. */
  takePublished(): readonly PublishPacket[] {
    return this.take().filter((packet) => packet.type === "publish");
  }

  /** Lets the broker come to rest, then gives what it sent. */
  async answers(): Promise<readonly ServerPacket[]> {
    await this.harness.settle();
    return this.take();
  }

  publish(topicName: string, qos: QoS, fields: Partial<PublishPacket> = {}): void {
    this.send(publish({ topicName, qos, ...fields }));
  }

  /**
   * Subscribes with Packet Identifier 1.
   *
   * @param identifier  Subscription Identifier; 0 = none
   */
  subscribe(
    topicFilter: string,
    qos: QoS,
    fields: Partial<Subscription> = {},
    identifier = 0,
  ): void {
    const list = identifier > 0 ? properties({ subscription_identifier: identifier }) : [];
    this.send(subscribe(1, [{ topicFilter, qos, ...fields }], list));
  }

  /** What is due for a PUBLISH: nothing, PUBACK or PUBREC. */
  acknowledge({ qos, packetIdentifier }: PublishPacket): void {
    if (qos === 1) this.send(acknowledgement("puback", packetIdentifier));
    if (qos === 2) this.send(acknowledgement("pubrec", packetIdentifier));
  }

  hangUp(): void {
    this.harness.hangUp(this.peer);
  }
}

/** A client that has sent its CONNECT; its answer is not there yet. */
export function beginClient(
  harness: EngineHarness,
  clientIdentifier: string,
  options: ClientOptions = {},
): HarnessClient {
  const { version = 5, clean = true, expirySeconds, receiveMaximum } = options;
  const { topicAliasMaximum, packetBytesMax } = options;
  const client = new HarnessClient(harness, version, options.listener);
  const list = properties({
    ...(expirySeconds === undefined ? {} : { session_expiry_interval: expirySeconds }),
    ...(receiveMaximum === undefined ? {} : { receive_maximum: receiveMaximum }),
    ...(!topicAliasMaximum ? {} : { topic_alias_maximum: topicAliasMaximum }),
    ...(packetBytesMax === undefined ? {} : { maximum_packet_size: packetBytesMax }),
  });
  const fields = { version, cleanStart: clean, clientIdentifier, properties: list };
  client.send(connect({ keepAliveSeconds: 0, ...fields, ...options.connect }));
  return client;
}

/** A client with its CONNACK, which must be a success. */
export async function connectClient(
  harness: EngineHarness,
  clientIdentifier: string,
  options: ClientOptions = {},
): Promise<HarnessClient> {
  const client = beginClient(harness, clientIdentifier, options);
  await harness.settle();
  client.expectConnack();
  return client;
}
