/** A WebSocket listener on uWebSockets.js whose app gives way to another. */
import { connect, createServer, type Server } from "node:net";
import { afterEach, expect, test } from "vitest";
import { createLog, type Log } from "../../src/base/log.ts";
import type { Engine } from "../../src/engine/engine.ts";
import type { Turn } from "../../src/session/turn.ts";
import type { TransportListener } from "../../src/transport/listener.ts";
import { listenWebSocket } from "../../src/transport/websocket.ts";
import { until } from "../support/await.ts";
import { PLAIN_WEBSOCKET } from "../support/listener-rules.ts";
import { freePorts } from "../support/running-broker.ts";

let listener: TransportListener | undefined;

afterEach(() => listener?.close());

const silent = createLog({
  destinations: [],
  types: new Set(),
  timestamp: false,
  timestampFormat: "",
  format: "text",
});

/** Whether somebody listens there who answers with a line of HTTP. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("data", (bytes) => resolve(bytes.toString().startsWith("HTTP/1.1 426")));
    socket.on("error", () => resolve(false));
    socket.on("close", () => resolve(false));
    socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  });
}

test("a place that is lost meanwhile is tried again until it is free", async () => {
  // Not one of the system's choice, which the library cannot leave and take again.
  const said: string[] = [];
  const log: Log = {
    ...silent,
    error: (text) => said.push(text),
    notice: (text) => said.push(text),
  };
  let frameBytesMax = 1000;
  let thief: Server | null = null;
  const [port = 0] = await freePorts(1);
  const engine = { readRegion: Buffer.alloc(0), memory: { buffer: new ArrayBuffer(0) } };
  listener = await listenWebSocket({
    ...PLAIN_WEBSOCKET,
    address: "",
    port,
    engine: engine as unknown as Engine,
    turn: {} as Turn,
    mayOpen: () => true,
    frameBytesMax: () => frameBytesMax,
    handlers: { onOpen: () => null, onEnd: () => undefined },
    log,
    // Asked for when the one app has left its place and the next one is not there yet.
    get hasFiles() {
      thief?.listen(port);
      return () => true;
    },
  });
  listener.reload(() => undefined);
  expect(await answers(port)).toBe(true);
  frameBytesMax = 2000;
  thief = createServer((socket) => socket.destroy());
  const server = thief;
  listener.reload(() => undefined);
  thief = null;
  expect(said).toEqual([
    `port ${port} cannot be listened at again: nobody gets in; it is tried every second`,
  ]);
  expect(await answers(port)).toBe(false);
  server.close();
  await until("the listener is back", () => answers(port));
  expect(said[1]).toBe(`The listener on port ${port} is open again`);
});
