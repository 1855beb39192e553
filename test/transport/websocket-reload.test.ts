/** What SIGHUP changes of WebSocket listeners, by both libraries, and what it leaves. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PACKET_TOO_LARGE } from "../../assembly/spec.ts";
import { Certificates } from "../support/certificates.ts";
import { TestClient } from "../support/client.ts";
import { type ListeningBroker, startListening } from "../support/secure-broker.ts";
import { overWebSocket } from "../support/secure-transport.ts";

const LISTENERS = ["plain", "library", "node"] as const;
const PACKET_BYTES_MAX = 2_000_000;
const LONG = Buffer.alloc(3_000_000, "x");

let certificates: Certificates;
let running: ListeningBroker;
let reloads = 0;

beforeAll(async () => {
  certificates = new Certificates();
  certificates.sign("server", { subject: "/CN=localhost" });
  const plain = ["protocol websockets"];
  const library = [
    ...plain,
    `certfile ${certificates.path("server.pem")}`,
    `keyfile ${certificates.path("server.key")}`,
  ];
  running = await startListening({
    global: [`max_packet_size ${PACKET_BYTES_MAX}`],
    plain,
    library,
    node: [...library, "tls_version tlsv1.3"],
  });
});

afterAll(async () => {
  await running?.broker.stop();
  certificates?.remove();
});

function connect(listener: string): Promise<TestClient> {
  const scheme = listener === "plain" ? "ws" : "wss";
  const url = `${scheme}://127.0.0.1:${running.port(listener)}/mqtt`;
  const options = { ca: certificates.read("ca.pem"), servername: "localhost" };
  const transport = overWebSocket(url, scheme === "ws" ? {} : options);
  return TestClient.connect(running.broker, { version: 5, transport });
}

async function reload(): Promise<void> {
  reloads++;
  process.kill(running.broker.pid, "SIGHUP");
  await running.logged(new RegExp(`(?:SIGHUP: (?:no option|reloaded)[^]*){${reloads}}`));
}

/** The kernel's number of the socket that listens at a port. */
function inodeOf(port: number): string | undefined {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const rows = readFileSync("/proc/net/tcp", "utf8").split("\n");
  const row = rows
    .map((line) => line.trim().split(/\s+/))
    .find((fields) => {
      return fields[1] === local && fields[3] === "0A";
    });
  return row?.[9];
}

test("a listener is opened anew where it has to be, and at no other SIGHUP", async () => {
  const inodes = () => LISTENERS.map((name) => inodeOf(running.port(name)));
  const before = inodes();
  expect(before).not.toContain(undefined);
  await reload();
  expect(inodes()).toEqual(before);
  certificates.sign("next", { subject: "/CN=localhost/O=Next" });
  for (const end of ["pem", "key"]) {
    certificates.write(`server.${end}`, certificates.read(`next.${end}`));
  }
  await reload();
  const after = inodes();
  expect([after[0], after[2]]).toEqual([before[0], before[2]]);
  expect(after[1]).not.toBe(before[1]);
});

test.each(LISTENERS)("%s: a packet that is too long is answered so", async (listener) => {
  const client = await connect(listener);
  client.sendPublish("long", LONG, { qos: 1 });
  expect((await client.expect("disconnect")).reasonCode).toBe(PACKET_TOO_LARGE);
  await client.closed();
});

test("max_packet_size counts from SIGHUP on for those that come", async () => {
  const open = await Promise.all(LISTENERS.map(connect));
  const file = join(running.broker.dataDirectory, "test.conf");
  const text = readFileSync(file, "utf8");
  writeFileSync(
    file,
    text.replace(`max_packet_size ${PACKET_BYTES_MAX}`, "max_packet_size 10000000"),
  );
  await reload();
  for (const listener of LISTENERS) {
    const client = await connect(listener);
    expect(client.connack?.properties?.maximumPacketSize).toBe(10_000_000);
    client.sendPublish("long", Buffer.concat([LONG, LONG, LONG]), { qos: 1 });
    await client.expect("puback");
    await client.disconnect();
  }
  for (const client of open) {
    await client.ping();
    await client.disconnect();
  }
});
