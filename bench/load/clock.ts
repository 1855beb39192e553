/** One clock for send and receive times: microseconds since the process began, as a u32. */

/** Longest run in seconds: below the 4294 s after which a u32 of microseconds wraps. */
export const RUN_SECONDS_MAX = 3600;

/** Hot. @returns microseconds since the process began, a whole number below 2^32 */
export function nowMicros(): number {
  return (performance.now() * 1000) >>> 0;
}
