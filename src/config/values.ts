/**
 * The types of option values: what text each accepts, and what it means.
 */
import { LOG_TYPES, type LogType } from "../base/log.ts";
import { parseDurationSeconds, parseInteger } from "../base/quantity.ts";

export interface ValueType<Value> {
  /** The type's name in the table of options. */
  readonly name: string;
  /** What is accepted, as the end of a sentence: "… is not accepted; expected …". */
  readonly form: string;
  /** Whether the value is the rest of the line, blanks included; otherwise it is one word. */
  readonly isRestOfLine: boolean;
  /** @returns null if `text`, never empty and without blanks at its ends, is not accepted */
  readonly read: (text: string) => Value | null;
  /** Why `text` is not accepted, where `form` would not tell; null: it is accepted. */
  readonly explain?: (text: string) => string | null;
}

/** `listener PORT [ADDRESS]`, or `listener 0 PATH` for a Unix socket. */
export interface ListenerValue {
  /** 1 … 65535; 0 lets the system choose a free port. */
  readonly port: number;
  /** An IP address or host name; empty if the line has none. */
  readonly address: string;
  /** The path of a Unix socket; null: TCP. */
  readonly socketPath: string | null;
}

/** `plugin_load NAME PATH`. */
export interface PluginLoadValue {
  readonly name: string;
  readonly path: string;
}

/** `plugin_opt_KEY VALUE`, and `auth_opt_KEY VALUE`. */
export interface PluginOptionValue {
  readonly key: string;
  readonly value: string;
}

/** `server_redirect KIND HOST[:PORT] …`. */
export interface RedirectValue {
  readonly isPermanent: boolean;
  /** The places, a blank between each two.                                   [MQTT 5.0 §4.11] */
  readonly serverReference: string;
}

/** `log_dest KIND`, or `log_dest file PATH`. */
export interface LogDestinationValue {
  readonly kind: (typeof LOG_DESTINATIONS)[number];
  /** Empty but for `file`. */
  readonly path: string;
}

const LOG_DESTINATIONS = [
  "stdout",
  "stderr",
  "file",
  "none",
  "syslog",
  "topic",
  "dlt",
  "android",
] as const;

/** Longest part of a bad value that an error repeats. */
const SHOWN_CHARACTERS_MAX = 60;

/** What is written in a file, as an error shows it. */
export function shown(written: string): string {
  return written.length <= SHOWN_CHARACTERS_MAX
    ? written
    : `${written.slice(0, SHOWN_CHARACTERS_MAX)}…`;
}

/** The highest TCP port. */
const PORT_MAX = 65_535;

/** `true` or `false`, for which mosquitto also takes 1 and 0. */
export const SWITCH: ValueType<boolean> = {
  name: "true or false",
  form: "true or false",
  isRestOfLine: false,
  read: (text) => {
    if (text === "true" || text === "1") return true;
    return text === "false" || text === "0" ? false : null;
  },
};

/** A whole number from `min` to `max`. */
export function integer(min: number, max: number): ValueType<number> {
  return {
    name: "integer",
    form: `an integer from ${min} to ${max}`,
    isRestOfLine: false,
    read: (text) => {
      const value = parseInteger(text);
      return value !== null && value >= min && value <= max ? value : null;
    },
  };
}

/** A span of time; the value is in seconds, SECONDS_NEVER at most. */
export const DURATION: ValueType<number> = {
  name: "duration",
  form: "seconds, or a number with h, d, w, m or y behind it, such as 14d",
  isRestOfLine: false,
  read: parseDurationSeconds,
};

/** One of a few words. */
export function oneOf<const Word extends string>(words: readonly Word[]): ValueType<Word> {
  return {
    name: words.join(" or "),
    form: words.join(" or "),
    isRestOfLine: false,
    read: (text) => words.find((word) => word === text) ?? null,
  };
}

/** Any text up to the end of the line. */
export function text(what: string, charactersMax: number): ValueType<string> {
  return {
    name: what,
    form: `${/^[aeiou]/.test(what) ? "an" : "a"} ${what} of at most ${charactersMax} characters`,
    isRestOfLine: true,
    read: (written) => (written.length <= charactersMax ? written : null),
  };
}

/** `PORT`, see ListenerValue. */
export const PORT: ValueType<number> = {
  name: "port",
  form: `a port from 1 to ${PORT_MAX}, or 0 for any free one`,
  isRestOfLine: false,
  read: (written) => integer(0, PORT_MAX).read(written),
};

/** Longest path of a Unix socket that the system takes, in bytes. */
const SOCKET_PATH_BYTES_MAX = 107;

/** `PORT [ADDRESS]` or `0 PATH`, see ListenerValue. */
export const LISTENER: ValueType<ListenerValue> = {
  name: "PORT [ADDRESS]",
  form: `PORT [ADDRESS], ${PORT.form}; or 0 PATH for a Unix socket`,
  isRestOfLine: true,
  read: (written) => {
    const [, first = "", where = ""] = /^(\S+)[ \t]*(.*)$/.exec(written) ?? [];
    const port = PORT.read(first);
    if (port === null) return null;
    if (where.startsWith("/")) {
      const fits = Buffer.byteLength(where) <= SOCKET_PATH_BYTES_MAX;
      return port === 0 && fits ? { port, address: "", socketPath: where } : null;
    }
    // mosquitto takes no notice of what stands behind the address.
    const address = where.replace(/[ \t].*$/, "");
    return address.startsWith("#") ? null : { port, address, socketPath: null };
  },
};

/** Longest list of places: CONNACK has to stay small. */
const REDIRECT_CHARACTERS_MAX = 1_024;

/** `HOST`, `HOST:PORT`, or an IPv6 address in brackets, with or without a port. */
const PLACE = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?$/;

/** Whether a client could go there: no server listens on port 0, or past the highest. */
function isPlace(written: string): boolean {
  const [isMatch, port = "1"] = PLACE.exec(written) ?? [];
  return isMatch !== undefined && Number(port) >= 1 && Number(port) <= PORT_MAX;
}

/** `temporary HOST[:PORT] …` or `permanent HOST[:PORT] …`. */
export const REDIRECT: ValueType<RedirectValue> = {
  name: "KIND HOST[:PORT] …",
  form:
    "temporary or permanent, then HOST or HOST:PORT at least once, " +
    `with a port from 1 to ${PORT_MAX}`,
  isRestOfLine: true,
  read: (written) => {
    const [kind, ...places] = written.split(/[ \t]+/);
    if (kind !== "temporary" && kind !== "permanent") return null;
    const serverReference = places.join(" ");
    const isValid = places.length > 0 && places.every(isPlace);
    if (!isValid || serverReference.length > REDIRECT_CHARACTERS_MAX) return null;
    return { isPermanent: kind === "permanent", serverReference };
  },
};

/** Longest prefix of Response Topics. */
const RESPONSE_INFORMATION_CHARACTERS_MAX = 1_024;

/** What Topic Names can begin with. */
export const RESPONSE_INFORMATION: ValueType<string> = {
  name: "prefix",
  form: `a prefix of Topic Names, of at most ${RESPONSE_INFORMATION_CHARACTERS_MAX} characters`,
  isRestOfLine: true,
  read: (written) => {
    const isName = !/[+#\0]/.test(written) && written.isWellFormed();
    return isName && written.length <= RESPONSE_INFORMATION_CHARACTERS_MAX ? written : null;
  },
};

/** `stdout`, `file PATH`, … */
export const LOG_DESTINATION: ValueType<LogDestinationValue> = {
  name: "destination",
  form: "stdout, stderr, syslog, topic, none, or file PATH",
  isRestOfLine: true,
  read: (written) => {
    const [, word = "", path = ""] = /^(\S+)[ \t]*(.*)$/.exec(written) ?? [];
    const kind = LOG_DESTINATIONS.find((known) => known === word);
    if (kind === undefined || (kind === "file") !== (path !== "")) return null;
    return { kind, path };
  },
};

/** One of the log's types, or `all`, or `none`; mosquitto's `internal` is a part of `debug`. */
export const LOG_TYPE: ValueType<LogType | "all" | "none" | "internal"> = oneOf([
  ...LOG_TYPES,
  "all",
  "none",
  "internal",
]);

/** Words with blanks between them. */
export function words(what: string): ValueType<readonly string[]> {
  return {
    name: `${what} …`,
    form: `${what}s with blanks between them`,
    isRestOfLine: true,
    read: (written) => written.split(/[ \t,]+/),
  };
}

/** The Protocol Levels of MQTT 3.1, 3.1.1 and 5.0. */
export type ProtocolVersion = 3 | 4 | 5;

const VERSION_NUMBERS: readonly ProtocolVersion[] = [3, 4, 5];

/** `3, 4, 5` or a part of it. */
export const VERSIONS: ValueType<ReadonlySet<ProtocolVersion>> = {
  name: "list of 3, 4, 5",
  form: "a list of 3, 4 and 5 with commas between them",
  isRestOfLine: true,
  read: (written) => {
    const versions = written
      .split(",")
      .map((word) => VERSION_NUMBERS.find((version) => `${version}` === word.trim()));
    const known = versions.filter((version) => version !== undefined);
    return known.length === versions.length ? new Set(known) : null;
  },
};

/** Longest prefix that a mount point puts before all topics. */
const MOUNT_POINT_CHARACTERS_MAX = 1_024;

/** What Topic Names can begin with, as a mount point. */
export const TOPIC_PREFIX: ValueType<string> = {
  name: "prefix",
  form: `a prefix of Topic Names, without + and #, to ${MOUNT_POINT_CHARACTERS_MAX} characters`,
  isRestOfLine: true,
  read: (written) => {
    const isName = !/[+#\0]/.test(written) && written.isWellFormed();
    return isName && written.length <= MOUNT_POINT_CHARACTERS_MAX ? written : null;
  },
};

/** `NAME PATH`, see PluginLoadValue. */
export const PLUGIN_LOAD: ValueType<PluginLoadValue> = {
  name: "NAME PATH",
  form: "a name, then the path of the plugin",
  isRestOfLine: true,
  read: (written) => {
    const [, name = "", path = ""] = /^(\S+)[ \t]+(.+)$/.exec(written) ?? [];
    return path === "" ? null : { name, path };
  },
};

/** `KEY VALUE`, see PluginOptionValue: the parser has cut `plugin_opt_` off. */
export const PLUGIN_OPTION: ValueType<PluginOptionValue> = {
  name: "text",
  form: "a value behind it",
  isRestOfLine: true,
  read: (written) => {
    const [, key = "", value = ""] = /^(\S+)[ \t]*(.*)$/.exec(written) ?? [];
    return { key, value };
  },
};

/** `local0` … `local7` as 0 to 7. */
export const LOG_FACILITY: ValueType<number> = integer(0, 7);
