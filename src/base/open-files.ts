/** How many files the process may have open: each connection is one. */
import { readFileSync } from "node:fs";

/** For the store, the log, listeners, and sockets that linger or are not let in yet. */
const RESERVED_FILES = 128;

/** @returns what `ulimit -n` says; Infinity where the system does not tell */
export function openFilesMax(): number {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const [, count] = /^Max open files +(\d+)/m.exec(limits) ?? [];
    return count === undefined ? Number.POSITIVE_INFINITY : Number(count);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** How many of them may be connections: at least half. */
export function socketsMaxOf(filesMax: number): number {
  return Math.max(filesMax - RESERVED_FILES, Math.floor(filesMax / 2));
}
