/** Limits of a group of shared subscriptions: members looked at, messages that wait. */
import { expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { EngineHarness } from "../support/engine-harness.ts";
import {
  beginClient,
  connectClient,
  type HarnessClient,
} from "../support/engine-harness-client.ts";
import { utf8 } from "../support/packets.ts";

const LASTING = { clean: false, expirySeconds: 1_000 } as const;
const FILTER = "$share/group/a";
const PLENTY = { queuedMessagesMax: 10_000, receiveMaximum: 65_535 };

function textsOf(client: HarnessClient): readonly string[] {
  return client.takePublished().map(({ payload }) => Buffer.from(payload).toString());
}

test("of ten thousand without room few are looked at; nobody is forgotten", async () => {
  const harness = new EngineHarness();
  const full: HarnessClient[] = [];
  for (let i = 0; i < 10_000; i++) {
    full.push(beginClient(harness, `full${i}`, { receiveMaximum: 1 }));
  }
  await harness.settle();
  for (const client of full) client.subscribe(FILTER, 1);
  await harness.settle();
  const publisher = await connectClient(harness, "publisher");
  for (let i = 0; i < full.length; i++) publisher.publish("a", 1, { payload: utf8(`${i}`) });
  await harness.settle();
  for (const [index, client] of full.entries()) expect(textsOf(client)).toEqual([`${index}`]);
  const free = await connectClient(harness, "free");
  free.subscribe(FILTER, 1);
  await harness.settle();
  free.take();

  publisher.publish("a", 1, { payload: utf8("late") });
  // What is looked at in one call ends before it; the turns that follow come to it.
  expect(harness.engine.counter(abi.S_QUEUED_MESSAGES)).toBe(1);
  await harness.settle();
  expect(textsOf(free)).toEqual(["late"]);
  expect(harness.engine.counter(abi.S_QUEUED_MESSAGES)).toBe(0);
  // Nobody is looked at a second time before it has room.
  publisher.publish("a", 1, { payload: utf8("next") });
  expect(harness.engine.counter(abi.S_QUEUED_MESSAGES)).toBe(0);
  await harness.settle();
  expect(textsOf(free)).toEqual(["next"]);
}, 60_000);

test("what waits in a group is bounded as any queue: the oldest go, counted", async () => {
  const harness = new EngineHarness({ queuedMessagesMax: 10 });
  const member = await connectClient(harness, "member", LASTING);
  member.subscribe(FILTER, 1);
  await harness.settle();
  member.hangUp();
  const publisher = await connectClient(harness, "publisher");
  for (let i = 0; i < 25; i++) publisher.publish("a", 1, { payload: utf8(`${i}`) });
  await harness.settle();
  expect(harness.engine.counter(abi.S_DROPPED_QUEUE_FULL)).toBe(15);
  expect(harness.warnings).toEqual([
    "The queue of client $share/group/a is four fifths full: 10 messages wait.",
    "Outgoing messages are being dropped for client $share/group/a.",
  ]);
  const back = await connectClient(harness, "member", LASTING);
  expect(textsOf(back)).toEqual(Array.from({ length: 10 }, (_, i) => `${i + 15}`));
});

test("a member's own queue drops nothing of a group for want of room", async () => {
  const harness = new EngineHarness({ queuedMessagesMax: 10 });
  const member = await connectClient(harness, "member", LASTING);
  member.subscribe(FILTER, 2);
  await harness.settle();
  member.take();
  const publisher = await connectClient(harness, "publisher");
  // Each waits for its record before it is sent: ten with the member, ten in the group.
  for (let i = 1; i <= 20; i++) {
    publisher.publish("a", 2, { payload: utf8(`${i}`), packetIdentifier: i });
  }
  await harness.settle();
  expect(harness.engine.counter(abi.S_DROPPED_QUEUE_FULL)).toBe(0);
  expect(textsOf(member)).toEqual(Array.from({ length: 20 }, (_, i) => `${i + 1}`));
});

test("queue_overflow reject refuses what a group has no room for", async () => {
  const harness = new EngineHarness({ queuedMessagesMax: 2, queueOverflow: "reject" });
  const member = await connectClient(harness, "member", { ...LASTING, receiveMaximum: 1 });
  member.subscribe(FILTER, 1);
  await harness.settle();
  member.take();
  const publisher = await connectClient(harness, "publisher");
  for (let i = 1; i <= 5; i++) publisher.publish("a", 1, { packetIdentifier: i });
  await harness.settle();
  const codes = publisher.take().map((packet) => "reasonCode" in packet && packet.reasonCode);
  expect(codes.filter((code) => code === 0x97)).toHaveLength(2);
});

test("a long backlog is given out in slices", async () => {
  const harness = new EngineHarness({ inflightMessagesMax: 65_535, ...PLENTY });
  const member = await connectClient(harness, "member", LASTING);
  member.subscribe(FILTER, 1);
  await harness.settle();
  member.hangUp();
  const publisher = await connectClient(harness, "publisher");
  for (let i = 0; i < 5_000; i++) publisher.publish("a", 1, { payload: utf8(`${i}`) });
  await harness.settle();
  const back = beginClient(harness, "member", LASTING);
  const waiting = () => harness.engine.counter(abi.S_QUEUED_MESSAGES);
  const slices: number[] = [];
  for (let before = waiting(); before > 0; before = waiting()) {
    await harness.turnOnce();
    slices.push(before - waiting());
  }
  // One in the middle of a turn, one at its end.
  expect(Math.max(...slices)).toBe(2_048);
  await harness.settle();
  back.expectConnack();
  expect(textsOf(back)).toEqual(Array.from({ length: 5_000 }, (_, i) => `${i}`));
});
