/**
 * Chapter 4: SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK. MQTT 5.0 §3.8 to §3.11.
 */
import { describe, expect, test } from "vitest";
import { rawPacket, text } from "../support/client-bytes.ts";
import { subscription } from "../support/client-packets.ts";
import { startChapter } from "./chapter.ts";

const chapter = startChapter();
const { connect } = chapter;

describe("SUBACK", () => {
  test("echoes the identifier [MQTT-3.8.4-1, -2] [MQTT-2.2.1-6]", async () => {
    const client = await connect();
    for (const messageId of [1, 65535, 300]) {
      client.send({ cmd: "subscribe", messageId, subscriptions: [subscription("x")] });
      expect((await client.expect("suback")).messageId).toBe(messageId);
    }
  });

  test.for([4, 5] as const)(
    "version %i: one code per filter, in order [MQTT-3.8.4-5, -6, -7] [MQTT-3.9.3-1, -2]",
    async (version) => {
      const client = await connect({ version });
      const entries = [2, 0, 1, 2].map((qos, index) =>
        subscription(`several/${index}`, { qos: qos as 0 | 1 | 2 }, version),
      );
      expect(await client.subscribeAll(entries)).toEqual([2, 0, 1, 2]);
      for (let i = 0; i < 4; i++) {
        await client.publish(`several/${i}`, `${i}`, { qos: 2 });
        await client.receive({ payload: `${i}`, qos: [2, 0, 1, 2][i] as 0 | 1 | 2 });
      }
    },
  );

  test("3.1.1: a thousand filters in one packet [MQTT-3.8.4-4, -5 @3.1.1]", async () => {
    const client = await connect({ version: 4 });
    const entries = Array.from({ length: 1000 }, (_, i) => subscription(`thousand/${i}`, {}, 4));
    expect(await client.subscribeAll(entries)).toEqual(Array(1000).fill(0));
    await client.publish("thousand/999", "x");
    await client.receive({ topic: "thousand/999" });
  });

  test("a filter as long as a string can be [MQTT-4.7.3-3]", async () => {
    const client = await connect();
    const topic = `long/${"x".repeat(65_525)}/last`;
    expect(topic.length).toBe(65535);
    await client.subscribe(topic);
    await client.publish(topic, "x");
    await client.expectPublish({ topic });
  });
});

describe("No Local", () => {
  test("1: not back to its own Client Identifier [MQTT-3.8.3-3]", async () => {
    const client = await connect();
    const other = await connect();
    await client.subscribe("local/#", { noLocal: true });
    await client.publish("local/x", "mine");
    await other.publish("local/x", "theirs");
    await client.expectPublish({ payload: "theirs" });
    await client.expectNothing();
  });

  test("0: back to it too [§3.8.3.1]", async () => {
    const client = await connect();
    await client.subscribe("local/0", { noLocal: false });
    await client.publish("local/0", "mine");
    await client.expectPublish({ payload: "mine" });
  });

  test("is judged for each subscription [MQTT-3.8.3-3]", async () => {
    const client = await connect();
    await client.subscribe("both/#", { noLocal: true, qos: 2 });
    await client.subscribe("both/+", { noLocal: false, qos: 0 });
    await client.publish("both/x", "mine", { qos: 2 });
    await client.receive({ payload: "mine", qos: 0 });
    await client.expectNothing();
  });
});

describe("overlapping subscriptions", () => {
  test("the highest QoS among them is honoured [MQTT-3.3.4-2] [MQTT-3.3.5-1 @3.1.1]", async () => {
    for (const version of [4, 5] as const) {
      const client = await connect({ version });
      await client.subscribe(`overlap${version}/#`, { qos: 0 });
      await client.subscribe(`overlap${version}/+`, { qos: 2 });
      await client.subscribe(`overlap${version}/x`, { qos: 1 });
      await client.publish(`overlap${version}/x`, "x", { qos: 2 });
      await client.receive({ qos: 2 });
      await client.expectNothing(); // One copy, as brokers of a kind do; the standard allows three.
    }
  });

  test("all their Subscription Identifiers come [MQTT-3.3.4-3, -4]", async () => {
    const client = await connect();
    await client.subscribe("ids/#", { subscriptionIdentifier: 268_435_455 });
    await client.subscribe("ids/+", { subscriptionIdentifier: 1 });
    await client.subscribe("ids/x");
    await client.publish("ids/x", "x");
    const { properties } = await client.expectPublish();
    const identifiers = [properties.subscriptionIdentifier].flat();
    expect(identifiers.toSorted()).toEqual([1, 268_435_455]);
    await client.expectNothing();
  });
});

describe("Subscription Identifiers", () => {
  test("are replaced and removed by subscribing again [MQTT-3.8.4-3] [§3.8.4]", async () => {
    const client = await connect();
    for (const subscriptionIdentifier of [5, 6, undefined]) {
      await client.subscribe("identified", {
        ...(subscriptionIdentifier !== undefined && { subscriptionIdentifier }),
      });
      await client.publish("identified", "x");
      const { properties } = await client.expectPublish();
      expect(properties.subscriptionIdentifier).toBe(subscriptionIdentifier);
    }
  });

  test("come with retained messages, and after the Session was resumed [§3.8.2.1.2]", async () => {
    const keeper = { clientId: "identified", properties: { sessionExpiryInterval: 60 } };
    const client = await connect(keeper);
    await client.publish("identified/kept", "kept", { qos: 1, retain: true });
    await client.subscribe("identified/#", { qos: 1, subscriptionIdentifier: 9 });
    const kept = await client.receive({ payload: "kept", retain: true });
    expect(kept.properties.subscriptionIdentifier).toBe(9);
    await client.disconnect();
    const other = await connect();
    await other.publish("identified/later", "later", { qos: 1 });
    const again = await connect({ ...keeper, clean: false });
    const later = await again.receive({ payload: "later" });
    expect(later.properties.subscriptionIdentifier).toBe(9);
  });
});

describe("subscribing again", () => {
  test("replaces the options at once [MQTT-3.8.4-3] [MQTT-3.8.4-3 @3.1.1]", async () => {
    for (const version of [4, 5] as const) {
      const client = await connect({ version });
      for (const qos of [0, 2, 1] as const) {
        await client.subscribe(`again${version}`, { qos });
        await client.publish(`again${version}`, "x", { qos: 2 });
        await client.receive({ qos });
        await client.expectNothing();
      }
    }
  });

  test("loses nothing in flow [MQTT-3.8.4-4]", async () => {
    const client = await connect();
    const publisher = await connect();
    await client.subscribe("flow", { qos: 1 });
    for (let i = 0; i < 200; i++) {
      publisher.sendPublish("flow", `${i}`, { qos: 1 });
      if (i % 10 === 0) await client.subscribe("flow", { qos: 1 });
    }
    for (let i = 0; i < 200; i++) await client.receive({ payload: `${i}` });
    await client.expectNothing();
  });
});

describe("SUBSCRIBE that ends the connection", () => {
  test.for([
    ["other flags [MQTT-3.8.1-1]", 0x81, rawPacket(0x80, [0, 1], 0, text("x"), 0)],
    ["identifier 0 [MQTT-2.2.1-3]", 0x82, rawPacket(0x82, [0, 0], 0, text("x"), 0)],
    ["no filter [MQTT-3.8.3-2]", 0x82, rawPacket(0x82, [0, 1], 0)],
    ["reserved option bits [MQTT-3.8.3-5]", 0x81, rawPacket(0x82, [0, 1], 0, text("x"), 0x40)],
    ["QoS 3 [§3.8.3.1]", 0x82, rawPacket(0x82, [0, 1], 0, text("x"), 3)],
    ["Retain Handling 3 [§3.8.3.1]", 0x82, rawPacket(0x82, [0, 1], 0, text("x"), 0x30)],
    ["no options", 0x81, rawPacket(0x82, [0, 1], 0, text("x"))],
    ["an ill-formed filter [MQTT-3.8.3-1]", 0x81, rawPacket(0x82, [0, 1], 0, text([0xff]), 0)],
    ["identifier 0 as property", 0x82, rawPacket(0x82, [0, 1], 2, [0x0b, 0], text("x"), 0)],
  ] as const)("5.0: %s: DISCONNECT %i [MQTT-4.13.1-1]", async ([, code, bytes]) => {
    const client = await connect();
    client.sendBytes(bytes);
    await client.expectDisconnect(code);
  });

  test.for([
    ["other flags [MQTT-3.8.1-1 @3.1.1]", rawPacket(0x80, [0, 1], text("x"), 0)],
    ["no filter [MQTT-3.8.3-3 @3.1.1]", rawPacket(0x82, [0, 1])],
    ["QoS 3 [MQTT-3.8.3-4 @3.1.1]", rawPacket(0x82, [0, 1], text("x"), 3)],
    ["options of 5.0 [MQTT-3.8.3-4 @3.1.1]", rawPacket(0x82, [0, 1], text("x"), 4)],
    ["an ill-formed filter [MQTT-3.8.3-1 @3.1.1]", rawPacket(0x82, [0, 1], text([0xff]), 0)],
    ["UNSUBSCRIBE, no filter [MQTT-3.10.3-2 @3.1.1]", rawPacket(0xa2, [0, 1])],
    ["UNSUBSCRIBE, other flags [MQTT-3.10.1-1 @3.1.1]", rawPacket(0xa0, [0, 1], text("x"))],
  ] as const)("3.1.1: %s: closed", async ([, bytes]) => {
    const client = await connect({ version: 4 });
    client.sendBytes(bytes);
    await client.closed();
    client.expectInboxEmpty();
  });

  test.for([
    ["#/x", "[MQTT-4.7.1-1]"],
    ["x#", "[MQTT-4.7.1-1]"],
    ["x/#/y", "[MQTT-4.7.1-1]"],
    ["x+", "[MQTT-4.7.1-2]"],
    ["x/+y/z", "[MQTT-4.7.1-2]"],
    ["", "[MQTT-4.7.3-1]"],
  ] as const)("the filter %j is refused with 0x8F %s", async ([filter]) => {
    const client = await connect();
    client.sendBytes(rawPacket(0x82, [0, 1], 0, text(filter), 0));
    const answer = await Promise.race([client.expect("suback"), client.expect("disconnect")]);
    if (answer.cmd === "suback") expect(answer.granted).toEqual([0x8f]);
    else expect(answer.reasonCode).toBe(0x8f);
  });
});

describe("UNSUBSCRIBE", () => {
  test("5.0: a code per filter, in order [MQTT-3.11.3-1, -2] [MQTT-3.10.4-4, -5, -6]", async () => {
    const client = await connect();
    await client.subscribe("un/a");
    await client.subscribe("un/+");
    expect(await client.unsubscribe("un/none", "un/a", "un/+", "un/a")).toEqual([0x11, 0, 0, 0x11]);
    await client.publish("un/a", "x");
    await client.expectNothing();
  });

  test("3.1.1: UNSUBACK without payload [MQTT-3.10.4-4, -5, -6 @3.1.1]", async () => {
    const client = await connect({ version: 4 });
    await client.unsubscribe("never/there");
    await client.subscribe("un/4");
    await client.unsubscribe("un/4", "un/5");
    await client.publish("un/4", "x");
    await client.expectNothing();
  });

  test("compares filters byte by byte [MQTT-3.10.4-1]", async () => {
    const client = await connect();
    await client.subscribe("exact/+");
    expect(await client.unsubscribe("exact/x", "exact/#", "Exact/+", "exact/+/")).toEqual([
      0x11, 0x11, 0x11, 0x11,
    ]);
    await client.publish("exact/x", "still");
    await client.expectPublish({ payload: "still" });
  });

  test("queues nothing new, finishes what was begun [MQTT-3.10.4-2, -3]", async () => {
    const keeper = {
      clientId: "unsubscriber",
      properties: { sessionExpiryInterval: 60, receiveMaximum: 2 },
    };
    const client = await connect(keeper);
    const publisher = await connect();
    await client.subscribe("begun", { qos: 2 });
    await publisher.publish("begun", "one", { qos: 1 });
    await publisher.publish("begun", "two", { qos: 2 });
    const one = await client.expectPublish({ payload: "one" });
    const two = await client.expectPublish({ payload: "two" });
    expect(await client.unsubscribe("begun")).toEqual([0]);
    await publisher.publish("begun", "three", { qos: 1 });
    await client.drop();
    const again = await connect({ ...keeper, clean: false });
    const { packetIdentifier } = one;
    await again.receive({ payload: "one", dup: true, packetIdentifier });
    await again.receive({
      payload: "two",
      dup: true,
      packetIdentifier: two.packetIdentifier,
    });
    await again.expectNothing();
  });

  test.for([
    ["other flags [MQTT-3.10.1-1]", 0x81, rawPacket(0xa0, [0, 1], 0, text("x"))],
    ["no filter [MQTT-3.10.3-2]", 0x82, rawPacket(0xa2, [0, 1], 0)],
    ["identifier 0 [MQTT-2.2.1-3]", 0x82, rawPacket(0xa2, [0, 0], 0, text("x"))],
    ["an ill-formed filter [MQTT-3.10.3-1]", 0x81, rawPacket(0xa2, [0, 1], 0, text([0xff]))],
  ] as const)("with %s: DISCONNECT %i [MQTT-4.13.1-1]", async ([, code, bytes]) => {
    const client = await connect();
    client.sendBytes(bytes);
    await client.expectDisconnect(code);
  });
});
