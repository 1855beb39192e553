import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test, vi } from "vitest";
import { lockDirectory, lockOwnerOf } from "../../src/store/lock.ts";
import { temporaryDirectory } from "../support/store-directory.ts";

/** In front of a program: it runs in PID and network namespaces of its own, as in a container. */
const UNSHARED = [
  "unshare",
  "--user",
  "--map-root-user",
  "--net",
  "--pid",
  "--fork",
  "--kill-child",
];

const LOCK_MODULE = fileURLToPath(new URL("../../src/store/lock.ts", import.meta.url));

test("a directory that another process has open is refused, with its pid", async () => {
  const directory = temporaryDirectory();
  const holder = await startHolder(directory);
  await expect(lockDirectory(directory, "fsync")).rejects.toThrow(
    `${directory} is in use by process ${holder.pid}: stop that broker first`,
  );
  expect((await lockOwnerOf(directory))?.pid).toBe(holder.pid);
});

test("what a killed process left is taken over, and says who it was", async () => {
  const directory = temporaryDirectory();
  const holder = await startHolder(directory);
  holder.kill("SIGKILL");
  await once(holder, "exit");
  expect(existsSync(join(directory, "holdfast.lock"))).toBe(true);
  expect(await lockOwnerOf(directory)).toBe(null);
  const lock = await lockDirectory(directory, "fsync");
  expect(lock.previous).toMatchObject({ pid: holder.pid, durability: "process" });
  expect((await lockOwnerOf(directory))?.pid).toBe(process.pid);
  lock.release();
  expect(existsSync(join(directory, "holdfast.lock"))).toBe(false);
});

test("a pid that another process has now is stale", async () => {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, "holdfast.lock"), `${process.pid} 1 - fsync\n`);
  const lock = await lockDirectory(directory, "fsync");
  expect(lock.previous).toMatchObject({ pid: process.pid, startTime: "1", boot: "" });
  lock.release();
});

test.each(["", "no lock of ours\n"])("a lock that says %j is stale", async (text) => {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, "holdfast.lock"), text);
  const lock = await lockDirectory(directory, "fsync");
  expect(lock.previous).toBe(null);
  lock.release();
});

test("the same process cannot open a directory twice", async () => {
  const directory = temporaryDirectory();
  const lock = await lockDirectory(directory, "fsync");
  await expect(lockDirectory(directory, "fsync")).rejects.toThrow(
    `in use by process ${process.pid}`,
  );
  lock.release();
  (await lockDirectory(directory, "fsync")).release();
});

test("a lock that was taken over is not released by who had it", async () => {
  const directory = temporaryDirectory();
  const lock = await lockDirectory(directory, "fsync");
  writeFileSync(join(directory, "holdfast.lock"), "1 2 - fsync\n");
  lock.release();
  expect(readFileSync(join(directory, "holdfast.lock"), "utf8")).toBe("1 2 - fsync\n");
});

test("a broker of another PID namespace is refused, what it left when killed not", async () => {
  const directory = temporaryDirectory();
  const unshared = mayUnshare() ? UNSHARED : [];
  const holder = await startHolder(directory, unshared);
  if (unshared.length === 0) {
    const path = join(directory, "holdfast.lock");
    const [pid, began, boot, durability, , socket] = wordsOf(path);
    writeFileSync(path, `${pid} ${began} ${boot} ${durability} 1 ${socket}\n`);
  }
  const refused = lockDirectory(directory, "fsync");
  await expect(refused).rejects.toThrow("of another container (PID namespace): stop that broker");
  expect((await lockOwnerOf(directory))?.durability).toBe("process");
  // The other way round it is the same.
  const other = spawn("env", [...unshared, process.execPath, ...holderArguments(directory)], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const said: Buffer[] = [];
  other.stderr.on("data", (chunk: Buffer) => said.push(chunk));
  const [exitCode] = await once(other, "close");
  expect([exitCode, Buffer.concat(said).toString()]).toEqual([
    1,
    expect.stringContaining(`${directory} is in use by process`),
  ]);
  holder.kill("SIGKILL");
  await once(holder, "exit");
  await vi.waitFor(async () => expect(await lockOwnerOf(directory)).toBe(null));
  const lock = await lockDirectory(directory, "fsync");
  expect(lock.previous?.durability).toBe("process");
  lock.release();
  expect(readdirSync(directory)).toEqual([]);
});

test("a pid of another namespace says nothing: if no socket answers it is stale", async () => {
  const directory = temporaryDirectory();
  const path = join(directory, "holdfast.lock");
  const ours = await lockDirectory(directory, "fsync");
  const [pid, began, boot, durability, namespace, socket] = wordsOf(path);
  expect(namespace).toMatch(/^\d+$/);
  ours.release();
  writeFileSync(path, `${pid} ${began} ${boot} ${durability} 1 ${socket}\n`);
  const lock = await lockDirectory(directory, "fsync");
  expect(lock.previous).toMatchObject({ pid: process.pid, namespace: "1", socket });
  lock.release();
});

test("after a boot the same pid that began at the same time is another process", async () => {
  const directory = temporaryDirectory();
  const path = join(directory, "holdfast.lock");
  (await lockDirectory(directory, "fsync")).release();
  const held = await lockDirectory(directory, "fsync");
  const [pid, began, boot = "", durability, namespace] = wordsOf(path);
  held.release();
  writeFileSync(path, `${pid} ${began} another-boot ${durability} ${namespace} -\n`);
  const lock = await lockDirectory(directory, "fsync");
  expect(lock.previous?.boot).toBe("another-boot");
  lock.release();
  // Within one boot it is that process, also where an older version wrote the line.
  writeFileSync(path, `${pid} ${began} ${boot} ${durability}\n`);
  await expect(lockDirectory(directory, "fsync")).rejects.toThrow("is in use by process");
});

test("sockets that killed holders left are removed, those of others are not", async () => {
  const directory = temporaryDirectory();
  const holder = await startHolder(directory);
  const [socket = ""] = readdirSync(directory).filter((name) => name.endsWith(".sock"));
  holder.kill("SIGKILL");
  await once(holder, "exit");
  renameSync(join(directory, socket), join(directory, "holdfast-0123456789abcdef.sock"));
  const lock = await lockDirectory(directory, "fsync");
  const names = readdirSync(directory).toSorted();
  expect(names).toEqual([expect.stringMatching(/^holdfast-.{16}\.sock$/), "holdfast.lock"]);
  expect(names).not.toContain("holdfast-0123456789abcdef.sock");
  lock.release();
  expect(readdirSync(directory)).toEqual([]);
});

test("the path of the directory may be longer than that of a socket", async () => {
  const directory = join(temporaryDirectory(), "d".repeat(200));
  mkdirSync(directory);
  const lock = await lockDirectory(directory, "fsync");
  expect(lock.weakness).toBe(null);
  lock.release();
});

function wordsOf(path: string): readonly string[] {
  return readFileSync(path, "utf8").trim().split(" ");
}

/** Some containers let nobody make others. */
function mayUnshare(): boolean {
  const [program = "", ...others] = UNSHARED;
  return spawnSync(program, [...others, "true"]).status === 0;
}

/** A process that has the directory locked, until it is killed. */
async function startHolder(
  directory: string,
  before: readonly string[] = [],
): Promise<ChildProcess> {
  const [program = process.execPath, ...others] = [...before, process.execPath];
  const child = spawn(program, [...others, ...holderArguments(directory)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout, "data");
  return child;
}

function holderArguments(directory: string): readonly string[] {
  const script =
    `import { lockDirectory } from ${JSON.stringify(LOCK_MODULE)};` +
    `await lockDirectory(${JSON.stringify(directory)}, "process");` +
    'process.stdout.write("locked"); setInterval(() => undefined, 1_000);';
  return ["--input-type=module-typescript", "-e", script];
}
