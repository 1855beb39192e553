/**
 * WebSocket listeners on uWebSockets.js: any path, subprotocol `mqtt`. MQTT 5.0 §6
 */

import {
  App,
  us_listen_socket_close as closeListenSocket,
  type HttpRequest,
  type HttpResponse,
  us_socket_local_port as localPort,
  type TemplatedApp,
  type us_listen_socket,
  type us_socket,
  type us_socket_context_t,
} from "uWebSockets.js";
import { lookup } from "node:dns/promises";
import { createServer } from "node:net";
import { StartError } from "../base/errors.ts";
import { WEBSOCKET_UNSENT_BYTES_MAX } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import type { Engine } from "../engine/engine.ts";
import type { Turn } from "../session/turn.ts";
import type { TransportHandlers, TransportListener } from "./listener.ts";
import { WebSocketStreams, WebSocketWire, type WireHolder } from "./websocket-wire.ts";

export interface WebSocketListenerOptions {
  readonly engine: Engine;
  readonly turn: Turn;
  /** Empty: all addresses. */
  readonly address: string;
  /** 0: one that is free. */
  readonly port: number;
  /** Asked before each connection; false refuses it. */
  readonly mayOpen: () => boolean;
  /** Longest message, bytes; a longer one closes its connection. At least the longest packet. */
  readonly frameBytesMax: number;
  readonly handlers: TransportHandlers;
  readonly log: Log;
}

/** Subprotocols, the best first; the second is what clients of MQTT 3.1 offer. */
const SUBPROTOCOLS = ["mqtt", "mqttv3.1"] as const;

/** The library's option for a port that no other process shares; its type is missing there. */
const EXCLUSIVE_PORT = 1;

/** Its type says that the library exports no value for it. */
const COMPRESSION_OFF = 0;

/** How the library's listen() can be called besides what its types say. */
interface ExclusiveApp {
  listen(
    ...rest:
      | [host: string, port: number, options: number, onListening: OnListening]
      | [port: number, options: number, onListening: OnListening]
  ): void;
}

type OnListening = (listenSocket: us_listen_socket | false) => void;

/** @throws StartError naming address and port */
export async function listenWebSocket(
  options: WebSocketListenerOptions,
): Promise<TransportListener> {
  const app = App();
  serveWebSockets(app, options);
  app.any("/*", (response) => {
    refuse(response, "426 Upgrade Required", "This port speaks MQTT over WebSocket only.");
  });
  const { address, port } = options;
  const host = address === "" ? "" : await resolveHost(address, port);
  const listenSocket = await new Promise<us_listen_socket | false>((resolve) => {
    const exclusive = app as unknown as ExclusiveApp;
    if (host === "") exclusive.listen(port, EXCLUSIVE_PORT, resolve);
    else exclusive.listen(host, port, EXCLUSIVE_PORT, resolve);
  });
  if (listenSocket === false) {
    app.close();
    throw new StartError(`${placeOf(address, port)} ${await refusal(host, port)}`);
  }
  let isListening = true;
  const stop = (): void => {
    if (isListening) closeListenSocket(listenSocket);
    isListening = false;
  };
  return {
    port: localPort(listenSocket as unknown as us_socket),
    stop,
    close: () => {
      stop();
      app.close();
    },
  };
}

function serveWebSockets(app: TemplatedApp, options: WebSocketListenerOptions): void {
  const { engine, turn, handlers, log, mayOpen, frameBytesMax } = options;
  const streams = new WebSocketStreams(engine, turn, handlers, log);
  app.ws<WireHolder>("/*", {
    compression: COMPRESSION_OFF,
    // Keep Alive is MQTT's own.
    idleTimeout: 0,
    sendPingsAutomatically: false,
    maxPayloadLength: frameBytesMax,
    // The engine bounds what it hands out; past this limit the library would drop output.
    maxBackpressure: WEBSOCKET_UNSENT_BYTES_MAX,
    upgrade: (response, request, context) => upgrade(response, request, context, mayOpen),
    open: (webSocket) => {
      const wire = new WebSocketWire(streams, webSocket);
      webSocket.getUserData().wire = wire;
      wire.open();
    },
    message: (webSocket, message, isBinary) => {
      webSocket.getUserData().wire?.onMessage(message, isBinary);
    },
    ping: (webSocket) => webSocket.getUserData().wire?.onPing(),
    drain: (webSocket) => webSocket.getUserData().wire?.onDrain(),
    close: (webSocket, code, text) => {
      webSocket.getUserData().wire?.onClose(code, Buffer.from(text).toString());
    },
  });
}

function upgrade(
  response: HttpResponse,
  request: HttpRequest,
  context: us_socket_context_t,
  mayOpen: () => boolean,
): void {
  const offered = request.getHeader("sec-websocket-protocol");
  const subprotocol = chooseSubprotocol(offered);
  if (subprotocol === null) {
    refuse(response, "400 Bad Request", 'The client must offer the WebSocket subprotocol "mqtt".');
  } else if (!mayOpen()) {
    refuse(response, "503 Service Unavailable", "The broker takes no more connections.");
  } else {
    const holder: WireHolder = { wire: null };
    const key = request.getHeader("sec-websocket-key");
    response.upgrade(holder, key, subprotocol, "", context); // [MQTT-6.0.0-4]
  }
}

/** @returns the subprotocol to serve, or null where the client offers none [MQTT-6.0.0-3] */
function chooseSubprotocol(offered: string): string | null {
  const names = offered.split(",").map((name) => name.trim());
  return SUBPROTOCOLS.find((subprotocol) => names.includes(subprotocol)) ?? null;
}

/** Answers with one line of text and closes. */
function refuse(response: HttpResponse, status: string, text: string): void {
  response.writeStatus(status);
  response.writeHeader("Content-Type", "text/plain");
  if (status.startsWith("426")) response.writeHeader("Upgrade", "websocket");
  response.end(`${text}\n`, true);
}

function placeOf(address: string, port: number): string {
  return address === "" ? `port ${port}` : `${address}:${port}`;
}

/** @throws StartError where the name is unknown */
async function resolveHost(address: string, port: number): Promise<string> {
  try {
    return (await lookup(address)).address;
  } catch (error) {
    const text = error instanceof Error ? error.message : `${error}`;
    throw new StartError(`${placeOf(address, port)} cannot be used: ${text}`);
  }
}

/** Why listening failed: the library does not tell, so Node.js is asked to try the same. */
function refusal(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      resolve(error.code === "EADDRINUSE" ? "is in use" : `cannot be used: ${error.message}`);
    });
    server.listen({ port, ...(host === "" ? {} : { host }) }, () => {
      server.close(() => resolve("cannot be used"));
    });
  });
}
