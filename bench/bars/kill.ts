/** A hundred times kill -9 while queues fill: what was acknowledged must be there. */
import { randomNumbers } from "../functions/workload.ts";
import { median } from "../load/compare.ts";
import type { QoS } from "../load/packet.ts";
import { QueueLoad } from "../load/queue-load.ts";
import {
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
import { queueOptions } from "./store-load.ts";

const ROUNDS = 100;
const SESSIONS = 50;
/** More than a broker can take in all rounds. */
const MESSAGES_EACH_MAX = 60_000;
const PAYLOAD_BYTES = 64;
const LIFE_MILLIS_MIN = 40;
const LIFE_MILLIS_SPAN = 300;
const CONFIG = ["max_queued_messages 0", "max_queued_bytes 0"];
const SAY_EACH = 10;

function loadOf(broker: BrokerChild, qos: QoS): QueueLoad {
  const load = new QueueLoad(
    queueOptions(broker, {
      clientCount: SESSIONS,
      messagesEach: MESSAGES_EACH_MAX,
      payloadBytes: PAYLOAD_BYTES,
      inflightMax: qos === 2 ? 100 : 500,
      qos,
    }),
  );
  load.cutAllowed = true;
  return load;
}

function verdictRow(load: QueueLoad): BarRow {
  const { ledger, options } = load;
  const { acknowledged, receivedEarly, sent } = ledger;
  const early = options.qos === 1 ? `, ${count(receivedEarly)} more came` : "";
  const unfinished = options.qos === 2 && sent !== ledger.received;
  const fault = unfinished ? `${count(sent)} sent, ${count(ledger.received)} came` : "";
  return faultless(
    `QoS ${options.qos}: lost, duplicated, out of order`,
    `0 of ${count(acknowledged)} acknowledged${early}`,
    ledger.fault() || fault,
  );
}

async function measureKill(home: BrokerHome, say: Say, options: BarOptions): Promise<BarRow[]> {
  const rounds = scaled(ROUNDS, options);
  const random = randomNumbers();
  let broker = await home.start();
  const loads = [loadOf(broker, 1), loadOf(broker, 2)];
  for (const load of loads) await load.subscribe();
  const ready: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    const lifeMillis = LIFE_MILLIS_MIN + (random() % LIFE_MILLIS_SPAN);
    const filling = Promise.all(loads.map((load) => load.enqueue(undefined, [])));
    await sleep(lifeMillis);
    await broker.kill();
    await filling;
    broker = await home.start();
    ready.push(broker.readyMillis);
    if (round % SAY_EACH === 0) {
      const acknowledged = loads.reduce((sum, { ledger }) => sum + ledger.acknowledged, 0);
      say(`${round} rounds, ${count(acknowledged)} acknowledged`);
    }
  }
  for (const load of loads) {
    load.cutAllowed = false;
    await load.enqueue(0, []); // What QoS 2 left unfinished comes to its end.
    await load.drain([]);
    load.leave();
  }
  const worst = Math.max(...ready).toFixed(0);
  return [
    ...loads.map(verdictRow),
    told(`restart, ${rounds} times`, `${median(ready).toFixed(0)} ms, worst ${worst} ms`, {
      ready,
    }),
  ];
}

export const killBar: Bar = {
  name: "kill",
  sentence: "100 times kill -9 while queues fill at QoS 1 and 2: nothing acknowledged is lost",
  scales: true,
  measure: (say, { scale, config }) =>
    withHome({ config: [...CONFIG, ...config] }, (home) =>
      measureKill(home, say, { scale, config }),
    ),
};
