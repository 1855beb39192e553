/** The data directory is removed under the running broker, by somebody who tidies up. */
import { mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import { type RunningBroker, startBroker } from "../support/running-broker.ts";

const place = mkdtempSync(join(tmpdir(), "holdfast-gone-"));
const dataDirectory = join(place, "data");
let broker: RunningBroker | undefined;

afterEach(async () => {
  await broker?.stop();
  rmSync(place, { recursive: true, force: true });
});

test("is told of; durable messages are refused until it is there again", async () => {
  broker = await startBroker({ arguments: ["--data", dataDirectory] });
  const { output } = broker;
  const options = { clientId: "keeper", clean: false, properties: { sessionExpiryInterval: 600 } };
  const keeper = await TestClient.connect(broker, options);
  await keeper.subscribe("t", { qos: 1 });
  await keeper.disconnect();
  const publisher = await TestClient.connect(broker);
  expect(await publisher.publish("t", "before", { qos: 1 })).toBe(0);

  renameSync(dataDirectory, `${dataDirectory}.away`);
  await until("what is said of it", () =>
    /index\.mdb is gone: stop the broker, and put it back; durable messages are refused/.test(
      output(),
    ),
  );
  expect(await publisher.publish("t", "lost", { qos: 1 })).toBe(0x97);
  process.kill(broker.pid, "SIGUSR1");
  await publisher.ping();

  renameSync(`${dataDirectory}.away`, dataDirectory);
  await until("that it is there", () => output().includes("is there again"));
  expect(await publisher.publish("t", "behind", { qos: 1 })).toBe(0);

  renameSync(dataDirectory, `${dataDirectory}.away`);
  await until("that it is gone once more", () => (output().match(/ is gone: /g)?.length ?? 0) > 1);
  expect(await broker.stop()).toBe(0);
  broker = undefined;
});
