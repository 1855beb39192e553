/** A million queued messages: what they cost in memory and disk, a restart with them, their way. */
import { median } from "../load/compare.ts";
import { threadMicros } from "../load/process-meter.ts";
import { QueueLoad } from "../load/queue-load.ts";
import {
  atMost,
  type Bar,
  type BarOptions,
  type BarRow,
  count,
  faultless,
  type Say,
  scaled,
  sleep,
  told,
} from "./bar.ts";
import { type BrokerChild, type BrokerHome, withHome } from "./broker-child.ts";
import { microsEach, perSecond, queueOptions, spread, untilQuiet } from "./store-load.ts";

const SESSIONS = 1000;
const MESSAGES_EACH = 1000;
const PAYLOAD_BYTES = 150;
const INFLIGHT = 1000;
const MEGABYTE = 1e6;
const CONCURRENCY = 200;

/** Messages of a burst: few enough that none is indexed before the last is acknowledged. */
const BURST_MESSAGES = 30_000;
const BURSTS = 5;
const IDLE_SAMPLES = 7;
const IDLE_MILLIS = 1000;

const GROWTH_MEGABYTES_MAX = 50;
const READY_MILLIS_MAX = 1000;
const INDEX_MICROS_MAX = 0.7;
const INDEX_BYTES_MAX = 400;

/** @returns microseconds of CPU in a millisecond with nothing to do; rare collections left out */
async function idleShareOf(broker: BrokerChild): Promise<number> {
  const shares: number[] = [];
  while (shares.length < IDLE_SAMPLES) {
    const start = performance.now();
    const before = threadMicros(broker.pid);
    await sleep(IDLE_MILLIS);
    shares.push((threadMicros(broker.pid) - before) / (performance.now() - start));
  }
  return median(shares);
}

/** Bursts whose indexing is measured apart, from the last acknowledgement until all is quiet. */
async function indexRows(broker: BrokerChild, say: Say, options: BarOptions): Promise<BarRow[]> {
  const sessions = scaled(SESSIONS, options);
  const bursts = BURSTS + 1; // One that warms up.
  const each = Math.max(1, Math.round((BURST_MESSAGES * bursts * options.scale) / sessions));
  const load = new QueueLoad(
    queueOptions(broker, {
      clientCount: sessions,
      messagesEach: each,
      payloadBytes: PAYLOAD_BYTES,
      inflightMax: INFLIGHT,
    }),
  );
  await load.subscribe();
  await load.enqueue(load.ledger.messageCount / bursts);
  await untilQuiet(broker);
  const idleShare = await idleShareOf(broker);
  const micros: number[] = [];
  const written: number[] = [];
  for (let burst = 0; burst < BURSTS; burst++) {
    const { messages } = await load.enqueue(load.ledger.messageCount / bursts);
    const start = performance.now();
    const cpuBefore = threadMicros(broker.pid);
    const writtenBefore = broker.writtenBytes();
    await untilQuiet(broker);
    const idle = idleShare * (performance.now() - start);
    micros.push((threadMicros(broker.pid) - cpuBefore - idle) / messages);
    written.push((broker.writtenBytes() - writtenBefore) / messages);
    say(`index: ${micros.at(-1)?.toFixed(2)} µs, ${written.at(-1)?.toFixed(0)} B each`);
  }
  await load.discard();
  await untilQuiet(broker);
  return [
    atMost("index, CPU per message", median(micros), INDEX_MICROS_MAX, "µs", spread(micros, 2), 2),
    atMost("index, disk per message", median(written), INDEX_BYTES_MAX, "B", spread(written, 0), 0),
  ];
}

async function measureBacklog(home: BrokerHome, say: Say, options: BarOptions): Promise<BarRow[]> {
  const first = await home.start();
  const rows = await indexRows(first, say, options);
  const load = new QueueLoad(
    queueOptions(first, {
      clientCount: scaled(SESSIONS, options),
      messagesEach: MESSAGES_EACH,
      payloadBytes: PAYLOAD_BYTES,
      inflightMax: INFLIGHT,
      concurrency: CONCURRENCY,
    }),
  );
  await load.subscribe();
  await untilQuiet(first);
  const anonymousBefore = first.anonymousBytes();
  const residentBefore = first.residentBytes();
  const writtenBefore = first.writtenBytes();
  const enqueued = await load.enqueue();
  say(`${count(enqueued.messages)} enqueued, ${count(perSecond(enqueued))}/s`);
  await untilQuiet(first);
  const growth = (first.anonymousBytes() - anonymousBefore) / MEGABYTE;
  const resident = (first.residentBytes() - residentBefore) / MEGABYTE;
  const written = (first.writtenBytes() - writtenBefore) / enqueued.messages;
  await first.kill();
  const second = await home.start();
  say(`ready ${second.readyMillis.toFixed(0)} ms after kill -9`);
  const drained = await load.drain([second.pid]);
  load.leave();
  const rates = `${count(perSecond(drained))}/s, ${microsEach(drained).toFixed(2)} µs CPU each`;
  return [
    ...rows,
    told(
      `${count(enqueued.messages)} enqueued`,
      `${count(perSecond(enqueued))}/s, ${microsEach(enqueued).toFixed(2)} µs, ` +
        `${count(written)} B on disk each`,
      { rate: perSecond(enqueued), micros: microsEach(enqueued), written },
    ),
    atMost(
      "memory growth once indexed",
      growth,
      GROWTH_MEGABYTES_MAX,
      "MB",
      `RSS with mapped pages ${count(resident, 1)} MB`,
    ),
    atMost("restart after kill -9, ready", second.readyMillis, READY_MILLIS_MAX, "ms", "", 0),
    faultless("drain, complete and in order", rates, load.ledger.fault()),
  ];
}

export const backlogBar: Bar = {
  name: "backlog",
  sentence: "1,000,000 queued messages for 1000 Sessions: memory, kill -9, restart, drain, index",
  scales: true,
  measure: (say, options) =>
    withHome({ config: options.config }, (home) => measureBacklog(home, say, options)),
};
