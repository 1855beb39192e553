/** How connections on TLS end: in order, with a close_notify; by a reset, without a trace. */
import { type AddressInfo, connect as connectSocket, createServer } from "node:net";
import { connect as connectSecure, type TLSSocket } from "node:tls";
import { generate } from "mqtt-packet";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ANSWER_MS_MAX, elapse, until, withDeadline } from "../support/await.ts";
import { Certificates } from "../support/certificates.ts";
import { type ListeningBroker, startListening } from "../support/secure-broker.ts";

/** Content types of TLS records. */
const ALERT = 21;
const READERS = 20;

let certificates: Certificates;
let running: ListeningBroker;

const readPath = process.env["HOLDFAST_READ_PATH"];

beforeAll(() => {
  certificates = new Certificates();
  certificates.sign("server", { subject: "/CN=localhost" });
});

afterAll(() => certificates.remove());

async function start(path: string): Promise<void> {
  if (path === "public") process.env["HOLDFAST_READ_PATH"] = "public";
  running = await startListening({
    // What is kept of its output is to have all answers to SIGUSR2.
    global: ["log_type information"],
    tls: [
      `certfile ${certificates.path("server.pem")}`,
      `keyfile ${certificates.path("server.key")}`,
    ],
  });
}

async function stop(): Promise<void> {
  if (readPath === undefined) delete process.env["HOLDFAST_READ_PATH"];
  else process.env["HOLDFAST_READ_PATH"] = readPath;
  await running?.broker.stop();
}

function connectPacket(clientId: string, protocolVersion: 4 | 5): Buffer {
  return generate({ cmd: "connect", protocolId: "MQTT", protocolVersion, clientId, keepalive: 60 });
}

/** Content types of the records in a stream, in order. */
function recordsOf(bytes: Buffer): number[] {
  const types: number[] = [];
  for (let at = 0; at + 5 <= bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) {
    types.push(bytes[at] ?? 0);
  }
  return types;
}

/**
 * Sends bytes after a handshake, through a forwarder that looks at what comes back.
 *
 * @returns records from the broker until its end; of TLS 1.2, which does not hide their types
 */
async function recordsAfter(bytes: Buffer): Promise<number[]> {
  const chunks: Buffer[] = [];
  const forwarder = createServer((near) => {
    const far = connectSocket(running.port("tls"), "127.0.0.1");
    far.on("data", (chunk: Buffer) => chunks.push(chunk));
    for (const socket of [near, far]) socket.on("error", () => undefined);
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => forwarder.listen(0, "127.0.0.1", resolve));
  const { port } = forwarder.address() as AddressInfo;
  const socket = connectSecure({
    port,
    host: "127.0.0.1",
    rejectUnauthorized: false,
    maxVersion: "TLSv1.2",
  });
  socket.on("secureConnect", () => socket.write(bytes));
  socket.on("error", () => undefined);
  socket.resume();
  await withDeadline(new Promise((resolve) => socket.once("close", resolve)), "close");
  forwarder.close();
  return recordsOf(Buffer.concat(chunks));
}

/** A handshake. */
async function openSecure(): Promise<{ socket: TLSSocket; reset: () => void }> {
  const raw = connectSocket(running.port("tls"), "127.0.0.1");
  const socket = connectSecure({ socket: raw, rejectUnauthorized: false });
  for (const one of [raw, socket]) one.on("error", () => undefined);
  await withDeadline(new Promise((resolve) => socket.once("secureConnect", resolve)), "handshake");
  return { socket, reset: () => raw.resetAndDestroy() };
}

/** How many connections the broker says there are, a moment later. */
async function connectionCount(): Promise<number> {
  await elapse(100);
  const { broker } = running;
  const said = () => broker.output().match(/SIGUSR2: \d+(?= connections)/g) ?? [];
  const before = said().length;
  process.kill(broker.pid, "SIGUSR2");
  await until("an answer to SIGUSR2", () => said().length > before);
  return Number(said().at(-1)?.split(" ")[1]);
}

describe.each(["raw", "public"])("by the %s path", (path) => {
  beforeAll(() => start(path));
  afterAll(stop);

  test.each([
    ["a CONNECT that is refused", Buffer.from("100e00044d5154540902003c0000000161", "hex")],
    ["a malformed packet", Buffer.concat([connectPacket("bad", 5), Buffer.from("f100", "hex")])],
  ])("the last packet is followed by a close_notify, after %s", async (_what, bytes) => {
    for (let i = 0; i < 5; i++) expect((await recordsAfter(bytes)).at(-1)).toBe(ALERT);
  });

  test("who resets while output is under way leaves no connection behind", async () => {
    const subscribe = generate({
      cmd: "subscribe",
      messageId: 1,
      subscriptions: [{ topic: "all", qos: 0 }],
    });
    const publish = generate({
      ...{ cmd: "publish", topic: "all", payload: "0123456789", qos: 0, dup: false, retain: false },
    });
    const burst = Buffer.concat(Array.from({ length: 3000 }, () => publish));
    // So that the burst takes several turns.
    const readers = Array.from({ length: READERS }, (_, i) => {
      const reader = connectSocket(running.broker.port, "127.0.0.1");
      reader.write(Buffer.concat([connectPacket(`reader-${i}`, 4), subscribe]));
      return reader.resume();
    });
    await until("the readers are there", async () => (await connectionCount()) === READERS);
    for (let i = 0; i < 50; i++) {
      const { socket, reset } = await openSecure();
      socket.pause();
      socket.write(Buffer.concat([connectPacket(`reset-${i}`, 4), subscribe, burst]));
      await elapse(3);
      reset();
      await elapse(15);
    }
    const isAlone = async () => (await connectionCount()) === READERS;
    await until("only the readers are left", isAlone, ANSWER_MS_MAX);
    for (const reader of readers) reader.destroy();
  }, 60_000);
});
