/**
 * Logins that failed, by the address they came from. The first of an episode are answered at once;
 * then each answer waits longer than the one before, up to a bound. An episode ends when its
 * address has failed no more for a while.
 */
import type { Log } from "../base/log.ts";
import {
  EPISODE_SECONDS,
  FAILED_ADDRESSES_MAX,
  FAILURES_FREE,
  REFUSAL_DELAY_MILLISECONDS_MIN,
} from "./limits.ts";

interface Episode {
  failureCount: number;
  /** Unix time, seconds. */
  lastSecond: number;
}

export class FailedLogins {
  readonly #log: Log;
  /** By address; who failed last is last. */
  readonly #episodes = new Map<string, Episode>();
  failureCount = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Addresses with an episode. */
  get addressCount(): number {
    return this.#episodes.size;
  }

  /**
   * Counts a login that failed.
   *
   * @param address  as addressKey() gives it
   * @param nowSeconds  Unix time
   * @param delayMillisecondsMax  0: no answer waits
   * @returns how long its answer has to wait, milliseconds
   */
  failed(address: string, nowSeconds: number, delayMillisecondsMax: number): number {
    this.failureCount++;
    const episode = this.#episodes.get(address) ?? { failureCount: 0, lastSecond: 0 };
    episode.failureCount++;
    episode.lastSecond = nowSeconds;
    this.#episodes.delete(address);
    this.#episodes.set(address, episode);
    if (this.#episodes.size > FAILED_ADDRESSES_MAX) this.#endOldest();
    const beyond = episode.failureCount - FAILURES_FREE;
    if (beyond <= 0) return 0;
    if (beyond === 1) {
      this.#log.warn(`${episode.failureCount} failed logins from ${address}; answers to it wait`);
    }
    // Doubled no more often than a number can be.
    const delay = REFUSAL_DELAY_MILLISECONDS_MIN * 2 ** Math.min(beyond - 1, 30);
    return Math.min(delay, delayMillisecondsMax);
  }

  /** Ends episodes whose time is over. */
  tick(nowSeconds: number): void {
    for (const [address, { lastSecond }] of this.#episodes) {
      if (lastSecond + EPISODE_SECONDS > nowSeconds) return;
      this.#end(address);
    }
  }

  #endOldest(): void {
    for (const address of this.#episodes.keys()) {
      this.#end(address);
      return;
    }
  }

  #end(address: string): void {
    const failureCount = this.#episodes.get(address)?.failureCount ?? 0;
    this.#episodes.delete(address);
    if (failureCount <= FAILURES_FREE) return;
    this.#log.notice(`${failureCount} failed logins from ${address} until it gave up`);
  }
}
