/**
 * One WebSocket of `ws` as a Wire: each piece of output is a binary frame, each message's payload a
 * part of the byte stream from the client. MQTT 5.0 §6
 */
import type { WebSocket } from "ws";
import { LINGER_MILLISECONDS_MAX, WEBSOCKET_CONNECT_BYTES_MAX } from "../base/limits.ts";
import type { Engine } from "../engine/engine.ts";
import type { PeerIdentity, Wire } from "../engine/wire.ts";
import type { NetworkConnection } from "../session/network-connection.ts";
import type { Turn } from "../session/turn.ts";
import type { Arrival, TransportHandlers } from "./listener.ts";
import type { UnprovenPeer, UnprovenPeers } from "./unproven.ts";
import { PONG_BYTES_MAX } from "./websocket-wire.ts";

/** Status codes of RFC 6455 §7.4.1. */
const NORMAL_CLOSURE = 1000;
const UNSUPPORTED_DATA = 1003;
const NO_STATUS = 1005;
const ABNORMAL_CLOSURE = 1006;
const TRY_AGAIN_LATER = 1013;

/** What all of a listener share. */
export interface NodeWebSocketStreams {
  readonly engine: Engine;
  readonly turn: Turn;
  readonly handlers: TransportHandlers;
  readonly unproven: UnprovenPeers;
}

const FRAME = { binary: true, compress: false, fin: true } as const;

export class NodeWebSocketWire implements Wire, UnprovenPeer {
  readonly remote: string;
  readonly peer: PeerIdentity | null;
  readonly #streams: NodeWebSocketStreams;
  readonly #webSocket: WebSocket;
  readonly #arrival: Arrival;
  #connection: NetworkConnection | null = null;
  /** The broker closes it: its end is no news. */
  #isEnding = false;
  /** `written` is owed. */
  #isWriting = false;
  /** Whether a message was whole since the last look. */
  #hasMessage = false;
  /** What has come of the next, bytes, at most: a chunk may begin with the end of another. */
  #partBytes = 0;
  /** Why this side closes it, where that is no wish of the broker. */
  #fault = "";

  constructor(streams: NodeWebSocketStreams, webSocket: WebSocket, arrival: Arrival) {
    this.#streams = streams;
    this.#webSocket = webSocket;
    this.#arrival = arrival;
    this.remote = arrival.remote;
    this.peer = arrival.peer;
  }

  /** Asks for a connection, or closes the WebSocket. */
  open(): void {
    const webSocket = this.#webSocket;
    webSocket.on("error", (error) => {
      this.#fault ||= `WebSocket error: ${error.message}`;
    });
    const connection = this.#streams.handlers.onOpen(this);
    if (connection === null) {
      webSocket.close(TRY_AGAIN_LATER);
      return;
    }
    this.#connection = connection;
    webSocket.on("message", (message, isBinary) => this.#onMessage(message as Buffer, isBinary));
    webSocket.on("ping", () => this.#onPing());
    // The library has looked at it before: its listener is older.
    this.#arrival.socket.on("data", (chunk: Buffer) => this.#onData(chunk.length, connection));
    webSocket.on("close", (code) => this.#onClose(code));
    webSocket.pause();
    this.#streams.turn.admit(connection);
  }

  write(pieces: readonly number[]): boolean {
    const webSocket = this.#webSocket;
    if (webSocket.readyState !== webSocket.OPEN) return true;
    const { socket } = this.#arrival;
    const { bytes } = this.#streams.engine;
    const last = pieces.length - 2;
    this.#isWriting = true;
    socket.cork();
    for (let i = 0; i <= last; i += 2) {
      const at = pieces[i] as number;
      const view = bytes.subarray(at, at + (pieces[i + 1] as number));
      if (i === last) webSocket.send(view, FRAME, this.#onWritten);
      else webSocket.send(view, FRAME);
    }
    socket.uncork();
    // The library borrows the pieces until it calls back, also where the kernel took them at once.
    return false;
  }

  readonly #onWritten = (): void => this.#finishWrite();

  #finishWrite(): void {
    if (!this.#isWriting) return;
    this.#isWriting = false;
    if (this.#connection !== null) this.#streams.turn.written(this.#connection);
  }

  pauseReading(): void {
    if (!this.#isEnding) this.#webSocket.pause();
  }

  resumeReading(): void {
    this.#webSocket.resume();
  }

  end(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#webSocket.resume();
    this.#webSocket.close(NORMAL_CLOSURE);
    setTimeout(() => this.destroy(), LINGER_MILLISECONDS_MAX).unref();
  }

  destroy(): void {
    this.#isEnding = true;
    this.#webSocket.terminate();
  }

  #onMessage(message: Buffer, isBinary: boolean): void {
    if (!isBinary) {
      this.#fault = "text frame";
      this.#webSocket.close(UNSUPPORTED_DATA); // [MQTT-6.0.0-1]
      this.#end();
      return;
    }
    this.#hasMessage = true;
    const { engine, turn } = this.#streams;
    const { readRegion } = engine;
    // A packet may span messages, a message may hold many packets [MQTT-6.0.0-2].
    for (let from = 0; from < message.length; from += readRegion.length) {
      const connection = this.#connection;
      if (connection === null || this.#isEnding) return;
      turn.received(connection, message.copy(readRegion, 0, from, from + readRegion.length));
    }
  }

  /** Bytes came, of which the library may have made a message. */
  #onData(byteCount: number, connection: NetworkConnection): void {
    const { engine, unproven } = this.#streams;
    this.#partBytes = this.#hasMessage ? byteCount : this.#partBytes + byteCount;
    this.#hasMessage = false;
    if (this.#isEnding || connection.phase === "closed") return;
    // As on TCP, a packet that takes long to come keeps its connection alive.
    engine.heard(connection.number);
    // Its version is that of a CONNECT which is whole.
    if (connection.version !== 0) unproven.delete(this);
    else if (this.#partBytes > WEBSOCKET_CONNECT_BYTES_MAX) this.pushOut();
    else unproven.set(this, this.#partBytes);
  }

  pushOut(): void {
    this.#fault ||= "too much before its CONNECT";
    this.#webSocket.terminate();
  }

  /** A ping came and is answered: its sender must read that, too. */
  #onPing(): void {
    if (this.#isWriting || this.#webSocket.bufferedAmount <= PONG_BYTES_MAX) return;
    this.#fault = "pings without reading";
    this.#webSocket.terminate();
  }

  #onClose(code: number): void {
    this.#streams.unproven.delete(this);
    this.#finishWrite();
    this.#fault ||= closeReason(code);
    this.#end();
  }

  /** The peer is gone, or sent what it must not. */
  #end(): void {
    if (this.#connection === null || this.#isEnding) return;
    this.#isEnding = true;
    this.#streams.handlers.onEnd(this.#connection, this.#fault);
  }
}

/** Why a WebSocket that the broker did not close has ended, for the log. */
function closeReason(code: number): string {
  if (code === NORMAL_CLOSURE || code === NO_STATUS) return "closed";
  return code === ABNORMAL_CLOSURE ? "connection lost" : `closed with ${code}`;
}
