/**
 * The mutants: found where they should be, and those accepted still there.
 */
import { describe, expect, test } from "vitest";
import { mutantsOf, mutated, mutatedFiles, nameOf, readAccepted } from "./mutants.ts";

/** Accepted survivors; more would mean that the tests are too few. */
const ACCEPTED_MAX = 60;

function mutantsIn(text: string): readonly string[] {
  const file = { path: "x.ts", text, code: text };
  return mutantsOf(file).map((mutant) => mutated(text, mutant));
}

describe("what is changed", () => {
  test.for([
    ["if (a < b) f();", ["if (a <= b) f();"]],
    ["if (<u32>a >= b) f();", ["if (<u32>a > b) f();"]],
    ["a === b && c !== d", ["a !== b && c !== d", "a === b && c === d"]],
    ["return -PROTOCOL_ERROR;", ["return -(PROTOCOL_ERROR ^ 1);"]],
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
