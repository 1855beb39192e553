/**
 * Listeners behind a proxy: its header first, then TLS where the listener has it, then MQTT. Real
 * sockets on all ways into the engine.
 */
import { connect as connectSocket, type Socket } from "node:net";
import { connect as connectSecure } from "node:tls";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { withDeadline } from "../support/await.ts";
import { Certificates } from "../support/certificates.ts";
import { TestClient } from "../support/client.ts";
import { type Opener, openSocket } from "../support/client-transport.ts";
import { proxyV1, proxyV2, tlsValue } from "../support/proxy-headers.ts";
import { type ListeningBroker, startListening } from "../support/secure-broker.ts";
import { behindProxy } from "../support/secure-transport.ts";

const V1 = proxyV1("TCP4 192.0.2.7 198.51.100.1 50123 1883");
const V2 = proxyV2({ source: "2001:db8::7", port: 50124 });

let certificates: Certificates;

beforeAll(() => {
  certificates = new Certificates();
  certificates.sign("server", { subject: "/CN=localhost" });
});

afterAll(() => certificates.remove());

/** A peer that is closed without a word. */
async function expectClosed(port: number, ...writes: readonly Uint8Array[]): Promise<void> {
  const socket = connectSocket({ port, host: "127.0.0.1", noDelay: true });
  const heard: Buffer[] = [];
  socket.on("data", (bytes) => heard.push(bytes));
  socket.on("error", () => undefined);
  for (const bytes of writes) socket.write(bytes);
  await withDeadline(new Promise((resolve) => socket.once("close", resolve)), "close");
  expect(Buffer.concat(heard)).toHaveLength(0);
}

/** TLS behind a proxy that passes it on. */
function tlsBehindProxy(port: number, header: Uint8Array): Opener {
  return (events) => {
    const below: Socket = connectSocket({ port, host: "127.0.0.1", noDelay: true });
    below.write(header);
    const ca = certificates.read("ca.pem");
    const socket = connectSecure({ socket: below, ca, servername: "localhost" });
    return openSocket(socket, "secureConnect", `TLS to port ${port}`, events);
  };
}

describe.each(["raw", "public"])("the %s path", (path) => {
  let running: ListeningBroker;

  beforeAll(async () => {
    vi.stubEnv("HOLDFAST_READ_PATH", path === "public" ? "public" : undefined);
    running = await startListening({
      one: ["enable_proxy_protocol 1"],
      two: ["enable_proxy_protocol 2"],
      secure: [
        "enable_proxy_protocol 2",
        `certfile ${certificates.path("server.pem")}`,
        `keyfile ${certificates.path("server.key")}`,
      ],
      demanding: ["enable_proxy_protocol 2", "proxy_protocol_v2_require_tls true"],
      named: ["enable_proxy_protocol 2", "use_identity_as_username true"],
      web: ["protocol websockets", "enable_proxy_protocol 1"],
    });
    vi.unstubAllEnvs();
  });

  afterAll(() => running?.broker.stop());

  async function connected(transport: Opener, remote: string): Promise<void> {
    const client = await TestClient.connect(running.broker, { transport });
    await running.logged(new RegExp(`New client connected from ${remote} as ${client.clientId} `));
    await client.subscribe("proxied");
    client.sendPublish("proxied", "x");
    expect((await client.expectPublish()).payload).toBe("x");
    await client.disconnect();
  }

  test("version 1: the log has the client's address", async () => {
    await connected(behindProxy(running.port("one"), V1), "192.0.2.7:50123");
  });

  test("version 2: the log has the client's address", async () => {
    await connected(behindProxy(running.port("two"), V2), "2001:db8::7:50124");
  });

  test("the proxy speaks for itself: its own address counts", async () => {
    const local = proxyV2({ command: 0 });
    await connected(behindProxy(running.port("two"), local), "127\\.0\\.0\\.1:\\d+");
  });

  test("TLS may follow", async () => {
    await connected(tlsBehindProxy(running.port("secure"), V2), "2001:db8::7:50124");
  });

  test("the header may come a byte at a time, with MQTT in the last", async () => {
    const socket = connectSocket({ port: running.port("two"), host: "127.0.0.1", noDelay: true });
    const answer = new Promise<Buffer>((resolve) => socket.once("data", resolve));
    for (const byte of V2.subarray(0, -1)) {
      socket.write(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const connect = Buffer.from("100d00044d51545404020000000161", "hex");
    socket.write(Buffer.concat([V2.subarray(-1), connect]));
    expect(await withDeadline(answer, "CONNACK")).toEqual(Buffer.from("20020000", "hex"));
    socket.destroy();
  });

  test("no header, half of one, the other version: closed without a word", async () => {
    const connect = Buffer.from("100d00044d51545404020000000161", "hex");
    await expectClosed(running.port("one"), connect);
    await expectClosed(running.port("two"), connect);
    await expectClosed(running.port("two"), V1, connect);
    await expectClosed(running.port("one"), V2, connect);
    await expectClosed(running.port("secure"), connect);
    await running.logged(/Client connection from 127\.0\.0\.1:\d+ failed: no PROXY header/);
  });

  test("proxy_protocol_v2_require_tls: only who came to the proxy by TLS", async () => {
    const port = running.port("demanding");
    await expectClosed(port, V2, Buffer.from("100d00044d51545404020000000161", "hex"));
    const header = proxyV2({ values: [tlsValue({ commonName: "device" })] });
    await connected(behindProxy(port, header), "192.0.2.1:1000");
  });

  test("use_identity_as_username: the name that the proxy has verified", async () => {
    const port = running.port("named");
    const named = proxyV2({ values: [tlsValue({ commonName: "pump 7" })] });
    const client = await TestClient.connect(running.broker, {
      transport: behindProxy(port, named),
    });
    await running.logged(new RegExp(`as ${client.clientId} \\(.*u'pump 7'\\)`));
    await client.disconnect();
    const unverified = proxyV2({ values: [tlsValue({ commonName: "pump 7", verify: 1 })] });
    for (const header of [unverified, V2]) {
      const refused = await TestClient.open(running.broker, {
        transport: behindProxy(port, header),
      });
      refused.sendConnect();
      await refused.expectRefusal(0x86);
    }
  });

  test("WebSocket may follow", async () => {
    const socket = connectSocket({ port: running.port("web"), host: "127.0.0.1" });
    const answer = new Promise<Buffer>((resolve) => socket.once("data", resolve));
    socket.write(V1);
    socket.write(
      "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
        "Sec-WebSocket-Protocol: mqtt\r\n\r\n",
    );
    expect((await withDeadline(answer, "upgrade")).toString()).toMatch(/^HTTP\/1\.1 101 /);
    socket.destroy();
  });
});
