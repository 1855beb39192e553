/**
 * Chapter 8: PINGREQ, DISCONNECT and the end of the broker. MQTT 5.0 §3.12, §3.14, §3.15, §4.13.
 */
import { afterEach, describe, expect, test } from "vitest";
import { TestClient } from "../support/client.ts";
import { rawPacket, text } from "../support/client-bytes.ts";
import { type RunningBroker, startBroker } from "../support/running-broker.ts";
import { startChapter } from "./chapter.ts";

const chapter = startChapter();
const { connect } = chapter;

describe("PINGREQ", () => {
  test.for([3, 4, 5] as const)(
    "version %i: each gets a PINGRESP [MQTT-3.12.4-1] [MQTT-3.12.4-1 @3.1.1]",
    async (version) => {
      const client = await connect({ version });
      client.sendBytes(Buffer.from("c000c000c000", "hex"));
      for (let i = 0; i < 3; i++) await client.next("pingresp");
      await client.expectNothing();
    },
  );
});

describe("DISCONNECT from the client", () => {
  test.for([3, 4, 5] as const)("version %i: the broker closes and is silent", async (version) => {
    const client = await connect({ version });
    client.sendBytes(Buffer.from("e000", "hex"));
    await client.closed();
    client.expectInboxEmpty();
  });

  test.for([0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99])(
    "5.0: code %i is one that a client may send [MQTT-3.14.2-1]",
    async (code) => {
      const client = await connect();
      client.sendBytes(rawPacket(0xe0, code));
      await client.closed();
      client.expectInboxEmpty();
    },
  );

  test("nothing behind it is handled [MQTT-3.14.4-1]", async () => {
    const observer = await connect();
    await observer.subscribe("behind/#");
    const client = await connect();
    client.sendBytes(
      Buffer.concat([rawPacket(0xe0, 0), rawPacket(0x30, text("behind/x"), 0), rawPacket(0xc0)]),
    );
    await client.closed();
    client.expectInboxEmpty();
    await observer.expectNothing();
  });

  test("with all its properties it is taken [§3.14.2.2]", async () => {
    const client = await connect({ properties: { sessionExpiryInterval: 60 } });
    client.send({
      cmd: "disconnect",
      reasonCode: 0,
      properties: {
        sessionExpiryInterval: 30,
        reasonString: "done",
        userProperties: { a: ["1", "2"] },
      },
    });
    await client.closed();
    client.expectInboxEmpty();
  });

  test.for([
    ["reserved flags [MQTT-3.14.1-1]", 0x81, Buffer.from("e100", "hex")],
    ["a code of servers only [MQTT-3.14.2-1]", 0x82, rawPacket(0xe0, 0x8e)],
    ["a Server Reference [§3.14.2.2.5]", 0x82, rawPacket(0xe0, 0, 4, 0x1c, text("x"))],
    ["a property of CONNECT", 0x81, rawPacket(0xe0, 0, 3, [0x21, 0, 9])],
  ] as const)("with %s: DISCONNECT %i [MQTT-4.13.1-1]", async ([, code, bytes]) => {
    const client = await connect();
    client.sendBytes(bytes);
    await client.expectDisconnect(code);
  });

  test("3.1.1: reserved flags close the connection [MQTT-3.14.1-1 @3.1.1]", async () => {
    const client = await connect({ version: 4 });
    client.sendBytes(Buffer.from("e100", "hex"));
    await client.closed();
    client.expectInboxEmpty();
  });
});

describe("packets that a client may not send", () => {
  test.for([
    ["type 0", 0x81, Buffer.from("0000", "hex")],
    ["CONNACK", 0x82, Buffer.from("2003000000", "hex")],
    ["SUBACK", 0x82, rawPacket(0x90, [0, 1], 0, 0)],
    ["UNSUBACK", 0x82, rawPacket(0xb0, [0, 1], 0, 0)],
    ["PINGRESP", 0x82, Buffer.from("d000", "hex")],
    ["AUTH, when CONNECT named no method [MQTT-4.12.0-7]", 0x82, auth(0x18)],
    ["AUTH to authenticate again [MQTT-4.12.0-7]", 0x82, auth(0x19)],
    ["AUTH with flags [MQTT-3.15.1-1]", 0x81, Buffer.from("f100", "hex")],
    ["AUTH with a foreign code [MQTT-3.15.2-1]", 0x82, auth(0x17)],
    ["PINGREQ with flags [MQTT-2.1.3-1]", 0x81, Buffer.from("c100", "hex")],
    ["PINGREQ with a body", 0x81, rawPacket(0xc0, 0)],
  ] as const)("5.0: %s: DISCONNECT %i [MQTT-4.13.1-1] [MQTT-3.14.4-2]", async ([, code, bytes]) => {
    const client = await connect();
    client.sendBytes(bytes);
    await client.expectDisconnect(code);
  });

  test.for([
    ["type 0", Buffer.from("0000", "hex")],
    ["CONNACK", Buffer.from("20020000", "hex")],
    ["AUTH", Buffer.from("f000", "hex")],
    ["PINGREQ with flags [MQTT-2.2.2-2 @3.1.1]", Buffer.from("c100", "hex")],
  ] as const)("3.1.1: %s: closed, no DISCONNECT [MQTT-4.8.0-1 @3.1.1]", async ([, bytes]) => {
    const client = await connect({ version: 4 });
    client.sendBytes(bytes);
    await client.closed();
    client.expectInboxEmpty();
  });

  function auth(code: number): Buffer {
    const method = [0x15, ...text("method")];
    return rawPacket(0xf0, code, method.length, method);
  }
});

describe("the broker's shutdown", () => {
  let broker: RunningBroker | undefined;

  afterEach(async () => {
    await broker?.kill9().catch(() => undefined);
  });

  test("SIGTERM: 5.0 gets DISCONNECT 0x8B, 3.1.1 a close, exit code 0 [§3.14.2.1]", async () => {
    broker = await startBroker();
    const newer = await TestClient.connect(broker);
    const older = await TestClient.connect(broker, { version: 4 });
    const stopping = broker.stop();
    await newer.expectDisconnect(0x8b);
    await older.closed();
    older.expectInboxEmpty();
    expect(await stopping).toBe(0);
    broker = undefined;
  });
});
