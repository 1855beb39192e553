/** The Wire of a Network Connection that lives in memory. */
import type { Engine } from "../../src/engine/engine.ts";
import type { Wire } from "../../src/engine/wire.ts";
import type { NetworkConnection } from "../../src/session/network-connection.ts";
import type { Turn } from "../../src/session/turn.ts";

export class MemoryWire implements Wire {
  readonly remote = "memory";
  readonly peer = null;
  readonly #engine: Engine;
  readonly #turn: Turn;
  connection: NetworkConnection | null = null;
  /** Chunks that the peer sent and the broker has not read. */
  readonly inbox: Uint8Array[] = [];
  isReading = true;
  /** The broker ended it, or the peer is gone. */
  isEnded = false;
  /** Whether writes stay under way until release(). */
  isSlow = false;
  /** Whether the broker can stop it from reading: a WebSocket cannot be stopped at once. */
  isPausable = true;
  /** Writes that the broker made. */
  writeCount = 0;
  readonly #taken: Uint8Array[] = [];
  /** Addresses and lengths of the write under way. */
  #pending: readonly number[] | null = null;

  constructor(engine: Engine, turn: Turn) {
    this.#engine = engine;
    this.#turn = turn;
  }

  write(pieces: readonly number[]): boolean {
    if (this.#pending !== null) throw new Error("a write while another is under way");
    if (this.isEnded) return true;
    this.writeCount++;
    if (this.isSlow) {
      // The bytes are read when the write ends: they must not have changed by then.
      this.#pending = [...pieces];
      return false;
    }
    this.#take(pieces);
    return true;
  }

  #take(pieces: readonly number[]): void {
    for (let i = 0; i < pieces.length; i += 2) {
      const at = pieces[i] as number;
      // A copy: slice() of a Buffer would be a view.
      this.#taken.push(
        Buffer.from(this.#engine.bytes.subarray(at, at + (pieces[i + 1] as number))),
      );
    }
  }

  /** Ends the write under way. */
  release(): void {
    const pieces = this.#pending;
    if (pieces === null || this.connection === null) return;
    this.#pending = null;
    this.#take(pieces);
    this.#turn.written(this.connection);
  }

  /** Whether a write is under way. */
  get isWriting(): boolean {
    return this.#pending !== null;
  }

  /** The peer is gone: the write under way fails. */
  cut(): void {
    this.isEnded = true;
    this.inbox.length = 0;
    if (this.#pending === null || this.connection === null) return;
    this.#pending = null;
    this.#turn.written(this.connection);
  }

  pauseReading(): void {
    if (this.isPausable) this.isReading = false;
  }

  resumeReading(): void {
    this.isReading = true;
  }

  end(): void {
    this.isEnded = true;
  }

  destroy(): void {
    this.isEnded = true;
  }

  /** What the peer has received since it was asked last. */
  takeReceived(): Buffer {
    return Buffer.concat(this.#taken.splice(0));
  }
}
