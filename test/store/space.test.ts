/** What the store takes, and whether that is too much. */
import { rmSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  defaultStoreBytesMax,
  fileBytesOf,
  freeBytesOf,
  SpaceWatch,
  storeBytesOf,
  usedBytesOf,
} from "../../src/store/space.ts";
import { createStore, key, type WritableStore } from "./check-store.ts";

let store: WritableStore;

beforeEach(() => {
  store = createStore();
});

afterEach(async () => {
  await store.close();
  rmSync(store.directory, { recursive: true });
});

const NAMES = ["meta", "sessions", "subscriptions", "queue", "messages"];
const MORE_NAMES = ["references", "retained", "wills", "wipes"];
const tables = () => [...NAMES, ...MORE_NAMES].map(store.table);

async function fill(rows: number, bytes: number): Promise<void> {
  for (let row = 0; row < rows; row++) void store.table("wipes").put(key(row), Buffer.alloc(bytes));
  await store.flush();
}

async function empty(rows: number): Promise<void> {
  for (let row = 0; row < rows; row++) void store.table("wipes").remove(key(row));
  await store.flush();
}

test("what is used grows with the rows, and shrinks with them, unlike the file", async () => {
  const atFirst = usedBytesOf(tables());
  expect(atFirst).toBeLessThan(100_000);
  await fill(1_000, 10_000);
  const full = usedBytesOf(tables());
  expect(full).toBeGreaterThan(10_000_000);
  expect(full).toBeLessThan(16_000_000);
  const fileBytes = statSync(join(store.directory, "index.mdb")).size;
  expect(full).toBeLessThanOrEqual(fileBytes);
  await empty(1_000);
  expect(usedBytesOf(tables())).toBeLessThan(500_000);
  expect(statSync(join(store.directory, "index.mdb")).size).toBeGreaterThanOrEqual(fileBytes);
});

test("a watch looks at most once a second", async () => {
  const watch = new SpaceWatch(5_000_000, () => usedBytesOf(tables()));
  expect(watch.isOver(1_000)).toBe(false);
  await fill(1_000, 10_000);
  expect(watch.isOver(1_999)).toBe(false);
  expect(watch.isOver(2_000)).toBe(true);
  expect(watch.usedBytes).toBeGreaterThan(10_000_000);
  await empty(1_000);
  expect(watch.isOver(2_500)).toBe(true);
  expect(watch.isOver(3_000)).toBe(false);
});

test("what is free is what the file system says", () => {
  const { bavail, bsize } = statfsSync(store.directory);
  const free = freeBytesOf(store.directory);
  expect(Math.abs(free - bavail * bsize)).toBeLessThan(1024 * 1024 * 1024);
});

test("by default the store may take what it has, and four fifths of what is free", () => {
  expect(fileBytesOf(join(store.directory, "none"))).toBe(0);
  const files = fileBytesOf(store.directory);
  expect(files).toBeGreaterThan(0);
  writeFileSync(join(store.directory, "journal", "spare-1"), Buffer.alloc(100_000));
  expect(storeBytesOf(store.directory)).toBeGreaterThanOrEqual(files + 100_000);
  const max = defaultStoreBytesMax(store.directory);
  const expected = storeBytesOf(store.directory) + 0.8 * freeBytesOf(store.directory);
  expect(Math.abs(max - expected)).toBeLessThan(1024 * 1024 * 1024);
});
