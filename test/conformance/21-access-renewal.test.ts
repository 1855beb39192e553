/** Chapter 21: what Sessions may do once rules, users or listeners are others. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import { startRestartableBroker } from "../support/restartable-broker.ts";
import { freePorts, startBroker } from "../support/running-broker.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-renewal-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function aclFile(name: string, content: string): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return `acl_file ${path}`;
}

test("new rules count for all Sessions, whose clients are there or away", async () => {
  const root = "user root\ntopic readwrite #\n";
  const path = aclFile("renewed", `${root}user device\ntopic read own/#\n`);
  const broker = await startBroker({ configuration: [path] });
  const options = (index: number) => ({
    clientId: `device${index}`,
    userName: "device",
    clean: false,
    properties: { sessionExpiryInterval: 600 },
  });
  // More than are looked at in one go, and one that stays.
  const count = 130;
  for (let index = 0; index < count; index++) {
    const client = await TestClient.connect(broker, options(index));
    await client.subscribe("news", { qos: 1 });
    await client.disconnect();
  }
  const connected = await TestClient.connect(broker, options(count));
  await connected.subscribe("news", { qos: 1 });
  const publisher = await TestClient.connect(broker, { userName: "root" });
  await publisher.publish("news", "before", { qos: 1 });
  aclFile("renewed", `${root}user device\ntopic read news\n`);
  process.kill(broker.pid, "SIGHUP");
  await until("the new file", async () => broker.output().includes("SIGHUP: no option"));
  await connected.ping();
  await publisher.publish("news", "behind", { qos: 1 });
  await connected.receive({ payload: "behind" });
  for (let index = 0; index < count; index++) {
    const client = await TestClient.connect(broker, options(index));
    expect(client.connack?.sessionPresent).toBe(true);
    await client.receive({ payload: "behind" });
    client.destroy();
  }
  await broker.stop();
});

test("another user's Session has what that user may read, of all topics", async () => {
  const path = aclFile("users", "user root\ntopic readwrite #\npattern read data/%u/#\n");
  const broker = await startBroker({ configuration: [path] });
  const options = { clientId: "shared", clean: false, version: 4 } as const;
  const publisher = await TestClient.connect(broker, { userName: "root" });
  const alice = await TestClient.connect(broker, { ...options, userName: "alice" });
  await alice.subscribe("data/#", { qos: 1 });
  for (let i = 0; i < 4; i++) {
    await publisher.publish("data/alice/x", `${i}`, { qos: 1 });
    await alice.receive({ payload: `${i}` });
  }
  await alice.disconnect();
  const bob = await TestClient.connect(broker, { ...options, userName: "bob" });
  expect(bob.connack?.sessionPresent).toBe(true);
  for (const user of ["alice", "bob"]) await publisher.publish(`data/${user}/x`, "", { qos: 1 });
  await bob.receive({ topic: "data/bob/x" });
  await bob.expectNothing();
  await broker.stop();
});

test("per_listener_settings: away from a listener without rules is no reason for any", async () => {
  const [open = 0, strict = 0] = await freePorts(2);
  const configuration = [
    "per_listener_settings true",
    `listener ${open} 127.0.0.1`,
    "allow_anonymous true",
    `listener ${strict} 127.0.0.1`,
    "allow_anonymous true",
    aclFile("strict-listener", "topic read none\n"),
  ];
  const restartable = await startRestartableBroker({ configuration });
  const address = { port: open, webSocketPort: 0 };
  const options = { clientId: "c", clean: false, properties: { sessionExpiryInterval: 600 } };
  const away = await TestClient.connect(address, options);
  await away.subscribe("data", { qos: 1 });
  await away.disconnect();
  const publish = async (payload: string) => {
    const publisher = await TestClient.connect(address);
    await publisher.publish("data", payload, { qos: 1 });
    await publisher.disconnect();
  };
  process.kill(restartable.current().pid, "SIGHUP");
  await until("SIGHUP", () => restartable.current().output().includes("SIGHUP: no option"));
  await publish("behind a reload");
  await restartable.restart("kill -9");
  await publish("behind a restart");
  const back = await TestClient.connect(address, options);
  await back.receive({ payload: "behind a reload" });
  await back.receive({ payload: "behind a restart" });
  await restartable.end();
});
