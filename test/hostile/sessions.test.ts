/** Hostile clients behind their CONNACK: what one may pile up is bounded, others are served. */
import { generate, type IConnectPacket, type Packet } from "mqtt-packet";
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import { type Foe, openFoe, Siege } from "./siege.ts";

let siege: Siege;

beforeAll(async () => {
  siege = await Siege.begin({
    configuration: [
      "memory_limit 268435456",
      "max_queued_messages 1000",
      "max_outgoing_bytes 1048576",
      "durability memory",
      "log_type error",
    ],
  });
});
afterAll(() => siege.end());

function encode(packet: Packet): Buffer {
  return generate(packet, { protocolVersion: 5 });
}

/** A client of 5.0 that writes packets by hand, and reads nothing but what it is asked to. */
async function openClient(clientId: string, more: Partial<IConnectPacket> = {}): Promise<Foe> {
  const foe = await openFoe(siege.broker.port);
  const named = { protocolId: "MQTT", protocolVersion: 5, clientId, clean: true } as const;
  foe.socket.write(encode({ cmd: "connect", keepalive: 0, ...named, ...more }));
  await until("CONNACK", () => foe.received().length > 0 || foe.isClosed());
  return foe;
}

/** Writes, and waits until the kernel has taken it. */
function write(foe: Foe, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    foe.socket.write(bytes, () => resolve());
  });
}

/** The Reason Code of the DISCONNECT that came last. */
function reasonOf(foe: Foe): number | undefined {
  const bytes = foe.received();
  const at = bytes.lastIndexOf(0xe0);
  return bytes[at + 2];
}

test("a flood of pings whose answers nobody reads", async () => {
  await siege.endure(
    async (cut) => {
      const foe = cut(await openClient("pinging"));
      foe.socket.pause();
      const pings = Buffer.alloc(64 * 1024, Buffer.from("c000", "hex"));
      // Past what the kernel and the broker hold of the answers, the writes are not taken any more.
      let isStuck = false;
      for (let i = 0; i < 500 && !isStuck; i++) {
        const written = write(foe, pings);
        isStuck = await Promise.race([
          written.then(() => false),
          new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 1_000)),
        ]);
      }
      expect(isStuck || foe.isClosed()).toBe(true);
    },
    { residentMiBMax: 100 },
  );
}, 60_000);

test("60,000 subscriptions of one client, some as deep and as long as can be", async () => {
  await siege.endure(
    async (cut) => {
      const foe = cut(await openClient("subscribing"));
      for (let i = 0; i < 60_000; i += 500) {
        const subscriptions = Array.from({ length: 500 }, (_, k) => ({
          topic: `bomb/${i + k}/+/#`,
          qos: 0 as const,
        }));
        await write(foe, encode({ cmd: "subscribe", messageId: 1 + i, subscriptions }));
      }
      for (const topic of ["/".repeat(65_535), `${"+/".repeat(32_000)}#`, "x".repeat(65_535)]) {
        const subscriptions = [{ topic, qos: 0 as const }];
        await write(foe, encode({ cmd: "subscribe", messageId: 9, subscriptions }));
      }
      // Filters with `+` in every level match it at every level.
      const deep = "a/".repeat(16_000);
      for (let i = 0; i < 20; i++) {
        await write(
          foe,
          encode({ cmd: "publish", topic: deep, qos: 0, dup: false, retain: false, payload: "x" }),
        );
      }
      const before = foe.received().length;
      await write(foe, encode({ cmd: "pingreq" }));
      await until("its PINGRESP", () => foe.received().length > before || foe.isClosed(), 20_000);
    },
    { residentMiBMax: 200 },
  );
}, 60_000);

test("retained messages past their share: 0x97, and who is there is served", async () => {
  await siege.endure(
    async (cut) => {
      const foe = cut(await openClient("retaining"));
      const payload = Buffer.alloc(100_000);
      for (let i = 0; i < 4_000; i++) {
        const named = { topic: `hoard/${i}`, messageId: 1 + (i % 900), qos: 1 } as const;
        await write(foe, encode({ cmd: "publish", ...named, dup: false, retain: true, payload }));
      }
      await until("a refusal", () => foe.received().includes(0x97) || foe.isClosed(), 20_000);
      for (let i = 0; i < 4_000; i++) {
        const named = { topic: `hoard/${i}`, qos: 0 } as const;
        await write(
          foe,
          encode({ cmd: "publish", ...named, dup: false, retain: true, payload: "" }),
        );
      }
      const before = foe.received().length;
      await write(foe, encode({ cmd: "pingreq" }));
      const answered = () => foe.received().subarray(before).includes(Buffer.from("d000", "hex"));
      await until("its PINGRESP", answered, 20_000);
      const watching = await TestClient.connect(siege.broker, { clientId: "watching" });
      await watching.subscribe("hoard/+");
      await watching.ping();
      expect(watching.takeDeliveries().length).toBe(0);
      await watching.disconnect();
    },
    { residentMiBMax: 400 },
  );
}, 60_000);

test("QoS 2 Packet Identifiers that are hoarded: past Receive Maximum it is 0x93", async () => {
  await siege.endure(
    async (cut) => {
      const foe = cut(await openClient("hoarding"));
      for (let i = 1; i <= 65_535 && !foe.isClosed(); i++) {
        const named = { topic: "hoarded", messageId: i, qos: 2 } as const;
        await write(
          foe,
          encode({ cmd: "publish", ...named, dup: false, retain: false, payload: "x" }),
        );
      }
      await foe.closed();
      expect(reasonOf(foe)).toBe(0x93);
    },
    { residentMiBMax: 100 },
  );
}, 60_000);

test.for([
  ["above Topic Alias Maximum", 11, "aliased", 0x94],
  ["0", 0, "aliased", 0x94],
  ["that stands for nothing", 3, "", 0x82],
] as const)("a Topic Alias %s", async ([_, topicAlias, topic, code]) => {
  await siege.endure(
    async (cut) => {
      const foe = cut(await openClient("aliasing"));
      // By hand: mqtt-packet does not write what is not allowed.
      const name = Buffer.from(topic);
      const properties = Buffer.from([0x03, 0x23, topicAlias >> 8, topicAlias & 0xff]);
      const body = Buffer.concat([Buffer.from([0, name.length]), name, properties]);
      await write(foe, Buffer.concat([Buffer.from([0x30, body.length]), body]));
      await foe.closed();
      expect(reasonOf(foe)).toBe(code);
    },
    { residentMiBMax: 50 },
  );
});

test("who never acknowledges, and who never reads: their queues are bounded", async () => {
  await siege.endure(
    async (cut) => {
      const silent = cut(await openClient("silent", { properties: { sessionExpiryInterval: 60 } }));
      const deaf = cut(await openClient("deaf"));
      const subscriptions = [{ topic: "flood/#", qos: 1 as const }];
      for (const foe of [silent, deaf]) {
        await write(foe, encode({ cmd: "subscribe", messageId: 1, subscriptions }));
      }
      deaf.socket.pause();
      const writer = await TestClient.connect(siege.broker, { clientId: "flooding" });
      const payload = Buffer.alloc(20_000);
      for (let i = 0; i < 5_000; i++) {
        if (i % 50 === 0) await writer.publish("flood/x", payload, { qos: 1 });
        else writer.sendPublish("flood/x", payload);
      }
      await writer.ping();
      await writer.disconnect();
    },
    // 100 MB were sent to each: what is kept is max_queued_messages, and max_outgoing_bytes.
    { residentMiBMax: 150 },
  );
}, 60_000);

test("a will, a Session and an expiry each as large as they can be", async () => {
  await siege.endure(
    async (cut) => {
      for (let i = 0; i < 200; i++) {
        const will = {
          topic: "w".repeat(1_000),
          payload: Buffer.alloc(60_000),
          qos: 2,
          retain: true,
        };
        const properties = { sessionExpiryInterval: 0xffffffff };
        const clean = await openClient(`large-${i}`, { will: will as never, properties });
        cut(clean);
      }
    },
    { residentMiBMax: 150 },
  );
}, 60_000);
