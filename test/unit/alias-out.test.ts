/** Topic Aliases that the broker sets: who gets one, what bounds them, what becomes of them. */
import { describe, expect, test } from "vitest";
import { EngineHarness, type HarnessSettings } from "../support/engine-harness.ts";
import { connectClient, type HarnessClient } from "../support/engine-harness-client.ts";
import { properties, utf8 } from "../support/packets.ts";
import { propertyIdentifier } from "../support/packets-tables.ts";
import type { PublishPacket, QoS } from "../support/packets-types.ts";

const TOPIC_ALIAS = propertyIdentifier("topic_alias");

/** `name=alias` as the packet has them; without `=alias` where it has none. */
function sign(packet: PublishPacket): string {
  const alias = packet.properties.find(([identifier]) => identifier === TOPIC_ALIAS);
  return alias === undefined ? packet.topicName : `${packet.topicName}=${alias[1]}`;
}

async function subscriber(
  harness: EngineHarness,
  name: string,
  topicAliasMaximum: number,
  more: Readonly<Record<string, number>> = {},
): Promise<HarnessClient> {
  const list = properties({ topic_alias_maximum: topicAliasMaximum, ...more });
  const client = await connectClient(harness, name, { connect: { properties: list } });
  client.subscribe("#", 2);
  await harness.settle();
  client.take();
  return client;
}

async function start(settings: HarnessSettings = {}) {
  const harness = new EngineHarness(settings);
  const publisher = await connectClient(harness, "publisher");
  const send = async (...topics: readonly string[]) => {
    for (const topicName of topics) publisher.publish(topicName, 0, { payload: utf8("x") });
    await harness.settle();
  };
  return { harness, publisher, send };
}

describe("Topic Aliases that the broker sets", () => {
  test("at the second sending, and for each connection its own [MQTT-3.3.2-7]", async () => {
    const { harness, send } = await start();
    const one = await subscriber(harness, "one", 5);
    await send("a/one", "a/one");
    const two = await subscriber(harness, "two", 5);
    await send("a/one", "a/two", "a/two", "a/one", "a/two");
    const [first, second, alone, ...rest] = one.takePublished().map(sign);
    expect([first, second?.replace(/\d$/, "N")]).toEqual(["a/one", "a/one=N"]);
    const alias = second?.slice("a/one=".length);
    expect(alone).toBe(`=${alias}`);
    expect(rest[2]).toBe(`=${alias}`);
    expect(rest[0]).toBe("a/two");
    expect(rest[1]).toMatch(/^a\/two=[1-5]$/);
    expect(rest[1]?.slice("a/two=".length)).not.toBe(alias);
    expect(rest[3]).toBe(rest[1]?.slice("a/two".length));
    const others = two.takePublished().map(sign);
    expect(others.map((one) => one.replace(/=\d$/, "=N"))).toEqual([
      "a/one",
      "a/two",
      "a/two=N",
      "a/one=N",
      "=N",
    ]);
  });

  test.for([
    ["the client takes none", 0, 10],
    ["the operator wants none", 10, 0],
  ] as const)("none where %s [MQTT-3.1.2-26] [MQTT-3.1.2-27]", async ([, client, broker]) => {
    const { harness, send } = await start({ topicAliasOutMax: broker });
    const one = await subscriber(harness, "one", client);
    await send(...Array.from({ length: 10 }, () => "a/one"));
    expect(one.takePublished().map(sign)).toEqual(Array.from({ length: 10 }, () => "a/one"));
  });

  test.for([
    [3, 10, 3],
    [10, 4, 4],
    [65_535, 65_535, 12],
  ] as const)(
    "the client takes %i, the broker uses %i: %i topics have one [MQTT-3.3.2-11]",
    async ([client, broker, expected]) => {
      const { harness, send } = await start({ topicAliasOutMax: broker });
      const one = await subscriber(harness, "one", client);
      const topics = Array.from({ length: 12 }, (_, index) => `topic/${index}`);
      for (let round = 0; round < 6; round++) await send(...topics);
      const signs = one.takePublished().map(sign);
      const aliases = signs.flatMap((text) => /=(\d+)$/.exec(text)?.[1] ?? []).map(Number);
      expect(new Set(aliases).size).toBe(expected);
      expect(Math.max(...aliases)).toBeLessThanOrEqual(client);
      // Equally hot, they do not push each other out all the time.
      expect(signs.slice(-12).filter((text) => text.startsWith("=")).length).toBeGreaterThan(0);
    },
  );

  test("a hot topic takes the place of one that is not any more", async () => {
    const { harness, send } = await start();
    const one = await subscriber(harness, "one", 1);
    await send("old/topic", "old/topic", "old/topic");
    one.take();
    for (let i = 0; i < 20; i++) await send("new/topic");
    const signs = one.takePublished().map(sign);
    expect(signs[0]).toBe("new/topic");
    expect(signs.filter((text) => text === "new/topic=1")).toHaveLength(1);
    expect(signs.at(-1)).toBe("=1");
    await send("old/topic");
    expect(one.takePublished().map(sign)).toEqual(["old/topic"]);
  });

  test("names that are shorter than an alias have none", async () => {
    const { harness, send } = await start();
    const one = await subscriber(harness, "one", 5);
    await send("abc", "abc", "abc", "abcd", "abcd");
    const signs = one.takePublished().map(sign);
    expect(signs.slice(0, 4)).toEqual(["abc", "abc", "abc", "abcd"]);
    expect(signs[4]).toMatch(/^abcd=/);
  });

  test("a connection's aliases stand for 64 KiB of names at most", async () => {
    const { harness, send } = await start();
    const one = await subscriber(harness, "one", 10);
    const topics = ["a", "b", "c", "d"].map((letter) => letter.repeat(20_000));
    for (let round = 0; round < 4; round++) await send(...topics);
    const signs = one.takePublished().map((packet) => sign(packet).slice(-10));
    // Three of them make 60,000 bytes; who has none goes on by name.
    expect(signs.slice(-4).filter((text) => text.startsWith("="))).toHaveLength(3);
  });

  test.for([0, 1, 2] as const)(
    "QoS %i with Subscription Identifier: it goes along",
    async (qos) => {
      const { harness, publisher } = await start();
      const list = properties({ topic_alias_maximum: 3, receive_maximum: 100 });
      const one = await connectClient(harness, "one", { connect: { properties: list } });
      one.subscribe("a/+", qos, {}, 7);
      await harness.settle();
      one.take();
      const sent = properties({ message_expiry_interval: 60, content_type: "text" });
      for (let i = 1; i <= 3; i++) {
        publisher.publish("a/b/".slice(0, 3), qos, { packetIdentifier: i, properties: sent });
        publisher.publish("a/long", qos, { packetIdentifier: i + 10, properties: sent });
      }
      await harness.settle();
      const came = one.takePublished().filter((packet) => packet.topicName !== "a/b");
      const alias = [TOPIC_ALIAS, came[1]?.properties[0]?.[1]];
      const rest = [
        [propertyIdentifier("message_expiry_interval"), 60],
        [propertyIdentifier("subscription_identifier"), 7],
        [propertyIdentifier("content_type"), "text"],
      ];
      expect(came.map(({ topicName, properties: own }) => [topicName, own])).toEqual([
        ["a/long", rest],
        ["a/long", [alias, ...rest]],
        ["", [alias, ...rest]],
      ]);
      expect(new Set(came.map((packet) => packet.packetIdentifier)).size).toBe(qos === 0 ? 1 : 3);
    },
  );
});

describe("Topic Aliases and the client's Maximum Packet Size", () => {
  /** Bytes of a PUBLISH in version 5 with QoS 0 and no properties. */
  const sizeOf = (topic: string, payloadBytes: number) => 2 + 2 + topic.length + 1 + payloadBytes;
  const topic = "size/of/it";

  test("one that only fits without is sent without [MQTT-3.1.2-24]", async () => {
    const { harness, publisher } = await start();
    const one = await subscriber(harness, "one", 5, { maximum_packet_size: 100 });
    const full = 100 - sizeOf(topic, 0);
    const publish = async (...sizes: readonly number[]) => {
      for (const size of sizes) publisher.publish(topic, 0, { payload: new Uint8Array(size) });
      await harness.settle();
      return one.takePublished().map((packet) => `${sign(packet)} ${packet.payload.length}`);
    };
    expect(await publish(full, full, full - 2)).toEqual([
      `${topic} ${full}`,
      `${topic} ${full}`,
      `${topic} ${full - 2}`,
    ]);
    const [set, used] = await publish(full - 3, full + topic.length - 3);
    const alias = /=(\d+)/.exec(set ?? "")?.[1];
    expect(set).toBe(`${topic}=${alias} ${full - 3}`);
    // With the name it would have been too large.
    expect(used).toBe(`=${alias} ${full + topic.length - 3}`);
    expect(await publish(full + topic.length - 2, 1)).toEqual([`=${alias} 1`]);
  });

  test("one that is dropped sets nothing [MQTT-3.1.2-25]", async () => {
    const { harness, publisher, send } = await start();
    const one = await subscriber(harness, "one", 5, { maximum_packet_size: 50 });
    await send(topic);
    publisher.publish(topic, 0, { payload: new Uint8Array(60) });
    await send(topic);
    const signs = one.takePublished().map(sign);
    expect(signs[0]).toBe(topic);
    expect(signs[1]).toMatch(/^size\/of\/it=\d$/);
    expect(signs).toHaveLength(2);
  });
});

test("a Session that is resumed starts without them, resent messages too", async () => {
  const { harness, publisher } = await start();
  const list = { topic_alias_maximum: 5, session_expiry_interval: 60 };
  const back = { clean: false, connect: { properties: properties(list) } };
  const first = await connectClient(harness, "one", back);
  first.subscribe("#", 1);
  await harness.settle();
  const publish = async (identifier: number) => {
    publisher.publish("res/ent", 1, { packetIdentifier: identifier, payload: utf8("x") });
    await harness.settle();
  };
  for (let i = 1; i <= 3; i++) await publish(i);
  const before = first.takePublished().map(sign);
  expect(before.at(-1)).toMatch(/^=\d$/);
  first.hangUp();
  await harness.settle();
  const second = await connectClient(harness, "one", back);
  await publish(4);
  const signs = second.takePublished().map(sign);
  expect(signs.map((text) => text.replace(/=\d$/, "=N"))).toEqual([
    "res/ent",
    "res/ent=N",
    "=N",
    "=N",
  ]);
  second.hangUp();
  await harness.settle();
  // Whose new connection takes none gets none.
  const plain = properties({ session_expiry_interval: 60 });
  const third = await connectClient(harness, "one", {
    clean: false,
    connect: { properties: plain },
  });
  expect(third.takePublished().map(sign)).toEqual(Array.from({ length: 4 }, () => "res/ent"));
});

test("long payloads, which are sent in pieces, have them as well", async () => {
  const { harness, publisher } = await start();
  const one = await subscriber(harness, "one", 5);
  for (const qos of [0, 1, 2, 0] as readonly QoS[]) {
    const payload = new Uint8Array(40_000).fill(0x61);
    publisher.publish("long/payload", qos, { packetIdentifier: qos, payload });
  }
  await harness.settle();
  const came = one.takePublished();
  expect(came.map((packet) => sign(packet).replace(/=\d$/, "=N"))).toEqual([
    "long/payload",
    "long/payload=N",
    "=N",
    "=N",
  ]);
  expect(came.every((packet) => packet.payload.every((byte) => byte === 0x61))).toBe(true);
  expect(came.every((packet) => packet.payload.length === 40_000)).toBe(true);
});

test("nothing of them is left behind when the connection ends", async () => {
  const { harness, send } = await start();
  await send("warm/up");
  await harness.settle();
  const quiet = await subscriber(harness, "quiet", 0);
  quiet.hangUp();
  await harness.settle();
  harness.engine.calls.clearCache();
  const before = harness.heap();
  const one = await subscriber(harness, "one", 10);
  for (let i = 0; i < 4; i++) await send("a/one", "a/two", "a/three");
  expect(one.takePublished().map(sign).at(-1)).toMatch(/^=/);
  one.hangUp();
  await harness.settle();
  harness.engine.calls.clearCache();
  expect(harness.heap()).toEqual(before);
});

/** The engine's hash of eight bytes with the seed of the harness, 1: see topic.ts. */
function hashOf(topic: string): number {
  const word = (value: bigint) => BigInt.asUintN(64, value);
  const low = 0xffff_ffffn;
  const seeded = 1n ^ word((8n << 32n) * 0x9e37_79b9_7f4a_7c15n);
  const mixed = seeded ^ Buffer.from(topic).readBigUInt64LE();
  let hash = word((mixed & low) * (mixed >> 32n) + (word(mixed << 29n) | (mixed >> 35n)));
  hash ^= hash >> 32n;
  hash = word(hash * 0xbf58_476d_1ce4_e5b9n);
  hash ^= hash >> 29n;
  hash = word(hash * 0x9e37_79b9_7f4a_7c15n);
  return Number((hash ^ (hash >> 32n)) & low) | 1;
}

test("two topics of one hash are not taken for each other", async () => {
  const known = new Map<number, string>();
  let pair: readonly string[] = [];
  for (let i = 0; pair.length === 0; i++) {
    const topic = `t${i}`.padEnd(8, "/");
    const other = known.get(hashOf(topic));
    if (other !== undefined) pair = [other, topic];
    known.set(hashOf(topic), topic);
  }
  const { harness, send } = await start();
  const one = await subscriber(harness, "one", 10);
  for (let round = 0; round < 4; round++) await send(...pair);
  const topics = new Map<string, string>();
  const came = one.takePublished().map((packet) => {
    const [, topic = "", alias = ""] = /^([^=]*)=?(\d*)$/.exec(sign(packet)) ?? [];
    if (topic !== "") topics.set(alias, topic);
    return topic || topics.get(alias);
  });
  expect(came).toEqual([...pair, ...pair, ...pair, ...pair]);
  expect(topics.size).toBeGreaterThan(1);
});
