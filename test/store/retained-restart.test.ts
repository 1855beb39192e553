/** Retained messages over several starts: what a journal brought is in the index at the stop. */
import { expect, test } from "vitest";
import { TestClient } from "../support/client.ts";
import { startRestartableBroker } from "../support/restartable-broker.ts";

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
