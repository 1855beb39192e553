/** `compact`: the same rows in smaller files; never beside a broker. */
import {
  chmodSync,
  chownSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { StartError } from "../../src/base/errors.ts";
import { checkStore } from "../../src/store/check.ts";
import { compactStore } from "../../src/store/compact.ts";
import { currentBoot, lockDirectory } from "../../src/store/lock.ts";
import { segmentsOf } from "../support/store-frames.ts";
import { createStore, fillStore, key, type WritableStore } from "./check-store.ts";

const silent = (): void => undefined;
let store: WritableStore;

beforeEach(() => {
  store = createStore();
});

afterEach(() => {
  rmSync(store.directory, { recursive: true });
});

function segments(): Buffer[] {
  const path = join(store.directory, "journal");
  return segmentsOf(path).map((name) => readFileSync(join(path, name)));
}

async function countsOf(directory: string) {
  const faults: string[] = [];
  const { counts } = await checkStore(directory, (fault) => faults.push(fault), silent);
  expect(faults).toEqual([]);
  return Object.fromEntries(counts);
}

test("free space goes, every row stays", async () => {
  await fillStore(store, false);
  for (let number = 0; number < 1_000; number++) {
    void store.table("wipes").put(key(100 + number), Buffer.alloc(8_000));
  }
  await store.flush();
  for (let number = 0; number < 1_000; number++) {
    void store.table("wipes").remove(key(100 + number));
  }
  await store.flush();
  await store.close();
  const before = await countsOf(store.directory);
  writeFileSync(join(store.directory, "index.mdb.compact"), "of a run that was cut off");

  const journal = segments();
  const [index] = await compactStore(store.directory, silent);
  expect(index?.name).toBe("index.mdb");
  expect(segments()).toEqual(journal);
  expect(index?.bytesBefore).toBeGreaterThan(8_000_000);
  expect(index?.bytesAfter).toBeLessThan(200_000);
  expect(index?.bytesAfter).toBe(statSync(join(store.directory, "index.mdb")).size);
  expect(await countsOf(store.directory)).toEqual(before);
  const names = readdirSync(store.directory).filter((name) => !name.endsWith("-lock"));
  expect(names.toSorted()).toEqual(["holdfast.json", "index.mdb", "journal"]);
});

test("whose the index is, and who may read it, stays as it was", async () => {
  await fillStore(store, false);
  await store.close();
  const index = join(store.directory, "index.mdb");
  rmSync(`${index}-lock`);
  chmodSync(index, 0o640);
  // Only root can give it away: whoever runs the tests as another sees its mode.
  if (process.getuid?.() === 0) chownSync(index, 65_534, 65_534);
  const before = statSync(index);
  await compactStore(store.directory, silent);
  for (const path of [index, `${index}-lock`]) {
    const { uid, gid, mode } = statSync(path);
    expect([path, uid, gid, mode]).toEqual([path, before.uid, before.gid, before.mode]);
  }
  expect(statSync(index).ino).not.toBe(before.ino);
});

test("a directory in use is refused, and left as it is", async () => {
  await fillStore(store);
  await store.close();
  const lock = await lockDirectory(store.directory, "fsync");
  const names = readdirSync(store.directory);
  const refused = compactStore(store.directory, silent);
  await expect(refused).rejects.toThrow(StartError);
  await expect(refused).rejects.toThrow(`${store.directory} is in use by process ${process.pid}`);
  expect(readdirSync(store.directory)).toEqual(names);
  lock.release();
});

test("a directory without a store is refused, and nothing is created in it", async () => {
  await store.close();
  const empty = join(store.directory, "empty");
  await expect(compactStore(empty, silent)).rejects.toThrow("there is no store in it");
  expect(readdirSync(store.directory)).not.toContain("empty");
});

test("what a broker with durability process left before a boot is refused", async () => {
  await fillStore(store);
  await store.close();
  const lock = join(store.directory, "holdfast.lock");
  writeFileSync(lock, "4194303 1 another-boot process\n");
  await expect(compactStore(store.directory, silent)).rejects.toThrow(/its journal may be torn/);
  expect(readFileSync(lock, "utf8")).toMatch("another-boot process");
  writeFileSync(lock, `4194303 1 ${currentBoot()} process\n`);
  expect((await compactStore(store.directory, silent)).length).toBe(1);
});
