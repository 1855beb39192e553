/**
 * The lines of a mosquitto.conf: `name value`, and `#` in the first column for a comment.
 *
 * Every line is judged for itself; what lines mean together is configuration.ts's.
 */
import { nearest } from "../base/nearest.ts";
import { isOptionName, OPTIONS, type Option, type OptionName } from "./options.ts";
import { judgeUnsupported, UNSUPPORTED_NAMES } from "./unsupported.ts";

/** One accepted line; `value` is an OptionValue<typeof name>. */
export interface Entry {
  readonly name: OptionName;
  readonly value: unknown;
  /** Counted from 1. */
  readonly line: number;
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
    const line = index + 1;
    const judged = judgeLine(written, line);
    if (judged.entry !== undefined) entries.push(judged.entry);
    if (judged.error !== undefined) errors.push(`${file}:${line}: ${judged.error}`);
    if (judged.warning !== undefined) warnings.push(`${file}:${line}: ${judged.warning}`);
  }
  return { entries, errors, warnings };
}

function judgeLine(written: string, line: number): JudgedLine {
  if (written.startsWith("#")) return {};
  const [, name = "", value = ""] = /^(\S+)[ \t]*(.*)$/.exec(written.trim()) ?? [];
  if (name === "") return {};
  if (name.startsWith("#")) return { error: "a comment begins in the first column of its line" };
  return isOptionName(name) ? judgeOption(name, value, line) : judgeOther(name, value);
}

function judgeOption(name: OptionName, written: string, line: number): JudgedLine {
  const { type, notice }: Option<unknown> = OPTIONS[name];
  if (written === "") return { error: `${name} has no value; expected ${type.form}` };
  const [word = "", ...rest] = type.isRestOfLine ? [written] : written.split(/[ \t]+/);
  const value = type.read(word);
  if (value === null) {
    const reason = type.explain?.(word) ?? null;
    if (reason !== null) return { error: `${name}: ${reason}` };
    return { error: `${name}: "${shorten(word)}" is not accepted; expected ${type.form}` };
  }
  const entry: Entry = { name, value, line };
  if (rest.length > 0) {
    const ignored = shorten(rest.join(" "));
    return {
      entry,
      warning: `${name}: "${ignored}" behind the value is ignored; a comment needs its own line`,
    };
  }
  return notice === undefined ? { entry } : { entry, warning: `${name} ${notice}` };
}

function judgeOther(name: string, value: string): JudgedLine {
  const { verdict, reason } = judgeUnsupported(name, value);
  if (verdict === "ignored") return { warning: `${name} is not supported yet and ignored` };
  if (verdict === "refused") {
    return { error: `${name} is not supported yet, and ignoring it would be unsafe: ${reason}` };
  }
  const guess = nearest(name, [...Object.keys(OPTIONS), ...UNSUPPORTED_NAMES]);
  const hint = guess === null ? "" : `; did you mean ${guess}?`;
  return { error: `unknown option ${shorten(name)}${hint}` };
}

function shorten(written: string): string {
  return written.length <= SHOWN_CHARACTERS_MAX
    ? written
    : `${written.slice(0, SHOWN_CHARACTERS_MAX)}…`;
}
