/** Connections that are to end by the broker's will: a whole fleet would hold up everybody else. */
import { EXPELLED_PER_TURN_MAX } from "../base/limits.ts";
import type { NetworkConnection } from "../session/network-connection.ts";

export class Expulsions {
  readonly #expel: (connection: NetworkConnection) => void;
  #leaving: NetworkConnection[] = [];

  /** @param expel  ends one, which may have ended by then */
  constructor(expel: (connection: NetworkConnection) => void) {
    this.#expel = expel;
  }

  /** Ends them in this order, the first at once, the others a few in each turn. */
  add(connections: readonly NetworkConnection[]): void {
    const isIdle = this.#leaving.length === 0;
    this.#leaving = [...this.#leaving, ...connections];
    if (isIdle) this.#expelSome();
  }

  readonly #expelSome = (): void => {
    for (const connection of this.#leaving.splice(0, EXPELLED_PER_TURN_MAX)) {
      this.#expel(connection);
    }
    if (this.#leaving.length > 0) setImmediate(this.#expelSome);
  };
}
