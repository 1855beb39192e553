/**
 * Before any listener opens: the index, and then the pages of the journal behind its position, go
 * into the engine. Queues stay on the disk.
 *
 * What is damaged is named and refused: a State with a hole in it would be a promise broken
 * silently.
 */
import * as abi from "#assembly/abi";
import { StartError } from "../base/errors.ts";
import { bytesAt, lend, type StoreEngine } from "./engine-calls.ts";
import type { Table } from "./environment.ts";
import type { Journal } from "./journal.ts";
import type { JournalPage } from "./journal-scan.ts";
import { REMEDY } from "./marker.ts";
import type { IndexTables } from "./operations.ts";
import { META } from "./tables.ts";
import { readWillRow, type StoredWill } from "./will-rows.ts";

/** A page that is not in the index yet. */
export interface TailPage {
  readonly number: number;
  readonly bytes: number;
  readonly timeMs: number;
}

export interface Recovered {
  /** Everything up to and including this page is in the index. */
  readonly position: number;
  /** The newest page. */
  readonly lastNumber: number;
  readonly tail: readonly TailPage[];
  /** By Session number; null: a page says that there is none, and the index may still have one. */
  readonly wills: ReadonlyMap<number, StoredWill | null>;
  /** Sessions that ended and may have segments left. */
  readonly wipes: readonly number[];
  readonly sessionCount: number;
  readonly retainedCount: number;
  readonly milliseconds: number;
}

/** Rows between two looks at the clock. */
const ROWS_PER_SLICE = 1_000;

/** The event loop runs at least so often: a signal is to be heard. */
const SLICE_MILLISECONDS = 50;

const PROGRESS_MILLISECONDS = 1_000;

/**
 * Brings all State into the engine, which must be empty.
 *
 * @param onProgress  gets a text each second
 * @throws StartError if something is damaged, or does not fit into memory_limit
 */
export async function recover(
  engine: StoreEngine,
  tables: IndexTables,
  journal: Journal,
  onProgress: (text: string) => void,
): Promise<Recovered> {
  const recovery = new Recovery(engine, tables, journal, onProgress);
  return await recovery.run();
}

class Recovery {
  readonly #engine: StoreEngine;
  readonly #tables: IndexTables;
  readonly #journal: Journal;
  readonly #onProgress: (text: string) => void;
  readonly #wills = new Map<number, StoredWill | null>();
  readonly #beganMs = performance.now();
  #yieldedMs = performance.now();
  #saidMs = performance.now();

  constructor(
    engine: StoreEngine,
    tables: IndexTables,
    journal: Journal,
    onProgress: (text: string) => void,
  ) {
    this.#engine = engine;
    this.#tables = tables;
    this.#journal = journal;
    this.#onProgress = onProgress;
  }

  async run(): Promise<Recovered> {
    const position = this.#readMeta();
    await this.#sessions();
    await this.#retained();
    await this.#eachRow(this.#tables.wills, "wills", (key, row) => {
      const will = readWillRow(row);
      if (will === null) throw damaged(`the will of Session ${key.readUInt32BE()}`);
      this.#wills.set(key.readUInt32BE(), will);
    });
    const wipes: number[] = [];
    await this.#eachRow(this.#tables.wipes, "wipes", (key) => wipes.push(key.readUInt32BE()));
    const tail = await this.#replay(position);
    const last = tail.at(-1);
    const lastNumber = last?.number ?? position;
    const { calls } = this.#engine;
    calls.setTurn((lastNumber + 1) % 2 ** 32);
    // The clock never goes back behind what is on record.
    const nowMs = Math.max(Date.now(), last?.timeMs ?? 0);
    calls.setClock(nowMs);
    // What is counted from now on is not over too early.
    calls.recoveryEnd(Math.ceil(nowMs / 1000));
    return {
      ...{ position, lastNumber, tail, wipes, wills: this.#wills },
      sessionCount: calls.sessionCount(),
      retainedCount: calls.retainedCount(),
      milliseconds: performance.now() - this.#beganMs,
    };
  }

  /** @returns the position */
  #readMeta(): number {
    const { meta } = this.#tables;
    const position = meta.get(META.position);
    const numbers = meta.get(META.numbers);
    const messages = meta.get(META.messages);
    const areWhole = position?.length === 8 && numbers?.length === 4 && messages?.length === 8;
    if (position === undefined || numbers === undefined || messages === undefined || !areWhole) {
      throw damaged("the table `meta` of the index");
    }
    const { calls } = this.#engine;
    if (numbers.readUInt32LE() > 0) calls.setNumbers(numbers.readUInt32LE());
    if (messages.readBigUInt64LE() > 0n) calls.setMessageId(messages.readBigUInt64LE());
    return Number(position.readBigUInt64LE());
  }

  async #sessions(): Promise<void> {
    const { calls } = this.#engine;
    await this.#eachRow(this.#tables.sessions, "Sessions", (key, row) => {
      const number = key.readUInt32BE();
      const status = lend(this.#engine, row, (at) => calls.loadSession(number, at, row.length));
      demand(status, `the row of Session ${number}`);
    });
    await this.#eachRow(this.#tables.subscriptions, "rows of subscriptions", (key, row) => {
      const number = key.readUInt32BE();
      const status = lend(this.#engine, row, (at) =>
        calls.loadSubscriptions(number, at, row.length),
      );
      demand(status, `row ${key.readUInt16BE(4)} of the subscriptions of Session ${number}`);
    });
  }

  async #retained(): Promise<void> {
    const { calls } = this.#engine;
    await this.#eachRow(this.#tables.retained, "retained messages", (key, row) => {
      const status = lend(this.#engine, row, (at) => calls.loadRetained(at, row.length));
      demand(status, `the retained message of ${JSON.stringify(key.toString())}`);
    });
  }

  async #eachRow(
    table: Table,
    what: string,
    read: (key: Buffer, row: Buffer) => void,
  ): Promise<void> {
    let start: Buffer | undefined;
    let count = 0;
    for (;;) {
      const range = start === undefined ? {} : { start, exclusiveStart: true };
      const options = { ...range, limit: ROWS_PER_SLICE, snapshot: false };
      let sliceCount = 0;
      for (const { key, value } of table.getRange(options)) {
        read(key, value);
        start = key;
        sliceCount++;
      }
      count += sliceCount;
      if (sliceCount < ROWS_PER_SLICE) return;
      await this.#pause(`${count} ${what}`);
    }
  }

  async #replay(position: number): Promise<TailPage[]> {
    const tail: TailPage[] = [];
    for (const page of this.#journal.scan(position)) {
      this.#replayPage(page);
      const apartBytes = page.apart.reduce((sum, payload) => sum + payload.length, 0);
      const bytes = page.page.length + apartBytes;
      tail.push({ number: page.number, bytes, timeMs: page.timeMs });
      await this.#pause(`${tail.length} pages of the journal`);
    }
    return tail;
  }

  /** The page and its payloads lie in blocks of the engine's heap while it reads them. */
  #replayPage({ number, page, apart }: JournalPage): void {
    const { calls, bytes } = this.#engine;
    const blocks: number[] = [];
    const keep = (part: Buffer): number => {
      const at = calls.allocBlock(Math.max(part.length, 1)) >>> 0;
      if (at === 0) demand(abi.NO_MEMORY, `journal page ${number}`);
      blocks.push(at);
      bytes.set(part, at);
      return at;
    };
    apart.forEach((payload, index) => {
      calls.replayApart(index, keep(payload), payload.length);
    });
    demand(calls.replay(keep(page), page.length), `journal page ${number}`);
    for (let index = 0; index < calls.replayedWills(); index++) this.#replayWill(index);
    for (const block of blocks) calls.freeBlock(block);
  }

  /** The engine tells a will as {u32 Session number, u32 address of J_WILL's fields, u32 bytes}. */
  #replayWill(index: number): void {
    const { calls, words } = this.#engine;
    const at = calls.replayedWill(index) >>> 2;
    const number = words[at] as number;
    const fields = bytesAt(this.#engine, words[at + 1] as number, words[at + 2] as number);
    const packetBytes = fields.readUInt32LE(8);
    const will = {
      delaySeconds: fields.readUInt32LE(0),
      dueSecond: fields.readUInt32LE(4),
      packet: Buffer.from(fields.subarray(12, 12 + packetBytes)),
    };
    this.#wills.set(number, packetBytes === 0 ? null : will);
  }

  async #pause(done: string): Promise<void> {
    const nowMs = performance.now();
    if (nowMs - this.#yieldedMs < SLICE_MILLISECONDS) return;
    if (nowMs - this.#saidMs >= PROGRESS_MILLISECONDS) {
      this.#saidMs = nowMs;
      this.#onProgress(done);
    }
    await new Promise((resolve) => setImmediate(resolve));
    this.#yieldedMs = performance.now();
  }
}

function damaged(what: string): StartError {
  return new StartError(`${what} is damaged; ${REMEDY}`);
}

function demand(status: number, what: string): void {
  if (status >= 0) return;
  if (status !== abi.NO_MEMORY) throw damaged(what);
  throw new StartError(
    `memory_limit is too small for what is stored (no room for ${what}): raise it`,
  );
}
