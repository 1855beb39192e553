/**
 * The log: one line per event, in mosquitto's form or as JSON.
 *
 *   1699999999: New client connected from 127.0.0.1:50000 as sensor-1 (p5, c1, k30).
 *   {"level":"notice","time":"2023-11-14T22:13:19.000Z","msg":"New client connected …"}
 *
 * Never the payload of an Application Message, never a password. Control characters in a line
 * (a Client Identifier may hold them) are escaped, so that no client can forge a line.
 *
 * Lines are written outside the event loop: a reader that stalls costs lines, never time.
 */
import { close, openSync, write as writeTo } from "node:fs";
import { pino, stdTimeFunctions } from "pino";

/** What a line is about, in the words of mosquitto's `log_type`. */
export const LOG_TYPES = [
  "error",
  "warning",
  "notice",
  "information",
  "debug",
  "subscribe",
  "unsubscribe",
  "websockets",
] as const;

export type LogType = (typeof LOG_TYPES)[number];

/** What is logged if nothing else is asked for: mosquitto's choice. */
export const LOG_TYPES_DEFAULT: readonly LogType[] = ["error", "warning", "notice", "information"];

export type LogDestination =
  | { readonly kind: "stdout" | "stderr" }
  | { readonly kind: "file"; readonly path: string };

export interface LogSettings {
  /** Where each line goes; empty: nowhere. */
  readonly destinations: readonly LogDestination[];
  /** The types that are written; lines of all others are dropped. */
  readonly types: ReadonlySet<LogType>;
  /** Whether a line begins with its time. */
  readonly timestamp: boolean;
  /** The time's form, as strftime(3) reads it; empty: Unix seconds (text), ISO 8601 (JSON). */
  readonly timestampFormat: string;
  readonly format: "text" | "json";
}

/** Further facts about a line: members of the JSON object, left out of the text form. */
export type LogFields = Readonly<Record<string, string | number | boolean>>;

export interface Log {
  /** The broker cannot do what it was asked to. */
  error(text: string, fields?: LogFields): void;
  /** Something an operator should look at. */
  warn(text: string, fields?: LogFields): void;
  /** Connections coming and going. */
  notice(text: string, fields?: LogFields): void;
  /** Start, stop, and what is otherwise worth a line. */
  info(text: string, fields?: LogFields): void;
  /** Single packets, without their payload. */
  debug(text: string, fields?: LogFields): void;
  subscribe(text: string, fields?: LogFields): void;
  unsubscribe(text: string, fields?: LogFields): void;
  /** Whether lines of `type` are written: ask before building a costly text. */
  has(type: LogType): boolean;
  /** Settles when every line is written, or after a second; the log is unusable afterwards. */
  close(): Promise<void>;
}

/** The log and its destinations. */
export interface OpenLog extends Log {
  /** Lines that were dropped, since a destination took them too slowly or not at all. */
  lostLines(): number;
  /**
   * Opens the destinations of other settings, or the same ones again, and closes those it has.
   *
   * @throws the system's error if a file cannot be opened; the log goes on as before
   */
  replace(settings: LogSettings): void;
}

/** What a log writes to. */
interface Output {
  readonly sinks: readonly Sink[];
  readonly types: ReadonlySet<LogType>;
  readonly write: WriteLine;
}

type WriteLine = (type: LogType, text: string, fields: LogFields | undefined) => void;

/** Characters that wait for a slow destination; past them lines are dropped. */
const UNWRITTEN_CHARACTERS_MAX = 4 * 1024 * 1024;

/** Pause before a destination that was busy is tried again, in milliseconds. */
const BUSY_MILLISECONDS = 100;

/** Longest wait for the last lines, in milliseconds. */
const CLOSE_MILLISECONDS_MAX = 1_000;

/** A line waits so long for others to leave with it. */
const GATHER_MILLISECONDS = 20;
/** Access to a log file: its owner writes, its group reads. */
const LOG_FILE_MODE = 0o640;

/** Control characters, and the two separators that some viewers take for a line's end. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what the log must not hold.
const CONTROL_CHARACTERS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

/**
 * Opens the log.
 *
 * @throws the system's error if a file cannot be opened for appending
 */
export function createLog(settings: LogSettings): OpenLog {
  let output = openOutput(settings);
  let lostBefore = 0;
  const lostNow = (): number => output.sinks.reduce((sum, sink) => sum + sink.lostLines, 0);
  const has = (type: LogType): boolean => output.sinks.length > 0 && output.types.has(type);
  const emit = (type: LogType, text: string, fields: LogFields | undefined): void => {
    if (has(type)) output.write(type, text, fields);
  };
  return {
    error: (text, fields) => emit("error", text, fields),
    warn: (text, fields) => emit("warning", text, fields),
    notice: (text, fields) => emit("notice", text, fields),
    info: (text, fields) => emit("information", text, fields),
    debug: (text, fields) => emit("debug", text, fields),
    subscribe: (text, fields) => emit("subscribe", text, fields),
    unsubscribe: (text, fields) => emit("unsubscribe", text, fields),
    has,
    lostLines: () => lostBefore + lostNow(),
    replace: (next) => {
      const before = output;
      output = openOutput(next);
      for (const sink of before.sinks) {
        lostBefore += sink.lostLines;
        void sink.close();
      }
    },
    close: async () => {
      await Promise.all(output.sinks.map((sink) => sink.close()));
    },
  };
}

function openOutput(settings: LogSettings): Output {
  const sinks: Sink[] = [];
  try {
    for (const destination of settings.destinations) sinks.push(openSink(destination));
  } catch (error) {
    for (const sink of sinks) void sink.close();
    throw error;
  }
  const write =
    settings.format === "json" ? jsonWriter(settings, sinks) : textWriter(settings, sinks);
  return { sinks, types: settings.types, write };
}

/** `text` with every control character written as `\xNN` or `\uNNNN`. */
export function escapeControls(text: string): string {
  return text.replace(CONTROL_CHARACTERS, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, "0")}`
      : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

function openSink(destination: LogDestination): Sink {
  if (destination.kind !== "file") return new Sink(destination.kind === "stdout" ? 1 : 2);
  return new Sink(openSync(destination.path, "a", LOG_FILE_MODE));
}

/**
 * One destination: writes what waits as one chunk, one chunk at a time, outside the event loop.
 * A fault of the destination (a full disk, a closed pipe) costs lines and nothing else.
 */
class Sink {
  readonly #fd: number;
  #waiting: string[] = [];
  lostLines = 0;
  #waitingCharacters = 0;
  #isWriting = false;
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;
  #onIdle: (() => void) | null = null;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(line: string): void {
    if (this.#isClosed || this.#waitingCharacters + line.length > UNWRITTEN_CHARACTERS_MAX) {
      this.lostLines++;
      return;
    }
    this.#waiting.push(line);
    this.#waitingCharacters += line.length;
    this.#gather();
  }

  /** A write per line would cost more than the line: lines of a moment leave together. */
  #gather(): void {
    if (this.#isWriting || this.#timer !== null) return;
    this.#timer = setTimeout(() => this.#writeWaiting(), GATHER_MILLISECONDS);
  }

  /** Settles when all is written, or after CLOSE_MILLISECONDS_MAX; later lines are dropped. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#timer !== null) this.#writeWaiting();
    if (this.#isWriting) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, CLOSE_MILLISECONDS_MAX);
        this.#onIdle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    if (this.#fd > 2) close(this.#fd, () => undefined);
  }

  #writeWaiting(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const chunk = Buffer.from(this.#waiting.join(""));
    this.#waiting = [];
    this.#waitingCharacters = 0;
    this.#isWriting = true;
    this.#writeChunk(chunk);
  }

  #writeChunk(chunk: Buffer): void {
    writeTo(this.#fd, chunk, (error, writtenBytes) => {
      if (error?.code === "EAGAIN") {
        setTimeout(() => this.#writeChunk(chunk), BUSY_MILLISECONDS);
      } else if (error === null && writtenBytes < chunk.length) {
        this.#writeChunk(chunk.subarray(writtenBytes));
      } else if (this.#waiting.length > 0 && this.#isClosed) {
        this.#writeWaiting();
      } else {
        this.#isWriting = false;
        if (this.#waiting.length > 0) this.#gather();
        this.#onIdle?.();
      }
    });
  }
}

function textWriter(settings: LogSettings, sinks: readonly Sink[]): WriteLine {
  const time = timeOfLine(settings.timestampFormat, (now) => `${Math.floor(now.getTime() / 1000)}`);
  return (type, text) => {
    const severity = type === "error" ? "Error: " : type === "warning" ? "Warning: " : "";
    const start = settings.timestamp ? `${time()}: ` : "";
    const line = `${start}${severity}${escapeControls(text)}\n`;
    for (const sink of sinks) sink.write(line);
  };
}

function jsonWriter(settings: LogSettings, sinks: readonly Sink[]): WriteLine {
  const time = timeOfLine(settings.timestampFormat, null);
  const everySink = {
    write: (line: string) => {
      for (const sink of sinks) sink.write(line);
    },
  };
  const formatted = settings.timestampFormat !== "";
  const timestamp = formatted
    ? () => `,"time":${JSON.stringify(time())}`
    : stdTimeFunctions.isoTime;
  const logger = pino(
    {
      base: null,
      level: "debug",
      customLevels: { notice: 35 },
      formatters: { level: (label) => ({ level: label }) },
      timestamp: settings.timestamp ? timestamp : false,
    },
    everySink,
  );
  return (type, text, fields) => {
    const members = fields ?? {};
    if (type === "error") logger.error(members, text);
    else if (type === "warning") logger.warn(members, text);
    else if (type === "notice") logger.notice(members, text);
    else if (type === "information") logger.info(members, text);
    else if (type === "debug") logger.debug(members, text);
    else logger.info({ type, ...members }, text);
  };
}

/** The time as `format` writes it, computed once a second at most; `plain` serves no format. */
function timeOfLine(format: string, plain: ((now: Date) => string) | null): () => string {
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
