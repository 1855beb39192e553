/**
 * Chapter 19: topics below $CONTROL are for the broker, and reach no other client.
 */
import { describe, expect, test } from "vitest";
import { startChapter } from "./chapter.ts";

const chapter = startChapter();
const { connect } = chapter;

describe.each([5, 4, 3] as const)("version %s", (version) => {
  test("what is published below $CONTROL is acknowledged, and goes to nobody", async () => {
    const watcher = await connect();
    const publisher = await connect({ version });
    await watcher.subscribe("$CONTROL/#", { qos: 2 });
    for (const topic of ["$CONTROL/", "$CONTROL/x", "$CONTROL/dynamic-security/v1"]) {
      for (const qos of [0, 1, 2] as const) {
        await publisher.publish(topic, "request", { qos, retain: qos === 1 });
      }
    }
    await watcher.expectNothing(publisher);
    // Nothing of it was retained.
    const late = await connect();
    await late.subscribe("$CONTROL/#");
    await late.expectNothing();
  });

  test("the connection goes on behind it, also in the same bytes", async () => {
    const client = await connect({ version });
    await client.subscribe("after", { qos: 1 });
    for (let i = 0; i < 3; i++) {
      client.sendPublish("$CONTROL/x", "request", { qos: 1 });
      client.sendPublish("after", `${i}`, { qos: 0 });
    }
    for (let i = 0; i < 3; i++) {
      await client.expect("puback");
      await client.receive({ topic: "after", payload: `${i}` });
    }
  });
});

test("what only begins so is a topic as any other", async () => {
  const watcher = await connect();
  const publisher = await connect();
  await watcher.subscribe("$CONTROL");
  await watcher.subscribe("$CONTROLS/#");
  await watcher.subscribe("CONTROL/#");
  for (const topic of ["$CONTROL", "$CONTROLS/x", "CONTROL/x"]) {
    await publisher.publish(topic, "a", { qos: 1 });
    await watcher.receive({ topic });
  }
});

test("a will passes for no answer", async () => {
  const watcher = await connect();
  await watcher.subscribe("$CONTROL/#");
  const topic = "$CONTROL/dynamic-security/v1/response";
  const dying = await connect({
    will: { topic, payload: Buffer.from("forged"), qos: 0, retain: false },
  });
  await dying.drop();
  const dead = await connect({ clientId: dying.clientId });
  await watcher.expectNothing(dead);
});

test("a Topic Alias may stand for a control topic", async () => {
  const watcher = await connect();
  await watcher.subscribe("#");
  await watcher.subscribe("$CONTROL/#");
  const publisher = await connect();
  await publisher.publish("$CONTROL/x", "1", { qos: 1, properties: { topicAlias: 1 } });
  expect(await publisher.publish("", "2", { qos: 1, properties: { topicAlias: 1 } })).toBe(0);
  await watcher.expectNothing(publisher);
});

test("a repeated PUBLISH of QoS 2 is taken once [MQTT-4.3.3-10]", async () => {
  const client = await connect();
  const packet = {
    cmd: "publish",
    topic: "$CONTROL/x",
    payload: Buffer.from("request"),
    qos: 2,
    retain: false,
    messageId: 7,
  } as const;
  client.send({ ...packet, dup: false });
  expect((await client.expect("pubrec")).reasonCode ?? 0).toBe(0);
  client.send({ ...packet, dup: true });
  expect((await client.expect("pubrec")).reasonCode ?? 0).toBe(0);
  client.send({ cmd: "pubrel", messageId: 7 });
  expect((await client.expect("pubcomp")).reasonCode ?? 0).toBe(0);
});
