/**
 * Who is not even asked who it is: CONNECTs that come faster than their listener or their address
 * may, and new Sessions while the event loop is late. Whoever has a Session comes back to it.
 */
import { CONNECTION_RATE_EXCEEDED, SERVER_BUSY } from "#assembly/spec";
import { addressKey } from "../access/address-key.ts";
import { ProtocolError } from "../base/errors.ts";
import { CONNECT_ADDRESSES_MAX, OVERLOADED_SAMPLES_MIN } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import { type Delays, LoopDelay } from "../base/loop-delay.ts";
import type { Settings } from "../config/settings.ts";
import type { ListenerRules, NetworkConnection } from "../session/network-connection.ts";

/** How often the delay is measured, milliseconds: each wakes an idle process. */
const LOOP_DELAY_MILLISECONDS = 50;

/** Something that may happen so often: what was not used of a second is there in the next. */
interface Allowance {
  left: number;
  /** Milliseconds of performance.now(). */
  atMs: number;
}

export interface LoopDelaySource {
  /** Since the call before. */
  take(): Delays;
  stop(): void;
}

export class Admission {
  readonly #log: Log;
  readonly #settings: Pick<Settings, "overloadMilliseconds">;
  readonly #measure: () => LoopDelaySource;
  #loopDelay: LoopDelaySource | null = null;
  readonly #listeners = new Map<ListenerRules, Allowance>();
  /** By listener and address; the one that came last is last. */
  readonly #addresses = new Map<string, Allowance>();
  /** How many samples were late, one after the other. */
  #lateSamples = 0;
  #isOverloaded = false;

  /**
   * @param settings  looked at on each tick, as they may change
   * @param measure  called where the delay of the event loop is to be measured
   */
  constructor(
    log: Log,
    settings: Pick<Settings, "overloadMilliseconds">,
    measure: () => LoopDelaySource = () => new LoopDelay(LOOP_DELAY_MILLISECONDS),
  ) {
    this.#log = log;
    this.#settings = settings;
    this.#measure = measure;
  }

  get isOverloaded(): boolean {
    return this.#isOverloaded;
  }

  /** Addresses whose CONNECTs are counted. */
  get addressCount(): number {
    return this.#addresses.size;
  }

  /**
   * Counts a CONNECT.
   *
   * @param nowMs  milliseconds of performance.now()
   * @throws ProtocolError 0x9F where there are too many
   */
  judgeRate({ rules, wire }: NetworkConnection, nowMs: number): void {
    const { connectRate, connectRatePerAddress, port } = rules;
    if (Number.isFinite(connectRatePerAddress)) {
      const key = `${port} ${addressKey(wire.remote)}`;
      const allowance = this.#addresses.get(key) ?? { left: connectRatePerAddress, atMs: nowMs };
      this.#addresses.delete(key);
      this.#addresses.set(key, allowance);
      if (this.#addresses.size > CONNECT_ADDRESSES_MAX) this.#dropOldest();
      if (!take(allowance, connectRatePerAddress, nowMs)) {
        throw new ProtocolError(CONNECTION_RATE_EXCEEDED, "too many from this address");
      }
    }
    if (!Number.isFinite(connectRate)) return;
    const allowance = this.#listeners.get(rules) ?? { left: connectRate, atMs: nowMs };
    this.#listeners.set(rules, allowance);
    if (!take(allowance, connectRate, nowMs)) {
      throw new ProtocolError(CONNECTION_RATE_EXCEEDED, "too many at once");
    }
  }

  /**
   * @param hasSession  whether the client comes back to its Session; asked only where that matters
   * @throws ProtocolError 0x89 where the broker has enough to do
   */
  judgeLoad(hasSession: () => boolean): void {
    if (!this.#isOverloaded || hasSession()) return;
    throw new ProtocolError(SERVER_BUSY, "the broker is overloaded");
  }

  /** Looks at the delay of the event loop since the tick before. */
  tick(): void {
    const { overloadMilliseconds } = this.#settings;
    if (!Number.isFinite(overloadMilliseconds)) {
      this.stop();
      return;
    }
    this.#loopDelay ??= this.#measure();
    const { meanMilliseconds } = this.#loopDelay.take();
    // One long turn is no overload.
    this.#lateSamples = meanMilliseconds < overloadMilliseconds ? 0 : this.#lateSamples + 1;
    const isOverloaded = this.#lateSamples >= OVERLOADED_SAMPLES_MIN;
    if (isOverloaded === this.#isOverloaded) return;
    this.#isOverloaded = isOverloaded;
    const late = `${Math.round(meanMilliseconds)} ms late`;
    if (isOverloaded) this.#log.warn(`The event loop is ${late}: new Sessions are refused`);
    else this.#log.notice(`The event loop is ${late}: new Sessions are taken again`);
  }

  /** Nothing is measured any more. */
  stop(): void {
    this.#loopDelay?.stop();
    this.#loopDelay = null;
    this.#isOverloaded = false;
  }

  #dropOldest(): void {
    for (const key of this.#addresses.keys()) {
      this.#addresses.delete(key);
      return;
    }
  }
}

/** @returns false: there is nothing left of it */
function take(allowance: Allowance, perSecond: number, nowMs: number): boolean {
  const gained = ((nowMs - allowance.atMs) / 1000) * perSecond;
  allowance.left = Math.min(allowance.left + gained, perSecond);
  allowance.atMs = nowMs;
  if (allowance.left < 1) return false;
  allowance.left--;
  return true;
}
