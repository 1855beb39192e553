/** Ten thousand durable Sessions that come back at once, each with messages waiting. */
import { BrokerFault } from "../load/fault.ts";
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
import { type BrokerChild, withBroker } from "./broker-child.ts";
import { pinged } from "./pinged.ts";
import { microsEach, perSecond, queueOptions, untilQuiet } from "./store-load.ts";

const SESSIONS = 10_000;
const MESSAGES_EACH = 20;
const PAYLOAD_BYTES = 128;
/** Below the backlog of most listeners: a refused SYN would wait a second. */
const CONCURRENCY = 500;
const INFLIGHT = 1000;
const QUIET_MILLIS = 3000;

const STALL_MILLIS_MAX = 50;
const P99_MILLIS_MAX = 100;

async function measureReconnect(
  broker: BrokerChild,
  say: Say,
  options: BarOptions,
): Promise<BarRow[]> {
  const load = new QueueLoad(
    queueOptions(broker, {
      clientCount: scaled(SESSIONS, options),
      messagesEach: MESSAGES_EACH,
      payloadBytes: PAYLOAD_BYTES,
      inflightMax: INFLIGHT,
      concurrency: CONCURRENCY,
    }),
  );
  await load.subscribe();
  const enqueued = await load.enqueue();
  say(`${count(enqueued.messages)} enqueued, ${count(perSecond(enqueued))}/s`);
  await untilQuiet(broker);
  const quiet = await pinged(broker.port, () => sleep(QUIET_MILLIS));
  let drained = enqueued;
  const busy = await pinged(broker.port, async () => {
    drained = await load.drain();
  });
  load.leave();
  const fault = load.ledger.fault();
  if (fault !== "") throw new BrokerFault(fault);
  const late = `own timer late ${busy.lateMillis.toFixed(1)}`;
  return [
    told(
      "PINGREQ of a bystander before, p99 and worst",
      `${quiet.p99Millis.toFixed(1)} and ${quiet.worstMillis.toFixed(1)} ms`,
      { ...quiet },
    ),
    atMost("PINGREQ beside it, p99", busy.p99Millis, P99_MILLIS_MAX, "ms", `of ${busy.count}`),
    atMost(
      "PINGREQ beside it, worst: longest stall",
      busy.worstMillis,
      STALL_MILLIS_MAX,
      "ms",
      late,
    ),
    told(
      `${count(load.options.clientCount)} back, all delivered`,
      `${drained.use.seconds.toFixed(2)} s, ${microsEach(drained).toFixed(2)} µs per message`,
      { seconds: drained.use.seconds },
    ),
    faultless("complete and in order", count(drained.messages), fault),
  ];
}

export const reconnectBar: Bar = {
  name: "reconnect",
  sentence: "10,000 durable Sessions with 20 messages each come back at once, beside a bystander",
  scales: true,
  measure: (say, options) =>
    withBroker({ config: options.config }, (broker) => measureReconnect(broker, say, options)),
};
