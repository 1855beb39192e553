/**
 * WebSocket listeners on uWebSockets.js: any path, subprotocol `mqtt`. MQTT 5.0 §6
 *
 * It has no gate of ours and no client certificates; a listener that asks for more than it can is
 * served by websocket-node.ts.
 */

import {
  App,
  us_listen_socket_close as closeListenSocket,
  type HttpRequest,
  type HttpResponse,
  us_socket_local_port as localPort,
  SSLApp,
  type TemplatedApp,
  type us_listen_socket,
  type us_socket,
  type us_socket_context_t,
} from "uWebSockets.js";
import { createServer } from "node:net";
import { StartError } from "../base/errors.ts";
import {
  GATE_WAITING_MAX,
  UNPROVEN_BYTES_MAX,
  UNPROVEN_MILLISECONDS_MIN,
  WEBSOCKET_UNSENT_BYTES_MAX,
} from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import type { Engine } from "../engine/engine.ts";
import type { Turn } from "../session/turn.ts";
import type { TransportHandlers, TransportListener } from "./listener.ts";
import {
  listenFault,
  mayBindAgain,
  type Place,
  type PlaceOptions,
  placeOf,
  placesOf,
} from "./places.ts";
import { UnprovenPeers } from "./unproven.ts";
import {
  type HandshakeRules,
  judgeHandshake,
  type Refusal,
  UPGRADE_REQUIRED,
} from "./websocket-handshake.ts";
import { WebSocketStreams, WebSocketWire, type WireHolder } from "./websocket-wire.ts";

export interface WebSocketListenerOptions extends PlaceOptions, HandshakeRules {
  readonly engine: Engine;
  readonly turn: Turn;
  /** Longest message, bytes; a longer one closes its connection. At least the longest packet. */
  readonly frameBytesMax: () => number;
  /** null: no TLS. */
  readonly certificate: CertificateFiles | null;
  readonly handlers: TransportHandlers;
  readonly log: Log;
  /** Whether a socket that is no connection yet may be kept. */
  readonly hasFiles: () => boolean;
}

/** The files that a listener shows to its clients. */
export interface CertificateFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
  /**
   * Looks at them before the library does, which does not say what is wrong.
   *
   * @returns what differs where their contents do
   * @throws StartError
   */
  readonly check: (warn: (sentence: string) => void) => string;
}

/** The library's option for a port that no other process shares; its type is missing there. */
const EXCLUSIVE_PORT = 1;

/** Its type says that the library exports no value for it. */
const COMPRESSION_OFF = 0;

/** Bytes of headers that the library takes at most. */
export const LIBRARY_HEADER_BYTES_MAX = 4096;

/** How the library's listen() can be called besides what its types say. */
interface ExclusiveApp {
  listen(
    ...rest:
      | [host: string, port: number, options: number, onListening: OnListening]
      | [port: number, options: number, onListening: OnListening]
  ): void;
}

type OnListening = (listenSocket: us_listen_socket | false) => void;

/** How long a listener that has lost its place waits until it tries to get it back, ms. */
const RETRY_MILLISECONDS = 1_000;

/** @throws StartError naming address and port */
export async function listenWebSocket(
  options: WebSocketListenerOptions,
): Promise<TransportListener> {
  const places = await placesOf(options);
  const listener = new LibraryListener(options, places);
  const fault = listener.open((sentence) => options.log.warn(sentence));
  if (fault !== null) throw new StartError(await faultOf(fault, places, options));
  return listener;
}

/**
 * The library keeps the certificate and the limit that an app began with: where these change
 * another app takes the port over, and the connections of the first one go on.
 */
class LibraryListener implements TransportListener {
  readonly #options: WebSocketListenerOptions;
  readonly #places: readonly Place[];
  readonly #streams: WebSocketStreams;
  readonly #unproven: UnprovenPeers;
  readonly #requests: Requests = { count: 0 };
  readonly #apps: TemplatedApp[] = [];
  readonly #listenSockets: us_listen_socket[] = [];
  #port: number;
  /** What the newest app has. */
  #fingerprint = "";
  #frameBytesMax = 0;
  #retry: NodeJS.Timeout | null = null;

  constructor(options: WebSocketListenerOptions, places: readonly Place[]) {
    const { engine, turn, handlers, log, port } = options;
    this.#options = options;
    this.#places = places;
    this.#port = port;
    this.#streams = new WebSocketStreams(engine, turn, handlers, log);
    this.#unproven = new UnprovenPeers(UNPROVEN_BYTES_MAX, UNPROVEN_MILLISECONDS_MIN);
  }

  get port(): number {
    return this.#port;
  }

  waitingCount(): number {
    return this.#requests.count;
  }

  /**
   * Opens it, or opens it anew where what it shows or takes has changed.
   *
   * @returns null, or the place at which it cannot listen: it is closed
   * @throws StartError for a certificate that is not to be used: all stays as it was
   */
  open(warn: (sentence: string) => void): string | null {
    const { certificate } = this.#options;
    const fingerprint = certificate?.check(warn) ?? "";
    const frameBytesMax = this.#options.frameBytesMax();
    const isSame = fingerprint === this.#fingerprint && frameBytesMax === this.#frameBytesMax;
    if (isSame && this.#listenSockets.length > 0) return null;
    if (this.#listenSockets.length > 0 && !mayBindAgain(this.#port)) {
      throw new StartError(
        `port ${this.#port} is root's, whose rights are given up: its certificate and ` +
          "max_packet_size of its messages count after a restart",
      );
    }
    const app = createApp(certificate);
    this.stop();
    boundRequests(app, this.#requests, this.#options.hasFiles);
    this.#serveWebSockets(app, frameBytesMax);
    app.any("/*", (response) => refuse(response, UPGRADE_REQUIRED));
    const fault = this.#listen(app);
    if (fault !== null) return fault;
    this.#fingerprint = fingerprint;
    this.#frameBytesMax = frameBytesMax;
    return null;
  }

  #serveWebSockets(app: TemplatedApp, frameBytesMax: number): void {
    app.ws<WireHolder>("/*", {
      compression: COMPRESSION_OFF,
      // Keep Alive is MQTT's own.
      idleTimeout: 0,
      sendPingsAutomatically: false,
      maxPayloadLength: frameBytesMax,
      // The engine bounds what it hands out; past this limit the library would drop output.
      maxBackpressure: WEBSOCKET_UNSENT_BYTES_MAX,
      upgrade: (response, request, context) => upgrade(response, request, context, this.#options),
      open: (webSocket) => {
        // The filter is told of its connection's beginning, and not of a WebSocket's end.
        this.#requests.count--;
        const wire = new WebSocketWire(this.#streams, webSocket);
        webSocket.getUserData().wire = wire;
        wire.open(this.#unproven, frameBytesMax);
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

  /** @returns null, or the place that fails */
  #listen(app: TemplatedApp): string | null {
    for (const { host } of this.#places) {
      const listenSocket = listenAt(app, host, this.#port);
      if (listenSocket === false) {
        this.stop();
        app.close();
        return placeOf(host, this.#port);
      }
      this.#listenSockets.push(listenSocket);
      // One that the system has chosen is the same at all places.
      this.#port = localPort(listenSocket as unknown as us_socket);
    }
    this.#apps.push(app);
    return null;
  }

  stop(): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    for (const listenSocket of this.#listenSockets.splice(0)) closeListenSocket(listenSocket);
  }

  close(): void {
    this.stop();
    for (const app of this.#apps) app.close();
  }

  reload(warn: (sentence: string) => void): void {
    const fault = this.open(warn);
    if (fault === null) return;
    const { log } = this.#options;
    log.error(`${fault} cannot be listened at again: nobody gets in; it is tried every second`);
    this.#retryLater(warn);
  }

  /** The place is free for whoever is quick while one app hands it to the next. */
  #retryLater(warn: (sentence: string) => void): void {
    this.#retry = setTimeout(() => {
      const { log } = this.#options;
      try {
        if (this.open(warn) !== null) this.#retryLater(warn);
        else log.notice(`The listener on port ${this.#port} is open again`);
      } catch (error) {
        if (!(error instanceof StartError)) throw error;
        this.#retryLater(warn);
      }
    }, RETRY_MILLISECONDS);
  }
}

/** @throws StartError where the library does not take the certificate */
function createApp(certificate: CertificateFiles | null): TemplatedApp {
  if (certificate === null) return App();
  const { certificateFile, keyFile } = certificate;
  try {
    return SSLApp({ key_file_name: keyFile, cert_file_name: certificateFile });
  } catch {
    throw new StartError(`certfile ${certificateFile}: the WebSocket library does not take it`);
  }
}

/** Sockets of a listener that are no WebSockets yet. */
interface Requests {
  count: number;
}

/**
 * Bounds the sockets that have not asked for a WebSocket yet. The library ends each that is silent
 * for ten seconds, but not the oldest: past the limit it is the newcomer that goes.
 */
function boundRequests(app: TemplatedApp, requests: Requests, hasFiles: () => boolean): void {
  const onChange = (response: HttpResponse, change: number): void => {
    requests.count += change;
    if (change > 0 && (requests.count > GATE_WAITING_MAX || !hasFiles())) response.close();
  };
  app.filter(onChange);
}

/** The library calls back at once. */
function listenAt(app: TemplatedApp, host: string, port: number): us_listen_socket | false {
  let found: us_listen_socket | false = false;
  const exclusive = app as unknown as ExclusiveApp;
  const onListening = (listenSocket: us_listen_socket | false): void => {
    found = listenSocket;
  };
  if (host === "") exclusive.listen(port, EXCLUSIVE_PORT, onListening);
  else exclusive.listen(host, port, EXCLUSIVE_PORT, onListening);
  return found;
}

function upgrade(
  response: HttpResponse,
  request: HttpRequest,
  context: us_socket_context_t,
  rules: HandshakeRules,
): void {
  const verdict = judgeHandshake(rules, {
    offered: request.getHeader("sec-websocket-protocol"),
    origin: request.getHeader("origin"),
    headerBytes: rules.headerBytesMax === 0 ? 0 : headerBytesOf(request),
  });
  if (typeof verdict !== "string") {
    refuse(response, verdict);
    return;
  }
  const holder: WireHolder = { wire: null };
  const key = request.getHeader("sec-websocket-key");
  response.upgrade(holder, key, verdict, "", context); // [MQTT-6.0.0-4]
}

/** Bytes of the header lines, their ends and separators included. */
function headerBytesOf(request: HttpRequest): number {
  let byteCount = 0;
  request.forEach((name, value) => {
    byteCount += name.length + value.length + 4;
  });
  return byteCount;
}

/** Answers with one line of text and closes. */
function refuse(response: HttpResponse, { status, text }: Refusal): void {
  response.writeStatus(status);
  response.writeHeader("Content-Type", "text/plain");
  if (status.startsWith("426")) response.writeHeader("Upgrade", "websocket");
  response.end(`${text}\n`, true);
}

/** Why listening failed: the library does not tell, so Node.js is asked to try the same. */
async function faultOf(
  failed: string,
  places: readonly Place[],
  { port }: WebSocketListenerOptions,
): Promise<string> {
  const place = places.find(({ host }) => placeOf(host, port) === failed);
  const host = place === undefined || place.host === "" ? {} : { host: place.host };
  const reason = await new Promise<string>((resolve) => {
    const server = createServer();
    server.once("error", (error) => resolve(listenFault(error)));
    server.listen({ port, ...host }, () => server.close(() => resolve("cannot be used")));
  });
  return `${failed} ${reason}`;
}
