/**
 * Eclipse Paho's clients from Debian: Python over TCP and WebSocket, the C library, and the two
 * programs of its examples.
 */
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import { type RunningBroker, startBroker } from "../support/running-broker.ts";
import { needPrograms, type Program, startProgram } from "./program.ts";

const PYTHON = "/usr/bin/python3";
const PUBLISH = "/usr/bin/paho_c_pub";
const SUBSCRIBE = "/usr/bin/paho_c_sub";
const PACKAGES = "python3-paho-mqtt paho.mqtt.c-examples";

/** What the scripts say when all went well, by version. */
const PYTHON_SCENARIOS = {
  4: ["each_qos", "retained", "will", "offline_queue", "resume"],
  5: ["message_properties", "session_expiry", "reason_codes", "takeover"],
};
const C_SCENARIOS = {
  4: ["each_qos", "retained", "offline_queue", "resume"],
  5: ["message_properties", "session_expiry", "takeover"],
};

let broker: RunningBroker;
const programs: Program[] = [];

beforeAll(async () => {
  needPrograms([PYTHON, PUBLISH, SUBSCRIBE], PACKAGES);
  broker = await startBroker();
});

afterEach(() => {
  for (const { child } of programs.splice(0)) child.kill("SIGKILL");
});

afterAll(async () => {
  await broker.stop();
});

function run(file: string, ...args: readonly string[]): Program {
  const program = startProgram(file, args);
  programs.push(program);
  return program;
}

function runScript(name: string, ...args: readonly string[]): Program {
  return run(PYTHON, fileURLToPath(new URL(`./paho/${name}`, import.meta.url)), ...args);
}

/** Lines of a script for all scenarios of a version; version 5 has those of 4, too. */
function linesOf(scenarios: typeof C_SCENARIOS, version: 4 | 5): readonly string[] {
  const names = version === 4 ? scenarios[4] : [...scenarios[4], ...scenarios[5]];
  return names.map((name) => `ok ${name}`);
}

describe("Paho Python", () => {
  test.for([
    ["tcp", 4],
    ["tcp", 5],
    ["websockets", 4],
    ["websockets", 5],
  ] as const)(
    "over %s, version %i: its script",
    { timeout: 60_000 },
    async ([transport, version]) => {
      const ports = [`${broker.port}`, `${broker.webSocketPort}`];
      const script = runScript("python-scenario.py", ...ports, transport, `${version}`);
      expect(await script.finish()).toEqual(linesOf(PYTHON_SCENARIOS, version));
    },
  );
});

describe("Paho C", () => {
  test.for([4, 5] as const)(
    "the library, version %i: its script",
    { timeout: 60_000 },
    async (version) => {
      const script = runScript("c-scenario.py", `${broker.port}`, `${version}`);
      expect(await script.finish()).toEqual(linesOf(C_SCENARIOS, version));
    },
  );

  test.for([
    ["31", "0"],
    ["311", "1"],
    ["5", "2"],
  ] as const)("paho_c_pub and paho_c_sub, version %s, QoS %s", async ([version, qos]) => {
    const topic = `paho-c/programs/${version}`;
    const common = ["-h", "127.0.0.1", "-p", `${broker.port}`, "-V", version, "-q", qos];
    const client = await TestClient.connect(broker);
    await client.publish(topic, "ready", { qos: 1, retain: true });
    const subscriber = run(SUBSCRIBE, ...common, "-i", `sub${version}`, "-t", topic);
    await until("subscription of paho_c_sub", () => subscriber.lines().length > 0);
    const message = ["-i", `pub${version}`, "-t", topic, "-m", "hello"];
    const properties = version === "5" ? ["--user-property", "name", "value"] : [];
    await run(PUBLISH, ...common, ...message, ...properties).finish();
    await until("the message", () => subscriber.lines().includes("hello"));
    expect(subscriber.lines()).toEqual(["ready", "hello"]);
    await client.disconnect();
  });
});
