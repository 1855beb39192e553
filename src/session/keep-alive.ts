/**
 * Keep Alive, §3.1.2.10, and the time a connection has for its CONNECT.
 *
 * The engine notes the second of the last bytes in the connection's record; nothing is done per
 * packet. A connection whose deadline has come is looked at, and put back to where its last bytes
 * move it. All seconds are monotonic: no step of the machine's clock ends a connection.
 */
import * as abi from "#assembly/abi";
import { CONNECT_SECONDS_MAX, KEEP_ALIVE_FACTOR } from "../base/limits.ts";
import type { Engine } from "../engine/engine.ts";
import type { NetworkConnection } from "./network-connection.ts";
import { DeadlineWheel } from "./wheel.ts";

export class KeepAlive {
  readonly #engine: Engine;
  readonly #wheel: DeadlineWheel<NetworkConnection>;
  readonly #onExpired: (connection: NetworkConnection) => void;

  /** @param onExpired  called for a connection that was silent too long [MQTT-3.1.2-22] */
  constructor(
    engine: Engine,
    nowSeconds: number,
    onExpired: (connection: NetworkConnection) => void,
  ) {
    this.#engine = engine;
    this.#onExpired = onExpired;
    this.#wheel = new DeadlineWheel(nowSeconds, (connection, second) =>
      this.#due(connection, second),
    );
  }

  /** Watches a connection that has not sent its CONNECT. */
  watchConnect(connection: NetworkConnection, nowSeconds: number): void {
    connection.watchedSecond = this.#wheel.add(connection, nowSeconds + CONNECT_SECONDS_MAX);
  }

  /** Watches a connection that was accepted; not at all where its Keep Alive is 0. */
  watch(connection: NetworkConnection): void {
    this.unwatch(connection);
    if (connection.keepAliveSeconds === 0) return;
    connection.watchedSecond = this.#wheel.add(connection, this.#deadline(connection));
  }

  /** Forgets a connection: it is gone, or about to be watched anew. */
  unwatch(connection: NetworkConnection): void {
    if (connection.watchedSecond === 0) return;
    this.#wheel.remove(connection, connection.watchedSecond);
    connection.watchedSecond = 0;
  }

  tick(nowSeconds: number): void {
    this.#wheel.tick(nowSeconds);
  }

  #deadline(connection: NetworkConnection): number {
    const record = abi.CONNECTIONS + connection.number * abi.CONNECTION_BYTES;
    const active = this.#engine.word(record + abi.C_ACTIVE_SECONDS);
    // One more: the last bytes may have come at the end of their second.
    return active + connection.keepAliveSeconds * KEEP_ALIVE_FACTOR + 1;
  }

  #due(connection: NetworkConnection, second: number): void {
    connection.watchedSecond = 0;
    if (connection.phase === "connecting" || connection.phase === "authenticating") {
      this.#onExpired(connection);
      return;
    }
    if (connection.phase !== "open" || connection.keepAliveSeconds === 0) return;
    const deadline = this.#deadline(connection);
    if (deadline <= second) this.#onExpired(connection);
    else connection.watchedSecond = this.#wheel.add(connection, deadline);
  }
}
