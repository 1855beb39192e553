/**
 * Chapter 1: CONNECT, CONNACK and who owns a Client Identifier. MQTT 5.0 and 3.1.1 §3.1, §3.2.
 */
import { describe, expect, test } from "vitest";
import { rawConnect, rawPacket, text } from "../support/client-bytes.ts";
import { isMosquitto } from "../support/running-broker.ts";
import { nameOf, startChapter } from "./chapter.ts";

const chapter = startChapter();
const { connect, open } = chapter;

describe("an accepted CONNECT", () => {
  test.for([
    [3, "3.1 is accepted under its own protocol name"],
    [4, "3.1.1 gets CONNACK 0x00 [MQTT-3.1.4-4 @3.1.1]"],
    [5, "5.0 gets CONNACK 0x00 [MQTT-3.1.4-5]"],
  ] as const)("version %i: %s", async ([version]) => {
    const client = await connect({ version, clientId: `accepted${version}` });
    expect(client.connack?.sessionPresent).toBe(false);
    await client.expectNothing();
  });

  test("the acknowledge flags hold Session Present only [MQTT-3.2.2-1]", async () => {
    const keeper = { clientId: "flags", properties: { sessionExpiryInterval: 60 } };
    await (await connect(keeper)).disconnect();
    const client = await connect({ ...keeper, clean: false });
    expect(client.connack?.sessionPresent).toBe(true); // The parser refuses any other bit.
  });

  test("all CONNECT properties are taken, all fields at once [MQTT-3.1.3-1]", async () => {
    const client = await connect({
      clientId: "everything",
      keepAliveSeconds: 600,
      userName: "someone",
      password: "secret",
      will: { topic: "everything/will", payload: Buffer.from("gone"), qos: 1, retain: false },
      properties: {
        sessionExpiryInterval: 3,
        receiveMaximum: 7,
        maximumPacketSize: 5000,
        topicAliasMaximum: 4,
        requestResponseInformation: true,
        requestProblemInformation: false,
        userProperties: { one: ["1", "2"], two: "3" },
      },
    });
    await client.ping();
  });

  test("CONNACK carries no Response Information unasked [MQTT-3.1.2-28]", async () => {
    const client = await connect({ properties: { requestResponseInformation: false } });
    expect(client.connack?.properties?.responseInformation).toBeUndefined();
  });

  test("no AUTH and no method for a client that named none [MQTT-4.12.0-6]", async () => {
    const client = await connect();
    expect(client.connack?.properties?.authenticationMethod).toBeUndefined();
    await client.expectNothing();
  });

  test("a CONNECT that comes byte by byte is one CONNECT [MQTT-4.2-1]", async () => {
    const client = await open();
    for (const byte of rawConnect({ payload: [text("bytewise")] })) {
      client.sendBytes(Uint8Array.of(byte));
      await new Promise(setImmediate);
    }
    expect((await client.expectConnack()).reasonCode).toBe(0);
  });
});

describe("Client Identifiers", () => {
  const letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

  test.for([3, 4, 5] as const)(
    "version %i: 1 to 23 letters and digits [MQTT-3.1.3-5] [MQTT-3.1.3-5 @3.1.1]",
    async (version) => {
      for (const clientId of ["a", "Z", "0", letters.slice(0, 23), letters.slice(-23)]) {
        const client = await connect({ version, clientId });
        await client.disconnect();
      }
    },
  );

  test.for([4, 5] as const)("version %i: longer and other ones are taken too", async (version) => {
    for (const clientId of ["x".repeat(65535), "a/b+c#", "温度計 7", "\u{1f321}"]) {
      const client = await connect({ version, clientId });
      await client.disconnect();
    }
  });

  test("U+FEFF in front is part of the identifier [MQTT-1.5.4-3] [MQTT-3.1.3-2]", async () => {
    const properties = { sessionExpiryInterval: 60 };
    await (await connect({ clientId: "bom", properties })).disconnect();
    const other = await connect({ clientId: "\ufeffbom", clean: false, properties });
    expect(other.connack?.sessionPresent).toBe(false);
    const same = await connect({ clientId: "bom", clean: false, properties });
    expect(same.connack?.sessionPresent).toBe(true);
  });

  test.for([true, false])(
    "5.0, empty, Clean Start %s: assigned and reported [MQTT-3.1.3-6, -7] [MQTT-3.2.2-16]",
    async (clean) => {
      const lasting = [0x11, 0, 0, 0, 60];
      const anonymous = rawConnect({
        flags: clean ? 2 : 0,
        properties: [lasting],
        payload: [text("")],
      });
      const assigned: string[] = [];
      for (let i = 0; i < 2; i++) {
        const client = await open();
        client.sendBytes(anonymous);
        const { sessionPresent, properties } = await client.expectConnack();
        expect(sessionPresent).toBe(false);
        assigned.push(properties?.assignedClientIdentifier ?? "");
        await client.drop();
      }
      const [first = "", second = ""] = assigned;
      expect(first).not.toBe("");
      expect(second).not.toBe(first);
      const again = await connect({
        clientId: first,
        clean: false,
        properties: { sessionExpiryInterval: 60 },
      });
      expect(again.connack?.sessionPresent).toBe(true);
      expect(again.connack?.properties?.assignedClientIdentifier).toBeUndefined();
    },
  );

  test("3.1.1, empty, cleanSession 1: accepted, each its own [MQTT-3.1.3-6 @3.1.1]", async () => {
    const first = await connect({ version: 4, clientId: "" });
    const second = await connect({ version: 4, clientId: "" });
    await first.expectNothing(second);
    await second.expectNothing(first);
  });

  test("3.1.1, empty, cleanSession 0: CONNACK 0x02, close [MQTT-3.1.3-8 @3.1.1]", async () => {
    const client = await open({ version: 4 });
    client.sendBytes(rawConnect({ level: 4, flags: 0, payload: [text("")] }));
    await client.expectRefusal(2);
  });

  test("3.1, empty: CONNACK 0x02, close [MQTT 3.1 §3.1]", async () => {
    const client = await open({ version: 3 });
    client.sendBytes(rawConnect({ protocolName: "MQIsdp", level: 3, payload: [text("")] }));
    await client.expectRefusal(2);
  });
});

describe("Session Present", () => {
  test("0 with Clean Start 1, though one was there [MQTT-3.2.2-2] [MQTT-3.1.2-4]", async () => {
    const properties = { sessionExpiryInterval: 60 };
    const first = await connect({ clientId: "present1", properties });
    await first.subscribe("present1/#", { qos: 1 });
    await first.disconnect();
    const second = await connect({ clientId: "present1", clean: true, properties });
    expect(second.connack?.sessionPresent).toBe(false);
    await second.publish("present1/x", "to no one", { qos: 1 });
    await second.expectNothing();
  });

  test("1 with Clean Start 0 and a Session [MQTT-3.2.2-3] [MQTT-3.1.2-5]", async () => {
    const properties = { sessionExpiryInterval: 60 };
    const first = await connect({ clientId: "present2", properties });
    await first.subscribe("present2/#", { qos: 1 });
    await first.disconnect();
    const second = await connect({ clientId: "present2", clean: false, properties });
    expect(second.connack?.sessionPresent).toBe(true);
    await second.publish("present2/x", "still subscribed", { qos: 1 });
    await second.receive({ topic: "present2/x", payload: "still subscribed", qos: 1 });
  });

  test("0 with Clean Start 0 and no Session [MQTT-3.2.2-3] [MQTT-3.1.2-6]", async () => {
    const client = await connect({ clientId: "present3", clean: false });
    expect(client.connack?.sessionPresent).toBe(false);
  });

  test("3.1.1 [MQTT-3.2.2-1 @3.1.1] [MQTT-3.2.2-2 @3.1.1] [MQTT-3.2.2-3 @3.1.1]", async () => {
    const keeper = { version: 4, clientId: "present4", clean: false } as const;
    const first = await connect(keeper);
    expect(first.connack?.sessionPresent).toBe(false);
    await first.disconnect();
    const second = await connect(keeper);
    expect(second.connack?.sessionPresent).toBe(true);
    await second.disconnect();
    const third = await connect({ ...keeper, clean: true });
    expect(third.connack?.sessionPresent).toBe(false);
  });

  test("0 with a refusal, though a Session is there [MQTT-3.2.2-6] [MQTT-3.2.2-7]", async () => {
    const properties = { sessionExpiryInterval: 60 };
    await (await connect({ clientId: "present5", properties })).disconnect();
    const refused = await open();
    const method = [0x15, text("UNKNOWN-METHOD")];
    refused.sendBytes(rawConnect({ flags: 0, properties: method, payload: [text("present5")] }));
    await refused.expectRefusal(0x8c);
    const back = await connect({ clientId: "present5", clean: false, properties });
    expect(back.connack?.sessionPresent).toBe(true);
  });
});

describe("a CONNECT that is refused", () => {
  const will = [text("will/topic"), text("gone")];
  const v5: [string, number, Parameters<typeof rawConnect>[0]][] = [
    ["another protocol name [MQTT-3.1.2-1]", 0x84, { protocolName: "MQTX" }],
    ["a version to come [MQTT-3.1.2-2]", 0x84, { level: 6 }],
    ["the reserved flag [MQTT-3.1.2-3]", 0x81, { flags: 0x03 }],
    ["Will QoS 3 [MQTT-3.1.2-12]", 0x81, { flags: 0x1e, payload: [text("w"), 0, ...will] }],
    ["Will QoS without Will Flag [MQTT-3.1.2-11]", 0x81, { flags: 0x0a }],
    ["Will Retain without Will Flag [MQTT-3.1.2-13]", 0x81, { flags: 0x22 }],
    ["a missing will [MQTT-3.1.2-9]", 0x81, { flags: 0x06 }],
    ["a missing User Name [MQTT-3.1.2-17]", 0x81, { flags: 0x82 }],
    ["a User Name without its flag [MQTT-3.1.2-16]", 0x81, { payload: [text("u"), text("n")] }],
    ["a missing Password [MQTT-3.1.2-19]", 0x81, { flags: 0xc2, payload: [text("u"), text("n")] }],
    ["no Client Identifier at all [MQTT-3.1.3-3]", 0x81, { payload: [] }],
    ["an ill-formed identifier [MQTT-3.1.3-4]", 0x81, { payload: [text([0xc0, 0x80])] }],
    ["a surrogate [MQTT-1.5.4-1]", 0x81, { payload: [text([0xed, 0xa0, 0x80])] }],
    ["U+0000 [MQTT-1.5.4-2]", 0x81, { payload: [text("a\0b")] }],
    [
      "an ill-formed User Name [MQTT-3.1.3-12]",
      0x81,
      { flags: 0x82, payload: [text("u"), text([0xff])] },
    ],
    [
      "an ill-formed Will Topic [MQTT-3.1.3-11]",
      0x81,
      { flags: 0x06, payload: [text("w"), 0, text([0xff]), text("gone")] },
    ],
    [
      "a wildcard in the Will Topic [MQTT-4.7.0-1]",
      0x90,
      { flags: 0x06, payload: [text("w"), 0, text("will/#"), text("gone")] },
    ],
    ["an unknown property [§2.2.2.2]", 0x81, { properties: [0x7e, 0] }],
    ["a property of PUBLISH [§2.2.2.2]", 0x81, { properties: [0x23, 0, 1] }],
    ["a property twice [§3.1.2.11]", 0x82, { properties: [0x21, 0, 9, 0x21, 0, 9] }],
    ["Receive Maximum 0 [§3.1.2.11.3]", 0x82, { properties: [0x21, 0, 0] }],
    ["Maximum Packet Size 0 [§3.1.2.11.4]", 0x82, { properties: [0x27, 0, 0, 0, 0] }],
    ["Request Problem Information 2 [§3.1.2.11.7]", 0x82, { properties: [0x17, 2] }],
    ["Authentication Data alone [§3.1.2.11.10]", 0x82, { properties: [0x16, text("data")] }],
    [
      "an unknown authentication method [MQTT-4.12.0-1]",
      0x8c,
      { properties: [0x15, text("UNKNOWN-METHOD")] },
    ],
  ];

  test.for(v5)("5.0: %s, code %i [MQTT-3.1.4-1] [MQTT-3.2.2-8]", async ([, code, fields]) => {
    const client = await open();
    client.sendBytes(rawConnect(fields));
    await client.expectRefusal(code);
  });

  const v4: [string, Parameters<typeof rawConnect>[0]][] = [
    ["the reserved flag [MQTT-3.1.2-3 @3.1.1]", { flags: 0x03 }],
    ["Will QoS 3 [MQTT-3.1.2-14 @3.1.1]", { flags: 0x1e, payload: [text("w"), ...will] }],
    ["Will QoS without Will Flag [MQTT-3.1.2-13 @3.1.1]", { flags: 0x0a }],
    ["Will Retain without Will Flag [MQTT-3.1.2-15 @3.1.1]", { flags: 0x22 }],
    ["a missing User Name [MQTT-3.1.2-19 @3.1.1]", { flags: 0x82 }],
    ["a User Name without its flag [MQTT-3.1.2-18 @3.1.1]", { payload: [text("u"), text("name")] }],
    [
      "a Password without User Name [MQTT-3.1.2-22 @3.1.1]",
      { flags: 0x42, payload: [text("u"), text("secret")] },
    ],
    ["an ill-formed identifier [MQTT-3.1.3-4 @3.1.1]", { payload: [text([0xff, 0xfe])] }],
    ["U+0000 [MQTT-1.5.3-2 @3.1.1]", { payload: [text("a\0b")] }],
  ];

  test.for(v4)("3.1.1: %s, closed without CONNACK [MQTT-3.1.4-1 @3.1.1]", async ([, fields]) => {
    const client = await open({ version: 4 });
    client.sendBytes(rawConnect({ level: 4, ...fields }));
    await client.closed();
    client.expectInboxEmpty();
  });

  test("3.1.1: an unknown level gets CONNACK 0x01 [MQTT-3.1.2-2 @3.1.1]", async () => {
    const client = await open({ version: 4 });
    client.sendBytes(rawConnect({ level: 2 }));
    await client.expectRefusal(1);
  });

  test("5.0: a Password without User Name is fine [§3.1.2.9]", async () => {
    const client = await open();
    client.sendBytes(rawConnect({ flags: 0x42, payload: [text("lonely"), text("secret")] }));
    expect((await client.expectConnack()).reasonCode).toBe(0);
  });
});

describe("the order of packets", () => {
  test.for([
    ["PINGREQ", rawPacket(0xc0)],
    ["PUBLISH", rawPacket(0x30, text("early"), 0)],
    ["SUBSCRIBE", rawPacket(0x82, [0, 1], 0, text("early"), 0)],
    ["DISCONNECT", rawPacket(0xe0)],
  ] as const)(
    "%s before CONNECT: closed without a word [MQTT-3.1.0-1] [MQTT-3.2.0-1] [MQTT-3.14.0-1]",
    async ([, bytes]) => {
      const client = await open();
      client.sendBytes(bytes);
      await client.closed();
      client.expectInboxEmpty();
    },
  );

  test("5.0: a second CONNECT is a Protocol Error [MQTT-3.1.0-2] [MQTT-3.2.0-2]", async () => {
    const client = await connect({ clientId: "twice" });
    client.sendBytes(rawConnect({ payload: [text("twice")] }));
    await client.expectDisconnect(0x82);
  });

  test("3.1.1: a second CONNECT closes the connection [MQTT-3.1.0-2 @3.1.1]", async () => {
    const client = await connect({ version: 4, clientId: "twice" });
    client.sendBytes(rawConnect({ level: 4, payload: [text("twice")] }));
    await client.closed();
    client.expectInboxEmpty();
  });

  test.for([4, 5] as const)(
    "version %i: packets behind CONNECT wait for CONNACK [MQTT-3.2.0-1] [MQTT-3.2.0-1 @3.1.1]",
    async (version) => {
      const client = await open({ version });
      const noProperties = version === 5 ? [0] : [];
      client.sendBytes(
        Buffer.concat([
          rawConnect({ level: version, payload: [text(`pipeline${version}`)] }),
          rawPacket(0x82, [0, 1], noProperties, text("pipeline"), 0),
          rawPacket(0x30, text("pipeline"), noProperties, Buffer.from("at once")),
          rawPacket(0xc0),
        ]),
      );
      await client.next("connack");
      await client.next("suback");
      await client.expectPublish({ topic: "pipeline", payload: "at once" });
      await client.next("pingresp");
      client.expectInboxEmpty();
    },
  );

  test.for([4, 5] as const)(
    "version %i: packets behind a refused CONNECT do nothing [MQTT-3.1.4-6] [MQTT-3.1.4-5 @3.1.1]",
    async (version) => {
      const observer = await connect();
      await observer.subscribe("refused/#");
      const client = await open({ version });
      const refused =
        version === 5
          ? rawConnect({ properties: [0x15, text("UNKNOWN-METHOD")] })
          : rawConnect({ level: 4, flags: 0, payload: [text("")] });
      const noProperties = version === 5 ? [0] : [];
      client.sendBytes(
        Buffer.concat([refused, rawPacket(0x30, text("refused/x"), noProperties), rawPacket(0xc0)]),
      );
      await client.expectRefusal(version === 5 ? 0x8c : 2);
      await observer.expectNothing();
    },
  );
});

describe("takeover", () => {
  test("5.0: the older connection gets DISCONNECT 0x8E [MQTT-3.1.4-3]", async () => {
    const older = await connect({ clientId: "takeover" });
    const newer = await connect({ clientId: "takeover" });
    await older.expectDisconnect(0x8e);
    await newer.ping();
  });

  test("3.1.1: the older connection is closed [MQTT-3.1.4-2 @3.1.1]", async () => {
    const older = await connect({ version: 4, clientId: "takeover" });
    const newer = await connect({ version: 4, clientId: "takeover" });
    await older.closed();
    older.expectInboxEmpty();
    await newer.ping();
  });

  test.for([
    [4, 5],
    [5, 4],
  ] as const)(
    "from version %i to %i the Session goes on [MQTT-3.1.4-4] [MQTT-3.1.4-3 @3.1.1]",
    async ([olderVersion, newerVersion]) => {
      const clientId = `mixed${olderVersion}`;
      const properties = { sessionExpiryInterval: 60 };
      const older = await connect({ version: olderVersion, clientId, clean: false, properties });
      await older.subscribe(`${clientId}/#`, { qos: 1 });
      const newer = await connect({ version: newerVersion, clientId, clean: false, properties });
      await older.expectDisconnect(0x8e);
      expect(newer.connack?.sessionPresent).toBe(true);
      await newer.publish(`${clientId}/x`, nameOf(newerVersion), { qos: 1 });
      await newer.receive({ topic: `${clientId}/x`, payload: nameOf(newerVersion) });
    },
  );
});

describe("Keep Alive", () => {
  test("5.0: silence of 1.5 × Keep Alive ends with 0x8D [MQTT-3.1.2-22]", async () => {
    const client = await connect({ keepAliveSeconds: 1 });
    const since = performance.now();
    await client.expectDisconnect(0x8d);
    expect(performance.now() - since).toBeGreaterThan(1400);
    expect(performance.now() - since).toBeLessThan(5000);
  });

  test("3.1.1: silence of 1.5 × Keep Alive ends it [MQTT-3.1.2-24 @3.1.1]", async () => {
    const client = await connect({ version: 4, keepAliveSeconds: 1 });
    const since = performance.now();
    await client.closed();
    expect(performance.now() - since).toBeGreaterThan(1400);
    client.expectInboxEmpty();
  });

  test("any packet counts, and 0 turns it off [MQTT-3.1.2-22]", async () => {
    const quiet = await connect({ keepAliveSeconds: 0 });
    const talker = await connect({ keepAliveSeconds: 2 });
    const end = performance.now() + 4500;
    while (performance.now() < end) {
      await talker.publish("keep/alive", "here", { qos: 1 });
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    await talker.ping();
    await quiet.ping();
  });
});

describe("Server Keep Alive", () => {
  const keepAliveSecondsMax = isMosquitto ? 10 : 2;
  const limited = startChapter({ configuration: [`max_keepalive ${keepAliveSecondsMax}`] });

  test("rules in place of the client's, is enforced [MQTT-3.1.2-22] [§3.2.2.3.14]", async () => {
    const client = await limited.connect({ keepAliveSeconds: 600 });
    expect(client.connack?.properties?.serverKeepAlive).toBe(keepAliveSecondsMax);
    const since = performance.now();
    await client.closed(keepAliveSecondsMax * 1500 + 5000);
    expect(performance.now() - since).toBeGreaterThan(keepAliveSecondsMax * 1400);
  }, 30_000);

  test("is left out where the client's own value is used [MQTT-3.2.2-22]", async () => {
    const client = await limited.connect({ keepAliveSeconds: 1 });
    expect(client.connack?.properties?.serverKeepAlive).toBeUndefined();
  });
});

describe("Request Problem Information 0", () => {
  test("no Reason String and no User Property on acknowledgements [MQTT-3.1.2-29]", async () => {
    const client = await connect({ properties: { requestProblemInformation: false } });
    client.sendPublish("problem", "x", { qos: 1, packetIdentifier: 9 });
    expect((await client.expect("puback", 9)).properties ?? {}).toEqual({});
    client.send({ cmd: "unsubscribe", messageId: 10, unsubscriptions: ["never/there"] });
    expect((await client.expect("unsuback", 10)).properties ?? {}).toEqual({});
    client.send({ cmd: "pubrel", messageId: 11 });
    expect((await client.expect("pubcomp", 11)).properties ?? {}).toEqual({});
  });
});
