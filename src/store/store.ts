/**
 * The store: all that outlives the broker, in one directory.
 *
 *    holdfast.json    that this is a store, and its format
 *    holdfast.lock    which process has it open, and holdfast-….sock on which that answers
 *    journal/         a page for each turn of the event loop that changed something durable
 *    index.mdb        what of it still matters after a while, as rows
 *
 * A page that is committed is safe; everything else may be done later, or again.
 */
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { StartError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { formatBytes } from "../base/quantity.ts";
import type { SealedPage, StoreEngine } from "./engine-calls.ts";
import { Environment, settledWithin } from "./environment.ts";
import { Indexer } from "./indexer.ts";
import { Journal } from "./journal.ts";
import type { Latency } from "./latency.ts";
import {
  CLOSE_MILLISECONDS_MAX,
  INDEX_BYTES_MIN,
  JOURNAL_TAIL_BYTES_LOW,
  JOURNAL_TAIL_BYTES_MAX,
} from "./limits.ts";
import { Loader } from "./loader.ts";
import { currentBoot, lockDirectory, type StoreLock } from "./lock.ts";
import {
  beginMarker,
  INDEX_FILE,
  JOURNAL_DIRECTORY,
  publishMarker,
  REMEDY,
  readMarker,
  STORE_FORMAT,
  storesOfMosquitto,
  syncDirectory,
} from "./marker.ts";
import type { IndexTables } from "./operations.ts";
import { type Recovered, recover } from "./recovery.ts";
import { createJournal } from "./segments.ts";
import { defaultStoreBytesMax, SpaceWatch, usedBytesOf } from "./space.ts";
import { INDEX_TABLES, META, u32Row, u64Row } from "./tables.ts";
import type { ChangedWill } from "./will-rows.ts";

export interface StoreOptions {
  /** Is created if it does not exist. */
  readonly directory: string;
  /** What a commit outlives: a power cut, or the process. */
  readonly durability: "fsync" | "process";
  /** Bytes of everything kept on disk; null: by the space that is free. */
  readonly storeBytesMax: number | null;
  readonly log: Log;
  /** Something was given to the engine outside a turn: one is to come. */
  readonly onWork: () => void;
  /** The wills that changed since it was last called; not before recover() has settled. */
  readonly takeWills: () => readonly ChangedWill[];
}

/** What the engine is told with setRefusing(). */
const TAKES_ALL = 0;
const REFUSES_DURABLE = 1;
const LETS_PUBLISHERS_WAIT = 2;

export interface StoreState {
  /** The newest page that is safe, and the newest that is in the index. */
  readonly committedPage: number;
  readonly indexedPage: number;
  /** Pages that are not in the index, and how old the oldest is. */
  readonly tailCount: number;
  readonly tailBytes: number;
  readonly tailMilliseconds: number;
  /** Of journal commits, and of index transactions. */
  readonly commitLatency: Latency;
  readonly indexLatency: Latency;
  readonly usedBytes: number;
  readonly bytesMax: number;
  /** Why durable messages are refused, in words; null: they are not. */
  readonly trouble: string | null;
  /** Publishers wait for the index. */
  readonly isBehind: boolean;
  readonly segmentsLoaded: number;
  /** Ended Sessions whose queues are still being removed. */
  readonly wipeCount: number;
}

/** What there is once recover() has settled. */
interface Running {
  readonly engine: StoreEngine;
  readonly indexer: Indexer;
  readonly loader: Loader;
}

export class Store {
  readonly #options: StoreOptions;
  readonly #lock: StoreLock;
  readonly #index: Environment;
  readonly #tables: IndexTables;
  readonly #journal: Journal;
  readonly #space: SpaceWatch;
  readonly #closing = new AbortController();
  #running: Running | null = null;
  #refusing = TAKES_ALL;
  #isOver = false;
  /** The files were removed or moved: what is written to them nobody will find. */
  #isGone = false;
  #closed: Promise<void> | null = null;

  /** See openStore(). */
  constructor(options: StoreOptions, lock: StoreLock, storeId: string, index: Environment) {
    this.#options = options;
    this.#lock = lock;
    this.#index = index;
    const tables = INDEX_TABLES.map((name) => [name, index.table(name)]);
    this.#tables = Object.fromEntries(tables) as IndexTables;
    const { log } = options;
    const path = join(options.directory, JOURNAL_DIRECTORY);
    this.#journal = new Journal({
      ...{ path, storeId, closing: this.#closing.signal },
      isSynced: options.durability === "fsync",
      watch: {
        onFailing: (reason) => {
          log.error(`${reason}; durable messages are refused until it can be`);
          this.#refuse();
        },
        onRecovered: () => {
          log.notice(`${path} can be written again`);
          this.#refuse();
        },
      },
      onTorn: (text) => log.notice(text),
    });
    const bytesMax = options.storeBytesMax ?? defaultStoreBytesMax(options.directory);
    // Of the journal what is not in the index: its files are there before anything is in them.
    const usedBytes = () => (this.#running?.indexer.tail.bytes ?? 0) + usedBytesOf(index.tables);
    this.#space = new SpaceWatch(bytesMax, usedBytes);
  }

  /**
   * Brings all State into the engine, which must be empty; before any listener opens.
   *
   * @throws StartError if something is damaged
   */
  async recover(engine: StoreEngine): Promise<Recovered> {
    const { log, takeWills, onWork } = this.#options;
    const recovered = await recover(engine, this.#tables, this.#journal, (done) =>
      log.info(`recovery: ${done}`),
    );
    await this.#journal.startAt(recovered.lastNumber);
    const index = this.#index;
    const parts = {
      ...{ engine, takeWills, journal: this.#journal, environment: index, tables: this.#tables },
      closing: this.#closing.signal,
      watch: {
        onFailing: (reason: string) => log.error(`${reason}; it is tried again`),
        onRecovered: () => log.notice(`${index.path} can be written again`),
      },
    };
    const indexer = new Indexer(parts, recovered.position, recovered.wipes);
    for (const { number, bytes, timeMs } of recovered.tail) indexer.tail.add(number, bytes, timeMs);
    const loader = new Loader(engine, this.#tables, {
      onLoaded: onWork,
      onDamage: (fault) => log.error(fault),
    });
    this.#running = { engine, indexer, loader };
    return recovered;
  }

  /**
   * Makes the sealed page safe; only one at a time. While the disk does not take it, it is tried
   * again, and the engine refuses durable messages.
   *
   * @param sealed  as sealedPage() has it; borrowed until the promise settles
   * @throws WriteError if the store closes before the disk took it
   */
  async commit(sealed: SealedPage): Promise<void> {
    await this.#journal.commit(sealed);
    if (this.#running === null) return;
    const { tail } = this.#running.indexer;
    const bytes = sealed.reduce((sum, part) => sum + part.length, 0);
    tail.add(this.#journal.committedNumber, bytes, Date.now());
    this.#space.add(bytes);
    this.#watchSpace();
    this.#refuse();
    if (tail.bytes >= INDEX_BYTES_MIN) this.#running.indexer.tick(Date.now());
  }

  /** The Session wants what the index has of its queue: what E_LOAD says. */
  load(number: number, session: number): void {
    this.#running?.loader.want(number, session);
  }

  /** Several times a second. */
  tick(nowMs: number): void {
    if (this.#running === null || this.#closed !== null) return;
    this.#running.indexer.tick(nowMs);
    this.#running.loader.tick();
    this.#watchFiles();
    this.#watchSpace();
    this.#refuse();
  }

  /** Puts everything that is committed into the index; settles when it is there. */
  async sync(): Promise<void> {
    await this.#running?.indexer.complete();
  }

  /** Settles when no file of the journal is being written or made. */
  async idle(): Promise<void> {
    await this.#journal.idle();
    await this.#journal.prepared();
  }

  state(nowMs: number): StoreState {
    const { indexer, loader } = this.#run();
    return {
      committedPage: this.#journal.committedNumber,
      indexedPage: indexer.position,
      tailCount: indexer.tail.count,
      tailBytes: indexer.tail.bytes,
      tailMilliseconds: nowMs - indexer.tail.oldestMs(nowMs),
      commitLatency: this.#journal.latency,
      indexLatency: indexer.latency,
      usedBytes: this.#space.usedBytes,
      bytesMax: this.#space.bytesMax,
      trouble: this.#trouble(),
      isBehind: this.#refusing === LETS_PUBLISHERS_WAIT,
      segmentsLoaded: loader.segmentCount,
      wipeCount: indexer.wipeCount,
    };
  }

  /**
   * Ends the commit under way, puts all pages into the index, and closes; each is given
   * CLOSE_MILLISECONDS_MAX, and what was not done by then is done at the next start.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#running?.loader.close();
    const isCommitted = await settledWithin(this.#journal.idle(), CLOSE_MILLISECONDS_MAX);
    const indexer = this.#running?.indexer;
    if (isCommitted && indexer !== undefined) {
      await settledWithin(indexer.complete(), CLOSE_MILLISECONDS_MAX);
    }
    this.#closing.abort();
    this.#journal.wake();
    const ends = Promise.all([this.#journal.idle(), indexer?.idle()]);
    await settledWithin(ends, CLOSE_MILLISECONDS_MAX);
    await Promise.all([
      settledWithin(this.#journal.close(), CLOSE_MILLISECONDS_MAX),
      this.#index.close(),
    ]);
    this.#lock.release();
  }

  #run(): Running {
    if (this.#running === null) throw new Error("the store is not recovered");
    return this.#running;
  }

  #trouble(): string | null {
    if (this.#journal.trouble !== null) return this.#journal.trouble;
    if (this.#isGone) return `${this.#index.path} is gone: stop the broker, and put it back`;
    const bytesMax = formatBytes(this.#space.bytesMax);
    return this.#isOver ? `the store has reached max_store_bytes (${bytesMax})` : null;
  }

  #watchFiles(): void {
    const isGone = !this.#index.isThere();
    if (isGone === this.#isGone) return;
    this.#isGone = isGone;
    const { log } = this.#options;
    if (isGone) log.error(`${this.#trouble()}; durable messages are refused`);
    else log.notice(`${this.#index.path} is there again: durable messages are taken`);
  }

  #watchSpace(): void {
    const isOver = this.#space.isOver(performance.now());
    if (isOver === this.#isOver) return;
    this.#isOver = isOver;
    const { log } = this.#options;
    if (isOver) log.error(`${this.#trouble()}: durable messages are refused`);
    else log.notice("the store is below max_store_bytes again: durable messages are taken");
  }

  /** Tells the engine what it may take. */
  #refuse(): void {
    if (this.#running === null) return;
    const { engine, indexer } = this.#running;
    const isWaiting = this.#refusing === LETS_PUBLISHERS_WAIT;
    const tailBytesMax = isWaiting ? JOURNAL_TAIL_BYTES_LOW : JOURNAL_TAIL_BYTES_MAX;
    let level = TAKES_ALL;
    if (this.#trouble() !== null) level = REFUSES_DURABLE;
    else if (indexer.tail.bytes >= tailBytesMax) level = LETS_PUBLISHERS_WAIT;
    if (level === this.#refusing) return;
    this.#refusing = level;
    engine.calls.setRefusing(level);
    this.#options.onWork();
  }
}

/**
 * Opens the store of a directory, or creates it; nothing is read yet.
 *
 * @throws StartError if it is in use, damaged, foreign or newer, or cannot be read and written
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { directory, durability, log } = options;
  const lock = await prepare(directory, durability);
  try {
    if (lock.weakness !== null) {
      log.warn(
        `${directory} takes no Unix socket (${lock.weakness}): a broker of another container ` +
          "would not notice that it is in use",
      );
    }
    const found = readMarker(directory);
    const marker = found ?? beginMarker(directory);
    const index = await openIndex(directory, found === null);
    try {
      if (found === null) {
        createJournal(join(directory, JOURNAL_DIRECTORY), 1);
        publishMarker(directory);
        for (const name of storesOfMosquitto(directory)) {
          log.warn(
            `${join(directory, name)} is not read: a store of holdfast's own begins beside it, ` +
              "without the Sessions, retained messages and queues in there",
          );
        }
      } else if (isUnsynced(lock)) {
        setAsideUnsynced(directory, index, log);
      }
      return new Store(options, lock, marker.id, index);
    } catch (error) {
      await index.close();
      throw error;
    }
  } catch (error) {
    lock.release();
    throw startError(directory, error);
  }
}

async function prepare(directory: string, durability: string): Promise<StoreLock> {
  try {
    mkdirSync(directory, { recursive: true });
    return await lockDirectory(directory, durability);
  } catch (error) {
    throw startError(directory, error);
  }
}

/** What the system has against a directory is the world's fault; everything else stays as it is. */
function startError(directory: string, error: unknown): unknown {
  if (!(error instanceof Error && "syscall" in error)) return error;
  return new StartError(
    `${directory} cannot be used as persistence_location: ${error.message}; ` +
      "it must be a directory that this user may write to",
  );
}

/** Whether the machine went down while a broker ran that left its journal to the kernel. */
function isUnsynced({ previous }: StoreLock): boolean {
  return previous?.durability === "process" && previous.boot !== currentBoot();
}

/**
 * In `process` mode the journal is not synced: after a failure of the machine any block of it may
 * be missing. The index is synced, and whole: it lacks the last seconds.
 */
function setAsideUnsynced(directory: string, index: Environment, log: Log): void {
  const path = join(directory, JOURNAL_DIRECTORY);
  const aside = `${path}.unsynced`;
  const position = index.table("meta").get(META.position)?.readBigUInt64LE() ?? 0n;
  createJournal(`${path}.new`, Number(position) + 1);
  rmSync(aside, { force: true, recursive: true });
  renameSync(path, aside);
  renameSync(`${path}.new`, path);
  syncDirectory(directory);
  log.warn(
    `the machine went down while the broker ran with durability process: ${aside} has what came ` +
      "in its last seconds and may be torn; it is not used",
  );
}

async function openIndex(directory: string, isNew: boolean): Promise<Environment> {
  const index = new Environment(directory, INDEX_FILE, INDEX_TABLES, { mayCreate: isNew });
  try {
    if (isNew) await writeMeta(index);
    else demandFormat(index);
    return index;
  } catch (error) {
    await index.close();
    throw error;
  }
}

async function writeMeta(index: Environment): Promise<void> {
  const table = index.table("meta");
  await index.write([
    { table, key: META.format, value: u32Row(STORE_FORMAT) },
    { table, key: META.position, value: u64Row(0n) },
    { table, key: META.numbers, value: u32Row(0) },
    { table, key: META.messages, value: u64Row(0n) },
  ]);
}

function demandFormat(index: Environment): void {
  const row = index.table("meta").get(META.format);
  const format = row?.length === 4 ? row.readUInt32LE() : 0;
  if (format === STORE_FORMAT) return;
  const fault = format === 0 ? "has no format" : `has format ${format}, not ${STORE_FORMAT}`;
  throw new StartError(`${index.path} ${fault}; ${REMEDY}`);
}
