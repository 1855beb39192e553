/**
 * WebSocket listeners on Node's own HTTP server and `ws`, for what uWebSockets.js has not: client
 * certificates, revocation, Pre-Shared Keys, a proxy's header, Unix sockets, long headers. MQTT 5.0
 * §6
 */
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import {
  GATE_SECONDS_MAX,
  GATE_WAITING_MAX,
  LINGER_MILLISECONDS_MAX,
  UNPROVEN_BYTES_MAX,
} from "../base/limits.ts";
import type { Arrival, TransportListener } from "./listener.ts";
import { LOCAL } from "./listener.ts";
import { gated, gateOf, listenForSockets, type StreamListenerOptions } from "./tcp.ts";
import { remoteOf } from "./tcp-public.ts";
import { UnprovenPeers } from "./unproven.ts";
import { LIBRARY_HEADER_BYTES_MAX } from "./websocket.ts";
import {
  type HandshakeRules,
  judgeHandshake,
  type Refusal,
  UPGRADE_REQUIRED,
} from "./websocket-handshake.ts";
import { NodeWebSocketWire } from "./websocket-node-wire.ts";

export interface NodeWebSocketListenerOptions extends StreamListenerOptions, HandshakeRules {
  /** Longest message, bytes; a longer one closes its connection. At least the longest packet. */
  readonly frameBytesMax: () => number;
}

/** Beyond the headers there is the request line, whose path may be any. */
const REQUEST_LINE_BYTES_MAX = 4096;

/** What a request's socket passed before it spoke HTTP. */
type Arrivals = WeakMap<Duplex, Arrival>;

/** @throws StartError naming address and port, or the path */
export async function listenNodeWebSocket(
  options: NodeWebSocketListenerOptions,
): Promise<TransportListener> {
  const { mayOpen, socketPath } = options;
  const arrivals: Arrivals = new WeakMap();
  const sockets = new Set<Socket>();
  const requests = new Requests();
  const http = httpServer(options, arrivals, requests);
  const arrived = (arrival: Arrival): void => {
    const { socket, rest } = arrival;
    arrivals.set(socket, arrival);
    sockets.add(socket);
    requests.add(socket);
    socket.once("close", () => {
      sockets.delete(socket);
      requests.delete(socket);
    });
    socket.on("error", () => undefined);
    // After a reset TLS may wait for the end of a write that never comes.
    socket.once("end", () => setTimeout(() => socket.destroy(), LINGER_MILLISECONDS_MAX).unref());
    if (rest !== null) socket.unshift(rest);
    http.emit("connection", socket);
    socket.resume();
  };
  const gate = gateOf(options, arrived);
  const listener = await listenForSockets(options, true, (server) => {
    server.on("connection", (socket) => {
      if (!mayOpen()) socket.destroy();
      else if (gate !== null) gate.take(socket);
      else {
        socket.setNoDelay(true);
        const remote = socketPath === null ? remoteOf(socket) : LOCAL;
        arrived({ socket, remote, peer: null, rest: null });
      }
    });
  });
  const { port, stop, reload, waitingCount } = gated(listener, gate, options.tls);
  const close = (): void => {
    stop();
    gate?.close();
    http.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port, stop, close, reload, waitingCount: () => waitingCount() + requests.count };
}

/** Sockets that have not asked for a WebSocket yet: bounded in number and in time. */
class Requests {
  /** The oldest first. */
  readonly #timers = new Map<Duplex, NodeJS.Timeout>();

  get count(): number {
    return this.#timers.size;
  }

  add(socket: Duplex): void {
    if (this.#timers.size >= GATE_WAITING_MAX) {
      for (const oldest of this.#timers.keys()) {
        this.delete(oldest);
        oldest.destroy();
        break;
      }
    }
    // The server's own limits of time count for one that listens by itself only.
    const timer = setTimeout(() => socket.destroy(), GATE_SECONDS_MAX * 1000);
    this.#timers.set(socket, timer.unref());
  }

  delete(socket: Duplex): void {
    clearTimeout(this.#timers.get(socket));
    this.#timers.delete(socket);
  }
}

function httpServer(
  options: NodeWebSocketListenerOptions,
  arrivals: Arrivals,
  requests: Requests,
): Server {
  const { headerBytesMax, frameBytesMax } = options;
  const streams = { ...options, unproven: new UnprovenPeers(UNPROVEN_BYTES_MAX, 0) };
  const server = createServer({
    maxHeaderSize: REQUEST_LINE_BYTES_MAX + Math.max(headerBytesMax, LIBRARY_HEADER_BYTES_MAX),
    keepAlive: false,
  });
  const webSockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    // Frames must be binary, whose text is nobody's business.
    skipUTF8Validation: true,
    handleProtocols: (offered) => {
      const verdict = judgeHandshake(options, handshakeOf([...offered].join(","), null));
      return typeof verdict === "string" ? verdict : false;
    },
  });
  server.on("request", (request, response) => {
    const { status, text } = UPGRADE_REQUIRED;
    const headers = { "Content-Type": "text/plain", Connection: "close", Upgrade: "websocket" };
    response.writeHead(Number.parseInt(status, 10), headers).end(`${text}\n`);
    request.socket.once("drain", () => request.socket.destroySoon());
  });
  server.on("upgrade", (request, socket, head) => {
    const verdict = judgeHandshake(
      options,
      handshakeOf(request.headers["sec-websocket-protocol"] ?? "", request),
    );
    const arrival = arrivals.get(socket);
    // One that is refused keeps its limit of time: its peer may leave it half open.
    if (typeof verdict !== "string") refuse(socket, verdict);
    else if (arrival === undefined) socket.destroy();
    else {
      requests.delete(socket);
      webSockets.options.maxPayload = frameBytesMax();
      webSockets.handleUpgrade(request, socket, head, (webSocket: WebSocket) => {
        new NodeWebSocketWire(streams, webSocket, arrival).open();
      });
    }
  });
  return server;
}

function handshakeOf(offered: string, request: IncomingMessage | null) {
  if (request === null) return { offered, origin: "", headerBytes: 0 };
  const headerBytes = request.rawHeaders.reduce((sum, part) => sum + part.length + 2, 0);
  return { offered, origin: request.headers.origin ?? "", headerBytes };
}

/** Answers with one line of text and closes. */
function refuse(socket: Duplex, { status, text }: Refusal): void {
  const body = `${text}\n`;
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: text/plain\r\nConnection: close\r\n` +
      `Content-Length: ${body.length}\r\n\r\n${body}`,
  );
}
