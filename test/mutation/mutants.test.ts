/**
 * The mutants: found where they should be, and those accepted still there.
 */
import { describe, expect, test } from "vitest";
import { mutantsOf, mutatedFiles, nameOf, readAccepted } from "./mutants.ts";
import { type Form, withSwitches } from "./switches.ts";

/** Accepted survivors; more would mean that the tests are too few. */
const ACCEPTED_MAX = 60;

function mutantsIn(text: string): readonly string[] {
  const file = { path: "x.ts", text, code: text };
  return mutantsOf(file).map(
    ({ at, from, to }) => text.slice(0, at) + to + text.slice(at + from.length),
  );
}

/** The text with switches, its mutants numbered from 1. */
function switched(text: string, form: Form): string {
  const file = { path: "x.ts", text, code: text };
  const mutants = mutantsOf(file);
  return withSwitches(file, mutants, (mutant) => mutants.indexOf(mutant) + 1, form);
}

describe("what is changed", () => {
  test.for([
    ["if (a < b) f();", ["if (a <= b) f();"]],
    ["if (<u32>a >= b) f();", ["if (<u32>a > b) f();"]],
    ["a === b && c !== d", ["a !== b && c !== d", "a === b && c === d"]],
    ["return -PROTOCOL_ERROR;", ["return -(PROTOCOL_ERROR ^ 1);"]],
    [
      "if (status === abi.R_DONE) f();",
      ["if (status !== abi.R_DONE) f();", "if (status === (abi.R_DONE ^ 1)) f();"],
    ],
    ["return R_DONE;", ["return (R_DONE ^ 1);"]],
    ["return true;", ["return false;"]],
    ["return 0;", ["return 1;"]],
    ["[0x85, 2]", ["[(0x85 ^ 1), 2]"]],
    ['import { R_DONE } from "./abi";', []],
    ["load<u32>(at) + 1; // no comparison", []],
  ] as const)("%s", ([text, expected]) => {
    expect(mutantsIn(text)).toEqual(expected);
  });

  test("there are mutants in each file that decides", () => {
    const counts = mutatedFiles().map((file) => [file.path, mutantsOf(file).length] as const);
    const paths = counts.filter(([, count]) => count > 10).map(([path]) => path);
    for (const name of ["decode", "route", "acknowledge", "session"]) {
      expect(paths).toContain(`assembly/${name}.ts`);
    }
    expect(paths).toContain("src/protocol/connect.ts");
  });
});

describe("all mutants in one text", () => {
  test.for([
    ["if (a < b) f();", "if ((mutant === 1 ? a <= b : a < b)) f();"],
    [
      "return f(a & 3) + 1 > limit;",
      "return (mutant === 1 ? f(a & 3) + 1 >= limit : f(a & 3) + 1 > limit);",
    ],
    ["x = a && b === c ? d : 1;", "x = a && (mutant === 1 ? b !== c : b === c) ? d : 1;"],
    ["for (; i <= end; i++) f();", "for (; (mutant === 1 ? i < end : i <= end); i++) f();"],
    ["return -NO_MEMORY;", "return -(mutant === 1 ? (NO_MEMORY ^ 1) : NO_MEMORY);"],
    ["return true;", "return (mutant === 1 ? false : true);"],
    ["f(a, b - c === d, e);", "f(a, (mutant === 1 ? b - c !== d : b - c === d), e);"],
  ] as const)("%s", ([text, expected]) => {
    expect(switched(text, "chosen")).toBe(expected);
  });

  test("one in the operand of another", () => {
    const inner = "-(mutant === 2 ? (R_DONE ^ 1) : R_DONE)";
    const expected = `(mutant === 1 ? a !== ${inner} : a === ${inner})`;
    expect(switched("a === -R_DONE", "chosen")).toBe(expected);
  });

  test.for([
    ["if (a < b) f();", "if (differs(1, a < b, a <= b)) f();"],
    ["if (take() < b) f();", "if ((reach(1), take() < b)) f();"],
    ["if (a === b) f();", "if ((reach(1), a === b)) f();"],
    [
      "if (a !== R_DONE) f();",
      "if ((reach(1), differs(2, a !== R_DONE, a !== (R_DONE ^ 1)))) f();",
    ],
    ["return R_DONE;", "return (reach(1), R_DONE);"],
  ] as const)("told: %s", ([text, expected]) => {
    expect(switched(text, "told")).toBe(expected);
  });

  test("each mutant of the project is in both", () => {
    for (const file of mutatedFiles()) {
      const mutants = mutantsOf(file);
      const numberOf = (mutant: (typeof mutants)[number]) => mutants.indexOf(mutant) + 1;
      const chosen = withSwitches(file, mutants, numberOf, "chosen");
      const told = withSwitches(file, mutants, numberOf, "told");
      for (let number = 1; number <= mutants.length; number++) {
        expect(chosen).toContain(`mutant === ${number} ?`);
        expect(told).toMatch(new RegExp(`\\b(?:reach|differs)\\(${number}\\b`));
      }
    }
  });
});

describe("accepted survivors", () => {
  const accepted = readAccepted();

  test("are mutants that there are, each with a reason", () => {
    const names = new Set(mutatedFiles().flatMap((file) => mutantsOf(file).map(nameOf)));
    expect(accepted.filter(({ name }) => !names.has(name))).toEqual([]);
    expect(accepted.filter(({ reason }) => reason.length < 20)).toEqual([]);
  });

  test("are few", () => {
    expect(accepted.length).toBeLessThanOrEqual(ACCEPTED_MAX);
  });
});
