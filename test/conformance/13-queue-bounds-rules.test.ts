/**
 * Chapter 13: what else bounds a queue: queue_qos0_messages, queue_rule with keep=last and bounds
 * of its own, max_store_bytes; and how the broker tells of it, in its log and below `$SYS`.
 * MQTT 5.0 §4.5, §3.4.2.1.
 */
import { describe, expect, test } from "vitest";
import { until } from "../support/await.ts";
import type { TestClient } from "../support/client.ts";
import { keeperOf, leave, resume } from "../support/restartable-broker-sessions.ts";
import { stageStories, type TellStory, VARIANTS } from "../support/restartable-broker-stories.ts";
import { startChapter } from "./chapter.ts";

const QUOTA_EXCEEDED = 0x97;
const RULES = [
  "max_queued_messages 10",
  "queue_rule alarms/# max_queued_messages=3 queue_overflow=drop-newest",
  "queue_rule orders/+/new max_queued_messages=2 queue_overflow=reject",
  "queue_rule beats/# queue_qos0_messages=true",
  "queue_rule parcels/# max_queued_bytes=5000",
  "queue_rule first/a max_queued_messages=2",
  "queue_rule first/# max_queued_messages=4",
] as const;

for (const { name, interruption, restMs } of VARIANTS) {
  const prepare = (...lines: readonly string[]): TellStory =>
    stageStories({ interruptions: [interruption, interruption], restMs, configuration: lines });

  describe(`queue_qos0_messages true, across ${name}`, () => {
    tellQos0(prepare("queue_qos0_messages true", "max_queued_messages 10"));
  });

  describe(`queue_rule keep=last, across ${name}`, () => {
    tellKeepLast(prepare("queue_rule state/# keep=last"));
  });

  describe(`queue_rule, bounds of its own, across ${name}`, () => {
    const story = prepare(...RULES);
    tellRules(story);
    tellRuleOrder(story);
  });
}

/** Publishes `topic payload` pairs at QoS 1, one behind the other. */
async function publishEach(client: TestClient, ...pairs: readonly string[]): Promise<void> {
  for (const pair of pairs) {
    const [topic = "", payload = ""] = pair.split(" ");
    expect(await client.publish(topic, payload, { qos: 1 })).toBe(0);
  }
}

async function receiveEach(client: TestClient, ...pairs: readonly string[]): Promise<void> {
  for (const pair of pairs) {
    const [topic = "", payload = ""] = pair.split(" ");
    await client.receive({ topic, payload });
  }
  await client.expectNothing();
}

function tellQos0(story: TellStory): void {
  story(
    '"QoS 0 messages … the specification permits brokers to do so optionally": they wait in ' +
      "their place, and come at QoS 0 [§4.5] [MQTT-4.6.0-5]",
    async (stage) => {
      for (const version of [4, 5] as const) {
        await leave(stage, keeperOf(version, `zero${version}`), "zero", { qos: 1 });
      }
      await leave(stage, keeperOf(5, "zero-granted"), "zero", { qos: 0 });
      const publisher = await stage.connect();
      for (const [payload, qos] of [
        ["0", 0],
        ["1", 1],
        ["2", 0],
        ["3", 1],
      ] as const) {
        await publisher.publish("zero", payload, { qos });
      }
      await stage.interrupted();
      for (const version of [4, 5] as const) {
        const back = await resume(stage, keeperOf(version, `zero${version}`));
        for (let i = 0; i < 4; i++) {
          await back.receive({ payload: `${i}`, qos: i % 2 === 0 ? 0 : 1, dup: false });
        }
        await back.expectNothing();
      }
      const granted = await resume(stage, keeperOf(5, "zero-granted"));
      for (let i = 0; i < 4; i++) await granted.receive({ payload: `${i}`, qos: 0 });
      await granted.expectNothing();
    },
  );

  story("QoS 0 messages that wait count like others: max_queued_messages", async (stage) => {
    await leave(stage, keeperOf(5, "zero-bound"), "bound", { qos: 1 });
    const publisher = await stage.connect();
    for (let i = 0; i < 14; i++) await publisher.publish("bound", `${i}`, { qos: 0 });
    await publisher.publish("bound", "14", { qos: 1 });
    await stage.interrupted();
    const back = await resume(stage, keeperOf(5, "zero-bound"));
    for (let i = 5; i < 15; i++) await back.receive({ payload: `${i}` });
    await back.expectNothing();
  });
}

function tellKeepLast(story: TellStory): void {
  story(
    "only the newest message of each topic waits for a Session whose client is away, in the " +
      "order of their coming, before and behind the interruption [MQTT-4.6.0-5]",
    async (stage) => {
      for (const version of [4, 5] as const) {
        await leave(stage, keeperOf(version, `last${version}`), "state/set/#", { qos: 1 });
      }
      const publisher = await stage.connect();
      await publishEach(
        publisher,
        "state/set/a 1",
        "state/set/a 2",
        "state/set/b 1",
        "state/set/a 3",
        "state/set/b 2",
      );
      await publishEach(publisher, "state/set/c 1");
      await stage.interrupted();
      const again = await stage.connect();
      await publishEach(again, "state/set/b 3", "state/set/b 4", "state/set/d 1");
      await stage.interrupted();
      for (const version of [4, 5] as const) {
        const back = await resume(stage, keeperOf(version, `last${version}`));
        await receiveEach(back, "state/set/a 3", "state/set/c 1", "state/set/b 4", "state/set/d 1");
      }
    },
  );

  story("topics that the rule does not name keep all their messages", async (stage) => {
    await leave(stage, keeperOf(5, "all"), "+/all", { qos: 1 });
    await publishEach(await stage.connect(), "other/all 1", "state/all 1", "other/all 2");
    await stage.interrupted();
    await publishEach(await stage.connect(), "state/all 2", "other/all 3");
    await stage.interrupted();
    const back = await resume(stage, keeperOf(5, "all"));
    await receiveEach(back, "other/all 1", "other/all 2", "state/all 2", "other/all 3");
  });

  story(
    "a client that is there gets every one of them, and again what it left open",
    async (stage) => {
      const keeper = keeperOf(5, "there");
      const first = await stage.connect(keeper);
      await first.subscribe("state/there", { qos: 1 });
      const publisher = await stage.connect();
      await publishEach(publisher, "state/there 1", "state/there 2", "state/there 3");
      for (const payload of ["1", "2", "3"]) await first.expectPublish({ payload, dup: false });
      await first.drop();
      await publishEach(publisher, "state/there 4", "state/there 5");
      await stage.interrupted();
      // What was sent keeps its identifier and its place [MQTT-4.4.0-1].
      const second = await resume(stage, keeper);
      for (const payload of ["1", "2", "3"]) await second.receive({ payload, dup: true });
      await receiveEach(second, "state/there 5");
    },
  );
}

function tellRules(story: TellStory): void {
  story("a rule's max_queued_messages and queue_overflow go before the others", async (stage) => {
    await leave(stage, keeperOf(5, "alarms"), "alarms/+", { qos: 1 });
    await leave(stage, keeperOf(5, "plain"), "plain/+", { qos: 1 });
    const publisher = await stage.connect();
    for (let i = 0; i < 12; i++) await publishEach(publisher, `alarms/x ${i}`, `plain/x ${i}`);
    await stage.interrupted();
    await receiveEach(
      await resume(stage, keeperOf(5, "alarms")),
      "alarms/x 0",
      "alarms/x 1",
      "alarms/x 2",
    );
    const plain = Array.from({ length: 10 }, (_, index) => `plain/x ${index + 2}`);
    await receiveEach(await resume(stage, keeperOf(5, "plain")), ...plain);
  });

  story(
    "a rule's queue_overflow reject: PUBACK 0x97 for its topics only [§3.4.2.1]",
    async (stage) => {
      await leave(stage, keeperOf(5, "orders"), "orders/#", { qos: 1 });
      const publisher = await stage.connect();
      await publishEach(publisher, "orders/x/new 1", "orders/x/new 2");
      expect(await publisher.publish("orders/x/new", "3", { qos: 1 })).toBe(QUOTA_EXCEEDED);
      await publishEach(publisher, "orders/x/old 4");
      await stage.interrupted();
      const back = await resume(stage, keeperOf(5, "orders"));
      await receiveEach(back, "orders/x/new 1", "orders/x/new 2", "orders/x/old 4");
    },
  );

  story("a rule's queue_qos0_messages: QoS 0 waits for its topics only", async (stage) => {
    await leave(stage, keeperOf(5, "beats"), "+/beat", { qos: 1 });
    const publisher = await stage.connect();
    await publisher.publish("beats/beat", "kept", { qos: 0 });
    await publisher.publish("other/beat", "lost", { qos: 0 });
    await publishEach(publisher, "other/beat end");
    await stage.interrupted();
    const back = await resume(stage, keeperOf(5, "beats"));
    await receiveEach(back, "beats/beat kept", "other/beat end");
  });
}

function tellRuleOrder(story: TellStory): void {
  story("the first rule that matches counts, and none for other topics", async (stage) => {
    const cases = [
      ["first/a", 2],
      ["first/b", 4],
      ["second/a", 10],
    ] as const;
    const publisher = await stage.connect();
    for (const [topic] of cases) {
      await leave(stage, keeperOf(5, topic), topic, { qos: 1 });
      for (let i = 0; i < 12; i++) await publishEach(publisher, `${topic} ${i}`);
    }
    await stage.interrupted();
    for (const [topic, count] of cases) {
      const back = await resume(stage, keeperOf(5, topic));
      for (let i = 12 - count; i < 12; i++) await back.receive({ payload: `${i}` });
      await back.expectNothing();
    }
  });

  story("a rule's max_queued_bytes binds its topics", async (stage) => {
    await leave(stage, keeperOf(5, "parcels"), "parcels/+", { qos: 1 });
    const publisher = await stage.connect();
    for (let i = 0; i < 8; i++) await publishEach(publisher, `parcels/x ${i}${"-".repeat(1500)}`);
    await stage.interrupted();
    const back = await resume(stage, keeperOf(5, "parcels"));
    const { payload } = await back.receive();
    expect(Number.parseInt(payload, 10)).toBeGreaterThanOrEqual(5);
    for (let i = Number.parseInt(payload, 10) + 1; i < 8; i++) {
      expect((await back.receive()).payload.startsWith(`${i}-`)).toBe(true);
    }
    await back.expectNothing();
  });
}

describe("how the log tells", () => {
  const { connect, broker } = startChapter({
    configuration: ["max_queued_messages 10", "log_type warning"],
  });

  /** Lines of the log that name this client. */
  function linesOf(clientId: string, pattern: RegExp): number {
    const lines = broker().output().split("\n");
    return lines.filter((line) => line.includes(clientId) && pattern.test(line)).length;
  }

  test("a line at 80 %, and one when it drops, once per episode", async () => {
    const keeper = keeperOf(5, "full-queue");
    await leave({ connect }, keeper, "told", { qos: 1 });
    const publisher = await connect();
    const dropping = /Outgoing messages are being dropped for client full-queue\./;
    const filling =
      /Warning: The queue of client full-queue is four fifths full: \d+ messages wait\./;
    const publishMany = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) await publisher.publish("told", `${i}`, { qos: 1 });
    };
    await publishMany(7);
    expect(linesOf("full-queue", filling)).toBe(0);
    await publishMany(2);
    await until("the warning", () => linesOf("full-queue", filling) === 1);
    expect(linesOf("full-queue", dropping)).toBe(0);
    await publishMany(20);
    await until("the line", () => linesOf("full-queue", dropping) === 1);
    const back = await resume({ connect }, keeper);
    for (let i = 10; i < 20; i++) await back.receive({ payload: `${i}` });
    await back.drop();
    await publishMany(20);
    await until("the next episode's line", () => linesOf("full-queue", dropping) === 2);
    expect(linesOf("full-queue", filling)).toBe(2);
  });
});

describe("how $SYS tells", () => {
  const { connect } = startChapter({
    configuration: [
      "max_queued_messages 10",
      "sys_interval 1",
      "queue_rule told/last keep=last",
      "queue_rule told/reject queue_overflow=reject",
    ],
  });

  test.for([
    ["holdfast/dropped/queue full", "told/drop", 15, 5],
    ["holdfast/dropped/replaced", "told/last", 4, 3],
    ["holdfast/refused/queue full", "told/reject", 12, 2],
  ] as const)("%s is counted", async ([name, topic, count, counted]) => {
    const watching = await connect();
    await watching.subscribe(`$SYS/broker/${name}`, { qos: 0 });
    const before = Number((await watching.receive()).payload);
    await leave({ connect }, keeperOf(5, topic), topic, { qos: 1 });
    const publisher = await connect();
    for (let i = 0; i < count; i++) await publisher.publish(topic, `${i}`, { qos: 1 });
    let value = before;
    while (value < before + counted) value = Number((await watching.receive()).payload);
    expect(value - before).toBe(counted);
  });
});

describe("max_store_bytes", () => {
  const { connect } = startChapter({
    configuration: ["max_store_bytes 16000000", "max_queued_bytes 0"],
  });

  test(
    '"without them a single client … can cause the broker to fill its storage": 0x97 when it is ' +
      "full, what was acknowledged comes, and then there is room again [§3.4.2.1]",
    async () => {
      const keeper = keeperOf(5, "hoarder");
      await leave({ connect }, keeper, "hoard", { qos: 1 });
      const publisher = await connect();
      const body = "x".repeat(100_000);
      let accepted = 0;
      while ((await publisher.publish("hoard", `${accepted} ${body}`, { qos: 1 })) === 0) {
        accepted += 1;
        expect(accepted).toBeLessThan(300);
      }
      expect(accepted).toBeGreaterThan(20);
      const back = await resume({ connect }, keeper);
      for (let i = 0; i < accepted; i++) {
        expect((await back.receive()).payload.startsWith(`${i} `)).toBe(true);
      }
      await until(
        "room",
        async () => (await publisher.publish("hoard", "again", { qos: 1 })) === 0,
      );
      await back.receive({ payload: "again" });
    },
  );
});
