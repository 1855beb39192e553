/**
 * Answers of somebody outside, kept for a while under digests of the questions, which may hold
 * passwords: the key is one of this process.
 */
import { createHmac, randomBytes } from "node:crypto";

interface Kept {
  readonly answer: boolean;
  /** Milliseconds of performance.now(). */
  readonly untilMs: number;
}

export class AnswerCache {
  readonly #key = randomBytes(32);
  readonly #answersMax: number;
  /** The oldest first. */
  readonly #kept = new Map<string, Kept>();

  constructor(answersMax: number) {
    this.#answersMax = answersMax;
  }

  get count(): number {
    return this.#kept.size;
  }

  /** The name of a question. */
  digest(parts: readonly (string | Uint8Array)[]): string {
    const hmac = createHmac("sha256", this.#key);
    for (const part of parts) hmac.update(`${part.length} `).update(part);
    return hmac.digest("base64");
  }

  /** @returns null: it is not known, or no longer */
  find(digest: string, nowMs: number): boolean | null {
    const kept = this.#kept.get(digest);
    if (kept === undefined) return null;
    if (kept.untilMs > nowMs) return kept.answer;
    this.#kept.delete(digest);
    return null;
  }

  keep(digest: string, answer: boolean, untilMs: number): void {
    this.#kept.delete(digest);
    this.#kept.set(digest, { answer, untilMs });
    if (this.#kept.size <= this.#answersMax) return;
    for (const oldest of this.#kept.keys()) {
      this.#kept.delete(oldest);
      return;
    }
  }

  forget(): void {
    this.#kept.clear();
  }
}
