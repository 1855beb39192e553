/**
 * Fuzz cases at the running engine: no trap, no leak, each connection ends as the reference says,
 * with the same Reason Code, and who is still there is answered.
 *
 * Every file of test/fuzz/corpus is played; then generated cases, `FUZZ_CASES` of them or as many
 * as go into a minute; `FUZZ_SEED` says which ones. A failure leaves a minimised case below
 * test/fuzz/found/ and says how to play it again. `npm run fuzz` goes on for as long as one likes.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ENGINE_BUILD, EngineHarness } from "../support/engine-harness.ts";
import { randomFrom } from "../support/mutate.ts";
import { type FuzzCase, formatCase, parseCase } from "./case.ts";
import { generateCase, seedsFrom } from "./generate.ts";
import { minimiseCase } from "./minimise-case.ts";
import { playCase, SETTINGS } from "./play.ts";
import { BATCH_CASES, describeFinding, FuzzRun, playAlone } from "./run.ts";

const CORPUS = new URL("./corpus/", import.meta.url);
const FOUND = new URL("./found/", import.meta.url);
/** How long generated cases are played unless FUZZ_CASES says how many. */
const MILLISECONDS = 50_000;
const DAY_MS = 24 * 60 * 60 * 1000;

const { FUZZ_CASES, FUZZ_SEED } = process.env;
const caseCount = Number(FUZZ_CASES ?? Number.POSITIVE_INFINITY);
const seed = Number(FUZZ_SEED ?? Date.now() % 2 ** 31);

describe("the corpus", () => {
  const names = readdirSync(CORPUS).filter((name) => name.endsWith(".case"));

  test.for(names)("%s", async (name) => {
    const fuzzCase = parseCase(readFileSync(new URL(name, CORPUS), "utf8"));
    expect(await playAlone(fuzzCase)).toBe(null);
  });

  test("is there, and its files are read as they are written", () => {
    expect(names.length).toBeGreaterThan(15);
    for (const name of names) {
      const text = readFileSync(new URL(name, CORPUS), "utf8");
      const about = /^# (.*)$/m.exec(text)?.[1] ?? "";
      expect(formatCase(parseCase(text), about)).toBe(text);
    }
  });
});

describe(`generated cases, FUZZ_SEED=${seed}, ${ENGINE_BUILD}`, () => {
  test("no trap, no leak, no wrong close", { timeout: DAY_MS }, async () => {
    const run = new FuzzRun(seed);
    const until = performance.now() + (FUZZ_CASES === undefined ? MILLISECONDS : DAY_MS);
    let done = 0;
    let open = 0;
    for (let batch = 0; done < caseCount && performance.now() < until; batch++) {
      const result = await run.playBatch(batch, Math.min(BATCH_CASES, caseCount - done));
      if (result.finding !== null) {
        const name = `${result.finding.fault.kind}-${seed}-${batch}.case`;
        const text = describeFinding(result.finding, `FUZZ_SEED=${seed}, batch ${batch}`);
        mkdirSync(FOUND, { recursive: true });
        writeFileSync(new URL(name, FOUND), text);
        throw new Error(`npm run fuzz -- --replay test/fuzz/found/${name}\n${text}`);
      }
      done += result.caseCount;
      open += result.openCount;
    }
    // Both outcomes must be common, or the cases have lost their edge.
    expect(open).toBeGreaterThan(done / 20);
    expect(open).toBeLessThan(done * 4);
    console.log(`${done} cases played`);
  });
});

describe("the fuzzer itself", () => {
  const aMinute = randomFrom(seed);
  const seeds = seedsFrom(seed);
  const cases = Array.from({ length: 300 }, () => generateCase(aMinute, seeds));

  test("makes the same cases from the same seed", () => {
    const again = randomFrom(seed);
    const seedsAgain = seedsFrom(seed);
    for (const fuzzCase of cases) expect(generateCase(again, seedsAgain)).toEqual(fuzzCase);
  });

  test("makes sequences over several connections, and hang-ups", () => {
    const connections = (fuzzCase: FuzzCase) => new Set(fuzzCase.map((step) => step.connection));
    expect(cases.filter((one) => connections(one).size > 1).length).toBeGreaterThan(50);
    expect(cases.filter((one) => one.some(({ bytes }) => bytes === null)).length).toBeGreaterThan(
      20,
    );
  });

  test("notices a connection that ends where it must not, and one that stays", async () => {
    const harness = new EngineHarness({ ...SETTINGS, topicAliasMax: 1 });
    const aliased = parseCase(
      readFileSync(new URL("alias-overwritten-then-empty.case", CORPUS), "utf8"),
    );
    expect((await playCase(harness, aliased)).fault?.kind).toBe("ending");
    const larger = new EngineHarness({ ...SETTINGS, packetBytesMax: 60_000 });
    const oversize = Uint8Array.of(0x30, 0xa1, 0x9c, 0x01);
    const opening = parseCase(readFileSync(new URL("connect-cut-everywhere.case", CORPUS), "utf8"));
    const stays = [...opening, { connection: 0, bytes: oversize }];
    expect((await playCase(larger, stays)).fault?.kind).toBe("ending");
  });

  test("minimises a case to what it fails by", async () => {
    const fuzzCase = [
      { connection: 0, bytes: Uint8Array.of(0xc0, 0x00, 0xc0, 0x00, 0x30, 0x03, 1, 2, 3) },
      { connection: 1, bytes: null },
      { connection: 0, bytes: Uint8Array.of(0xe0, 0x00) },
    ];
    const hasTwo = async (one: FuzzCase) => one.some(({ bytes }) => bytes?.includes(2) === true);
    expect(await minimiseCase(fuzzCase, hasTwo)).toEqual([
      { connection: 0, bytes: Uint8Array.of(2) },
    ]);
  });
});
