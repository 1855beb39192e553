/**
 * Chapter 2, continued: what bounds a PUBLISH: time, Receive Maximum, Maximum Packet Size.
 * MQTT 5.0 §3.1.2.11, §3.3.2.3.3, §3.3.4, §4.9.
 */
import type { QoS } from "mqtt-packet";
import { describe, expect, test } from "vitest";
import { elapse } from "../support/await.ts";
import { rawPacket, text } from "../support/client-bytes.ts";
import { startChapter } from "./chapter.ts";

const chapter = startChapter();
const { connect } = chapter;

describe("Message Expiry Interval", () => {
  test("a live message still has all of its time [MQTT-3.3.2-6]", async () => {
    const client = await connect();
    await client.subscribe("expiry/live");
    await client.publish("expiry/live", "x", { properties: { messageExpiryInterval: 100 } });
    const { properties } = await client.expectPublish();
    expect(properties.messageExpiryInterval).toBeGreaterThanOrEqual(99);
    expect(properties.messageExpiryInterval).toBeLessThanOrEqual(100);
  });

  test("waiting is deducted, the expired are gone [MQTT-3.3.2-5] [MQTT-3.3.2-6]", async () => {
    const properties = { sessionExpiryInterval: 60 };
    const subscriber = await connect({ clientId: "waiting", properties });
    const publisher = await connect();
    await subscriber.subscribe("expiry/queue", { qos: 2 });
    await subscriber.disconnect();
    const publish = (payload: string, qos: QoS, messageExpiryInterval?: number) =>
      publisher.publish("expiry/queue", payload, {
        qos,
        ...(messageExpiryInterval && { properties: { messageExpiryInterval } }),
      });
    await publish("short", 1, 1);
    await publish("long", 1, 100);
    await publish("short too", 2, 1);
    await publish("for ever", 2);
    await elapse(2500);
    const back = await connect({ clientId: "waiting", clean: false, properties });
    const long = await back.receive({ payload: "long", qos: 1 });
    expect(long.properties.messageExpiryInterval).toBeGreaterThanOrEqual(96);
    expect(long.properties.messageExpiryInterval).toBeLessThanOrEqual(98);
    const forEver = await back.receive({ payload: "for ever", qos: 2 });
    expect(forEver.properties.messageExpiryInterval).toBeUndefined();
    await back.expectNothing();
  });

  test("a QoS 2 exchange begun goes on past it [MQTT-4.3.3-7] [MQTT-4.3.3-13]", async () => {
    const subscriber = await connect();
    const publisher = await connect();
    await subscriber.subscribe("expiry/begun", { qos: 2 });
    const properties = { messageExpiryInterval: 1 };
    const packetIdentifier = publisher.sendPublish("expiry/begun", "x", { qos: 2, properties });
    await publisher.expect("pubrec", packetIdentifier);
    await elapse(1500);
    publisher.send({ cmd: "pubrel", messageId: packetIdentifier });
    await publisher.expect("pubcomp", packetIdentifier);
    await publisher.publish("expiry/begun", "marker", { qos: 2 });
    let delivery = await subscriber.expectPublish();
    if (delivery.payload === "x") {
      await subscriber.acknowledge(delivery);
      delivery = await subscriber.expectPublish();
    }
    // Whether "x" came is the broker's choice: it may begin its own delivery before PUBREL or not.
    expect(delivery.payload).toBe("marker");
    await subscriber.acknowledge(delivery);
    await subscriber.expectNothing();
  });
});

describe("the client's Receive Maximum", () => {
  test.for([1, 2] as const)(
    "QoS %i: no more than that are open [MQTT-3.3.4-9] [MQTT-4.9.0-1, -2] [MQTT-3.3.4-10]",
    async (qos) => {
      const subscriber = await connect({ properties: { receiveMaximum: 3 } });
      const publisher = await connect();
      await subscriber.subscribe("window/#", { qos });
      for (let i = 0; i < 10; i++) await publisher.publish("window/x", `${i}`, { qos });
      const open = [];
      for (let i = 0; i < 3; i++) open.push(await subscriber.expectPublish({ payload: `${i}` }));
      await subscriber.expectNothing();
      for (let i = 3; i < 10; i++) {
        const [oldest] = open.splice(0, 1);
        if (oldest) await subscriber.acknowledge(oldest);
        open.push(await subscriber.expectPublish({ payload: `${i}`, dup: false }));
        await subscriber.expectNothing();
      }
      for (const delivery of open) await subscriber.acknowledge(delivery);
      await subscriber.expectNothing();
    },
  );

  test("QoS 0 and all answers pass a full window [MQTT-4.9.0-3]", async () => {
    const subscriber = await connect({ properties: { receiveMaximum: 1 } });
    const publisher = await connect();
    await subscriber.subscribe("full/#", { qos: 2 });
    await publisher.publish("full/1", "held", { qos: 2 });
    await publisher.publish("full/2", "held", { qos: 1 });
    const first = await subscriber.expectPublish({ topic: "full/1" });
    await publisher.publish("full/0", "passes", { qos: 0 });
    await subscriber.expectPublish({ topic: "full/0" });
    expect(await subscriber.subscribe("full/other")).toBe(0);
    expect(await subscriber.publish("else", "x", { qos: 2 })).toBeLessThan(0x80);
    expect(await subscriber.unsubscribe("full/other")).toEqual([0]);
    subscriber.send({ cmd: "pubrec", messageId: first.packetIdentifier });
    await subscriber.expect("pubrel", first.packetIdentifier);
    await subscriber.expectNothing(); // Quota comes back with PUBCOMP, not before.
    subscriber.send({ cmd: "pubcomp", messageId: first.packetIdentifier });
    await subscriber.receive({ topic: "full/2" });
  });

  test("an error in PUBREC or PUBACK gives quota back too [§4.9]", async () => {
    const subscriber = await connect({ properties: { receiveMaximum: 1 } });
    const publisher = await connect();
    await subscriber.subscribe("errors/#", { qos: 2 });
    for (const qos of [2, 1, 2] as const) await publisher.publish("errors/x", `${qos}`, { qos });
    const first = await subscriber.expectPublish({ payload: "2", qos: 2 });
    subscriber.send({ cmd: "pubrec", messageId: first.packetIdentifier, reasonCode: 0x97 });
    const second = await subscriber.expectPublish({ payload: "1", qos: 1 });
    subscriber.send({ cmd: "puback", messageId: second.packetIdentifier, reasonCode: 0x80 });
    await subscriber.receive({ payload: "2", qos: 2 });
    await subscriber.expectNothing();
  });

  test("starts anew with each connection, resends count [§4.9] [MQTT-4.4.0-1]", async () => {
    const keeper = {
      clientId: "anew",
      properties: { sessionExpiryInterval: 60, receiveMaximum: 2 },
    };
    const first = await connect(keeper);
    const publisher = await connect();
    await first.subscribe("anew/#", { qos: 1 });
    for (let i = 0; i < 4; i++) await publisher.publish("anew/x", `${i}`, { qos: 1 });
    await first.expectPublish({ payload: "0" });
    await first.expectPublish({ payload: "1" });
    await first.expectNothing();
    await first.drop();
    const second = await connect({ ...keeper, clean: false });
    const again = await second.expectPublish({ payload: "0", dup: true });
    await second.expectPublish({ payload: "1", dup: true });
    await second.expectNothing();
    await second.acknowledge(again);
    await second.expectPublish({ payload: "2", dup: false });
    await second.expectNothing();
  });

  test("a smaller one bounds redelivery, but no PUBREL [MQTT-4.4.0-1] [MQTT-4.9.0-3]", async () => {
    const keeper = { clientId: "smaller", properties: { sessionExpiryInterval: 60 } };
    const first = await connect(keeper);
    const publisher = await connect();
    await first.subscribe("smaller/#", { qos: 2 });
    const qosOf = (index: number) => (index % 2 === 0 ? 1 : 2);
    for (let i = 0; i < 6; i++) await publisher.publish("smaller/x", `${i}`, { qos: qosOf(i) });
    const sent = [];
    for (let i = 0; i < 6; i++) sent.push(await first.expectPublish({ payload: `${i}` }));
    const released = [sent[3]?.packetIdentifier ?? 0, sent[5]?.packetIdentifier ?? 0];
    for (const packetIdentifier of released) {
      first.send({ cmd: "pubrec", messageId: packetIdentifier });
      await first.expect("pubrel", packetIdentifier);
    }
    await first.drop();
    const properties = { ...keeper.properties, receiveMaximum: 2 };
    const second = await connect({ ...keeper, clean: false, properties });
    for (const packetIdentifier of released) await second.expect("pubrel", packetIdentifier);
    const open = [];
    for (const i of [0, 1]) {
      const { packetIdentifier } = sent[i] ?? { packetIdentifier: 0 };
      open.push(await second.expectPublish({ payload: `${i}`, dup: true, packetIdentifier }));
    }
    await second.expectNothing();
    for (const i of [2, 4]) {
      const oldest = open.shift();
      if (oldest) await second.acknowledge(oldest);
      open.push(await second.expectPublish({ payload: `${i}`, dup: true }));
      // One that awaits its PUBCOMP counts among them, as soon as its turn has come.
      for (const packetIdentifier of released.splice(0, 1)) {
        second.send({ cmd: "pubcomp", messageId: packetIdentifier });
      }
      await second.expectNothing();
    }
    await publisher.publish("smaller/x", "new", { qos: 2 });
    for (const delivery of open) await second.acknowledge(delivery);
    await second.receive({ payload: "new", dup: false });
    await second.expectNothing();
  });
});

describe("the broker's Receive Maximum", () => {
  const narrow = startChapter({ configuration: ["max_inflight_messages 5"] });

  test("one more open message than that is 0x93 [MQTT-3.3.4-7] [§3.3.4]", async () => {
    const client = await narrow.connect();
    const receiveMaximum = client.connack?.properties?.receiveMaximum ?? 65535;
    expect(receiveMaximum).toBe(5);
    for (let i = 0; i < 5; i++)
      await client.expect("pubrec", client.sendPublish("n", "x", { qos: 2 }));
    client.sendPublish("n", "one too many", { qos: 2 });
    await client.expectDisconnect(0x93);
  });

  test("what earlier connections left open does not count [§4.9]", async () => {
    const lasting = { clientId: "forgetful", clean: false };
    const properties = { sessionExpiryInterval: 60 };
    for (let round = 0; round < 3; round++) {
      const client = await narrow.connect({ ...lasting, properties });
      for (let i = 0; i < 4; i++) {
        const packetIdentifier = 100 * round + i + 1;
        client.sendPublish("n", "x", { qos: 2, packetIdentifier });
        await client.expect("pubrec", packetIdentifier);
      }
      expect(await client.publish("n", "y", { qos: 1, packetIdentifier: 999 })).toBe(0x10);
      await client.drop();
    }
    const last = await narrow.connect({ ...lasting, properties });
    for (let i = 0; i < 6; i++) last.sendPublish("n", "x", { qos: 2, packetIdentifier: 5000 + i });
    expect((await last.expect("disconnect")).reasonCode).toBe(0x93);
    await last.closed();
  });

  test("QoS 1 counts while its PUBACK waits, QoS 2 with it [MQTT-3.3.4-7]", async () => {
    const keeper = { clientId: "away", properties: { sessionExpiryInterval: 60 } };
    const away = await narrow.connect(keeper);
    await away.subscribe("n/away", { qos: 2 });
    await away.drop();
    const client = await narrow.connect();
    const publish = (packetIdentifier: number, qos: 1 | 2) =>
      rawPacket(0x30 | (qos << 1), text("n/away"), [0, packetIdentifier], 0, 0x78);
    const qosOf = [1, 2, 1, 2, 1, 1] as const;
    // In one piece: no acknowledgement can have left before the last of them is there.
    client.sendBytes(Buffer.concat(qosOf.map((qos, index) => publish(index + 1, qos))));
    expect((await client.expect("disconnect")).reasonCode).toBe(0x93);
    await client.closed();
  });

  test("PUBCOMP makes room, QoS 0 needs none [MQTT-4.9.0-3]", async () => {
    const client = await narrow.connect();
    const identifiers = [1, 2, 3, 4, 5];
    for (const packetIdentifier of identifiers) {
      client.sendPublish("n", "x", { qos: 2, packetIdentifier });
      await client.expect("pubrec", packetIdentifier);
    }
    client.sendPublish("n", "x");
    client.send({ cmd: "pubrel", messageId: 3 });
    await client.expect("pubcomp", 3);
    client.sendPublish("n", "x", { qos: 2, packetIdentifier: 3 });
    await client.expect("pubrec", 3);
    await client.ping();
  });
});

describe("the client's Maximum Packet Size", () => {
  test.for([0, 1, 2] as const)(
    "QoS %i: larger ones are dropped, the rest goes on [MQTT-3.1.2-24] [MQTT-3.1.2-25]",
    async (qos) => {
      const subscriber = await connect({
        properties: { maximumPacketSize: 100, receiveMaximum: 2 },
      });
      const publisher = await connect();
      await subscriber.subscribe("size/#", { qos });
      await publisher.publish("size/x", "before", { qos });
      await subscriber.receive({ payload: "before" });
      for (let i = 0; i < 5; i++) await publisher.publish("size/x", "x".repeat(200), { qos });
      await publisher.publish("size/x", "after", { qos });
      await subscriber.receive({ payload: "after" });
      await subscriber.expectNothing();
    },
  );

  test("the whole packet counts, to the byte [§3.1.2.11.4]", async () => {
    const subscriber = await connect({ properties: { maximumPacketSize: 64 } });
    await subscriber.subscribe("exact/t", { qos: 1 });
    const overhead = rawPacket(0x32, text("exact/t"), [0, 1], 0).length;
    const publisher = await connect();
    await publisher.publish("exact/t", "y".repeat(65 - overhead), { qos: 1 });
    await publisher.publish("exact/t", "x".repeat(64 - overhead), { qos: 1 });
    const { bytes } = await subscriber.receive({ payload: "x".repeat(64 - overhead) });
    expect(bytes.length).toBe(64);
    await subscriber.expectNothing();
  });

  test("a queued one that is too large does not stall the queue [MQTT-3.1.2-25]", async () => {
    const keeper = { clientId: "small", properties: { sessionExpiryInterval: 60 } };
    const first = await connect(keeper);
    const publisher = await connect();
    await first.subscribe("stall/#", { qos: 1 });
    await first.disconnect();
    for (const payload of ["one", "x".repeat(500), "two", "y".repeat(500), "three"]) {
      await publisher.publish("stall/x", payload, { qos: 1 });
    }
    const properties = { ...keeper.properties, maximumPacketSize: 100, receiveMaximum: 1 };
    const second = await connect({ ...keeper, clean: false, properties });
    for (const payload of ["one", "two", "three"]) await second.receive({ payload });
    await second.expectNothing();
    await second.disconnect();
    const third = await connect({ ...keeper, clean: false });
    await third.expectNothing();
  });
});

describe("the broker's Maximum Packet Size", () => {
  const tight = startChapter({ configuration: ["max_packet_size 1000"] });

  test("CONNACK tells it, and up to it all is well [§3.2.2.3.6]", async () => {
    const client = await tight.connect();
    expect(client.connack?.properties?.maximumPacketSize).toBe(1000);
    await client.subscribe("tight");
    const overhead = rawPacket(0x30, text("tight"), 0, Buffer.alloc(900)).length - 900;
    await client.publish("tight", "x".repeat(1000 - overhead));
    await client.expectPublish({ payload: "x".repeat(1000 - overhead) });
  });

  test("5.0: one byte more is 0x95 [MQTT-3.2.2-15]", async () => {
    const client = await tight.connect();
    const overhead = rawPacket(0x30, text("tight"), 0, Buffer.alloc(900)).length - 900;
    client.sendPublish("tight", "x".repeat(1001 - overhead));
    await client.expectDisconnect(0x95);
  });

  test("5.0: the length alone is enough to tell [§3.2.2.3.6]", async () => {
    const client = await tight.connect();
    client.sendBytes(Buffer.from("30ffffff7f", "hex"));
    await client.expectDisconnect(0x95);
  });

  test("3.1.1: it closes the connection", async () => {
    const client = await tight.connect({ version: 4 });
    client.sendPublish("tight", "x".repeat(1001));
    await client.closed();
    client.expectInboxEmpty();
  });
});
