/**
 * `include_dir`: the files of a directory, in mosquitto's order.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { INCLUDED_FILES_MAX } from "./limits.ts";

/** A configuration file, read. */
export interface ConfigurationFile {
  /** Its name as the user wrote it. */
  readonly name: string;
  readonly content: string;
}

/**
 * Every file `*.conf` of a directory, hidden ones included.
 *
 * @returns the files, or why they cannot be read
 */
export function filesIn(directory: string): readonly ConfigurationFile[] | string {
  let current = directory;
  try {
    const names = readdirSync(directory).filter((name) => name.endsWith(".conf"));
    if (names.length > INCLUDED_FILES_MAX) {
      return `there are ${names.length} files in ${directory}, more than ${INCLUDED_FILES_MAX}`;
    }
    return names.sort(inOrder).map((name) => {
      current = join(directory, name);
      return { name: current, content: readFileSync(current, "utf8") };
    });
  } catch (error) {
    return `cannot read ${current}: ${reasonOf(error)}`;
  }
}

/** By letters, and of one letter the capital first: `A.conf`, `a.conf`, `B.conf`. */
function inOrder(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index++) {
    const [a = "", b = ""] = [left[index], right[index]];
    if (a === b) continue;
    const [upperA, upperB] = [a.toUpperCase(), b.toUpperCase()];
    if (upperA !== upperB) return upperA < upperB ? -1 : 1;
    return a < b ? -1 : 1;
  }
  return left.length - right.length;
}

/** `ENOENT: no such file or directory`, without the system call that Node.js appends. */
function reasonOf(error: unknown): string {
  return error instanceof Error ? (error.message.split(", ")[0] ?? "") : String(error);
}
