/** Durable Sessions that come back one after the other, beside mosquitto's. */
import { median } from "../load/compare.ts";
import { BrokerFault } from "../load/fault.ts";
import type { LoadResult } from "../load/result.ts";
import { runResume } from "../load/resume-run.ts";
import { atLeast, type Bar, type BarOptions, type BarRow, type Say, scaled, told } from "./bar.ts";
import { type Product, withBroker } from "./broker-child.ts";
import { queueOptions, spread } from "./store-load.ts";

const SESSIONS = 5000;
const REPETITIONS = 3;
const RATIO_MIN = 0.5;
const PRODUCTS: readonly Product[] = ["holdfast", "mosquitto"];

function productRow(product: Product, results: readonly LoadResult[]): BarRow {
  const rates = results.map((result) => result.deliveredPerSecond);
  const micros = results.map((result) => result.brokerMicrosPerUnit ?? Number.NaN);
  const limited = results.some((result) => result.generatorLimited) ? ", generator full" : "";
  const measured = `${spread(rates, 0)}/s, ${spread(micros, 0)} µs${limited}`;
  return told(`reconnects, ${product}`, measured, { rates, micros });
}

async function measureResume(say: Say, options: BarOptions): Promise<BarRow[]> {
  const found: Record<Product, LoadResult[]> = { holdfast: [], mosquitto: [] };
  for (let repetition = 1; repetition <= REPETITIONS; repetition++) {
    for (const product of PRODUCTS) {
      const result = await withBroker({ product, config: options.config }, (broker) =>
        runResume(
          queueOptions(broker, { scenario: "resume", clientCount: scaled(SESSIONS, options) }),
        ),
      );
      if (!result.ok) throw new BrokerFault(`${product}: ${result.fault}`);
      found[product].push(result);
      say(`${product}: ${result.deliveredPerSecond.toFixed(0)} reconnects/s`);
    }
  }
  const rate = (product: Product): number =>
    median(found[product].map((result) => result.deliveredPerSecond));
  const cpu = (product: Product): number =>
    median(found[product].map((result) => result.brokerMicrosPerUnit ?? Number.NaN));
  const cpuDetail = `CPU ${(cpu("holdfast") / cpu("mosquitto")).toFixed(2)} × mosquitto's`;
  return [
    ...PRODUCTS.map((product) => productRow(product, found[product])),
    atLeast(
      "reconnects/s to mosquitto's",
      rate("holdfast") / rate("mosquitto"),
      RATIO_MIN,
      "×",
      cpuDetail,
      2,
    ),
  ];
}

export const resumeBar: Bar = {
  name: "resume",
  sentence: "5000 durable Sessions reconnect, beside mosquitto in memory",
  scales: true,
  measure: measureResume,
};
