/**
 * Chapter 2, continued: payloads that claim to be UTF-8, where `check_payload_utf8` is on and where
 * it is not. MQTT 5.0 §3.3.2.3.2, §3.1.3.2.3.
 */
import { describe, expect, test } from "vitest";
import { startChapter } from "./chapter.ts";

const INVALID = Buffer.from("61c328", "hex");
const VALID = Buffer.from("grün\0€😀");
const indicated = { properties: { payloadFormatIndicator: true } } as const;

describe("check_payload_utf8 true", () => {
  const { connect, open } = startChapter({ configuration: ["check_payload_utf8 true"] });

  test.for([1, 2] as const)(
    "QoS %i: no UTF-8 is refused with 0x99, goes nowhere, frees its identifier [§3.4.2.1]",
    async (qos) => {
      const client = await connect();
      await client.subscribe("format/#", { qos: 2 });
      const options = { qos, retain: true, packetIdentifier: 7, ...indicated };
      expect(await client.publish("format/bad", INVALID, options)).toBe(0x99);
      await client.expectNothing();
      // With QoS 2 nothing is open: the same identifier is a new message.
      expect(await client.publish("format/good", VALID, options)).toBe(0);
      const { payloadBytes, properties } = await client.receive({ topic: "format/good" });
      expect(payloadBytes).toEqual(VALID);
      expect(properties).toEqual({ payloadFormatIndicator: true });
      const late = await connect();
      await late.subscribe("format/#");
      await late.expectPublish({ topic: "format/good", retain: true });
      await late.expectNothing();
      await client.publish("format/good", "", { retain: true });
    },
  );

  test("QoS 0: DISCONNECT with 0x99 [§3.3.2.3.2]", async () => {
    const client = await connect();
    client.sendPublish("format/bad", INVALID, indicated);
    await client.expectDisconnect(0x99);
  });

  test("an alias set by a refused packet is set [MQTT-3.3.2-12]", async () => {
    const client = await connect();
    await client.subscribe("format/alias");
    const properties = { payloadFormatIndicator: true, topicAlias: 1 };
    expect(await client.publish("format/alias", INVALID, { qos: 1, properties })).toBe(0x99);
    await client.publish("", VALID, { qos: 1, properties });
    await client.expectPublish({ topic: "format/alias" });
  });

  test.for([
    ["indicator 0", { payloadFormatIndicator: false }],
    ["no indicator", {}],
  ] as const)("%s: any payload is good [MQTT-3.3.2-4]", async ([, properties]) => {
    const client = await connect();
    await client.subscribe("format/any");
    expect(await client.publish("format/any", INVALID, { qos: 1, properties })).toBe(0);
    expect((await client.expectPublish()).payloadBytes).toEqual(INVALID);
  });

  test("before 5.0 there is no indicator, and nothing to check", async () => {
    const client = await connect({ version: 4 });
    await client.subscribe("format/old");
    await client.publish("format/old", INVALID, { qos: 1 });
    expect((await client.expectPublish()).payloadBytes).toEqual(INVALID);
  });

  test("a will that is no UTF-8: CONNACK with 0x99, and none is sent [§3.1.3.2.3]", async () => {
    const observer = await connect();
    await observer.subscribe("format/will");
    const will = { topic: "format/will", ...indicated };
    const client = await open({ clientId: "bad will" });
    client.sendConnect({ will: { ...will, payload: INVALID } });
    await client.expectRefusal(0x99);
    await observer.expectNothing();
    const good = await connect({ will: { ...will, payload: VALID } });
    await good.drop();
    expect((await observer.expectPublish()).payloadBytes).toEqual(VALID);
  });
});

describe("check_payload_utf8 false, the default", () => {
  const { connect } = startChapter();

  test("payload and indicator are passed on unread [MQTT-3.3.2-4]", async () => {
    const client = await connect({
      will: { topic: "format/will", payload: INVALID, ...indicated },
    });
    const observer = await connect();
    await observer.subscribe("format/#");
    expect(await client.publish("format/x", INVALID, { qos: 1, ...indicated })).toBe(0);
    expect(await observer.expectPublish({ topic: "format/x" })).toMatchObject({
      payloadBytes: INVALID,
      properties: { payloadFormatIndicator: true },
    });
    await client.drop();
    expect((await observer.expectPublish({ topic: "format/will" })).payloadBytes).toEqual(INVALID);
  });
});
