/**
 * Mutants: copies of a source in which one status, Reason Code or comparison is another one.
 *
 *   comparison     a < b → a <= b, a === b → a !== b, and so on
 *   Reason Code    PROTOCOL_ERROR → (PROTOCOL_ERROR ^ 1), 0x85 → (0x85 ^ 1)
 *   status         R_DONE, NEED_MORE, NO_MEMORY the same way; return true → return false;
 *                  return 0 → return 1
 */
import { createHash } from "node:crypto";
import { lineOf, type SourceFile, sourceFile, sourceFiles } from "../tidy/source-files.ts";

export interface Mutant {
  readonly path: string;
  /** Offset of what is replaced. */
  readonly at: number;
  readonly from: string;
  readonly to: string;
  readonly line: number;
  /** The line without its indent: a place that outlives changes elsewhere. */
  readonly lineText: string;
  /** Which of the same changes on that line, from 0. */
  readonly nth: number;
}

/** Parts of the engine that decide; each is built anew. */
const ENGINE_FILES = ["decode", "route", "acknowledge", "session"].map(
  (name) => `assembly/${name}.ts`,
);

const COMPARISONS: Readonly<Record<string, string>> = {
  "===": "!==",
  "!==": "===",
  "<": "<=",
  "<=": "<",
  ">": ">=",
  ">=": ">",
};

/** Statuses by name: what the engine's functions answer each other. */
const STATUSES = ["NEED_MORE", "NO_MEMORY", "NOT_LOADED", "R_DONE", "R_COMMIT", "R_BUDGET"];
const MORE_STATUSES = ["R_PAUSED", "R_CONTROL", "REJECT"];

const RETURNS: Readonly<Record<string, string>> = { true: "false", false: "true", "0": "1" };

/** Reason Codes by name, from the engine's table of them. */
function reasonNames(): readonly string[] {
  const { text } = sourceFile("assembly/spec.ts");
  const [, codes = ""] = text.split("// Reason Codes, §2.4.\n");
  const [own = ""] = codes.split("\n\n");
  return [...own.matchAll(/export const ([A-Z_]+): i32/g)].map(([, name = ""]) => name);
}

/** Files that are mutated. */
export function mutatedFiles(): readonly SourceFile[] {
  return [...ENGINE_FILES.map(sourceFile), ...sourceFiles(["src/protocol"])];
}

/** All mutants of a file, in the order of its text. */
export function mutantsOf(file: SourceFile): readonly Mutant[] {
  const { code } = file;
  const names = [...reasonNames(), ...STATUSES, ...MORE_STATUSES].join("|");
  const found = [
    ...changes(code, / (===|!==|<=|>=|<|>) /g, (from) => COMPARISONS[from]),
    ...changes(code, new RegExp(`\\b((?:abi\\.)?(?:${names}))\\b`, "g"), (from) => `(${from} ^ 1)`),
    ...changes(code, /\b(0x[89][0-9a-f]|0xa[0-2])\b/g, (from) => `(${from} ^ 1)`),
    ...changes(code, /\breturn (true|false|0);/g, (from) => RETURNS[from]),
  ].filter(({ at }) => !isImported(code, at));
  found.sort((one, other) => one.at - other.at);
  return found.map(({ at, from, to }) => {
    const line = lineOf(code, at);
    const lineText = (file.text.split("\n")[line - 1] ?? "").trim();
    const before = found.filter(
      (other) => other.at < at && lineOf(code, other.at) === line && other.from === from,
    );
    return { path: file.path, at, from, to, line, lineText, nth: before.length };
  });
}

function* changes(
  code: string,
  pattern: RegExp,
  change: (from: string) => string | undefined,
): Generator<{ readonly at: number; readonly from: string; readonly to: string }> {
  for (const match of code.matchAll(pattern)) {
    const [whole, from = ""] = match;
    const to = change(from);
    if (to !== undefined) yield { at: match.index + whole.indexOf(from), from, to };
  }
}

/** Whether the offset is in the list of names of an import. */
function isImported(code: string, at: number): boolean {
  const statement = code.lastIndexOf("import ", at);
  return statement >= 0 && !code.slice(statement, at).includes("}") && at - statement < 4_000;
}

/** How a mutant is named in lists: it stays the same while its line does. */
export function nameOf({ path, lineText, from, to, nth }: Mutant): string {
  return [path, lineText, `${from} → ${to}${nth > 0 ? `, ${nth + 1}th` : ""}`].join("\t");
}

/** Names by which the mutants, in their order, are told apart although others change. */
export function identitiesOf(mutants: readonly Mutant[]): readonly string[] {
  const counts = new Map<string, number>();
  return mutants.map((mutant) => {
    const name = nameOf(mutant);
    const count = counts.get(name) ?? 0;
    counts.set(name, count + 1);
    return createHash("sha256").update(`${name}\t${count}`).digest("hex").slice(0, 10);
  });
}

export interface Accepted {
  readonly name: string;
  readonly reason: string;
}

/** Survivors that change nothing that anyone could see, or nothing that may be seen. */
export function readAccepted(): readonly Accepted[] {
  const [, ...lines] = sourceFile("test/mutation/accepted.tsv").text.trimEnd().split("\n");
  return lines.map((line) => {
    const fields = line.split("\t");
    return { name: fields.slice(0, 3).join("\t"), reason: fields[3] ?? "" };
  });
}
