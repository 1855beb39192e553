/**
 * The segments of a journal, read: also beside a broker that writes them.
 *
 * A segment is named by the number of its first page; the next one begins with the page behind its
 * last. Its end is where no frame of the next number is: zeros, what the file had before it was
 * used again, or a frame that was not written whole.
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import type { SealedPage } from "./engine-calls.ts";
import { FRAME_BLOCK_BYTES, type FrameHeader, headerBytesOf, markOf, readHeader } from "./frame.ts";

/** Where the segments are, and whose. */
export interface JournalPlace {
  readonly path: string;
  /** Of the store's marker. */
  readonly storeId: string;
}

const NAME_DIGITS = 16;
const SEGMENT_NAME = /^([0-9a-f]{16})\.log$/;

export function segmentName(first: number): string {
  return `${first.toString(16).padStart(NAME_DIGITS, "0")}.log`;
}

/** @returns the number of the segment's first page; null: the file is no segment */
export function firstPageOf(name: string): number | null {
  const digits = SEGMENT_NAME.exec(name)?.[1];
  if (digits === undefined) return null;
  const first = Number(`0x${digits}`);
  return Number.isSafeInteger(first) ? first : null;
}

/** The numbers of the segments' first pages, ascending. */
export function listSegments(path: string): number[] {
  const firsts = readdirSync(path).map(firstPageOf);
  return firsts.filter((first) => first !== null).toSorted((a, b) => a - b);
}

/** One segment, open. */
export class SegmentReader {
  readonly first: number;
  readonly #path: string;
  readonly #mark: Buffer;
  readonly #file: number;
  readonly #inode: number;
  readonly #fileBytes: number;

  /** @throws what the system has against opening it */
  constructor({ path, storeId }: JournalPlace, first: number) {
    this.first = first;
    this.#path = join(path, segmentName(first));
    this.#mark = markOf(storeId, first);
    this.#file = openSync(this.#path, "r");
    const { ino, size } = fstatSync(this.#file);
    this.#inode = ino;
    this.#fileBytes = size;
  }

  /** @returns null where no frame of this segment begins */
  headerAt(at: number): FrameHeader | null {
    const head = this.#read(at, FRAME_BLOCK_BYTES);
    const bytes = headerBytesOf(head, this.#mark);
    if (bytes === 0 || at + bytes > this.#fileBytes) return null;
    const header = readHeader(
      bytes > head.length ? this.#read(at, bytes) : head.subarray(0, bytes),
    );
    return header === null || at + header.frameBytes > this.#fileBytes ? null : header;
  }

  /** The page and its payloads apart, of the frame at `at`. */
  partsAt(at: number, { headerBytes, partBytes }: FrameHeader): SealedPage {
    const all = this.#read(
      at + headerBytes,
      partBytes.reduce((sum, bytes) => sum + bytes, 0),
    );
    let end = 0;
    const parts = partBytes.map((bytes) => {
      end += bytes;
      return all.subarray(end - bytes, end);
    });
    const [page = Buffer.alloc(0), ...apart] = parts;
    return [page, ...apart];
  }

  /** The first frame at or behind `at` whose number is at least `least`, or null. */
  findFrame(
    at: number,
    least: number,
  ): { readonly at: number; readonly header: FrameHeader } | null {
    for (let block = at; block < this.#fileBytes; block += FRAME_BLOCK_BYTES) {
      const header = this.headerAt(block);
      if (header !== null && header.number >= least) return { at: block, header };
    }
    return null;
  }

  /** Whether the file has its name still: with another it is written to as another segment. */
  isCurrent(): boolean {
    return statSync(this.#path, { throwIfNoEntry: false })?.ino === this.#inode;
  }

  close(): void {
    closeSync(this.#file);
  }

  #read(at: number, bytes: number): Buffer {
    const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(bytes, this.#fileBytes - at)));
    let count = 0;
    while (count < buffer.length) {
      const more = readSync(this.#file, buffer, count, buffer.length - count, at + count);
      if (more === 0) break;
      count += more;
    }
    return buffer.subarray(0, count);
  }
}
