/**
 * Chapter 16: what a server may leave out, says in CONNACK, and then does not take.
 * MQTT 5.0 §3.2.2.3, §4.13; 3.1.1 §3.2.2.3, §3.8.3.
 *
 * Options of a listener stand behind the WebSocket listener of the file: TCP is without them.
 */
import { describe, expect, test } from "vitest";
import type { TestClient } from "../support/client.ts";
import { rawConnect, rawPacket, text } from "../support/client-bytes.ts";
import { subscription } from "../support/client-packets.ts";
import { nameOf, startChapter } from "./chapter.ts";

const transport = "webSocket";

function propertiesOf(client: TestClient) {
  return client.connack?.properties ?? {};
}

describe("a server that leaves nothing out", () => {
  const { connect } = startChapter();

  test("does not say so: absent means there [§3.2.2.3.4] [§3.2.2.3.5] [§3.2.2.3.11]", async () => {
    const properties = propertiesOf(await connect());
    expect(properties.maximumQoS).toBeUndefined();
    expect(properties.retainAvailable).toBeUndefined();
    expect(properties.wildcardSubscriptionAvailable).toBeUndefined();
    expect(properties.subscriptionIdentifiersAvailable).toBeUndefined();
    expect(properties.serverReference).toBeUndefined();
    expect(properties.reasonString).toBeUndefined();
  });

  test("says its limits [§3.2.2.3.3] [§3.2.2.3.6] [§3.2.2.3.8]", async () => {
    const properties = propertiesOf(await connect());
    expect(properties.receiveMaximum).toBe(1_000);
    expect(properties.maximumPacketSize).toBe(2_000_000);
    expect(properties.topicAliasMaximum).toBe(10);
  });

  test("has no Response Information where none is configured [§3.2.2.3.15]", async () => {
    const client = await connect({ properties: { requestResponseInformation: true } });
    expect(propertiesOf(client).responseInformation).toBeUndefined();
  });
});

describe("max_session_expiry_interval", () => {
  const { connect } = startChapter({ configuration: ["max_session_expiry_interval 30"] });

  test.for([
    [31, 30],
    [30, undefined],
    [5, undefined],
    [0, undefined],
  ] as const)("CONNACK for %i says %s [§3.2.2.3.2]", async ([asked, told]) => {
    const client = await connect({ properties: { sessionExpiryInterval: asked } });
    expect(propertiesOf(client).sessionExpiryInterval).toBe(told);
  });
});

describe("receive_maximum 65535", () => {
  const { connect } = startChapter({
    configuration: ["receive_maximum 65535", "max_inflight_messages 0"],
  });

  test("is what holds where CONNACK says nothing [§3.2.2.3.3]", async () => {
    expect(propertiesOf(await connect()).receiveMaximum).toBeUndefined();
  });
});

describe.each([0, 1] as const)("max_qos %i", (max) => {
  const { connect, open } = startChapter({ configuration: [`max_qos ${max}`] });
  const above = max === 0 ? 1 : 2;

  test("CONNACK of that listener says Maximum QoS, of others not [MQTT-3.2.2-9]", async () => {
    expect(propertiesOf(await connect({ transport })).maximumQoS).toBe(max);
    expect(propertiesOf(await connect()).maximumQoS).toBeUndefined();
  });

  test.for([0, 1, 2] as const)(
    "SUBSCRIBE for QoS %i is accepted, and granted no more [MQTT-3.2.2-10]",
    async (qos) => {
      const client = await connect({ transport });
      const publisher = await connect();
      const granted = Math.min(qos, max) as 0 | 1;
      expect(await client.subscribe(`granted/${qos}`, { qos })).toBe(granted);
      await publisher.publish(`granted/${qos}`, "x", { qos: 2 });
      await client.receive({ payload: "x", qos: granted });
    },
  );

  test("up to it all is well", async () => {
    const client = await connect({ transport });
    await client.subscribe("up/to", { qos: 2 });
    await client.publish("up/to", "x", { qos: max });
    await client.receive({ payload: "x", qos: max });
    const older = await connect({ transport, version: 4 });
    await older.publish("up/to", "y", { qos: max });
    await client.receive({ payload: "y", qos: max });
  });

  test("5.0: PUBLISH above it: DISCONNECT 0x9B, and it goes nowhere [MQTT-3.2.2-11]", async () => {
    const observer = await connect();
    await observer.subscribe("above", { qos: 2 });
    for (let qos = above; qos <= 2; qos++) {
      const client = await connect({ transport });
      client.sendPublish("above", "x", { qos: qos as 1 | 2 });
      await client.expectDisconnect(0x9b);
    }
    await observer.expectNothing();
  });

  test("3.1.1: PUBLISH above it closes the connection [MQTT-4.8.0-1 @3.1.1]", async () => {
    const observer = await connect();
    await observer.subscribe("above/4", { qos: 2 });
    const client = await connect({ transport, version: 4 });
    client.sendPublish("above/4", "x", { qos: above });
    await client.closed();
    client.expectInboxEmpty();
    await observer.expectNothing();
  });

  const will = { topic: "will/above", payload: Buffer.from("gone"), qos: above } as const;

  test("5.0: Will QoS above it: CONNACK 0x9B, close [MQTT-3.2.2-12]", async () => {
    const observer = await connect();
    await observer.subscribe("will/above");
    const client = await open({ transport });
    client.sendConnect({ will });
    expect((await client.expectRefusal(0x9b)).properties?.reasonString).toBe("Will QoS");
    await observer.expectNothing();
  });

  test("3.1.1: no return code says that: a bare close [MQTT-3.2.2-6 @3.1.1]", async () => {
    const client = await open({ transport, version: 4 });
    client.sendConnect({ will });
    await client.closed();
    client.expectInboxEmpty();
  });

  test("a will up to it goes out", async () => {
    const observer = await connect();
    await observer.subscribe("will/up/to", { qos: 2 });
    const allowed = { topic: "will/up/to", payload: Buffer.from("gone"), qos: max } as const;
    (await connect({ transport, will: allowed })).destroy();
    await observer.receive({ payload: "gone", qos: max });
  });

  test("other listeners take all", async () => {
    const client = await connect();
    expect(await client.subscribe("all", { qos: 2 })).toBe(2);
    await client.publish("all", "x", { qos: 2 });
    await client.receive({ payload: "x", qos: 2 });
  });
});

describe("retain_available false", () => {
  const { connect, open } = startChapter({ configuration: ["retain_available false"] });

  test("CONNACK says so [§3.2.2.3.5]", async () => {
    expect(propertiesOf(await connect()).retainAvailable).toBe(false);
  });

  test.for([
    ["QoS 0", 0],
    ["QoS 1", 1],
    ["QoS 2", 2],
  ] as const)("5.0: RETAIN with %s: DISCONNECT 0x9A [MQTT-3.2.2-14]", async ([, qos]) => {
    const observer = await connect();
    await observer.subscribe("kept");
    const client = await connect();
    client.sendPublish("kept", "x", { qos, retain: true });
    await client.expectDisconnect(0x9a);
    await observer.expectNothing();
  });

  test("3.1.1: RETAIN closes the connection [MQTT-4.8.0-1 @3.1.1]", async () => {
    const client = await connect({ version: 4 });
    client.sendPublish("kept", "x", { qos: 1, retain: true });
    await client.closed();
    client.expectInboxEmpty();
  });

  const will = { topic: "kept", payload: Buffer.from("gone"), retain: true };

  test("5.0: Will Retain: CONNACK 0x9A, close [MQTT-3.2.2-13]", async () => {
    const client = await open();
    client.sendConnect({ will });
    await client.expectRefusal(0x9a);
  });

  test("3.1.1: Will Retain: closed without CONNACK [MQTT-3.2.2-6 @3.1.1]", async () => {
    const client = await open({ version: 4 });
    client.sendConnect({ will });
    await client.closed();
    client.expectInboxEmpty();
  });

  test("SUBSCRIBE brings nothing retained, Retain As Published is taken [§3.8.3.1]", async () => {
    const client = await connect();
    await client.publish("kept", "x", { qos: 1 });
    expect(await client.subscribe("#", { qos: 1, retainAsPublished: true })).toBe(1);
    await client.expectNothing();
    await client.publish("kept", "y");
    await client.expectPublish({ payload: "y", retain: false });
  });
});

describe("retain_available false, what the broker itself says", () => {
  const { connect } = startChapter({ configuration: ["retain_available false", "sys_interval 1"] });

  test("goes out, and is not kept", async () => {
    const client = await connect();
    await client.subscribe("$SYS/broker/uptime", { retainAsPublished: true });
    await client.expectPublish({ topic: "$SYS/broker/uptime", retain: false });
    const late = await connect();
    await late.subscribe("$SYS/broker/uptime", { retainAsPublished: true });
    await late.expectPublish({ topic: "$SYS/broker/uptime", retain: false });
  });
});

describe("wildcard_subscription_available false", () => {
  const { connect } = startChapter({
    configuration: ["wildcard_subscription_available false"],
  });

  test("CONNACK says so [§3.2.2.3.11]", async () => {
    expect(propertiesOf(await connect()).wildcardSubscriptionAvailable).toBe(false);
  });

  test.for(["#", "+", "a/+/b", "a/#"])(
    "5.0: SUBSCRIBE for %s: DISCONNECT 0xA2, nothing of it is done [§3.2.2.3.11]",
    async (filter) => {
      const keeper = { clientId: "wild", clean: false, properties: { sessionExpiryInterval: 60 } };
      const client = await connect(keeper);
      client.send({
        cmd: "subscribe",
        messageId: 1,
        subscriptions: [subscription("plain"), subscription(filter)],
      });
      await client.expectDisconnect(0xa2);
      const again = await connect(keeper);
      expect(await again.unsubscribe("plain", filter)).toEqual([0x11, 0x11]);
      await again.disconnect(0, 0);
    },
  );

  test("3.1.1: SUBACK 0x80, and the other filters hold [MQTT-3.8.3-2 @3.1.1]", async () => {
    const client = await connect({ version: 4 });
    const entries = ["plain/a", "plain/#", "+", "plain/b"].map((filter) =>
      subscription(filter, { qos: 1 }, 4),
    );
    expect(await client.subscribeAll(entries)).toEqual([1, 0x80, 0x80, 1]);
    for (const topic of ["plain/a", "plain/b", "plain/c"]) await client.publish(topic, topic);
    await client.expectPublish({ payload: "plain/a" });
    await client.expectPublish({ payload: "plain/b" });
    await client.expectNothing();
  });

  test("a filter without wildcards is granted", async () => {
    const client = await connect();
    expect(await client.subscribe("plain", { qos: 2 })).toBe(2);
  });
});

describe("subscription_identifiers_available false", () => {
  const { connect } = startChapter({
    configuration: ["subscription_identifiers_available false"],
  });

  test("CONNACK says so [§3.2.2.3.12]", async () => {
    expect(propertiesOf(await connect()).subscriptionIdentifiersAvailable).toBe(false);
  });

  test("SUBSCRIBE with one: DISCONNECT 0xA1 [§3.2.2.3.12]", async () => {
    const client = await connect();
    client.send({
      cmd: "subscribe",
      messageId: 1,
      subscriptions: [subscription("identified")],
      properties: { subscriptionIdentifier: 1 },
    });
    await client.expectDisconnect(0xa1);
  });

  test("SUBSCRIBE without is granted", async () => {
    expect(await (await connect()).subscribe("identified")).toBe(0);
  });
});

describe("response_information", () => {
  const { connect, open } = startChapter({
    configuration: ["response_information answers/%c/", "allow_zero_length_clientid true"],
  });
  const asks = { properties: { requestResponseInformation: true } };

  test("is told to who asks, with its Client Identifier [§3.2.2.3.15] [§4.10]", async () => {
    const client = await connect({ clientId: "$&-asker", ...asks });
    expect(propertiesOf(client).responseInformation).toBe("answers/$&-asker/");
    const responder = await connect();
    const responseTopic = `${propertiesOf(client).responseInformation}1`;
    await client.subscribe(responseTopic);
    await responder.publish(responseTopic, "answer");
    await client.expectPublish({ payload: "answer" });
  });

  test("holds an assigned Client Identifier, too [MQTT-3.2.2-16]", async () => {
    const client = await connect({ clientId: "", ...asks });
    const { assignedClientIdentifier, responseInformation } = propertiesOf(client);
    expect(responseInformation).toBe(`answers/${assignedClientIdentifier}/`);
  });

  test.for([
    ["asked not to", { requestResponseInformation: false }],
    ["not asked", {}],
  ] as const)("is not told where %s [MQTT-3.1.2-28]", async ([, properties]) => {
    expect(propertiesOf(await connect({ properties })).responseInformation).toBeUndefined();
  });

  test("is not told to older versions", async () => {
    const client = await open({ version: 4 });
    client.sendBytes(rawConnect({ level: 4, payload: [text("older")] }));
    await client.next("connack"); // The parser takes no properties.
  });

  test.for(["a+b", "#", "x".repeat(65_535)])(
    "is left out where it would be no Topic Name: %#",
    async (clientId) => {
      const client = await connect({ clientId, ...asks });
      expect(propertiesOf(client).responseInformation).toBeUndefined();
    },
  );

  test("is left out where CONNACK would be too large with it [MQTT-3.1.2-24]", async () => {
    const properties = { requestResponseInformation: true, maximumPacketSize: 60 };
    const short = await connect({ clientId: "s", properties });
    expect(propertiesOf(short).responseInformation).toBe("answers/s/");
    const client = await connect({ clientId: "x".repeat(60), properties });
    expect(propertiesOf(client).responseInformation).toBeUndefined();
  });
});

describe.each([
  ["temporary", 0x9c],
  ["permanent", 0x9d],
] as const)("server_redirect %s", (kind, code) => {
  const places = "other.example:1883 [::1]:8883 third";
  const { connect, open } = startChapter({ configuration: [`server_redirect ${kind} ${places}`] });

  test("5.0: CONNACK with the places as Server Reference [§3.2.2.3.16] [§4.11]", async () => {
    const client = await open({ transport });
    client.sendConnect();
    expect((await client.expectRefusal(code)).properties?.serverReference).toBe(places);
  });

  test("5.0: also where an Authentication Method is named", async () => {
    const client = await open({ transport });
    client.sendConnect({ properties: { authenticationMethod: "SCRAM-SHA-256" } });
    await client.expectRefusal(code);
  });

  test.for([3, 4] as const)(
    "version %i: CONNACK 0x03, close [MQTT-3.2.2-4 @3.1.1] [MQTT-3.2.2-5 @3.1.1]",
    async (version) => {
      const client = await open({ transport, version });
      client.sendConnect();
      await client.expectRefusal(3);
    },
  );

  test("the Session and its connection elsewhere stay as they are", async () => {
    const owner = await connect({ clientId: "owner" });
    const client = await open({ transport });
    client.sendConnect({ clientId: "owner" });
    await client.expectRefusal(code);
    await owner.ping();
  });

  test("without room for the places it is the code alone [MQTT-3.1.2-24]", async () => {
    const client = await open({ transport });
    client.sendConnect({ properties: { maximumPacketSize: 20 } });
    expect((await client.expectRefusal(code)).properties?.serverReference).toBeUndefined();
  });
});

describe(`${nameOf(5)}: packets as small as the client wants them`, () => {
  const { connect, open } = startChapter();

  test("no CONNACK fits: closed with the bare code [MQTT-3.1.2-24]", async () => {
    for (const maximumPacketSize of [5, 12]) {
      const client = await open();
      client.sendConnect({ properties: { maximumPacketSize } });
      await client.expectRefusal(0x95);
    }
    const client = await open();
    client.sendConnect({ properties: { maximumPacketSize: 4 } });
    await client.closed();
    client.expectInboxEmpty();
  });

  test("a CONNACK that does not fit leaves the Session and its connection alone", async () => {
    const lasting = { sessionExpiryInterval: 60 };
    const owner = await connect({ clientId: "small", properties: lasting });
    const client = await open();
    const properties = { ...lasting, maximumPacketSize: 12 };
    client.sendConnect({ clientId: "small", clean: true, properties });
    await client.expectRefusal(0x95);
    await owner.ping();
  });

  test("CONNACK leaves its Reason String out [MQTT-3.2.2-19, -20]", async () => {
    const method = { authenticationMethod: "NONE" };
    const told = await open();
    told.sendConnect({ properties: method });
    const { properties } = await told.expectRefusal(0x8c);
    expect(properties?.reasonString).toBe("no such Authentication Method");
    expect(properties?.userProperties).toBeUndefined();
    const short = await open();
    short.sendConnect({ properties: { ...method, maximumPacketSize: 36 } });
    expect((await short.expectRefusal(0x8c)).properties?.reasonString).toBeUndefined();
    const exact = await open();
    exact.sendConnect({ properties: { ...method, maximumPacketSize: 37 } });
    expect((await exact.expectRefusal(0x8c)).properties?.reasonString).toHaveLength(29);
  });

  test("DISCONNECT loses its Reason String [MQTT-3.14.2-3, -4] [MQTT-3.14.2-2]", async () => {
    const reasons = [];
    for (const maximumPacketSize of [40, 30]) {
      const client = await connect({ properties: { maximumPacketSize } });
      client.send({ cmd: "disconnect", reasonCode: 0, properties: { sessionExpiryInterval: 60 } });
      const { reasonCode, properties } = await client.expect("disconnect");
      expect(reasonCode).toBe(0x82);
      expect(properties?.sessionExpiryInterval).toBeUndefined();
      expect(properties?.userProperties).toBeUndefined();
      reasons.push(properties?.reasonString);
    }
    expect(reasons).toEqual(["Session Expiry Interval was 0", undefined]);
  });

  test("a SUBACK that does not fit closes with 0x95 [MQTT-3.1.2-24] [MQTT-3.9.2-1]", async () => {
    const client = await connect({ properties: { maximumPacketSize: 30 } });
    const entries = Array.from({ length: 25 }, (_, i) => subscription(`many/${i}`));
    expect(await client.subscribeAll(entries)).toHaveLength(25);
    client.send({
      cmd: "subscribe",
      messageId: 9,
      subscriptions: [...entries, subscription("one/more")],
    });
    await client.expectDisconnect(0x95);
  });

  test("one that fits has nothing to leave out [MQTT-3.9.2-2] [MQTT-3.11.2-1, -2]", async () => {
    const client = await connect({ properties: { maximumPacketSize: 30 } });
    const filters = Array.from({ length: 25 }, (_, i) => `fits/${i}`);
    const subscriptions = filters.map((filter) => subscription(filter));
    client.send({ cmd: "subscribe", messageId: 7, subscriptions });
    expect((await client.expect("suback", 7)).properties).toBeUndefined();
    client.send({ cmd: "unsubscribe", messageId: 8, unsubscriptions: [...filters.slice(1), "x"] });
    const unsuback = await client.expect("unsuback", 8);
    expect(unsuback.properties).toBeUndefined();
    expect(unsuback.granted).toEqual([...Array(24).fill(0), 0x11]);
  });

  test("an UNSUBACK that does not fit, too [MQTT-3.1.2-24]", async () => {
    const client = await connect({ properties: { maximumPacketSize: 30 } });
    client.send({
      cmd: "unsubscribe",
      messageId: 9,
      unsubscriptions: Array.from({ length: 26 }, (_, i) => `many/${i}`),
    });
    await client.expectDisconnect(0x95);
  });
});

describe("Request Problem Information", () => {
  const { connect } = startChapter();

  test.for([
    [true, "Session Expiry Interval was 0"],
    [false, undefined],
  ] as const)(
    "%s: the Reason String of DISCONNECT is %s [MQTT-3.1.2-29]",
    async ([asks, reason]) => {
      const client = await connect({ properties: { requestProblemInformation: asks } });
      client.sendBytes(rawPacket(0xe0, 0, 5, [0x11, 0, 0, 0, 9]));
      expect((await client.expect("disconnect")).properties?.reasonString).toBe(reason);
    },
  );
});
