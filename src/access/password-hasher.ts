/**
 * Checks passwords off the event loop, few at a time, in turns of their addresses.
 *
 *   check() ─▶ remembered? ─▶ $6$: at once
 *                          ─▶ PBKDF2: queue ─▶ threads of libuv
 *                          ─▶ argon2id, bcrypt: queue ─▶ a thread of their own
 *
 * Logins that succeeded are remembered for a while, as a digest under a key that no other process
 * has and that covers what is stored: where a password changes nothing of it fits any more.
 */
import { createHmac, randomBytes } from "node:crypto";
import { Worker } from "node:worker_threads";
import { BUSY, FairWork, type IsGone } from "./fair-queue.ts";
import type { HashAnswer, HashQuestion } from "./hash-worker.ts";
import {
  HASH_WORKERS_MAX,
  HASHES_QUEUED_MAX,
  LOGIN_REMEMBERED_SECONDS,
  LOGINS_REMEMBERED_MAX,
  PBKDF2_UNDERWAY_MAX,
  SLOW_HASHES_QUEUED_MAX,
} from "./limits.ts";
import {
  isSameHash,
  passwordHashText,
  pbkdf2Of,
  type StoredPassword,
  sha512Of,
} from "./password-hash.ts";

/** Whether the password is the stored one; `busy`: too many wait to have theirs checked. */
export type Checked = boolean | typeof BUSY;

export interface PasswordQuestion {
  readonly stored: StoredPassword;
  readonly password: Uint8Array;
  readonly user: string;
  /** Where it comes from: the lane in which it waits. */
  readonly address: string;
  readonly isGone?: IsGone;
}

export class PasswordHasher {
  readonly #fast = new FairWork(HASHES_QUEUED_MAX, PBKDF2_UNDERWAY_MAX);
  readonly #slow = new FairWork(SLOW_HASHES_QUEUED_MAX, HASH_WORKERS_MAX);
  readonly #key = randomBytes(32);
  /** Digests of logins, oldest first, with the second in which each is forgotten. */
  readonly #remembered = new Map<string, number>();
  #worker: Worker | null = null;
  #askedCount = 0;
  readonly #asked = new Map<number, (isRight: boolean) => void>();
  /** Passwords that were hashed, and those that were turned away. */
  computedCount = 0;
  busyCount = 0;

  /** Passwords that wait to be checked, and those under way. */
  get waitingCount(): number {
    return this.#fast.count + this.#slow.count;
  }

  get rememberedCount(): number {
    return this.#remembered.size;
  }

  /** @param nowSeconds  Unix time */
  check(question: PasswordQuestion, nowSeconds: number): Checked | Promise<Checked> {
    const { stored, password } = question;
    if (stored.kind === "sha512") {
      this.computedCount++;
      return isSameHash(sha512Of(password, stored.salt), stored.hash);
    }
    const digest = this.#digest(question);
    const until = this.#remembered.get(digest);
    if (until !== undefined && until >= nowSeconds) {
      this.#remember(digest, nowSeconds);
      return true;
    }
    return this.#compute(question, digest, nowSeconds);
  }

  async #compute(question: PasswordQuestion, digest: string, nowSeconds: number): Promise<Checked> {
    const isFast = question.stored.kind === "pbkdf2";
    const compute = (): Promise<boolean> => {
      this.computedCount++;
      return isFast ? computePbkdf2(question) : this.#askWorker(question);
    };
    const lane = isFast ? this.#fast : this.#slow;
    // A hash that cannot be computed, for want of memory, is nobody's fault and lets nobody in.
    const checked = await lane
      .run(question.address, compute, question.isGone)
      .catch(() => BUSY as typeof BUSY);
    if (checked === true) this.#remember(digest, nowSeconds);
    if (checked === BUSY) this.busyCount++;
    return checked;
  }

  /** No login is remembered any more. */
  forget(): void {
    this.#remembered.clear();
  }

  /** Ends the thread, if there is one; what it was asked is not answered. */
  close(): void {
    this.#worker?.terminate();
    this.#worker = null;
  }

  #digest({ stored, user, password }: PasswordQuestion): string {
    const name = Buffer.from(user);
    const hash = Buffer.from(passwordHashText(stored));
    const lengths = Buffer.alloc(8);
    lengths.writeUInt32LE(name.length, 0);
    lengths.writeUInt32LE(hash.length, 4);
    const digest = createHmac("sha256", this.#key);
    for (const part of [lengths, name, hash, password]) digest.update(part);
    return digest.digest("base64");
  }

  #remember(digest: string, nowSeconds: number): void {
    this.#remembered.delete(digest);
    this.#remembered.set(digest, nowSeconds + LOGIN_REMEMBERED_SECONDS);
    if (this.#remembered.size <= LOGINS_REMEMBERED_MAX) return;
    for (const oldest of this.#remembered.keys()) {
      this.#remembered.delete(oldest);
      return;
    }
  }

  #askWorker({ stored, password }: PasswordQuestion): Promise<boolean> {
    const worker = this.#worker ?? this.#startWorker();
    this.#askedCount++;
    const number = this.#askedCount;
    return new Promise((resolve, reject) => {
      const over = (): void => {
        this.#asked.delete(number);
        reject(new Error("the hashing thread ended"));
      };
      worker.once("exit", over);
      this.#asked.set(number, (isRight) => {
        worker.off("exit", over);
        resolve(isRight);
      });
      worker.postMessage({ number, stored, password } satisfies HashQuestion);
    });
  }

  #startWorker(): Worker {
    // Started from the sources, as the benchmarks are, or from what was built.
    const name = import.meta.url.endsWith(".ts") ? "./hash-worker.ts" : "./hash-worker.js";
    const worker = new Worker(new URL(name, import.meta.url));
    worker.unref();
    worker.on("message", ({ number, isRight }: HashAnswer) => {
      const answer = this.#asked.get(number);
      this.#asked.delete(number);
      answer?.(isRight);
    });
    const gone = (): void => {
      if (this.#worker === worker) this.#worker = null;
    };
    worker.once("error", gone);
    worker.once("exit", gone);
    this.#worker = worker;
    return worker;
  }
}

async function computePbkdf2({ stored, password }: PasswordQuestion): Promise<boolean> {
  if (stored.kind !== "pbkdf2") throw new Error(`no hash for this thread: ${stored.kind}`);
  return isSameHash(await pbkdf2Of(password, stored), stored.hash);
}
