/** The line that says on what a benchmark ran. */
import { execFileSync } from "node:child_process";
import { cpus } from "node:os";

/** @returns CPU model, cores, Node version and git commit of the working directory */
export function machineLine(): string {
  const cores = cpus();
  const model = cores[0]?.model.trim() ?? "unknown CPU";
  return `${model}, ${cores.length} cores · Node ${process.version} · commit ${gitCommit()}`;
}

function git(...args: string[]): string {
  return execFileSync("git", args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  }).trim();
}

function gitCommit(): string {
  try {
    const changed = git("status", "--porcelain", "--untracked-files=no") === "" ? "" : " (changed)";
    return git("rev-parse", "--short", "HEAD") + changed;
  } catch {
    return "unknown";
  }
}
