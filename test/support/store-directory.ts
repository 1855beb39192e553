/**
 * Directories with a store in them, for tests that open it, damage it and open it again.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { type Database, open } from "lmdb";
import { onTestFinished } from "vitest";
import * as abi from "#assembly/abi";
import type { Log } from "../../src/base/log.ts";
import type { SealedPage } from "../../src/store/engine-calls.ts";
import { openStore, type Store, type StoreOptions } from "../../src/store/store.ts";

/** An empty directory that is removed when the test ends. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-store-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A log that keeps its lines, each with its type in front. */
export function recordingLog(lines: string[]): Log {
  const write = (type: string) => (text: string) => {
    lines.push(`${type}: ${text}`);
  };
  return {
    error: write("error"),
    warn: write("warning"),
    notice: write("notice"),
    info: write("information"),
    debug: write("debug"),
    subscribe: write("subscribe"),
    unsubscribe: write("unsubscribe"),
    has: () => true,
    close: async () => undefined,
  };
}

/** Opens a store; it is closed when the test ends, if it is not by then. */
export async function openTestStore(
  directory: string,
  options: Partial<StoreOptions> = {},
): Promise<Store> {
  const store = await openStore({
    directory,
    durability: "fsync",
    storeBytesMax: null,
    log: recordingLog([]),
    onWork: () => undefined,
    takeWills: () => [],
    ...options,
  });
  onTestFinished(() => store.close());
  return store;
}

/** The text of what a promise is rejected with. */
export async function rejectionOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
  throw new Error("it was not rejected");
}

/** A page as an engine seals it: no crc yet. */
export function pageOf(
  number: number,
  recordBytes: number,
  apartBytes: readonly number[] = [],
): SealedPage {
  const page = Buffer.alloc(abi.JOURNAL_HEADER_BYTES + recordBytes, number);
  page.writeUInt32LE(abi.JOURNAL_FORMAT, 0);
  page.writeUInt32LE(number % 2 ** 32, 4);
  page.writeBigUInt64LE(BigInt(1_700_000_000_000 + number), abi.JOURNAL_TIME_AT);
  page.writeUInt32LE(page.length, abi.JOURNAL_BYTES_AT);
  page.writeUInt32LE(0, abi.JOURNAL_CRC_AT);
  return [page, ...apartBytes.map((bytes, index) => Buffer.alloc(bytes, number + index))];
}

/** The crc as the format's drawing says it: over everything, with its own field 0. */
export function crcOfPage([page, ...apart]: SealedPage): number {
  const copy = Buffer.from(page);
  copy.writeUInt32LE(0, abi.JOURNAL_CRC_AT);
  return crc32(Buffer.concat([copy, ...apart]));
}

/** Opens a table of an index that is closed, lets `change` have it, and closes it again. */
export async function editTable(
  directory: string,
  name: string,
  change: (table: Database<Buffer, Buffer>) => Promise<unknown> | undefined,
): Promise<void> {
  const binary = { encoding: "binary", keyEncoding: "binary" } as const;
  const root = open<Buffer, Buffer>({
    ...binary,
    path: join(directory, "index.mdb"),
    noSubdir: true,
    maxDbs: 16,
    overlappingSync: false,
  });
  await change(root.openDB<Buffer, Buffer>(name, binary));
  await root.close();
}

/**
 * A copy of a store that is open, as kill -9 would leave it. The event loop stands still meanwhile,
 * but a thread may let go of a segment that the index has: it is in the copy, or it is not.
 */
export function copyOf(directory: string): string {
  const copy = temporaryDirectory();
  mkdirSync(join(copy, "journal"));
  const segments = readdirSync(join(directory, "journal")).map((name) => join("journal", name));
  for (const name of ["holdfast.json", ...segments, "index.mdb"]) {
    try {
      copyFileSync(join(directory, name), join(copy, name));
    } catch (error) {
      const isGone = error instanceof Error && "code" in error && error.code === "ENOENT";
      if (!isGone || !segments.includes(name)) throw error;
    }
  }
  return copy;
}
