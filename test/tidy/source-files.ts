/**
 * The project's sources as the tidy tests read them: whole, as code without comments and strings,
 * and cut into functions. Plain text and brackets, no parser: close enough, and nothing to install.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const NO_DECLARATION = new Set(["if", "for", "while", "switch", "catch", "return", "function"]);

export interface SourceFile {
  /** From the top of the project, with forward slashes. */
  readonly path: string;
  readonly text: string;
  /** `text` with comments, strings and patterns blanked; same length, same lines. */
  readonly code: string;
}

export interface FunctionSource {
  readonly name: string;
  /** Line of the name, from 1. */
  readonly line: number;
  readonly lineCount: number;
  /** Body without comments and strings. */
  readonly body: string;
  /** The doc comment in front of it, or "". */
  readonly docComment: string;
}

/** All files below these folders whose names end so. */
export function sourceFiles(folders: readonly string[], ending = ".ts"): SourceFile[] {
  return folders.flatMap((folder) => {
    const names = readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" });
    return names
      .filter((name) => name.endsWith(ending))
      .toSorted()
      .map((name) => read(join(ROOT, folder, name)));
  });
}

/** One file of the top level or below. */
export function sourceFile(path: string): SourceFile {
  return read(join(ROOT, path));
}

function read(file: string): SourceFile {
  const text = readFileSync(file, "utf8");
  return { path: relative(ROOT, file).split(sep).join("/"), text, code: blank(text) };
}

/** The module names that a file imports or re-exports, types included. */
export function importsOf(file: SourceFile): string[] {
  const statements = /^\s*(?:import|export)\s+(?:[^;"'()=]*?\bfrom\s*)?["']([^"']+)["']/gm;
  const calls = /\bimport\(\s*["']([^"']+)["']\s*\)/g;
  return [statements, calls].flatMap((pattern) =>
    [...file.text.matchAll(pattern)].map((match) => match[1] ?? ""),
  );
}

/** The declared functions and methods, and the arrow functions with a name. */
export function functionsOf(file: SourceFile): FunctionSource[] {
  const found: FunctionSource[] = [];
  for (const match of file.code.matchAll(
    /([#\w$]+)\s*(?:<[^()]*?>)?(?:\s*=\s*(?:async\s*)?)?\(/g,
  )) {
    const name = match[1] ?? "";
    if (NO_DECLARATION.has(name)) continue;
    const end = closing(file.code, match.index + match[0].length - 1);
    const start = bodyStart(file.code, end + 1);
    if (start < 0) continue;
    const body = file.code.slice(start, closing(file.code, start) + 1);
    const line = lineOf(file.code, match.index);
    found.push({
      name,
      line,
      lineCount: lineOf(file.code, start + body.length) - line + 1,
      body,
      docComment: docCommentBefore(file.text, match.index),
    });
  }
  return found;
}

/** Line of an offset, from 1. */
export function lineOf(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}

/** Offset of the bracket that closes the one at `at`, or the end of the text. */
function closing(code: string, at: number): number {
  let depth = 0;
  for (let i = at; i < code.length; i++) {
    const character = code[i] ?? "";
    if ("([{".includes(character)) depth += 1;
    if (")]}".includes(character)) depth -= 1;
    if (depth === 0) return i;
  }
  return code.length;
}

/** Offset of the body's brace behind a parameter list, or −1 if this is no function. */
function bodyStart(code: string, at: number): number {
  const [first = ""] = code.slice(at).match(/^\s*(?::|=>|\{)/) ?? [];
  if (first === "") return -1;
  if (first.endsWith("{")) return at + first.length - 1;
  let i = at;
  while (i < code.length && code[i] !== ";") {
    const isLast = /^\{[^\S\n]*\n/.test(code.slice(i, i + 80));
    if (isLast && !/[:|<&]\s*$/.test(code.slice(at, i))) return i;
    if ("([{".includes(code[i] ?? "")) i = closing(code, i);
    i += 1;
  }
  return -1;
}

function docCommentBefore(text: string, at: number): string {
  const lineStart = text.lastIndexOf("\n", at) + 1;
  const before = text.slice(0, lineStart).trimEnd();
  if (!before.endsWith("*/")) return "";
  return before.slice(before.lastIndexOf("/**"));
}

/** Blanks comments, strings, templates and patterns; newlines stay. */
function blank(text: string): string {
  const out = [...text.split("")];
  const wipe = (from: number, to: number) => {
    for (let i = from; i < to; i++) if (out[i] !== "\n") out[i] = " ";
  };
  /** Depth of braces at which a template's expression ends; the innermost last. */
  const templates: number[] = [];
  let depth = 0;
  let i = 0;
  while (i < text.length) {
    const end = skipOf(text, i);
    if (end > i) {
      wipe(i, end);
      i = end;
      continue;
    }
    const character = text[i];
    if (character === "{") depth += 1;
    const resumes = character === "}" && templates.at(-1) === depth;
    if (resumes) templates.pop();
    if (character === "}") depth -= 1;
    if (character === "`" || resumes) {
      const stop = templateEnd(text, i + 1);
      wipe(i, stop);
      if (text[stop - 1] === "{") {
        depth += 1;
        templates.push(depth);
      }
      i = stop;
      continue;
    }
    i += 1;
  }
  return out.join("");
}

/** End of the comment, string or pattern that begins at `at`; `at` if none does. */
function skipOf(text: string, at: number): number {
  const rest = text.slice(at, at + 2);
  if (rest === "//") return endOf(text, "\n", at);
  if (rest === "/*") return endOf(text, "*/", at + 2) + 2;
  const character = text[at] ?? "";
  if (character === '"' || character === "'") return quotedEnd(text, at, character);
  const before = text.slice(Math.max(0, at - 200), at).trimEnd();
  const startsPattern = character === "/" && /(?:[(,=:[!&|?{};]|return|=>)$/.test(before);
  return startsPattern ? quotedEnd(text, at, "/") : at;
}

function endOf(text: string, mark: string, from: number): number {
  const found = text.indexOf(mark, from);
  return found < 0 ? text.length : found;
}

function quotedEnd(text: string, at: number, quote: string): number {
  let isInClass = false;
  for (let i = at + 1; i < text.length; i++) {
    const character = text[i];
    if (character === "\\") i += 1;
    else if (quote === "/" && character === "[") isInClass = true;
    else if (quote === "/" && character === "]") isInClass = false;
    else if (character === quote && !isInClass) return i + 1;
    else if (character === "\n") return i;
  }
  return text.length;
}

/** End of a template's text: behind its backtick, or behind the `${` of an expression. */
function templateEnd(text: string, from: number): number {
  for (let i = from; i < text.length; i++) {
    if (text[i] === "\\") i += 1;
    else if (text[i] === "`") return i + 1;
    else if (text[i] === "$" && text[i + 1] === "{") return i + 2;
  }
  return text.length;
}
