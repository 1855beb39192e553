/**
 * `holdfast.lock`: who has the data directory open. One line: pid, the time its process began, the
 * machine's boot, the durability it runs with, the namespace of its pid, and its socket's name.
 *
 * A pid is used again, a pid with its time of begin is not, within a boot; so what a killed process
 * left is known for stale, and is taken over. In another container a pid means nothing, or is
 * another process: there it is the socket that tells.
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { StartError } from "../base/errors.ts";
import {
  type HolderSocket,
  isAnswering,
  isSocketName,
  openHolderSocket,
  removeStaleSockets,
} from "./lock-socket.ts";

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
  /** The PID namespace that its pid is of; "" where the system has none to tell. */
  readonly namespace: string;
  /** The name of the socket in the directory that it listens on; "": none. */
  readonly socket: string;
}

export interface StoreLock {
  /** Who had the directory open and did not close it; null: nobody. */
  readonly previous: LockOwner | null;
  /** Why another container would not see that the directory is held; null: it does. */
  readonly weakness: string | null;
  release(): void;
}

/**
 * Takes the lock of a directory.
 *
 * @throws StartError if a running process holds it
 */
export async function lockDirectory(directory: string, durability: string): Promise<StoreLock> {
  // It listens before the lock names it: who reads the lock finds it answered.
  const opened = await openHolderSocket(directory);
  const socket = opened instanceof Error ? null : opened;
  try {
    return {
      ...(await take(directory, durability, socket)),
      weakness: opened instanceof Error ? opened.message : null,
    };
  } catch (error) {
    socket?.close();
    throw error;
  }
}

async function take(
  directory: string,
  durability: string,
  socket: HolderSocket | null,
): Promise<Omit<StoreLock, "weakness">> {
  const path = join(directory, LOCK_FILE);
  const own = lineOf({
    pid: process.pid,
    startTime: startTimeOf(process.pid) ?? "0",
    boot: currentBoot(),
    durability,
    namespace: currentNamespace(),
    socket: socket?.name ?? "",
  });
  let previous: LockOwner | null = null;
  while (!createLock(path, own)) {
    const found = readText(path);
    if (found === null) continue; // Released meanwhile.
    const owner = parseOwner(found);
    if (owner !== null && (await isHeldBy(directory, owner))) refuse(directory, owner);
    previous = owner;
    removeStale(path, found);
  }
  const isOurs = (): boolean => readText(path) === own;
  if (!isOurs()) refuse(directory, parseOwner(readText(path) ?? ""));
  await removeStaleSockets(directory, socket?.name ?? "");
  return {
    previous,
    release: () => {
      if (isOurs()) rmSync(path, { force: true });
      socket?.close();
    },
  };
}

/** The running process that has the directory open, or null. */
export async function lockOwnerOf(directory: string): Promise<LockOwner | null> {
  const owner = parseOwner(readText(join(directory, LOCK_FILE)) ?? "");
  return owner !== null && (await isHeldBy(directory, owner)) ? owner : null;
}

/** An identifier of this boot of the machine; "" where the system has none. */
export function currentBoot(): string {
  return readText("/proc/sys/kernel/random/boot_id")?.trim() ?? "";
}

/** The PID namespace of this process; "" where the system has none to tell. */
function currentNamespace(): string {
  try {
    return /[0-9]+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0] ?? "";
  } catch {
    return "";
  }
}

/** Whether two brokers say that they are of different boots, or of different PID namespaces. */
function differ(one: string, other: string): boolean {
  return one !== "" && other !== "" && one !== other;
}

function refuse(directory: string, owner: LockOwner | null): never {
  const isElsewhere = differ(owner?.namespace ?? "", currentNamespace());
  const whose = isElsewhere ? " of another container (PID namespace)" : "";
  throw new StartError(
    `${directory} is in use by process ${owner?.pid ?? 0}${whose}: stop that broker first, ` +
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
  const aside = `${path}.${randomBytes(8).toString("hex")}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return;
    throw error;
  }
  if (readText(aside) === line) rmSync(aside, { force: true });
  else renameSync(aside, path);
}

/** Whether the process that wrote the line still runs, wherever that is. */
async function isHeldBy(directory: string, owner: LockOwner): Promise<boolean> {
  if (owner.socket !== "" && (await isAnswering(directory, owner.socket))) return true;
  // After a boot any process may have that pid, and even have begun at that time.
  if (differ(owner.boot, currentBoot())) return false;
  return !differ(owner.namespace, currentNamespace()) && isRunning(owner);
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

/** What there is none of is written as `-`. */
function lineOf({ pid, startTime, boot, durability, namespace, socket }: LockOwner): string {
  const words = [`${pid}`, startTime, boot, durability, namespace, socket];
  return `${words.map((word) => word || "-").join(" ")}\n`;
}

/** Lines of older versions end behind the durability. */
function parseOwner(line: string): LockOwner | null {
  const [pid = "", ...others] = line.trim().split(" ");
  if (!/^[1-9][0-9]*$/.test(pid)) return null;
  const [startTime = "", boot = "", durability = "", namespace = "", socket = ""] = others.map(
    (word) => (word === "-" ? "" : word),
  );
  return {
    ...{ pid: Number(pid), startTime, boot, durability, namespace },
    socket: isSocketName(socket) ? socket : "",
  };
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
