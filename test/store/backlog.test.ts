/** Backlogs of Sessions that are away: none of what was acknowledged is missing afterwards. */
import { afterEach, expect, test } from "vitest";
import { until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import { type RestartableBroker, startRestartableBroker } from "../support/restartable-broker.ts";

const LASTING = { clean: false, properties: { sessionExpiryInterval: 3600 } };
/** PUBLISHes under way at once. */
const WIDTH = 500;

let running: RestartableBroker | undefined;

afterEach(async () => {
  await running?.end();
  running = undefined;
});

async function start(...configuration: string[]): Promise<RestartableBroker> {
  running = await startRestartableBroker({ configuration });
  return running;
}

async function leave(broker: RestartableBroker, clientId: string, filter: string): Promise<void> {
  const client = await TestClient.connect(broker.current(), { ...LASTING, clientId });
  await client.subscribe(filter, { qos: 1 });
  await client.disconnect();
}

/** Publishes numbers, in order. @returns the Reason Codes */
async function publishAll(
  publisher: TestClient,
  topics: readonly string[],
  first: number,
): Promise<number[]> {
  const codes: number[] = [];
  for (let from = 0; from < topics.length; from += WIDTH) {
    const some = topics.slice(from, from + WIDTH);
    const identifiers = some.map((topic, index) =>
      publisher.sendPublish(topic, `${first + from + index}`, { qos: 1 }),
    );
    for (const identifier of identifiers) {
      codes.push((await publisher.expect("puback", identifier)).reasonCode ?? 0);
    }
  }
  return codes;
}

/** Takes messages until one has this payload. @returns the payloads */
async function receiveUntil(client: TestClient, last: string): Promise<string[]> {
  const payloads: string[] = [];
  while (payloads.at(-1) !== last) payloads.push((await client.receive()).payload);
  return payloads;
}

test("with few messages at its front and many at its end it comes whole", async () => {
  const broker = await start("queue_rule state/# keep=last");
  await leave(broker, "device", "#");
  const publisher = await TestClient.connect(broker.current());
  // Of the states one waits: so many sequences in front have one message.
  const states = Array.from({ length: 9_000 }, () => "state/x");
  const alarms = Array.from({ length: 12_000 }, (_, index) => `alarm/${index % 100}`);
  await publishAll(publisher, ["alarm/0", ...states, ...alarms], 0);
  process.kill(broker.current().pid, "SIGUSR1");
  await until("the index", () => broker.current().output().includes("SIGUSR1: "));
  // What it holds of that goes into the window, and is in the store only after a crash.
  const device = { ...LASTING, clientId: "device" };
  const slow = await TestClient.connect(broker.current(), {
    ...device,
    properties: { ...LASTING.properties, receiveMaximum: 20 },
  });
  for (let i = 0; i < 20; i++) await slow.expectPublish();
  await broker.restart("kill -9");
  const again = await TestClient.connect(broker.current(), {
    ...device,
    properties: { ...LASTING.properties, receiveMaximum: 200 },
  });
  const last = `${states.length + alarms.length}`;
  const numbers = (await receiveUntil(again, last)).map(Number);
  const owed = [0, ...[...alarms.keys()].map((index) => 1 + states.length + index)];
  expect([...new Set(numbers)].filter((number) => owed.includes(number))).toEqual(owed);
}, 60_000);

test("a body that many are owed is one after a crash, too", async () => {
  const count = 200;
  // A body for each of them would not fit.
  const broker = await start("memory_limit 33554432");
  for (let index = 0; index < count; index++) await leave(broker, `device${index}`, "t");
  const publisher = await TestClient.connect(broker.current());
  expect(await publisher.publish("t", "x".repeat(200_000), { qos: 1 })).toBe(0);
  await broker.restart("kill -9");
  for (const index of [0, count - 1]) {
    const options = { ...LASTING, clientId: `device${index}` };
    const device = await TestClient.connect(broker.current(), options);
    expect((await device.receive()).payload).toHaveLength(200_000);
  }
}, 60_000);

test("at memory_limit a message is acknowledged with success for all, or refused", async () => {
  const count = 100;
  const broker = await start("memory_limit 8388608", "log_type error");
  for (let index = 0; index < count; index++) await leave(broker, `device${index}`, "t");
  const publisher = await TestClient.connect(broker.current());
  const topics = Array.from({ length: WIDTH }, () => "t");
  const accepted: string[] = [];
  let refusedCount = 0;
  for (let round = 0; refusedCount === 0 && round < 100; round++) {
    const codes = await publishAll(publisher, topics, round * WIDTH);
    for (const [index, code] of codes.entries()) {
      if (code === 0) accepted.push(`${round * WIDTH + index}`);
      else refusedCount++;
    }
  }
  expect(refusedCount).toBeGreaterThan(0);
  const last = accepted.at(-1) ?? "";
  for (const index of [0, 1, count / 2, count - 1]) {
    const options = { ...LASTING, clientId: `device${index}` };
    const device = await TestClient.connect(broker.current(), options);
    expect(await receiveUntil(device, last)).toEqual(accepted);
    device.destroy();
  }
}, 120_000);

test("queue_overflow reject acknowledges with success what it keeps", async () => {
  const broker = await start("queue_overflow reject", "max_queued_bytes 1000");
  await leave(broker, "device", "t");
  const publisher = await TestClient.connect(broker.current());
  const accepted: string[] = [];
  for (const bytes of [700, 150, 150, 190, 300, 40]) {
    const payload = "x".repeat(bytes);
    if ((await publisher.publish("t", payload, { qos: 1 })) === 0) accepted.push(payload);
  }
  expect(accepted.length).toBeGreaterThan(0);
  const device = await TestClient.connect(broker.current(), { ...LASTING, clientId: "device" });
  for (const payload of accepted) await device.receive({ payload });
  await device.expectNothing();
});

test("acknowledgements of an earlier run's messages count before those are loaded", async () => {
  const broker = await start();
  const device = { ...LASTING, clientId: "device" };
  const before = await TestClient.connect(broker.current(), device);
  await before.subscribe("t", { qos: 2 });
  const publisher = await TestClient.connect(broker.current());
  for (const qos of [1, 2, 1] as const) await publisher.publish("t", "x", { qos });
  const [one, two, three] = [
    await before.expectPublish(),
    await before.expectPublish(),
    await before.expectPublish(),
  ];
  await publisher.disconnect();
  await broker.restart("stop");
  const client = await TestClient.open(broker.current());
  client.sendConnect(device);
  // Before the broker can have looked into its store.
  client.send({ cmd: "puback", messageId: one.packetIdentifier });
  client.send({ cmd: "pubrec", messageId: two.packetIdentifier });
  expect((await client.expectConnack()).sessionPresent).toBe(true);
  await client.expect("pubrel", two.packetIdentifier);
  client.send({ cmd: "pubcomp", messageId: two.packetIdentifier });
  await client.receive({ packetIdentifier: three.packetIdentifier, dup: true });
  await client.expectNothing();
  await client.disconnect();
});
