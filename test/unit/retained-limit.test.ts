/** How much of the memory may be retained: half of it, so that one client does not take it all. */
import { expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { EngineHarness } from "../support/engine-harness.ts";
import { connectClient } from "../support/engine-harness-client.ts";

const MEMORY_BYTES = 64 * 1024 * 1024;
const QUOTA_EXCEEDED = 0x97;

test("past it a retained message is refused; others are taken, and what frees memory", async () => {
  const harness = new EngineHarness({ memoryBytesMax: MEMORY_BYTES });
  const client = await connectClient(harness, "publisher");
  const payload = new Uint8Array(100_000);
  const publish = async (topic: string, bytes: Uint8Array, retain: boolean) => {
    client.publish(topic, 1, { payload: bytes, retain, packetIdentifier: 1 });
    await harness.settle();
    const [answer] = client.take();
    return answer !== undefined && "reasonCode" in answer ? answer.reasonCode : 0;
  };
  let kept = 0;
  while ((await publish(`kept/${kept}`, payload, true)) !== QUOTA_EXCEEDED) {
    kept += 1;
    expect(kept).toBeLessThan(1_000);
  }
  const bytes = harness.engine.counter(abi.S_RETAINED_BYTES);
  expect(bytes).toBeGreaterThan(MEMORY_BYTES / 2);
  expect(bytes).toBeLessThan(MEMORY_BYTES / 2 + 2 * payload.length);
  expect(await publish("live", payload, false)).not.toBe(QUOTA_EXCEEDED);
  // In place of one that is as long, but not of a shorter one.
  expect(await publish("kept/0", payload, true)).not.toBe(QUOTA_EXCEEDED);
  expect(await publish("kept/0", new Uint8Array(100_001), true)).toBe(QUOTA_EXCEEDED);
  for (let i = 0; i < kept; i++) {
    expect(await publish(`kept/${i}`, new Uint8Array(0), true)).not.toBe(QUOTA_EXCEEDED);
  }
  expect(harness.engine.counter(abi.S_RETAINED_BYTES)).toBe(0);
  expect(harness.engine.calls.retainedCount()).toBe(0);
  expect(await publish("kept/new", payload, true)).not.toBe(QUOTA_EXCEEDED);
});
