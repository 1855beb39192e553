/**
 * `npm run mutate`: changes every status, Reason Code and comparison of what decides, one at a
 * time, and says which changes no test notices. Build first: `npm run build`.
 *
 *   --sample N --seed S   N mutants chosen at random; the same seed chooses the same
 *   --only TEXT           mutants of files whose path contains it
 *   --again               tries once more what survived, and what time alone has killed
 *   --runs N              ends after N runs of vitest, the likeliest killers first; what survives
 *                         is to be tried --again
 *   --lanes N             how many are tried side by side; 2 if left out
 *   --list                lists the mutants, and tries none
 *
 * First a run without a mutant finds which test file reaches which of them, and shows that the
 * tests pass; a mutant then is tried with the files that reach it. What was found is kept in
 * test/mutation/reach.tsv while the test file is the same, what was tried in
 * test/mutation/results.tsv while the source is: a run that was stopped goes on
 * where it was. Survivors that are accepted stand in test/mutation/accepted.tsv, each with its
 * reason.
 */
import { createHash } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { randomFrom } from "../support/mutate.ts";
import { type Mutant, mutantsOf, mutatedFiles, nameOf, readAccepted } from "./mutants.ts";
import { Trials } from "./trials.ts";

const RESULTS = fileURLToPath(new URL("./results.tsv", import.meta.url));

const { values } = parseArgs({
  options: {
    sample: { type: "string" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
    again: { type: "boolean", default: false },
    runs: { type: "string", default: "1000" },
    lanes: { type: "string", default: "2" },
    list: { type: "boolean", default: false },
  },
});

/** Mutants with the key under which their result is kept, and their number among all. */
interface Candidate {
  readonly mutant: Mutant;
  readonly number: number;
  readonly key: string;
}

function candidates(): readonly Candidate[] {
  return mutatedFiles()
    .flatMap((file) => {
      const version = createHash("sha256").update(file.text).digest("hex").slice(0, 12);
      return mutantsOf(file).map((mutant) => ({ mutant, key: `${version}:${mutant.at}` }));
    })
    .map(({ mutant, key }, index) => ({ mutant, key, number: index + 1 }));
}

/** Some of them, in an order that the seed decides. */
function sampled(all: readonly Candidate[]): readonly Candidate[] {
  if (values.sample === undefined) return all;
  const random = randomFrom(Number(values.seed));
  const left = [...all];
  const chosen: Candidate[] = [];
  while (chosen.length < Number(values.sample) && left.length > 0) {
    chosen.push(...left.splice(random(left.length), 1));
  }
  return chosen;
}

/** Results of earlier runs: `key → how it was killed`, "" for a survivor. */
function readResults(): Map<string, string> {
  if (!existsSync(RESULTS)) return new Map();
  const lines = readFileSync(RESULTS, "utf8").trimEnd().split("\n");
  return new Map(
    lines.map((line) => {
      const [key = "", by = ""] = line.split("\t");
      return [key, by] as const;
    }),
  );
}

function show({ path, line, lineText, from, to }: Mutant): string {
  return `${path}:${line}  ${from} → ${to}  ${lineText}`;
}

/** Whether it is to be tried: it never was, or in vain. */
function isOpen(by: string | undefined): boolean {
  if (by === undefined) return true;
  return values.again && (by === "" || isByTime(by));
}

/** Whether nothing but a deadline tells of the mutant: a machine that is busy may do that too. */
function isByTime(by: string): boolean {
  return /^time$|: time$|within \d+ ms|not after \d+ ms|timed out/.test(by);
}

async function tryAll(
  all: readonly Candidate[],
  chosen: readonly Candidate[],
  results: Map<string, string>,
): Promise<void> {
  // First what survived, then what was never tried, last what is killed already, if only by time.
  const order = ({ key }: Candidate): number => {
    const by = results.get(key);
    if (by === undefined) return 1;
    return by === "" ? 0 : 2;
  };
  const open = chosen
    .filter(({ key }) => isOpen(results.get(key)))
    .toSorted((one, other) => order(one) - order(other));
  if (open.length === 0) return;
  const trials = new Trials(
    all.map(({ mutant }) => mutant),
    Number(values.runs),
  );
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      trials.dispose();
      process.exit(1);
    });
  }
  for (const { mutant, key } of all) {
    const by = results.get(key) ?? "";
    if (by !== "") trials.remember(mutant.path, by);
  }
  let count = 0;
  const lane = async (waiting: Iterator<Candidate>): Promise<void> => {
    for (let next = waiting.next(); next.done !== true; next = waiting.next()) {
      const { mutant, number, key } = next.value;
      const begin = performance.now();
      const { by, isReached } = await trials.try(number, results.get(key) ?? "");
      results.set(key, by);
      appendFileSync(RESULTS, `${key}\t${by}\t${nameOf(mutant)}\n`);
      count += 1;
      const seconds = Math.round((performance.now() - begin) / 1000);
      const end = by !== "" ? `killed by ${by}` : isReached ? "SURVIVED" : "SURVIVED, not reached";
      console.log(`${count}/${open.length} ${show(mutant)}  ${end} (${seconds} s)`);
    }
  };
  try {
    await trials.prepare();
    const waiting = open[Symbol.iterator]();
    await Promise.all(Array.from({ length: Number(values.lanes) }, () => lane(waiting)));
  } finally {
    trials.dispose();
  }
}

interface Total {
  count: number;
  killed: number;
  byTime: number;
  accepted: number;
  open: number;
}

function report(chosen: readonly Candidate[], results: ReadonlyMap<string, string>): void {
  const reasons = new Map(readAccepted().map(({ name, reason }) => [name, reason] as const));
  const totals = new Map<string, Total>();
  const whole: Total = { count: 0, killed: 0, byTime: 0, accepted: 0, open: 0 };
  for (const { mutant, key } of chosen) {
    const by = results.get(key) ?? "";
    const reason = reasons.get(nameOf(mutant));
    const own = totals.get(mutant.path) ?? { count: 0, killed: 0, byTime: 0, accepted: 0, open: 0 };
    totals.set(mutant.path, own);
    for (const total of [own, whole]) {
      total.count += 1;
      if (by !== "") total.killed += 1;
      else if (reason !== undefined) total.accepted += 1;
      else total.open += 1;
      if (isByTime(by)) total.byTime += 1;
    }
    if (by !== "") continue;
    console.log(`survivor: ${show(mutant)}${reason === undefined ? "" : `  accepted: ${reason}`}`);
  }
  for (const [path, total] of [...totals, ["all", whole] as const]) {
    const percent = ((100 * total.killed) / Math.max(1, total.count)).toFixed(1);
    console.log(
      `${path}: ${total.killed} of ${total.count} killed, ${percent} % ` +
        `(${total.byTime} by a deadline); ${total.accepted} accepted, ${total.open} open`,
    );
  }
}

const all = candidates();
const chosen = sampled(all.filter(({ mutant }) => mutant.path.includes(values.only)));
if (values.list) {
  for (const { mutant } of chosen) console.log(show(mutant));
  console.log(`${chosen.length} mutants of ${all.length}`);
} else {
  const results = readResults();
  await tryAll(all, chosen, results);
  report(chosen, results);
}
