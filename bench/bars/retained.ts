/** A million retained messages: what they cost, and how fast a hundred of them are found. */
import { deviceNames } from "../functions/workload.ts";
import { median } from "../load/compare.ts";
import { PUBLISH, subscribePacket } from "../load/packet.ts";
import { type Bar, type BarRow, count, type Say } from "./bar.ts";
import { type BrokerChild, withBroker } from "./broker-child.ts";
import { type Client, type Clients, withClients } from "./clients.ts";
import { publishRow } from "./packets.ts";
import { HEAP_BYTES, SYS_CONFIG, SysValue } from "./sys-value.ts";

const MESSAGES = 1_000_000;
const HITS = 100;
const SUBSCRIBERS = 20;
const FILTER = "a/+/c";
const PAYLOAD = Buffer.alloc(32, "x");

const MILLIS_MAX = 5;

interface Found {
  readonly bytesPerMessage: number;
  readonly millis: readonly number[];
}

/** From the SUBSCRIBE written to the last hit read, by a client of its own. */
async function findHits(clients: Clients, client: Client): Promise<number> {
  const found = client.tally.reaches(PUBLISH, HITS).then(() => performance.now());
  const start = performance.now();
  client.connection.sendPacket(subscribePacket(4, FILTER, 0));
  const millis = (await clients.orLost(found, "retained messages")) - start;
  await clients.ping(client);
  const came = client.tally.count(PUBLISH);
  if (came !== HITS) throw new Error(`${came} retained messages came instead of ${HITS}`);
  return millis;
}

async function measureCase(broker: BrokerChild, topics: readonly string[]): Promise<Found> {
  return withClients(broker.loadOptions(), async (clients) => {
    const heap = await SysValue.open(clients, HEAP_BYTES);
    const publisher = await clients.open();
    const before = await heap.stable();
    await clients.sendAll(publisher, publishRow(topics, PAYLOAD, true));
    const bytesPerMessage = ((await heap.stable()) - before) / topics.length;
    const millis: number[] = [];
    while (millis.length < SUBSCRIBERS) {
      millis.push(await findHits(clients, await clients.open()));
    }
    return { bytesPerMessage, millis };
  });
}

function caseRows(shape: string, found: Found): BarRow[] {
  const { bytesPerMessage, millis } = found;
  const middle = median(millis);
  const spread = `${Math.min(...millis).toFixed(2)}–${Math.max(...millis).toFixed(2)}`;
  return [
    {
      name: `${FILTER}, ${HITS} hits, ${shape}`,
      measured: `${middle.toFixed(2)} ms (${spread})`,
      bar: `≤ ${MILLIS_MAX} ms`,
      met: middle <= MILLIS_MAX,
      figures: { millis },
    },
    {
      name: `memory per retained message, ${shape}`,
      measured: `${bytesPerMessage.toFixed(1)} B`,
      bar: "",
      met: null,
      figures: { bytesPerMessage },
    },
  ];
}

async function measureRetained(say: Say): Promise<BarRow[]> {
  const devices = deviceNames(MESSAGES - HITS);
  const hits = Array.from({ length: HITS }, (_, index) => `a/room${index}/c`);
  const shapes = [
    { shape: "a has 100", topics: devices.map((device) => `fleet/${device}/t`) },
    { shape: "a has 1,000,000", topics: devices.map((device) => `a/${device}/t`) },
  ];
  const rows: BarRow[] = [];
  for (const { shape, topics } of shapes) {
    const found = await withBroker({ config: SYS_CONFIG }, (broker) =>
      measureCase(broker, [...topics, ...hits]),
    );
    say(`${count(MESSAGES)} retained, ${shape} children: ${median(found.millis).toFixed(2)} ms`);
    rows.push(...caseRows(shape, found));
  }
  return rows;
}

export const retainedBar: Bar = {
  name: "retained",
  sentence: "1,000,000 retained messages: memory, and a/+/c with 100 hits",
  measure: measureRetained,
};
