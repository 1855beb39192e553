import { expect, test } from "vitest";
import { EngineHarness } from "../support/engine-harness.ts";
import { connectClient } from "../support/engine-harness-client.ts";

test("smoke", async () => {
  const harness = new EngineHarness();
  const one = await connectClient(harness, "one");
  const two = await connectClient(harness, "two", { version: 4, clean: false });
  one.subscribe("a/#", 2);
  two.subscribe("a/#", 1);
  await harness.settle();
  one.take();
  two.take();
  two.publish("a/b", 2, { packetIdentifier: 7 });
  await harness.settle();
  console.log(one.take(), two.take(), harness.heap());
  await harness.clear();
  expect(harness.heap()).toEqual({ blocks: 0, bytes: 0 });
});
