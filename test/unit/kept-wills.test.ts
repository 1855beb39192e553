/** Wills that an earlier run of the broker kept: which are due, and when. */
import { describe, expect, test } from "vitest";
import { StartError } from "../../src/base/errors.ts";
import { WILL_RESTART_SECONDS_MIN } from "../../src/base/limits.ts";
import { restoreWills, storedWills } from "../../src/protocol/kept-wills.ts";
import type { StoredWill } from "../../src/store/will-rows.ts";
import { EngineHarness } from "../support/engine-harness.ts";
import { connectClient, type HarnessClient } from "../support/engine-harness-client.ts";
import { fillWholly } from "../support/full-heap.ts";
import { encode } from "../support/naive-encoder.ts";
import { publish, will } from "../support/packets.ts";

const LASTING = { clean: false, expirySeconds: 3600 };
/** Of no Session. */
const NOBODY = 1_000_000;

function stored(topicName: string, delaySeconds: number, dueSecond: number): StoredWill {
  const packet = Buffer.from(encode(5, publish({ topicName, qos: 0 })));
  return { delaySeconds, dueSecond, packet };
}

/** A harness with a Session that is away, its number, and a client that watches. */
async function away() {
  const harness = new EngineHarness();
  const watching = await connectClient(harness, "watching");
  watching.subscribe("#", 0);
  (await connectClient(harness, "away", LASTING)).hangUp();
  await harness.settle();
  watching.take();
  const number = harness.sessions.numberOf(harness.sessionOf("away"));
  const restore = async (wills: readonly (readonly [number, StoredWill | null])[]) => {
    restoreWills(harness.engine, harness.wills, new Map(wills));
    await harness.settle();
  };
  return { harness, watching, number, restore };
}

function topics(client: HarnessClient): string[] {
  return client.takePublished().map(({ topicName }) => topicName);
}

async function pass(harness: EngineHarness, seconds: number): Promise<void> {
  harness.advance(seconds);
  await harness.settle();
}

describe("at the start", () => {
  test("the will of a Session that is gone is sent at once", async () => {
    const { watching, restore } = await away();
    await restore([[NOBODY, stored("w", 60, 0)]]);
    expect(topics(watching)).toEqual(["w"]);
  });

  test("who was connected has time to come back: its delay, or a little", async () => {
    for (const delaySeconds of [0, WILL_RESTART_SECONDS_MIN + 10]) {
      const { harness, watching, number, restore } = await away();
      await restore([[number, stored("w", delaySeconds, 0)]]);
      await pass(harness, Math.max(delaySeconds, WILL_RESTART_SECONDS_MIN) - 1);
      expect(topics(watching)).toEqual([]);
      await pass(harness, 2);
      expect(topics(watching)).toEqual(["w"]);
    }
  });

  test("one that waited goes on waiting until it is due", async () => {
    const { harness, watching, number, restore } = await away();
    await restore([[number, stored("w", 60, harness.nowSeconds + 300)]]);
    await pass(harness, 290);
    expect(topics(watching)).toEqual([]);
    await pass(harness, 20);
    expect(topics(watching)).toEqual(["w"]);
  });

  test("what a journal has taken back is told to the index, and sent to nobody", async () => {
    const { harness, watching, number, restore } = await away();
    storedWills(harness.engine, harness.wills);
    await restore([[number, null]]);
    expect(storedWills(harness.engine, harness.wills)).toEqual([{ number, will: null }]);
    await pass(harness, 3000);
    expect(topics(watching)).toEqual([]);
  });

  test("without memory for them the broker does not start", async () => {
    const harness = new EngineHarness({ memoryBytesMax: 8 * 1024 * 1024 });
    fillWholly(harness.engine);
    const wills = new Map([[1, stored("w", 0, 0)]]);
    expect(() => restoreWills(harness.engine, harness.wills, wills)).toThrow(StartError);
  });
});

test("a will is on record with its packet, its delay and when it is due", async () => {
  const harness = new EngineHarness();
  const connect = { will: will({ topicName: "w", properties: [[0x18, 60]] }) };
  const client = await connectClient(harness, "c", { ...LASTING, connect });
  const number = harness.sessions.numberOf(harness.sessionOf("c"));
  const [open] = storedWills(harness.engine, harness.wills);
  expect(open).toMatchObject({ number, will: { delaySeconds: 60, dueSecond: 0 } });
  client.hangUp();
  const [waiting] = storedWills(harness.engine, harness.wills);
  expect(waiting?.will?.packet).toEqual(open?.will?.packet);
  expect(waiting?.will?.dueSecond).toBeGreaterThanOrEqual(harness.nowSeconds + 59);
  await connectClient(harness, "c", LASTING);
  expect(storedWills(harness.engine, harness.wills)).toEqual([{ number, will: null }]);
});
