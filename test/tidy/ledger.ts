/**
 * The conformance ledger: every numbered statement of both standards, and the tests that prove it.
 *
 * A test proves a statement by citing it in its title: `[MQTT-3.1.2-4]` in a `*.test.ts`, or
 * `MQTT-3.1.2-4:` in a heading of a wire page. `test/conformance/ledger.tsv` is the list of them as
 * it was last written, so that a title that goes away is noticed.
 */
import { type SourceFile, sourceFile, sourceFiles } from "./source-files.ts";

/**
 * Whom a statement binds, seen from a server: `server` obeys it, `policed` binds clients and the
 * server judges it, `client` and `bridge` are none of its business.
 */
export type ClauseClass = "server" | "policed" | "client" | "bridge";

export interface Clause {
  /** `5.0 MQTT-3.1.2-4`. */
  readonly id: string;
  readonly summary: string;
  readonly class: ClauseClass;
}

/** A test by its file and its title as the source writes it. */
export interface CitingTest {
  readonly path: string;
  readonly title: string;
  /** As in `Clause.id`. */
  readonly clauses: readonly string[];
}

/** One of the behaviours that brokers often get wrong, and a test of it. */
export interface BehaviourProof {
  readonly id: string;
  readonly behaviour: string;
  readonly path: string;
  readonly title: string;
}

export interface LedgerEntry {
  readonly clause: Clause;
  readonly tests: readonly CitingTest[];
  /** Why no test can prove it, or "". */
  readonly reason: string;
}

/** What the README says. */
export interface LedgerTotals {
  readonly clauseCount: number;
  readonly duties: number;
  readonly proven: number;
  readonly reasoned: number;
  readonly open: number;
  readonly testCount: number;
  readonly behaviours: number;
}

export const LEDGER_PATH = "test/conformance/ledger.tsv";

/** `4.6.0-2, -3 @3.1.1` → both ids, each with its version. */
export function clausesOf(citation: string): string[] {
  const [list = "", version = "5.0"] = citation.split(/\s*@/);
  let section = "";
  return list.split(/,\s*/).map((item) => {
    const [head = "", number = ""] = item.replace("MQTT-", "").trim().split("-");
    if (head !== "") section = head;
    return `${version} MQTT-${section}-${number}`;
  });
}

/** Every statement, in the order of the table. */
export function readClauses(): readonly Clause[] {
  return rowsOf("test/support/clauses.tsv").map((row) => ({
    id: `${row["version"]} ${row["id"]}`,
    summary: row["summary"] ?? "",
    class: row["class"] as ClauseClass,
  }));
}

/** Statements for which no test can stand, with the reason. */
export function readReasons(): ReadonlyMap<string, string> {
  return reasonsIn("test/support/clauses-without-test.tsv");
}

/** Statements whose feature is not built, with its name. */
export function readUnbuilt(): ReadonlyMap<string, string> {
  return reasonsIn("test/support/clauses-unbuilt.tsv");
}

export function readBehaviours(): readonly BehaviourProof[] {
  return rowsOf("test/support/behaviours.tsv").map((row) => ({
    id: row["id"] ?? "",
    behaviour: row["behaviour"] ?? "",
    path: row["path"] ?? "",
    title: row["title"] ?? "",
  }));
}

function reasonsIn(path: string): ReadonlyMap<string, string> {
  return new Map(
    rowsOf(path).map((row) => [`${row["version"]} ${row["id"]}`, row["reason"] ?? ""] as const),
  );
}

/** Rows of a tab-separated table, by the names in its first line. */
function rowsOf(path: string): readonly Readonly<Record<string, string>>[] {
  const [head = "", ...lines] = sourceFile(path).text.trimEnd().split("\n");
  const names = head.split("\t");
  return lines.map((line) => {
    const fields = line.split("\t");
    return Object.fromEntries(names.map((name, index) => [name, fields[index] ?? ""]));
  });
}

/** Every title of a test, with the statements that it cites; most cite none. */
export function readTests(): readonly CitingTest[] {
  const scripts = sourceFiles(["test"], ".test.ts").filter(({ path }) => !path.includes("/tidy/"));
  return [...scripts.flatMap(titlesOf), ...sourceFiles(["test/wire"], ".md").flatMap(headingsOf)];
}

/** Strings, joined over `+`: titles, and rows of the tables that titles are made of. */
export function titlesOf({ path, text }: SourceFile): CitingTest[] {
  const string = (group: number) => `(["'\`])(?:(?!\\${group})[^\\\\\\n]|\\\\.)*\\${group}`;
  const joined = new RegExp(`${string(1)}(?:\\s*\\+\\s*${string(2)})*`, "g");
  return [...text.matchAll(joined)]
    .filter(({ index }) => !isInComment(text, index))
    .map(([literal]) => {
      const title = literal.replace(/["'`]\s*\+\s*["'`]/g, "").slice(1, -1);
      const citations = [...title.matchAll(/\[MQTT-(\d[^\]]*)\]/g)];
      return { path, title, clauses: citations.flatMap((match) => clausesOf(match[1] ?? "")) };
    });
}

function isInComment(text: string, at: number): boolean {
  const line = text.slice(text.lastIndexOf("\n", at) + 1, at);
  return /^\s*\*|^\s*\/\*|(?:^|\s)\/\/\s/.test(line);
}

/** `## MQTT-3.1.2-4, MQTT-3.1.2-6 @3.1.1: …` of the wire pages. */
function headingsOf({ path, text }: SourceFile): CitingTest[] {
  return [...text.matchAll(/^## (.+?): (.+)$/gm)].map(([, list = "", title = ""]) => {
    const numbered = list.split(", ").filter((one) => one.startsWith("MQTT-"));
    return { path, title: `${list}: ${title}`, clauses: numbered.flatMap((one) => clausesOf(one)) };
  });
}

/** The ledger as the sources have it now. */
export function readLedger(): readonly LedgerEntry[] {
  const byClause = new Map<string, CitingTest[]>();
  for (const test of readTests()) {
    for (const clause of new Set(test.clauses)) {
      const tests = byClause.get(clause) ?? [];
      tests.push(test);
      byClause.set(clause, tests);
    }
  }
  const reasons = readReasons();
  return readClauses().map((clause) => ({
    clause,
    tests: distinct(byClause.get(clause.id) ?? []),
    reason: reasons.get(clause.id) ?? "",
  }));
}

function distinct(tests: readonly CitingTest[]): readonly CitingTest[] {
  const seen = new Map(tests.map((test) => [`${test.path}\t${test.title}`, test] as const));
  return [...seen.values()];
}

/** Whether a server has something to do for it. */
export function isDuty({ class: kind }: Clause): boolean {
  return kind === "server" || kind === "policed";
}

/** The text of `LEDGER_PATH`: a line per statement and test. */
export function ledgerText(ledger: readonly LedgerEntry[]): string {
  const lines = ledger.flatMap(({ clause, tests, reason }) => {
    const begin = `${clause.id.replace(" ", "\t")}\t${clause.class}`;
    if (tests.length > 0) return tests.map(({ path, title }) => `${begin}\t${path}\t${title}`);
    return [`${begin}\t\t${reason}`];
  });
  return ["version\tid\tclass\tfile\ttitle", ...lines, ""].join("\n");
}

export function totalsOf(ledger: readonly LedgerEntry[]): LedgerTotals {
  const duties = ledger.filter(({ clause }) => isDuty(clause));
  const proven = duties.filter(({ tests }) => tests.length > 0);
  const reasoned = duties.filter(({ tests, reason }) => tests.length === 0 && reason !== "");
  const tests = new Set(ledger.flatMap((entry) => entry.tests.map((one) => one.path + one.title)));
  return {
    clauseCount: ledger.length,
    duties: duties.length,
    proven: proven.length,
    reasoned: reasoned.length,
    open: duties.length - proven.length - reasoned.length,
    testCount: tests.size,
    behaviours: new Set(readBehaviours().map(({ id }) => id)).size,
  };
}

/** The totals as the README has them between its marks. */
export function totalsAsMarkdown(totals: LedgerTotals): string {
  const rows: readonly (readonly [what: string, count: number])[] = [
    ["numbered statements of MQTT 3.1.1 and 5.0", totals.clauseCount],
    ["of these bind a server, or bind clients and are policed by it", totals.duties],
    ["of those are proven by tests that cite them", totals.proven],
    ["have a stated reason why no test can", totals.reasoned],
    ["wait for a feature that is not built", totals.open],
    ["tests and wire cases cite a statement", totals.testCount],
    [
      "behaviours that brokers get wrong, unnumbered ones among them, have tests",
      totals.behaviours,
    ],
  ];
  const lines = rows.map(([what, count]) => `| ${count} | ${what} |`);
  return ["| count | what |", "|---|---|", ...lines, ""].join("\n");
}
