/**
 * Chapter 14: how long a message waits: Message Expiry Interval, counted down and kept across
 * restarts, and max_message_expiry_interval. MQTT 5.0 §3.3.2.3.3, §4.3.3.
 */
import { describe, expect } from "vitest";
import { committed, keeperOf, leave, resume } from "../support/restartable-broker-sessions.ts";
import { type Stage, stageStories, type TellStory } from "../support/restartable-broker-stories.ts";

/** How long clients are away, and the broker is down: longer than an interval of 1 s. */
const AWAY_MS = 2200;
const LONG_SECONDS = 1000;

for (const interruption of ["a lost connection", "stop", "kill -9"] as const) {
  const plan = { interruptions: [interruption], downMs: AWAY_MS };

  describe(`across ${interruption}`, () => {
    const story = stageStories(plan);
    tellQueued(story);
    tellOddQueues(story);
    tellBegun(story);
    tellRetained(story);
  });

  describe(`max_message_expiry_interval, across ${interruption}`, () => {
    tellMaximum(stageStories({ ...plan, configuration: ["max_message_expiry_interval 1"] }));
  });

  describe(`max_retained_expiry_interval, across ${interruption}`, () => {
    tellRetainedMaximum(
      stageStories({ ...plan, configuration: ["max_retained_expiry_interval 1"] }),
    );
  });

  describe(`queue_rule max_message_expiry_interval, across ${interruption}`, () => {
    tellRule(
      stageStories({
        ...plan,
        configuration: ["queue_rule brief/# max_message_expiry_interval=1"],
      }),
    );
  });
}

function lastingFor(messageExpiryInterval: number) {
  return { properties: { messageExpiryInterval } };
}

/** The interval that is left, between `sinceMs` and now, of LONG_SECONDS. */
function expectCountedDown(left: number | undefined, sinceMs: number): void {
  const passedSeconds = (performance.now() - sinceMs) / 1000;
  expect(left).toBeLessThanOrEqual(LONG_SECONDS - Math.floor(AWAY_MS / 1000));
  expect(left).toBeGreaterThanOrEqual(LONG_SECONDS - Math.ceil(passedSeconds) - 1);
}

function tellQueued(story: TellStory): void {
  story(
    '"queued messages can expire before the client reconnects … older items in its queue have ' +
      'been pruned even though the session is still alive" [MQTT-3.3.2-5]',
    async (stage) => {
      for (const version of [4, 5] as const) {
        await leave(stage, keeperOf(version, `pruned${version}`), "pruned", { qos: 2 });
      }
      const publisher = await stage.connect();
      for (const [payload, qos, seconds] of [
        ["0", 1, 1],
        ["1", 1, LONG_SECONDS],
        ["2", 2, 1],
        ["3", 1, 1],
        ["4", 2, LONG_SECONDS],
        ["5", 1, 1],
      ] as const) {
        await publisher.publish("pruned", payload, { qos, ...lastingFor(seconds) });
      }
      await publisher.publish("pruned", "6", { qos: 1 });
      await stage.interrupted();
      for (const version of [4, 5] as const) {
        const back = await resume(stage, keeperOf(version, `pruned${version}`));
        for (const payload of ["1", "4", "6"]) await back.receive({ payload, dup: false });
        await back.expectNothing();
      }
    },
  );

  story(
    "what is left of the interval is sent on, in whole seconds [MQTT-3.3.2-6]",
    async (stage) => {
      const keeper = keeperOf(5, "counted");
      await leave(stage, keeper, "counted", { qos: 2 });
      const sinceMs = performance.now();
      const publisher = await stage.connect();
      for (const qos of [1, 2] as const) {
        await publisher.publish("counted", "x", { qos, ...lastingFor(LONG_SECONDS) });
      }
      await publisher.publish("counted", "without", { qos: 1 });
      await stage.interrupted();
      const back = await resume(stage, keeper);
      for (const qos of [1, 2] as const) {
        const { properties } = await back.receive({ payload: "x", qos });
        expectCountedDown(properties.messageExpiryInterval, sinceMs);
      }
      const { properties } = await back.receive({ payload: "without" });
      expect(properties.messageExpiryInterval).toBeUndefined();
    },
  );
}

function tellOddQueues(story: TellStory): void {
  story(
    "the longest interval, 4294967295 s, is counted down like others [§3.3.2.3.3]",
    async (stage) => {
      const keeper = keeperOf(5, "longest");
      await leave(stage, keeper, "longest", { qos: 1 });
      const publisher = await stage.connect();
      await publisher.publish("longest", "x", { qos: 1, ...lastingFor(0xffff_ffff) });
      await stage.interrupted();
      const { properties } = await (await resume(stage, keeper)).receive({ payload: "x" });
      expect(properties.messageExpiryInterval).toBeLessThan(0xffff_ffff);
      expect(properties.messageExpiryInterval).toBeGreaterThan(0xffff_ffff - 60);
    },
  );

  story(
    "a queue of expired messages only is empty, and takes new ones [MQTT-3.3.2-5]",
    async (stage) => {
      const keeper = keeperOf(5, "emptied");
      await leave(stage, keeper, "emptied", { qos: 1 });
      const publisher = await stage.connect();
      for (let i = 0; i < 200; i++) {
        await publisher.publish("emptied", `${i}`, { qos: 1, ...lastingFor(1) });
      }
      await stage.interrupted();
      const again = await stage.connect();
      await again.publish("emptied", "new", { qos: 1, ...lastingFor(LONG_SECONDS) });
      const back = await resume(stage, keeper);
      await back.receive({ payload: "new" });
      await back.expectNothing();
    },
  );
}

function tellBegun(story: TellStory): void {
  story(
    "a QoS 2 message that was sent before it expired is brought to its end [MQTT-4.3.3-7, -13]",
    async (stage) => {
      const keeper = keeperOf(5, "begun");
      const first = await stage.connect(keeper);
      await first.subscribe("begun", { qos: 2 });
      const publisher = await stage.connect();
      for (const payload of ["published", "received"]) {
        await publisher.publish("begun", payload, { qos: 2, ...lastingFor(1) });
      }
      const { packetIdentifier } = await first.expectPublish({ payload: "published", dup: false });
      const received = await first.expectPublish({ payload: "received", dup: false });
      first.send({ cmd: "pubrec", messageId: received.packetIdentifier });
      await first.expect("pubrel", received.packetIdentifier);
      await committed(first);
      await stage.interrupted();
      const second = await resume(stage, keeper);
      await second.receive({ payload: "published", dup: true, packetIdentifier });
      await second.expect("pubrel", received.packetIdentifier);
      second.send({ cmd: "pubcomp", messageId: received.packetIdentifier });
      await second.expectNothing();
    },
  );

  story(
    "a publisher's QoS 2 exchange is finished although its message expired [MQTT-4.3.3-13]",
    async (stage) => {
      const keeper = keeperOf(5, "giver");
      await leave(stage, keeperOf(5, "taker"), "given", { qos: 2 });
      const first = await stage.connect(keeper);
      const options = { qos: 2, packetIdentifier: 9, ...lastingFor(1) } as const;
      first.sendPublish("given", "x", options);
      await first.expect("pubrec", 9);
      await stage.interrupted();
      const second = await resume(stage, keeper);
      second.sendPublish("given", "x", { ...options, dup: true });
      await second.expect("pubrec", 9);
      second.send({ cmd: "pubrel", messageId: 9 });
      expect((await second.expect("pubcomp", 9)).reasonCode ?? 0).toBe(0);
      await (await resume(stage, keeperOf(5, "taker"))).expectNothing();
    },
  );
}

function tellRetained(story: TellStory): void {
  story(
    "a retained message expires, and what is left of another's interval is sent on " +
      "[MQTT-3.3.2-5] [MQTT-3.3.2-6]",
    async (stage) => {
      const publisher = await stage.connect();
      const sinceMs = performance.now();
      for (const [topic, seconds] of [
        ["retained/brief", 1],
        ["retained/long", LONG_SECONDS],
      ] as const) {
        await publisher.publish(topic, "x", { qos: 1, retain: true, ...lastingFor(seconds) });
      }
      await stage.interrupted();
      const late = await stage.connect();
      await late.subscribe("retained/#", { qos: 1 });
      const { properties } = await late.receive({ topic: "retained/long", retain: true });
      expectCountedDown(properties.messageExpiryInterval, sinceMs);
      await late.expectNothing();
    },
  );
}

/** Messages with and without an interval of their own, to Sessions of both versions. */
async function queueBoth(stage: Stage, topic: string): Promise<void> {
  for (const version of [4, 5] as const) {
    await leave(stage, keeperOf(version, `${topic}${version}`), topic, { qos: 1 });
  }
  const publisher = await stage.connect();
  await publisher.publish(topic, "without", { qos: 1 });
  await publisher.publish(topic, "longer", { qos: 1, ...lastingFor(LONG_SECONDS) });
  await (await stage.connect({ version: 4 })).publish(topic, "from 3.1.1", { qos: 1 });
}

async function expectBoth(stage: Stage, topic: string, payloads: readonly string[]): Promise<void> {
  for (const version of [4, 5] as const) {
    const back = await resume(stage, keeperOf(version, `${topic}${version}`));
    for (const payload of payloads) await back.receive({ payload });
    await back.expectNothing();
  }
}

function tellMaximum(story: TellStory): void {
  story(
    '"expiry on individual queued messages": none waits longer, whatever it asks for ' +
      "[MQTT-3.3.2-5]",
    async (stage) => {
      await queueBoth(stage, "maximum");
      await stage.interrupted();
      await expectBoth(stage, "maximum", []);
    },
  );

  story("retained messages are bound as well", async (stage) => {
    const publisher = await stage.connect();
    await publisher.publish("bound/1", "x", { qos: 1, retain: true });
    await stage.interrupted();
    const late = await stage.connect();
    await late.subscribe("bound/#", { qos: 1 });
    await late.expectNothing();
  });
}

function tellRetainedMaximum(story: TellStory): void {
  story("retained messages are bound, and what is queued of them is not", async (stage) => {
    await queueBoth(stage, "mixed/queued");
    const publisher = await stage.connect();
    await leave(stage, keeperOf(5, "mixed"), "mixed/+", { qos: 1 });
    const options = { qos: 1, retain: true } as const;
    await publisher.publish("mixed/without", "x", options);
    await publisher.publish("mixed/longer", "x", { ...options, ...lastingFor(LONG_SECONDS) });
    await (await stage.connect({ version: 4 })).publish("mixed/older", "x", options);
    await stage.interrupted();
    const late = await stage.connect();
    await late.subscribe("mixed/#", { qos: 1 });
    await late.expectNothing();
    const back = await resume(stage, keeperOf(5, "mixed"));
    const without = await back.receive({ topic: "mixed/without" });
    expect(without.properties.messageExpiryInterval).toBeUndefined();
    const longer = await back.receive({ topic: "mixed/longer" });
    expect(longer.properties.messageExpiryInterval).toBeGreaterThan(LONG_SECONDS / 2);
    await back.receive({ topic: "mixed/older" });
    await back.expectNothing();
    await expectBoth(stage, "mixed/queued", ["without", "longer", "from 3.1.1"]);
  });
}

function tellRule(story: TellStory): void {
  story("a rule's max_message_expiry_interval binds its topics only", async (stage) => {
    await queueBoth(stage, "brief/x");
    await queueBoth(stage, "other/x");
    await stage.interrupted();
    await expectBoth(stage, "brief/x", []);
    await expectBoth(stage, "other/x", ["without", "longer", "from 3.1.1"]);
  });
}
