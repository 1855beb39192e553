/** The load generator: its codecs, its arithmetic, and a real broker that loses nothing. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { generate, type Packet, parser } from "mqtt-packet";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { randomNumbers } from "../../bench/functions/workload.ts";
import { median } from "../../bench/load/compare.ts";
import { Connection, createReadRegion } from "../../bench/load/connection.ts";
import { FlowWindow } from "../../bench/load/flow.ts";
import {
  applyMask,
  encodeFrame,
  OPCODE_BINARY,
  readFrameHead,
  rotateKey,
  upgradeFault,
} from "../../bench/load/frame.ts";
import { LatencyRecorder } from "../../bench/load/latency.ts";
import {
  connackReceiveMaximum,
  connectPacket,
  packetBody,
  packetEnd,
  publishTemplate,
  subscribePacket,
} from "../../bench/load/packet.ts";
import { topicName } from "../../bench/load/payload.ts";
import { PublishBuffer } from "../../bench/load/publish-buffer.ts";
import { isGeneratorLimited } from "../../bench/load/result.ts";
import { SequenceCheck } from "../../bench/load/sequence-check.ts";

const KEY = 0x9a3c5e71;
const RUN = 1234567;

function parsed(bytes: Uint8Array, protocolVersion: number): Packet[] {
  const packets: Packet[] = [];
  const decoder = parser({ protocolVersion });
  decoder.on("packet", (packet) => packets.push(packet));
  decoder.on("error", (error: Error) => {
    throw error;
  });
  decoder.parse(Buffer.from(bytes));
  return packets;
}

/** Takes the frames of a client apart. */
function unframed(bytes: Uint8Array): Uint8Array[] {
  const payloads: Uint8Array[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; ) {
    expect(view.getUint8(at)).toBe(0x82);
    let length = view.getUint8(at + 1) & 0x7f;
    expect(view.getUint8(at + 1) & 0x80).toBe(0x80);
    at += 2;
    if (length === 126) {
      length = view.getUint16(at);
      at += 2;
    } else if (length === 127) {
      length = view.getUint32(at + 4);
      at += 8;
    }
    const payload = bytes.slice(at + 4, at + 4 + length);
    applyMask(payload, 0, length, view.getUint32(at));
    payloads.push(payload);
    at += 4 + length;
  }
  return payloads;
}

describe("WebSocket frames", () => {
  test.each([0, 1, 125, 126, 65535, 65536])("a frame of %i bytes is masked and whole", (size) => {
    const payload = Uint8Array.from({ length: size }, (_, index) => index * 7);
    const frame = encodeFrame(payload, OPCODE_BINARY, KEY);
    if (size > 4) expect(frame.subarray(-size)).not.toEqual(payload);
    expect(unframed(frame)).toEqual([payload]);
  });

  test("the mask of RFC 6455 §5.7 turns Hello into the bytes printed there", () => {
    const frame = encodeFrame(Buffer.from("Hello"), 1, 0x37fa213d);
    expect(Buffer.from(frame).toString("hex")).toBe("818537fa213d7f9f4d5158");
  });

  test("a rotated key is the key as it meets a later byte", () => {
    expect([0, 1, 2, 3, 4].map((phase) => rotateKey(0x01020304, phase))).toEqual([
      0x01020304, 0x02030401, 0x03040102, 0x04010203, 0x01020304,
    ]);
  });

  test("a server's frame head is read whole, cut short and refused", () => {
    const head = { opcode: 0, headBytes: 0, payloadBytes: 0 };
    const long = new DataView(Uint8Array.of(0x82, 127, 0, 0, 0, 0, 0, 1, 0, 2).buffer);
    expect(readFrameHead(long, 0, 10, head)).toBe(1);
    expect(head).toEqual({ opcode: 2, headBytes: 10, payloadBytes: 65538 });
    expect(readFrameHead(long, 0, 9, head)).toBe(0);
    const masked = new DataView(Uint8Array.of(0x82, 0x80).buffer);
    expect(readFrameHead(masked, 0, 2, head)).toBe(-1);
  });

  test("the answer to the upgrade is judged by the key of RFC 6455 §1.3", () => {
    const fields = [
      "HTTP/1.1 101 Switching Protocols",
      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
      "Sec-WebSocket-Protocol: mqtt",
    ];
    const nonce = "dGhlIHNhbXBsZSBub25jZQ==";
    expect(upgradeFault(fields.join("\r\n"), nonce)).toBe("");
    expect(upgradeFault(fields.slice(0, 2).join("\r\n"), nonce)).toMatch(/subprotocol/);
    expect(upgradeFault("HTTP/1.1 404 Not Found", nonce)).toMatch(/404/);
  });
});

describe("packets", () => {
  test.each([4, 5] as const)(
    "CONNECT and SUBSCRIBE of level %i are what a parser reads",
    (level) => {
      const [opening] = parsed(connectPacket(level, "bench1", 30), level);
      expect(opening).toMatchObject({ cmd: "connect", clientId: "bench1", keepalive: 30 });
      const [subscription] = parsed(subscribePacket(level, "a/#", 2), level);
      expect(subscription).toMatchObject({
        cmd: "subscribe",
        subscriptions: [{ topic: "a/#", qos: 2 }],
      });
    },
  );

  test.each([
    [4, 0, "tcp", 16],
    [5, 1, "tcp", 200],
    [4, 0, "ws-batch", 33],
    [5, 2, "ws-batch", 70000],
    [4, 1, "ws-single", 18],
    [5, 2, "ws-single", 131],
  ] as const)("level %i, QoS %i, %s, %i bytes: patched packets are read back", (...row) => {
    const [level, qos, transport, size] = row;
    const key = transport === "tcp" ? 0 : KEY;
    const template = publishTemplate(level, qos, topicName(RUN, 37), size);
    const buffer = new PublishBuffer(template, RUN, 37, transport, key, 3.5 * (size + 64));
    const count = Math.min(3, buffer.slotCount);
    expect(count).toBe(3);
    for (let slot = 0; slot < count; slot++) buffer.patch(slot, 900 + slot, 4e9 + slot, 515 + slot);
    const bytes = buffer.packets(count);
    const pieces = transport === "tcp" ? [bytes] : unframed(bytes);
    expect(pieces).toHaveLength(transport === "ws-single" ? 3 : 1);
    const packets = parsed(Buffer.concat(pieces), level);
    expect(packets).toHaveLength(3);
    for (const [slot, packet] of packets.entries()) {
      if (packet.cmd !== "publish") throw new Error(packet.cmd);
      expect(packet).toMatchObject({ topic: "bench/0qglj/0011", qos });
      if (qos > 0) expect(packet.messageId).toBe(515 + slot);
      const payload = Buffer.from(packet.payload);
      expect(payload).toHaveLength(size);
      const fields = [0, 4, 8, 12].map((offset) => payload.readUInt32LE(offset));
      expect(fields).toEqual([RUN, 37, 900 + slot, 4e9 + slot]);
    }
  });

  test("packetEnd finds whole packets only", () => {
    const { bytes } = publishTemplate(4, 0, "a", 300);
    expect(packetEnd(bytes, 0, bytes.length)).toBe(bytes.length);
    for (let end = 0; end < bytes.length; end++) expect(packetEnd(bytes, 0, end)).toBe(0);
    expect(packetBody(bytes, 0)).toBe(3);
    expect(packetEnd(Uint8Array.of(0x30, 0xff, 0xff, 0xff, 0xff, 1), 0, 6)).toBe(-1);
  });

  test("Receive Maximum is found behind other properties of a CONNACK", () => {
    const properties = {
      sessionExpiryInterval: 5,
      assignedClientIdentifier: "abc",
      userProperties: { a: "b" },
      receiveMaximum: 20,
    };
    const packet: Packet = { cmd: "connack", sessionPresent: false, reasonCode: 0, properties };
    const bytes = generate(packet, { protocolVersion: 5 });
    expect(connackReceiveMaximum(bytes, packetBody(bytes, 0), bytes.length)).toBe(20);
    const bare = Uint8Array.of(0x20, 3, 0, 0, 0);
    expect(connackReceiveMaximum(bare, 2, 5)).toBe(65535);
  });
});

/** A server that upgrades and then sends packets in frames and chunks of its choosing. */
function frameServer(packets: Uint8Array, nextSize: () => number): Promise<Server> {
  const server = createServer((socket) => {
    socket.once("data", async (request) => {
      const nonce = /Sec-WebSocket-Key: (.*)\r\n/.exec(request.toString("latin1"))?.[1] ?? "";
      const suffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
      const accept = createHash("sha1").update(`${nonce}${suffix}`).digest("base64");
      const pieces: Uint8Array[] = [
        Buffer.from(
          "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: mqtt\r\n" +
            `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
        ),
      ];
      for (let at = 0; at < packets.length; ) {
        const payload = packets.subarray(at, at + nextSize());
        at += payload.length;
        const last = at === packets.length || nextSize() % 3 > 0;
        const head =
          payload.length < 126
            ? [payload.length]
            : [126, payload.length >> 8, payload.length & 255];
        pieces.push(Uint8Array.of(last ? 0x82 : 0x02, ...head), payload);
        if (!last) pieces.push(Uint8Array.of(0x80, 0));
        if (nextSize() % 5 === 0) pieces.push(Uint8Array.of(0x89, 3, 1, 2, 3));
      }
      const stream = Buffer.concat(pieces);
      socket.setNoDelay(true);
      for (let at = 0; at < stream.length; ) {
        const chunk = stream.subarray(at, at + nextSize());
        at += chunk.length;
        socket.write(chunk);
        await new Promise(setImmediate);
      }
    });
    socket.on("error", () => {});
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve(server));
  });
}

test.each([7, 300, 5000])(
  "packets survive frames and chunks cut anywhere (up to %i)",
  async (most) => {
    const next = randomNumbers(most);
    const nextSize = () => 1 + (next() % most);
    const sizes = Array.from({ length: 200 }, (_, index) =>
      index % 20 === 0 ? 3000 : next() % 90,
    );
    const sent = sizes.map((size) => publishTemplate(4, 0, "a/b", size).bytes);
    const server = await frameServer(Buffer.concat(sent), nextSize);
    const address = server.address() as AddressInfo;
    const region = createReadRegion(8000);
    const received: Uint8Array[] = [];
    await new Promise<void>((resolve, reject) => {
      const connection = new Connection(
        region,
        {
          host: "127.0.0.1",
          port: address.port,
          localAddress: undefined,
          transport: "ws-batch",
          tls: false,
          path: "/mqtt",
          lost: reject,
        },
        () => {},
      );
      connection.sink = {
        take(start, end) {
          let at = start;
          for (let stop = packetEnd(region.bytes, at, end); stop > 0; ) {
            received.push(region.bytes.slice(at, stop));
            at = stop;
            stop = packetEnd(region.bytes, at, end);
          }
          if (received.length === sent.length) {
            connection.end(Uint8Array.of(0xe0, 0));
            resolve();
          }
          return at;
        },
        writable: () => {},
      };
    });
    server.close();
    expect(received).toEqual(sent);
  },
);

describe("arithmetic", () => {
  test("latencies keep three digits, equal neighbours count each", () => {
    const latency = new LatencyRecorder();
    for (let micros = 1; micros <= 10_000; micros++) {
      for (let copy = 0; copy < 3; copy++) latency.record(micros);
    }
    const { count, p50, p90, p99, p999, max } = latency.summary();
    expect(count).toBe(30_000);
    for (const [found, exact] of [
      [p50, 5000],
      [p90, 9000],
      [p99, 9900],
      [p999, 9990],
      [max, 10_000],
    ] as const) {
      expect(Math.abs(found - exact) / exact).toBeLessThan(0.001);
    }
    latency.reset();
    expect(latency.summary()).toMatchObject({ count: 0, max: 0 });
  });

  test("lost, late and repeated messages are told apart", () => {
    const check = new SequenceCheck(2);
    check.next[1] = 5;
    expect(check.takeUnexpected(1, 9)).toBe(true);
    expect([check.lost, check.next[1]]).toEqual([4, 10]);
    expect(check.takeUnexpected(1, 6)).toBe(true);
    expect(check.takeUnexpected(1, 6)).toBe(false);
    expect(check.takeUnexpected(1, 3)).toBe(false);
    expect([check.lost, check.misordered, check.duplicated]).toEqual([3, 1, 2]);
  });

  test("a publisher gets room when the slowest subscriber moved on", () => {
    const flow = new FlowWindow(80, 2);
    expect(flow.room(80)).toBe(0);
    expect(flow.passed(0, 35)).toBe(false);
    expect(flow.passed(0, 9)).toBe(false);
    expect(flow.passed(9, 21)).toBe(true);
    expect(flow.room(80)).toBe(20);
    expect(new FlowWindow(0, 1).room(1e9)).toBeGreaterThan(1e9);
  });

  test("the generator is the limit when busy and busier than the broker", () => {
    expect(isGeneratorLimited(1, 0.95, 0.6)).toBe(true);
    expect(isGeneratorLimited(1, 0.95, 0.99)).toBe(false);
    expect(isGeneratorLimited(1, 0.5, 0.1)).toBe(false);
    expect([median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([2, 2.5]);
  });
});

const MAIN = fileURLToPath(new URL("../../bench/load/main.ts", import.meta.url));

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => socket.end(() => resolve(true)));
    socket.on("error", () => resolve(false));
  });
}

describe("against mosquitto", () => {
  const directory = mkdtempSync(join(tmpdir(), "bench-test-"));
  let broker: ChildProcess | undefined;
  let port = 0;

  beforeAll(async () => {
    if (spawnSync("mosquitto", ["-h"]).error !== undefined) {
      throw new Error("mosquitto is not on PATH: install Debian's package mosquitto for this test");
    }
    port = await freePort();
    const file = join(directory, "mosquitto.conf");
    const lines = [
      `listener ${port} 127.0.0.1`,
      "allow_anonymous true",
      "persistence false",
      "max_queued_messages 0",
      "max_inflight_messages 0",
      "log_type error",
    ];
    writeFileSync(file, `${lines.join("\n")}\n`);
    broker = spawn("mosquitto", ["-c", file], { stdio: "ignore" });
    await vi.waitUntil(() => answers(port), { timeout: 10_000 });
  });

  afterAll(() => {
    broker?.kill();
    rmSync(directory, { recursive: true, force: true });
  });

  function load(...args: string[]) {
    return spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8" });
  }

  test.each([
    ["0", "3.1.1"],
    ["1", "5.0"],
    ["2", "3.1.1"],
  ])("pairs at QoS %s over TCP lose nothing (MQTT %s)", (qos, protocol) => {
    const run = load(
      ..."pairs --clients 5 --messages 3000 --seconds 10 --warmup 0.2 --port".split(" "),
      String(port),
      ...["--qos", qos, "--protocol", protocol, "--pid", String(broker?.pid)],
    );
    expect(run.stderr).toBe("");
    expect(run.status).toBe(0);
    expect(run.stdout).toMatch(/^messages +3,000 in /m);
    expect(run.stdout).toMatch(/^lost.* 0 \/ 0 \/ 0 \/ 0$/m);
    expect(run.stdout).toMatch(/^broker CPU per message +\d+\.\d+ µs$/m);
  });

  test("a broker that is not there is its fault, a strange host is ours", async () => {
    const closed = String(await freePort());
    expect(load("pairs", "--port", closed).status).toBe(2);
    expect(load("pairs", "--host", "192.0.2.1").status).toBe(1);
    expect(load("pairs", "--qos", "3").status).toBe(1);
  });
});
