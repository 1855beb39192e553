/**
 * A Network Connection in a test's own hands: it answers nothing by itself, and gives out what came
 * kind by kind, in order.
 */
import {
  generate,
  type IConnackPacket,
  type IPublishPacket,
  type Packet,
  type PacketCmd,
  parser,
} from "mqtt-packet";
import { withDeadline } from "./await.ts";
import { describe } from "./client-packets.ts";
import { type ClientTransport, openTcp } from "./client-transport.ts";

const SEEN_LINES_MAX = 40;

export interface HandOptions {
  readonly clientIdentifier: string;
  readonly version: 4 | 5;
  readonly cleanStart: boolean;
  /** Session Expiry Interval; 3.1.1 has none. */
  readonly expirySeconds: number;
}

export class HandConnection {
  readonly options: HandOptions;
  isClosed = false;
  sessionPresent = false;
  #transport: ClientTransport | undefined;
  #nextPacketIdentifier = 1;
  readonly #inbox: Packet[] = [];
  readonly #seen: string[] = [];
  #wake: () => void = () => {};

  private constructor(options: HandOptions) {
    this.options = options;
  }

  /** Connects, and waits for the CONNACK. */
  static async connect(port: number, options: HandOptions): Promise<HandConnection> {
    const hand = new HandConnection(options);
    const incoming = parser({ protocolVersion: options.version });
    incoming.on("packet", (packet: Packet) => {
      hand.#note("←", packet);
      hand.#inbox.push(packet);
      hand.#wake();
    });
    hand.#transport = await openTcp(port, {
      onBytes: (bytes) => incoming.parse(bytes),
      onClosed: () => {
        hand.isClosed = true;
        hand.#wake();
      },
    });
    const { clientIdentifier, version, cleanStart, expirySeconds } = options;
    hand.send({
      cmd: "connect",
      protocolId: "MQTT",
      protocolVersion: version,
      clientId: clientIdentifier,
      clean: cleanStart,
      keepalive: 0,
      ...(version === 5 && { properties: { sessionExpiryInterval: expirySeconds } }),
    });
    const connack = (await hand.next("connack")) as IConnackPacket;
    const code = version === 5 ? connack.reasonCode : connack.returnCode;
    if (code !== 0) throw new Error(`CONNECT refused with ${code}`);
    hand.sessionPresent = connack.sessionPresent;
    return hand;
  }

  send(packet: Packet): void {
    this.#note("→", packet);
    this.#transport?.write(generate(packet, { protocolVersion: this.options.version }));
  }

  /** The first packet of this kind that nobody took yet. */
  async next(cmd: PacketCmd): Promise<Packet> {
    let found: Packet | undefined;
    const has = (): boolean => {
      const index = this.#inbox.findIndex((packet) => packet.cmd === cmd);
      if (found === undefined && index >= 0) [found] = this.#inbox.splice(index, 1);
      return found !== undefined || this.isClosed;
    };
    await this.#until(cmd, has);
    if (found === undefined) throw new Error(`closed before ${cmd}\n${this.seen()}`);
    return found;
  }

  async nextPublish(): Promise<IPublishPacket> {
    return (await this.next("publish")) as IPublishPacket;
  }

  /** PINGREQ and its answer: nothing else may have come before it. */
  async quiet(): Promise<void> {
    this.send({ cmd: "pingreq" });
    await this.next("pingresp");
    const left = this.#inbox.map(describe);
    if (left.length > 0) throw new Error(`not expected: ${left}\n${this.seen()}`);
  }

  async subscribe(filter: string, qos: 0 | 1 | 2): Promise<void> {
    const options = this.options.version === 5 ? { nl: false, rap: false, rh: 0 } : {};
    const messageId = this.#takePacketIdentifier();
    this.send({ cmd: "subscribe", messageId, subscriptions: [{ topic: filter, qos, ...options }] });
    await this.next("suback");
  }

  async unsubscribe(filter: string): Promise<void> {
    const messageId = this.#takePacketIdentifier();
    this.send({ cmd: "unsubscribe", messageId, unsubscriptions: [filter] });
    await this.next("unsuback");
  }

  /** Publishes, and goes through the whole exchange. */
  async publish(
    topic: string,
    payload: string,
    options: { readonly qos: 0 | 1 | 2; readonly retain: boolean; readonly expiry?: number },
  ): Promise<void> {
    const { qos, retain, expiry } = options;
    const messageId = this.#takePacketIdentifier();
    this.send({
      cmd: "publish",
      topic,
      payload,
      qos,
      dup: false,
      retain,
      ...(qos > 0 && { messageId }),
      ...(expiry !== undefined && { properties: { messageExpiryInterval: expiry } }),
    });
    if (qos === 0) await this.quiet();
    if (qos === 1) await this.next("puback");
    if (qos !== 2) return;
    await this.next("pubrec");
    this.send({ cmd: "pubrel", messageId });
    await this.next("pubcomp");
  }

  /** DISCONNECT; done when the broker has closed. */
  async disconnect(expirySeconds?: number): Promise<void> {
    this.send({
      cmd: "disconnect",
      ...(this.options.version === 5 && { reasonCode: 0 }),
      ...(expirySeconds !== undefined && {
        properties: { sessionExpiryInterval: expirySeconds },
      }),
    });
    await this.end();
  }

  /** Ends the stream; done when the broker has closed. */
  async end(): Promise<void> {
    this.#transport?.end();
    await this.#until("close", () => this.isClosed);
  }

  /** What went over the connection lately, for error messages. */
  seen(): string {
    const { clientIdentifier, version } = this.options;
    return [`${clientIdentifier}, version ${version}:`, ...this.#seen].join("\n  ");
  }

  async #until(what: string, holds: () => boolean): Promise<void> {
    if (holds()) return;
    const happened = new Promise<void>((resolve) => {
      this.#wake = () => {
        if (holds()) resolve();
      };
    });
    await withDeadline(happened, what, () => this.seen());
    this.#wake = () => {};
  }

  #takePacketIdentifier(): number {
    const taken = this.#nextPacketIdentifier;
    this.#nextPacketIdentifier = (taken % 65_535) + 1;
    return taken;
  }

  #note(arrow: string, packet: Packet): void {
    this.#seen.push(`${arrow} ${describe(packet)}`);
    if (this.#seen.length > SEEN_LINES_MAX) this.#seen.shift();
  }
}
