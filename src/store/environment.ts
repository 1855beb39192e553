/**
 * The index's LMDB environment, as the store uses it: tables that are read synchronously, and
 * transactions that are written outside the event loop, one after the other.
 *
 * All that is lmdb's own way stands here:
 * - A transaction is one `batch`; `eventTurnBatching` would make promises that nobody can catch.
 * - Without `overlappingSync` the promise of a batch waits for fdatasync, and fails with it.
 * - Values are not copied: they must not change until the transaction is done. Keys are.
 * - A file that is no environment ends the process, so it is looked at before it is opened.
 */
import assert from "node:assert";
import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Database, open, type RootDatabase } from "lmdb";
import { StartError } from "../base/errors.ts";
import { formatBytes } from "../base/quantity.ts";
import { faultOfFile } from "./check-file.ts";
import { CLOSE_MILLISECONDS_MAX, INDEX_FREE_BYTES_MIN } from "./limits.ts";
import { REMEDY } from "./marker.ts";
import { freeBytesOf } from "./space.ts";
import { KEY_BYTES_MAX } from "./tables.ts";

export type Table = Database<Buffer, Buffer>;

/** One row to put, or, with null, to remove. The value is borrowed until it is written. */
export interface Change {
  readonly table: Table;
  readonly key: Buffer;
  readonly value: Buffer | null;
}

/** The disk did not take a transaction; nothing of it is there. The message is for the log. */
export class WriteError extends Error {
  override readonly name = "WriteError";
}

const BINARY = { encoding: "binary", keyEncoding: "binary" } as const;

/** More than there are tables. */
const TABLES_MAX = 16;

/** What the system's numbers mean that lmdb tells; others are told as they are. */
const REASONS: ReadonlyMap<unknown, string> = new Map([
  [5, "the disk is full or fails (EIO)"],
  [28, "the disk is full (ENOSPC)"],
  [30, "the file system is read-only (EROFS)"],
  [122, "the disk quota is used up (EDQUOT)"],
]);

export class Environment {
  readonly path: string;
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #tables = new Map<string, Table>();

  /**
   * Opens an environment, or creates it.
   *
   * @throws StartError
   */
  constructor(
    directory: string,
    file: string,
    tables: readonly string[],
    options: { readonly mayCreate: boolean },
  ) {
    this.path = join(directory, file);
    if (!options.mayCreate) demandSound(this.path);
    try {
      this.#root = open<Buffer, Buffer>({
        ...BINARY,
        path: this.path,
        noSubdir: true,
        maxDbs: TABLES_MAX,
        eventTurnBatching: false,
        overlappingSync: false,
        separateFlushed: true,
      });
      for (const name of tables) {
        this.#tables.set(name, this.#root.openDB<Buffer, Buffer>(name, BINARY));
      }
    } catch (error) {
      throw new StartError(`${this.path} cannot be opened: ${textOf(error)}; ${REMEDY}`);
    }
  }

  /** @param name  of those given when it was opened */
  table(name: string): Table {
    const table = this.#tables.get(name);
    assert(table !== undefined, `there is no table ${name}`);
    return table;
  }

  get tables(): readonly Table[] {
    return [...this.#tables.values()];
  }

  /**
   * Writes changes, in their order, as one transaction.
   *
   * @throws WriteError
   */
  async write(changes: readonly Change[]): Promise<void> {
    if (changes.length === 0) return;
    for (const { key } of changes) assert(key.length > 0 && key.length <= KEY_BYTES_MAX);
    this.#demandSpace();
    const written = this.#root.batch(() => {
      for (const { table, key, value } of changes) {
        if (value === null) table.remove(key);
        else table.put(key, value);
      }
    });
    try {
      await written;
      await (written as Promise<boolean> & { readonly flushed?: Promise<boolean> }).flushed;
    } catch (error) {
      throw new WriteError(`${this.path} cannot be written: ${await reasonOf(error)}`);
    }
  }

  /**
   * A write that fails inside LMDB 3.5.6 may damage the heap of the process: a disk that is nearly
   * full is not written to.
   */
  #demandSpace(): void {
    if (!this.isThere()) throw new WriteError(`${this.path} is gone: it cannot be written`);
    const free = freeBytesOf(dirname(this.path));
    if (free >= INDEX_FREE_BYTES_MIN) return;
    throw new WriteError(
      `${this.path} cannot be written: the disk has less than ` +
        `${formatBytes(INDEX_FREE_BYTES_MIN)} left`,
    );
  }

  /** Whether the file is where it was opened: one that was removed is written to all the same. */
  isThere(): boolean {
    return existsSync(this.path);
  }

  /** Nothing may be under way but what was awaited for too long. */
  async close(): Promise<void> {
    const closed = this.#root.close();
    closed.catch(() => undefined); // The files stay as the last commit left them.
    await settledWithin(closed, CLOSE_MILLISECONDS_MAX);
  }
}

/** Waits for a promise, but not for ever. @returns whether it settled in time */
export async function settledWithin(
  promise: Promise<unknown>,
  milliseconds: number,
): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), milliseconds);
  });
  const settled = promise.then(
    () => true,
    () => true,
  );
  const isSettled = await Promise.race([settled, late]);
  clearTimeout(timer);
  return isSettled;
}

function demandSound(path: string): void {
  let fault: string | null;
  try {
    fault = statSync(path).size === 0 ? "is empty" : faultOfFile(path);
  } catch (error) {
    throw new StartError(`${path} cannot be read: ${textOf(error)}`);
  }
  if (fault !== null) throw new StartError(`${path} ${fault}; ${REMEDY}`);
}

/** What lmdb knows of a failed commit comes as a promise of its own, which may never settle. */
async function reasonOf(error: unknown): Promise<string> {
  if (!(error instanceof Error) || !("commitError" in error)) return textOf(error);
  const { commitError } = error;
  if (!(commitError instanceof Promise)) return textOf(commitError);
  let cause: unknown = error;
  const told = commitError.catch((reason: unknown) => {
    cause = reason;
  });
  await Promise.race([told, new Promise((resolve) => setImmediate(resolve))]);
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  return REASONS.get(code) ?? textOf(cause);
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
