/** The broker as a child process, with ports and a data directory of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UsageFault } from "../load/fault.ts";
import type { LoadOptions } from "../load/options.ts";
import { cpuMicros, residentBytes } from "../load/process-meter.ts";
import { sleep } from "./bar.ts";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const START_SECONDS_MAX = 30;
const STOP_SECONDS_MAX = 15;
const POLL_MILLIS = 50;

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => socket.end(() => resolve(true)));
    socket.on("error", () => resolve(false));
  });
}

/** What a bar wants of its broker beyond the defaults. */
export interface BrokerWishes {
  /** Lines of the configuration file. */
  readonly config?: readonly string[];
  readonly nodeFlags?: readonly string[];
}

export class BrokerChild {
  readonly pid: number;
  readonly port: number;
  readonly webSocketPort: number;
  /** Garbage collections so far; counted under --trace-gc only. */
  majorCollections = 0;
  minorCollections = 0;
  private readonly child: ChildProcess;
  private readonly directory: string;

  constructor(child: ChildProcess, directory: string, port: number, webSocketPort: number) {
    this.child = child;
    this.directory = directory;
    this.port = port;
    this.webSocketPort = webSocketPort;
    this.pid = child.pid ?? 0;
    let rest = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line.includes("Mark-Compact")) this.majorCollections++;
        if (line.includes("Scavenge")) this.minorCollections++;
      }
    });
  }

  /** User and system time so far. */
  cpuMicros(): number {
    return cpuMicros([this.pid]) ?? Number.NaN;
  }

  residentBytes(): number {
    return residentBytes([this.pid]);
  }

  /** @returns flags of the load generator for this broker: MQTT 3.1.1, QoS 0, 50 pairs */
  loadOptions(changes: Partial<LoadOptions> = {}): LoadOptions {
    const webSocket = changes.transport !== undefined && changes.transport !== "tcp";
    return {
      scenario: "pairs",
      host: "127.0.0.1",
      port: webSocket ? this.webSocketPort : this.port,
      transport: "tcp",
      path: "/mqtt",
      level: 4,
      qos: 0,
      clientCount: 50,
      publisherCount: 50,
      subscriberCount: 50,
      payloadBytes: 32,
      seconds: 5,
      warmupSeconds: 0,
      messagesMax: 0,
      ratePerSecond: 0,
      windowMessages: 1000,
      inflightMax: 100,
      idleSeconds: 10,
      concurrency: 64,
      keepAliveSeconds: 0,
      pids: [this.pid],
      jsonFile: undefined,
      progress: false,
      ...changes,
    };
  }

  /** Ends the process and removes its directory. */
  async stop(): Promise<void> {
    const { child } = this;
    if (child.exitCode === null && child.signalCode === null) {
      const exited = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await Promise.race([exited, sleep(STOP_SECONDS_MAX * 1000)]);
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** @throws UsageFault if the broker does not answer; with what it logged */
async function startBroker(wishes: BrokerWishes): Promise<BrokerChild> {
  const directory = mkdtempSync(join(tmpdir(), "bench-bars-"));
  const [port, webSocketPort] = [await freePort(), await freePort()];
  const config = join(directory, "broker.conf");
  const lines = [
    `listener ${port} 127.0.0.1`,
    `listener ${webSocketPort} 127.0.0.1`,
    "protocol websockets",
    "allow_anonymous true",
    `persistence_location ${join(directory, "data")}`,
    ...(wishes.config ?? []),
  ];
  writeFileSync(config, `${lines.join("\n")}\n`);
  const logFile = join(directory, "log");
  const log = openSync(logFile, "w");
  const child = spawn(process.execPath, [...(wishes.nodeFlags ?? []), MAIN, "-c", config], {
    stdio: ["ignore", "pipe", log],
  });
  closeSync(log);
  const broker = new BrokerChild(child, directory, port, webSocketPort);
  const deadline = performance.now() + START_SECONDS_MAX * 1000;
  while (!(await answers(port))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      const told = readFileSync(logFile, "utf8").trim();
      await broker.stop();
      throw new UsageFault(`the broker does not answer: ${told || "is it built?"}`);
    }
    await sleep(POLL_MILLIS);
  }
  return broker;
}

/** Runs `use` with a broker of its own, which is stopped whatever happens. */
export async function withBroker<T>(
  wishes: BrokerWishes,
  use: (broker: BrokerChild) => Promise<T>,
): Promise<T> {
  const broker = await startBroker(wishes);
  try {
    return await use(broker);
  } finally {
    await broker.stop();
  }
}
