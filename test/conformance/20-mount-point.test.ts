/**
 * Chapter 20: mount points: a listener's clients below a prefix that they do not see. mosquitto's
 * manual; its 2.0.11 leaves the prefix on what it sends, so that it is no oracle here.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { TestClient } from "../support/client.ts";
import type { ConnectOptions } from "../support/client-packets.ts";
import { freePorts, type RunningBroker, startBroker } from "../support/running-broker.ts";

let broker: RunningBroker;
let mountedPort = 0;

beforeAll(async () => {
  [mountedPort = 0] = await freePorts(1);
  const configuration = [`listener ${mountedPort} 127.0.0.1`, "mount_point site/"];
  broker = await startBroker({ configuration });
});
afterAll(() => broker.stop());

const whole = (options?: ConnectOptions) => TestClient.connect(broker, options);
const mounted = (options?: ConnectOptions) =>
  TestClient.connect({ port: mountedPort, webSocketPort: 0 }, options);

/** What comes until a message whose payload is `end`; in any order. */
async function untilEnd(client: TestClient): Promise<string[]> {
  const seen: string[] = [];
  for (;;) {
    const { topic, payload, qos, retain } = await client.receive();
    if (payload.toString() === "end") return seen.sort();
    seen.push(`${topic} ${payload.length} q${qos}${retain ? " retained" : ""}`);
  }
}

const SIZES = [1, 3_000, 20_000, 100_000];
const QOS = [0, 1, 2] as const;
const each = (topic: string) =>
  QOS.flatMap((qos) => SIZES.map((size) => `${topic} ${size} q${qos}`));

test.each([4, 5] as const)(
  "what comes gets it, what goes loses it, version %i",
  async (version) => {
    const [below, above] = [await mounted({ version }), await whole({ version })];
    await below.subscribe("#", { qos: 2 });
    await above.subscribe("#", { qos: 2 });
    for (const qos of QOS) {
      for (const size of SIZES) {
        await below.publish("a/b", "x".repeat(size), { qos });
        await above.publish("site/a/c", "y".repeat(size), { qos });
        await above.publish("elsewhere", "z".repeat(size), { qos });
        // It is below no part of a level, and the prefix alone is nothing that can be sent.
        await above.publish("site", "w", { qos });
        await above.publish("site/", "w", { qos });
      }
    }
    await above.publish("site/last", "end", { qos: 0 });
    expect(await untilEnd(below)).toEqual([...each("a/b"), ...each("a/c")].sort());
    const all = [...each("site/a/b"), ...each("site/a/c"), ...each("elsewhere")];
    const seen = await untilEnd(above);
    expect(seen.filter((line) => !/^site\/? /.test(line))).toEqual(all.sort());
    await below.disconnect();
    await above.disconnect();
  },
);

test("retained messages, what was queued, and what is not subscribed to any more", async () => {
  const above = await whole();
  await above.publish("site/kept/1", "one", { qos: 1, retain: true });
  await above.publish("kept/2", "two", { qos: 1, retain: true });
  const lasting = { sessionExpiryInterval: 600 };
  const options = { clientId: "away", clean: false, properties: lasting, version: 5 } as const;
  const below = await mounted(options);
  await below.publish("kept/3", "three", { qos: 1, retain: true });
  await below.subscribe("kept/+", { qos: 1 });
  await above.publish("site/kept/1", "end", { qos: 1 });
  expect(await untilEnd(below)).toEqual(["kept/1 3 q1 retained", "kept/3 5 q1 retained"]);
  await below.drop();
  await above.publish("site/kept/4", "four", { qos: 1 });
  await above.publish("kept/4", "other", { qos: 1 });
  await above.publish("site/kept/1", "end", { qos: 1 });
  const back = await mounted(options);
  expect(await untilEnd(back)).toEqual(["kept/4 4 q1"]);
  expect(await back.unsubscribe("kept/+")).toEqual([0]);
  await back.publish("kept/5", "five", { qos: 1 });
  await back.expectNothing(above);
  await back.disconnect(0, 0);
});

test("a will goes below it, and $SYS is not there", async () => {
  const above = await whole();
  await above.subscribe("+/gone", { qos: 1 });
  const will = { topic: "gone", payload: Buffer.from("will") };
  const mortal = await mounted({ version: 5, will });
  await mortal.subscribe("$SYS/#");
  await mortal.disconnect(4);
  mortal.expectInboxEmpty();
  await above.receive({ topic: "site/gone", payload: "will" });
});

test("a topic that is too long with it is refused", async () => {
  const below = await mounted({ version: 5 });
  expect(await below.subscribe("x".repeat(65_531), { qos: 1 })).toBe(0x8f);
  await below.publish("x".repeat(65_530), "fits", { qos: 1 });
  below.sendPublish("x".repeat(65_531), "does not", { qos: 1 });
  await below.expectDisconnect(0x90);
});

test("Topic Aliases, both ways, and shared subscriptions are below it", async () => {
  const below = await mounted({ version: 5, properties: { topicAliasMaximum: 10 } });
  const above = await whole({ version: 5 });
  await below.subscribe("long/enough/for/an/alias/#", { qos: 1 });
  await above.subscribe("site/long/#", { qos: 1 });
  const topic = "long/enough/for/an/alias/of/its/own";
  const properties = { topicAlias: 3 };
  for (const payload of ["1", "2", "3", "4"]) {
    await below.publish(payload === "1" ? topic : "", payload, { qos: 1, properties });
    await above.receive({ topic: `site/${topic}`, payload });
  }
  const names = new Set<string>();
  for (const payload of ["1", "2", "3", "4"]) names.add((await below.receive({ payload })).topic);
  expect([...names].sort()).toEqual(["", topic]);
  const member = await mounted({ version: 5 });
  await member.subscribe("$share/group/work/#", { qos: 1 });
  await above.publish("work/x", "other", { qos: 1 });
  await above.publish("site/work/x", "own", { qos: 1 });
  await member.receive({ topic: "work/x", payload: "own" });
  expect(await member.unsubscribe("$share/group/work/#")).toEqual([0]);
});
