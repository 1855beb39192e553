/**
 * Chapter 16: UNSUBSCRIBE in 3.1.1, §3.10.4, as chapter 4 has it for 5.0.
 */
import { expect, test } from "vitest";
import { startChapter } from "./chapter.ts";

const { connect } = startChapter();

test("it compares filters character by character [MQTT-3.10.4-1 @3.1.1]", async () => {
  const client = await connect({ version: 4 });
  await client.subscribe("exact/+");
  await client.unsubscribe("exact/x", "exact/#", "Exact/+", "exact/+/", "exact/");
  await client.publish("exact/x", "still");
  await client.expectPublish({ payload: "still" });
  await client.unsubscribe("exact/+");
  await client.publish("exact/x", "no more");
  await client.expectNothing();
});

test("nothing new, what was begun ends [MQTT-3.10.4-2, -3 @3.1.1]", async () => {
  const keeper = { version: 4, clientId: "unsubscriber4", clean: false } as const;
  const client = await connect(keeper);
  const publisher = await connect({ version: 4 });
  await client.subscribe("begun", { qos: 2 });
  await publisher.publish("begun", "one", { qos: 1 });
  await publisher.publish("begun", "two", { qos: 2 });
  const one = await client.expectPublish({ payload: "one", dup: false });
  const two = await client.expectPublish({ payload: "two", dup: false });
  await client.unsubscribe("begun");
  await publisher.publish("begun", "three", { qos: 1 });
  await client.acknowledge(one);
  await client.drop();
  const again = await connect(keeper);
  expect(again.connack?.sessionPresent).toBe(true);
  const { packetIdentifier } = two;
  await again.receive({ payload: "two", dup: true, packetIdentifier });
  await publisher.publish("begun", "four", { qos: 2 });
  await again.expectNothing(publisher);
  await again.disconnect();
});
