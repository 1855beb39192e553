/**
 * Chapter 12: "a persistent session across a disconnect, step by step": sensor-42 goes and comes
 * back eight steps long, and so it does where the broker was restarted in between.
 * MQTT 5.0 §3.1.2.4, §3.2.2.1.1, §4.4; 3.1.1 §3.1.2.4, §3.2.2.2, §4.4.
 */
import { describe, expect, test } from "vitest";
import type { TestClient } from "../support/client.ts";
import { committed, keeperOf, resume } from "../support/restartable-broker-sessions.ts";
import { type Stage, stageStories } from "../support/restartable-broker-stories.ts";
import { nameOf, startChapter } from "./chapter.ts";

for (const interruption of ["a lost connection", "stop", "kill -9"] as const) {
  describe(`across ${interruption}`, () => {
    const story = stageStories({ interruptions: [interruption, interruption, interruption] });
    for (const version of [4, 5] as const) {
      story(
        `${nameOf(version)}: sensor-42, "step by step" [MQTT-3.1.2-4, -5, -6 @3.1.1] ` +
          "[MQTT-3.1.2-4, -5, -6] [MQTT-3.2.2-2, -3]",
        async (stage) => walk(stage, version),
      );
      story(
        `${nameOf(version)}: "any QoS 2 messages that had been mid-handshake when the ` +
          'connection dropped resume from where they were", in each state [MQTT-4.4.0-1] ' +
          "[MQTT-4.4.0-1 @3.1.1]",
        async (stage) => resumeHandshakes(stage, version),
      );
    }
  });
}

async function walk(stage: Stage, version: 4 | 5): Promise<void> {
  const sensor = keeperOf(version, version === 4 ? "sensor-42" : "sensor-42-of-5");
  const commands = `commands/${sensor.clientId}`;

  // 1. "it creates a fresh persistent session for that ClientId and replies with a CONNACK whose
  //    session present flag is false"
  const first = await stage.connect(sensor);
  expect(first.connack?.sessionPresent).toBe(false);

  // 2. "sends a SUBSCRIBE for commands/sensor-42/+ at QoS 1 and receives the SUBACK. The broker
  //    stores this subscription as part of the persistent session"
  expect(await first.subscribe(`${commands}/+`, { qos: 1 })).toBe(1);

  // 3. "publishes its readings, the broker delivers any matching command messages"
  const controller = await stage.connect({ version });
  await first.publish("readings/sensor-42", "21.5", { qos: 1 });
  await controller.publish(`${commands}/blink`, "now", { qos: 1 });
  await first.receive({ topic: `${commands}/blink`, payload: "now", qos: 1 });
  await committed(first);

  // 4. "loses its cellular link without sending a DISCONNECT … Crucially, it does not discard the
  //    persistent session"
  await first.drop();

  // 5. "queues the message in the session. A few more commands arrive over the next hour; they
  //    queue up too. A status update is published to the same topic at QoS 0; the broker typically
  //    does not queue this"
  await controller.publish(`${commands}/reboot`, "1", { qos: 1 });
  await controller.publish(`${commands}/update`, "2", { qos: 1 });
  await controller.publish(`${commands}/reboot`, "lost", { qos: 0 });
  await controller.publish(`${commands}/reboot`, "3", { qos: 2 });
  await stage.interrupted();
  const again = await stage.connect({ version });
  await again.publish(`${commands}/update`, "4", { qos: 1 });
  await again.publish(`${commands}/update`, "lost", { qos: 0 });

  // 6. "replies with a CONNACK whose session present flag is true … it does not re-subscribe"
  const second = await resume(stage, sensor);

  // 7. "delivers the queued QoS 1 command messages, one by one, completing the at-least-once
  //    handshakes for each … Once the queue is drained, the sensor is back in normal operation"
  await receiveInOrder(second, commands);
  await second.expectNothing(again);
  await again.publish(`${commands}/blink`, "again", { qos: 1 });
  await second.receive({ payload: "again", dup: false });
  await committed(second);
  await second.drop();
  await again.publish(`${commands}/reboot`, "lost in the wipe", { qos: 1 });
  await stage.interrupted();

  // 8. "The CONNACK reports session present = false … The broker discards the prior persistent
  //    session, including any subscription state … any messages queued for it that had not yet
  //    been delivered are lost in the wipe"
  const properties = { sessionExpiryInterval: 0 };
  const careless = await stage.connect({ ...sensor, clean: true, properties });
  expect(careless.connack?.sessionPresent).toBe(false);
  await careless.publish(`${commands}/reboot`, "to no one", { qos: 1 });
  await careless.expectNothing();
  await stage.interrupted();
  const last = await stage.connect(sensor);
  expect(last.connack?.sessionPresent).toBe(false);
  await last.publish(`${commands}/reboot`, "to no one", { qos: 1 });
  await last.expectNothing();
}

/** What waits for sensor-42 in step 7, each acknowledged before the next is looked at. */
async function receiveInOrder(sensor: TestClient, commands: string): Promise<void> {
  const expected = [
    { topic: `${commands}/reboot`, payload: "1" },
    { topic: `${commands}/update`, payload: "2" },
    { topic: `${commands}/reboot`, payload: "3" },
    { topic: `${commands}/update`, payload: "4" },
  ];
  for (const fields of expected) await sensor.receive({ ...fields, qos: 1, dup: false });
}

/** Both directions of QoS 2, interrupted behind each of their packets. */
async function resumeHandshakes(stage: Stage, version: 4 | 5): Promise<void> {
  const keeper = keeperOf(version, `handshake${version}`);
  const topic = `handshake${version}`;
  const first = await stage.connect(keeper);
  await first.subscribe(topic, { qos: 2 });
  const peer = await stage.connect();
  for (const payload of ["published", "received"]) await peer.publish(topic, payload, { qos: 2 });
  const published = await first.expectPublish({ payload: "published", qos: 2, dup: false });
  const received = await first.expectPublish({ payload: "received", qos: 2, dup: false });
  first.send({ cmd: "pubrec", messageId: received.packetIdentifier });
  await first.expect("pubrel", received.packetIdentifier);
  first.sendPublish("other", "theirs", { qos: 2, packetIdentifier: 700 });
  await first.expect("pubrec", 700);
  await stage.interrupted();

  // The broker's PUBLISH and PUBREL come again; the client's PUBLISH comes again and is known.
  const second = await resume(stage, keeper);
  const { packetIdentifier } = published;
  await second.expectPublish({ payload: "published", qos: 2, dup: true, packetIdentifier });
  await second.expect("pubrel", received.packetIdentifier);
  second.sendPublish("other", "theirs", { qos: 2, dup: true, packetIdentifier: 700 });
  await second.expect("pubrec", 700);
  second.send({ cmd: "pubrec", messageId: packetIdentifier });
  await second.expect("pubrel", packetIdentifier);
  second.send({ cmd: "pubcomp", messageId: received.packetIdentifier });
  await committed(second);
  await stage.interrupted();

  // One PUBREL is left, and the client's own PUBREL ends what it began.
  const third = await resume(stage, keeper);
  await third.expect("pubrel", packetIdentifier);
  third.send({ cmd: "pubcomp", messageId: packetIdentifier });
  third.send({ cmd: "pubrel", messageId: 700 });
  expect((await third.expect("pubcomp", 700)).reasonCode ?? 0).toBe(0);
  await committed(third);
  await third.expectNothing();
  await stage.interrupted();
  const last = await resume(stage, keeper);
  last.send({ cmd: "pubrel", messageId: 700 });
  expect((await last.expect("pubcomp", 700)).reasonCode ?? 0).toBe(version === 5 ? 0x92 : 0);
  await last.expectNothing();
}

describe("step 4", () => {
  const { connect } = startChapter();

  test.for([4, 5] as const)(
    '%i: "the broker eventually detects the loss … via the keep alive timeout … it does not ' +
      'discard the persistent session" [MQTT-3.1.2-22] [MQTT-3.1.2-24 @3.1.1]',
    async (version) => {
      const keeper = keeperOf(version, `silent${version}`);
      const silent = await connect({ ...keeper, keepAliveSeconds: 1 });
      await silent.subscribe(`silent${version}`, { qos: 1 });
      await silent.expectDisconnect(0x8d); // No PINGREQ for a second and a half.
      await (await connect()).publish(`silent${version}`, "queued", { qos: 1 });
      const back = await resume({ connect }, keeper);
      await back.receive({ payload: "queued", qos: 1, dup: false });
    },
  );

  test.for([4, 5] as const)(
    '%i: "when the TCP layer reports it": a reset connection leaves the Session, too ' +
      "[MQTT-4.1.0-1]",
    async (version) => {
      const keeper = keeperOf(version, `reset${version}`);
      const first = await connect(keeper);
      await first.subscribe(`reset${version}`, { qos: 1 });
      first.destroy();
      await (await connect()).publish(`reset${version}`, "queued", { qos: 1 });
      const back = await resume({ connect }, keeper);
      await back.receive({ payload: "queued", qos: 1 });
    },
  );
});
