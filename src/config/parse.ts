/**
 * The lines of a mosquitto.conf: `name value`, and `#` in the first column for a comment.
 *
 * Every line is judged for itself; what lines mean together is configuration.ts's.
 */
import { nearest } from "../base/nearest.ts";
import type { Option } from "./option.ts";
import { ALIASES, isOptionName, OPTIONS, type OptionName } from "./options.ts";
import { isUnbuilt, reasonUnbuilt } from "./unbuilt.ts";
import { reasonUnobeyed, UNOBEYED_NAMES } from "./unobeyed.ts";

/** One accepted line; `value` is an OptionValue<typeof name>. */
export interface Entry {
  readonly name: OptionName;
  readonly value: unknown;
  /** `FILE:LINE`, the line counted from 1. */
  readonly at: string;
}

export interface ParsedFile {
  /** In the order of the file. */
  readonly entries: readonly Entry[];
  /** `FILE:LINE: sentence` for each line that is not accepted; any of them forbids the start. */
  readonly errors: readonly string[];
  /** `FILE:LINE: sentence` for each line that is accepted and not obeyed as a whole. */
  readonly warnings: readonly string[];
}

/** What one line came to; all null for a comment. */
interface JudgedLine {
  readonly entry?: Entry;
  readonly error?: string;
  readonly warning?: string;
}

/** Longest part of a bad value that an error line repeats. */
const SHOWN_CHARACTERS_MAX = 60;

/**
 * Reads all lines, bad ones included, so that one run shows everything there is to mend.
 *
 * @param file  its name, for the errors only
 */
export function parseFile(file: string, content: string): ParsedFile {
  const entries: Entry[] = [];
  const errors: string[] = [];
  const warnings: string[] = [];
  const lines = content.replace(/^\ufeff/, "").split("\n");
  for (const [index, written] of lines.entries()) {
    const at = `${file}:${index + 1}`;
    const judged = judgeLine(written, at);
    if (judged.entry !== undefined) entries.push(judged.entry);
    if (judged.error !== undefined) errors.push(`${at}: ${judged.error}`);
    if (judged.warning !== undefined) warnings.push(`${at}: ${judged.warning}`);
  }
  return { entries, errors, warnings };
}

/** Options of plugins, of which there are as many as there are plugins. */
const PLUGIN_PREFIXES = ["plugin_opt_", "auth_opt_"];

function judgeLine(written: string, at: string): JudgedLine {
  if (written.startsWith("#")) return {};
  const [, name = "", value = ""] = /^(\S+)[ \t]*(.*)$/.exec(written.trim()) ?? [];
  if (name === "") return {};
  if (name.startsWith("#")) return { error: "a comment begins in the first column of its line" };
  const prefix = PLUGIN_PREFIXES.find((known) => name.startsWith(known));
  if (prefix !== undefined && name !== prefix) {
    return judgeOption("plugin_opt_*", name, `${name.slice(prefix.length)} ${value}`, at);
  }
  const option = ALIASES.get(name) ?? name;
  return isOptionName(option) ? judgeOption(option, name, value, at) : judgeOther(name);
}

/** @param shown  the option's name as it is written */
function judgeOption(name: OptionName, shown: string, written: string, at: string): JudgedLine {
  const { type, notice }: Option<unknown> = OPTIONS[name];
  if (written === "") return { error: `${shown} has no value; expected ${type.form}` };
  const [word = "", ...rest] = type.isRestOfLine ? [written] : written.split(/[ \t]+/);
  const value = type.read(word);
  if (value === null) {
    const reason = type.explain?.(word) ?? null;
    if (reason !== null) return { error: `${shown}: ${reason}` };
    return { error: `${shown}: "${shorten(word)}" is not accepted; expected ${type.form}` };
  }
  const unbuilt = reasonUnbuilt(name, word);
  if (unbuilt !== null) {
    return {
      error: `${shown} is not supported yet, and ignoring it would be unsafe: ${unbuilt}`,
    };
  }
  const entry: Entry = { name, value, at };
  if (rest.length > 0) {
    const ignored = shorten(rest.join(" "));
    return {
      entry,
      warning: `${shown}: "${ignored}" behind the value is ignored; a comment needs its own line`,
    };
  }
  if (isUnbuilt(name)) return { entry, warning: `${shown} is not supported yet and ignored` };
  return notice === undefined ? { entry } : { entry, warning: `${shown} ${notice}` };
}

function judgeOther(name: string): JudgedLine {
  const reason = reasonUnobeyed(name);
  if (reason !== null) return { warning: `${name} ${reason}` };
  const guess = nearest(name, [...Object.keys(OPTIONS), ...ALIASES.keys(), ...UNOBEYED_NAMES]);
  const hint = guess === null ? "" : `; did you mean ${guess}?`;
  return { error: `unknown option ${shorten(name)}${hint}` };
}

function shorten(written: string): string {
  return written.length <= SHOWN_CHARACTERS_MAX
    ? written
    : `${written.slice(0, SHOWN_CHARACTERS_MAX)}…`;
}
