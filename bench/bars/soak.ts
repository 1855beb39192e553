/**
 * Ten million messages: what stays behind in the slabs, in RSS, and how often V8 collects.
 *
 * Each run of the load generator has topics of its own, which stay in the match cache. So the same
 * runs are made twice, with few messages and with many: what the second time leaves beyond the
 * first is what messages leave.
 */
import { BrokerFault } from "../load/fault.ts";
import { runLive } from "../load/live-run.ts";
import type { LoadOptions } from "../load/options.ts";
import { type Bar, type BarRow, count, type Say } from "./bar.ts";
import { type BrokerChild, withBroker } from "./broker-child.ts";
import { withClients } from "./clients.ts";
import { HEAP_BYTES, SYS_CONFIG, SysValue } from "./sys-value.ts";

const MILLIONS = 10;
const MILLION = 1_000_000;
/** Of a short round: enough that the match cache takes every topic. */
const FEW_MESSAGES = 30_000;
/** Figures below $SYS become longer texts: one more digit may need a larger block. */
const SYS_TEXT_BYTES_MAX = 256;
const SECONDS_MAX = 300;
const MEGABYTE = 1e6;

const SLOPE_MAX = 2;
const COLLECTIONS_MAX = 1;

const MIX: readonly Partial<LoadOptions>[] = [
  { scenario: "pairs", qos: 0 },
  { scenario: "pairs", qos: 1 },
  { scenario: "fan-in", qos: 1, subscriberCount: 1, clientCount: 1 },
];

/** So many messages, in equal parts of the mix. */
async function round(broker: BrokerChild, messages: number, mix = MIX): Promise<void> {
  for (const [index, part] of mix.entries()) {
    const messagesMax = Math.floor((messages + index) / mix.length);
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

interface Collections {
  major: number;
  minor: number;
}

function collectionsOf(broker: BrokerChild): Collections {
  return { major: broker.majorCollections, minor: broker.minorCollections };
}

async function measureSoak(broker: BrokerChild, say: Say): Promise<BarRow[]> {
  return withClients(broker.loadOptions(), async (clients) => {
    const heap = await SysValue.open(clients, HEAP_BYTES);
    await round(broker, MILLION, MIX.slice(0, 2));
    const heapBytes = [await heap.stable()];
    for (let index = 0; index < MILLIONS; index++) await round(broker, FEW_MESSAGES);
    heapBytes.push(await heap.stable());
    const collectionsBefore = collectionsOf(broker);
    const resident = [broker.residentBytes() / MEGABYTE];
    say(`warmed up: ${heapBytes.map((bytes) => count(bytes)).join(" → ")} slab bytes`);
    for (let million = 1; million <= MILLIONS; million++) {
      await round(broker, MILLION);
      resident.push(broker.residentBytes() / MEGABYTE);
      say(`${million} million messages: RSS ${count(resident.at(-1) ?? 0, 1)} MB`);
    }
    const collections = collectionsOf(broker);
    collections.major -= collectionsBefore.major;
    collections.minor -= collectionsBefore.minor;
    heapBytes.push(await heap.stable());
    return [slabRow(heapBytes), ...processRows(resident, collections)];
  });
}

/** @param heapBytes  before the short rounds, before the long ones, and after them */
function slabRow(heapBytes: readonly number[]): BarRow {
  const [first = 0, before = 0, after = 0] = heapBytes;
  const byTopics = before - first;
  const left = after - before - byTopics;
  return {
    name: "slab bytes that 10 M messages leave",
    measured: `${count(left)} (${count(after)} in all, topics ${count(byTopics)})`,
    bar: `0 (± ${SYS_TEXT_BYTES_MAX} of $SYS)`,
    met: Math.abs(left) <= SYS_TEXT_BYTES_MAX,
    figures: { left, heapBytes },
  };
}

function processRows(resident: readonly number[], collections: Collections): BarRow[] {
  const grows = slope(resident);
  const { major, minor } = collections;
  const perMillion = major / MILLIONS;
  const ends = `${count(resident[0] ?? 0, 1)} → ${count(resident.at(-1) ?? 0, 1)} MB`;
  return [
    {
      name: "RSS, growth per million messages",
      measured: `${grows.toFixed(2)} MB (${ends})`,
      bar: `< ${SLOPE_MAX} MB`,
      met: grows < SLOPE_MAX,
      figures: { megabytesPerMillion: grows, residentMegabytes: resident },
    },
    {
      name: "major garbage collections per million",
      measured: `${perMillion.toFixed(1)} (${major} in all, ${minor} minor)`,
      bar: `< ${COLLECTIONS_MAX}`,
      met: perMillion < COLLECTIONS_MAX,
      figures: { ...collections, perMillion },
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
