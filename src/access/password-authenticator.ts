/** Users of the password file: who is in it is judged by it, whoever comes after it. */
import { NOT_AUTHORIZED, QUOTA_EXCEEDED } from "#assembly/spec";
import { addressKey } from "./address-key.ts";
import { BUSY } from "./fair-queue.ts";
import type { Authenticator, ConnectRequest, Verdict } from "./identity.ts";
import type { PasswordUsers } from "./password-file.ts";
import type { StoredPassword } from "./password-hash.ts";
import type { Checked, PasswordHasher } from "./password-hasher.ts";

export class PasswordAuthenticator implements Authenticator {
  readonly #hasher: PasswordHasher;
  readonly #users: PasswordUsers;
  readonly #decoy: StoredPassword | null;

  constructor(users: PasswordUsers, hasher: PasswordHasher) {
    this.#users = users;
    this.#hasher = hasher;
    this.#decoy = mostCommon(users);
  }

  authenticate(request: ConnectRequest): Verdict | Promise<Verdict> | null {
    const { userName, password } = request;
    const stored = userName === null ? undefined : this.#users.get(userName);
    if (userName === null || stored === undefined) return null;
    if (password === null) return wrong(userName);
    const checked = checkPassword(this.#hasher, stored, request);
    const grounds = { kind: "password", stored } as const;
    const judged = (settled: Checked): Verdict => {
      const verdict = verdictOf(settled, request);
      return "granted" in verdict ? { ...verdict, grounds } : verdict;
    };
    return checked instanceof Promise ? checked.then(judged) : judged(checked);
  }

  decoy(): StoredPassword | null {
    return this.#decoy;
  }
}

/**
 * Checks the password of a CONNECT that has one, in the turn of its address.
 *
 * @param stored  of the user, or of nobody
 */
export function checkPassword(
  hasher: PasswordHasher,
  stored: StoredPassword,
  { userName, password, remoteAddress, isGone }: ConnectRequest,
): Checked | Promise<Checked> {
  const question = {
    stored,
    password: password ?? new Uint8Array(0),
    user: userName ?? "",
    address: addressKey(remoteAddress),
    ...(isGone && { isGone }),
  };
  return hasher.check(question, Math.floor(Date.now() / 1000));
}

/** What a checked password comes to, for who decides by passwords alone. */
export function verdictOf(checked: Checked, { clientId, userName }: ConnectRequest): Verdict {
  if (checked === BUSY) return { refused: QUOTA_EXCEEDED, reason: "too many passwords wait" };
  if (!checked) return wrong(userName ?? "");
  return { granted: { clientId, userName: userName ?? "", rules: null } };
}

/** The client is not told whether there is such a user; the log is. */
function wrong(userName: string): Verdict {
  return { refused: NOT_AUTHORIZED, reason: `wrong password of user ${userName}` };
}

/** A stored password of the kind that most have. */
function mostCommon(users: PasswordUsers): StoredPassword | null {
  const kinds = new Map<string, { readonly one: StoredPassword; count: number }>();
  for (const one of users.values()) {
    const kind = /^\$7\$\d+|^[^$]*\$\w+/.exec(one)?.[0] ?? "";
    const entry = kinds.get(kind) ?? { one, count: 0 };
    entry.count++;
    kinds.set(kind, entry);
  }
  let most = { one: null as StoredPassword | null, count: 0 };
  for (const entry of kinds.values()) if (entry.count > most.count) most = entry;
  return most.one;
}
