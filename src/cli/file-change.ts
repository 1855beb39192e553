/** What the commands that change a file of the operator's have in common. */
import { replaceFile } from "../base/replace-file.ts";

/** Why it could not be done, in a sentence for whoever asked for it. */
export class FileFault extends Error {
  override readonly name = "FileFault";
}

/**
 * Puts a file of these lines in the place of the old one, whose mode, owner and links stay.
 *
 * @throws FileFault where it cannot be written
 */
export async function replaceLines(file: string, lines: readonly string[]): Promise<void> {
  const text = lines.map((line) => `${line}\n`).join("");
  try {
    await replaceFile(file, text, "operator");
  } catch (error) {
    throw faultOf(`cannot write ${file}`, error);
  }
}

/**
 * Demands of a new user's name that a line can begin with it.
 *
 * @throws FileFault where the line would be a comment, or would lose a part of the name
 */
export function demandUserOfLine(user: string): void {
  if (user.startsWith("#")) throw new FileFault("a user name cannot begin with #");
  if (user.trim() !== user) throw new FileFault("a user name cannot begin or end with a blank");
}

/** @throws FileFault with `what` and the reason of the system */
export function guarded<Value>(what: string, work: () => Value): Value {
  try {
    return work();
  } catch (error) {
    throw faultOf(what, error);
  }
}

function faultOf(what: string, error: unknown): FileFault {
  const reason = error instanceof Error ? error.message.split(", ")[0] : String(error);
  return new FileFault(`${what}: ${reason}`);
}

/**
 * Changes a file, and says what came of it: on stdout what was done, on stderr why it was not.
 *
 * @returns the exit code
 */
export async function reportChange(change: () => Promise<string>): Promise<number> {
  try {
    process.stdout.write(`${await change()}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof FileFault)) throw error;
    process.stderr.write(`holdfast: ${error.message}\n`);
    return 1;
  }
}
