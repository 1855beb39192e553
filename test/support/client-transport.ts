/**
 * The ways a test client reaches the broker, TCP, WebSocket and others, behind one interface.
 */
import { connect as connectSocket, type Socket } from "node:net";
import { withDeadline } from "./await.ts";

/** A byte stream in both directions, as MQTT asks for. [MQTT-4.2-1] */
export interface ClientTransport {
  /** Sends the bytes; over WebSocket as one binary frame. */
  write(bytes: Uint8Array): void;
  /** Ends the stream in an orderly way; the other side's end closes it. */
  end(): void;
  /** Cuts the stream off, as a network failure would. */
  destroy(): void;
  /** Stops and restarts taking bytes from the kernel; WebSocket cannot. */
  pause(): void;
  resume(): void;
}

/** What a transport tells its owner. */
export interface TransportEvents {
  readonly onBytes: (bytes: Buffer) => void;
  readonly onClosed: () => void;
}

/** Any other way to the broker. */
export type Opener = (events: TransportEvents) => Promise<ClientTransport>;

/** A TCP connection, to 127.0.0.1 if nothing else is said. */
export function openTcp(
  port: number,
  events: TransportEvents,
  host = "127.0.0.1",
): Promise<ClientTransport> {
  const socket = connectSocket({ port, host, noDelay: true });
  return openSocket(socket, "connect", `TCP connection to port ${port}`, events);
}

/**
 * A socket as a transport, once it is open.
 *
 * @param event  what it says then
 */
export function openSocket(
  socket: Socket,
  event: "connect" | "secureConnect",
  what: string,
  events: TransportEvents,
): Promise<ClientTransport> {
  const opened = new Promise<ClientTransport>((resolve, reject) => {
    socket.once(event, () => {
      resolve({
        write: (bytes) => socket.write(bytes),
        end: () => socket.end(),
        // A stream that has ended cannot be reset any more: Node would emit no "close".
        destroy: () => {
          const cannotReset = event === "secureConnect" || socket.remotePort === undefined;
          if (cannotReset || socket.readableEnded || socket.writableEnded) socket.destroy();
          else socket.resetAndDestroy();
        },
        pause: () => socket.pause(),
        resume: () => socket.resume(),
      });
    });
    socket.once("error", reject);
  });
  // A reset is a close too: "close" follows and tells it. Only one that failed has none behind it.
  socket.on("error", (error: NodeJS.ErrnoException) => {
    if (error.syscall === "reset") events.onClosed();
  });
  socket.on("data", events.onBytes);
  socket.on("close", events.onClosed);
  return withDeadline(opened, what);
}

/** A WebSocket connection to 127.0.0.1 that offers the subprotocol. [MQTT-6.0.0-3] */
export function openWebSocket(port: number, events: TransportEvents): Promise<ClientTransport> {
  const webSocket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, "mqtt");
  webSocket.binaryType = "arraybuffer";
  const opened = new Promise<ClientTransport>((resolve, reject) => {
    webSocket.addEventListener("open", () => {
      resolve({
        write: (bytes) => webSocket.send(Uint8Array.from(bytes)),
        end: () => webSocket.close(),
        destroy: () => webSocket.close(),
        pause: () => {
          throw new Error("a WebSocket cannot be paused");
        },
        resume: () => {},
      });
    });
    webSocket.addEventListener("error", () => reject(new Error(`no WebSocket on port ${port}`)));
  });
  webSocket.addEventListener("message", (event) => {
    if (typeof event.data === "string") throw new Error("a text frame from the broker");
    events.onBytes(Buffer.from(event.data as ArrayBuffer));
  });
  webSocket.addEventListener("close", events.onClosed);
  return withDeadline(opened, `WebSocket connection to port ${port}`);
}
