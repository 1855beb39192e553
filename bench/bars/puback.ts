/** How long a PUBACK takes, and what live messages feel of a great backlog that drains. */
import { BrokerFault } from "../load/fault.ts";
import { QueueLoad } from "../load/queue-load.ts";
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
import { type BrokerChild, type BrokerHome, withHome } from "./broker-child.ts";
import { pinged } from "./pinged.ts";
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

async function drainRows(broker: BrokerChild, say: Say, options: BarOptions): Promise<BarRow[]> {
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
  const quiet = await pinged(broker.port, () => sleep(QUIET_MILLIS * options.scale), "message");
  let drained = enqueued;
  const busy = await pinged(
    broker.port,
    async () => {
      drained = await load.drain();
    },
    "message",
  );
  load.leave();
  const fault = load.ledger.fault();
  if (fault !== "") throw new BrokerFault(fault);
  const ratio = busy.p99Millis / quiet.p99Millis;
  const text = (times: typeof quiet): string =>
    `p50 ${times.medianMillis.toFixed(2)}, p99 ${times.p99Millis.toFixed(2)}, ` +
    `worst ${times.worstMillis.toFixed(1)} ms (timer late ${times.lateMillis.toFixed(1)})`;
  const rates = `${count(perSecond(drained))}/s, ${microsEach(drained).toFixed(2)} µs CPU each`;
  return [
    told("live QoS 0 alone", text(quiet), { ...quiet }),
    told(`live QoS 0 beside ${count(drained.messages)} draining`, text(busy), { ...busy }),
    atMost("live QoS 0 p99, draining to alone", ratio, RATIO_MAX, "×", rates, 2),
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
      return [...rows, ...(await drainRows(broker, say, options))];
    }),
};
