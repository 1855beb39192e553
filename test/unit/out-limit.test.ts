/** Limits of what is on its way out: slow connections, held acknowledgements, long packets. */
import { describe, expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { EngineHarness } from "../support/engine-harness.ts";
import { beginClient, connectClient, HarnessClient } from "../support/engine-harness-client.ts";
import { connect, utf8 } from "../support/packets.ts";
import type { Version } from "../support/packets-types.ts";

const OUTGOING_BYTES_MAX = 65_536;

describe("outgoingBytesMax", () => {
  test("QoS 0 to a slow connection is dropped and counted; others get all", async () => {
    const harness = new EngineHarness({ outgoingBytesMax: OUTGOING_BYTES_MAX });
    const slow = await connectClient(harness, "slow");
    const quick = await connectClient(harness, "quick", { version: 4 });
    const publisher = await connectClient(harness, "publisher");
    slow.subscribe("a", 0);
    quick.subscribe("a", 0);
    await harness.settle();
    slow.take();
    quick.take();
    slow.wire.isSlow = true;
    const payload = new Uint8Array(1_000);
    for (let i = 0; i < 50; i++) {
      for (let k = 0; k < 10; k++) publisher.publish("a", 0, { payload });
      await harness.settle();
    }
    expect(quick.takePublished()).toHaveLength(500);
    const dropped = harness.engine.counter(abi.S_DROPPED_SLOW);
    const record = abi.CONNECTIONS + slow.peer.connection.number * abi.CONNECTION_BYTES;
    expect(harness.engine.word(record + abi.C_DROPPED)).toBe(dropped);
    slow.wire.isSlow = false;
    slow.wire.release();
    await harness.settle();
    const came = slow.takePublished().length;
    expect(came + dropped).toBe(500);
    expect(came * payload.length).toBeLessThan(OUTGOING_BYTES_MAX + 10 * payload.length);
    expect(came * payload.length).toBeGreaterThan(OUTGOING_BYTES_MAX - 10 * payload.length);
    expect(slow.isClosed).toBe(false);
    // It reads again, and gets what comes.
    publisher.publish("a", 0, { payload });
    await harness.settle();
    expect(slow.takePublished()).toHaveLength(1);
  });

  test("who does not read its answers is not read on, until it does", async () => {
    const harness = new EngineHarness({ outgoingBytesMax: OUTGOING_BYTES_MAX });
    const client = await connectClient(harness, "client");
    client.wire.isSlow = true;
    const pings = new Uint8Array(60_000).map((_, index) => (index % 2 === 0 ? 0xc0 : 0));
    for (let i = 0; i < 10; i++) {
      client.sendBytes(pings);
      await harness.settle();
    }
    expect(client.wire.isReading).toBe(false);
    expect(client.wire.inbox.length).toBeGreaterThan(3);
    client.wire.isSlow = false;
    client.wire.release();
    await harness.settle();
    expect(client.take()).toHaveLength(300_000);
  });
});

describe("held acknowledgements", () => {
  test("4096 of one connection wait at most; the rest follows, in order", async () => {
    const harness = new EngineHarness({ receiveMaximum: 65_535, inflightMessagesMax: 65_535 });
    const lasting = { version: 4, clean: false } as const;
    const receiver = await connectClient(harness, "receiver", lasting);
    receiver.subscribe("a", 1);
    const publisher = await connectClient(harness, "publisher", { version: 4 });
    await harness.settle();
    const packets = Buffer.concat(
      Array.from({ length: 10_000 }, (_, i) => {
        const identifier = i + 1;
        return Buffer.from([0x32, 5, 0, 1, 0x61, identifier >> 8, identifier & 0xff]);
      }),
    );
    // All in one turn: no commit comes between.
    publisher.sendBytes(packets);
    expect(harness.engine.counter(abi.S_ACKNOWLEDGEMENTS_HELD)).toBeLessThan(4_096 + 100);
    await harness.settle();
    const identifiers = publisher
      .take()
      .map((packet) => (packet.type === "puback" ? packet.packetIdentifier : 0));
    expect(identifiers).toEqual(Array.from({ length: 10_000 }, (_, i) => i + 1));
  });
});

describe("long packets", () => {
  test.for<Version>([4, 5])(
    "version %i: a CONNECT beyond its bound is refused",
    async (version) => {
      const harness = new EngineHarness();
      const client = new HarnessClient(harness, version);
      const password = new Uint8Array(65_535);
      const will = { qos: 0, retain: false, properties: [], topicName: "w" } as const;
      const lists = Array.from({ length: 9 }, () => [38, ["k", "x".repeat(60_000)]] as const);
      client.send(
        connect({
          version,
          clientIdentifier: "c",
          userName: "u".repeat(65_535),
          password,
          will: { ...will, payload: password },
          properties: version === 5 ? lists : [],
        }),
      );
      await harness.settle();
      // 3.1.1 cannot even say so much: only properties make a CONNECT longer than the bound.
      expect(client.isClosed).toBe(version === 5);
      expect(client.take()).toHaveLength(version === 5 ? 0 : 1);
    },
  );

  test("a PUBLISH beyond packetBytesMax is refused as soon as its length is known", async () => {
    const harness = new EngineHarness({ packetBytesMax: 1_000 });
    const five = await connectClient(harness, "five");
    five.sendBytes(Buffer.of(0x30, 0xe6, 0x07));
    const four = await connectClient(harness, "four", { version: 4 });
    four.sendBytes(Buffer.of(0x30, 0xe6, 0x07));
    await harness.settle();
    expect(five.isClosed && four.isClosed).toBe(true);
    expect(five.take()).toMatchObject([{ type: "disconnect", reasonCode: 0x95 }]);
    expect(four.take()).toEqual([]);
    // One byte less is as long as the limit.
    const whole = await connectClient(harness, "whole");
    whole.subscribe("a", 0);
    whole.publish("a", 0, { payload: new Uint8Array(1_000 - 3 - 3 - 1) });
    await harness.settle();
    expect(whole.isClosed).toBe(false);
    expect(whole.takePublished()).toHaveLength(1);
  });

  test("a client's Maximum Packet Size drops what is longer, and counts it", async () => {
    const harness = new EngineHarness();
    const small = await connectClient(harness, "small", {
      connect: { properties: [[39, 100]] },
    });
    const publisher = await connectClient(harness, "publisher");
    small.subscribe("a", 1);
    await harness.settle();
    small.take();
    publisher.publish("a", 1, { payload: new Uint8Array(200) });
    publisher.publish("a", 1, { payload: utf8("short") });
    publisher.publish("a", 0, { payload: new Uint8Array(200) });
    await harness.settle();
    expect(small.takePublished()).toHaveLength(1);
    expect(harness.engine.counter(abi.S_DROPPED_TOO_LARGE)).toBe(2);
  });
});

test("many pieces for one connection leave over several turns, whole", async () => {
  const harness = new EngineHarness();
  const receiver = await connectClient(harness, "receiver");
  receiver.subscribe("a", 0);
  const publisher = await connectClient(harness, "publisher");
  await harness.settle();
  receiver.take();
  const payload = new Uint8Array(40_000);
  for (let i = 0; i < 150; i++) publisher.publish("a", 0, { payload });
  beginClient(harness, "another");
  await harness.settle();
  expect(receiver.takePublished()).toHaveLength(150);
});

test("more pieces than one write takes, with an answer among them: no block is lost", async () => {
  const harness = new EngineHarness();
  const receiver = await connectClient(harness, "receiver");
  receiver.subscribe("a", 0);
  const publisher = await connectClient(harness, "publisher");
  await harness.settle();
  receiver.take();
  const payload = new Uint8Array(40_000);
  for (let i = 0; i < 150; i++) publisher.publish("a", 0, { payload });
  receiver.send({ type: "pingreq" });
  await harness.settle();
  const types = receiver.take().map(({ type }) => type);
  expect(types.filter((type) => type === "publish")).toHaveLength(150);
  expect(types.filter((type) => type === "pingresp")).toHaveLength(1);
  await harness.clear();
  expect(harness.heap()).toEqual({ blocks: 0, bytes: 0 });
});
