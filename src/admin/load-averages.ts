/**
 * Load averages: how much of something there is in a minute, as a mean over 1, 5 and 15 minutes in
 * which what is past weighs less and less, as the load of a Unix machine is told.
 */

const SPANS = [
  ["1min", 60],
  ["5min", 300],
  ["15min", 900],
] as const;

export class LoadAverage {
  readonly #name: string;
  readonly #means = SPANS.map(() => 0);
  #counted = 0;

  /** @param name  of the topic, `load/sockets`; a level for each span follows it */
  constructor(name: string) {
    this.#name = name;
  }

  /**
   * @param total  how much there was since the start
   * @param seconds  since the call before; 0 at the first, whose means are 0
   */
  values(total: number, seconds: number): [string, string][] {
    const perMinute = seconds > 0 ? ((total - this.#counted) * 60) / seconds : 0;
    if (seconds > 0) this.#counted = total;
    return SPANS.map(([span, spanSeconds], i) => {
      const weight = Math.exp(-seconds / spanSeconds);
      const mean = perMinute + weight * ((this.#means[i] ?? 0) - perMinute);
      this.#means[i] = mean;
      return [`${this.#name}/${span}`, mean.toFixed(2)];
    });
  }
}
