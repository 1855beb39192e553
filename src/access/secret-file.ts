/** Files with secrets that the running broker writes: whole or not at all, whoever kills it. */
import { constants } from "node:fs";
import { type FileHandle, open, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";

/** Whoever runs the broker alone reads it. */
const MODE = 0o600;

/**
 * Puts a new file in the place of the old one: written aside, safe on the disk, then renamed. Its
 * owner stays, and where it is a link, what it points to is replaced.
 *
 * @throws Error of the system; the old file is as it was
 */
export async function replaceSecretFile(file: string, text: string): Promise<void> {
  const place = await realpath(file).catch(() => file);
  const old = await stat(place).catch(() => null);
  const fresh = `${place}.new`;
  await rm(fresh, { force: true });
  const { O_CREAT, O_EXCL, O_WRONLY } = constants;
  const handle = await open(fresh, O_CREAT | O_EXCL | O_WRONLY, MODE);
  try {
    // Who may not give a file away keeps it.
    if (old !== null) await handle.chown(old.uid, old.gid).catch(() => undefined);
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
