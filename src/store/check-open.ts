/**
 * A data directory opened for reading only, beside a running broker if there is one.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Database, open, type RootDatabase } from "lmdb";
import { StartError } from "../base/errors.ts";
import { faultOfFile } from "./check-file.ts";
import { type RowsOf, readMeta } from "./check-index.ts";
import { currentBoot } from "./lock.ts";
import { INDEX_FILE, JOURNAL_DIRECTORY, REMEDY, readMarker } from "./marker.ts";
import type { JournalPlace } from "./segment-reader.ts";
import { INDEX_TABLES } from "./tables.ts";
import { takeAfterIfAllowed } from "./take-after.ts";

export interface IndexForReading {
  /** Rows of the index, all of the moment of opening. */
  readonly rowsOf: RowsOf;
  readonly close: () => Promise<void>;
}

const BINARY = { encoding: "binary", keyEncoding: "binary" } as const;

/**
 * @returns the journal of the store
 * @throws StartError if there is no store in the directory, or one that cannot be used
 */
export function demandStore(directory: string): JournalPlace {
  const marker = readMarker(directory);
  if (marker === null) {
    throw new StartError(`${directory} is no data directory: there is no store in it`);
  }
  const place = { path: join(directory, JOURNAL_DIRECTORY), storeId: marker.id };
  if (!mayBeTorn(directory)) return place;
  throw new StartError(
    `the machine went down while a broker ran on ${directory} with durability process: its ` +
      "journal may be torn; start the broker once, which sets that aside",
  );
}

/** The lock that was left tells. */
function mayBeTorn(directory: string): boolean {
  const path = join(directory, "holdfast.lock");
  const line = existsSync(path) ? readFileSync(path, "utf8") : "";
  const [, , boot = "", durability = ""] = line.trim().split(" ");
  return durability === "process" && boot !== currentBoot();
}

/**
 * Opens the index as it is now. What a broker writes from now on is not seen; the pages that it
 * frees are kept for this reader until it closes.
 *
 * @throws StartError if it cannot be read
 */
export function openForReading(directory: string): IndexForReading {
  const index = openEnvironment(directory, INDEX_FILE);
  // A table is to be opened before the moment that it is read in.
  const tables = new Map(INDEX_TABLES.map((name) => [name, openTable(index, name)]));
  index.resetReadTxn();
  const indexMoment = index.useReadTransaction();
  return {
    rowsOf: (name) => tables.get(name)?.getRange({ transaction: indexMoment }) ?? [],
    close: async () => {
      indexMoment.done();
      await index.close();
    },
  };
}

/** Everything up to and including this page of the journal is in the index of `directory`. */
export async function readPosition(directory: string): Promise<number> {
  const index = openEnvironment(directory, INDEX_FILE);
  const meta = openTable(index, "meta");
  const { position } = readMeta(() => meta?.getRange() ?? []);
  await index.close();
  return position;
}

/** @returns null: nothing was ever written to it */
export function openTable(
  environment: RootDatabase<Buffer, Buffer>,
  name: string,
): Database<Buffer, Buffer> | null {
  const table: Database<Buffer, Buffer> | undefined = environment.openDB({ ...BINARY, name });
  return table ?? null;
}

/**
 * Opens an environment for reading.
 *
 * @throws StartError
 */
export function openEnvironment(directory: string, name: string): RootDatabase<Buffer, Buffer> {
  const path = join(directory, name);
  const fault = faultOfFile(path);
  if (fault !== null) throw new StartError(`${path} ${fault}; ${REMEDY}`);
  const options = { path, noSubdir: true, readOnly: true, maxDbs: 16, overlappingSync: false };
  const locks = `${path}-lock`;
  const hasLocks = existsSync(locks);
  const environment = open<Buffer, Buffer>({ ...BINARY, ...options });
  // lmdb makes it also for who only reads; the broker has to write it.
  if (!hasLocks && existsSync(locks)) takeAfterIfAllowed(path, locks);
  return environment;
}
