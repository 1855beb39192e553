/**
 * MQTT.js, the client most used from JavaScript, over TCP and WebSocket, in both versions.
 */
import mqtt, { type IClientOptions, type IClientPublishOptions, type MqttClient } from "mqtt";
import type { IPublishPacket } from "mqtt-packet";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { until, withDeadline } from "../support/await.ts";
import { isMosquitto, type RunningBroker, startBroker } from "../support/running-broker.ts";

type Transport = "tcp" | "webSocket";

interface Message {
  readonly topic: string;
  readonly payload: string;
  readonly packet: IPublishPacket;
}

const TRANSPORTS: readonly Transport[] = isMosquitto ? ["tcp"] : ["tcp", "webSocket"];
const CASES = TRANSPORTS.flatMap((transport) =>
  ([4, 5] as const).map((version) => [transport, version] as const),
);

let broker: RunningBroker;
const clients: MqttClient[] = [];

beforeAll(async () => {
  broker = await startBroker();
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.endAsync(true)));
});

afterAll(async () => {
  await broker.stop();
});

/** A connected client, and the messages that it received. */
async function connect(
  transport: Transport,
  options: IClientOptions,
): Promise<{ client: MqttClient; messages: Message[]; sessionPresent: boolean }> {
  const url =
    transport === "tcp"
      ? `mqtt://127.0.0.1:${broker.port}`
      : `ws://127.0.0.1:${broker.webSocketPort}/mqtt`;
  const client = mqtt.connect(url, { reconnectPeriod: 0, ...options });
  clients.push(client);
  const messages: Message[] = [];
  client.on("message", (topic, payload, packet) => {
    messages.push({ topic, payload: payload.toString(), packet });
  });
  const connected = new Promise<{ sessionPresent: boolean }>((resolve, reject) => {
    client.once("connect", resolve);
    client.once("error", reject);
  });
  const { sessionPresent } = await withDeadline(connected, "CONNACK for MQTT.js");
  return { client, messages, sessionPresent };
}

function lasting(version: 4 | 5, clientId: string): IClientOptions {
  return {
    protocolVersion: version,
    clientId,
    clean: false,
    ...(version === 5 && { properties: { sessionExpiryInterval: 60 } }),
  };
}

describe.for(CASES)("MQTT.js over %s, version %i", ([transport, version]) => {
  const prefix = `${transport}/${version}`;

  test("publishes and receives at each QoS", async () => {
    const { client, messages } = await connect(transport, { protocolVersion: version });
    await client.subscribeAsync(`${prefix}/qos/#`, { qos: 2 });
    for (const qos of [0, 1, 2] as const) {
      await client.publishAsync(`${prefix}/qos/${qos}`, `${qos}`, { qos });
    }
    await until("three messages", () => messages.length === 3);
    expect(messages.map(({ payload, packet }) => [payload, packet.qos])).toEqual([
      ["0", 0],
      ["1", 1],
      ["2", 2],
    ]);
    await client.unsubscribeAsync(`${prefix}/qos/#`);
  });

  test("resumes a persistent Session", async () => {
    const options = lasting(version, `${transport}${version}`);
    const first = await connect(transport, options);
    expect(first.sessionPresent).toBe(false);
    await first.client.subscribeAsync(`${prefix}/session`, { qos: 2 });
    await first.client.endAsync();
    const publisher = await connect(transport, { protocolVersion: version });
    for (let i = 0; i < 20; i++) {
      await publisher.client.publishAsync(`${prefix}/session`, `${i}`, {
        qos: i % 2 === 0 ? 1 : 2,
      });
    }
    const second = await connect(transport, options);
    expect(second.sessionPresent).toBe(true);
    await until("what was queued", () => second.messages.length === 20);
    for (const qos of [1, 2] as const) {
      const received = second.messages.filter(({ packet }) => packet.qos === qos);
      const expected = Array.from({ length: 10 }, (_, i) => `${2 * i + qos - 1}`);
      expect(received.map(({ payload }) => payload)).toEqual(expected);
    }
  });

  test("leaves a will", async () => {
    const observer = await connect(transport, { protocolVersion: version });
    await observer.client.subscribeAsync(`${prefix}/will`);
    const mortal = await connect(transport, {
      protocolVersion: version,
      will: { topic: `${prefix}/will`, payload: Buffer.from("gone"), qos: 1, retain: false },
    });
    mortal.client.stream.destroy();
    await until("the will", () => observer.messages.length === 1);
    expect(observer.messages[0]?.payload).toBe("gone");
  });

  test("finds retained messages", async () => {
    const publisher = await connect(transport, { protocolVersion: version });
    await publisher.client.publishAsync(`${prefix}/kept`, "kept", { qos: 1, retain: true });
    const { client, messages } = await connect(transport, { protocolVersion: version });
    await client.subscribeAsync(`${prefix}/kept`);
    await until("the retained message", () => messages.length === 1);
    expect(messages[0]).toMatchObject({ payload: "kept", packet: { retain: true } });
  });

  test("moves a megabyte", async () => {
    const { client, messages } = await connect(transport, { protocolVersion: version });
    await client.subscribeAsync(`${prefix}/large`, { qos: 1 });
    const payload = "0123456789abcdef".repeat(65_536);
    await client.publishAsync(`${prefix}/large`, payload, { qos: 1 });
    await until("the large message", () => messages.length === 1);
    expect(messages[0]?.payload === payload).toBe(true);
  });
});

describe.for(TRANSPORTS)("MQTT.js over %s, version 5 only", (transport) => {
  test("properties come through", async () => {
    const { client, messages } = await connect(transport, { protocolVersion: 5 });
    await client.subscribeAsync(`${transport}/properties`, {
      qos: 1,
      properties: { subscriptionIdentifier: 42 },
    });
    const properties: NonNullable<IClientPublishOptions["properties"]> = {
      payloadFormatIndicator: true,
      messageExpiryInterval: 600,
      contentType: "text/plain",
      responseTopic: "answers",
      correlationData: Buffer.from("1"),
      userProperties: { a: ["1", "2"], b: "3" },
    };
    await client.publishAsync(`${transport}/properties`, "x", { qos: 1, properties });
    await until("the message", () => messages.length === 1);
    const received = messages[0]?.packet.properties ?? {};
    expect({ ...received, messageExpiryInterval: 600 }).toEqual({
      ...properties,
      subscriptionIdentifier: 42,
    });
  });

  test("Topic Aliases are assigned and used by the client", async () => {
    const subscriber = await connect(transport, { protocolVersion: 5 });
    await subscriber.client.subscribeAsync(`${transport}/alias/#`, { qos: 1 });
    const publisher = await connect(transport, {
      protocolVersion: 5,
      autoUseTopicAlias: true,
      autoAssignTopicAlias: true,
    });
    for (let i = 0; i < 30; i++) {
      await publisher.client.publishAsync(`${transport}/alias/${i % 3}`, `${i}`, { qos: 1 });
    }
    await until("all messages", () => subscriber.messages.length === 30);
    expect(subscriber.messages.map(({ topic, payload }) => [topic, payload])).toEqual(
      Array.from({ length: 30 }, (_, i) => [`${transport}/alias/${i % 3}`, `${i}`]),
    );
  });

  test("Topic Aliases of the broker are understood by the client", async () => {
    const properties = { topicAliasMaximum: 2 };
    const { client, messages } = await connect(transport, { protocolVersion: 5, properties });
    await client.subscribeAsync(`${transport}/aliased/#`, { qos: 1 });
    for (let i = 0; i < 30; i++) {
      await client.publishAsync(`${transport}/aliased/${i % 3}`, `${i}`, { qos: 1 });
    }
    await until("all messages", () => messages.length === 30);
    expect(messages.map(({ topic, payload }) => [topic, payload])).toEqual(
      Array.from({ length: 30 }, (_, i) => [`${transport}/aliased/${i % 3}`, `${i}`]),
    );
    const aliased = messages.filter(({ packet }) => packet.properties?.topicAlias !== undefined);
    expect(aliased.length).toBeGreaterThan(5);
  });
});
