/**
 * Quantities as people write them: whole numbers, durations, bytes.
 */

/** A Session Expiry Interval of this many seconds never ends.              [§3.1.2.11.2] */
export const SECONDS_NEVER = 0xffffffff;

/** Seconds in the units that mosquitto's durations know: a month has 30 days, a year 365. */
const SECONDS_IN: Readonly<Record<string, number>> = {
  "": 1,
  h: 3_600,
  d: 86_400,
  w: 604_800,
  m: 2_592_000,
  y: 31_536_000,
};

const BYTE_UNITS = ["bytes", "KiB", "MiB", "GiB"] as const;

/**
 * A whole number in decimal digits, with a sign at most.
 *
 * @returns null if `text` is anything else, or a number past the exact range of a double
 */
export function parseInteger(text: string): number | null {
  if (!/^[+-]?\d+$/.test(text)) return null;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : null;
}

/**
 * A duration: `3600`, or a number with one of the letters h, d, w, m (30 days), y (365 days).
 *
 * @returns seconds, 1 … SECONDS_NEVER (longer ones count as never); null if `text` is no duration
 */
export function parseDurationSeconds(text: string): number | null {
  const parts = /^(\d+)([hdwmy]?)$/.exec(text);
  if (parts === null) return null;
  const seconds = Number(parts[1]) * (SECONDS_IN[parts[2] ?? ""] ?? 1);
  return seconds >= 1 ? Math.min(seconds, SECONDS_NEVER) : null;
}

/**
 * Bytes in the largest unit that leaves a number of at least 1: `1.5 GiB`, `64 MiB`, `20 bytes`.
 */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = Number.isInteger(value) ? value.toString() : value.toFixed(1);
  return `${digits} ${BYTE_UNITS[unit]}`;
}
