/**
 * How late the event loop is: what every client waits for when a turn takes long. Measured by a
 * timer of libuv's own, outside JavaScript.
 */
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";

/** The timer's interval, which is part of what it measures. */
const RESOLUTION_MILLISECONDS = 10;
const NANOSECONDS = 1e6;

export interface Delays {
  readonly meanMilliseconds: number;
  readonly p99Milliseconds: number;
  readonly maxMilliseconds: number;
}

export class LoopDelay {
  readonly #histogram: IntervalHistogram;
  readonly #resolution: number;

  /** @param resolution  how often it is measured, milliseconds */
  constructor(resolution = RESOLUTION_MILLISECONDS) {
    this.#resolution = resolution;
    this.#histogram = monitorEventLoopDelay({ resolution });
    this.#histogram.enable();
  }

  /** Since the call before. */
  take(): Delays {
    const histogram = this.#histogram;
    const late = (nanoseconds: number): number =>
      histogram.count === 0 ? 0 : Math.max(nanoseconds / NANOSECONDS - this.#resolution, 0);
    const delays = {
      meanMilliseconds: late(histogram.mean),
      p99Milliseconds: late(histogram.percentile(99)),
      maxMilliseconds: late(histogram.max),
    };
    histogram.reset();
    return delays;
  }

  stop(): void {
    this.#histogram.disable();
  }
}
