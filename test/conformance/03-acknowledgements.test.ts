/**
 * Chapter 3: PUBACK, PUBREC, PUBREL, PUBCOMP, in and out of order. MQTT 5.0 §3.4 to §3.7, §4.3.
 */
import { describe, expect, test } from "vitest";
import { rawPacket } from "../support/client-bytes.ts";
import { startChapter } from "./chapter.ts";

const chapter = startChapter();
const { connect } = chapter;
const VERSIONS = [4, 5] as const;

describe("unknown Packet Identifiers", () => {
  test.for(VERSIONS)("version %i: PUBACK and PUBCOMP are ignored", async (version) => {
    const client = await connect({ version });
    client.send({ cmd: "puback", messageId: 77 });
    client.send({ cmd: "pubcomp", messageId: 77 });
    await client.expectNothing();
  });

  test("5.0: PUBREC is answered by PUBREL 0x92 [§3.6.2.1] [MQTT-3.6.2-1]", async () => {
    const client = await connect();
    client.send({ cmd: "pubrec", messageId: 77 });
    expect((await client.expect("pubrel", 77)).reasonCode).toBe(0x92);
    await client.ping();
  });

  test("5.0: PUBREL is answered by PUBCOMP 0x92 [§3.7.2.1] [MQTT-3.7.2-1]", async () => {
    const client = await connect();
    client.send({ cmd: "pubrel", messageId: 77 });
    expect((await client.expect("pubcomp", 77)).reasonCode).toBe(0x92);
    await client.ping();
  });

  test("3.1.1: PUBREC is answered by PUBREL, PUBREL by PUBCOMP [MQTT-4.3.3-2 @3.1.1]", async () => {
    const client = await connect({ version: 4 });
    client.send({ cmd: "pubrec", messageId: 77 });
    await client.expect("pubrel", 77);
    client.send({ cmd: "pubrel", messageId: 78 });
    await client.expect("pubcomp", 78);
    await client.ping();
  });
});

describe("acknowledgements in the wrong state", () => {
  test.for([
    ["PUBACK", "puback"],
    ["PUBCOMP", "pubcomp"],
  ] as const)(
    "%s where PUBREC is due does not finish the exchange [MQTT-4.3.3-3]",
    async ([, cmd]) => {
      const subscriber = await connect();
      const publisher = await connect();
      await subscriber.subscribe("state/2", { qos: 2 });
      await publisher.publish("state/2", "x", { qos: 2 });
      const { packetIdentifier } = await subscriber.expectPublish({ qos: 2 });
      subscriber.send({ cmd, messageId: packetIdentifier });
      subscriber.send({ cmd: "pubrec", messageId: packetIdentifier });
      const answer = await Promise.race([
        subscriber.expect("pubrel", packetIdentifier),
        subscriber.expect("disconnect"),
      ]);
      expect(answer.reasonCode ?? 0).toBe(answer.cmd === "pubrel" ? 0 : 0x82);
    },
  );

  test.for(["pubrec", "pubcomp"] as const)(
    "%s where PUBACK is due does not finish it [MQTT-4.3.2-3]",
    async (cmd) => {
      const keeper = { clientId: `state-${cmd}`, properties: { sessionExpiryInterval: 60 } };
      const subscriber = await connect(keeper);
      const publisher = await connect();
      await subscriber.subscribe("state/1", { qos: 1 });
      await publisher.publish("state/1", "x", { qos: 1 });
      const { packetIdentifier } = await subscriber.expectPublish({ qos: 1 });
      subscriber.send({ cmd, messageId: packetIdentifier });
      await subscriber.drop();
      const again = await connect({ ...keeper, clean: false });
      await again.receive({ payload: "x", dup: true, packetIdentifier });
    },
  );

  test("a second PUBREC is answered by PUBREL again [MQTT-4.3.3-4]", async () => {
    const subscriber = await connect();
    const publisher = await connect();
    await subscriber.subscribe("second", { qos: 2 });
    await publisher.publish("second", "x", { qos: 2 });
    const { packetIdentifier: messageId } = await subscriber.expectPublish();
    subscriber.send({ cmd: "pubrec", messageId });
    await subscriber.expect("pubrel", messageId);
    subscriber.send({ cmd: "pubrec", messageId });
    expect((await subscriber.expect("pubrel", messageId)).reasonCode ?? 0).toBe(0);
    subscriber.send({ cmd: "pubcomp", messageId });
    await subscriber.expectNothing();
  });
});

describe("refusals by the receiver", () => {
  test("PUBREC of 0x80 or higher ends the exchange [MQTT-4.3.3-4] [MQTT-4.4.0-2]", async () => {
    const keeper = { clientId: "refusing2", properties: { sessionExpiryInterval: 60 } };
    const subscriber = await connect(keeper);
    const publisher = await connect();
    await subscriber.subscribe("refuse/2", { qos: 2 });
    await publisher.publish("refuse/2", "x", { qos: 2 });
    const { packetIdentifier } = await subscriber.expectPublish();
    subscriber.send({ cmd: "pubrec", messageId: packetIdentifier, reasonCode: 0x80 });
    await subscriber.expectNothing();
    await subscriber.drop();
    const again = await connect({ ...keeper, clean: false });
    await again.expectNothing();
  });

  test("PUBACK of 0x80 or higher is an acknowledgement [MQTT-4.4.0-2]", async () => {
    const keeper = { clientId: "refusing1", properties: { sessionExpiryInterval: 60 } };
    const subscriber = await connect(keeper);
    const publisher = await connect();
    await subscriber.subscribe("refuse/1", { qos: 1 });
    await publisher.publish("refuse/1", "x", { qos: 1 });
    const { packetIdentifier } = await subscriber.expectPublish();
    subscriber.send({ cmd: "puback", messageId: packetIdentifier, reasonCode: 0x83 });
    await subscriber.drop();
    const again = await connect({ ...keeper, clean: false });
    await again.expectNothing();
  });
});

describe("out of order", () => {
  test("PUBACKs in any order leave a window that works", async () => {
    const subscriber = await connect({ properties: { receiveMaximum: 4 } });
    const publisher = await connect();
    await subscriber.subscribe("any/order", { qos: 1 });
    const open = [];
    for (let i = 0; i < 4; i++) {
      await publisher.publish("any/order", `${i}`, { qos: 1 });
      open.push(await subscriber.expectPublish({ payload: `${i}` }));
    }
    for (const index of [2, 0, 3, 1]) {
      const delivery = open[index];
      if (delivery) await subscriber.acknowledge(delivery);
    }
    for (let i = 4; i < 200; i++) {
      await publisher.publish("any/order", `${i}`, { qos: 1 });
      await subscriber.receive({ payload: `${i}`, dup: false });
    }
    await subscriber.expectNothing();
  });

  test("PUBRELs in another order than the PUBLISHes [MQTT-4.3.3-11]", async () => {
    const subscriber = await connect();
    const publisher = await connect();
    await subscriber.subscribe("rel/order", { qos: 2 });
    for (const packetIdentifier of [1, 2, 3]) {
      publisher.sendPublish("rel/order", `${packetIdentifier}`, { qos: 2, packetIdentifier });
      await publisher.expect("pubrec", packetIdentifier);
    }
    for (const messageId of [3, 1, 2]) {
      publisher.send({ cmd: "pubrel", messageId });
      expect((await publisher.expect("pubcomp", messageId)).reasonCode ?? 0).toBe(0);
    }
    const payloads = [];
    for (let i = 0; i < 3; i++) payloads.push((await subscriber.receive()).payload);
    expect(payloads.toSorted()).toEqual(["1", "2", "3"]);
    await subscriber.expectNothing();
  });

  test("answers keep the order of the packets they answer [MQTT-4.6.0-6 @3.1.1]", async () => {
    const publisher = await connect({ version: 4 });
    for (let i = 1; i <= 50; i++) publisher.sendPublish("x", "1", { qos: 1, packetIdentifier: i });
    for (let i = 1; i <= 50; i++) {
      expect((await publisher.next("puback")).messageId).toBe(i);
    }
    for (let i = 1; i <= 50; i++) publisher.sendPublish("x", "2", { qos: 2, packetIdentifier: i });
    for (let i = 1; i <= 50; i++) {
      expect((await publisher.next("pubrec")).messageId).toBe(i);
    }
    for (let i = 1; i <= 50; i++) publisher.send({ cmd: "pubrel", messageId: i });
    for (let i = 1; i <= 50; i++) {
      expect((await publisher.next("pubcomp")).messageId).toBe(i);
    }
  });
});

describe("repeated PUBLISH", () => {
  test.for(VERSIONS)(
    "version %i: QoS 2 before PUBREL is delivered once [MQTT-4.3.3-10] [MQTT-4.3.3-2 @3.1.1]",
    async (version) => {
      const subscriber = await connect();
      const publisher = await connect({ version });
      await subscriber.subscribe("repeat/2", { qos: 2 });
      for (const dup of [false, true, true, false]) {
        publisher.sendPublish("repeat/2", "once", { qos: 2, dup, packetIdentifier: 5 });
        await publisher.expect("pubrec", 5);
      }
      publisher.send({ cmd: "pubrel", messageId: 5 });
      await publisher.expect("pubcomp", 5);
      await subscriber.receive({ payload: "once" });
      await subscriber.expectNothing();
    },
  );

  test.for(VERSIONS)(
    "version %i: so it is when the connection was lost [MQTT-4.1.0-1] [MQTT-4.1.0-1 @3.1.1]",
    async (version) => {
      const subscriber = await connect();
      const properties = { sessionExpiryInterval: 60 };
      const keeper = { version, clientId: `repeat${version}`, clean: false, properties };
      await subscriber.subscribe("repeat/3", { qos: 2 });
      const first = await connect(keeper);
      first.sendPublish("repeat/3", "once", { qos: 2, packetIdentifier: 5 });
      await first.expect("pubrec", 5);
      await first.drop();
      const second = await connect(keeper);
      second.sendPublish("repeat/3", "once", { qos: 2, dup: true, packetIdentifier: 5 });
      await second.expect("pubrec", 5);
      await second.drop();
      const third = await connect(keeper);
      third.send({ cmd: "pubrel", messageId: 5 });
      expect((await third.expect("pubcomp", 5)).reasonCode ?? 0).toBe(0);
      await subscriber.receive({ payload: "once" });
      await subscriber.expectNothing();
    },
  );

  test("after PUBCOMP the identifier means a new message [MQTT-4.3.3-12]", async () => {
    const subscriber = await connect();
    const publisher = await connect();
    await subscriber.subscribe("repeat/4", { qos: 2 });
    for (const payload of ["first", "second"]) {
      await publisher.publish("repeat/4", payload, { qos: 2, packetIdentifier: 5 });
      await subscriber.receive({ payload });
    }
  });

  test("a QoS 1 identifier means a new message after PUBACK [MQTT-4.3.2-5]", async () => {
    const subscriber = await connect();
    const publisher = await connect();
    await subscriber.subscribe("repeat/1", { qos: 1 });
    await publisher.publish("repeat/1", "first", { qos: 1, packetIdentifier: 5 });
    await publisher.publish("repeat/1", "second", { qos: 1, dup: true, packetIdentifier: 5 });
    await subscriber.receive({ payload: "first" });
    await subscriber.receive({ payload: "second", dup: false });
  });

  test("PUBREL repeated is answered each time [MQTT-4.3.3-11]", async () => {
    const client = await connect();
    await client.publish("repeat/5", "x", { qos: 2, packetIdentifier: 5 });
    client.send({ cmd: "pubrel", messageId: 5 });
    expect((await client.expect("pubcomp", 5)).reasonCode).toBe(0x92);
  });
});

describe("malformed acknowledgements", () => {
  test.for([
    ["PUBACK with flags [MQTT-2.1.3-1]", 0x81, rawPacket(0x41, [0, 1])],
    ["PUBREL without its flags [MQTT-3.6.1-1]", 0x81, rawPacket(0x60, [0, 1])],
    ["PUBACK with identifier 0", 0x82, rawPacket(0x40, [0, 0])],
    ["PUBACK with a foreign code [MQTT-3.4.2-1]", 0x82, rawPacket(0x40, [0, 1, 0x92])],
    ["PUBREC with a foreign code [MQTT-3.5.2-1]", 0x82, rawPacket(0x50, [0, 1, 0x92])],
    ["PUBREL with a foreign code [MQTT-3.6.2-1]", 0x82, rawPacket(0x62, [0, 1, 0x10])],
    ["PUBCOMP with a foreign code [MQTT-3.7.2-1]", 0x82, rawPacket(0x70, [0, 1, 0x10])],
    ["PUBACK cut short", 0x81, rawPacket(0x40, [0])],
    ["PUBACK with a property of PUBLISH", 0x81, rawPacket(0x40, [0, 1, 0, 2, 1, 0])],
  ] as const)("5.0: %s: DISCONNECT %i [MQTT-4.13.1-1]", async ([, code, bytes]) => {
    const client = await connect();
    client.sendBytes(bytes);
    await client.expectDisconnect(code);
  });

  test.for([
    ["PUBREL without its flags [MQTT-3.6.1-1 @3.1.1]", rawPacket(0x60, [0, 1])],
    ["PUBACK with flags [MQTT-2.2.2-2 @3.1.1]", rawPacket(0x42, [0, 1])],
    ["PUBACK with a Reason Code", rawPacket(0x40, [0, 1, 0])],
  ] as const)("3.1.1: %s: closed", async ([, bytes]) => {
    const client = await connect({ version: 4 });
    client.sendBytes(bytes);
    await client.closed();
    client.expectInboxEmpty();
  });
});
