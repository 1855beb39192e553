/** What goes on for a while is said once, not at each of its signs. */

/** An episode has ended when there was no sign of it for so long, milliseconds. */
const QUIET_MILLISECONDS = 60_000;

export class Episode {
  #lastMs = Number.NEGATIVE_INFINITY;

  /**
   * A sign of it.
   *
   * @param nowMs  milliseconds of performance.now()
   * @returns whether it is the first of an episode
   */
  begins(nowMs: number): boolean {
    const isFirst = nowMs - this.#lastMs > QUIET_MILLISECONDS;
    this.#lastMs = nowMs;
    return isFirst;
  }
}
