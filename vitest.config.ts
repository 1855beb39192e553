import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const assembly = fileURLToPath(new URL("./assembly/", import.meta.url));

export default defineConfig({
  resolve: { alias: [{ find: /^#assembly\/(.*)$/, replacement: `${assembly}$1.ts` }] },
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 30_000,
  },
});
