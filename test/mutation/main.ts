/**
 * `npm run mutate`: changes every status, Reason Code and comparison of what decides, one at a
 * time, and says which changes no test notices. Build first: `npm run build`.
 *
 *   --sample N --seed S   N mutants chosen at random; the same seed chooses the same
 *   --only TEXT           mutants of files whose path contains it
 *   --trust               leaves out the run without a mutant, which shows that the tests pass
 *   --list                lists the mutants, and tries none
 *
 * What was tried is kept in test/mutation/results.tsv and not tried again while its file is the
 * same: a run that was stopped goes on where it was. Survivors that are accepted stand in
 * test/mutation/accepted.tsv, each with its reason.
 */
import { createHash } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { randomFrom } from "../support/mutate.ts";
import { type Mutant, mutantsOf, mutatedFiles, nameOf, readAccepted } from "./mutants.ts";
import { Workshop } from "./workshop.ts";

const RESULTS = fileURLToPath(new URL("./results.tsv", import.meta.url));

const { values } = parseArgs({
  options: {
    sample: { type: "string" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
    trust: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
  },
});

/** Mutants with the key under which their result is kept. */
interface Candidate {
  readonly mutant: Mutant;
  readonly key: string;
}

function candidates(): readonly Candidate[] {
  return mutatedFiles()
    .filter(({ path }) => path.includes(values.only))
    .flatMap((file) => {
      const version = createHash("sha256").update(file.text).digest("hex").slice(0, 12);
      return mutantsOf(file).map((mutant) => ({ mutant, key: `${version}:${mutant.at}` }));
    });
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

async function tryAll(chosen: readonly Candidate[], results: Map<string, string>): Promise<void> {
  const open = chosen.filter(({ key }) => !results.has(key));
  if (open.length === 0) return;
  const workshop = new Workshop();
  try {
    if (!values.trust) {
      console.log("the tests without a mutant …");
      await workshop.prove();
    }
    for (const [index, { mutant, key }] of open.entries()) {
      const { isKilled, by, milliseconds } = await workshop.try(mutant);
      results.set(key, isKilled ? by : "");
      appendFileSync(RESULTS, `${key}\t${isKilled ? by : ""}\t${nameOf(mutant)}\n`);
      const end = isKilled ? `killed by ${by}` : "SURVIVED";
      const seconds = Math.round(milliseconds / 1000);
      console.log(`${index + 1}/${open.length} ${show(mutant)}  ${end} (${seconds} s)`);
    }
  } finally {
    workshop.dispose();
  }
}

function report(chosen: readonly Candidate[], results: ReadonlyMap<string, string>): void {
  const accepted = new Map(readAccepted().map(({ name, reason }) => [name, reason] as const));
  const survivors = chosen.filter(({ key }) => results.get(key) === "");
  const excused = survivors.filter(({ mutant }) => accepted.has(nameOf(mutant)));
  for (const { mutant } of survivors) {
    const reason = accepted.get(nameOf(mutant));
    console.log(`survivor: ${show(mutant)}${reason === undefined ? "" : `  accepted: ${reason}`}`);
  }
  const killed = chosen.length - survivors.length;
  const percent = ((100 * killed) / Math.max(1, chosen.length)).toFixed(1);
  console.log(
    `${killed} of ${chosen.length} killed, ${percent} %; ` +
      `${survivors.length} survived, ${excused.length} of them accepted`,
  );
}

const all = candidates();
const chosen = sampled(all);
if (values.list) {
  for (const { mutant } of chosen) console.log(show(mutant));
  console.log(`${chosen.length} mutants of ${all.length}`);
} else {
  const results = readResults();
  await tryAll(chosen, results);
  report(chosen, results);
}
