/**
 * One WebSocket as a Wire: each piece of output is a binary frame, each frame's payload is a part
 * of the byte stream from the client. MQTT 5.0 §6
 *
 * uWebSockets.js throws at any use of a WebSocket that is closed, and closes it inside end() and
 * close(); so the wire forgets it as soon as the close handler has run.
 */

import type { WebSocket as UwsWebSocket } from "uWebSockets.js";
import { SocketAddress } from "node:net";
import { LINGER_MILLISECONDS_MAX } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import type { Engine } from "../engine/engine.ts";
import type { PeerIdentity, Wire } from "../engine/wire.ts";
import type { NetworkConnection } from "../session/network-connection.ts";
import type { Turn } from "../session/turn.ts";
import type { TransportHandlers } from "./listener.ts";
import type { UnprovenPeer, UnprovenPeers } from "./unproven.ts";

/** What the library keeps for each WebSocket. */
export interface WireHolder {
  wire: WebSocketWire | null;
}

export type HeldWebSocket = UwsWebSocket<WireHolder>;

/**
 * Bytes of unsent pongs, beyond the output that is under way, at which a peer that sends pings
 * without reading is cut off.
 */
export const PONG_BYTES_MAX = 65_536;

/** Status codes of RFC 6455 §7.4.1. */
const NORMAL_CLOSURE = 1000;
const UNSUPPORTED_DATA = 1003;
const ABNORMAL_CLOSURE = 1006;
const TRY_AGAIN_LATER = 1013;

/** The library's text for a peer that went without a close frame. */
const CUT_OFF = "Received TCP FIN before WebSocket close frame";

/** What send() answers, where it is not 0: unsent bytes are left. */
const SENT = 1;
const DROPPED = 2;

/** What all WebSockets of a listener share. */
export class WebSocketStreams {
  readonly turn: Turn;
  readonly handlers: TransportHandlers;
  readonly log: Log;
  readonly readRegion: Uint8Array;
  readonly #buffer: ArrayBuffer;
  #corked: HeldWebSocket | null = null;
  #pieces: readonly number[] = [];
  #status = SENT;

  constructor(engine: Engine, turn: Turn, handlers: TransportHandlers, log: Log) {
    this.turn = turn;
    this.handlers = handlers;
    this.log = log;
    this.readRegion = engine.readRegion;
    this.#buffer = engine.memory.buffer as ArrayBuffer;
  }

  /**
   * Sends each piece as a frame; together they are one write. The library copies what the kernel
   * does not take. Hot.
   *
   * @returns SENT, DROPPED, or 0: unsent bytes are left
   */
  send(webSocket: HeldWebSocket, pieces: readonly number[]): number {
    if (pieces.length === 2) {
      return webSocket.send(this.#view(pieces[0] as number, pieces[1] as number), true, false);
    }
    this.#corked = webSocket;
    this.#pieces = pieces;
    this.#status = SENT;
    webSocket.cork(this.#sendCorked);
    this.#corked = null;
    if (this.#status === DROPPED) return DROPPED;
    // Only now did the last of it go to the kernel.
    return webSocket.getBufferedAmount() === 0 ? SENT : 0;
  }

  /** One closure for all, since a closure for each write would be garbage. */
  readonly #sendCorked = (): void => {
    const webSocket = this.#corked;
    const pieces = this.#pieces;
    if (webSocket === null) return;
    for (let i = 0; i < pieces.length; i += 2) {
      const view = this.#view(pieces[i] as number, pieces[i + 1] as number);
      if (webSocket.send(view, true, false) === DROPPED) this.#status = DROPPED;
    }
  };

  #view(at: number, byteCount: number): Uint8Array {
    return new Uint8Array(this.#buffer, at, byteCount);
  }
}

export class WebSocketWire implements Wire, UnprovenPeer {
  readonly remote: string;
  /** Who asks for certificates is served by websocket-node.ts. */
  readonly peer: PeerIdentity | null = null;
  readonly #streams: WebSocketStreams;
  /** null: closed. */
  #webSocket: HeldWebSocket | null;
  #connection: NetworkConnection | null = null;
  /** The broker closes it: its end is no news. */
  #isEnding = false;
  /** `written` is owed. */
  #isWriting = false;
  /** Unsent bytes of the pending write, at most; pongs come on top. */
  #unsentBytes = 0;
  /** Where it is listed until its CONNECT is there; null: it is not. */
  #unproven: UnprovenPeers | null = null;
  /** Why this side closes it, where that is no wish of the broker. */
  #fault = "";

  constructor(streams: WebSocketStreams, webSocket: HeldWebSocket) {
    this.#streams = streams;
    this.#webSocket = webSocket;
    this.remote = addressOf(webSocket);
  }

  /**
   * Asks for a connection, or closes the WebSocket.
   *
   * @param frameBytesMax  what the library may gather before it hands a message over
   */
  open(unproven: UnprovenPeers, frameBytesMax: number): void {
    const connection = this.#streams.handlers.onOpen(this);
    this.#connection = connection;
    if (connection === null) {
      this.#webSocket?.end(TRY_AGAIN_LATER);
      return;
    }
    this.#unproven = unproven;
    unproven.set(this, frameBytesMax);
  }

  pushOut(): void {
    this.#fail("no CONNECT in time, others need the room", 0);
  }

  #prove(): void {
    this.#unproven?.delete(this);
    this.#unproven = null;
  }

  write(pieces: readonly number[]): boolean {
    const webSocket = this.#webSocket;
    if (webSocket === null) return true;
    const status = this.#streams.send(webSocket, pieces);
    if (status === SENT) return true;
    this.#isWriting = true;
    this.#unsentBytes = webSocket.getBufferedAmount();
    // It must not close inside the flush that wrote.
    if (status === DROPPED) setImmediate(() => this.#dropped());
    return false;
  }

  /** The library cannot stop reading; the engine bounds what a connection hands in meanwhile. */
  pauseReading(): void {}
  resumeReading(): void {}

  end(): void {
    const webSocket = this.#webSocket;
    if (webSocket === null || this.#isEnding) return;
    this.#isEnding = true;
    if (webSocket.getBufferedAmount() === 0) {
      // The library cuts it off a few seconds later, should the peer not close as well.
      webSocket.end(NORMAL_CLOSURE);
    } else {
      setTimeout(() => this.destroy(), LINGER_MILLISECONDS_MAX).unref();
    }
  }

  destroy(): void {
    this.#isEnding = true;
    this.#webSocket?.close();
  }

  /** A whole message; its bytes are dead after the call. */
  onMessage(message: ArrayBuffer, isBinary: boolean): void {
    if (!isBinary) {
      this.#fail("text frame", UNSUPPORTED_DATA); // [MQTT-6.0.0-1]
      return;
    }
    const { readRegion, turn } = this.#streams;
    const { byteLength } = message;
    // A packet may span messages, a message may hold many packets [MQTT-6.0.0-2].
    for (let from = 0; from < byteLength; from += readRegion.length) {
      const connection = this.#connection;
      if (connection === null || this.#isEnding || this.#webSocket === null) return;
      const byteCount = Math.min(byteLength - from, readRegion.length);
      readRegion.set(new Uint8Array(message, from, byteCount));
      turn.received(connection, byteCount);
      // Its version is that of a CONNECT which is whole.
      if (this.#unproven !== null && connection.version !== 0) this.#prove();
    }
  }

  /** A ping came and was answered. */
  onPing(): void {
    if (this.#countUnsent() > this.#unsentBytes + PONG_BYTES_MAX) {
      this.#fail("pings without reading", 0);
    }
  }

  /** Bytes that were buffered left, or none are. */
  onDrain(): void {
    if (this.#countUnsent() > 0) return;
    this.#finishWrite();
    if (this.#isEnding) this.#webSocket?.end(NORMAL_CLOSURE);
  }

  /**
   * The WebSocket is closed, whoever did it.
   *
   * @param code  of the close frame, or ABNORMAL_CLOSURE
   * @param text  from the peer, or with ABNORMAL_CLOSURE from the library
   */
  onClose(code: number, text: string): void {
    this.#webSocket = null;
    const connection = this.#connection;
    this.#prove();
    this.#finishWrite();
    if (connection === null || this.#isEnding) return;
    this.#streams.handlers.onEnd(connection, this.#fault || closeReason(code, text));
  }

  /** @param code  of the close frame; 0: none, the peer would not read it */
  #fail(fault: string, code: number): void {
    if (this.#isEnding) return;
    this.#fault = fault;
    if (code === 0) this.#webSocket?.close();
    else this.#webSocket?.end(code);
  }

  /** Bytes that the library buffers. */
  #countUnsent(): number {
    const byteCount = this.#webSocket?.getBufferedAmount() ?? 0;
    this.#unsentBytes = Math.min(this.#unsentBytes, byteCount);
    return byteCount;
  }

  #finishWrite(): void {
    if (!this.#isWriting) return;
    this.#isWriting = false;
    if (this.#connection !== null) this.#streams.turn.written(this.#connection);
  }

  #dropped(): void {
    if (this.#webSocket === null) return;
    this.#streams.log.error(`${this.remote}: the WebSocket dropped output; it is closed`);
    this.#fail("dropped output", 0);
  }
}

/** Why a WebSocket that the broker did not close has ended, for the log. */
function closeReason(code: number, text: string): string {
  if (code !== ABNORMAL_CLOSURE) return code === NORMAL_CLOSURE ? "closed" : `closed with ${code}`;
  return text === "" || text === CUT_OFF ? "connection lost" : `WebSocket error: ${text}`;
}

/** An address as text, IPv6 in brackets; an IPv4 address in IPv6's clothes as IPv4. */
function addressOf(webSocket: HeldWebSocket): string {
  const long = Buffer.from(webSocket.getRemoteAddressAsText()).toString();
  if (!long.includes(":")) return long;
  const { address } = new SocketAddress({ address: long, family: "ipv6" });
  return address.startsWith("::ffff:") ? address.slice("::ffff:".length) : `[${address}]`;
}
