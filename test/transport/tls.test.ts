/**
 * TLS on MQTT listeners: who is let in, versions, tickets, reload, back-pressure, floods. Real
 * sockets, certificates of Debian's openssl.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { connect as connectSocket } from "node:net";
import { connect as connectSecure, type TLSSocket } from "node:tls";
import { connect as connectMqtt } from "mqtt";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { withDeadline } from "../support/await.ts";
import { Certificates } from "../support/certificates.ts";
import { TestClient } from "../support/client.ts";
import { type ListeningBroker, startListening } from "../support/secure-broker.ts";
import { overTls, type TlsClientOptions } from "../support/secure-transport.ts";

/** CONNECT of MQTT 3.1.1, Client Identifier `a`. */
const CONNECT_A = Buffer.from("100d00044d51545404020000000161", "hex");

let certificates: Certificates;
/** By raw handles. */
let usual: ListeningBroker;
/** The one that is talked to. */
let running: ListeningBroker;
let ca: string;

/** Files that the client shows, by name. */
function shows(name: string): TlsClientOptions {
  return { ca, cert: certificates.read(`${name}.pem`), key: certificates.read(`${name}.key`) };
}

/** A client whose CONNECT was accepted. */
function connect(listener: string, options: TlsClientOptions = {}): Promise<TestClient> {
  const transport = overTls(running.port(listener), { ca, ...options });
  return TestClient.connect(running.broker, { transport });
}

/** A peer that is not let in: at the handshake, or by an end right behind it. */
async function expectRefused(listener: string, options: TlsClientOptions): Promise<void> {
  const port = running.port(listener);
  const socket = connectSecure({ host: "127.0.0.1", port, servername: "localhost", ...options });
  const heard: Buffer[] = [];
  socket.on("data", (bytes) => heard.push(bytes));
  socket.on("error", () => undefined);
  // Whoever believes the handshake done sends CONNECT, and gets no answer.
  socket.on("secureConnect", () => socket.write(CONNECT_A));
  await withDeadline(new Promise((resolve) => socket.once("close", resolve)), "close");
  expect(Buffer.concat(heard)).toHaveLength(0);
}

beforeAll(async () => {
  certificates = new Certificates();
  certificates.addAuthority("other");
  certificates.sign("server", { subject: "/CN=localhost" });
  certificates.sign("device", { subject: "/C=DE/O=Maker/CN=device" });
  certificates.sign("revoked", { subject: "/CN=revoked" });
  certificates.sign("over", { subject: "/CN=over", days: -1 });
  certificates.sign("stranger", { subject: "/CN=stranger", authority: "other" });
  certificates.sign("stranger-over", { subject: "/CN=old", authority: "other", days: -1 });
  certificates.sign("middle", { subject: "/CN=middle", isAuthority: true });
  for (const [below, authority] of [
    ["below-over", "middle"],
    ["forged-over", "device"],
  ] as const) {
    certificates.useAsAuthority(authority);
    certificates.sign(below, { subject: `/CN=${below}`, authority, days: -1 });
    // A client sends what leads from its own certificate to the authority that is known.
    const chain = certificates.read(`${below}.pem`) + certificates.read(`${authority}.pem`);
    certificates.write(`${below}.pem`, chain);
  }
  certificates.sign("server-over", { subject: "/CN=localhost", days: -1 });
  certificates.revoke("revoked");
  ca = certificates.read("ca.pem");
  const own = [
    `certfile ${certificates.path("server.pem")}`,
    `keyfile ${certificates.path("server.key")}`,
  ];
  const asks = [...own, `cafile ${certificates.path("ca.pem")}`, "require_certificate true"];
  usual = await startListening({
    open: own,
    asks,
    lists: [...asks, `crlfile ${certificates.path("ca.crl")}`],
    dateless: [...asks, "disable_client_cert_date_checks true"],
    subject: [...asks, "use_subject_as_username true"],
    name: [...asks, "use_identity_as_username true", "use_subject_as_username true"],
    modern: [...own, "tls_version tlsv1.3"],
    alpn: [...own, "tls_alpn mqtt x-mqtt"],
    over: [
      `certfile ${certificates.path("server-over.pem")}`,
      `keyfile ${certificates.path("server-over.key")}`,
    ],
  });
  running = usual;
});

afterAll(async () => {
  await usual?.broker.stop();
  certificates?.remove();
});

describe("who is let in", () => {
  test("a client without a certificate, where none is asked for", async () => {
    const client = await connect("open");
    await client.disconnect();
  });

  test("a client with a certificate of the authority", async () => {
    const client = await connect("asks", shows("device"));
    await client.disconnect();
  });

  test("its name, or all of its Subject, is the user name; of a resumed session too", async () => {
    let session: Buffer | undefined;
    const keep = (socket: TLSSocket) =>
      socket.on("session", (issued) => {
        session = issued;
      });
    for (const [listener, user] of [
      ["subject", "CN=device,O=Maker,C=DE"],
      ["name", "device"],
    ] as const) {
      const first = await connect(listener, { ...shows("device"), onSocket: keep });
      await first.ping();
      const second = await connect(listener, { session });
      for (const client of [first, second]) {
        await running.logged(new RegExp(`as ${client.clientId} \\(.*u'${user}'\\)`));
        await client.disconnect();
      }
    }
  });

  test("no client without one, where it is asked for, in TLS 1.2 and 1.3", async () => {
    await expectRefused("asks", { ca });
    await expectRefused("asks", { ca, maxVersion: "TLSv1.2" });
    await running.logged(/failed: peer did not return a certificate/);
  });

  test("nobody with a certificate of another authority", async () => {
    await expectRefused("asks", shows("stranger"));
    await running.logged(/certificate verify failed .*CN=stranger/);
  });

  test("nobody whose certificate is over, unless dates are left aside", async () => {
    await expectRefused("asks", shows("over"));
    await running.logged(/certificate verify failed \(CERT_HAS_EXPIRED\), subject CN=over/);
    const client = await connect("dateless", shows("over"));
    await client.disconnect();
  });

  test("no stranger whose certificate is over, though dates are left aside", async () => {
    await expectRefused("dateless", shows("stranger-over"));
    await expectRefused("dateless", { ca });
    await expectRefused("dateless", shows("stranger"));
  });

  test("dates left aside, an authority between is followed, one that is none is not", async () => {
    await (await connect("dateless", shows("below-over"))).disconnect();
    await expectRefused("dateless", shows("forged-over"));
    await running.logged(/certificate verify failed .*CN=forged-over/);
  });

  test("nobody whose certificate is revoked", async () => {
    const client = await connect("lists", shows("device"));
    await client.disconnect();
    await expectRefused("lists", shows("revoked"));
    await running.logged(/certificate verify failed \(CERT_REVOKED\)/);
  });

  test("no client that knows another authority for the broker", async () => {
    const other = certificates.read("other.pem");
    await expect(connect("open", { ca: other })).rejects.toThrow(/certificate/);
  });

  test("nobody who speaks MQTT without TLS", async () => {
    const address = { port: running.port("open"), webSocketPort: 0 };
    const client = await TestClient.open(address);
    client.sendConnect();
    await client.closed();
    await running.logged(/failed: OpenSSL error:[0-9A-F]+:SSL routines::wrong version number/);
  });

  test("a certificate that is over is warned of at the start, and served", async () => {
    expect(running.broker.output()).toMatch(/certfile .*server-over\.pem expired on/);
    const client = await connect("over", { rejectUnauthorized: false });
    await client.disconnect();
  });
});

describe("versions and protocols", () => {
  const WEAK = { minVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;

  test.each(["TLSv1.1", "TLSv1.2", "TLSv1.3"] as const)("%s", async (maxVersion) => {
    const options = { ca, ...WEAK, maxVersion };
    if (maxVersion === "TLSv1.1") await expectRefused("open", options);
    else await (await connect("open", options)).disconnect();
    if (maxVersion === "TLSv1.3") await (await connect("modern", options)).disconnect();
    else await expectRefused("modern", options);
  });

  test("ALPN: one of the listener's is chosen, another is refused, none is taken", async () => {
    let chosen: TLSSocket | undefined;
    const onSocket = (socket: TLSSocket) => {
      chosen = socket;
    };
    const client = await connect("alpn", { ALPNProtocols: ["h2", "x-mqtt"], onSocket });
    expect(chosen?.alpnProtocol).toBe("x-mqtt");
    await client.disconnect();
    await expectRefused("alpn", { ca, ALPNProtocols: ["h2"] });
    await (await connect("alpn")).disconnect();
    // Where the listener names none, it does not matter what a client offers.
    await (await connect("open", { ALPNProtocols: ["h2"] })).disconnect();
  });

  test("a client that asks for a second handshake is told that there is none", async () => {
    const port = `127.0.0.1:${running.port("open")}`;
    const program = spawn("openssl", ["s_client", "-tls1_2", "-connect", port]);
    let printed = "";
    program.stdout.on("data", (text: Buffer) => {
      printed += text.toString();
      if (printed.includes("Verify return code")) program.stdin.write("R\n");
    });
    program.stderr.on("data", (text: Buffer) => {
      printed += text.toString();
    });
    const closed = new Promise((resolve) => program.once("close", resolve));
    await withDeadline(closed, "end of openssl", () => printed);
    expect(printed).toContain("RENEGOTIATING");
    expect(printed).toContain("no renegotiation");
  });

  test("a ticket resumes a session, and says still who the client is", async () => {
    const sessions: Buffer[] = [];
    const onSocket = (socket: TLSSocket) =>
      socket.on("session", (session) => sessions.push(session));
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      sessions.length = 0;
      const first = await connect("asks", { ...shows("device"), maxVersion, onSocket });
      await first.ping();
      await first.disconnect();
      const session = sessions.at(-1);
      let resumed: TLSSocket | undefined;
      const second = await connect("asks", {
        ca,
        maxVersion,
        session,
        onSocket: (socket) => {
          resumed = socket;
        },
      });
      expect(resumed?.isSessionReused()).toBe(true);
      await second.disconnect();
    }
  });
});

describe.each(["raw", "public"])("bytes on the %s path", (path) => {
  let other: ListeningBroker | undefined;

  beforeAll(async () => {
    if (path === "raw") return;
    const certificate = [
      `certfile ${certificates.path("server.pem")}`,
      `keyfile ${certificates.path("server.key")}`,
    ];
    const asks = [`cafile ${certificates.path("ca.pem")}`, "require_certificate true"];
    vi.stubEnv("HOLDFAST_READ_PATH", "public");
    other = await startListening({ open: certificate, asks: [...certificate, ...asks] });
    vi.unstubAllEnvs();
    running = other;
  });

  afterAll(async () => {
    running = usual;
    await other?.broker.stop();
  });

  test("is the one that is said at the start", () => {
    const said = path === "raw" ? /Read path: raw handles into engine memory, no copy\n/ : /public/;
    expect(running.broker.output()).toMatch(said);
  });

  test("a payload of a megabyte goes both ways, in records that are cut anywhere", async () => {
    const payload = randomBytes(1_000_000);
    const subscriber = await connect("open");
    await subscriber.subscribe("big", { qos: 1 });
    const publisher = await connect("asks", shows("device"));
    publisher.sendPublish("big", payload, { qos: 1 });
    const delivery = await subscriber.expectPublish();
    expect(delivery.payloadBytes.equals(payload)).toBe(true);
    await publisher.expect("puback");
    await publisher.disconnect();
    await subscriber.disconnect();
  });

  test("a packet may come in records of one byte each", async () => {
    const client = await connect("open");
    await client.subscribe("slow");
    const packet = Buffer.from("30080004736c6f770078", "hex");
    for (const byte of packet) client.sendBytes(Uint8Array.of(byte));
    expect((await client.expectPublish()).payload).toBe("x");
    await client.disconnect();
  });

  test("CONNECT may come with the end of the handshake", async () => {
    const socket = connectSecure({
      host: "127.0.0.1",
      port: running.port("open"),
      ca,
      servername: "localhost",
    });
    // Written before the handshake, it leaves with its last record.
    socket.write(CONNECT_A);
    const [first] = await withDeadline(
      new Promise<[Buffer]>((resolve) => socket.once("data", (bytes) => resolve([bytes]))),
      "CONNACK",
    );
    expect(first).toEqual(Buffer.from("20020000", "hex"));
    socket.destroy();
  });

  test("a reader that stops loses QoS 0 and keeps QoS 1, and delays nobody", async () => {
    const slow = await connect("open");
    await slow.subscribe("flow/#", { qos: 1 });
    slow.pause();
    const publisher = await connect("open");
    const other = await connect("open");
    const payload = Buffer.alloc(100_000, "x");
    for (let i = 0; i < 400; i++) publisher.sendPublish("flow/0", payload);
    publisher.sendPublish("flow/1", "last", { qos: 1 });
    await publisher.expect("puback");
    await other.ping();
    slow.resume();
    let bytes = 0;
    let delivery = await slow.expectPublish();
    while (delivery.topic === "flow/0") {
      bytes += delivery.payloadBytes.length;
      delivery = await slow.expectPublish();
    }
    expect(delivery.payload).toBe("last");
    expect(bytes).toBeLessThan(400 * payload.length);
    for (const client of [slow, publisher, other]) client.destroy();
  });
});

test("MQTT.js connects by mqtts, with a certificate", async () => {
  const url = `mqtts://127.0.0.1:${running.port("asks")}`;
  const [cert, key] = [certificates.read("device.pem"), certificates.read("device.key")];
  const secure = { ca, cert, key, servername: "localhost" };
  const client = connectMqtt(url, { ...secure, protocolVersion: 5, reconnectPeriod: 0 });
  const heard = new Promise<string>((resolve) => {
    client.on("message", (_topic, payload) => resolve(payload.toString()));
  });
  await withDeadline(new Promise((resolve) => client.once("connect", resolve)), "connect");
  await client.subscribeAsync("js/mqtts", { qos: 2 });
  await client.publishAsync("js/mqtts", "hello", { qos: 2 });
  expect(await withDeadline(heard, "message")).toBe("hello");
  await client.endAsync();
});

describe("floods", () => {
  test("rubbish in place of a handshake, or in the middle of one, harms nobody", async () => {
    const port = running.port("asks");
    const hello = Buffer.from("1603010200010001fc0303", "hex");
    const ends = Array.from({ length: 200 }, (_, index) => {
      const socket = connectSocket(port, "127.0.0.1");
      socket.on("error", () => undefined);
      socket.resume();
      const rubbish = randomBytes(600);
      rubbish[0] = 0x7f; // Neither a record nor the length of one of SSLv2, which is waited for.
      // A record of a handshake, one of an alert, one of data, or none.
      const starts = [
        hello,
        Buffer.from("1503030002", "hex"),
        Buffer.from("17030300ff", "hex"),
        "",
      ];
      socket.write(Buffer.concat([Buffer.from(starts[index % 4] ?? ""), rubbish]));
      return new Promise((resolve) => socket.once("close", resolve));
    });
    await withDeadline(Promise.all(ends), "end of them all");
    await (await connect("asks", shows("device"))).disconnect();
  });

  test("silent and half-open peers end, honest ones are served meanwhile", async () => {
    const port = running.port("open");
    const silent = Array.from({ length: 300 }, () => connectSocket(port, "127.0.0.1"));
    for (const [index, socket] of silent.entries()) {
      socket.on("error", () => undefined);
      // The first bytes of a record that never ends.
      if (index % 2 === 0) socket.write(Buffer.from("1603010200010001fc0303", "hex"));
    }
    const client = await connect("open");
    await client.ping();
    await client.disconnect();
    for (const socket of silent) socket.destroy();
  });
});
