/**
 * An MQTT client whose Session State outlives broker and connection, as the standard asks of it.
 *
 * It keeps what it has sent and not seen acknowledged, and the Packet Identifiers of what it has
 * received with QoS 2; after a reconnect it goes on where it was. What it is promised is held
 * against the broker: each breach is a line in `violations`.                           [§4.1, §4.4]
 */
import { generate, type IPublishPacket, type Packet, type Parser, parser } from "mqtt-packet";
import { ANSWER_MS_MAX, withDeadline } from "./await.ts";
import { describe, type PublishProperties, type Will } from "./client-packets.ts";
import { type ClientTransport, openTcp } from "./client-transport.ts";

export type QoS = 0 | 1 | 2;

export interface ClientSettings {
  readonly clientIdentifier: string;
  readonly version: 4 | 5;
  /** Messages sent and not acknowledged, at most; 20 if left out. */
  readonly window?: number;
  /** Receive Maximum told to the broker; none if left out. */
  readonly receiveMaximum?: number;
  /** Session Expiry Interval; never if left out. */
  readonly expirySeconds?: number;
  readonly will?: Will;
}

/** An Application Message that this client publishes. */
export interface Publication {
  readonly topic: string;
  readonly payload: string;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly properties: PublishProperties | undefined;
  /** When it was first sent; 0: not yet. */
  sentTick: number;
  /** When PUBACK or PUBREC came; 0: not yet. */
  acceptedTick: number;
  /** Reason Code of the last acknowledgement; null: its exchange is not over. */
  reasonCode: number | null;
}

/** An Application Message as the application of this client got it. */
export interface Arrival {
  readonly topic: string;
  readonly payload: string;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly duplicate: boolean;
}

export interface HeldSubscription {
  readonly filter: string;
  readonly qos: QoS;
  readonly sentTick: number;
  /** When its SUBACK came; 0: not yet. */
  grantedTick: number;
}

interface Outgoing {
  readonly publication: Publication;
  isReleased: boolean;
}

interface Connection {
  readonly onLost: (reason: string) => void;
  readonly parser: Parser;
  transport: ClientTransport | undefined;
  isAccepted: boolean;
  isClosed: boolean;
}

interface Waiter {
  readonly holds: () => boolean;
  readonly resolve: () => void;
}

const SEEN_LINES_MAX = 40;
const EXPIRY_NEVER = 0xffff_ffff;
const IDENTIFIER_NOT_FOUND = 0x92;

/** When each tick was, in Unix milliseconds; tick 0 is none. */
const tickTimes: number[] = [0];

/** The next tick of the one clock that orders what all clients of a test see. */
export function nextTick(): number {
  return tickTimes.push(Date.now()) - 1;
}

/** The last tick that surely was before this moment. */
export function tickBefore(atMicroseconds: number): number {
  // A time in whole milliseconds stands for up to one more.
  const after = tickTimes.findIndex((time) => (time + 1) * 1000 >= atMicroseconds);
  return (after < 0 ? tickTimes.length : after) - 1;
}

/** One Client Identifier and its half of the Session State. */
export class DurableClient {
  readonly settings: ClientSettings;
  readonly publications: Publication[] = [];
  readonly arrivals: Arrival[] = [];
  readonly subscriptions = new Map<string, HeldSubscription>();
  readonly violations: string[] = [];
  /** A CONNACK came at least once: from now on the broker owes a Session. */
  hasSession = false;
  /** When the first CONNACK came; 0: not yet. */
  sessionTick = 0;
  connackCount = 0;
  /** Acknowledgements that wait for each other; 1: none waits. */
  acknowledgementBatch = 1;
  /** Whether what is received is acknowledged at all. */
  acknowledges = true;
  #connection: Connection | undefined;
  #lastReason = "";
  #connectCount = 0;
  #windowMax = 0;
  #nextPacketIdentifier = 1;
  readonly #waiting: Publication[] = [];
  readonly #outgoing = new Map<number, Outgoing>();
  readonly #subscribing = new Map<number, HeldSubscription>();
  /** Received with QoS 2 and not released: Packet Identifier → message. */
  readonly #received = new Map<number, string>();
  readonly #heldAcknowledgements: Packet[] = [];
  readonly #waiters = new Set<Waiter>();
  readonly #seen: (readonly [arrow: string, packet: Packet] | "closed")[] = [];

  constructor(settings: ClientSettings) {
    this.settings = settings;
  }

  get isConnected(): boolean {
    return this.#connection?.isAccepted === true && !this.#connection.isClosed;
  }

  /** Messages whose exchange is not over. */
  get unfinishedCount(): number {
    return this.#waiting.length + this.#outgoing.size;
  }

  /**
   * Connects with Clean Start 0 and goes on with what is half done.
   *
   * @param onLost  told when the connection ends without being asked to
   * @returns whether a CONNACK came before the connection ended
   */
  async connect(port: number, onLost: (reason: string) => void = () => {}): Promise<boolean> {
    const { version } = this.settings;
    const connection: Connection = {
      onLost,
      parser: parser({ protocolVersion: version }),
      transport: undefined,
      isAccepted: false,
      isClosed: false,
    };
    connection.parser.on("packet", (packet: Packet) => this.#take(connection, packet));
    connection.parser.on("error", (error: Error) => this.#violate(`malformed: ${error.message}`));
    this.#connection = connection;
    const events = {
      onBytes: (bytes: Buffer) => {
        if (!connection.isClosed) connection.parser.parse(bytes);
      },
      onClosed: () => this.#close(connection),
    };
    const transport = await openTcp(port, events).catch(() => undefined);
    if (transport === undefined || connection.isClosed) {
      connection.isClosed = true;
      return false;
    }
    connection.transport = transport;
    this.#sendConnect();
    await this.until("CONNACK", () => connection.isAccepted || connection.isClosed);
    return connection.isAccepted;
  }

  /** Cuts the connection off, without DISCONNECT. */
  drop(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    connection.isClosed = true;
    connection.transport?.destroy();
  }

  /** DISCONNECT, then the end of the stream. */
  disconnect(): void {
    const connection = this.#connection;
    if (connection === undefined || connection.isClosed) return;
    this.#send({ cmd: "disconnect", ...(this.settings.version === 5 && { reasonCode: 0 }) });
    connection.isClosed = true;
    connection.transport?.end();
  }

  /** Publishes as soon as the window lets it, on this connection or on a later one. */
  publish(
    topic: string,
    payload: string,
    options: {
      readonly qos: QoS;
      readonly retain?: boolean;
      readonly properties?: PublishProperties;
    },
  ): Publication {
    const { qos, retain = false, properties } = options;
    const publication: Publication = {
      topic,
      payload,
      qos,
      retain,
      properties,
      sentTick: 0,
      acceptedTick: 0,
      reasonCode: null,
    };
    this.publications.push(publication);
    this.#waiting.push(publication);
    this.#pump();
    return publication;
  }

  /** Settles when the exchange of this message is over. */
  finished(publication: Publication, millisecondsMax?: number): Promise<void> {
    const what = `end of the exchange of ${publication.payload}`;
    return this.until(what, () => publication.reasonCode !== null, millisecondsMax);
  }

  /** Subscribes; without a SUBACK the next connection asks again. */
  subscribe(filter: string, qos: QoS): HeldSubscription {
    const held = { filter, qos, sentTick: nextTick(), grantedTick: 0 };
    this.subscriptions.set(filter, held);
    if (this.isConnected) this.#sendSubscribe(held);
    return held;
  }

  /** Settles when the SUBACK has come. */
  granted(subscription: HeldSubscription): Promise<void> {
    return this.until(`SUBACK of ${subscription.filter}`, () => subscription.grantedTick > 0);
  }

  /** Sends the acknowledgements that wait for others. */
  flushAcknowledgements(): void {
    for (const packet of this.#heldAcknowledgements.splice(0)) this.#send(packet);
  }

  /**
   * Looks again whenever something has come or ended.
   *
   * @throws Error with what was seen when time is up
   */
  until(
    what: string,
    holds: () => boolean,
    millisecondsMax: number = ANSWER_MS_MAX,
  ): Promise<void> {
    if (holds()) return Promise.resolve();
    let waiter: Waiter | undefined;
    const happened = new Promise<void>((resolve) => {
      waiter = { holds, resolve };
      this.#waiters.add(waiter);
    });
    const settled = withDeadline(happened, what, () => this.seen(), millisecondsMax);
    return settled.finally(() => waiter !== undefined && this.#waiters.delete(waiter));
  }

  /** What went over its connections lately, for error messages. */
  seen(): string {
    const { clientIdentifier, version } = this.settings;
    const lines = this.#seen.map((one) =>
      one === "closed" ? one : `${one[0]} ${describe(one[1])}`,
    );
    return [`${clientIdentifier}, version ${version}:`, ...lines].join("\n  ");
  }

  #sendConnect(): void {
    const { clientIdentifier, version, expirySeconds, receiveMaximum, will } = this.settings;
    this.#connectCount += 1;
    this.#send({
      cmd: "connect",
      protocolId: "MQTT",
      protocolVersion: version,
      clientId: clientIdentifier,
      clean: false,
      keepalive: 0,
      ...(will && { will }),
      ...(version === 5 && {
        properties: {
          sessionExpiryInterval: expirySeconds ?? EXPIRY_NEVER,
          ...(receiveMaximum !== undefined && { receiveMaximum }),
        },
      }),
    });
  }

  #take(connection: Connection, packet: Packet): void {
    if (connection.isClosed) return;
    this.#note("←", packet);
    if (packet.cmd === "connack") this.#takeConnack(connection, packet);
    else if (packet.cmd === "publish") this.#takePublish(packet);
    else if (packet.cmd === "suback") this.#takeSuback(packet.messageId ?? 0, packet.granted);
    else if (packet.cmd === "pubrel") this.#takePubrel(packet.messageId ?? 0);
    else if (packet.cmd === "disconnect") this.#lastReason = `DISCONNECT ${packet.reasonCode}`;
    else this.#takeAcknowledgement(packet);
    this.#wake();
  }

  #takeConnack(connection: Connection, packet: Packet & { cmd: "connack" }): void {
    const code = this.settings.version === 5 ? packet.reasonCode : packet.returnCode;
    if (code !== 0) {
      this.#violate(`CONNECT refused with ${code}`);
      return;
    }
    if (this.hasSession && !packet.sessionPresent) this.#violate("its Session is gone");
    if (packet.sessionPresent && this.#connectCount === 1 && !this.hasSession) {
      this.#violate("Session Present before there was one");
    }
    connection.isAccepted = true;
    this.hasSession = true;
    this.sessionTick ||= nextTick();
    this.connackCount += 1;
    const granted = packet.properties?.receiveMaximum ?? 65_535;
    this.#windowMax = Math.min(this.settings.window ?? 20, granted);
    this.#resume();
  }

  /** Everything that is half done goes out again, in its order. [MQTT-4.4.0-1, MQTT-4.6.0-1] */
  #resume(): void {
    this.#heldAcknowledgements.length = 0;
    this.#subscribing.clear();
    for (const [messageId, { publication, isReleased }] of this.#outgoing) {
      if (isReleased) this.#send({ cmd: "pubrel", messageId });
      else this.#sendPublish(messageId, publication, true);
    }
    for (const subscription of this.subscriptions.values()) {
      if (subscription.grantedTick === 0) this.#sendSubscribe(subscription);
    }
    this.#pump();
  }

  #pump(): void {
    while (this.isConnected && this.#outgoing.size < this.#windowMax) {
      const publication = this.#waiting.shift();
      if (publication === undefined) return;
      publication.sentTick = nextTick();
      if (publication.qos === 0) {
        publication.reasonCode = 0;
        this.#sendPublish(0, publication, false);
        continue;
      }
      const messageId = this.#takePacketIdentifier();
      this.#outgoing.set(messageId, { publication, isReleased: false });
      this.#sendPublish(messageId, publication, false);
    }
  }

  #takePacketIdentifier(): number {
    let free = this.#nextPacketIdentifier;
    while (this.#outgoing.has(free) || this.#subscribing.has(free)) free = (free % 65_535) + 1;
    this.#nextPacketIdentifier = (free % 65_535) + 1;
    return free;
  }

  #sendPublish(messageId: number, publication: Publication, dup: boolean): void {
    const { topic, payload, qos, retain, properties } = publication;
    this.#send({
      cmd: "publish",
      topic,
      payload,
      qos,
      dup,
      retain,
      ...(qos > 0 && { messageId }),
      ...(properties && this.settings.version === 5 && { properties }),
    });
  }

  #sendSubscribe(subscription: HeldSubscription): void {
    const { filter, qos } = subscription;
    const messageId = this.#takePacketIdentifier();
    this.#subscribing.set(messageId, subscription);
    const options = this.settings.version === 5 ? { nl: false, rap: false, rh: 0 } : {};
    this.#send({
      cmd: "subscribe",
      messageId,
      subscriptions: [{ topic: filter, qos, ...options }],
    });
  }

  #takeSuback(messageId: number, granted: unknown): void {
    const subscription = this.#subscribing.get(messageId);
    this.#subscribing.delete(messageId);
    const [code] = granted as readonly number[];
    if (subscription === undefined || code !== subscription.qos) {
      this.#violate(`SUBACK ${messageId} with ${code}`);
      return;
    }
    subscription.grantedTick = nextTick();
  }

  #takeAcknowledgement(packet: Packet): void {
    if (packet.cmd !== "puback" && packet.cmd !== "pubrec" && packet.cmd !== "pubcomp") return;
    const messageId = packet.messageId ?? 0;
    const outgoing = this.#outgoing.get(messageId);
    if (outgoing === undefined || (outgoing.publication.qos === 1) !== (packet.cmd === "puback")) {
      this.#violate(`unasked ${packet.cmd} ${messageId}`);
      return;
    }
    const { publication } = outgoing;
    const reasonCode = packet.reasonCode ?? 0;
    if (packet.cmd !== "pubcomp") publication.acceptedTick ||= reasonCode < 0x80 ? nextTick() : 0;
    if (packet.cmd === "pubrec" && reasonCode < 0x80) {
      outgoing.isReleased = true;
      this.#send({ cmd: "pubrel", messageId });
      return;
    }
    // A PUBCOMP may have been lost: then the broker says that it knows of no such exchange. [§3.7]
    const isOver = packet.cmd === "pubcomp" && reasonCode === IDENTIFIER_NOT_FOUND;
    if (isOver && this.#connectCount === 1) this.#violate(`${messageId} is not known`);
    publication.reasonCode = isOver ? 0 : reasonCode;
    this.#outgoing.delete(messageId);
    this.#pump();
  }

  #takePublish(packet: IPublishPacket): void {
    const { topic, qos, retain, dup: duplicate, messageId = 0 } = packet;
    const payload = packet.payload.toString();
    const known = qos === 2 ? this.#received.get(messageId) : undefined;
    if (known === undefined) this.arrivals.push({ topic, payload, qos, retain, duplicate });
    else if (known !== payload) this.#violate(`${payload} has the identifier of ${known}`);
    else if (!duplicate) this.#violate(`${payload} again without DUP`); // [MQTT-3.3.1-1]
    if (qos === 2) this.#received.set(messageId, payload);
    if (qos > 0) this.#acknowledge({ cmd: qos === 1 ? "puback" : "pubrec", messageId });
  }

  #takePubrel(messageId: number): void {
    this.#received.delete(messageId);
    this.#acknowledge({ cmd: "pubcomp", messageId });
  }

  #acknowledge(packet: Packet): void {
    if (!this.acknowledges) return;
    this.#heldAcknowledgements.push(packet);
    if (this.#heldAcknowledgements.length >= this.acknowledgementBatch) {
      this.flushAcknowledgements();
    }
  }

  #send(packet: Packet): void {
    const connection = this.#connection;
    if (connection === undefined || connection.isClosed) return;
    this.#note("→", packet);
    const { version } = this.settings;
    connection.transport?.write(generate(packet, { protocolVersion: version }));
  }

  #close(connection: Connection): void {
    const wasAsked = connection.isClosed;
    connection.isClosed = true;
    if (connection === this.#connection) this.#seen.push("closed");
    if (!wasAsked) connection.onLost(this.#lastReason);
    this.#wake();
  }

  #wake(): void {
    for (const waiter of this.#waiters) if (waiter.holds()) waiter.resolve();
  }

  #violate(what: string): void {
    this.violations.push(`${this.settings.clientIdentifier}: ${what}`);
  }

  #note(arrow: string, packet: Packet): void {
    this.#seen.push([arrow, packet]);
    if (this.#seen.length > SEEN_LINES_MAX) this.#seen.shift();
  }
}
