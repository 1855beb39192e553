/**
 * Reads the pages of `test/wire`: each case is a heading with the clauses that it proves and one
 * sentence, a `hex` block with what the client sends, and a `log` block with what comes back.
 *
 *   ## MQTT-3.1.0-2, MQTT-3.1.0-2 @3.1.1: a second CONNECT ends the connection
 *
 * A rule without a number in the standard is cited by its section: `§3.8.3.1`, `§3.8.3 @3.1.1`.
 */
import { readdirSync, readFileSync } from "node:fs";
import { hex } from "./packets.ts";
import { type ExpectedLine, parseExpectedLine } from "./wire-log.ts";

export interface WireCase {
  /** `01-connect.md:17`, for messages. */
  readonly place: string;
  readonly title: string;
  readonly clauses: readonly string[];
  readonly sent: Uint8Array;
  readonly log: readonly ExpectedLine[];
}

const CLAUSE = String.raw`(?:MQTT-\d+(?:\.\d+)+-\d+|§\d+(?:\.\d+)*)(?: @3\.1\.1)?`;
const HEADING = new RegExp(`^## (${CLAUSE}(?:, ${CLAUSE})*): (.+)$`);

/** Every page in a folder, in the order of the names. */
export function readWirePages(folder: URL): ReadonlyMap<string, readonly WireCase[]> {
  const names = readdirSync(folder).filter((name) => /^\d\d-.*\.md$/.test(name));
  return new Map(
    names
      .sort()
      .map((name) => [name, parseWirePage(name, readFileSync(new URL(name, folder), "utf8"))]),
  );
}

/** @throws Error naming page and line where the form is broken */
export function parseWirePage(name: string, text: string): readonly WireCase[] {
  const lines = text.split("\n");
  const starts = lines.flatMap((line, index) => (line.startsWith("## ") ? [index] : []));
  return starts.map((start, index) => {
    const place = `${name}:${start + 1}`;
    try {
      return parseCase(place, lines.slice(start, starts[index + 1] ?? lines.length));
    } catch (error) {
      throw new Error(`${place}: ${error instanceof Error ? error.message : error}`);
    }
  });
}

function parseCase(place: string, lines: readonly string[]): WireCase {
  const [, clauses, title] = HEADING.exec(lines[0] ?? "") ?? [];
  if (clauses === undefined || title === undefined) throw new Error("heading is not clause: text");
  return {
    place,
    title,
    clauses: clauses.split(", "),
    sent: hex(fencedBlock(lines, "hex").join("\n")),
    log: fencedBlock(lines, "log").map(parseExpectedLine),
  };
}

function fencedBlock(lines: readonly string[], language: string): readonly string[] {
  const starts = lines.flatMap((line, index) => (line === `\`\`\`${language}` ? [index] : []));
  const [start] = starts;
  if (start === undefined || starts.length > 1) throw new Error(`needs one ${language} block`);
  const end = lines.indexOf("```", start);
  if (end === -1) throw new Error(`${language} block without end`);
  return lines.slice(start + 1, end);
}

/** The clauses that exist, as the pages write them: `MQTT-3.1.0-1`, `MQTT-3.1.0-1 @3.1.1`. */
export function readClauses(): ReadonlySet<string> {
  const text = readFileSync(new URL("./clauses.tsv", import.meta.url), "utf8");
  const rows = text.trim().split("\n").slice(1);
  return new Set(
    rows.map((row) => {
      const [version, identifier] = row.split("\t");
      return version === "3.1.1" ? `${identifier} @3.1.1` : (identifier ?? "");
    }),
  );
}
