/**
 * The pages of the journal as bytes: read, and judged.
 *
 *    0        4      8            16            20       24
 *   ┌────────┬──────┬────────────┬─────────────┬────────┬───── ─ ─
 *   │ format │ turn │ time, ms   │ page bytes  │ crc32  │ records
 *   └────────┴──────┴────────────┴─────────────┴────────┴───── ─ ─    little endian
 *
 * The crc is that of the page with its own field 0, continued over the payloads apart. A key is the
 * page's number, u64, and the part, u16, big endian: 0 the page, 1 … its payloads apart.
 */
import { crc32 } from "node:zlib";
import * as abi from "#assembly/abi";

const KEY_BYTES = 10;
const NO_CRC = Buffer.alloc(4);

export interface JournalRow {
  readonly key: Buffer;
  /** Valid until the next row. */
  readonly value: Buffer;
}

/** What the journal has. */
export interface JournalSummary {
  readonly pageCount: number;
  /** Pages that are not in the index yet. */
  readonly tailCount: number;
  readonly bytes: number;
}

/** The page under way, as far as its rows have come. */
interface OpenPage {
  readonly number: number;
  readonly crc: number;
  readonly crcWanted: number;
  readonly partCount: number;
}

/**
 * Reads all rows, in the order of their keys.
 *
 * @param position  the last page that is in the index: behind it no page may be missing
 * @param say  gets a line for each fault
 */
export function checkJournal(
  rows: Iterable<JournalRow>,
  position: number,
  say: (fault: string) => void,
  progress: (pageCount: number) => void,
): JournalSummary {
  const counts = { pageCount: 0, tailCount: 0, bytes: 0 };
  let page: OpenPage | null = null;
  let expected = position + 1;
  for (const { key, value } of rows) {
    counts.bytes += value.length;
    if (key.length !== KEY_BYTES) {
      say(`journal: a key of ${key.length} bytes`);
      continue;
    }
    const number = Number(key.readBigUInt64BE(0));
    const part = key.readUInt16BE(8);
    if (part > 0) {
      if (page === null || page.number !== number || page.partCount !== part) {
        say(`journal page ${number}: part ${part} without the one before`);
        page = null;
      } else {
        page = withPart(page, value);
      }
      continue;
    }
    closePage(page, say);
    page = openPage(number, value, say);
    counts.pageCount += 1;
    progress(counts.pageCount);
    if (number <= position) continue;
    counts.tailCount += 1;
    if (number !== expected) {
      say(`journal: ${pagesMissing(expected, number - 1)} behind position ${position}`);
    }
    expected = number + 1;
  }
  closePage(page, say);
  return counts;
}

function pagesMissing(from: number, to: number): string {
  return from === to ? `page ${from} is missing` : `pages ${from} to ${to} are missing`;
}

/** @returns null if the rest of it cannot be judged */
function openPage(number: number, value: Buffer, say: (fault: string) => void): OpenPage | null {
  const fault = faultOfHead(number, value);
  if (fault !== null) {
    say(`journal page ${number}: ${fault}`);
    return null;
  }
  const beforeCrc = crc32(value.subarray(0, abi.JOURNAL_CRC_AT));
  const crc = crc32(value.subarray(abi.JOURNAL_HEADER_BYTES), crc32(NO_CRC, beforeCrc));
  return { number, crc, crcWanted: value.readUInt32LE(abi.JOURNAL_CRC_AT), partCount: 1 };
}

function faultOfHead(number: number, value: Buffer): string | null {
  if (value.length < abi.JOURNAL_HEADER_BYTES)
    return `${value.length} bytes are less than its head`;
  const format = value.readUInt32LE(0);
  if (format !== abi.JOURNAL_FORMAT) return `its format ${format} is not ${abi.JOURNAL_FORMAT}`;
  const turn = value.readUInt32LE(4);
  if (turn !== number % 2 ** 32) return `it is written as page ${turn}`;
  const bytes = value.readUInt32LE(abi.JOURNAL_BYTES_AT);
  return bytes === value.length ? null : `it has ${value.length} bytes instead of ${bytes}`;
}

function withPart(page: OpenPage, value: Buffer): OpenPage {
  return { ...page, crc: crc32(value, page.crc), partCount: page.partCount + 1 };
}

function closePage(page: OpenPage | null, say: (fault: string) => void): void {
  if (page === null || page.crc === page.crcWanted) return;
  const crcs = `${page.crc.toString(16)} instead of ${page.crcWanted.toString(16)}`;
  say(`journal page ${page.number}: its crc is ${crcs}`);
}
