/**
 * JSON from outside: how deep it may be, where it goes wrong, and its fields as mosquitto reads
 * them: a name in upper or lower case, and a value of another type is as good as none.
 */

export type JsonObject = Readonly<Record<string, unknown>>;

/** Where a text stops being JSON, both from 1. */
export interface JsonFault {
  readonly line: number;
  readonly column: number;
  readonly expected: string;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Whether arrays and objects stand in each other deeper than that. O(characters). */
export function isDeeper(text: string, depthMax: number): boolean {
  let depth = 0;
  let isText = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (isText) {
      if (code === BACKSLASH) i++;
      else if (code === QUOTE) isText = false;
    } else if (code === QUOTE) isText = true;
    // Of `[`, `{` and `]`, `}` one bit differs each.
    else if ((code | 0x20) === 0x7b && ++depth > depthMax) return true;
    else if ((code | 0x20) === 0x7d) depth--;
  }
  return false;
}

/**
 * The value of a field; its name may be in any case.
 *
 * @returns undefined: there is none
 */
export function field(object: JsonObject, name: string): unknown {
  if (Object.hasOwn(object, name)) return object[name];
  const lower = name.toLowerCase();
  for (const key of Object.keys(object)) {
    if (key.length === name.length && key.toLowerCase() === lower) return object[key];
  }
  return undefined;
}

/** @returns null where there is no field of that name, or none that is a text */
export function textField(object: JsonObject, name: string): string | null {
  const value = field(object, name);
  return typeof value === "string" ? value : null;
}

/** A whole number of 32 bits, as a C program has it; `absent` where there is no number. */
export function integerField(object: JsonObject, name: string, absent: number): number {
  const value = field(object, name);
  if (typeof value !== "number") return absent;
  return Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, Math.trunc(value)));
}

export function booleanField(object: JsonObject, name: string, absent: boolean): boolean {
  const value = field(object, name);
  return typeof value === "boolean" ? value : absent;
}

/** The fields of an object that are not among these, in any case. */
export function otherFields(object: JsonObject, known: ReadonlySet<string>): [string, unknown][] {
  return Object.entries(object).filter(([name]) => !known.has(name.toLowerCase()));
}

const TEXT = /"(?:[^"\\\p{Cc}]|[\u007f-\u009f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/u;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/u;
const TOKEN = new RegExp(
  `[ \\t\\r\\n]*(?:([{}[\\]:,])|(${TEXT.source})|${NUMBER.source}|true|false|null)`,
  "uy",
);
const BLANK = /[ \t\r\n]*/y;

/** What may stand at a place, and what of that begins it. */
type Expected = "a value" | "a name" | "a name or }" | "a value or ]" | ":" | ", or }" | ", or ]";

const AT_END = "nothing more";

/**
 * Finds where a text that JSON.parse() refused goes wrong.
 *
 * @param text  not JSON
 */
export function faultOfJson(text: string): JsonFault {
  const open: ("{" | "[")[] = [];
  let expected: Expected | typeof AT_END = "a value";
  let at = 0;
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const [token = "", mark, quoted] = TOKEN.exec(text) ?? [];
    const next: Expected | typeof AT_END | null =
      token === "" ? null : follow(open, expected, mark ?? null, quoted !== undefined);
    if (next === null) break;
    expected = next;
    at += token.length;
  }
  BLANK.lastIndex = at;
  at += BLANK.exec(text)?.[0].length ?? 0;
  const before = text.slice(0, at).split("\n");
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1, expected };
}

/** @returns what is expected behind the token; null: it does not belong there */
function follow(
  open: ("{" | "[")[],
  expected: Expected | typeof AT_END,
  mark: string | null,
  isText: boolean,
): Expected | typeof AT_END | null {
  const behind = (): Expected | typeof AT_END => {
    const inside = open.at(-1);
    return inside === undefined ? AT_END : inside === "{" ? ", or }" : ", or ]";
  };
  if (mark === "}" || mark === "]") {
    if (!expected.endsWith(mark)) return null;
    open.pop();
    return behind();
  }
  if (mark === ",") {
    if (!expected.startsWith(",")) return null;
    return open.at(-1) === "{" ? "a name" : "a value";
  }
  if (mark === ":") return expected === ":" ? "a value" : null;
  if (expected.startsWith("a name")) return isText ? ":" : null;
  if (!expected.startsWith("a value")) return null;
  if (mark === "{" || mark === "[") {
    open.push(mark);
    return mark === "{" ? "a name or }" : "a value or ]";
  }
  return behind();
}
