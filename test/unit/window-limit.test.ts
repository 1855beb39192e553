/** Limits of what one Session is owed: messages and bytes that wait, and quotas of the sender. */
import { describe, expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { EngineHarness } from "../support/engine-harness.ts";
import { connectClient } from "../support/engine-harness-client.ts";
import { acknowledgement, utf8 } from "../support/packets.ts";

const LASTING = { clean: false, expirySeconds: 1_000 } as const;

async function away(harness: EngineHarness): Promise<void> {
  const subscriber = await connectClient(harness, "subscriber", LASTING);
  subscriber.subscribe("a", 1);
  await harness.settle();
  subscriber.hangUp();
  await harness.settle();
}

async function backlog(harness: EngineHarness): Promise<readonly number[]> {
  const subscriber = await connectClient(harness, "subscriber", LASTING);
  return subscriber
    .takePublished()
    .map(({ payload }) => Number(Buffer.from(payload).toString().split(" ")[0]));
}

describe("the queue of a Session", () => {
  test("messages: the oldest unsent ones go, counted; that is said once", async () => {
    const harness = new EngineHarness({ queuedMessagesMax: 10 });
    await away(harness);
    const publisher = await connectClient(harness, "publisher");
    for (let i = 0; i < 25; i++) publisher.publish("a", 1, { payload: utf8(`${i}`) });
    await harness.settle();
    expect(harness.engine.counter(abi.S_DROPPED_QUEUE_FULL)).toBe(15);
    const session = harness.sessionOf("subscriber");
    expect(harness.engine.word(session + abi.SESSION_DROPPED)).toBe(15);
    expect(harness.warnings).toEqual([
      "The queue of client subscriber is four fifths full: 10 messages wait.",
      "Outgoing messages are being dropped for client subscriber.",
    ]);
    expect(await backlog(harness)).toEqual([15, 16, 17, 18, 19, 20, 21, 22, 23, 24]);
  });

  test("bytes: the same", async () => {
    const harness = new EngineHarness({ queuedBytesMax: 20_000 });
    await away(harness);
    const publisher = await connectClient(harness, "publisher");
    const filler = ".".repeat(3_000);
    for (let i = 0; i < 20; i++) publisher.publish("a", 1, { payload: utf8(`${i} ${filler}`) });
    // Longer than all that may wait: only it is dropped.
    publisher.publish("a", 1, { payload: new Uint8Array(30_000) });
    await harness.settle();
    const numbers = await backlog(harness);
    expect(numbers).toEqual([14, 15, 16, 17, 18, 19]);
    expect(harness.engine.counter(abi.S_DROPPED_QUEUE_FULL)).toBe(20 - numbers.length + 1);
  });

  test("what was sent is never dropped", async () => {
    const harness = new EngineHarness({ queuedMessagesMax: 3, inflightMessagesMax: 5 });
    const subscriber = await connectClient(harness, "subscriber", LASTING);
    subscriber.subscribe("a", 1);
    const publisher = await connectClient(harness, "publisher");
    for (let i = 0; i < 20; i++) publisher.publish("a", 1, { payload: utf8(`${i}`) });
    await harness.settle();
    const sent = subscriber.takePublished();
    const numbers = (list: typeof sent) =>
      list.map(({ payload }) => Number(Buffer.from(payload).toString()));
    expect(numbers(sent)).toEqual([0, 1, 2, 3, 4]);
    for (const packet of sent) subscriber.acknowledge(packet);
    await harness.settle();
    expect(numbers(subscriber.takePublished())).toEqual([17, 18, 19]);
  });

  test("a message that expired while it waited is not sent", async () => {
    const harness = new EngineHarness();
    await away(harness);
    const publisher = await connectClient(harness, "publisher");
    publisher.publish("a", 1, { payload: utf8("1"), properties: [[2, 5]] });
    publisher.publish("a", 1, { payload: utf8("2"), properties: [[2, 60]] });
    await harness.settle();
    harness.advance(10);
    const subscriber = await connectClient(harness, "subscriber", LASTING);
    expect(subscriber.takePublished()).toMatchObject([{ properties: [[2, 50]] }]);
    expect(harness.engine.counter(abi.S_DROPPED_EXPIRED)).toBe(1);
  });
});

describe("Receive Maximum of the broker", () => {
  test("one QoS 2 message too many: DISCONNECT 0x93", async () => {
    const harness = new EngineHarness({ receiveMaximum: 3 });
    const publisher = await connectClient(harness, "publisher");
    for (let i = 1; i <= 3; i++) publisher.publish("a", 2, { packetIdentifier: i });
    await harness.settle();
    expect(publisher.take()).toHaveLength(3);
    publisher.send(acknowledgement("pubrel", 1));
    publisher.publish("a", 2, { packetIdentifier: 4 });
    await harness.settle();
    expect(publisher.take()).toHaveLength(2);
    publisher.publish("a", 2, { packetIdentifier: 5 });
    await harness.settle();
    expect(publisher.take()).toMatchObject([{ type: "disconnect", reasonCode: 0x93 }]);
    expect(publisher.isClosed).toBe(true);
  });
});
