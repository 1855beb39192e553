/**
 * The disk gets full in mid-load, and has space again later: publishers are refused or have to
 * wait, nobody is told a falsehood, subscribers go on, and publishing goes on without a restart.
 */
import { afterEach, expect, test } from "vitest";
import { elapse, until } from "../support/await.ts";
import { killAll, type LaunchedBroker } from "../support/durability-broker.ts";
import type { DurableClient, QoS } from "../support/durability-client.ts";
import { mountSmallDisk, type SmallDisk } from "../support/durability-disk.ts";
import { Fleet, newPlace } from "../support/durability-fleet.ts";
import { faultsOf, receiveAll } from "../support/durability-judge.ts";

const QUOTA_EXCEEDED = 0x97;
const DISK_BYTES = 96 * 1024 * 1024;
const PAYLOAD_BYTES = 3000;
/** The store's files are of some size before the disk is full. */
const WARM_COUNT = 2500;
const LATE_COUNT = 10;
const PUBLISHED_MAX = 6000;
const STEP_MS_MAX = 30_000;
const SLOW_WINDOW = 5;
/** What the slow subscriber reads while the disk is full. */
const READ_MIN = 1000;
/** What an operator has to find in the log. */
const LOG_LINE = /cannot be written: .*durable messages are refused/;

let disk: SmallDisk | undefined;

afterEach(async () => {
  await killAll();
  disk?.remove();
});

let publishedCount = 0;

function publishOne(publisher: DurableClient, topic: string): void {
  const qos: QoS = publishedCount % 2 === 0 ? 1 : 2;
  publishedCount += 1;
  publisher.publish(topic, `${publishedCount}/${"x".repeat(PAYLOAD_BYTES)}`, { qos });
}

function refusedBy(publisher: DurableClient) {
  return publisher.publications.filter(({ reasonCode }) => reasonCode === QUOTA_EXCEEDED);
}

/** Publishes a little at a time until the broker has found out. */
async function publishUntilFull(
  broker: LaunchedBroker,
  publishers: readonly DurableClient[],
): Promise<void> {
  let isFull = false;
  const noticed = broker.printed(LOG_LINE, STEP_MS_MAX).then(() => {
    isFull = true;
  });
  while (!isFull) {
    for (const publisher of publishers) publishOne(publisher, "d/1");
    await Promise.race([noticed, elapse(1)]); // What was free within the file is used up first.
  }
}

/**
 * MQTT 5.0 publishers are told. Who has an acknowledgement outstanding waits for it first, as they
 * keep their order [MQTT-4.6.0-2], so the answer is sought from others.
 */
async function publishInVain(fleet: Fleet): Promise<readonly DurableClient[]> {
  const late = Array.from({ length: LATE_COUNT }, (_, index) =>
    fleet.client({ clientIdentifier: `late${index}`, version: 5, expirySeconds: 0 }),
  );
  for (const publisher of late) {
    await fleet.connect(publisher);
    publishOne(publisher, "d/1");
  }
  const refusedCount = () => late.flatMap(refusedBy).length;
  await until(`refusals, ${fleet.broker.output()}`, () => refusedCount() >= LATE_COUNT / 2);
  for (const publisher of late) fleet.disconnect(publisher);
  return late;
}

/** Two publishers, and subscribers that read, that are slow, and that are away. */
async function open(fleet: Fleet) {
  const newer = fleet.client({ clientIdentifier: "newer", version: 5, window: 1000 });
  const older = fleet.client({ clientIdentifier: "older", version: 4, window: 1000 });
  const live = fleet.client({ clientIdentifier: "live", version: 5 });
  const slow = fleet.client({ clientIdentifier: "slow", version: 5, receiveMaximum: SLOW_WINDOW });
  const away = fleet.client({ clientIdentifier: "away", version: 4 });
  for (const client of fleet.clients) await fleet.connect(client);
  for (const subscriber of [live, slow, away]) {
    await subscriber.granted(subscriber.subscribe("d/#", subscriber === slow ? 1 : 2));
  }
  fleet.drop(away);
  slow.acknowledgementBatch = Number.POSITIVE_INFINITY;
  return { newer, older, live, slow, away };
}

/** All exchanges are over. */
async function finishAll(publishers: readonly DurableClient[]): Promise<void> {
  for (const publisher of publishers) {
    const isDone = () => publisher.unfinishedCount === 0;
    await publisher.until("acknowledgements", isDone, STEP_MS_MAX);
  }
}

/** What needs no disk goes on: QoS 0, and what was queued before. */
async function expectReading(
  newer: DurableClient,
  live: DurableClient,
  slow: DurableClient,
): Promise<void> {
  newer.publish("d/1", "QoS 0 while the disk is full", { qos: 0 });
  const hasPassed = () => live.arrivals.some(({ qos }) => qos === 0);
  await live.until("QoS 0 message", hasPassed, STEP_MS_MAX);
  slow.acknowledgementBatch = 1;
  slow.flushAcknowledgements();
  const hasMoved = () => slow.arrivals.length > READ_MIN;
  await slow.until("what was queued", hasMoved, STEP_MS_MAX);
}

/** Fails when the broker ends. */
async function endOf(broker: LaunchedBroker): Promise<never> {
  const { exitCode, signal } = await broker.ended;
  throw new Error(`the broker ended with ${exitCode ?? signal}\n${broker.output()}`);
}

/** Publishes until it is accepted again. */
async function publishUntilAccepted(publisher: DurableClient): Promise<void> {
  for (let count = 0; count < PUBLISHED_MAX; count += 1) {
    const next = publisher.publish("d/1", `is there space ${count}`, { qos: 1 });
    await publisher.finished(next, STEP_MS_MAX);
    if (next.reasonCode === 0) return;
    await elapse(10); // A refusal does not say when to ask again.
  }
  throw new Error(`still refused\n${publisher.seen()}`);
}

test("a full disk refuses publishers, harms nobody, and is over when there is space", async () => {
  const place = newPlace();
  disk = await mountSmallDisk(place.path, DISK_BYTES);
  const fleet = new Fleet({ dataDirectory: place.path, wrapper: disk.wrapper });
  if (!(await fleet.start())) throw new Error(`no start\n${fleet.broker.output()}`);
  const { newer, older, live, slow, away } = await open(fleet);
  const publishers = [newer, older];
  const subscribers = [live, slow, away];
  for (let count = 0; count < WARM_COUNT; count += 1) {
    for (const publisher of publishers) publishOne(publisher, "d/1");
  }
  await finishAll(publishers);
  await receiveAll(live, publishers, STEP_MS_MAX);
  expect(slow.arrivals.length).toBe(SLOW_WINDOW);

  disk.fill();
  await publishUntilFull(fleet.broker, publishers);
  const late = await publishInVain(fleet);
  for (let count = 0; count < LATE_COUNT; count += 1) publishOne(older, "d/1");
  const { broker } = fleet;
  await Promise.race([expectReading(newer, live, slow), endOf(broker)]);
  // 3.1.1 has no word for it: its publisher waits.
  expect(older.unfinishedCount).toBeGreaterThan(0);
  expect([newer.isConnected, older.isConnected]).toEqual([true, true]);

  disk.empty();
  await publishUntilAccepted(newer);
  await finishAll(publishers);
  await fleet.connect(away);
  for (const subscriber of subscribers) await receiveAll(subscriber, publishers, STEP_MS_MAX);
  judge(fleet, subscribers, [...publishers, ...late]);

  // Nothing of it was true in memory alone.
  await fleet.kill9();
  expect(await fleet.start()).toBe(true);
  publishOne(newer, "d/end");
  for (const subscriber of subscribers) await receiveAll(subscriber, publishers, STEP_MS_MAX);
  judge(fleet, subscribers, [...publishers, ...late]);
  await fleet.stop();
  place.remove();
}, 180_000);

function judge(
  fleet: Fleet,
  subscribers: readonly DurableClient[],
  publishers: readonly DurableClient[],
): void {
  const refused = new Set(publishers.flatMap(refusedBy).map(({ payload }) => payload));
  expect(subscribers.flatMap((one) => faultsOf(one, publishers))).toEqual([]);
  const wrong = subscribers.flatMap(({ arrivals }) =>
    arrivals.filter(({ payload }) => refused.has(payload)).map(({ payload }) => payload),
  );
  expect(wrong).toEqual([]);
  expect(fleet.allViolations()).toEqual([]);
}
