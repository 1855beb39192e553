/**
 * Chapter 2: PUBLISH and the three Quality of Service levels. MQTT 5.0 §3.3, §4.3, §4.6.
 */
import type { QoS } from "mqtt-packet";
import { describe, expect, test } from "vitest";
import { rawPacket, text, varint } from "../support/client-bytes.ts";
import { isMosquitto } from "../support/running-broker.ts";
import { startChapter } from "./chapter.ts";

const chapter = startChapter();
const { connect } = chapter;
const LEVELS: readonly QoS[] = [0, 1, 2];
const PAIRS = LEVELS.flatMap((published) => LEVELS.map((granted) => [published, granted] as const));

describe("Quality of Service", () => {
  for (const version of [4, 5] as const) {
    test.for(PAIRS)(
      `version ${version}: published %i, granted %i: the lower one ` +
        "[MQTT-3.8.4-8] [MQTT-3.8.4-6 @3.1.1] [MQTT-3.3.4-1]",
      async ([published, granted]) => {
        const topic = `qos/${version}/${published}/${granted}`;
        const subscriber = await connect({ version });
        const publisher = await connect({ version });
        expect(await subscriber.subscribe(topic, { qos: granted })).toBe(granted);
        await publisher.publish(topic, "level", { qos: published });
        const qos = Math.min(published, granted) as QoS;
        await subscriber.receive({ topic, payload: "level", qos, dup: false, retain: false });
        await subscriber.expectNothing(publisher);
      },
    );
  }

  test("QoS 0 has no identifier and no acknowledgement [MQTT-2.2.1-2] [MQTT-4.3.1-1]", async () => {
    const client = await connect();
    await client.subscribe("zero");
    await client.publish("zero", "x");
    const { bytes } = await client.expectPublish({ qos: 0, dup: false });
    expect(bytes).toEqual(rawPacket(0x30, text("zero"), 0, Buffer.from("x")));
    await client.expectNothing();
  });

  test("QoS 1: PUBACK echoes the identifier [MQTT-4.3.2-4] [MQTT-2.2.1-5]", async () => {
    const client = await connect();
    for (const packetIdentifier of [1, 65535, 256]) {
      client.sendPublish("one", "x", { qos: 1, packetIdentifier });
      await client.expect("puback", packetIdentifier);
    }
    await client.expectNothing();
  });

  test("QoS 2: PUBREC and PUBCOMP echo it [MQTT-4.3.3-8] [MQTT-4.3.3-11]", async () => {
    const client = await connect();
    for (const packetIdentifier of [1, 65535, 256]) {
      client.sendPublish("two", "x", { qos: 2, packetIdentifier });
      await client.expect("pubrec", packetIdentifier);
      client.send({ cmd: "pubrel", messageId: packetIdentifier });
      await client.expect("pubcomp", packetIdentifier);
    }
    await client.expectNothing();
  });

  test("QoS 1 out: free identifiers, DUP 0 [MQTT-2.2.1-4] [MQTT-4.3.2-1, -2]", async () => {
    const subscriber = await connect();
    const publisher = await connect();
    await subscriber.subscribe("free/#", { qos: 1 });
    const seen = new Set<number>();
    for (let i = 0; i < 50; i++) {
      await publisher.publish("free/x", `${i}`, { qos: 1 });
      const { packetIdentifier } = await subscriber.expectPublish({ payload: `${i}`, dup: false });
      expect(packetIdentifier).toBeGreaterThan(0);
      seen.add(packetIdentifier);
    }
    expect(seen.size).toBe(50); // None was acknowledged, so none may repeat.
  });

  test("QoS 2 out: PUBREL answers PUBREC [MQTT-4.3.3-1, -2, -4] [MQTT-2.2.1-5]", async () => {
    const subscriber = await connect();
    const publisher = await connect();
    await subscriber.subscribe("released", { qos: 2 });
    await publisher.publish("released", "x", { qos: 2 });
    const { packetIdentifier } = await subscriber.expectPublish({ qos: 2, dup: false });
    await subscriber.expectNothing();
    subscriber.send({ cmd: "pubrec", messageId: packetIdentifier });
    expect((await subscriber.expect("pubrel", packetIdentifier)).reasonCode ?? 0).toBe(0);
    await subscriber.expectNothing();
    subscriber.send({ cmd: "pubcomp", messageId: packetIdentifier });
    await subscriber.expectNothing();
  });

  test("the publisher's DUP goes no further [MQTT-3.3.1-3] [MQTT-3.3.1-3 @3.1.1]", async () => {
    const subscriber = await connect();
    const publisher = await connect();
    await subscriber.subscribe("dup", { qos: 2 });
    await publisher.publish("dup", "1", { qos: 1, dup: true });
    await publisher.publish("dup", "2", { qos: 2, dup: true });
    await subscriber.receive({ payload: "1", dup: false });
    await subscriber.receive({ payload: "2", dup: false });
  });
});

describe("order", () => {
  test.for(LEVELS)("QoS %i: as published [MQTT-4.6.0-5] [MQTT-4.6.0-6]", async (qos) => {
    const subscriber = await connect();
    const publisher = await connect();
    await subscriber.subscribe("order/+", { qos });
    const count = 500;
    const identifiers: number[] = [];
    for (let i = 0; i < count; i++) {
      identifiers.push(publisher.sendPublish("order/x", `${i}`, { qos }));
    }
    for (const messageId of qos === 2 ? identifiers : []) {
      await publisher.expect("pubrec", messageId);
      publisher.send({ cmd: "pubrel", messageId });
    }
    for (let i = 0; i < count; i++) await subscriber.receive({ payload: `${i}`, qos });
    await subscriber.expectNothing(...(qos === 0 ? [publisher] : []));
  });

  test("identifiers may be used in any order", async () => {
    const subscriber = await connect();
    const publisher = await connect();
    await subscriber.subscribe("shuffled", { qos: 1 });
    for (const packetIdentifier of [7, 3, 65535, 1]) {
      publisher.sendPublish("shuffled", `${packetIdentifier}`, { qos: 1, packetIdentifier });
    }
    for (const payload of ["7", "3", "65535", "1"]) await subscriber.receive({ payload });
  });
});

describe("the RETAIN flag of a live message", () => {
  test("Retain As Published 0 clears it [MQTT-3.3.1-12]", async () => {
    const client = await connect();
    await client.subscribe("rap/0", { retainAsPublished: false });
    await client.publish("rap/0", "x", { retain: true });
    await client.expectPublish({ topic: "rap/0", retain: false });
  });

  test("Retain As Published 1 keeps it [MQTT-3.3.1-13]", async () => {
    const client = await connect();
    await client.subscribe("rap/1", { retainAsPublished: true });
    await client.publish("rap/1", "x", { retain: true });
    await client.expectPublish({ topic: "rap/1", retain: true });
    await client.publish("rap/1", "y", { retain: false });
    await client.expectPublish({ topic: "rap/1", retain: false });
  });

  test("3.1.1 always gets 0 [MQTT-3.3.1-9 @3.1.1]", async () => {
    const client = await connect({ version: 4 });
    await client.subscribe("rap/4");
    await client.publish("rap/4", "x", { retain: true });
    await client.expectPublish({ topic: "rap/4", retain: false });
  });
});

describe("Topic Alias", () => {
  test("is set, used, overwritten, not passed on [MQTT-3.3.2-12] [MQTT-3.1.2-27]", async () => {
    const subscriber = await connect();
    const publisher = await connect();
    await subscriber.subscribe("alias/#");
    const last = publisher.connack?.properties?.topicAliasMaximum ?? 0;
    expect(last).toBeGreaterThan(0);
    for (const topicAlias of [1, last]) {
      publisher.sendPublish(`alias/${topicAlias}`, "set", { properties: { topicAlias } });
      publisher.sendPublish("", "use", { properties: { topicAlias } });
      publisher.sendPublish("alias/new", "reset", { properties: { topicAlias } });
      publisher.sendPublish("", "reuse", { properties: { topicAlias } });
      for (const [topic, payload] of [
        [`alias/${topicAlias}`, "set"],
        [`alias/${topicAlias}`, "use"],
        ["alias/new", "reset"],
        ["alias/new", "reuse"],
      ] as const) {
        const { properties } = await subscriber.expectPublish({ topic, payload });
        expect(properties).toEqual({});
      }
    }
  });

  test("0 is invalid [MQTT-3.3.2-8]", async () => {
    const client = await connect();
    client.sendBytes(rawPacket(0x30, text("alias"), 3, [0x23, 0, 0]));
    await client.expectDisconnect(0x94);
  });

  test("above the maximum is invalid [MQTT-3.3.2-9] [MQTT-3.2.2-17]", async () => {
    const client = await connect();
    const last = client.connack?.properties?.topicAliasMaximum ?? 0;
    client.sendPublish("alias", "x", { properties: { topicAlias: last + 1 } });
    await client.expectDisconnect(0x94);
  });

  test("unknown, with an empty topic, is a Protocol Error [§3.3.4]", async () => {
    const client = await connect();
    client.sendPublish("", "x", { properties: { topicAlias: 1 } });
    await client.expectDisconnect(0x82);
  });

  test("dies with its connection [MQTT-3.3.2-7]", async () => {
    const properties = { sessionExpiryInterval: 60 };
    const first = await connect({ clientId: "aliasing", properties });
    await first.publish("alias", "x", { qos: 1, properties: { topicAlias: 1 } });
    await first.disconnect();
    const second = await connect({ clientId: "aliasing", clean: false, properties });
    second.sendPublish("", "x", { properties: { topicAlias: 1 } });
    await second.expectDisconnect(0x82);
  });

  test("outgoing ones keep to the client's maximum [MQTT-3.1.2-26] [MQTT-3.3.2-11]", async () => {
    const subscriber = await connect({ properties: { topicAliasMaximum: 2 } });
    await subscriber.subscribe("many/#");
    const known = new Map<number, string>();
    let aliasedCount = 0;
    for (let i = 0; i < 40; i++) {
      await subscriber.publish(`many/${i % 5}`, `${i}`);
      const { topic, properties } = await subscriber.expectPublish({ payload: `${i}` });
      const alias = properties.topicAlias ?? 0;
      expect(alias).toBeLessThanOrEqual(2);
      if (topic !== "") known.set(alias, topic);
      expect(topic === "" ? known.get(alias) : topic).toBe(`many/${i % 5}`);
      if (topic === "") aliasedCount++;
    }
    if (!isMosquitto) expect(aliasedCount).toBeGreaterThan(0);
  });

  test("none to who takes none [MQTT-3.1.2-27]", async () => {
    const subscriber = await connect();
    await subscriber.subscribe("none/#");
    for (let i = 0; i < 5; i++) {
      await subscriber.publish("none/of/them", `${i}`);
      await subscriber.expectPublish({ topic: "none/of/them", properties: {} });
    }
  });

  test("outgoing ones are of one connection, resending starts anew [MQTT-3.3.2-7]", async () => {
    const properties = { sessionExpiryInterval: 60, topicAliasMaximum: 3 };
    const first = await connect({ clientId: "realiasing", properties });
    await first.subscribe("resent/#", { qos: 2 });
    const publisher = await connect();
    const aliased = [];
    for (let i = 0; i < 4; i++) {
      await publisher.publish("resent/topic", `${i}`, { qos: i % 2 === 0 ? 1 : 2 });
      aliased.push((await first.expectPublish({ payload: `${i}` })).topic === "");
    }
    if (!isMosquitto) expect(aliased).toEqual([false, false, true, true]);
    await first.drop();
    const second = await connect({ clientId: "realiasing", clean: false, properties });
    const known = new Map<number, string>();
    for (let i = 0; i < 4; i++) {
      const delivery = await second.expectPublish({ payload: `${i}`, dup: true });
      const alias = delivery.properties.topicAlias ?? 0;
      if (delivery.topic !== "") known.set(alias, delivery.topic);
      expect(delivery.topic || known.get(alias)).toBe("resent/topic");
      await second.acknowledge(delivery);
    }
  });
});

describe("properties are passed on", () => {
  test("unchanged [MQTT-3.3.2-4] [MQTT-3.3.2-15, -16, -20]", async () => {
    const subscriber = await connect();
    const publisher = await connect();
    await subscriber.subscribe("properties", { qos: 2 });
    const properties = {
      payloadFormatIndicator: true,
      responseTopic: "answers/to/this",
      correlationData: Buffer.from([0, 1, 2, 255]),
      contentType: "text/plain; charset=utf-8",
    };
    for (const qos of LEVELS) {
      await publisher.publish("properties", `${qos}`, { qos, properties });
      const delivery = await subscriber.receive({ payload: `${qos}` });
      expect(delivery.properties).toEqual(properties);
    }
  });

  test("User Properties in their order, doubles too [MQTT-3.3.2-17] [MQTT-3.3.2-18]", async () => {
    const subscriber = await connect();
    const publisher = await connect();
    await subscriber.subscribe("user/properties");
    const pairs = [
      ["b", "1"],
      ["a", "2"],
      ["b", "1"],
      ["", ""],
      ["a", "\ufeff3"],
    ].map(([name = "", value = ""]) => Buffer.concat([Buffer.of(0x26), text(name), text(value)]));
    const list = Buffer.concat(pairs);
    publisher.sendBytes(
      rawPacket(0x30, text("user/properties"), varint(list.length), list, Buffer.from("x")),
    );
    const { bytes } = await subscriber.expectPublish({ payload: "x" });
    expect(bytes.includes(list)).toBe(true);
  });

  test("3.1.1 subscribers get none of them", async () => {
    const subscriber = await connect({ version: 4 });
    const publisher = await connect();
    await subscriber.subscribe("plain");
    await publisher.publish("plain", "x", { properties: { contentType: "text/plain" } });
    const { bytes } = await subscriber.expectPublish({ payload: "x" });
    expect(bytes).toEqual(rawPacket(0x30, text("plain"), Buffer.from("x")));
  });

  test("an ill-placed property is malformed [§2.2.2.2]", async () => {
    const client = await connect();
    client.sendBytes(rawPacket(0x30, text("x"), 5, [0x11, 0, 0, 0, 1]));
    await client.expectDisconnect(0x81);
  });
});

describe("the payload", () => {
  test.for(LEVELS)("QoS %i: any bytes, unchanged, from none to many", async (qos) => {
    const subscriber = await connect();
    const publisher = await connect();
    await subscriber.subscribe("payload", { qos });
    for (const byteCount of [0, 1, 127, 128, 16_383, 16_384, 65_535, 65_536, 200_000, 1_900_000]) {
      const payloadBytes = Buffer.alloc(byteCount, "\0\u00ff any bytes \u0001", "latin1");
      await publisher.publish("payload", payloadBytes, { qos });
      const delivery = await subscriber.receive({ qos });
      expect(delivery.payloadBytes.equals(payloadBytes)).toBe(true);
    }
  });

  test("a large packet that comes in pieces is one packet [MQTT-4.2-1]", async () => {
    const subscriber = await connect();
    const publisher = await connect();
    await subscriber.subscribe("pieces", { qos: 1 });
    const body = Buffer.alloc(300_000, "piece ");
    const bytes = rawPacket(0x32, text("pieces"), [0, 9], 0, body);
    for (let at = 0; at < bytes.length; at += 9973) {
      publisher.sendBytes(bytes.subarray(at, at + 9973));
      await new Promise(setImmediate);
    }
    await publisher.expect("puback", 9);
    const delivery = await subscriber.receive({ topic: "pieces" });
    expect(delivery.payloadBytes.equals(body)).toBe(true);
  });
});

describe("a PUBLISH that ends the connection", () => {
  const cases: [string, number, Buffer][] = [
    ["QoS 3 [MQTT-3.3.1-4]", 0x81, rawPacket(0x36, text("x"), [0, 1], 0)],
    ["DUP with QoS 0 [MQTT-3.3.1-2]", 0x81, rawPacket(0x38, text("x"), 0)],
    ["identifier 0 [MQTT-2.2.1-3]", 0x82, rawPacket(0x32, text("x"), [0, 0], 0)],
    ["# in the topic [MQTT-3.3.2-2]", 0x90, rawPacket(0x30, text("x/#"), 0)],
    ["+ in the topic [MQTT-4.7.0-1]", 0x90, rawPacket(0x30, text("+/x"), 0)],
    ["no topic and no alias [MQTT-4.7.3-1]", 0x82, rawPacket(0x30, text(""), 0)],
    ["U+0000 in the topic [MQTT-4.7.3-2]", 0x81, rawPacket(0x30, text("x\0"), 0)],
    ["an ill-formed topic [MQTT-3.3.2-1]", 0x81, rawPacket(0x30, text([0xc3, 0x28]), 0)],
    ["an overlong form [MQTT-1.5.4-1]", 0x81, rawPacket(0x30, text([0xc0, 0xaf]), 0)],
    ["a topic cut off", 0x81, rawPacket(0x30, [0, 9, 0x61])],
    ["a Subscription Identifier [MQTT-3.3.4-6]", 0x82, rawPacket(0x30, text("x"), 2, [0x0b, 1])],
    [
      "a wildcard in the Response Topic [MQTT-3.3.2-14]",
      0x82,
      rawPacket(0x30, text("x"), 6, [0x08], text("a/+")),
    ],
    [
      "an ill-formed Response Topic [MQTT-3.3.2-13]",
      0x81,
      rawPacket(0x30, text("x"), 4, [0x08], text([0xff])),
    ],
    [
      "an ill-formed Content Type [MQTT-3.3.2-19]",
      0x81,
      rawPacket(0x30, text("x"), 4, [0x03], text([0xff])),
    ],
    [
      "an ill-formed User Property [MQTT-1.5.7-1]",
      0x81,
      rawPacket(0x30, text("x"), 7, [0x26], text([0xff]), text("v")),
    ],
    ["Payload Format Indicator 2 [§3.3.2.3.2]", 0x82, rawPacket(0x30, text("x"), 2, [1, 2])],
    ["a length of five bytes [§1.5.5]", 0x81, Buffer.from("30ffffffff01", "hex")],
    ["a length with a needless byte [MQTT-1.5.5-1]", 0x81, Buffer.from("30840000017800", "hex")],
  ];

  test.for(cases)(
    "5.0: %s: DISCONNECT %i [MQTT-4.13.1-1] [MQTT-4.13.2-1]",
    async ([, code, bytes]) => {
      const client = await connect();
      client.sendBytes(bytes);
      await client.expectDisconnect(code);
    },
  );

  const old: [string, Buffer][] = [
    ["QoS 3 [MQTT-3.3.1-4 @3.1.1]", rawPacket(0x36, text("x"), [0, 1])],
    ["DUP with QoS 0 [MQTT-3.3.1-2 @3.1.1]", rawPacket(0x38, text("x"))],
    ["identifier 0 [MQTT-2.3.1-1 @3.1.1]", rawPacket(0x32, text("x"), [0, 0])],
    ["a wildcard [MQTT-3.3.2-2 @3.1.1] [MQTT-4.7.1-1 @3.1.1]", rawPacket(0x30, text("x/#"))],
    ["an empty topic [MQTT-4.7.3-1 @3.1.1]", rawPacket(0x30, text(""))],
    ["U+0000 [MQTT-4.7.3-2 @3.1.1]", rawPacket(0x30, text("x\0"))],
    ["a surrogate [MQTT-1.5.3-1 @3.1.1]", rawPacket(0x30, text([0xed, 0xbf, 0xbf]))],
  ];

  test.for(old)("3.1.1: %s: closed [MQTT-4.8.0-1 @3.1.1]", async ([, bytes]) => {
    const client = await connect({ version: 4 });
    client.sendBytes(bytes);
    await client.closed();
    client.expectInboxEmpty();
  });
});
