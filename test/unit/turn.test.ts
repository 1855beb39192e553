/** A turn of the event loop: long work is cut into slices, and nobody waits for somebody else's. */
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { ADMITTED_PER_TURN_MAX, GONE_MILLISECONDS_MAX } from "../../src/base/limits.ts";
import { EngineHarness } from "../support/engine-harness.ts";
import {
  beginClient,
  connectClient,
  type HarnessClient,
} from "../support/engine-harness-client.ts";
import { utf8 } from "../support/packets.ts";

const RECEIVERS = 20_000;

/** Clients that all subscribe to `all`. */
async function crowd(harness: EngineHarness, count: number): Promise<HarnessClient[]> {
  const clients: HarnessClient[] = [];
  for (let i = 0; i < count; i++) {
    const client = beginClient(harness, `receiver ${i}`, { version: 4 });
    client.subscribe("all", 0);
    clients.push(client);
  }
  await harness.settle();
  for (const client of clients) client.wire.takeReceived();
  return clients;
}

function expectEach(receivers: readonly HarnessClient[], byteCount: number): void {
  const wrong = receivers.filter(({ wire }) => wire.takeReceived().length !== byteCount);
  expect(wrong).toHaveLength(0);
}

describe("new connections", () => {
  test("are read for the first time a few in each turn, in the order they came in", async () => {
    const harness = new EngineHarness();
    const peers = Array.from({ length: 3 * ADMITTED_PER_TURN_MAX }, () => {
      const peer = harness.open();
      peer.wire.pauseReading();
      harness.turn.admit(peer.connection);
      return peer;
    });
    for (let turns = 1; turns <= 3; turns++) {
      const read = peers.map(({ wire }) => wire.isReading);
      expect(read).toEqual(peers.map((_, index) => index < turns * ADMITTED_PER_TURN_MAX));
      await harness.turnOnce();
    }
  });
});

describe("long work is sliced", () => {
  test("one PUBLISH to 20,000 receivers: a PINGREQ in between is answered", async () => {
    const harness = new EngineHarness();
    const receivers = await crowd(harness, RECEIVERS);
    const publisher = await connectClient(harness, "publisher");
    const other = await connectClient(harness, "other");
    publisher.publish("all", 1, { payload: utf8("x") });
    other.send({ type: "pingreq" });
    await harness.turnOnce();
    expect(other.take()).toEqual([{ type: "pingresp" }]);
    // The first slice is out, the last is not.
    expect(publisher.take()).toEqual([]);
    const first = receivers.filter(({ wire }) => wire.writeCount > 2).length;
    expect(first).toBeLessThan(RECEIVERS);
    await harness.settle();
    expect(publisher.take()).toMatchObject([{ type: "puback", reasonCode: 0 }]);
    expectEach(receivers, 2 + 5 + 1);
  });

  test("a chunk full of them likewise, and order is kept", async () => {
    const harness = new EngineHarness();
    const receivers = await crowd(harness, 3_000);
    const publisher = await connectClient(harness, "publisher");
    const other = await connectClient(harness, "other");
    for (let i = 0; i < 50; i++) publisher.publish("all", 0, { payload: utf8(`${10 + i}`) });
    let answered = 0;
    let turns = 0;
    while (publisher.wire.inbox.length > 0 || turns < 3) {
      other.send({ type: "pingreq" });
      await harness.turnOnce();
      answered += other.take().length;
      turns++;
    }
    expect(answered).toBe(turns);
    await harness.settle();
    const [one] = receivers;
    const texts = one?.takePublished().map(({ payload }) => Buffer.from(payload).toString());
    expect(texts).toEqual(Array.from({ length: 50 }, (_, i) => `${10 + i}`));
    expectEach(receivers.slice(1), 50 * (2 + 5 + 2));
  });

  test("a publisher that goes away in the middle leaves nothing behind", async () => {
    const harness = new EngineHarness();
    await crowd(harness, 5_000);
    const publisher = await connectClient(harness, "publisher");
    publisher.publish("all", 1, { payload: new Uint8Array(5_000) });
    await harness.turnOnce();
    publisher.hangUp();
    await harness.settle();
    await harness.clear();
    expect(harness.heap()).toEqual({ blocks: 0, bytes: 0 });
  });

  test("so does one whose message is stored for its receivers: all have it", async () => {
    const harness = new EngineHarness();
    const receivers: HarnessClient[] = [];
    for (let i = 0; i < 9; i++) {
      const receiver = await connectClient(harness, `receiver ${i}`);
      receiver.subscribe("all", 1);
      receivers.push(receiver);
    }
    const publisher = await connectClient(harness, "publisher");
    await harness.settle();
    // Each receiver costs an eighth of the budget.
    publisher.publish("all", 1, { payload: new Uint8Array(1023 * 1024) });
    publisher.hangUp();
    await harness.settle();
    expect(receivers.filter((receiver) => receiver.takePublished().length === 1)).toHaveLength(9);
    await harness.clear();
    expect(harness.heap()).toEqual({ blocks: 0, bytes: 0 });
  });

  test("100,000 retained messages are sent in slices", { timeout: 60_000 }, async () => {
    const harness = new EngineHarness();
    const publisher = await connectClient(harness, "publisher", { version: 4 });
    for (let i = 0; i < 100_000; i++) {
      const name = `r/${String(i).padStart(6, "0")}`;
      publisher.sendBytes(Buffer.concat([Buffer.of(0x31, 11, 0, 8), Buffer.from(name), utf8("1")]));
      if (i % 1_000 === 0) await harness.settle();
    }
    const subscriber = await connectClient(harness, "subscriber", { version: 4 });
    const other = await connectClient(harness, "other");
    const before = harness.turnCount;
    subscriber.subscribe("r/#", 0);
    let answered = 0;
    for (let i = 0; i < 5; i++) {
      other.send({ type: "pingreq" });
      await harness.turnOnce();
      answered += other.take().length;
    }
    expect(answered).toBe(5);
    await harness.settle();
    expect(harness.turnCount - before).toBeGreaterThan(5);
    expect(subscriber.wire.takeReceived().length).toBe(5 + 100_000 * 13);
  });
});

describe("one write for each connection", () => {
  test("many packets of a turn leave together", async () => {
    const harness = new EngineHarness();
    const client = await connectClient(harness, "client");
    client.subscribe("a", 0);
    await harness.settle();
    const before = client.wire.writeCount;
    for (let i = 0; i < 200; i++) client.publish("a", 0, { payload: utf8("x") });
    await harness.settle();
    expect(client.wire.writeCount - before).toBe(1);
    expect(client.takePublished()).toHaveLength(200);
  });

  test("a slow connection delays no other", async () => {
    const harness = new EngineHarness();
    const slow = await connectClient(harness, "slow");
    const quick = await connectClient(harness, "quick");
    for (const each of [slow, quick]) each.subscribe("a", 1);
    await harness.settle();
    quick.take();
    slow.take();
    slow.wire.isSlow = true;
    const publisher = await connectClient(harness, "publisher");
    for (let i = 0; i < 20; i++) {
      publisher.publish("a", 1);
      await harness.turnOnce();
      expect(quick.takePublished()).toHaveLength(1);
    }
    expect(slow.wire.isWriting).toBe(true);
    slow.wire.isSlow = false;
    slow.wire.release();
    await harness.settle();
    expect(slow.takePublished()).toHaveLength(20);
  });

  test("a connection closed while a write is under way is freed when that ends", async () => {
    const harness = new EngineHarness();
    const client = await connectClient(harness, "client");
    client.wire.isSlow = true;
    client.send({ type: "pingreq" });
    await harness.settle();
    expect(client.wire.isWriting).toBe(true);
    client.send({ type: "disconnect", reasonCode: 0, properties: [] });
    await harness.settle();
    expect(client.isClosed).toBe(false);
    client.wire.release();
    await harness.settle();
    expect(client.isClosed).toBe(true);
    expect(client.take()).toEqual([{ type: "pingresp" }]);
    expect(harness.turn.openCount).toBe(0);
  });
});

test("who closes while the store is not done is gone after a while", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  const harness = new EngineHarness();
  // A disk that never answers: the CONNACK waits, and what stands behind the CONNECT.
  const never = new Promise<void>(() => undefined);
  harness.turn.useStore({ commit: () => never, load: () => undefined }, 0);
  const client = beginClient(harness, "c", { clean: false, expirySeconds: 60 });
  client.send({ type: "pingreq" });
  await harness.settle();
  client.hangUp();
  vi.advanceTimersByTime(GONE_MILLISECONDS_MAX - 1);
  expect(harness.turn.openCount).toBe(1);
  vi.advanceTimersByTime(1);
  expect(harness.turn.openCount).toBe(0);
});
