/** What a process has used, as Linux tells it under /proc: CPU of all its threads, and RSS. */
import { readdirSync, readFileSync } from "node:fs";

/** Linux counts CPU time for user space in ticks of 10 ms on every machine. */
const TICK_MICROS = 10_000;

// Fields of /proc/PID/stat, counted from the one behind the command's closing bracket.
const PARENT_FIELD = 1;
const USER_TICKS_FIELD = 11;
const SYSTEM_TICKS_FIELD = 12;

function statFields(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/**
 * User and system time of the processes, all threads included, exited ones too.
 *
 * @returns undefined if one of them does not exist
 */
export function cpuMicros(pids: readonly number[]): number | undefined {
  let ticks = 0;
  for (const pid of pids) {
    try {
      const fields = statFields(pid);
      ticks += Number(fields[USER_TICKS_FIELD]) + Number(fields[SYSTEM_TICKS_FIELD]);
    } catch {
      return undefined;
    }
  }
  return ticks * TICK_MICROS;
}

/** @returns resident memory of the processes, in bytes; a process that has ended has none */
export function residentBytes(pids: readonly number[]): number {
  let kibibytes = 0;
  for (const pid of pids) {
    try {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      kibibytes += Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0);
    } catch {
      // Ended: the run reports the lost connections.
    }
  }
  return kibibytes * 1024;
}

/** @returns resident memory of the process that no file backs; 0 if it has ended */
export function anonymousBytes(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/**
 * Bytes that the process handed to write(2) and its kin, sockets included: the kernel's own count
 * of what goes to disks takes a whole large folio for each block of it that is written.
 *
 * @returns 0 if it has ended
 */
export function writtenBytes(pid: number): number {
  try {
    const io = readFileSync(`/proc/${pid}/io`, "utf8");
    return Number(/^wchar:\s+(\d+)/m.exec(io)?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/**
 * CPU time of the process's threads, finer than the ticks of cpuMicros(), and without that of
 * threads that have ended.
 */
export function threadMicros(pid: number): number {
  let nanos = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      const text = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8");
      nanos += Number(text.split(" ")[0]);
    } catch {
      // Ended between the listing and the read.
    }
  }
  return nanos / 1000;
}

/** @returns the process and all that descend from it */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    try {
      const parent = Number(statFields(pid)[PARENT_FIELD]);
      children.set(parent, [...(children.get(parent) ?? []), pid]);
    } catch {
      // Ended between the listing and the read.
    }
  }
  const tree = [root];
  for (let index = 0; index < tree.length; index++) {
    tree.push(...(children.get(tree[index] as number) ?? []));
  }
  return tree;
}

/** @returns how many files, sockets among them, this process may hold open */
export function openFilesMax(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  return soft === undefined || soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
}
