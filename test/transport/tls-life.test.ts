/** TLS over time: new certificates and revocations while clients are connected, `kill -9`. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Certificates } from "../support/certificates.ts";
import { TestClient } from "../support/client.ts";
import type { ConnectOptions } from "../support/client-packets.ts";
import { type ListeningBroker, startListening } from "../support/secure-broker.ts";
import { overTls, type TlsClientOptions } from "../support/secure-transport.ts";

let certificates: Certificates;
let running: ListeningBroker | undefined;
let dataDirectory: string;

beforeAll(() => {
  certificates = new Certificates();
  for (const name of ["server", "device", "soon-revoked"]) {
    certificates.sign(name, { subject: name === "server" ? "/CN=localhost" : `/CN=${name}` });
  }
  certificates.revoke(null);
});

afterAll(() => certificates.remove());

afterEach(async () => {
  await running?.broker.stop();
  running = undefined;
  if (dataDirectory) rmSync(dataDirectory, { recursive: true, force: true });
});

async function start(): Promise<ListeningBroker> {
  running = await startListening(
    {
      tls: [
        `certfile ${certificates.path("server.pem")}`,
        `keyfile ${certificates.path("server.key")}`,
        `cafile ${certificates.path("ca.pem")}`,
        `crlfile ${certificates.path("ca.crl")}`,
        "require_certificate true",
      ],
    },
    dataDirectory,
  );
  return running;
}

function connect(
  name: string,
  options: TlsClientOptions = {},
  connectOptions: ConnectOptions = {},
): Promise<TestClient> {
  if (running === undefined) throw new Error("no broker");
  const [cert, key] = [certificates.read(`${name}.pem`), certificates.read(`${name}.key`)];
  const shown = { ca: certificates.read("ca.pem"), cert, key, ...options };
  const transport = overTls(running.port("tls"), shown);
  return TestClient.connect(running.broker, { ...connectOptions, transport });
}

/** Asks for a reload, and waits until it is done. */
async function reload(broker: ListeningBroker, times: number): Promise<void> {
  process.kill(broker.broker.pid, "SIGHUP");
  await broker.logged(new RegExp(`(?:SIGHUP: (?:no option|reloaded)[^]*){${times}}`));
}

/** The organization in the certificate that a new connection sees. */
async function organization(): Promise<string> {
  let secure: TLSSocket | undefined;
  const onSocket = (socket: TLSSocket) => {
    secure = socket;
  };
  const client = await connect("device", { onSocket });
  const { subject } = secure?.getPeerCertificate() ?? {};
  await client.disconnect();
  return `${subject?.O}`;
}

test("a new certificate counts from SIGHUP on, a bad one not; who is connected stays", async () => {
  dataDirectory = mkdtempSync(join(tmpdir(), "holdfast-tls-life-"));
  const broker = await start();
  const open = await connect("device");
  expect(await organization()).toBe("undefined");

  certificates.sign("next", { subject: "/CN=localhost/O=Next" });
  const key = certificates.read("server.key");
  certificates.write("server.pem", certificates.read("next.pem"));
  await reload(broker, 1);
  await broker.logged(/keyfile .*server\.key does not belong to certfile .* keeps what it has/);
  await broker.logged(/Error: SIGHUP: .*; but 1 had faults, as said above, and do not count/);
  expect(await organization()).toBe("undefined");

  expect(certificates.read("next.key")).not.toBe(key);
  certificates.write("server.key", certificates.read("next.key"));
  await reload(broker, 2);
  expect(await organization()).toBe("Next");
  await open.ping();
  await open.disconnect();
});

test("who is revoked is out from SIGHUP on, with a ticket of before as well", async () => {
  dataDirectory = mkdtempSync(join(tmpdir(), "holdfast-tls-life-"));
  const broker = await start();
  let session: Buffer | undefined;
  const onSocket = (socket: TLSSocket) => {
    socket.on("session", (issued) => {
      session = issued;
    });
  };
  const client = await connect("soon-revoked", { onSocket });
  await client.ping();
  let resumed: TLSSocket | undefined;
  const again = await connect("soon-revoked", {
    session,
    onSocket: (socket) => {
      resumed = socket;
    },
  });
  expect(resumed?.isSessionReused()).toBe(true);
  await again.disconnect();

  certificates.revoke("soon-revoked");
  await reload(broker, 1);
  await expect(connect("soon-revoked")).rejects.toThrow();
  await expect(connect("soon-revoked", { session })).rejects.toThrow();
  await (await connect("device")).disconnect();
  // As with mosquitto, who is connected is not looked at again.
  await client.ping();
  client.destroy();
});

test("a persistent Session over TLS outlives kill -9", async () => {
  dataDirectory = mkdtempSync(join(tmpdir(), "holdfast-tls-life-"));
  const session = { clientId: "sleeper", clean: false, version: 4 } as const;
  const first = await start();
  const sleeper = await connect("device", {}, session);
  await sleeper.subscribe("kept/#", { qos: 1 });
  await sleeper.disconnect();
  const publisher = await connect("device");
  const payload = Buffer.alloc(50_000, "k");
  for (let i = 0; i < 20; i++) publisher.sendPublish(`kept/${i}`, payload, { qos: 1 });
  for (let i = 0; i < 20; i++) await publisher.expect("puback");
  await first.broker.kill9();
  publisher.destroy();

  await start();
  const again = await connect("device", {}, session);
  expect(again.connack?.sessionPresent).toBe(true);
  for (let i = 0; i < 20; i++) {
    const delivery = await again.expectPublish();
    expect(delivery.topic).toBe(`kept/${i}`);
    expect(delivery.payloadBytes.equals(payload)).toBe(true);
  }
  again.destroy();
});
