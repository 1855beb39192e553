/** Debian's mosquitto as a child process, with the same files as the broker under test. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./await.ts";
import { openTcp } from "./client-transport.ts";
import { freePorts } from "./running-broker.ts";

const MOSQUITTO = "/usr/sbin/mosquitto";
const START_MS_MAX = 15_000;

export interface RunningMosquitto {
  readonly port: number;
  /** What it wrote to stderr so far. */
  output(): string;
  stop(): Promise<void>;
}

/** @param lines  of mosquitto.conf, behind a listener of one port */
export async function startMosquitto(lines: readonly string[]): Promise<RunningMosquitto> {
  const [port = 0] = await freePorts(1);
  const directory = mkdtempSync(join(tmpdir(), "holdfast-mosquitto-"));
  const file = join(directory, "mosquitto.conf");
  const head = [...(process.getuid?.() === 0 ? ["user root"] : []), `listener ${port} 127.0.0.1`];
  writeFileSync(file, `${[...head, ...lines].join("\n")}\n`);
  const child: ChildProcess = spawn(MOSQUITTO, ["-c", file], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let output = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  const exited = new Promise<void>((resolve, reject) => {
    child.once("exit", () => resolve());
    child.once("error", reject);
  });
  const events = { onBytes: () => {}, onClosed: () => {} };
  const answers = async (): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(`mosquitto ended\n${output}`);
    const connection = await openTcp(port, events).catch(() => undefined);
    connection?.destroy();
    return connection !== undefined;
  };
  await until(`mosquitto on port ${port}`, answers, START_MS_MAX);
  return {
    port,
    output: () => output,
    stop: async () => {
      child.kill("SIGTERM");
      await exited;
      rmSync(directory, { recursive: true });
    },
  };
}
