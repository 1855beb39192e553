/**
 * `holdfast.lock`: who has the data directory open. One line: pid, the time its process began, the
 * machine's boot, and the durability it runs with.
 *
 * A pid is used again, a pid with its time of begin is not; so what a killed process left is known
 * for stale, and is taken over.
 */
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { StartError } from "../base/errors.ts";

const LOCK_FILE = "holdfast.lock";
const LOCK_MODE = 0o644;

/** Field of /proc/PID/stat, from 1; the second is in brackets and may hold blanks. */
const START_TIME_FIELD = 22;

export interface LockOwner {
  readonly pid: number;
  readonly startTime: string;
  /** The boot of the machine in which it began; "" where the system has none to tell. */
  readonly boot: string;
  readonly durability: string;
}

export interface StoreLock {
  /** Who had the directory open and did not close it; null: nobody. */
  readonly previous: LockOwner | null;
  release(): void;
}

/**
 * Takes the lock of a directory.
 *
 * @throws StartError if a running process holds it
 */
export function lockDirectory(directory: string, durability: string): StoreLock {
  const path = join(directory, LOCK_FILE);
  const own = lineOf({
    pid: process.pid,
    startTime: startTimeOf(process.pid) ?? "0",
    boot: currentBoot(),
    durability,
  });
  let previous: LockOwner | null = null;
  while (!createLock(path, own)) {
    const found = readText(path);
    if (found === null) continue; // Released meanwhile.
    const owner = parseOwner(found);
    if (owner !== null && isRunning(owner)) refuse(directory, owner.pid);
    previous = owner;
    removeStale(path, found);
  }
  const isOurs = (): boolean => readText(path) === own;
  if (!isOurs()) refuse(directory, parseOwner(readText(path) ?? "")?.pid ?? 0);
  return {
    previous,
    release: () => {
      if (isOurs()) rmSync(path, { force: true });
    },
  };
}

/** The running process that has the directory open, or null. */
export function lockOwnerOf(directory: string): LockOwner | null {
  const owner = parseOwner(readText(join(directory, LOCK_FILE)) ?? "");
  return owner !== null && isRunning(owner) ? owner : null;
}

/** An identifier of this boot of the machine; "" where the system has none. */
export function currentBoot(): string {
  return readText("/proc/sys/kernel/random/boot_id")?.trim() ?? "";
}

function refuse(directory: string, pid: number): never {
  throw new StartError(
    `${directory} is in use by process ${pid}: stop that broker first, ` +
      "or give this one another persistence_location",
  );
}

/** @returns false where there is a lock */
function createLock(path: string, line: string): boolean {
  let file: number;
  try {
    file = openSync(path, "wx", LOCK_MODE);
  } catch (error) {
    if (hasCode(error, "EEXIST")) return false;
    throw error;
  }
  writeSync(file, line);
  // It alone says that the journal was not synced: it must not be lost with a power cut.
  fsyncSync(file);
  closeSync(file);
  const directory = openSync(dirname(path), "r");
  fsyncSync(directory);
  closeSync(directory);
  return true;
}

/** Another process may take it over at the same time: what it made of it is not to be removed. */
function removeStale(path: string, line: string): void {
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return;
    throw error;
  }
  if (readText(aside) === line) rmSync(aside, { force: true });
  else renameSync(aside, path);
}

function isRunning(owner: LockOwner): boolean {
  if (startTimeOf(process.pid) !== null) return startTimeOf(owner.pid) === owner.startTime;
  // No /proc here: a pid is all there is.
  try {
    process.kill(owner.pid, 0);
    return owner.pid !== process.pid;
  } catch (error) {
    return hasCode(error, "EPERM");
  }
}

/** @returns null if there is no such process */
function startTimeOf(pid: number): string | null {
  const stat = readText(`/proc/${pid}/stat`);
  if (stat === null) return null;
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // A zombie has ended: it holds nothing any more.
  return fields[0] === "Z" ? null : (fields[START_TIME_FIELD - 3] ?? null);
}

function lineOf(owner: LockOwner): string {
  return `${owner.pid} ${owner.startTime} ${owner.boot || "-"} ${owner.durability}\n`;
}

function parseOwner(line: string): LockOwner | null {
  const [pid = "", startTime = "", boot = "", durability = ""] = line.trim().split(" ");
  if (!/^[1-9][0-9]*$/.test(pid)) return null;
  return { pid: Number(pid), startTime, boot: boot === "-" ? "" : boot, durability };
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT") || hasCode(error, "ESRCH")) return null;
    throw error;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
