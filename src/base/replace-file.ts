/** Files that are replaced whole or not at all, whoever reads them or kills the writer. */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";

/** Who made the file alone reads it. */
const MODE = 0o600;
const MODE_BITS = 0o777;

/**
 * Whose the file is. An operator's keeps its owner and mode, or is not replaced: the broker, which
 * may run as another user, has to be able to read it. The broker's own is for the broker alone.
 */
export type Ownership = "operator" | "broker";

/**
 * Puts a new file in the place of the old one: written aside, safe on the disk, then renamed. Where
 * it is a link, what it points to is replaced. One that is not there yet is for its maker alone.
 *
 * @throws Error of the system; the old file is as it was
 */
export async function replaceFile(file: string, text: string, whose: Ownership): Promise<void> {
  const place = await realpath(file).catch(() => file);
  // A name of its own: of two that write at once each has its file whole, and the later one stays.
  const fresh = `${place}.${randomBytes(4).toString("hex")}.new`;
  const { O_CREAT, O_EXCL, O_WRONLY } = constants;
  const handle = await open(fresh, O_CREAT | O_EXCL | O_WRONLY, MODE);
  try {
    await takeAfter(place, handle, whose);
    await handle.writeFile(text);
    await handle.sync();
    await handle.close();
    await rename(fresh, place);
  } catch (error) {
    await handle.close().catch(() => undefined);
    await rm(fresh, { force: true });
    throw error;
  }
  await syncDirectory(dirname(place));
}

/** Gives the new file the owner, and an operator's the mode, of the old one. */
async function takeAfter(place: string, handle: FileHandle, whose: Ownership): Promise<void> {
  const old = await stat(place).catch(() => null);
  if (old === null) return;
  const isOwn = old.uid === process.getuid?.() && old.gid === process.getgid?.();
  if (whose === "broker") {
    // Who may not give a file away keeps it.
    if (!isOwn) await handle.chown(old.uid, old.gid).catch(() => undefined);
    return;
  }
  if (!isOwn) await handle.chown(old.uid, old.gid);
  await handle.chmod(old.mode & MODE_BITS);
}

/** The new name is safe as well; where a directory cannot be synced, the file itself is. */
async function syncDirectory(directory: string): Promise<void> {
  let handle: FileHandle | null = null;
  try {
    handle = await open(directory, constants.O_RDONLY);
    await handle.sync();
  } catch {
    // Some file systems know no sync of a directory: the rename is atomic all the same.
  } finally {
    await handle?.close();
  }
}
