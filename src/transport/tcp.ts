/** TCP listeners. */
import { createServer } from "node:net";
import { StartError } from "../base/errors.ts";
import type { Engine } from "../engine/engine.ts";
import type { Turn } from "../session/turn.ts";
import type { TransportHandlers, TransportListener } from "./listener.ts";
import { serveSockets } from "./tcp-public.ts";
import { type RawStreams, takeConnections } from "./tcp-raw.ts";

export interface TcpListenerOptions {
  readonly engine: Engine;
  readonly turn: Turn;
  /** null: the public path. */
  readonly streams: RawStreams | null;
  /** Empty: all addresses. */
  readonly address: string;
  readonly port: number;
  /** Asked before each connection; false refuses it. */
  readonly mayOpen: () => boolean;
  readonly handlers: TransportHandlers;
}

/** Connections that wait to be accepted: a fleet that comes back all at once. */
const BACKLOG = 4096;

/** @throws StartError naming address and port */
export function listenTcp(options: TcpListenerOptions): Promise<TransportListener> {
  const { engine, turn, streams, address, port, mayOpen, handlers } = options;
  const server = createServer({ pauseOnConnect: false, noDelay: true });
  if (streams === null) serveSockets(server, engine, turn, handlers, mayOpen);
  return new Promise((resolve, reject) => {
    const place = address === "" ? `port ${port}` : `${address}:${port}`;
    server.once("error", (error: NodeJS.ErrnoException) => {
      const reason = error.code === "EADDRINUSE" ? "is in use" : `cannot be used: ${error.message}`;
      reject(new StartError(`${place} ${reason}`));
    });
    const host = address === "" ? {} : { host: address };
    server.listen({ port, backlog: BACKLOG, ...host }, () => {
      if (streams !== null) takeConnections(server, streams, handlers, mayOpen);
      const bound = server.address();
      resolve({
        port: typeof bound === "object" && bound !== null ? bound.port : port,
        stop: () => void server.close(),
        close: () => void server.close(),
      });
    });
  });
}
