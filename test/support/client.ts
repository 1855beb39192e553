/**
 * An MQTT client for tests: it sends exactly what it is told, answers nothing by itself, and keeps
 * every packet until a test asks for it.
 *
 * Absence is proved by a barrier, never by waiting: what PINGREQ brings back arrived behind
 * everything the broker had sent before.
 */
import {
  generate,
  type IConnackPacket,
  type IPublishPacket,
  type ISubscription,
  type Packet,
  type PacketCmd,
  parser,
} from "mqtt-packet";
import { expect } from "vitest";
import { ANSWER_MS_MAX, withDeadline } from "./await.ts";
import { cutPackets } from "./client-bytes.ts";
import {
  type BrokerAddress,
  type ConnectOptions,
  type Delivery,
  describe,
  hex,
  type OpenOptions,
  type PublishOptions,
  type SubscribeOptions,
  subscription,
  toDelivery,
  type Version,
} from "./client-packets.ts";
import { type ClientTransport, openTcp, openWebSocket } from "./client-transport.ts";

interface Received {
  readonly packet: Packet;
  readonly bytes: Buffer;
}

interface Waiter {
  readonly wants: (received: Received) => boolean;
  readonly resolve: (received: Received) => void;
  readonly reject: (reason: Error) => void;
}

const LOG_LINES_MAX = 60;
let clientCount = 0;

/** One Network Connection and what came over it. */
export class TestClient {
  readonly clientId: string;
  readonly version: Version;
  /** The CONNACK, once `connect` has it. */
  connack: IConnackPacket | undefined;
  /** Bytes of all packets received. */
  byteCount = 0;
  #transport: ClientTransport | undefined;
  #nextPacketIdentifier = 1;
  #rest = Buffer.alloc(0);
  #isClosed = false;
  #failure: Error | undefined;
  readonly #parser;
  readonly #inbox: Received[] = [];
  readonly #waiters = new Set<Waiter>();
  readonly #log: { readonly arrow: string; readonly what: Packet | string }[] = [];
  readonly #closed: Promise<void>;
  #tellClosed: () => void = () => {};

  private constructor(version: Version, clientId: string | undefined) {
    clientCount += 1;
    this.version = version;
    this.clientId = clientId ?? `test${clientCount}`;
    this.#parser = parser({ protocolVersion: version });
    this.#closed = new Promise((resolve) => {
      this.#tellClosed = resolve;
    });
  }

  /** A Network Connection on which nothing was sent yet. */
  static async open(
    broker: BrokerAddress,
    options: OpenOptions & { readonly clientId?: string } = {},
  ): Promise<TestClient> {
    const client = new TestClient(options.version ?? 5, options.clientId);
    const events = {
      onBytes: (bytes: Buffer) => client.#take(bytes),
      onClosed: () => client.#close(),
    };
    client.#parser.on("error", (error: Error) => client.#fail(error));
    const { transport = "tcp" } = options;
    if (typeof transport === "function") client.#transport = await transport(events);
    else if (transport === "tcp") client.#transport = await openTcp(broker.port, events);
    else client.#transport = await openWebSocket(broker.webSocketPort, events);
    return client;
  }

  /** A client whose CONNECT was accepted. */
  static async connect(broker: BrokerAddress, options: ConnectOptions = {}): Promise<TestClient> {
    const client = await TestClient.open(broker, options);
    client.sendConnect(options);
    const connack = await client.expectConnack();
    const code = client.version === 5 ? connack.reasonCode : connack.returnCode;
    if (code !== 0) throw new Error(`CONNECT refused with code ${code}\n${client.seen()}`);
    return client;
  }

  sendConnect(options: ConnectOptions = {}): void {
    this.send({
      cmd: "connect",
      protocolId: this.version === 3 ? "MQIsdp" : "MQTT",
      protocolVersion: this.version,
      clientId: options.clientId ?? this.clientId,
      clean: options.clean ?? true,
      keepalive: options.keepAliveSeconds ?? 0,
      ...(options.will && { will: options.will }),
      ...(options.userName !== undefined && { username: options.userName }),
      ...(options.password !== undefined && { password: Buffer.from(options.password) }),
      ...(options.properties && { properties: options.properties }),
    });
  }

  /** Sends one packet, encoded by mqtt-packet. */
  send(packet: Packet): void {
    this.#note("→", packet);
    this.#write(generate(packet, { protocolVersion: this.version }));
  }

  /** Sends bytes as they are. */
  sendBytes(bytes: Uint8Array): void {
    this.#note("→", `${bytes.length} bytes ${Buffer.from(bytes.subarray(0, 40)).toString("hex")}`);
    this.#write(bytes);
  }

  /** The next packet of any kind, which must be of this one. */
  async next(cmd: PacketCmd): Promise<Packet> {
    const { packet } = await this.#await(cmd, () => true);
    if (packet.cmd !== cmd) {
      throw new Error(`expected ${cmd}, got ${describe(packet)}\n${this.seen()}`);
    }
    return packet;
  }

  /** The first packet of this kind, and with this Packet Identifier, that no one took yet. */
  async expect<Cmd extends PacketCmd>(
    cmd: Cmd,
    packetIdentifier?: number,
  ): Promise<Extract<Packet, { cmd: Cmd }>> {
    const what = packetIdentifier === undefined ? cmd : `${cmd} ${packetIdentifier}`;
    const { packet } = await this.#await(
      what,
      (received) =>
        received.packet.cmd === cmd &&
        (packetIdentifier === undefined || received.packet.messageId === packetIdentifier),
    );
    return packet as Extract<Packet, { cmd: Cmd }>;
  }

  async expectConnack(): Promise<IConnackPacket> {
    const connack = (await this.next("connack")) as IConnackPacket;
    this.connack = connack;
    return connack;
  }

  /** Takes a CONNACK with this code and without Session Present, then the close. */
  async expectRefusal(code: number): Promise<IConnackPacket> {
    const connack = await this.expectConnack();
    this.#check(() => {
      expect(this.version === 5 ? connack.reasonCode : connack.returnCode).toBe(code);
      expect(connack.sessionPresent).toBe(false);
    });
    await this.closed();
    this.expectInboxEmpty();
    return connack;
  }

  /** Subscribes to one filter; the code of the SUBACK. */
  async subscribe(filter: string, options: SubscribeOptions = {}): Promise<number> {
    const entry = subscription(filter, options, this.version);
    const codes = await this.subscribeAll([entry], options.subscriptionIdentifier);
    return codes[0] ?? -1;
  }

  /** Subscribes to many filters with one packet; the codes of the SUBACK. */
  async subscribeAll(
    subscriptions: ISubscription[],
    subscriptionIdentifier?: number,
  ): Promise<number[]> {
    const messageId = this.takePacketIdentifier();
    this.send({
      cmd: "subscribe",
      messageId,
      subscriptions,
      ...(subscriptionIdentifier !== undefined && { properties: { subscriptionIdentifier } }),
    });
    const suback = await this.expect("suback", messageId);
    return suback.granted as number[];
  }

  /** Unsubscribes with one packet; the codes of the UNSUBACK, none before version 5. */
  async unsubscribe(...filters: string[]): Promise<number[]> {
    const messageId = this.takePacketIdentifier();
    this.send({ cmd: "unsubscribe", messageId, unsubscriptions: filters });
    const unsuback = await this.expect("unsuback", messageId);
    return this.version === 5 ? unsuback.granted : [];
  }

  /** Sends a PUBLISH and leaves its acknowledgement to the test; its Packet Identifier. */
  sendPublish(topic: string, payload: string | Buffer, options: PublishOptions = {}): number {
    const qos = options.qos ?? 0;
    const messageId = qos === 0 ? 0 : (options.packetIdentifier ?? this.takePacketIdentifier());
    this.send({
      cmd: "publish",
      topic,
      payload,
      qos,
      dup: options.dup ?? false,
      retain: options.retain ?? false,
      ...(qos > 0 && { messageId }),
      ...(options.properties && { properties: options.properties }),
    });
    return messageId;
  }

  /** Publishes and goes through the whole exchange; the Reason Code, 0 where there is none. */
  async publish(
    topic: string,
    payload: string | Buffer,
    options: PublishOptions = {},
  ): Promise<number> {
    const packetIdentifier = this.sendPublish(topic, payload, options);
    if (options.qos === 1) return (await this.expect("puback", packetIdentifier)).reasonCode ?? 0;
    if (options.qos !== 2) return 0;
    const reasonCode = (await this.expect("pubrec", packetIdentifier)).reasonCode ?? 0;
    if (reasonCode < 0x80) {
      this.send({ cmd: "pubrel", messageId: packetIdentifier });
      await this.expect("pubcomp", packetIdentifier);
    }
    return reasonCode;
  }

  /** The next PUBLISH, which must have these fields; it is not acknowledged. */
  async expectPublish(fields: Partial<Delivery> = {}): Promise<Delivery> {
    const what = `PUBLISH ${JSON.stringify(fields)}`;
    const { packet, bytes } = await this.#await(what, (one) => one.packet.cmd === "publish");
    const delivery = toDelivery(packet as IPublishPacket, bytes);
    this.#check(() => expect(delivery).toMatchObject(fields));
    return delivery;
  }

  /** The next PUBLISH, with these fields, acknowledged to the end. */
  async receive(fields: Partial<Delivery> = {}): Promise<Delivery> {
    const delivery = await this.expectPublish(fields);
    await this.acknowledge(delivery);
    return delivery;
  }

  /** Takes all packets of this kind that came. */
  takeAll<Cmd extends PacketCmd>(cmd: Cmd): readonly Extract<Packet, { cmd: Cmd }>[] {
    const taken = this.#inbox.filter(({ packet }) => packet.cmd === cmd);
    for (const one of taken) this.#inbox.splice(this.#inbox.indexOf(one), 1);
    return taken.map(({ packet }) => packet as Extract<Packet, { cmd: Cmd }>);
  }

  /** Takes all that was delivered; it is not acknowledged. */
  takeDeliveries(): readonly Delivery[] {
    const taken = this.#inbox.filter(({ packet }) => packet.cmd === "publish");
    for (const one of taken) this.#inbox.splice(this.#inbox.indexOf(one), 1);
    return taken.map(({ packet, bytes }) => toDelivery(packet as IPublishPacket, bytes));
  }

  /** Finishes the exchange of a PUBLISH from the broker. */
  async acknowledge(delivery: Delivery): Promise<void> {
    const messageId = delivery.packetIdentifier;
    if (delivery.qos === 1) this.send({ cmd: "puback", messageId });
    if (delivery.qos !== 2) return;
    this.send({ cmd: "pubrec", messageId });
    await this.expect("pubrel", messageId);
    this.send({ cmd: "pubcomp", messageId });
  }

  /** PINGREQ and its answer: a barrier behind everything sent before it. */
  async ping(): Promise<void> {
    this.send({ cmd: "pingreq" });
    await this.expect("pingresp");
  }

  /** Proves that nothing is on its way here, after what `publishers` have sent so far. */
  async expectNothing(...publishers: readonly TestClient[]): Promise<void> {
    for (const publisher of publishers) await publisher.ping();
    await this.ping();
    this.expectInboxEmpty();
  }

  expectInboxEmpty(): void {
    const left = this.#inbox.map((received) => describe(received.packet));
    if (left.length > 0) throw new Error(`expected nothing, got ${left}\n${this.seen()}`);
  }

  /** Awaits the close by the broker: version 5 with a DISCONNECT of this code, others bare. */
  async expectDisconnect(reasonCode: number): Promise<void> {
    if (this.version === 5) {
      const disconnect = await this.expect("disconnect");
      this.#check(() => expect(hex(disconnect.reasonCode ?? 0)).toBe(hex(reasonCode)));
    }
    await this.closed();
    this.expectInboxEmpty();
  }

  /** Awaits the end of the Network Connection. */
  closed(millisecondsMax: number = ANSWER_MS_MAX): Promise<void> {
    return withDeadline(this.#closed, "close", () => this.seen(), millisecondsMax);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** DISCONNECT, then the end of the stream; done when the broker has closed too. */
  async disconnect(reasonCode = 0, sessionExpiryInterval?: number): Promise<void> {
    this.send({
      cmd: "disconnect",
      ...(this.version === 5 && { reasonCode }),
      ...(sessionExpiryInterval !== undefined && { properties: { sessionExpiryInterval } }),
    });
    this.#transport?.end();
    await this.closed();
  }

  /** Ends the stream without DISCONNECT; done when the broker has seen it and closed too. */
  async drop(): Promise<void> {
    this.#transport?.end();
    await this.closed();
  }

  /** Cuts the stream off at once. */
  destroy(): void {
    this.#transport?.destroy();
  }

  /** Stops reading from the kernel, so that the broker's output piles up. */
  pause(): void {
    this.#transport?.pause();
  }

  resume(): void {
    this.#transport?.resume();
  }

  takePacketIdentifier(): number {
    const packetIdentifier = this.#nextPacketIdentifier;
    this.#nextPacketIdentifier = (packetIdentifier % 65535) + 1;
    return packetIdentifier;
  }

  /** What went over the connection so far, for error messages. */
  seen(): string {
    const state = this.#isClosed ? "closed" : "open";
    const lines = this.#log.map(
      ({ arrow, what }) => `${arrow} ${typeof what === "string" ? what : describe(what)}`,
    );
    return [`${this.clientId}, version ${this.version}, ${state}:`, ...lines].join("\n  ");
  }

  #write(bytes: Uint8Array): void {
    if (!this.#isClosed) this.#transport?.write(bytes);
  }

  #take(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const { packets, rest } = cutPackets(bytes);
    this.#rest = Buffer.from(rest);
    for (const one of packets) this.#takePacket(Buffer.from(one));
  }

  #takePacket(bytes: Buffer): void {
    let packet: Packet | undefined;
    const keep = (parsed: Packet) => {
      packet = parsed;
    };
    this.#parser.once("packet", keep);
    this.#parser.parse(bytes);
    this.#parser.off("packet", keep);
    if (packet === undefined) {
      this.#fail(new Error(`the broker sent a malformed packet: ${bytes.toString("hex")}`));
      return;
    }
    this.byteCount += bytes.length;
    this.#note("←", packet);
    const received = { packet, bytes };
    for (const waiter of this.#waiters) {
      if (!waiter.wants(received)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(received);
      return;
    }
    this.#inbox.push(received);
  }

  #await(what: string, wants: (received: Received) => boolean): Promise<Received> {
    const index = this.#inbox.findIndex(wants);
    const [found] = index < 0 ? [] : this.#inbox.splice(index, 1);
    if (found) return Promise.resolve(found);
    if (this.#failure) return Promise.reject(this.#failure);
    if (this.#isClosed) {
      return Promise.reject(new Error(`closed before ${what}\n${this.seen()}`));
    }
    const arrived = new Promise<Received>((resolve, reject) => {
      this.#waiters.add({ wants, resolve, reject });
    });
    return withDeadline(arrived, what, () => this.seen());
  }

  #close(): void {
    this.#isClosed = true;
    this.#note("", "closed");
    for (const waiter of this.#waiters) {
      waiter.reject(new Error(`closed while waiting\n${this.seen()}`));
    }
    this.#waiters.clear();
    this.#tellClosed();
  }

  #fail(error: Error): void {
    this.#failure = new Error(`${error.message}\n${this.seen()}`);
    for (const waiter of this.#waiters) waiter.reject(this.#failure);
    this.#waiters.clear();
  }

  #check(assertion: () => void): void {
    try {
      assertion();
    } catch (error) {
      if (error instanceof Error) error.message += `\n${this.seen()}`;
      throw error;
    }
  }

  #note(arrow: string, what: Packet | string): void {
    this.#log.push({ arrow, what });
    if (this.#log.length > LOG_LINES_MAX) this.#log.shift();
  }
}
