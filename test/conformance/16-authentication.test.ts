/**
 * Chapter 16: enhanced authentication with SCRAM-SHA-256, and again on an open connection.
 * MQTT 5.0 §3.15, §4.12.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { credentialOf, lineOf } from "../../src/access/scram-file.ts";
import { until } from "../support/await.ts";
import type { TestClient } from "../support/client.ts";
import { concat, fourBytes, propertyList, rawPacket, text } from "../support/client-bytes.ts";
import { authConnect, authPacket, METHOD, nextAuth, ScramClient } from "../support/scram-client.ts";
import { startChapter } from "./chapter.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-scram-"));
const scramFile = join(directory, "users");
const users = [
  lineOf("truck", await credentialOf("diesel", 4096)),
  lineOf("ship", await credentialOf("wind", 4096)),
];
writeFileSync(scramFile, `${users.join("\n")}\n`, { mode: 0o600 });
afterAll(() => rmSync(directory, { recursive: true }));

const chapter = startChapter({
  configuration: [`scram_file ${scramFile}`, "max_packet_size 600000", "allow_anonymous false"],
});
const { open } = chapter;

/** Opens a connection and takes it up to where its client is asked to prove who it is. */
async function ask(clientId: string, scram = new ScramClient("truck", "diesel")) {
  const client = await open({ clientId });
  client.sendBytes(authConnect(clientId, scram.first()));
  const serverFirst = await nextAuth(client, 0x18);
  return { client, scram, serverFirst };
}

/** A client that has proved who it is. */
async function prove(
  clientId: string,
  more: Parameters<typeof authConnect>[2] = {},
): Promise<{ readonly client: TestClient; readonly scram: ScramClient }> {
  const scram = new ScramClient("truck", "diesel");
  const client = await open({ clientId });
  client.sendBytes(authConnect(clientId, scram.first(), more));
  client.sendBytes(authPacket(0x18, scram.final(await nextAuth(client, 0x18))));
  expect((await client.expectConnack()).reasonCode).toBe(0);
  return { client, scram };
}

describe("CONNECT with an Authentication Method", () => {
  test("AUTH 0x18 asks, CONNACK has the last word [MQTT-4.12.0-2] [MQTT-4.12.0-5]", async () => {
    const { client, scram, serverFirst } = await ask("proof");
    expect(serverFirst.startsWith(`r=${scram.nonce}`)).toBe(true);
    client.sendBytes(authPacket(0x18, scram.final(serverFirst)));
    const { reasonCode, properties } = await client.expectConnack();
    expect(reasonCode).toBe(0);
    expect(properties?.authenticationMethod).toBe(METHOD);
    expect(properties?.authenticationData?.toString()).toBe(scram.verifier);
    await client.publish("proof", "x", { qos: 1 });
  });

  test("AUTH has no Reason String or User Property to leave out [MQTT-3.15.2-2, -3]", async () => {
    const client = await open();
    client.sendBytes(authConnect("bare", "n,,n=truck,r=x", { properties: [[0x17, 1]] }));
    const { properties } = await client.expect("auth");
    expect(Object.keys(properties ?? {}).toSorted()).toEqual([
      "authenticationData",
      "authenticationMethod",
    ]);
  });

  test("without data is asked for the first word [MQTT-4.12.0-2]", async () => {
    const scram = new ScramClient("ship", "wind");
    const client = await open();
    client.sendBytes(authConnect("asked", null));
    expect(await nextAuth(client, 0x18)).toBe("");
    client.sendBytes(authPacket(0x18, scram.first()));
    client.sendBytes(authPacket(0x18, scram.final(await nextAuth(client, 0x18))));
    expect((await client.expectConnack()).reasonCode).toBe(0);
  });

  test("is decided with all that it says: Session, will, limits [MQTT-3.1.4-5]", async () => {
    const observer = (await prove("observer")).client;
    await observer.subscribe("gone/#");
    const will = [0, ...text("gone/whole"), ...text("gone")];
    const scram = new ScramClient("truck", "diesel");
    const properties = concat(
      [0x15, ...text(METHOD)],
      [0x16, ...text(scram.first())],
      [0x11, ...fourBytes(60)],
    );
    const connect = (flags: number, payload: readonly number[]) =>
      rawPacket(
        0x10,
        text("MQTT"),
        [5, flags, 0, 0],
        propertyList(properties),
        text("whole"),
        payload,
      );
    const client = await open();
    client.sendBytes(connect(0x06, will));
    client.sendBytes(authPacket(0x18, scram.final(await nextAuth(client, 0x18))));
    expect((await client.expectConnack()).sessionPresent).toBe(false);
    await client.subscribe("whole", { qos: 1 });
    client.destroy();
    await observer.expectPublish({ topic: "gone/whole", payload: "gone" });
    await observer.publish("whole", "missed", { qos: 1 });
    const again = await open();
    again.sendBytes(connect(0, []));
    again.sendBytes(authPacket(0x18, scram.final(await nextAuth(again, 0x18))));
    expect((await again.expectConnack()).sessionPresent).toBe(true);
    await again.receive({ payload: "missed" });
  });

  test("takes over only when it is decided, not before [MQTT-3.1.4-3]", async () => {
    const older = (await prove("owner")).client;
    const { client, scram, serverFirst } = await ask("owner");
    await older.ping();
    client.sendBytes(authPacket(0x18, scram.final(serverFirst)));
    await older.expectDisconnect(0x8e);
    expect((await client.expectConnack()).reasonCode).toBe(0);
  });

  test("packets behind the last AUTH are acted on after CONNACK [MQTT-3.2.0-1]", async () => {
    const { client, scram, serverFirst } = await ask("eager");
    client.sendBytes(
      Buffer.concat([authPacket(0x18, scram.final(serverFirst)), Buffer.from("c000", "hex")]),
    );
    await client.next("connack");
    await client.next("pingresp");
  });

  test("anonymous clients and a User Name alone stay outside [MQTT-3.1.4-2]", async () => {
    for (const [fields, reason] of [
      [{}, "anonymous is not allowed"],
      [{ userName: "truck", password: "diesel" }, "authentication failed"],
    ] as const) {
      const client = await open();
      client.sendConnect(fields);
      expect((await client.expectRefusal(0x87)).properties?.reasonString).toBe(reason);
    }
  });
});

describe("CONNECT is refused with CONNACK, and the connection closed [MQTT-4.12.0-4]", () => {
  test.for(["PLAIN", "SCRAM-SHA-1", "scram-sha-256", ""])(
    "the method %j is unknown: 0x8C [MQTT-4.12.0-1]",
    async (method) => {
      const client = await open();
      client.sendBytes(authConnect("unknown", "n,,n=truck,r=x", { method }));
      await client.expectRefusal(0x8c);
    },
  );

  test.for([
    ["another password", "truck", "petrol"],
    ["an unknown user", "plane", "diesel"],
  ] as const)("%s: asked as any other, then 0x87", async ([, user, password]) => {
    const { client, scram, serverFirst } = await ask("guess", new ScramClient(user, password));
    const { salt, iterations } = scram.read(serverFirst);
    expect([salt.length, iterations]).toEqual([16, 4096]);
    client.sendBytes(authPacket(0x18, scram.final(serverFirst)));
    const connack = await client.expectRefusal(0x87);
    expect(connack.properties?.reasonString).toBe("authentication failed");
  });

  test("an unknown user's salt is the same each time", async () => {
    const salts = [];
    for (let i = 0; i < 2; i++) {
      const { scram, serverFirst } = await ask("salt", new ScramClient("plane", "x"));
      salts.push(scram.read(serverFirst).salt.toString("hex"));
    }
    expect(salts[1]).toBe(salts[0]);
  });

  test.for([
    ["a client-first message that is none", "hello"],
    ["channel binding", "p=tls-unique,,n=truck,r=x"],
    ["data over the limit", `n,,n=truck,r=${"x".repeat(5000)}`],
    ["empty data", ""],
  ] as const)("%s: 0x87", async ([, data]) => {
    const client = await open();
    client.sendBytes(authConnect("bad", data));
    await client.expectRefusal(0x87);
  });

  test.for([
    ["0x19 in the middle [MQTT-4.12.0-3]", 0x82, authPacket(0x19, "n,,n=truck,r=x")],
    ["another method [MQTT-4.12.0-5]", 0x8c, authPacket(0x18, "x", "SCRAM-SHA-1")],
    ["no data", 0x87, authPacket(0x18, null)],
    ["a code of servers [MQTT-3.15.2-1]", 0x82, authPacket(0x00, "x")],
    ["no method [§3.15.2.2.2]", 0x82, rawPacket(0xf0, 0x18, 0)],
    ["reserved flags [MQTT-3.15.1-1]", 0x81, Buffer.from("f100", "hex")],
    ["a property twice", 0x82, rawPacket(0xf0, 0x18, 8, [0x15, 0, 1, 0x78, 0x15, 0, 1, 0x78])],
  ] as const)("AUTH with %s: %i", async ([, code, bytes]) => {
    const { client } = await ask("auth");
    client.sendBytes(bytes);
    await client.expectRefusal(code);
  });

  test.for([
    ["PINGREQ", Buffer.from("c000", "hex")],
    ["PUBLISH", rawPacket(0x30, text("early"), 0)],
    ["SUBSCRIBE", rawPacket(0x82, [0, 1], 0, text("early"), 0)],
    ["a second CONNECT [MQTT-3.1.0-2]", authConnect("early", "n,,n=truck,r=x")],
  ] as const)("%s before CONNACK: 0x82 [MQTT-3.1.2-30]", async ([, bytes]) => {
    const { client } = await ask("early");
    client.sendBytes(bytes);
    await client.expectRefusal(0x82);
  });

  test("a DISCONNECT before CONNACK is taken, and nothing sent [MQTT-3.1.2-30]", async () => {
    const { client } = await ask("leaves");
    client.sendBytes(Buffer.from("e000", "hex"));
    await client.closed();
    client.expectInboxEmpty();
  });

  test("a DISCONNECT with a Session Expiry Interval, too: there is no Session yet", async () => {
    const { client } = await ask("leaves");
    client.sendBytes(rawPacket(0xe0, 0, propertyList([0x11, ...fourBytes(60)])));
    await client.closed();
    client.expectInboxEmpty();
  });

  test("CONNECT packets that wait are bounded: 0x97", async () => {
    const name = text("x".repeat(65_535));
    const long = Array.from({ length: 7 }, () => [0x26, ...text("k"), ...name]);
    const scram = new ScramClient("truck", "diesel");
    const clients: TestClient[] = [];
    let codes = 0;
    for (let i = 0; i < 150 && codes === 0; i++) {
      const client = await open();
      clients.push(client);
      client.sendBytes(authConnect("heavy", scram.first(), { properties: long }));
      const answer = await Promise.race([client.expect("auth"), client.expect("connack")]);
      if (answer.cmd === "connack") codes = answer.reasonCode ?? 0;
    }
    expect(codes).toBe(0x97);
    expect(clients.length).toBeGreaterThan(140);
    for (const client of clients) client.destroy();
    // What was kept for them is free again.
    await until("room for another", async () => {
      const client = await open();
      client.sendBytes(authConnect("heavy", scram.first(), { properties: long }));
      const answer = await Promise.race([client.expect("auth"), client.expect("connack")]);
      client.destroy();
      return answer.cmd === "auth";
    });
  }, 60_000);

  test("a client whose Maximum Packet Size is below AUTH: 0x95 [MQTT-3.1.2-24]", async () => {
    const client = await open();
    const properties = [[0x27, ...fourBytes(50)]];
    client.sendBytes(authConnect("small", "n,,n=truck,r=x", { properties }));
    await client.expectRefusal(0x95);
  });
});

describe("authenticating again", () => {
  test("AUTH 0x19, AUTH 0x18 both ways, AUTH 0x00 [MQTT-4.12.1-1] [MQTT-4.12.0-5]", async () => {
    const { client } = await prove("again");
    for (let i = 0; i < 3; i++) {
      const scram = new ScramClient("truck", "diesel", `nonce${i}`);
      client.sendBytes(authPacket(0x19, scram.first()));
      client.sendBytes(authPacket(0x18, scram.final(await nextAuth(client, 0x18))));
      expect(await nextAuth(client, 0x00)).toBe(scram.verifier);
    }
    await client.ping();
  });

  test("other packets go on meanwhile, both ways [§4.12.1]", async () => {
    const { client } = await prove("meanwhile");
    const scram = new ScramClient("truck", "diesel");
    await client.subscribe("meanwhile", { qos: 1 });
    client.sendBytes(authPacket(0x19, null));
    expect(await nextAuth(client, 0x18)).toBe("");
    await client.publish("meanwhile", "one", { qos: 2 });
    await client.receive({ payload: "one" });
    client.sendBytes(authPacket(0x18, scram.first()));
    const serverFirst = await nextAuth(client, 0x18);
    await client.publish("meanwhile", "two", { qos: 1 });
    await client.receive({ payload: "two" });
    client.sendBytes(authPacket(0x18, scram.final(serverFirst)));
    await nextAuth(client, 0x00);
  });

  test.for([
    ["another password", new ScramClient("truck", "petrol")],
    ["another user, whose Session it is not", new ScramClient("ship", "wind")],
  ] as const)("%s: DISCONNECT 0x87, the will goes out [MQTT-4.12.1-2]", async ([what, scram]) => {
    const observer = (await prove("observer2")).client;
    await observer.subscribe("failed");
    const first = new ScramClient("truck", "diesel");
    const client = await open();
    client.sendBytes(
      rawPacket(
        0x10,
        text("MQTT"),
        [5, 0x06, 0, 0],
        propertyList([0x15, ...text(METHOD)], [0x16, ...text(first.first())]),
        text("fails"),
        [0, ...text("failed"), ...text(what)],
      ),
    );
    client.sendBytes(authPacket(0x18, first.final(await nextAuth(client, 0x18))));
    await client.expectConnack();
    client.sendBytes(authPacket(0x19, scram.first()));
    client.sendBytes(authPacket(0x18, scram.final(await nextAuth(client, 0x18))));
    await client.expectDisconnect(0x87);
    await observer.expectPublish({ payload: what });
  });

  test.for([
    ["another method [MQTT-4.12.1-1]", authPacket(0x19, "n,,n=truck,r=x", "SCRAM-SHA-1")],
    ["0x18 without 0x19 [MQTT-4.12.0-3]", authPacket(0x18, "n,,n=truck,r=x")],
    ["no method [§3.15.2.2.2]", rawPacket(0xf0, 0x19, 0)],
    ["no properties at all [§3.15.2.1]", Buffer.from("f000", "hex")],
  ] as const)("AUTH with %s: DISCONNECT 0x82", async ([, bytes]) => {
    const { client } = await prove("wrong");
    client.sendBytes(bytes);
    await client.expectDisconnect(0x82);
  });

  test("AUTH 0x19 twice: DISCONNECT 0x82", async () => {
    const { client } = await prove("wrong");
    client.sendBytes(authPacket(0x19, "n,,n=truck,r=x"));
    await nextAuth(client, 0x18);
    client.sendBytes(authPacket(0x19, "n,,n=truck,r=x"));
    await client.expectDisconnect(0x82);
  });

  test("no AUTH and no method where CONNECT named none [MQTT-4.12.0-6, -7]", async () => {
    const client = await open();
    client.sendBytes(authPacket(0x18, "n,,n=truck,r=x"));
    await client.closed(); // Before CONNECT: without a word.
    client.expectInboxEmpty();
  });
});

describe("who fails to prove who it is", () => {
  const own = startChapter({
    configuration: [`scram_file ${scramFile}`, "allow_anonymous false", "failed_login_delay 1"],
  });

  async function failed(): Promise<number> {
    const scram = new ScramClient("truck", "petrol");
    const client = await own.open();
    client.sendBytes(authConnect("guesses", scram.first()));
    client.sendBytes(authPacket(0x18, scram.final(await nextAuth(client, 0x18))));
    const begun = performance.now();
    client.sendBytes(Buffer.from("e000", "hex")); // It is not read any more.
    await client.expectRefusal(0x87);
    return performance.now() - begun;
  }

  test("often, waits for its answer; an open connection is told at once", async () => {
    const open = await own.open();
    const scram = new ScramClient("truck", "diesel");
    open.sendBytes(authConnect("open", scram.first()));
    open.sendBytes(authPacket(0x18, scram.final(await nextAuth(open, 0x18))));
    expect((await open.expectConnack()).reasonCode).toBe(0);
    for (let i = 0; i < 12; i++) await failed();
    expect(await failed()).toBeGreaterThan(300);
    const wrong = new ScramClient("truck", "petrol");
    const begun = performance.now();
    open.sendBytes(authPacket(0x19, wrong.first()));
    open.sendBytes(authPacket(0x18, wrong.final(await nextAuth(open, 0x18))));
    await open.expectDisconnect(0x87);
    expect(performance.now() - begun).toBeLessThan(300);
  });
});
