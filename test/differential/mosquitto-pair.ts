/**
 * Debian's mosquitto 2.0.11 and Holdfast, started with the same lines, for tests that compare them.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { until, withDeadline } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import type { ConnectOptions, OpenOptions } from "../support/client-packets.ts";
import { openTcp } from "../support/client-transport.ts";
import { freePorts } from "../support/running-broker.ts";

export const BROKERS = ["mosquitto", "holdfast"] as const;
export type BrokerName = (typeof BROKERS)[number];

const HOLDFAST = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const MOSQUITTO = "/usr/sbin/mosquitto";
const START_MS_MAX = 15_000;

/** Where a broker of the pair is: what its lines may name. */
export interface Place {
  readonly broker: BrokerName;
  readonly port: number;
  /** A directory of its own, with an end of `/`; gone after the stop. */
  readonly directory: string;
}

export interface Side extends Place {
  /** All that it printed. */
  output(): string;
  connect(options?: ConnectOptions): Promise<TestClient>;
  /** A Network Connection on which nothing was sent yet. */
  open(options?: OpenOptions): Promise<TestClient>;
  /** A client that has sent its CONNECT, answered or not. */
  connecting(options?: ConnectOptions): Promise<TestClient>;
  hasEnded(): boolean;
  signal(name: NodeJS.Signals): void;
  /** Its exit code. */
  stop(): Promise<number | null>;
}

/** How a broker ended that did not start. */
export interface Refused extends Place {
  readonly exitCode: number | null;
  readonly text: string;
}

function commandOf(broker: BrokerName, file: string, more: readonly string[]): [string, string[]] {
  if (broker === "mosquitto") return [MOSQUITTO, ["-c", file, ...more]];
  return [process.execPath, [HOLDFAST, "-c", file, ...more]];
}

/** How a broker is started, beyond its configuration. */
export interface StartOptions {
  /** More arguments. */
  readonly arguments?: readonly string[];
  /** A Unix socket that it listens on, instead of its port. */
  readonly socketPath?: string;
}

/** A place for a broker; `linesOf` says what its configuration is. */
export async function placeFor(broker: BrokerName): Promise<Place> {
  for (const file of [MOSQUITTO, HOLDFAST]) {
    if (!existsSync(file)) throw new Error(`${file} is missing: see CONTRIBUTING.md`);
  }
  const [port = 0] = await freePorts(1);
  return { broker, port, directory: `${mkdtempSync(join(tmpdir(), `${broker}-`))}/` };
}

/**
 * Starts a broker and waits until its port takes connections, or until it has ended.
 *
 * @param lines  of its configuration, listeners included
 */
export async function start(
  place: Place,
  lines: readonly string[],
  options: StartOptions = {},
): Promise<Side | Refused> {
  const { broker, directory, port } = place;
  const file = join(directory, "test.conf");
  const asRoot = process.getuid?.() === 0 && broker === "mosquitto" ? ["user root"] : [];
  const named = lines.some((line) => line.startsWith("user "));
  writeFileSync(file, `${[...lines, ...(named ? [] : asRoot)].join("\n")}\n`);
  const [program, args] = commandOf(broker, file, options.arguments ?? []);
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], cwd: directory });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
  }
  const closed = new Promise<number | null>((resolve) => child.once("close", resolve));
  let hasEnded = false;
  closed.then(() => {
    hasEnded = true;
  });
  const events = { onBytes: () => {}, onClosed: () => {} };
  await until(
    `${broker} on port ${port}`,
    async () => {
      if (hasEnded) return true;
      if (options.socketPath !== undefined) return existsSync(options.socketPath);
      const connection = await openTcp(port, events).catch(() => undefined);
      connection?.destroy();
      return connection !== undefined;
    },
    START_MS_MAX,
  );
  if (hasEnded) {
    rmSync(directory, { recursive: true });
    return { ...place, exitCode: await closed, text };
  }
  const address = { port, webSocketPort: port };
  return {
    ...place,
    output: () => text,
    connect: (options) => TestClient.connect(address, options),
    open: (options) => TestClient.open(address, options),
    connecting: async (options) => {
      const client = await TestClient.open(address, options);
      client.sendConnect(options);
      return client;
    },
    hasEnded: () => hasEnded,
    signal: (name) => void child.kill(name),
    stop: async () => {
      child.kill("SIGTERM");
      const code = await withDeadline(closed, `end of ${broker}`, () => text, START_MS_MAX);
      rmSync(directory, { recursive: true, force: true });
      return code;
    },
  };
}

/** Starts a broker that has to come up. */
export async function startSide(
  broker: BrokerName,
  linesOf: (place: Place) => readonly string[],
): Promise<Side> {
  const place = await placeFor(broker);
  const side = await start(place, linesOf(place));
  if (!("output" in side)) throw new Error(`${broker} did not start: ${side.text}`);
  return side;
}
