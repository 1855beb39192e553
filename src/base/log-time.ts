/** The time of a log line: Unix seconds, or the form that strftime(3) reads. */

/** The time as `format` writes it, computed once a second at most; `plain` serves no format. */
export function timeOfLine(format: string, plain: ((now: Date) => string) | null): () => string {
  let second = Number.NaN;
  let formatted = "";
  return () => {
    const now = new Date();
    const nowSecond = Math.floor(now.getTime() / 1000);
    if (nowSecond !== second) {
      second = nowSecond;
      formatted = format === "" && plain !== null ? plain(now) : formatTime(format, now);
    }
    return formatted;
  };
}

const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

/**
 * Local time in the form that strftime(3) reads, in the C locale: `%Y-%m-%dT%H:%M:%S%z`.
 * A conversion that is not known stays as it is written.
 */
export function formatTime(format: string, now: Date): string {
  return format.replace(/%(.)/g, (written, conversion: string) => {
    const read = CONVERSIONS[conversion];
    return read === undefined ? written : read(now);
  });
}

const CONVERSIONS: Readonly<Record<string, (now: Date) => string>> = {
  "%": () => "%",
  a: (now) => (WEEKDAYS[now.getDay()] ?? "").slice(0, 3),
  A: (now) => WEEKDAYS[now.getDay()] ?? "",
  b: (now) => (MONTHS[now.getMonth()] ?? "").slice(0, 3),
  B: (now) => MONTHS[now.getMonth()] ?? "",
  c: (now) => formatTime("%a %b %e %H:%M:%S %Y", now),
  d: (now) => twoDigits(now.getDate()),
  D: (now) => formatTime("%m/%d/%y", now),
  e: (now) => now.getDate().toString().padStart(2, " "),
  F: (now) => formatTime("%Y-%m-%d", now),
  h: (now) => formatTime("%b", now),
  H: (now) => twoDigits(now.getHours()),
  I: (now) => twoDigits(now.getHours() % 12 || 12),
  j: (now) => dayOfYear(now).toString().padStart(3, "0"),
  m: (now) => twoDigits(now.getMonth() + 1),
  M: (now) => twoDigits(now.getMinutes()),
  n: () => " ",
  p: (now) => (now.getHours() < 12 ? "AM" : "PM"),
  R: (now) => formatTime("%H:%M", now),
  s: (now) => Math.floor(now.getTime() / 1000).toString(),
  S: (now) => twoDigits(now.getSeconds()),
  t: () => " ",
  T: (now) => formatTime("%H:%M:%S", now),
  u: (now) => (now.getDay() || 7).toString(),
  w: (now) => now.getDay().toString(),
  x: (now) => formatTime("%m/%d/%y", now),
  X: (now) => formatTime("%H:%M:%S", now),
  y: (now) => twoDigits(now.getFullYear() % 100),
  Y: (now) => now.getFullYear().toString(),
  z: zoneOffset,
  Z: zoneName,
};

function twoDigits(value: number): string {
  return value.toString().padStart(2, "0");
}

function dayOfYear(now: Date): number {
  const today = Date.UTC(now.getFullYear(), now.getMonth(), now.getDate());
  return Math.round((today - Date.UTC(now.getFullYear(), 0, 1)) / 86_400_000) + 1;
}

function zoneOffset(now: Date): string {
  const minutes = -now.getTimezoneOffset();
  const size = Math.abs(minutes);
  return `${minutes < 0 ? "-" : "+"}${twoDigits(Math.floor(size / 60))}${twoDigits(size % 60)}`;
}

function zoneName(now: Date): string {
  const parts = new Intl.DateTimeFormat("en", { timeZoneName: "short" }).formatToParts(now);
  return parts.find((part) => part.type === "timeZoneName")?.value ?? "";
}
