/**
 * Chapter 2, continued: message_size_limit. A payload above it goes nowhere, and its publisher is
 * told so where its version has a way to. MQTT 5.0 §3.4.2.1, §3.5.2.1.
 */
import type { QoS } from "mqtt-packet";
import { describe, expect, test } from "vitest";
import { nameOf, startChapter } from "./chapter.ts";

const PAYLOAD_BYTES_MAX = 1000;
const QUOTA_EXCEEDED = 0x97;

const chapter = startChapter({ configuration: [`message_size_limit ${PAYLOAD_BYTES_MAX}`] });
const { connect } = chapter;

describe("message_size_limit", () => {
  test.for([
    [5, 0, 0],
    [5, 1, QUOTA_EXCEEDED],
    [5, 2, QUOTA_EXCEEDED],
    [4, 0, 0],
    [4, 1, 0],
    [4, 2, 0],
  ] as const)("version %i, QoS %i: above it %i, and nowhere", async ([version, qos, code]) => {
    const topic = `size/${version}/${qos}`;
    const subscriber = await connect();
    await subscriber.subscribe(topic, { qos: 2 });
    const publisher = await connect({ version });
    const longest = "x".repeat(PAYLOAD_BYTES_MAX);
    expect(await publisher.publish(topic, `${longest}x`, { qos, retain: true })).toBe(code);
    expect(await publisher.publish(topic, longest, { qos })).toBe(0);
    await subscriber.receive({ payload: longest, qos });
    await subscriber.expectNothing(publisher);
    expect(await subscriber.subscribe(topic, { qos: 2 })).toBe(2);
    await subscriber.expectNothing(); // Nothing was retained.
  });

  test.for([4, 5] as const)("a QoS 2 identifier is free again at once, %s", async (version) => {
    const publisher = await connect({ version });
    const options = { qos: 2 as QoS, packetIdentifier: 7 };
    const long = "x".repeat(PAYLOAD_BYTES_MAX + 1);
    const subscriber = await connect();
    await subscriber.subscribe(`again/${nameOf(version)}`, { qos: 2 });
    publisher.sendPublish(`again/${nameOf(version)}`, long, options);
    await publisher.expect("pubrec", 7);
    if (version < 5) {
      publisher.send({ cmd: "pubrel", messageId: 7 });
      await publisher.expect("pubcomp", 7);
    }
    await publisher.publish(`again/${nameOf(version)}`, "short", options);
    await subscriber.receive({ payload: "short", qos: 2 });
    await subscriber.expectNothing();
  });
});
