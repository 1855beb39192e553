/**
 * The log: one line per event, in mosquitto's form or as JSON.
 *
 *   1699999999: New client connected from 127.0.0.1:50000 as sensor-1 (p5, c1, k30).
 *   {"level":"notice","time":"2023-11-14T22:13:19.000Z","msg":"New client connected …"}
 *
 * Never the payload of an Application Message, never a password. Control characters in a line
 * (a Client Identifier may hold them) are escaped, so that no client can forge a line; and so are
 * those that nobody sees or that turn round what stands beside them.
 *
 * Lines are written outside the event loop: a reader that stalls costs lines, never time.
 */
import { pino, stdTimeFunctions } from "pino";
import { LOG_LINE_CHARACTERS_MAX } from "./limits.ts";
import { DescriptorSink, openFileSink, type Sink, SyslogSink, TopicSink } from "./log-sink.ts";
import { timeOfLine } from "./log-time.ts";

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
  | { readonly kind: "stdout" | "stderr" | "topic" | "syslog" }
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
  /** As mosquitto writes its lines, or one JSON object each. */
  readonly format: "text" | "json";
  /** The facility of syslog: 0 to 7 for local0 to local7; null or left out: daemon. */
  readonly facility?: number | null;
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

/** The log and its destinations: what only its owner calls. */
export interface OpenLog extends Log {
  /** Lines that were dropped, since a destination took them too slowly or not at all. */
  lostLines(): number;
  /**
   * Opens the destinations of other settings, or its files again, and closes those it had.
   *
   * @throws the system's error if a file cannot be opened; the log goes on as before
   */
  replace(settings: LogSettings): void;
  /**
   * Who publishes what goes to topics; null: nobody. Lines that were logged before are published
   * first.
   */
  publishTo(publish: ((topic: string, text: string) => void) | null): void;
  /** Settles when every line is written, or after a second; the log is unusable afterwards. */
  close(): Promise<void>;
}

type WriteLine = (type: LogType, text: string, fields: LogFields | undefined) => void;
type LogSink = Sink<LogType>;

/**
 * Control characters, the two separators that some viewers take for a line's end, and what is
 * invisible: of no width, or telling in which direction to read.
 */
const CONTROL_CHARACTERS =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what the log must not hold.
  /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g;

/** A log as it is set. */
interface Opened {
  readonly settings: LogSettings;
  /** By destination. */
  readonly sinks: ReadonlyMap<string, LogSink>;
  readonly write: WriteLine;
}

/**
 * Opens the log.
 *
 * @throws the system's error if a file cannot be opened for appending
 */
export function createLog(first: LogSettings): OpenLog {
  const topics = new TopicSink<LogType>();
  let opened = open(first, new Map(), topics);
  let lostBefore = 0;
  const has = (type: LogType): boolean => opened.sinks.size > 0 && opened.settings.types.has(type);
  const emit = (type: LogType, text: string, fields: LogFields | undefined): void => {
    if (!has(type)) return;
    const isLong = text.length > LOG_LINE_CHARACTERS_MAX;
    opened.write(type, isLong ? `${text.slice(0, LOG_LINE_CHARACTERS_MAX)}…` : text, fields);
  };
  const lost = (): number =>
    [...opened.sinks.values()].reduce((sum, sink) => sum + sink.lostLines, 0);
  return {
    error: (text, fields) => emit("error", text, fields),
    warn: (text, fields) => emit("warning", text, fields),
    notice: (text, fields) => emit("notice", text, fields),
    info: (text, fields) => emit("information", text, fields),
    debug: (text, fields) => emit("debug", text, fields),
    subscribe: (text, fields) => emit("subscribe", withoutFailure(text), fields),
    unsubscribe: (text, fields) => emit("unsubscribe", withoutFailure(text), fields),
    has,
    lostLines: () => lostBefore + lost(),
    replace: (settings) => {
      const before = opened;
      const lostSoFar = lost();
      opened = open(settings, before.sinks, topics);
      lostBefore += lostSoFar - lost();
      const kept = new Set(opened.sinks.values());
      for (const sink of before.sinks.values()) if (!kept.has(sink)) void sink.close();
    },
    publishTo: (publish) =>
      topics.publishTo(
        publish === null
          ? null
          : ({ type, text }) => {
              const topic = TOPICS[type];
              if (topic !== null) publish(topic, text);
            },
      ),
    close: async () => {
      await Promise.all([...opened.sinks.values()].map((sink) => sink.close()));
    },
  };
}

/**
 * A line that begins with a Client Identifier must not read as one about a failed login: whoever
 * bans addresses goes by its first words.
 */
function withoutFailure(text: string): string {
  return text.replace(/^A(?=uthentication failed)/, "\\x41");
}

/** The levels below `$SYS/broker/log/`; mosquitto publishes nothing about single packets. */
const TOPICS: Readonly<Record<LogType, string | null>> = {
  error: "E",
  warning: "W",
  notice: "N",
  information: "I",
  debug: null,
  subscribe: "M/subscribe",
  unsubscribe: "M/unsubscribe",
  websockets: "WS",
};

/** The severities of syslog. */
const SEVERITIES: Readonly<Record<LogType, string>> = {
  error: "err",
  warning: "warning",
  notice: "notice",
  information: "info",
  debug: "debug",
  subscribe: "notice",
  unsubscribe: "notice",
  websockets: "debug",
};

/** Whose lines they are to syslog: the name that is looked for where mosquitto was. */
const SYSLOG_TAG = `mosquitto[${process.pid}]`;

/** @param before  sinks that are open: all but files are used again */
function open(
  settings: LogSettings,
  before: ReadonlyMap<string, LogSink>,
  topics: TopicSink<LogType>,
): Opened {
  const sinks = new Map<string, LogSink>();
  const facility = (settings.facility ?? null) === null ? "daemon" : `local${settings.facility}`;
  const files: LogSink[] = [];
  try {
    for (const destination of settings.destinations) {
      const { kind } = destination;
      if (kind === "file") {
        const { path } = destination;
        const file = openFileSink<LogType>(path, (why) => tell(`log_dest file ${path}: ${why}`));
        files.push(file);
        sinks.set(`file ${path}`, file);
      } else {
        const key = kind === "syslog" ? `syslog ${facility}` : kind;
        sinks.set(key, before.get(key) ?? openSink(kind, facility, topics));
      }
    }
  } catch (error) {
    for (const file of files) void file.close();
    throw error;
  }
  const all = [...sinks.values()];
  const isJson = settings.format === "json";
  return { settings, sinks, write: isJson ? jsonWriter(settings, all) : textWriter(settings, all) };
}

function openSink(
  kind: "stdout" | "stderr" | "topic" | "syslog",
  facility: string,
  topics: TopicSink<LogType>,
): LogSink {
  if (kind === "topic") return topics;
  if (kind === "stdout") return new DescriptorSink(1, (why) => tell(`log_dest stdout: ${why}`));
  // Where it is stderr itself that fails nobody can be told.
  if (kind === "stderr") return new DescriptorSink(2, () => undefined);
  const priorityOf = (type: LogType): string => `${facility}.${SEVERITIES[type]}`;
  return new SyslogSink(SYSLOG_TAG, priorityOf, (why) => tell(`log_dest syslog: ${why}`));
}

/** The log cannot tell of itself where its destination fails. */
function tell(why: string): void {
  // Without a listener a stderr that is closed would end the process.
  if (process.stderr.listenerCount("error") === 0) process.stderr.on("error", () => undefined);
  process.stderr.write(`holdfast: ${why}: lines are lost\n`);
}

/** `text` with every control character written as `\xNN` or `\uNNNN`. */
export function escapeControls(text: string): string {
  return text.replace(CONTROL_CHARACTERS, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : codeOf(character);
  });
}

function codeOf(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

function textWriter(settings: LogSettings, sinks: readonly LogSink[]): WriteLine {
  const time = timeOfLine(settings.timestampFormat, (now) => `${Math.floor(now.getTime() / 1000)}`);
  return (type, text) => {
    const severity = type === "error" ? "Error: " : type === "warning" ? "Warning: " : "";
    const start = settings.timestamp ? `${time()}: ` : "";
    const line = { type, text: `${start}${severity}${escapeControls(text)}` };
    for (const sink of sinks) sink.write(line);
  };
}

function jsonWriter(settings: LogSettings, sinks: readonly LogSink[]): WriteLine {
  const time = timeOfLine(settings.timestampFormat, null);
  let typeAtHand: LogType = "information";
  const everySink = {
    write: (line: string) => {
      // They stand in strings only: what JSON leaves as it is is escaped in its own way.
      const text = line.trimEnd().replace(CONTROL_CHARACTERS, codeOf);
      for (const sink of sinks) sink.write({ type: typeAtHand, text });
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
    typeAtHand = type;
    const members = fields ?? {};
    if (type === "error") logger.error(members, text);
    else if (type === "warning") logger.warn(members, text);
    else if (type === "notice") logger.notice(members, text);
    else if (type === "information") logger.info(members, text);
    else if (type === "debug") logger.debug(members, text);
    else logger.info({ type, ...members }, text);
  };
}
