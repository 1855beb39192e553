/**
 * `holdfast backup`: a data directory copied as of one moment, also while a broker writes to it.
 *
 * LMDB copies the index as of one moment. What has to hold of the journal beside it: let P be the
 * position in the copied index, and Q the newest page of which an effect is in it, P ≤ Q. The
 * copied journal must have all pages from P + 1 to some N ≥ Q, for recovery replays these upon the
 * index, and only at the end of Q does the index say one thing again.
 *
 * - N ≥ Q: a transaction of the index is put only after the page whose effects it has is committed,
 *   and of a committed page every byte can be read. So every look at the journal that begins after
 *   the moment of the index finds all pages up to Q.
 * - From P + 1: a segment is used again once the position that covers its pages is durable in the
 *   index, and the moment of the index has P, so at that moment nothing past P was gone. But it may
 *   be soon after. Hence the journal is copied first, is followed until the moment of the index has
 *   come, and is looked at once more after that. What went in between two looks is either at or
 *   below P, or it is missed: that is seen at the end, and all is done again.
 * - A page is taken only if its crc is right. It is wrong of a page that is being written, which is
 *   past Q and for the next look, and of one whose file is being used again while it is read, which
 *   then has another name.
 *
 * The pages go into new segments, and begin behind the position from before, which P is not below.
 * The marker is written last: without it a copy is refused as unfinished.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { RootDatabase } from "lmdb";
import { StartError } from "../base/errors.ts";
import { formatBytes } from "../base/quantity.ts";
import { JournalCopy } from "./backup-journal.ts";
import { demandStore, openEnvironment, readPosition } from "./check-open.ts";
import { syncFile } from "./compact.ts";
import { INDEX_FILE, JOURNAL_DIRECTORY, MARKER_FILE } from "./marker.ts";
import type { JournalPlace } from "./segment-reader.ts";
import { storeBytesOf } from "./space.ts";
import { takeAfterIfAllowed } from "./take-after.ts";

export interface BackupReport {
  /** Of all files of the copy. */
  readonly bytes: number;
  /** Pages of the journal that the copied index has not. */
  readonly pageCount: number;
}

type Environment = RootDatabase<Buffer, Buffer>;

/** How often it is done again because pages were missed. */
const ATTEMPTS_MAX = 5;
/** Between two looks at the journal while the index's moment is awaited. */
const FOLLOW_MILLISECONDS = 2;
/** Between two lines of progress while the rest of the index is copied. */
const WATCH_MILLISECONDS = 200;

/**
 * Copies a data directory.
 *
 * @param destination  absent, or empty
 * @param progress  gets, often, what has been done so far
 * @throws StartError if there is no data directory, or the copy cannot be written
 */
export async function backupStore(
  directory: string,
  destination: string,
  progress: (done: string) => void,
): Promise<BackupReport> {
  const place = demandStore(directory);
  const isOurs = demandEmpty(destination);
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const pageCount = await copyBoth(directory, destination, place, progress);
    if (pageCount !== null) {
      rmSync(join(destination, `${INDEX_FILE}-lock`), { force: true });
      await syncFile(join(destination, INDEX_FILE));
      copyFileSync(join(directory, MARKER_FILE), join(destination, MARKER_FILE));
      await syncFile(join(destination, MARKER_FILE));
      takeAllAfter(directory, destination, isOurs);
      await syncFile(destination);
      return { bytes: storeBytesOf(destination), pageCount };
    }
    clear(destination);
    progress(`the journal was ahead; attempt ${attempt + 1}`);
  }
  throw new StartError(
    `the broker on ${directory} writes faster than ${destination} can be written; try again later`,
  );
}

/** @returns whether it was made */
function demandEmpty(destination: string): boolean {
  try {
    const isMade = mkdirSync(destination, { recursive: true }) !== undefined;
    if (readdirSync(destination).length === 0) return isMade;
  } catch (error) {
    throw new StartError(`${destination} cannot be written: ${reasonOf(error)}`);
  }
  throw new StartError(`${destination} is not empty; a backup needs a directory of its own`);
}

/** A broker can be started on the copy as the user that has the original. */
function takeAllAfter(directory: string, destination: string, isOurs: boolean): void {
  const from = join(directory, JOURNAL_DIRECTORY);
  const to = join(destination, JOURNAL_DIRECTORY);
  const index = join(directory, INDEX_FILE);
  for (const name of readdirSync(to)) takeAfterIfAllowed(index, join(to, name));
  takeAfterIfAllowed(from, to);
  for (const name of [INDEX_FILE, MARKER_FILE]) {
    takeAfterIfAllowed(join(directory, name), join(destination, name));
  }
  if (isOurs) takeAfterIfAllowed(directory, destination);
}

function clear(destination: string): void {
  for (const name of readdirSync(destination)) {
    rmSync(join(destination, name), { recursive: true });
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** @returns pages behind the copied position; null: some of them were missed */
async function copyBoth(
  directory: string,
  destination: string,
  place: JournalPlace,
  progress: (done: string) => void,
): Promise<number | null> {
  const begin = (await readPosition(directory)) + 1;
  const to = { ...place, path: join(destination, JOURNAL_DIRECTORY) };
  const index = openEnvironment(directory, INDEX_FILE);
  const journal = new JournalCopy(place, to);
  try {
    journal.begin(begin);
    journal.look();
    await copyIndex(index, join(destination, INDEX_FILE), journal, progress);
    const pageCount = journal.cut(await readPosition(destination));
    await journal.sync();
    return pageCount;
  } catch (error) {
    clear(destination);
    if (error instanceof StartError) throw error;
    throw new StartError(`${directory} cannot be copied to ${destination}: ${reasonOf(error)}`);
  } finally {
    journal.close();
    await index.close();
  }
}

/** Copies the index, and follows the journal until the copy's moment is certain to be past. */
async function copyIndex(
  index: Environment,
  path: string,
  journal: JournalCopy,
  progress: (done: string) => void,
): Promise<void> {
  let isDone = false;
  const copied = index.backup(path, true).finally(() => {
    isDone = true;
  });
  const settled = copied.catch(() => undefined);
  try {
    // LMDB begins to read, and with that fixes the moment, before the first byte is written.
    while (!isDone && bytesOf(path) === 0) {
      journal.look();
      await sleep(FOLLOW_MILLISECONDS);
    }
    journal.look();
    journal.demandEnd();
    while (!isDone) {
      progress(`${formatBytes(bytesOf(path))} of the index`);
      await sleep(WATCH_MILLISECONDS);
    }
  } finally {
    // Also where the journal cannot be copied: a thread of lmdb still reads the environment.
    await settled;
  }
  await copied;
}

function bytesOf(path: string): number {
  return existsSync(path) ? statSync(path).size : 0;
}
