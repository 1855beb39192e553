/**
 * Chapter 24: a peer that closes before all that it sent was acted on.
 * MQTT 5.0 §3.1.2.5, §3.14.4, §4.6.
 */
import { afterAll, beforeAll, describe, test } from "vitest";
import { Certificates } from "../support/certificates.ts";
import { TestClient } from "../support/client.ts";
import { rawConnect, rawPacket, text } from "../support/client-bytes.ts";
import type { OpenOptions } from "../support/client-packets.ts";
import { type ListeningBroker, startListening } from "../support/secure-broker.ts";
import { overTls, overWebSocket } from "../support/secure-transport.ts";

/** More deliveries than one turn makes. */
const RECEIVERS = 60;
const MESSAGES = 300;

let certificates: Certificates;
let broker: ListeningBroker;

beforeAll(async () => {
  certificates = new Certificates();
  certificates.sign("server", { subject: "/CN=localhost" });
  const file = (name: string) => certificates.path(name);
  broker = await startListening({
    global: ["allow_anonymous true"],
    tls: [`certfile ${file("server.pem")}`, `keyfile ${file("server.key")}`],
    webSocket: ["protocol websockets"],
    // With an option that uWebSockets.js lacks.
    nodeWebSocket: ["protocol websockets", "websockets_headers_size 8192"],
  });
});

afterAll(async () => {
  await broker.broker.stop();
  certificates.remove();
});

const TRANSPORTS: readonly (readonly [string, () => OpenOptions["transport"]])[] = [
  ["TCP", () => "tcp"],
  ["TLS", () => overTls(broker.port("tls"), { rejectUnauthorized: false })],
  ["WebSocket", () => overWebSocket(`ws://127.0.0.1:${broker.port("webSocket")}/mqtt`)],
  ["WebSocket by ws", () => overWebSocket(`ws://127.0.0.1:${broker.port("nodeWebSocket")}/mqtt`)],
];

describe.each(TRANSPORTS)("over %s", (name, transport) => {
  test("what it published arrives, and its will does not [MQTT-3.14.4-3]", async () => {
    const receivers = await Promise.all(
      Array.from({ length: RECEIVERS }, () => TestClient.connect(broker.broker)),
    );
    for (const receiver of receivers) await receiver.subscribe(`${name}/#`);
    const publisher = await TestClient.connect(broker.broker, {
      transport: transport() ?? "tcp",
      will: { topic: `${name}/will`, payload: Buffer.from("gone"), qos: 0, retain: false },
    });
    const message = rawPacket(0x30, text(`${name}/data`), 0, 0x78);
    const last = rawPacket(0xe0);
    publisher.sendBytes(Buffer.concat([...Array<Buffer>(MESSAGES).fill(message), last]));
    await publisher.drop();
    for (const receiver of receivers) {
      for (let i = 0; i < MESSAGES; i++) await receiver.expectPublish({ topic: `${name}/data` });
      await receiver.expectNothing();
      receiver.destroy();
    }
  });

  test("a CONNECT that waits for its Session is acted on, and what is behind it", async () => {
    const receiver = await TestClient.connect(broker.broker);
    await receiver.subscribe(`${name}/#`);
    const publisher = await TestClient.open(broker.broker, {
      version: 4,
      transport: transport() ?? "tcp",
    });
    const connect = rawConnect({ level: 4, flags: 0, payload: [text(`early ${name}`)] });
    const message = rawPacket(0x30, text(`${name}/early`), 0x78);
    publisher.sendBytes(Buffer.concat([connect, message, rawPacket(0xe0)]));
    await publisher.drop();
    await receiver.receive({ topic: `${name}/early` });
    await receiver.disconnect();
  });
});
