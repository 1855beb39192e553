/**
 * The conformance ledger is whole: each statement that concerns a server has a test or a reason,
 * and no test of it went away unnoticed.
 */
import { describe, expect, test } from "vitest";
import {
  isDuty,
  LEDGER_PATH,
  ledgerText,
  readBehaviours,
  readClauses,
  readLedger,
  readReasons,
  readTests,
  readUnbuilt,
  titlesOf,
  totalsAsMarkdown,
  totalsOf,
} from "./ledger.ts";
import { sourceFile, sourceFiles } from "./source-files.ts";

/** Statements that may have a reason instead of a test, of all. */
const REASONS_MAX = 8;
/** Behaviours that brokers get wrong. */
const BEHAVIOUR_COUNT = 32;

const ledger = readLedger();
const known = new Set(readClauses().map(({ id }) => id));

function idsWhere(holds: (entry: (typeof ledger)[number]) => boolean): string[] {
  return ledger.filter(holds).map(({ clause }) => clause.id);
}

describe("the statements", () => {
  test("are all there, each with its class", () => {
    expect(ledger).toHaveLength(392);
    expect(known.size).toBe(392);
    const classes = ["server", "policed", "client", "bridge"];
    expect(idsWhere(({ clause }) => !classes.includes(clause.class))).toEqual([]);
  });

  test("have a test or a reason, unless their feature is not built", () => {
    const unbuilt = readUnbuilt();
    const open = idsWhere(
      ({ clause, tests, reason }) =>
        isDuty(clause) && tests.length === 0 && reason === "" && !unbuilt.has(clause.id),
    );
    expect(open).toEqual([]);
  });

  test("have no reason, and are not called unbuilt, where there is a test", () => {
    const excused = new Set([...readReasons().keys(), ...readUnbuilt().keys()]);
    expect([...excused].filter((id) => !known.has(id))).toEqual([]);
    expect(idsWhere(({ clause, tests }) => tests.length > 0 && excused.has(clause.id))).toEqual([]);
  });

  test(`have at most ${REASONS_MAX} reasons among them`, () => {
    const reasons = [...readReasons().values()];
    expect(reasons.length).toBeLessThanOrEqual(REASONS_MAX);
    expect(reasons.filter((reason) => reason.length < 20)).toEqual([]);
  });
});

describe("the tests", () => {
  test("cite statements that exist", () => {
    const wrong = readTests().flatMap(({ path, title, clauses }) =>
      clauses.filter((id) => !known.has(id)).map((id) => `${path}: ${title}: ${id}`),
    );
    expect(wrong).toEqual([]);
  });

  test(`are those of ${LEDGER_PATH}: npm run conformance -- --write`, () => {
    const before = new Set(sourceFile(LEDGER_PATH).text.split("\n"));
    const now = new Set(ledgerText(ledger).split("\n"));
    expect([...before].filter((line) => !now.has(line))).toEqual([]);
    expect([...now].filter((line) => !before.has(line))).toEqual([]);
  });

  test("run: none is skipped or left for later", () => {
    const wrong = sourceFiles(["test"], ".test.ts").flatMap(({ path, code }) =>
      [...code.matchAll(/\.(?:skip|skipIf|runIf|todo|only|fails)\s*\(/g)].map(
        ([found]) => path + found,
      ),
    );
    expect(wrong).toEqual([]);
  });
});

describe("behaviours that brokers get wrong", () => {
  const behaviours = readBehaviours();

  test("have a test by name, which is there", () => {
    const titles = new Set(readTests().map(({ path, title }) => `${path}: ${title}`));
    const wrong = behaviours.map(({ path, title }) => `${path}: ${title}`);
    expect(wrong.filter((one) => !titles.has(one))).toEqual([]);
  });

  test("are numbered, and say something", () => {
    const ids = [...new Set(behaviours.map(({ id }) => id))];
    const unbuilt = readUnbuilt().size > 0;
    const wanted = Array.from({ length: BEHAVIOUR_COUNT }, (_, index) => numbered(index + 1));
    const missing = wanted.filter((id) => !ids.includes(id));
    expect(unbuilt ? missing.filter((id) => id !== "B-12") : missing).toEqual([]);
    expect(ids.filter((id) => !wanted.includes(id))).toEqual([]);
    expect(behaviours.filter(({ behaviour }) => behaviour.length < 10)).toEqual([]);
  });

  function numbered(index: number): string {
    return `B-${String(index).padStart(2, "0")}`;
  }
});

describe("README.md", () => {
  test("states the totals: npm run conformance -- --write", () => {
    const [, behind = ""] = sourceFile("README.md").text.split("<!-- conformance:begin -->\n");
    const [stated = ""] = behind.split("<!-- conformance:end -->");
    expect(stated).toBe(totalsAsMarkdown(totalsOf(ledger)));
  });
});

describe("the reader of titles", () => {
  test("joins strings, and leaves comments out", () => {
    const text = [
      'test("one [MQTT-3.1.0-1]", f);',
      "story(",
      '  `v: "two" ` +',
      '    "[MQTT-3.1.2-4, -5 @3.1.1]",',
      ");",
      '// "three [MQTT-3.1.0-2]"',
      ' * "four [MQTT-3.1.0-2]"',
    ].join("\n");
    const cited = titlesOf({ path: "x.test.ts", text, code: text }).filter(
      ({ clauses }) => clauses.length > 0,
    );
    expect(cited.map(({ title }) => title)).toEqual([
      "one [MQTT-3.1.0-1]",
      'v: "two" [MQTT-3.1.2-4, -5 @3.1.1]',
    ]);
    expect(cited[1]?.clauses).toEqual(["3.1.1 MQTT-3.1.2-4", "3.1.1 MQTT-3.1.2-5"]);
  });
});
