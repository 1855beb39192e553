/**
 * What every benchmark message carries, so that a subscriber can judge it alone.
 *
 *   ┌─────────┬───────────┬──────────┬─────────────┬─────────────┐
 *   │ run u32 │ pub. u32  │ seq. u32 │ micros u32  │ filler …    │  little endian
 *   └─────────┴───────────┴──────────┴─────────────┴─────────────┘
 *   0         4           8          12            16
 *
 * The topic is 16 bytes long, so that four word reads compare it:
 *
 *   bench/rrrrr/pppp      rrrrr names the run, pppp the publisher, both in base 36
 */
export const RUN_OFFSET = 0;
export const PUBLISHER_OFFSET = 4;
export const SEQUENCE_OFFSET = 8;
export const MICROS_OFFSET = 12;

/** Bytes of the four fields: the smallest payload. */
export const PAYLOAD_BYTES_MIN = 16;

export const TOPIC_BYTES = 16;
const RUN_DIGITS = 5;
const PUBLISHER_DIGITS = 4;

/** One more than the highest run number. */
export const RUNS = 36 ** RUN_DIGITS;
/** One more than the highest publisher number. */
export const PUBLISHERS_MAX = 36 ** PUBLISHER_DIGITS;

/** First level of all topics. */
export const TOPIC_ROOT = "bench";

/** @returns the part of the topic that all publishers of a run share, 12 bytes */
export function topicPrefix(run: number): string {
  return `${TOPIC_ROOT}/${run.toString(36).padStart(RUN_DIGITS, "0")}/`;
}

/** @returns the Topic Name on which a publisher publishes, TOPIC_BYTES long */
export function topicName(run: number, publisher: number): string {
  return topicPrefix(run) + publisher.toString(36).padStart(PUBLISHER_DIGITS, "0");
}
