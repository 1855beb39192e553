/**
 * The life of Sessions: opened or continued by CONNECT, left by their connection, ended by expiry
 * or a clean start. Their State is the engine's; here is only what happens when.
 */
import * as abi from "#assembly/abi";
import { SESSIONS_EXPIRED_PER_TURN_MAX } from "../base/limits.ts";
import type { Engine } from "../engine/engine.ts";
import type { NetworkConnection } from "./network-connection.ts";
import type { Wills } from "./wills.ts";

/** Session Expiry Interval of a Session that never expires, §3.1.2.11.2. */
export const EXPIRY_NEVER = 0xffffffff;

/** Unix seconds behind the last that 32 bits hold, in 2106. */
const SECONDS_END = 2 ** 32;

export class Sessions {
  readonly #engine: Engine;
  readonly #wills: Wills;
  /** Sessions ended because their interval had passed. */
  expiredCount = 0;

  constructor(engine: Engine, wills: Wills) {
    this.#engine = engine;
    this.#wills = wills;
  }

  /** @returns address of the Session of this Client Identifier in engine memory, or 0 */
  find(at: number, byteCount: number): number {
    return this.#engine.calls.findSession(at, byteCount) >>> 0;
  }

  /** Number of the connection that carries the Session; 0 = none. */
  connectionOf(session: number): number {
    const record = this.#engine.word(session + abi.SESSION_CONNECTION);
    return record === 0 ? 0 : (record - abi.CONNECTIONS) / abi.CONNECTION_BYTES;
  }

  numberOf(session: number): number {
    return this.#engine.word(session + abi.SESSION_NUMBER);
  }

  isDurable(session: number): boolean {
    return (this.#engine.word(session + abi.SESSION_FLAGS) & abi.SESSION_DURABLE) !== 0;
  }

  /** Client Identifier of the Session; of a group of shared subscriptions, their filter. */
  clientIdOf(session: number): string {
    const at = this.#engine.word(session + abi.SESSION_ID_AT);
    const text = this.#engine.text(at, this.#engine.word(session + abi.SESSION_ID_BYTES));
    return text.startsWith("\0") ? `$share/${text.slice(1)}` : text;
  }

  /** @returns address of a new Session, or 0: no memory */
  create(at: number, byteCount: number, version: number, expirySeconds: number): number {
    return this.#engine.calls.createSession(at, byteCount, 0, version, expirySeconds) >>> 0;
  }

  /** The Session is continued: its waiting will is cancelled. */
  continue(session: number, version: number, expirySeconds: number): void {
    this.#wills.cancel(this.numberOf(session));
    this.#engine.calls.setExpiry(session, expirySeconds, version);
  }

  /** The Session ends, with all of its State [MQTT-3.1.2-4]; a waiting will is sent. */
  end(session: number): void {
    const number = this.numberOf(session);
    const verdict = this.#wills.mayPublishWaiting(number, session);
    this.#engine.calls.endSession(session);
    this.#wills.sessionEnds(number, verdict);
  }

  /** The connection that carried the Session is gone: it ends or waits [MQTT-3.1.2-23]. */
  leave(connection: NetworkConnection, nowSeconds: number): void {
    const { session } = connection;
    connection.session = 0;
    if (session === 0) return;
    const seconds = connection.sessionExpirySeconds;
    // The engine keeps the second in 32 bits: what would end after them never does.
    const lasts = seconds > 0 && seconds !== EXPIRY_NEVER && nowSeconds + seconds < SECONDS_END;
    this.#engine.calls.detachSession(session, lasts ? nowSeconds + seconds : 0);
    if (seconds === 0) this.end(session);
  }

  /**
   * Ends Sessions whose time has come.
   *
   * @returns whether there are more: call again in a later turn
   */
  tick(nowSeconds: number): boolean {
    for (let i = 0; i < SESSIONS_EXPIRED_PER_TURN_MAX; i++) {
      const session = this.#engine.calls.expireNext(nowSeconds) >>> 0;
      if (session === 0) return false;
      this.expiredCount++;
      this.end(session);
    }
    return true;
  }
}
