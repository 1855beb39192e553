/** What the log says where memory_limit is reached, and where there is room again. */
import { expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { MemoryWatch } from "../../src/session/memory-watch.ts";
import { EngineHarness } from "../support/engine-harness.ts";
import { connectClient } from "../support/engine-harness-client.ts";
import { fillToCap, free } from "../support/full-heap.ts";

const CAP_BYTES = 8 * 1024 * 1024;

function watched() {
  const harness = new EngineHarness({ memoryBytesMax: CAP_BYTES });
  const lines: string[] = [];
  const watch = new MemoryWatch(harness.engine, {
    warn: (text) => lines.push(`warning: ${text}`),
    notice: (text) => lines.push(`notice: ${text}`),
  });
  return { harness, watch, lines };
}

/** What the log says where so much is taken. */
function reached(takenBytes: bigint | number): string {
  return (
    `warning: memory_limit is reached: ${takenBytes} of ${CAP_BYTES} bytes are taken. Until ` +
    "there is room, new Sessions, subscriptions and messages are refused, and messages of " +
    "QoS 0 are dropped."
  );
}

function over(takenBytes: bigint, refused: number): string {
  return (
    `notice: There is room below memory_limit again: ${takenBytes} of ${CAP_BYTES} bytes are ` +
    `taken. Messages refused since it was reached: ${refused}; dropped: 0.`
  );
}

test("once when it is reached, and once when there is room again, with figures", async () => {
  const { harness, watch, lines } = watched();
  const { calls } = harness.engine;
  const publisher = await connectClient(harness, "publisher");
  const blocks = fillToCap(harness.engine);
  watch.tick(100);
  expect(lines).toEqual([]);
  const last: number[] = [];
  while (calls.memoryTight() === 0) last.push(calls.allocBlock(65_536) >>> 0);
  watch.tick(100);
  watch.tick(101);
  expect(lines).toEqual([reached(CAP_BYTES)]);
  publisher.publish("a", 1, { retain: true });
  await harness.settle();
  expect(harness.engine.counter(abi.S_REFUSED_MEMORY)).toBe(1);
  watch.tick(102);
  // A message that goes makes no room that would last.
  free(harness.engine, last.splice(-1));
  watch.tick(120);
  last.push(calls.allocBlock(65_536) >>> 0);
  watch.tick(121);
  expect(lines).toHaveLength(1);
  free(harness.engine, [...blocks, ...last]);
  watch.tick(130);
  expect(lines).toHaveLength(1);
  watch.tick(131);
  watch.tick(132);
  expect(lines.slice(1)).toEqual([over(calls.heapBytesCommitted(), 1)]);
});

test("also where there is no room for a long packet only", async () => {
  const { harness, watch, lines } = watched();
  const publisher = await connectClient(harness, "publisher", { version: 4 });
  const blocks = fillToCap(harness.engine);
  const taken = harness.engine.calls.heapBytesCommitted();
  publisher.publish("a", 1, { payload: new Uint8Array(1_500_000) });
  await harness.settle();
  expect(publisher.isClosed).toBe(true);
  watch.tick(100);
  expect(lines).toEqual([reached(taken)]);
  free(harness.engine, blocks);
  watch.tick(110);
  expect(lines.slice(1)).toEqual([over(harness.engine.calls.heapBytesCommitted(), 1)]);
});
