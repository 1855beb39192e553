/** Queues of Sessions whose clients are away: filled and drained, beside mosquitto in memory. */
import { median } from "../load/compare.ts";
import { BrokerFault } from "../load/fault.ts";
import { type PartUse, QueueLoad } from "../load/queue-load.ts";
import {
  atLeast,
  atMost,
  type Bar,
  type BarOptions,
  type BarRow,
  type Say,
  scaled,
  told,
} from "./bar.ts";
import { type BrokerHome, type Product, withHome } from "./broker-child.ts";
import {
  fsyncMillis,
  microsEach,
  perSecond,
  queueOptions,
  spread,
  untilQuiet,
} from "./store-load.ts";

const SESSIONS = 500;
const MESSAGES_EACH = 200;
const PAYLOAD_BYTES = 128;
const REPETITIONS = 3;
const INFLIGHT_MANY = 1000;
const INFLIGHT_FEW = 100;

const ENQUEUE_RATIO_MIN = 2;
const DRAIN_RATIO_MIN = 2.5;
const CPU_RATIO_MIN = 3;
const WRITTEN_BYTES_MAX = 1024;
/** Of the rate that one commit after the other would allow, each with some work beside it. */
const COMMIT_SHARE = 0.8;
const COMMIT_WORK_MILLIS = 0.4;

interface Cell {
  readonly product: Product;
  readonly inflightMax: number;
  readonly enqueued: PartUse[];
  readonly drained: PartUse[];
  readonly fsync: number[];
  /** Bytes on disk for each message, its way into the index included. */
  readonly written: number[];
}

async function fillAndDrain(home: BrokerHome, cell: Cell, options: BarOptions): Promise<void> {
  const broker = await home.start();
  cell.fsync.push(fsyncMillis(home));
  const load = new QueueLoad(
    queueOptions(broker, {
      clientCount: scaled(SESSIONS, options),
      messagesEach: MESSAGES_EACH,
      payloadBytes: PAYLOAD_BYTES,
      inflightMax: cell.inflightMax,
    }),
  );
  await load.subscribe();
  const before = broker.writtenBytes();
  const enqueued = await load.enqueue();
  if (cell.product === "holdfast") await untilQuiet(broker);
  const written = (broker.writtenBytes() - before) / enqueued.messages;
  const drained = await load.drain();
  load.leave();
  cell.fsync.push(fsyncMillis(home));
  const fault = load.ledger.fault();
  if (fault !== "") throw new BrokerFault(`${cell.product}: ${fault}`);
  cell.enqueued.push(enqueued);
  cell.drained.push(drained);
  cell.written.push(written);
}

/** The newest of the parts, with how busy the load generator was. */
function partText(name: string, parts: readonly PartUse[]): string {
  const part = parts.at(-1) as PartUse;
  const own = (part.use.ownCpuSeconds / part.use.seconds).toFixed(2);
  const rate = perSecond(part).toFixed(0);
  return `${name} ${rate}/s, ${microsEach(part).toFixed(2)} µs, own CPU ${own} of a core`;
}

function cellRows({ product, inflightMax, enqueued, drained, written }: Cell): BarRow[] {
  const row = (what: string, parts: readonly PartUse[]): BarRow => {
    const rates = parts.map(perSecond);
    const micros = parts.map(microsEach);
    const measured = `${spread(rates, 0)}/s, ${spread(micros, 2)} µs`;
    return told(`${what}, ${product}, inflight ${inflightMax}`, measured, { rates, micros });
  };
  const disk = `${spread(written, 0)} B`;
  return [
    row("enqueue", enqueued),
    row("drain", drained),
    told(`disk per message, ${product}, inflight ${inflightMax}`, disk, { written }),
  ];
}

function ratioRow(
  name: string,
  bar: number,
  own: readonly PartUse[],
  rival: readonly PartUse[],
  figure: (part: PartUse) => number,
): BarRow {
  const ratio = median(own.map(figure)) / median(rival.map(figure));
  return atLeast(name, ratio, bar, "×", "", 2);
}

function judge(cells: readonly Cell[]): BarRow[] {
  const find = (product: Product, inflightMax: number): Cell => {
    const found = cells.find(
      (cell) => cell.product === product && cell.inflightMax === inflightMax,
    );
    return found as Cell;
  };
  const many = find("holdfast", INFLIGHT_MANY);
  const few = find("holdfast", INFLIGHT_FEW);
  const rival = find("mosquitto", INFLIGHT_MANY);
  const fsync = median(few.fsync);
  const wanted = (COMMIT_SHARE * INFLIGHT_FEW * 1000) / (fsync + COMMIT_WORK_MILLIS);
  const cheapness = (part: PartUse): number => 1 / microsEach(part);
  return [
    ratioRow(
      "enqueue rate to mosquitto's, inflight 1000",
      ENQUEUE_RATIO_MIN,
      many.enqueued,
      rival.enqueued,
      perSecond,
    ),
    ratioRow(
      "mosquitto's CPU to ours, enqueue",
      CPU_RATIO_MIN,
      many.enqueued,
      rival.enqueued,
      cheapness,
    ),
    ratioRow(
      "mosquitto's CPU to ours, drain",
      CPU_RATIO_MIN,
      many.drained,
      rival.drained,
      cheapness,
    ),
    ratioRow("drain rate to mosquitto's", DRAIN_RATIO_MIN, many.drained, rival.drained, perSecond),
    atLeast(
      "enqueue rate, inflight 100",
      median(few.enqueued.map(perSecond)),
      wanted,
      "/s",
      `fdatasync p50 ${fsync.toFixed(2)} ms`,
      0,
    ),
    atMost("disk per message, inflight 1000", median(many.written), WRITTEN_BYTES_MAX, "B", "", 0),
  ];
}

async function measureOffline(say: Say, options: BarOptions): Promise<BarRow[]> {
  const products: readonly Product[] = ["holdfast", "mosquitto"];
  const cells = [INFLIGHT_MANY, INFLIGHT_FEW].flatMap((inflightMax) =>
    products.map(
      (product): Cell => ({
        product,
        inflightMax,
        enqueued: [],
        drained: [],
        fsync: [],
        written: [],
      }),
    ),
  );
  for (let repetition = 1; repetition <= REPETITIONS; repetition++) {
    for (const cell of cells) {
      const { product, inflightMax } = cell;
      const { config } = options;
      await withHome({ product, config }, (home) => fillAndDrain(home, cell, options));
      const parts = `${partText("enqueue", cell.enqueued)}, ${partText("drain", cell.drained)}`;
      say(`${product}, inflight ${inflightMax}: ${parts}`);
    }
  }
  return [...cells.flatMap(cellRows), ...judge(cells)];
}

export const offlineBar: Bar = {
  name: "offline",
  sentence:
    "500 Sessions × 200 messages of 128 B, enqueued and drained, beside mosquitto in memory",
  scales: true,
  measure: measureOffline,
};
