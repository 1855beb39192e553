/**
 * A broker as a child process on free ports of 127.0.0.1, for tests over real sockets.
 *
 * HOLDFAST_TEST_BROKER=mosquitto runs Debian's mosquitto instead, to check the tests themselves.
 * HOLDFAST_ENGINE=debug|release reaches the child and chooses the build of the engine.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { until, withDeadline } from "./await.ts";
import type { BrokerAddress } from "./client-packets.ts";
import { openTcp } from "./client-transport.ts";

const { HOLDFAST_TEST_BROKER: chosenBroker } = process.env;
const HOLDFAST = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const MOSQUITTO = "/usr/sbin/mosquitto";
const START_MS_MAX = 15_000;
const STOP_MS_MAX = 12_000;
const OUTPUT_CHARACTERS_MAX = 20_000;

/** Whether the tests run against Debian's mosquitto, which is there to check the tests. */
export const isMosquitto = chosenBroker === "mosquitto";

export interface BrokerOptions {
  /** Lines of mosquitto.conf behind the listeners; their presence selects `-c`. */
  readonly configuration?: readonly string[];
  /** More arguments of the command line. */
  readonly arguments?: readonly string[];
  /** Data directory; a fresh one, removed at the stop, if left out. */
  readonly dataDirectory?: string;
  /** How many files it may have open; as many as the test if left out. */
  readonly filesMax?: number;
  /** More of its environment. */
  readonly environment?: Readonly<Record<string, string>>;
}

export interface RunningBroker extends BrokerAddress {
  readonly pid: number;
  readonly dataDirectory: string;
  /** What it wrote to stdout and stderr so far. */
  output(): string;
  /** SIGTERM; the exit code. */
  stop(): Promise<number | null>;
  /** SIGKILL, as a crash would. */
  kill9(): Promise<void>;
  /** Settles when it has ended of its own accord. */
  ended(): Promise<void>;
}

/**
 * Ports below those that Linux gives to outgoing connections. The tests have thousands of them: one
 * of those might take a port that was just found free. Each worker of vitest has its own.
 */
const FIRST_PORT = 12_000;
const WORKER_PORTS = 2_500;
const WORKERS = 8;

function randomPort(): number {
  const worker = Number(process.env["VITEST_POOL_ID"] ?? 0) % WORKERS;
  return FIRST_PORT + worker * WORKER_PORTS + randomInt(WORKER_PORTS);
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** Ports that were given out: whoever has one may not listen on it yet. */
const given = new Set<number>();

/** Ports of 127.0.0.1 that were free a moment ago, all different, and given to nobody before. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = randomPort();
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

/**
 * Starts the broker and waits until its ports take connections.
 *
 * @throws Error with the broker's output if it ends or is not there in time
 */
export async function startBroker(options: BrokerOptions = {}): Promise<RunningBroker> {
  const [port = 0, webSocketPort = 0] = await freePorts(2);
  const dataDirectory = options.dataDirectory ?? mkdtempSync(join(tmpdir(), "holdfast-test-"));
  const command = commandOf(options, port, webSocketPort, dataDirectory);
  const { filesMax } = options;
  const limit = filesMax === undefined ? [] : ["prlimit", `--nofile=${filesMax}:${filesMax}`];
  const [file = "", ...args] = [...limit, command.file, ...command.args];
  const child = spawn(file, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...options.environment },
  });
  let output = "";
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-OUTPUT_CHARACTERS_MAX);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const exited = exitOf(child);
  await listening(child, command.ports, () => output);
  const end = async (signal: "SIGTERM" | "SIGKILL") => {
    child.kill(signal);
    const code = await withDeadline(exited, `exit after ${signal}`, () => output, STOP_MS_MAX);
    if (options.dataDirectory === undefined) {
      rmSync(dataDirectory, { recursive: true, force: true });
    }
    return code;
  };
  return {
    port,
    webSocketPort,
    pid: child.pid ?? 0,
    dataDirectory,
    output: () => output,
    stop: () => end("SIGTERM"),
    kill9: async () => {
      await end("SIGKILL");
    },
    ended: async () => {
      await withDeadline(exited, "its end", () => output, STOP_MS_MAX);
    },
  };
}

interface Command {
  readonly file: string;
  readonly args: readonly string[];
  /** Ports that must take connections before the broker counts as started. */
  readonly ports: readonly number[];
}

function commandOf(
  options: BrokerOptions,
  port: number,
  webSocketPort: number,
  dataDirectory: string,
): Command {
  const more = options.arguments ?? [];
  const file = join(dataDirectory, "test.conf");
  if (isMosquitto) {
    if (!existsSync(MOSQUITTO)) {
      throw new Error(`${MOSQUITTO} is missing: apt-get install -y mosquitto mosquitto-clients`);
    }
    writeConfiguration(file, mosquittoConfiguration(port, options.configuration ?? []));
    return { file: MOSQUITTO, args: ["-c", file, ...more], ports: [port] };
  }
  if (!existsSync(HOLDFAST)) throw new Error(`${HOLDFAST} is missing: npm run build`);
  const ports = [port, webSocketPort];
  if (options.configuration) {
    writeConfiguration(file, [
      `listener ${port} 127.0.0.1`,
      `listener ${webSocketPort} 127.0.0.1`,
      "protocol websockets",
      "allow_anonymous true",
      `persistence_location ${dataDirectory}`,
      ...options.configuration,
    ]);
    return { file: process.execPath, args: [HOLDFAST, "-c", file, ...more], ports };
  }
  const listeners = ["-p", `${port}`, "--ws-port", `${webSocketPort}`, "--data", dataDirectory];
  return { file: process.execPath, args: [HOLDFAST, ...listeners, ...more], ports };
}

/** mosquitto with the limits that Holdfast has from the start; `more` may override them. */
function mosquittoConfiguration(port: number, more: readonly string[]): string[] {
  const defaults = [
    "persistence false",
    "max_inflight_messages 0",
    "max_queued_messages 0",
    "max_packet_size 2000000",
  ];
  const named = new Set(more.map((line) => line.split(" ")[0]));
  return [
    `listener ${port} 127.0.0.1`,
    "allow_anonymous true",
    ...(process.getuid?.() === 0 ? ["user root"] : []),
    ...defaults.filter((line) => !named.has(line.split(" ")[0])),
    ...more,
  ];
}

function writeConfiguration(file: string, lines: readonly string[]): void {
  writeFileSync(file, `${lines.join("\n")}\n`);
}

function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once("exit", (code) => resolve(code));
    child.once("error", reject);
  });
}

async function listening(
  child: ChildProcess,
  ports: readonly number[],
  output: () => string,
): Promise<void> {
  const events = { onBytes: () => {}, onClosed: () => {} };
  for (const port of ports) {
    const answers = async () => {
      if (child.exitCode !== null || child.signalCode !== null) {
        throw new Error(`the broker ended with code ${child.exitCode}\n${output()}`);
      }
      const connection = await openTcp(port, events).catch(() => undefined);
      connection?.destroy();
      return connection !== undefined;
    };
    try {
      await until(`broker on port ${port}`, answers, START_MS_MAX);
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    }
  }
}
