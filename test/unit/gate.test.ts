/** What a listener bears of sockets that have not come to MQTT: their number, and their time. */
import {
  type AddressInfo,
  connect as connectSocket,
  createServer,
  type Server,
  type Socket,
} from "node:net";
import { connect as connectSecure } from "node:tls";
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  expect,
  type MockInstance,
  test,
  vi,
} from "vitest";
import {
  GATE_SECONDS_MAX,
  GATE_WAITING_MAX,
  HANDSHAKES_MAX,
  HELLO_BYTES_MAX,
} from "../../src/base/limits.ts";
import { createLog } from "../../src/base/log.ts";
import { configure } from "../../src/config/configuration.ts";
import { NO_FLAGS } from "../../src/config/settings.ts";
import { Gate } from "../../src/transport/gate.ts";
import type { Arrival } from "../../src/transport/listener.ts";
import { TlsGate } from "../../src/transport/tls-gate.ts";
import { until, withDeadline } from "../support/await.ts";
import { Certificates } from "../support/certificates.ts";

/** How long very many handshakes may take on a machine that has other work. */
const SLOW_MS_MAX = 15_000;

const log = createLog({
  destinations: [],
  types: new Set(),
  timestamp: false,
  timestampFormat: "",
  format: "text",
});

let certificates: Certificates;
let gate: Gate;
/** Handshakes that were begun. */
let begun: MockInstance<TlsGate["handshake"]>;
let server: Server;
let arrivals: Arrival[] = [];
let sockets: Socket[] = [];
let hello: Buffer;

/** What a client of TLS says first. */
async function clientHello(): Promise<Buffer> {
  const listening = createServer();
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
  const first = new Promise<Buffer>((resolve) => {
    listening.once("connection", (socket) => {
      socket.once("data", (bytes) => {
        resolve(bytes);
        socket.destroy();
      });
    });
  });
  const client = connectSecure({ port: (listening.address() as AddressInfo).port });
  client.on("error", () => undefined);
  const bytes = await first;
  listening.close();
  return bytes;
}

beforeAll(async () => {
  certificates = new Certificates();
  certificates.sign("server", { subject: "/CN=localhost" });
  hello = await clientHello();
});

afterAll(() => certificates.remove());

beforeEach(async () => {
  arrivals = [];
  sockets = [];
  const lines = [
    "listener 1883",
    `certfile ${certificates.path("server.pem")}`,
    `keyfile ${certificates.path("server.key")}`,
  ];
  const content = `${lines.join("\n")}\n`;
  const [listener] = configure({ name: "gate.conf", content }, NO_FLAGS).settings.listeners;
  if (!listener?.tls) throw new Error("a listener with TLS");
  const tls = new TlsGate(listener.tls, () => undefined);
  begun = vi.spyOn(tls, "handshake");
  gate = new Gate({
    proxyProtocol: 0,
    proxyRequiresTls: false,
    tls,
    isLocal: false,
    log,
    arrived: (arrival) => arrivals.push(arrival),
  });
  server = createServer({ pauseOnConnect: true }, (socket) => gate.take(socket));
  await new Promise<void>((resolve) => server.listen({ port: 0, backlog: 4096 }, resolve));
});

afterEach(() => {
  gate.close();
  server.close();
  for (const { socket } of arrivals) socket.destroy();
  for (const socket of sockets) socket.destroy();
});

/** A peer that says this and no more. */
function peer(bytes?: Buffer): Promise<Socket> {
  const { port } = server.address() as AddressInfo;
  const socket = connectSocket(port, "127.0.0.1");
  sockets.push(socket);
  socket.on("error", () => undefined);
  socket.resume();
  if (bytes !== undefined) socket.write(bytes);
  return new Promise((resolve) => socket.once("connect", () => resolve(socket)));
}

/** @returns a question for its end, which counts from now on */
function closing(socket: Socket): () => Promise<unknown> {
  const end = new Promise((resolve) => socket.once("close", resolve));
  return () => withDeadline(end, "close of the socket");
}

/** A client that goes through. */
function honest(): Promise<Buffer> {
  const { port } = server.address() as AddressInfo;
  const socket = connectSecure({ port, host: "127.0.0.1", rejectUnauthorized: false });
  sockets.push(socket);
  socket.on("error", () => undefined);
  const done = new Promise<Buffer>((resolve) => {
    socket.once("secureConnect", () => resolve(socket.getSession() ?? Buffer.alloc(0)));
  });
  return withDeadline(done, "handshake");
}

test("the one that is silent longest goes when GATE_WAITING_MAX wait", async () => {
  const first = await peer();
  const second = await peer();
  const closed = closing(first);
  for (let i = 2; i < GATE_WAITING_MAX; i++) await peer();
  await until("all wait", () => gate.count === GATE_WAITING_MAX);
  expect(first.destroyed).toBe(false);
  await honest();
  await closed();
  expect(second.destroyed).toBe(false);
  await until("arrival", () => arrivals.length === 1);
});

test("the oldest handshake goes when HANDSHAKES_MAX are under way", async () => {
  const first = await peer(hello);
  await until("the first", () => gate.handshakeCount === 1);
  const closed = closing(first);
  for (let i = 1; i < HANDSHAKES_MAX; i++) await peer(hello);
  await until("all shake hands", () => gate.handshakeCount === HANDSHAKES_MAX, SLOW_MS_MAX);
  expect(first.destroyed).toBe(false);
  await honest();
  await closed();
  await until("arrival", () => arrivals.length === 1);
});

test("who sends more than HELLO_BYTES_MAX before its handshake is refused", async () => {
  const socket = await peer(Buffer.concat([hello, Buffer.alloc(HELLO_BYTES_MAX)]));
  await closing(socket)();
  expect(begun).not.toHaveBeenCalled();
  await honest();
  expect(begun).toHaveBeenCalledOnce();
});

test("who has not come through in GATE_SECONDS_MAX goes, who has stays", async () => {
  const silent = await peer();
  const halfOpen = await peer(hello);
  await honest();
  await until("arrival", () => arrivals.length === 1 && gate.handshakeCount === 1);
  const now = performance.now();
  gate.endLate(now + GATE_SECONDS_MAX * 1000 - 1000);
  expect(gate.count).toBe(2);
  const ends = [closing(silent)(), closing(halfOpen)()];
  gate.endLate(now + GATE_SECONDS_MAX * 1000 + 1000);
  await Promise.all(ends);
  expect(gate.count).toBe(0);
  expect(arrivals[0]?.socket.destroyed).toBe(false);
});

test("a flood of handshakes leaves the loop to others between them", async () => {
  const peers: Socket[] = [];
  while (peers.length < HANDSHAKES_MAX) peers.push(await peer());
  let turns = 0;
  const count = (): void => {
    turns += 1;
    timer = setImmediate(count);
  };
  let timer = setImmediate(count);
  for (const socket of peers) socket.write(hello);
  await until("all shake hands", () => gate.handshakeCount === peers.length, SLOW_MS_MAX);
  clearImmediate(timer);
  // Together they take several turns' share, however fast the machine.
  expect(turns).toBeGreaterThan(2);
});
