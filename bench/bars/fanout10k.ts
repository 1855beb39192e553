/** One PUBLISH to 10,000 subscribers, again and again: how long another client waits meanwhile. */
import { PUBLISH } from "../load/packet.ts";
import { type Bar, type BarRow, type Say, sleep } from "./bar.ts";
import { type BrokerChild, withBroker } from "./broker-child.ts";
import { type Clients, withClients } from "./clients.ts";
import { PacketTally } from "./packet-tally.ts";
import { publishRow } from "./packets.ts";
import { pinged } from "./pinged.ts";
import type { PingTimes } from "./pinger.ts";

const SUBSCRIBERS = 10_000;
const REPETITIONS = 20;
const PAUSE_MILLIS = 100;
const QUIET_MILLIS = 4000;
const TOPIC = "fleet/all/news";

async function fanOut(clients: Clients, tally: PacketTally): Promise<number[]> {
  const publisher = await clients.open();
  const { bytes } = publishRow([TOPIC], Buffer.alloc(32, "x"), false);
  const millis: number[] = [];
  for (let repetition = 1; repetition <= REPETITIONS; repetition++) {
    const start = performance.now();
    publisher.connection.sendPacket(bytes);
    const all = tally.reaches(PUBLISH, repetition * SUBSCRIBERS);
    await clients.orLost(all, "PUBLISH at every subscriber");
    millis.push(performance.now() - start);
    await sleep(PAUSE_MILLIS);
  }
  return millis;
}

function pingRow(name: string, times: PingTimes): BarRow {
  const { worstMillis, medianMillis, lateMillis } = times;
  const rest = `p50 ${medianMillis.toFixed(1)}, own timer late ${lateMillis.toFixed(1)}`;
  return {
    name,
    measured: `${worstMillis.toFixed(1)} ms (${rest})`,
    bar: "",
    met: null,
    figures: { ...times },
  };
}

async function measureFanOut(broker: BrokerChild, say: Say): Promise<BarRow[]> {
  return withClients(broker.loadOptions(), async (clients) => {
    const tally = new PacketTally(clients.region);
    const connections = await clients.openMany(SUBSCRIBERS, tally);
    for (const connection of connections) await clients.subscribe({ connection, tally }, [TOPIC]);
    say("all subscribed");
    const quiet = await pinged(broker.port, () => sleep(QUIET_MILLIS));
    let millis: number[] = [];
    const busy = await pinged(broker.port, async () => {
      millis = await fanOut(clients, tally);
    });
    const mean = millis.reduce((sum, value) => sum + value, 0) / millis.length;
    const worst = Math.max(...millis).toFixed(0);
    return [
      pingRow("worst ping, 10,000 subscribers, nothing sent", quiet),
      pingRow("worst ping beside 20 fan-outs to 10,000", busy),
      {
        name: "one PUBLISH to 10,000, until the last has it",
        measured: `${mean.toFixed(0)} ms mean, ${worst} ms worst`,
        bar: "",
        met: null,
        figures: { millis },
      },
    ];
  });
}

export const fanOutBar: Bar = {
  name: "fanout10k",
  sentence: "one PUBLISH to 10,000 subscribers, and the worst PINGREQ of another client",
  measure: (say) => withBroker({}, (broker) => measureFanOut(broker, say)),
};
