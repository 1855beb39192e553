/**
 * Streams over the public net.Socket, also those of TLS: one copy in, nothing of Node's internals.
 * Serves where the probe of tcp-probe.ts finds the raw path wanting.
 */
import type { Server, Socket } from "node:net";
import { LINGER_MILLISECONDS_MAX } from "../base/limits.ts";
import type { Engine } from "../engine/engine.ts";
import type { PeerIdentity, Wire } from "../engine/wire.ts";
import type { NetworkConnection } from "../session/network-connection.ts";
import type { Turn } from "../session/turn.ts";
import { type Arrival, LOCAL, plainAddress, type TransportHandlers } from "./listener.ts";

class SocketWire implements Wire {
  readonly remote: string;
  readonly peer: PeerIdentity | null;
  readonly #engine: Engine;
  readonly #turn: Turn;
  readonly #socket: Socket;
  connection: NetworkConnection | null = null;
  #isEnding = false;
  /** What came in before this was made. */
  #rest: Buffer | null;

  constructor(engine: Engine, turn: Turn, arrival: Arrival) {
    this.#engine = engine;
    this.#turn = turn;
    this.#socket = arrival.socket;
    this.remote = arrival.remote;
    this.peer = arrival.peer;
    this.#rest = arrival.rest;
  }

  get isEnding(): boolean {
    return this.#isEnding;
  }

  write(pieces: readonly number[]): boolean {
    const socket = this.#socket;
    if (socket.destroyed) return true;
    socket.cork();
    for (let i = 0; i < pieces.length; i += 2) {
      const at = pieces[i] as number;
      socket.write(this.#engine.bytes.subarray(at, at + (pieces[i + 1] as number)));
    }
    socket.uncork();
    if (socket.writableLength === 0) return true;
    // Called once what stands before it is written, or has failed.
    socket.write("", () => {
      if (this.connection !== null) this.#turn.written(this.connection);
    });
    return false;
  }

  pauseReading(): void {
    if (!this.#isEnding) this.#socket.pause();
  }

  resumeReading(): void {
    if (this.#rest !== null) {
      this.#socket.unshift(this.#rest);
      this.#rest = null;
    }
    this.#socket.resume();
  }

  end(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#socket.end();
    this.#socket.resume();
    this.endLater();
  }

  /** What is written may go out yet; then the socket closes in any case. */
  endLater(): void {
    setTimeout(() => this.#socket.destroy(), LINGER_MILLISECONDS_MAX).unref();
  }

  destroy(): void {
    this.#isEnding = true;
    this.#socket.destroy();
  }

  /** Copies a chunk into READ, in parts that fit. */
  receive(chunk: Buffer): void {
    const region = this.#engine.readRegion;
    for (let from = 0; from < chunk.length; from += region.length) {
      if (this.connection === null || this.#isEnding) return;
      const byteCount = chunk.copy(region, 0, from, from + region.length);
      this.#turn.received(this.connection, byteCount);
    }
  }
}

/** Makes a connection of a socket, or closes it. */
export function serveSocket(
  engine: Engine,
  turn: Turn,
  handlers: TransportHandlers,
  arrival: Arrival,
): void {
  const { socket } = arrival;
  const wire = new SocketWire(engine, turn, arrival);
  const connection = handlers.onOpen(wire);
  if (connection === null) {
    socket.destroy();
    return;
  }
  wire.connection = connection;
  socket.setNoDelay(true);
  socket.pause();
  socket.on("data", (chunk) => wire.receive(chunk));
  socket.on("error", () => undefined);
  // After a reset TLS may wait for the end of a write that never comes.
  socket.on("end", () => wire.endLater());
  socket.on("close", (isError) => {
    if (!wire.isEnding) handlers.onEnd(connection, isError ? "connection error" : "closed");
  });
  turn.admit(connection);
}

/** Who is at the other end of a socket. */
export function remoteOf(socket: Socket): string {
  const { remoteAddress, remotePort } = socket;
  return `${plainAddress(remoteAddress ?? "unknown")}:${remotePort ?? 0}`;
}

/** Serves the connections of a server by its `connection` event. */
export function serveSockets(
  server: Server,
  engine: Engine,
  turn: Turn,
  handlers: TransportHandlers,
  mayOpen: () => boolean,
): void {
  server.on("connection", (socket) => {
    if (mayOpen()) {
      const remote = typeof server.address() === "string" ? LOCAL : remoteOf(socket);
      serveSocket(engine, turn, handlers, { socket, remote, peer: null, rest: null });
    } else {
      socket.destroy();
    }
  });
}
