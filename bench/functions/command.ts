/** The benchmarks of single functions: the engine beside its rivals, by tinybench. */
import { Argument, Command, InvalidArgumentError } from "commander";
import { Bench } from "tinybench";
import { machineLine } from "../machine.ts";
import type { FunctionCase, FunctionJob } from "./case.ts";
import { engineMaker } from "./engine-cases.ts";
import { JOB_KINDS, type JobKind, makeJobs } from "./jobs.ts";

const NANOS_PER_MILLI = 1e6;

interface FunctionsFlags {
  readonly millis: number;
  readonly filters: number[];
}

/** Nanoseconds per operation. */
interface Timing {
  readonly contender: string;
  readonly median: number;
  readonly least: number;
  readonly p99: number;
}

async function time(job: FunctionJob, one: FunctionCase, millis: number): Promise<Timing> {
  const done = one.run();
  if (done !== one.operations) {
    throw new Error(`${job.name}, ${one.contender}: ${done} of ${one.operations} done`);
  }
  const bench = new Bench({ time: millis, warmupTime: millis / 3 });
  let sum = 0;
  bench.add(one.contender, () => {
    sum += one.run();
  });
  const [task] = await bench.run();
  const result = task?.result;
  if (result?.state !== "completed" || sum % one.operations !== 0) {
    throw new Error(`${job.name}, ${one.contender}: the run failed`);
  }
  const nanos = (batchMillis: number): number => (batchMillis * NANOS_PER_MILLI) / one.operations;
  const { p50, min, p99 } = result.latency;
  return { contender: one.contender, median: nanos(p50), least: nanos(min), p99: nanos(p99) };
}

function timingLine(timing: Timing, base: number): string {
  const perSecond = Math.round(1e9 / timing.median).toLocaleString("en");
  const spread = `${timing.least.toFixed(1)}–${timing.p99.toFixed(1)}`;
  return [
    `  ${timing.contender.padEnd(12)}`,
    `${timing.median.toFixed(1).padStart(10)} ns`,
    `(${spread})`.padEnd(20),
    `${perSecond.padStart(14)}/s`,
    `${(timing.median / base).toFixed(2).padStart(8)} ×`,
  ].join(" ");
}

async function runJobs(kinds: readonly JobKind[], flags: FunctionsFlags): Promise<void> {
  process.stdout.write(`${machineLine()}\n`);
  process.stdout.write("median per operation (least–p99), per second, ratio to the engine\n");
  const make = engineMaker();
  for (const kind of kinds) {
    for (const job of makeJobs(kind, make, flags.filters)) {
      process.stdout.write(`\n${job.name}, per ${job.operation}\n`);
      let base = 0;
      for (const one of job.cases) {
        const timing = await time(job, one, flags.millis);
        if (base === 0) base = timing.median;
        process.stdout.write(`${timingLine(timing, base)}\n`);
      }
    }
  }
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new InvalidArgumentError("A whole number above 0 is needed.");
}

/** @returns the command */
export function functionsCommand(): Command {
  return new Command("functions")
    .description("decode, encode, match, utf8: the engine beside plain JS and mqtt-packet")
    .addArgument(new Argument("[kinds...]", "which; all if none is named").choices(JOB_KINDS))
    .option("--millis <ms>", "measure each contender so long", wholeNumber, 600)
    .option(
      "--filters <count...>",
      "filters in the tree of match (1000 100000)",
      (text: string, counts: number[] | undefined) => [...(counts ?? []), wholeNumber(text)],
    )
    .action(async (kinds: JobKind[], flags: { millis: number; filters?: number[] }) => {
      const filters = flags.filters ?? [1000, 100_000];
      await runJobs(kinds.length > 0 ? kinds : JOB_KINDS, { millis: flags.millis, filters });
    });
}
