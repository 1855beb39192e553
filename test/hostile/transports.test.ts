/**
 * Hostile peers of the transports: HTTP in front of WebSocket, frames, TLS handshakes; and who
 * looks for topics that it may not read.
 */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { elapse, until } from "../support/await.ts";
import { Certificates } from "../support/certificates.ts";
import { TestClient } from "../support/client.ts";
import { freePorts } from "../support/running-broker.ts";
import { type Foe, openFoe, openFoes, Siege } from "./siege.ts";

function upgrade(...more: string[]): string {
  const key = randomBytes(16).toString("base64");
  return [
    "GET /mqtt HTTP/1.1",
    "Host: x",
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Key: ${key}`,
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Protocol: mqtt",
    ...more,
    "",
    "",
  ].join("\r\n");
}

/** A frame of a client, masked with zeros. */
function frame(first: number, payload: Buffer): Buffer {
  const { length } = payload;
  const head =
    length < 126
      ? Buffer.from([first, 0x80 | length])
      : Buffer.from([first, 0x80 | 126, length >> 8, length & 0xff]);
  return Buffer.concat([head, Buffer.alloc(4), payload]);
}

/** The beginning of a frame of a client of 64 KiB and more, masked with zeros. */
function longHead(length: number): Buffer {
  const head = Buffer.alloc(14);
  head.writeUInt16BE(0x82ff, 0);
  head.writeUInt32BE(length, 6);
  return head;
}

const BINARY = 0x82;
const BINARY_BEGIN = 0x02;
const CONTINUATION = 0x00;
const PING = 0x89;
// CONNECT of 3.1.1, with a Client Identifier of one byte.
const CONNECT = Buffer.from("100d00044d51545404020000000178", "hex");

describe("WebSocket", () => {
  let siege: Siege;
  const port = () => siege.broker.webSocketPort;

  beforeAll(async () => {
    siege = await Siege.begin({ configuration: ["memory_limit 268435456", "log_type error"] });
  });
  afterAll(() => siege.end());

  /** A WebSocket whose client has sent its CONNECT. */
  async function openSocket(): Promise<Foe> {
    const foe = await openFoe(port());
    foe.socket.write(upgrade());
    await until("the upgrade", () => foe.received().includes("\r\n\r\n"));
    const before = foe.received().length;
    foe.socket.write(frame(BINARY, CONNECT));
    await until("CONNACK", () => foe.received().length > before);
    return foe;
  }

  test("a request whose headers do not end is cut off", async () => {
    await siege.endure(
      async (cut) => {
        const foes = await openFoes(port(), 100, (foe) => {
          cut(foe);
          foe.socket.write(`GET /mqtt HTTP/1.1\r\nX: ${"x".repeat(200_000)}`);
        });
        await until("their end", () => foes.every((foe) => foe.isClosed()), 20_000);
      },
      { residentMiBMax: 100 },
    );
  }, 60_000);

  test("very many headers are cut off", async () => {
    await siege.endure(
      async (cut) => {
        const many = Array.from({ length: 5_000 }, (_, i) => `X-${i}: ${i}`);
        const foes = await openFoes(port(), 50, (foe) => {
          cut(foe);
          foe.socket.write(upgrade(...many));
        });
        await until("their end", () => foes.every((foe) => foe.isClosed()), 20_000);
        expect(foes.some((foe) => foe.received().includes("101 "))).toBe(false);
      },
      { residentMiBMax: 100 },
    );
  }, 60_000);

  test("what a client writes into its headers is in no header of the answer", async () => {
    await siege.endure(
      async (cut) => {
        for (const injected of [
          "Sec-WebSocket-Protocol: mqtt\r\nSet-Cookie: a=b",
          "Sec-WebSocket-Protocol: mqtt\nSet-Cookie: a=b",
          "Sec-WebSocket-Protocol: mqtt, x\rSet-Cookie: a=b",
          "Origin: x\r\nLocation: http://evil",
          'Sec-WebSocket-Extensions: permessage-deflate; x="\rSet-Cookie: a=b"',
        ]) {
          const foe = cut(await openFoe(port()));
          foe.socket.write(upgrade(injected));
          // Whether there is an answer is the library's choice, and nothing announces that none is.
          await elapse(300);
          expect(foe.received().toString()).not.toMatch(/set-cookie|location/i);
        }
      },
      { residentMiBMax: 50 },
    );
  });

  test.for([60_000, 0])(
    "fragments of %i bytes that have no end",
    { timeout: 60_000 },
    async (bytes) => {
      await siege.endure(
        async (cut) => {
          const foe = cut(await openSocket());
          const part = Buffer.alloc(bytes);
          foe.socket.write(frame(BINARY_BEGIN, part));
          const more = Buffer.concat(Array.from({ length: 100 }, () => frame(CONTINUATION, part)));
          for (let i = 0; i < 40 && !foe.isClosed(); i++) {
            await new Promise<void>((resolve) => foe.socket.write(more, () => resolve()));
          }
          if (bytes > 0) await until("its end", () => foe.isClosed(), 20_000);
        },
        { residentMiBMax: 150 },
      );
    },
  );

  test("a flood of its pings", async () => {
    await siege.endure(
      async (cut) => {
        const foe = cut(await openSocket());
        foe.socket.pause();
        const pings = Buffer.concat(
          Array.from({ length: 2_000 }, () => frame(PING, Buffer.alloc(100))),
        );
        let isStuck = false;
        for (let i = 0; i < 200 && !isStuck && !foe.isClosed(); i++) {
          isStuck = await Promise.race([
            new Promise<boolean>((resolve) => foe.socket.write(pings, () => resolve(false))),
            new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 1_000)),
          ]);
        }
      },
      { residentMiBMax: 150 },
    );
  }, 60_000);
});

describe("messages that do not end, before any CONNECT", () => {
  let siege: Siege;
  let nodePort: number;

  beforeAll(async () => {
    [nodePort = 0] = await freePorts(1);
    siege = await Siege.begin({
      configuration: [
        "memory_limit 268435456",
        `listener ${nodePort} 127.0.0.1`,
        "protocol websockets",
        // Which uWebSockets.js does not know.
        "enable_proxy_protocol 1",
      ],
    });
  });
  afterAll(() => siege.end());

  const LENGTH = 1_900_000;
  const endless = Buffer.concat([longHead(LENGTH), Buffer.alloc(LENGTH - 10)]);

  test.each([
    // At most five seconds of what comes in: the library does not tell how much it has gathered.
    ["uWebSockets.js", () => siege.broker.webSocketPort, "", 400],
    ["Node's server", () => nodePort, "PROXY UNKNOWN\r\n", 150],
  ])(
    "%s lets them go",
    async (_server, port, before, residentMiBMax) => {
      await siege.endure(
        async (cut) => {
          const foes = await openFoes(port(), 150, (foe) => {
            cut(foe);
            foe.socket.write(before + upgrade());
            foe.socket.once("data", () => foe.socket.write(endless));
          });
          const count = () => foes.filter((foe) => !foe.isClosed()).length;
          await until("their end", () => count() <= 20, 10_000);
        },
        { residentMiBMax },
      );
    },
    60_000,
  );
});

describe("TLS", () => {
  let siege: Siege;
  let certificates: Certificates;
  let port: number;

  beforeAll(async () => {
    certificates = new Certificates();
    const { certificateFile, keyFile } = certificates.sign("server", { subject: "/CN=localhost" });
    [port = 0] = await freePorts(1);
    siege = await Siege.begin({
      configuration: [
        "memory_limit 268435456",
        "log_type error",
        `listener ${port} 127.0.0.1`,
        `certfile ${certificateFile}`,
        `keyfile ${keyFile}`,
        "tls_version tlsv1.2",
      ],
    });
  });
  afterAll(async () => {
    await siege.end();
    certificates.remove();
  });

  function shake(options: ConnectionOptions): Promise<string> {
    return new Promise((resolve) => {
      const socket = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false, ...options });
      socket.once("secureConnect", () => {
        resolve(socket.getProtocol() ?? "");
        socket.destroy();
      });
      socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });
  }

  test("older versions, and ciphers without a key exchange that lasts, are refused", async () => {
    const weak = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "ALL@SECLEVEL=0" } as const;
    expect(await shake(weak)).not.toMatch(/^TLSv/);
    const noCipher = { maxVersion: "TLSv1.2", ciphers: "NULL-SHA256:@SECLEVEL=0" } as const;
    expect(await shake(noCipher)).not.toMatch(/^TLSv/);
    expect(await shake({ maxVersion: "TLSv1.2" })).toBe("TLSv1.2");
    expect(await shake({})).toBe("TLSv1.3");
  });

  test("a flood of handshakes: begun, broken off, of garbage", async () => {
    await siege.endure(
      async (cut) => {
        // The beginning of a ClientHello that announces more.
        const hello = Buffer.concat([
          Buffer.from("1603010200010001fc0303", "hex"),
          randomBytes(32),
        ]);
        await openFoes(port, 500, (foe, i) => {
          cut(foe);
          foe.socket.write(i % 2 === 0 ? hello : randomBytes(500));
        });
        for (let round = 0; round < 10; round++) {
          await Promise.all(Array.from({ length: 20 }, () => shake({})));
        }
      },
      { residentMiBMax: 200 },
    );
  }, 60_000);
});

describe("who may not read", () => {
  let siege: Siege;

  beforeAll(async () => {
    const [folder, acl] = [new Certificates(), "acl"];
    writeFileSync(
      join(folder.directory, acl),
      "topic readwrite honest/#\nuser honest\ntopic readwrite #\nuser victim\ntopic readwrite #\n",
    );
    siege = await Siege.begin({
      configuration: [`acl_file ${folder.path(acl)}`, "log_type error"],
    });
    folder.remove();
  });
  afterAll(() => siege.end());

  test("looks in vain: with wildcards, $share, $SYS, retained messages, wills", async () => {
    await siege.endure(
      async () => {
        const victim = await TestClient.connect(siege.broker, {
          clientId: "v",
          userName: "victim",
        });
        await victim.publish("secret/retained", "s", { qos: 1, retain: true });
        const prober = await TestClient.connect(siege.broker, {
          clientId: "prober",
          will: { topic: "secret/will", payload: Buffer.from("forged"), qos: 1, retain: true },
        });
        for (const filter of [
          "#",
          "+/#",
          "secret/#",
          "secret/+",
          "+/retained",
          "$share/g/#",
          "$share/g/secret/#",
          "$SYS/#",
          "/#",
          "secret/retained/#",
        ]) {
          await prober.subscribe(filter, { qos: 2 });
        }
        for (let i = 0; i < 200; i++) {
          await victim.publish("secret/live", `${i}`, { qos: 1 });
          await prober.publish(`secret/${i}`, "forged", { qos: 1 });
        }
        await victim.subscribe("secret/#", { qos: 1 });
        const seen = await victim.receive();
        expect([seen.topic, seen.payload]).toEqual(["secret/retained", "s"]);
        await prober.ping();
        const found = prober.takeDeliveries().filter(({ topic }) => !topic.startsWith("honest/"));
        expect(found).toEqual([]);
        prober.destroy();
        await victim.expectNothing();
        await victim.disconnect();
      },
      { residentMiBMax: 100 },
    );
  }, 60_000);
});
