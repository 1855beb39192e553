/**
 * Plays generated cases by the batch: between batches all memory must have come back.
 */
import { EngineHarness } from "../support/engine-harness.ts";
import { randomFrom } from "../support/mutate.ts";
import { type FuzzCase, formatCase } from "./case.ts";
import { generateCase, seedsFrom } from "./generate.ts";
import { minimiseCase, TRIES_MAX } from "./minimise-case.ts";
import { type Fault, leaksAfter, playCase, SETTINGS } from "./play.ts";

const { FUZZ_TRIES } = process.env;

/** Cases after which the engine is emptied and must be empty, and new seeds are drawn. */
export const BATCH_CASES = 2_000;

export interface Finding {
  readonly fault: Fault;
  /** As short as it gets. */
  readonly fuzzCase: FuzzCase;
}

export interface BatchResult {
  readonly finding: Finding | null;
  readonly caseCount: number;
  /** Connections that the broker left open at the end of their case. */
  readonly openCount: number;
}

/** Plays cases to one engine, batch after batch, until a case fails. */
export class FuzzRun {
  readonly #seed: number;
  #harness = new EngineHarness(SETTINGS);

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** @param number  of the batch: the same one is the same cases */
  async playBatch(number: number, caseCount = BATCH_CASES): Promise<BatchResult> {
    const random = randomFrom(this.#seed + number * 7919);
    const seeds = seedsFrom(this.#seed + number);
    const batch: FuzzCase[] = [];
    let openCount = 0;
    for (let index = 0; index < caseCount; index++) {
      const fuzzCase = generateCase(random, seeds);
      batch.push(fuzzCase);
      const played = await playCase(this.#harness, fuzzCase);
      openCount += played.openCount;
      if (played.fault !== null) {
        const finding = await this.#reduce(played.fault, fuzzCase);
        return { finding, caseCount: index + 1, openCount };
      }
    }
    const leak = await leaksAfter(this.#harness);
    const finding = leak === null ? null : await this.#findLeak(leak, batch);
    return { finding, caseCount, openCount };
  }

  async #reduce(fault: Fault, fuzzCase: FuzzCase): Promise<Finding> {
    this.#harness = new EngineHarness(SETTINGS);
    const fails = async (candidate: FuzzCase) => (await playAlone(candidate))?.kind === fault.kind;
    if (!(await fails(fuzzCase))) {
      const text = `${fault.text}\nonly behind the cases before it in its batch`;
      return { fault: { ...fault, text }, fuzzCase };
    }
    const shortest = await minimiseCase(fuzzCase, fails, Number(FUZZ_TRIES ?? TRIES_MAX));
    return { fault: (await playAlone(shortest)) ?? fault, fuzzCase: shortest };
  }

  /** Says which case of the batch left something behind, played again one by one. */
  async #findLeak(leak: string, batch: readonly FuzzCase[]): Promise<Finding> {
    this.#harness = new EngineHarness(SETTINGS);
    for (const fuzzCase of batch) {
      if ((await playAlone(fuzzCase))?.kind !== "leak") continue;
      return await this.#reduce({ kind: "leak", text: leak }, fuzzCase);
    }
    const text = `${leak}, only by all ${batch.length} cases of the batch together`;
    return { fault: { kind: "leak", text }, fuzzCase: batch.flat() };
  }
}

/** Plays one case on an engine of its own, its memory checked. */
export async function playAlone(fuzzCase: FuzzCase): Promise<Fault | null> {
  const harness = new EngineHarness(SETTINGS);
  const { fault } = await playCase(harness, fuzzCase);
  if (fault !== null) return fault;
  const leak = await leaksAfter(harness);
  return leak === null ? null : { kind: "leak", text: leak };
}

/** A finding as its file says it. */
export function describeFinding({ fault, fuzzCase }: Finding, where: string): string {
  return formatCase(fuzzCase, `${fault.kind}, ${where}\n${fault.text}`);
}
