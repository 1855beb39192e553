/** Retained messages over several starts: what a journal brought is in the index at the stop. */
import { describe, expect, test } from "vitest";
import { TestClient } from "../support/client.ts";
import { type RestartableBroker, startRestartableBroker } from "../support/restartable-broker.ts";

test("set or deleted just before a crash, it is so after the stop that follows", async () => {
  const restartable = await startRestartableBroker();
  const publisher = await TestClient.connect(restartable.current());
  await publisher.publish("kept/deleted", "x", { qos: 1, retain: true });
  await publisher.disconnect();
  await restartable.restart("stop");
  const again = await TestClient.connect(restartable.current());
  await again.publish("kept/set", "y", { qos: 1, retain: true });
  await again.publish("kept/deleted", "", { qos: 1, retain: true });
  await restartable.restart("kill -9");
  await restartable.restart("stop");
  const reader = await TestClient.connect(restartable.current());
  await reader.subscribe("kept/#", { qos: 1 });
  await reader.receive({ topic: "kept/set", payload: "y" });
  await reader.ping();
  expect(() => reader.expectInboxEmpty()).not.toThrow();
  await restartable.end();
});

describe.each(["stop", "kill -9"] as const)("owed yet at the broker's end (%s)", (ending) => {
  const device = {
    clientId: "device",
    clean: false,
    properties: { sessionExpiryInterval: 3600, receiveMaximum: 10 },
  };

  /** A Session that has taken some of what is retained, and is owed the rest. */
  async function owed(count: number) {
    const restartable = await startRestartableBroker();
    const publisher = await TestClient.connect(restartable.current());
    for (let i = 0; i < count; i++) {
      await publisher.publish(`kept/${i}`, "x", { qos: 1, retain: true });
    }
    await publisher.disconnect();
    const seen = new Set<string>();
    const client = await TestClient.connect(restartable.current(), device);
    await client.subscribe("kept/#", { qos: 1, subscriptionIdentifier: 7 });
    await take(client, seen, 20);
    return { restartable, client, seen };
  }

  async function take(client: TestClient, seen: Set<string>, many: number): Promise<void> {
    while (seen.size < many) {
      const delivery = await client.expectPublish();
      expect(delivery).toMatchObject({ retain: true, qos: 1 });
      expect(delivery.properties?.subscriptionIdentifier).toBe(7);
      seen.add(delivery.topic);
      await client.acknowledge(delivery);
    }
  }

  /** Takes what comes until there is nothing between two messages of now. */
  async function drain(restartable: RestartableBroker, client: TestClient): Promise<void> {
    const publisher = await TestClient.connect(restartable.current());
    for (let others = 1; others > 0; ) {
      others = -1;
      await publisher.publish("kept/now", "x", { qos: 1 });
      for (let topic = ""; topic !== "kept/now"; others++) ({ topic } = await client.receive());
    }
    await publisher.disconnect();
  }

  async function comesBack(restartable: RestartableBroker): Promise<TestClient> {
    const client = await TestClient.connect(restartable.current(), device);
    expect(client.connack?.sessionPresent).toBe(true);
    return client;
  }

  test("they come to its next connection, and then no more [MQTT-3.3.1-9]", async () => {
    const { restartable, seen } = await owed(300);
    await restartable.restart(ending);
    const second = await comesBack(restartable);
    await take(second, seen, 100);
    await second.disconnect();
    await restartable.restart(ending);
    const third = await comesBack(restartable);
    await take(third, seen, 300);
    await drain(restartable, third);
    await third.disconnect();
    await restartable.restart(ending);
    const fourth = await comesBack(restartable);
    await fourth.ping();
    // But those whose acknowledgement came just before a crash.
    const again = fourth.takeDeliveries();
    expect(again.filter(({ dup }) => !dup)).toEqual([]);
    expect(again.length).toBeLessThanOrEqual(device.properties.receiveMaximum);
    await restartable.end();
  });
});
