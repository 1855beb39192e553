/**
 * `holdfast-….sock`: a Unix socket in the data directory on which its holder listens. The kernel
 * answers for whoever holds it, in whatever container, and does so no more the moment it is killed:
 * what it leaves is a name that refuses everybody.
 */
import { randomBytes } from "node:crypto";
import { closeSync, openSync, readdirSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";

const NAME = /^holdfast-[0-9a-f]{16}\.sock$/;

/** Codes with which a socket says that somebody is there who does not take us just now. */
const ANSWERS: ReadonlySet<unknown> = new Set(["EACCES", "EAGAIN", "EPERM"]);

export interface HolderSocket {
  /** In the directory; each holder has a name of its own, so that none takes another's away. */
  readonly name: string;
  close(): void;
}

/** Whether it is the name of such a socket, and no path. */
export function isSocketName(name: string): boolean {
  return NAME.test(name);
}

/**
 * Listens in a directory, without keeping the process alive.
 *
 * @returns why it cannot be, where the system or the file system has no such sockets
 */
export async function openHolderSocket(directory: string): Promise<HolderSocket | Error> {
  const name = `holdfast-${randomBytes(8).toString("hex")}.sock`;
  let place: ShortPlace;
  try {
    place = openPlace(directory);
  } catch (error) {
    return error as Error;
  }
  const server = createServer((asking) => asking.destroy());
  const fault = await new Promise<Error | null>((resolve) => {
    server.once("error", resolve);
    // Who may not write to a socket is refused as if nobody were there.
    const open = { path: place.pathOf(name), readableAll: true, writableAll: true };
    server.listen(open, () => resolve(null));
  });
  if (fault !== null) {
    place.close();
    return fault;
  }
  // A connection that cannot be accepted was answered all the same.
  server.on("error", () => undefined);
  server.unref();
  return {
    name,
    close: () => {
      server.close(); // It removes the name at once.
      place.close();
    },
  };
}

/** Whether a process listens on a socket of the directory. */
export async function isAnswering(directory: string, name: string): Promise<boolean> {
  const place = openPlace(directory);
  const socket = connect(place.pathOf(name));
  try {
    return await new Promise((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.on("error", (error) => resolve("code" in error && ANSWERS.has(error.code)));
    });
  } finally {
    socket.destroy();
    place.close();
  }
}

/** Removes what killed holders have left. @param own  the one that stays in any case; "": none */
export async function removeStaleSockets(directory: string, own: string): Promise<void> {
  for (const name of readdirSync(directory)) {
    if (!isSocketName(name) || name === own || (await isAnswering(directory, name))) continue;
    rmSync(join(directory, name), { force: true });
  }
}

/** A directory by its descriptor. */
interface ShortPlace {
  pathOf(name: string): string;
  close(): void;
}

/** The path of a socket has 107 bytes at most: that of a data directory may be longer. */
function openPlace(directory: string): ShortPlace {
  const descriptor = openSync(directory, "r");
  return {
    pathOf: (name) => `/proc/self/fd/${descriptor}/${name}`,
    close: () => closeSync(descriptor),
  };
}
