/** SIGHUP, SIGUSR1 and SIGUSR2 of the running program, with clients connected. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import { endAll, runToEnd, start } from "./program.ts";
import { LISTENER, OPEN, startReloadable } from "./reloadable.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-reload-"));
const running = (content: string) => startReloadable(directory, content);
afterEach(endAll);
afterAll(() => rmSync(directory, { recursive: true }));

test("limits count for those that are connected, and for those that come", async () => {
  const { address, reload } = await running(`${OPEN}${LISTENER}`);
  const client = await TestClient.connect(address);
  await client.publish("a", "x".repeat(2_000), { qos: 1 });
  const limits = "message_size_limit 1000\nmax_packet_size 5000\nmax_inflight_messages 7\n";
  await reload(`${OPEN}${limits}max_keepalive 20\n${LISTENER}`);
  expect(await client.publish("a", "x".repeat(900), { qos: 1 })).toBeLessThan(0x80);
  expect(await client.publish("a", "x".repeat(1_001), { qos: 1 })).toBe(0x97);
  const later = await TestClient.connect(address);
  expect(later.connack?.properties).toMatchObject({
    maximumPacketSize: 5_000,
    receiveMaximum: 7,
    serverKeepAlive: 20,
  });
  later.sendPublish("a", "x".repeat(6_000), { qos: 1 });
  await later.expectDisconnect(0x95);
});

test("a client that was told a larger Receive Maximum may use it still", async () => {
  const { address, reload } = await running(`${OPEN}receive_maximum 20\n${LISTENER}`);
  const client = await TestClient.connect(address);
  await reload(`${OPEN}receive_maximum 2\n${LISTENER}`);
  const identifiers = Array.from({ length: 10 }, (_, index) =>
    client.sendPublish("a", `${index}`, { qos: 2 }),
  );
  for (const messageId of identifiers) await client.expect("pubrec", messageId);
  const later = await TestClient.connect(address);
  expect(later.connack?.properties?.receiveMaximum).toBe(2);
});

test("bounds and rules of queues", async () => {
  const { address, reload } = await running(`${OPEN}max_queued_messages 100\n${LISTENER}`);
  const publisher = await TestClient.connect(address);
  const away = async (clientId: string): Promise<void> => {
    const client = await TestClient.connect(address, { clientId, version: 4, clean: false });
    await client.subscribe(`${clientId}/#`, { qos: 1 });
    await client.disconnect();
  };
  const waiting = async (clientId: string): Promise<string[]> => {
    for (let i = 1; i <= 5; i++) await publisher.publish(`${clientId}/x`, `${i}`, { qos: 1 });
    const client = await TestClient.connect(address, { clientId, version: 4, clean: false });
    await client.ping();
    const payloads: string[] = [];
    while (payloads.at(-1) !== "5") payloads.push((await client.receive()).payload.toString());
    return payloads;
  };
  await away("one");
  await away("two");
  await away("three");
  expect(await waiting("one")).toEqual(["1", "2", "3", "4", "5"]);
  await reload(`${OPEN}max_queued_messages 3\n${LISTENER}`);
  expect(await waiting("two")).toEqual(["3", "4", "5"]);
  await reload(`${OPEN}queue_rule three/# max_queued_messages=2\n${LISTENER}`);
  expect(await waiting("three")).toEqual(["4", "5"]);
});

test("max_connections, allow_anonymous and max_qos of a listener", async () => {
  const { address, reload } = await running(`${OPEN}${LISTENER}`);
  const first = await TestClient.connect(address);
  await reload(`${OPEN}${LISTENER}max_connections 2\nmax_qos 1\n`);
  const second = await TestClient.connect(address);
  expect(second.connack?.properties?.maximumQoS).toBe(1);
  const third = await TestClient.open(address);
  await third.closed();
  await reload(`${OPEN}${LISTENER}listener_allow_anonymous false\n`);
  const fourth = await TestClient.open(address);
  fourth.sendConnect();
  await fourth.expectRefusal(0x87);
  await first.expectDisconnect(0x98);
  await second.expectDisconnect(0x98);
});

test("a file with a fault changes nothing, and is told with file and line", async () => {
  const { broker, address, reload } = await running(`${OPEN}${LISTENER}`);
  const client = await TestClient.connect(address);
  await reload(
    `${OPEN}${LISTENER}message_size_limit 10\nmax_packet_sise 5\n`,
    /Error: \S+:6: unknown option max_packet_sise[\s\S]*everything stays as it was/,
  );
  expect(await client.publish("a", "x".repeat(100), { qos: 1 })).toBeLessThan(0x80);
  await reload(`${OPEN}${LISTENER}message_size_limit 10\n`);
  expect(await client.publish("a", "x".repeat(100), { qos: 1 })).toBe(0x97);
  broker.signal("SIGTERM");
  expect((await broker.ended).exitCode).toBe(0);
});

test("what needs a restart is named, and not obeyed", async () => {
  const { broker, address, reload } = await running(`${OPEN}${LISTENER}`);
  await reload(
    `${OPEN}${LISTENER}listener 1 127.0.0.1\nmax_qos 0\nmemory_limit 5000000\nsys_interval 7\n`,
  );
  await broker.printed(/Warning: \S+:5: listener has changed; it counts after a restart/);
  await broker.printed(/Warning: \S+:7: memory_limit has changed; it counts after a restart/);
  await broker.printed(/reloaded; changed: sys_interval\n/);
  const client = await TestClient.connect(address);
  expect(client.connack?.properties?.maximumQoS).toBeUndefined();
});

test("rules with keep=last need a restart, both ways", async () => {
  const { broker, reload } = await running(`${OPEN}${LISTENER}`);
  await reload(`${OPEN}${LISTENER}queue_rule a/# keep=last\n`);
  await broker.printed(/Error: queue_rule lines have changed, and some have keep=last/);
});

test("log_type and log_dest; the file is opened again after a rotation", async () => {
  const path = join(directory, "broker.log");
  const { address, reload, broker } = await running(`${OPEN}${LISTENER}log_dest stderr\n`);
  await reload(`${OPEN}${LISTENER}log_dest stderr\nlog_dest file ${path}\nlog_type all\n`);
  await until("the file is there", () => existsSync(path));
  const client = await TestClient.connect(address);
  await client.subscribe("some/filter");
  await until("the subscription is logged", () =>
    readFileSync(path, "utf8").includes("some/filter"),
  );
  renameSync(path, `${path}.1`);
  broker.signal("SIGHUP");
  await until("a new file is there", () => existsSync(path));
  await client.subscribe("other/filter");
  await until("it is written", () => readFileSync(path, "utf8").includes("other/filter"));
  expect(readFileSync(`${path}.1`, "utf8")).not.toContain("other/filter");
  await reload(
    `${OPEN}${LISTENER}log_dest file /no/such/directory/x\n`,
    /the log goes on where it went/,
  );
});

test("a log that cannot be opened is a fault, and is opened once it can be", async () => {
  const folder = join(directory, "later");
  const path = join(folder, "broker.log");
  const { reload, broker } = await running(`${OPEN}${LISTENER}log_dest stderr\n`);
  const other = `${OPEN}${LISTENER}log_dest file ${path}\nlog_type all\nsys_interval 7\n`;
  await reload(other, /Error: SIGHUP: reloaded; changed: sys_interval; but 1 had faults, as said/);
  await reload(other, /Error: SIGHUP: no option that can be reloaded has changed; [^\n]*but 1 had/);
  mkdirSync(folder);
  broker.signal("SIGHUP");
  await until("it is opened", () => existsSync(path));
  const log = () => readFileSync(path, "utf8");
  await until("it is told", () => log().includes("reloaded; changed: log_dest, log_type\n"));
});

test("connection_messages", async () => {
  const { address, reload, broker } = await running(`${OPEN}${LISTENER}`);
  await TestClient.connect(address, { clientId: "noted" });
  await broker.printed(/noted/);
  await reload(`${OPEN}${LISTENER}connection_messages false\n`);
  const silent = await TestClient.connect(address, { clientId: "silent" });
  await silent.ping();
  broker.signal("SIGTERM");
  expect((await broker.ended).stderr).not.toContain("silent");
});

test("SIGHUP without a configuration file, and again and again", async () => {
  const broker = start(["-p", "0", "--durability", "memory"]);
  await broker.printed(/holdfast \S+ running/);
  for (let i = 0; i < 5; i++) broker.signal("SIGHUP");
  await broker.printed(/no option that can be reloaded has changed/);
  broker.signal("SIGTERM");
  expect((await broker.ended).exitCode).toBe(0);
});

test("SIGUSR1 puts everything into the index, SIGUSR2 counts what there is", async () => {
  const data = join(directory, "data");
  const content = `user root\nallow_anonymous true\npersistence_location ${data}\n${LISTENER}`;
  const { address, broker } = await running(content);
  const client = await TestClient.connect(address);
  await client.subscribe("a/#", { qos: 1 });
  await client.publish("a/b", "x", { qos: 1, retain: true });
  broker.signal("SIGUSR1");
  await broker.printed(/SIGUSR1: everything that was acknowledged is in the index/);
  broker.signal("SIGUSR2");
  await broker.printed(
    /SIGUSR2: 1 connections, 1 of 1 Sessions connected, 1 subscriptions, 1 retained messages/,
  );
});

test("users: the file that the option names is read again, and another may be named", async () => {
  const users = join(directory, "users");
  const others = join(directory, "others");
  const add = async (path: string, user: string): Promise<void> => {
    const { exitCode } = await runToEnd(["passwd", "-b", "-c", path, user, "secret"]);
    expect(exitCode).toBe(0);
  };
  const closed = "user root\npersistence false\n";
  await add(users, "alice");
  await add(others, "bob");
  const { address, reload } = await running(`${closed}password_file ${users}\n${LISTENER}`);
  const refused = async (userName: string): Promise<void> => {
    const client = await TestClient.open(address);
    client.sendConnect({ userName, password: "secret" });
    await client.expectRefusal(0x87);
  };
  const admitted = (userName: string): Promise<TestClient> =>
    TestClient.connect(address, { userName, password: "secret" });
  const alice = await admitted("alice");
  await refused("carol");
  await add(users, "carol");
  await reload(`${closed}password_file ${users}\n${LISTENER}`);
  const carol = await admitted("carol");
  await alice.expectDisconnect(0x98);
  await refused("alice");
  await reload(`${closed}password_file ${others}\n${LISTENER}`);
  const bob = await admitted("bob");
  await carol.expectDisconnect(0x98);
  await reload(
    `${closed}password_file /no/such/file\n${LISTENER}`,
    /Error: [^\n]*no\/such\/file[^\n]*; who may connect stays as it was/,
  );
  await admitted("bob");
  await bob.ping();
});

test("rules: an ACL file counts at once for those that are connected, and goes again", async () => {
  const rules = join(directory, "rules");
  const { address, reload } = await running(`${OPEN}${LISTENER}`);
  const reader = await TestClient.connect(address);
  const writer = await TestClient.connect(address);
  await reader.subscribe("#", { qos: 1 });
  const said = async (topic: string): Promise<string | null> => {
    await writer.publish(topic, "x", { qos: 1 });
    await writer.publish("end", "x", { qos: 1 });
    const { topic: first } = await reader.receive();
    if (first === "end") return null;
    await reader.receive({ topic: "end" });
    return first;
  };
  expect(await said("a")).toBe("a");
  writeFileSync(rules, "topic readwrite end\ntopic write a\ntopic readwrite b\n");
  const limited = `${OPEN}acl_file ${rules}\n${LISTENER}`;
  await reload(limited);
  expect(await said("a")).toBeNull();
  expect(await said("b")).toBe("b");
  writeFileSync(rules, "topic readwrite end\ntopic readwrite a\n");
  await reload(limited);
  expect(await said("a")).toBe("a");
  expect(await said("b")).toBeNull();
  writeFileSync(rules, "topic readwrite end\nnonsense\n");
  await reload(limited, /Error: [^\n]*rules:2[^\n]*stays as it was/);
  expect(await said("a")).toBe("a");
  await reload(`${OPEN}${LISTENER}`);
  expect(await said("b")).toBe("b");
});

test("a configuration file that is gone changes nothing", async () => {
  const path = join(directory, "gone.conf");
  writeFileSync(path, `${OPEN}${LISTENER}`);
  const broker = start(["-c", path]);
  const [, port] = await broker.printed(/Listening for MQTT on \S+:(\d+)/);
  await broker.printed(/holdfast \S+ running/);
  rmSync(path);
  broker.signal("SIGHUP");
  await broker.printed(/Error: cannot read the configuration file \S+gone\.conf: ENOENT/);
  await broker.printed(/everything stays as it was/);
  const client = await TestClient.connect({ port: Number(port), webSocketPort: 0 });
  await client.ping();
});
