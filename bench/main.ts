/** The benchmarks: npm run bench -- functions | load … | compare … | bars … */
import { Command } from "commander";
import { barsCommand } from "./bars/command.ts";
import { functionsCommand } from "./functions/command.ts";
import { loadCommand } from "./load/command.ts";
import { compareCommand } from "./load/compare.ts";

const program = new Command("npm run bench --")
  .description("The benchmarks of Holdfast; each tells its flags with --help.")
  .addCommand(functionsCommand())
  .addCommand(loadCommand())
  .addCommand(compareCommand())
  .addCommand(barsCommand())
  .helpCommand(false);

if (process.argv.length < 3) program.outputHelp();
else await program.parseAsync();
