/**
 * Chapter 10: one that is slow, large, broken or many never harms the others.
 */
import { connect as connectSocket } from "node:net";
import { describe, expect, test } from "vitest";
import { until } from "../support/await.ts";
import type { TestClient } from "../support/client.ts";
import { cutPackets, rawConnect, rawPacket, text } from "../support/client-bytes.ts";
import { startChapter } from "./chapter.ts";

const chapter = startChapter();
const { connect, open } = chapter;

/** Round trip of a PINGREQ, in milliseconds. */
async function pingMilliseconds(client: TestClient): Promise<number> {
  const since = performance.now();
  await client.ping();
  return performance.now() - since;
}

describe("a slow reader", () => {
  test("QoS 0 is dropped past its limit, others are not delayed", async () => {
    const slow = await connect();
    const fast = await connect();
    const publisher = await connect();
    await slow.subscribe("slow/#");
    await fast.subscribe("slow/#");
    slow.pause();
    const payload = Buffer.alloc(64_000, "x");
    const count = 600;
    for (let i = 0; i < count; i++) {
      await publisher.publish(`slow/${i}`, payload);
      await fast.expectPublish({ topic: `slow/${i}` });
      expect(await pingMilliseconds(publisher)).toBeLessThan(1000);
    }
    slow.resume();
    await publisher.publish("slow/last", "marker", { qos: 1 });
    await slow.ping();
    expect(slow.byteCount).toBeGreaterThan(0);
    expect(slow.byteCount).toBeLessThan(count * payload.length);
  });

  test("its QoS 1 messages wait, none is lost", async () => {
    const slow = await connect({ properties: { receiveMaximum: 50 } });
    const fast = await connect();
    const publisher = await connect();
    await slow.subscribe("wait/#", { qos: 1 });
    await fast.subscribe("wait/#", { qos: 1 });
    slow.pause();
    const payload = Buffer.alloc(20_000, "x");
    for (let i = 0; i < 400; i++) {
      expect(await publisher.publish(`wait/${i}`, payload, { qos: 1 })).toBeLessThan(0x80);
      await fast.receive({ topic: `wait/${i}` });
    }
    slow.resume();
    for (let i = 0; i < 400; i++) await slow.receive({ topic: `wait/${i}` });
    await slow.expectNothing();
  });
});

describe("one PUBLISH to very many", () => {
  const RECEIVERS = 2000;
  const MESSAGES = 10;
  const PAYLOAD = Buffer.alloc(1000, "x");

  test("2000 receivers get all of it, and no ping waits for long", async () => {
    const perMessage = rawPacket(0x30, text("crowd"), 0, PAYLOAD).length;
    const receivers = await Promise.all(Array.from({ length: RECEIVERS }, (_, i) => receiver(i)));
    const publisher = await connect();
    const bystander = await connect();
    let slowest = 0;
    let isDone = false;
    const pinging = (async () => {
      while (!isDone) slowest = Math.max(slowest, await pingMilliseconds(bystander));
    })();
    for (let i = 0; i < MESSAGES; i++) await publisher.publish("crowd", PAYLOAD, { qos: 1 });
    const due = MESSAGES * perMessage;
    await until("all receivers served", () => receivers.every((one) => one.byteCount() >= due));
    isDone = true;
    await pinging;
    for (const one of receivers) {
      expect(one.byteCount()).toBe(due);
      one.destroy();
    }
    expect(slowest).toBeLessThan(500);
  });

  /** A subscriber that only counts bytes behind its SUBACK. */
  function receiver(index: number) {
    const subackBytes = rawPacket(0x90, [0, 1], 0, 0).length;
    return new Promise<{ byteCount: () => number; destroy: () => void }>((resolve, reject) => {
      const socket = connectSocket({ port: chapter.broker().port, host: "127.0.0.1" });
      let connackBytes = 0;
      let byteCount = 0;
      socket.on("error", reject);
      socket.on("data", (chunk: Buffer) => {
        if (connackBytes === 0) {
          connackBytes = cutPackets(chunk).packets[0]?.length ?? 0;
          socket.write(rawPacket(0x82, [0, 1], 0, text("crowd"), 0));
        }
        const before = byteCount;
        byteCount += chunk.length;
        const due = connackBytes + subackBytes;
        if (before < due && byteCount >= due) {
          resolve({ byteCount: () => byteCount - due, destroy: () => socket.destroy() });
        }
      });
      socket.write(rawConnect({ payload: [text(`crowd${index}`)] }));
    });
  }
});

describe("broken peers", () => {
  test("half a CONNECT on 500 connections disturbs no one", async () => {
    const half = rawConnect({ payload: [text("half")] }).subarray(0, 9);
    const broken = await Promise.all(Array.from({ length: 500 }, () => open()));
    for (const one of broken) one.sendBytes(half);
    const client = await connect();
    await client.subscribe("half");
    await client.publish("half", "x", { qos: 1 });
    await client.expectPublish({ payload: "x" });
  });

  test("garbage of every first byte is answered by a close", async () => {
    for (let first = 0; first < 256; first++) {
      if (first === 0x10) continue;
      const client = await open();
      client.sendBytes(Buffer.concat([Buffer.of(first), Buffer.alloc(300, "GET / HTTP/1.1\r\n")]));
      await client.closed();
      client.expectInboxEmpty();
    }
    await (await connect()).ping();
  });

  test("a PUBLISH announced and never finished holds only its own connection", async () => {
    const stalled = await connect();
    stalled.sendBytes(rawPacket(0x30, text("stalled"), 0, Buffer.alloc(1_000_000)).subarray(0, 9));
    const client = await connect();
    await client.subscribe("stalled");
    await client.publish("stalled", "x");
    await client.expectPublish({ payload: "x" });
    stalled.destroy();
    await client.expectNothing();
  });

  test("connections that reset in the middle of a delivery leave the rest", async () => {
    const publisher = await connect();
    const steady = await connect();
    await steady.subscribe("reset/#", { qos: 1 });
    const doomed = await Promise.all(Array.from({ length: 50 }, () => connect()));
    await Promise.all(doomed.map((one) => one.subscribe("reset/#", { qos: 1 })));
    for (let i = 0; i < 50; i++) {
      publisher.sendPublish("reset/x", `${i}`, { qos: 1 });
      doomed[i]?.destroy();
    }
    for (let i = 0; i < 50; i++) await steady.receive({ payload: `${i}` });
    await steady.expectNothing(publisher);
  });
});

describe("memory_limit", () => {
  const small = startChapter({
    // What is on disk does not count: here all of it is in memory.
    configuration: [
      "durability memory",
      "memory_limit 67108864",
      "max_queued_messages 0",
      "max_queued_bytes 0",
    ],
  });

  test("past it new work gets 0x97 or a close; the broker goes on, and recovers", async () => {
    const keeper = { clientId: "hoarder", properties: { sessionExpiryInterval: 600 } };
    const bystander = await small.connect();
    const hoarder = await small.connect(keeper);
    await hoarder.subscribe("hoard/#", { qos: 1 });
    await hoarder.disconnect();
    const publisher = await small.connect();
    const payload = Buffer.alloc(500_000, "x");
    let isRefused = false;
    for (let i = 0; i < 400 && !isRefused; i++) {
      const code = await publisher.publish("hoard/x", payload, { qos: 1 }).catch(() => undefined);
      isRefused = code === undefined || code === 0x97;
    }
    expect(isRefused).toBe(true); // 200 MB do not fit into 64 MiB.
    await bystander.ping();
    const wiper = await small.connect({ clientId: "hoarder", clean: true });
    await wiper.subscribe("hoard/again", { qos: 1 });
    const again = await small.connect();
    expect(await again.publish("hoard/again", payload, { qos: 1 })).toBe(0);
    await wiper.receive({ topic: "hoard/again" });
    await bystander.ping();
  });
});
