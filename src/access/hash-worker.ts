/**
 * A thread that computes argon2id and bcrypt, one at a time: each would hold up the event loop for
 * a tenth of a second.
 */
import { parentPort } from "node:worker_threads";
import { argon2id, bcryptVerify } from "hash-wasm";
import { isSameHash, type StoredPassword } from "./password-hash.ts";

/** Whether `password` is the one that is stored. */
export interface HashQuestion {
  readonly stored: StoredPassword;
  readonly password: Uint8Array;
}

export type HashAnswer = boolean;

async function check(stored: StoredPassword, password: Uint8Array): Promise<boolean> {
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

parentPort?.on("message", ({ stored, password }: HashQuestion) => {
  check(stored, password).then(
    (isRight) => parentPort?.postMessage(isRight satisfies HashAnswer),
    // An empty password, or one past bcrypt's 72 bytes: it is not the one.
    () => parentPort?.postMessage(false satisfies HashAnswer),
  );
});
