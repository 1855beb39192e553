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
import { hash, randomBytes } from "node:crypto";
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
import { isSameHash, type StoredPassword, sha512Of, storedHash } from "./password-hash.ts";

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
  readonly #threads = new Set<HashThread>();
  readonly #idle: HashThread[] = [];
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
    if (stored.startsWith("$6$")) return this.#computeAtOnce(stored, password);
    const digest = this.#digest(question);
    const until = this.#remembered.get(digest);
    if (until !== undefined && until >= nowSeconds) {
      this.#remember(digest, nowSeconds);
      return true;
    }
    return this.#compute(question, digest, nowSeconds);
  }

  #computeAtOnce(stored: StoredPassword, password: Uint8Array): boolean {
    const read = storedHash(stored);
    if (read.kind !== "sha512") throw new Error(`${read.kind} is computed by a thread`);
    this.computedCount++;
    return isSameHash(sha512Of(password, read.salt), read.hash);
  }

  async #compute(question: PasswordQuestion, digest: string, nowSeconds: number): Promise<Checked> {
    const isFast = /^\$7\$|^PBKDF2\$/.test(question.stored);
    const compute = (): Promise<boolean> => {
      this.computedCount++;
      return this.#askThread(question);
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
    for (const thread of this.#threads) thread.end();
    this.#threads.clear();
    this.#idle.length = 0;
  }

  #digest({ stored, user, password }: PasswordQuestion): string {
    const parts = [this.#key, Buffer.from(user), Buffer.from(stored), password];
    const lengths = Uint32Array.from(parts, ({ length }) => length);
    return hash("sha256", Buffer.concat([Buffer.from(lengths.buffer), ...parts]), "base64");
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
  async #askThread({ stored, password }: PasswordQuestion): Promise<boolean> {
    const thread = this.#idle.pop() ?? this.#startThread();
    const isRight = await thread.ask({ stored, password });
    this.#idle.push(thread);
    return isRight;
  }

  #startThread(): HashThread {
    const thread = new HashThread(() => {
      this.#threads.delete(thread);
      const index = this.#idle.indexOf(thread);
      if (index !== -1) this.#idle.splice(index, 1);
    });
    this.#threads.add(thread);
    return thread;
  }
}

/** A thread that is asked one question at a time. */
class HashThread {
  readonly #worker: Worker;
  /** Settle the question that it was asked. */
  #answered: (answer: HashAnswer) => void = () => undefined;
  #failed: (error: Error) => void = () => undefined;

  /** @param ended  called when it answers no more */
  constructor(ended: () => void) {
    // Started from the sources, as the benchmarks are, or from what was built.
    const name = import.meta.url.endsWith(".ts") ? "./hash-worker.ts" : "./hash-worker.js";
    this.#worker = new Worker(new URL(name, import.meta.url));
    this.#worker.unref();
    this.#worker.on("message", (answer: HashAnswer) => this.#answered(answer));
    // It ends then; without this the process would.
    this.#worker.on("error", () => undefined);
    this.#worker.once("exit", () => {
      ended();
      this.#failed(new Error("a hashing thread ended"));
    });
  }

  ask(question: HashQuestion): Promise<HashAnswer> {
    return new Promise((resolve, reject) => {
      this.#answered = resolve;
      this.#failed = reject;
      this.#worker.postMessage(question);
    });
  }

  end(): void {
    this.#worker.terminate();
  }
}
