/**
 * An ACL file as the backend `files` of mosquitto-go-auth reads it.
 *
 *   topic [ACCESS] FILTER      before the first user: for everybody, with %c and %u
 *   user NAME                  from here on: for this user, if the password file has it
 *   pattern [ACCESS] FILTER    for everybody, with %c and %u
 *
 * ACCESS is read, write, readwrite, subscribe or deny; without it, it is readwrite. Who may read
 * may subscribe, but to `#` itself only with readwrite or subscribe; who may subscribe may not read
 * for that.
 */
import { StartError } from "../base/errors.ts";
import { type AccessRule, READ, SUBSCRIBE, WRITE } from "./access-rules.ts";
import {
  checkFilter,
  linesOfAcl,
  newRuleLists,
  type RuleLists,
  readAclContent,
  shownAcl,
  unknownAclWord,
} from "./acl-file.ts";

export interface GoAuthAclFile {
  /** For everybody. */
  readonly general: RuleLists;
  readonly users: ReadonlyMap<string, RuleLists>;
  /** `FILE:LINE: sentence` for lines that count for nobody. */
  readonly warnings: readonly string[];
}

/** What a word of access decides. */
const ACCESSES: ReadonlyMap<
  string,
  Pick<AccessRule, "actions" | "allows" | "comparesText">
> = new Map([
  ["read", { actions: READ | SUBSCRIBE, allows: true, comparesText: "all but #" }],
  ["write", { actions: WRITE, allows: true }],
  ["readwrite", { actions: READ | WRITE | SUBSCRIBE, allows: true, comparesText: "all" }],
  ["subscribe", { actions: SUBSCRIBE, allows: true, comparesText: "all" }],
  ["deny", { actions: READ | WRITE | SUBSCRIBE, allows: false, comparesText: "all" }],
]);
const FORMS = [...ACCESSES.keys()].join(", ");

/**
 * Reads an ACL file of go-auth's.
 *
 * @param known  the users of the password file; null: there is none, and all sections count
 * @throws StartError with `FILE:LINE: sentence` for the first line that is not accepted, or where
 *   it cannot be read
 */
export function readGoAuthAclFile(
  path: string,
  known: { has(user: string): boolean } | null,
  warn: (sentence: string) => void,
): GoAuthAclFile {
  const content = readAclContent("auth_opt_files_acl_path", path);
  const file = parseGoAuthAclFile(path, content, known);
  for (const sentence of file.warnings) warn(sentence);
  return file;
}

/** As readGoAuthAclFile(), of a file's content; `path` is for its sentences only. */
export function parseGoAuthAclFile(
  path: string,
  content: string,
  known: { has(user: string): boolean } | null,
): GoAuthAclFile {
  const general = newRuleLists();
  const users = new Map<string, RuleLists>();
  const warnings: string[] = [];
  let section = general;
  for (const { at, line } of linesOfAcl(path, content)) {
    const [, word = "", rest = ""] = /^(\S+)\s*(.*)$/s.exec(line) ?? [];
    if (word === "user") {
      if (rest === "") throw new StartError(`${at}: user needs a name: user NAME`);
      const isKnown = known === null || known.has(rest);
      if (!isKnown) {
        const who = `the user ${shownAcl(rest)} is not in the password file`;
        warnings.push(`${at}: ${who}: the topics below count for nobody`);
      }
      section = users.get(rest) ?? newRuleLists();
      if (isKnown) users.set(rest, section);
    } else if (word === "topic" || word === "pattern") {
      const isGeneral = word === "pattern" || section === general;
      const rule = ruleOf(at, word, rest, isGeneral);
      const lists = isGeneral ? general : section;
      (rule.allows ? lists.allowing : lists.denying).push(rule);
    } else {
      throw new StartError(`${at}: ${unknownAclWord(word)}`);
    }
  }
  return { general, users, warnings };
}

function ruleOf(at: string, word: string, rest: string, isGeneral: boolean): AccessRule {
  if (rest === "") throw new StartError(`${at}: ${word} needs a Topic Filter`);
  // One word alone is the filter, even one of access; a tab parts words only there.
  const isAlone = !/\s/.test(rest);
  const [first = ""] = rest.split(" ");
  const decided = ACCESSES.get(isAlone ? "readwrite" : first);
  if (decided === undefined) {
    throw new StartError(`${at}: "${shownAcl(first)}" is none of ${FORMS}`);
  }
  const filter = isAlone ? rest : rest.slice(first.length).trim();
  checkFilter(at, filter);
  const rule = { ...decided, filter, isLiteral: false } as const;
  return isGeneral && /%[cu]/.test(filter) ? { ...rule, substitutes: true } : rule;
}
