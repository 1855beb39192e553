/** Whether the system has room for one more connection: each takes a file. */
import { Episode } from "../base/episode.ts";
import type { Log } from "../base/log.ts";
import { openFilesMax, socketsMaxOf } from "../base/open-files.ts";
import type { Settings } from "../config/settings.ts";
import type { Turn } from "../session/turn.ts";
import type { TransportListener } from "./listener.ts";

export interface RoomParts {
  readonly turn: Turn;
  readonly settings: Settings;
  readonly log: Log;
  readonly listeners: readonly TransportListener[];
}

export class Room {
  readonly #parts: RoomParts;
  readonly #filesMax = openFilesMax();
  readonly #socketsMax = socketsMaxOf(this.#filesMax);
  readonly #shortage = new Episode();

  constructor(parts: RoomParts) {
    this.#parts = parts;
  }

  /** Says where the settings promise more than the system gives. */
  warn(): void {
    const { listeners, connectionsMax } = this.#parts.settings;
    const promised = [
      ["global_max_connections", connectionsMax] as const,
      ...listeners.map(
        (one) => [`max_connections of port ${one.port}`, one.connectionsMax] as const,
      ),
    ];
    for (const [name, count] of promised) {
      if (count === Number.POSITIVE_INFINITY || count <= this.#socketsMax) continue;
      this.#parts.log.warn(
        `${name} is ${count}, but at most ${this.#socketsMax} get in: this process may have ` +
          `${this.#filesMax} files open. Raise that (ulimit -n, LimitNOFILE=)`,
      );
    }
  }

  /**
   * Whether a socket leaves enough files for everything else. Past that no new one is kept: the
   * store could not write, and a listener that cannot accept may be called in vain without end.
   */
  hasFiles(): boolean {
    let count = this.#parts.turn.openCount;
    for (const listener of this.#parts.listeners) count += listener.waitingCount();
    if (count < this.#socketsMax) return true;
    if (this.#shortage.begins(performance.now())) {
      this.#parts.log.warn(
        `${count} sockets are open, and this process may have ${this.#filesMax} files open ` +
          "(ulimit -n, LimitNOFILE=): no more are let in",
      );
    }
    return false;
  }
}
