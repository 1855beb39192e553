/** Chapter 21: what Sessions may do once rules, users or listeners are others. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import { type Opener, openTcp } from "../support/client-transport.ts";
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

test("per_listener_settings: listeners on one port are told apart", async () => {
  const [port = 0] = await freePorts(1);
  const configuration = [
    "per_listener_settings true",
    `listener ${port} 127.0.0.1`,
    "allow_anonymous true",
    `listener ${port} 127.0.0.2`,
    "allow_anonymous true",
    aclFile("second-listener", "topic read yes\ntopic write will/yes\n"),
  ];
  const broker = await startBroker({ configuration });
  const address = { port, webSocketPort: 0 };
  const watching = await TestClient.connect(address);
  await watching.subscribe("will/#", { qos: 1 });
  const transport: Opener = (events) => openTcp(port, events, "127.0.0.2");
  const options = (clientId: string) => ({
    clientId,
    transport,
    clean: false,
    properties: { sessionExpiryInterval: 600 },
    will: {
      topic: `will/${clientId}`,
      payload: Buffer.from("gone"),
      qos: 1 as const,
      retain: false,
      properties: { willDelayInterval: 1 },
    },
  });
  for (const clientId of ["no", "yes"]) {
    const away = await TestClient.connect(address, options(clientId));
    for (const topic of ["yes", "no"]) await away.subscribe(topic, { qos: 1 });
    away.destroy();
  }
  process.kill(broker.pid, "SIGHUP");
  await until("SIGHUP", () => broker.output().includes("SIGHUP: no option"));
  await watching.receive({ topic: "will/yes" });
  await watching.expectNothing();
  for (const topic of ["no", "yes"]) await watching.publish(topic, "", { qos: 1 });
  const back = await TestClient.connect(address, options("no"));
  await back.receive({ topic: "yes" });
  await back.expectNothing();
  await broker.stop();
});

test("what was sent and not acknowledged is not sent again to who may not read it", async () => {
  const path = aclFile("in-flight", "user root\ntopic readwrite #\npattern read data/%u/#\n");
  const broker = await startBroker({ configuration: [path] });
  const options = { clientId: "shared", clean: false, version: 4 } as const;
  const publisher = await TestClient.connect(broker, { userName: "root" });
  const alice = await TestClient.connect(broker, { ...options, userName: "alice" });
  await alice.subscribe("data/#", { qos: 2 });
  for (const qos of [1, 2] as const) {
    await publisher.publish("data/alice/x", `${qos}`, { qos });
    await alice.expectPublish({ payload: `${qos}` });
  }
  const bob = await TestClient.connect(broker, { ...options, userName: "bob" });
  expect(bob.connack?.sessionPresent).toBe(true);
  await bob.expectNothing();
  for (const qos of [1, 2] as const) await publisher.publish("data/bob/x", "bob", { qos });
  for (let i = 0; i < 2; i++) await bob.receive({ topic: "data/bob/x" });
  await broker.stop();
});

test("a group's message that only a member who is away may read waits for it", async () => {
  const users = "user a\ntopic read x/a\nuser b\ntopic read x/b\n";
  const path = aclFile("group", `user root\ntopic readwrite #\n${users}`);
  const broker = await startBroker({ configuration: [path] });
  const publisher = await TestClient.connect(broker, { userName: "root" });
  const lasting = { clean: false, properties: { sessionExpiryInterval: 600 } };
  const member = (userName: string) =>
    TestClient.connect(broker, { ...lasting, userName, clientId: userName });
  const b = await member("b");
  await b.subscribe("$share/g/x/#", { qos: 1 });
  await b.disconnect();
  const a = await member("a");
  await a.subscribe("$share/g/x/#", { qos: 1 });
  for (const topic of ["x/b", "x/a", "x/b"]) await publisher.publish(topic, topic, { qos: 1 });
  await a.receive({ topic: "x/a" });
  await a.expectNothing(publisher);
  const back = await member("b");
  for (let i = 0; i < 2; i++) await back.receive({ topic: "x/b" });
  await back.expectNothing();
  await broker.stop();
});
