/** The memory cap: new work is refused, nothing traps, and later the same work is taken again. */
import { describe, expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { REASON_STRING, REQUEST_PROBLEM_INFORMATION } from "#assembly/spec";
import { EngineHarness } from "../support/engine-harness.ts";
import {
  beginClient,
  connectClient,
  type HarnessClient,
} from "../support/engine-harness-client.ts";
import { acknowledgement, utf8 } from "../support/packets.ts";
import type { QoS, Version } from "../support/packets-types.ts";

const CAP_BYTES = 8 * 1024 * 1024;
/** What memory.ts keeps above the cap for work under way. */
const RESERVE_BYTES = 16 * 1024 * 1024;
const QUOTA_EXCEEDED = 0x97;
const QUEUE = { queuedMessagesMax: 1_000_000, queuedBytesMax: 2 ** 40 };

function cappedHarness(): EngineHarness {
  return new EngineHarness({ memoryBytesMax: CAP_BYTES, ...QUEUE });
}

function committedBytes(harness: EngineHarness): number {
  return Number(harness.engine.calls.heapBytesCommitted());
}

/** A publish from one new client to another still arrives. */
async function expectNormalWork(harness: EngineHarness): Promise<void> {
  const one = await connectClient(harness, "normal one");
  const two = await connectClient(harness, "normal two", { version: 4 });
  two.subscribe("normal", 1);
  await harness.settle();
  two.take();
  one.publish("normal", 1, { payload: utf8("works") });
  await harness.settle();
  expect(two.takePublished().map(({ payload }) => Buffer.from(payload).toString())).toEqual([
    "works",
  ]);
  expect(one.take()).toMatchObject([{ type: "puback", reasonCode: 0 }]);
}

function ascending(codes: Iterable<number>): number[] {
  return [...codes].sort((one, other) => one - other);
}

async function offlineSubscriber(harness: EngineHarness): Promise<void> {
  const options = { version: 5, clean: false, expirySeconds: 0xffff_ffff } as const;
  const subscriber = await connectClient(harness, "offline", options);
  subscriber.subscribe("flood", 2);
  await harness.settle();
  subscriber.hangUp();
  await harness.settle();
}

describe("a flood for a Session that is away", () => {
  test.for<QoS>([1, 2])("version 5, QoS %i: 0x97, and the connection goes on", async (qos) => {
    const harness = cappedHarness();
    await offlineSubscriber(harness);
    const publisher = await connectClient(harness, "publisher");
    const payload = new Uint8Array(10_000);
    const codes = new Set<number>();
    for (let i = 1; i <= 2_000; i++) {
      publisher.publish("flood", qos, { packetIdentifier: i, payload });
      if (i % 50 !== 0) continue;
      await harness.settle();
      for (const packet of publisher.take()) {
        if (packet.type !== "puback" && packet.type !== "pubrec") continue;
        codes.add(packet.reasonCode);
        const isAccepted = packet.reasonCode < 0x80;
        if (packet.type === "pubrec" && isAccepted) {
          publisher.send(acknowledgement("pubrel", packet.packetIdentifier));
        }
      }
    }
    expect(ascending(codes)).toEqual([0, QUOTA_EXCEEDED]);
    expect(publisher.isClosed).toBe(false);
    expect(harness.engine.counter(abi.S_REFUSED_MEMORY)).toBeGreaterThan(100);
    expect(committedBytes(harness)).toBeLessThan(CAP_BYTES + RESERVE_BYTES);
    // The Session ends: its queue is free again.
    await connectClient(harness, "offline");
    await expectNormalWork(harness);
    await harness.clear();
    expect(harness.heap()).toEqual({ blocks: 0, bytes: 0 });
  });

  test("version 3.1.1: the publisher is closed", async () => {
    const harness = cappedHarness();
    await offlineSubscriber(harness);
    const publisher = await connectClient(harness, "publisher", { version: 4 });
    harness.notices = [];
    const payload = new Uint8Array(10_000);
    for (let i = 1; i <= 2_000 && !publisher.isClosed; i++) {
      publisher.publish("flood", 1, { packetIdentifier: i, payload });
      if (i % 50 === 0) await harness.settle();
    }
    expect(publisher.isClosed).toBe(true);
    expect(harness.notices).toEqual([
      "Client publisher [memory] disconnected: quota exceeded: memory_limit is reached.",
    ]);
    await connectClient(harness, "offline");
    await expectNormalWork(harness);
  });

  test("QoS 0 to who is there is dropped and counted, nobody is closed", async () => {
    const harness = cappedHarness();
    await offlineSubscriber(harness);
    const publisher = await connectClient(harness, "publisher");
    const reader = await connectClient(harness, "reader");
    reader.subscribe("live", 0);
    await harness.settle();
    const payload = new Uint8Array(10_000);
    const dropped = () => harness.engine.counter(abi.S_DROPPED_MEMORY);
    for (let i = 1; i <= 1_000; i++) {
      publisher.publish("flood", 1, { packetIdentifier: i, payload });
      // In the same turn: what the turn needs counts as well.
      if (i > 960) publisher.publish("live", 0);
      if (i % 20 === 0) await harness.settle();
    }
    await harness.settle();
    const came = reader.takePublished().length;
    expect(came).toBeLessThan(40);
    expect(dropped()).toBeGreaterThanOrEqual(40 - came);
    expect(publisher.isClosed || reader.isClosed).toBe(false);
  });
});

describe("a flood of retained messages", () => {
  test("version 5: 0x97", async () => {
    const harness = cappedHarness();
    const publisher = await connectClient(harness, "publisher");
    const codes = new Set<number>();
    for (let i = 1; i <= 3_000; i++) {
      const payload = new Uint8Array(5_000);
      publisher.publish(`r/${i}`, 1, { packetIdentifier: i, retain: true, payload });
      if (i % 50 !== 0) continue;
      await harness.settle();
      for (const packet of publisher.take()) {
        if (packet.type === "puback") codes.add(packet.reasonCode);
      }
    }
    // Nobody is subscribed: 0x10 says so.
    expect(ascending(codes)).toEqual([0x10, QUOTA_EXCEEDED]);
    const kept = harness.engine.calls.retainedCount();
    expect(kept).toBeGreaterThan(500);
    expect(committedBytes(harness)).toBeLessThan(CAP_BYTES + RESERVE_BYTES);
    harness.dropRetained("#");
    harness.engine.calls.clearCache();
    await expectNormalWork(harness);
  });
});

describe("big packets that stay partial", () => {
  test.for<Version>([4, 5])("version %i: closes beyond a share of the cap", async (version) => {
    const harness = cappedHarness();
    const begun = Buffer.concat([Buffer.of(0x30, 0x80, 0x80, 0x7a), Buffer.alloc(150_000)]);
    const clients = [];
    for (let i = 0; i < 60; i++) {
      const client = await connectClient(harness, `partial ${i}`, { version });
      client.sendBytes(begun);
      await harness.settle();
      clients.push(client);
    }
    const closed = clients.filter(({ isClosed }) => isClosed);
    expect(closed.length).toBeGreaterThan(20);
    expect(closed.length).toBeLessThan(60);
    for (const client of closed) {
      const last = client.take().at(-1);
      if (version === 5) {
        expect(last).toMatchObject({ type: "disconnect", reasonCode: QUOTA_EXCEEDED });
      }
    }
    for (const client of clients) if (!client.isClosed) client.hangUp();
    await expectNormalWork(harness);
    await harness.clear();
    expect(harness.heap()).toEqual({ blocks: 0, bytes: 0 });
    expect(harness.engine.counter(abi.S_PARTIAL_BYTES)).toBe(0);
  });
});

describe("a flood of subscriptions", () => {
  /** Subscribes until that is refused. @returns all codes, and the last SUBACK's properties */
  async function flood(harness: EngineHarness, client: HarnessClient) {
    const codes = new Set<number>();
    let properties: unknown = [];
    for (let i = 0; i < 60_000 && !codes.has(0x97) && !codes.has(0x80); i++) {
      client.subscribe(`${"long level ".repeat(40)}/${i}/+/x`, 1);
      if (i % 100 !== 0) continue;
      await harness.settle();
      for (const packet of client.take()) {
        if (packet.type !== "suback") continue;
        for (const code of packet.reasonCodes) codes.add(code);
        properties = packet.properties;
      }
      if (client.isClosed) break;
    }
    return { codes, properties };
  }

  test.for([
    [1, "quota exceeded"],
    [0, undefined],
  ] as const)(
    "Request Problem Information %i: the SUBACK's Reason String is %s [MQTT-3.1.2-29]",
    async ([asks, reason]) => {
      const harness = cappedHarness();
      const connect = { properties: [[REQUEST_PROBLEM_INFORMATION, asks] as const] };
      const client = await connectClient(harness, "subscriber", { connect });
      const { properties } = await flood(harness, client);
      expect(properties).toEqual(reason === undefined ? [] : [[REASON_STRING, reason]]);
    },
  );

  test.for<Version>([4, 5])("version %i: refused in the SUBACK", async (version) => {
    const harness = cappedHarness();
    const client = await connectClient(harness, "subscriber", { version });
    const { codes } = await flood(harness, client);
    expect(ascending(codes)).toEqual([1, version === 5 ? QUOTA_EXCEEDED : 0x80]);
    expect(client.isClosed).toBe(false);
    client.hangUp();
    await harness.settle();
    await expectNormalWork(harness);
  });
});

describe("a flood of Sessions", () => {
  test("CONNACK 0x97 (version 5), return code 3 (3.1.1); known clients come back", async () => {
    const harness = cappedHarness();
    const lasting = { clean: false, expirySeconds: 0xffff_ffff } as const;
    const name = "x".repeat(4_000);
    let refused = 0;
    for (let i = 0; i < 8_000 && refused === 0; i++) {
      const client = beginClient(harness, `${name}${i}`, { version: 5, ...lasting });
      await harness.settle();
      const [connack] = client.take();
      if (connack?.type !== "connack") throw new Error("no CONNACK");
      if (connack.reasonCode !== 0) refused = connack.reasonCode;
      if (!client.isClosed) client.hangUp();
    }
    expect(refused).toBe(QUOTA_EXCEEDED);
    const older = beginClient(harness, `${name}another`, { version: 4, clean: false });
    await harness.settle();
    expect(older.take()).toMatchObject([{ type: "connack", reasonCode: 3 }]);
    const known = await connectClient(harness, `${name}0`, { version: 5, ...lasting });
    expect(known.connack?.sessionPresent).toBe(true);
  });
});
