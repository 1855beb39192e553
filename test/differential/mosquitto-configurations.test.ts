/**
 * Configuration files of the shapes that are in the field, `test/differential/configurations/`:
 * the same file for mosquitto 2.0.11 and for Holdfast. Both start, or both end with an exit code
 * that is not 0; and both let the same clients in.
 */
import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { elapse } from "../support/await.ts";
import { Certificates } from "../support/certificates.ts";
import type { ConnectOptions } from "../support/client-packets.ts";
import { configurations, copyFiles, filled } from "../support/configurations.ts";
import { freePorts } from "../support/running-broker.ts";
import { expectAllLookedAt, expectDifferences } from "./mosquitto-differences.ts";
import { BROKERS, type BrokerName, placeFor, type Side, start } from "./mosquitto-pair.ts";

let certificates: Certificates;

beforeAll(() => {
  certificates = new Certificates();
  certificates.sign("server", { subject: "/CN=localhost" });
});
afterAll(() => certificates.remove());

/** How long a broker may take from its first port to its last. */
const SETTLE_MS = 150;

/** Who tries to come in; the passwords are those of `configurations/files/passwords`. */
const PROBES: readonly ConnectOptions[] = [
  { version: 4, clientId: "nobody" },
  { version: 5, clientId: "nobody5" },
  { version: 5, clientId: "" },
  { version: 5, clientId: "alice-1", userName: "alice", password: "wrong" },
  { version: 4, clientId: "stranger-1", userName: "stranger", password: "x" },
];

/** The code of each CONNACK; "closed" where none came. */
async function admitted(side: Side): Promise<string[]> {
  const codes: string[] = [];
  for (const probe of PROBES) {
    const client = await side.connecting(probe);
    try {
      const { reasonCode, returnCode } = await client.expectConnack();
      codes.push(`${client.version === 5 ? reasonCode : returnCode}`);
    } catch (error) {
      if (!client.isClosed) throw error;
      codes.push("closed");
    } finally {
      client.destroy();
    }
  }
  return codes;
}

/** Makes in the broker's directory what configurations name. */
function furnish(directory: string, port: number, port2: number): void {
  copyFiles({ port, port2, dir: directory });
  mkdirSync(join(directory, "data"), { recursive: true });
  for (const [from, to] of [
    ["ca.pem", "ca.crt"],
    ["server.pem", "server.crt"],
    ["server.key", "server.key"],
  ] as const) {
    cpSync(certificates.path(from), join(directory, to));
  }
}

async function tried(broker: BrokerName, text: string): Promise<readonly string[]> {
  const place = await placeFor(broker);
  const [port2 = 0] = await freePorts(1);
  const dir = place.directory.slice(0, -1);
  furnish(dir, place.port, port2);
  const lines = filled(text, { port: place.port, port2, dir }).split("\n");
  const socketPath = /^listener 0 (\S+)/m.exec(lines.join("\n"))?.[1];
  const side = await start(place, lines, {
    // Without a port in the file it is the one of the command line.
    arguments: text.includes("{port}") || socketPath !== undefined ? [] : ["-p", `${place.port}`],
    ...(socketPath !== undefined && { socketPath }),
  });
  if (!("output" in side)) return [side.exitCode === 0 ? "ended" : "refused"];
  // It listens to its first port before it has looked at all of its listeners.
  await elapse(SETTLE_MS);
  if (side.hasEnded()) return ["refused"];
  const isPlain = socketPath === undefined && !/^(certfile|psk_file)/m.test(text);
  const codes = isPlain ? await admitted(side) : [];
  const exitCode = await side.stop();
  // mosquitto is ended by a signal that comes before it listens to signals.
  if (broker === "holdfast") expect(exitCode, side.output()).toBe(0);
  return ["started", ...codes];
}

test.concurrent.for(configurations())("$name", async ({ name, text }) => {
  const [mosquitto = [], holdfast = []] = await Promise.all(
    BROKERS.map((broker) => tried(broker, text)),
  );
  const seen = { mosquitto, holdfast };
  expect(["started", "refused"]).toContain(seen.mosquitto[0]);
  expectDifferences(`configurations: ${name}`, seen);
});

test("every listed difference was looked at", () => {
  expectAllLookedAt("configurations");
});
