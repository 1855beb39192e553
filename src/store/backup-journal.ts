/**
 * The copy of a journal as it grows: the frames of a directory's segments, followed page by page
 * and written into segments of another's. Why what it has is enough stands in backup.ts.
 */
import { closeSync, existsSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { syncFile } from "./compact.ts";
import type { SealedPage } from "./engine-calls.ts";
import { frameBytesOf, frameOf, markOf } from "./frame.ts";
import { isWhole } from "./journal-page.ts";
import { damaged } from "./journal-scan.ts";
import { SEGMENT_BYTES } from "./limits.ts";
import { type JournalPlace, listSegments, SegmentReader, segmentName } from "./segment-reader.ts";

/** A segment of the copy that is written to. */
interface Target {
  readonly file: number;
  readonly mark: Buffer;
  bytes: number;
}

export class JournalCopy {
  readonly #from: JournalPlace;
  readonly #to: JournalPlace;
  #reader: SegmentReader | null = null;
  #readAt = 0;
  #target: Target | null = null;
  /** The next page to be copied. */
  #next = 0;
  /** No page from this one to the next is missing. */
  #wholeFrom = 0;

  constructor(from: JournalPlace, to: JournalPlace) {
    this.#from = from;
    this.#to = to;
    mkdirSync(to.path, { recursive: true });
  }

  /** Before the first look: pages below `first` are not wanted. */
  begin(first: number): void {
    this.#wholeFrom = first;
    this.#next = first;
    this.#startSegment();
  }

  /** Copies what has come since the last look. */
  look(): void {
    for (;;) {
      this.#reader ??= this.#open();
      const reader = this.#reader;
      const header = reader.headerAt(this.#readAt);
      const sealed = header?.number === this.#next ? reader.partsAt(this.#readAt, header) : null;
      if (header !== null && sealed !== null && isWhole(sealed)) {
        this.#write(sealed);
        this.#readAt += header.frameBytes;
      } else if (!this.#turn(reader)) {
        return;
      }
    }
  }

  /**
   * After the last look. A page with another behind it is written: if the last look came too early
   * for it, one more takes it.
   *
   * @throws StartError if another page stands behind one that is missing or damaged
   */
  demandEnd(): void {
    const stuck = this.#next;
    if (!this.#hasLater()) return;
    this.look();
    if (this.#next === stuck)
      damaged(stuck, "it is missing or not whole, and others are there behind it");
  }

  /**
   * Removes the segments that the index has.
   *
   * @returns the pages behind `position`; null: one is missing
   */
  cut(position: number): number | null {
    if (this.#wholeFrom > position + 1 || this.#next <= position) return null;
    const firsts = listSegments(this.#to.path);
    for (const [index, first] of firsts.entries()) {
      const next = firsts[index + 1];
      if (next === undefined || next > position + 1) break;
      rmSync(join(this.#to.path, segmentName(first)));
    }
    return this.#next - position - 1;
  }

  /** Makes the copy safe from a power cut. */
  async sync(): Promise<void> {
    for (const first of listSegments(this.#to.path)) {
      await syncFile(join(this.#to.path, segmentName(first)));
    }
    await syncFile(this.#to.path);
  }

  close(): void {
    this.#reader?.close();
    this.#reader = null;
    if (this.#target !== null) closeSync(this.#target.file);
    this.#target = null;
  }

  /** The segment that has the next page, or, where that is gone, the oldest there is. */
  #open(): SegmentReader {
    for (;;) {
      const firsts = listSegments(this.#from.path);
      const first = firsts.findLast((each) => each <= this.#next) ?? firsts[0];
      if (first === undefined) damaged(this.#next, "there is no segment");
      const reader = this.#tryOpen(first);
      if (reader === null) continue; // It has gone since: there is another one.
      if (first > this.#next) {
        this.#wholeFrom = first;
        this.#next = first;
        this.#startSegment();
      }
      this.#readAt = 0;
      for (let number = first; number < this.#next; number++) {
        const header = reader.headerAt(this.#readAt);
        if (header?.number !== number) break;
        this.#readAt += header.frameBytes;
      }
      return reader;
    }
  }

  #tryOpen(first: number): SegmentReader | null {
    try {
      return new SegmentReader(this.#from, first);
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
      throw error;
    }
  }

  /** Where the next page is not in this segment. @returns whether it may be in another one */
  #turn(reader: SegmentReader): boolean {
    const hasNext =
      reader.first !== this.#next && existsSync(join(this.#from.path, segmentName(this.#next)));
    if (!hasNext && reader.isCurrent()) return false;
    reader.close();
    this.#reader = null;
    return true;
  }

  /** Whether there is a page behind the next one. */
  #hasLater(): boolean {
    if (listSegments(this.#from.path).some((first) => first > this.#next)) return true;
    return (this.#reader?.findFrame(this.#readAt, this.#next + 1) ?? null) !== null;
  }

  #write(sealed: SealedPage): void {
    const bytes = frameBytesOf(sealed);
    let target = this.#target as Target;
    if (target.bytes > 0 && target.bytes + bytes > SEGMENT_BYTES) target = this.#startSegment();
    let written = 0;
    const frame = Buffer.concat(frameOf(this.#next, sealed, target.mark));
    while (written < bytes) written += writeSync(target.file, frame, written);
    target.bytes += bytes;
    this.#next++;
  }

  #startSegment(): Target {
    if (this.#target !== null) closeSync(this.#target.file);
    const file = openSync(join(this.#to.path, segmentName(this.#next)), "w");
    this.#target = { file, mark: markOf(this.#to.storeId, this.#next), bytes: 0 };
    return this.#target;
  }
}
