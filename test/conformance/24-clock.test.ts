/**
 * Chapter 24: the machine's clock is set while the broker runs. Intervals of the standard are
 * lengths of time, MQTT 5.0 §3.1.2.10, §3.1.3.2.2, §3.1.2.11.2.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, expect, test } from "vitest";
import { until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import { type RestartableBroker, startRestartableBroker } from "../support/restartable-broker.ts";
import type { RunningBroker } from "../support/running-broker.ts";
import { temporaryDirectory } from "../support/store-directory.ts";

const HOUR = 3_600;
const STEPPED_CLOCK = pathToFileURL(join(import.meta.dirname, "../support/stepped-clock.ts")).href;

let broker: RestartableBroker | undefined;

afterEach(async () => {
  await broker?.end();
  broker = undefined;
});

/** A broker, and what sets its clock. */
async function start() {
  const file = join(temporaryDirectory(), "ahead");
  writeFileSync(file, "0");
  const restartable = await startRestartableBroker({
    configuration: ["sys_interval 1"],
    environment: { CLOCK_FILE: file, NODE_OPTIONS: `--import ${STEPPED_CLOCK}` },
  });
  broker = restartable;
  const running = restartable.current();
  /** @returns once the broker has told of it */
  const set = async (seconds: number, told: string): Promise<void> => {
    writeFileSync(file, `${seconds}`);
    await until(told, () => running.output().includes(told));
  };
  /** Another one over its directory, behind a crash, that begins with this clock. */
  const crash = async (seconds: number): Promise<RunningBroker> => {
    writeFileSync(file, `${seconds}`);
    await restartable.restart("kill -9");
    return restartable.current();
  };
  return { running, set, crash };
}

/** Waits until $SYS was published so often anew. @returns the uptime then, seconds */
async function nextUptimes(client: TestClient, count: number): Promise<number> {
  let uptime = "";
  for (let i = 0; i < count; i++) uptime = (await client.receive()).payload;
  return Number.parseInt(uptime, 10);
}

test("set forward by an hour, it ends no connection, and no uptime [MQTT-3.1.2-22]", async () => {
  const { running, set } = await start();
  const watching = await TestClient.connect(running);
  await watching.subscribe("$SYS/broker/uptime");
  const living = await TestClient.connect(running, { keepAliveSeconds: 60 });
  const begun = await TestClient.open(running);
  await nextUptimes(watching, 2);
  await set(HOUR, "The clock was set forward by 3600 s");
  expect(await nextUptimes(watching, 3)).toBeLessThan(60);
  await living.ping();
  expect(begun.isClosed).toBe(false);
  begun.sendConnect();
  await begun.expectConnack();
});

test("set back by an hour, it holds up nothing [MQTT-3.1.2-22] [MQTT-3.1.3-9]", async () => {
  const { running, set } = await start();
  const watching = await TestClient.connect(running);
  await watching.subscribe("will/+", { qos: 1 });
  const mortal = async (name: string) => {
    const will = { topic: `will/${name}`, payload: Buffer.from(name), qos: 1 as const };
    const client = await TestClient.connect(running, {
      keepAliveSeconds: 1,
      properties: { sessionExpiryInterval: 600 },
      will: { ...will, properties: { willDelayInterval: 2 } },
    });
    return client;
  };
  const before = await mortal("before");
  const leaving = await TestClient.connect(running, {
    clientId: "leaving",
    properties: { sessionExpiryInterval: 2 },
  });
  await leaving.disconnect();
  await (await mortal("dropped")).drop();
  await set(-HOUR, "The clock was set back by 3600 s");
  await before.expectDisconnect(0x8d);
  await watching.receive({ payload: "dropped" });
  await watching.receive({ payload: "before" });
  // What begins behind the step takes as long as it says, too.
  await (await mortal("behind")).expectDisconnect(0x8d);
  await watching.expectNothing();
  await watching.receive({ payload: "behind" });
  const back = await TestClient.connect(running, { clientId: "leaving", clean: false });
  expect(back.connack?.sessionPresent).toBe(false);
  await watching.subscribe("$SYS/broker/uptime");
  expect(await nextUptimes(watching, 3)).toBeLessThan(60);
});

/** A receiver that does not acknowledge; what is published to it is acknowledged all the same. */
async function expectPuback(running: RunningBroker): Promise<void> {
  const slow = { clientId: "slow", properties: { sessionExpiryInterval: 600 } };
  const receiver = await TestClient.connect(running, slow);
  await receiver.subscribe("a", { qos: 1 });
  const publisher = await TestClient.connect(running);
  expect(await publisher.publish("a", "payload", { qos: 1 })).toBe(0);
}

test("set back by an hour, a receiver that is slow delays no PUBACK for long", async () => {
  const { running, set } = await start();
  await set(-HOUR, "The clock was set back by 3600 s");
  await expectPuback(running);
});

test("set back while the broker is down, it holds up nothing [MQTT-3.1.3-9]", async () => {
  const { running, crash } = await start();
  await expectPuback(running);
  const again = await crash(-HOUR);
  await expectPuback(again);
  const watching = await TestClient.connect(again);
  await watching.subscribe("will");
  const mortal = await TestClient.connect(again, {
    properties: { sessionExpiryInterval: 600 },
    will: { topic: "will", payload: Buffer.from("w"), properties: { willDelayInterval: 1 } },
  });
  await mortal.drop();
  await watching.receive({ payload: "w" });
});
