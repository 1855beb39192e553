/**
 * Chapter 16: Subscription Identifiers: all that match in one copy, kept with the Session.
 * MQTT 5.0 §3.3.2.3.8, §3.3.4, §3.8.2.1.2, §3.8.4.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TestClient } from "../support/client.ts";
import { rawPacket, text } from "../support/client-bytes.ts";
import type { Delivery } from "../support/client-packets.ts";
import { type RestartableBroker, startRestartableBroker } from "../support/restartable-broker.ts";
import { startChapter } from "./chapter.ts";

const { connect } = startChapter();

/** The identifiers of a delivery, ascending. */
function identifiersOf({ properties }: Delivery): number[] {
  const identifiers = [properties.subscriptionIdentifier ?? []].flat();
  return identifiers.toSorted((one, other) => one - other);
}

describe("a message that several subscriptions match", () => {
  test.for([0, 1, 2] as const)(
    "comes once at QoS %i, with the identifiers of all [MQTT-3.3.4-3, -4, -5]",
    async (qos) => {
      const client = await connect();
      const filters = ["all/#", "all/+/c", "all/b/c", "+/b/c", "#"];
      for (const [index, filter] of filters.entries()) {
        await client.subscribe(filter, { qos, subscriptionIdentifier: index + 1 });
      }
      await client.publish("all/b/c", "x", { qos });
      expect(identifiersOf(await client.receive({ payload: "x", qos }))).toEqual([1, 2, 3, 4, 5]);
      await client.expectNothing();
    },
  );

  test("says an identifier as often as it has subscriptions with it [§3.3.2.3.8]", async () => {
    const client = await connect();
    await client.subscribe("same/#", { subscriptionIdentifier: 4 });
    await client.subscribe("same/x", { subscriptionIdentifier: 4 });
    await client.publish("same/x", "x");
    const identifiers = identifiersOf(await client.expectPublish());
    expect(new Set(identifiers)).toEqual(new Set([4]));
    expect(identifiers.length).toBeLessThanOrEqual(2);
    await client.expectNothing();
  });

  test("leaves out those with No Local, to who published it [MQTT-3.8.3-3]", async () => {
    const client = await connect();
    await client.subscribe("mine/#", { noLocal: true, subscriptionIdentifier: 1 });
    await client.subscribe("mine/x", { subscriptionIdentifier: 2 });
    await client.publish("mine/x", "x");
    expect(identifiersOf(await client.expectPublish())).toEqual([2]);
    const other = await connect();
    await other.publish("mine/x", "y");
    expect(identifiersOf(await client.expectPublish())).toEqual([1, 2]);
  });

  test("says each receiver its own, and none before 5.0", async () => {
    const one = await connect();
    const other = await connect();
    const older = await connect({ version: 4 });
    await one.subscribe("each", { subscriptionIdentifier: 1 });
    await other.subscribe("each", { subscriptionIdentifier: 2 });
    await older.subscribe("each");
    await one.publish("each", "x");
    expect(identifiersOf(await one.expectPublish())).toEqual([1]);
    expect(identifiersOf(await other.expectPublish())).toEqual([2]);
    const { bytes } = await older.expectPublish();
    expect(bytes).toEqual(rawPacket(0x30, text("each"), Buffer.from("x")));
  });
});

describe("an identifier", () => {
  test.for([1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455])(
    "of %i comes back as it was [§3.8.2.1.2]",
    async (subscriptionIdentifier) => {
      const client = await connect();
      await client.subscribe("value", { subscriptionIdentifier });
      await client.publish("value", "x");
      expect(identifiersOf(await client.expectPublish())).toEqual([subscriptionIdentifier]);
    },
  );

  test("counts for all filters of its SUBSCRIBE [§3.8.2.1.2]", async () => {
    const client = await connect();
    const entry = { qos: 0, nl: false, rap: false, rh: 0 } as const;
    await client.subscribeAll(
      [
        { ...entry, topic: "filters/a" },
        { ...entry, topic: "filters/b" },
      ],
      7,
    );
    for (const topic of ["filters/a", "filters/b"]) {
      await client.publish(topic, "x");
      expect(identifiersOf(await client.expectPublish({ topic }))).toEqual([7]);
    }
  });

  test("comes with each retained message of its subscription, and only it [§3.3.4]", async () => {
    const client = await connect();
    await client.publish("held/a", "a", { retain: true, qos: 1 });
    await client.publish("held/b", "b", { retain: true, qos: 1 });
    await client.subscribe("held/#", { subscriptionIdentifier: 1 });
    for (let i = 0; i < 2; i++) {
      expect(identifiersOf(await client.expectPublish({ retain: true }))).toEqual([1]);
    }
    await client.subscribe("held/a", { subscriptionIdentifier: 2 });
    expect(identifiersOf(await client.expectPublish({ payload: "a", retain: true }))).toEqual([2]);
    await client.subscribe("held/a");
    expect(identifiersOf(await client.expectPublish({ payload: "a", retain: true }))).toEqual([]);
    await client.expectNothing();
  });

  test.for([
    ["0", [0x0b, 0]],
    ["given twice", [0x0b, 1, 0x0b, 2]],
  ] as const)("that is %s: DISCONNECT 0x82 [§3.8.2.1.2]", async ([, list]) => {
    const client = await connect();
    client.sendBytes(rawPacket(0x82, [0, 1], list.length, list, text("x"), 0));
    await client.expectDisconnect(0x82);
  });

  test("in a client's PUBLISH: DISCONNECT 0x82 [MQTT-3.3.4-6]", async () => {
    const client = await connect();
    client.sendBytes(rawPacket(0x30, text("x"), 2, [0x0b, 1]));
    await client.expectDisconnect(0x82);
  });
});

describe.each(["stop", "kill -9"] as const)("across %s", (ending) => {
  let broker: RestartableBroker | undefined;

  beforeAll(async () => {
    broker = await startRestartableBroker();
  });
  afterAll(() => broker?.end());

  test("several of them stay with Session and queue; so does their removal", async () => {
    const running = broker as RestartableBroker;
    const keeper = { clientId: "keeper", clean: false, properties: { sessionExpiryInterval: 600 } };
    const open = (options = {}) => TestClient.connect(running.current(), options);
    const first = await open(keeper);
    await first.subscribe("kept/#", { qos: 1, subscriptionIdentifier: 300 });
    await first.subscribe("kept/+", { qos: 1, subscriptionIdentifier: 268_435_455 });
    await first.disconnect();
    await (await open()).publish("kept/x", "queued", { qos: 1 });
    await running.restart(ending);
    const second = await open(keeper);
    expect(identifiersOf(await second.receive({ payload: "queued" }))).toEqual([300, 268_435_455]);
    await second.publish("kept/x", "live", { qos: 1 });
    expect(identifiersOf(await second.receive({ payload: "live" }))).toEqual([300, 268_435_455]);
    await second.subscribe("kept/#", { qos: 1 });
    await second.subscribe("kept/+", { qos: 1, subscriptionIdentifier: 5 });
    await second.disconnect();
    await running.restart(ending);
    const third = await open(keeper);
    await third.publish("kept/x", "later", { qos: 1 });
    expect(identifiersOf(await third.receive({ payload: "later" }))).toEqual([5]);
    await third.disconnect();
  });
});
