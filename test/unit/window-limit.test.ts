/** Limits of what one Session is owed: messages and bytes that wait, and quotas of the sender. */
import { describe, expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { EngineHarness } from "../support/engine-harness.ts";
import { type ClientOptions, connectClient } from "../support/engine-harness-client.ts";
import { Receiver } from "../support/engine-harness-receiver.ts";
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

describe("the quota of a receiver", () => {
  const narrow = { receiveMaximum: 1, ...LASTING } as const;

  /** Payload sizes that came, each taken to its end. */
  async function drain(harness: EngineHarness, name: string, options: ClientOptions) {
    const receiver = new Receiver(harness, name, options);
    await receiver.finish();
    expect(receiver.faults).toEqual([]);
    expect(receiver.inFlightCountMax).toBeLessThanOrEqual(options.receiveMaximum ?? 65_535);
    return receiver.received.map(({ payload }) => payload.length);
  }

  test.for([
    ["PUBACK", 1, 0x80],
    ["PUBREC", 2, 0x80],
    ["PUBREC", 2, 0x97],
  ] as const)("%s with an error gives it back [MQTT-4.3.3-4, -9]", async ([, qos, code]) => {
    const harness = new EngineHarness();
    const subscriber = await connectClient(harness, "subscriber", narrow);
    subscriber.subscribe("a", 2);
    const publisher = await connectClient(harness, "publisher");
    for (let i = 1; i <= 3; i++) publisher.publish("a", qos, { packetIdentifier: i });
    await harness.settle();
    for (let i = 0; i < 3; i++) {
      const [message, ...more] = subscriber.takePublished();
      expect(more).toEqual([]);
      const type = qos === 1 ? "puback" : "pubrec";
      subscriber.send(acknowledgement(type, message?.packetIdentifier ?? 0, code));
      await harness.settle();
    }
    // No PUBREL, and nothing left.
    expect(subscriber.take()).toEqual([]);
    subscriber.hangUp();
    expect(await drain(harness, "subscriber", narrow)).toEqual([]);
  });

  test.for([1, 2] as const)("QoS %i: what is too large takes none [MQTT-3.1.2-25]", async (qos) => {
    const harness = new EngineHarness();
    const options = { ...narrow, packetBytesMax: 100 };
    const subscriber = await connectClient(harness, "subscriber", options);
    subscriber.subscribe("a", 2);
    await harness.settle();
    subscriber.take();
    const publisher = await connectClient(harness, "publisher");
    const sizes = [200, 200, 10, 200, 20, 200];
    for (const [index, size] of sizes.entries()) {
      publisher.publish("a", qos, { packetIdentifier: index + 1, payload: new Uint8Array(size) });
    }
    await harness.settle();
    // The first that fits is under way though larger ones came before it.
    expect(subscriber.takePublished().map(({ payload }) => payload.length)).toEqual([10]);
    subscriber.hangUp();
    expect(await drain(harness, "subscriber", options)).toEqual([10, 20]);
    expect(harness.engine.counter(abi.S_DROPPED_TOO_LARGE)).toBe(4);
  });

  test("what a smaller Maximum Packet Size forbids to send again is dropped", async () => {
    const harness = new EngineHarness();
    const subscriber = await connectClient(harness, "subscriber", LASTING);
    subscriber.subscribe("a", 2);
    const publisher = await connectClient(harness, "publisher");
    for (const [index, size] of [300, 10, 300, 20].entries()) {
      const fields = { packetIdentifier: index + 1, payload: new Uint8Array(size) };
      publisher.publish("a", index < 2 ? 1 : 2, fields);
    }
    await harness.settle();
    expect(subscriber.takePublished()).toHaveLength(4);
    subscriber.hangUp();
    const options = { ...narrow, packetBytesMax: 100 };
    expect(await drain(harness, "subscriber", options)).toEqual([10, 20]);
    const again = await connectClient(harness, "subscriber", LASTING);
    expect(again.takePublished()).toEqual([]);
  });

  test("a smaller one bounds what is sent again, but no PUBREL [MQTT-4.9.0-3]", async () => {
    const harness = new EngineHarness();
    const subscriber = await connectClient(harness, "subscriber", LASTING);
    subscriber.subscribe("a", 2);
    const publisher = await connectClient(harness, "publisher");
    for (let i = 1; i <= 8; i++) publisher.publish("a", i % 2 ? 1 : 2, { packetIdentifier: i });
    await harness.settle();
    const sent = subscriber.takePublished().map(({ packetIdentifier }) => packetIdentifier);
    expect(sent).toHaveLength(8);
    const released = sent.filter((_, index) => index === 5 || index === 7);
    for (const identifier of released) subscriber.send(acknowledgement("pubrec", identifier));
    await harness.settle();
    subscriber.hangUp();
    const again = await connectClient(harness, "subscriber", narrow);
    const packets = again.take().map((packet) => {
      return "packetIdentifier" in packet ? [packet.type, packet.packetIdentifier] : [packet.type];
    });
    expect(packets).toEqual([
      ...released.map((identifier) => ["pubrel", identifier]),
      ["publish", sent[0]],
    ]);
    again.hangUp();
    expect(await drain(harness, "subscriber", narrow)).toHaveLength(6);
    const last = await connectClient(harness, "subscriber", LASTING);
    expect(last.take()).toEqual([]);
  });
});
