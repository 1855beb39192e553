/**
 * Chapter 6: Will Messages: when they go out, when they do not. MQTT 5.0 §3.1.2.5, §3.14.4.
 */
import { describe, expect, test } from "vitest";
import type { TestClient } from "../support/client.ts";
import type { ConnectOptions, Will } from "../support/client-packets.ts";
import { startChapter } from "./chapter.ts";

const chapter = startChapter();
const { connect } = chapter;

/** An observer of `topic`, and options of a client whose will goes there. */
async function watch(
  topic: string,
  will: Partial<Will> = {},
): Promise<{ observer: TestClient; mortal: ConnectOptions }> {
  const observer = await connect();
  await observer.subscribe(topic, { qos: 2, retainAsPublished: true });
  return { observer, mortal: { will: { topic, payload: Buffer.from("gone"), ...will } } };
}

describe("the will is published", () => {
  test.for([3, 4, 5] as const)(
    "version %i: when the stream ends without DISCONNECT [MQTT-3.1.2-8] [MQTT-3.1.2-8 @3.1.1]",
    async (version) => {
      const { observer, mortal } = await watch(`will/end/${version}`);
      await (await connect({ ...mortal, version })).drop();
      await observer.receive({ topic: `will/end/${version}`, payload: "gone", retain: false });
    },
  );

  test("when the connection is reset [MQTT-3.1.2-8]", async () => {
    const { observer, mortal } = await watch("will/reset");
    (await connect(mortal)).destroy();
    await observer.receive({ payload: "gone" });
  });

  test.for([0x04, 0x80, 0x93])(
    "upon DISCONNECT with code %i [MQTT-3.1.2-10] [§3.14.2.1]",
    async (code) => {
      const { observer, mortal } = await watch(`will/code/${code}`);
      await (await connect(mortal)).disconnect(code);
      await observer.receive({ payload: "gone" });
    },
  );

  test("upon a Protocol Error [MQTT-3.1.2-8]", async () => {
    for (const version of [4, 5] as const) {
      const { observer, mortal } = await watch(`will/error/${version}`);
      const client = await connect({ ...mortal, version });
      client.sendBytes(Buffer.from("f1", "hex"));
      await client.closed();
      await observer.receive({ payload: "gone" });
    }
  });

  test("upon Keep Alive timeout [MQTT-3.1.2-22] [MQTT-3.1.2-24 @3.1.1]", async () => {
    const { observer, mortal } = await watch("will/timeout");
    await connect({ ...mortal, version: 4, keepAliveSeconds: 1 });
    await observer.receive({ payload: "gone" });
  });

  test("upon takeover, when the Session ends with it [MQTT-3.1.4-3] [MQTT-3.1.2-8]", async () => {
    const { observer, mortal } = await watch("will/takeover");
    const clientId = "will-takeover";
    await connect({ ...mortal, clientId });
    await connect({ clientId, clean: true });
    await observer.receive({ payload: "gone" });
  });

  test("upon takeover, without delay, though the Session goes on [MQTT-3.1.4-3]", async () => {
    const { observer, mortal } = await watch("will/takeover2");
    const keeper = { clientId: "will-keeper", properties: { sessionExpiryInterval: 60 } };
    await connect({ ...mortal, ...keeper });
    await connect({ ...keeper, clean: false });
    await observer.receive({ payload: "gone" });
  });

  test("3.1.1: upon takeover [MQTT-3.1.4-2 @3.1.1] [MQTT-3.1.2-8 @3.1.1]", async () => {
    const { observer, mortal } = await watch("will/takeover4");
    await connect({ ...mortal, version: 4, clientId: "will4", clean: false });
    await connect({ version: 4, clientId: "will4", clean: false });
    await observer.receive({ payload: "gone" });
  });

  test("upon DISCONNECT that may not be: expiry 0 made longer [§3.14.2.2.2]", async () => {
    const { observer, mortal } = await watch("will/expiry");
    const client = await connect({ ...mortal, properties: { sessionExpiryInterval: 0 } });
    client.send({
      cmd: "disconnect",
      reasonCode: 0,
      properties: { sessionExpiryInterval: 60 },
    });
    await client.expectDisconnect(0x82);
    await observer.receive({ payload: "gone" });
  });
});

describe("the will is dropped", () => {
  test.for([4, 5] as const)(
    "version %i: upon DISCONNECT 0x00 [MQTT-3.14.4-3] [MQTT-3.14.4-3 @3.1.1]",
    async (version) => {
      const { observer, mortal } = await watch(`will/none/${version}`);
      await (await connect({ ...mortal, version })).disconnect();
      await observer.expectNothing();
    },
  );

  test("with the connection whose CONNECT named none [MQTT-3.1.2-12 @3.1.1]", async () => {
    const { observer, mortal } = await watch("will/registered");
    const keeper = { version: 4, clientId: "registered", clean: false } as const;
    await (await connect({ ...mortal, ...keeper })).disconnect();
    await (await connect(keeper)).drop(); // A will belongs to a connection, not to the Session.
    await observer.expectNothing();
  });

  test("it goes out once only [MQTT-3.1.2-10]", async () => {
    const { observer, mortal } = await watch("will/once");
    const keeper = { clientId: "once", properties: { sessionExpiryInterval: 60 } };
    await (await connect({ ...mortal, ...keeper })).drop();
    await observer.receive({ payload: "gone" });
    await (await connect({ ...keeper, clean: false })).drop();
    await observer.expectNothing();
  });
});

describe("Will Delay Interval", () => {
  const delayed = { properties: { willDelayInterval: 2 } };

  test("passes before the will goes out [MQTT-3.1.2-8]", async () => {
    const { observer, mortal } = await watch("delay/passes", delayed);
    await (await connect({ ...mortal, properties: { sessionExpiryInterval: 60 } })).drop();
    const since = performance.now();
    await observer.expectNothing();
    await observer.receive({ payload: "gone" });
    expect(performance.now() - since).toBeGreaterThan(1000);
  });

  test("is cut short by the Session's end [MQTT-3.1.2-8]", async () => {
    const { observer, mortal } = await watch("delay/short", {
      properties: { willDelayInterval: 600 },
    });
    await (await connect({ ...mortal, properties: { sessionExpiryInterval: 1 } })).drop();
    await observer.receive({ payload: "gone" });
  });

  test("is nothing where the Session ends with the connection [MQTT-3.1.2-8]", async () => {
    const { observer, mortal } = await watch("delay/none", delayed);
    await (await connect(mortal)).drop();
    const since = performance.now();
    await observer.receive({ payload: "gone" });
    expect(performance.now() - since).toBeLessThan(1500);
  });

  test.for([
    ["after the loss", true],
    ["by takeover", false],
  ] as const)("reconnecting %s cancels it [MQTT-3.1.3-9]", async ([, drops]) => {
    const topic = `delay/cancel/${drops}`;
    const { observer, mortal } = await watch(topic, { properties: { willDelayInterval: 1 } });
    const keeper = { clientId: `cancel-${drops}`, properties: { sessionExpiryInterval: 60 } };
    const first = await connect({ ...mortal, ...keeper });
    if (drops) await first.drop();
    await connect({ ...keeper, clean: false });
    // A second will, delayed as long but begun later, marks the time when the first was due.
    const marker = await watch(`${topic}/marker`, { properties: { willDelayInterval: 2 } });
    const other = { properties: { sessionExpiryInterval: 60 } };
    await (await connect({ ...marker.mortal, ...other })).drop();
    await marker.observer.receive({ payload: "gone" });
    await observer.expectNothing();
  });

  test("Clean Start 1 ends the Session, sends it at once [MQTT-3.1.3-9] [§3.1.3.2.2]", async () => {
    const { observer, mortal } = await watch("delay/clean", {
      properties: { willDelayInterval: 600 },
    });
    const keeper = { clientId: "delay-clean", properties: { sessionExpiryInterval: 600 } };
    await (await connect({ ...mortal, ...keeper })).drop();
    await connect({ clientId: "delay-clean", clean: true });
    await observer.receive({ payload: "gone" });
  });
});

describe("the will as a message", () => {
  test.for([0, 1, 2] as const)("QoS %i is its own [MQTT-3.1.2-12]", async (qos) => {
    const { observer, mortal } = await watch(`message/qos/${qos}`, { qos });
    await (await connect(mortal)).drop();
    await observer.receive({ payload: "gone", qos });
  });

  test("Will Retain 1 retains it [MQTT-3.1.2-15] [MQTT-3.1.2-17 @3.1.1]", async () => {
    for (const version of [4, 5] as const) {
      const topic = `message/retain/${version}`;
      const { observer, mortal } = await watch(topic, { retain: true, qos: 1 });
      await (await connect({ ...mortal, version })).drop();
      await observer.receive({ payload: "gone", retain: true });
      const late = await connect();
      await late.subscribe(topic);
      await late.expectPublish({ payload: "gone", retain: true });
    }
  });

  test("Will Retain 0 does not [MQTT-3.1.2-14] [MQTT-3.1.2-16 @3.1.1]", async () => {
    const { observer, mortal } = await watch("message/live");
    await (await connect(mortal)).drop();
    await observer.receive({ payload: "gone", retain: false });
    const late = await connect();
    await late.subscribe("message/live");
    await late.expectNothing();
  });

  test("its properties go with it [MQTT-3.1.3-10] [MQTT-3.1.2-7]", async () => {
    const properties = {
      payloadFormatIndicator: true,
      contentType: "text/plain",
      responseTopic: "answer",
      correlationData: Buffer.from("will"),
      userProperties: { a: ["1", "2"], b: "3" },
    };
    const { observer, mortal } = await watch("message/properties", {
      properties: { ...properties, willDelayInterval: 0, messageExpiryInterval: 100 },
    });
    await (await connect(mortal)).drop();
    const delivery = await observer.receive({ payload: "gone" });
    const { messageExpiryInterval, ...others } = delivery.properties;
    expect(others).toEqual(properties);
    expect(messageExpiryInterval).toBeGreaterThanOrEqual(99);
    expect(messageExpiryInterval).toBeLessThanOrEqual(100);
  });

  test("an empty one is published too [§3.1.3.4]", async () => {
    const { observer, mortal } = await watch("message/empty", { payload: Buffer.alloc(0) });
    await (await connect(mortal)).drop();
    await observer.receive({ topic: "message/empty", payload: "" });
  });

  test("a Session offline gets it later [MQTT-4.5.0-1]", async () => {
    const keeper = { clientId: "heir", properties: { sessionExpiryInterval: 60 } };
    const heir = await connect(keeper);
    await heir.subscribe("message/heir", { qos: 1 });
    await heir.disconnect();
    const { observer, mortal } = await watch("message/heir", { qos: 1 });
    await (await connect(mortal)).drop();
    await observer.receive({ payload: "gone" });
    await (await connect({ ...keeper, clean: false })).receive({ payload: "gone", qos: 1 });
  });
});
