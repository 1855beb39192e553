/** Matching among many Topic Filters: in the engine alone, and through a running broker. */
import { commandFilter, commandTopic, deviceNames, draw } from "../functions/workload.ts";
import { median } from "../load/compare.ts";
import { PUBLISH } from "../load/packet.ts";
import { type Bar, type BarRow, count, type Say } from "./bar.ts";
import { type BrokerChild, withBroker } from "./broker-child.ts";
import { type Client, type Clients, withClients } from "./clients.ts";
import { measureEngineMatch } from "./match-engine.ts";
import { type PacketRow, packetsOf, publishRow } from "./packets.ts";

const FEW_FILTERS = 1000;
const MANY_FILTERS = 1_000_000;
const COLD_TOPICS = 100_000;
const PUBLISHERS = 10;
/** Messages that one publisher writes at once. */
const WRITE_MESSAGES = 100;
const ROUND_MESSAGES = PUBLISHERS * WRITE_MESSAGES;
const MESSAGES = 1_000_000;
const HOT_TOPICS = 100;
const HOT_RUNS = 3;
const PAYLOAD = Buffer.alloc(32, "x");

const BYTES_PER_FILTER_MAX = 150;
const RATIO_MAX = 3;
const HOT_RATIO_MAX = 1.5;

interface Flow {
  readonly broker: BrokerChild;
  readonly clients: Clients;
  readonly publishers: readonly Client[];
  readonly subscriber: Client;
}

/**
 * Publishes the row again and again from all publishers in turn, at most two rounds ahead of the
 * subscriber. Each message must have one receiver.
 *
 * @returns the broker's CPU for each message, microseconds
 */
async function cpuPerMessage(flow: Flow, row: PacketRow, messages: number): Promise<number> {
  const { broker, clients, publishers, subscriber } = flow;
  const { tally } = subscriber;
  const before = tally.count(PUBLISH);
  const cpuBefore = broker.cpuMicros();
  let from = 0;
  for (let sent = 0; sent < messages; sent += ROUND_MESSAGES) {
    for (const { connection } of publishers) {
      if (from + WRITE_MESSAGES > row.ends.length) from = 0;
      connection.write(packetsOf(row, from, from + WRITE_MESSAGES));
      from += WRITE_MESSAGES;
    }
    await clients.orLost(tally.reaches(PUBLISH, before + sent), "PUBLISH");
  }
  await clients.orLost(tally.reaches(PUBLISH, before + messages), "PUBLISH");
  return (broker.cpuMicros() - cpuBefore) / messages;
}

/** A broker whose one subscriber has all the filters. */
function withFlow<T>(devices: readonly string[], use: (flow: Flow) => Promise<T>): Promise<T> {
  return withBroker({}, (broker) =>
    withClients(broker.loadOptions(), async (clients) => {
      const subscriber = await clients.open();
      await clients.subscribe(subscriber, devices.map(commandFilter));
      const publishers: Client[] = [];
      while (publishers.length < PUBLISHERS) publishers.push(await clients.open());
      return use({ broker, clients, publishers, subscriber });
    }),
  );
}

async function endToEnd(flow: Flow, devices: readonly string[]): Promise<number> {
  // Of 1,000 filters the topics come again and again, of 1,000,000 hardly: as they would.
  const topics = draw(devices, Math.min(MESSAGES, devices.length)).map(commandTopic);
  const row = publishRow(topics, PAYLOAD, false);
  await cpuPerMessage(flow, row, MESSAGES / 10);
  return cpuPerMessage(flow, row, MESSAGES);
}

async function hotMedian(flow: Flow, row: PacketRow): Promise<number> {
  const micros: number[] = [];
  while (micros.length < HOT_RUNS) micros.push(await cpuPerMessage(flow, row, MESSAGES));
  return median(micros);
}

/** @returns CPU per message of hot topics before and after a flood of one-time topics */
async function hotBeforeAndAfter(flow: Flow, devices: readonly string[]) {
  const hot = draw(devices, HOT_TOPICS).map(commandTopic);
  const row = publishRow(hot, PAYLOAD, false);
  const before = await hotMedian(flow, row);
  const flood = Array.from({ length: MESSAGES }, (_, index) => `once/${index.toString(36)}/t`);
  await flow.clients.sendAll(flow.publishers[0] as Client, publishRow(flood, PAYLOAD, false));
  return { before, after: await hotMedian(flow, row) };
}

function engineRows(few: readonly string[], many: readonly string[], say: Say): BarRow[] {
  const small = measureEngineMatch(few, COLD_TOPICS);
  say(`engine, 1,000 filters: ${small.nanosPerMatch.toFixed(0)} ns`);
  const large = measureEngineMatch(many, COLD_TOPICS);
  say(`engine, 1,000,000 filters: ${large.nanosPerMatch.toFixed(0)} ns`);
  const ratio = large.nanosPerMatch / small.nanosPerMatch;
  const nanos = `${large.nanosPerMatch.toFixed(0)} : ${small.nanosPerMatch.toFixed(0)}`;
  return [
    {
      name: "engine bytes per filter, 1,000,000 filters",
      measured: `${large.bytesPerFilter.toFixed(1)} (1,000: ${small.bytesPerFilter.toFixed(1)})`,
      bar: `≤ ${BYTES_PER_FILTER_MAX}`,
      met: large.bytesPerFilter <= BYTES_PER_FILTER_MAX,
      figures: { few: small.bytesPerFilter, many: large.bytesPerFilter },
    },
    {
      name: "cold match in the engine, 1,000,000 to 1,000",
      measured: `${nanos} ns = ${ratio.toFixed(2)} ×`,
      bar: `≤ ${RATIO_MAX} ×`,
      met: ratio <= RATIO_MAX,
      figures: { few: small.nanosPerMatch, many: large.nanosPerMatch, ratio },
    },
  ];
}

function microsRow(name: string, before: number, after: number, ratioMax: number): BarRow {
  const ratio = after / before;
  return {
    name,
    measured: `${after.toFixed(3)} : ${before.toFixed(3)} µs = ${ratio.toFixed(2)} ×`,
    bar: `≤ ${ratioMax} ×`,
    met: ratio <= ratioMax,
    figures: { before, after, ratio },
  };
}

async function measureMatch(say: Say): Promise<BarRow[]> {
  const many = deviceNames(MANY_FILTERS);
  const few = many.slice(0, FEW_FILTERS);
  const rows = engineRows(few, many, say);
  const small = await withFlow(few, async (flow) => {
    const micros = await endToEnd(flow, few);
    say(`broker, 1,000 filters: ${micros.toFixed(3)} µs a message`);
    return { micros, hot: await hotBeforeAndAfter(flow, few) };
  });
  say(`${count(MESSAGES)} one-time topics done`);
  const large = await withFlow(many, (flow) => endToEnd(flow, many));
  say(`broker, 1,000,000 filters: ${large.toFixed(3)} µs a message`);
  rows.push(
    microsRow("broker CPU a message, 1,000,000 to 1,000", small.micros, large, RATIO_MAX),
    microsRow(
      "hot topics, after to before 1 M one-time topics",
      small.hot.before,
      small.hot.after,
      HOT_RATIO_MAX,
    ),
  );
  return rows;
}

export const matchBar: Bar = {
  name: "match",
  sentence: "1,000 and 1,000,000 filters: memory, cold matches, CPU per message, hot topics",
  measure: measureMatch,
};
