/** The engine's allocator: blocks do not overlap, all come back, a full heap answers 0. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { Engine } from "../../src/engine/engine.ts";
import { ENGINE_BUILD } from "../support/engine-harness.ts";

const CAP_BYTES = 4 * 1024 * 1024;
/** Kept above the cap for work under way, memory.ts. */
const RESERVE_BYTES = 16 * 1024 * 1024;
/** A page of each size class may stay, so that a lone block does not take and give one. */
const CLASS_PAGES_MAX = 40;

const engine = new Engine({ build: ENGINE_BUILD, memoryBytesMax: CAP_BYTES });
const { calls } = engine;

function alloc(byteCount: number): number {
  return calls.allocBlock(byteCount) >>> 0;
}

function used(): { readonly blocks: number; readonly bytes: bigint } {
  return { blocks: calls.heapBlocksUsed(), bytes: calls.heapBytesUsed() };
}

const EMPTY = { blocks: 0, bytes: 0n };

const size = fc.oneof(
  fc.integer({ min: 1, max: 300 }),
  fc.integer({ min: 301, max: 40_000 }),
  fc.integer({ min: 40_001, max: 500_000 }),
);

const actions = fc.array(fc.oneof(fc.record({ size }), fc.record({ free: fc.nat(1_000) })), {
  maxLength: 200,
  size: "max",
});

/** The first and the last bytes of a block: whoever overlaps it touches them, or lies inside. */
function edges(at: number, byteCount: number): readonly (readonly [number, number])[] {
  const edge = Math.min(byteCount, 64);
  return [
    [at, at + edge],
    [at + byteCount - edge, at + byteCount],
  ];
}

describe("alloc and free", () => {
  test("blocks are aligned, keep their bytes, never overlap, and all come back", () => {
    const property = fc.property(actions, (list) => {
      const blocks: { readonly at: number; readonly size: number; readonly mark: number }[] = [];
      let mark = 0;
      for (const each of list) {
        if ("size" in each) {
          const at = alloc(each.size);
          if (at === 0) continue;
          expect(at % 8).toBe(0);
          expect(at).toBeGreaterThanOrEqual(abi.HEAP);
          mark = (mark + 1) % 251;
          for (const [from, to] of edges(at, each.size)) engine.bytes.fill(mark, from, to);
          blocks.push({ at, size: each.size, mark });
        } else if (blocks.length > 0) {
          const [block] = blocks.splice(each.free % blocks.length, 1);
          if (block === undefined) continue;
          for (const [from, to] of edges(block.at, block.size)) {
            const isKept = engine.bytes.subarray(from, to).every((byte) => byte === block.mark);
            expect(isKept).toBe(true);
          }
          calls.freeBlock(block.at);
        }
      }
      const held = blocks.reduce((sum, block) => sum + block.size, 0);
      expect(used().blocks).toBe(blocks.length);
      expect(Number(used().bytes)).toBeGreaterThanOrEqual(held);
      for (const { at } of blocks) calls.freeBlock(at);
      expect(used()).toEqual(EMPTY);
    });
    fc.assert(property, { numRuns: 200 });
  });

  test("a full heap answers 0; what comes back is used again, for blocks of any size", () => {
    for (const byteCount of [16, 1_000, 32_768, 65_536, 1_000_000, 24, 3_000_000]) {
      const blocks: number[] = [];
      for (let at = alloc(byteCount); at !== 0; at = alloc(byteCount)) blocks.push(at);
      expect(calls.memoryTight()).toBe(1);
      const bytes = Number(used().bytes);
      // The pages that stay may stand in the way of runs of pages.
      const lost = byteCount > abi.PAGE_BYTES ? RESERVE_BYTES : CLASS_PAGES_MAX * abi.PAGE_BYTES;
      expect(bytes).toBeGreaterThan(CAP_BYTES + RESERVE_BYTES - lost - byteCount);
      expect(bytes).toBeLessThanOrEqual(CAP_BYTES + RESERVE_BYTES);
      expect(new Set(blocks).size).toBe(blocks.length);
      // Every second one first: the pages between must join again.
      for (const [index, at] of blocks.entries()) if (index % 2 === 0) calls.freeBlock(at);
      for (const [index, at] of blocks.entries()) if (index % 2 === 1) calls.freeBlock(at);
      expect(used()).toEqual(EMPTY);
      expect(calls.memoryTight()).toBe(0);
    }
  });

  // Only the debug build has assertions.
  const ifDebug = ENGINE_BUILD === "debug" ? test : () => undefined;
  ifDebug("a block freed twice is noticed", () => {
    const at = alloc(100_000);
    calls.freeBlock(at);
    expect(() => calls.freeBlock(at)).toThrow(/assertion/);
    expect(() => calls.freeBlock(abi.SCRATCH)).toThrow(/assertion/);
  });
});
