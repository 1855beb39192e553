/** Files that hold secrets, written so that whoever reads one meanwhile has it whole. */
import {
  chmodSync,
  closeSync,
  existsSync,
  fchownSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";

/** Who made the file alone reads it, until they say otherwise. */
const MODE = 0o600;
const MODE_BITS = 0o777;

/** Why it could not be done, in a sentence for whoever asked for it. */
export class FileFault extends Error {
  override readonly name = "FileFault";
}

/**
 * Puts a new file in the place of the old one, whose mode, owner and links stay.
 *
 * @throws FileFault where it cannot be written
 */
export function replaceFile(file: string, lines: readonly string[]): void {
  guarded(`cannot write ${file}`, () => {
    const place = existsSync(file) ? realpathSync(file) : file;
    const old = existsSync(place) ? statSync(place) : null;
    const fresh = `${place}.new`;
    const descriptor = openSync(fresh, "wx", MODE);
    try {
      if (old !== null && (old.uid !== process.getuid?.() || old.gid !== process.getgid?.())) {
        fchownSync(descriptor, old.uid, old.gid);
      }
      writeSync(descriptor, lines.map((line) => `${line}\n`).join(""));
      fsyncSync(descriptor);
      if (old !== null) chmodSync(fresh, old.mode & MODE_BITS);
      renameSync(fresh, place);
    } catch (error) {
      rmSync(fresh, { force: true });
      throw error;
    } finally {
      closeSync(descriptor);
    }
  });
}

/** @throws FileFault with `what` and the reason of the system */
export function guarded<Value>(what: string, work: () => Value): Value {
  try {
    return work();
  } catch (error) {
    const reason = error instanceof Error ? error.message.split(", ")[0] : String(error);
    throw new FileFault(`${what}: ${reason}`);
  }
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
