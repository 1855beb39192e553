/** Several brokers under the same load, in one run: interleaved, repeated, medians compared. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError } from "commander";
import { machineLine } from "../machine.ts";
import { EXIT_BROKER, EXIT_USAGE, UsageFault } from "./fault.ts";
import { processTree } from "./process-meter.ts";
import type { LoadResult } from "./result.ts";

/** Named loads; the broker's durations and ports are added. */
const SCENARIOS: ReadonlyMap<string, string> = new Map([
  ["pairs_q0", "pairs --clients 50 --qos 0"],
  ["pairs_q1", "pairs --clients 50 --qos 1"],
  ["pairs_q2", "pairs --clients 50 --qos 2 --window 100"],
  ["fanin_q0", "fan-in --pubs 50 --qos 0"],
  ["fanin_q1", "fan-in --pubs 50 --qos 1"],
  ["fanout_q0", "fan-out --subs 100 --qos 0"],
  ["fanout_q1", "fan-out --subs 100 --qos 1"],
  ["w1_pairs_q0", "pairs --clients 50 --qos 0 --window 1"],
  ["w1_pairs_q1", "pairs --clients 50 --qos 1 --window 1 --inflight 1"],
  ["rate_pairs_q1", "pairs --clients 100 --qos 1 --size 128 --rate 5000"],
  ["ws_pairs_q0", "pairs --clients 50 --qos 0 --ws-batch"],
  ["ws_single_pairs_q0", "pairs --clients 50 --qos 0 --ws-single"],
  ["tls_pairs_q0", "pairs --clients 50 --qos 0 --tls"],
  ["tls_pairs_q1", "pairs --clients 50 --qos 1 --tls"],
  ["connect", "connect --clients 5000"],
  ["tls_connect", "connect --clients 1000 --tls"],
  ["durable_pairs_q1", "pairs --clients 50 --qos 1 --durable"],
  ["offline", "offline --clients 500 --each 200 --size 128 --qos 1 --inflight 100"],
  ["resume", "resume --clients 5000"],
]);

const START_SECONDS_MAX = 30;
const STOP_SECONDS_MAX = 15;
const SETTLE_MILLIS = 500;
const MAIN = fileURLToPath(new URL("./main.ts", import.meta.url));

interface Named {
  readonly name: string;
  readonly command: string;
}

interface CompareFlags {
  readonly broker: Named[];
  readonly scenario: Named[];
  readonly reps: number;
  readonly seconds: number;
  readonly warmup: number;
  readonly port: number;
  readonly wsPort?: number;
  readonly json?: string;
}

interface Cell {
  readonly scenario: string;
  readonly broker: string;
  readonly results: LoadResult[];
}

function sleep(millis: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, millis);
  });
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => socket.end(() => resolve(true)));
    socket.on("error", () => resolve(false));
  });
}

async function startBroker(broker: Named, port: number, wsPort: number): Promise<ChildProcess> {
  if (await answers(port)) throw new UsageFault(`port ${port} is in use`);
  const command = broker.command
    .replaceAll("{port}", String(port))
    .replaceAll("{wsPort}", String(wsPort));
  const child = spawn("/bin/sh", ["-c", `exec ${command}`], { stdio: "ignore" });
  const deadline = performance.now() + START_SECONDS_MAX * 1000;
  while (!(await answers(port))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      child.kill("SIGKILL");
      throw new UsageFault(`${broker.name} does not answer on port ${port}: ${command}`);
    }
    await sleep(100);
  }
  await sleep(SETTLE_MILLIS);
  return child;
}

async function stopBroker(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.pid === undefined) return;
  const tree = processTree(child.pid);
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await Promise.race([exited, sleep(STOP_SECONDS_MAX * 1000)]);
  for (const pid of child.exitCode === null && child.signalCode === null ? tree : tree.slice(1)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // Ended with its parent.
    }
  }
}

function runGenerator(args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "ignore", "pipe"] });
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text;
    });
    child.on("error", reject);
    child.on("close", () => resolve(errors.trim()));
  });
}

async function measure(
  scenario: Named,
  broker: Named,
  flags: CompareFlags,
): Promise<LoadResult | string> {
  const directory = mkdtempSync(join(tmpdir(), "bench-"));
  const wsPort = flags.wsPort ?? flags.port + 1;
  const child = await startBroker(broker, flags.port, wsPort);
  try {
    const args = scenario.command.split(/\s+/);
    const json = join(directory, "result.json");
    const port = args.some((arg) => arg.startsWith("--ws")) ? wsPort : flags.port;
    args.push("--port", String(port), "--json", json, "--no-progress");
    if (!args.includes("--seconds")) args.push("--seconds", String(flags.seconds));
    if (!args.includes("--warmup")) args.push("--warmup", String(flags.warmup));
    for (const pid of processTree(child.pid ?? 0)) args.push("--pid", String(pid));
    const errors = await runGenerator(args);
    if (errors !== "") return errors;
    return JSON.parse(readFileSync(json, "utf8")) as LoadResult;
  } finally {
    await stopBroker(child);
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @returns the middle value, or the mean of the two middle ones; NaN of nothing */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

function figures(values: readonly number[], digits: number): string {
  const spread = `${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)}`;
  return `${median(values).toFixed(digits)} (${spread})`;
}

function cellLine(cell: Cell, base: Cell): string {
  const micros = cell.results.map((result) => result.brokerMicrosPerUnit ?? Number.NaN);
  const baseMicros = base.results.map((result) => result.brokerMicrosPerUnit ?? Number.NaN);
  const rates = cell.results.map((result) => result.deliveredPerSecond);
  const p99 = cell.results.map((result) => result.latencyMicros.p99 / 1000);
  const perConnection = cell.results.map((result) => result.residentBytesPerConnection ?? 0);
  const limited = cell.results.some((result) => result.generatorLimited);
  const columns = [
    cell.scenario.padEnd(20),
    cell.broker.padEnd(14),
    figures(micros, 3).padEnd(24),
    (median(micros) / median(baseMicros)).toFixed(3).padEnd(8),
    figures(rates, 0).padEnd(32),
    figures(p99, 2).padEnd(24),
  ];
  if (cell.results[0]?.scenario === "connect") {
    columns.push(`${median(perConnection).toFixed(0)} B each`);
  }
  if (limited) columns.push("generator-limited");
  return columns.join(" ").trimEnd();
}

function heading(): string {
  return [
    "scenario".padEnd(20),
    "broker".padEnd(14),
    "CPU µs each".padEnd(24),
    "ratio".padEnd(8),
    "per second".padEnd(32),
    "p99 ms",
  ].join(" ");
}

async function compareScenario(scenario: Named, flags: CompareFlags): Promise<Cell[]> {
  const cells = flags.broker.map((broker) => ({
    scenario: scenario.name,
    broker: broker.name,
    results: [] as LoadResult[],
  }));
  for (let rep = 0; rep < flags.reps; rep++) {
    for (const [index, broker] of flags.broker.entries()) {
      const result = await measure(scenario, broker, flags);
      const fault = typeof result === "string" ? result : result.fault;
      if (fault !== "") {
        process.stdout.write(`${scenario.name} ${broker.name}: ${fault}\n`);
        process.exitCode = EXIT_BROKER;
      } else if (typeof result !== "string") {
        cells[index]?.results.push(result);
      }
    }
  }
  return cells.filter((cell) => cell.results.length > 0);
}

async function compare(flags: CompareFlags): Promise<void> {
  process.stdout.write(`${machineLine()}\n`);
  process.stdout.write(
    `${flags.reps} runs of ${flags.seconds} s each, medians (least–most); ` +
      "ratio to the first broker\n\n",
  );
  process.stdout.write(`${heading()}\n`);
  const all: Cell[] = [];
  for (const scenario of flags.scenario) {
    const cells = await compareScenario(scenario, flags);
    const base = cells[0];
    for (const cell of cells) process.stdout.write(`${cellLine(cell, base ?? cell)}\n`);
    all.push(...cells);
  }
  if (flags.json !== undefined) {
    const report = { machine: machineLine(), seconds: flags.seconds, cells: all };
    writeFileSync(flags.json, `${JSON.stringify(report, null, 2)}\n`);
  }
}

function named(text: string, known: ReadonlyMap<string, string>): Named {
  const equals = text.indexOf("=");
  const name = equals < 0 ? text : text.slice(0, equals);
  const command = equals < 0 ? known.get(name) : text.slice(equals + 1);
  if (command === undefined || command === "") {
    const names = known.size > 0 ? ` Known: ${[...known.keys()].join(", ")}.` : "";
    throw new InvalidArgumentError(`Write it as name=command.${names}`);
  }
  return { name, command };
}

function positive(text: string): number {
  const value = Number(text);
  if (value > 0) return value;
  throw new InvalidArgumentError("A number above 0 is needed.");
}

/** @returns the command; its action sets the exit status */
export function compareCommand(): Command {
  return new Command("compare")
    .description("several brokers under the same loads, interleaved; compares CPU per message")
    .requiredOption(
      "-b, --broker <name=command>",
      "start command in the foreground, with {port} and {wsPort}; repeat it, the first is the base",
      (text: string, list: Named[] | undefined) => [...(list ?? []), named(text, new Map())],
    )
    .requiredOption(
      "-s, --scenario <name>",
      `${[...SCENARIOS.keys()].join(", ")}, or name=flags of load; repeat it`,
      (text: string, list: Named[] | undefined) => [...(list ?? []), named(text, SCENARIOS)],
    )
    .option("--reps <count>", "runs per broker and scenario", positive, 3)
    .option("--seconds <s>", "of each run", positive, 3)
    .option("--warmup <s>", "before each run", positive, 0.5)
    .option("--port <port>", "the brokers' port", positive, 18830)
    .option("--ws-port <port>", "their WebSocket port (port + 1)", positive)
    .option("--json <file>", "write all results as JSON")
    .action(async (flags: CompareFlags) => {
      try {
        await compare(flags);
      } catch (error) {
        if (!(error instanceof UsageFault)) throw error;
        process.stderr.write(`error: ${error.message}\n`);
        process.exitCode = EXIT_USAGE;
      }
    });
}
