/**
 * `holdfast compact`: the index of a data directory written anew, without its free pages. The
 * journal has none: its files are used again.
 *
 * A copy has the same rows as its original, so it does not matter which of the two a power cut
 * leaves in place.
 */
import { existsSync, renameSync, rmSync, statSync } from "node:fs";
import { open as openFile } from "node:fs/promises";
import { join } from "node:path";
import { StartError } from "../base/errors.ts";
import { formatBytes } from "../base/quantity.ts";
import { demandStore, openEnvironment } from "./check-open.ts";
import { lockDirectory } from "./lock.ts";
import { INDEX_FILE, JOURNAL_DIRECTORY } from "./marker.ts";
import { Segments } from "./segments.ts";
import { takeAfter } from "./take-after.ts";

export interface CompactedFile {
  readonly name: string;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/** What the copy is called until it replaces its original. */
const COPY_ENDING = ".compact";

const WATCH_MILLISECONDS = 200;

/**
 * Writes the index anew.
 *
 * @param progress  gets, often, what has been done so far
 * @throws StartError if there is no data directory, a broker runs on it, or there is no space
 */
export async function compactStore(
  directory: string,
  progress: (done: string) => void,
): Promise<readonly CompactedFile[]> {
  demandStore(directory);
  const lock = await lockDirectory(directory, "fsync");
  try {
    // The lock that says so goes with this one.
    if (lock.previous?.durability === "process") {
      await new Segments(join(directory, JOURNAL_DIRECTORY), true).sync();
    }
    return [await compactFile(directory, INDEX_FILE, progress)];
  } finally {
    lock.release();
  }
}

async function compactFile(
  directory: string,
  name: string,
  progress: (done: string) => void,
): Promise<CompactedFile> {
  const path = join(directory, name);
  const copy = `${path}${COPY_ENDING}`;
  rmSync(copy, { force: true }); // Of a run that was cut off.
  const environment = openEnvironment(directory, name);
  const bytesBefore = statSync(path).size;
  const watch = setInterval(() => {
    const bytes = existsSync(copy) ? statSync(copy).size : 0;
    progress(`${formatBytes(bytes)} of ${name}`);
  }, WATCH_MILLISECONDS);
  try {
    await environment.backup(copy, true);
    takeAfter(path, copy);
    await syncFile(copy);
  } catch (error) {
    rmSync(copy, { force: true });
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartError(`${path} cannot be written anew, and stays as it is: ${reason}`);
  } finally {
    clearInterval(watch);
    await environment.close();
  }
  renameSync(copy, path);
  await syncFile(directory);
  return { name, bytesBefore, bytesAfter: statSync(path).size };
}

/** Makes a file, or the names in a directory, safe from a power cut. */
export async function syncFile(path: string): Promise<void> {
  const file = await openFile(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
