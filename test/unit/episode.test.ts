/** Episodes of queues that fill and drop: each is told once, whatever rules bound the queue. */
import { expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { EngineHarness, type HarnessSettings } from "../support/engine-harness.ts";
import { connectClient, type HarnessClient } from "../support/engine-harness-client.ts";
import { recordPages, replayPages } from "../support/journal-engine.ts";
import type { JournalPage } from "../support/journal-state.ts";
import { utf8 } from "../support/packets.ts";

const LASTING = { clean: false, expirySeconds: 1_000 } as const;
const PLENTY = 2 ** 40;
const TEN = { queuedMessagesMax: 10 };

/** Bounds the queues of topics below `topic`. */
function addRule(harness: EngineHarness, filter: string, messagesMax: number): void {
  const bytes = utf8(filter);
  harness.engine.scratch.set(bytes);
  const { calls } = harness.engine;
  expect(calls.addQueueRule(abi.SCRATCH, bytes.length, messagesMax, PLENTY, 0, 0, 0, 0)).toBe(0);
}

async function away(harness: EngineHarness, clientId: string, ...filters: string[]) {
  const client = await connectClient(harness, clientId, LASTING);
  for (const filter of filters) client.subscribe(filter, 1);
  await harness.settle();
  client.hangUp();
  await harness.settle();
}

async function publishMany(publisher: HarnessClient, topic: string, count: number) {
  for (let i = 0; i < count; i++) publisher.publish(topic, 1, { payload: utf8(`${i}`) });
  await publisher.harness.settle();
}

/** How often it was said that this client's queue drops messages. */
function toldFull(harness: EngineHarness, clientId: string): number {
  const line = `Outgoing messages are being dropped for client ${clientId}.`;
  return harness.warnings.filter((warning) => warning === line).length;
}

/** How often it was said that this client's queue is four fifths full. */
function told(harness: EngineHarness, clientId: string): number {
  return harness.warnings.filter((line) => line.startsWith(`The queue of client ${clientId} is`))
    .length;
}

/** The client comes, takes one message, and goes. */
async function takeOne(harness: EngineHarness, clientId: string) {
  const client = await connectClient(harness, clientId, { ...LASTING, receiveMaximum: 1 });
  const [first] = client.takePublished();
  if (first === undefined) throw new Error("nothing was sent");
  client.acknowledge(first);
  await harness.settle();
  client.hangUp();
  await harness.settle();
}

test("an episode ends by the bounds that began it, not by another Session's", async () => {
  const harness = new EngineHarness();
  addRule(harness, "narrow/#", 20);
  addRule(harness, "wide/#", 100);
  await away(harness, "one", "narrow/a");
  await away(harness, "other", "wide/a");
  const publisher = await connectClient(harness, "publisher");
  await publishMany(publisher, "narrow/a", 17);
  await publishMany(publisher, "wide/a", 80);
  expect([told(harness, "one"), told(harness, "other")]).toEqual([1, 1]);
  // 17, less the one taken and the one on its way: more than seven tenths of 20.
  await takeOne(harness, "one");
  await publishMany(publisher, "narrow/a", 3);
  expect(told(harness, "one")).toBe(1);
  expect(harness.engine.counter(abi.S_QUEUES_FILLING)).toBe(2);
});

test("one queue under several rules: the narrowest that was met ends it", async () => {
  const harness = new EngineHarness();
  addRule(harness, "narrow/#", 20);
  addRule(harness, "wide/#", 100);
  await away(harness, "one", "narrow/a", "wide/a");
  const publisher = await connectClient(harness, "publisher");
  await publishMany(publisher, "narrow/a", 17);
  await publishMany(publisher, "wide/a", 70);
  await takeOne(harness, "one");
  await publishMany(publisher, "narrow/a", 1);
  await publishMany(publisher, "wide/a", 20);
  expect(told(harness, "one")).toBe(1);
});

test("a queue of one message, which has the latest, is told of once", async () => {
  const harness = new EngineHarness();
  addRule(harness, "latest/#", 1);
  await away(harness, "one", "latest/a");
  const publisher = await connectClient(harness, "publisher");
  await publishMany(publisher, "latest/a", 50);
  expect([told(harness, "one"), toldFull(harness, "one")]).toEqual([1, 1]);
  // Once it has drained it may fill again.
  await takeOne(harness, "one");
  await publishMany(publisher, "latest/a", 50);
  expect([told(harness, "one"), toldFull(harness, "one")]).toEqual([2, 2]);
});

test("what fills, drops, and is orphaned is counted, and counted out again", async () => {
  const harness = new EngineHarness({ queuedMessagesMax: 10 });
  const counters = () =>
    [
      abi.S_QUEUES_FILLING,
      abi.S_QUEUES_FULL,
      abi.S_SESSIONS_ORPHANED,
      abi.S_SESSIONS_CONNECTED,
    ].map((offset) => harness.engine.counter(offset));
  await away(harness, "gone", "a");
  await away(harness, "back", "a");
  const publisher = await connectClient(harness, "publisher");
  await publishMany(publisher, "a", 9);
  expect(counters()).toEqual([2, 0, 0, 1]);
  await publishMany(publisher, "a", 9);
  expect(counters()).toEqual([2, 2, 2, 1]);
  const back = await connectClient(harness, "back", { ...LASTING, receiveMaximum: 1 });
  expect(counters()).toEqual([2, 2, 1, 2]);
  back.hangUp();
  await harness.settle();
  expect(counters()).toEqual([2, 2, 2, 1]);
  const again = await connectClient(harness, "back", LASTING);
  for (const packet of again.takePublished()) again.acknowledge(packet);
  await harness.settle();
  expect(counters()).toEqual([1, 1, 1, 2]);
  // A clean start ends the Session, with its queue.
  await connectClient(harness, "gone");
  expect(counters()).toEqual([0, 0, 0, 3]);
});

/** Another engine, behind a crash of the one whose pages these are. */
function recovered(pages: readonly JournalPage[], limits: HarnessSettings, ...rules: number[]) {
  const harness = new EngineHarness(limits);
  for (const messagesMax of rules) addRule(harness, "a/#", messagesMax);
  replayPages(harness, pages);
  harness.engine.calls.recoveryEnd(harness.nowSeconds);
  return harness;
}

function counted({ engine }: EngineHarness): number[] {
  return [abi.S_QUEUES_FILLING, abi.S_QUEUES_FULL, abi.S_SESSIONS_ORPHANED].map((offset) =>
    engine.counter(offset),
  );
}

/** Pages of three Sessions that are away, whose queues have few messages, nine, and ten of ten. */
async function pagesOfThree(): Promise<readonly JournalPage[]> {
  const harness = new EngineHarness(TEN);
  const pages = recordPages(harness);
  await away(harness, "few", "few");
  await away(harness, "nine", "nine");
  await away(harness, "ten", "ten");
  const publisher = await connectClient(harness, "publisher");
  await publishMany(publisher, "few", 5);
  await publishMany(publisher, "nine", 9);
  await publishMany(publisher, "ten", 11);
  expect(counted(harness)).toEqual([2, 1, 1]);
  return pages;
}

test("behind a restart queues that fill and drop are counted, and not told of again", async () => {
  const harness = recovered(await pagesOfThree(), TEN);
  expect(counted(harness)).toEqual([2, 1, 1]);
  const publisher = await connectClient(harness, "publisher");
  await publishMany(publisher, "ten", 1);
  await publishMany(publisher, "nine", 2);
  expect(harness.warnings).toEqual(["Outgoing messages are being dropped for client nine."]);
  expect(counted(harness)).toEqual([2, 2, 2]);
  for (const name of ["few", "nine", "ten"]) await connectClient(harness, name);
  expect(counted(harness)).toEqual([0, 0, 0]);
});

test("so they are by their bytes, of which one more of the usual size is too much", async () => {
  const pages = await pagesOfThree();
  const countedWith = (queuedBytesMax: number) => counted(recovered(pages, { queuedBytesMax }));
  // The least that the longest queue, and one message more, fit into.
  let [less, bytes] = [0, 4_096];
  while (bytes - less > 1) {
    const middle = (less + bytes) >> 1;
    if (countedWith(middle)[2] === 0) bytes = middle;
    else less = middle;
  }
  expect(countedWith(bytes)).toEqual([2, 0, 0]);
  expect(countedWith(bytes - 1)).toEqual([2, 1, 1]);
  expect(countedWith(bytes * 2)).toEqual([0, 0, 0]);
});

test("with a queue_rule, where all bounds are met; the rest is told in order", async () => {
  const pages = await pagesOfThree();
  expect(counted(recovered(pages, TEN, 1_000))).toEqual([0, 0, 0]);
  const harness = recovered(pages, TEN, 1_000, 5);
  expect(counted(harness)).toEqual([0, 0, 0]);
  const publisher = await connectClient(harness, "publisher");
  await publishMany(publisher, "ten", 1);
  expect(harness.warnings).toEqual([
    "The queue of client ten is four fifths full: 10 messages wait.",
    "Outgoing messages are being dropped for client ten.",
  ]);
});
