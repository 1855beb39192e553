/** The scenarios in which messages flow: fan-in, fan-out, pairs. */
import { randomInt } from "node:crypto";
import { nowMicros } from "./clock.ts";
import { type Connection, createReadRegion, type ReadRegion } from "./connection.ts";
import { CpuSpan, type CpuUse } from "./cpu-span.ts";
import { BrokerFault } from "./fault.ts";
import { FlowWindow } from "./flow.ts";
import { forEachConcurrently, openConnection, subscribe } from "./opening.ts";
import type { LoadOptions } from "./options.ts";
import { disconnectPacket, publishTemplate, type SessionKind } from "./packet.ts";
import { RUNS, topicName, topicPrefix } from "./payload.ts";
import { residentBytes } from "./process-meter.ts";
import { startProgress } from "./progress.ts";
import { PublishBuffer } from "./publish-buffer.ts";
import { Publisher } from "./publisher.ts";
import { deliveryFault, type LoadResult, makeResult } from "./result.ts";
import { Subscriber } from "./subscriber.ts";
import { Totals } from "./totals.ts";
import { Turn } from "./turn.ts";

/** Bytes that one publisher writes in a turn. */
const BURST_BYTES_MAX = 64 * 1024;
/** Publish buffers of all publishers together. */
const BUFFERS_BYTES_MAX = 64 * 1024 * 1024;
const PACKET_HEAD_BYTES_MAX = 128;
const TICK_MILLIS = 1;
const WATCH_MILLIS = 100;

interface Measured {
  readonly use: CpuUse;
  readonly brokerResidentBytes: number | undefined;
}

class LiveRun {
  readonly options: LoadOptions;
  readonly totals = new Totals();
  private readonly region: ReadRegion;
  private readonly run = randomInt(RUNS);
  private readonly publishers: Publisher[] = [];
  private readonly subscribers: Subscriber[] = [];
  private readonly connections: Connection[] = [];
  private readonly turn = new Turn(() => this.checkEnd());
  private readonly timers: NodeJS.Timeout[] = [];
  private span: CpuSpan | undefined;
  private publishedBefore = 0;
  private deliveredBefore = 0;
  private scheduledTotal = 0;
  private stopped = false;
  /** The warm-up is over, but not all of its messages have come. */
  private draining = false;
  private measured: Measured | undefined;
  private idleSince = 0;
  private idleDelivered = 0;
  private settle: (fault: BrokerFault | undefined) => void = () => {};

  constructor(options: LoadOptions) {
    this.options = options;
    this.region = createReadRegion(options.payloadBytes + PACKET_HEAD_BYTES_MAX);
  }

  /** @throws BrokerFault if the broker refuses a connection or a subscription */
  async execute(): Promise<LoadResult> {
    const { options } = this;
    const ended = new Promise<BrokerFault | undefined>((resolve) => {
      this.settle = resolve;
    });
    const stopProgress = options.progress ? startProgress(this.totals) : () => {};
    try {
      await this.openPublishers();
      await this.openSubscribers();
      this.startPublishing();
      return this.result(await ended);
    } finally {
      stopProgress();
      for (const timer of this.timers) clearTimeout(timer);
      for (const connection of this.connections) connection.end(disconnectPacket());
    }
  }

  private lost = (fault: BrokerFault): void => this.settle(fault);

  private async open(kind: string, index: number, connectionIndex: number, session: SessionKind) {
    const identifier = `bench${this.run.toString(36)}${kind}${index}`;
    const opened = await openConnection(
      this.options,
      this.region,
      identifier,
      connectionIndex,
      this.lost,
      session,
    );
    this.connections.push(opened.connection);
    return opened;
  }

  private async openPublishers(): Promise<void> {
    const { options, region, run } = this;
    const { publisherCount, payloadBytes, qos, windowMessages } = options;
    const subscribersEach = options.scenario === "pairs" ? 1 : options.subscriberCount;
    await forEachConcurrently(publisherCount, options.concurrency, async (index) => {
      const { connection, receiveMaximum } = await this.open("p", index, index, "clean");
      const template = publishTemplate(options.level, qos, topicName(run, index), payloadBytes);
      const inflightMax = Math.min(options.inflightMax, receiveMaximum);
      const useful = Math.min(windowMessages || Infinity, qos > 0 ? inflightMax : Infinity);
      const bytesMax = Math.min(
        BURST_BYTES_MAX,
        BUFFERS_BYTES_MAX / publisherCount,
        useful * (template.bytes.length + 14),
      );
      this.publishers[index] = new Publisher(
        index,
        connection,
        region,
        new PublishBuffer(template, run, index, options.transport, connection.key, bytesMax),
        new FlowWindow(windowMessages, subscribersEach),
        qos,
        inflightMax,
        this.totals,
        this.turn,
      );
    });
  }

  private async openSubscribers(): Promise<void> {
    const { options, region, run, publishers } = this;
    const { qos } = options;
    await forEachConcurrently(options.subscriberCount, options.concurrency, async (index) => {
      const { connection } = await this.open(
        "s",
        index,
        options.publisherCount + index,
        options.session,
      );
      const paired = publishers[index];
      const sources = options.scenario === "pairs" && paired !== undefined ? [paired] : publishers;
      const filter =
        options.scenario === "fan-in"
          ? `${topicPrefix(run)}#`
          : topicName(run, options.scenario === "pairs" ? index : 0);
      await subscribe(connection, region, options, filter, qos);
      const expectation = { ...options, run };
      this.subscribers[index] = new Subscriber(
        connection,
        region,
        expectation,
        sources,
        this.totals,
        this.turn,
      );
    });
  }

  private startPublishing(): void {
    const { options } = this;
    const now = nowMicros();
    this.idleSince = now;
    if (options.ratePerSecond > 0) {
      for (const publisher of this.publishers) {
        publisher.schedule = {
          startMicros: now,
          intervalMicros: 1e6 / options.ratePerSecond,
          publisherCount: this.publishers.length,
        };
      }
      this.timers.push(setInterval(() => this.releaseDue(now), TICK_MILLIS));
    }
    if (options.warmupSeconds > 0) {
      this.timers.push(setTimeout(() => this.endWarmup(), options.warmupSeconds * 1000));
    } else {
      this.startMeasuring();
    }
    this.timers.push(setInterval(() => this.watch(), WATCH_MILLIS));
    for (const publisher of this.publishers) this.turn.wantPump(publisher);
  }

  /**
   * Lets the messages of the warm-up come, so that the run counts its own only. At a fixed rate
   * there are few of them, and a pause would make the next ones late.
   */
  private endWarmup(): void {
    if (this.options.ratePerSecond > 0) {
      this.startMeasuring();
      return;
    }
    this.draining = true;
    for (const publisher of this.publishers) publisher.quota = publisher.sent;
    this.turn.schedule();
  }

  private startMeasuring(): void {
    const { options, totals, publishers } = this;
    totals.latency.reset();
    this.publishedBefore = totals.published;
    this.deliveredBefore = totals.delivered;
    this.span = new CpuSpan(options.pids);
    this.timers.push(setTimeout(() => this.stop(), options.seconds * 1000));
    publishers.forEach((publisher, index) => {
      const share = Math.floor((options.messagesMax + index) / publishers.length);
      publisher.quota = options.messagesMax > 0 ? publisher.sent + share : Number.MAX_SAFE_INTEGER;
      this.turn.wantPump(publisher);
    });
  }

  private releaseDue(startMicros: number): void {
    if (this.stopped) return;
    const elapsedMicros = nowMicros() - startMicros;
    const total = Math.floor((elapsedMicros * this.options.ratePerSecond) / 1e6);
    for (; this.scheduledTotal < total; this.scheduledTotal++) {
      const publisher = this.publishers[this.scheduledTotal % this.publishers.length];
      if (publisher === undefined) return;
      publisher.scheduled++;
      this.turn.wantPump(publisher);
    }
  }

  private stop(): void {
    this.stopped = true;
    for (const publisher of this.publishers) publisher.quota = publisher.sent;
    this.turn.schedule();
  }

  private isComplete(): boolean {
    const { options, totals } = this;
    const copies = options.scenario === "pairs" ? 1 : options.subscriberCount;
    if (totals.delivered < totals.published * copies || totals.unreleased > 0) return false;
    return options.qos === 0 || totals.completed === totals.published;
  }

  private checkEnd(): void {
    if (this.draining && this.isComplete()) {
      this.draining = false;
      this.startMeasuring();
    }
    if (this.span === undefined || this.measured !== undefined) return;
    const quotaUsed =
      this.stopped ||
      (this.options.messagesMax > 0 &&
        this.totals.published - this.publishedBefore >= this.options.messagesMax);
    if (quotaUsed && this.isComplete()) this.finish(undefined);
  }

  private finish(fault: BrokerFault | undefined): void {
    if (this.measured !== undefined) return;
    const { pids } = this.options;
    if (this.span !== undefined) {
      this.measured = {
        use: this.span.use(),
        brokerResidentBytes: pids.length > 0 ? residentBytes(pids) : undefined,
      };
    }
    this.settle(fault);
  }

  private watch(): void {
    const { totals } = this;
    const now = nowMicros();
    const progress = totals.delivered + totals.completed;
    if (progress !== this.idleDelivered || totals.published === 0 || this.isComplete()) {
      this.idleDelivered = progress;
      this.idleSince = now;
    } else if (now - this.idleSince > this.options.idleSeconds * 1e6) {
      this.finish(new BrokerFault(`stalled: nothing came for ${this.options.idleSeconds} s`));
    }
  }

  private result(fault: BrokerFault | undefined): LoadResult {
    const { options, totals, subscribers } = this;
    if (this.measured === undefined && this.span !== undefined && fault !== undefined) {
      this.finish(fault);
    }
    const use = this.measured?.use ?? { seconds: 0, brokerCpuSeconds: undefined, ownCpuSeconds: 0 };
    const copies = options.scenario === "pairs" ? 1 : options.subscriberCount;
    const judged = {
      lost: totals.published * copies - totals.delivered,
      duplicated: subscribers.reduce((sum, subscriber) => sum + subscriber.check.duplicated, 0),
      misordered: subscribers.reduce((sum, subscriber) => sum + subscriber.check.misordered, 0),
      foreign: totals.foreign,
    };
    const faults = [fault?.message ?? "", deliveryFault(judged)].filter((text) => text !== "");
    const counted = {
      ...judged,
      published: totals.published - this.publishedBefore,
      delivered: totals.delivered - this.deliveredBefore,
      brokerResidentBytes: this.measured?.brokerResidentBytes,
      residentBytesPerConnection: undefined,
      latencyMicros: totals.latency.summary(),
    };
    return makeResult(options, counted, use, faults.join("; "));
  }
}

/** @throws BrokerFault if the broker refuses a connection or a subscription */
export function runLive(options: LoadOptions): Promise<LoadResult> {
  return new LiveRun(options).execute();
}
