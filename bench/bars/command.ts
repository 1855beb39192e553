/** The command line of the bars: runs them one after the other and prints a table. */
import { writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { Argument, Command, InvalidArgumentError, Option } from "commander";
import { BrokerFault, EXIT_BROKER, EXIT_USAGE, UsageFault } from "../load/fault.ts";
import { machineLine } from "../machine.ts";
import { aclBar } from "./acl.ts";
import { backlogBar } from "./backlog.ts";
import { type Bar, type BarOptions, type BarRow, count } from "./bar.ts";
import { broadcastBar } from "./broadcast.ts";
import { durablePairsBar } from "./durable-pairs.ts";
import { fanOutBar } from "./fanout10k.ts";
import { idleBar } from "./idle.ts";
import { killBar } from "./kill.ts";
import { loginsBar } from "./logins.ts";
import { matchBar } from "./match.ts";
import { offlineBar } from "./offline.ts";
import { pubackBar } from "./puback.ts";
import { reconnectBar } from "./reconnect.ts";
import { resumeBar } from "./resume.ts";
import { retainedBar } from "./retained.ts";
import { sessionsBar } from "./sessions.ts";
import { slowBar } from "./slow.ts";
import { soakBar } from "./soak.ts";

const BARS: readonly Bar[] = [
  soakBar,
  matchBar,
  retainedBar,
  idleBar,
  slowBar,
  loginsBar,
  fanOutBar,
  durablePairsBar,
  aclBar,
  offlineBar,
  backlogBar,
  sessionsBar,
  reconnectBar,
  resumeBar,
  broadcastBar,
  pubackBar,
  killBar,
];
const NAMES = BARS.map((bar) => bar.name);
const NAME_COLUMNS = 46;
const MEASURED_COLUMNS = 46;
const BAR_COLUMNS = 22;

interface BarFlags {
  readonly scale: number;
  readonly durability?: string;
  readonly json?: string;
}

function part(text: string): number {
  const value = Number(text);
  if (value > 0 && value <= 1) return value;
  throw new InvalidArgumentError("A number above 0, at most 1, is needed.");
}

function verdict(row: BarRow, isWhole: boolean): string {
  if (row.met === null) return "–";
  if (!isWhole) return row.met ? "(met)" : "(not met)";
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

async function runBars(names: readonly string[], flags: BarFlags): Promise<void> {
  const { scale, durability, json } = flags;
  const config = durability === undefined ? [] : [`durability ${durability}`];
  const options: BarOptions = { scale, config };
  const machine = machineLine();
  const startLoad = loadLine();
  process.stdout.write(`${machine}\n${startLoad} before the first bar\n`);
  if (scale < 1) process.stdout.write(`bars of the store at ${count(scale, 3)} of their load\n`);
  process.stdout.write("\n");
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
      const found = await bar.measure(say, options);
      for (const row of found) {
        process.stdout.write(
          line(row.name, row.measured, row.bar, verdict(row, scale === 1 || bar.scales !== true)),
        );
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
    const report = { machine, load: startLoad, scale, rows, faults };
    writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`);
  }
}

/** @returns the command; a bar that is not met does not change the exit status */
export function barsCommand(): Command {
  const sentences = BARS.map((bar) => `  ${bar.name.padEnd(14)} ${bar.sentence}`);
  return new Command("bars")
    .description("what the broker must reach beside CPU per message; each with its own broker")
    .addArgument(new Argument("[names...]", "which; all if none is named").choices(NAMES))
    .option("--scale <part>", "of the load, for the bars of the store", part, 1)
    .addOption(
      new Option("--durability <mode>", "for the bars of the store (the broker's default)").choices(
        ["fsync", "process", "memory"],
      ),
    )
    .option("--json <file>", "write all rows as JSON")
    .addHelpText(
      "after",
      `\nBars:\n${sentences.join("\n")}\n\nTMPDIR chooses the disk of the stores.`,
    )
    .action(async (names: string[], flags: BarFlags) => {
      try {
        await runBars(names.length > 0 ? names : NAMES, flags);
      } catch (error) {
        if (!(error instanceof UsageFault)) throw error;
        process.stderr.write(`error: ${error.message}\n`);
        process.exitCode = EXIT_USAGE;
      }
    });
}
