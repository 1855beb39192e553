/**
 * `holdfast check`, `backup` and `compact`: what they print, and their exit codes.
 *
 *   stdout  what was found or done        stderr  how far it has come; why it could not be done
 */
import { StartError } from "../base/errors.ts";
import { formatBytes } from "../base/quantity.ts";
import { backupStore } from "../store/backup.ts";
import { checkStore } from "../store/check.ts";
import { compactStore } from "../store/compact.ts";
import type { StoreCommand } from "./flags.ts";

/** The least time between two lines of progress. */
const PROGRESS_MILLISECONDS_MIN = 1_000;

/**
 * Runs a command on the data directory to its end.
 *
 * @returns the exit code: 1 if it could not be done, or if `check` found something wrong
 */
export async function runStoreCommand(command: StoreCommand, directory: string): Promise<number> {
  const progress = progressOf(command.name);
  try {
    switch (command.name) {
      case "backup":
        return await backup(directory, command.destination ?? "", progress);
      case "check":
        return await check(directory, progress);
      case "compact":
        return await compact(directory, progress);
    }
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    process.stderr.write(`holdfast: ${error.message}\n`);
    return 1;
  }
}

/** Says a line at most every second, so nothing of what is soon done. */
function progressOf(name: string): (done: string) => void {
  let saidMs = performance.now();
  return (done) => {
    const nowMs = performance.now();
    if (nowMs - saidMs < PROGRESS_MILLISECONDS_MIN) return;
    saidMs = nowMs;
    process.stderr.write(`holdfast ${name}: ${done} …\n`);
  };
}

async function backup(
  directory: string,
  destination: string,
  progress: (done: string) => void,
): Promise<number> {
  const { bytes, pageCount } = await backupStore(directory, destination, progress);
  process.stdout.write(
    `${directory} is copied to ${destination}: ${formatBytes(bytes)}, ` +
      `${pageCount} pages of the journal\n`,
  );
  return 0;
}

async function compact(directory: string, progress: (done: string) => void): Promise<number> {
  for (const { name, bytesBefore, bytesAfter } of await compactStore(directory, progress)) {
    process.stdout.write(`${name}: ${formatBytes(bytesBefore)} → ${formatBytes(bytesAfter)}\n`);
  }
  return 0;
}

async function check(directory: string, progress: (done: string) => void): Promise<number> {
  const say = (fault: string): void => {
    process.stdout.write(`${fault}\n`);
  };
  const { counts, faultCount, brokerPid } = await checkStore(directory, say, progress);
  for (const [what, count] of counts) process.stdout.write(`${what}: ${count}\n`);
  if (brokerPid !== null) {
    process.stdout.write(
      `${directory} is in use by process ${brokerPid}: ` +
        "what that was writing meanwhile may look wrong\n",
    );
  }
  const verdict = faultCount === 0 ? "sound" : `not sound: ${faultCount} faults`;
  process.stdout.write(`${directory} is ${verdict}\n`);
  return faultCount === 0 ? 0 : 1;
}
