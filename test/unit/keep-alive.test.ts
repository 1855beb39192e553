/** Keep Alive and the time for a CONNECT, with the clock in hand. */
import { expect, test } from "vitest";
import { CONNECT_SECONDS_MAX } from "../../src/base/limits.ts";
import { EngineHarness } from "../support/engine-harness.ts";
import { connectClient, HarnessClient } from "../support/engine-harness-client.ts";
import type { Version } from "../support/packets-types.ts";

const connect = { keepAliveSeconds: 10 };

async function pass(harness: EngineHarness, seconds: number): Promise<void> {
  for (let i = 0; i < seconds; i++) {
    harness.advance(1);
    await harness.settle();
  }
}

test.for<Version>([4, 5])(
  "version %i: silence of one and a half times the Keep Alive ends it [MQTT-3.1.2-22]",
  async (version) => {
    const harness = new EngineHarness();
    const client = await connectClient(harness, "client", { version, connect });
    await pass(harness, 14);
    expect(client.isClosed).toBe(false);
    await pass(harness, 3);
    expect(client.isClosed).toBe(true);
    const expected = version === 5 ? [{ type: "disconnect", reasonCode: 0x8d }] : [];
    expect(client.take()).toMatchObject(expected);
  },
);

test("any packet keeps it open", async () => {
  const harness = new EngineHarness();
  const client = await connectClient(harness, "client", { connect });
  for (let i = 0; i < 10; i++) {
    await pass(harness, 12);
    client.publish("a", 0);
  }
  expect(client.isClosed).toBe(false);
});

test("Keep Alive 0 is off", async () => {
  const harness = new EngineHarness();
  const client = await connectClient(harness, "client", { connect: { keepAliveSeconds: 0 } });
  await pass(harness, 5);
  harness.advance(1_000_000);
  await harness.settle();
  expect(client.isClosed).toBe(false);
});

test("Server Keep Alive counts for version 5 [MQTT-3.1.2-21]", async () => {
  const harness = new EngineHarness({ serverKeepAliveSeconds: 4 });
  const client = await connectClient(harness, "client", { connect: { keepAliveSeconds: 0 } });
  expect(client.connack?.properties).toContainEqual([19, 4]);
  await pass(harness, 8);
  expect(client.isClosed).toBe(true);
});

test("who sends no CONNECT in time is closed, also in the middle of one", async () => {
  const harness = new EngineHarness();
  const silent = new HarnessClient(harness, 5);
  const begun = new HarnessClient(harness, 5);
  begun.sendBytes(Buffer.of(0x10, 0x20, 0, 4));
  await pass(harness, CONNECT_SECONDS_MAX - 1);
  begun.sendBytes(Buffer.of(0x4d));
  expect(silent.isClosed || begun.isClosed).toBe(false);
  await pass(harness, 2);
  expect(silent.isClosed && begun.isClosed).toBe(true);
  expect(silent.take()).toEqual([]);
  await harness.clear();
  expect(harness.heap()).toEqual({ blocks: 0, bytes: 0 });
});

test.for([3_600, -3_600])("a clock that is set by %i s ends nobody early or late", async (step) => {
  const harness = new EngineHarness();
  const client = await connectClient(harness, "client", { connect });
  const silent = new HarnessClient(harness, 5);
  await pass(harness, 5);
  harness.setMachineClock(step);
  await harness.settle();
  await pass(harness, 9);
  expect(client.isClosed).toBe(false);
  client.publish("a", 0);
  await pass(harness, 14);
  expect(client.isClosed).toBe(false);
  await pass(harness, 3);
  expect([client.isClosed, silent.isClosed]).toEqual([true, true]);
});
