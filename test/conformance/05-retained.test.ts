/**
 * Chapter 5: retained messages. MQTT 5.0 §3.3.1.3, §3.8.3.1.
 */
import { describe, expect, test } from "vitest";
import { elapse } from "../support/await.ts";
import type { TestClient } from "../support/client.ts";
import { startChapter } from "./chapter.ts";

const chapter = startChapter();
const { connect } = chapter;

describe("storing", () => {
  test.for([4, 5] as const)(
    "version %i: the last one is kept [MQTT-3.3.1-5] [MQTT-3.3.1-5 @3.1.1]",
    async (version) => {
      const publisher = await connect({ version });
      const topic = `kept/${version}`;
      for (const payload of ["old", "new"]) {
        await publisher.publish(topic, payload, { qos: 1, retain: true });
      }
      const subscriber = await connect({ version });
      await subscriber.subscribe(topic, { qos: 1 });
      await subscriber.receive({ topic, payload: "new", qos: 1, retain: true });
      await subscriber.expectNothing();
    },
  );

  test("RETAIN 0 neither stores nor touches [MQTT-3.3.1-8] [MQTT-3.3.1-12 @3.1.1]", async () => {
    const publisher = await connect();
    await publisher.publish("touch", "kept", { qos: 1, retain: true });
    await publisher.publish("touch", "live", { qos: 1, retain: false });
    await publisher.publish("touch", "", { qos: 1, retain: false });
    const subscriber = await connect();
    await subscriber.subscribe("touch");
    await subscriber.expectPublish({ payload: "kept", retain: true });
    await subscriber.expectNothing();
  });

  test("an empty payload deletes, and is forwarded [MQTT-3.3.1-6, -7]", async () => {
    const live = await connect();
    await live.subscribe("delete/#", { retainAsPublished: true });
    const publisher = await connect();
    await publisher.publish("delete/x", "kept", { qos: 1, retain: true });
    await live.expectPublish({ payload: "kept", retain: true });
    await publisher.publish("delete/x", "", { qos: 1, retain: true });
    await live.expectPublish({ topic: "delete/x", payload: "", retain: true });
    const late = await connect();
    await late.subscribe("delete/#");
    await late.expectNothing();
  });

  test("it outlives the publisher's Session [MQTT-3.1.2-7 @3.1.1]", async () => {
    const publisher = await connect({ version: 4 });
    await publisher.publish("outlive", "kept", { qos: 1, retain: true });
    await publisher.disconnect();
    const subscriber = await connect({ version: 4 });
    await subscriber.subscribe("outlive");
    await subscriber.expectPublish({ payload: "kept", retain: true });
  });

  test("properties are kept with it, in their order [MQTT-3.3.2-17, -18]", async () => {
    const publisher = await connect();
    const properties = {
      contentType: "text/plain",
      responseTopic: "answer/here",
      correlationData: Buffer.from("42"),
      payloadFormatIndicator: true,
      userProperties: { one: ["1", "2"], two: "3" },
    };
    await publisher.publish("described", "kept", { qos: 1, retain: true, properties });
    const subscriber = await connect();
    await subscriber.subscribe("described");
    const delivery = await subscriber.expectPublish({ payload: "kept" });
    expect(delivery.properties).toEqual(properties);
  });

  test("a large one comes back whole", async () => {
    const publisher = await connect();
    const payload = Buffer.alloc(500_000, "large ");
    await publisher.publish("large", payload, { qos: 1, retain: true });
    const subscriber = await connect();
    await subscriber.subscribe("large", { qos: 1 });
    const delivery = await subscriber.receive({ retain: true });
    expect(delivery.payloadBytes.equals(payload)).toBe(true);
    await publisher.publish("large", "", { qos: 1, retain: true });
  });
});

describe("delivery to a new subscription", () => {
  test("QoS is the lower one [MQTT-3.8.4-8] [MQTT-3.3.1-9]", async () => {
    const publisher = await connect();
    for (const qos of [0, 1, 2] as const) {
      await publisher.publish(`levels/${qos}`, `${qos}`, { qos, retain: true });
    }
    const subscriber = await connect();
    await subscriber.subscribe("levels/+", { qos: 1 });
    const seen = new Map<string, number>();
    for (let i = 0; i < 3; i++) {
      const delivery = await subscriber.receive({ retain: true });
      seen.set(delivery.topic, delivery.qos);
    }
    expect(Object.fromEntries(seen)).toEqual({ "levels/0": 0, "levels/1": 1, "levels/2": 1 });
    await subscriber.expectNothing();
  });

  test("RETAIN 1 whatever Retain As Published says [§3.8.3.1] [MQTT-3.3.1-8 @3.1.1]", async () => {
    const publisher = await connect();
    await publisher.publish("flag", "kept", { qos: 1, retain: true });
    for (const retainAsPublished of [false, true]) {
      const subscriber = await connect();
      await subscriber.subscribe("flag", { retainAsPublished });
      await subscriber.expectPublish({ payload: "kept", retain: true });
    }
    const old = await connect({ version: 4 });
    await old.subscribe("flag");
    await old.expectPublish({ payload: "kept", retain: true });
  });

  test("wildcards bring every match, $ topics excepted [MQTT-3.3.1-6 @3.1.1]", async () => {
    const publisher = await connect();
    for (const topic of ["wild/a/1", "wild/b/1", "wild/b/2", "$wild/a/1", "wild"]) {
      await publisher.publish(topic, topic, { qos: 1, retain: true });
    }
    const matches: [string, string[]][] = [
      ["wild/#", ["wild", "wild/a/1", "wild/b/1", "wild/b/2"]],
      ["wild/+/1", ["wild/a/1", "wild/b/1"]],
      ["+/a/1", ["wild/a/1"]],
      ["$wild/#", ["$wild/a/1"]],
      ["wild/+", []],
    ];
    for (const [filter, topics] of matches) {
      const subscriber = await connect();
      await subscriber.subscribe(filter);
      const seen: string[] = [];
      for (const _ of topics) seen.push((await subscriber.expectPublish()).topic);
      expect(seen.toSorted()).toEqual(topics);
      await subscriber.expectNothing();
    }
  });

  test("a thousand of them arrive, within the window", async () => {
    const publisher = await connect();
    for (let i = 0; i < 1000; i++) {
      await publisher.publish(`thousand/${i}`, `${i}`, { qos: 1, retain: true });
    }
    const subscriber = await connect({ properties: { receiveMaximum: 10 } });
    await subscriber.subscribe("thousand/+", { qos: 1 });
    const seen = new Set<string>();
    for (let i = 0; i < 1000; i++) seen.add((await subscriber.receive({ retain: true })).payload);
    expect(seen.size).toBe(1000);
    await subscriber.expectNothing();
  });

  test("Retain Handling 0 always sends [MQTT-3.3.1-9] [MQTT-3.8.4-4]", async () => {
    const client = await connect();
    await client.publish("handling/0", "kept", { qos: 1, retain: true });
    for (let i = 0; i < 2; i++) {
      await client.subscribe("handling/0", { retainHandling: 0 });
      await client.expectPublish({ payload: "kept", retain: true });
    }
  });

  test("Retain Handling 1 asks whether the Session had the filter [MQTT-3.3.1-10]", async () => {
    const keeper = { clientId: "handling", properties: { sessionExpiryInterval: 60 } };
    const client = await connect(keeper);
    await client.publish("handling/1", "kept", { qos: 1, retain: true });
    await client.subscribe("handling/1", { retainHandling: 1 });
    await client.expectPublish({ payload: "kept", retain: true });
    await client.subscribe("handling/1", { retainHandling: 1, qos: 1 });
    await client.expectNothing();
    await client.disconnect();
    const again = await connect({ ...keeper, clean: false });
    await again.subscribe("handling/1", { retainHandling: 1 });
    await again.expectNothing();
    await again.unsubscribe("handling/1");
    await again.subscribe("handling/1", { retainHandling: 1 });
    await again.expectPublish({ payload: "kept", retain: true });
  });

  test("Retain Handling 2 sends none [MQTT-3.3.1-11]", async () => {
    const client = await connect();
    await client.publish("handling/2", "kept", { qos: 1, retain: true });
    await client.subscribe("handling/2", { retainHandling: 2 });
    await client.expectNothing();
  });

  test("3.1.1: subscribing again sends them again [MQTT-3.8.4-3 @3.1.1]", async () => {
    const client = await connect({ version: 4 });
    await client.publish("handling/4", "kept", { qos: 1, retain: true });
    for (let i = 0; i < 2; i++) {
      await client.subscribe("handling/4");
      await client.expectPublish({ payload: "kept", retain: true });
    }
  });

  test("resuming a Session sends none [§3.3.1.3]", async () => {
    const keeper = { clientId: "resuming", properties: { sessionExpiryInterval: 60 } };
    const client = await connect(keeper);
    await client.publish("resuming", "kept", { qos: 1, retain: true });
    await client.subscribe("resuming", { qos: 1 });
    await client.receive({ payload: "kept" });
    await client.disconnect();
    const again = await connect({ ...keeper, clean: false });
    await again.expectNothing();
  });
});

describe("Message Expiry Interval", () => {
  test("counts down while kept, then it is gone [MQTT-3.3.2-5, -6]", async () => {
    const publisher = await connect();
    const keep = (topic: string, messageExpiryInterval: number) =>
      publisher.publish(topic, topic, {
        qos: 1,
        retain: true,
        properties: { messageExpiryInterval },
      });
    await keep("fading/short", 1);
    await keep("fading/long", 100);
    await elapse(2200);
    const subscriber = await connect();
    await subscriber.subscribe("fading/+");
    const { properties } = await subscriber.expectPublish({ topic: "fading/long" });
    expect(properties.messageExpiryInterval).toBeGreaterThanOrEqual(96);
    expect(properties.messageExpiryInterval).toBeLessThanOrEqual(98);
    await subscriber.expectNothing();
  });
});

test("behind UNSUBACK come those under way, and no others, ever [MQTT-3.10.4-2]", async () => {
  const publisher = await chapter.connect();
  const count = 300;
  for (let i = 0; i < count; i++) {
    await publisher.publish(`unwanted/${i}`, "x", { qos: 1, retain: true });
  }
  const options = {
    clientId: "unwilling",
    clean: false,
    properties: { sessionExpiryInterval: 60, receiveMaximum: 1 },
  };
  const client = await chapter.connect(options);
  await client.subscribe("unwanted/#", { qos: 1 });
  const first = await client.expectPublish();
  await client.unsubscribe("unwanted/#");
  await client.acknowledge(first);
  let taken = 1;
  const takeAll = async (from: TestClient) => {
    for (let quiet = 0; quiet < 3; quiet++) {
      for (const delivery of from.takeDeliveries()) {
        quiet = 0;
        taken++;
        await from.acknowledge(delivery);
      }
      await from.ping();
    }
  };
  await takeAll(client);
  await client.drop();
  await takeAll(await chapter.connect(options));
  expect(taken).toBeLessThan(count / 2);
  for (let i = 0; i < count; i++) {
    await publisher.publish(`unwanted/${i}`, "", { qos: 1, retain: true });
  }
});
