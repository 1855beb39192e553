/**
 * The documents at the top level: what they say of the code is true of the code, as far as a test
 * can tell.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { optionsAsMarkdown } from "../../src/config/options.ts";
import { differencesAsMarkdown } from "../differential/mosquitto-differences.ts";
import { functionsOf, lineOf, type SourceFile, sourceFile, sourceFiles } from "./source-files.ts";

const ROOT = new URL("../../", import.meta.url);
const ARCHITECTURE_LINES_MAX = 250;
const CONTRIBUTING_LINES_MAX = 150;

/** A path of the project: below one of its folders, or a file of the top level. */
const PATH = /^(?:(?:assembly|src|test|bench|\.ci)\/[\w./-]*|[\w.-]+\.(?:ts|json|md))$/;

const readme = sourceFile("README.md");
const architecture = sourceFile("ARCHITECTURE.md");
const contributing = sourceFile("CONTRIBUTING.md");
const documents = [readme, architecture, contributing, sourceFile("CHANGELOG.md")];
const sources = sourceFiles(["assembly", "src", "test", "bench"]);

/** Names of all functions of these files. */
function namesOf(files: readonly SourceFile[]): ReadonlySet<string> {
  return new Set(files.flatMap((file) => functionsOf(file).map(({ name }) => name)));
}

/** What matches the pattern's first group, each as `path:line text`, unless it is accepted. */
function wrongIn(
  file: SourceFile,
  pattern: RegExp,
  accepts: (found: string) => boolean,
): readonly string[] {
  return [...file.text.matchAll(pattern)]
    .filter((match) => !accepts(match[1] ?? ""))
    .map((match) => `${file.path}:${lineOf(file.text, match.index)} ${match[1]}`);
}

function exists(path: string): boolean {
  return existsSync(fileURLToPath(new URL(path, ROOT)));
}

/** What stands from one mark to the other. */
function between(text: string, begin: string, end: string): string {
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  return from < 0 || to < from ? "" : text.slice(from + begin.length, to);
}

describe("README.md", () => {
  test("its table of options is that of the parser", () => {
    const table = between(readme.text, "<!-- options:begin -->\n", "<!-- options:end -->");
    expect(table).toBe(optionsAsMarkdown());
  });

  test("the command that its examples call is named, with the step that makes it", () => {
    const { bin, engines } = JSON.parse(sourceFile("package.json").text);
    expect(bin).toEqual({ holdfast: "dist/cli/main.js" });
    expect(sourceFile("src/cli/main.ts").text).toMatch(/^#!\/usr\/bin\/env node\n/);
    const install = between(readme.text, "## Install and run", "## Test");
    expect(install).toContain("npm install -g .");
    expect(install).toContain(`Node.js ${engines.node.replace(">=", "")} or newer`);
  });

  test("its table of differences from mosquitto is that of the tests", () => {
    const table = between(readme.text, "<!-- differences:begin -->\n", "<!-- differences:end -->");
    expect(table).toBe(differencesAsMarkdown());
  });

  test("it says what was measured, between its marks", () => {
    const measured = between(readme.text, "<!-- measured:begin -->\n", "<!-- measured:end -->");
    expect(measured.trim()).not.toBe("");
  });
});

describe("sizes", () => {
  test.for([
    { ...architecture, linesMax: ARCHITECTURE_LINES_MAX },
    { ...contributing, linesMax: CONTRIBUTING_LINES_MAX },
  ])("$path: at most $linesMax lines", ({ text, linesMax }) => {
    expect(text.split("\n").length - 1).toBeLessThanOrEqual(linesMax);
  });
});

describe("what the documents name", () => {
  test("files and folders exist", () => {
    const wrong = documents.flatMap((document) => [
      ...wrongIn(document, /`([^`\s]+)`/g, (quoted) => !PATH.test(quoted) || exists(quoted)),
      ...wrongIn(document, /\]\((?!https?:)([^)#]+)\)/g, exists),
    ]);
    expect(wrong).toEqual([]);
  });

  test("functions exist", () => {
    const known = namesOf(sources);
    const wrong = documents.flatMap((document) =>
      wrongIn(document, /`(#?\w+)\(\)`/g, (name) => known.has(name)),
    );
    expect(wrong).toEqual([]);
  });

  test("functions right behind a file are in it", () => {
    const pairs = /`([\w./-]+\.ts)`((?:,?\s`#?\w+\(\)`)+)/g;
    const wrong = documents.flatMap(({ path: document, text }) =>
      [...text.matchAll(pairs)].flatMap(({ 1: path = "", 2: list = "", index }) => {
        const known = namesOf(sources.filter((file) => file.path === path));
        const names = list.match(/#?\w+(?=\(\))/g) ?? [];
        return names
          .filter((name) => !known.has(name))
          .map((name) => `${document}:${lineOf(text, index)} ${path} ${name}`);
      }),
    );
    expect(wrong).toEqual([]);
  });

  test("scripts of npm exist", () => {
    const { scripts }: { readonly scripts: Readonly<Record<string, string>> } = JSON.parse(
      sourceFile("package.json").text,
    );
    const wrong = documents.flatMap((document) =>
      wrongIn(document, /\bnpm run ([\w:]+)/g, (name) => Object.hasOwn(scripts, name)),
    );
    expect(wrong).toEqual([]);
  });

  test("environment variables are read somewhere", () => {
    const known = new Set(
      sources.flatMap(({ text }) => text.match(/\b(?:HOLDFAST|FUZZ|PROPERTY)_[A-Z_]+\b/g) ?? []),
    );
    const wrong = documents.flatMap((document) =>
      wrongIn(document, /\b((?:HOLDFAST|FUZZ|PROPERTY)_[A-Z_]+)\b/g, (name) => known.has(name)),
    );
    expect(wrong).toEqual([]);
  });
});
