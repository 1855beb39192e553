import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { lockDirectory, lockOwnerOf } from "../../src/store/lock.ts";
import { temporaryDirectory } from "../support/store-directory.ts";

const LOCK_MODULE = fileURLToPath(new URL("../../src/store/lock.ts", import.meta.url));

test("a directory that another process has open is refused, with its pid", async () => {
  const directory = temporaryDirectory();
  const holder = await startHolder(directory);
  expect(() => lockDirectory(directory, "fsync")).toThrow(
    `${directory} is in use by process ${holder.pid}: stop that broker first`,
  );
  expect(lockOwnerOf(directory)?.pid).toBe(holder.pid);
});

test("what a killed process left is taken over, and says who it was", async () => {
  const directory = temporaryDirectory();
  const holder = await startHolder(directory);
  holder.kill("SIGKILL");
  await once(holder, "exit");
  expect(existsSync(join(directory, "holdfast.lock"))).toBe(true);
  expect(lockOwnerOf(directory)).toBe(null);
  const lock = lockDirectory(directory, "fsync");
  expect(lock.previous).toMatchObject({ pid: holder.pid, durability: "process" });
  expect(lockOwnerOf(directory)?.pid).toBe(process.pid);
  lock.release();
  expect(existsSync(join(directory, "holdfast.lock"))).toBe(false);
});

test("a pid that another process has now is stale", () => {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, "holdfast.lock"), `${process.pid} 1 - fsync\n`);
  const lock = lockDirectory(directory, "fsync");
  expect(lock.previous).toMatchObject({ pid: process.pid, startTime: "1", boot: "" });
  lock.release();
});

test.each(["", "no lock of ours\n"])("a lock that says %j is stale", (text) => {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, "holdfast.lock"), text);
  const lock = lockDirectory(directory, "fsync");
  expect(lock.previous).toBe(null);
  lock.release();
});

test("the same process cannot open a directory twice", () => {
  const directory = temporaryDirectory();
  const lock = lockDirectory(directory, "fsync");
  expect(() => lockDirectory(directory, "fsync")).toThrow(`in use by process ${process.pid}`);
  lock.release();
  lockDirectory(directory, "fsync").release();
});

test("a lock that was taken over is not released by who had it", () => {
  const directory = temporaryDirectory();
  const lock = lockDirectory(directory, "fsync");
  writeFileSync(join(directory, "holdfast.lock"), "1 2 - fsync\n");
  lock.release();
  expect(readFileSync(join(directory, "holdfast.lock"), "utf8")).toBe("1 2 - fsync\n");
});

/** A process that has the directory locked, until it is killed. */
async function startHolder(directory: string): Promise<ChildProcess> {
  const script =
    `import { lockDirectory } from ${JSON.stringify(LOCK_MODULE)};` +
    `lockDirectory(${JSON.stringify(directory)}, "process");` +
    'process.stdout.write("locked"); setInterval(() => undefined, 1_000);';
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout, "data");
  return child;
}
