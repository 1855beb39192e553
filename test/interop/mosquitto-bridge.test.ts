/** Debian's mosquitto as a bridge to Holdfast: with its defaults it says so by the version. */
import { afterEach, expect, test } from "vitest";
import { until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import { type RunningMosquitto, startMosquitto } from "../support/mosquitto.ts";
import { freePorts, type RunningBroker, startBroker } from "../support/running-broker.ts";
import { needPrograms } from "./program.ts";

needPrograms(["/usr/sbin/mosquitto"], "mosquitto");

let holdfast: RunningBroker;
let mosquitto: RunningMosquitto;

afterEach(async () => {
  await mosquitto.stop();
  await holdfast.stop();
});

test.each([
  ["its defaults", []],
  ["MQTT 3.1", ["bridge_protocol_version mqttv31"]],
  ["MQTT 5.0", ["bridge_protocol_version mqttv50"]],
])("%s: messages go both ways, once, retained as they are", async (_title, lines) => {
  holdfast = await startBroker();
  const [port = 0] = await freePorts(1);
  mosquitto = await startMosquitto([
    `listener ${port} 127.0.0.1`,
    "allow_anonymous true",
    "connection upstream",
    `address 127.0.0.1:${holdfast.port}`,
    "topic # both 1",
    "cleansession false",
    ...lines,
  ]);
  const near = await TestClient.connect({ port, webSocketPort: 0 }, { clientId: "near" });
  const far = await TestClient.connect(holdfast, { clientId: "far" });
  await near.subscribe("data/#", { qos: 1, retainAsPublished: true });
  await far.subscribe("data/#", { qos: 1, retainAsPublished: true });
  await until("the bridge", () => /connected from .* as /.test(holdfast.output()));
  await until("its subscription", async () => {
    await far.publish("data/ready", "", { qos: 1 });
    return near.takeDeliveries().some(({ topic }) => topic === "data/ready");
  });
  await near.publish("data/up", "up", { qos: 1, retain: true });
  await far.publish("data/down", "down", { qos: 1, retain: true });
  const received = async (client: TestClient) => {
    const seen: string[] = [];
    await until("both messages", async () => {
      await client.ping();
      for (const { topic, retain } of client.takeDeliveries()) {
        if (topic !== "data/ready") seen.push(`${topic} ${retain}`);
      }
      return seen.length >= 2;
    });
    return seen.toSorted();
  };
  expect(await received(near)).toEqual(["data/down true", "data/up true"]);
  expect(await received(far)).toEqual(["data/down true", "data/up true"]);
  await far.expectNothing(near);
  await near.disconnect();
  await far.disconnect();
});
