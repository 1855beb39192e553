/**
 * A frame: one page of the journal and its payloads apart, as they stand in a segment.
 *
 *    0       4            8             16     24            24 + 4n
 *   ┌───────┬────────────┬─────────────┬──────┬──────── ─ ─┬───────┬──── ─ ─┬─────── ─ ─┬───────┐
 *   │ magic │ part count │ page number │ mark │ bytes of   │ crc32 │ page   │ payloads  │ zeros │
 *   │       │ n          │             │      │ each part  │       │        │ apart     │       │
 *   └───────┴────────────┴─────────────┴──────┴──────── ─ ─┴───────┴──── ─ ─┴─────── ─ ─┴───────┘
 *
 * Little endian; the crc is that of the header before it. A frame begins and ends at a multiple of
 * FRAME_BLOCK_BYTES, so no block of a disk is ever written for two of them: a write that is cut off
 * harms nothing that is safe.
 *
 * The mark is of the segment. Files are used again, and what is left in them of an earlier segment
 * has another mark. It comes from the store's id, which no client knows: a payload cannot be made
 * to look like a frame.
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";

export const FRAME_BLOCK_BYTES = 4096;

const MAGIC = 0x4d_52_46_48; // "HFRM"
const PART_COUNT_AT = 4;
const NUMBER_AT = 8;
const MARK_AT = 16;
const MARK_BYTES = 8;
const PARTS_AT = MARK_AT + MARK_BYTES;

const ZEROS = Buffer.alloc(FRAME_BLOCK_BYTES);

export interface FrameHeader {
  readonly number: number;
  readonly headerBytes: number;
  readonly partBytes: readonly number[];
  /** Of the frame: a multiple of FRAME_BLOCK_BYTES. */
  readonly frameBytes: number;
}

/**
 * The mark of the frames of a segment.
 *
 * @param storeId  of the marker
 * @param first  the number of the segment's first page
 */
export function markOf(storeId: string, first: number): Buffer {
  const hash = createHash("sha256").update(`${storeId} ${first}`).digest();
  return hash.subarray(0, MARK_BYTES);
}

export function frameBytesOf(parts: readonly Buffer[]): number {
  return wholeBlocks(parts.reduce((sum, part) => sum + part.length, headerBytesFor(parts.length)));
}

/** What is written, in its order; the parts are borrowed. */
export function frameOf(number: number, parts: readonly Buffer[], mark: Buffer): Buffer[] {
  const header = Buffer.allocUnsafe(headerBytesFor(parts.length));
  header.writeUInt32LE(MAGIC, 0);
  header.writeUInt32LE(parts.length, PART_COUNT_AT);
  header.writeBigUInt64LE(BigInt(number), NUMBER_AT);
  header.set(mark, MARK_AT);
  let at = PARTS_AT;
  let bytes = header.length;
  for (const part of parts) {
    header.writeUInt32LE(part.length, at);
    at += 4;
    bytes += part.length;
  }
  header.writeUInt32LE(crc32(header.subarray(0, at)), at);
  const padding = ZEROS.subarray(0, wholeBlocks(bytes) - bytes);
  return padding.length === 0 ? [header, ...parts] : [header, ...parts, padding];
}

/**
 * @param head  the beginning of what may be a frame, FRAME_BLOCK_BYTES if the file has them
 * @returns bytes of its header; 0: it is no frame of that segment
 */
export function headerBytesOf(head: Buffer, mark: Buffer): number {
  if (head.length < headerBytesFor(1) || head.readUInt32LE(0) !== MAGIC) return 0;
  if (!head.subarray(MARK_AT, PARTS_AT).equals(mark)) return 0;
  return headerBytesFor(head.readUInt32LE(PART_COUNT_AT));
}

/** @returns null if the crc is wrong */
export function readHeader(header: Buffer): FrameHeader | null {
  const crcAt = header.length - 4;
  if (crc32(header.subarray(0, crcAt)) !== header.readUInt32LE(crcAt)) return null;
  const partBytes: number[] = [];
  for (let at = PARTS_AT; at < crcAt; at += 4) partBytes.push(header.readUInt32LE(at));
  return {
    number: Number(header.readBigUInt64LE(NUMBER_AT)),
    headerBytes: header.length,
    partBytes,
    frameBytes: wholeBlocks(partBytes.reduce((sum, bytes) => sum + bytes, header.length)),
  };
}

function headerBytesFor(partCount: number): number {
  return PARTS_AT + 4 * partCount + 4;
}

function wholeBlocks(bytes: number): number {
  return Math.ceil(bytes / FRAME_BLOCK_BYTES) * FRAME_BLOCK_BYTES;
}
