/** The tests as `npm run mutate` runs them: in the order that it wants, telling what they reach. */
import { relative } from "node:path";
import { defineConfig, mergeConfig } from "vitest/config";
import type { TestSequencer, TestSpecification } from "vitest/node";
import base from "../../vitest.config.ts";

const { MUTATION_ORDER, MUTATION_REACH } = process.env;
const order = (MUTATION_ORDER ?? "").split("\n");

class Ordered implements TestSequencer {
  async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = (file: TestSpecification) => order.indexOf(relative("", file.moduleId));
    return files.toSorted((one, other) => place(one) - place(other));
  }

  async shard(files: TestSpecification[]): Promise<TestSpecification[]> {
    return files;
  }
}

export default mergeConfig(
  base,
  defineConfig({
    test: {
      sequence: { sequencer: Ordered },
      setupFiles: MUTATION_REACH === undefined ? [] : ["test/mutation/reach-setup.ts"],
    },
  }),
);
