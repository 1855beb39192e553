/** `--tls-keylog`: what the broker writes is what the client's own TLS has as keys. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { runToEnd } from "../cli/program.ts";
import { until } from "../support/await.ts";
import { Certificates } from "../support/certificates.ts";
import { TestClient } from "../support/client.ts";
import { type ListeningBroker, startListening } from "../support/secure-broker.ts";
import { overTls, overWebSocket } from "../support/secure-transport.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-keylog-"));
const file = join(directory, "keys");
const FAULT = /--tls-keylog .*keys: cannot be written: ENOENT/;
let certificates: Certificates;
let running: ListeningBroker | undefined;

beforeAll(() => {
  certificates = new Certificates();
  certificates.sign("server", { subject: "/CN=localhost" });
});

afterEach(async () => {
  await running?.broker.stop();
  running = undefined;
});

afterAll(() => {
  certificates.remove();
  rmSync(directory, { recursive: true });
});

async function start(): Promise<ListeningBroker> {
  const tls = [
    `certfile ${certificates.path("server.pem")}`,
    `keyfile ${certificates.path("server.key")}`,
  ];
  running = await startListening({ tls, web: ["protocol websockets", ...tls] }, undefined, [
    "--tls-keylog",
    file,
  ]);
  return running;
}

test("the keys of each connection are added, on TCP and on WebSocket, and it is said", async () => {
  writeFileSync(file, "# before\n", { mode: 0o600 });
  const { broker, port, logged } = await start();
  await logged(/TLS keys go to .*keys: who has it can read all that TLS hides/);
  let keys = "";
  const onSocket = (socket: TLSSocket) => {
    socket.on("keylog", (line: Buffer) => {
      keys += line.toString();
    });
  };
  const ca = certificates.read("ca.pem");
  const client = await TestClient.connect(broker, {
    transport: overTls(port("tls"), { ca, onSocket }),
  });
  const web = await TestClient.connect(broker, {
    transport: overWebSocket(`wss://localhost:${port("web")}/mqtt`, { ca }),
  });
  expect(keys).toMatch(/^SERVER_HANDSHAKE_TRAFFIC_SECRET [0-9a-f]{64} [0-9a-f]{64,}$/m);
  const told = () => readFileSync(file, "utf8");
  await until("keys of two connections", () => told().match(/^CLIENT_TRAFFIC/gm)?.length === 2);
  expect(told().startsWith("# before\n")).toBe(true);
  const lines = new Set(told().split("\n"));
  expect(keys.split("\n").filter((line) => !lines.has(line))).toEqual([]);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  await client.disconnect();
  await web.disconnect();
});

test("a file that cannot be written ends the start", async () => {
  const configuration = join(directory, "broker.conf");
  const [certificate, key] = [certificates.path("server.pem"), certificates.path("server.key")];
  writeFileSync(
    configuration,
    `listener 0 127.0.0.1\ncertfile ${certificate}\nkeyfile ${key}\nuser root\n` +
      `persistence_location ${directory}\nallow_anonymous true\n`,
  );
  const args = ["-c", configuration, "--tls-keylog", join(directory, "none", "keys")];
  const { exitCode, stderr } = await runToEnd(args);
  expect([exitCode, stderr]).toEqual([1, expect.stringMatching(FAULT)]);
});
