/**
 * The lines of a mosquitto.conf: `name value`, and `#` in the first column for a comment.
 *
 * Every line is judged for itself; what lines mean together is configuration.ts's.
 */
import { nearest } from "../base/nearest.ts";
import { type ConfigurationFile, filesIn } from "./include.ts";
import type { Option } from "./option.ts";
import { ALIASES, isOptionName, OPTIONS, type OptionName } from "./options.ts";
import { isOfBridge, isWhatHappens, reasonUnobeyed, UNOBEYED_NAMES } from "./unobeyed.ts";
import { shown } from "./values.ts";

/** One accepted line; `value` is an OptionValue<typeof name>. */
export interface Entry {
  readonly name: OptionName;
  readonly value: unknown;
  /** `FILE:LINE`, the line counted from 1. */
  readonly at: string;
  /** Which `listener` line it stands below, counted from 1; 0: none. */
  readonly section: number;
}

export interface ParsedFile {
  /** In the order of the file, those of an `include_dir` where it stands. */
  readonly entries: readonly Entry[];
  /** `FILE:LINE: sentence` for each line that is not accepted; any of them forbids the start. */
  readonly errors: readonly string[];
  /** `FILE:LINE: sentence` for each line that is accepted and not obeyed as a whole. */
  readonly warnings: readonly string[];
  /** The files that were read, but for the first. */
  readonly included: readonly string[];
}

/** What one line came to; all null for a comment. */
interface JudgedLine {
  readonly entry?: Pick<Entry, "name" | "value">;
  readonly error?: string;
  readonly warning?: string;
  /** A line about a bridge. */
  readonly bridge?: { readonly name: string; readonly value: string };
}

/** A file whose lines are being read. */
interface OpenFile {
  readonly name: string;
  readonly lines: readonly string[];
  /** Index of the next line. */
  next: number;
  /** Which listener its lines belong to. */
  section: number;
}

/** A `connection` line, and how many lines about bridges stand below it. */
interface Bridge {
  readonly at: string;
  readonly name: string;
  lineCount: number;
}

/**
 * Reads all lines, bad ones included, so that one run shows everything there is to mend.
 */
export function parseFile(file: ConfigurationFile): ParsedFile {
  const parser = new Parser();
  // Files that an include_dir names stand before the rest of the file that named it.
  const open = [openFile(file)];
  for (let current = open.at(-1); current !== undefined; current = open.at(-1)) {
    const written = current.lines[current.next++];
    if (written === undefined) {
      open.pop();
      continue;
    }
    const directory = parser.take(current, written, open.length > 1);
    if (directory !== null) open.push(...parser.include(current, directory));
  }
  return parser.finish();
}

/** Lines of listeners begin anew in each file, as in mosquitto. */
function openFile({ name, content }: ConfigurationFile): OpenFile {
  return { name, lines: content.replace(/^\ufeff/, "").split("\n"), next: 0, section: 0 };
}

/** Gathers what the lines come to. */
class Parser {
  readonly #entries: Entry[] = [];
  readonly #errors: string[] = [];
  readonly #warnings: string[] = [];
  readonly #bridges: Bridge[] = [];
  readonly #included: string[] = [];
  #sectionCount = 0;

  /**
   * Takes the line that was read last.
   *
   * @returns the directory of an `include_dir` that counts; null: another line
   */
  take(file: OpenFile, written: string, isIncluded: boolean): string | null {
    const at = `${file.name}:${file.next}`;
    const { entry, error, warning, bridge } = judgeLine(written);
    if (error !== undefined) this.#errors.push(`${at}: ${error}`);
    if (warning !== undefined) this.#warnings.push(`${at}: ${warning}`);
    if (bridge !== undefined) this.#takeBridge(bridge, at);
    if (entry === undefined) return null;
    if (entry.name === "listener") file.section = ++this.#sectionCount;
    if (entry.name !== "include_dir") {
      this.#entries.push({ ...entry, at, section: file.section });
      return null;
    }
    if (!isIncluded) return entry.value as string;
    this.#warnings.push(`${at}: include_dir is read in the main file only; this one is not obeyed`);
    return null;
  }

  /** @returns the files of the directory, the last one first */
  include(file: OpenFile, directory: string): OpenFile[] {
    const files = filesIn(directory);
    if (typeof files !== "string") {
      this.#included.push(...files.map(({ name }) => name));
      return files.map(openFile).reverse();
    }
    this.#errors.push(`${file.name}:${file.next}: include_dir: ${files}`);
    return [];
  }

  /** Bridges have many lines: what is said of one is said once. */
  #takeBridge({ name, value }: NonNullable<JudgedLine["bridge"]>, at: string): void {
    const latest = this.#bridges.at(-1);
    if (name === "connection") this.#bridges.push({ at, name: shown(value), lineCount: 0 });
    else if (latest !== undefined) latest.lineCount++;
    else this.#warnings.push(`${at}: ${name} ${reasonUnobeyed(name)}`);
  }

  finish(): ParsedFile {
    for (const { at, name, lineCount } of this.#bridges) {
      this.#warnings.push(
        `${at}: the bridge ${name} is not set up: bridges are not supported, and nothing is ` +
          `forwarded; ${lineCount} lines below it are not obeyed`,
      );
    }
    const [entries, included] = [this.#entries, this.#included];
    return { entries, errors: this.#errors, warnings: this.#warnings, included };
  }
}

/** Options of plugins, of which there are as many as there are plugins. */
const PLUGIN_PREFIXES = ["plugin_opt_", "auth_opt_"];

function judgeLine(written: string): JudgedLine {
  if (written.startsWith("#")) return {};
  const [, name = "", value = ""] = /^(\S+)[ \t]*(.*)$/.exec(written.trim()) ?? [];
  if (name === "") return {};
  if (name.startsWith("#")) return { error: "a comment begins in the first column of its line" };
  const prefix = PLUGIN_PREFIXES.find((known) => name.startsWith(known));
  if (prefix !== undefined && name !== prefix) {
    return judgeOption("plugin_opt_*", shown(name), `${name.slice(prefix.length)} ${value}`);
  }
  const option = ALIASES.get(name) ?? name;
  return isOptionName(option) ? judgeOption(option, name, value) : judgeOther(name, value);
}

/** @param alias  the option's name as it is written */
function judgeOption(name: OptionName, alias: string, written: string): JudgedLine {
  const { type, notice }: Option<unknown> = OPTIONS[name];
  if (written === "") return { error: `${alias} has no value; expected ${type.form}` };
  const [word = "", ...rest] = type.isRestOfLine ? [written] : written.split(/[ \t]+/);
  const value = type.read(word);
  if (value === null) {
    const reason = type.explain?.(word) ?? null;
    if (reason !== null) return { error: `${alias}: ${reason}` };
    return { error: `${alias}: "${shown(word)}" is not accepted; expected ${type.form}` };
  }
  const entry = { name, value };
  if (rest.length > 0) {
    const ignored = shown(rest.join(" "));
    return {
      entry,
      warning: `${alias}: "${ignored}" behind the value is ignored; a comment needs its own line`,
    };
  }
  return notice === undefined ? { entry } : { entry, warning: `${alias} ${notice}` };
}

function judgeOther(name: string, value: string): JudgedLine {
  if (isWhatHappens(name, value)) return {};
  if (isOfBridge(name)) return { bridge: { name, value } };
  const reason = reasonUnobeyed(name);
  if (reason !== null) return { warning: `${name} ${reason}` };
  const guess = nearest(name, [...Object.keys(OPTIONS), ...ALIASES.keys(), ...UNOBEYED_NAMES]);
  const hint = guess === null ? "" : `; did you mean ${guess}?`;
  return { error: `unknown option ${shown(name)}${hint}` };
}
