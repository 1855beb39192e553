/**
 * The pages of a journal, read at a start.
 *
 * What can be missing at its end is one frame: it is written when the one before is safe. So a last
 * frame that is not whole was never told to be safe, and is as good as not there; a frame that is
 * not whole, or missing, with another behind it is damage.
 *
 * The newest segment stays until there is a newer one, and pages go into the index when they are
 * safe. So there is always a segment that begins at the position or at once behind it, or before,
 * and the journal reaches to the position.
 */
import * as abi from "#assembly/abi";
import { StartError } from "../base/errors.ts";
import { faultOfHead, isWhole } from "./journal-page.ts";
import { REMEDY } from "./marker.ts";
import { type JournalPlace, listSegments, SegmentReader } from "./segment-reader.ts";

/** A page as it was read. */
export interface JournalPage {
  readonly number: number;
  /** Unix milliseconds at which its turn began. */
  readonly timeMs: number;
  readonly page: Buffer;
  readonly apart: readonly Buffer[];
}

/** Where the frames of a segment end. */
interface SegmentEnd {
  readonly first: number;
  /** Behind its last frame, whole or not. */
  readonly at: number;
  readonly isTorn: boolean;
  /** The number of its last whole frame, plus 1. */
  readonly next: number;
}

/**
 * Reads the pages behind `position`, oldest first; each is checked.
 *
 * @param onTorn  gets what is to be said of a last frame that was not written whole
 * @throws StartError if a page is missing or damaged
 */
export function* scanJournal(
  place: JournalPlace,
  position: number,
  onTorn: (text: string) => void,
): Generator<JournalPage> {
  const firsts = listSegments(place.path);
  let first = firsts.findLast((each) => each <= position + 1);
  if (first === undefined) damaged(position + 1, "the segment is missing that it would be in");
  const ends: SegmentEnd[] = [];
  for (;;) {
    const end: SegmentEnd = yield* scanSegment(place, first, position);
    ends.push(end);
    if (end.next === first || !firsts.includes(end.next)) break;
    first = end.next;
  }
  demandEnd(place, position, firsts, ends);
  const { next, isTorn } = ends.at(-1) as SegmentEnd;
  if (isTorn)
    onTorn(`journal page ${next} was not written whole, so nobody relies on it: left out`);
}

function* scanSegment(
  place: JournalPlace,
  first: number,
  position: number,
): Generator<JournalPage, SegmentEnd> {
  const reader = new SegmentReader(place, first);
  try {
    let at = 0;
    for (let number = first; ; number++) {
      const header = reader.headerAt(at);
      if (header?.number !== number) return { first, at, isTorn: false, next: number };
      const frameAt = at;
      at += header.frameBytes;
      if (number <= position) continue;
      const sealed = reader.partsAt(frameAt, header);
      if (!isWhole(sealed)) return { first, at, isTorn: true, next: number };
      const [page, ...apart] = sealed;
      const fault = faultOfHead(number, page);
      if (fault !== null) damaged(number, fault);
      const timeMs = Number(page.readBigUInt64LE(abi.JOURNAL_TIME_AT));
      yield { number, timeMs, page, apart };
    }
  } finally {
    reader.close();
  }
}

/** Nothing may stand behind the first page that is not there. */
function demandEnd(
  place: JournalPlace,
  position: number,
  firsts: readonly number[],
  ends: readonly SegmentEnd[],
): void {
  const { next, isTorn } = ends.at(-1) as SegmentEnd;
  if (next <= position) damaged(next, `it is missing, and the index has page ${position}`);
  let later = firsts.find((first) => first > next) ?? null;
  for (const { first, at } of ends) {
    if (later !== null) break;
    const reader = new SegmentReader(place, first);
    later = reader.findFrame(at, next)?.header.number ?? null;
    reader.close();
  }
  if (later === null) return;
  damaged(next, isTorn ? "its crc is wrong" : `it is missing, and page ${later} is there`);
}

export function damaged(number: number, fault: string): never {
  throw new StartError(`journal page ${number} is damaged: ${fault}; ${REMEDY}`);
}
