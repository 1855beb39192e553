/**
 * A broker as a child process that dies and comes back on the same data directory.
 *
 * Unlike running-broker.ts it may end at any moment, by itself or by SIGKILL, and that is an answer
 * and no failure. HOLDFAST_TEST_BROKER=mosquitto runs Debian's mosquitto, to check the tests: it
 * keeps nothing through SIGKILL, so there every kill is a SIGTERM, at which it saves its state.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { withDeadline } from "./await.ts";
import { freePorts, isMosquitto } from "./running-broker.ts";

/** The program under test. */
export const PROGRAM = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

const MOSQUITTO = "/usr/sbin/mosquitto";
const START_MS_MAX = 20_000;
const STOP_MS_MAX = 12_000;
const OUTPUT_CHARACTERS_MAX = 40_000;

export type Durability = "fsync" | "process" | "memory";

export interface LaunchOptions {
  readonly dataDirectory: string;
  /** fsync if left out. */
  readonly durability?: Durability;
  /** Lines of the configuration file. */
  readonly configuration?: readonly string[];
  /** A program, and its arguments, that runs the broker in its own place. */
  readonly wrapper?: readonly string[];
  /** What a shell does first, in its own place: the broker takes the shell's. */
  readonly preparation?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export interface Ended {
  /** null: ended by a signal. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface LaunchedBroker {
  readonly pid: number;
  /** The MQTT port, once connections are taken; null: it ended before. */
  readonly ready: Promise<number | null>;
  readonly ended: Promise<Ended>;
  hasEnded(): boolean;
  /** What it wrote to stdout and stderr so far. */
  output(): string;
  /** Settles when the output matches. */
  printed(pattern: RegExp, millisecondsMax?: number): Promise<void>;
  /** SIGKILL; settles when the process is gone. */
  kill9(): Promise<void>;
  /** SIGTERM; settles when the process is gone. */
  stop(): Promise<Ended>;
}

/** Processes that a failing test may leave; killAll() ends them. */
const launched = new Set<ChildProcess>();

/** Ends whatever a test has left running. */
export async function killAll(): Promise<void> {
  const all = [...launched];
  for (const child of all) child.kill("SIGKILL");
  await Promise.all(
    all.map((child) => new Promise<void>((resolve) => child.once("close", () => resolve()))),
  );
}

/** Starts a broker and returns at once. */
export async function launch(options: LaunchOptions): Promise<LaunchedBroker> {
  const [file, ...args] = await commandOf(options);
  const child = spawn(file ?? "", args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...options.environment },
  });
  launched.add(child);
  const output = new Output(child);
  let ending: Ended | undefined;
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (exitCode, signal) => {
      launched.delete(child);
      ending = { exitCode, signal };
      resolve(ending);
    });
  });
  const running = output.matched(/(?:127\.0\.0\.1:|on port )(\d+)[\s\S]* running$/m);
  const ready = withDeadline(
    Promise.race([running.then((port) => Number(port)), ended.then(() => null)]),
    "broker that runs",
    () => output.text,
    START_MS_MAX,
  );
  ready.catch(() => child.kill("SIGKILL"));
  const end = async (signal: NodeJS.Signals): Promise<Ended> => {
    child.kill(signal);
    return withDeadline(ended, `exit after ${signal}`, () => output.text, STOP_MS_MAX);
  };
  return {
    pid: child.pid ?? 0,
    ready,
    ended,
    hasEnded: () => ending !== undefined,
    output: () => output.text,
    printed: async (pattern, millisecondsMax) => {
      const matched = output.matched(pattern);
      await withDeadline(matched, `${pattern}`, () => output.text, millisecondsMax);
    },
    kill9: async () => {
      await end(isMosquitto ? "SIGTERM" : "SIGKILL");
    },
    stop: () => end("SIGTERM"),
  };
}

/**
 * Starts a broker that has to run.
 *
 * @throws Error with the broker's output if it ends instead
 */
export async function launchRunning(
  options: LaunchOptions,
): Promise<LaunchedBroker & { readonly port: number }> {
  const broker = await launch(options);
  const port = await broker.ready;
  if (port === null) {
    const { exitCode, signal } = await broker.ended;
    throw new Error(`the broker ended with ${exitCode ?? signal}\n${broker.output()}`);
  }
  return { ...broker, port };
}

/** What a process prints, and who waits for something in it. */
class Output {
  text = "";
  readonly #looks = new Set<() => void>();

  constructor(child: ChildProcess) {
    const keep = (chunk: Buffer): void => {
      this.text = (this.text + chunk.toString()).slice(-OUTPUT_CHARACTERS_MAX);
      for (const look of this.#looks) look();
    };
    child.stdout?.on("data", keep);
    child.stderr?.on("data", keep);
  }

  /** The first group of the match, in what is there or comes yet. */
  matched(pattern: RegExp): Promise<string> {
    return new Promise((resolve) => {
      const look = (): void => {
        const match = pattern.exec(this.text);
        if (match === null) return;
        this.#looks.delete(look);
        resolve(match[1] ?? "");
      };
      this.#looks.add(look);
      look();
    });
  }
}

/** Program and arguments. */
async function commandOf(options: LaunchOptions): Promise<readonly string[]> {
  const plain = isMosquitto ? await mosquittoCommand(options) : holdfastCommand(options);
  const wrapped = [...(options.wrapper ?? []), ...plain];
  if (options.preparation === undefined) return wrapped;
  // The shell makes room for the broker, so that the child's pid is the broker's.
  return ["unshare", "-rm", "bash", "-ec", `${options.preparation}\nexec "$@"`, "bash", ...wrapped];
}

function holdfastCommand(options: LaunchOptions): readonly string[] {
  const { dataDirectory, durability = "fsync", configuration = [] } = options;
  // Beside the data directory, which may be on a file system of the broker's own.
  const file = `${dataDirectory}.conf`;
  writeFileSync(file, `${configuration.join("\n")}\n`);
  const place = ["-c", file, "-p", "0", "--data", dataDirectory];
  return [process.execPath, PROGRAM, ...place, "--durability", durability];
}

async function mosquittoCommand(options: LaunchOptions): Promise<readonly string[]> {
  const { dataDirectory } = options;
  const [port = 0] = await freePorts(1);
  mkdirSync(dataDirectory, { recursive: true });
  const file = `${dataDirectory}.conf`;
  const lines = [
    `listener ${port} 127.0.0.1`,
    "allow_anonymous true",
    "persistence true",
    `persistence_location ${join(dataDirectory, "/")}`,
    "max_inflight_messages 0",
    "max_queued_messages 0",
    ...(process.getuid?.() === 0 ? ["user root"] : []),
  ];
  writeFileSync(file, `${lines.join("\n")}\n`);
  return [MOSQUITTO, "-v", "-c", file];
}
