/**
 * How much the store takes, and how much it may.
 */
import { readdirSync, statfsSync, statSync } from "node:fs";
import { join } from "node:path";
import { JOURNAL_DIRECTORY } from "./marker.ts";

/** Share of the disk's free space that the store may take if it is not told how much. */
const FREE_SHARE_MAX = 0.8;

/** The least time between two looks at what is used. */
const LOOK_MILLISECONDS_MIN = 1_000;

/** Or as soon as this part of what it may have was written since. */
const LOOK_SHARE_MIN = 16;

/** Pages with LMDB's own head, besides those of the tables. */
const META_PAGES = 2;

/** A table of an environment, as far as its statistics go. */
export interface StatsSource {
  /** As lmdb has it. */
  getStats(): object;
}

/** The pages of one table, of the environment's own table (`root`), of its free list (`free`). */
interface Stats {
  readonly pageSize: number;
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
  readonly root?: Stats;
  readonly free?: Stats;
}

/** Bytes that whoever runs this process may still write to the disk of `directory`. */
export function freeBytesOf(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}

/** Bytes of all files in `directory`, but not below it; 0 if there is no such directory. */
export function fileBytesOf(directory: string): number {
  let bytes = 0;
  try {
    for (const name of readdirSync(directory)) {
      bytes += statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0;
    }
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
  return bytes;
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

/** Bytes of all files of a store, and of others beside them. */
export function storeBytesOf(directory: string): number {
  return fileBytesOf(directory) + fileBytesOf(join(directory, JOURNAL_DIRECTORY));
}

/**
 * What the store may take if it is not told how much: what its files take now, of which free pages
 * are used again, and a share of what is free on the disk.
 */
export function defaultStoreBytesMax(directory: string): number {
  return storeBytesOf(directory) + Math.floor(FREE_SHARE_MAX * freeBytesOf(directory));
}

/**
 * Bytes of an environment that are in use. Its file may be larger: LMDB never shortens it, and uses
 * free pages again. lmdb does not tell how many those are, so the pages in use are added up.
 * O(tables).
 *
 * @param tables  every table of one environment, at least one
 */
export function usedBytesOf(tables: readonly StatsSource[]): number {
  let pages = META_PAGES;
  let pageBytes = 0;
  for (const table of tables) {
    const stats = table.getStats() as Stats;
    // The environment's own tables come with each; they count once.
    if (pageBytes === 0) pages += pagesOf(stats.root) + pagesOf(stats.free);
    pages += pagesOf(stats);
    pageBytes = stats.pageSize;
  }
  return pages * pageBytes;
}

function pagesOf(stats: Stats | undefined): number {
  if (stats === undefined) return 0;
  return stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages;
}

/** Answers whether the store is over its bound; looks at most once a second. */
export class SpaceWatch {
  /** Bytes that the store may have in use. */
  readonly bytesMax: number;
  readonly #look: () => number;
  #usedBytes = 0;
  #lookedMs = Number.NEGATIVE_INFINITY;
  /** Written since the latest look. */
  #addedBytes = 0;

  /**
   * @param look  tells the bytes in use
   */
  constructor(bytesMax: number, look: () => number) {
    this.bytesMax = bytesMax;
    this.#look = look;
  }

  /** Bytes in use at the latest look. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** So many bytes were written: where that is much, the next look is at once. */
  add(bytes: number): void {
    this.#addedBytes += bytes;
  }

  /**
   * @param nowMs  of any clock that never goes back
   */
  isOver(nowMs: number): boolean {
    const isMuch = this.#addedBytes * LOOK_SHARE_MIN > this.bytesMax;
    if (isMuch || nowMs - this.#lookedMs >= LOOK_MILLISECONDS_MIN) {
      this.#lookedMs = nowMs;
      this.#addedBytes = 0;
      this.#usedBytes = this.#look();
    }
    return this.#usedBytes > this.bytesMax;
  }
}
