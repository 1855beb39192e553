/** A process that may open no more files: connections are refused, and what is open goes on. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { elapse, until } from "../support/await.ts";
import { Certificates } from "../support/certificates.ts";
import { TestClient } from "../support/client.ts";
import { type ListeningBroker, startListening } from "../support/secure-broker.ts";

const READ_PATHS = ["raw", "public"] as const;

let certificates: Certificates;
let running: ListeningBroker | undefined;
const sockets: Socket[] = [];
const readPath = process.env["HOLDFAST_READ_PATH"];

beforeAll(() => {
  certificates = new Certificates();
  certificates.sign("server", { subject: "/CN=localhost" });
});

afterAll(() => certificates.remove());

afterEach(async () => {
  if (readPath === undefined) delete process.env["HOLDFAST_READ_PATH"];
  else process.env["HOLDFAST_READ_PATH"] = readPath;
  for (const socket of sockets.splice(0)) socket.destroy();
  if (running !== undefined) expect(await running.broker.stop()).toBe(0);
  running = undefined;
});

function filesOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

function limit(pid: number, count: number): void {
  const { status } = spawnSync("prlimit", ["--pid", `${pid}`, `--nofile=${count}:`]);
  expect(status).toBe(0);
}

function openMany(port: number, count: number): void {
  for (let i = 0; i < count; i++) {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined);
    sockets.push(socket);
  }
}

async function start(ofPlain: readonly string[], filesMax?: number): Promise<ListeningBroker> {
  const tls = [
    `certfile ${certificates.path("server.pem")}`,
    `keyfile ${certificates.path("server.key")}`,
  ];
  const listeners = {
    global: ["sys_interval 1"],
    plain: ofPlain,
    tls,
    webSocket: ["protocol websockets"],
    secureWebSocket: ["protocol websockets", ...tls],
    nodeWebSocket: ["protocol websockets", ...tls, "tls_alpn mqtt"],
  };
  running = await startListening(listeners, undefined, [], filesMax);
  return running;
}

test.each(READ_PATHS)(
  "%s: a broker that has run out of files lives on, and says so",
  async (path) => {
    if (path === "public") process.env["HOLDFAST_READ_PATH"] = "public";
    const { broker, port, logged } = await start([]);
    const client = await TestClient.connect(broker);
    limit(broker.pid, filesOf(broker.pid) + 3);
    for (const name of ["plain", "tls", "webSocket"]) openMany(port(name), 20);
    await logged(/Error: the system does not tell how much memory is used: EMFILE/);
    // Three more of the intervals in which it is asked.
    for (let i = 0; i < 3; i++) {
      await elapse(1_000);
      await client.ping();
    }
    expect(broker.output().match(/does not tell/g)).toHaveLength(1);
    limit(broker.pid, 1000);
    for (const socket of sockets.splice(0)) socket.destroy();
    await until("a new client is let in", async () => {
      const next = await TestClient.connect(broker).catch(() => null);
      next?.destroy();
      return next !== null;
    });
    client.destroy();
  },
);

test("past what files allow nobody is let in, on any listener, until somebody leaves", async () => {
  const filesMax = 100;
  const { broker, port, logged } = await start(["max_connections 1000"], filesMax);
  await logged(/max_connections of port \d+ is 1000, but at most 50 get in: .* 100 files/);
  const client = await TestClient.connect(broker);
  for (const name of ["plain", "tls", "webSocket", "secureWebSocket", "nodeWebSocket"]) {
    openMany(port(name), filesMax);
    await until("some are closed", () => sockets.some((socket) => socket.closed));
    // With files to spare, and nothing accepted in vain again and again.
    await until(
      `the others wait in peace, ${name}`,
      () => sockets.filter((socket) => !socket.closed).length < filesMax / 2,
    );
    expect(filesOf(broker.pid)).toBeLessThan(filesMax);
    await client.publish(`${name}/kept`, "1", { qos: 1, retain: true });
    for (const socket of sockets.splice(0)) socket.destroy();
    await until("a new client is let in", async () => {
      const next = await TestClient.connect(broker).catch(() => null);
      next?.destroy();
      return next !== null;
    });
  }
  expect(broker.output().match(/no more are let in/g)).toHaveLength(1);
  client.destroy();
});
