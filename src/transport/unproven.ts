/**
 * What WebSockets hold whose CONNECT has not come: the libraries gather a message before they hand
 * it over, and strangers may begin as many as they like.
 */

/** A WebSocket without a CONNECT. */
export interface UnprovenPeer {
  /** Others need the room: it is to be closed. */
  pushOut(): void;
}

interface Held {
  bytes: number;
  /** When it began, milliseconds of performance.now(). */
  readonly sinceMs: number;
}

const SWEEP_MILLISECONDS = 500;

export class UnprovenPeers {
  readonly #bytesMax: number;
  readonly #graceMilliseconds: number;
  /** The oldest first. */
  readonly #peers = new Map<UnprovenPeer, Held>();
  #bytes = 0;
  #sweep: NodeJS.Timeout | null = null;

  /**
   * @param bytesMax  of all of them; past it the oldest goes
   * @param graceMilliseconds  but none that is younger
   */
  constructor(bytesMax: number, graceMilliseconds: number) {
    this.#bytesMax = bytesMax;
    this.#graceMilliseconds = graceMilliseconds;
  }

  /** Says how many bytes a peer holds, or may hold. */
  set(peer: UnprovenPeer, bytes: number): void {
    const held = this.#peers.get(peer);
    this.#bytes += bytes - (held?.bytes ?? 0);
    if (held === undefined) this.#peers.set(peer, { bytes, sinceMs: performance.now() });
    else held.bytes = bytes;
    if (this.#graceMilliseconds === 0) this.#shrink();
    // What has come while a long turn went on is read first.
    else this.#sweep ??= setInterval(() => setImmediate(() => this.#shrink()), SWEEP_MILLISECONDS);
  }

  /** Its CONNECT has come, or it is gone. */
  delete(peer: UnprovenPeer): void {
    this.#bytes -= this.#peers.get(peer)?.bytes ?? 0;
    this.#peers.delete(peer);
    if (this.#peers.size > 0 || this.#sweep === null) return;
    clearInterval(this.#sweep);
    this.#sweep = null;
  }

  #shrink(): void {
    const youngestMs = performance.now() - this.#graceMilliseconds;
    for (const [peer, { sinceMs }] of this.#peers) {
      if (this.#bytes <= this.#bytesMax || sinceMs > youngestMs) return;
      this.delete(peer);
      peer.pushOut();
    }
  }
}
