/** Names the file into which a test file, and the brokers that it starts, write what they reach. */
import { join, relative } from "node:path";
import { expect } from "vitest";

const { MUTATION_REACH } = process.env;
const { testPath } = expect.getState();

if (MUTATION_REACH !== undefined && testPath !== undefined) {
  const name = relative("", testPath).replaceAll("/", "__");
  process.env["HOLDFAST_REACH"] = join(MUTATION_REACH, name);
}
