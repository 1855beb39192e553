/** Pairs at QoS 0 whose clients an ACL file of 1000 users judges: what that costs. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { median } from "../load/compare.ts";
import { BrokerFault } from "../load/fault.ts";
import { runLive } from "../load/live-run.ts";
import { TOPIC_ROOT } from "../load/payload.ts";
import { atMost, type Bar, type BarOptions, type BarRow, type Say, told } from "./bar.ts";
import { type BrokerChild, withBroker } from "./broker-child.ts";
import { spread } from "./store-load.ts";

const USERS = 1000;
const SECONDS = 3;
const REPETITIONS = 5;
const RATIO_MAX = 1.2;

/** Each user's own topics, some that are denied, patterns for all; the load's topics come last. */
function aclFile(): string {
  const lines = ["topic read public/#"];
  for (let user = 0; user < USERS; user++) {
    lines.push(
      `user u${user}`,
      `topic deny fleet/u${user}/secret/#`,
      `topic readwrite fleet/u${user}/#`,
      `topic read fleet/all/+`,
      `topic readwrite ${TOPIC_ROOT}/#`,
    );
  }
  lines.push("pattern readwrite devices/%c/#", "pattern read users/%u/#");
  return `${lines.join("\n")}\n`;
}

interface Cell {
  readonly name: string;
  readonly broker: BrokerChild;
  readonly micros: number[];
  readonly rates: number[];
}

async function measureCell({ name, broker, micros, rates }: Cell, scale: number): Promise<void> {
  const userName = (index: number): string => `u${index % USERS}`;
  const result = await runLive(
    broker.loadOptions({ seconds: SECONDS * scale, warmupSeconds: 0.5, userName }),
  );
  if (!result.ok) throw new BrokerFault(`${name}: ${result.fault}`);
  micros.push(result.brokerMicrosPerUnit ?? Number.NaN);
  rates.push(result.deliveredPerSecond);
}

function cellRow({ name, micros, rates }: Cell): BarRow {
  const measured = `${spread(micros, 3)} µs, ${Math.round(median(rates) / 1000)}k/s`;
  return told(`CPU per message, ${name}`, measured, { micros, rates });
}

async function measurePairs(
  judged: BrokerChild,
  open: BrokerChild,
  say: Say,
  { scale }: BarOptions,
): Promise<BarRow[]> {
  const withAcl: Cell = { name: "ACL file of 1000 users", broker: judged, micros: [], rates: [] };
  const without: Cell = { name: "no ACL", broker: open, micros: [], rates: [] };
  for (let repetition = 1; repetition <= REPETITIONS; repetition++) {
    for (const cell of [withAcl, without]) await measureCell(cell, scale);
    const [one, other] = [withAcl, without].map(({ micros }) => micros.at(-1)?.toFixed(3));
    say(`with ${one} µs, without ${other} µs`);
  }
  const ratios = withAcl.micros.map((micros, index) => micros / (without.micros[index] ?? 0));
  return [
    cellRow(withAcl),
    cellRow(without),
    atMost("with an ACL to without, CPU", median(ratios), RATIO_MAX, "×", spread(ratios, 2), 2),
  ];
}

export const aclBar: Bar = {
  name: "acl",
  sentence: "50 pairs at QoS 0, with an ACL file of 1000 users against none",
  scales: true,
  measure: async (say, options) => {
    const directory = mkdtempSync(join(tmpdir(), "bench-acl-"));
    const path = join(directory, "acl");
    writeFileSync(path, aclFile());
    try {
      return await withBroker({ config: [`acl_file ${path}`] }, (judged) =>
        withBroker({}, (open) => measurePairs(judged, open, say, options)),
      );
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
};
