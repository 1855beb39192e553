/** The command line of the bars: runs them one after the other and prints a table. */
import { writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { Argument, Command } from "commander";
import { BrokerFault, EXIT_BROKER, EXIT_USAGE, UsageFault } from "../load/fault.ts";
import { machineLine } from "../machine.ts";
import type { Bar, BarRow } from "./bar.ts";
import { fanOutBar } from "./fanout10k.ts";
import { idleBar } from "./idle.ts";
import { matchBar } from "./match.ts";
import { retainedBar } from "./retained.ts";
import { slowBar } from "./slow.ts";
import { soakBar } from "./soak.ts";

const BARS: readonly Bar[] = [soakBar, matchBar, retainedBar, idleBar, slowBar, fanOutBar];
const NAMES = BARS.map((bar) => bar.name);
const NAME_COLUMNS = 46;
const MEASURED_COLUMNS = 46;
const BAR_COLUMNS = 22;

function verdict(row: BarRow): string {
  if (row.met === null) return "–";
  return row.met ? "met" : "NOT MET";
}

function line(name: string, measured: string, bar: string, met: string): string {
  const columns = [
    name.padEnd(NAME_COLUMNS),
    measured.padEnd(MEASURED_COLUMNS),
    bar.padEnd(BAR_COLUMNS),
    met,
  ];
  return `${columns.join(" ")}\n`;
}

function loadLine(): string {
  const averages = loadavg().map((average) => average.toFixed(2));
  return `load average ${averages.join(" ")}`;
}

async function runBars(names: readonly string[], json: string | undefined): Promise<void> {
  const machine = machineLine();
  const startLoad = loadLine();
  process.stdout.write(`${machine}\n${startLoad} before the first bar\n\n`);
  process.stdout.write(line("name", "measured", "bar", "met"));
  const rows: BarRow[] = [];
  const faults: string[] = [];
  for (const bar of BARS.filter(({ name }) => names.includes(name))) {
    const start = performance.now();
    const say = (text: string): void => {
      const seconds = Math.round((performance.now() - start) / 1000);
      process.stderr.write(`${bar.name} ${seconds} s  ${text}\n`);
    };
    try {
      say(loadLine());
      const found = await bar.measure(say);
      for (const row of found) {
        process.stdout.write(line(row.name, row.measured, row.bar, verdict(row)));
      }
      rows.push(...found);
    } catch (error) {
      if (!(error instanceof BrokerFault)) throw error;
      process.stdout.write(line(bar.name, `failed: ${error.message}`, "", "NOT MET"));
      faults.push(`${bar.name}: ${error.message}`);
      process.exitCode = EXIT_BROKER;
    }
  }
  if (json !== undefined) {
    const report = { machine, load: startLoad, rows, faults };
    writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`);
  }
}

/** @returns the command; a bar that is not met does not change the exit status */
export function barsCommand(): Command {
  const sentences = BARS.map((bar) => `  ${bar.name.padEnd(10)} ${bar.sentence}`);
  return new Command("bars")
    .description("what the broker must reach beside CPU per message; each with its own broker")
    .addArgument(new Argument("[names...]", "which; all if none is named").choices(NAMES))
    .option("--json <file>", "write all rows as JSON")
    .addHelpText("after", `\nBars:\n${sentences.join("\n")}`)
    .action(async (names: string[], flags: { json?: string }) => {
      try {
        await runBars(names.length > 0 ? names : NAMES, flags.json);
      } catch (error) {
        if (!(error instanceof UsageFault)) throw error;
        process.stderr.write(`error: ${error.message}\n`);
        process.exitCode = EXIT_USAGE;
      }
    });
}
