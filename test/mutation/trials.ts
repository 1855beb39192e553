/**
 * Which tests a mutant is tried with: the files that reach it, the quickest first, but before
 * them the one that killed its neighbour.
 */
import { createHash } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { sourceFile, sourceFiles } from "../tidy/source-files.ts";
import { type Mutant, mutatedFiles } from "./mutants.ts";
import { type Reach, Workshop } from "./workshop.ts";

const REACH = fileURLToPath(new URL("./reach.tsv", import.meta.url));

/**
 * Tests that say nothing of what decides, or that take minutes: of style, of the load generator,
 * of this program itself, and those that kill whole processes.
 */
const LEFT_OUT = /^test\/(?:tidy|bench|mutation|durability)\//;

/** Up to how long a file is a quick one. */
const QUICK_MS_MAX = 5_000;

/** How long the files of one run of vitest may take, by what they took before. */
const RUN_MS_MAX = 20_000;
/** A run is late when it takes so many times as long, and this much more. */
const LATE_FACTOR = 5;
const LATE_MS = 45_000;

/** What came of a mutant. */
export interface Outcome {
  /** The test that failed, or "time"; "": it survived. */
  readonly by: string;
  readonly isReached: boolean;
}

export class Trials {
  readonly #mutants: readonly Mutant[];
  readonly #workshop: Workshop;
  /** By the path of a source, the test files that killed its mutants, the last one first. */
  readonly #killers = new Map<string, readonly string[]>();
  readonly #millisecondsMax: number;
  #reach: readonly Reach[] = [];

  /**
   * @param mutants  all that there are: the number of each is its place, from 1
   * @param isQuick  whether test files that take long are left out
   */
  constructor(mutants: readonly Mutant[], isQuick: boolean) {
    this.#millisecondsMax = isQuick ? QUICK_MS_MAX : Number.POSITIVE_INFINITY;
    this.#mutants = mutants;
    this.#workshop = new Workshop(mutatedFiles(), mutants);
  }

  /** Finds what reaches what, and builds the mutants. @throws Error where the build fails */
  async prepare(): Promise<void> {
    const version = versionOf([...sourceFiles(["src", "assembly"])].map(({ text }) => text));
    const files = sourceFiles(["test"], ".test.ts").filter(({ path }) => !LEFT_OUT.test(path));
    const keys = new Map(files.map(({ path, text }) => [path, `${version}:${versionOf([text])}`]));
    const known = readReach(keys);
    const unknown = files.map(({ path }) => path).filter((path) => !known.has(path));
    if (unknown.length > 0) {
      console.log(`${unknown.length} test files without a mutant …`);
      await this.#workshop.build("chosen");
      const failures = await this.#workshop.prove(unknown);
      for (const failure of failures) console.log(`left out, since it fails: ${failure}`);
      console.log("what they reach …");
      await this.#workshop.build("told");
      for (const reach of await this.#workshop.reach(unknown)) {
        if (failures.some((failure) => failure.startsWith(`${reach.file}:`))) continue;
        known.set(reach.file, reach);
        const { file, milliseconds, mutants } = reach;
        const fields = [file, keys.get(file), milliseconds, [...mutants].join(" ")];
        appendFileSync(REACH, `${fields.join("\t")}\n`);
      }
    }
    this.#reach = [...known.values()].toSorted(
      (one, other) => one.milliseconds - other.milliseconds,
    );
    await this.#workshop.build("chosen");
  }

  /** @param before  how it was killed when it was tried before: that test comes first */
  async try(number: number, before: string): Promise<Outcome> {
    const mutant = this.#mutants[number - 1];
    if (mutant === undefined) throw new RangeError(`no mutant ${number}`);
    const isDebug = /^assert\(/.test(statementOf(mutant));
    const reaching = this.#reach.filter(({ mutants }) => mutants.has(number));
    const quick = reaching.filter(({ milliseconds }) => milliseconds <= this.#millisecondsMax);
    for (const run of this.#runs(mutant, quick, before)) {
      const milliseconds = run.reduce((sum, reach) => sum + reach.milliseconds, 0);
      const late = milliseconds * LATE_FACTOR + LATE_MS;
      const names = run.map(({ file }) => file);
      const { failures } = await this.#workshop.try(number, isDebug, names, late);
      const [failure] = failures;
      if (failure === undefined) continue;
      const by = failure === "time" ? `${names[0]}: time` : failure;
      this.#remember(mutant.path, by);
      return { by, isReached: true };
    }
    return { by: "", isReached: reaching.length > 0 };
  }

  dispose(): void {
    this.#workshop.dispose();
  }

  /** The files in the order in which they are to run, cut into runs. */
  #runs(mutant: Mutant, reaching: readonly Reach[], before: string): readonly Reach[][] {
    const first = [before.split(":")[0] ?? "", ...(this.#killers.get(mutant.path) ?? [])];
    const placeOf = ({ file }: Reach): number => {
      const place = first.indexOf(file);
      return place < 0 ? first.length : place;
    };
    const runs: Reach[][] = [];
    let sum = Number.POSITIVE_INFINITY;
    for (const reach of reaching.toSorted((one, other) => placeOf(one) - placeOf(other))) {
      if (sum + reach.milliseconds > RUN_MS_MAX) {
        runs.push([]);
        sum = 0;
      }
      runs.at(-1)?.push(reach);
      sum += reach.milliseconds;
    }
    return runs;
  }

  #remember(path: string, by: string): void {
    const [file = ""] = by.split(":");
    const { milliseconds = 0 } = this.#reach.find((reach) => reach.file === file) ?? {};
    if (milliseconds > RUN_MS_MAX / 4) return; // Too slow to come first.
    const others = (this.#killers.get(path) ?? []).filter((other) => other !== file);
    this.#killers.set(path, [file, ...others].slice(0, 4));
  }
}

function versionOf(texts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const text of texts) hash.update(text);
  return hash.digest("hex").slice(0, 12);
}

/** The lines from the beginning of the statement to the mutant's own. */
function statementOf({ path, line }: Mutant): string {
  const lines = sourceFile(path).text.split("\n").slice(0, line);
  const own = lines.findLastIndex((text, index) => index < line - 1 && /[;{}]$/.test(text)) + 1;
  return lines.slice(own).join("\n").trim();
}

/** What is known of the test files whose keys are these. */
function readReach(keys: ReadonlyMap<string, string>): Map<string, Reach> {
  const known = new Map<string, Reach>();
  if (!existsSync(REACH)) return known;
  for (const line of readFileSync(REACH, "utf8").trimEnd().split("\n")) {
    const [file = "", key, milliseconds, numbers = ""] = line.split("\t");
    if (keys.get(file) !== key) continue;
    const mutants = new Set(numbers.split(" ").filter(Boolean).map(Number));
    known.set(file, { file, milliseconds: Number(milliseconds), mutants });
  }
  return known;
}
