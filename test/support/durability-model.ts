/**
 * The small model: what each Session is owed, in lists, and what must therefore come.
 *
 * Everything is done one after the other, and every step ends with proof that nothing else came,
 * so the model knows exactly. Before a kill a pause, and a commit that is waited for, settle what
 * went before; what a kill in the midst of things may do is left to other tests.
 */
import type { IPublishPacket } from "mqtt-packet";
import { elapse } from "./await.ts";
import { type LaunchedBroker, type LaunchOptions, launchRunning } from "./durability-broker.ts";
import { HandConnection } from "./durability-hand.ts";
import { naiveMatch } from "./naive-match.ts";

export type QoS = 0 | 1 | 2;
export const LONG_SECONDS = 3600;
/** An acknowledgement of a receiver is surely part of a page after this; nothing tells when. */
const RECORDED_MS = 250;

/** A message with QoS 1 or 2 that a Session is owed. */
interface Item {
  readonly topic: string;
  readonly payload: string;
  readonly qos: QoS;
  readonly retain: boolean;
  /** released: PUBREC was sent, PUBCOMP was not. */
  state: "queued" | "sent" | "released";
  packetIdentifier: number;
}

interface Message {
  readonly payload: string;
  readonly qos: QoS;
}

/** One Client Identifier: its Session in the model, and its connection if it has one. */
export class ModelSession {
  readonly clientIdentifier: string;
  readonly version: 4 | 5;
  exists = false;
  /** Whether the Session outlives its connection. */
  isDurable = false;
  hand: HandConnection | null = null;
  readonly subscriptions = new Map<string, QoS>();
  items: Item[] = [];

  constructor(clientIdentifier: string, version: 4 | 5) {
    this.clientIdentifier = clientIdentifier;
    this.version = version;
  }

  clear(): void {
    this.exists = false;
    this.subscriptions.clear();
    this.items = [];
  }

  /** The connection is gone. */
  leave(): void {
    this.hand = null;
    if (!this.isDurable) this.clear();
  }

  /** The QoS granted for this topic by all subscriptions together; null: none matches. */
  qosFor(topic: string): QoS | null {
    const matching = [...this.subscriptions].filter(([filter]) => naiveMatch(filter, topic));
    if (matching.length === 0) return null;
    return Math.max(...matching.map(([, qos]) => qos)) as QoS;
  }
}

/** A broker that many runs share; each keeps to names of its own. */
export class ModelBroker {
  readonly #options: LaunchOptions;
  #broker: (LaunchedBroker & { readonly port: number }) | undefined;

  constructor(options: LaunchOptions) {
    this.#options = options;
  }

  get port(): number {
    return this.#broker?.port ?? 0;
  }

  async start(): Promise<void> {
    this.#broker = await launchRunning(this.#options);
  }

  async end(how: "stop" | "kill9"): Promise<void> {
    await this.#broker?.[how]();
  }
}

/** One run: its Sessions, its retained messages, its publisher. */
export class ModelWorld {
  readonly broker: ModelBroker;
  readonly prefix: string;
  readonly sessions: readonly ModelSession[];
  readonly #retained = new Map<string, Message>();
  /** On which connection an item came last. */
  readonly #got = new WeakMap<Item, HandConnection>();
  #publisher: HandConnection | null = null;
  #publishedCount = 0;

  constructor(broker: ModelBroker, prefix: string, sessionCount: number) {
    this.broker = broker;
    this.prefix = prefix;
    this.sessions = Array.from(
      { length: sessionCount },
      (_, index) => new ModelSession(`${prefix}-${index}`, index % 2 === 0 ? 5 : 4),
    );
  }

  session(index: number): ModelSession {
    const session = this.sessions[index];
    if (session === undefined) throw new Error(`no Session ${index}`);
    return session;
  }

  async connect(session: ModelSession, cleanStart: boolean, isDurable: boolean): Promise<void> {
    // 3.1.1 says both with one flag.
    const isClean = session.version === 4 ? !isDurable : cleanStart;
    const expected = session.exists && !isClean;
    const previous = session.hand;
    session.hand = await HandConnection.connect(this.broker.port, {
      clientIdentifier: session.clientIdentifier,
      version: session.version,
      cleanStart: isClean,
      expirySeconds: isDurable ? LONG_SECONDS : 0,
    });
    if (previous !== null) await previous.end();
    if (session.hand.sessionPresent !== expected) {
      throw new Error(`Session Present ${!expected}\n${session.hand.seen()}`);
    }
    if (!expected) session.clear();
    session.exists = true;
    session.isDurable = isDurable;
    await this.#receive(session);
    for (const item of session.items.filter(({ state }) => state === "released")) {
      const { messageId } = await session.hand.next("pubrel");
      check(messageId === item.packetIdentifier, "another PUBREL", session);
    }
  }

  async subscribe(session: ModelSession, filter: string, qos: QoS): Promise<void> {
    const hand = connectionOf(session);
    await hand.subscribe(`${this.prefix}/${filter}`, qos);
    session.subscriptions.set(`${this.prefix}/${filter}`, qos);
    // What is retained comes in an order of its own.
    const owed = new Map(
      [...this.#retained].filter(([topic]) => naiveMatch(`${this.prefix}/${filter}`, topic)),
    );
    while (owed.size > 0) {
      const packet = await hand.nextPublish();
      const message = owed.get(packet.topic);
      owed.delete(packet.topic);
      const expected = Math.min(message?.qos ?? 0, qos) as QoS;
      const isRight = packet.payload.toString() === message?.payload && packet.qos === expected;
      check(isRight && packet.retain, "another retained message", session);
      if (expected === 0) continue;
      const item = itemOf(packet, "sent");
      session.items.push(item);
      this.#got.set(item, hand);
    }
  }

  async unsubscribe(session: ModelSession, filter: string): Promise<void> {
    await connectionOf(session).unsubscribe(`${this.prefix}/${filter}`);
    session.subscriptions.delete(`${this.prefix}/${filter}`);
  }

  /** @param expirySeconds  Message Expiry Interval; only where nobody who wants it is connected */
  async publish(
    name: string,
    qos: QoS,
    kind: "plain" | "retained" | "clear",
    expirySeconds?: number,
  ): Promise<void> {
    this.#publisher ??= await this.#connectPublisher();
    this.#publishedCount += 1;
    const topic = `${this.prefix}/${name}`;
    const payload = kind === "clear" ? "" : `${this.#publishedCount}`;
    const retain = kind !== "plain";
    const expiry = expirySeconds === undefined ? {} : { expiry: expirySeconds };
    await this.#publisher.publish(topic, payload, { qos, retain, ...expiry });
    if (kind === "retained") this.#retained.set(topic, { payload, qos });
    if (kind === "clear") this.#retained.delete(topic);
    for (const session of this.sessions) {
      const granted = session.exists ? session.qosFor(topic) : null;
      if (granted === null || expirySeconds !== undefined) continue;
      const item: Item = {
        topic,
        payload,
        qos: Math.min(qos, granted) as QoS,
        retain: false,
        state: "queued",
        packetIdentifier: 0,
      };
      if (item.qos > 0 || session.hand !== null) session.items.push(item);
      await this.#receive(session);
    }
  }

  /** The oldest unfinished exchange goes on: to its end, or only to PUBREC. */
  async acknowledge(session: ModelSession, isWhole: boolean): Promise<void> {
    const hand = connectionOf(session);
    const [item] = session.items;
    if (item === undefined) return;
    const messageId = item.packetIdentifier;
    if (item.qos === 1) hand.send({ cmd: "puback", messageId });
    if (item.qos === 2 && item.state === "sent") {
      hand.send({ cmd: "pubrec", messageId });
      const released = await hand.next("pubrel");
      check(released.messageId === messageId, "another PUBREL", session);
      item.state = "released";
      if (!isWhole) return;
    }
    if (item.qos === 2) hand.send({ cmd: "pubcomp", messageId });
    session.items.shift();
  }

  async drop(session: ModelSession): Promise<void> {
    await connectionOf(session).end();
    session.leave();
  }

  /** @param endsNow  the DISCONNECT sets the Session Expiry Interval to 0; 5.0 only */
  async disconnect(session: ModelSession, endsNow: boolean): Promise<void> {
    await connectionOf(session).disconnect(endsNow ? 0 : undefined);
    if (endsNow) session.isDurable = false;
    session.leave();
  }

  async restart(how: "stop" | "kill9"): Promise<void> {
    if (how === "kill9") {
      // The broker has all that was sent to it; how far Sessions are it puts on record in its time.
      await this.quiet();
      await elapse(RECORDED_MS);
      // Pages are committed in their order, and this PUBACK waits for the last of them.
      await this.publish("settled", 1, "retained");
      await this.quiet();
    }
    await this.broker.end(how);
    for (const session of this.sessions) if (session.hand !== null) session.leave();
    this.#publisher = null;
    await this.broker.start();
  }

  /** Nothing but what the model knows of has come to anyone. */
  async quiet(): Promise<void> {
    for (const { hand } of this.sessions) await hand?.quiet();
  }

  /** Ends all connections, so that the next run begins with a broker at rest. */
  async close(): Promise<void> {
    for (const { hand } of this.sessions) if (hand !== null && !hand.isClosed) await hand.end();
    if (this.#publisher !== null && !this.#publisher.isClosed) await this.#publisher.end();
  }

  #connectPublisher(): Promise<HandConnection> {
    return HandConnection.connect(this.broker.port, {
      clientIdentifier: `${this.prefix}-publisher`,
      version: 5,
      cleanStart: true,
      expirySeconds: 0,
    });
  }

  /** Takes what the Session is owed and has not got on this connection, in the order per QoS. */
  async #receive(session: ModelSession): Promise<void> {
    const { hand } = session;
    if (hand === null) return;
    const isNew = new Set(
      session.items.filter((item) => item.state !== "released" && this.#got.get(item) !== hand),
    );
    while (isNew.size > 0) {
      const packet = await hand.nextPublish();
      const item = [...isNew].find(({ qos }) => qos === packet.qos);
      if (item === undefined) throw new Error(`another QoS\n${hand.seen()}`);
      checkDelivery(session, item, packet);
      item.state = "sent";
      item.packetIdentifier = packet.messageId ?? 0;
      this.#got.set(item, hand);
      isNew.delete(item);
      if (item.qos === 0) session.items = session.items.filter((one) => one !== item);
    }
  }
}

function itemOf(packet: IPublishPacket, state: Item["state"]): Item {
  const { topic, qos, retain, messageId = 0 } = packet;
  const payload = packet.payload.toString();
  return { topic, payload, qos, retain, state, packetIdentifier: messageId };
}

function connectionOf(session: ModelSession): HandConnection {
  if (session.hand === null) throw new Error(`${session.clientIdentifier} is not connected`);
  return session.hand;
}

function checkDelivery(session: ModelSession, item: Item, packet: IPublishPacket): void {
  const got = itemOf(packet, item.state);
  const wasSent = item.state === "sent";
  const expected = wasSent ? item : { ...item, packetIdentifier: got.packetIdentifier };
  const isRight = JSON.stringify(got) === JSON.stringify(expected);
  check(isRight, `not ${JSON.stringify(expected)}`, session);
  check(packet.dup === wasSent, `DUP ${packet.dup}`, session); // [MQTT-3.3.1-1]
}

function check(holds: boolean, what: string, session: ModelSession): void {
  if (!holds) throw new Error(`${what}\n${session.hand?.seen()}`);
}
