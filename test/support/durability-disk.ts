/**
 * A small file system of its own, in memory, that a test can fill and empty again.
 *
 * It is mounted in a mount namespace of its own, which needs no privilege and leaves nothing
 * behind: a process holds the namespace, and ends with the test.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";

const BALLAST = "ballast";
/** Written in turn until none of them fits any more. */
const CHUNKS_BYTES = [1024 * 1024, 4096, 1] as const;

export interface SmallDisk {
  /** Where it is, for programs that run inside. */
  readonly path: string;
  /** Program and arguments that run another program inside. */
  readonly wrapper: readonly string[];
  /** Takes all the space there is. */
  fill(): void;
  /** Gives it back. */
  empty(): void;
  remove(): void;
}

/**
 * Mounts a file system of so many bytes at the path, which is made.
 *
 * @throws Error if the machine does not let it
 */
export async function mountSmallDisk(path: string, bytes: number): Promise<SmallDisk> {
  mkdirSync(path, { recursive: true });
  const script = `mount -t tmpfs -o size=${bytes} tmpfs "$1"; echo mounted; exec cat`;
  const holder = spawn("unshare", ["-rm", "bash", "-ec", script, "bash", path], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  await mounted(holder);
  const ballast = join(`/proc/${holder.pid}/root`, path, BALLAST);
  const enter = ["nsenter", "-t", `${holder.pid}`, "-U", "-m", "--preserve-credentials"];
  return {
    path,
    wrapper: enter,
    fill: () => fill(ballast),
    empty: () => rmSync(ballast),
    remove: () => holder.kill("SIGKILL"),
  };
}

function mounted(holder: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let fault = "";
    holder.stderr?.on("data", (chunk: Buffer) => {
      fault += chunk.toString();
    });
    holder.stdout?.once("data", () => resolve());
    holder.once("error", reject);
    holder.once("close", () => reject(new Error(`no file system of its own: ${fault}`)));
  });
}

function fill(ballast: string): void {
  const file = openSync(ballast, "w");
  for (const bytes of CHUNKS_BYTES) {
    const chunk = Buffer.alloc(bytes);
    try {
      while (writeSync(file, chunk) > 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    }
  }
  closeSync(file);
}
