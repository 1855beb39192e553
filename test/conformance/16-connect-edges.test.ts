/**
 * Chapter 16: what of CONNECT and its refusal the first chapter leaves open.
 * MQTT 5.0 and 3.1.1 §3.1, §3.2.
 */
import { afterEach, describe, expect, test } from "vitest";
import { TestClient } from "../support/client.ts";
import { rawConnect, rawPacket, text } from "../support/client-bytes.ts";
import { type RunningBroker, startBroker } from "../support/running-broker.ts";
import { startChapter } from "./chapter.ts";

describe("fields that are missing or too many", () => {
  const { open } = startChapter();
  const will = [text("will"), text("gone")];

  test.for([
    ["a Password without its flag [MQTT-3.1.2-18]", { flags: 0x82, payload: triple() }],
    ["a will without its flag [MQTT-3.1.2-9]", { payload: [text("a"), 0, ...will] }],
    ["no Will Payload [MQTT-3.1.2-9]", { flags: 0x06, payload: [text("a"), 0, text("will")] }],
    ["User Name in front of the will [MQTT-3.1.3-1]", { flags: 0x86, payload: unordered() }],
  ] as const)("5.0: %s: CONNACK 0x81 [MQTT-3.1.4-1]", async ([, fields]) => {
    const client = await open();
    client.sendBytes(rawConnect(fields));
    await client.expectRefusal(0x81);
  });

  test.for([
    ["a Password without its flag [MQTT-3.1.2-20 @3.1.1]", { flags: 0x82, payload: triple() }],
    ["no Password [MQTT-3.1.2-21 @3.1.1]", { flags: 0xc2, payload: [text("a"), text("user")] }],
    ["a will without its flag [MQTT-3.1.2-11 @3.1.1]", { payload: [text("a"), ...will] }],
    ["no Will Message [MQTT-3.1.2-9 @3.1.1]", { flags: 0x06, payload: [text("a"), text("will")] }],
    ["no identifier [MQTT-3.1.3-3 @3.1.1]", { payload: [] }],
    ["fields out of order [MQTT-3.1.3-1 @3.1.1]", { flags: 0x86, payload: unordered() }],
    [
      "an ill-formed Will Topic [MQTT-3.1.3-10 @3.1.1]",
      { flags: 0x06, payload: [text("a"), text([0xff]), text("gone")] },
    ],
    [
      "an ill-formed User Name [MQTT-3.1.3-11 @3.1.1]",
      { flags: 0x82, payload: [text("a"), text([0xff])] },
    ],
    ["reserved fixed-header flags", null],
  ] as const)("3.1.1: %s: closed without CONNACK [MQTT-3.1.4-1 @3.1.1]", async ([, fields]) => {
    const client = await open({ version: 4 });
    const bytes = rawConnect({ level: 4, ...fields });
    if (fields === null) bytes[0] = 0x11;
    client.sendBytes(bytes);
    await client.closed();
    client.expectInboxEmpty();
  });

  /** Client Identifier, User Name, Password. */
  function triple(): readonly Buffer[] {
    return [text("a"), text("user"), text("secret")];
  }

  /** What would be a User Name stands where the will's first field is due. */
  function unordered(): readonly Buffer[] {
    return [text("a"), text([0xff, 0xff, 0xff]), ...will];
  }
});

describe("packets before CONNECT", () => {
  const { open } = startChapter();
  const two = [0, 1];

  test.for([
    ["CONNACK", Buffer.from("20020000", "hex")],
    ["PUBLISH, QoS 2", rawPacket(0x34, text("early"), two, 0)],
    ["PUBACK", rawPacket(0x40, two)],
    ["PUBREC", rawPacket(0x50, two)],
    ["PUBREL", rawPacket(0x62, two)],
    ["PUBCOMP", rawPacket(0x70, two)],
    ["SUBACK", rawPacket(0x90, two, 0)],
    ["UNSUBSCRIBE", rawPacket(0xa2, two, text("early"))],
    ["UNSUBACK", rawPacket(0xb0, two)],
    ["PINGRESP", rawPacket(0xd0)],
    ["AUTH", rawPacket(0xf0, 0x18, 4, [0x15, 0, 1, 0x78])],
    ["type 0", Buffer.from("0000", "hex")],
  ] as const)(
    "%s: closed without a word [MQTT-3.1.0-1] [MQTT-3.1.0-1 @3.1.1]",
    async ([, bytes]) => {
      const client = await open();
      client.sendBytes(bytes);
      await client.closed();
      client.expectInboxEmpty();
    },
  );
});

describe("a second CONNECT", () => {
  const { connect } = startChapter();

  test.for([
    [4, 5],
    [5, 4],
    [5, 3],
    [4, 3],
  ] as const)(
    "on a connection of version %i, of version %i: it ends it [MQTT-3.1.0-2]",
    async ([version, second]) => {
      const client = await connect({ version, clientId: `second${version}` });
      const protocolName = second === 3 ? "MQIsdp" : "MQTT";
      client.sendBytes(rawConnect({ protocolName, level: second, payload: [text("other")] }));
      await client.expectDisconnect(0x82);
    },
  );

  test("malformed, it ends it all the same [MQTT-3.1.0-2]", async () => {
    const client = await connect();
    client.sendBytes(rawConnect({ flags: 0x01 }));
    await client.expectDisconnect(0x82);
  });

  test("takes nothing from whom it names [MQTT-3.1.0-2] [MQTT-3.1.4-3]", async () => {
    const other = await connect({ clientId: "bystander" });
    const client = await connect();
    client.sendBytes(rawConnect({ payload: [text("bystander")] }));
    await client.expectDisconnect(0x82);
    await other.ping();
  });
});

describe("Client Identifiers that are refused", () => {
  const { connect, open } = startChapter({ configuration: ["allow_zero_length_clientid false"] });

  test.for([true, false])("5.0, empty, Clean Start %s: 0x85 [MQTT-3.1.3-8]", async (clean) => {
    const client = await open();
    client.sendBytes(rawConnect({ flags: clean ? 2 : 0, payload: [text("")] }));
    await client.expectRefusal(0x85);
  });

  test("3.1.1, empty: CONNACK 0x02 [MQTT-3.1.3-9 @3.1.1] [MQTT-3.1.3-7 @3.1.1]", async () => {
    for (const flags of [0x02, 0x00]) {
      const client = await open({ version: 4 });
      client.sendBytes(rawConnect({ level: 4, flags, payload: [text("")] }));
      await client.expectRefusal(2);
    }
  });

  test("others are taken", async () => {
    for (const version of [3, 4, 5] as const) await (await connect({ version })).ping();
  });
});

describe("3.1.1: a CONNACK that refuses", () => {
  // The option is the last listener's, which is that for WebSocket.
  const transport = "webSocket";
  const { connect, open } = startChapter({ configuration: ["use_username_as_clientid true"] });

  test("has Session Present 0, and closes [MQTT-3.2.2-4, -5 @3.1.1]", async () => {
    const keeper = { transport, version: 4, clientId: "refused", clean: false } as const;
    await (await connect({ ...keeper, userName: "refused" })).disconnect();
    const refused = await open(keeper);
    refused.sendConnect(keeper);
    await refused.expectRefusal(5);
    const back = await connect({ ...keeper, userName: "refused" });
    expect(back.connack?.sessionPresent).toBe(true);
  });

  test("nothing behind the CONNECT is handled [MQTT-3.1.4-5 @3.1.1]", async () => {
    const observer = await connect({ transport, userName: "observer" });
    await observer.subscribe("behind/refusal");
    const client = await open({ transport, version: 4 });
    client.sendBytes(
      Buffer.concat([
        rawConnect({ level: 4 }),
        rawPacket(0x30, text("behind/refusal")),
        rawPacket(0xc0),
      ]),
    );
    await client.expectRefusal(5);
    await observer.expectNothing();
  });
});

describe("3.1", () => {
  const { connect, open } = startChapter();

  test("CONNACK has no Session Present, though the Session is there [MQTT 3.1 §3.2]", async () => {
    const keeper = { version: 3, clientId: "oldest", clean: false } as const;
    const first = await connect(keeper);
    await first.subscribe("oldest", { qos: 1 });
    await first.disconnect();
    const again = await open(keeper);
    again.sendConnect(keeper);
    expect((await again.expectConnack()).sessionPresent).toBe(false);
    await again.publish("oldest", "x", { qos: 1 });
    await again.receive({ payload: "x" });
  });
});

describe("Topic Alias Maximum 0", () => {
  const { connect } = startChapter({ configuration: ["max_topic_alias 0"] });

  test("is left out of CONNACK, and an alias is 0x94 [MQTT-3.2.2-18]", async () => {
    const client = await connect();
    expect(client.connack?.properties?.topicAliasMaximum).toBeUndefined();
    client.sendPublish("aliased", "x", { properties: { topicAlias: 1 } });
    await client.expectDisconnect(0x94);
  });
});

describe("Server Keep Alive 1", () => {
  const { connect } = startChapter({ configuration: ["server_keep_alive 1"] });

  test("is enforced, also on who asked for more or for none [MQTT-3.2.2-21]", async () => {
    const clients = [await connect({ keepAliveSeconds: 600 }), await connect()];
    for (const client of clients) expect(client.connack?.properties?.serverKeepAlive).toBe(1);
    await Promise.all(clients.map((client) => client.expectDisconnect(0x8d)));
  });

  test("is not for 3.1.1, whose own value counts [MQTT-3.1.2-24 @3.1.1]", async () => {
    const quick = await connect({ keepAliveSeconds: 1 });
    const older = await connect({ version: 4, keepAliveSeconds: 60 });
    await quick.expectDisconnect(0x8d);
    await older.ping();
  });
});

describe("server_redirect_on_stop", () => {
  let broker: RunningBroker | undefined;

  afterEach(async () => {
    await broker?.kill9().catch(() => undefined);
  });

  test.for([
    ["temporary", 0x9c],
    ["permanent", 0x9d],
  ] as const)("%s: DISCONNECT with the places [§3.14.2.2.5] [§4.11]", async ([kind, code]) => {
    const place = "other.example:1883";
    broker = await startBroker({ configuration: [`server_redirect_on_stop ${kind} ${place}`] });
    const newer = await TestClient.connect(broker);
    const small = await TestClient.connect(broker, { properties: { maximumPacketSize: 25 } });
    const older = await TestClient.connect(broker, { version: 4 });
    const stopping = broker.stop();
    const { reasonCode, properties } = await newer.expect("disconnect");
    expect([reasonCode, properties?.serverReference]).toEqual([code, place]);
    expect(properties?.reasonString).toBe("the broker stops");
    const shorter = await small.expect("disconnect");
    expect(shorter.properties).toEqual({ serverReference: place });
    await older.closed();
    older.expectInboxEmpty();
    expect(await stopping).toBe(0);
    broker = undefined;
  });
});
