/** That memory_limit is reached is told of once, and once more when there is room again. */
import * as abi from "#assembly/abi";
import type { Log } from "../base/log.ts";
import type { Engine } from "../engine/engine.ts";

/** An episode ends below this share of the limit: else each message that goes would end one. */
const ENDS_BELOW = 0.95;

/** Nor before nothing was refused for so long: a long message needs more room than a short one. */
const QUIET_SECONDS_MIN = 10;

interface Counts {
  readonly refused: number;
  readonly dropped: number;
}

export class MemoryWatch {
  readonly #engine: Engine;
  readonly #log: Pick<Log, "warn" | "notice">;
  /** As of the last tick. */
  #counts: Counts;
  /** As of when the episode began; null: there is none. */
  #before: Counts | null = null;
  /** Second in which there was no room last. */
  #shortSecond = 0;

  constructor(engine: Engine, log: Pick<Log, "warn" | "notice">) {
    this.#engine = engine;
    this.#log = log;
    this.#counts = this.#count();
  }

  /** @param nowSeconds  monotonic */
  tick(nowSeconds: number): void {
    const { calls } = this.#engine;
    const { refused, dropped } = this.#counts;
    const before = this.#counts;
    this.#counts = this.#count();
    const isMore = this.#counts.refused > refused || this.#counts.dropped > dropped;
    if (isMore || calls.memoryTight() === 1) {
      this.#shortSecond = nowSeconds;
      if (this.#before === null) this.#begin(before);
    } else if (this.#before !== null && nowSeconds >= this.#shortSecond + QUIET_SECONDS_MIN) {
      const taken = Number(calls.heapBytesCommitted());
      if (taken < Number(calls.heapBytesCap()) * ENDS_BELOW) this.#end(this.#before);
    }
  }

  #begin(before: Counts): void {
    this.#before = before;
    this.#log.warn(
      `memory_limit is reached: ${this.#figures()}. Until there is room, new Sessions, ` +
        "subscriptions and messages are refused, and messages of QoS 0 are dropped.",
    );
  }

  #end(before: Counts): void {
    const { refused, dropped } = this.#counts;
    this.#before = null;
    this.#log.notice(
      `There is room below memory_limit again: ${this.#figures()}. Messages refused ` +
        `since it was reached: ${refused - before.refused}; dropped: ${dropped - before.dropped}.`,
    );
  }

  #count(): Counts {
    return {
      refused: this.#engine.counter(abi.S_REFUSED_MEMORY),
      dropped: this.#engine.counter(abi.S_DROPPED_MEMORY),
    };
  }

  #figures(): string {
    const { calls } = this.#engine;
    return `${calls.heapBytesCommitted()} of ${calls.heapBytesCap()} bytes are taken`;
  }
}
