/**
 * What a change of clients, groups or roles does to who is connected: what each may do is asked
 * anew, and whom the change concerns is disconnected, so that subscriptions that it may not have
 * any more go with the Session, or are judged when it comes back.
 */

import { addressOf } from "../access/address-key.ts";
import type { Requester } from "../access/control-request.ts";
import type { ConcernedConnections } from "../access/dynamic-security.ts";
import type { Concerned } from "../access/dynamic-security-change.ts";
import type { ListenerRules, NetworkConnection } from "../session/network-connection.ts";
import type { Turn } from "../session/turn.ts";
import { Expulsions } from "./expulsions.ts";

export interface ConcernedParts {
  readonly turn: Turn;
  /** Whether the clients of a listener are judged by what changed. */
  isMeant(rules: ListenerRules): boolean;
  renew(): void;
  /** Connections of users whose password is being checked. */
  underway(isConcerned: (userName: string) => boolean): readonly NetworkConnection[];
  expel(connection: NetworkConnection): void;
}

export class ConcernedClients implements ConcernedConnections {
  readonly #parts: ConcernedParts;
  readonly #expulsions: Expulsions;

  constructor(parts: ConcernedParts) {
    this.#parts = parts;
    this.#expulsions = new Expulsions(parts.expel);
  }

  renew(): void {
    this.#parts.renew();
  }

  disconnect(concerned: Concerned, spared: Requester | null): void {
    const { isMeant, turn, underway } = this.#parts;
    const isConcerned = (userName: string): boolean =>
      userName === "" ? concerned.anonymous : concerned.userNames.has(userName);
    const admitted = turn.all().filter(({ clientId, phase, rules, userName }) => {
      const isAdmitted = phase === "open" || phase === "waiting";
      return isAdmitted && isMeant(rules) && isConcerned(userName) && clientId !== spared?.clientId;
    });
    const asked = underway(isConcerned).filter(({ rules }) => isMeant(rules));
    this.#expulsions.add([...asked, ...admitted]);
  }

  addresses(): ReadonlyMap<string, readonly string[]> {
    const addresses = new Map<string, string[]>();
    for (const { phase, rules, userName, wire } of this.#parts.turn.all()) {
      if (phase !== "open" || !this.#parts.isMeant(rules)) continue;
      const address = addressOf(wire.remote);
      const known = addresses.get(userName);
      if (known === undefined) addresses.set(userName, [address]);
      else known.push(address);
    }
    return addresses;
  }
}
