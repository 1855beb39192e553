/**
 * A data directory opened for reading only, beside a running broker if there is one.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Database, open, type RootDatabase } from "lmdb";
import { StartError } from "../base/errors.ts";
import { faultOfFile } from "./check-file.ts";
import { type Row, type RowsOf, readMeta } from "./check-index.ts";
import { currentBoot } from "./lock.ts";
import { INDEX_FILE, JOURNAL_FILE, REMEDY, readMarker } from "./marker.ts";
import { INDEX_TABLES, PAGES } from "./tables.ts";

export interface StoreForReading {
  /** Rows of the index, all of the moment of opening. */
  readonly rowsOf: RowsOf;
  /** Rows of the journal, of a moment before that. */
  readonly journalRows: () => Iterable<Row>;
  readonly close: () => Promise<void>;
}

const BINARY = { encoding: "binary", keyEncoding: "binary" } as const;

/** @throws StartError if there is no store in the directory, or one that cannot be used */
export function demandStore(directory: string): void {
  if (readMarker(directory) === null) {
    throw new StartError(`${directory} is no data directory: there is no store in it`);
  }
  if (!mayBeTorn(directory)) return;
  throw new StartError(
    `the machine went down while a broker ran on ${directory} with durability process: its ` +
      "journal may be torn; start the broker once, which sets that aside",
  );
}

/** Of a torn journal LMDB ends the process; the lock that was left tells how it came about. */
function mayBeTorn(directory: string): boolean {
  const path = join(directory, "holdfast.lock");
  const line = existsSync(path) ? readFileSync(path, "utf8") : "";
  const [, , boot = "", durability = ""] = line.trim().split(" ");
  return durability === "process" && boot !== currentBoot();
}

/**
 * Opens both environments as they are now. What a broker writes from now on is not seen; the pages
 * that it frees are kept for this reader until it closes.
 *
 * @throws StartError if it is no data directory, or cannot be read
 */
export function openForReading(directory: string): StoreForReading {
  demandStore(directory);
  const journal = openEnvironment(directory, JOURNAL_FILE);
  const pages = openTable(journal, PAGES);
  pages?.resetReadTxn();
  const journalMoment = pages?.useReadTransaction();
  const index = openEnvironment(directory, INDEX_FILE);
  // A table is to be opened before the moment that it is read in.
  const tables = new Map(INDEX_TABLES.map((name) => [name, openTable(index, name)]));
  index.resetReadTxn();
  const indexMoment = index.useReadTransaction();
  return {
    journalRows: () =>
      journalMoment === undefined ? [] : (pages?.getRange({ transaction: journalMoment }) ?? []),
    rowsOf: (name) => tables.get(name)?.getRange({ transaction: indexMoment }) ?? [],
    close: async () => {
      journalMoment?.done();
      indexMoment.done();
      await index.close();
      await journal.close();
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
 * Opens one environment for reading.
 *
 * @throws StartError
 */
export function openEnvironment(directory: string, name: string): RootDatabase<Buffer, Buffer> {
  const path = join(directory, name);
  const fault = faultOfFile(path);
  if (fault !== null) throw new StartError(`${path} ${fault}; ${REMEDY}`);
  const options = { path, noSubdir: true, readOnly: true, maxDbs: 16, overlappingSync: false };
  return open<Buffer, Buffer>({ ...BINARY, ...options });
}
