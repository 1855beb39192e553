/**
 * Holdfast and Debian's mosquitto with dynamic security, each with a file of its own that
 * `mosquitto_ctrl dynsec init` made.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { until, withDeadline } from "./await.ts";
import { TestClient } from "./client.ts";
import type { BrokerAddress } from "./client-packets.ts";
import { freePorts } from "./running-broker.ts";

const HOLDFAST = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
export const MOSQUITTO = "/usr/sbin/mosquitto";
export const CTRL = "/usr/bin/mosquitto_ctrl";
export const PLUGIN = "/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so";
export const ADMIN = { userName: "admin", password: "first password" } as const;
export const CONTROL = "$CONTROL/dynamic-security/v1";

export type Kind = "holdfast" | "mosquitto";

export interface SecuredBroker {
  readonly kind: Kind;
  readonly port: number;
  readonly webSocketPort: number;
  /** Its file of dynamic security. */
  readonly file: string;
  readonly pid: number;
  output(): string;
  /** What `mosquitto_ctrl dynsec …` prints, both streams, and its exit code. */
  ctrl(...args: readonly string[]): string;
  end(signal?: "SIGTERM" | "SIGKILL"): Promise<void>;
}

export interface SecuredOptions {
  /** Lines above the listener. */
  readonly before?: readonly string[];
  /** Lines behind the listener. */
  readonly configuration?: readonly string[];
  /** A directory of a broker that ended; a fresh one if left out. */
  readonly directory?: string;
  readonly port?: number;
  readonly environment?: Readonly<Record<string, string>>;
}

/** Directories made here; whoever ends the last broker removes them. */
const directories: string[] = [];

export function removeSecured(): void {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
}

export function freshDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-secured-"));
  directories.push(directory);
  return directory;
}

/** A file as mosquitto's own tool makes it. */
export function initialFile(directory: string): string {
  const file = join(directory, "dynamic-security.json");
  const made = spawnSync(CTRL, ["dynsec", "init", file, ADMIN.userName, ADMIN.password]);
  if (made.status !== 0) throw new Error(`mosquitto_ctrl dynsec init: ${made.stderr}`);
  return file;
}

export async function startSecured(
  kind: Kind,
  options: SecuredOptions = {},
): Promise<SecuredBroker> {
  const directory = options.directory ?? freshDirectory();
  const file =
    options.directory === undefined
      ? initialFile(directory)
      : join(directory, "dynamic-security.json");
  const port = options.port ?? (await freePorts(1))[0] ?? 0;
  const configuration = join(directory, "broker.conf");
  const lines = [
    ...(kind === "mosquitto" ? ["user root"] : ["persistence false"]),
    ...(options.before ?? []),
    `listener ${port} 127.0.0.1`,
    "allow_anonymous true",
    ...(options.configuration ?? [`plugin ${PLUGIN}`, `plugin_opt_config_file ${file}`]),
  ];
  writeFileSync(configuration, `${lines.join("\n")}\n`);
  const command = kind === "mosquitto" ? [MOSQUITTO] : [process.execPath, HOLDFAST];
  const [program = "", ...first] = command;
  const child = spawn(program, [...first, "-c", configuration], {
    env: { ...process.env, ...options.environment },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  await opened(child, port, () => output);
  return {
    kind,
    port,
    webSocketPort: 0,
    file,
    pid: child.pid ?? 0,
    output: () => output,
    ctrl: (...args) => runCtrl(port, args),
    end: async (signal = "SIGTERM") => {
      child.kill(signal);
      await withDeadline(exited, `exit after ${signal}`, () => output);
    },
  };
}

async function opened(child: ChildProcess, port: number, output: () => string): Promise<void> {
  let isOpen = false;
  await until(`port ${port}`, async () => {
    if (child.exitCode !== null) throw new Error(`it ended at its start: ${output()}`);
    isOpen = await TestClient.open({ port, webSocketPort: 0 })
      .then((client) => {
        client.destroy();
        return true;
      })
      .catch(() => false);
    return isOpen;
  });
}

function runCtrl(port: number, args: readonly string[]): string {
  const { password, userName } = ADMIN;
  const to = ["-h", "127.0.0.1", "-p", `${port}`, "-u", userName, "-P", password];
  const run = spawnSync(CTRL, [...to, "dynsec", ...args], { encoding: "utf8", timeout: 20_000 });
  return `${run.stdout}${run.stderr}exit ${run.status}`;
}

/** A client that asks, and has what it gets in answer. */
export interface Asker {
  readonly client: TestClient;
  /** Sends this as it is; the text of the answer. */
  ask(request: string): Promise<string>;
  command(command: string, fields?: object): Promise<unknown>;
}

export async function startAsker(broker: BrokerAddress): Promise<Asker> {
  const client = await TestClient.connect(broker, { ...ADMIN, clientId: "asker" });
  await client.subscribe(`${CONTROL}/response`);
  const ask = async (request: string): Promise<string> => {
    await client.publish(CONTROL, request, { qos: 1 });
    const { payload } = await client.receive({ topic: `${CONTROL}/response` });
    return payload.toString();
  };
  return {
    client,
    ask,
    command: async (command, fields = {}) => {
      const answer = await ask(JSON.stringify({ commands: [{ command, ...fields }] }));
      return JSON.parse(answer).responses[0];
    },
  };
}

export function fileContent(broker: SecuredBroker): unknown {
  return JSON.parse(readFileSync(broker.file, "utf8"));
}
