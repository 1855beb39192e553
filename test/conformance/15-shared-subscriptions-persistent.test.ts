/**
 * Chapter 15, continued: shared subscriptions of durable Sessions, across lost connections and
 * restarts. MQTT 5.0 §4.8.2.
 */
import { describe, expect } from "vitest";
import { elapse } from "../support/await.ts";
import type { TestClient } from "../support/client.ts";
import { committed } from "../support/restartable-broker-sessions.ts";
import {
  type Stage,
  stageStories,
  type TellStory,
  VARIANTS,
} from "../support/restartable-broker-stories.ts";

const HOUR = { properties: { sessionExpiryInterval: 3600 } };

for (const { name, interruption, restMs } of VARIANTS) {
  describe(`shared subscriptions across ${name}`, () => {
    const story = stageStories({ interruptions: [interruption, interruption], restMs });
    tellWhatWaits(story);
    tellMembership(story);
    tellCleanStart(story);
    tellExpiry(story);
    tellQos2(story);
    tellNonDurable(story);
  });
}

for (const { name, interruption, restMs } of VARIANTS) {
  describe(`shared subscriptions and queue_rule keep=last, across ${name}`, () => {
    const configuration = ["queue_rule last/# keep=last"];
    const plan = { interruptions: [interruption], restMs, configuration };
    tellKeepLast(stageStories(plan));
  });
}

/** A member that is connected. */
async function join(
  { connect }: Stage,
  clientId: string,
  filter: string,
  more: Readonly<Record<string, number>> = {},
): Promise<TestClient> {
  const properties = { ...HOUR.properties, ...more };
  const client = await connect({ clientId, clean: false, properties });
  expect(await client.subscribe(filter, { qos: 2 })).toBe(2);
  return client;
}

/** A member that comes back to its Session. */
async function comeBack({ connect }: Stage, clientId: string, more = {}): Promise<TestClient> {
  const properties = { ...HOUR.properties, ...more };
  const client = await connect({ clientId, clean: false, properties });
  expect(client.connack?.sessionPresent).toBe(true);
  return client;
}

async function publishRange(stage: Stage, topic: string, from: number, to: number, qos: 1 | 2 = 1) {
  const publisher = await stage.connect();
  for (let i = from; i < to; i++) await publisher.publish(topic, `${i}`, { qos });
  await publisher.disconnect();
}

function tellWhatWaits(story: TellStory): void {
  story("what waits for all goes to who comes first, once, in order [§4.8.2]", async (stage) => {
    const filter = "$share/wait/wait/#";
    for (const clientId of ["wait-1", "wait-2"]) await (await join(stage, clientId, filter)).drop();
    await publishRange(stage, "wait/a", 0, 5);
    await publishRange(stage, "wait/a", 5, 10, 2);
    await stage.interrupted();
    const first = await comeBack(stage, "wait-1", { receiveMaximum: 2 });
    const held = [await first.expectPublish(), await first.expectPublish()];
    expect(held.map(({ payload }) => payload)).toEqual(["0", "1"]);
    await first.expectNothing();
    await publishRange(stage, "wait/a", 10, 12);
    await stage.interrupted();
    const second = await comeBack(stage, "wait-2");
    for (let i = 2; i < 12; i++) {
      await second.receive({ payload: `${i}`, qos: i >= 5 && i < 10 ? 2 : 1 });
    }
    await second.expectNothing();
    const again = await comeBack(stage, "wait-1");
    for (const { packetIdentifier, payload } of held) {
      await again.receive({ packetIdentifier, payload, dup: true });
    }
    await again.expectNothing();
    await second.expectNothing();
  });
}

function tellMembership(story: TellStory): void {
  story("a membership stays as it was, or stays ended [§4.1]", async (stage) => {
    const filter = "$share/stay/stay";
    const staying = await join(stage, "stay-1", filter);
    await staying.subscribe(filter, { qos: 1, subscriptionIdentifier: 9 });
    const leaving = await join(stage, "stay-2", filter);
    await leaving.unsubscribe(filter);
    const other = await join(stage, "stay-3", "$share/other/stay");
    await stage.interrupted();
    const back = await comeBack(stage, "stay-1");
    const gone = await comeBack(stage, "stay-2");
    const third = await comeBack(stage, "stay-3");
    await publishRange(stage, "stay", 0, 2, 2);
    for (const payload of ["0", "1"]) {
      const { properties } = await back.receive({ payload, qos: 1 });
      expect(properties.subscriptionIdentifier).toBe(9);
      await third.receive({ payload, qos: 2 });
    }
    await gone.expectNothing();
    expect(await third.unsubscribe("$share/other/stay")).toEqual([0]);
    expect(other.isClosed).toBe(true);
  });
}

function tellCleanStart(story: TellStory): void {
  story("a clean start gives what was unacknowledged to others [§4.8.2]", async (stage) => {
    const filter = "$share/clean/clean";
    const one = await join(stage, "clean-1", filter);
    await publishRange(stage, "clean", 0, 3);
    for (const payload of ["0", "1", "2"]) await one.expectPublish({ payload });
    await one.drop();
    await (await join(stage, "clean-2", filter)).drop();
    await stage.interrupted();
    const fresh = await stage.connect({ ...HOUR, clientId: "clean-1", clean: true });
    expect(fresh.connack?.sessionPresent).toBe(false);
    const second = await comeBack(stage, "clean-2");
    for (const payload of ["0", "1", "2"]) await second.receive({ payload, qos: 1 });
    await second.expectNothing();
    await fresh.expectNothing();
    await stage.interrupted();
    const afterwards = await comeBack(stage, "clean-2");
    await afterwards.expectNothing();
    await (await comeBack(stage, "clean-1")).expectNothing();
  });
}

function tellExpiry(story: TellStory): void {
  story("so does the end of a Session that nobody continues [§4.8.2]", async (stage) => {
    const filter = "$share/expire/expire";
    const one = await join(stage, "expire-1", filter, { sessionExpiryInterval: 1 });
    await publishRange(stage, "expire", 0, 3);
    const first = await one.receive({ payload: "0" });
    for (const payload of ["1", "2"]) await one.expectPublish({ payload });
    await committed(one);
    const two = await join(stage, "expire-2", filter);
    await stage.interrupted();
    const second = await comeBack(stage, "expire-2");
    await elapse(1500);
    for (const payload of ["1", "2"]) await second.receive({ payload, qos: 1 });
    await second.expectNothing();
    expect([two.isClosed, first.dup]).toEqual([true, false]);
  });
}

function tellQos2(story: TellStory): void {
  story(
    "QoS 2 once sent is finished by who got it [MQTT-4.8.2-4] [MQTT-4.8.2-5]",
    async (stage) => {
      const filter = "$share/two/two";
      const one = await join(stage, "two-1", filter);
      await publishRange(stage, "two", 0, 2, 2);
      const first = await one.expectPublish({ payload: "0", qos: 2 });
      await one.expectPublish({ payload: "1", qos: 2 });
      one.send({ cmd: "pubrec", messageId: first.packetIdentifier });
      await one.expect("pubrel", first.packetIdentifier);
      await one.drop();
      await (await join(stage, "two-2", filter)).drop();
      await stage.interrupted();
      const second = await comeBack(stage, "two-2");
      await second.expectNothing();
      const back = await comeBack(stage, "two-1");
      await back.expect("pubrel", first.packetIdentifier);
      back.send({ cmd: "pubcomp", messageId: first.packetIdentifier });
      await back.expectPublish({ payload: "1", qos: 2, dup: true });
      await back.drop();
      await stage.connect({ clientId: "two-1", clean: true });
      await second.expectNothing();
    },
  );
}

function tellNonDurable(story: TellStory): void {
  story("who ends with its connection leaves nothing behind [§4.8.2]", async (stage) => {
    const filter = "$share/mixed/mixed";
    const { clientId } = await stage.connect({ clientId: "mixed-1" });
    const client = await stage.connect({ clientId });
    await client.subscribe(filter, { qos: 1 });
    await publishRange(stage, "mixed", 0, 1);
    await client.receive({ payload: "0" });
    await stage.interrupted();
    const other = await join(stage, "mixed-2", filter);
    await publishRange(stage, "mixed", 1, 3);
    for (const payload of ["1", "2"]) await other.receive({ payload });
    await other.expectNothing();
  });
}

function tellKeepLast(story: TellStory): void {
  story("only the newest of a topic waits for who comes first [§4.8.2]", async (stage) => {
    const filter = "$share/last/last/#";
    for (const clientId of ["last-1", "last-2"]) await (await join(stage, clientId, filter)).drop();
    await publishRange(stage, "last/a", 0, 5);
    await publishRange(stage, "last/b", 5, 10);
    await stage.interrupted();
    await publishRange(stage, "last/c", 10, 12);
    await publishRange(stage, "last/a", 12, 14);
    const first = await comeBack(stage, "last-2");
    for (const payload of ["9", "11", "13"]) await first.receive({ payload });
    await first.expectNothing();
    await (await comeBack(stage, "last-1")).expectNothing();
  });
}
