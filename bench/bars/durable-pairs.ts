/** Pairs at QoS 1 whose subscribers are there and have durable Sessions: what durability costs. */
import { median } from "../load/compare.ts";
import { BrokerFault } from "../load/fault.ts";
import { runLive } from "../load/live-run.ts";
import type { SessionKind } from "../load/packet.ts";
import { atLeast, atMost, type Bar, type BarOptions, type BarRow, type Say, told } from "./bar.ts";
import { type BrokerChild, withBroker } from "./broker-child.ts";
import { spread } from "./store-load.ts";

const SECONDS = 3;
const REPETITIONS = 5;
const RATIO_MAX = 1.3;
const RIVAL_RATIO_MIN = 8;

interface Cell {
  readonly name: string;
  readonly broker: BrokerChild;
  readonly session: SessionKind;
  readonly micros: number[];
  readonly rates: number[];
}

function cell(name: string, broker: BrokerChild, session: SessionKind): Cell {
  return { name, broker, session, micros: [], rates: [] };
}

async function measureCell(target: Cell, scale: number): Promise<void> {
  const { broker, session } = target;
  const result = await runLive(
    broker.loadOptions({ qos: 1, session, seconds: SECONDS * scale, warmupSeconds: 0.5 }),
  );
  if (!result.ok) throw new BrokerFault(`${target.name}: ${result.fault}`);
  target.micros.push(result.brokerMicrosPerUnit ?? Number.NaN);
  target.rates.push(result.deliveredPerSecond);
}

function cellRow({ name, micros, rates }: Cell): BarRow {
  const measured = `${spread(micros, 2)} µs, ${Math.round(median(rates) / 1000)}k/s`;
  return told(`CPU per message, ${name}`, measured, { micros, rates });
}

async function measurePairs(
  own: BrokerChild,
  rival: BrokerChild,
  say: Say,
  { scale }: BarOptions,
): Promise<BarRow[]> {
  const durable = cell("durable Sessions", own, "durable");
  const clean = cell("clean Sessions", own, "clean");
  const rivals = [
    cell("mosquitto, durable", rival, "durable"),
    cell("mosquitto, clean", rival, "clean"),
  ];
  const cells = [durable, clean, ...rivals];
  for (let repetition = 1; repetition <= REPETITIONS; repetition++) {
    for (const target of cells) await measureCell(target, scale);
    say(cells.map(({ name, micros }) => `${name} ${micros.at(-1)?.toFixed(2)} µs`).join(", "));
  }
  const ratios = durable.micros.map((micros, index) => micros / (clean.micros[index] ?? 0));
  const cheapest = Math.min(...rivals.map(({ micros }) => median(micros)));
  return [
    ...cells.map(cellRow),
    atMost("durable to clean, CPU", median(ratios), RATIO_MAX, "×", spread(ratios, 2), 2),
    atLeast(
      "mosquitto's CPU to that of durable",
      cheapest / median(durable.micros),
      RIVAL_RATIO_MIN,
      "×",
    ),
  ];
}

export const durablePairsBar: Bar = {
  name: "durable-pairs",
  sentence: "50 pairs at QoS 1, durable against clean Sessions, and against mosquitto in memory",
  scales: true,
  measure: (say, options) =>
    withBroker({ config: options.config }, (own) =>
      withBroker({ product: "mosquitto" }, (rival) => measurePairs(own, rival, say, options)),
    ),
};
