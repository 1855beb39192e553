/**
 * The style that no formatter holds: floors, sizes, names, citations, hot functions.
 */
import { posix } from "node:path";
import { describe, expect, test } from "vitest";
import { clausesOf, readClauses } from "./ledger.ts";
import {
  functionsOf,
  importsOf,
  lineOf,
  type SourceFile,
  sourceFile,
  sourceFiles,
} from "./source-files.ts";

const COLUMNS_MAX = 100;
const FILE_LINES_MAX = 500;
const FUNCTION_LINES_MAX = 70;

/** Tables, which may be as long as what they list. */
const TABLES: readonly string[] = ["assembly/spec.ts", "assembly/abi.ts"];

/** Where each part of src/ stands; a file imports from its own folder or from a lower floor. */
const FLOORS: readonly (readonly [prefix: string, floor: number])[] = [
  ["src/cli/", 8],
  ["src/broker.ts", 7],
  ["src/transport/", 6],
  ["src/links/", 6],
  ["src/admin/", 6],
  ["src/protocol/", 5],
  ["src/session/", 4],
  ["src/access/", 4],
  ["src/store/", 3],
  ["src/engine/", 2],
  ["src/config/", 2],
  ["src/base/", 1],
];

/** What src/ may see of the engine's sources. */
const PORTABLE = new Set(["#assembly/abi", "#assembly/spec"]);

const BANNED_WORDS = new Set(
  ["msg", "pkt", "cb", "ctx", "util", "manager", "service", "helper"].flatMap((word) => [
    word,
    `${word}s`,
  ]),
);

/** Banned words that another program's format demands. */
const FOREIGN_NAMES = new Set([
  "test/cli/holdfast.test.ts msg", // pino's key for the text of a log line.
  "test/unit/config-log.test.ts msg",
]);

const src = sourceFiles(["src"]);
const assembly = sourceFiles(["assembly"]);
const tests = sourceFiles(["test"]);
const bench = sourceFiles(["bench"]);
const all = [...src, ...assembly, ...tests, ...bench, sourceFile("vitest.config.ts")];

/** All hits of a pattern as `path:line text`. */
function hits(files: readonly SourceFile[], pattern: RegExp, of: "text" | "code"): string[] {
  return files.flatMap((file) =>
    [...file[of].matchAll(pattern)].map(
      (match) => `${file.path}:${lineOf(file[of], match.index)} ${match[0].trim()}`,
    ),
  );
}

function floorOf(path: string): readonly [prefix: string, floor: number] | undefined {
  return FLOORS.find(([prefix]) => path.startsWith(prefix));
}

/** Whether a file of src/ may import this; the reason if not. */
function judgeImport(file: SourceFile, name: string): string | undefined {
  const own = floorOf(file.path);
  if (own === undefined) return "stands on no floor";
  if (name.startsWith("#")) return PORTABLE.has(name) ? undefined : "is not portable";
  if (!name.startsWith(".")) return undefined; // A package, or Node.js itself.
  const target = posix.normalize(posix.join(posix.dirname(file.path), name));
  const other = floorOf(target);
  if (other === undefined) return "stands on no floor";
  if (other[0] === own[0] || other[1] < own[1]) return undefined;
  return other[1] === own[1] ? "is sideways" : "is up";
}

describe("floors", () => {
  test("every import of src/ goes down", () => {
    const wrong = src.flatMap((file) =>
      importsOf(file).flatMap((name) => {
        const reason = judgeImport(file, name);
        return reason === undefined ? [] : [`${file.path} → ${name}: ${reason}`];
      }),
    );
    expect(wrong).toEqual([]);
  });

  test("every file of src/ stands on one", () => {
    const strays = src.filter((file) => floorOf(file.path) === undefined);
    expect(strays.map((file) => file.path)).toEqual([]);
  });

  test("assembly/ imports only from itself", () => {
    const wrong = assembly.flatMap((file) =>
      importsOf(file)
        .filter((name) => !/^\.\/[\w-]+$/.test(name))
        .map((name) => `${file.path} → ${name}`),
    );
    expect(wrong).toEqual([]);
  });

  test("src/ has no barrel", () => {
    const barrels = src.filter((file) => posix.basename(file.path) === "index.ts");
    expect(barrels.map((file) => file.path)).toEqual([]);
  });
});

describe("sizes", () => {
  test(`lines to ${COLUMNS_MAX} columns`, () => {
    const wrong = all.flatMap((file) =>
      file.text.split("\n").flatMap((line, index) => {
        const columns = [...line].length;
        return columns > COLUMNS_MAX ? [`${file.path}:${index + 1} ${columns}`] : [];
      }),
    );
    expect(wrong).toEqual([]);
  });

  test(`files to ${FILE_LINES_MAX} lines, tables excepted`, () => {
    const wrong = all
      .filter((file) => !TABLES.includes(file.path))
      .map((file) => [file.path, file.text.split("\n").length - 1] as const)
      .filter(([, lineCount]) => lineCount > FILE_LINES_MAX);
    expect(wrong).toEqual([]);
  });

  test(`functions to ${FUNCTION_LINES_MAX} lines`, () => {
    const wrong = all.flatMap((file) =>
      functionsOf(file)
        .filter(({ lineCount }) => lineCount > FUNCTION_LINES_MAX)
        .map(({ name, line, lineCount }) => `${file.path}:${line} ${name} ${lineCount}`),
    );
    expect(wrong).toEqual([]);
  });
});

describe("names", () => {
  test("no banned word in an identifier or a file's name", () => {
    const wrong = all.flatMap((file) => {
      const identifiers = [...file.code.matchAll(/[A-Za-z_$][\w$]*/g)].map((match) => match[0]);
      const names = new Set([...identifiers, ...file.path.split(/[/.]/)]);
      return [...names]
        .filter((name) => wordsOf(name).some((word) => BANNED_WORDS.has(word)))
        .map((name) => `${file.path} ${name}`)
        .filter((entry) => !FOREIGN_NAMES.has(entry));
    });
    expect(wrong).toEqual([]);
  });

  test("files are named in kebab case", () => {
    const wrong = all.filter((file) => !/^[a-z0-9.-]+$/.test(posix.basename(file.path)));
    expect(wrong.map((file) => file.path)).toEqual([]);
  });

  /** camelCase, snake_case and kebab-case taken apart, in lower case. */
  function wordsOf(name: string): string[] {
    return name
      .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
      .split(/[\s_$-]+/)
      .map((word) => word.toLowerCase());
  }
});

describe("what the project does without", () => {
  const unfinished = /\b(?:TO[D]O|FIX[M]E|XX[X])\b/g; // Written so that it does not find itself.

  test("no note of unfinished work", () => {
    expect(hits(all, unfinished, "text")).toEqual([]);
  });

  test("no any, enum, namespace", () => {
    const typescript = [...src, ...tests, ...bench];
    expect(hits(typescript, /(?<!\.)\bany\b/g, "code")).toEqual([]);
    const sources = all.filter((file) => !file.path.endsWith(".d.ts")); // These describe others.
    expect(hits(sources, /\b(?:enum|namespace)\s+\w+/g, "code")).toEqual([]);
  });

  test("no default export, but where a tool asks for one", () => {
    const files = all.filter((file) => !file.path.endsWith("vitest.config.ts"));
    expect(hits(files, /\bexport\s+(?:default\b|\{[^}]*\bas\s+default\b)/g, "code")).toEqual([]);
  });

  test("no inheritance but Error's", () => {
    expect(
      hits([...src, ...bench], /\bclass\s+\w+\s+extends\s+(?!\w*Error\b)\w+/g, "code"),
    ).toEqual([]);
  });
});

describe("citations", () => {
  test("every clause that is cited exists", () => {
    const known = new Set(readClauses().map(({ id }) => id));
    expect(known.size).toBeGreaterThan(390);
    const files = [...src, ...assembly, ...tests, ...bench, ...sourceFiles(["test"], ".md")];
    const wrong = files.flatMap((file) =>
      [...file.text.matchAll(/\[MQTT-(\d[^\]]*)\]/g)].flatMap((match) =>
        clausesOf(match[1] ?? "")
          .filter((clause) => !known.has(clause))
          .map((clause) => `${file.path}:${lineOf(file.text, match.index)} ${clause}`),
      ),
    );
    expect(wrong).toEqual([]);
  });
});

describe("hot functions", () => {
  /** What allocates, as far as text tells: `new`, closures, array and object literals. */
  const ALLOCATES: readonly RegExp[] = [
    /\bnew\s/,
    /=>|\bfunction\b/,
    /(?:[=(,:?[]|\breturn)\s*\[/,
    /(?:[=(,:?[]|\breturn)\s*\{/,
    /\.\.\./,
  ];

  test("allocate nothing", () => {
    const wrong = [...src, ...assembly].flatMap((file) =>
      functionsOf(file)
        .filter(({ docComment }) => /\bHot\./.test(docComment))
        .flatMap(({ name, line, body }) =>
          ALLOCATES.flatMap((pattern) => {
            const found = body.match(pattern);
            return found ? [`${file.path}:${line} ${name}: ${found[0].trim()}`] : [];
          }),
        ),
    );
    expect(wrong).toEqual([]);
  });

  test("the check itself finds them", () => {
    const text =
      "/** Hot. */\nexport function f(a: i32): i32 {\n  const b = [a];\n  return b;\n}\n";
    const [found] = functionsOf({ path: "x.ts", text, code: text.replace("Hot", "   ") });
    expect(found?.docComment).toContain("Hot.");
    expect(ALLOCATES.some((pattern) => pattern.test(found?.body ?? ""))).toBe(true);
  });
});
