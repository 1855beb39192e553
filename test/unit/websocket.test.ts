/**
 * WebSocket listener: handshake, frames in, frames out, the end. MQTT 5.0 §6
 *
 * A real engine and real sockets; of the protocol only what brings bytes through.
 */
import { randomBytes } from "node:crypto";
import { connect as connectSocket, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { CONNECT } from "#assembly/spec";
import { StartError } from "../../src/base/errors.ts";
import { LINGER_MILLISECONDS_MAX } from "../../src/base/limits.ts";
import { createLog } from "../../src/base/log.ts";
import { Engine } from "../../src/engine/engine.ts";
import type { Wire } from "../../src/engine/wire.ts";
import type { NetworkConnection } from "../../src/session/network-connection.ts";
import { Turn } from "../../src/session/turn.ts";
import type { TransportListener } from "../../src/transport/listener.ts";
import { listenWebSocket } from "../../src/transport/websocket.ts";
import { PONG_BYTES_MAX } from "../../src/transport/websocket-wire.ts";
import { until, withDeadline } from "../support/await.ts";
import { concat, rawConnect, rawPacket, text, twoBytes } from "../support/client-bytes.ts";
import { OPCODE, RawWebSocket } from "../support/client-web-socket.ts";
import { LISTENER_RULES, PLAIN_WEBSOCKET } from "../support/listener-rules.ts";

const PACKET_BYTES_MAX = 2_000_000;
const MEBIBYTE = 1024 * 1024;
/** What no loopback socket takes at once. */
const UNREAD_BYTES = 16 * MEBIBYTE;
/** Memory that the engine has not taken yet: where tests put what is to be sent. */
const OUTPUT_AT = 3 * 1024 ** 3;

const log = createLog({
  destinations: [],
  types: new Set(),
  timestamp: false,
  timestampFormat: "",
  format: "text",
});
const { HOLDFAST_ENGINE: chosenBuild } = process.env;
const build = chosenBuild === "debug" ? "debug" : "release";
const engine = new Engine({ build, memoryBytesMax: 0 });
engine.calls.configure(
  PACKET_BYTES_MAX,
  65535,
  1000,
  1000,
  MEBIBYTE,
  UNREAD_BYTES * 2,
  0,
  PACKET_BYTES_MAX,
  1,
  0,
);
const turn = new Turn(engine);

/** Control packets that the engine handed out. */
let packets: Buffer[] = [];
let connections: NetworkConnection[] = [];
let ends: string[] = [];
let mayOpen = true;
let refuses = false;
/** What is done about a control packet other than CONNECT. */
let act: (connection: NetworkConnection) => void;
let listener: TransportListener;

turn.start({
  onStatus(connection, first) {
    let status = first;
    while (status === abi.R_CONTROL) {
      packets.push(
        Buffer.from(engine.bytes.subarray(engine.decoded(abi.D_AT), engine.decoded(abi.D_END))),
      );
      if (engine.decoded(abi.D_TYPE) === CONNECT) {
        engine.calls.acceptConnection(connection.number, 4, 0, 0);
        connection.phase = "open";
      } else {
        act(connection);
        if (connection.phase === "closed") return;
      }
      status = engine.calls.resume(connection.number);
    }
    if (status < 0) turn.closeAfterFlush(connection);
  },
  onClose: (connection) => turn.closeAfterFlush(connection),
  onQueueFull: () => undefined,
  onQueueFills: () => undefined,
  onSource: () => undefined,
  onClosed: () => undefined,
});

const handlers = {
  onOpen(wire: Wire): NetworkConnection | null {
    if (refuses) return null;
    const connection = turn.open(wire, LISTENER_RULES);
    if (connection !== null) connections.push(connection);
    return connection;
  },
  onEnd(connection: NetworkConnection, reason: string): void {
    ends.push(reason);
    turn.drop(connection);
  },
};

function listen(port = 0, address = "127.0.0.1"): Promise<TransportListener> {
  return listenWebSocket({
    ...{ ...PLAIN_WEBSOCKET, engine, turn },
    address,
    port,
    mayOpen: () => mayOpen,
    frameBytesMax: () => PACKET_BYTES_MAX,
    handlers,
    log,
  });
}

let ticker: NodeJS.Timeout;

beforeEach(async () => {
  // Output of more pieces than one turn takes goes on with the next one.
  ticker = setInterval(() => turn.schedule(), 10);
  packets = [];
  connections = [];
  ends = [];
  mayOpen = true;
  refuses = false;
  act = () => undefined;
  listener = await listen();
});

afterEach(async () => {
  listener.close();
  clearInterval(ticker);
  await until("all records are free", () => turn.openCount === 0);
});

/** Opens a WebSocket and says CONNECT on it. */
async function openConnected(): Promise<{ client: RawWebSocket; connection: NetworkConnection }> {
  const client = await RawWebSocket.open(listener.port, "mqtt");
  client.send(OPCODE.binary, rawConnect({ payload: [text("raw")] }));
  await until("CONNECT", () => packets.length > 0);
  return { client, connection: connections[0] as NetworkConnection };
}

/** Sends a request and reads nothing until told to. */
async function request(
  lines: readonly string[],
): Promise<{ socket: Socket; first: string; taken: Buffer[] }> {
  const socket = connectSocket({ port: listener.port, host: "127.0.0.1" });
  socket.on("error", () => undefined);
  socket.write([...lines, "Host: x", "\r\n"].join("\r\n"));
  const taken: Buffer[] = [];
  const first = await withDeadline(
    new Promise<Buffer>((resolve) => socket.once("data", resolve)),
    "answer",
  );
  socket.pause();
  socket.on("data", (chunk) => taken.push(chunk));
  return { socket, first: first.toString(), taken };
}

function upgradeLines(protocols?: string): string[] {
  return [
    "GET / HTTP/1.1",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}`,
    ...(protocols === undefined ? [] : [`Sec-WebSocket-Protocol: ${protocols}`]),
  ];
}

/** Hands the engine bytes to send; they leave at the end of the turn. */
function send(connection: NetworkConnection, bytes: Uint8Array): void {
  engine.bytes.set(bytes, OUTPUT_AT);
  expect(engine.calls.send(connection.number, OUTPUT_AT, bytes.length, 0)).toBe(1);
  turn.schedule();
}

/** Payloads of the whole binary frames in what a server sent. */
function payloadOf(stream: Buffer): Buffer {
  const payloads: Buffer[] = [];
  let at = 0;
  while (at + 2 <= stream.length && stream[at] === (0x80 | OPCODE.binary)) {
    const short = stream[at + 1] as number;
    const header = short === 127 ? 10 : short === 126 ? 4 : 2;
    if (at + header > stream.length) break;
    const long = header === 10 ? Number(stream.readBigUInt64BE(at + 2)) : 0;
    const byteCount = header === 10 ? long : header === 4 ? stream.readUInt16BE(at + 2) : short;
    payloads.push(stream.subarray(at + header, at + header + byteCount));
    at += header + byteCount;
  }
  return Buffer.concat(payloads);
}

describe("handshake", () => {
  test.for([
    ["mqtt", "mqtt"],
    ["other,  mqtt", "mqtt"],
    ["mqttv3.1, mqtt", "mqtt"],
    ["mqttv3.1", "mqttv3.1"],
  ] as const)("of %s it takes %s [MQTT-6.0.0-3] [MQTT-6.0.0-4]", async ([offered, chosen]) => {
    const client = await RawWebSocket.open(listener.port, offered);
    expect(client.responseHeaders.get("sec-websocket-protocol")).toBe(chosen);
    expect(connections[0]?.wire.remote).toBe("127.0.0.1");
    client.destroy();
  });

  test.for([
    ["no subprotocol", upgradeLines(), "400 Bad Request", "must offer"],
    ["other subprotocols", upgradeLines("mqtt5, MQTT"), "400 Bad Request", "must offer"],
    ["a plain request", ["GET /mqtt HTTP/1.1"], "426 Upgrade Required", "speaks MQTT"],
    ["another method", ["DELETE / HTTP/1.1"], "426 Upgrade Required", "speaks MQTT"],
  ] as const)("%s is refused with a sentence", async ([, lines, status, sentence]) => {
    const { socket, first } = await request(lines);
    expect(first).toMatch(new RegExp(`^HTTP/1.1 ${status}\r\n`));
    expect(first.split("\r\n\r\n")[1]).toContain(sentence);
    const ended = new Promise((resolve) => socket.once("end", resolve));
    socket.resume();
    await withDeadline(ended, "end of the refused connection");
    expect(connections).toEqual([]);
  });

  test("past the listener's limit of connections", async () => {
    mayOpen = false;
    const { first } = await request(upgradeLines("mqtt"));
    expect(first).toContain("503 Service Unavailable");
    expect(connections).toEqual([]);
  });

  test("without a free record it closes again", async () => {
    refuses = true;
    const client = await RawWebSocket.open(listener.port, "mqtt");
    const { opcode, payload } = await client.nextFrame();
    expect([opcode, payload.readUInt16BE()]).toEqual([OPCODE.close, 1013]);
    await client.closed();
    expect(ends).toEqual([]);
  });
});

describe("frames from the client", () => {
  const subscribe = (filterBytes: number): Buffer =>
    rawPacket(0x82, twoBytes(7), ...filtersOf(filterBytes));

  /** Topic Filters of 1000 bytes each, that differ. */
  function filtersOf(byteCount: number): Buffer[] {
    return Array.from({ length: Math.ceil(byteCount / 1000) }, (_, index) =>
      concat(text(`${index}/`.padEnd(1000, "f")), 0),
    );
  }

  test("a packet may span frames, byte by byte [MQTT-6.0.0-2]", async () => {
    const client = await RawWebSocket.open(listener.port, "mqtt");
    const stream = concat(rawConnect({ payload: [text("spans")] }), subscribe(1000));
    for (const byte of stream) client.send(OPCODE.binary, Buffer.of(byte));
    await until("both packets", () => packets.length === 2);
    expect(Buffer.concat(packets)).toEqual(stream);
    client.destroy();
  });

  test("many packets may share a frame [MQTT-6.0.0-2]", async () => {
    const client = await RawWebSocket.open(listener.port, "mqtt");
    const many = Array.from({ length: 50 }, () => subscribe(1000));
    client.send(OPCODE.binary, concat(rawConnect({ payload: [text("shares")] }), ...many));
    await until("all packets", () => packets.length === 51);
    expect(Buffer.concat(packets.slice(1))).toEqual(Buffer.concat(many));
    client.destroy();
  });

  test.for([MEBIBYTE, 10_000])("a packet of 1 MiB in messages of %i", async (size) => {
    const webSocket = new WebSocket(`ws://127.0.0.1:${listener.port}/any/path?at=all`, "mqtt");
    await new Promise((resolve) => webSocket.addEventListener("open", resolve));
    const packet = subscribe(MEBIBYTE - 10_000);
    const stream = concat(rawConnect({ payload: [text("large")] }), packet);
    for (let at = 0; at < stream.length; at += size) {
      webSocket.send(Uint8Array.from(stream.subarray(at, at + size)));
    }
    await until("both packets", () => packets.length === 2);
    expect(packets[1]?.equals(packet)).toBe(true);
    webSocket.close();
    await until("its end", () => ends.length === 1);
  });

  test("an empty frame is nothing", async () => {
    const { client } = await openConnected();
    client.send(OPCODE.binary, Buffer.alloc(0));
    client.send(OPCODE.binary, rawPacket(0xc0));
    expect((await client.nextFrame()).payload).toEqual(Buffer.from("d000", "hex"));
    client.destroy();
  });

  test("a text frame ends the connection [MQTT-6.0.0-1]", async () => {
    const { client } = await openConnected();
    client.send(OPCODE.text, Buffer.from("hello"));
    const { opcode, payload } = await client.nextFrame();
    expect([opcode, payload.readUInt16BE()]).toEqual([OPCODE.close, 1003]);
    await client.closed();
    expect(ends).toEqual(["text frame"]);
  });

  test("a message past the limit ends the connection", async () => {
    const webSocket = new WebSocket(`ws://127.0.0.1:${listener.port}/`, "mqtt");
    await new Promise((resolve) => webSocket.addEventListener("open", resolve));
    webSocket.send(new Uint8Array(PACKET_BYTES_MAX + 1));
    await until("its end", () => ends.length === 1);
    expect(ends[0]).toMatch(/too big/);
  });

  test.for(["end", "destroy"] as const)(
    "%s in the middle of a message: the rest of it is dropped",
    async (method) => {
      const { client } = await openConnected();
      act = (connection) => {
        connection.wire[method]();
        turn.drop(connection);
      };
      // The second packet lies in another slice of READ.
      client.send(OPCODE.binary, concat(subscribe(40_000), subscribe(24_000), subscribe(1000)));
      await client.closed();
      expect(packets).toHaveLength(2);
      expect(ends).toEqual([]);
      expect(connections[0]?.wire.write([OUTPUT_AT, 1])).toBe(true);
    },
  );
});

describe("frames to the client", () => {
  test("several pieces arrive in order", async () => {
    const { client, connection } = await openConnected();
    const bytes = randomBytes(300_000);
    send(connection, bytes);
    const received: Buffer[] = [];
    while (Buffer.concat(received).length < bytes.length) {
      const frame = await client.nextFrame();
      expect(frame.opcode).toBe(OPCODE.binary);
      received.push(Buffer.from(frame.payload));
    }
    expect(received.length).toBeGreaterThan(1);
    expect(Buffer.concat(received).equals(bytes)).toBe(true);
    client.destroy();
  });

  /** A client that does not read, with more to take than its socket holds. */
  async function openStalled() {
    const opened = await request(upgradeLines("mqtt"));
    const connection = connections[0] as NetworkConnection;
    engine.calls.acceptConnection(connection.number, 4, 0, 0);
    connection.phase = "open";
    const bytes = randomBytes(UNREAD_BYTES);
    send(connection, bytes);
    await until("a pending write", () => connection.isWriting);
    return { ...opened, connection, bytes };
  }

  test("what a slow client does not take waits, and goes on when it reads", async () => {
    const { socket, taken, connection, bytes } = await openStalled();
    const record = abi.CONNECTIONS + connection.number * abi.CONNECTION_BYTES;
    expect(engine.word(record + abi.C_OUT_HEAD)).not.toBe(0);
    socket.resume();
    const takenBytes = () => taken.reduce((sum, chunk) => sum + chunk.length, 0);
    try {
      await until("all of it", () => takenBytes() >= bytes.length && !connection.isWriting);
    } catch (e) {
      console.log(
        takenBytes(),
        bytes.length,
        connection.isWriting,
        connection.phase,
        ends,
        packets.length,
        engine.word(record + abi.C_OUT_HEAD),
      );
      throw e;
    }
    expect(payloadOf(Buffer.concat(taken)).equals(bytes)).toBe(true);
    socket.destroy();
  });

  test("a client that goes with a write pending leaves nothing behind", async () => {
    const { socket, connection } = await openStalled();
    socket.resetAndDestroy();
    await until("its end", () => ends.length === 1);
    expect(ends).toEqual(["connection lost"]);
    expect([connection.phase, connection.isWriting]).toEqual(["closed", false]);
    await until("its record is free", () => turn.openCount === 0);
  });

  test("end waits for what is unsent", async () => {
    const { socket, taken, connection } = await openStalled();
    connection.wire.end();
    turn.drop(connection);
    const closed = new Promise((resolve) => socket.once("end", resolve));
    socket.resume();
    await withDeadline(closed, "close");
    expect(Buffer.concat(taken).subarray(-4)).toEqual(Buffer.from("880203e8", "hex"));
    expect(ends).toEqual([]);
  });

  test("end does not wait for ever", async () => {
    const { socket, connection } = await openStalled();
    const start = performance.now();
    connection.wire.end();
    turn.drop(connection);
    await until("its record is free", () => turn.openCount === 0);
    expect(performance.now() - start).toBeGreaterThan(LINGER_MILLISECONDS_MAX - 50);
    socket.destroy();
  });

  test("pings of a client that does not read end its connection", async () => {
    const { socket, connection } = await openStalled();
    const ping = Buffer.concat([Buffer.from("89fd00000000", "hex"), Buffer.alloc(125)]);
    // The kernel may still take some: more, until it is enough.
    const pings = Buffer.concat(Array.from({ length: PONG_BYTES_MAX / 128 }, () => ping));
    await until("its end", () => {
      socket.write(pings);
      return ends.length === 1;
    });
    expect(ends).toEqual(["pings without reading"]);
    expect(connection.phase).toBe("closed");
  });
});

describe("the end", () => {
  test("the client closes", async () => {
    const { client } = await openConnected();
    client.send(OPCODE.close, Buffer.from("03e8", "hex"));
    await client.closed();
    expect(ends).toEqual(["closed"]);
  });

  test("the client is cut off", async () => {
    const { client } = await openConnected();
    client.destroy();
    await until("its end", () => ends.length === 1);
    expect(ends).toEqual(["connection lost"]);
  });

  test("the broker ends it in order: 1000, and no news", async () => {
    const { connection, client } = await openConnected();
    send(connection, Buffer.from("last"));
    turn.closeAfterFlush(connection);
    expect((await client.nextFrame()).payload.toString()).toBe("last");
    expect((await client.nextFrame()).payload.readUInt16BE()).toBe(1000);
    await client.closed();
    connection.wire.end();
    connection.wire.destroy();
    expect(ends).toEqual([]);
  });

  test("a client that never closes is cut off", async () => {
    const { socket } = await request(upgradeLines("mqtt"));
    socket.resume();
    socket.allowHalfOpen = true;
    const [connection] = connections as [NetworkConnection];
    turn.closeAfterFlush(connection);
    await withDeadline(new Promise((resolve) => socket.once("end", resolve)), "FIN");
    // Writing tells: as soon as the other side is gone it is answered by a reset.
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    const writing = setInterval(() => socket.write("x"), 100);
    await withDeadline(closed, "reset", () => "", 10_000).finally(() => clearInterval(writing));
  });
});

describe("the listener", () => {
  test("a port in use is named", async () => {
    const failure = listen(listener.port);
    await expect(failure).rejects.toBeInstanceOf(StartError);
    await expect(failure).rejects.toThrow(`127.0.0.1:${listener.port} is in use`);
  });

  test("an address that is not ours is named", async () => {
    await expect(listen(0, "192.0.2.1")).rejects.toThrow(/^192\.0\.2\.1:0 cannot be used: /);
  });

  test("a name that is unknown is named", async () => {
    const failure = listen(0, "nowhere.invalid");
    await expect(failure).rejects.toBeInstanceOf(StartError);
    await expect(failure).rejects.toThrow(/^listener 0 nowhere\.invalid cannot be used: /);
  });

  test("no address is all addresses", async () => {
    const everywhere = await listen(0, "");
    const client = await RawWebSocket.open(everywhere.port, "mqtt");
    expect(connections[0]?.wire.remote).toBe("127.0.0.1");
    everywhere.close();
    await client.closed();
  });

  test("stop takes no more and keeps what is open, close ends that", async () => {
    const { client } = await openConnected();
    listener.stop();
    await expect(RawWebSocket.open(listener.port, "mqtt")).rejects.toThrow();
    client.send(OPCODE.binary, rawPacket(0xc0));
    await client.nextFrame();
    expect(ends).toEqual([]);
    listener.close();
    await client.closed();
    expect(ends).toEqual(["connection lost"]);
  });
});
