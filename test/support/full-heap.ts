/** An engine's heap, filled for a test and emptied again. */
import type { Engine } from "../../src/engine/engine.ts";

const MIB = 1024 * 1024;
const PAGE_BYTES = 65_536;
/** Longest block that shares a page with others: memory.ts. */
const SMALL_BYTES_MAX = 32_768;
/** What fillToCap() leaves below the cap: enough for all that is small. */
const LEFT_BYTES = MIB;

/** Takes the pages below the cap up to a few; what is left else is the reserve. @returns blocks */
export function fillToCap({ calls }: Engine): readonly number[] {
  const blocks: number[] = [];
  const left = () => Number(calls.heapBytesCap() - calls.heapBytesCommitted());
  while (left() > LEFT_BYTES) {
    const bytes = Math.max(PAGE_BYTES, Math.floor(left() / 2 / PAGE_BYTES) * PAGE_BYTES);
    const block = calls.allocBlock(bytes) >>> 0;
    if (block === 0) throw new Error("the heap is in pieces");
    blocks.push(block);
  }
  if (calls.memoryTight() !== 0) throw new Error("the cap is reached");
  return blocks;
}

/** Takes all that is left, the reserve too, and in pages of small blocks. @returns the blocks */
export function fillWholly({ calls }: Engine): readonly number[] {
  const blocks: number[] = [];
  const small = Array.from({ length: SMALL_BYTES_MAX / 8 }, (_, i) => SMALL_BYTES_MAX - i * 8);
  for (const bytes of [16 * MIB, MIB, PAGE_BYTES, ...small]) {
    for (let block = calls.allocBlock(bytes) >>> 0; block !== 0; ) {
      blocks.push(block);
      block = calls.allocBlock(bytes) >>> 0;
    }
  }
  return blocks;
}

export function free({ calls }: Engine, blocks: readonly number[]): void {
  for (const block of blocks) calls.freeBlock(block);
}
