/** Copies in the place of files, or beside them, that whoever could use these can use as well. */
import { chmodSync, chownSync, statSync } from "node:fs";

const MODE_BITS = 0o777;

/**
 * Gives a copy the owner and the mode of its original: root may have made it, and the broker, which
 * is another user, has to write it.
 *
 * @throws the system's error, where this user may not give it away
 */
export function takeAfter(original: string, copy: string): void {
  const { uid, gid, mode } = statSync(original);
  const own = statSync(copy);
  if (own.uid !== uid || own.gid !== gid) chownSync(copy, uid, gid);
  chmodSync(copy, mode & MODE_BITS);
}

/** Likewise, but who may not give the copy away keeps it, with the mode of the original. */
export function takeAfterIfAllowed(original: string, copy: string): void {
  const { uid, gid, mode } = statSync(original);
  chmodSync(copy, mode & MODE_BITS);
  if (process.geteuid?.() === 0) chownSync(copy, uid, gid);
}
