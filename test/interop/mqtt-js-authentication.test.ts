/** MQTT.js authenticates with SCRAM-SHA-256, and again on its open connection. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import mqtt, { type MqttClient } from "mqtt";
import { generate } from "mqtt-packet";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { credentialOf, lineOf } from "../../src/access/scram-file.ts";
import { withDeadline } from "../support/await.ts";
import { type RunningBroker, startBroker } from "../support/running-broker.ts";
import { METHOD, ScramClient } from "../support/scram-client.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-scram-"));
const scramFile = join(directory, "users");
let broker: RunningBroker;
const clients: MqttClient[] = [];

beforeAll(async () => {
  const line = lineOf("truck", await credentialOf("diesel", 4096));
  writeFileSync(scramFile, `${line}\n`, { mode: 0o600 });
  const configuration = [`scram_file ${scramFile}`, "allow_anonymous false"];
  broker = await startBroker({ configuration });
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.endAsync(true)));
});
afterAll(async () => {
  await broker.stop();
  rmSync(directory, { recursive: true });
});

function authentication(data: string) {
  return { authenticationMethod: METHOD, authenticationData: Buffer.from(data) };
}

/** A client that answers each AUTH 0x18, and tells the last word of the exchange. */
function begin(password: string, url: string) {
  const scram = new ScramClient("truck", password);
  const client = mqtt.connect(url, {
    protocolVersion: 5,
    reconnectPeriod: 0,
    properties: authentication(scram.first()),
  });
  clients.push(client);
  const verifiers: string[] = [];
  let tellVerifier: (verifier: string) => void = () => undefined;
  client.handleAuth = (packet, answer) => {
    const data = packet.properties?.authenticationData?.toString() ?? "";
    if (packet.reasonCode === 0) {
      tellVerifier(data);
      answer(undefined);
      return;
    }
    const properties = authentication(scram.final(data));
    answer(undefined, { cmd: "auth", reasonCode: 0x18, properties });
    verifiers.push(scram.verifier);
  };
  const verified = () =>
    withDeadline(
      new Promise<string>((resolve) => {
        tellVerifier = resolve;
      }),
      "the last AUTH",
    );
  return { client, scram, verifiers, verified };
}

function connected(client: MqttClient) {
  const opened = new Promise<mqtt.IConnackPacket>((resolve, reject) => {
    client.once("connect", resolve);
    client.once("error", reject);
  });
  return withDeadline(opened, "CONNACK for MQTT.js");
}

test.for(["tcp", "webSocket"])("MQTT.js over %s proves who it is, twice", async (transport) => {
  const place = transport === "tcp" ? broker.port : broker.webSocketPort;
  const url = `${transport === "tcp" ? "mqtt" : "ws"}://127.0.0.1:${place}`;
  const { client, scram, verifiers, verified } = begin("diesel", url);
  const { properties } = await connected(client);
  expect(properties?.authenticationMethod).toBe(METHOD);
  expect(properties?.authenticationData?.toString()).toBe(verifiers[0]);
  await client.subscribeAsync("proved", { qos: 1 });
  const arrived = new Promise<string>((resolve) => {
    client.once("message", (_topic, payload) => resolve(payload.toString()));
  });
  const last = verified();
  // MQTT.js has no call for it.
  const again = authentication(scram.first());
  client.stream.write(
    generate({ cmd: "auth", reasonCode: 0x19, properties: again }, { protocolVersion: 5 }),
  );
  await client.publishAsync("proved", "meanwhile", { qos: 1 });
  expect(await last).toBe(verifiers[1]);
  expect(await withDeadline(arrived, "the message")).toBe("meanwhile");
});

test("MQTT.js with another password is told that it is not authorized", async () => {
  const { client } = begin("petrol", `mqtt://127.0.0.1:${broker.port}`);
  await expect(connected(client)).rejects.toMatchObject({ code: 0x87 });
});
