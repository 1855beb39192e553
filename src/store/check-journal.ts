/**
 * The segments of the journal as `check` sees them: read, and judged.
 *
 * They are read before the index's moment is known, and beside a broker whose files go meanwhile:
 * what goes is in the index by then. So all of them are read, and what is missing up to the
 * position is no fault.
 */
import { readdirSync } from "node:fs";
import { faultOfHead, isWhole } from "./journal-page.ts";
import { firstPageOf, type JournalPlace, listSegments, SegmentReader } from "./segment-reader.ts";
import { isSpare } from "./segments.ts";

/** What the journal has. */
export interface JournalSummary {
  readonly pageCount: number;
  /** Pages that are not in the index yet. */
  readonly tailCount: number;
  /** Whether a last page was not written whole, which is no fault. */
  readonly isTorn: boolean;
}

/** One page that was read. */
interface CheckedPage {
  readonly number: number;
  readonly fault: string | null;
  /** Whether its crc is right. */
  readonly isWhole: boolean;
}

export interface JournalContents {
  /** Ascending. */
  readonly pages: readonly CheckedPage[];
  readonly firsts: readonly number[];
  /** Files that are no segments. */
  readonly strangers: readonly string[];
}

/**
 * Reads all segments.
 *
 * @throws what the system has against reading them
 */
export function readJournal(
  place: JournalPlace,
  progress: (pageCount: number) => void,
): JournalContents {
  const pages: CheckedPage[] = [];
  const firsts = listSegments(place.path);
  const strangers = readdirSync(place.path).filter(
    (name) => firstPageOf(name) === null && !isSpare(name),
  );
  for (const first of firsts) {
    const reader = openSegment(place, first);
    if (reader === null) continue;
    try {
      readSegment(reader, pages, progress);
    } finally {
      reader.close();
    }
  }
  return { pages: pages.toSorted((a, b) => a.number - b.number), firsts, strangers };
}

/** @returns null if it is gone meanwhile */
function openSegment(place: JournalPlace, first: number): SegmentReader | null {
  try {
    return new SegmentReader(place, first);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

/** Frames are looked for behind what is no frame, too: there may be more behind a damaged one. */
function readSegment(
  reader: SegmentReader,
  pages: CheckedPage[],
  progress: (pageCount: number) => void,
): void {
  let at = 0;
  for (let least = reader.first; ; least++) {
    const found = reader.findFrame(at, least);
    if (found === null) return;
    const { header } = found;
    const sealed = reader.partsAt(found.at, header);
    if (!reader.isCurrent()) return; // What was read may be of another segment by now.
    const isPageWhole = isWhole(sealed);
    const headFault = isPageWhole ? faultOfHead(header.number, sealed[0]) : "its crc is wrong";
    pages.push({ number: header.number, fault: headFault, isWhole: isPageWhole });
    progress(pages.length);
    at = found.at + header.frameBytes;
    least = header.number;
  }
}

/**
 * @param position  the last page that is in the index: behind it no page may be missing
 * @param say  gets a line for each fault
 */
export function checkJournal(
  { pages, firsts, strangers }: JournalContents,
  position: number,
  say: (fault: string) => void,
): JournalSummary {
  for (const name of strangers) say(`journal: ${name} is no segment`);
  // What was not written whole is the last one there is; of a page that is there twice, one counts.
  const wholes = new Set(pages.filter((page) => page.isWhole).map(({ number }) => number));
  const judged = pages.filter((page) => page.isWhole || !wholes.has(page.number));
  const last = judged.at(-1);
  const lastSegment = firsts.at(-1) ?? 0;
  const mayBeTorn = last !== undefined && last.number > position && lastSegment <= last.number;
  const isTorn = mayBeTorn && !last.isWhole;
  const counted = isTorn ? judged.slice(0, -1) : judged;
  let expected = position + 1;
  for (const { number, fault } of counted) {
    if (fault !== null) say(`journal page ${number}: ${fault}`);
    if (number <= position) continue;
    if (number > expected) sayMissing(expected, number - 1, position, say);
    expected = number + 1;
  }
  // A segment begins when the page before it is safe.
  if (lastSegment > expected) sayMissing(expected, lastSegment - 1, position, say);
  if (firsts.length === 0) say("journal: there is no segment");
  const tailCount = counted.filter(({ number }) => number > position).length;
  const reached = Math.max(counted.at(-1)?.number ?? 0, lastSegment - 1);
  if (reached < position) say(`journal: it ends at page ${reached}, the index has ${position}`);
  return { pageCount: counted.length, tailCount, isTorn };
}

function sayMissing(
  from: number,
  to: number,
  position: number,
  say: (fault: string) => void,
): void {
  const pages = from === to ? `page ${from} is missing` : `pages ${from} to ${to} are missing`;
  say(`journal: ${pages} behind position ${position}`);
}
