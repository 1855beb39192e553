/**
 * WebSocket on TLS and what WebSocket listeners let in: by uWebSockets.js where a listener asks for
 * a certificate only, by Node's own HTTP server where it asks for more. MQTT 5.0 §6
 */
import { randomBytes } from "node:crypto";
import { type IncomingMessage, request } from "node:http";
import { request as requestSecure } from "node:https";
import { connect as connectSocket, type Socket } from "node:net";
import { connect as connectSecure, type TLSSocket } from "node:tls";
import { connect as connectMqtt, type MqttClient } from "mqtt";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { GATE_WAITING_MAX } from "../../src/base/limits.ts";
import { until, withDeadline } from "../support/await.ts";
import { Certificates } from "../support/certificates.ts";
import { TestClient } from "../support/client.ts";
import { type ListeningBroker, startListening } from "../support/secure-broker.ts";
import { overWebSocket } from "../support/secure-transport.ts";

let certificates: Certificates;
let running: ListeningBroker;
let ca: string;

/** The names of listeners: who serves each, and whether it asks for a certificate. */
const SERVED = [
  ["library", {}],
  ["node", {}],
  ["asks", { asks: true }],
] as const;

function keys(name: string) {
  return { cert: certificates.read(`${name}.pem`), key: certificates.read(`${name}.key`) };
}

function clientOptions(listener: string) {
  return { ca, servername: "localhost", ...(listener === "asks" ? keys("device") : {}) };
}

function connect(listener: string): Promise<TestClient> {
  const url = `wss://127.0.0.1:${running.port(listener)}/some/path`;
  const transport = overWebSocket(url, clientOptions(listener));
  return TestClient.connect(running.broker, { transport });
}

/** The answer to an upgrade that is no upgrade, or to a plain request. */
function answer(url: string, headers: Record<string, string>): Promise<IncomingMessage> {
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    const onResponse = (response: IncomingMessage): void => {
      response.resume();
      resolve(response);
    };
    const asked = url.startsWith("https")
      ? requestSecure(url, { headers, ca, servername: "localhost" }, onResponse)
      : request(url, { headers }, onResponse);
    asked.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve(response);
    });
    asked.on("error", reject);
    asked.end();
  });
  return withDeadline(answered, `answer of ${url}`);
}

const UPGRADE: Record<string, string> = {
  Connection: "Upgrade",
  Upgrade: "websocket",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
  "Sec-WebSocket-Protocol": "mqtt",
};

beforeAll(async () => {
  certificates = new Certificates();
  certificates.sign("server", { subject: "/CN=localhost" });
  certificates.sign("device", { subject: "/CN=device" });
  certificates.sign("revoked", { subject: "/CN=revoked" });
  certificates.revoke("revoked");
  ca = certificates.read("ca.pem");
  const webSocket = ["protocol websockets"];
  const own = [
    ...webSocket,
    `certfile ${certificates.path("server.pem")}`,
    `keyfile ${certificates.path("server.key")}`,
  ];
  const asks = [
    ...own,
    `cafile ${certificates.path("ca.pem")}`,
    `crlfile ${certificates.path("ca.crl")}`,
    "require_certificate true",
  ];
  const origins = [
    "websockets_origin https://good.example",
    "websockets_origin http://also.example",
  ];
  running = await startListening({
    global: ["websockets_headers_size 1024", "max_packet_size 2000000"],
    library: own,
    node: [...own, "tls_version tlsv1.3"],
    asks,
    origins: [...webSocket, ...origins],
    originsNode: [...own, "tls_version tlsv1.3", ...origins],
    one: [...own, "tls_version tlsv1.3", "max_connections 1"],
  });
});

afterAll(async () => {
  await running?.broker.stop();
  certificates?.remove();
});

describe.each(SERVED)("the listener %s", (listener) => {
  test("messages go both ways, large ones too", async () => {
    const client = await connect(listener);
    await client.subscribe(`${listener}/#`, { qos: 1 });
    const payload = randomBytes(1_000_000);
    client.sendPublish(`${listener}/big`, payload, { qos: 1 });
    const delivery = await client.expectPublish();
    expect(delivery.payloadBytes.equals(payload)).toBe(true);
    await client.disconnect();
  });

  test("MQTT.js connects by wss", async () => {
    const url = `wss://127.0.0.1:${running.port(listener)}/mqtt`;
    const client: MqttClient = connectMqtt(url, { ...clientOptions(listener), reconnectPeriod: 0 });
    const heard = new Promise<string>((resolve) => {
      client.on("message", (_topic, payload) => resolve(payload.toString()));
    });
    await withDeadline(new Promise((resolve) => client.once("connect", resolve)), "connect");
    await client.subscribeAsync(`js/${listener}`, { qos: 2 });
    await client.publishAsync(`js/${listener}`, "hello", { qos: 2 });
    expect(await withDeadline(heard, "message")).toBe("hello");
    await client.endAsync();
  });

  test("a text frame closes the connection", async () => {
    const url = `wss://127.0.0.1:${running.port(listener)}/mqtt`;
    const webSocket = new WebSocket(url, "mqtt", clientOptions(listener));
    webSocket.on("open", () => webSocket.send("hello"));
    const code = new Promise<number>((resolve) => webSocket.once("close", resolve));
    expect(await withDeadline(code, "close")).toBe(1003);
  });

  test("the subprotocol must be offered", async () => {
    const url = `wss://127.0.0.1:${running.port(listener)}/mqtt`;
    const webSocket = new WebSocket(url, "chat", clientOptions(listener));
    const fault = new Promise<Error>((resolve) => webSocket.once("error", resolve));
    expect((await withDeadline(fault, "refusal")).message).toContain("400");
  });

  test("a reader that stops delays nobody and gets its QoS 1 message", async () => {
    const slow = await connect(listener);
    await slow.subscribe(`slow/${listener}/#`, { qos: 1 });
    slow.pause();
    const publisher = await connect(listener);
    const payload = Buffer.alloc(100_000, "x");
    for (let i = 0; i < 300; i++) publisher.sendPublish(`slow/${listener}/0`, payload);
    publisher.sendPublish(`slow/${listener}/1`, "last", { qos: 1 });
    await publisher.expect("puback");
    slow.resume();
    let delivery = await slow.expectPublish();
    while (delivery.topic.endsWith("/0")) delivery = await slow.expectPublish();
    expect(delivery.payload).toBe("last");
    for (const client of [slow, publisher]) client.destroy();
  });
});

describe("who is let in", () => {
  test("nobody without the certificate that is asked for, or with a revoked one", async () => {
    const url = `wss://127.0.0.1:${running.port("asks")}/mqtt`;
    for (const shown of [{}, keys("revoked")]) {
      const webSocket = new WebSocket(url, "mqtt", { ...clientOptions("library"), ...shown });
      const fault = new Promise<Error>((resolve) => webSocket.once("error", resolve));
      await withDeadline(fault, "refusal");
    }
    await running.logged(/certificate verify failed \(CERT_REVOKED\)/);
  });

  test.each([
    ["origins", "http"],
    ["originsNode", "https"],
  ])("%s: pages of other origins are refused with 403", async (listener, protocol) => {
    const url = `${protocol}://127.0.0.1:${running.port(listener)}/mqtt`;
    const statusOf = async (origin: Record<string, string>) =>
      (await answer(url, { ...UPGRADE, ...origin })).statusCode;
    expect(await statusOf({ Origin: "https://evil.example" })).toBe(403);
    expect(await statusOf({ Origin: "https://good.example.evil" })).toBe(403);
    expect(await statusOf({ Origin: "https://good.example" })).toBe(101);
    expect(await statusOf({ Origin: "http://also.example" })).toBe(101);
    expect(await statusOf({})).toBe(101);
  });

  test.each([
    ["library", "https"],
    ["node", "https"],
  ])(
    "%s: headers past websockets_headers_size are refused with 431",
    async (listener, protocol) => {
      const url = `${protocol}://127.0.0.1:${running.port(listener)}/mqtt`;
      const within = await answer(url, { ...UPGRADE, Cookie: "x".repeat(500) });
      expect(within.statusCode).toBe(101);
      const past = await answer(url, { ...UPGRADE, Cookie: "x".repeat(1100) });
      expect(past.statusCode).toBe(431);
    },
  );

  test.each(["library", "node"])("%s: what is no upgrade gets 426", async (listener) => {
    const url = `https://127.0.0.1:${running.port(listener)}/`;
    const response = await answer(url, {});
    expect(response.statusCode).toBe(426);
    expect(response.headers.upgrade).toBe("websocket");
  });

  test("node: a malformed key is refused with 400", async () => {
    const url = `https://127.0.0.1:${running.port("node")}/mqtt`;
    const response = await answer(url, { ...UPGRADE, "Sec-WebSocket-Key": "short" });
    expect(response.statusCode).toBe(400);
  });

  test.each(["library", "node"])("%s: endless headers end the connection", async (listener) => {
    const port = running.port(listener);
    const socket = connectSecure({ host: "127.0.0.1", port, ca, servername: "localhost" });
    socket.on("error", () => undefined);
    const line = `X: ${"y".repeat(1000)}\r\n`;
    const send = (): void => {
      while (!socket.destroyed && socket.write(line));
    };
    socket.on("secureConnect", () => {
      socket.write("GET /mqtt HTTP/1.1\r\nHost: localhost\r\n");
      send();
    });
    socket.on("drain", send);
    socket.resume();
    await withDeadline(new Promise((resolve) => socket.once("close", resolve)), "close");
    await (await connect(listener)).disconnect();
  });

  test("library: past GATE_WAITING_MAX silent sockets the next is closed at once", async () => {
    const port = running.port("library");
    const silent: Socket[] = [];
    const open = (): Promise<Socket> =>
      new Promise((resolve, reject) => {
        const socket = connectSocket({ port, host: "127.0.0.1" }, () => resolve(socket));
        socket.on("error", reject);
        silent.push(socket);
      });
    // A WebSocket is none of them, before and after its end.
    await (await connect("library")).disconnect();
    const client = await connect("library");
    while (silent.length < GATE_WAITING_MAX) await open();
    const next = await open();
    next.resume();
    await withDeadline(new Promise((resolve) => next.once("close", resolve)), "close");
    await client.ping();
    expect(silent[0]?.closed).toBe(false);
    for (const socket of silent) socket.destroy();
    await until("room for another", async () => {
      const other = await connect("library").catch(() => null);
      other?.destroy();
      return other !== null;
    });
    await client.disconnect();
  });

  test("past max_connections nobody gets in until one leaves", async () => {
    const first = await connect("one");
    await expect(connect("one")).rejects.toThrow();
    await first.disconnect();
    await until("room for another", async () => {
      const next = await connect("one").catch(() => null);
      next?.destroy();
      return next !== null;
    });
  });
});

test("new certificates count for new connections, those that are open stay", async () => {
  const open = await Promise.all(["library", "node", "asks"].map(connect));
  certificates.sign("next", { subject: "/CN=localhost/O=Next" });
  for (const end of ["pem", "key"])
    certificates.write(`server.${end}`, certificates.read(`next.${end}`));
  process.kill(running.broker.pid, "SIGHUP");
  await running.logged(/files were read again/);
  for (const listener of ["library", "node"]) {
    const seen = new Promise<string>((resolve, reject) => {
      const asked = requestSecure(
        {
          host: "127.0.0.1",
          port: running.port(listener),
          ca,
          servername: "localhost",
          agent: false,
        },
        (response) => {
          response.resume();
          const socket = response.socket as TLSSocket;
          resolve(`${socket.getPeerCertificate().subject.O}`);
        },
      );
      asked.on("error", reject);
      asked.end();
    });
    expect(await withDeadline(seen, "certificate")).toBe("Next");
  }
  for (const client of open) {
    await client.ping();
    await client.disconnect();
  }
});
