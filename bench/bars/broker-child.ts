/** The broker as a child process, with ports and a data directory of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UsageFault } from "../load/fault.ts";
import type { LoadOptions } from "../load/options.ts";
import { anonymousBytes, cpuMicros, residentBytes, writtenBytes } from "../load/process-meter.ts";
import { sleep } from "./bar.ts";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const RIVAL_CONFIG = fileURLToPath(new URL("../load/mosquitto.conf", import.meta.url));
const START_SECONDS_MAX = 60;
const STOP_SECONDS_MAX = 15;
const POLL_MILLIS = 5;
/** Where Debian has the rival; not on everybody's PATH. */
const SYSTEM_PATH = "/usr/sbin";

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

/** Which broker a bar measures: the product, or the rival beside it. */
export type Product = "holdfast" | "mosquitto";

/** What a bar wants of its broker beyond the defaults. */
export interface BrokerWishes {
  /** The product if it is not said. */
  readonly product?: Product;
  /** Lines of the configuration file; the rival has one of its own. */
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
  /** From its start until its listener answered. */
  readyMillis = 0;
  private readonly child: ChildProcess;

  constructor(child: ChildProcess, port: number, webSocketPort: number) {
    this.child = child;
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

  /** Memory that is no file's: without the pages of the store that are mapped. */
  anonymousBytes(): number {
    return anonymousBytes(this.pid);
  }

  /** What it had written to the disk so far. */
  writtenBytes(): number {
    return writtenBytes(this.pid);
  }

  hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** @returns flags of the load generator for this broker: MQTT 3.1.1, QoS 0, 50 pairs */
  loadOptions(changes: Partial<LoadOptions> = {}): LoadOptions {
    const webSocket = changes.transport !== undefined && changes.transport !== "tcp";
    return {
      scenario: "pairs",
      host: "127.0.0.1",
      port: webSocket ? this.webSocketPort : this.port,
      transport: "tcp",
      tls: false,
      path: "/mqtt",
      level: 4,
      qos: 0,
      clientCount: 50,
      publisherCount: 50,
      subscriberCount: 50,
      session: "clean",
      messagesEach: 1,
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

  /** Ends the process in order; without it if that takes too long. */
  async stop(): Promise<void> {
    if (this.hasEnded()) return;
    const exited = this.exited();
    this.child.kill("SIGTERM");
    await Promise.race([exited, sleep(STOP_SECONDS_MAX * 1000)]);
    if (!this.hasEnded()) await this.kill();
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<void> {
    if (this.hasEnded()) return;
    const exited = this.exited();
    this.child.kill("SIGKILL");
    await exited;
  }

  private exited(): Promise<void> {
    return new Promise((resolve) => {
      this.child.once("exit", () => resolve());
    });
  }
}

/** Ports and a directory of their own, for one life of a broker after the other. */
export class BrokerHome {
  readonly directory: string;
  /** Of everything the broker keeps on disk. */
  readonly dataDirectory: string;
  private readonly wishes: BrokerWishes;
  private readonly port: number;
  private readonly webSocketPort: number;
  private broker: BrokerChild | undefined;

  private constructor(wishes: BrokerWishes, port: number, webSocketPort: number) {
    this.directory = mkdtempSync(join(tmpdir(), "bench-bars-"));
    this.dataDirectory = join(this.directory, "data");
    this.wishes = wishes;
    this.port = port;
    this.webSocketPort = webSocketPort;
  }

  static async create(wishes: BrokerWishes): Promise<BrokerHome> {
    return new BrokerHome(wishes, await freePort(), await freePort());
  }

  /** @throws UsageFault if the broker does not answer; with what it logged */
  async start(): Promise<BrokerChild> {
    const start = performance.now();
    const logFile = join(this.directory, "log");
    const child = this.spawn(logFile);
    let failure = "";
    child.on("error", (error) => {
      failure = error.message;
    });
    const broker = new BrokerChild(child, this.port, this.webSocketPort);
    this.broker = broker;
    const deadline = start + START_SECONDS_MAX * 1000;
    while (!(await answers(this.port))) {
      if (broker.hasEnded() || failure !== "" || performance.now() > deadline) {
        const told = readFileSync(logFile, "utf8").trim();
        throw new UsageFault(`the broker does not answer: ${failure || told || "is it built?"}`);
      }
      await sleep(POLL_MILLIS);
    }
    broker.readyMillis = performance.now() - start;
    return broker;
  }

  /** Stops what runs and removes the directory. */
  async remove(): Promise<void> {
    await this.broker?.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  private spawn(logFile: string): ChildProcess {
    const log = openSync(logFile, "w");
    const [program, args] = this.wishes.product === "mosquitto" ? this.rival() : this.own();
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", log],
      env: { ...process.env, PATH: `${process.env["PATH"] ?? ""}:${SYSTEM_PATH}` },
    });
    closeSync(log);
    return child;
  }

  private own(): [string, string[]] {
    const config = join(this.directory, "broker.conf");
    const lines = [
      `listener ${this.port} 127.0.0.1`,
      `listener ${this.webSocketPort} 127.0.0.1`,
      "protocol websockets",
      "allow_anonymous true",
      `persistence_location ${this.dataDirectory}`,
      ...(this.wishes.config ?? []),
    ];
    writeFileSync(config, `${lines.join("\n")}\n`);
    return [process.execPath, [...(this.wishes.nodeFlags ?? []), MAIN, "-c", config]];
  }

  private rival(): [string, string[]] {
    return ["mosquitto", ["-c", RIVAL_CONFIG, "-p", String(this.port)]];
  }
}

/** Runs `use` with a home for brokers, which is removed whatever happens. */
export async function withHome<T>(
  wishes: BrokerWishes,
  use: (home: BrokerHome) => Promise<T>,
): Promise<T> {
  const home = await BrokerHome.create(wishes);
  try {
    return await use(home);
  } finally {
    await home.remove();
  }
}

/** Runs `use` with a broker of its own, which is stopped whatever happens. */
export function withBroker<T>(
  wishes: BrokerWishes,
  use: (broker: BrokerChild) => Promise<T>,
): Promise<T> {
  return withHome(wishes, async (home) => use(await home.start()));
}
