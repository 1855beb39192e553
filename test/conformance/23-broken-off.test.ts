/**
 * Chapter 23: what is under way when a connection, or the broker, ends.
 * MQTT 5.0 §3.1.2.4, §3.1.2.5, §4.1, §4.3.3, §4.4.
 */
import { generate, type IPublishPacket } from "mqtt-packet";
import { afterEach, describe, expect, test } from "vitest";
import { elapse, until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import type { ConnectOptions } from "../support/client-packets.ts";
import { startRestartableBroker } from "../support/restartable-broker.ts";
import { type RunningBroker, startBroker } from "../support/running-broker.ts";

const LASTING = { clean: false, properties: { sessionExpiryInterval: 3600 } };
/** As many receivers, of so long a payload, are served in several turns. */
const RECEIVERS = 40;
const LONG = Buffer.alloc(1024 * 1024, "x");

let running: { readonly end: () => Promise<void> } | undefined;

afterEach(async () => {
  await running?.end();
  running = undefined;
});

async function start(...configuration: string[]) {
  const broker = await startRestartableBroker({ configuration });
  running = broker;
  return broker;
}

function receiver(index: number): ConnectOptions {
  return { ...LASTING, clientId: `receiver${index}` };
}

/** Sessions that wait for messages, without connections. */
async function leaveReceivers(broker: RunningBroker, filter: string): Promise<void> {
  for (let index = 0; index < RECEIVERS; index++) {
    const client = await TestClient.connect(broker, receiver(index));
    await client.subscribe(filter, { qos: 2 });
    await client.disconnect();
  }
}

/** How many PUBLISH each of them gets, behind which nothing more comes. */
async function countsOf(broker: RunningBroker): Promise<number[]> {
  const counts: number[] = [];
  for (let index = 0; index < RECEIVERS; index++) {
    const client = await TestClient.connect(broker, receiver(index));
    await client.publish("receiver/own", "", { qos: 1 });
    const first = await client.receive().catch(() => null);
    await client.ping();
    counts.push(first === null ? 0 : 1 + client.takeDeliveries().length);
    client.destroy();
  }
  return counts;
}

const PUBLISHER: ConnectOptions = { ...LASTING, clientId: "publisher" };
const PUBLISHED: IPublishPacket = {
  cmd: "publish",
  topic: "wide",
  payload: LONG,
  qos: 2,
  messageId: 7,
  dup: false,
  retain: false,
};

/** It sends the message again, as it has no PUBREC, and releases it. */
async function finishExchange(broker: RunningBroker): Promise<void> {
  const again = await TestClient.connect(broker, PUBLISHER);
  expect(again.connack?.sessionPresent).toBe(true);
  again.send({ ...PUBLISHED, dup: true });
  expect((await again.expect("pubrec", 7)).reasonCode ?? 0).toBeLessThan(0x80);
  again.send({ cmd: "pubrel", messageId: 7 });
  await again.expect("pubcomp", 7);
  await again.disconnect();
}

describe("a QoS 2 message that takes several turns reaches all, once [MQTT-4.3.3-8, -13]", () => {
  test("its publisher is taken over meanwhile", { timeout: 60_000 }, async () => {
    const broker = await start();
    await leaveReceivers(broker.current(), "wide");
    const first = await TestClient.connect(broker.current(), PUBLISHER);
    const packet = generate(PUBLISHED, { protocolVersion: 5 });
    first.sendBytes(packet.subarray(0, -1));
    const second = await TestClient.open(broker.current(), PUBLISHER);
    // In the same moment the packet is whole, and the client comes by another connection.
    first.sendBytes(packet.subarray(-1));
    second.sendConnect(PUBLISHER);
    await second.expectConnack();
    await first.closed();
    second.destroy();
    await finishExchange(broker.current());
    expect(await countsOf(broker.current())).toEqual(Array(RECEIVERS).fill(1));
  });

  test.each(["stop", "kill -9"] as const)(
    "the broker ends meanwhile: %s",
    { timeout: 60_000 },
    async (ending) => {
      const broker = await start();
      await leaveReceivers(broker.current(), "wide");
      const publisher = await TestClient.connect(broker.current(), PUBLISHER);
      publisher.send(PUBLISHED);
      await broker.restart(ending);
      await finishExchange(broker.current());
      expect(await countsOf(broker.current())).toEqual(Array(RECEIVERS).fill(1));
    },
  );

  test("kill -9 at each commit of it", { timeout: 120_000 }, async () => {
    const broker = await start();
    await leaveReceivers(broker.current(), "wide");
    const before = broker.current();
    for (const point of ["sealed:2", "committed:2"]) {
      await before.stop();
      const environment = { HOLDFAST_FAULT: point };
      const { dataDirectory } = before;
      const dying = await startBroker({ dataDirectory, environment, configuration: [] });
      const publisher = await TestClient.connect(dying, PUBLISHER);
      publisher.send(PUBLISHED);
      await dying.ended();
      const again = await startBroker({ dataDirectory, configuration: [] });
      await finishExchange(again);
      expect([point, ...(await countsOf(again))]).toEqual([point, ...Array(RECEIVERS).fill(1)]);
      await again.stop();
    }
    await broker.restart("stop");
  });
});

describe("a Session that is begun anew [MQTT-3.1.2-4]", () => {
  test.each([
    [4, {}],
    [5, { properties: { sessionExpiryInterval: 0 } }],
  ] as const)("of version %i is on disk when its CONNACK comes", async (version, own) => {
    const broker = await start();
    const options = { clientId: "device", version, clean: false } as const;
    for (let round = 0; round < 4; round++) {
      const old = await TestClient.connect(broker.current(), { ...LASTING, ...options });
      await old.subscribe("t", { qos: 1 });
      await old.disconnect();
      await TestClient.connect(broker.current(), { ...options, clean: true, ...own });
      await broker.restart("kill -9");
      const back = await TestClient.connect(broker.current(), { ...LASTING, ...options });
      expect(back.connack?.sessionPresent).toBe(false);
      await back.disconnect();
    }
  });
});

test("use_username_as_clientid: who comes by another connection has its Session", async () => {
  const broker = await start("use_username_as_clientid true");
  // The option is the last listener's, which is that for WebSocket.
  const transport = "webSocket";
  const options = { ...LASTING, transport, clientId: "any", userName: "vehicle-4711" } as const;
  const first = await TestClient.connect(broker.current(), options);
  await first.subscribe("t", { qos: 1 });
  const second = await TestClient.connect(broker.current(), options);
  await first.expectDisconnect(0x8e);
  expect(second.connack?.sessionPresent).toBe(true);
  await second.publish("t", "hello", { qos: 1 });
  await second.receive({ payload: "hello" });
});

describe("a will", () => {
  test("of a Session that has ended is published once, not at each start", async () => {
    const broker = await start();
    const watch = { ...LASTING, clientId: "watch" };
    const watching = await TestClient.connect(broker.current(), watch);
    await watching.subscribe("will/#", { qos: 1 });
    const first = await TestClient.connect(broker.current(), { ...LASTING, clientId: "mortal" });
    await first.disconnect();
    const mortal = await TestClient.connect(broker.current(), {
      clientId: "mortal",
      clean: false,
      properties: { sessionExpiryInterval: 0 },
      will: { topic: "will/mortal", payload: Buffer.from("gone"), qos: 1, retain: false },
    });
    expect(mortal.connack?.sessionPresent).toBe(true);
    // What is acknowledged goes into the index, the will with it.
    process.kill(broker.current().pid, "SIGUSR1");
    await until("the index", () => broker.current().output().includes("SIGUSR1: "));
    const counts: number[] = [];
    for (const ending of ["kill -9", "kill -9", "stop", "kill -9"] as const) {
      await broker.restart(ending);
      const again = await TestClient.connect(broker.current(), watch);
      await again.publish("will/behind", "", { qos: 1 });
      let count = 0;
      // What its PUBACK of before did not get as far as the disk for comes once more, as a repeat.
      for (let next = await again.receive(); next.topic !== "will/behind"; ) {
        if (!next.dup) count++;
        next = await again.receive();
      }
      counts.push(count);
      await again.disconnect();
    }
    expect(counts).toEqual([1, 0, 0, 0]);
  });

  test("that takes several turns reaches all, where the broker ends meanwhile", async () => {
    const broker = await start();
    await leaveReceivers(broker.current(), "will");
    const { dataDirectory } = broker.current();
    await broker.current().stop();
    const environment = { HOLDFAST_FAULT: "committed:2" };
    const dying = await startBroker({ dataDirectory, environment, configuration: [] });
    const mortal = await TestClient.connect(dying, {
      clientId: "mortal",
      ...LASTING,
      will: { topic: "will", payload: Buffer.alloc(65_000, "x"), qos: 1, retain: false },
    });
    mortal.destroy();
    await dying.ended();
    const again = await startBroker({ dataDirectory, configuration: [] });
    const end = await TestClient.connect(again, { ...LASTING, clientId: "mortal", clean: true });
    // Its Session ends, and with that its will is due.
    await end.disconnect();
    const counts = await countsOf(again);
    expect(counts.filter((count) => count === 0)).toEqual([]);
    await again.stop();
    await broker.restart("stop");
  }, 60_000);

  test("and a Session are not over before their time [MQTT-3.1.3-9] [MQTT-3.1.2-23]", async () => {
    const broker = (await start()).current();
    const watching = await TestClient.connect(broker);
    await watching.subscribe("will/#");
    const seconds = { properties: { sessionExpiryInterval: 1 } };
    const brief = await TestClient.connect(broker, { ...seconds, clientId: "brief", clean: false });
    const mortal = await TestClient.connect(broker, {
      ...LASTING,
      clientId: "mortal",
      will: {
        topic: "will/mortal",
        payload: Buffer.from("gone"),
        qos: 0,
        retain: false,
        properties: { willDelayInterval: 1 },
      },
    });
    // At the end of a second of the clock, which is not a second of theirs.
    await until("the end of a second", () => Date.now() % 1000 > 900);
    const beganMs = performance.now();
    mortal.destroy();
    await brief.disconnect();
    await elapse(500);
    const back = await TestClient.connect(broker, { ...seconds, clientId: "brief", clean: false });
    expect(back.connack?.sessionPresent).toBe(true);
    await watching.receive({ topic: "will/mortal" });
    expect(performance.now() - beganMs).toBeGreaterThan(1_000);
  });
});

test("owed retained messages come to the Session's next connection [MQTT-3.3.1-9]", async () => {
  const broker = await start();
  const count = 300;
  const publisher = await TestClient.connect(broker.current());
  for (let i = 0; i < count; i++) {
    await publisher.publish(`kept/${i}`, "x", { qos: 1, retain: true });
  }
  const device = {
    clientId: "device",
    clean: false,
    properties: { sessionExpiryInterval: 3600, receiveMaximum: 10 },
  };
  const first = await TestClient.connect(broker.current(), device);
  await first.subscribe("kept/#", { qos: 1 });
  const seen = new Set<string>();
  const take = async (client: TestClient, many: number) => {
    while (seen.size < many) {
      const delivery = await client.expectPublish();
      seen.add(delivery.topic);
      await client.acknowledge(delivery);
    }
  };
  await take(first, 20);
  first.destroy();
  const second = await TestClient.connect(broker.current(), device);
  expect(second.connack?.sessionPresent).toBe(true);
  await take(second, 150);
  second.destroy();
  // A topic more, and their order may be another: those that came may come again.
  await publisher.publish("kept/more", "x", { qos: 1, retain: true });
  const third = await TestClient.connect(broker.current(), device);
  await take(third, count + 1);
  expect(seen.has("kept/more")).toBe(true);
  await third.disconnect();
  await publisher.disconnect();
});

test("who does not read is gone soon after the broker closes", async () => {
  const broker = (await start("log_type all")).current();
  const frozen = await TestClient.connect(broker, { clientId: "frozen", keepAliveSeconds: 1 });
  await frozen.subscribe("f");
  frozen.pause();
  const publisher = await TestClient.connect(broker);
  for (let i = 0; i < 100; i++) publisher.sendPublish("f", Buffer.alloc(200_000), { qos: 0 });
  await until("the time-out", () => /frozen .*exceeded timeout/.test(broker.output()));
  let asked = 0;
  await until("its end", async () => {
    process.kill(broker.pid, "SIGUSR2");
    asked++;
    await until("an answer", () => (broker.output().match(/SIGUSR2: /g)?.length ?? 0) >= asked);
    return / 1 connections, [^\n]*\n$/.test(broker.output());
  });
});
