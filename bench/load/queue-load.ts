/**
 * Sessions that subscribe and leave, publishers that fill their queues, and their return.
 *
 * Each part is a method, so that a broker may be stopped, killed and started in between.
 */
import { randomInt } from "node:crypto";
import { nowMicros } from "./clock.ts";
import { createReadRegion, type ReadRegion } from "./connection.ts";
import { CpuSpan, type CpuUse } from "./cpu-span.ts";
import { BrokerFault, UsageFault } from "./fault.ts";
import { LatencyRecorder, type LatencySummary } from "./latency.ts";
import { forEachConcurrently } from "./opening.ts";
import type { LoadOptions } from "./options.ts";
import { subscribePacket } from "./packet.ts";
import {
  PUBLISHER_OFFSET,
  PUBLISHERS_MAX,
  RUN_OFFSET,
  RUNS,
  SEQUENCE_OFFSET,
  TOPIC_BYTES,
  topicName,
} from "./payload.ts";
import { QueueLedger } from "./queue-ledger.ts";
import { QueuePublisher, topicDigits } from "./queue-publisher.ts";
import { type Inbox, SessionClient, type SessionSetup } from "./session-client.ts";

const PACKET_HEAD_BYTES_MAX = 128;
const WATCH_MILLIS = 100;
const TICK_MILLIS = 1;

/** What one part of the load came to. */
export interface PartUse {
  /** Messages acknowledged or received. */
  readonly messages: number;
  readonly use: CpuUse;
  readonly latencyMicros: LatencySummary;
  /** Broken off, as was allowed. */
  readonly isCut: boolean;
}

export class QueueLoad implements Inbox {
  readonly ledger: QueueLedger;
  readonly options: LoadOptions;
  /** Whether connections may break while messages are enqueued. */
  cutAllowed = false;
  private readonly region: ReadRegion;
  private readonly setup: SessionSetup;
  private readonly digits: Uint32Array;
  private readonly latency = new LatencyRecorder();
  private readonly connects = new LatencyRecorder();
  private readonly publishers: QueuePublisher[];
  private clients: SessionClient[] = [];
  private publisherClients: SessionClient[] = [];
  private check: () => void = () => {};
  private lose: (fault: BrokerFault) => void = (fault) => this.note(fault);
  /** What broke while nobody waited. */
  private noted: BrokerFault | undefined;

  /** @param options  clientCount Sessions, messagesEach for each of them, from publisherCount */
  constructor(options: LoadOptions) {
    const { clientCount, publisherCount, messagesEach, payloadBytes } = options;
    if (clientCount % publisherCount !== 0 || clientCount > PUBLISHERS_MAX) {
      throw new UsageFault(`${clientCount} Sessions are no multiple of ${publisherCount}`);
    }
    this.options = options;
    this.ledger = new QueueLedger(randomInt(RUNS), clientCount, messagesEach);
    this.digits = topicDigits(this.ledger);
    this.region = createReadRegion(payloadBytes + PACKET_HEAD_BYTES_MAX);
    const { region } = this;
    this.setup = { options, region, inbox: this, lost: (fault) => this.lose(fault) };
    const source = {
      options,
      ledger: this.ledger,
      region,
      digits: this.digits,
      latency: this.latency,
      progressed: () => this.check(),
    };
    this.publishers = Array.from(
      { length: publisherCount },
      (_, number) => new QueuePublisher(number, source),
    );
  }

  /** All Sessions come into being, subscribe to a topic each, and are left. */
  async subscribe(): Promise<void> {
    const { clientCount, concurrency, level, qos } = this.options;
    await forEachConcurrently(clientCount, concurrency, async (session) => {
      const client = await SessionClient.open(this.setup, session, {
        clientIdentifier: this.clientIdentifier("s", session),
        session: "durable",
        subscribe: subscribePacket(level, topicName(this.ledger.run, session), qos),
      });
      client.leave();
    });
  }

  /**
   * Publishes to the Sessions until all is acknowledged, or the connections break where that is
   * allowed.
   *
   * @param countMax  so many messages; fewer if fewer are left
   */
  async enqueue(countMax = this.ledger.messageCount, pids = this.options.pids): Promise<PartUse> {
    const { publishers, ledger } = this;
    const before = ledger.acknowledged;
    let span = new CpuSpan(pids);
    let pumps: NodeJS.Timeout | undefined;
    try {
      await this.openPublishers();
      this.latency.reset();
      span = new CpuSpan(pids);
      const done = this.until(
        () => publishers.every((publisher) => publisher.isDone),
        () => ledger.acknowledged,
      );
      const share = Math.ceil(countMax / publishers.length);
      for (const publisher of publishers) publisher.publish(share);
      this.check();
      const pump = (): void => {
        for (const publisher of publishers) publisher.pump();
      };
      if (this.options.ratePerSecond > 0) pumps = setInterval(pump, TICK_MILLIS);
      await done;
      return this.part(ledger.acknowledged - before, span, false);
    } catch (error) {
      const isCut = this.cutAllowed && error instanceof BrokerFault && error.isBreak;
      if (!isCut) throw error;
      return this.part(ledger.acknowledged - before, span, true);
    } finally {
      clearInterval(pumps);
      for (const client of this.publisherClients) client.leave();
      this.publisherClients = [];
    }
  }

  /** All Sessions return and take what waits for them; they stay. */
  async drain(pids = this.options.pids): Promise<PartUse> {
    const { ledger } = this;
    const before = ledger.received;
    const span = new CpuSpan(pids);
    const done = this.until(
      () => ledger.isComplete(),
      () => ledger.received,
    );
    done.catch(() => {}); // The failure is thrown below, where it is awaited.
    await this.resume();
    await done;
    return this.part(ledger.received - before, span, false);
  }

  /**
   * All Sessions return.
   *
   * @throws BrokerFault if the broker does not know one of them
   */
  async resume(): Promise<void> {
    const { clientCount, concurrency } = this.options;
    this.connects.reset();
    await forEachConcurrently(clientCount, concurrency, async (session) => {
      const startMicros = nowMicros();
      const client = await SessionClient.open(this.setup, session, {
        clientIdentifier: this.clientIdentifier("s", session),
        session: "durable",
      });
      this.connects.record(nowMicros() - startMicros);
      this.clients.push(client);
      if (!client.sessionPresent) throw new BrokerFault(`Session ${session} is not present`);
    });
  }

  /** @returns from connect() to CONNACK, of those who returned last */
  connectLatency(): LatencySummary {
    return this.connects.summary();
  }

  /** All who are there leave. */
  leave(): void {
    for (const client of this.clients) client.leave();
    this.clients = [];
  }

  /** Ends all Sessions. */
  async discard(): Promise<void> {
    const { clientCount, concurrency } = this.options;
    await forEachConcurrently(clientCount, concurrency, async (session) => {
      const client = await SessionClient.open(this.setup, session, {
        clientIdentifier: this.clientIdentifier("s", session),
        session: "clean",
      });
      client.leave();
    });
  }

  takePublish(session: number, firstByte: number, body: number, end: number): void {
    const { view, bytes } = this.region;
    const { ledger, options } = this;
    let at = body + 2 + view.getUint16(body) + (((firstByte >> 1) & 3) > 0 ? 2 : 0);
    if (options.level === 5) at += 1 + (bytes[at] as number);
    const isOwn =
      end - at === options.payloadBytes &&
      view.getUint16(body) === TOPIC_BYTES &&
      view.getUint32(body + 2 + TOPIC_BYTES - 4) === this.digits[session] &&
      view.getUint32(at + RUN_OFFSET, true) === ledger.run &&
      view.getUint32(at + PUBLISHER_OFFSET, true) === session;
    if (isOwn) ledger.receive(session, view.getUint32(at + SEQUENCE_OFFSET, true));
    else ledger.foreign++;
  }

  progressed(): void {
    this.check();
  }

  private clientIdentifier(kind: string, index: number): string {
    return `bench${this.ledger.run.toString(36)}${kind}${index}`;
  }

  private note(fault: BrokerFault): void {
    this.noted ??= fault;
  }

  private async openPublishers(): Promise<void> {
    this.noted = undefined;
    const setup = { ...this.setup, inbox: undefined };
    const session = this.options.qos === 2 ? "durable" : "clean";
    for (const [number, publisher] of this.publishers.entries()) {
      const clientIdentifier = this.clientIdentifier("p", number);
      const client = await SessionClient.open(setup, number, { clientIdentifier, session });
      this.publisherClients.push(client);
      publisher.attach(client.connection);
    }
  }

  private part(messages: number, span: CpuSpan, isCut: boolean): PartUse {
    return { messages, use: span.use(), latencyMicros: this.latency.summary(), isCut };
  }

  /** Resolves once `isDone`; fails if a connection breaks, or `count` rests too long. */
  private until(isDone: () => boolean, count: () => number): Promise<void> {
    const { idleSeconds } = this.options;
    let last = count();
    let since = performance.now();
    return new Promise<void>((resolve, reject) => {
      const watch = setInterval(() => {
        const now = performance.now();
        if (count() !== last) since = now;
        last = count();
        if (now - since > idleSeconds * 1000) {
          settle(() => reject(new BrokerFault(`stalled: nothing came for ${idleSeconds} s`)));
        }
      }, WATCH_MILLIS);
      const settle = (end: () => void): void => {
        clearInterval(watch);
        this.check = () => {};
        this.lose = (fault) => this.note(fault);
        end();
      };
      this.lose = (fault) => settle(() => reject(fault));
      if (this.noted !== undefined) this.lose(this.noted);
      this.check = () => {
        if (isDone()) settle(resolve);
      };
    });
  }
}
