/**
 * Checks passwords off the event loop, few at a time, in turns of their addresses.
 *
 *   check() ─▶ remembered? ─▶ $6$: at once
 *                          ─▶ PBKDF2: queue ─────────┬─▶ threads of its own
 *                          ─▶ argon2id, bcrypt: queue ─┘
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
import { isSameHash, passwordHashText, type StoredPassword, sha512Of } from "./password-hash.ts";

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
  readonly #workers = new Set<Worker>();
  readonly #idle: Worker[] = [];
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
      return this.#askWorker(question);
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

  /** Ends its threads; what they were asked is not answered. */
  close(): void {
    for (const worker of this.#workers) worker.terminate();
    this.#workers.clear();
    this.#idle.length = 0;
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

  /** Asks a thread that has nothing to do, or a new one: no more are asked at once than may be. */
  #askWorker({ stored, password }: PasswordQuestion): Promise<boolean> {
    const worker = this.#idle.pop() ?? this.#startWorker();
    return new Promise((resolve, reject) => {
      const failed = (): void => {
        worker.off("message", answered);
        this.#workers.delete(worker);
        worker.terminate();
        reject(new Error("a hashing thread ended"));
      };
      const answered = (isRight: HashAnswer): void => {
        worker.off("exit", failed);
        worker.off("error", failed);
        this.#idle.push(worker);
        resolve(isRight);
      };
      worker.once("error", failed);
      worker.once("exit", failed);
      worker.once("message", answered);
      worker.postMessage({ stored, password } satisfies HashQuestion);
    });
  }

  #startWorker(): Worker {
    // Started from the sources, as the benchmarks are, or from what was built.
    const name = import.meta.url.endsWith(".ts") ? "./hash-worker.ts" : "./hash-worker.js";
    const worker = new Worker(new URL(name, import.meta.url));
    worker.unref();
    worker.once("exit", () => {
      const index = this.#idle.indexOf(worker);
      if (index !== -1) this.#idle.splice(index, 1);
    });
    // It ends then; without this the process would.
    worker.on("error", () => undefined);
    this.#workers.add(worker);
    return worker;
  }
}
