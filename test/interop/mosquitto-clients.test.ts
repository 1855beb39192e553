/**
 * mosquitto_pub, mosquitto_sub and mosquitto_rr from Debian, in versions 3.1, 3.1.1 and 5.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { elapse, until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import { type RunningBroker, startBroker } from "../support/running-broker.ts";
import { needPrograms, type Program, startProgram } from "./program.ts";

const PUBLISH = "/usr/bin/mosquitto_pub";
const SUBSCRIBE = "/usr/bin/mosquitto_sub";
const REQUEST = "/usr/bin/mosquitto_rr";
/** A topic with a retained message: who receives it is subscribed. */
const READY = "ready";
const VERSIONS = ["mqttv31", "mqttv311", "mqttv5"] as const;

let broker: RunningBroker;
const programs: Program[] = [];

beforeAll(async () => {
  needPrograms([PUBLISH, SUBSCRIBE, REQUEST], "mosquitto mosquitto-clients");
  broker = await startBroker();
  const client = await TestClient.connect(broker);
  await client.publish(READY, READY, { qos: 1, retain: true });
  await client.disconnect();
});

afterEach(() => {
  for (const { child } of programs.splice(0)) child.kill("SIGKILL");
});

afterAll(async () => {
  await broker.stop();
});

function run(file: string, ...more: readonly string[]): Program {
  const program = startProgram(file, ["-h", "127.0.0.1", "-p", `${broker.port}`, ...more]);
  programs.push(program);
  return program;
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

  test("mosquitto_rr asks, and gets its answer with its Correlation Data", async () => {
    const answerer = await TestClient.connect(broker);
    await answerer.subscribe("questions", { qos: 1 });
    const common = ["-V", "5", "-q", "1", "-t", "questions", "-e", "answers/rr"];
    const data = ["-D", "publish", "correlation-data", "nr-7"];
    const asking = run(REQUEST, ...common, ...data, "-m", "how much", "-F", "%D %p");
    const { payload, properties } = await answerer.receive({ topic: "questions" });
    expect(payload).toBe("how much");
    const { responseTopic = "", correlationData } = properties;
    expect(responseTopic).toBe("answers/rr");
    expect(correlationData?.toString()).toBe("nr-7");
    await answerer.publish(responseTopic, "so much", {
      qos: 1,
      properties: { correlationData: correlationData ?? Buffer.alloc(0) },
    });
    expect(await asking.finish()).toEqual(["nr-7 so much"]);
    await answerer.disconnect();
  });

  test("-x: a Session that has expired is not resumed", async () => {
    const keeper = ["-V", "5", "-c", "-i", "short-lived", "-q", "1", "-t", "short"];
    await run(SUBSCRIBE, ...keeper, "-x", "1", "-E").finish();
    await elapse(2_500); // Its subject is time: the interval of a second is over.
    await run(PUBLISH, "-V", "5", "-q", "1", "-t", "short", "-m", "lost").finish();
    const again = await subscribed(1, ...keeper, "-x", "1");
    await run(PUBLISH, "-V", "5", "-q", "1", "-t", "short", "-m", "new").finish();
    expect(messages(await again.finish())).toEqual(["new"]);
  });
});
