/** Listeners for MQTT itself: TCP and Unix sockets, open or behind a gate. */
import { chmodSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { Episode } from "../base/episode.ts";
import { StartError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Engine } from "../engine/engine.ts";
import type { Turn } from "../session/turn.ts";
import { Gate } from "./gate.ts";
import type { Arrival, TransportHandlers, TransportListener } from "./listener.ts";
import {
  clearSocketPath,
  listenFault,
  type Place,
  type PlaceOptions,
  placeOf,
  placesOf,
} from "./places.ts";
import { serveSocket, serveSockets } from "./tcp-public.ts";
import { type RawStreams, takeConnections, takeSocket } from "./tcp-raw.ts";
import type { TlsGate } from "./tls-gate.ts";

/** Of a Unix socket: for who runs the broker and its group. */
const SOCKET_MODE = 0o770;

/** What all listeners of sockets need to know. */
export interface StreamListenerOptions extends PlaceOptions {
  readonly engine: Engine;
  readonly turn: Turn;
  /** A Unix socket in place of address and port; null: TCP. */
  readonly socketPath: string | null;
  readonly proxyProtocol: 0 | 1 | 2;
  readonly proxyRequiresTls: boolean;
  /** null: no TLS. */
  readonly tls: TlsGate | null;
  /** Asked before each connection; false refuses it. */
  readonly mayOpen: () => boolean;
  readonly handlers: TransportHandlers;
  readonly log: Log;
}

export interface TcpListenerOptions extends StreamListenerOptions {
  /** null: the public path. */
  readonly streams: RawStreams | null;
}

/** Connections that wait to be accepted: a fleet that comes back all at once. */
const BACKLOG = 4096;

/** @throws StartError naming address and port, or the path */
export async function listenTcp(options: TcpListenerOptions): Promise<TransportListener> {
  const { engine, turn, streams, mayOpen, handlers } = options;
  const gate = gateOf(options, (arrival) => {
    if (!mayOpen()) arrival.socket.destroy();
    else if (streams === null || !takeSocket(streams, handlers, arrival)) {
      serveSocket(engine, turn, handlers, arrival);
    }
  });
  const listener = await listenForSockets(options, gate !== null, (server) => {
    if (gate !== null) server.on("connection", (socket) => takeOrRefuse(socket, gate, mayOpen));
    else if (streams === null) serveSockets(server, engine, turn, handlers, mayOpen);
    else takeConnections(server, streams, handlers, mayOpen);
  });
  return gated(listener, gate, options.tls);
}

function takeOrRefuse(socket: Socket, gate: Gate, mayOpen: () => boolean): void {
  if (mayOpen()) gate.take(socket);
  else socket.destroy();
}

/** @returns null where nothing stands before the connections */
export function gateOf(
  options: StreamListenerOptions,
  arrived: (arrival: Arrival) => void,
): Gate | null {
  const { proxyProtocol, proxyRequiresTls, tls, socketPath, log } = options;
  if (proxyProtocol === 0 && tls === null) return null;
  return new Gate({
    proxyProtocol,
    proxyRequiresTls,
    tls,
    isLocal: socketPath !== null,
    log,
    arrived,
  });
}

/** A listener with all that stands before its connections. */
export function gated(
  listener: TransportListener,
  gate: Gate | null,
  tls: TlsGate | null,
): TransportListener {
  return {
    port: listener.port,
    waitingCount: () => gate?.count ?? 0,
    stop: () => listener.stop(),
    close: () => {
      listener.close();
      gate?.close();
    },
    reload: (warn) => tls?.reload(warn),
  };
}

/**
 * Listens at all places of a listener.
 *
 * @param isPaused  whether sockets are not read before somebody asks
 * @param serve  called once for each server, which listens by then
 */
export async function listenForSockets(
  options: StreamListenerOptions,
  isPaused: boolean,
  serve: (server: Server) => void,
): Promise<TransportListener> {
  const servers: Server[] = [];
  const stop = (): void => {
    for (const server of servers.splice(0)) server.close();
  };
  const { socketPath, log } = options;
  let { port } = options;
  const listen = async (name: string, place: ListenPlace): Promise<Server> => {
    const server = await listenAt(name, place, isPaused);
    tellOfFaults(server, name, log);
    serve(server);
    return server;
  };
  try {
    if (socketPath !== null) {
      await clearSocketPath(socketPath);
      const place = { path: socketPath };
      servers.push(await listen(`listener 0 ${socketPath}`, place));
      // For the broker's group as well, and for nobody else: as mosquitto makes it.
      chmodSync(socketPath, SOCKET_MODE);
    } else {
      for (const place of await placesOf(options)) {
        const name = placeOf(place.host, port);
        const server = await listen(name, tcpPlace(place, port));
        servers.push(server);
        // One that the system has chosen is the same at all places.
        port = portOf(server);
      }
    }
  } catch (error) {
    stop();
    throw error;
  }
  return { port, waitingCount: () => 0, stop, close: stop, reload: () => undefined };
}

type ListenPlace = { path: string } | { port: number; host?: string; ipv6Only: boolean };

function tcpPlace({ host, ipv6Only }: Place, port: number): ListenPlace {
  return { port, ipv6Only, ...(host === "" ? {} : { host }) };
}

function portOf(server: Server): number {
  const bound = server.address();
  return typeof bound === "object" && bound !== null ? bound.port : 0;
}

/** One that cannot accept goes on: what is the matter may pass. It is said once. */
function tellOfFaults(server: Server, name: string, log: Log): void {
  const faults = new Episode();
  server.on("error", (error) => {
    if (!faults.begins(performance.now())) return;
    log.error(`${name} cannot accept connections: ${error.message}`);
  });
}

function listenAt(name: string, place: ListenPlace, isPaused: boolean): Promise<Server> {
  const server = createServer({ pauseOnConnect: isPaused, noDelay: true });
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => reject(new StartError(`${name} ${listenFault(error)}`));
    server.once("error", onError);
    server.listen({ ...place, backlog: BACKLOG }, () => {
      server.off("error", onError);
      resolve(server);
    });
  });
}
