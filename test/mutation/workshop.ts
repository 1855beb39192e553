/**
 * A copy of the project in which mutants are built and tried: the working tree stays as it is.
 *
 * The tests run in stages, those first that fail soonest; the first failure is the end.
 */
import { type SpawnOptions, spawn } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { sourceFile } from "../tidy/source-files.ts";
import { type Mutant, mutated } from "./mutants.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const COPIED = ["assembly", "src", "test", "dist", "package.json"];
const COPIED_TOO = ["asconfig.json", "tsconfig.json", "tsconfig.base.json", "vitest.config.ts"];
const LINKED = ["node_modules", "bench"];
const BUILD_MS_MAX = 120_000;
const STAGE_MS_MAX = 240_000;

interface Stage {
  readonly name: string;
  readonly files: readonly string[];
}

const CONFORMANCE = "test/conformance";

/** What runs after a build; each stage is one run of vitest. */
const STAGES: readonly Stage[] = [
  {
    name: "decoder and fuzz",
    files: ["test/unit/decode", "test/unit/properties", "test/fuzz/engine-fuzz"],
  },
  { name: "wire", files: ["test/wire"] },
  {
    name: "messages",
    files: [
      ...["02-publish", "03-", "04-", "05-", "17-", "18-"].map((name) => `${CONFORMANCE}/${name}`),
    ],
  },
  {
    name: "engine",
    files: ["test/unit/", "test/property/engine-", "test/property/keep-last", "test/store/check-e"],
  },
  {
    name: "connections and Sessions",
    files: ["01-", "06-", "07-", "08-", "10-"].map((name) => `${CONFORMANCE}/${name}`),
  },
  {
    name: "what CONNACK tells, authentication, shared subscriptions",
    files: ["15-shared-subscriptions.test", "16-"].map((name) => `${CONFORMANCE}/${name}`),
  },
  {
    name: "queues",
    files: ["12-persistent-session.test", "13-queue-bounds", "14-expiry-m"].map(
      (name) => `${CONFORMANCE}/${name}`,
    ),
  },
];

/** Few runs of what is random, always the same ones, and no search for shorter cases. */
const ENVIRONMENT = {
  FUZZ_CASES: "6000",
  FUZZ_SEED: "1",
  FUZZ_TRIES: "0",
  PROPERTY_RUNS: "20",
};

/** Where a mutant ended: at its build, in a stage, or nowhere. */
export interface Outcome {
  readonly isKilled: boolean;
  readonly by: string;
  readonly milliseconds: number;
}

function isEngine(path: string): boolean {
  return path.startsWith("assembly/");
}

export class Workshop {
  readonly #folder = mkdtempSync(join(tmpdir(), "holdfast-mutation-"));
  /** A file of the half that was built with a mutant last. */
  #stale = "";

  constructor() {
    for (const name of [...COPIED, ...COPIED_TOO]) {
      cpSync(join(ROOT, name), join(this.#folder, name), { recursive: true });
    }
    for (const name of LINKED) symlinkSync(join(ROOT, name), join(this.#folder, name));
  }

  /** The tests must pass without a mutant. @throws Error naming the stage that does not */
  async prove(): Promise<void> {
    const { isKilled, by } = await this.#tryStages();
    if (isKilled) throw new Error(`the tests fail without a mutant: ${by}`);
  }

  async try(mutant: Mutant): Promise<Outcome> {
    const begin = performance.now();
    const { text } = sourceFile(mutant.path);
    const file = join(this.#folder, mutant.path);
    writeFileSync(file, mutated(text, mutant));
    // The half that this build leaves as it is must not keep the mutant before.
    if (this.#stale !== "" && isEngine(this.#stale) !== isEngine(mutant.path)) {
      await this.#build(this.#stale);
    }
    this.#stale = mutant.path;
    try {
      const builds = await this.#build(mutant.path);
      const { isKilled, by } = builds ? await this.#tryStages() : { isKilled: true, by: "build" };
      return { isKilled, by, milliseconds: performance.now() - begin };
    } finally {
      writeFileSync(file, text);
    }
  }

  dispose(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #build(path: string): Promise<boolean> {
    const bin = join(this.#folder, "node_modules/.bin");
    const command = isEngine(path)
      ? [join(bin, "asc"), "assembly/index.ts", "--target", "release"]
      : [join(bin, "tsc"), "-p", "tsconfig.json", "--noEmitOnError", "false"];
    const code = await this.#run(command, BUILD_MS_MAX);
    // What the types refuse is no mutant that could be in the program; but it may be built.
    return isEngine(path) ? code === 0 : code !== null;
  }

  async #tryStages(): Promise<Pick<Outcome, "isKilled" | "by">> {
    const vitest = join(this.#folder, "node_modules/vitest/vitest.mjs");
    for (const { name, files } of STAGES) {
      const options = ["--bail=1", "--maxWorkers=3", "--reporter=dot"];
      const command = [process.execPath, vitest, "run", ...options, ...files];
      const code = await this.#run(command, STAGE_MS_MAX);
      if (code !== 0) return { isKilled: true, by: code === null ? `${name}: time` : name };
    }
    return { isKilled: false, by: "" };
  }

  /** @returns the exit code; null where time was up */
  #run([file = "", ...args]: readonly string[], millisecondsMax: number): Promise<number | null> {
    const options: SpawnOptions = {
      cwd: this.#folder,
      env: { ...process.env, ...ENVIRONMENT },
      stdio: "ignore",
      detached: true, // A group of its own: what it started ends with it.
    };
    const child = spawn(file, args, options);
    return new Promise((resolve, reject) => {
      let isLate = false;
      const end = () => {
        isLate = true;
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      };
      const timer = setTimeout(end, millisecondsMax);
      child.once("error", reject);
      child.once("exit", (code) => {
        clearTimeout(timer);
        resolve(isLate ? null : (code ?? 1));
      });
    });
  }
}
