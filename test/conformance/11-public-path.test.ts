/**
 * Chapter 11: the two ways of bytes into the engine. Raw handles are the default and carry all the
 * other chapters; public sockets stand in for them where Node.js has changed, and must do the same.
 */
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import { rawPacket, text } from "../support/client-bytes.ts";
import type { Version } from "../support/client-packets.ts";
import { type RunningBroker, startBroker } from "../support/running-broker.ts";
import { type Chapter, startChapter } from "./chapter.ts";

type ReadPath = "public" | "raw";

const BANNERS = { public: "public sockets", raw: "raw handles" } as const;
/** What the broker says of itself comes each second. */
const FREQUENT_SYS = ["sys_interval 1"];

/** Sets what the broker's process will find in its environment. */
function choose(path: ReadPath): void {
  vi.stubEnv("HOLDFAST_READ_PATH", path === "public" ? "public" : undefined);
}

/** A chapter whose broker reads by this path. */
function startOn(path: ReadPath): Chapter {
  beforeAll(() => choose(path));
  const chapter = startChapter({ configuration: FREQUENT_SYS });
  // Behind the broker's start, as hooks run in the order in which they stand.
  beforeAll(() => vi.unstubAllEnvs());
  return chapter;
}

function descriptorCount({ pid }: RunningBroker): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** A fixed header that no packet has; done when the broker has closed. */
async function garble(client: TestClient): Promise<void> {
  client.sendBytes(Uint8Array.of(0xf1));
  await client.closed();
}

/** Every way in which a Network Connection comes to its end. */
const ENDS: readonly ((client: TestClient) => Promise<void>)[] = [
  (client) => client.disconnect(),
  (client) => client.drop(),
  async (client) => client.destroy(),
  (client) => garble(client),
  async (client) => {
    // Half a packet, a write under way, a reset.
    await client.subscribe("end/#");
    client.sendPublish("end/x", Buffer.alloc(20_000, "x"));
    client.sendBytes(rawPacket(0x30, text("end/y"), 0, Buffer.alloc(9_000)).subarray(0, 5_000));
    client.destroy();
  },
];

describe.for(["raw", "public"] as const)("the %s path", (path) => {
  const { broker, connect, open } = startOn(path);

  test("the banner names it", async () => {
    const line = () => /Read path: (.*)/.exec(broker().output())?.[1];
    await until("the banner", () => line() !== undefined);
    expect(line()).toContain(BANNERS[path]);
  });

  test("2000 connections that come and go leave nothing open", { timeout: 60_000 }, async () => {
    const observer = await connect();
    const before = descriptorCount(broker());
    for (let round = 0; round < 20; round++) {
      const silent = await Promise.all(Array.from({ length: 20 }, () => open()));
      const clients = await Promise.all(Array.from({ length: 80 }, () => connect()));
      expect(descriptorCount(broker())).toBeGreaterThanOrEqual(before + 80);
      const ends = clients.map((client, index) => ENDS[index % ENDS.length]?.(client));
      for (const client of silent) client.destroy();
      await Promise.all(ends);
      await Promise.all([...clients, ...silent].map((client) => client.closed()));
    }
    await until("descriptors as before", () => descriptorCount(broker()) <= before);
    await observer.subscribe("$SYS/broker/clients/connected", { qos: 1 });
    // The observer itself is what is left.
    for (let count = ""; count !== "1"; ) count = (await observer.receive()).payload;
  });
});

describe("over public sockets", () => {
  const { connect } = startOn("public");

  test.for([4, 5] as const)(
    "version %i: messages of each QoS come once and in order [MQTT-4.6.0-5]",
    async (version) => {
      const subscriber = await connect({ version });
      const publisher = await connect({ version });
      for (const qos of [0, 1, 2] as const) {
        await subscriber.subscribe(`order/${version}/${qos}`, { qos });
        for (let i = 0; i < 100; i++) {
          await publisher.publish(`order/${version}/${qos}`, `${i}`, { qos });
        }
        for (let i = 0; i < 100; i++)
          await subscriber.receive({ payload: `${i}`, qos, dup: false });
      }
      await subscriber.expectNothing(publisher);
    },
  );

  test("a packet of 1 MiB goes through whole, between small ones", async () => {
    const subscriber = await connect();
    const publisher = await connect();
    await subscriber.subscribe("large", { qos: 2 });
    const payload = Buffer.alloc(1024 * 1024, "0123456789abcdefg");
    for (const qos of [0, 1, 2] as const) {
      publisher.sendPublish("large", "before");
      expect(await publisher.publish("large", payload, { qos })).toBe(0);
      publisher.sendPublish("large", "behind");
      await subscriber.receive({ payload: "before" });
      const { payloadBytes } = await subscriber.receive({ qos });
      expect(payloadBytes.equals(payload)).toBe(true);
      await subscriber.receive({ payload: "behind" });
    }
  });

  test("a slow reader delays no one, and gets all that is acknowledged", async () => {
    const slow = await connect({ properties: { receiveMaximum: 100 } });
    const fast = await connect();
    const publisher = await connect();
    await slow.subscribe("slow/#", { qos: 1 });
    await fast.subscribe("slow/#", { qos: 1 });
    slow.pause();
    const payload = Buffer.alloc(40_000, "x");
    const count = 400;
    for (let i = 0; i < count; i++) {
      expect(await publisher.publish(`slow/${i}`, payload, { qos: 1 })).toBe(0);
      await fast.receive({ topic: `slow/${i}` });
    }
    slow.resume();
    for (let i = 0; i < count; i++) {
      const { payloadBytes } = await slow.receive({ topic: `slow/${i}` });
      expect(payloadBytes.equals(payload)).toBe(true);
    }
    await slow.expectNothing();
  });

  test("QoS 0 past the limit of a slow reader is dropped, and nothing is torn", async () => {
    const slow = await connect();
    const publisher = await connect();
    await slow.subscribe("drop/#");
    slow.pause();
    const payload = Buffer.alloc(64_000, "x");
    const count = 600;
    for (let i = 0; i < count; i++) await publisher.publish(`drop/${i}`, payload);
    await publisher.ping();
    slow.resume();
    await slow.ping();
    expect(slow.byteCount).toBeGreaterThan(1_000_000);
    expect(slow.byteCount).toBeLessThan(count * payload.length);
    await publisher.publish("drop/last", "marker");
    for (let topic = ""; topic !== "drop/last"; ) ({ topic } = await slow.expectPublish());
  });

  test.for<readonly [string, number, (client: TestClient) => Promise<unknown> | unknown]>([
    ["a Protocol Error", 0x82, (client) => client.sendBytes(Uint8Array.of(0x20, 0x00))],
    ["a malformed packet", 0x81, (client) => client.sendBytes(Uint8Array.of(0xf1))],
    ["a takeover [MQTT-3.1.4-3]", 0x8e, ({ clientId }) => connect({ clientId })],
  ])("%s is told with its code before the close", async ([, code, provoke]) => {
    const client = await connect();
    await provoke(client);
    await client.expectDisconnect(code);
  });

  test.for<readonly [string, (client: TestClient) => unknown]>([
    ["a reset", (client) => client.destroy()],
    ["the end of the stream", (client) => client.drop()],
    ["garbage", (client) => garble(client)],
  ])("%s sends the will [MQTT-3.1.2-8]", async ([name, end]) => {
    const observer = await connect();
    await observer.subscribe(`gone/${name}`, { qos: 2 });
    const will = { topic: `gone/${name}`, payload: Buffer.from("gone"), qos: 2 as const };
    await end(await connect({ will: { ...will, retain: false } }));
    await observer.receive({ topic: `gone/${name}`, payload: "gone", qos: 2 });
  });
});

describe("a stop on the public path", () => {
  let broker: RunningBroker | undefined;
  beforeAll(async () => {
    choose("public");
    broker = await startBroker();
    vi.unstubAllEnvs();
  });
  afterAll(() => broker?.stop());

  test("tells 0x8B, and exits with 0 [§3.14.2.1]", async () => {
    if (broker === undefined) throw new Error("not started");
    const running = broker;
    const versions: readonly Version[] = [3, 4, 5];
    const clients = await Promise.all(
      versions.map((version) => TestClient.connect(running, { version })),
    );
    const stopped = running.stop();
    for (const client of clients) await client.expectDisconnect(0x8b);
    expect(await stopped).toBe(0);
    broker = undefined;
  });
});
