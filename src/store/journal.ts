/**
 * The journal: a page for each turn that changed something durable, in the order of their numbers,
 * each in a frame of its own (frame.ts), in files one after the other (segments.ts).
 *
 * A page is safe when its one write has ended: the file is open with O_DSYNC, unless the process
 * only is to be outlived.
 */
import assert from "node:assert";
import { writev } from "node:fs";
import * as abi from "#assembly/abi";
import type { SealedPage } from "./engine-calls.ts";
import { WriteError } from "./environment.ts";
import { frameBytesOf, frameOf, markOf } from "./frame.ts";
import { crcOfPage } from "./journal-page.ts";
import { type JournalPage, scanJournal } from "./journal-scan.ts";
import { Latency } from "./latency.ts";
import { Retry, type WriteWatch } from "./retry.ts";
import type { JournalPlace } from "./segment-reader.ts";
import { type OpenSegment, Segments } from "./segments.ts";

/** What the system's words mean; others are told as they are. */
const REASONS: ReadonlyMap<unknown, string> = new Map([
  ["EDQUOT", "the disk quota is used up (EDQUOT)"],
  ["EFBIG", "its files may not be that large (EFBIG)"],
  ["EIO", "the disk fails (EIO)"],
  ["ENOSPC", "the disk is full (ENOSPC)"],
  ["EROFS", "the file system is read-only (EROFS)"],
]);

export interface JournalParts extends JournalPlace {
  /** Whether a page is safe when the disk has it; otherwise, when the kernel has it. */
  readonly isSynced: boolean;
  readonly watch: WriteWatch;
  /** Ends all waiting. */
  readonly closing: AbortSignal;
  /** Gets what is to be said of a last page that was not written whole. */
  readonly onTorn: (text: string) => void;
}

/** The segment that is written to. */
interface Target extends OpenSegment {
  readonly mark: Buffer;
  /** Where the next frame goes. */
  at: number;
}

export class Journal {
  readonly #parts: JournalParts;
  readonly #segments: Segments;
  readonly #retry: Retry;
  readonly latency = new Latency();
  #target: Target | null = null;
  #sealedNumber = 0;
  #committedNumber = 0;
  #underway: Promise<void> | null = null;
  #waiting: (() => void)[] = [];

  /** @throws what the system has against reading the directory */
  constructor(parts: JournalParts) {
    this.#parts = parts;
    this.#segments = new Segments(parts.path, parts.isSynced);
    this.#retry = new Retry(parts.watch, parts.closing);
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

  /** Bytes of its files. */
  get bytes(): number {
    return this.#segments.bytes;
  }

  /**
   * Recovery found that this is the newest page. Settles when everything up to it is safe: it may
   * have been read from the kernel, and not be on the disk.
   */
  async startAt(number: number): Promise<void> {
    this.#sealedNumber = number;
    this.#committedNumber = number;
    if (this.#parts.isSynced) await this.#segments.sync();
    this.#segments.prepare();
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
    page.writeUInt32LE(crcOfPage(sealed), abi.JOURNAL_CRC_AT);
    this.#sealedNumber = number;
    const underway = this.#commit(number, sealed).finally(() => {
      this.#underway = null;
    });
    underway.catch(() => undefined); // Whoever called awaits it as well.
    this.#underway = underway;
    return underway;
  }

  async #commit(number: number, sealed: SealedPage): Promise<void> {
    const beganMs = performance.now();
    await this.#retry.until(() => this.#write(number, sealed));
    this.#committedNumber = number;
    this.latency.add(performance.now() - beganMs);
    this.wake();
  }

  /** What was written of a frame before it failed is written over when it is tried again. */
  async #write(number: number, sealed: SealedPage): Promise<void> {
    const bytes = frameBytesOf(sealed);
    try {
      let target = this.#target;
      if (target === null || target.at + bytes > target.bytes) {
        target = await this.#begin(number, bytes);
      }
      await writeAll(target.file.fd, frameOf(number, sealed, target.mark), target.at);
      target.at += bytes;
    } catch (error) {
      if (!(error instanceof Error && "syscall" in error && "code" in error)) throw error;
      const reason = REASONS.get(error.code) ?? error.message;
      throw new WriteError(`${this.#parts.path} cannot be written: ${reason}`);
    }
  }

  async #begin(number: number, bytesMin: number): Promise<Target> {
    const segment = await this.#segments.begin(number, bytesMin);
    const before = this.#target;
    this.#target = { ...segment, mark: markOf(this.#parts.storeId, number), at: 0 };
    await before?.file.close();
    return this.#target;
  }

  /** Settles when no file is being made for later. */
  async prepared(): Promise<void> {
    await this.#segments.idle();
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
    while (this.#committedNumber < number && !this.#parts.closing.aborted) {
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
   * Lets go of the files whose pages are all up to `position`.
   *
   * @returns false where the disk did not take it: to be tried again later
   */
  async deleteUpTo(position: number): Promise<boolean> {
    try {
      await this.#segments.recycle(position);
      return true;
    } catch (error) {
      if (error instanceof Error && "syscall" in error) return false;
      throw error;
    }
  }

  /**
   * Reads the pages behind `position`, oldest first; each is checked.
   *
   * @throws StartError if one is missing or damaged
   */
  scan(position: number): Generator<JournalPage> {
    return scanJournal(this.#parts, position, this.#parts.onTorn);
  }

  /** Whoever closes in order may lose power afterwards: all is on the disk then. */
  async close(): Promise<void> {
    await this.#segments.idle();
    // A write that hangs keeps its file.
    if (this.#underway === null) await this.#target?.file.close();
    if (!this.#parts.isSynced) await this.#segments.sync();
  }
}

async function writeAll(file: number, buffers: Buffer[], at: number): Promise<void> {
  let left = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
  let rest = buffers;
  for (let from = at; ; ) {
    const written = await writeSome(file, rest, from);
    left -= written;
    if (left === 0) return;
    from += written;
    rest = behind(rest, written);
  }
}

/** The file system may take a part only, and say why with the next one. */
function writeSome(file: number, buffers: Buffer[], at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    writev(file, buffers, at, (error, written) => {
      if (error === null) resolve(written);
      else reject(error);
    });
  });
}

function behind(buffers: readonly Buffer[], bytes: number): Buffer[] {
  const rest: Buffer[] = [];
  let skip = bytes;
  for (const buffer of buffers) {
    if (skip < buffer.length) rest.push(buffer.subarray(skip));
    skip = Math.max(0, skip - buffer.length);
  }
  return rest;
}
