/**
 * Who may authenticate with SCRAM: the credentials file as the broker has it, and an answer for
 * those who are not in it.
 */
import { randomBytes } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { StartError } from "../base/errors.ts";
import { hmac, ITERATIONS_MIN, readScramLines, type ScramCredential } from "./scram-file.ts";

const SALT_BYTES = 16;
/** Bits of a file's mode that let others than its owner and group read or write it. */
const MODE_OTHERS = 0o006;

export class ScramCredentials {
  readonly #users: ReadonlyMap<string, ScramCredential>;
  /** What unknown users' salts are made from. */
  readonly #secret: Buffer;
  readonly #iterations: number;
  readonly #saltBytes: number;

  constructor(users: ReadonlyMap<string, ScramCredential>) {
    this.#users = users;
    this.#secret = secretOf(users);
    const common = mostCommon([...users.values()]);
    this.#iterations = common?.iterations ?? ITERATIONS_MIN;
    this.#saltBytes = common?.salt.length ?? SALT_BYTES;
  }

  get userCount(): number {
    return this.#users.size;
  }

  /**
   * Credentials of a user. Those of one who does not exist look as others do, are the same each
   * time, and fit no password: a client learns from them nothing about who exists [RFC 5802 §9].
   *
   * @param user  as prepare() gives it; null: no user has such a name
   */
  find(user: string | null): ScramCredential {
    const known = user === null ? undefined : this.#users.get(user);
    const salt = this.#fake(`salt ${user}`, this.#saltBytes);
    const storedKey = this.#fake(`key ${user}`, 32);
    return known ?? { iterations: this.#iterations, salt, storedKey, serverKey: storedKey };
  }

  /** Whether the user, whose name is prepared, is there with this credential. */
  has(user: string, { iterations, salt, storedKey, serverKey }: ScramCredential): boolean {
    const known = this.#users.get(user);
    return (
      known !== undefined &&
      known.iterations === iterations &&
      known.salt.equals(salt) &&
      known.storedKey.equals(storedKey) &&
      known.serverKey.equals(serverKey)
    );
  }

  #fake(text: string, byteCount: number): Buffer {
    const parts: Buffer[] = [];
    for (let bytes = 0; bytes < byteCount; bytes += 32) {
      parts.push(hmac(this.#secret, `${bytes} ${text}`));
    }
    return Buffer.concat(parts).subarray(0, byteCount);
  }
}

/**
 * A secret that outlives a restart with the same file, as the salts of real users do; where nobody
 * is in the file, one of this process.
 */
function secretOf(users: ReadonlyMap<string, ScramCredential>): Buffer {
  if (users.size === 0) return randomBytes(32);
  const keys = [...users.values()].map(({ serverKey }) => serverKey);
  return hmac(Buffer.concat(keys), "unknown users");
}

/** A credential with the iterations and the length of salt that most have. */
function mostCommon(credentials: readonly ScramCredential[]): ScramCredential | null {
  const counts = new Map<string, { readonly one: ScramCredential; count: number }>();
  for (const one of credentials) {
    const kind = `${one.iterations} ${one.salt.length}`;
    const entry = counts.get(kind) ?? { one, count: 0 };
    entry.count++;
    counts.set(kind, entry);
  }
  let most = { one: null as ScramCredential | null, count: 0 };
  for (const entry of counts.values()) if (entry.count > most.count) most = entry;
  return most.one;
}

/**
 * Reads the credentials file.
 *
 * @param warn  called with a sentence where others than its owner can read or write the file
 * @throws StartError where it cannot be read, or a line is not accepted
 */
export function loadScramFile(path: string, warn: (sentence: string) => void): ScramCredentials {
  let content: string;
  try {
    content = readFileSync(path, "utf8");
    if ((statSync(path).mode & MODE_OTHERS) !== 0) {
      warn(`scram_file ${path} can be read or written by every user of this machine`);
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message.split(", ")[0] : String(error);
    throw new StartError(`cannot read scram_file ${path}: ${reason}`);
  }
  const users = readScramLines(content);
  if (typeof users === "string") throw new StartError(`scram_file ${path}:${users}`);
  return new ScramCredentials(users);
}
