/**
 * The built command as a child process, for tests that look at it from outside.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The built program. */
export const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** What is left of a program that has ended. */
export interface Ended {
  /** null: ended by a signal. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Program {
  /** Settles with the match in what was printed or comes yet; fails if the program ends first. */
  printed(pattern: RegExp): Promise<RegExpExecArray>;
  signal(name: NodeJS.Signals): void;
  readonly ended: Promise<Ended>;
}

/** Programs not yet ended; whatever a failing test leaves is ended by endAll(). */
const running = new Set<ChildProcess>();

/**
 * Starts `holdfast` with `args`.
 *
 * @param nodeArgs  for Node.js itself, in front of the program
 */
export function start(args: readonly string[], nodeArgs: readonly string[] = []): Program {
  const child = spawn(process.execPath, [...nodeArgs, MAIN, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  let stdout = "";
  let stderr = "";
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const look of waiting) look();
  };
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
    wake();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
    wake();
  });
  const ended = new Promise<Ended>((resolve) => {
    child.once("close", (exitCode) => {
      running.delete(child);
      resolve({ exitCode, stdout, stderr });
    });
  });
  return {
    printed: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const match = pattern.exec(stdout + stderr);
          if (match === null) return;
          waiting.delete(look);
          resolve(match);
        };
        waiting.add(look);
        look();
        ended.then(() => reject(new Error(`ended without ${pattern}: ${stdout}${stderr}`)));
      }),
    signal: (name) => {
      child.kill(name);
    },
    ended,
  };
}

/** Runs `holdfast` with `args` to its end. */
export function runToEnd(args: readonly string[], nodeArgs: readonly string[] = []) {
  return start(args, nodeArgs).ended;
}

export function endAll(): void {
  for (const child of running) child.kill("SIGKILL");
}
