/**
 * Chapter 12: the persistent Session where there is much of it: many subscriptions, one message
 * for many Sessions, long Topic Names, Sessions that come and go while the queue is filled.
 * MQTT 5.0 §4.1, §4.5, §4.6, §1.5.4.
 */
import { describe, expect } from "vitest";
import { subscription } from "../support/client-packets.ts";
import { committed, keeperOf, leave, resume } from "../support/restartable-broker-sessions.ts";
import { stageStories, type TellStory, VARIANTS } from "../support/restartable-broker-stories.ts";

for (const { name, interruption, restMs } of VARIANTS) {
  describe(`across ${name}`, () => {
    const story = stageStories({ interruptions: [interruption, interruption], restMs });
    tellSubscriptions(story);
    tellSharedMessages(story);
    tellLongTopics(story);
  });
}

function tellSubscriptions(story: TellStory): void {
  story(
    `"All of the client's subscriptions", if there are 4000, and some of them changed since ` +
      "[MQTT-3.1.2-5] [MQTT-3.10.4-1]",
    async (stage) => {
      const keeper = keeperOf(5, "subscriber");
      const filterOf = (index: number): string => `many/${index}/of them, each with a level more/+`;
      const first = await stage.connect(keeper);
      for (let from = 0; from < 4000; from += 500) {
        const entries = Array.from({ length: 500 }, (_, index) =>
          subscription(filterOf(from + index), { qos: 1 }),
        );
        expect(new Set(await first.subscribeAll(entries))).toEqual(new Set([1]));
      }
      await stage.interrupted();
      const second = await resume(stage, keeper);
      for (const index of [0, 1234, 3999]) {
        await second.publish(filterOf(index).replace("+", "x"), `${index}`, { qos: 1 });
        await second.receive({ payload: `${index}` });
      }
      await second.unsubscribe(filterOf(1234), filterOf(3999));
      await second.subscribe(filterOf(4000), { qos: 1 });
      await stage.interrupted();
      const third = await resume(stage, keeper);
      for (const index of [1234, 3999, 0, 3998, 4000]) {
        await third.publish(filterOf(index).replace("+", "x"), `${index}`, { qos: 1 });
      }
      for (const index of [0, 3998, 4000]) await third.receive({ payload: `${index}` });
      await third.expectNothing();
    },
  );
}

function tellSharedMessages(story: TellStory): void {
  story(
    '"All new QoS 1 or 2 messages that the client missed", each for 40 clients, half of them ' +
      "come earlier [MQTT-4.5.0-1]",
    async (stage) => {
      const names = Array.from({ length: 40 }, (_, index) => `one-of-${index}`);
      for (const name of names) await leave(stage, keeperOf(5, name), "for/all", { qos: 1 });
      const publisher = await stage.connect();
      const body = "x".repeat(2000);
      for (let i = 0; i < 4; i++) await publisher.publish("for/all", `${i}${body}`, { qos: 1 });
      await stage.interrupted();
      for (const name of names.filter((_, index) => index % 2 === 0)) {
        const client = await resume(stage, keeperOf(5, name));
        for (let i = 0; i < 4; i++) await client.receive({ payload: `${i}${body}` });
        await committed(client);
        await client.drop();
      }
      await (await stage.connect()).publish("for/all", "last", { qos: 1 });
      await stage.interrupted();
      for (const [index, name] of names.entries()) {
        const client = await resume(stage, keeperOf(5, name));
        if (index % 2 === 1) {
          for (let i = 0; i < 4; i++) await client.receive({ payload: `${i}${body}` });
        }
        await client.receive({ payload: "last" });
        await client.expectNothing();
      }
    },
  );
}

function tellLongTopics(story: TellStory): void {
  story(
    '"Retained messages are stored against topics", however long and however alike ' +
      "[MQTT-3.3.1-5] [MQTT-3.3.1-6]",
    async (stage) => {
      const long = `long/${"t".repeat(3000)}`;
      const topics = [
        `${long}/a`,
        `${long}/b`,
        `${"名".repeat(2000)}/long`,
        `long/${"u".repeat(65_000)}`,
      ];
      const publisher = await stage.connect();
      for (const [index, topic] of topics.entries()) {
        await publisher.publish(topic, `${index}`, { qos: 1, retain: true });
      }
      await stage.interrupted();
      const second = await stage.connect();
      for (const [index, topic] of topics.entries()) {
        await second.subscribe(topic, { qos: 1 });
        const retained = await second.receive({ payload: `${index}`, retain: true });
        expect(retained.topic === topic).toBe(true); // Too long to be shown.
      }
      await second.publish(`${long}/a`, "", { qos: 1, retain: true });
      await stage.interrupted();
      const third = await stage.connect();
      await third.subscribe(`${long}/+`, { qos: 1 });
      const left = await third.receive({ payload: "1", retain: true });
      expect(left.topic === `${long}/b`).toBe(true);
      await third.expectNothing();
    },
  );

  story(
    `"All of the client's subscriptions" and "all new QoS 1 or 2 messages", with Topic Filters ` +
      "and Topic Names of 60,000 bytes [§1.5.4]",
    async (stage) => {
      const topic = `wide/${"w".repeat(60_000)}`;
      await leave(stage, keeperOf(5, "wide"), `${topic}/+`, { qos: 1 });
      await (await stage.connect()).publish(`${topic}/1`, "1", { qos: 1 });
      await stage.interrupted();
      await (await stage.connect()).publish(`${topic}/2`, "2", { qos: 1 });
      await stage.interrupted();
      const back = await resume(stage, keeperOf(5, "wide"));
      for (const payload of ["1", "2"]) {
        const queued = await back.receive({ payload });
        expect(queued.topic === `${topic}/${payload}`).toBe(true);
      }
      await back.expectNothing();
    },
  );
}
