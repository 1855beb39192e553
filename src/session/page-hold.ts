/** Whether the journal page being filled is not to be sealed yet. */
import { PAGE_HELD_MILLISECONDS_MAX } from "../base/limits.ts";
import type { Engine } from "../engine/engine.ts";

/**
 * A page waits for the rest of a QoS 2 message, so that all of it is on disk at once. However many
 * receivers that has: what else is in the page must not wait for long.
 */
export class PageHold {
  readonly #engine: Engine;
  /** Until when the page may be held; 0: it is not. */
  #untilMs = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  isHeld(): boolean {
    if (this.#engine.calls.pageHeld() === 0) {
      this.#untilMs = 0;
      return false;
    }
    const now = performance.now();
    if (this.#untilMs === 0) this.#untilMs = now + PAGE_HELD_MILLISECONDS_MAX;
    return now < this.#untilMs;
  }
}
