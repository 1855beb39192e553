/** Hostile clients before their CONNACK: slow, silent, very many, and those that lie. */
import { randomBytes } from "node:crypto";
import { generate } from "mqtt-packet";
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import { freePorts } from "../support/running-broker.ts";
import { type Foe, openFoe, openFoes, Siege } from "./siege.ts";

let siege: Siege;
let slow: Foe[] = [];
let slowBeganMs = 0;
/** Peers of a WebSocket listener on Node's server, whose requests do not end. */
let unasked: Foe[] = [];
let webPort = 0;

function connectPacket(clientId: string, keepalive = 0): Buffer {
  return generate({ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clientId, keepalive });
}

beforeAll(async () => {
  [webPort = 0] = await freePorts(1);
  // Longer headers than uWebSockets.js takes.
  const web = [`listener ${webPort} 127.0.0.1`, "protocol websockets"];
  siege = await Siege.begin({
    configuration: [
      "memory_limit 268435456",
      "log_type error",
      "websockets_headers_size 8192",
      ...web,
    ],
  });
});
afterAll(() => siege.end());

test("a byte a second: what is no CONNECT yet stays cheap, and is not answered", async () => {
  const packet = connectPacket("slow", 60);
  slowBeganMs = performance.now();
  await siege.endure(
    async () => {
      slow = await openFoes(siege.broker.port, 300);
      unasked = await openFoes(webPort, 100, ({ socket }) =>
        socket.write("GET /mqtt HTTP/1.1\r\n"),
      );
      let sent = 0;
      await new Promise<void>((resolve) => {
        const timer = setInterval(() => {
          for (const { socket } of slow) socket.write(packet.subarray(sent, sent + 1));
          sent += 1;
          if (sent < 4) return;
          clearInterval(timer);
          resolve();
        }, 1_000);
      });
      expect(slow.every((foe) => foe.received().length === 0)).toBe(true);
      expect(unasked.some((foe) => foe.isClosed())).toBe(false);
    },
    { residentMiBMax: 100 },
  );
});

test("5000 sockets that say nothing", async () => {
  await siege.endure(
    async (cut) => {
      const foes = await openFoes(siege.broker.port, 5_000, cut);
      expect(foes.filter((foe) => foe.isClosed())).toEqual([]);
    },
    { residentMiBMax: 200 },
  );
}, 60_000);

test("a flood of connections that come, say who they are, and are cut off", async () => {
  await siege.endure(
    async () => {
      for (let round = 0; round < 20; round++) {
        const foes = await openFoes(siege.broker.port, 200, (foe, i) => {
          foe.socket.write(connectPacket(`flood-${round}-${i}`));
        });
        for (const { socket } of foes) socket.resetAndDestroy();
        await Promise.all(foes.map((foe) => foe.closed()));
      }
    },
    { residentMiBMax: 150 },
  );
}, 60_000);

test("lengths that are announced: 256 MiB, and 500 KiB that never come whole", async () => {
  await siege.endure(
    async (cut) => {
      const huge = await openFoes(siege.broker.port, 100, (foe) => {
        foe.socket.write(Buffer.from("10ffffff7f", "hex"));
        cut(foe);
      });
      await Promise.all(huge.map((foe) => foe.closed()));
      // Within what a CONNECT may have: only so many of them are kept.
      const head = Buffer.concat([Buffer.from("10", "hex"), Buffer.from([0xa0, 0xc2, 0x1e])]);
      const half = Buffer.concat([head, Buffer.alloc(250_000)]);
      const foes = await openFoes(siege.broker.port, 400, (foe) => {
        foe.socket.write(half);
        cut(foe);
      });
      await until("some are turned away", () => foes.some((foe) => foe.isClosed()), 20_000);
    },
    // A quarter of memory_limit for what is not whole, and what the kernel hands over meanwhile.
    { residentMiBMax: 200 },
  );
}, 60_000);

test("garbage is cut off at once, not when its length has come [MQTT-3.1.0-1]", async () => {
  const beganMs = performance.now();
  await siege.endure(
    async (cut) => {
      const foes = await openFoes(siege.broker.port, 500, (foe) => {
        const bytes = randomBytes(2_000);
        // No CONNECT by accident.
        if (((bytes[0] ?? 0) & 0xf0) === 0x10) bytes[0] = 0xff;
        foe.socket.write(bytes);
        cut(foe);
      });
      await Promise.all(foes.map((foe) => foe.closed()));
      expect(foes.every((foe) => foe.received().length === 0)).toBe(true);
    },
    { residentMiBMax: 100 },
  );
  // Much less than the time for a CONNECT.
  expect(performance.now() - beganMs).toBeLessThan(15_000);
}, 60_000);

test("1000 fight for one Client Identifier; the last one has it", async () => {
  await siege.endure(
    async (cut) => {
      const thieves: Foe[] = [];
      for (let round = 0; round < 20; round++) {
        thieves.push(
          ...(await openFoes(siege.broker.port, 50, (foe) => {
            foe.socket.write(connectPacket("mine"));
            cut(foe);
          })),
        );
      }
      await until(
        "one is left",
        () => thieves.filter((foe) => !foe.isClosed()).length <= 1,
        20_000,
      );
      const owner = await TestClient.connect(siege.broker, { clientId: "mine" });
      await owner.ping();
      await owner.disconnect();
    },
    { residentMiBMax: 100 },
  );
}, 60_000);

test("logins that are taken from others: a Client Identifier of 65535 bytes", async () => {
  await siege.endure(
    async (cut) => {
      const foes = await openFoes(siege.broker.port, 100, (foe, i) => {
        foe.socket.write(connectPacket(`${"x".repeat(65_530)}${i}`));
        cut(foe);
      });
      await until("their CONNACKs", () => foes.every((foe) => foe.received().length >= 4));
    },
    { residentMiBMax: 150 },
  );
}, 60_000);

test("whoever has not said in 30 s who it is, is cut off", async () => {
  const seconds = () => (performance.now() - slowBeganMs) / 1_000;
  await until("their end", () => slow.every((foe) => foe.isClosed()), 40_000);
  expect(seconds()).toBeGreaterThan(25);
  const late = await openFoe(siege.broker.port);
  expect(late.isClosed()).toBe(false);
  late.socket.destroy();
}, 60_000);

test("whoever has not asked for a WebSocket in 20 s is cut off", async () => {
  // They began with the slow ones of above, which had ten seconds more.
  expect(unasked.length).toBe(100);
  await until("their end", () => unasked.every((foe) => foe.isClosed()));
  const asking = await openFoe(webPort);
  expect(asking.isClosed()).toBe(false);
  asking.socket.destroy();
});
