/**
 * All mutants of a file in one text: a number chooses at run time which of them is in force, so
 * that the engine and the program are built once for all of them. A second form of the text tells
 * which of them a run would have noticed at all.
 *
 *              chosen: `mutant` is the number        told: `reach` is called with it
 *   status     (mutant === 7 ? (R_DONE ^ 1) : R_DONE)    (reach(7), R_DONE)
 *   a < b      (mutant === 8 ? a <= b : a < b)           differs(8, a < b, a <= b)
 *   a === b    (mutant === 9 ? a !== b : a === b)        (reach(9), a === b)
 *   a === 0x8f                                           differs(7, a === 0x8f, a === (0x8f ^ 1))
 */
import type { SourceFile } from "../tidy/source-files.ts";
import type { Mutant } from "./mutants.ts";

export type Form = "chosen" | "told";

/** A mutant, its number, and the expression in which it makes a difference. */
interface Place {
  readonly mutant: Mutant;
  readonly number: number;
  readonly start: number;
  readonly end: number;
}

/** What ends an operand: operators that bind less than a comparison, and what is no operator. */
const LOOSER = /^\s(?:&&|\|\||\?\?|\?|:|=>|=|&|\||\^|[-+*]=)\s/;
/** Of a relation's operand, also the equalities. */
const EQUALITY = /^\s(?:===|!==)\s/;
/** What makes it matter that an operand is computed twice. */
const EFFECT = /\+\+|--|\b(?!load\b|min\b|max\b)[A-Za-z_$][\w$]*(?:<\w+>)?\(/;

/**
 * The text of a file with all of its mutants in it.
 *
 * @param numberOf  number of each, from 1; 0 in `mutant` chooses none
 */
export function withSwitches(
  file: SourceFile,
  mutants: readonly Mutant[],
  numberOf: (mutant: Mutant) => number,
  form: Form,
): string {
  const places = mutants.map((mutant) => placeOf(file, mutant, numberOf(mutant)));
  return rendered(file.text, 0, file.text.length, places, form);
}

function placeOf({ code, text }: SourceFile, mutant: Mutant, number: number): Place {
  const { at, from } = mutant;
  if (!isComparison(from)) return { mutant, number, start: at, end: at + from.length };
  const isRelation = !from.includes("==");
  let start = operandStart(code, at - 1, isRelation);
  let end = operandEnd(code, at + from.length, isRelation);
  while (/\s/.test(text[start] ?? "")) start += 1;
  while (/\s/.test(text[end - 1] ?? "")) end -= 1;
  return { mutant, number, start, end };
}

function isComparison(from: string): boolean {
  return /^[=!<>]/.test(from);
}

function endsOperand(code: string, at: number, isRelation: boolean): boolean {
  const rest = code.slice(at, at + 6);
  return LOOSER.test(rest) || (isRelation && EQUALITY.test(rest));
}

function operandStart(code: string, from: number, isRelation: boolean): number {
  let depth = 0;
  for (let i = from - 1; i >= 0; i--) {
    const character = code[i] ?? "";
    if (")]}".includes(character)) depth += 1;
    if ("([{".includes(character)) depth -= 1;
    if (depth < 0) return i + 1;
    if (depth > 0) continue;
    if (character === ";" || character === ",") return i + 1;
    if (character === ":" && /\s/.test(code[i + 1] ?? "")) return i + 1;
    const keyword = /\b(?:return|case)\s$/.exec(code.slice(Math.max(0, i - 8), i + 1));
    if (keyword !== null) return i + 1;
    const operator = LOOSER.exec(code.slice(i, i + 6)) ?? null;
    if (operator !== null) return i + operator[0].length;
    if (isRelation && EQUALITY.test(code.slice(i, i + 6))) return i + 5;
  }
  return 0;
}

function operandEnd(code: string, from: number, isRelation: boolean): number {
  let depth = 0;
  for (let i = from; i < code.length; i++) {
    const character = code[i] ?? "";
    if ("([{".includes(character)) depth += 1;
    if (")]}".includes(character)) depth -= 1;
    if (depth < 0) return i;
    if (depth > 0) continue;
    if (character === ";" || character === ",") return i;
    if (endsOperand(code, i, isRelation)) return i;
  }
  return code.length;
}

/** The text from `start` to `end` with the places in it. They lie in each other, a few deep. */
function rendered(
  text: string,
  start: number,
  end: number,
  places: readonly Place[],
  form: Form,
): string {
  let out = "";
  let at = start;
  let rest = places.filter((place) => place.start >= start && place.end <= end);
  while (rest.length > 0) {
    // The next that begins; of those that begin there the longest.
    const next = rest.reduce((one, other) =>
      other.start < one.start || (other.start === one.start && other.end > one.end) ? other : one,
    );
    const inside = rest.filter((place) => place !== next && place.end <= next.end);
    rest = rest.filter((place) => place.start >= next.end);
    out += text.slice(at, next.start) + renderedPlace(text, next, inside, form);
    at = next.end;
  }
  return out + text.slice(at, end);
}

function renderedPlace(text: string, place: Place, inside: readonly Place[], form: Form): string {
  const { mutant, number, start, end } = place;
  const { at, from, to } = mutant;
  const isPure = !EFFECT.test(text.slice(start, end));
  if (form === "told" && isComparison(from) && isPure) return toldComparison(text, place, inside);
  const left = rendered(text, start, at, inside, form);
  const right = rendered(text, at + from.length, end, inside, form);
  const [original, changed] = [left + from + right, left + to + right];
  if (form === "told") return `(reach(${number}), ${original})`;
  return `(mutant === ${number} ? ${changed} : ${original})`;
}

/** A comparison, and with which of its mutants, and of those in its operands, it is another one. */
function toldComparison(text: string, place: Place, inside: readonly Place[]): string {
  const { mutant, number, start, end } = place;
  const withChange = ({ at, from, to }: Mutant): string =>
    text.slice(start, at) + to + text.slice(at + from.length, end);
  let told = text.slice(start, end);
  for (const { mutant: inner, number: innerNumber } of inside) {
    told = `differs(${innerNumber}, ${told}, ${withChange(inner)})`;
  }
  return mutant.from.includes("==")
    ? `(reach(${number}), ${told})`
    : `differs(${number}, ${told}, ${withChange(mutant)})`;
}
