/**
 * Chapter 12: the persistent Session, sentence by sentence: what the broker stores in it, and what
 * it does not, across a lost connection, a restart in order and `kill -9`.
 * MQTT 5.0 §3.1.2.4, §4.1, §4.3, §4.4, §4.6; 3.1.1 §3.1.2.4, §4.1, §4.4.
 */
import { describe, expect } from "vitest";
import type { TestClient } from "../support/client.ts";
import { committed, keeperOf, leave, resume } from "../support/restartable-broker-sessions.ts";
import { stageStories, type TellStory, VARIANTS } from "../support/restartable-broker-stories.ts";
import { nameOf } from "./chapter.ts";

for (const { name, interruption, restMs } of VARIANTS) {
  describe(`across ${name}`, () => {
    const story = stageStories({ interruptions: [interruption, interruption], restMs });
    for (const version of [4, 5] as const) {
      tellWhatIsStored(story, version);
      tellWhatIsMissed(story, version);
      tellDelivery(story, version);
      tellWhatIsInFlight(story, version);
      tellExactlyOnce(story, version);
      tellWhatIsNotStored(story, version);
      tellRetained(story, version);
    }
    tellOptions(story);
  });
}

function tellWhatIsStored(story: TellStory, version: 4 | 5): void {
  const v = nameOf(version);

  story(
    `${v}: "the existence of the session itself, even if the client has no subscriptions" ` +
      "[MQTT-3.1.2-23] [MQTT-3.1.2-4 @3.1.1]",
    async (stage) => {
      const keeper = keeperOf(version, `bare${version}`);
      expect((await stage.connect(keeper)).connack?.sessionPresent).toBe(false);
      await stage.interrupted();
      await resume(stage, keeper);
      await stage.interrupted();
      await resume(stage, keeper);
    },
  );

  story(
    `${v}: "all of the client's subscriptions, with their requested QoS levels" [MQTT-3.1.2-5] ` +
      "[MQTT-3.8.4-3] [MQTT-3.10.4-1]",
    async (stage) => {
      const keeper = keeperOf(version, `subs${version}`);
      const first = await stage.connect(keeper);
      for (const qos of [0, 1, 2] as const)
        await first.subscribe(`subs${version}/${qos}/+`, { qos });
      await first.subscribe(`subs${version}/changed`, { qos: 2 });
      await first.subscribe(`subs${version}/changed`, { qos: 1 });
      await first.subscribe(`subs${version}/gone/#`, { qos: 2 });
      await first.unsubscribe(`subs${version}/gone/#`);
      await stage.interrupted();
      const second = await resume(stage, keeper);
      for (const qos of [0, 1, 2] as const) {
        await second.publish(`subs${version}/${qos}/x`, `${qos}`, { qos: 2 });
        await second.receive({ payload: `${qos}`, qos });
      }
      await second.publish(`subs${version}/changed`, "changed", { qos: 2 });
      await second.receive({ payload: "changed", qos: 1 });
      await second.publish(`subs${version}/gone/x`, "no", { qos: 2 });
      await second.expectNothing();
      await second.unsubscribe(`subs${version}/1/+`);
      await stage.interrupted();
      const third = await resume(stage, keeper);
      await third.publish(`subs${version}/1/x`, "no", { qos: 2 });
      await third.publish(`subs${version}/2/x`, "yes", { qos: 2 });
      await third.receive({ payload: "yes", qos: 2 });
      await third.expectNothing();
    },
  );
}

function tellWhatIsMissed(story: TellStory, version: 4 | 5): void {
  const v = nameOf(version);

  story(
    `${v}: "all new QoS 1 or 2 messages that the client missed while offline, for topics it had ` +
      'subscribed to" [MQTT-4.5.0-1] [MQTT-3.1.2-5 @3.1.1]',
    async (stage) => {
      const keeper = keeperOf(version, `missed${version}`);
      await leave(stage, keeper, `missed${version}/+`);
      await publishAll(await stage.connect({ version }), `missed${version}/x`, 0, 100);
      await stage.interrupted();
      // To a Session that no one has taken up since.
      await publishAll(await stage.connect({ version }), `missed${version}/x`, 100, 200);
      await stage.interrupted();
      const last = await resume(stage, keeper);
      for (let i = 0; i < 200; i++) {
        await last.receive({ payload: `${i}`, qos: i % 2 === 0 ? 1 : 2, dup: false });
      }
      await last.expectNothing();
      await last.publish(`missed${version}/x`, "live", { qos: 1 });
      await last.receive({ payload: "live" });
    },
  );

  story(
    `${v}: "the client picks up where it left off without re-subscribing and without losing the ` +
      'messages that arrived in its absence", in order [MQTT-4.6.0-5] [MQTT-4.6.0-6 @3.1.1]',
    async (stage) => {
      const keeper = { ...keeperOf(version, `order${version}`), version };
      const first = await stage.connect(keeper);
      await first.subscribe(`order${version}`, { qos: 1 });
      const publisher = await stage.connect();
      for (let i = 0; i < 20; i++) {
        await publisher.publish(`order${version}`, `${i}`, { qos: 1 });
        await first.expectPublish({ payload: `${i}`, dup: false }); // In flight, and stays so.
      }
      await first.drop();
      for (let i = 20; i < 40; i++) await publisher.publish(`order${version}`, `${i}`, { qos: 1 });
      await stage.interrupted();
      const again = await stage.connect();
      for (let i = 40; i < 60; i++) await again.publish(`order${version}`, `${i}`, { qos: 1 });
      const resuming = resume(stage, keeper);
      for (let i = 60; i < 80; i++) again.sendPublish(`order${version}`, `${i}`, { qos: 1 });
      const second = await resuming;
      for (let i = 0; i < 80; i++) await second.receive({ payload: `${i}` });
      await second.expectNothing();
    },
  );
}

function tellDelivery(story: TellStory, version: 4 | 5): void {
  const v = nameOf(version);

  story(
    `${v}: "the broker delivers the queued QoS 1 command messages, one by one", under a small ` +
      "window, a part before and the rest behind the interruption [MQTT-4.9.0-2] [MQTT-4.4.0-1]",
    async (stage) => {
      const keeper = keeperOf(version, `parts${version}`);
      await leave(stage, keeper, `parts${version}`, { qos: 1 });
      await publishAll(await stage.connect(), `parts${version}`, 0, 180);
      const properties = { sessionExpiryInterval: 600, receiveMaximum: 1 };
      const second = await resume(stage, { ...keeper, properties });
      for (let i = 0; i < 70; i++) await second.receive({ payload: `${i}`, qos: 1, dup: false });
      await committed(second);
      await stage.interrupted();
      const third = await resume(stage, { ...keeper, properties });
      for (let i = 70; i < 180; i++) await third.receive({ payload: `${i}`, qos: 1 });
      await third.expectNothing();
    },
  );
}

/** QoS 1 for even, QoS 2 for odd ones; all acknowledged. */
async function publishAll(client: TestClient, topic: string, from: number, to: number) {
  for (let i = from; i < to; i++) await client.publish(topic, `${i}`, { qos: i % 2 === 0 ? 1 : 2 });
}

function tellWhatIsInFlight(story: TellStory, version: 4 | 5): void {
  const v = nameOf(version);

  story(
    `${v}: "all messages in a QoS 1 or 2 flow that the client has not yet confirmed": PUBLISH ` +
      "again, with DUP and its identifier [MQTT-4.4.0-1] [MQTT-4.4.0-1 @3.1.1] [MQTT-3.3.1-1]",
    async (stage) => {
      const keeper = keeperOf(version, `flight${version}`);
      const first = await stage.connect(keeper);
      await first.subscribe(`flight${version}`, { qos: 2 });
      const publisher = await stage.connect();
      const sent = [];
      for (let i = 0; i < 10; i++) {
        await publisher.publish(`flight${version}`, `${i}`, { qos: i % 2 === 0 ? 1 : 2 });
        sent.push(await first.expectPublish({ payload: `${i}`, dup: false }));
      }
      for (const index of [0, 4, 5]) {
        const delivery = sent[index];
        if (delivery) await first.acknowledge(delivery);
      }
      await committed(first);
      for (let round = 0; round < 2; round++) {
        await stage.interrupted();
        const client = await resume(stage, keeper);
        for (const index of [1, 2, 3, 6, 7, 8, 9]) {
          const { packetIdentifier = 0, qos = 0 } = sent[index] ?? {};
          await client.expectPublish({ payload: `${index}`, dup: true, packetIdentifier, qos });
        }
        await client.expectNothing();
      }
    },
  );

  story(
    `${v}: "in-progress QoS handshakes ready to resume": PUBREL, not PUBLISH, behind PUBREC ` +
      "[MQTT-4.3.3-5, -6] [MQTT-4.4.0-1] [MQTT-4.3.3-1 @3.1.1]",
    async (stage) => {
      const keeper = keeperOf(version, `pubrel${version}`);
      const first = await stage.connect(keeper);
      await first.subscribe(`pubrel${version}`, { qos: 2 });
      await (await stage.connect()).publish(`pubrel${version}`, "x", { qos: 2 });
      const { packetIdentifier: messageId } = await first.expectPublish();
      first.send({ cmd: "pubrec", messageId });
      await first.expect("pubrel", messageId);
      await stage.interrupted();
      const second = await resume(stage, keeper);
      await second.expect("pubrel", messageId);
      await second.expectNothing();
      await stage.interrupted();
      const third = await resume(stage, keeper);
      await third.expect("pubrel", messageId);
      third.send({ cmd: "pubcomp", messageId });
      await third.expectNothing();
    },
  );
}

function tellExactlyOnce(story: TellStory, version: 4 | 5): void {
  const v = nameOf(version);

  story(
    `${v}: "all QoS 2 messages received from the client that are not yet fully acknowledged": ` +
      "delivered once [MQTT-4.3.3-10] [MQTT-4.3.3-2 @3.1.1]",
    async (stage) => {
      const keeper = keeperOf(version, `received${version}`);
      const subscriber = keeperOf(version, `receiver${version}`);
      await leave(stage, subscriber, `received${version}`);
      const first = await stage.connect(keeper);
      first.sendPublish(`received${version}`, "once", { qos: 2, packetIdentifier: 5 });
      await first.expect("pubrec", 5);
      await stage.interrupted();
      const second = await resume(stage, keeper);
      second.sendPublish(`received${version}`, "once", { qos: 2, dup: true, packetIdentifier: 5 });
      await second.expect("pubrec", 5);
      await stage.interrupted();
      const third = await resume(stage, keeper);
      third.send({ cmd: "pubrel", messageId: 5 });
      expect((await third.expect("pubcomp", 5)).reasonCode ?? 0).toBe(0);
      await third.publish(`received${version}`, "another", { qos: 2, packetIdentifier: 5 });
      const receiver = await resume(stage, subscriber);
      await receiver.receive({ payload: "once", qos: 2 });
      await receiver.receive({ payload: "another", qos: 2 });
      await receiver.expectNothing();
    },
  );

  story(
    `${v}: "the at-least-once or exactly-once guarantees end to end across the disconnection": ` +
      "what was confirmed comes no second time [MQTT-4.3.2-3] [MQTT-4.3.3-5]",
    async (stage) => {
      const keeper = keeperOf(version, `done${version}`);
      const first = await stage.connect(keeper);
      await first.subscribe(`done${version}`, { qos: 2 });
      for (let i = 0; i < 6; i++) {
        const qos = i % 2 === 0 ? 1 : 2;
        await first.publish(`done${version}`, `${i}`, { qos });
        await first.receive({ payload: `${i}`, qos });
      }
      await committed(first);
      await stage.interrupted();
      const second = await resume(stage, keeper);
      await second.expectNothing();
    },
  );
}

function tellWhatIsNotStored(story: TellStory, version: 4 | 5): void {
  const v = nameOf(version);

  story(
    `${v}: "QoS 0 messages that arrive while the client is offline are typically not queued for ` +
      'it", nor is what it subscribed to at QoS 0 [MQTT-3.1.2-5 @3.1.1]',
    async (stage) => {
      const keeper = keeperOf(version, `zero${version}`);
      const first = await stage.connect(keeper);
      await first.subscribe(`zero${version}/published`, { qos: 2 });
      await first.subscribe(`zero${version}/granted`, { qos: 0 });
      await first.drop();
      const publisher = await stage.connect();
      await publisher.publish(`zero${version}/published`, "lost", { qos: 0 });
      await publisher.publish(`zero${version}/granted`, "lost", { qos: 2 });
      await publisher.publish(`zero${version}/published`, "kept", { qos: 1 });
      await stage.interrupted();
      const second = await resume(stage, keeper);
      await second.receive({ payload: "kept" });
      await second.expectNothing();
    },
  );

  story(
    `${v}: "the last will message is part of the connection, not the session, and is ` +
      're-registered on each connect" [MQTT-3.1.2-12 @3.1.1] [MQTT-3.1.2-10]',
    async (stage) => {
      const keeper = keeperOf(version, `mortal${version}`);
      const heir = keeperOf(version, `heir${version}`);
      await leave(stage, heir, `will${version}`, { qos: 1 });
      const will = { topic: `will${version}`, payload: Buffer.from("gone"), qos: 1 } as const;
      await (await stage.connect({ ...keeper, will })).disconnect();
      await resume(stage, keeper); // This connection has no will.
      await stage.interrupted();
      await (await resume(stage, heir)).expectNothing();
      await resume(stage, { ...keeper, will });
      await stage.interrupted();
      const last = await resume(stage, heir);
      await last.receive({ topic: `will${version}`, payload: "gone", qos: 1 });
      await last.expectNothing();
    },
  );
}

function tellRetained(story: TellStory, version: 4 | 5): void {
  const v = nameOf(version);

  story(
    `${v}: "retained messages are stored against topics … clearing a session does not clear ` +
      'retained messages on its topics" [MQTT-3.1.2-7 @3.1.1] [MQTT-3.3.1-5]',
    async (stage) => {
      const keeper = keeperOf(version, `retainer${version}`);
      const topic = `retained${version}`;
      const first = await stage.connect(keeper);
      await first.publish(`${topic}/old`, "old", { qos: 1, retain: true });
      await first.publish(`${topic}/kept`, "first", { qos: 1, retain: true });
      await first.publish(`${topic}/kept`, "kept", { qos: 2, retain: true });
      await first.publish(`${topic}/old`, "", { qos: 1, retain: true });
      await first.subscribe(`${topic}/none`, { qos: 1 });
      await stage.interrupted();
      const second = await resume(stage, keeper);
      await second.expectNothing(); // Not upon resuming: upon SUBSCRIBE.
      await second.disconnect();
      const wiping = await stage.connect({ ...keeper, clean: true });
      await wiping.subscribe(`${topic}/#`, { qos: 2 });
      await wiping.receive({ topic: `${topic}/kept`, payload: "kept", retain: true, qos: 2 });
      await wiping.expectNothing();
      await stage.interrupted();
      const late = await stage.connect({ version });
      await late.subscribe(`${topic}/#`, { qos: 1 });
      await late.receive({ topic: `${topic}/kept`, payload: "kept", retain: true, qos: 1 });
      await late.expectNothing();
    },
  );
}

function tellOptions(story: TellStory): void {
  story(
    `5.0: "All of the client's subscriptions", with their options [§3.8.3.1] [MQTT-3.8.3-3] ` +
      "[MQTT-3.3.1-13] [MQTT-3.3.4-3] [MQTT-3.3.1-10]",
    async (stage) => {
      const keeper = keeperOf(5, "options");
      const first = await stage.connect(keeper);
      await first.subscribe("options/own", { qos: 1, noLocal: true });
      await first.subscribe("options/flag", { qos: 1, retainAsPublished: true });
      await first.subscribe("options/number", { qos: 1, subscriptionIdentifier: 268_435_455 });
      await first.publish("options/flag", "retained", { qos: 1, retain: true });
      await first.receive({ payload: "retained", retain: true });
      await committed(first);
      const publisher = await stage.connect();
      await first.drop();
      await publisher.publish("options/number", "queued", { qos: 1 });
      await publisher.publish("options/flag", "queued", { qos: 1, retain: true });
      await stage.interrupted();
      const second = await resume(stage, keeper);
      const queued = await second.receive({ topic: "options/number", payload: "queued" });
      expect(queued.properties.subscriptionIdentifier).toBe(268_435_455);
      await second.receive({ topic: "options/flag", payload: "queued", retain: true });
      await second.publish("options/own", "own", { qos: 1 });
      await second.expectNothing();
      await second.publish("options/number", "live", { qos: 1 });
      const live = await second.receive({ payload: "live", retain: false });
      expect(live.properties.subscriptionIdentifier).toBe(268_435_455);
      // The subscription is not new [MQTT-3.3.1-10].
      await second.subscribe("options/flag", { qos: 1, retainHandling: 1 });
      await second.expectNothing();
    },
  );

  story(
    '5.0: "all new QoS 1 or 2 messages", whole: properties, empty and long payloads ' +
      "[MQTT-3.3.2-17]",
    async (stage) => {
      const keeper = keeperOf(5, "whole");
      await leave(stage, keeper, "whole/#");
      const publisher = await stage.connect();
      const properties = {
        payloadFormatIndicator: true,
        contentType: "text/plain",
        responseTopic: "answer",
        correlationData: Buffer.from([0, 1, 255]),
        userProperties: { a: ["1", "2"], b: "3" },
      };
      const long = Buffer.alloc(300_000, "long ");
      await publisher.publish("whole/properties", "text", { qos: 2, properties });
      await publisher.publish("whole/empty", "", { qos: 1 });
      await publisher.publish("whole/long", long, { qos: 1 });
      await stage.interrupted();
      const second = await resume(stage, keeper);
      const whole = await second.receive({ topic: "whole/properties", payload: "text", qos: 2 });
      expect(whole.properties).toEqual(properties);
      await second.receive({ topic: "whole/empty", payload: "", qos: 1 });
      const { payloadBytes } = await second.receive({ topic: "whole/long", qos: 1 });
      expect(payloadBytes.equals(long)).toBe(true);
      await second.expectNothing();
    },
  );
}
