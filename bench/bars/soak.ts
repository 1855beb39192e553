/** Ten million messages: what stays behind in the slabs, in RSS, and how often V8 collects. */
import { BrokerFault } from "../load/fault.ts";
import { runLive } from "../load/live-run.ts";
import type { LoadOptions } from "../load/options.ts";
import { type Bar, type BarRow, count, type Say } from "./bar.ts";
import { type BrokerChild, withBroker } from "./broker-child.ts";
import { withClients } from "./clients.ts";
import { HEAP_BYTES, SYS_CONFIG, SysValue } from "./sys-value.ts";

const MILLIONS = 10;
const MESSAGES_PER_ROUND = 1_000_000;
const SECONDS_MAX = 300;
const MEGABYTE = 1e6;

const SLOPE_MAX = 2;
const COLLECTIONS_MAX = 1;

const MIX: readonly Partial<LoadOptions>[] = [
  { scenario: "pairs", qos: 0 },
  { scenario: "pairs", qos: 1 },
  { scenario: "fan-in", qos: 1, subscriberCount: 1, clientCount: 1 },
];

/** One million messages, in equal parts of the mix. */
async function round(broker: BrokerChild, mix: readonly Partial<LoadOptions>[]): Promise<void> {
  for (const [index, part] of mix.entries()) {
    const messagesMax = Math.floor((MESSAGES_PER_ROUND + index) / mix.length);
    const result = await runLive(
      broker.loadOptions({ ...part, messagesMax, seconds: SECONDS_MAX }),
    );
    if (!result.ok) throw new BrokerFault(result.fault);
    if (result.delivered !== messagesMax) throw new BrokerFault("a run did not end in time");
  }
}

/** @returns by how much `values` grow from one to the next, by least squares */
export function slope(values: readonly number[]): number {
  const meanX = (values.length - 1) / 2;
  const meanY = values.reduce((sum, value) => sum + value, 0) / values.length;
  let products = 0;
  let squares = 0;
  for (const [x, y] of values.entries()) {
    products += (x - meanX) * (y - meanY);
    squares += (x - meanX) ** 2;
  }
  return products / squares;
}

async function measureSoak(broker: BrokerChild, say: Say): Promise<BarRow[]> {
  return withClients(broker.loadOptions(), async (clients) => {
    const heap = await SysValue.open(clients, HEAP_BYTES);
    await round(broker, MIX.slice(0, 2));
    const heapBefore = await heap.stable();
    const collectionsBefore = broker.majorCollections;
    const resident = [broker.residentBytes() / MEGABYTE];
    say(`warmed up: ${count(heapBefore)} slab bytes, RSS ${count(resident[0] ?? 0, 1)} MB`);
    for (let million = 1; million <= MILLIONS; million++) {
      await round(broker, MIX);
      resident.push(broker.residentBytes() / MEGABYTE);
      say(`${million} million messages: RSS ${count(resident.at(-1) ?? 0, 1)} MB`);
    }
    const collections = broker.majorCollections - collectionsBefore;
    const heapAfter = await heap.stable();
    return soakRows(heapBefore, heapAfter, resident, collections);
  });
}

function soakRows(
  heapBefore: number,
  heapAfter: number,
  resident: readonly number[],
  collections: number,
): BarRow[] {
  const grows = slope(resident);
  const perMillion = collections / MILLIONS;
  const ends = `${count(resident[0] ?? 0, 1)} → ${count(resident.at(-1) ?? 0, 1)} MB`;
  return [
    {
      name: "slab bytes before and after 10 M messages",
      measured: `${count(heapBefore)} → ${count(heapAfter)}`,
      bar: "equal",
      met: heapBefore === heapAfter,
      figures: { heapBefore, heapAfter },
    },
    {
      name: "RSS, growth per million messages",
      measured: `${grows.toFixed(2)} MB (${ends})`,
      bar: `< ${SLOPE_MAX} MB`,
      met: grows < SLOPE_MAX,
      figures: { megabytesPerMillion: grows, residentMegabytes: resident },
    },
    {
      name: "major garbage collections per million",
      measured: `${perMillion.toFixed(1)} (${collections} in all)`,
      bar: `< ${COLLECTIONS_MAX}`,
      met: perMillion < COLLECTIONS_MAX,
      figures: { collections, perMillion },
    },
  ];
}

export const soakBar: Bar = {
  name: "soak",
  sentence: "10 million messages: slab bytes, RSS and major collections",
  measure: (say) =>
    withBroker({ config: SYS_CONFIG, nodeFlags: ["--trace-gc"] }, (broker) =>
      measureSoak(broker, say),
    ),
};
