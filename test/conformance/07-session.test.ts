/**
 * Chapter 7: the persistent Session: what it keeps, what it resumes, when it ends.
 * MQTT 5.0 §3.1.2.4, §3.1.2.11.2, §4.1, §4.4; 3.1.1 §3.1.2.4.
 */
import { describe, expect, test } from "vitest";
import { elapse } from "../support/await.ts";
import { startChapter } from "./chapter.ts";

const chapter = startChapter();
const { connect } = chapter;
const FOR_EVER = 0xffff_ffff;

/** Options of a client whose Session lasts, in either version. */
function keeperOf(version: 4 | 5, clientId: string) {
  return { version, clientId, clean: false, properties: { sessionExpiryInterval: 60 } } as const;
}

describe("a persistent Session across a disconnect, step by step", () => {
  test("sensor-42 goes and comes back [MQTT-3.1.2-4 @3.1.1] [MQTT-3.1.2-5 @3.1.1]", async () => {
    const controller = await connect({ version: 4, clientId: "controller" });
    const sensor = { version: 4, clientId: "sensor-42", clean: false } as const;

    // 1. "it creates a fresh persistent session for that ClientId and replies with a CONNACK whose
    //    session present flag is false"
    const first = await connect(sensor);
    expect(first.connack?.sessionPresent).toBe(false);

    // 2. "sends a SUBSCRIBE for commands/sensor-42/+ at QoS 1 and receives the SUBACK"
    expect(await first.subscribe("commands/sensor-42/+", { qos: 1 })).toBe(1);

    // 3. "publishes its readings, the broker delivers any matching command messages"
    await first.publish("readings/sensor-42", "21.5", { qos: 1 });
    await controller.publish("commands/sensor-42/blink", "now", { qos: 1 });
    await first.receive({ topic: "commands/sensor-42/blink", payload: "now", qos: 1 });

    // 4. "loses its cellular link without sending a DISCONNECT"
    await first.drop();

    // 5. "queues the message in the session. A few more commands arrive over the next hour; they
    //    queue up too. A status update is published to the same topic at QoS 0; the broker
    //    typically does not queue this"
    await controller.publish("commands/sensor-42/reboot", "1", { qos: 1 });
    await controller.publish("commands/sensor-42/update", "2", { qos: 1 });
    await controller.publish("commands/sensor-42/status", "lost", { qos: 0 });
    await controller.publish("commands/sensor-42/reboot", "3", { qos: 2 });

    // 6. "replies with a CONNACK whose session present flag is true … it does not re-subscribe"
    const second = await connect(sensor);
    expect(second.connack?.sessionPresent).toBe(true);

    // 7. "delivers the queued QoS 1 command messages, one by one, completing the at-least-once
    //    handshakes for each … the sensor is back in normal operation"
    await second.receive({ topic: "commands/sensor-42/reboot", payload: "1", qos: 1, dup: false });
    await second.receive({ topic: "commands/sensor-42/update", payload: "2", qos: 1, dup: false });
    await second.receive({ topic: "commands/sensor-42/reboot", payload: "3", qos: 1, dup: false });
    await second.expectNothing(controller);
    await controller.publish("commands/sensor-42/blink", "again", { qos: 1 });
    await second.receive({ payload: "again" });

    // 8. "The CONNACK reports session present = false … The broker discards the prior persistent
    //    session … any messages queued for it that had not yet been delivered are lost in the wipe"
    await second.drop();
    await controller.publish("commands/sensor-42/reboot", "lost", { qos: 1 });
    const careless = await connect({ ...sensor, clean: true });
    expect(careless.connack?.sessionPresent).toBe(false);
    await controller.publish("commands/sensor-42/reboot", "to no one", { qos: 1 });
    await careless.expectNothing();
    await careless.disconnect();
    const last = await connect(sensor);
    expect(last.connack?.sessionPresent).toBe(false);
    await last.expectNothing();
  });
});

for (const version of [4, 5] as const) {
  describe(`version ${version}: what a Session keeps`, () => {
    test("its existence, even without subscriptions [MQTT-4.1.0-1]", async () => {
      const keeper = keeperOf(version, `bare${version}`);
      await (await connect(keeper)).drop();
      expect((await connect(keeper)).connack?.sessionPresent).toBe(true);
    });

    test("subscriptions with their QoS [MQTT-3.1.2-5] [MQTT-3.1.2-23]", async () => {
      const keeper = keeperOf(version, `subs${version}`);
      const first = await connect(keeper);
      for (const qos of [0, 1, 2] as const) {
        await first.subscribe(`subs${version}/${qos}/+`, { qos });
      }
      await first.disconnect();
      const second = await connect(keeper);
      for (const qos of [0, 1, 2] as const) {
        await second.publish(`subs${version}/${qos}/x`, `${qos}`, { qos: 2 });
        await second.receive({ payload: `${qos}`, qos });
      }
    });

    test("messages missed, in order, without DUP [MQTT-4.5.0-1] [MQTT-4.6.0-5]", async () => {
      const keeper = keeperOf(version, `missed${version}`);
      const first = await connect(keeper);
      const publisher = await connect();
      await first.subscribe(`missed${version}/#`, { qos: 2 });
      await first.drop();
      for (let i = 0; i < 300; i++) {
        await publisher.publish(`missed${version}/x`, `${i}`, { qos: i % 2 === 0 ? 1 : 2 });
      }
      const second = await connect(keeper);
      for (let i = 0; i < 300; i++) {
        const qos = i % 2 === 0 ? 1 : 2;
        await second.receive({ payload: `${i}`, qos, dup: false });
      }
      await second.expectNothing();
    });

    test("QoS 0 messages are not kept [§3.1.2.11.2]", async () => {
      const keeper = keeperOf(version, `zero${version}`);
      const first = await connect(keeper);
      const publisher = await connect();
      await first.subscribe(`zero${version}/published`, { qos: 2 });
      await first.subscribe(`zero${version}/granted`, { qos: 0 });
      await first.disconnect();
      await publisher.publish(`zero${version}/published`, "x", { qos: 0 });
      await publisher.publish(`zero${version}/granted`, "x", { qos: 2 });
      await publisher.ping();
      const second = await connect(keeper);
      await second.expectNothing();
    });

    test("queued and live messages keep their order [MQTT-4.6.0-5]", async () => {
      const keeper = keeperOf(version, `meeting${version}`);
      const first = await connect(keeper);
      const publisher = await connect();
      await first.subscribe(`meeting${version}`, { qos: 1 });
      await first.disconnect();
      for (let i = 0; i < 500; i++) {
        await publisher.publish(`meeting${version}`, `${i}`, { qos: 1 });
      }
      const connecting = connect(keeper);
      for (let i = 500; i < 1000; i++) {
        publisher.sendPublish(`meeting${version}`, `${i}`, { qos: 1 });
      }
      const second = await connecting;
      for (let i = 0; i < 1000; i++) await second.receive({ payload: `${i}` });
      await second.expectNothing();
    });
  });

  describe(`version ${version}: what a resumed Session sends again`, () => {
    test("PUBLISH with DUP and identifier, in order [MQTT-4.4.0-1] [MQTT-3.3.1-1]", async () => {
      const keeper = keeperOf(version, `resend${version}`);
      const first = await connect(keeper);
      const publisher = await connect();
      await first.subscribe(`resend${version}`, { qos: 2 });
      const sent = [];
      for (let i = 0; i < 10; i++) {
        await publisher.publish(`resend${version}`, `${i}`, { qos: i % 2 === 0 ? 1 : 2 });
        sent.push(await first.expectPublish({ payload: `${i}`, dup: false }));
      }
      for (const index of [0, 4, 5]) {
        const delivery = sent[index];
        if (delivery) await first.acknowledge(delivery);
      }
      await first.drop();
      await publisher.publish(`resend${version}`, "10", { qos: 1 });
      const second = await connect(keeper);
      for (const index of [1, 2, 3, 6, 7, 8, 9]) {
        const { packetIdentifier = 0, qos = 0 } = sent[index] ?? {};
        await second.receive({ payload: `${index}`, dup: true, packetIdentifier, qos });
      }
      await second.receive({ payload: "10", dup: false });
      await second.expectNothing();
    });

    test("PUBREL, not PUBLISH, after PUBREC [MQTT-4.3.3-5, -6] [MQTT-4.4.0-1]", async () => {
      const keeper = keeperOf(version, `pubrel${version}`);
      const first = await connect(keeper);
      const publisher = await connect();
      await first.subscribe(`pubrel${version}`, { qos: 2 });
      await publisher.publish(`pubrel${version}`, "x", { qos: 2 });
      const { packetIdentifier: messageId } = await first.expectPublish();
      first.send({ cmd: "pubrec", messageId });
      await first.expect("pubrel", messageId);
      await first.drop();
      const second = await connect(keeper);
      await second.expect("pubrel", messageId);
      await second.drop();
      const third = await connect(keeper);
      await third.expect("pubrel", messageId);
      third.send({ cmd: "pubcomp", messageId });
      await third.expectNothing();
      await third.drop();
      await (await connect(keeper)).expectNothing();
    });

    test("once more on each connection, never on a live one [MQTT-4.4.0-1]", async () => {
      const keeper = keeperOf(version, `once${version}`);
      let client = await connect(keeper);
      await client.subscribe(`once${version}`, { qos: 1 });
      await client.publish(`once${version}`, "x", { qos: 1 });
      const { packetIdentifier } = await client.expectPublish({ dup: false });
      for (let i = 0; i < 3; i++) {
        await client.drop();
        client = await connect(keeper);
        await client.expectPublish({ payload: "x", dup: true, packetIdentifier });
        await client.expectNothing();
      }
    });

    test("a message that came in while the same client took over [MQTT-3.1.4-3]", async () => {
      const keeper = keeperOf(version, `over${version}`);
      const first = await connect(keeper);
      const publisher = await connect();
      await first.subscribe(`over${version}`, { qos: 1 });
      await publisher.publish(`over${version}`, "x", { qos: 1 });
      const { packetIdentifier } = await first.expectPublish();
      const second = await connect(keeper);
      await second.receive({ payload: "x", dup: true, packetIdentifier });
      await second.expectNothing();
    });
  });
}

describe("the Session's end", () => {
  test("Clean Start 1 with an expiry still makes a lasting Session [MQTT-3.1.2-23]", async () => {
    const properties = { sessionExpiryInterval: FOR_EVER };
    const first = await connect({ clientId: "lasting", clean: true, properties });
    await first.subscribe("lasting", { qos: 1 });
    await first.disconnect();
    const second = await connect({ clientId: "lasting", clean: false, properties });
    expect(second.connack?.sessionPresent).toBe(true);
  });

  test("no interval: it ends with the connection [MQTT-4.1.0-2]", async () => {
    await (await connect({ clientId: "absent", clean: false })).disconnect();
    const second = await connect({ clientId: "absent", clean: false });
    expect(second.connack?.sessionPresent).toBe(false);
  });

  test("3.1.1, cleanSession 1: it ends with the connection [MQTT-3.1.2-6 @3.1.1]", async () => {
    const first = await connect({ version: 4, clientId: "clean4", clean: true });
    await first.subscribe("clean4", { qos: 1 });
    await first.drop();
    const second = await connect({ version: 4, clientId: "clean4", clean: false });
    expect(second.connack?.sessionPresent).toBe(false);
  });

  test("it ends when the interval is over, and not before [MQTT-4.1.0-2]", async () => {
    const properties = { sessionExpiryInterval: 2 };
    const keeper = { clientId: "ending", clean: false, properties };
    await (await connect(keeper)).drop();
    await elapse(1000);
    const second = await connect(keeper);
    expect(second.connack?.sessionPresent).toBe(true); // And the countdown begins anew.
    await second.drop();
    const observer = await connect();
    await observer.subscribe("ending/will");
    const mortal = await connect({
      clientId: "ending-marker",
      properties,
      will: { topic: "ending/will", payload: Buffer.from("x"), ...delayedWill(600) },
    });
    await mortal.drop();
    await observer.receive({ topic: "ending/will" }); // Its Session, begun later, has ended.
    expect((await connect(keeper)).connack?.sessionPresent).toBe(false);
  });

  test("DISCONNECT may change the interval [§3.14.2.2.2]", async () => {
    const keeper = {
      clientId: "changing",
      clean: false,
      properties: { sessionExpiryInterval: 60 },
    };
    await (await connect(keeper)).disconnect(0, 0);
    const second = await connect(keeper);
    expect(second.connack?.sessionPresent).toBe(false);
    await second.disconnect(0, 120);
    expect((await connect(keeper)).connack?.sessionPresent).toBe(true);
  });

  test("from 0 it may not: DISCONNECT 0x82, the Session ends [§3.14.2.2.2]", async () => {
    const client = await connect({ clientId: "zero", properties: { sessionExpiryInterval: 0 } });
    client.send({ cmd: "disconnect", reasonCode: 0, properties: { sessionExpiryInterval: 60 } });
    await client.expectDisconnect(0x82);
    const second = await connect({ clientId: "zero", clean: false });
    expect(second.connack?.sessionPresent).toBe(false);
  });

  test("each CONNECT sets the interval anew [§3.1.2.11.2]", async () => {
    const keeper = { clientId: "resetting", clean: false };
    await (await connect({ ...keeper, properties: { sessionExpiryInterval: 60 } })).drop();
    const second = await connect(keeper);
    expect(second.connack?.sessionPresent).toBe(true);
    await second.drop();
    expect((await connect(keeper)).connack?.sessionPresent).toBe(false);
  });

  test("3.1.1, cleanSession 0, taken up by 5.0 with interval 0, ends [MQTT-4.1.0-2]", async () => {
    const keeper = { clientId: "upgraded", clean: false };
    await (await connect({ ...keeper, version: 4 })).disconnect();
    const second = await connect(keeper);
    expect(second.connack?.sessionPresent).toBe(true);
    await second.disconnect();
    expect((await connect({ ...keeper, version: 4 })).connack?.sessionPresent).toBe(false);
  });

  function delayedWill(willDelayInterval: number) {
    return { properties: { willDelayInterval } };
  }
});
