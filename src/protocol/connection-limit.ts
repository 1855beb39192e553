/**
 * How many Network Connections there may be, on each listener and in all. Who comes past that is
 * turned away, before a byte is read; it is told of once, and then how often, once in a while.
 */
import { DENIALS_TOLD_SECONDS } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import type { Settings } from "../config/settings.ts";
import type { ListenerRules } from "../session/network-connection.ts";
import type { Turn } from "../session/turn.ts";
import type { Tallies } from "./tallies.ts";

/** What a listener has, and whom it turned away. */
interface Listening {
  openCount: number;
  /** Denied since it was told of last. */
  untoldCount: number;
  /** Monotonic second in which that is told of; 0: the next is told of at once. */
  dueSecond: number;
  /** The option that denied last. */
  option: "max_connections" | "global_max_connections";
}

interface Parts {
  readonly settings: Pick<Settings, "connectionsMax">;
  readonly turn: Pick<Turn, "openCount">;
  readonly tallies: Tallies;
  readonly log: Pick<Log, "notice">;
}

export class ConnectionLimit {
  readonly #parts: Parts;
  readonly #listening = new Map<ListenerRules, Listening>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Whether one more may be open on the listener. */
  mayOpen(rules: ListenerRules, nowSeconds: number): boolean {
    const { settings, turn } = this.#parts;
    const listening = this.#of(rules);
    if (listening.openCount >= rules.connectionsMax) listening.option = "max_connections";
    else if (turn.openCount < settings.connectionsMax) return true;
    else listening.option = "global_max_connections";
    this.#deny(rules, listening, nowSeconds);
    return false;
  }

  opened(rules: ListenerRules): void {
    this.#of(rules).openCount++;
  }

  closed(rules: ListenerRules): void {
    this.#of(rules).openCount--;
  }

  /** @param nowSeconds  monotonic */
  tick(nowSeconds: number): void {
    for (const [rules, listening] of this.#listening) {
      if (listening.dueSecond === 0 || nowSeconds < listening.dueSecond) continue;
      listening.dueSecond = 0;
      if (listening.untoldCount > 0) this.#tell(rules, listening, nowSeconds);
    }
  }

  #of(rules: ListenerRules): Listening {
    let listening = this.#listening.get(rules);
    if (listening === undefined) {
      listening = { openCount: 0, untoldCount: 0, dueSecond: 0, option: "max_connections" };
      this.#listening.set(rules, listening);
    }
    return listening;
  }

  #deny(rules: ListenerRules, listening: Listening, nowSeconds: number): void {
    this.#parts.tallies.deniedCount++;
    listening.untoldCount++;
    if (listening.dueSecond === 0) this.#tell(rules, listening, nowSeconds);
  }

  /** In mosquitto's words, as far as is known: nobody asked who it is. */
  #tell({ port }: ListenerRules, listening: Listening, nowSeconds: number): void {
    const { untoldCount, option } = listening;
    const who = untoldCount === 1 ? "Client connection" : `${untoldCount} more client connections`;
    this.#parts.log.notice(`${who} on port ${port} denied: ${option} exceeded.`);
    listening.untoldCount = 0;
    listening.dueSecond = nowSeconds + DENIALS_TOLD_SECONDS;
  }
}
