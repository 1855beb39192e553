/**
 * Chapter 17: what 3.1.1 says in numbers of its own, spoken in 3.1.1 from the first byte to the
 * last. MQTT 3.1.1 §1.5.3, §2.3.1, §3.1 to §3.10, §4, §6, §7.
 */
import { describe, expect, test } from "vitest";
import { concat, cutPackets, rawConnect, rawPacket, text } from "../support/client-bytes.ts";
import { OPCODE, RawWebSocket } from "../support/client-web-socket.ts";
import { startChapter } from "./chapter.ts";

const chapter = startChapter();
const { connect, open } = chapter;
const version = 4;

describe("CONNECT", () => {
  test("an empty ClientId needs CleanSession 1 [MQTT-3.1.3-7, -9 @3.1.1]", async () => {
    const client = await open({ version });
    client.sendBytes(rawConnect({ level: 4, flags: 0, payload: [text("")] }));
    await client.expectRefusal(2);
  });

  test("a refusal has Session Present 0, then the close [MQTT-3.2.2-4, -5 @3.1.1]", async () => {
    const keeper = { version, clientId: "present", clean: false } as const;
    await (await connect(keeper)).disconnect();
    const client = await open({ version });
    client.sendBytes(rawConnect({ level: 2, flags: 0, payload: [text("present")] }));
    await client.expectRefusal(1); // Checks both.
    expect((await connect(keeper)).connack?.sessionPresent).toBe(true);
  });

  test("where no code fits there is no CONNACK [MQTT-3.2.2-6 @3.1.1]", async () => {
    const client = await open({ version });
    client.sendBytes(rawConnect({ level: 4, flags: 0x1e, payload: [text("a"), text("w")] }));
    await client.closed();
    client.expectInboxEmpty();
  });

  test("the fields of the payload are read in their order [MQTT-3.1.3-1 @3.1.1]", async () => {
    const observer = await connect({ version });
    await observer.subscribe("order/#");
    const client = await open({ version });
    const fields = ["order/id", "order/will", "order/message", "order/user", "order/password"];
    client.sendBytes(
      rawConnect({ level: 4, flags: 0xc6, payload: fields.map((one) => text(one)) }),
    );
    expect((await client.expectConnack()).returnCode).toBe(0);
    const second = await connect({ version, clientId: "order/id" }); // Takes over: same ClientId.
    await client.closed();
    await observer.expectPublish({ topic: "order/will", payload: "order/message" });
    await second.expectNothing();
    await observer.expectNothing();
  });
});

describe("the will", () => {
  const will = { topic: "will4", payload: Buffer.from("gone"), qos: 1 } as const;

  test("is forgotten once published or upon DISCONNECT [MQTT-3.1.2-10 @3.1.1]", async () => {
    const observer = await connect({ version });
    await observer.subscribe("will4", { qos: 1 });
    const keeper = { version, clientId: "mortal4", clean: false } as const;
    await (await connect({ ...keeper, will })).drop();
    await observer.receive({ payload: "gone" });
    await (await connect(keeper)).drop(); // Published it was, so it is gone.
    await observer.expectNothing();
    await (await connect({ ...keeper, will })).disconnect();
    await (await connect(keeper)).drop();
    await observer.expectNothing();
  });
});

describe("Packet Identifiers", () => {
  test("those of the broker are non-zero and free [MQTT-2.3.1-4 @3.1.1]", async () => {
    const subscriber = await connect({ version });
    const publisher = await connect({ version });
    await subscriber.subscribe("ids/#", { qos: 2 });
    const seen = new Set<number>();
    for (let i = 0; i < 40; i++) {
      await publisher.publish("ids/x", `${i}`, { qos: i % 2 === 0 ? 1 : 2 });
      const { packetIdentifier } = await subscriber.expectPublish({ payload: `${i}`, dup: false });
      expect(packetIdentifier).toBeGreaterThan(0);
      seen.add(packetIdentifier);
    }
    expect(seen.size).toBe(40); // None was acknowledged, so none may repeat.
  });

  test("SUBACK and UNSUBACK echo the request's [MQTT-2.3.1-7 @3.1.1]", async () => {
    const client = await connect({ version });
    for (const messageId of [1, 256, 65535]) {
      client.send({ cmd: "subscribe", messageId, subscriptions: [{ topic: "echo", qos: 0 }] });
      await client.expect("suback", messageId);
      client.send({ cmd: "unsubscribe", messageId, unsubscriptions: ["echo"] });
      await client.expect("unsuback", messageId);
    }
    await client.expectNothing();
  });
});

describe("delivery", () => {
  test("QoS 0 has DUP 0 and no identifier [MQTT-4.3.1-1 @3.1.1]", async () => {
    const client = await connect({ version });
    await client.subscribe("zero4");
    await client.publish("zero4", "x", { qos: 0 });
    const { bytes } = await client.expectPublish();
    expect(bytes).toEqual(rawPacket(0x30, text("zero4"), Buffer.from("x")));
  });

  test("what is sent again has DUP and its identifier [MQTT-3.3.1-1 @3.1.1]", async () => {
    const keeper = { version, clientId: "again4", clean: false } as const;
    const client = await connect(keeper);
    await client.subscribe("again4", { qos: 2 });
    const publisher = await connect({ version });
    await publisher.publish("again4", "one", { qos: 1 });
    await publisher.publish("again4", "two", { qos: 2 });
    const one = await client.expectPublish({ payload: "one", dup: false });
    const two = await client.expectPublish({ payload: "two", dup: false });
    await client.drop();
    const back = await connect(keeper);
    for (const { payload, packetIdentifier } of [one, two]) {
      await back.receive({ payload, dup: true, packetIdentifier });
    }
    await back.expectNothing();
  });

  test("every matching Session has the message [MQTT-4.5.0-1 @3.1.1]", async () => {
    const keepers = ["every1", "every2", "every3"].map(
      (clientId) => ({ version, clientId, clean: false }) as const,
    );
    const [away, here, other] = await Promise.all(keepers.map((keeper) => connect(keeper)));
    await away?.subscribe("every/+", { qos: 1 });
    await here?.subscribe("every/#", { qos: 1 });
    await other?.subscribe("every/y", { qos: 1 });
    await away?.disconnect();
    const publisher = await connect({ version });
    await publisher.publish("every/x", "one", { qos: 1 });
    await here?.receive({ payload: "one" });
    await other?.expectNothing();
    await (await connect(keepers[0])).receive({ payload: "one" });
  });

  test.for([0, 1, 2] as const)(
    "QoS %i: a topic is an ordered one [MQTT-4.6.0-5 @3.1.1]",
    async (qos) => {
      const subscriber = await connect({ version });
      const publisher = await connect({ version });
      await subscriber.subscribe("ordered/+", { qos });
      for (let i = 0; i < 100; i++) await publisher.publish("ordered/x", `${i}`, { qos });
      for (let i = 0; i < 100; i++) await subscriber.receive({ payload: `${i}`, qos });
    },
  );

  test("a clean Session lasts as long as its connection [MQTT-4.1.0-2 @3.1.1]", async () => {
    const client = await connect({ version, clientId: "lasting4", clean: true });
    const publisher = await connect({ version });
    await client.subscribe("lasting4", { qos: 2 });
    await publisher.publish("lasting4", "begun", { qos: 2 });
    const { packetIdentifier } = await client.expectPublish({ payload: "begun" });
    // Others come, go and end their Sessions; this one keeps subscription and exchange.
    for (let i = 0; i < 20; i++) await (await connect({ version })).disconnect();
    client.send({ cmd: "pubrec", messageId: packetIdentifier });
    await client.expect("pubrel", packetIdentifier);
    client.send({ cmd: "pubcomp", messageId: packetIdentifier });
    await publisher.publish("lasting4", "later", { qos: 1 });
    await client.receive({ payload: "later" });
    await client.disconnect();
    const keeper = { version, clientId: "lasting4", clean: false } as const;
    expect((await connect(keeper)).connack?.sessionPresent).toBe(false);
  });
});

describe("retained messages", () => {
  test("a new one of QoS 0 displaces the old one [MQTT-3.3.1-7 @3.1.1]", async () => {
    const publisher = await connect({ version });
    await publisher.publish("displaced", "old", { qos: 1, retain: true });
    await publisher.publish("displaced", "new", { qos: 0, retain: true });
    await publisher.ping();
    const subscriber = await connect({ version });
    await subscriber.subscribe("displaced", { qos: 1 });
    await subscriber.receive({ payload: "new", qos: 0, retain: true });
    await subscriber.expectNothing();
  });

  test("an empty payload deletes, and is not kept [MQTT-3.3.1-10, -11 @3.1.1]", async () => {
    const publisher = await connect({ version });
    const live = await connect({ version });
    await live.subscribe("deleted/#");
    await publisher.publish("deleted/x", "kept", { qos: 1, retain: true });
    await publisher.publish("deleted/x", "", { qos: 1, retain: true });
    await live.expectPublish({ payload: "kept", retain: false });
    await live.expectPublish({ payload: "", retain: false });
    const late = await connect({ version });
    await late.subscribe("deleted/#");
    await late.expectNothing();
  });
});

describe("UNSUBSCRIBE", () => {
  test("compares filters character for character [MQTT-3.10.4-1 @3.1.1]", async () => {
    const client = await connect({ version });
    await client.subscribe("exact4/+");
    await client.unsubscribe("exact4/x", "exact4/#", "Exact4/+", "exact4/+/");
    await client.publish("exact4/x", "still");
    await client.expectPublish({ payload: "still" });
    await client.unsubscribe("exact4/+");
    await client.publish("exact4/x", "no more");
    await client.expectNothing();
  });

  test("queues nothing new, finishes what was begun [MQTT-3.10.4-2, -3 @3.1.1]", async () => {
    const keeper = { version, clientId: "begun4", clean: false } as const;
    const client = await connect(keeper);
    const publisher = await connect({ version });
    await client.subscribe("begun4", { qos: 2 });
    await publisher.publish("begun4", "one", { qos: 1 });
    await publisher.publish("begun4", "two", { qos: 2 });
    const one = await client.expectPublish({ payload: "one" });
    const two = await client.expectPublish({ payload: "two" });
    await client.unsubscribe("begun4");
    await publisher.publish("begun4", "three", { qos: 1 });
    await client.drop();
    const back = await connect(keeper);
    for (const { payload, packetIdentifier } of [one, two]) {
      await back.receive({ payload, dup: true, packetIdentifier });
    }
    await back.expectNothing();
  });
});

describe("topics", () => {
  test("U+FEFF is text like any other [MQTT-1.5.3-3 @3.1.1]", async () => {
    const client = await connect({ version });
    await client.subscribe("\ufeffmark");
    await client.publish("mark", "without");
    await client.publish("\ufeffmark", "with");
    await client.expectPublish({ topic: "\ufeffmark", payload: "with" });
    await client.expectNothing();
  });

  test("are as long as a string can be, and no longer [MQTT-4.7.3-3 @3.1.1]", async () => {
    const client = await connect({ version });
    const topic = `long/${"x".repeat(65_530)}`;
    expect(await client.subscribe(topic)).toBe(0);
    await client.publish(topic, "long");
    const { bytes } = await client.expectPublish({ topic, payload: "long" });
    expect(bytes.length).toBe(1 + 3 + 2 + 65_535 + 4);
  });

  test("are matched as they come, not normalized [MQTT-4.7.3-4 @3.1.1]", async () => {
    const client = await connect({ version });
    await client.subscribe("form/\u00e9");
    for (const topic of ["form/e\u0301", "form/E", "form/\u00c9", "form//\u00e9"]) {
      await client.publish(topic, "other");
    }
    await client.publish("form/\u00e9", "same");
    await client.expectPublish({ payload: "same" });
    await client.expectNothing();
  });
});

describe("WebSocket", () => {
  async function openRaw(): Promise<RawWebSocket> {
    return await RawWebSocket.open(chapter.broker().webSocketPort, "mqtt");
  }

  async function receive(webSocket: RawWebSocket, count: number): Promise<Buffer[]> {
    let bytes = Buffer.alloc(0);
    for (;;) {
      const { packets } = cutPackets(bytes);
      if (packets.length >= count) return packets;
      bytes = Buffer.concat([bytes, (await webSocket.nextFrame()).payload]);
    }
  }

  test("packets span and share frames [MQTT-6.0.0-2 @3.1.1]", async () => {
    const webSocket = await openRaw();
    const opening = rawConnect({ level: 4, payload: [text("frames4")] });
    for (const byte of opening) webSocket.send(OPCODE.binary, Buffer.of(byte));
    webSocket.send(OPCODE.binary, concat(rawPacket(0xc0), rawPacket(0xc0), rawPacket(0xc0)));
    const answers = await receive(webSocket, 4);
    expect(answers.map((packet) => packet.toString("hex"))).toEqual([
      "20020000",
      ...["d000", "d000", "d000"],
    ]);
    webSocket.destroy();
  });

  test("who does not offer mqtt is refused [MQTT-6.0.0-3] [MQTT-6.0.0-3 @3.1.1]", async () => {
    const opening = RawWebSocket.open(chapter.broker().webSocketPort, "other, MQTT");
    await expect(opening).rejects.toThrow(/400/);
  });

  test("mqtt is offered and returned [MQTT-6.0.0-3, -4 @3.1.1]", async () => {
    const webSocket = await openRaw();
    expect(webSocket.responseHeaders.get("sec-websocket-protocol")).toBe("mqtt");
    webSocket.send(OPCODE.binary, rawConnect({ level: 4, payload: [text("protocol4")] }));
    expect((await receive(webSocket, 1))[0]?.toString("hex")).toBe("20020000");
    webSocket.destroy();
  });
});

describe("the standard alone", () => {
  test("a whole life in packets of the standard [MQTT-7.0.0-2 @3.1.1]", async () => {
    const client = await open({ version });
    client.sendBytes(rawConnect({ level: 4, payload: [text("plain4")] }));
    expect((await client.expectConnack()).returnCode).toBe(0);
    client.sendBytes(rawPacket(0x82, [0, 1], text("plain"), 2));
    expect((await client.expect("suback", 1)).granted).toEqual([2]);
    client.sendBytes(rawPacket(0x32, text("plain"), [0, 2], Buffer.from("one")));
    await client.expect("puback", 2);
    const one = await client.expectPublish({ topic: "plain", payload: "one", qos: 1 });
    client.sendBytes(rawPacket(0x40, one.bytes.subarray(9, 11)));
    client.sendBytes(rawPacket(0x34, text("plain"), [0, 3], Buffer.from("two")));
    await client.expect("pubrec", 3);
    client.sendBytes(rawPacket(0x62, [0, 3]));
    await client.expect("pubcomp", 3);
    const two = await client.expectPublish({ topic: "plain", payload: "two", qos: 2 });
    client.sendBytes(rawPacket(0x50, two.bytes.subarray(9, 11)));
    await client.expect("pubrel", two.packetIdentifier);
    client.sendBytes(rawPacket(0x70, two.bytes.subarray(9, 11)));
    client.sendBytes(rawPacket(0xa2, [0, 4], text("plain")));
    await client.expect("unsuback", 4);
    await client.expectNothing();
    client.sendBytes(rawPacket(0xe0));
    await client.closed();
  });
});
