/**
 * In place of the wire of a peer that has closed, while what it sent before is still acted on: a
 * DISCONNECT may be among it. What it is sent goes nowhere.
 */
import { GONE_MILLISECONDS_MAX } from "../base/limits.ts";
import type { PeerIdentity, Wire } from "../engine/wire.ts";

export class GoneWire implements Wire {
  readonly remote: string;
  readonly peer: PeerIdentity | null;
  readonly #onRead: () => void;
  readonly #timer: NodeJS.Timeout;
  #isRead = false;

  /** @param onRead  called when all is acted on, or has had its time; once */
  constructor({ remote, peer }: Wire, onRead: () => void) {
    this.remote = remote;
    this.peer = peer;
    this.#onRead = onRead;
    this.#timer = setTimeout(() => this.resumeReading(), GONE_MILLISECONDS_MAX);
  }

  /** Whether nothing of what the peer sent is left. */
  get isRead(): boolean {
    return this.#isRead;
  }

  write(): boolean {
    return true;
  }

  pauseReading(): void {
    // Nothing comes.
  }

  /** More is asked for: all that came is acted on. */
  resumeReading(): void {
    if (this.#isRead) return;
    this.#isRead = true;
    clearTimeout(this.#timer);
    this.#onRead();
  }

  end(): void {
    this.destroy();
  }

  destroy(): void {
    this.#isRead = true;
    clearTimeout(this.#timer);
  }
}
