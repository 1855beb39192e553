/** The command line of the load generator. */
import { writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { Argument, Command, InvalidArgumentError, Option } from "commander";
import { RUN_SECONDS_MAX } from "./clock.ts";
import { runConnect } from "./connect-run.ts";
import type { Transport } from "./connection.ts";
import { BrokerFault, EXIT_BROKER, EXIT_OK, EXIT_USAGE, UsageFault } from "./fault.ts";
import { runLive } from "./live-run.ts";
import { runOffline } from "./offline-run.ts";
import type { LoadOptions, Scenario } from "./options.ts";
import type { QoS } from "./packet.ts";
import { PAYLOAD_BYTES_MIN, PUBLISHERS_MAX } from "./payload.ts";
import { cpuMicros, openFilesMax } from "./process-meter.ts";
import { formatReport } from "./report.ts";
import type { LoadResult } from "./result.ts";
import { runResume } from "./resume-run.ts";

const PAYLOAD_BYTES_MAX = 16 * 1024 * 1024;
/** Files that Node.js itself holds open. */
const OWN_FILES = 40;
const WINDOW_MESSAGES = 1000;
/** Messages on their way in all, where a window per publisher would mean too many. */
const WINDOW_DELIVERIES = 100_000;

interface Flags {
  host: string;
  allowRemote: boolean;
  port: number;
  ws: boolean;
  wsBatch: boolean;
  wsSingle: boolean;
  wsPath: string;
  tls: boolean;
  protocol: "3.1.1" | "5.0";
  qos: string;
  clients?: number;
  pubs?: number;
  subs?: number;
  size: number;
  seconds: number;
  warmup: number;
  messages: number;
  rate: number;
  window?: number;
  inflight: number;
  idle: number;
  concurrency: number;
  keepAlive: number;
  durable: boolean;
  each: number;
  pid: number[];
  json?: string;
  progress: boolean;
}

const RUNS: Readonly<Record<Scenario, (options: LoadOptions) => Promise<LoadResult>>> = {
  "fan-in": runLive,
  "fan-out": runLive,
  pairs: runLive,
  connect: runConnect,
  offline: runOffline,
  resume: runResume,
};

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`A whole number from ${min} to ${max} is needed.`);
  };
}

function someSeconds(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text !== "" && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Seconds from ${min} to ${max} are needed.`);
  };
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

function transportOf(flags: Flags): Transport {
  if (flags.wsBatch && flags.wsSingle) {
    throw new UsageFault("--ws-batch and --ws-single exclude each other");
  }
  if (flags.wsSingle) return "ws-single";
  return flags.ws || flags.wsBatch ? "ws-batch" : "tcp";
}

function counts(scenario: Scenario, flags: Flags) {
  if (scenario === "fan-in") return { publishers: flags.pubs ?? 50, subscribers: flags.subs ?? 1 };
  if (scenario === "fan-out") return { publishers: 1, subscribers: flags.subs ?? 100 };
  if (scenario === "pairs") {
    return { publishers: flags.clients ?? 50, subscribers: flags.clients ?? 50 };
  }
  if (scenario === "offline") {
    return { publishers: flags.pubs ?? 1, subscribers: flags.clients ?? 500 };
  }
  return { publishers: scenario === "resume" ? 1 : 0, subscribers: flags.clients ?? 1000 };
}

function toOptions(scenario: Scenario, flags: Flags): LoadOptions {
  const { publishers, subscribers } = counts(scenario, flags);
  if (!flags.allowRemote && !isLoopback(flags.host)) {
    throw new UsageFault(`${flags.host} is no loopback address: load it with --allow-remote only`);
  }
  const connections = publishers + subscribers;
  if (connections + OWN_FILES > openFilesMax()) {
    throw new UsageFault(`${connections} connections, but only ${openFilesMax()} open files`);
  }
  if (cpuMicros(flags.pid) === undefined) {
    throw new UsageFault(`no process ${flags.pid.join(" or ")}`);
  }
  if (flags.seconds + flags.warmup > RUN_SECONDS_MAX) {
    throw new UsageFault(`a run lasts at most ${RUN_SECONDS_MAX} s`);
  }
  const qos = Number(flags.qos) as QoS;
  if (scenario === "offline" && qos === 0) throw new UsageFault("offline needs --qos 1 or 2");
  const copies = scenario === "pairs" ? 1 : Math.max(1, subscribers);
  const windowMessages = Math.min(WINDOW_MESSAGES, Math.ceil(WINDOW_DELIVERIES / copies));
  return {
    scenario,
    host: flags.host,
    port: flags.port,
    transport: transportOf(flags),
    tls: flags.tls,
    path: flags.wsPath,
    level: flags.protocol === "5.0" ? 5 : 4,
    qos,
    clientCount: subscribers,
    publisherCount: publishers,
    subscriberCount: subscribers,
    session: flags.durable ? "durable" : "clean",
    messagesEach: flags.each,
    payloadBytes: flags.size,
    seconds: flags.seconds,
    warmupSeconds: flags.warmup,
    messagesMax: flags.messages,
    ratePerSecond: flags.rate,
    windowMessages: flags.window ?? windowMessages,
    inflightMax: flags.inflight,
    idleSeconds: flags.idle,
    concurrency: flags.concurrency,
    keepAliveSeconds: flags.keepAlive,
    pids: flags.pid,
    jsonFile: flags.json,
    progress: flags.progress,
  };
}

/**
 * Runs a scenario, prints its table and writes its JSON.
 *
 * @returns the exit status
 */
export async function runLoad(options: LoadOptions): Promise<number> {
  try {
    const result = await RUNS[options.scenario](options);
    process.stdout.write(formatReport(result));
    if (options.jsonFile !== undefined) {
      writeFileSync(options.jsonFile, `${JSON.stringify(result, null, 2)}\n`);
    }
    return result.ok ? EXIT_OK : EXIT_BROKER;
  } catch (error) {
    if (error instanceof BrokerFault) {
      process.stderr.write(`The broker misbehaved: ${error.message}.\n`);
      return EXIT_BROKER;
    }
    if (error instanceof UsageFault) {
      process.stderr.write(`error: ${error.message}\n`);
      return EXIT_USAGE;
    }
    throw error;
  }
}

function addFlags(command: Command): Command {
  const count = wholeNumber(1, PUBLISHERS_MAX);
  const amount = wholeNumber(0, Number.MAX_SAFE_INTEGER);
  return command
    .option("--host <host>", "broker; a loopback address", "127.0.0.1")
    .option("--allow-remote", "take hosts that are no loopback address", false)
    .option("-p, --port <port>", "broker's port", wholeNumber(1, 65535), 1883)
    .option("--tls", "TLS below it, whoever's certificate", false)
    .option("--ws", "WebSocket; many packets a frame", false)
    .option("--ws-batch", "the same as --ws", false)
    .option("--ws-single", "WebSocket; one packet a frame", false)
    .option("--ws-path <path>", "path of the WebSocket", "/mqtt")
    .addOption(
      new Option("-V, --protocol <version>", "MQTT version")
        .choices(["3.1.1", "5.0"])
        .default("3.1.1"),
    )
    .addOption(
      new Option("-q, --qos <qos>", "of publish and subscription")
        .choices(["0", "1", "2"])
        .default("0"),
    )
    .option("--clients <count>", "pairs (50), connections (1000), or Sessions (500, 1000)", count)
    .option("--pubs <count>", "publishers of fan-in (50) and offline (1)", count)
    .option("--subs <count>", "subscribers of fan-in (1) and fan-out (100)", count)
    .option("--size <bytes>", "payload", wholeNumber(PAYLOAD_BYTES_MIN, PAYLOAD_BYTES_MAX), 32)
    .option("--durable", "subscribers have durable Sessions", false)
    .option("--each <count>", "offline: messages for each Session", wholeNumber(1, 1e6), 200)
    .option("--seconds <s>", "publish, or hold, so long", someSeconds(0.1, RUN_SECONDS_MAX), 5)
    .option("--warmup <s>", "publish so long before it counts", someSeconds(0, 600), 0.5)
    .option("--messages <count>", "stop after so many published in all (0: no limit)", amount, 0)
    .option("--rate <count>", "published per second in all (0: as fast as possible)", amount, 0)
    .option("--window <count>", "lead over the slowest subscriber (1000; 0: no limit)", amount)
    .option("--inflight <count>", "unacknowledged per publisher", wholeNumber(1, 32767), 100)
    .option("--idle <s>", "nothing owed came for so long: a stall", someSeconds(0.5, 600), 5)
    .option("--concurrency <count>", "connections opened at a time", wholeNumber(1, 1000), 64)
    .option("--keep-alive <s>", "Keep Alive of the connections", wholeNumber(0, 65535), 0)
    .option(
      "--pid <pid>",
      "broker's process, for CPU and RSS; repeat it for several",
      (text: string, pids: number[]) => [...pids, wholeNumber(1, 4194304)(text)],
      [] as number[],
    )
    .option("--json <file>", "write the result as JSON")
    .option("--progress", "one line a second on stderr", process.stderr.isTTY === true)
    .option("--no-progress", "no such lines");
}

/** @returns the command; its action sets the exit status */
export function loadCommand(): Command {
  const scenario = new Argument("<scenario>", "what to do").choices([
    "fan-in",
    "fan-out",
    "pairs",
    "connect",
    "offline",
    "resume",
  ]);
  return addFlags(new Command("load"))
    .description("put load on a local broker and measure what it costs")
    .addArgument(scenario)
    .action(async (name: Scenario, flags: Flags) => {
      let options: LoadOptions;
      try {
        options = toOptions(name, flags);
      } catch (error) {
        if (!(error instanceof UsageFault)) throw error;
        process.stderr.write(`error: ${error.message}\n`);
        process.exitCode = EXIT_USAGE;
        return;
      }
      process.exitCode = await runLoad(options);
    });
}
