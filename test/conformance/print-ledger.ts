/**
 * `npm run conformance`: the conformance ledger as a table, with its totals.
 *
 *   --write    writes test/conformance/ledger.tsv anew, and the totals in README.md
 *   --open     shows only what has neither test nor reason
 */
import { readFileSync, writeFileSync } from "node:fs";
import {
  isDuty,
  LEDGER_PATH,
  type LedgerEntry,
  ledgerText,
  readBehaviours,
  readLedger,
  totalsAsMarkdown,
  totalsOf,
} from "../tidy/ledger.ts";

const SUMMARY_COLUMNS = 60;
const OPEN = "OPEN";

function proofOf({ clause, tests, reason }: LedgerEntry): string {
  const [first] = tests;
  if (first !== undefined) {
    const more = tests.length > 1 ? ` (+${tests.length - 1})` : "";
    return `${first.path.replace(/^test\//, "")}: ${first.title}${more}`;
  }
  if (reason !== "") return `no test: ${reason}`;
  return isDuty(clause) ? OPEN : "-";
}

function print(entry: LedgerEntry): void {
  const { clause } = entry;
  const summary = clause.summary.slice(0, SUMMARY_COLUMNS).padEnd(SUMMARY_COLUMNS);
  console.log(`${clause.id.padEnd(20)} ${clause.class.padEnd(8)} ${summary} ${proofOf(entry)}`);
}

/** Puts the totals between their marks. */
function writeReadme(totals: string): void {
  const file = new URL("../../README.md", import.meta.url);
  const text = readFileSync(file, "utf8");
  const [before, , behind] = text.split(
    /(?<=<!-- conformance:begin -->\n)|(?=<!-- conformance:end -->)/,
  );
  writeFileSync(file, `${before}${totals}${behind}`);
}

const wishes = new Set(process.argv.slice(2));
const ledger = readLedger();
if (wishes.has("--write")) {
  writeFileSync(new URL(`../../${LEDGER_PATH}`, import.meta.url), ledgerText(ledger));
  writeReadme(totalsAsMarkdown(totalsOf(ledger)));
} else {
  for (const entry of ledger) {
    if (!wishes.has("--open") || proofOf(entry) === OPEN) print(entry);
  }
  const behaviours = Map.groupBy(readBehaviours(), ({ id }) => id);
  for (const [id, proofs] of wishes.has("--open") ? [] : behaviours) {
    for (const { behaviour, path, title } of proofs) {
      console.log(`${id.padEnd(20)} ${behaviour} ${path.replace(/^test\//, "")}: ${title}`);
    }
  }
}
console.log(`\n${totalsAsMarkdown(totalsOf(ledger))}`);
