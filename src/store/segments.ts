/**
 * The files of a journal that is being written: segments, and spare files to come.
 *
 *    journal/0000000000000001.log    begins with page 1
 *    journal/0000000000000f3a.log    begins with page 0xf3a; the newest one is written to
 *    journal/spare-7                 becomes a segment by its new name
 *
 * A file has its whole length, filled with zeros, before it is written to: a write into it changes
 * no length and no list of blocks, so it is durable with its own blocks alone. The next one is
 * prepared while the newest fills; a segment that is no longer needed is used again.
 */
import {
  closeSync,
  constants,
  fdatasyncSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
} from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { SEGMENT_BYTES, SPARE_SEGMENTS_MAX } from "./limits.ts";
import { firstPageOf, segmentName } from "./segment-reader.ts";

const SPARE_NAME = /^spare-([1-9][0-9]*)$/;

/** Bytes of zeros written at a time. */
const FILL_BYTES = 1024 * 1024;

interface Segment {
  readonly first: number;
  readonly bytes: number;
}

/** A segment that is written to. */
export interface OpenSegment {
  readonly file: FileHandle;
  readonly bytes: number;
}

/** Whether a file of the journal's directory may be there without being a segment. */
export function isSpare(name: string): boolean {
  return SPARE_NAME.test(name);
}

/** Creates a journal without pages, whose first is to be `first`. */
export function createJournal(path: string, first: number): void {
  mkdirSync(path, { recursive: true });
  const file = openSync(join(path, segmentName(first)), "w");
  fdatasyncSync(file);
  closeSync(file);
  const directory = openSync(path, "r");
  fsyncSync(directory);
  closeSync(directory);
}

export class Segments {
  readonly #path: string;
  readonly #isSynced: boolean;
  /** Ascending; at least one. */
  readonly #segments: Segment[] = [];
  /** Names of spare files of SEGMENT_BYTES. */
  readonly #spares: string[] = [];
  /** Files that are left of an interrupted preparation. */
  readonly #leftovers: string[] = [];
  #spareNumber = 0;
  #preparing: Promise<void> | null = null;

  /**
   * @param isSynced  whether a write is done when it is on the disk; otherwise, when the kernel has
   *   it
   * @throws what the system has against reading the directory
   */
  constructor(path: string, isSynced: boolean) {
    this.#path = path;
    this.#isSynced = isSynced;
    for (const name of readdirSync(path)) {
      const bytes = statSync(join(path, name)).size;
      const first = firstPageOf(name);
      const spare = SPARE_NAME.exec(name)?.[1];
      if (first !== null) this.#segments.push({ first, bytes });
      if (spare === undefined) continue;
      this.#spareNumber = Math.max(this.#spareNumber, Number(spare));
      const isUsed = bytes === SEGMENT_BYTES && this.#spares.length < SPARE_SEGMENTS_MAX;
      (isUsed ? this.#spares : this.#leftovers).push(name);
    }
    this.#segments.sort((a, b) => a.first - b.first);
  }

  /** Bytes of all files. */
  get bytes(): number {
    const bytes = this.#segments.reduce((sum, segment) => sum + segment.bytes, 0);
    return bytes + this.#spares.length * SEGMENT_BYTES;
  }

  /** Makes durable what an earlier process may have left to the kernel. */
  async sync(): Promise<void> {
    for (const { first } of this.#segments) await syncPath(this.#at(segmentName(first)));
    await syncPath(this.#path);
  }

  /** Prepares a spare file, if there is none, without waiting for it. */
  prepare(): void {
    if (this.#preparing !== null || this.#spares.length > 0) return;
    this.#preparing = this.#prepare()
      // Whoever needs a file and finds none makes one, and learns why it cannot be made.
      .catch(() => undefined)
      .finally(() => {
        this.#preparing = null;
      });
  }

  /** Settles when no file is being prepared. */
  async idle(): Promise<void> {
    await this.#preparing;
  }

  /**
   * Makes a segment: under its name durably, and open.
   *
   * @param first  greater than the number of any page that is safe
   * @param bytesMin  of the first frame
   */
  async begin(first: number, bytesMin: number): Promise<OpenSegment> {
    const bytes = Math.max(bytesMin, SEGMENT_BYTES);
    const name = await this.#take(bytes);
    let file: FileHandle | undefined;
    try {
      const flags = constants.O_WRONLY | (this.#isSynced ? constants.O_DSYNC : 0);
      file = await open(this.#at(name), flags);
      await rename(this.#at(name), this.#at(segmentName(first)));
    } catch (error) {
      await file?.close();
      if (bytes === SEGMENT_BYTES) this.#spares.push(name);
      else await rm(this.#at(name), { force: true });
      throw error;
    }
    try {
      if (this.#isSynced) await syncPath(this.#path);
    } catch (error) {
      await file.close();
      throw error;
    }
    // One of the same name had no whole frame. Not before it is durable: then others may go.
    if (this.#segments.at(-1)?.first === first) this.#segments.pop();
    this.#segments.push({ first, bytes });
    this.prepare();
    return { file, bytes };
  }

  /**
   * Lets go of the segments all of whose pages are up to `position`, but never of the newest: that
   * it is there says that nothing is lost.
   *
   * A power cut may undo this: what comes back is not looked at.
   */
  async recycle(position: number): Promise<void> {
    for (;;) {
      const [oldest, next] = this.#segments;
      if (oldest === undefined || next === undefined || next.first > position + 1) return;
      const path = this.#at(segmentName(oldest.first));
      if (oldest.bytes === SEGMENT_BYTES && this.#spares.length < SPARE_SEGMENTS_MAX) {
        const spare = this.#nextSpare();
        await rename(path, this.#at(spare));
        this.#spares.push(spare);
      } else {
        await rm(path, { force: true });
      }
      this.#segments.shift();
    }
  }

  async #prepare(): Promise<void> {
    for (const name of this.#leftovers.splice(0)) await rm(this.#at(name), { force: true });
    this.#spares.push(await this.#make(SEGMENT_BYTES));
  }

  /** @returns the name of a spare file of so many bytes, which is the caller's */
  async #take(bytes: number): Promise<string> {
    if (bytes > SEGMENT_BYTES) return await this.#make(bytes);
    if (this.#spares.length === 0) await this.#preparing;
    return this.#spares.shift() ?? (await this.#make(bytes));
  }

  async #make(bytes: number): Promise<string> {
    const name = this.#nextSpare();
    const path = this.#at(name);
    const file = await open(path, "w");
    try {
      const zeros = Buffer.alloc(Math.min(bytes, FILL_BYTES));
      for (let at = 0; at < bytes; ) {
        const length = Math.min(zeros.length, bytes - at);
        at += (await file.write(zeros, 0, length, at)).bytesWritten;
      }
      if (this.#isSynced) await file.datasync();
      await file.close();
    } catch (error) {
      await file.close().catch(() => undefined);
      await rm(path, { force: true }); // It may be what fills the disk.
      throw error;
    }
    return name;
  }

  #nextSpare(): string {
    this.#spareNumber++;
    return `spare-${this.#spareNumber}`;
  }

  #at(name: string): string {
    return join(this.#path, name);
  }
}

async function syncPath(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
