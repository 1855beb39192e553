/**
 * The journal: a page for each turn that changed something durable, in the order of their numbers.
 *
 *    0        4      8            16           20      24
 *   ┌────────┬──────┬────────────┬────────────┬───────┬───── ─ ─
 *   │ format │ turn │ time, ms   │ page bytes │ crc32 │ records         little endian
 *   └────────┴──────┴────────────┴────────────┴───────┴───── ─ ─
 *
 * The engine fills all but the crc, which goes over the page, with its own field 0, and on over the
 * payloads apart. Turn is the page's number, low 32 bits.
 */
import assert from "node:assert";
import { crc32 } from "node:zlib";
import * as abi from "#assembly/abi";
import { StartError } from "../base/errors.ts";
import type { SealedPage } from "./engine-calls.ts";
import type { Change, Environment, Table } from "./environment.ts";
import { WriteError } from "./environment.ts";
import { Latency } from "./latency.ts";
import { PAGES_DELETED_MAX } from "./limits.ts";
import { REMEDY } from "./marker.ts";
import { Retry, type WriteWatch } from "./retry.ts";
import { ATTEMPTS, PAGES, pageKey, readPageKey, u32Row } from "./tables.ts";

const NO_CRC = Buffer.alloc(4);

/** Where the one row of ATTEMPTS stands. */
const ATTEMPT_KEY = Buffer.from("attempt");

/** A page as it was read. */
export interface JournalPage {
  readonly number: number;
  /** Unix milliseconds at which its turn began. */
  readonly timeMs: number;
  readonly page: Buffer;
  readonly apart: readonly Buffer[];
}

export class Journal {
  readonly #environment: Environment;
  readonly #pages: Table;
  readonly #attempts: Table;
  readonly #retry: Retry;
  readonly #closing: AbortSignal;
  readonly latency = new Latency();
  #sealedNumber = 0;
  #committedNumber = 0;
  #underway: Promise<void> | null = null;
  #waiting: (() => void)[] = [];
  #attemptCount = 0;
  /** Where pages may be left that are no longer needed. */
  #deletedNumber = 0;

  constructor(environment: Environment, watch: WriteWatch, closing: AbortSignal) {
    this.#environment = environment;
    this.#pages = environment.table(PAGES);
    this.#attempts = environment.table(ATTEMPTS);
    this.#retry = new Retry(watch, closing);
    this.#closing = closing;
  }

  /** The newest page that is safe. */
  get committedNumber(): number {
    return this.#committedNumber;
  }

  /** The newest page that was given to commit(). */
  get sealedNumber(): number {
    return this.#sealedNumber;
  }

  /** Why the disk does not take the page that is being committed; null: it does. */
  get trouble(): string | null {
    return this.#retry.trouble;
  }

  /** Recovery found that this is the newest page. */
  startAt(number: number): void {
    this.#sealedNumber = number;
    this.#committedNumber = number;
  }

  /**
   * Makes the next page safe; while the disk does not take it, it is tried again.
   *
   * @param sealed  borrowed until the promise settles; the page gets its crc at once
   * @throws WriteError if the disk does not take it and the store closes
   */
  commit(sealed: SealedPage): Promise<void> {
    assert(this.#underway === null, "a page is being committed");
    const [page] = sealed;
    const number = this.#sealedNumber + 1;
    const turn = page.readUInt32LE(4);
    assert(turn === number % 2 ** 32, `page ${number} is of turn ${turn}`);
    assert(page.readUInt32LE(abi.JOURNAL_BYTES_AT) === page.length);
    page.set(u32Row(crcOf(sealed)), abi.JOURNAL_CRC_AT);
    this.#sealedNumber = number;
    const changes = sealed.map((value, part) => {
      return { table: this.#pages, key: pageKey(number, part), value };
    });
    const underway = this.#commit(number, changes).finally(() => {
      this.#underway = null;
    });
    underway.catch(() => undefined); // Whoever called awaits it as well.
    this.#underway = underway;
    return underway;
  }

  async #commit(number: number, changes: readonly Change[]): Promise<void> {
    const beganMs = performance.now();
    await this.#retry.until(async (attempt) => {
      if (attempt > 0) await this.#advance();
      await this.#environment.write(changes);
    });
    this.#committedNumber = number;
    this.latency.add(performance.now() - beganMs);
    this.wake();
  }

  /**
   * Pages that a transaction set free can be used by the next but one only. Where the disk is full
   * a page that fails would wait for ever for that: a row that fits in may be the one between.
   */
  async #advance(): Promise<void> {
    this.#attemptCount++;
    const value = u32Row(this.#attemptCount);
    await this.#environment.write([{ table: this.#attempts, key: ATTEMPT_KEY, value }]);
  }

  /** Settles when no commit is under way; it may begin again at once. */
  async idle(): Promise<void> {
    // Whoever gave the page learns why it failed.
    await this.#underway?.catch(() => undefined);
  }

  /**
   * Settles when this page is safe, or when the store closes.
   *
   * @returns whether it is safe
   */
  async committed(number: number): Promise<boolean> {
    while (this.#committedNumber < number && !this.#closing.aborted) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    return this.#committedNumber >= number;
  }

  /** Lets go of whoever waits: a page was committed, or the store closes. */
  wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /**
   * Deletes all pages up to `position`, in transactions that a commit can wait for.
   *
   * @returns false where the disk did not take it: to be tried again later
   */
  async deleteUpTo(position: number): Promise<boolean> {
    const end = pageKey(position + 1, 0);
    for (;;) {
      // A disk that is full may have room for the page when this is done.
      if (this.trouble === null) await this.idle();
      const start = pageKey(this.#deletedNumber, 0);
      const range = { start, end, limit: PAGES_DELETED_MAX, snapshot: false };
      const keys = [...this.#pages.getKeys(range)].map((key) => Buffer.from(key));
      try {
        await this.#environment.write(
          keys.map((key) => ({ table: this.#pages, key, value: null })),
        );
      } catch (error) {
        if (error instanceof WriteError) return false;
        throw error;
      }
      const last = keys.at(-1);
      if (last === undefined || keys.length < PAGES_DELETED_MAX) break;
      // Payloads apart of the last one may be left.
      this.#deletedNumber = readPageKey(last).number;
    }
    this.#deletedNumber = position;
    return true;
  }

  /**
   * Reads the pages behind `position`, oldest first; each is checked.
   *
   * @throws StartError if one is missing or damaged
   */
  *scan(position: number): Generator<JournalPage> {
    for (let number = position + 1; ; number++) {
      const parts = [...this.#pages.getRange(rangeOf(number))];
      const [first, ...apart] = parts.map(({ value }) => value);
      if (first === undefined) break;
      parts.forEach(({ key }, part) => {
        if (readPageKey(key).part !== part) damaged(number, `part ${part} of it is missing`);
      });
      const fault = faultOf(number, [first, ...apart]);
      if (fault !== null) damaged(number, fault);
      const timeMs = Number(first.readBigUInt64LE(abi.JOURNAL_TIME_AT));
      yield { number, timeMs, page: first, apart };
    }
    this.#demandEnd(position);
  }

  /** Nothing may stand behind the first number that is missing. */
  #demandEnd(position: number): void {
    const start = pageKey(position + 1, 0);
    let expected = position + 1;
    for (const key of this.#pages.getKeys({ start, snapshot: false })) {
      const { number } = readPageKey(key);
      if (number > expected) damaged(expected, `it is missing, and page ${number} is there`);
      expected = number + 1;
    }
  }
}

function rangeOf(number: number): { start: Buffer; end: Buffer; snapshot: boolean } {
  return { start: pageKey(number, 0), end: pageKey(number + 1, 0), snapshot: false };
}

function damaged(number: number, fault: string): never {
  throw new StartError(`journal page ${number} is damaged: ${fault}; ${REMEDY}`);
}

/** @returns what is wrong with a page; null: nothing */
function faultOf(number: number, sealed: SealedPage): string | null {
  const [page] = sealed;
  if (page.length < abi.JOURNAL_HEADER_BYTES) return `it has ${page.length} bytes`;
  const format = page.readUInt32LE(0);
  if (format !== abi.JOURNAL_FORMAT) return `its format is ${format}, not ${abi.JOURNAL_FORMAT}`;
  const turn = page.readUInt32LE(4);
  if (turn !== number % 2 ** 32) return `it was written as page ${turn}`;
  const bytes = page.readUInt32LE(abi.JOURNAL_BYTES_AT);
  if (bytes !== page.length) return `it has ${page.length} of ${bytes} bytes`;
  return crcOf(sealed) === page.readUInt32LE(abi.JOURNAL_CRC_AT) ? null : "its crc is wrong";
}

function crcOf([page, ...apart]: SealedPage): number {
  let crc = crc32(NO_CRC, crc32(page.subarray(0, abi.JOURNAL_CRC_AT)));
  crc = crc32(page.subarray(abi.JOURNAL_CRC_AT + 4), crc);
  for (const payload of apart) crc = crc32(payload, crc);
  return crc;
}
