/**
 * `-d`: the broker in the background. The program starts itself a second time, in a session of its
 * own and without a terminal, and waits until that one listens, or says why it cannot.
 */
import { spawn } from "node:child_process";

/** Set for the process in the background. */
const MARK = "HOLDFAST_BACKGROUND";

/** What the process in the background tells the one that started it. */
type Report = { readonly isRunning: true } | { readonly faults: readonly string[] };

/** Whether this is the process in the background. */
export function isInBackground(): boolean {
  return process.env[MARK] === "1" && process.send !== undefined;
}

/**
 * Starts the broker in the background.
 *
 * @param args  the command line, `-d` included
 * @returns 0 when it listens; its exit code if it has ended before
 */
export function startInBackground(args: readonly string[]): Promise<number> {
  const [, program = ""] = process.argv;
  const child = spawn(process.execPath, [...process.execArgv, program, ...args], {
    detached: true,
    env: { ...process.env, [MARK]: "1" },
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  return new Promise((resolve) => {
    let isTold = false;
    child.on("message", (report: Report) => {
      isTold = true;
      if ("faults" in report) {
        for (const fault of report.faults) process.stderr.write(`holdfast: ${fault}\n`);
        return;
      }
      child.disconnect();
      child.unref();
      resolve(0);
    });
    child.on("error", (error) => {
      process.stderr.write(`holdfast: cannot start in the background: ${error.message}\n`);
      resolve(1);
    });
    child.on("exit", (exitCode, signal) => {
      if (!isTold) {
        const how = signal ?? `exit code ${exitCode}`;
        process.stderr.write(`holdfast: ended in the background (${how}); try without -d\n`);
      }
      resolve(exitCode ?? 1);
    });
  });
}

/** The process that waits for this one is told that it listens, and ends. */
export function reportRunning(): void {
  if (!isInBackground()) return;
  const report: Report = { isRunning: true };
  process.send?.(report, undefined, undefined, () => {
    if (process.connected) process.disconnect();
  });
}

/** The process that waits for this one says for it what is wrong. */
export async function reportFaults(faults: readonly string[]): Promise<void> {
  const report: Report = { faults };
  await new Promise((resolve) => process.send?.(report, undefined, undefined, resolve));
}
