/**
 * The end of the memory, the reserve above the cap included: what cannot be done is refused or
 * closes its connection, each with 0x97, and nothing is left behind.
 */
import { describe, expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { USER_PROPERTY } from "#assembly/spec";
import { EngineHarness } from "../support/engine-harness.ts";
import { connectClient, type HarnessClient } from "../support/engine-harness-client.ts";
import { fillToCap, fillWholly, free } from "../support/full-heap.ts";
import { encode } from "../support/naive-encoder.ts";
import { acknowledgement, properties, publish, unsubscribe } from "../support/packets.ts";
import type { PublishPacket, Version } from "../support/packets-types.ts";

const MIB = 1024 * 1024;
const CAP_BYTES = 200 * MIB;
const SETTINGS = { memoryBytesMax: CAP_BYTES, packetBytesMax: 64 * MIB };
/** More than the reserve above the cap, less than what one packet may take of the cap. */
const LONG_BYTES = 18 * MIB;
const QUOTA_EXCEEDED = 0x97;

/** Sends a PUBLISH whose last byte comes when nothing is left but the reserve. */
async function publishAtTheCap(
  client: HarnessClient,
  fields: Partial<PublishPacket>,
): Promise<void> {
  const { harness } = client;
  client.publish("another", 0); // From now on there is a cache of who receives what.
  const bytes = encode(client.version, publish({ topicName: "long", qos: 0, ...fields }));
  client.sendBytes(bytes.subarray(0, bytes.length - 1));
  await harness.settle();
  const blocks = fillToCap(harness.engine);
  client.sendBytes(bytes.subarray(bytes.length - 1));
  await harness.settle();
  free(harness.engine, blocks);
}

describe("a packet longer than the reserve, at the cap", () => {
  test.for<Version>([4, 5])("QoS 0: its receiver is closed, version %i", async (version) => {
    const harness = new EngineHarness(SETTINGS);
    const receiver = await connectClient(harness, "receiver", { version: 5 });
    receiver.subscribe("long", 0);
    const publisher = await connectClient(harness, "publisher", { version });
    await harness.settle();
    receiver.take();
    await publishAtTheCap(publisher, { payload: new Uint8Array(LONG_BYTES) });
    expect(receiver.isClosed).toBe(true);
    expect(receiver.take()).toMatchObject([{ type: "disconnect", reasonCode: QUOTA_EXCEEDED }]);
    expect(publisher.isClosed).toBe(false);
    await harness.clear();
    expect(harness.heap()).toEqual({ blocks: 0, bytes: 0 });
  });

  test.for([
    [0, undefined],
    [1, "puback"],
    [2, "pubrec"],
  ] as const)("QoS %i: no room for its properties", async ([qos, answer]) => {
    const harness = new EngineHarness(SETTINGS);
    const receiver = await connectClient(harness, "receiver");
    receiver.subscribe("long", 2);
    const publisher = await connectClient(harness, "publisher");
    await harness.settle();
    receiver.take();
    const user = [USER_PROPERTY, ["k", "x".repeat(60_000)]] as const;
    const users = Array.from({ length: LONG_BYTES / 60_000 + 1 }, () => user);
    const list = [...properties({ message_expiry_interval: 60 }), ...users];
    const dropped = harness.engine.counter(abi.S_DROPPED_MEMORY);
    await publishAtTheCap(publisher, { qos, packetIdentifier: qos && 7, properties: list });
    expect(publisher.isClosed || receiver.isClosed).toBe(false);
    expect(receiver.take()).toEqual([]);
    const expected = { type: answer, packetIdentifier: 7, reasonCode: QUOTA_EXCEEDED };
    expect(publisher.take()).toMatchObject(answer === undefined ? [] : [expected]);
    expect(harness.engine.counter(abi.S_DROPPED_MEMORY)).toBe(dropped + (qos === 0 ? 1 : 0));
    await harness.clear();
    expect(harness.heap()).toEqual({ blocks: 0, bytes: 0 });
  });

  test.for([0, 1, 2] as const)(
    "QoS %i: it is not retained, and its identifier is free [MQTT-4.3.3-9]",
    async (qos) => {
      const harness = new EngineHarness(SETTINGS);
      const publisher = await connectClient(harness, "publisher");
      const payload = new Uint8Array(LONG_BYTES);
      await publishAtTheCap(publisher, { qos, packetIdentifier: qos && 7, retain: true, payload });
      expect(publisher.isClosed).toBe(false);
      const expected = { packetIdentifier: 7, reasonCode: QUOTA_EXCEEDED };
      expect(publisher.take()).toMatchObject(qos === 0 ? [] : [expected]);
      expect(harness.engine.calls.retainedCount()).toBe(0);
      // The exchange has ended: with its identifier comes another message.
      const receiver = await connectClient(harness, "receiver");
      receiver.subscribe("long", 0);
      publisher.publish("long", qos, { packetIdentifier: qos && 7 });
      await harness.settle();
      expect(receiver.takePublished()).toHaveLength(1);
      await harness.clear();
      expect(harness.heap()).toEqual({ blocks: 0, bytes: 0 });
    },
  );
});

describe("nothing is left", () => {
  test.for([
    [0, 4],
    [1, 4],
    [2, 4],
    [0, 5],
    [1, 5],
    [2, 5],
  ] as const)("a PUBLISH with QoS %i to a new topic, version %i", async ([qos, version]) => {
    const harness = new EngineHarness({ memoryBytesMax: 8 * MIB });
    const receiver = await connectClient(harness, "receiver");
    receiver.subscribe("new/#", 0);
    const publisher = await connectClient(harness, "publisher", { version });
    await harness.settle();
    receiver.take();
    harness.notices = [];
    const dropped = harness.engine.counter(abi.S_DROPPED_MEMORY);
    const blocks = fillWholly(harness.engine);
    publisher.publish("new/topic", qos, { packetIdentifier: qos && 7 });
    await harness.settle();
    free(harness.engine, blocks);
    await harness.settle();
    expect(harness.engine.counter(abi.S_DROPPED_MEMORY)).toBe(dropped + (qos === 0 ? 1 : 0));
    const closed =
      "Client publisher [memory] disconnected: quota exceeded: memory_limit is reached.";
    expect(harness.notices).toEqual(qos === 0 ? [] : [closed]);
    expect(publisher.isClosed).toBe(qos !== 0);
    // What is lost is that one message.
    const another = await connectClient(harness, "another");
    another.publish("new/topic", 1, { packetIdentifier: 1 });
    await harness.settle();
    expect(another.take()).toMatchObject([{ type: "puback", reasonCode: 0 }]);
    expect(receiver.takePublished()).toHaveLength(1);
    await harness.clear();
    expect(harness.heap()).toEqual({ blocks: 0, bytes: 0 });
  });

  test("an answer to PUBREL, and one to PUBREC", async () => {
    const harness = new EngineHarness({ memoryBytesMax: 8 * MIB });
    const sender = await connectClient(harness, "sender");
    const receiver = await connectClient(harness, "receiver");
    receiver.subscribe("a", 2);
    sender.publish("a", 2, { packetIdentifier: 7 });
    await harness.settle();
    const [delivery] = receiver.takePublished();
    sender.take();
    harness.notices = [];
    const blocks = fillWholly(harness.engine);
    sender.send(acknowledgement("pubrel", 7));
    receiver.send(acknowledgement("pubrec", delivery?.packetIdentifier ?? 0));
    await harness.settle();
    free(harness.engine, blocks);
    await harness.settle();
    expect(harness.notices).toEqual([
      "Client sender [memory] disconnected: quota exceeded: memory_limit is reached.",
      "Client receiver [memory] disconnected: quota exceeded: memory_limit is reached.",
    ]);
    await harness.clear();
    expect(harness.heap()).toEqual({ blocks: 0, bytes: 0 });
  });

  test.for(["subscribe", "unsubscribe"] as const)("an answer to %s", async (type) => {
    const harness = new EngineHarness({ memoryBytesMax: 8 * MIB });
    const client = await connectClient(harness, "client", { version: 4 });
    client.subscribe("a", 0);
    await harness.settle();
    client.take();
    harness.notices = [];
    const blocks = fillWholly(harness.engine);
    if (type === "subscribe") client.subscribe("a", 1);
    else client.send(unsubscribe(1, ["a"]));
    await harness.settle();
    free(harness.engine, blocks);
    await harness.settle();
    expect(harness.notices).toEqual([
      "Client client [memory] disconnected: quota exceeded: no memory for an answer.",
    ]);
    await harness.clear();
    expect(harness.heap()).toEqual({ blocks: 0, bytes: 0 });
  });
});
