/**
 * mosquitto_pub and mosquitto_sub from Debian, in versions 3.1, 3.1.1 and 5.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { until, withDeadline } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import { type RunningBroker, startBroker } from "../support/running-broker.ts";

const PUBLISH = "/usr/bin/mosquitto_pub";
const SUBSCRIBE = "/usr/bin/mosquitto_sub";
/** A topic with a retained message: who receives it is subscribed. */
const READY = "ready";
const VERSIONS = ["mqttv31", "mqttv311", "mqttv5"] as const;

interface Program {
  readonly child: ChildProcess;
  /** Whole lines of stdout so far. */
  lines(): string[];
  /** Awaits the end, which must have exit code 0; the lines. */
  finish(): Promise<string[]>;
}

let broker: RunningBroker;
const children: ChildProcess[] = [];

beforeAll(async () => {
  for (const program of [PUBLISH, SUBSCRIBE]) {
    if (!existsSync(program)) {
      throw new Error(`${program} is missing: apt-get install -y mosquitto mosquitto-clients`);
    }
  }
  broker = await startBroker();
  const client = await TestClient.connect(broker);
  await client.publish(READY, READY, { qos: 1, retain: true });
  await client.disconnect();
});

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

afterAll(async () => {
  await broker.stop();
});

function run(program: string, ...more: readonly string[]): Program {
  const child = spawn(program, ["-h", "127.0.0.1", "-p", `${broker.port}`, ...more]);
  children.push(child);
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const lines = () => stdout.split("\n").slice(0, -1);
  const closed = new Promise<number | null>((resolve) => child.once("close", resolve));
  return {
    child,
    lines,
    finish: async () => {
      const code = await withDeadline(closed, `end of ${program}`, () => `${stdout}${stderr}`);
      if (code !== 0) throw new Error(`${program} ended with ${code}: ${stdout}${stderr}`);
      return lines();
    },
  };
}

/** mosquitto_sub whose subscriptions are in place, for this many messages; see `READY`. */
async function subscribed(count: number, ...more: readonly string[]): Promise<Program> {
  const program = run(SUBSCRIBE, ...more, "-t", READY, "-C", `${count + 1}`);
  await until("subscription of mosquitto_sub", () => program.lines().length > 0);
  return program;
}

/** The lines without the one that showed the subscription. */
function messages(lines: readonly string[]): string[] {
  return lines.filter((line) => !line.includes(READY));
}

describe.for(VERSIONS)("mosquitto clients, %s", (version) => {
  test.for(["0", "1", "2"])("QoS %s", async (qos) => {
    const topic = `${version}/qos/${qos}`;
    const common = ["-V", version, "-q", qos, "-t", topic];
    const subscriber = await subscribed(2, ...common, "-F", "%q %p");
    await run(PUBLISH, ...common, "-m", "hello").finish();
    await run(PUBLISH, ...common, "-m", "again").finish();
    expect(messages(await subscriber.finish())).toEqual([`${qos} hello`, `${qos} again`]);
  });

  test("-r retains, -n -r deletes", async () => {
    const common = ["-V", version, "-t", `${version}/kept`];
    await run(PUBLISH, ...common, "-r", "-q", "1", "-m", "kept").finish();
    const found = await run(SUBSCRIBE, ...common, "-C", "1", "-F", "%r %p").finish();
    expect(messages(found)).toEqual(["1 kept"]);
    await run(PUBLISH, ...common, "-r", "-q", "1", "-n").finish();
    const client = await TestClient.connect(broker);
    await client.subscribe(`${version}/kept`);
    await client.expectNothing();
    await client.disconnect();
  });

  test("-c -i keeps what comes while it is away", async () => {
    const topic = `${version}/away`;
    const expiry = version === "mqttv5" ? ["-x", "60"] : [];
    const keeper = ["-V", version, "-c", "-i", `away-${version}`, ...expiry];
    await run(SUBSCRIBE, ...keeper, "-q", "1", "-t", topic, "-E").finish();
    for (const payload of ["one", "two", "three"]) {
      await run(PUBLISH, "-V", version, "-q", "1", "-t", topic, "-m", payload).finish();
    }
    const again = [...keeper, "-q", "1", "-t", topic, "-C", "3"];
    expect(messages(await run(SUBSCRIBE, ...again).finish())).toEqual(["one", "two", "three"]);
  });

  test("--will-topic, when the program is killed", async () => {
    const observer = await TestClient.connect(broker);
    await observer.subscribe(`${version}/will`, { qos: 1 });
    const will = ["--will-topic", `${version}/will`, "--will-payload", "gone", "--will-qos", "1"];
    const mortal = await subscribed(1, "-V", version, "-t", `${version}/x`, ...will);
    mortal.child.kill("SIGKILL");
    await observer.receive({ payload: "gone", qos: 1 });
    await observer.disconnect();
  });

  test("many lines through -l", async () => {
    const common = ["-V", version, "-q", "1", "-t", `${version}/lines`];
    const subscriber = await subscribed(500, ...common);
    const publisher = run(PUBLISH, ...common, "-l");
    const numbers = Array.from({ length: 500 }, (_, i) => `${i}`);
    publisher.child.stdin?.end(`${numbers.join("\n")}\n`);
    await publisher.finish();
    expect(messages(await subscriber.finish())).toEqual(numbers);
  });
});

describe("mosquitto clients, properties of version 5", () => {
  test("-D publish properties arrive", async () => {
    const common = ["-V", "5", "-t", "properties"];
    const subscriber = await subscribed(1, ...common, "-F", "%C|%R|%P|%p");
    const properties = [
      ["content-type", "text/plain"],
      ["response-topic", "answers"],
    ].flatMap((property) => ["-D", "publish", ...property]);
    const user = ["-D", "publish", "user-property", "name", "value"];
    await run(PUBLISH, ...common, "-q", "1", ...properties, ...user, "-m", "x").finish();
    expect(messages(await subscriber.finish())).toEqual(["text/plain|answers|name:value|x"]);
  });

  test("-D connect and subscribe properties are taken", async () => {
    const subscriber = await subscribed(
      3,
      ...["-V", "5", "-t", "limits/#", "-q", "1"],
      ...["-D", "connect", "receive-maximum", "1"],
      ...["-D", "subscribe", "subscription-identifier", "7"],
    );
    for (const payload of ["1", "2", "3"]) {
      await run(PUBLISH, "-V", "5", "-q", "1", "-t", "limits/x", "-m", payload).finish();
    }
    expect(messages(await subscriber.finish())).toEqual(["1", "2", "3"]);
  });
});
