/**
 * A copy of the project in which all mutants are built at once, and tried one by one: the working
 * tree stays as it is. See switches.ts for how one of them is chosen.
 */
import { type SpawnOptions, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import type { SourceFile } from "../tidy/source-files.ts";
import type { Mutant } from "./mutants.ts";
import { type Form, withSwitches } from "./switches.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const COPIED = ["assembly", "src", "test", "dist", "package.json", "README.md", "CHANGELOG.md"];
const COPIED_TOO = ["asconfig.json", "tsconfig.json", "tsconfig.base.json", "vitest.config.ts"];
const LINKED = ["node_modules", "bench"];
const BUILD_MS_MAX = 180_000;
const REACH_MS_MAX = 1_800_000;

/** What the engine's sources have of the switches, in both forms. */
const ENGINE_SWITCHES: Readonly<Record<Form, string>> = {
  chosen: `@external("env", "mutant") export declare const mutant: i32;\n`,
  told:
    `@external("env", "reach") export declare function reach(number: i32): void;\n` +
    "export function differs(number: i32, original: bool, changed: bool): bool {\n" +
    "  if (original !== changed) reach(number);\n  return original;\n}\n",
};

const PROGRAM_SWITCHES = `
import { appendFileSync } from "node:fs";
export const mutant = Number(process.env["HOLDFAST_MUTANT"] ?? 0);
const reached = new Uint8Array(10_000);
export function reach(number: number): void {
  if (reached[number] === 1) return;
  reached[number] = 1;
  const file = process.env["HOLDFAST_REACH"];
  if (file !== undefined) appendFileSync(file, number + "\\n");
}
export function differs(number: number, original: boolean, changed: boolean): boolean {
  if (original !== changed) reach(number);
  return original;
}
`;

/** Where an engine is made: it is given what the switches import. */
const GIVEN = [
  ["src/engine/engine.ts", "memory: this.memory,", "memory: this.memory, mutant, reach,"],
  ["test/support/codec-engine.ts", "env: { memory,", "env: { memory, mutant, reach,"],
] as const;

/** Few runs of what is random, always the same ones, and no search for shorter cases. */
const ENVIRONMENT = {
  FUZZ_CASES: "6000",
  FUZZ_SEED: "1",
  FUZZ_TRIES: "0",
  PROPERTY_RUNS: "20",
};

/** A test file, how long it takes, and the numbers of the mutants that it reaches. */
export interface Reach {
  readonly file: string;
  readonly milliseconds: number;
  readonly mutants: ReadonlySet<number>;
}

/** How a run of test files ended. */
export interface Run {
  /** The first test of each file that failed, or "time". */
  readonly failures: readonly string[];
  /** Milliseconds of each file that was run. */
  readonly milliseconds: ReadonlyMap<string, number>;
}

interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly startTime: number;
    readonly endTime: number;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

export class Workshop {
  readonly #folder = mkdtempSync(join(tmpdir(), "holdfast-mutation-"));
  readonly #sources: readonly SourceFile[];
  readonly #mutants: readonly Mutant[];
  /** Groups of processes that run now. */
  readonly #groups = new Set<number>();
  #runs = 0;

  /** @param mutants  of all the sources; the number of each is its place, from 1 */
  constructor(sources: readonly SourceFile[], mutants: readonly Mutant[]) {
    this.#sources = sources;
    this.#mutants = mutants;
    for (const name of [...COPIED, ...COPIED_TOO]) {
      cpSync(join(ROOT, name), join(this.#folder, name), { recursive: true });
    }
    for (const name of LINKED) symlinkSync(join(ROOT, name), join(this.#folder, name));
    mkdirSync(join(this.#folder, "reports"));
  }

  /** Builds everything with the mutants in it. @throws Error where the build fails */
  async build(form: Form): Promise<void> {
    const numbers = new Map(this.#mutants.map((mutant, index) => [mutant, index + 1] as const));
    for (const source of this.#sources) {
      const own = this.#mutants.filter(({ path }) => path === source.path);
      const text = withSwitches(source, own, (mutant) => numbers.get(mutant) ?? 0, form);
      this.#write(source.path, `${importOf(source, form)}${text}`);
    }
    this.#write("assembly/mutation.ts", ENGINE_SWITCHES[form]);
    this.#write("src/base/mutation.ts", PROGRAM_SWITCHES);
    for (const [path, from, to] of GIVEN) {
      const text = readFileSync(join(ROOT, path), "utf8");
      if (!text.includes(from)) throw new Error(`${path} does not have ${from}`);
      const depth = relative(join(ROOT, path, ".."), join(ROOT, "src/base/mutation.ts"));
      const names = `import { mutant, reach } from "${depth}";\n`;
      this.#write(path, names + text.replace(from, to));
    }
    const bin = join(this.#folder, "node_modules/.bin");
    const asc = [join(bin, "asc"), "assembly/index.ts", "--target"];
    for (const command of [
      [...asc, "release"],
      [...asc, "debug"],
      // The types do not know the switches; what is written is right all the same.
      [join(bin, "tsc"), "-p", "tsconfig.json", "--noEmitOnError", "false"],
    ]) {
      const { code, output } = await this.#run(command, {}, BUILD_MS_MAX);
      if (code !== 0 && command.includes("--target")) {
        throw new Error(`${command.join(" ")}: ${output}`);
      }
    }
  }

  /** Runs these test files on what `chosen` built, without a mutant. @returns what failed */
  async prove(files: readonly string[]): Promise<readonly string[]> {
    return (await this.#tests(files, ["--maxWorkers=2"], {}, REACH_MS_MAX)).failures;
  }

  /** Runs these test files on what `told` built. @returns what each reaches */
  async reach(files: readonly string[]): Promise<readonly Reach[]> {
    const folder = join(this.#folder, "reach");
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    const environment = { MUTATION_REACH: folder };
    const { milliseconds } = await this.#tests(
      files,
      ["--maxWorkers=2"],
      environment,
      REACH_MS_MAX,
    );
    const names = new Set(readdirSync(folder));
    return files.map((file) => {
      const name = file.replaceAll("/", "__");
      const lines = names.has(name) ? readFileSync(join(folder, name), "utf8").split("\n") : [];
      const mutants = new Set(lines.filter((line) => line !== "").map(Number));
      return { file, milliseconds: milliseconds.get(file) ?? 0, mutants };
    });
  }

  /**
   * Runs test files in their order, up to the first failure, on what `chosen` built.
   *
   * @param number  of the mutant; 0 = none
   */
  try(
    number: number,
    isDebug: boolean,
    files: readonly string[],
    millisecondsMax: number,
  ): Promise<Run> {
    const environment = {
      HOLDFAST_MUTANT: `${number}`,
      ...(isDebug ? { HOLDFAST_ENGINE: "debug" } : {}),
    };
    return this.#tests(files, ["--bail=1", "--maxWorkers=1"], environment, millisecondsMax);
  }

  dispose(): void {
    for (const group of this.#groups) killGroup(group);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #tests(
    files: readonly string[],
    options: readonly string[],
    environment: Readonly<Record<string, string>>,
    millisecondsMax: number,
  ): Promise<Run> {
    this.#runs += 1;
    const reportFile = join(this.#folder, "reports", `${this.#runs}.json`);
    const command = [
      process.execPath,
      join(this.#folder, "node_modules/vitest/vitest.mjs"),
      "run",
      "--config=test/mutation/vitest.config.ts",
      "--reporter=json",
      `--outputFile=${reportFile}`,
      ...options,
      ...files,
    ];
    const given = { ...ENVIRONMENT, ...environment, MUTATION_ORDER: files.join("\n") };
    const { code, output } = await this.#run(command, given, millisecondsMax);
    const milliseconds = new Map<string, number>();
    if (code === null) return { failures: ["time"], milliseconds };
    if (!existsSync(reportFile)) return { failures: [`no report: ${output}`], milliseconds };
    const report = JSON.parse(readFileSync(reportFile, "utf8")) as Report;
    rmSync(reportFile);
    const prefix = `${this.#folder}/`;
    for (const { name, startTime, endTime } of report.testResults) {
      milliseconds.set(name.replace(prefix, ""), Math.round(endTime - startTime));
    }
    const failures = failuresOf(report).map((failure) => failure.replace(prefix, ""));
    if (code !== 0 && failures.length === 0) failures.push("an error outside of the tests");
    return { failures, milliseconds };
  }

  #write(path: string, text: string): void {
    writeFileSync(join(this.#folder, path), text);
  }

  /** @returns the exit code, null where time was up; and the end of what was written */
  #run(
    [file = "", ...args]: readonly string[],
    environment: Readonly<Record<string, string>>,
    millisecondsMax: number,
  ): Promise<{ code: number | null; output: string }> {
    const options: SpawnOptions = {
      cwd: this.#folder,
      env: { ...process.env, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true, // A group of its own: what it started ends with it.
    };
    const child = spawn(file, args, options);
    const group = child.pid ?? 0;
    this.#groups.add(group);
    let output = "";
    const keep = (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-4_000);
    };
    child.stdout?.on("data", keep);
    child.stderr?.on("data", keep);
    return new Promise((resolve, reject) => {
      let isLate = false;
      const timer = setTimeout(() => {
        isLate = true;
        killGroup(group);
      }, millisecondsMax);
      child.once("error", reject);
      child.once("exit", (code) => {
        clearTimeout(timer);
        killGroup(group); // A broker that a mutant keeps busy for ever ends no other way.
        this.#groups.delete(group);
        resolve({ code: isLate ? null : (code ?? 1), output });
      });
    });
  }
}

function killGroup(group: number): void {
  if (group === 0) return; // It never began.
  try {
    process.kill(-group, "SIGKILL");
  } catch {
    // Nobody is left.
  }
}

function importOf({ path }: SourceFile, form: Form): string {
  const isEngine = path.startsWith("assembly/");
  const from = isEngine ? "./mutation" : "../base/mutation.ts";
  const names = form === "chosen" ? "mutant" : "differs, reach";
  return `import { ${names} } from "${from}";\n`;
}

/** The first test of each file that failed, with the first line of why. */
function failuresOf({ testResults }: Report): string[] {
  const files = testResults.filter(({ status }) => status === "failed");
  return files.map(({ name, message, assertionResults }) => {
    const failed = assertionResults.find((one) => one.status === "failed");
    const why = failed?.failureMessages[0] ?? message;
    const line = why.split("\n")[0]?.slice(0, 160) ?? "";
    return `${name}: ${failed?.fullName ?? "does not load"}: ${line}`.replaceAll("\t", " ");
  });
}
