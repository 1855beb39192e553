/**
 * TCP over Node's own stream handles, without a net.Socket each: the kernel reads into the engine's
 * memory and writes from it. A connection costs about a kilobyte less, a read or write a third
 * less.
 *
 * `_handle`, `onconnection`, `useUserBuffer`, `onread` and the binding `stream_wrap` are internals
 * of Node.js; tcp-probe.ts proves at start-up that they work as this file expects, and
 * tcp-public.ts serves where they do not. No other file knows them.
 */
import type { Server, Socket } from "node:net";
import { getSystemErrorName } from "node:util";
import { LINGER_MILLISECONDS_MAX } from "../base/limits.ts";
import type { Engine } from "../engine/engine.ts";
import type { PeerIdentity, Wire } from "../engine/wire.ts";
import type { NetworkConnection } from "../session/network-connection.ts";
import type { Turn } from "../session/turn.ts";
import { type Arrival, LOCAL, plainAddress, type TransportHandlers } from "./listener.ts";

/** node: src/stream_base.h, StreamBase::StreamBaseStateFields. */
const READ_BYTES_OR_ERROR = 0;
const LAST_WRITE_WAS_ASYNC = 3;

/** Who is told of the end of a write that goes on, whose status is 0 or negative. */
interface Writer {
  writeEnded(status: number): void;
}

interface WriteRequest {
  oncomplete: ((this: WriteRequest, status: number) => void) | null;
  /** null: the call that begins it has not come back. */
  writer: Writer | null;
  /** How it ended within that call; null: it did not. */
  endedStatus: number | null;
}

/** A shutdown, whose end is nobody's business: the peer's is what counts. */
interface ShutdownRequest {
  oncomplete: () => void;
}

/** What RawStreams.write answers where the write goes on. */
const UNDER_WAY = 1;

/** oncomplete of every write: a shared function, since a closure for each would be garbage. */
function endWrite(this: WriteRequest, status: number): void {
  if (this.writer === null) this.endedStatus = status;
  else this.writer.writeEnded(status);
}

interface PeerName {
  address?: string;
  port?: number;
}

/**
 * A stream handle of Node's bindings tcp_wrap, pipe_wrap or tls_wrap. Only the first has all of
 * this: a pipe has no Nagle and no peer's name.
 */
export interface StreamHandle {
  onread: (this: StreamHandle) => void;
  wire: RawWire | null;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  setNoDelay?(on: boolean): number;
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  writev(request: WriteRequest, pieces: Uint8Array[], allBuffers: boolean): number;
  shutdown(request: ShutdownRequest): number;
  close(callback?: () => void): void;
  getpeername?(name: PeerName): number;
  /** Bytes that the kernel has not taken. */
  readonly writeQueueSize: number;
  /** Of TLS, the handle below. */
  readonly _parent?: StreamHandle;
}

interface StreamBinding {
  readonly WriteWrap: new () => WriteRequest;
  readonly ShutdownWrap: new () => ShutdownRequest;
  readonly streamBaseState: Int32Array;
}

/** A listening handle, as net.Server keeps it. */
interface ServerHandle {
  onconnection: (error: number, handle: StreamHandle | undefined) => void;
}

/** The binding that raw writes need, or null where this Node.js has none of the kind. */
export function streamBinding(): StreamBinding | null {
  const { binding } = process as unknown as { binding?: (name: string) => StreamBinding };
  if (typeof binding !== "function") return null;
  try {
    const found = binding.call(process, "stream_wrap");
    return typeof found.WriteWrap === "function" && typeof found.ShutdownWrap === "function"
      ? found
      : null;
  } catch {
    return null;
  }
}

/** The listening handle with the members that this file needs, or null. */
export function serverHandle(server: Server): ServerHandle | null {
  const { _handle: handle } = server as unknown as { _handle: ServerHandle | null };
  return handle !== null && typeof handle?.onconnection === "function" ? handle : null;
}

/** What all raw connections of a broker share. */
export class RawStreams {
  readonly engine: Engine;
  readonly turn: Turn;
  readonly binding: StreamBinding;
  /** Whether handles of TLS may be taken over, too. */
  takesSecure = false;
  readonly #buffer: ArrayBuffer;
  /**
   * A request that no write holds: most writes end within their call and leave it free. null: one
   * is to be made.
   */
  #spare: WriteRequest | null = null;

  constructor(engine: Engine, turn: Turn, binding: StreamBinding) {
    this.engine = engine;
    this.turn = turn;
    this.binding = binding;
    this.#buffer = engine.memory.buffer as ArrayBuffer;
  }

  view(at: number, byteCount: number): Uint8Array {
    return new Uint8Array(this.#buffer, at, byteCount);
  }

  /**
   * TLS may say within the call that a write has ended, also one that it says is not done: such a
   * one is answered as what it is, and its writer not told.
   *
   * @returns negative: an error of the system; 0: all is written; UNDER_WAY
   */
  write(handle: StreamHandle, pieces: readonly number[], writer: Writer): number {
    const request = this.#spare ?? new this.binding.WriteWrap();
    this.#spare = null;
    request.oncomplete = endWrite;
    request.writer = null;
    request.endedStatus = null;
    let error: number;
    if (pieces.length === 2) {
      error = handle.writeBuffer(request, this.view(pieces[0] as number, pieces[1] as number));
    } else {
      const views: Uint8Array[] = [];
      for (let i = 0; i < pieces.length; i += 2) {
        views.push(this.view(pieces[i] as number, pieces[i + 1] as number));
      }
      error = handle.writev(request, views, true);
    }
    if (error !== 0) return error < 0 ? error : -error;
    if (this.binding.streamBaseState[LAST_WRITE_WAS_ASYNC] === 0) {
      this.#spare = request;
      return 0;
    }
    const { endedStatus } = request;
    if (endedStatus !== null) return Math.min(endedStatus, 0);
    request.writer = writer;
    return UNDER_WAY;
  }

  get bytesRead(): number {
    return this.binding.streamBaseState[READ_BYTES_OR_ERROR] as number;
  }
}

/**
 * Output of a TLS handle. It encrypts what it is given into memory of its own, so that the engine's
 * is free at once; but it takes one write at a time, and says in the next turn that one is done,
 * also where the kernel took all of it.
 */
class SecureOutput implements Writer {
  readonly #streams: RawStreams;
  readonly #handle: StreamHandle;
  /** The handle below, which knows whether the kernel took all. */
  readonly #below: StreamHandle;
  readonly #ended: (hasFreed: boolean, status: number) => void;
  #isBusy = false;
  /** What came while a write was under way; null: nothing. */
  #waiting: readonly number[] | null = null;
  /** Whether the kernel did not take the write under way at once: its maker waits for that. */
  #isAwaited = false;
  /** To be done once no write is under way; null: nothing. */
  #onIdle: (() => void) | null = null;

  /** @param ended  told of each write's end, and whether that is what the engine waits for */
  constructor(
    streams: RawStreams,
    handle: StreamHandle,
    below: StreamHandle,
    ended: (hasFreed: boolean, status: number) => void,
  ) {
    this.#streams = streams;
    this.#handle = handle;
    this.#below = below;
    this.#ended = ended;
  }

  /** As Wire.write, but negative where the handle is broken. Hot. */
  write(pieces: readonly number[]): boolean | number {
    if (!this.#isBusy) return this.#begin(pieces);
    this.#waiting = pieces.slice();
    return false;
  }

  #begin(pieces: readonly number[]): boolean | number {
    const written = this.#streams.write(this.#handle, pieces, this);
    if (written !== UNDER_WAY) return written === 0 ? true : written;
    this.#isBusy = true;
    this.#isAwaited = this.#below.writeQueueSize > 0;
    return !this.#isAwaited;
  }

  /** Acts once no write is under way, which may be now. */
  whenIdle(action: () => void): void {
    if (this.#isBusy) this.#onIdle = action;
    else action();
  }

  writeEnded(status: number): void {
    this.#isBusy = false;
    this.#goOn(status);
    if (this.#isBusy || this.#onIdle === null) return;
    this.#onIdle();
    this.#onIdle = null;
  }

  #goOn(status: number): void {
    const waiting = this.#waiting;
    const isAwaited = this.#isAwaited || waiting !== null;
    this.#waiting = null;
    this.#isAwaited = false;
    if (waiting === null || status < 0) {
      if (isAwaited || status < 0) this.#ended(isAwaited, status);
      return;
    }
    const begun = this.#begin(waiting);
    if (begun !== false) this.#ended(true, begun === true ? 0 : begun);
  }
}

function remoteOf(handle: StreamHandle): string {
  if (handle.getpeername === undefined) return LOCAL;
  const name: PeerName = {};
  handle.getpeername(name);
  return `${plainAddress(name.address ?? "unknown")}:${name.port ?? 0}`;
}

/** One connection. */
class RawWire implements Wire, Writer {
  readonly streams: RawStreams;
  readonly handlers: TransportHandlers;
  readonly peer: PeerIdentity | null;
  #handle: StreamHandle | null;
  /** What else has the handle, and closes it; null: nothing. */
  readonly #socket: Socket | null;
  connection: NetworkConnection | null = null;
  #remote: string;
  /** null: it writes to the kernel itself. */
  readonly #output: SecureOutput | null;
  /** What came in before this was made. */
  #rest: Buffer | null;
  #isReading = false;
  /** Until the turn lets it in. */
  #isPaused = true;
  /** No more is written; what still comes in is thrown away until the peer closes. */
  #isEnding = false;

  constructor(
    streams: RawStreams,
    handlers: TransportHandlers,
    handle: StreamHandle,
    arrival: Arrival | null,
  ) {
    this.streams = streams;
    this.handlers = handlers;
    this.#handle = handle;
    this.#socket = arrival?.socket ?? null;
    this.#remote = arrival?.remote ?? "";
    this.#rest = arrival?.rest ?? null;
    this.peer = arrival?.peer ?? null;
    const { _parent: below } = handle;
    this.#output =
      below === undefined
        ? null
        : new SecureOutput(streams, handle, below, (hasFreed, status) =>
            this.#written(hasFreed, status),
          );
  }

  /** Asked for when the connection is logged, and kept: a broken one has no peer to ask for. */
  get remote(): string {
    if (this.#remote === "" && this.#handle !== null) this.#remote = remoteOf(this.#handle);
    return this.#remote;
  }

  write(pieces: readonly number[]): boolean {
    const handle = this.#handle;
    if (handle === null) return true;
    const written =
      this.#output === null ? this.streams.write(handle, pieces, this) : this.#output.write(pieces);
    if (written === 0 || written === true) return true;
    if (written === UNDER_WAY || written === false) return false;
    // The read side tells of the broken connection; it must not happen inside the flush.
    setImmediate(() => this.gone("write error"));
    return true;
  }

  writeEnded(status: number): void {
    this.#written(true, status);
  }

  #written(hasFreed: boolean, status: number): void {
    if (hasFreed && this.connection !== null) this.streams.turn.written(this.connection);
    if (status < 0) this.gone("write error");
  }

  pauseReading(): void {
    if (this.#isPaused || this.#isEnding) return;
    this.#isPaused = true;
    this.#isReading = false;
    this.#handle?.readStop();
  }

  resumeReading(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (this.#isReading) return;
    this.#isReading = true;
    if (this.#rest !== null) this.#receiveRest(this.#rest);
    if (!this.#isPaused) this.#handle?.readStart();
  }

  /** What came before comes first; it is longer than READ for nobody (limits.ts). */
  #receiveRest(rest: Buffer): void {
    this.#rest = null;
    this.onRead(rest.copy(this.streams.engine.readRegion));
  }

  end(): void {
    const handle = this.#handle;
    if (handle === null || this.#isEnding) return;
    this.#isEnding = true;
    // Closing with unread bytes would reset the connection and lose what was just written.
    this.resumeReading();
    setTimeout(() => this.destroy(), LINGER_MILLISECONDS_MAX).unref();
    // The FIN would overtake the close_notify of TLS, which waits for a write under way.
    if (this.#output === null) this.#shutDown();
    else this.#output.whenIdle(() => this.#shutDown());
  }

  #shutDown(): void {
    const request = new this.streams.binding.ShutdownWrap();
    request.oncomplete = () => undefined;
    if (this.#handle !== null && this.#handle.shutdown(request) !== 0) this.destroy();
  }

  destroy(): void {
    const handle = this.#handle;
    if (handle === null) return;
    this.#handle = null;
    handle.wire = null;
    if (this.#socket === null) handle.close();
    else this.#socket.destroy();
  }

  /** Bytes came, or the end. */
  onRead(byteCount: number): void {
    if (byteCount > 0) {
      const { connection } = this;
      if (!this.#isEnding && connection !== null) {
        this.streams.turn.received(connection, byteCount);
      }
    } else if (byteCount < 0) {
      this.gone("connection lost");
    }
  }

  /** The peer is gone, or failed. */
  gone(reason: string): void {
    const { connection } = this;
    if (this.#handle === null) return;
    if (!this.#isEnding && connection?.closesAfterCommit === true) {
      this.pauseReading();
      return;
    }
    if (!this.#isEnding && connection !== null) this.handlers.onEnd(connection, reason);
    this.destroy();
  }
}

/** onread of every handle: a shared function, since there is one per connection. */
function onread(this: StreamHandle): void {
  const { wire } = this;
  if (wire !== null) wire.onRead(wire.streams.bytesRead);
}

/** Gives a handle to a new connection, or closes it. */
function openWire(
  streams: RawStreams,
  handlers: TransportHandlers,
  handle: StreamHandle,
  arrival: Arrival | null,
): RawWire | null {
  const wire = new RawWire(streams, handlers, handle, arrival);
  const connection = handlers.onOpen(wire);
  if (connection === null) {
    wire.destroy();
    return null;
  }
  wire.connection = connection;
  handle.wire = wire;
  handle.useUserBuffer(streams.engine.readRegion);
  handle.onread = onread;
  return wire;
}

/**
 * Takes the connections of a listening server over, before it makes sockets of them.
 *
 * @param mayOpen  asked before each connection; false refuses it
 */
export function takeConnections(
  server: Server,
  streams: RawStreams,
  handlers: TransportHandlers,
  mayOpen: () => boolean,
): void {
  const listening = serverHandle(server);
  if (listening === null) throw new Error("takeConnections: the server does not listen");
  listening.onconnection = (error, handle) => {
    if (error !== 0 || handle === undefined) {
      server.emit("error", new Error(getSystemErrorName(error)));
      return;
    }
    if (!mayOpen()) {
      handle.close();
      return;
    }
    handle.setNoDelay?.(true);
    const connection = openWire(streams, handlers, handle, null)?.connection;
    if (connection) streams.turn.admit(connection);
  };
}

/** The stream handle of a socket with the members that this file needs, or null. */
function socketHandle(socket: Socket): StreamHandle | null {
  const { _handle: handle } = socket as unknown as { _handle: StreamHandle | null };
  return typeof handle?.useUserBuffer === "function" ? handle : null;
}

/**
 * Takes the handle of a socket over, whose bytes then no longer come as its events. One of TLS
 * decrypts into the engine's memory.
 *
 * A TLS handle goes on with what it has decrypted also when its reading is stopped, so that bytes
 * may come in before the turn admits the connection.
 *
 * @returns false where it has none that will do; the public path is left
 */
export function takeSocket(
  streams: RawStreams,
  handlers: TransportHandlers,
  arrival: Arrival,
): boolean {
  const { socket } = arrival;
  const handle = socketHandle(socket);
  if (handle === null || (handle._parent !== undefined && !streams.takesSecure)) return false;
  const wire = openWire(streams, handlers, handle, arrival);
  if (wire === null) return true;
  socket.on("error", () => undefined);
  // A fault of TLS is no error of reading: the socket tells it.
  socket.on("close", () => wire.gone("connection lost"));
  handle.readStop();
  if (wire.connection !== null) streams.turn.admit(wire.connection);
  return true;
}
