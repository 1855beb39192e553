/** A WebSocket's message that takes its time, on Node's server: what came of it counts. */
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { generate } from "mqtt-packet";
import { afterAll, beforeAll, expect, test } from "vitest";
import { elapse, until } from "../support/await.ts";
import { type ListeningBroker, startListening } from "../support/secure-broker.ts";

const PIECES = 40;

let running: ListeningBroker;

beforeAll(async () => {
  // uWebSockets.js does not serve it, and does not tell what has come.
  running = await startListening({ web: ["protocol websockets", "enable_proxy_protocol 1"] });
});

afterAll(() => running?.broker.stop());

/** A frame of a client, masked with zeros. */
function frame(payload: Buffer): Buffer {
  const head = Buffer.alloc(14);
  head.writeUInt16BE(0x82ff, 0);
  head.writeUInt32BE(payload.length, 6);
  return Buffer.concat([head, payload]);
}

function upgrade(socket: Socket): void {
  socket.write(
    [
      "PROXY UNKNOWN",
      "GET /mqtt HTTP/1.1",
      "Host: x",
      "Upgrade: websocket",
      "Connection: Upgrade",
      `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}`,
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Protocol: mqtt",
      "\r\n",
    ].join("\r\n"),
  );
}

/** A WebSocket whose CONNECT has a Keep Alive of a second, and what it has received. */
async function connected(clientId: string) {
  const socket = connect(running.port("web"), "127.0.0.1");
  let all = Buffer.alloc(0);
  socket.on("data", (bytes: Buffer) => {
    all = Buffer.concat([all, bytes]);
  });
  upgrade(socket);
  await until("the upgrade", () => all.includes("\r\n\r\n"));
  const hello = { cmd: "connect", protocolId: "MQTT", clientId, keepalive: 1 } as const;
  socket.write(frame(generate({ ...hello, protocolVersion: 5 })));
  return { socket, received: () => all };
}

/** The frame of a long PUBLISH, in pieces. */
function pieces(): Buffer[] {
  const rest = { qos: 1, messageId: 7, dup: false, retain: false } as const;
  const packet = { cmd: "publish", topic: "t", payload: Buffer.alloc(100_000), ...rest } as const;
  const bytes = frame(generate(packet, { protocolVersion: 5 }));
  const size = Math.ceil(bytes.length / PIECES);
  return Array.from({ length: PIECES }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
}

test("one that takes longer than its Keep Alive ends no connection", async () => {
  const { socket, received } = await connected("slow");
  for (const piece of pieces()) {
    socket.write(piece);
    await elapse(100);
  }
  // In a frame of five bytes; nobody has subscribed, which is 0x10.
  const puback = Buffer.from("82054003000710", "hex");
  await until("PUBACK", () => received().includes(puback));
  expect(socket.closed).toBe(false);
  socket.destroy();
});

test("one that stops in its middle ends its connection with its Keep Alive", async () => {
  const { socket, received } = await connected("stuck");
  for (const piece of pieces().slice(0, 3)) socket.write(piece);
  // DISCONNECT 0x8D, whatever its Reason String.
  await until("DISCONNECT", () => /\xe0.\x8d/s.test(received().toString("latin1")));
  socket.destroy();
});
