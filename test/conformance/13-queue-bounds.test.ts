/**
 * Chapter 13: "brokers typically also impose operational limits on what they will store per
 * session": max_queued_messages, max_queued_bytes, and the three ways of queue_overflow.
 * MQTT 5.0 §4.5, §3.4.2.1, §3.5.2.1.
 */
import { describe, expect } from "vitest";
import { elapse } from "../support/await.ts";
import type { TestClient } from "../support/client.ts";
import { committed, keeperOf, leave, resume } from "../support/restartable-broker-sessions.ts";
import {
  type Stage,
  stageStories,
  type TellStory,
  VARIANTS,
} from "../support/restartable-broker-stories.ts";

const QUEUED_MAX = 10;
const QUOTA_EXCEEDED = 0x97;

for (const { name, interruption, restMs } of VARIANTS) {
  const prepare = (...lines: readonly string[]): TellStory =>
    stageStories({ interruptions: [interruption, interruption], restMs, configuration: lines });
  const bound = `max_queued_messages ${QUEUED_MAX}`;

  describe(`max_queued_messages, the default policy, across ${name}`, () => {
    const story = prepare(bound);
    tellDropOldest(story, 4);
    tellDropOldest(story, 5);
    tellWhatIsCounted(story);
    tellOnlineAndDrained(story);
    tellExpiredFirst(story);
  });

  describe(`queue_overflow drop-newest, across ${name}`, () => {
    const story = prepare(bound, "queue_overflow drop-newest");
    tellDropNewest(story, 4);
    tellDropNewest(story, 5);
  });

  describe(`queue_overflow reject, across ${name}`, () => {
    const story = prepare(bound, "queue_overflow reject");
    tellReject(story);
    tellRejectBefore5(story);
  });

  describe(`max_queued_bytes, across ${name}`, () => {
    const bytes = "max_queued_bytes 10000";
    tellBytes(prepare(bytes, "queue_overflow drop-oldest"), "drop-oldest");
  });

  describe(`max_queued_bytes and queue_overflow drop-newest, across ${name}`, () => {
    tellBytes(prepare("max_queued_bytes 10000", "queue_overflow drop-newest"), "drop-newest");
  });
}

/** Publishes from … to − 1, each as its number and acknowledged; the Reason Codes. */
async function publishRange(
  client: TestClient,
  topic: string,
  from: number,
  to: number,
  qos: 1 | 2 = 1,
): Promise<number[]> {
  const codes = [];
  for (let i = from; i < to; i++) codes.push(await client.publish(topic, `${i}`, { qos }));
  return codes;
}

async function receiveRange(client: TestClient, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) await client.receive({ payload: `${i}`, dup: false });
  await client.expectNothing();
}

function tellDropOldest(story: TellStory, version: 4 | 5): void {
  story(
    `version ${version}: "some drop the oldest queued messages to make room": the newest ` +
      `${QUEUED_MAX} stay, in order, and the publisher hears nothing of it [MQTT-4.6.0-5]`,
    async (stage) => {
      const keeper = keeperOf(version, `oldest${version}`);
      await leave(stage, keeper, `oldest${version}`);
      const publisher = await stage.connect({ version });
      const codes = await publishRange(publisher, `oldest${version}`, 0, QUEUED_MAX + 5);
      expect(new Set(codes)).toEqual(new Set([0]));
      await stage.interrupted();
      const again = await stage.connect({ version });
      await publishRange(again, `oldest${version}`, QUEUED_MAX + 5, QUEUED_MAX + 8, 2);
      await stage.interrupted();
      const back = await resume(stage, keeper);
      await receiveRange(back, 8, QUEUED_MAX + 8);
    },
  );
}

function tellWhatIsCounted(story: TellStory): void {
  story(
    `"how many messages can wait for one offline client": another client's queue has its own ` +
      "bound",
    async (stage) => {
      for (const name of ["flooded", "spared"]) {
        await leave(stage, keeperOf(5, name), `${name}/+`, { qos: 1 });
      }
      const publisher = await stage.connect();
      await publishRange(publisher, "spared/x", 0, 3);
      await publishRange(publisher, "flooded/x", 0, 50);
      await stage.interrupted();
      await receiveRange(await resume(stage, keeperOf(5, "spared")), 0, 3);
      await receiveRange(await resume(stage, keeperOf(5, "flooded")), 40, 50);
    },
  );

  story(
    '"some drop the oldest queued messages": none that was sent already goes, and none of them ' +
      "counts [MQTT-4.4.0-1]",
    async (stage) => {
      const keeper = keeperOf(5, "sent");
      const first = await stage.connect(keeper);
      await first.subscribe("sent", { qos: 1 });
      const publisher = await stage.connect();
      await publishRange(publisher, "sent", 0, 5);
      for (let i = 0; i < 5; i++) await first.expectPublish({ payload: `${i}` });
      await first.drop();
      await publishRange(publisher, "sent", 5, 30);
      await stage.interrupted();
      const second = await resume(stage, keeper);
      for (let i = 0; i < 5; i++) await second.receive({ payload: `${i}`, dup: true });
      for (let i = 30 - QUEUED_MAX; i < 30; i++) await second.receive({ payload: `${i}` });
      await second.expectNothing();
    },
  );
}

function tellExpiredFirst(story: TellStory): void {
  story(
    '"some drop the oldest queued messages to make room": expired ones before all others ' +
      "[MQTT-3.3.2-5]",
    async (stage) => {
      const keeper = keeperOf(5, "expired");
      await leave(stage, keeper, "expired", { qos: 1 });
      const publisher = await stage.connect();
      const brief = { qos: 1, properties: { messageExpiryInterval: 1 } } as const;
      await publishRange(publisher, "expired", 0, 4);
      for (let i = 0; i < 3; i++) await publisher.publish("expired", "brief", brief);
      await publishRange(publisher, "expired", 4, 7);
      await elapse(1200);
      await publishRange(publisher, "expired", 7, 10);
      await stage.interrupted();
      await receiveRange(await resume(stage, keeper), 0, 10);
    },
  );
}

function tellOnlineAndDrained(story: TellStory): void {
  story(
    "it binds a Session whose client is there but acknowledges nothing, too [MQTT-4.9.0-2]",
    async (stage) => {
      const properties = { sessionExpiryInterval: 600, receiveMaximum: 2 };
      const keeper = { ...keeperOf(5, "slow"), properties };
      const slow = await stage.connect(keeper);
      await slow.subscribe("slow", { qos: 1 });
      await publishRange(await stage.connect(), "slow", 0, 30);
      await slow.expectPublish({ payload: "0" });
      await slow.expectPublish({ payload: "1" });
      await slow.expectNothing();
      await stage.interrupted();
      const second = await resume(stage, keeper);
      for (const i of [0, 1]) await second.receive({ payload: `${i}`, dup: true });
      // After a crash the broker cannot always know what was sent: DUP may be set.
      for (let i = 30 - QUEUED_MAX; i < 30; i++) await second.receive({ payload: `${i}` });
      await second.expectNothing();
    },
  );

  story(
    "a queue that was drained takes as many again, and what was dropped never comes",
    async (stage) => {
      const keeper = keeperOf(5, "refilled");
      await leave(stage, keeper, "refilled", { qos: 1 });
      await publishRange(await stage.connect(), "refilled", 0, 20);
      await stage.interrupted();
      const second = await resume(stage, keeper);
      await receiveRange(second, 10, 20);
      await committed(second);
      await second.drop();
      await publishRange(await stage.connect(), "refilled", 20, 20 + QUEUED_MAX);
      await stage.interrupted();
      await receiveRange(await resume(stage, keeper), 20, 20 + QUEUED_MAX);
    },
  );
}

function tellDropNewest(story: TellStory, version: 4 | 5): void {
  story(
    `version ${version}: "some drop the newest": the first ${QUEUED_MAX} stay, the publisher ` +
      "hears nothing of it, other receivers get all [MQTT-4.6.0-5]",
    async (stage) => {
      const keeper = keeperOf(version, `newest${version}`);
      await leave(stage, keeper, `newest${version}`);
      const witness = await stage.connect();
      await witness.subscribe(`newest${version}`, { qos: 1 });
      const publisher = await stage.connect({ version });
      const codes = await publishRange(publisher, `newest${version}`, 0, QUEUED_MAX + 5);
      expect(new Set(codes)).toEqual(new Set([0]));
      await receiveRange(witness, 0, QUEUED_MAX + 5);
      await stage.interrupted();
      await publishRange(await stage.connect({ version }), `newest${version}`, 100, 103, 2);
      await stage.interrupted();
      const back = await resume(stage, keeper);
      await receiveRange(back, 0, QUEUED_MAX);
      await back.publish(`newest${version}`, "live", { qos: 1 });
      await back.receive({ payload: "live" });
    },
  );
}

/** Sees all messages of `topic` that reach anyone. */
async function watch(stage: Stage, topic: string): Promise<TestClient> {
  const witness = await stage.connect();
  await witness.subscribe(topic, { qos: 2 });
  return witness;
}

function tellReject(story: TellStory): void {
  story(
    '5.0: "some refuse to queue further messages": PUBACK 0x97, and no receiver gets the ' +
      "message [§3.4.2.1] [MQTT-3.4.2-1]",
    async (stage) => {
      const keeper = keeperOf(5, "reject1");
      await leave(stage, keeper, "reject1", { qos: 1 });
      const witness = await watch(stage, "reject1");
      const publisher = await stage.connect();
      const codes = await publishRange(publisher, "reject1", 0, QUEUED_MAX + 2);
      expect(codes).toEqual([...Array(QUEUED_MAX).fill(0), QUOTA_EXCEEDED, QUOTA_EXCEEDED]);
      await receiveRange(witness, 0, QUEUED_MAX);
      await stage.interrupted();
      const again = await stage.connect();
      const retained = { qos: 1, retain: true } as const;
      expect(await again.publish("reject1", "still full", retained)).toBe(QUOTA_EXCEEDED);
      const late = await watch(stage, "reject1");
      await late.expectNothing(again); // Not retained either.
      const back = await resume(stage, keeper);
      await receiveRange(back, 0, QUEUED_MAX);
      expect(await again.publish("reject1", "room again", { qos: 1 })).toBe(0);
      await back.receive({ payload: "room again" });
      await late.receive({ payload: "room again" });
    },
  );

  story(
    '5.0: "some refuse to queue further messages": PUBREC 0x97, and the identifier is free ' +
      "again [§3.5.2.1] [MQTT-4.3.3-9]",
    async (stage) => {
      const keeper = keeperOf(5, "reject2");
      await leave(stage, keeper, "reject2", { qos: 2 });
      const witness = await watch(stage, "reject2");
      const publisher = await stage.connect();
      expect(new Set(await publishRange(publisher, "reject2", 0, QUEUED_MAX, 2))).toEqual(
        new Set([0]),
      );
      const refused = { qos: 2, packetIdentifier: 77 } as const;
      expect(await publisher.publish("reject2", "refused", refused)).toBe(QUOTA_EXCEEDED);
      await receiveRange(witness, 0, QUEUED_MAX);
      await stage.interrupted();
      const back = await resume(stage, keeper);
      await receiveRange(back, 0, QUEUED_MAX);
      const again = await stage.connect();
      expect(await again.publish("reject2", "new", refused)).toBe(0);
      await back.receive({ payload: "new", qos: 2 });
      await back.expectNothing();
    },
  );

  story(
    '5.0: "some refuse to queue further messages": QoS 0, which no full queue concerns, passes',
    async (stage) => {
      const keeper = keeperOf(5, "reject0");
      await leave(stage, keeper, "reject0", { qos: 1 });
      const witness = await watch(stage, "reject0");
      const publisher = await stage.connect();
      await publishRange(publisher, "reject0", 0, QUEUED_MAX);
      await publisher.publish("reject0", `${QUEUED_MAX}`, { qos: 0 });
      await publisher.ping();
      await receiveRange(witness, 0, QUEUED_MAX + 1);
      await stage.interrupted();
      await receiveRange(await resume(stage, keeper), 0, QUEUED_MAX);
    },
  );
}

function tellRejectBefore5(story: TellStory): void {
  story(
    '3.1.1, which has no code for it: reject "drops the newest", other receivers get all ' +
      "[MQTT-4.3.2-2 @3.1.1]",
    async (stage) => {
      const keeper = keeperOf(4, "reject4");
      await leave(stage, keeper, "reject4", { qos: 1 });
      const witness = await watch(stage, "reject4");
      const publisher = await stage.connect({ version: 4 });
      await publishRange(publisher, "reject4", 0, QUEUED_MAX + 3, 1);
      await publishRange(publisher, "reject4", QUEUED_MAX + 3, QUEUED_MAX + 5, 2);
      await receiveRange(witness, 0, QUEUED_MAX + 5);
      await stage.interrupted();
      const back = await resume(stage, keeper);
      await receiveRange(back, 0, QUEUED_MAX);
    },
  );
}

function tellBytes(story: TellStory, policy: "drop-oldest" | "drop-newest"): void {
  const isOldest = policy === "drop-oldest";

  story(
    `"maximum total memory or disk used for queues": ${policy} keeps no more than max_queued_bytes`,
    async (stage) => {
      const keeper = keeperOf(5, "bytes");
      await leave(stage, keeper, "bytes", { qos: 1 });
      const publisher = await stage.connect();
      const body = "x".repeat(1000);
      for (let i = 0; i < 20; i++) await publisher.publish("bytes", `${i} ${body}`, { qos: 1 });
      await stage.interrupted();
      // 10000 bytes hold nine of 1002 and more, or fewer with what each costs besides; never ten.
      const back = await resume(stage, keeper);
      await back.ping();
      await back.publish("bytes", "end", { qos: 1 });
      const numbers: number[] = [];
      for (;;) {
        const { payload } = await back.receive();
        if (payload === "end") break;
        numbers.push(Number.parseInt(payload, 10));
      }
      expect(numbers.length).toBeGreaterThanOrEqual(7);
      expect(numbers.length).toBeLessThanOrEqual(9);
      const from = isOldest ? 20 - numbers.length : 0;
      expect(numbers).toEqual(Array.from(numbers, (_, index) => from + index));
    },
  );

  story(
    `${policy}: one message larger than max_queued_bytes costs no other its place`,
    async (stage) => {
      const keeper = keeperOf(5, "giant");
      await leave(stage, keeper, "giant", { qos: 1 });
      const publisher = await stage.connect();
      await publishRange(publisher, "giant", 0, 3);
      await publisher.publish("giant", "g".repeat(20_000), { qos: 1 });
      await publishRange(publisher, "giant", 3, 5);
      await stage.interrupted();
      await receiveRange(await resume(stage, keeper), 0, 5);
    },
  );
}
