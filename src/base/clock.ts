/**
 * The two clocks of a broker.
 *
 * Unix time is for what is on record, and so is due in another run as well: Sessions, messages,
 * wills. It follows the machine's clock where that is set forward. Where it is set back Unix time
 * goes on from where it was, at the pace of time: what is due by then is due when it was to be,
 * and what comes later is neither early nor late.
 *
 *   Unix time   ───────╱──────────────╱   goes on
 *   machine     ──────╱               ┊
 *                      ┊ set forward  ╲── set back
 *
 * Monotonic time is for what ends with the process: Keep Alive, deadlines, what is told of every
 * few seconds. No step of the machine's clock changes it.
 */

/**
 * A machine's clock that is less behind than this, milliseconds, is followed at once: it was
 * slewed, or had a leap second. By so much Unix time may go back.
 */
const FOLLOWED_MILLISECONDS = 1000;

/** From so many seconds on a step of the machine's clock is worth a line. */
const STEP_SECONDS_MIN = 5;

/** Where the time comes from, milliseconds; tests have their own. */
export interface Machine {
  /** Unix time, which may be set. */
  wallMs(): number;
  /** Of a clock that is never set. */
  monotonicMs(): number;
}

export class Clock {
  readonly #machine: Machine;
  /** Unix time less monotonic time. */
  #offsetMs = Number.NEGATIVE_INFINITY;
  /** The same of the machine's clock, when takeStep() was asked last, or at first. */
  #seenOffsetMs: number | null = null;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Unix time, whole milliseconds. */
  unixMilliseconds(): number {
    const offsetMs = this.#wallOffsetMs();
    this.#seenOffsetMs ??= offsetMs;
    if (offsetMs > this.#offsetMs - FOLLOWED_MILLISECONDS) this.#offsetMs = offsetMs;
    return Math.floor(this.#machine.monotonicMs() + this.#offsetMs);
  }

  /** What is on record was written at this Unix time: it is not earlier now. */
  notBefore(unixMs: number): void {
    const behindMs = unixMs - this.unixMilliseconds();
    if (behindMs > 0) this.#offsetMs += behindMs;
  }

  /**
   * @returns by how many seconds the machine's clock was set since the last call, 0: by few, or not
   *   at all; a machine that slept may count as one whose clock was set forward
   */
  takeStep(): number {
    const offsetMs = this.#wallOffsetMs();
    const seconds = Math.round((offsetMs - (this.#seenOffsetMs ?? offsetMs)) / 1000);
    this.#seenOffsetMs = offsetMs;
    return Math.abs(seconds) < STEP_SECONDS_MIN ? 0 : seconds;
  }

  /** In this order: what stops the process in between makes it less, which the next look mends. */
  #wallOffsetMs(): number {
    const wallMs = this.#machine.wallMs();
    return wallMs - this.#machine.monotonicMs();
  }
}

export const machine: Machine = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

const clock = new Clock(machine);

/** Unix time, whole milliseconds: see above. */
export function unixMilliseconds(): number {
  return clock.unixMilliseconds();
}

/** Seconds of a clock that is never set, whole. */
export function monotonicSeconds(): number {
  return Math.floor(machine.monotonicMs() / 1000);
}

/** What is on record was written at this Unix time: it is not earlier now. */
export function notBefore(unixMs: number): void {
  clock.notBefore(unixMs);
}

/** What to tell of a step of the machine's clock since the last call; null: there was none. */
export function takeClockStep(): string | null {
  const seconds = clock.takeStep();
  if (seconds === 0) return null;
  if (seconds < 0) {
    return (
      `The clock was set back by ${-seconds} s: ` +
      "Sessions, messages and wills are due as if it had not been."
    );
  }
  return (
    `The clock was set forward by ${seconds} s, or the machine slept: ` +
    "Sessions, messages and wills are due by the new time."
  );
}
