/**
 * A receiver that keeps its side of the Session: acknowledges when told, in any order, completes
 * QoS 2 across connections, applies Topic Aliases, and notes each rule that the broker breaks.
 */
import type { EngineHarness } from "./engine-harness.ts";
import { beginClient, type ClientOptions, type HarnessClient } from "./engine-harness-client.ts";
import { acknowledgement } from "./packets.ts";
import { propertyIdentifier } from "./packets-tables.ts";
import type { PublishPacket, QoS } from "./packets-types.ts";

const TOPIC_ALIAS = propertyIdentifier("topic_alias");

/** A message once: repeats of it are counted apart. */
export interface Received {
  readonly topicName: string;
  readonly qos: QoS;
  readonly payload: string;
}

export class Receiver {
  readonly #harness: EngineHarness;
  readonly #name: string;
  readonly #options: ClientOptions;
  readonly #receiveMaximum: number;
  client: HarnessClient;
  readonly received: Received[] = [];
  /** Rules that the broker broke. */
  readonly faults: string[] = [];
  /** QoS 1 messages that came again. */
  repeatCount = 0;
  /** Messages that came with an alias in the place of their Topic Name. */
  aliasedCount = 0;
  /** Topic Names by the alias that this connection has for them. */
  #topics = new Map<number, string>();
  /** Most messages that were under way at once. */
  inFlightCountMax = 0;
  /** Messages of this connection that are not finished, by identifier. */
  #inFlight = new Map<number, PublishPacket>();
  /** QoS 2 identifiers received and not released: the client's half of the Session. */
  readonly #unreleased = new Set<number>();
  /** Texts received with QoS 1 under an identifier that is not acknowledged. */
  readonly #unacknowledged = new Map<number, string>();
  #due: { readonly type: "puback" | "pubrec" | "pubcomp"; readonly identifier: number }[] = [];

  constructor(harness: EngineHarness, name: string, options: ClientOptions) {
    this.#harness = harness;
    this.#name = name;
    this.#options = options;
    this.#receiveMaximum = options.version === 5 ? (options.receiveMaximum ?? 65_535) : 65_535;
    this.client = beginClient(harness, name, options);
  }

  /** A new connection for the Session; what was due on the old one is forgotten. */
  reconnect(): void {
    this.read();
    this.#inFlight = new Map();
    this.#topics = new Map();
    this.#due = [];
    this.client = beginClient(this.#harness, this.#name, { ...this.#options, clean: false });
  }

  /** Takes what came, without an answer yet. */
  read(): void {
    for (const packet of this.client.take()) {
      if (packet.type === "publish") this.#published(packet);
      if (packet.type === "pubrel") {
        this.#due.push({ type: "pubcomp", identifier: packet.packetIdentifier });
      }
      if (packet.type === "disconnect") this.faults.push(`DISCONNECT ${packet.reasonCode}`);
    }
  }

  /** The Topic Name, by the alias where the packet has none. */
  #topicOf({ topicName, properties }: PublishPacket): string {
    const alias = properties.find(([identifier]) => identifier === TOPIC_ALIAS)?.[1];
    if (alias === undefined) return topicName;
    const { topicAliasMaximum = 0 } = this.#options;
    if (typeof alias !== "number" || alias < 1 || alias > topicAliasMaximum) {
      this.faults.push(`Topic Alias ${alias}`);
      return topicName;
    }
    if (topicName !== "") {
      this.#topics.set(alias, topicName);
      return topicName;
    }
    this.aliasedCount++;
    const known = this.#topics.get(alias);
    if (known === undefined) this.faults.push(`Topic Alias ${alias} is not set`);
    return known ?? "";
  }

  #published(packet: PublishPacket): void {
    const { qos, packetIdentifier, duplicate } = packet;
    const topicName = this.#topicOf(packet);
    const payload = Buffer.from(packet.payload).toString("latin1");
    if (qos > 0) this.#count(packet);
    if (qos === 1) {
      this.#due.push({ type: "puback", identifier: packetIdentifier });
      const isRepeat = this.#unacknowledged.get(packetIdentifier) === payload;
      if (this.#unacknowledged.has(packetIdentifier) && !isRepeat) {
        this.faults.push(`identifier ${packetIdentifier} is not free`);
      }
      if (isRepeat && !duplicate) this.faults.push("a repeat without DUP");
      this.#unacknowledged.set(packetIdentifier, payload);
      if (isRepeat) {
        this.repeatCount++;
        return;
      }
    }
    if (qos === 2) {
      this.#due.push({ type: "pubrec", identifier: packetIdentifier });
      if (this.#unreleased.has(packetIdentifier)) {
        if (!duplicate) this.faults.push(`identifier ${packetIdentifier} is not released`);
        return;
      }
      this.#unreleased.add(packetIdentifier);
    }
    this.received.push({ topicName, qos, payload });
  }

  #count(packet: PublishPacket): void {
    if (this.#inFlight.has(packet.packetIdentifier)) {
      this.faults.push(`identifier ${packet.packetIdentifier} is under way already`);
    }
    this.#inFlight.set(packet.packetIdentifier, packet);
    const count = this.#inFlight.size;
    this.inFlightCountMax = Math.max(this.inFlightCountMax, count);
    if (count > this.#receiveMaximum) this.faults.push(`${count} messages under way`);
  }

  /** What waits for an answer. */
  get dueCount(): number {
    return this.#due.length;
  }

  /** Answers one thing that is due; `index` chooses which. */
  answer(index: number): void {
    const [due] = this.#due.splice(index % this.#due.length, 1);
    if (due === undefined) return;
    const { type, identifier } = due;
    if (type === "puback") this.#unacknowledged.delete(identifier);
    if (type === "pubcomp") this.#unreleased.delete(identifier);
    if (type !== "pubrec") this.#inFlight.delete(identifier);
    this.client.send(acknowledgement(type, identifier));
  }

  /** Reads and answers all, in order, until nothing more comes. */
  async finish(): Promise<void> {
    this.client.wire.isSlow = false;
    this.client.wire.release();
    for (;;) {
      await this.#harness.settle();
      this.read();
      if (this.dueCount === 0) return;
      while (this.dueCount > 0) this.answer(0);
    }
  }
}
