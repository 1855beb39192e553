/** The load generator: node bench/load/main.ts SCENARIO --port 1883 … */
import { loadCommand } from "./command.ts";

await loadCommand().parseAsync();
