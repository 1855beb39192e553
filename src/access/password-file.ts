/**
 * The password file, as mosquitto_passwd writes it.
 *
 *   user:hash          the hash as in password-hash.ts
 *
 * A line each; blanks around it do not count, nor do lines that are empty or begin with `#`. Of two
 * lines of one user the later counts, as in mosquitto.
 */
import { readFileSync, type Stats, statSync } from "node:fs";
import { StartError } from "../base/errors.ts";
import { readPasswordHash, type StoredPassword } from "./password-hash.ts";

/** Users with what checks their passwords. */
export type PasswordUsers = ReadonlyMap<string, StoredPassword>;

/** Bits of a file's mode that let others than its owner and group read or write it. */
const MODE_OTHERS = 0o006;

/** Longest user name and longest password, bytes of UTF-8.                   [MQTT 5.0 §1.5.4] */
export const NAME_BYTES_MAX = 65_535;

/**
 * Reads all lines.
 *
 * @returns the users, or `LINE: sentence` for the first line that is not accepted
 */
export function readPasswordLines(content: string): PasswordUsers | string {
  const users = new Map<string, StoredPassword>();
  for (const [index, written] of content.split("\n").entries()) {
    const line = written.trim();
    if (line === "" || line.startsWith("#")) continue;
    const colon = line.indexOf(":");
    const user = withoutBlanks(line.slice(0, colon));
    const fault = colon === -1 ? "expected user:hash" : faultOfUser(user);
    if (fault !== null) return `${index + 1}: ${fault}`;
    const stored = withoutBlanks(line.slice(colon + 1));
    const read = readPasswordHash(stored);
    // What stands behind the colon may be a password: it is not repeated.
    if (typeof read === "string") return `${index + 1}: the user ${user}: ${read}`;
    users.set(user, stored);
  }
  return users;
}

/** Blanks around a user name or a hash do not count, as in mosquitto: those of `isspace`. */
export function withoutBlanks(text: string): string {
  return text.replace(/^[ \t\v\f\r\n]+|[ \t\v\f\r\n]+$/g, "");
}

/** @returns why this is no user name for a password file; null: it is one */
export function faultOfUser(user: string): string | null {
  if (user === "") return "expected user:hash";
  if (user.includes(":")) return "a user name cannot hold a colon";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
  if (/[\u0000-\u001f\u007f-\u009f]/.test(user))
    return "a user name cannot hold control characters";
  return Buffer.byteLength(user) > NAME_BYTES_MAX ? "the user name is too long" : null;
}

/**
 * Reads a password file.
 *
 * @param warn  called with a sentence where others than its owner can read or write the file
 * @throws StartError where it cannot be read, or a line is not accepted
 */
export function loadPasswordFile(path: string, warn: (sentence: string) => void): PasswordUsers {
  const { content, isOpenToOthers } = readSecretFile("password_file", path);
  if (isOpenToOthers) {
    warn(
      `password_file ${path} can be read or written by every user of this machine; ` +
        `mend it with: chmod o-rwx ${path}`,
    );
  }
  const users = readPasswordLines(content.toString("utf8"));
  if (typeof users === "string") throw new StartError(`password_file ${path}:${users}`);
  return users;
}

/**
 * Reads a file that holds a secret.
 *
 * @param option  the option that names it
 * @throws StartError where it cannot be read
 */
export function readSecretFile(
  option: string,
  path: string,
): { readonly content: Buffer; readonly isOpenToOthers: boolean } {
  try {
    const content = readFileSync(path);
    const { mode }: Stats = statSync(path);
    return { content, isOpenToOthers: (mode & MODE_OTHERS) !== 0 };
  } catch (error) {
    const reason = error instanceof Error ? error.message.split(", ")[0] : String(error);
    throw new StartError(`cannot read ${option} ${path}: ${reason}`);
  }
}
