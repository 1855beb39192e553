/**
 * Ways to the broker for a test client: TLS, WebSocket on TLS, Unix sockets, behind a proxy.
 */
import { connect as connectSocket } from "node:net";
import { type ConnectionOptions, connect as connectSecure, type TLSSocket } from "node:tls";
import { WebSocket } from "ws";
import { withDeadline } from "./await.ts";
import { type ClientTransport, type Opener, openSocket } from "./client-transport.ts";

export interface TlsClientOptions extends ConnectionOptions {
  /** Takes the socket before anything happens on it. */
  readonly onSocket?: (socket: TLSSocket) => void;
}

/** TLS to 127.0.0.1, for a certificate of localhost. */
export function overTls(port: number, options: TlsClientOptions = {}): Opener {
  const { onSocket, ...rest } = options;
  return (events) => {
    const socket = connectSecure({ host: "127.0.0.1", port, servername: "localhost", ...rest });
    socket.setNoDelay(true);
    onSocket?.(socket);
    return openSocket(socket, "secureConnect", `TLS connection to port ${port}`, events);
  };
}

/** A Unix socket. */
export function overUnixSocket(path: string): Opener {
  return (events) => openSocket(connectSocket(path), "connect", `connection to ${path}`, events);
}

/** TCP to 127.0.0.1 whose first bytes are a proxy's. */
export function behindProxy(port: number, header: Uint8Array): Opener {
  return (events) => {
    const socket = connectSocket({ port, host: "127.0.0.1", noDelay: true });
    socket.write(header);
    return openSocket(socket, "connect", `connection to port ${port}`, events);
  };
}

/** A WebSocket by a URL. */
export function overWebSocket(
  url: string,
  options: ConnectionOptions & { readonly origin?: string } = {},
): Opener {
  return (events) => {
    const webSocket = new WebSocket(url, "mqtt", options);
    const opened = new Promise<ClientTransport>((resolve, reject) => {
      webSocket.on("open", () =>
        resolve({
          write: (bytes) => webSocket.send(Uint8Array.from(bytes)),
          end: () => webSocket.close(),
          destroy: () => webSocket.terminate(),
          pause: () => webSocket.pause(),
          resume: () => webSocket.resume(),
        }),
      );
      webSocket.on("error", reject);
    });
    webSocket.on("message", (message) => events.onBytes(message as Buffer));
    webSocket.on("close", events.onClosed);
    return withDeadline(opened, `WebSocket to ${url}`);
  };
}
