/** `pid_file`: the number of the process, for whoever starts and stops it. */
import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { StartError } from "../base/errors.ts";

/** @throws StartError if the file cannot be written */
export function writePidFile(path: string): void {
  try {
    writeFileSync(path, `${process.pid}\n`, { mode: 0o644 });
  } catch (error) {
    const reason = error instanceof Error ? error.message.split(", ")[0] : String(error);
    throw new StartError(`cannot write pid_file ${path}: ${reason}`);
  }
}

/** Where the broker's user may not remove a file of the directory it is emptied at least. */
export function removePidFile(path: string): void {
  for (const remove of [rmSync, truncateSync]) {
    try {
      remove(path);
      return;
    } catch {
      // The next way, if there is one: a broker that ends has nobody to complain to.
    }
  }
}
