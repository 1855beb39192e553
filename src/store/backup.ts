/**
 * `holdfast backup`: a data directory copied as of one moment, also while a broker writes to it.
 *
 * LMDB copies one environment as of one moment; of two there are two moments. What has to hold
 * between them: let P be the position in the copied index, and Q the newest page of which an effect
 * is in it, P ≤ Q. The copied journal must have all pages from P + 1 to some N ≥ Q, for recovery
 * replays these upon the index, and only at the end of Q does the index say one thing again.
 *
 * - N ≥ Q: a transaction of the index is put only after the page whose effects it has is committed.
 *   So every look at the journal that begins after the moment of the index sees Q.
 * - From P + 1: pages are deleted from the journal once the position that covers them is durable in
 *   the index, and the moment of the index has P, so at that moment nothing past P was deleted. But
 *   it may be soon after. Hence the journal is copied first, is followed until the moment of the
 *   index has come, and is looked at once more after that. What was deleted in between two looks is
 *   either at or below P, or it is missed: that is seen at the end, and all is done again.
 *
 * The marker is written last: without it a copy is refused as unfinished.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Database, open, type RootDatabase } from "lmdb";
import { StartError } from "../base/errors.ts";
import { formatBytes } from "../base/quantity.ts";
import { demandStore, openEnvironment, openTable, readPosition } from "./check-open.ts";
import { syncFile } from "./compact.ts";
import { INDEX_FILE, JOURNAL_FILE, MARKER_FILE } from "./marker.ts";
import { fileBytesOf } from "./space.ts";
import { PAGES } from "./tables.ts";

export interface BackupReport {
  /** Of all files of the copy. */
  readonly bytes: number;
  /** Pages of the journal that the copied index has not. */
  readonly pageCount: number;
}

type Table = Database<Buffer, Buffer>;
type Environment = RootDatabase<Buffer, Buffer>;

/** How often it is done again because pages were missed. */
const ATTEMPTS_MAX = 5;
/** Between two looks at the journal while the index's moment is awaited. */
const FOLLOW_MILLISECONDS = 2;
/** Between two lines of progress while the rest of the index is copied. */
const WATCH_MILLISECONDS = 200;
/** Bytes of journal pages in one transaction. */
const BATCH_BYTES_MAX = 16 * 1024 * 1024;

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
  demandStore(directory);
  demandEmpty(destination);
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const pageCount = await copyBoth(directory, destination, progress);
    if (pageCount !== null) {
      for (const name of [JOURNAL_FILE, INDEX_FILE]) {
        rmSync(join(destination, `${name}-lock`), { force: true });
        await syncFile(join(destination, name));
      }
      copyFileSync(join(directory, MARKER_FILE), join(destination, MARKER_FILE));
      await syncFile(join(destination, MARKER_FILE));
      await syncFile(destination);
      return { bytes: fileBytesOf(destination), pageCount };
    }
    for (const name of readdirSync(destination)) rmSync(join(destination, name));
    progress(`the journal was ahead; attempt ${attempt + 1}`);
  }
  throw new StartError(
    `the broker on ${directory} writes faster than ${destination} can be written; try again later`,
  );
}

function demandEmpty(destination: string): void {
  try {
    mkdirSync(destination, { recursive: true });
    if (readdirSync(destination).length === 0) return;
  } catch (error) {
    throw new StartError(`${destination} cannot be written: ${reasonOf(error)}`);
  }
  throw new StartError(`${destination} is not empty; a backup needs a directory of its own`);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** @returns pages behind the copied position; null: some of them were missed */
async function copyBoth(
  directory: string,
  destination: string,
  progress: (done: string) => void,
): Promise<number | null> {
  const source = openEnvironment(directory, JOURNAL_FILE);
  const target = openTarget(destination);
  const index = openEnvironment(directory, INDEX_FILE);
  const journal = new JournalCopy(openTable(source, PAGES), openTable(target, PAGES));
  try {
    await journal.look();
    await copyIndex(index, join(destination, INDEX_FILE), journal, progress);
    return await journal.cut(await readPosition(destination));
  } catch (error) {
    if (error instanceof StartError) throw error;
    throw new StartError(`${directory} cannot be copied to ${destination}: ${reasonOf(error)}`);
  } finally {
    await Promise.all([source.close(), target.close(), index.close()]);
  }
}

function openTarget(destination: string): Environment {
  return open<Buffer, Buffer>({
    ...{
      encoding: "binary",
      keyEncoding: "binary",
      maxDbs: 16,
      noSubdir: true,
      overlappingSync: false,
    },
    path: join(destination, JOURNAL_FILE),
  });
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
  copied.catch(() => undefined); // Awaited below.
  // LMDB begins to read, and with that fixes the moment, before the first byte is written.
  while (!isDone && bytesOf(path) === 0) {
    await journal.look();
    await sleep(FOLLOW_MILLISECONDS);
  }
  await journal.look();
  while (!isDone) {
    progress(`${formatBytes(bytesOf(path))} of the index`);
    await sleep(WATCH_MILLISECONDS);
  }
  await copied;
}

function bytesOf(path: string): number {
  return existsSync(path) ? statSync(path).size : 0;
}

/** The copy of the journal as it grows. */
class JournalCopy {
  readonly #from: Table | null;
  readonly #to: Table | null;
  #lastKey: Buffer | null = null;

  /** @param from  null: the journal has nothing yet */
  constructor(from: Table | null, to: Table | null) {
    this.#from = from;
    this.#to = to;
  }

  /** Copies what has come since the last look. */
  async look(): Promise<void> {
    if (this.#from === null || this.#to === null) return;
    this.#from.resetReadTxn();
    const range = this.#lastKey === null ? {} : { start: this.#lastKey, exclusiveStart: true };
    const moment = this.#from.useReadTransaction();
    try {
      let batchBytes = 0;
      for (const { key, value } of this.#from.getRange({ ...range, transaction: moment })) {
        this.#lastKey = Buffer.from(key);
        const put = this.#to.put(this.#lastKey, Buffer.from(value));
        batchBytes += value.length;
        if (batchBytes < BATCH_BYTES_MAX) {
          put.catch(() => undefined); // Awaited with the last of its transaction.
          continue;
        }
        await put;
        batchBytes = 0;
      }
      await this.#to.flushed;
    } finally {
      moment.done();
    }
  }

  /**
   * Removes what the index has.
   *
   * @returns the pages that are left; null: one is missing
   */
  async cut(position: number): Promise<number | null> {
    let expected = position + 1;
    let isWhole = true;
    for (const key of this.#to?.getKeys() ?? []) {
      const number = Number(key.readBigUInt64BE(0));
      if (number <= position) {
        this.#to?.remove(Buffer.from(key)).catch(() => undefined); // Awaited with all.
      } else if (key.readUInt16BE(8) === 0) {
        isWhole &&= number === expected;
        expected = number + 1;
      }
    }
    await this.#to?.flushed;
    return isWhole ? expected - position - 1 : null;
  }
}
