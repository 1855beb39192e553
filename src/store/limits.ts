/**
 * Limits of the store that its clients can reach, with unit and reason.
 */

/** Bytes of pages that are not in the index yet at which an index cycle begins. */
export const INDEX_BYTES_MIN = 16 * 1024 * 1024;

/** Age of the oldest page at which an index cycle begins: most is acknowledged before. */
export const INDEX_AGE_MILLISECONDS_MIN = 3_000;

/** Younger pages are left to the next cycle: what is acknowledged meanwhile costs no row. */
export const INDEX_YOUNG_MILLISECONDS = 1_000;

/** Rows of one index transaction: a longer one holds up the commits of the journal. */
export const INDEX_ROWS_MAX = 200;

/** Segments that one transaction removes of an ended Session or below a watermark. */
export const TRIM_SEGMENTS_MAX = 100;

/** Messages whose references one such transaction changes before it is ended. */
export const TRIM_REFERENCES_MAX = 200;

/** Bytes of pages that are not in the index yet past which publishers wait: they are in memory. */
export const JOURNAL_TAIL_BYTES_MAX = 64 * 1024 * 1024;

/** Publishers go on below it. */
export const JOURNAL_TAIL_BYTES_LOW = JOURNAL_TAIL_BYTES_MAX / 2;

/** Bytes of a journal segment: some seconds of a busy broker, and quickly filled with zeros. */
export const SEGMENT_BYTES = 4 * 1024 * 1024;

/** Spare segments that are kept: an index cycle lets go of about so many at once. */
export const SPARE_SEGMENTS_MAX = 3;

/** Segments given to the engine in one turn, for all Sessions together. */
export const LOAD_SEGMENTS_MAX = 128;

/** Time that loading may take of one turn, in milliseconds; what it sets off is as much again. */
export const LOAD_MILLISECONDS_MAX = 0.1;

/** First and longest pause before a failed commit is tried again, in milliseconds. */
export const RETRY_MILLISECONDS_MIN = 100;
export const RETRY_MILLISECONDS_MAX = 2_000;

/** How long a stop waits for commits, and for the index, in milliseconds. */
export const CLOSE_MILLISECONDS_MAX = 3_000;

/** Free bytes of the disk below which the index is not written: one transaction needs less. */
export const INDEX_FREE_BYTES_MIN = 8 * 1024 * 1024;
