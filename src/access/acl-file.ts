/**
 * An ACL file as mosquitto has it: who may read and write which topics.
 *
 *   topic [read|write|readwrite|deny] FILTER     before the first user: for anonymous clients
 *   user NAME                                    from here on: for this user
 *   pattern [read|write|readwrite|deny] FILTER   for everybody, with %c and %u
 *
 * A line that begins with `#` is a comment; white space around a line does not count, and within
 * it blanks part the words, no tabs. Without a word of access it is readwrite; a filter that has
 * blanks in it needs the word.
 */
import { readFileSync } from "node:fs";
import { StartError } from "../base/errors.ts";
import { nearest } from "../base/nearest.ts";
import { type AccessRule, READ, WRITE } from "./access-rules.ts";

export interface AclFile {
  /** Of clients without a user name; what denies comes first, as in each list here. */
  readonly anonymous: readonly AccessRule[];
  readonly users: ReadonlyMap<string, readonly AccessRule[]>;
  readonly patterns: readonly AccessRule[];
  /** `FILE:LINE: sentence` for lines that are obeyed, but hardly meant so. */
  readonly warnings: readonly string[];
}

/** What a word of access decides. */
const ACCESSES: ReadonlyMap<string, Pick<AccessRule, "actions" | "allows">> = new Map([
  ["read", { actions: READ, allows: true }],
  ["write", { actions: WRITE, allows: true }],
  ["readwrite", { actions: READ | WRITE, allows: true }],
  ["deny", { actions: READ | WRITE, allows: false }],
]);
const WORDS = ["topic", "user", "pattern"];
const FORMS = "read, write, readwrite, deny";

/** Longest Topic Filter, bytes of UTF-8.                                            [§1.5.4] */
const FILTER_BYTES_MAX = 65_535;
/** Longest part of a bad line that is repeated. */
const SHOWN_CHARACTERS_MAX = 60;

/** Rules of a section, as the lines come. */
export interface RuleLists {
  readonly allowing: AccessRule[];
  readonly denying: AccessRule[];
}

export function newRuleLists(): RuleLists {
  return { allowing: [], denying: [] };
}

function inOrder({ allowing, denying }: RuleLists): AccessRule[] {
  return [...denying, ...allowing];
}

/**
 * Reads an ACL file.
 *
 * @throws StartError with `FILE:LINE: sentence` for the first line that is not accepted, or where
 *   it cannot be read
 */
export function readAclFile(path: string, warn: (sentence: string) => void): AclFile {
  const file = parseAclFile(path, readAclContent("acl_file", path));
  for (const sentence of file.warnings) warn(sentence);
  return file;
}

/** @throws StartError, in which `option` names it, where it cannot be read */
export function readAclContent(option: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StartError(`${option} ${path} cannot be read: ${why}`);
  }
}

/** The lines that say something, without white space around them. */
export function* linesOfAcl(
  path: string,
  content: string,
): Generator<{ readonly at: string; readonly line: string }> {
  const lines = content.replace(/^\ufeff/, "").split("\n");
  for (const [index, written] of lines.entries()) {
    const line = written.trim();
    if (written.startsWith("#") || line === "") continue;
    yield { at: `${path}:${index + 1}`, line };
  }
}

/** As readAclFile(), of a file's content; `path` is for its sentences only. */
export function parseAclFile(path: string, content: string): AclFile {
  const anonymous = newRuleLists();
  const users = new Map<string, RuleLists>();
  const patterns = newRuleLists();
  const warnings: string[] = [];
  let section = anonymous;
  for (const { at, line } of linesOfAcl(path, content)) {
    const [, word = "", rest = ""] = /^([^ ]*) *(.*)$/s.exec(line) ?? [];
    if (word === "user") {
      if (rest === "") throw new StartError(`${at}: user needs a name: user NAME`);
      section = users.get(rest) ?? newRuleLists();
      users.set(rest, section);
    } else if (word === "topic" || word === "pattern") {
      const rule = ruleOf(at, word, rest);
      if (word === "pattern" && rule.substitutes !== true) {
        warnings.push(
          `${at}: the pattern has neither %c nor %u, so it is the same topic for everybody`,
        );
      }
      const lists = word === "pattern" ? patterns : section;
      (rule.allows ? lists.allowing : lists.denying).push(rule);
    } else {
      throw new StartError(`${at}: ${unknownAclWord(word)}`);
    }
  }
  return {
    anonymous: inOrder(anonymous),
    users: new Map([...users].map(([name, lists]) => [name, inOrder(lists)])),
    patterns: inOrder(patterns),
    warnings,
  };
}

/** What is written in a file, as an error shows it. */
export function shownAcl(text: string): string {
  if (text.length <= SHOWN_CHARACTERS_MAX) return text;
  return `${text.slice(0, SHOWN_CHARACTERS_MAX)}…`;
}

/** What is said of a line that begins with no word of an ACL file. */
export function unknownAclWord(word: string): string {
  const meant = nearest(word, WORDS);
  const guess = meant === null ? "" : `; did you mean ${meant}?`;
  const tab = word.includes("\t") ? "; a tab does not part words, use a blank" : "";
  return `unknown word "${shownAcl(word)}", expected topic, user or pattern${guess || tab}`;
}

function ruleOf(at: string, word: string, rest: string): AccessRule {
  const [, first = "", filter = ""] = /^([^ ]*) *(.*)$/s.exec(rest) ?? [];
  if (first === "") throw new StartError(`${at}: ${word} needs a Topic Filter`);
  // One word alone is the filter, even one of access.
  const access = filter === "" ? "readwrite" : first;
  const decided = ACCESSES.get(access);
  if (decided === undefined) {
    const hint = `; a filter with blanks needs one of them first: ${word} readwrite ${rest}`;
    throw new StartError(`${at}: "${shownAcl(first)}" is none of ${FORMS}${shownAcl(hint)}`);
  }
  const text = filter === "" ? first : filter;
  checkFilter(at, text);
  const rule = { ...decided, filter: text, isLiteral: false } as const;
  return word === "pattern" && /%[cu]/.test(text) ? { ...rule, substitutes: true } : rule;
}

/** @throws StartError where this is no Topic Filter */
export function checkFilter(at: string, text: string): void {
  const fault = faultOfFilter(text);
  if (fault !== null) throw new StartError(`${at}: Topic Filter "${shownAcl(text)}": ${fault}`);
}

/** @returns why this is no Topic Filter; null: it is one, §4.7 */
export function faultOfFilter(filter: string): string | null {
  if (filter.includes("\0")) return "it has a null character";
  if (Buffer.byteLength(filter) > FILTER_BYTES_MAX) return "it is too long";
  const levels = filter.split("/");
  for (const [index, level] of levels.entries()) {
    if (level.includes("#") && (level !== "#" || index !== levels.length - 1)) {
      return "# may only be the whole last level"; // [MQTT-4.7.1-1]
    }
    // [MQTT-4.7.1-2]
    if (level.includes("+") && level !== "+") return "+ may only be a whole level";
  }
  return null;
}
