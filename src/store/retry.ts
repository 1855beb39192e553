/**
 * Writing to a disk that may be full: what failed is tried again, with growing pauses, until it is
 * taken or the store closes.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { WriteError } from "./environment.ts";
import { RETRY_MILLISECONDS_MAX, RETRY_MILLISECONDS_MIN } from "./limits.ts";

/** What is told about a disk that does not take what is written: once when it begins and ends. */
export interface WriteWatch {
  onFailing(reason: string): void;
  onRecovered(): void;
}

export class Retry {
  readonly #watch: WriteWatch;
  readonly #closing: AbortSignal;
  #trouble: string | null = null;

  /** @param closing  ends all pauses: what fails from then on fails for good */
  constructor(watch: WriteWatch, closing: AbortSignal) {
    this.#watch = watch;
    this.#closing = closing;
  }

  /** Why it failed the last time; null: it was written. */
  get trouble(): string | null {
    return this.#trouble;
  }

  /**
   * Calls `write` until it does not throw a WriteError.
   *
   * @throws WriteError if it fails and the store closes
   */
  async until(write: () => Promise<void>): Promise<void> {
    let pauseMs = RETRY_MILLISECONDS_MIN;
    for (;;) {
      try {
        await write();
        break;
      } catch (error) {
        if (!(error instanceof WriteError)) throw error;
        const isNew = this.#trouble === null;
        this.#trouble = error.message;
        if (isNew) this.#watch.onFailing(error.message);
        if (this.#closing.aborted) throw error;
      }
      await sleep(pauseMs, undefined, { signal: this.#closing }).catch(() => undefined);
      pauseMs = Math.min(2 * pauseMs, RETRY_MILLISECONDS_MAX);
    }
    if (this.#trouble === null) return;
    this.#trouble = null;
    this.#watch.onRecovered();
  }
}
