/**
 * Whether a file can be an environment of LMDB: asked before it is opened, because lmdb ends the
 * whole process where it is not.
 *
 *          24      28        48           136      144        152
 *   ┌──────┬───────┬─────────┬──────  ────┬────────┬───────────┬────────┐
 *   │ head │ magic │ version │ page bytes │ root   │ last page │ change │   pages 0 and 1 both
 *   └──────┴───────┴─────────┴──────  ────┴────────┴───────────┴────────┘
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

const HEAD_BYTES = 160;
const MAGIC_AT = 24;
const MAGIC = 0xbeefc0de;
const PAGE_BYTES_AT = 48;
const ROOT_AT = 136;
const CHANGE_AT = 152;

/** No tree, in an environment without tables. */
const NO_ROOT = 0xffffffffffffffffn;

/**
 * @returns what is wrong with it; null: lmdb may open it
 * @throws what the file system has against reading it
 */
export function faultOfFile(path: string): string | null {
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    const first = readAt(file, 0);
    const pageBytes = first.readUInt32LE(PAGE_BYTES_AT);
    const isPageSize = pageBytes >= 512 && pageBytes <= 65_536;
    if (first.readUInt32LE(MAGIC_AT) !== MAGIC || !isPageSize) return "is no file of LMDB";
    const second = readAt(file, pageBytes);
    if (second.readUInt32LE(MAGIC_AT) !== MAGIC) return "is damaged in its second page";
    const [a, b] = [first, second].map((page) => page.readBigUInt64LE(CHANGE_AT));
    const root = ((a ?? 0n) >= (b ?? 0n) ? first : second).readBigUInt64LE(ROOT_AT);
    const isWithin = root === NO_ROOT || root * BigInt(pageBytes) < BigInt(size);
    return isWithin ? null : "is cut off";
  } finally {
    closeSync(file);
  }
}

/** What is past the end of the file reads as zeros. */
function readAt(file: number, at: number): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  readSync(file, head, 0, HEAD_BYTES, at);
  return head;
}
