/**
 * What a socket passes before it speaks MQTT: a proxy's header, then a TLS handshake.
 *
 *   accepted ─▶ waiting for header and first bytes ─▶ waiting for its turn ─▶ handshake ─▶ arrived
 *
 * A handshake costs a thousand times what a message does, so only a few are begun in each turn, and
 * not before the client has sent the first bytes of one. All of it has a time limit.
 */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import {
  GATE_SECONDS_MAX,
  GATE_WAITING_MAX,
  HANDSHAKE_MILLISECONDS_PER_TURN_MAX,
  HANDSHAKES_MAX,
  HELLO_BYTES_MAX,
  PROXY_HEADER_BYTES_MAX,
} from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import type { PeerIdentity } from "../engine/wire.ts";
import { type Arrival, LOCAL } from "./listener.ts";
import { type ProxyHeader, readProxyHeader } from "./proxy-header.ts";
import { remoteOf } from "./tcp-public.ts";
import type { TlsGate } from "./tls-gate.ts";

export interface GateOptions {
  readonly proxyProtocol: 0 | 1 | 2;
  /** Whether the proxy must say that the client came to it by TLS. */
  readonly proxyRequiresTls: boolean;
  /** null: no TLS. */
  readonly tls: TlsGate | null;
  /** Whether its sockets are of a Unix socket. */
  readonly isLocal: boolean;
  readonly log: Log;
  readonly arrived: (arrival: Arrival) => void;
}

/** A socket that has not arrived. */
interface Waiting {
  readonly socket: Socket;
  /** `performance.now()` at which it must have arrived. */
  readonly dueMs: number;
  remote: string;
  header: ProxyHeader | null;
  /** What came, while the header is not whole, or while its handshake waits. */
  bytes: Buffer;
  /** Its first bytes are there, its handshake waits for its turn. */
  isReady: boolean;
  readonly onReadable: () => void;
}

const NOTHING = Buffer.alloc(0);
const SWEEP_MILLISECONDS = 1_000;

export class Gate {
  readonly #options: GateOptions;
  /** The oldest first. */
  readonly #waiting = new Set<Waiting>();
  readonly #handshaking = new Set<Waiting>();
  #ready: Waiting[] = [];
  #isPumping = false;
  #sweep: NodeJS.Timeout | null = null;

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /** Sockets that have not arrived. */
  get count(): number {
    return this.#waiting.size + this.#handshaking.size;
  }

  /** Those of them whose handshake has begun. */
  get handshakeCount(): number {
    return this.#handshaking.size;
  }

  /** Takes an accepted socket, whose reading has not begun. */
  take(socket: Socket): void {
    const { isLocal } = this.#options;
    const one: Waiting = {
      socket,
      dueMs: performance.now() + GATE_SECONDS_MAX * 1000,
      remote: isLocal ? LOCAL : remoteOf(socket),
      header: null,
      bytes: NOTHING,
      isReady: false,
      onReadable: () => this.#read(one),
    };
    socket.setNoDelay(true);
    socket.on("error", () => undefined);
    if (this.#waiting.size >= GATE_WAITING_MAX && !this.#pushOut()) {
      socket.destroy();
      return;
    }
    this.#waiting.add(one);
    this.#sweep ??= setInterval(() => this.endLate(performance.now()), SWEEP_MILLISECONDS).unref();
    socket.on("readable", one.onReadable);
    socket.once("close", () => this.#forget(one));
  }

  /** Closes what has not arrived. */
  close(): void {
    for (const { socket } of [...this.#waiting, ...this.#handshaking]) socket.destroy();
  }

  /** Ends the one that has been silent longest. @returns false where all have sent something */
  #pushOut(): boolean {
    for (const one of this.#waiting) {
      if (one.isReady) continue;
      this.#end(one);
      return true;
    }
    return false;
  }

  #end(one: Waiting): void {
    this.#forget(one);
    one.socket.destroy();
  }

  #forget(one: Waiting): void {
    this.#waiting.delete(one);
    this.#handshaking.delete(one);
    if (this.count > 0 || this.#sweep === null) return;
    clearInterval(this.#sweep);
    this.#sweep = null;
  }

  /** Ends those whose time is over. */
  endLate(now: number): void {
    for (const sockets of [this.#waiting, this.#handshaking]) {
      for (const one of sockets) {
        if (one.dueMs > now) break;
        const missing = this.#options.tls === null ? "PROXY header" : "TLS handshake";
        this.#refuse(one, `no ${missing} within ${GATE_SECONDS_MAX} s`);
      }
    }
  }

  #refuse(one: Waiting, reason: string): void {
    this.#options.log.notice(`Client connection from ${one.remote} failed: ${reason}.`);
    this.#end(one);
  }

  /** Bytes are there, or the end. */
  #read(one: Waiting): void {
    const chunk: Buffer | null = one.socket.read();
    if (chunk === null) {
      if (one.socket.readableEnded) this.#end(one);
      return;
    }
    let bytes = one.bytes.length === 0 ? chunk : Buffer.concat([one.bytes, chunk]);
    const { proxyProtocol, tls } = this.#options;
    if (proxyProtocol !== 0 && one.header === null) {
      const progress = readProxyHeader(proxyProtocol, bytes);
      if (progress === "more" && bytes.length <= PROXY_HEADER_BYTES_MAX) {
        one.bytes = bytes;
        return;
      }
      if (progress === "more" || progress === "malformed") {
        this.#refuse(one, `no PROXY header of version ${proxyProtocol}`);
        return;
      }
      if (!this.#takeHeader(one, progress)) return;
      bytes = bytes.subarray(progress.byteCount);
    }
    if (tls === null) {
      one.socket.off("readable", one.onReadable);
      this.#arrive(one, one.socket, one.header?.peer ?? null, bytes.length === 0 ? null : bytes);
      return;
    }
    one.bytes = bytes;
    if (bytes.length > HELLO_BYTES_MAX) this.#refuse(one, "too much before its handshake");
    else if (bytes.length > 0 && !one.isReady) {
      one.isReady = true;
      this.#ready.push(one);
      this.#pump();
    }
  }

  /** @returns false where it was refused */
  #takeHeader(one: Waiting, header: ProxyHeader): boolean {
    one.header = header;
    if (header.remote !== null) one.remote = header.remote;
    if (!this.#options.proxyRequiresTls || header.hasTls) return true;
    this.#refuse(one, "the proxy does not say that it came by TLS");
    return false;
  }

  #arrive(one: Waiting, socket: Socket, peer: PeerIdentity | null, rest: Buffer | null): void {
    this.#forget(one);
    this.#options.arrived({ socket, remote: one.remote, peer, rest });
  }

  /** Begins handshakes while this turn has time for them. */
  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    this.#beginNext(performance.now() + HANDSHAKE_MILLISECONDS_PER_TURN_MAX);
  }

  #beginNext(endMs: number): void {
    const one = this.#ready.shift();
    if (one === undefined) {
      this.#isPumping = false;
      return;
    }
    if (this.#waiting.has(one)) this.#begin(one);
    // node:tls reads what is there in the next tick: only then is it known what that cost.
    process.nextTick(() => {
      if (performance.now() < endMs) this.#beginNext(endMs);
      else
        setImmediate(() =>
          this.#beginNext(performance.now() + HANDSHAKE_MILLISECONDS_PER_TURN_MAX),
        );
    });
  }

  #begin(one: Waiting): void {
    if (this.#handshaking.size >= HANDSHAKES_MAX) {
      for (const oldest of this.#handshaking) {
        this.#end(oldest);
        break;
      }
    }
    this.#waiting.delete(one);
    this.#handshaking.add(one);
    one.socket.off("readable", one.onReadable);
    one.socket.unshift(one.bytes);
    one.bytes = NOTHING;
    this.#options.tls?.handshake(one.socket, {
      done: (socket: TLSSocket, peer) =>
        this.#arrive(one, socket, peer ?? one.header?.peer ?? null, null),
      failed: (reason) => this.#refuse(one, reason),
    });
  }
}
