/**
 * A thread that computes PBKDF2, argon2id and bcrypt, one at a time: they would hold up the event
 * loop for a millisecond to a tenth of a second.
 *
 * It gives way to whatever else wants its core: who logs in can wait, messages under way cannot.
 */
import { constants, setPriority } from "node:os";
import { parentPort } from "node:worker_threads";
import { argon2id, bcryptVerify } from "hash-wasm";
import { isSameHash, pbkdf2Of, type StoredPassword, storedHash } from "./password-hash.ts";

/** Whether `password` is the one that is stored. */
export interface HashQuestion {
  readonly stored: StoredPassword;
  readonly password: Uint8Array;
}

export type HashAnswer = boolean;

async function check(text: StoredPassword, password: Uint8Array): Promise<boolean> {
  const stored = storedHash(text);
  if (stored.kind === "pbkdf2") return isSameHash(pbkdf2Of(password, stored), stored.hash);
  if (stored.kind === "bcrypt") return bcryptVerify({ password, hash: stored.text });
  if (stored.kind !== "argon2id") throw new Error(`no hash for this thread: ${stored.kind}`);
  const { kibibytes, passes, lanes, salt, hash } = stored;
  const computed = await argon2id({
    password,
    salt,
    memorySize: kibibytes,
    iterations: passes,
    parallelism: lanes,
    hashLength: hash.length,
    outputType: "binary",
  });
  return isSameHash(computed, hash);
}

// On Linux a thread has a priority of its own, and without a number its own is meant.
if (parentPort !== null) setPriority(constants.priority.PRIORITY_BELOW_NORMAL);

parentPort?.on("message", ({ stored, password }: HashQuestion) => {
  check(stored, password).then(
    (isRight) => parentPort?.postMessage(isRight satisfies HashAnswer),
    // An empty password, or one past bcrypt's 72 bytes: it is not the one.
    () => parentPort?.postMessage(false satisfies HashAnswer),
  );
});
