/**
 * The look for retained messages that have expired and that nobody asks for: they would stay in
 * memory and on disk. Each is gone for subscribers from the second it expires, with or without.
 */
import type { Engine } from "../engine/engine.ts";
import type { Turn } from "./turn.ts";

export class RetainedSweep {
  readonly #engine: Engine;
  readonly #turn: Turn;
  #intervalSeconds: number;
  #dueSecond = 0;
  #isUnderWay = false;

  /** @param intervalMinutes  0: it never looks */
  constructor(engine: Engine, turn: Turn, intervalMinutes: number) {
    this.#engine = engine;
    this.#turn = turn;
    this.#intervalSeconds = intervalMinutes * 60;
  }

  /** @param minutes  0: it never looks */
  setInterval(minutes: number): void {
    this.#intervalSeconds = minutes * 60;
    this.#dueSecond = 0;
  }

  tick(nowSeconds: number): void {
    if (this.#intervalSeconds === 0 || this.#isUnderWay) return;
    if (this.#dueSecond === 0) this.#dueSecond = nowSeconds + this.#intervalSeconds;
    if (nowSeconds < this.#dueSecond) return;
    this.#dueSecond = nowSeconds + this.#intervalSeconds;
    this.#go();
  }

  /** A slice a turn. */
  #go(): void {
    this.#isUnderWay = this.#engine.calls.sweepRetained() === 1;
    this.#turn.schedule();
    if (this.#isUnderWay) setImmediate(() => this.#go());
  }
}
