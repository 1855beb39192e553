/**
 * Chapter 15: shared subscriptions, `$share/NAME/filter`. MQTT 5.0 §4.8.2.
 */
import { describe, expect, test } from "vitest";
import type { TestClient } from "../support/client.ts";
import { rawPacket, text } from "../support/client-bytes.ts";
import { subscription } from "../support/client-packets.ts";
import { startChapter } from "./chapter.ts";

const chapter = startChapter();
const { connect, open } = chapter;

/** Clients that share a filter, in the order in which they subscribed. */
async function members(
  filter: string,
  count: number,
  options: Parameters<typeof connect>[0] = {},
  qos: 0 | 1 | 2 = 2,
): Promise<TestClient[]> {
  const clients: TestClient[] = [];
  for (let i = 0; i < count; i++) {
    const client = await connect(options);
    expect(await client.subscribe(filter, { qos })).toBe(qos);
    clients.push(client);
  }
  return clients;
}

async function publishAll(publisher: TestClient, topic: string, count: number, qos: 0 | 1 | 2) {
  for (let i = 0; i < count; i++) await publisher.publish(topic, `${i}`, { qos });
}

describe("a filter that shares", () => {
  test.for([
    ["$share//a", "no name"],
    ["$share/", "neither"],
    ["$share/name", "no filter"],
    ["$share/name/", "an empty filter"],
    ["$share/na+me/a", "a name with +"],
    ["$share/+/a", "a name that is +"],
  ] as const)("%s, %s, is refused [MQTT-4.8.2-1] [MQTT-4.8.2-2]", async ([filter]) => {
    for (const version of [4, 5] as const) {
      const [subscribing, unsubscribing] = [await open({ version }), await open({ version })];
      for (const client of [subscribing, unsubscribing]) {
        client.sendConnect();
        await client.expectConnack();
      }
      const properties = version === 5 ? [0] : [];
      subscribing.sendBytes(rawPacket(0x82, [0, 1], ...properties, text(filter), 0));
      await subscribing.expectDisconnect(0x8f);
      unsubscribing.sendBytes(rawPacket(0xa2, [0, 1], ...properties, text(filter)));
      await unsubscribing.expectDisconnect(0x8f);
    }
  });

  test("with No Local is a Protocol Error; no part of it holds [MQTT-3.8.3-4]", async () => {
    const client = await connect({ properties: { sessionExpiryInterval: 60 } });
    const shared = subscription("$share/group/local", { noLocal: true });
    client.send({
      cmd: "subscribe",
      messageId: 1,
      subscriptions: [subscription("local"), shared],
    });
    await client.expectDisconnect(0x82);
    const again = await connect({ clientId: client.clientId, clean: false });
    await again.publish("local", "x");
    await again.expectNothing();
  });

  test("is told as available by saying nothing of it [§3.2.2.3.13]", async () => {
    const client = await connect();
    expect(client.connack?.properties?.sharedSubscriptionAvailable).toBeUndefined();
  });

  test("may have wildcards, and may begin with $ behind its name [§4.8.2]", async () => {
    const client = await connect();
    expect(await client.subscribe("$share/wild/wild/+/b/#")).toBe(0);
    expect(await client.subscribe("$share/wild/$mine/a")).toBe(0);
    await client.publish("wild/a/b/c", "1");
    await client.publish("wild/a/b", "2");
    await client.publish("wild/a/c", "3");
    await client.publish("$mine/a", "4");
    for (const payload of ["1", "2", "4"]) await client.expectPublish({ payload });
    await client.expectNothing();
  });

  test("gets nothing that is retained [§4.8.2]", async () => {
    const client = await connect();
    await client.publish("shared/retained", "old", { retain: true });
    await client.subscribe("$share/group/shared/retained", { retainHandling: 0 });
    await client.expectNothing();
    await client.publish("shared/retained", "", { retain: true });
  });
});

describe.for([4, 5] as const)("version %i: a group", (version) => {
  const topic = `turn/${version}`;
  const filter = `$share/turn/${topic}`;

  test.for([0, 1, 2] as const)(
    "QoS %i: each message goes to one, in turn [§4.8.2]",
    async (qos) => {
      const group = await members(filter, 3, { version });
      const publisher = await connect({ version });
      await publishAll(publisher, topic, 9, qos);
      for (const [index, member] of group.entries()) {
        for (const i of [0, 3, 6]) await member.receive({ payload: `${index + i}`, qos });
        await member.expectNothing();
      }
    },
  );

  test("is a name with a filter: each of them gets its own copy [§4.8.2]", async () => {
    const topicName = `${topic}/groups`;
    const one = await connect({ version });
    for (const name of ["one", "other"]) await one.subscribe(`$share/${name}/${topicName}`);
    await one.subscribe(`$share/one/${topic}/#`);
    await one.subscribe(topicName);
    const other = await connect({ version });
    await other.subscribe(`$share/other/${topicName}`);
    await one.publish(topicName, "1");
    await one.publish(topicName, "2");
    for (const payload of ["1", "1", "1", "1", "2", "2", "2"]) await one.expectPublish({ payload });
    await one.expectNothing();
    await other.expectPublish({ payload: "2" });
    await other.expectNothing();
  });

  test("ends for who unsubscribes, and goes on for the others [MQTT-3.10.4-2]", async () => {
    const [leaving, staying] = (await members(filter, 2, { version })) as [TestClient, TestClient];
    if (version === 5) expect(await leaving.unsubscribe(filter, filter)).toEqual([0, 0x11]);
    else await leaving.unsubscribe(filter, filter);
    await publishAll(staying, topic, 2, 0);
    for (const payload of ["0", "1"]) await staying.expectPublish({ payload });
    await leaving.expectNothing();
    await staying.unsubscribe(filter);
    await staying.publish(topic, "nobody");
    await staying.expectNothing();
  });

  test("delivers as the QoS granted to the chosen one says [MQTT-4.8.2-3]", async () => {
    const group: TestClient[] = [];
    for (const qos of [0, 1, 2] as const) {
      group.push(...(await members(filter, 1, { version }, qos)));
    }
    await publishAll(await connect({ version }), topic, 6, 2);
    for (const [qos, member] of group.entries()) {
      await member.receive({ payload: `${qos}`, qos: qos as 0 | 1 | 2 });
      await member.receive({ payload: `${qos + 3}`, qos: qos as 0 | 1 | 2 });
      await member.expectNothing();
    }
  });
});

describe("a membership", () => {
  test("subscribed to again has other options, not a second turn [MQTT-3.8.4-3]", async () => {
    const filter = "$share/again/again";
    const [one, other] = (await members(filter, 2, {}, 0)) as [TestClient, TestClient];
    expect(await one.subscribe(filter, { qos: 1, subscriptionIdentifier: 7 })).toBe(1);
    await publishAll(other, "again", 4, 1);
    for (const payload of ["0", "2"]) {
      const { properties } = await one.receive({ payload, qos: 1 });
      expect(properties.subscriptionIdentifier).toBe(7);
    }
    for (const payload of ["1", "3"]) await other.receive({ payload, qos: 0 });
    await one.expectNothing();
    await other.expectNothing();
  });

  test("has an identifier of its own, whatever else matches [MQTT-3.3.4-5]", async () => {
    const client = await connect();
    const publisher = await connect();
    await client.subscribe("own/#", { qos: 1, subscriptionIdentifier: 1 });
    await client.subscribe("$share/own/own/+", { qos: 1, subscriptionIdentifier: 2 });
    await client.subscribe("$share/none/own/+", { qos: 1 });
    await publisher.publish("own/x", "x", { qos: 1 });
    const identifiers: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      identifiers.push((await client.receive()).properties.subscriptionIdentifier);
    }
    expect(new Set(identifiers)).toEqual(new Set([1, 2, undefined]));
    await client.expectNothing();
  });

  test("keeps RETAIN if it asks for that [MQTT-3.3.1-12] [MQTT-3.3.1-13]", async () => {
    const [plain, keeping] = [await connect(), await connect()];
    await plain.subscribe("$share/rap/rap", { qos: 1 });
    await keeping.subscribe("$share/rap/rap", { qos: 1, retainAsPublished: true });
    await plain.publish("rap", "1", { qos: 1, retain: true });
    await plain.publish("rap", "2", { qos: 1, retain: true });
    await plain.receive({ payload: "1", retain: false });
    await keeping.receive({ payload: "2", retain: true });
    await plain.publish("rap", "", { retain: true });
  });

  test("gets what its own client publishes [§4.8.2]", async () => {
    const client = await connect();
    await client.subscribe("$share/self/self");
    await client.publish("self", "x");
    await client.expectPublish({ payload: "x" });
  });
});

describe("who has room", () => {
  const small = { properties: { receiveMaximum: 2 } };

  test("gets what others have none for [MQTT-3.3.4-9]", async () => {
    const filter = "$share/room/room";
    const [full, free] = [await connect(small), await connect()];
    for (const client of [full, free]) await client.subscribe(filter, { qos: 1 });
    const publisher = await connect();
    await publishAll(publisher, "room", 8, 1);
    const held = [await full.expectPublish(), await full.expectPublish()];
    expect(held.map(({ payload }) => payload)).toEqual(["0", "2"]);
    for (const payload of ["1", "3", "4", "5", "6", "7"]) await free.receive({ payload });
    await full.expectNothing();
    for (const delivery of held) await full.acknowledge(delivery);
    await full.ping();
    await publishAll(publisher, "room", 2, 1);
    const last = [await full.receive(), await free.receive()].map(({ payload }) => payload);
    expect(last.toSorted()).toEqual(["0", "1"]);
  });

  test("first gets what waited for all of them, in order [§4.8.2] [MQTT-4.6.0-6]", async () => {
    const filter = "$share/wait/wait";
    const [one, other] = [await connect(small), await connect(small)];
    for (const client of [one, other]) await client.subscribe(filter, { qos: 1 });
    await publishAll(await connect(), "wait", 10, 1);
    const held = [await one.expectPublish(), await one.expectPublish()];
    const kept = [await other.expectPublish(), await other.expectPublish()];
    await one.expectNothing();
    await other.expectNothing();
    for (const delivery of held) await one.acknowledge(delivery);
    for (const payload of ["4", "5", "6", "7"]) await one.receive({ payload });
    await one.receive({ payload: "8" });
    await one.receive({ payload: "9" });
    await other.expectNothing();
    expect(kept.map(({ payload }) => payload)).toEqual(["1", "3"]);
  });

  test("QoS 0 goes to whoever is there, window or not [§4.8.2]", async () => {
    const client = await connect(small);
    await client.subscribe("$share/zero/zero", { qos: 1 });
    const publisher = await connect();
    await publishAll(publisher, "zero", 3, 1);
    await client.expectPublish({ payload: "0" });
    await client.expectPublish({ payload: "1" });
    await publisher.publish("zero", "unacknowledged");
    await client.expectPublish({ payload: "unacknowledged", qos: 0 });
  });
});

describe("a member whose client goes", () => {
  const durable = { properties: { sessionExpiryInterval: 600 } };

  test("leaves QoS 1 to others when its Session ends with it [§4.8.2]", async () => {
    const [going, staying] = (await members("$share/go/go", 2)) as [TestClient, TestClient];
    await publishAll(staying, "go", 4, 1);
    for (const payload of ["0", "2"]) await going.expectPublish({ payload });
    for (const payload of ["1", "3"]) await staying.receive({ payload });
    await going.drop();
    for (const payload of ["0", "2"]) await staying.receive({ payload, qos: 1, dup: false });
    await staying.expectNothing();
  });

  test("takes QoS 2 with it once it was sent [MQTT-4.8.2-5]", async () => {
    const [going, staying] = (await members("$share/go2/go2", 2)) as [TestClient, TestClient];
    await publishAll(staying, "go2", 2, 2);
    await going.expectPublish({ payload: "0", qos: 2 });
    await staying.receive({ payload: "1", qos: 2 });
    await going.drop();
    await staying.expectNothing();
  });

  test("finishes QoS 2 when it returns [MQTT-4.8.2-4]", async () => {
    const options = { ...durable, clientId: "finishes-2" };
    const [going] = (await members("$share/fin/fin", 1, options)) as [TestClient];
    const [staying] = (await members("$share/fin/fin", 1)) as [TestClient];
    await publishAll(staying, "fin", 2, 2);
    const first = await going.expectPublish({ payload: "0", qos: 2 });
    await staying.receive({ payload: "1", qos: 2 });
    await going.drop();
    await staying.expectNothing();
    const back = await connect({ ...options, clean: false });
    const { packetIdentifier } = first;
    await back.receive({ payload: "0", qos: 2, dup: true, packetIdentifier });
    await back.expectNothing();
  });

  test("is passed over while it is away, and keeps what was sent to it [§4.8.2]", async () => {
    const options = { ...durable, clientId: "passed-over" };
    const [going] = (await members("$share/away/away", 1, options)) as [TestClient];
    const [staying] = (await members("$share/away/away", 1)) as [TestClient];
    await staying.publish("away", "0", { qos: 1 });
    await going.expectPublish({ payload: "0" });
    await going.drop();
    for (const payload of ["1", "2", "3"]) {
      await staying.publish("away", payload, { qos: 1 });
      await staying.receive({ payload });
    }
    const back = await connect({ ...options, clean: false });
    await back.receive({ payload: "0", dup: true });
    await publishAll(staying, "away", 2, 1);
    await back.receive();
    await staying.receive();
  });

  test("gives up QoS 1 when its Session is ended by a clean start [§4.8.2]", async () => {
    const options = { ...durable, clientId: "clean-start" };
    const [going] = (await members("$share/clean/clean", 1, options)) as [TestClient];
    const [staying] = (await members("$share/clean/clean", 1)) as [TestClient];
    await staying.publish("clean", "0", { qos: 1 });
    await going.expectPublish({ payload: "0" });
    await going.drop();
    await staying.expectNothing();
    const back = await connect({ ...options, clean: true });
    expect(back.connack?.sessionPresent).toBe(false);
    await staying.receive({ payload: "0", dup: false });
    await staying.publish("clean", "1", { qos: 1 });
    await staying.receive({ payload: "1" });
    await back.expectNothing();
  });

  test("refuses a message for all of them with 0x80 and more [MQTT-4.8.2-6]", async () => {
    const [one, other] = (await members("$share/no/no", 2)) as [TestClient, TestClient];
    await publishAll(other, "no", 1, 1);
    const { packetIdentifier } = await one.expectPublish({ payload: "0", qos: 1 });
    one.send({ cmd: "puback", messageId: packetIdentifier, reasonCode: 0x83 });
    await publishAll(other, "no", 2, 2);
    await other.receive({ payload: "0", qos: 2 });
    const second = await one.expectPublish({ payload: "1", qos: 2 });
    one.send({ cmd: "pubrec", messageId: second.packetIdentifier, reasonCode: 0x97 });
    await one.expectNothing();
    await one.drop();
    await other.expectNothing();
  });
});

describe("while nobody is there", () => {
  const durable = { properties: { sessionExpiryInterval: 600 } };

  test("messages wait for whoever comes first, in order [§4.8.2]", async () => {
    const filter = "$share/first/first";
    const [one] = await members(filter, 1, { ...durable, clientId: "first-1" });
    const [other] = await members(filter, 1, { ...durable, clientId: "first-2" });
    await one?.drop();
    await other?.drop();
    await publishAll(await connect(), "first", 3, 1);
    await publishAll(await connect(), "first", 3, 2);
    const back = await connect({ ...durable, clientId: "first-2", clean: false });
    for (const payload of ["0", "1", "2"]) await back.receive({ payload, qos: 1 });
    for (const payload of ["0", "1", "2"]) await back.receive({ payload, qos: 2 });
    const late = await connect({ ...durable, clientId: "first-1", clean: false });
    await late.expectNothing();
  });

  test("a new member is as good as an old one [§4.8.2]", async () => {
    const filter = "$share/new/new";
    const [old] = await members(filter, 1, durable);
    await old?.drop();
    await publishAll(await connect(), "new", 3, 1);
    const [newer] = (await members(filter, 1)) as [TestClient];
    for (const payload of ["0", "1", "2"]) await newer.receive({ payload, qos: 1 });
  });

  test("QoS 0 messages are gone [§4.8.2]", async () => {
    const options = { ...durable, clientId: "zero-gone" };
    const [going] = await members("$share/gone/gone", 1, options);
    await going?.drop();
    const publisher = await connect();
    await publisher.publish("gone", "x");
    await publisher.ping();
    const back = await connect({ ...options, clean: false });
    await back.expectNothing();
  });

  test("a group without members is forgotten [§4.8.2]", async () => {
    const filter = "$share/forgotten/forgotten";
    const [going] = (await members(filter, 1, durable)) as [TestClient];
    await going.drop();
    await publishAll(await connect(), "forgotten", 1, 1);
    const back = await connect({ ...durable, clientId: going.clientId, clean: true });
    await back.subscribe(filter, { qos: 1 });
    await back.expectNothing();
  });
});

describe("$SYS", () => {
  const { connect: connectToSys } = startChapter({ configuration: ["sys_interval 1"] });

  test("counts shared subscriptions apart [§4.7.2]", async () => {
    const client = await connectToSys();
    const entries = ["$share/a/x", "$share/b/x", "$share/b/y"];
    await client.subscribeAll(entries.map((filter) => subscription(filter)));
    await client.subscribe("$SYS/broker/shared_subscriptions/count");
    await client.subscribe("$SYS/broker/subscriptions/count");
    await client.subscribe("$SYS/broker/clients/total");
    const last = new Map<string, string>();
    while (last.get("shared_subscriptions/count") !== "3" || last.get("clients/total") !== "1") {
      const { topic, payload } = await client.expectPublish();
      last.set(topic.replace("$SYS/broker/", ""), payload);
    }
    expect(last.get("subscriptions/count")).toBe("3");
  });
});

describe("shared_subscription_available false", () => {
  const refusing = startChapter({ configuration: ["shared_subscription_available false"] });

  test("5.0: CONNACK says so, and asked for all the same it is 0x9E [§3.2.2.3.13]", async () => {
    const client = await refusing.connect();
    expect(client.connack?.properties?.sharedSubscriptionAvailable).toBe(false);
    const entries = [subscription("shared/a"), subscription("$share/group/shared/#")];
    client.send({ cmd: "subscribe", messageId: 1, subscriptions: entries });
    await client.expectDisconnect(0x9e);
  });

  test("3.1.1: SUBACK 0x80 [MQTT-3.9.3-2 @3.1.1]", async () => {
    const client = await refusing.connect({ version: 4 });
    expect(await client.subscribe("$share/group/shared/#")).toBe(0x80);
  });
});

describe("shared_strategy least-inflight", () => {
  const strategic = startChapter({ configuration: ["shared_strategy least-inflight"] });

  test("who has the fewest unacknowledged messages is next [§4.8.2]", async () => {
    const filter = "$share/least/least";
    const [slow, quick] = [await strategic.connect(), await strategic.connect()];
    for (const client of [slow, quick]) await client.subscribe(filter, { qos: 1 });
    const publisher = await strategic.connect();
    const publishOne = (payload: string) => publisher.publish("least", payload, { qos: 1 });
    await publishOne("0");
    await slow.expectPublish({ payload: "0" });
    for (const payload of ["1", "2", "3"]) {
      await publishOne(payload);
      await quick.receive({ payload });
      await quick.ping();
    }
    await slow.expectNothing();
  });
});

describe("shared_strategy sticky-by-publisher", () => {
  const strategic = startChapter({ configuration: ["shared_strategy sticky-by-publisher"] });

  test.for([0, 1] as const)("QoS %i: to whom the last of it went [§4.8.2]", async (qos) => {
    const filter = `$share/sticky/sticky/${qos}`;
    const group: TestClient[] = [];
    for (let i = 0; i < 3; i++) group.push(await strategic.connect());
    for (const client of group) await client.subscribe(filter, { qos });
    const publisher = await strategic.connect();
    await publishAll(publisher, `sticky/${qos}`, 6, qos);
    await publisher.ping();
    for (const client of group) await client.ping();
    const [first, second, third] = group as [TestClient, TestClient, TestClient];
    for (let i = 0; i < 6; i++) await first.receive({ payload: `${i}` });
    await second.expectNothing();
    await third.expectNothing();
    await first.drop();
    await publishAll(publisher, `sticky/${qos}`, 3, qos);
    for (let i = 0; i < 3; i++) await second.receive({ payload: `${i}` });
    await third.expectNothing();
  });
});
