/**
 * Chapter 21: what a client may do: ACL files beside what test/differential/mosquitto-acl.test.ts
 * compares with mosquitto, and how much it may publish.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SOURCES_PER_TURN_MAX } from "../../src/base/limits.ts";
import { until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import type { ConnectOptions } from "../support/client-packets.ts";
import { startRestartableBroker } from "../support/restartable-broker.ts";
import { type RunningBroker, startBroker } from "../support/running-broker.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-access-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function aclFile(name: string, content: string): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return `acl_file ${path}`;
}

const ACL = `
user root
topic #
user alice
topic read a/#
topic read b/+
topic deny a/secret
topic write out/#
user bob
topic read a/#
topic read work/#
user carol
topic read work/carol
pattern read c/%c/#
`;

describe("acl_check_subscribe", () => {
  let broker: RunningBroker;
  beforeAll(async () => {
    const configuration = [aclFile("strict", ACL), "acl_check_subscribe true"];
    broker = await startBroker({ configuration });
  });
  afterAll(() => broker.stop());

  const FILTERS: readonly (readonly [filter: string, isGranted: boolean])[] = [
    ["a/b", true],
    ["a/b/#", true],
    ["a/b/+", true],
    // Some of it is denied.
    ["a/#", false],
    ["a/+", false],
    ["a/secret", false],
    ["+/secret", false],
    ["#", false],
    ["b/x", true],
    ["b/+", true],
    ["b/#", false],
    ["c/me/#", true],
    ["c/me", true],
    ["c/other", false],
    ["c/+", false],
    ["$share/g/a/b", true],
    ["$share/g/a/#", false],
    ["$share/g/#", false],
    ["$share/a/#", false],
    ["$SYS/#", false],
    ["out/x", false],
  ];

  test.each(FILTERS)("SUBSCRIBE %s is granted: %s", async (filter, isGranted) => {
    for (const version of [4, 5] as const) {
      const alice = await TestClient.connect(broker, {
        version,
        clientId: "me",
        userName: "alice",
      });
      const refused = version === 5 ? 0x87 : 0x80;
      expect(await alice.subscribe(filter, { qos: 1 })).toBe(isGranted ? 1 : refused);
      await alice.disconnect();
    }
  });

  test("what is refused is not subscribed to, what is granted beside it is", async () => {
    const alice = await TestClient.connect(broker, { clientId: "me", userName: "alice" });
    const root = await TestClient.connect(broker, { userName: "root" });
    const codes = await alice.subscribeAll([
      { topic: "a/#", qos: 1 },
      { topic: "b/x", qos: 1 },
      { topic: "#", qos: 1 },
    ]);
    expect(codes).toEqual([0x87, 1, 0x87]);
    await root.publish("a/b", "not subscribed", { qos: 1 });
    await root.publish("b/x", "subscribed", { qos: 1 });
    await alice.receive({ topic: "b/x" });
    await alice.expectNothing(root);
  });
});

describe("shared subscriptions", () => {
  test("a message goes to a member that may read it, never to another", async () => {
    const broker = await startBroker({ configuration: [aclFile("shared", ACL)] });
    const root = await TestClient.connect(broker, { userName: "root" });
    const bob = await TestClient.connect(broker, { userName: "bob" });
    const carol = await TestClient.connect(broker, { userName: "carol" });
    for (const member of [bob, carol]) {
      expect(await member.subscribe("$share/g/work/#", { qos: 1 })).toBe(1);
    }
    for (const qos of [0, 1, 2] as const) {
      for (let i = 0; i < 10; i++) await root.publish("work/any", `${i}`, { qos });
      for (let i = 0; i < 10; i++) await bob.receive({ topic: "work/any", payload: `${i}` });
    }
    for (let i = 0; i < 10; i++) await root.publish("work/carol", `${i}`, { qos: 1 });
    for (let i = 0; i < 5; i++) await carol.receive({ topic: "work/carol" });
    for (let i = 0; i < 5; i++) await bob.receive({ topic: "work/carol" });
    await bob.disconnect();
    // Nobody who is there may read it: it is dropped, and holds up nothing.
    for (const qos of [0, 1, 2] as const) await root.publish("work/any", "nobody", { qos });
    await root.publish("work/carol", "last", { qos: 1 });
    await carol.receive({ topic: "work/carol", payload: "last" });
    await carol.expectNothing(root);
    await broker.stop();
  });
});

describe("Sessions whose client is away", () => {
  const lasting = { sessionExpiryInterval: 1_000 };
  const alice: ConnectOptions = {
    ...{ version: 5, clientId: "away", userName: "alice", clean: false },
    properties: lasting,
  };

  test.each(["stop", "kill -9"] as const)("are judged as their user after a %s", async (ending) => {
    const configuration = [aclFile("away", ACL)];
    const restartable = await startRestartableBroker({ configuration });
    const before = await TestClient.connect(restartable.current(), alice);
    await before.subscribe("#", { qos: 1 });
    await before.drop();
    await restartable.restart(ending);
    const root = await TestClient.connect(restartable.current(), { userName: "root" });
    await root.publish("c/away/x", "pattern", { qos: 1 });
    await root.publish("a/secret", "denied", { qos: 1 });
    await root.publish("work/x", "of others", { qos: 1 });
    await root.publish("a/b", "allowed", { qos: 1 });
    await restartable.restart(ending);
    const after = await TestClient.connect(restartable.current(), alice);
    expect(after.connack?.sessionPresent).toBe(true);
    await after.receive({ topic: "c/away/x", payload: "pattern" });
    await after.receive({ topic: "a/b", payload: "allowed" });
    await after.ping();
    after.expectInboxEmpty();
    await restartable.end();
  });

  test("what was queued before the rules said no is not sent any more", async () => {
    const path = aclFile("later", ACL);
    const restartable = await startRestartableBroker({ configuration: [path] });
    const before = await TestClient.connect(restartable.current(), alice);
    await before.subscribe("a/+", { qos: 2 });
    await before.drop();
    const root = await TestClient.connect(restartable.current(), { userName: "root" });
    for (const qos of [1, 2, 1] as const) {
      await root.publish("a/b", `b ${qos}`, { qos });
      await root.publish("a/c", `c ${qos}`, { qos });
    }
    aclFile("later", "user alice\ntopic read a/c\n");
    await restartable.restart("kill -9");
    const after = await TestClient.connect(restartable.current(), alice);
    for (const qos of [1, 2, 1] as const) await after.receive({ payload: `c ${qos}` });
    await after.ping();
    after.expectInboxEmpty();
    await restartable.end();
  });
});

describe("check_retain_source", () => {
  const KEPT = ["a/1", "a/2", "own/write", "both"];
  const before = "user root\ntopic #\nuser alice\ntopic readwrite #\n";
  const later = "user root\ntopic #\nuser alice\ntopic write a/2\n";

  async function retainedFor(broker: RunningBroker): Promise<string[]> {
    const reader = await TestClient.connect(broker, { userName: "root" });
    await reader.subscribe("#", { qos: 1 });
    await reader.publish("end", "", { qos: 1 });
    const seen: string[] = [];
    for (;;) {
      const { topic } = await reader.receive();
      if (topic === "end") break;
      seen.push(topic);
    }
    await reader.disconnect();
    return seen.sort();
  }

  // mosquitto 2.0.11 sends all of them unless the option is set.
  test.each([
    ["true", ["a/2", "a/3"]],
    ["false", ["a/1", "a/2", "a/3", "both", "own/write"]],
  ] as const)(
    "%s: what is sent once its publisher may not write there any more",
    async (on, left) => {
      const name = `source-${on}`;
      const configuration = [aclFile(name, before), `check_retain_source ${on}`];
      const restartable = await startRestartableBroker({ configuration });
      const alice = await TestClient.connect(restartable.current(), { userName: "alice" });
      for (const topic of KEPT) await alice.publish(topic, "kept", { qos: 1, retain: true });
      const root = await TestClient.connect(restartable.current(), { userName: "root" });
      await root.publish("a/3", "kept", { qos: 1, retain: true });
      expect(await retainedFor(restartable.current())).toEqual([...KEPT, "a/3"].sort());
      aclFile(name, later);
      process.kill(restartable.current().pid, "SIGHUP");
      await until(
        "the new file",
        async () => (await alice.publish("both", "", { qos: 1 })) === 0x87,
      );
      expect(await retainedFor(restartable.current())).toEqual(left);
      expect(await retainedFor(restartable.current())).toEqual(left);
      await restartable.restart("kill -9");
      expect(await retainedFor(restartable.current())).toEqual(left);
      aclFile(name, before);
      await restartable.restart("stop");
      expect(await retainedFor(restartable.current())).toEqual([...KEPT, "a/3"].sort());
      await restartable.end();
    },
  );
});

test("check_retain_source asks for all publishers, however many a filter has", async () => {
  const count = SOURCES_PER_TURN_MAX * 2 + 1;
  const names = Array.from({ length: count }, (_, index) => `p${index}`);
  const may = names.map((name) => `user ${name}\ntopic readwrite #\n`).join("");
  const path = aclFile("sources", `topic #\n${may}`);
  const broker = await startBroker({ configuration: [path, "check_retain_source true"] });
  for (const userName of names) {
    const client = await TestClient.connect(broker, { userName });
    await client.publish(`kept/${userName}`, "kept", { qos: 1, retain: true });
    await client.disconnect();
  }
  const [gone] = names;
  aclFile("sources", `topic #\n${may}user ${gone}\ntopic deny kept/#\n`);
  process.kill(broker.pid, "SIGHUP");
  await until("the new file", async () => broker.output().includes("SIGHUP: "));
  const reader = await TestClient.connect(broker);
  await reader.subscribe("kept/#", { qos: 1 });
  const seen = new Set<string>();
  while (seen.size < count - 1) seen.add((await reader.receive()).topic);
  expect(seen.has(`kept/${gone}`)).toBe(false);
  await reader.disconnect();
  await broker.stop();
});

test("a file with a fault changes nothing at SIGHUP, and is told of", async () => {
  const broker = await startBroker({ configuration: [aclFile("faulty", ACL)] });
  const alice = await TestClient.connect(broker, { version: 5, userName: "alice" });
  expect(await alice.publish("out/x", "", { qos: 1 })).toBe(0x10);
  aclFile("faulty", "user alice\ntopic red a/#\n");
  process.kill(broker.pid, "SIGHUP");
  await until("the error", async () => broker.output().includes("faulty:2: "));
  expect(await alice.publish("out/y", "", { qos: 1 })).toBe(0x10);
  expect(await alice.publish("in/y", "", { qos: 1 })).toBe(0x87);
  const later = await TestClient.connect(broker, { version: 5, userName: "alice" });
  expect(await later.publish("out/x", "", { qos: 1 })).toBe(0x10);
  await broker.stop();
});

test("dynamic security: who may not unsubscribe is told so in UNSUBACK, and goes on", async () => {
  const file = join(directory, "dynamic-security.json");
  const kept = { acltype: "unsubscribePattern", topic: "kept/#", allow: false };
  const types = ["publishClientSend", "publishClientReceive", "subscribe", "unsubscribe"];
  const content = {
    defaultACLAccess: Object.fromEntries(types.map((type) => [type, true])),
    anonymousGroup: "anybody",
    groups: [{ groupname: "anybody", roles: [{ rolename: "keeps" }] }],
    roles: [{ rolename: "keeps", acls: [kept] }],
  };
  writeFileSync(file, JSON.stringify(content), { mode: 0o600 });
  const plugin = "/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so";
  const configuration = [`plugin ${plugin}`, `plugin_opt_config_file ${file}`];
  const broker = await startBroker({ configuration });
  const client = await TestClient.connect(broker);
  for (const filter of ["kept/a", "other"]) await client.subscribe(filter);
  expect(await client.unsubscribe("other", "kept/a", "none")).toEqual([0, 0x87, 0x11]);
  await client.publish("kept/a", "x", { qos: 1 });
  await client.receive({ topic: "kept/a" });
  await broker.stop();
});

describe("max_publish_rate", () => {
  let broker: RunningBroker;
  beforeAll(async () => {
    broker = await startBroker({ configuration: ["max_publish_rate 10", "max_publish_burst 25"] });
  });
  afterAll(() => broker.stop());

  test.each([0, 1, 2] as const)("QoS %i past it ends the connection with 0x96", async (qos) => {
    const observer = await TestClient.connect(broker);
    await observer.subscribe("rate/#");
    const client = await TestClient.connect(broker, { version: 5 });
    for (let i = 0; i < 30; i++) client.sendPublish("rate/x", `${i}`, { qos });
    await client.expect("disconnect").then(({ reasonCode }) => expect(reasonCode).toBe(0x96));
    await client.closed();
    for (let i = 0; i < 25; i++) await observer.receive({ payload: `${i}` });
    await observer.disconnect();
  });

  test("before 5.0 it closes without a word", async () => {
    const client = await TestClient.connect(broker, { version: 4 });
    for (let i = 0; i < 30; i++) client.sendPublish("rate/x", `${i}`);
    await client.closed();
    client.expectInboxEmpty();
  });

  test("who stays below it is served", async () => {
    const client = await TestClient.connect(broker, { version: 5 });
    for (let round = 0; round < 3; round++) {
      const start = Date.now();
      for (let i = 0; i < 8; i++) await client.publish("rate/y", "x", { qos: 1 });
      while (Date.now() - start < 850) await client.ping();
    }
    await client.disconnect();
  });
});

test("nobody publishes to $SYS, but for the state of a bridge", async () => {
  const broker = await startBroker();
  const client = await TestClient.connect(broker, { version: 5 });
  const codes: number[] = [];
  for (const topic of [
    "$SYS/broker/version",
    "$SYS/broker/connection/x/state",
    "$SYS/broker/connection/x/state/y",
    "$SYS",
    "$share/g/x",
    "$other/x",
  ]) {
    codes.push(await client.publish(topic, "x", { qos: 1 }));
  }
  expect(codes).toEqual([0x87, 0x10, 0x87, 0x87, 0x87, 0x10]);
  await broker.stop();
});
