/**
 * A page of the journal, as the engine seals it.
 *
 *    0        4      8            16           20      24
 *   ┌────────┬──────┬────────────┬────────────┬───────┬───── ─ ─
 *   │ format │ turn │ time, ms   │ page bytes │ crc32 │ records         little endian
 *   └────────┴──────┴────────────┴────────────┴───────┴───── ─ ─
 *
 * The engine fills all but the crc, which goes over the page, with its own field 0, and on over the
 * payloads apart. Turn is the page's number, low 32 bits.
 */
import { crc32 } from "node:zlib";
import * as abi from "#assembly/abi";
import type { SealedPage } from "./engine-calls.ts";

const NO_CRC = Buffer.alloc(4);

export function crcOfPage([page, ...apart]: SealedPage): number {
  let crc = crc32(NO_CRC, crc32(page.subarray(0, abi.JOURNAL_CRC_AT)));
  crc = crc32(page.subarray(abi.JOURNAL_CRC_AT + 4), crc);
  for (const payload of apart) crc = crc32(payload, crc);
  return crc;
}

/** Whether all of it is as it was written. */
export function isWhole(sealed: SealedPage): boolean {
  const [page] = sealed;
  if (page.length < abi.JOURNAL_HEADER_BYTES) return false;
  return crcOfPage(sealed) === page.readUInt32LE(abi.JOURNAL_CRC_AT);
}

/** @returns what is wrong with the head of a page that is whole; null: nothing */
export function faultOfHead(number: number, page: Buffer): string | null {
  const format = page.readUInt32LE(0);
  if (format !== abi.JOURNAL_FORMAT) return `its format is ${format}, not ${abi.JOURNAL_FORMAT}`;
  const turn = page.readUInt32LE(4);
  if (turn !== number % 2 ** 32) return `it was written as page ${turn}`;
  const bytes = page.readUInt32LE(abi.JOURNAL_BYTES_AT);
  return bytes === page.length ? null : `it has ${page.length} of ${bytes} bytes`;
}
