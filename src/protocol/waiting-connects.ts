/**
 * CONNECT packets that wait until it is known who sent them: copies outside the engine's heap,
 * since who has a Session may come back also where that is full. They are decided from their bytes.
 */
import * as abi from "#assembly/abi";
import { QUOTA_EXCEEDED } from "#assembly/spec";
import { ProtocolError } from "../base/errors.ts";
import { AUTHENTICATING_BYTES_MAX } from "../base/limits.ts";
import type { Engine } from "../engine/engine.ts";
import type { NetworkConnection } from "../session/network-connection.ts";
import { decodedAgain } from "./kept-packet.ts";

export class WaitingConnects {
  readonly #engine: Engine;
  readonly #packets = new Map<NetworkConnection, Buffer>();
  #bytes = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  get count(): number {
    return this.#packets.size;
  }

  /**
   * Keeps the CONNECT in DECODED.
   *
   * @throws ProtocolError 0x97 where too much waits
   */
  keep(connection: NetworkConnection): void {
    const engine = this.#engine;
    const [from, to] = [engine.decoded(abi.D_AT), engine.decoded(abi.D_END)];
    if (this.#bytes + to - from > AUTHENTICATING_BYTES_MAX) {
      throw new ProtocolError(QUOTA_EXCEEDED, "too many authenticate");
    }
    this.#packets.set(connection, Buffer.from(engine.bytes.subarray(from, to)));
    this.#bytes += to - from;
  }

  /** The connection is gone, or its CONNECT is refused. */
  forget(connection: NetworkConnection): void {
    const packet = this.#packets.get(connection);
    if (packet === undefined) return;
    this.#packets.delete(connection);
    this.#bytes -= packet.length;
  }

  /**
   * Puts the connection's CONNECT into DECODED again, and has it decided; it waits no longer.
   *
   * @throws ProtocolError 0x97 where there is no memory for it, and what `decide` throws
   */
  decide(connection: NetworkConnection, decide: () => boolean): boolean {
    const packet = this.#packets.get(connection) ?? Buffer.alloc(0);
    this.forget(connection);
    return decodedAgain(this.#engine, packet, 0, decide);
  }
}
