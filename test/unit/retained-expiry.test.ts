/** How long retained messages stay: what the operator allows, and the look for expired ones. */
import { describe, expect, test } from "vitest";
import { RetainedSweep } from "../../src/session/retained-sweep.ts";
import { EngineHarness } from "../support/engine-harness.ts";
import { connectClient, type HarnessClient } from "../support/engine-harness-client.ts";
import { properties, utf8 } from "../support/packets.ts";
import { propertyIdentifier } from "../support/packets-tables.ts";

const MESSAGE_EXPIRY_INTERVAL = propertyIdentifier("message_expiry_interval");

function retain(client: HarnessClient, topicName: string, expirySeconds = 0): void {
  const list = expirySeconds > 0 ? { message_expiry_interval: expirySeconds } : {};
  client.publish(topicName, 0, {
    retain: true,
    payload: utf8("kept"),
    properties: properties(list),
  });
}

/** Topics retained under a filter, with their interval. */
async function retained(harness: EngineHarness, filter: string) {
  const client = await connectClient(harness, `reader of ${filter}`);
  client.subscribe(filter, 0);
  await harness.settle();
  const found = client.takePublished().map(({ topicName, properties: own }) => {
    const [, seconds] = own.find(([identifier]) => identifier === MESSAGE_EXPIRY_INTERVAL) ?? [];
    return [topicName, seconds ?? null] as const;
  });
  client.hangUp();
  return Object.fromEntries(found);
}

describe("max_retained_expiry_interval", () => {
  test("bounds what is retained, whether it has an interval or not [MQTT-3.3.2-6]", async () => {
    const harness = new EngineHarness({ retainedExpirySecondsMax: 100 });
    const client = await connectClient(harness, "client");
    client.subscribe("live/#", 0);
    await harness.settle();
    client.take();
    retain(client, "live/without");
    retain(client, "live/shorter", 50);
    retain(client, "live/longer", 5_000);
    await harness.settle();
    // Who is there gets what was published.
    const live = client.takePublished().map(({ properties: own }) => own[0]?.[1] ?? null);
    expect(live).toEqual([null, 50, 5_000]);
    expect(await retained(harness, "live/#")).toEqual({
      "live/without": 100,
      "live/shorter": 50,
      "live/longer": 100,
    });
    harness.advance(60);
    expect(await retained(harness, "live/#")).toEqual({ "live/without": 40, "live/longer": 40 });
    // Each publication starts anew.
    retain(client, "live/without");
    harness.advance(50);
    expect(await retained(harness, "live/#")).toEqual({ "live/without": 50 });
    harness.advance(50);
    expect(await retained(harness, "live/#")).toEqual({});
    expect(harness.engine.calls.retainedCount()).toBe(0);
  });

  test("none by default", async () => {
    const harness = new EngineHarness();
    const client = await connectClient(harness, "client");
    retain(client, "for/ever");
    await harness.settle();
    harness.advance(400_000_000);
    expect(await retained(harness, "for/ever")).toEqual({ "for/ever": null });
  });
});

describe("retain_expiry_interval", () => {
  /** More than one call looks at, and deletes. */
  const EXPIRED = 1_000;
  const KEPT = 5_000;

  async function filled() {
    const harness = new EngineHarness();
    const client = await connectClient(harness, "client");
    for (let i = 0; i < KEPT; i++) retain(client, `kept/${i}`);
    await harness.settle();
    harness.engine.calls.clearCache();
    const before = harness.engine.calls.retainedCount();
    for (let i = 0; i < EXPIRED; i++) retain(client, `${i % 2 ? "brief" : "$brief"}/${i}`, 30);
    await harness.settle();
    return { harness, before, calls: harness.engine.calls };
  }

  test("what expired and nobody asked for is deleted, also below $ [MQTT-3.3.2-5]", async () => {
    const { harness, before, calls } = await filled();
    const sweep = new RetainedSweep(harness.engine, harness.turn, 1);
    sweep.tick(harness.nowSeconds);
    harness.advance(59);
    sweep.tick(harness.nowSeconds);
    await harness.settle();
    expect(calls.retainedCount()).toBe(before + EXPIRED);
    harness.advance(1);
    sweep.tick(harness.nowSeconds);
    // In slices, a turn each.
    expect(calls.retainedCount()).toBeGreaterThan(before);
    await harness.settle();
    expect(calls.retainedCount()).toBe(before);
    expect(Object.keys(await retained(harness, "kept/+"))).toHaveLength(KEPT);
  });

  test("0: it stays until it is asked for", async () => {
    const { harness, before, calls } = await filled();
    const sweep = new RetainedSweep(harness.engine, harness.turn, 0);
    for (let minute = 0; minute < 3; minute++) {
      harness.advance(60);
      sweep.tick(harness.nowSeconds);
      await harness.settle();
    }
    expect(calls.retainedCount()).toBe(before + EXPIRED);
    expect(await retained(harness, "$brief/#")).toEqual({});
    expect(calls.retainedCount()).toBe(before + EXPIRED / 2);
  });

  test("a sweep leaves no block behind", async () => {
    const harness = new EngineHarness();
    const client = await connectClient(harness, "client");
    retain(client, "one/kept");
    const { calls } = harness.engine;
    const round = async () => {
      for (let i = 0; i < 300; i++) retain(client, `brief/${i}`, 1);
      await harness.settle();
      harness.advance(2);
      while (calls.sweepRetained() === 1);
      await harness.settle();
      // What an index would be told, and there is none.
      calls.dropUnindexed();
      calls.clearCache();
      return harness.heap();
    };
    // Tables grow once.
    const before = await round();
    expect(await round()).toEqual(before);
  });
});
