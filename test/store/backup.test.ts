/** `backup`: a copy is of one moment, whole, and opens; also beside a process that writes. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { open } from "lmdb";
import { afterEach, beforeEach, expect, test } from "vitest";
import { StartError } from "../../src/base/errors.ts";
import { backupStore } from "../../src/store/backup.ts";
import { checkStore } from "../../src/store/check.ts";
import { allFramesOf } from "../support/store-frames.ts";
import { createStore, fillStore, putPage, type WritableStore } from "./check-store.ts";

const WRITER = fileURLToPath(new URL("backup-writer.ts", import.meta.url));
const BINARY = { encoding: "binary", keyEncoding: "binary" } as const;
const ROWS = 16;
const BACKUPS = 6;

const silent = (): void => undefined;
let store: WritableStore;
let destination: string;

beforeEach(() => {
  store = createStore();
  destination = mkdtempSync(join(tmpdir(), "holdfast-backup-"));
});

afterEach(async () => {
  await store.close();
  rmSync(store.directory, { recursive: true });
  rmSync(destination, { recursive: true, force: true });
});

async function countsOf(directory: string) {
  const faults: string[] = [];
  const { counts } = await checkStore(directory, (fault) => faults.push(fault), silent);
  expect(faults).toEqual([]);
  return Object.fromEntries(counts);
}

test("a copy has every row, and only the pages that are behind the index", async () => {
  await fillStore(store, false);
  const { pageCount, bytes } = await backupStore(store.directory, destination, silent);
  expect(pageCount).toBe(2);
  expect(bytes).toBeGreaterThan(150_000);
  expect(readdirSync(destination).toSorted()).toEqual(["holdfast.json", "index.mdb", "journal"]);
  const marker = (directory: string) => readFileSync(join(directory, "holdfast.json"), "utf8");
  expect(marker(destination)).toBe(marker(store.directory));
  const original = await countsOf(store.directory);
  expect(original["journal pages"]).toBe(3);
  expect(await countsOf(destination)).toEqual({ ...original, "journal pages": 2 });
});

test("a copy of a store that was just created is one, too", async () => {
  await store.flush();
  expect((await backupStore(store.directory, destination, silent)).pageCount).toBe(0);
  expect(await countsOf(destination)).toMatchObject({ Sessions: 0 });
});

test("the destination may be absent, and is left alone if there is anything in it", async () => {
  await fillStore(store);
  await backupStore(store.directory, join(destination, "a", "b"), silent);
  expect(await countsOf(join(destination, "a", "b"))).toMatchObject({ Sessions: 2 });
  const other = join(destination, "a");
  writeFileSync(join(other, "notes.txt"), "mine");
  const refused = backupStore(store.directory, other, silent);
  await expect(refused).rejects.toThrow(StartError);
  await expect(refused).rejects.toThrow(`${other} is not empty`);
  expect(readdirSync(other)).toEqual(["b", "notes.txt"]);
});

test("whose the files are, and who may read them, is as with the original", async () => {
  await fillStore(store, false);
  const files = ["holdfast.json", "index.mdb"];
  const all = ["", "journal", ...files];
  const isRoot = process.getuid?.() === 0;
  for (const name of files) chmodSync(join(store.directory, name), 0o640);
  for (const name of ["", "journal"]) chmodSync(join(store.directory, name), 0o750);
  for (const name of isRoot ? all : []) chownSync(join(store.directory, name), 65_534, 65_534);
  const copy = join(destination, "made");
  await backupStore(store.directory, copy, silent);
  const ownersOf = (directory: string) =>
    all.map((name) => {
      const { uid, gid, mode } = statSync(join(directory, name));
      return [name, uid, gid, mode];
    });
  expect(ownersOf(copy)).toEqual(ownersOf(store.directory));
  for (const name of readdirSync(join(copy, "journal"))) {
    const { uid, mode } = statSync(join(copy, "journal", name));
    expect([uid, mode & 0o777]).toEqual([statSync(copy).uid, 0o640]);
  }
});

test("a page missing behind the position is no backup", async () => {
  await fillStore(store, false);
  store.pages.delete(9);
  putPage(store, 10);
  await store.flush();
  const copied = backupStore(store.directory, destination, silent);
  await expect(copied).rejects.toThrow(StartError);
  await expect(copied).rejects.toThrow("journal page 9 is damaged: it is missing");
  expect(readdirSync(destination)).toEqual([]);
});

/** What recovery would make of the rows: those of the index, and the pages behind its position. */
function recover(directory: string): { readonly values: number[]; readonly last: number } {
  const at = (name: string) => ({ ...BINARY, path: join(directory, name), noSubdir: true });
  const index = open<Buffer, Buffer>({ ...at("index.mdb"), maxDbs: 16 });
  const sessions = index.openDB<Buffer, Buffer>("sessions", BINARY);
  const meta = index.openDB<Buffer, Buffer>("meta", BINARY);
  const values = Array.from({ length: ROWS }, (_, row) =>
    Number(sessions.get(Buffer.from([row]))?.readBigUInt64LE() ?? 0n),
  );
  let last = Number(meta.get(Buffer.from("position"))?.readBigUInt64LE() ?? 0n);
  const frames = allFramesOf(join(directory, "journal"));
  expect(frames[0]?.number ?? last + 1).toBeLessThanOrEqual(last + 1);
  for (const { number } of frames.filter((frame) => frame.number > last)) {
    expect(number).toBe(last + 1);
    values[number % ROWS] = number;
    last = number;
  }
  void index.close();
  return { values, last };
}

test("copies made while a process writes are each of one moment", { timeout: 60_000 }, async () => {
  await store.close();
  const writer = spawn(process.execPath, [WRITER, store.directory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(writer, "exit");
  const ended = exited.then(([code, signal]) => {
    throw new Error(`the writer ended: ${code ?? signal}`);
  });
  ended.catch(() => undefined); // It does, in the end.
  try {
    await Promise.race([once(writer.stdout, "data"), ended]);
    let before = 0;
    for (let backup = 0; backup < BACKUPS; backup++) {
      const copy = join(destination, `${backup}`);
      const { pageCount } = await backupStore(store.directory, copy, silent);
      const { values, last } = recover(copy);
      const expected = values.map((_, row) => last - ((last - row) % ROWS));
      expect(values).toEqual(expected);
      expect(pageCount).toBeGreaterThan(0);
      expect(last).toBeGreaterThan(before);
      before = last;
    }
  } finally {
    writer.kill("SIGKILL");
    await exited;
  }
});
