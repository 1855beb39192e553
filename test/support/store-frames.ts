/**
 * Segments of a journal written and read byte by byte, as the drawing of a frame has them, and
 * nothing of src/store/ used.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";

const BLOCK_BYTES = 4096;
const MAGIC = 0x4d524648;

/** A frame in a segment. */
export interface Frame {
  readonly number: number;
  readonly at: number;
  readonly bytes: number;
  readonly parts: readonly Buffer[];
  /** Where each part begins. */
  readonly partsAt: readonly number[];
}

export function segmentFile(first: number): string {
  return `${first.toString(16).padStart(16, "0")}.log`;
}

function markOf(storeId: string, first: number): Buffer {
  return createHash("sha256").update(`${storeId} ${first}`).digest().subarray(0, 8);
}

/** A frame of the segment that begins with page `first`. */
export function frameBytes(
  storeId: string,
  first: number,
  number: number,
  parts: readonly Buffer[],
): Buffer {
  const header = Buffer.alloc(24 + 4 * parts.length + 4);
  header.writeUInt32LE(MAGIC, 0);
  header.writeUInt32LE(parts.length, 4);
  header.writeBigUInt64LE(BigInt(number), 8);
  header.set(markOf(storeId, first), 16);
  for (const [part, { length }] of parts.entries()) header.writeUInt32LE(length, 24 + 4 * part);
  header.writeUInt32LE(crc32(header.subarray(0, -4)), header.length - 4);
  const frame = Buffer.concat([header, ...parts]);
  return Buffer.concat([frame, Buffer.alloc((BLOCK_BYTES - (frame.length % BLOCK_BYTES)) % 4096)]);
}

/** Makes a journal whose only segment begins with page `first`; pages in the order given. */
export function writeJournal(
  path: string,
  storeId: string,
  first: number,
  pages: Iterable<readonly [number: number, parts: readonly Buffer[]]>,
): void {
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path);
  const frames = [...pages].map(([number, parts]) => frameBytes(storeId, first, number, parts));
  writeFileSync(join(path, segmentFile(first)), Buffer.concat(frames));
}

/** The names of the segments, oldest first. */
export function segmentsOf(path: string): string[] {
  return readdirSync(path)
    .filter((name) => name.endsWith(".log"))
    .toSorted();
}

/** The frames at the beginning of a segment. */
export function framesOf(path: string, name: string): Frame[] {
  const file = existsSync(join(path, name)) ? readFileSync(join(path, name)) : Buffer.alloc(0);
  const frames: Frame[] = [];
  let at = 0;
  let number = Number.parseInt(name, 16);
  while (at < file.length && file.readUInt32LE(at) === MAGIC) {
    if (Number(file.readBigUInt64LE(at + 8)) !== number) break;
    const partCount = file.readUInt32LE(at + 4);
    const lengths = Array.from({ length: partCount }, (_, part) =>
      file.readUInt32LE(at + 24 + 4 * part),
    );
    let end = at + 28 + 4 * partCount;
    const partsAt = lengths.map((length) => {
      end += length;
      return end - length;
    });
    const parts = partsAt.map((from, part) => file.subarray(from, from + (lengths[part] ?? 0)));
    const bytes = Math.ceil((end - at) / BLOCK_BYTES) * BLOCK_BYTES;
    frames.push({ number, at, bytes, parts, partsAt });
    at += bytes;
    number++;
  }
  return frames;
}

/** Of all segments. */
export function allFramesOf(path: string): Frame[] {
  return segmentsOf(path).flatMap((name) => framesOf(path, name));
}
