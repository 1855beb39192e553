/** `holdfast check`: everything that has to hold in a data directory, and what does not. */
import { StartError } from "../base/errors.ts";
import { type Counts, checkIndex, readMeta } from "./check-index.ts";
import { checkJournal, readJournal } from "./check-journal.ts";
import { demandStore, openForReading } from "./check-open.ts";
import { lockOwnerOf } from "./lock.ts";
import { REMEDY, REMEDY_OF_CHECK } from "./marker.ts";

/** Lines of faults that are said; more are only counted. */
const FAULT_LINES_MAX = 1_000;

export interface CheckReport {
  /** What there is, by its name. */
  readonly counts: Counts;
  readonly faultCount: number;
  /** The broker that may have changed the directory meanwhile; null: there was none. */
  readonly brokerPid: number | null;
}

/**
 * Reads a data directory whole and changes nothing in it.
 *
 * The journal is read before the index's moment: a page that goes from one to the other meanwhile
 * is then seen at least once.
 *
 * @param say  gets a line for each fault, of at most FAULT_LINES_MAX
 * @param progress  gets, often, what has been read so far
 * @throws StartError if there is no data directory, or one that cannot be read
 */
export async function checkStore(
  directory: string,
  say: (fault: string) => void,
  progress: (done: string) => void,
): Promise<CheckReport> {
  try {
    return await readAll(directory, say, progress);
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    throw new StartError(error.message.replace(REMEDY, REMEDY_OF_CHECK));
  }
}

async function readAll(
  directory: string,
  say: (fault: string) => void,
  progress: (done: string) => void,
): Promise<CheckReport> {
  const brokerPid = (await lockOwnerOf(directory))?.pid ?? null;
  const contents = readJournal(demandStore(directory), (pageCount) =>
    progress(`${pageCount} pages of the journal`),
  );
  const store = openForReading(directory);
  let faultCount = 0;
  const sayCounted = (fault: string): void => {
    faultCount += 1;
    if (faultCount <= FAULT_LINES_MAX) say(fault);
  };
  try {
    const meta = readMeta(store.rowsOf);
    for (const name of meta.missing) sayCounted(`meta: ${name} is missing`);
    const journal = checkJournal(contents, meta.position, sayCounted);
    const isSettled = journal.tailCount === 0;
    const counts = checkIndex(store.rowsOf, meta, isSettled, {
      say: sayCounted,
      progress: (rowCount) => progress(`${rowCount} rows of the index`),
    });
    counts.set("journal pages", journal.pageCount);
    counts.set("journal pages behind the index", journal.tailCount);
    if (journal.isTorn) counts.set("journal pages not written whole", 1);
    return { counts, faultCount, brokerPid };
  } finally {
    await store.close();
  }
}
