/**
 * `npm run fuzz -- --cases 1000000 --seed 7`: fuzzes the engine for as long as one likes.
 *
 *   --cases N     how many cases; 1,000,000 if left out
 *   --seed S      which ones; by the clock if left out
 *   --replay F    plays one file instead, as test/fuzz/corpus holds them
 *
 * A case that fails is minimised and written below test/fuzz/found/. Moved into the corpus, with a
 * name that says what it shows, the suite plays it from then on.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { parseCase } from "./case.ts";
import { BATCH_CASES, describeFinding, type Finding, FuzzRun, playAlone } from "./run.ts";

const FOUND = new URL("./found/", import.meta.url);
const CASES_DEFAULT = 1_000_000;
const PROGRESS_MS = 5_000;

const { values } = parseArgs({
  options: {
    cases: { type: "string" },
    seed: { type: "string" },
    replay: { type: "string" },
  },
});

function keep(finding: Finding, seed: number, batch: number): string {
  mkdirSync(FOUND, { recursive: true });
  const file = fileURLToPath(new URL(`${finding.fault.kind}-${seed}-${batch}.case`, FOUND));
  writeFileSync(file, describeFinding(finding, `seed ${seed}, batch ${batch}`));
  return file;
}

async function replay(file: string): Promise<number> {
  const fault = await playAlone(parseCase(readFileSync(file, "utf8")));
  console.log(fault === null ? `${file}: nothing wrong` : `${file}: ${fault.kind}: ${fault.text}`);
  return fault === null ? 0 : 1;
}

async function fuzz(caseCount: number, seed: number): Promise<number> {
  console.log(`${caseCount} cases, --seed ${seed}`);
  const run = new FuzzRun(seed);
  const begin = performance.now();
  let [done, open, shown] = [0, 0, begin];
  for (let batch = 0; done < caseCount; batch++) {
    const result = await run.playBatch(batch, Math.min(BATCH_CASES, caseCount - done));
    done += result.caseCount;
    open += result.openCount;
    if (result.finding !== null) {
      const file = keep(result.finding, seed, batch);
      console.log(`${result.finding.fault.kind} after ${done} cases: ${result.finding.fault.text}`);
      console.log(`replay it: npm run fuzz -- --replay ${file}`);
      return 1;
    }
    const now = performance.now();
    if (now - shown < PROGRESS_MS && done < caseCount) continue;
    shown = now;
    const rate = Math.round((done / (now - begin)) * 1000);
    console.log(`${done} cases, ${rate} a second, ${open} connections stayed open`);
  }
  return 0;
}

process.exitCode =
  values.replay === undefined
    ? await fuzz(Number(values.cases ?? CASES_DEFAULT), Number(values.seed ?? Date.now() % 2 ** 31))
    : await replay(values.replay);
