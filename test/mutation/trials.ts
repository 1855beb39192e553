/**
 * Which tests a mutant is tried with: the files that reach it, those first that take little time
 * and have killed much.
 */
import { createHash } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { sourceFile, sourceFiles } from "../tidy/source-files.ts";
import { identitiesOf, type Mutant, mutatedFiles } from "./mutants.ts";
import { type Reach, Workshop } from "./workshop.ts";

const REACH = fileURLToPath(new URL("./reach.tsv", import.meta.url));

/**
 * Tests that say nothing of what decides, or that take minutes: of style, of the load generator,
 * of this program itself, of transports, and those that kill whole processes.
 */
const LEFT_OUT = /^test\/(?:tidy|bench|mutation|transport|durability)\//;

/** Which test files are about a source: they come first as if they had killed much of it. */
const ABOUT: readonly (readonly [source: RegExp, tests: RegExp])[] = [
  [/auth\.ts/, /authentication/],
  [/authorization\.ts/, /(?:unit\/authorization|acl|21-access|22-http)/],
  [
    /logins|waiting/,
    /(?:unit\/(?:logins|authentication)|passwords|refusal|connect\.|16-connect|15-error)/,
  ],
  [/farewell|concerned|control|connection-limit/, /unit\/(?:farewell|concerned|conn|control)/],
  [/con(?:nect|nack)\.ts/, /\/(?:01-|no-memory|16-(?:connect|server)|refusal|logins|connect[.-])/],
  [/subscribe\.ts/, /\/(?:04-sub|21-access|16-(?:sub|unsub|server)|15-shared-subscriptions\.)/],
  [/wills/, /(?:unit\/kept|06-will|14-expiry-wills|16-wills)/],
  [/dispatch\.ts/, /\/(?:08-|15-error|16-wills|06-|22-http|24-closed|connect\.|turn\.)/],
  [/reasons|packet-writer|will-properties/, /refusal/],
  [/decode\.ts/, /unit\/decode/],
  [/acknowledge/, /(?:03-ack|backlog)/],
  [/session\.ts/, /(?:session-table|12-persistent-session\.|23-broken-off|store\/index)/],
  [/route\.ts/, /(?:unit\/(?:receive|no-memory)|02-message-size)/],
];
const ABOUT_KILLS = 20;

/** What it costs to start a file, milliseconds. */
const START_MS = 500;
/** How long the files of one run of vitest may take, by what they took before. */
const RUN_MS_MAX = 10_000;
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
  readonly #identities: readonly string[];
  /** Numbers of those in assertions, which only the debug build has. */
  readonly #inAssertions: ReadonlySet<number>;
  readonly #workshop: Workshop;
  readonly #runsMax: number;
  /** How many mutants each test file has killed: of one source, and of all. */
  readonly #kills = new Map<string, number>();
  /** What failed without a mutant, of each file that has failed with one. */
  readonly #proofs = new Map<string, Promise<readonly string[]>>();
  #reach: readonly Reach[] = [];

  /**
   * @param mutants  all that there are: the number of each is its place, from 1
   * @param runsMax  with how many runs of vitest a mutant is tried
   */
  constructor(mutants: readonly Mutant[], runsMax: number) {
    this.#mutants = mutants;
    this.#identities = identitiesOf(mutants);
    this.#runsMax = runsMax;
    const asserting = mutants.map((mutant, index) => (isInAssertion(mutant) ? [index + 1] : []));
    this.#inAssertions = new Set(asserting.flat());
    this.#workshop = new Workshop(mutatedFiles(), mutants);
  }

  /** Notes a kill of an earlier run: who kills much comes first. */
  remember(path: string, by: string): void {
    const [file = ""] = by.split(":");
    for (const key of [file, `${file} ${path}`]) {
      this.#kills.set(key, (this.#kills.get(key) ?? 0) + 1);
    }
  }

  /** Finds what reaches what, and builds the mutants. @throws Error where the build fails */
  async prepare(): Promise<void> {
    const files = sourceFiles(["test"], ".test.ts").filter(({ path }) => !LEFT_OUT.test(path));
    const versions = new Map(files.map(({ path, text }) => [path, versionOf(text)] as const));
    const known = readReach(versions, this.#identities);
    const unknown = files.map(({ path }) => path).filter((path) => !known.has(path));
    if (unknown.length > 0) {
      console.log(`${unknown.length} test files without a mutant …`);
      await this.#workshop.build("chosen");
      const failures = await this.#workshop.prove(unknown);
      for (const failure of failures) console.log(`left out, since it fails: ${failure}`);
      console.log("what they reach …");
      await this.#workshop.build("told");
      const found = await this.#workshop.reach(unknown);
      const good = found.filter(
        ({ file }) => !failures.some((failure) => failure.startsWith(`${file}:`)),
      );
      writeReach(good, versions, this.#identities);
      for (const reach of good) known.set(reach.file, reach);
    }
    this.#reach = [...known.values()];
    await this.#workshop.build("chosen");
  }

  /** @param before  how it was killed when it was tried before: that test comes first */
  async try(number: number, before: string): Promise<Outcome> {
    const mutant = this.#mutants[number - 1];
    if (mutant === undefined) throw new RangeError(`no mutant ${number}`);
    const isDebug = this.#inAssertions.has(number);
    const reaching = this.#reach.filter(({ mutants }) => mutants.has(number));
    for (const run of this.#runs(mutant, reaching, before).slice(0, this.#runsMax)) {
      const milliseconds = run.reduce((sum, reach) => sum + reach.milliseconds, 0);
      const late = milliseconds * LATE_FACTOR + LATE_MS;
      const names = run.map(({ file }) => file);
      const { failures } = await this.#workshop.try(number, isDebug, names, late);
      const [failure] = failures;
      if (failure === undefined) continue;
      const by = failure === "time" ? `${names[0]}: time` : failure;
      if (!(await this.#passesWithoutMutant(by.split(":")[0] ?? ""))) {
        return this.try(number, before);
      }
      this.remember(mutant.path, by);
      return { by, isReached: true };
    }
    return { by: "", isReached: reaching.length > 0 };
  }

  /**
   * Whether a file that has failed passes without a mutant; if not, it is left out. Each is asked
   * once: what was known of it may be older than the sources.
   */
  async #passesWithoutMutant(file: string): Promise<boolean> {
    let proof = this.#proofs.get(file);
    if (proof === undefined) {
      proof = this.#workshop.prove([file]);
      this.#proofs.set(file, proof);
    }
    const failures = await proof;
    if (failures.length > 0 && this.#reach.some((reach) => reach.file === file)) {
      console.log(`left out, since it fails: ${failures[0]}`);
      this.#reach = this.#reach.filter((reach) => reach.file !== file);
    }
    return failures.length === 0;
  }

  dispose(): void {
    this.#workshop.dispose();
  }

  /** The files in the order in which they are to run, cut into runs. */
  #runs(mutant: Mutant, reaching: readonly Reach[], before: string): readonly Reach[][] {
    // What has hung may be killed sooner by another.
    const first = before.endsWith(": time") ? "" : before.split(":")[0];
    const worth = ({ file, milliseconds }: Reach): number => {
      const own = this.#kills.get(`${file} ${mutant.path}`) ?? 0;
      const isAbout = ABOUT.some(([source, tests]) => source.test(mutant.path) && tests.test(file));
      const near = own + (isAbout ? ABOUT_KILLS : 0);
      const all = this.#kills.get(file) ?? 0;
      return file === first ? Infinity : (1 + all + 10 * near) / (milliseconds + START_MS);
    };
    const runs: Reach[][] = [];
    let sum = Infinity;
    for (const reach of reaching.toSorted((one, other) => worth(other) - worth(one))) {
      if (sum + reach.milliseconds > RUN_MS_MAX) {
        runs.push([]);
        sum = 0;
      }
      runs.at(-1)?.push(reach);
      sum += reach.milliseconds;
    }
    return runs;
  }
}

function versionOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}

function isInAssertion({ path, line }: Mutant): boolean {
  const lines = sourceFile(path).text.split("\n").slice(0, line);
  const begin = lines.findLastIndex((text, index) => index < line - 1 && /[;{}]$/.test(text)) + 1;
  return lines.slice(begin).join("\n").trim().startsWith("assert(");
}

/**
 * What is known of test files that are as they were. A mutant that was not there yet, since its
 * line has changed, counts as reached by every file that reaches any.
 *
 * @param versions  of the test files, by their paths
 * @param identities  of the mutants, in their order
 */
function readReach(
  versions: ReadonlyMap<string, string>,
  identities: readonly string[],
): Map<string, Reach> {
  const known = new Map<string, Reach>();
  if (!existsSync(REACH)) return known;
  const lines = readFileSync(REACH, "utf8").trimEnd().split("\n");
  const rows = lines.map((line) => line.split("\t"));
  const generations = new Map(
    rows.filter(([file]) => file === "").map(([, , name, , all = ""]) => [name, idsOf(all)]),
  );
  for (const [file = "", version, generation, milliseconds, list = ""] of rows) {
    const then = generations.get(generation);
    if (versions.get(file) !== version || then === undefined) continue;
    const reached = idsOf(list);
    const numbers = identities.flatMap((identity, index) => {
      const isReached = reached.has(identity) || (reached.size > 0 && !then.has(identity));
      return isReached ? [index + 1] : [];
    });
    known.set(file, { file, milliseconds: Number(milliseconds), mutants: new Set(numbers) });
  }
  return known;
}

function idsOf(list: string): ReadonlySet<string> {
  return new Set(list.split(" ").filter((identity) => identity !== ""));
}

function writeReach(
  found: readonly Reach[],
  versions: ReadonlyMap<string, string>,
  identities: readonly string[],
): void {
  const all = identities.join(" ");
  const generation = versionOf(all);
  const rows = found.map(({ file, milliseconds, mutants }) => {
    const list = [...mutants].map((number) => identities[number - 1]).join(" ");
    return [file, versions.get(file), generation, milliseconds, list];
  });
  const lines = [["", "", generation, 0, all], ...rows].map((row) => `${row.join("\t")}\n`);
  appendFileSync(REACH, lines.join(""));
}
