/**
 * Programs of other people, run against the broker: their lines, their end.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { withDeadline } from "../support/await.ts";

/** How long a scenario of a client may take, milliseconds. */
const END_MS_MAX = 30_000;

export interface Program {
  readonly child: ChildProcess;
  /** Whole lines of stdout so far. */
  lines(): string[];
  /** Awaits the end, which must have exit code 0; the lines. */
  finish(): Promise<string[]>;
}

/** @throws Error naming the packages that bring what is missing */
export function needPrograms(files: readonly string[], packages: string): void {
  for (const file of files) {
    if (!existsSync(file)) throw new Error(`${file} is missing: apt-get install -y ${packages}`);
  }
}

/** Starts a program; whoever starts it ends it. */
export function startProgram(file: string, args: readonly string[]): Program {
  const child = spawn(file, args);
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const lines = () => stdout.split("\n").slice(0, -1);
  const closed = new Promise<number | null>((resolve) => child.once("close", resolve));
  return {
    child,
    lines,
    finish: async () => {
      const explain = () => `${stdout}${stderr}`;
      const code = await withDeadline(closed, `end of ${file}`, explain, END_MS_MAX);
      if (code !== 0) throw new Error(`${file} ended with ${code}: ${explain()}`);
      return lines();
    },
  };
}
