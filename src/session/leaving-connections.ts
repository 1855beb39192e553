/** Connections that are to end: once their output has left, or has had its time. */
import * as abi from "#assembly/abi";
import { LINGER_MILLISECONDS_MAX } from "../base/limits.ts";
import type { Engine } from "../engine/engine.ts";
import type { NetworkConnection } from "./network-connection.ts";

export class LeavingConnections {
  readonly #engine: Engine;
  /** Those that are looked at in the next turn. */
  #waiting: NetworkConnection[] = [];
  /** All of them, with the millisecond until which they may have output. */
  readonly #dueMs = new Map<NetworkConnection, number>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  add(connection: NetworkConnection): void {
    this.#dueMs.set(connection, performance.now() + LINGER_MILLISECONDS_MAX);
    this.#waiting.push(connection);
  }

  /** A write of it has ended: there may be nothing left. */
  lookAgain(connection: NetworkConnection): void {
    if (this.#dueMs.has(connection)) this.#waiting.push(connection);
  }

  /** Its record is gone. */
  delete(connection: NetworkConnection): void {
    this.#dueMs.delete(connection);
  }

  /**
   * Takes those that have nothing left.
   *
   * @param end  called with each
   * @returns whether a turn is to follow, for one that has more than a flush takes
   */
  take(end: (connection: NetworkConnection) => void): boolean {
    const connections = this.#waiting;
    if (connections.length === 0) return false;
    this.#waiting = [];
    let hasMore = false;
    for (const connection of connections) {
      if (connection.phase !== "closing" || connection.isWriting) continue;
      const record = abi.CONNECTIONS + connection.number * abi.CONNECTION_BYTES;
      const hasOutput = this.#engine.word(record + abi.C_OUT_HEAD) !== 0;
      if (hasOutput) hasMore = true;
      // What is held leaves in the turn of its commit, whenever that comes: none is made for it.
      if (hasOutput || this.#engine.word(record + abi.C_HELD_COUNT) !== 0) {
        this.#waiting.push(connection);
      } else {
        end(connection);
      }
    }
    return hasMore;
  }

  /** Those whose peers did not take in time what was left for them. */
  overdue(): NetworkConnection[] {
    const now = performance.now();
    const late: NetworkConnection[] = [];
    for (const [connection, dueMs] of this.#dueMs) {
      if (dueMs > now) break; // They stand in the order in which they are due.
      late.push(connection);
    }
    return late;
  }
}
