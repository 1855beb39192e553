/** How long a PUBACK takes, and what live messages feel of a great backlog that drains. */
import { BrokerFault } from "../load/fault.ts";
import { type PartUse, QueueLoad } from "../load/queue-load.ts";
import {
  atMost,
  type Bar,
  type BarOptions,
  type BarRow,
  count,
  type Say,
  scaled,
  sleep,
  told,
} from "./bar.ts";
import { type BrokerChild, type BrokerHome, withBroker, withHome } from "./broker-child.ts";
import { pinged } from "./pinged.ts";
import type { PingTimes } from "./pinger.ts";
import { fsyncMillis, microsEach, perSecond, queueOptions, untilQuiet } from "./store-load.ts";

const RATE_PER_SECOND = 2000;
const RATE_SECONDS = 15;
const RATE_SESSIONS = 500;
const RATE_PUBLISHERS = 10;
const RATE_PAYLOAD_BYTES = 128;

const DRAIN_SESSIONS = 1000;
const DRAIN_MESSAGES_EACH = 1000;
const DRAIN_PAYLOAD_BYTES = 150;
const INFLIGHT = 1000;
const CONCURRENCY = 100;
const QUIET_MILLIS = 8000;

const PUBACK_MILLIS_MAX = 15;
const RATIO_MAX = 1.5;

async function pubackRows(
  home: BrokerHome,
  broker: BrokerChild,
  options: BarOptions,
): Promise<BarRow[]> {
  const sessions = scaled(RATE_SESSIONS, options, RATE_PUBLISHERS);
  const load = new QueueLoad(
    queueOptions(broker, {
      clientCount: sessions,
      publisherCount: RATE_PUBLISHERS,
      messagesEach: Math.ceil((RATE_PER_SECOND * RATE_SECONDS) / RATE_SESSIONS),
      payloadBytes: RATE_PAYLOAD_BYTES,
      ratePerSecond: RATE_PER_SECOND,
    }),
  );
  await load.subscribe();
  const fsync = fsyncMillis(home);
  const { latencyMicros, messages, use } = await load.enqueue();
  await load.discard();
  const { p50, p99, max } = latencyMicros;
  const detail = `p50 ${(p50 / 1000).toFixed(2)}, worst ${(max / 1000).toFixed(1)}`;
  const rate = `${count(messages / use.seconds)}/s`;
  return [
    atMost(`PUBACK p99 at ${rate}`, p99 / 1000, PUBACK_MILLIS_MAX, "ms", detail, 2),
    told("fdatasync p50 in the same run", `${fsync.toFixed(2)} ms`, { fsync }),
  ];
}

interface Drain {
  /** What live messages waited beside it. */
  readonly times: PingTimes;
  readonly drained: PartUse;
}

/** Fills the queues of a broker, and drains them beside live messages of the broker at `port`. */
async function drainBeside(
  broker: BrokerChild,
  port: number,
  say: Say,
  options: BarOptions,
): Promise<Drain> {
  const load = new QueueLoad(
    queueOptions(broker, {
      clientCount: scaled(DRAIN_SESSIONS, options),
      messagesEach: DRAIN_MESSAGES_EACH,
      payloadBytes: DRAIN_PAYLOAD_BYTES,
      inflightMax: INFLIGHT,
      concurrency: CONCURRENCY,
    }),
  );
  await load.subscribe();
  const enqueued = await load.enqueue();
  say(`${count(enqueued.messages)} enqueued, ${count(perSecond(enqueued))}/s`);
  await untilQuiet(broker);
  let drained = enqueued;
  const drain = async (): Promise<void> => {
    drained = await load.drain();
  };
  const times = await pinged(port, drain, "message");
  load.leave();
  const fault = load.ledger.fault();
  if (fault !== "") throw new BrokerFault(fault);
  return { times, drained };
}

function timesText({ medianMillis, p99Millis, worstMillis, lateMillis }: PingTimes): string {
  return (
    `p50 ${medianMillis.toFixed(2)}, p99 ${p99Millis.toFixed(2)}, ` +
    `worst ${worstMillis.toFixed(1)} ms (timer late ${lateMillis.toFixed(1)})`
  );
}

/**
 * Broker and load take both cores of a small machine: what a live message waits for a core, and
 * not for the broker that drains, one of another broker, which does nothing else, waits as well.
 */
async function drainRows(
  broker: BrokerChild,
  other: BrokerChild,
  say: Say,
  options: BarOptions,
): Promise<BarRow[]> {
  const alone = await pinged(broker.port, () => sleep(QUIET_MILLIS * options.scale), "message");
  const { times, drained } = await drainBeside(broker, broker.port, say, options);
  const elsewhere = await drainBeside(broker, other.port, say, options);
  const ratio = times.p99Millis / alone.p99Millis;
  const ofMachine = times.p99Millis / elsewhere.times.p99Millis;
  const rates = `${count(perSecond(drained))}/s, ${microsEach(drained).toFixed(2)} µs CPU each`;
  const messages = count(drained.messages);
  return [
    told("live QoS 0 alone", timesText(alone), { ...alone }),
    told(`live QoS 0 beside ${messages} draining`, timesText(times), { ...times }),
    told("the same, of another broker", timesText(elsewhere.times), { ...elsewhere.times }),
    atMost("live QoS 0 p99, draining to alone", ratio, RATIO_MAX, "×", rates, 2),
    told("the same, to that of another broker", `${ofMachine.toFixed(2)} ×`, { ofMachine }),
  ];
}

export const pubackBar: Bar = {
  name: "puback",
  sentence: "PUBACK at 2000 messages/s to Sessions that are away; live QoS 0 beside a great drain",
  scales: true,
  measure: (say, options) =>
    withHome({ config: options.config }, async (home) => {
      const broker = await home.start();
      const rows = await pubackRows(home, broker, options);
      const drains = await withBroker({ config: options.config }, (other) =>
        drainRows(broker, other, say, options),
      );
      return [...rows, ...drains];
    }),
};
