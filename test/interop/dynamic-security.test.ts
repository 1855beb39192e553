/**
 * Dynamic security while clients are connected: what a change does to them, what a crash leaves,
 * what is read again, who shares a file.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import {
  ADMIN,
  type Asker,
  CONTROL,
  CTRL,
  freshDirectory,
  initialFile,
  PLUGIN,
  removeSecured,
  type SecuredBroker,
  startAsker,
  startSecured,
} from "../support/dynamic-security-brokers.ts";
import { freePorts } from "../support/running-broker.ts";
import { needPrograms } from "./program.ts";

const NOT_AUTHORIZED = 0x87;
const ADMINISTRATIVE_ACTION = 0x98;

beforeAll(() => needPrograms([CTRL, PLUGIN], "mosquitto mosquitto-clients"));
afterAll(removeSecured);

const everything = (topic: string) =>
  ["publishClientSend", "publishClientReceive", "subscribePattern"].map((acltype) => ({
    acltype,
    topic,
    allow: true,
  }));

describe("clients that are connected", () => {
  let broker: SecuredBroker;
  let admin: Asker;

  beforeEach(async () => {
    broker = await startSecured("holdfast");
    admin = await startAsker(broker);
    await admin.command("createRole", { rolename: "all", acls: everything("t/#") });
    await admin.command("createRole", { rolename: "none" });
    for (const username of ["reader", "writer"]) {
      const roles = [{ rolename: "all" }];
      await admin.command("createClient", { username, password: username, roles });
    }
    const defaults = [{ acltype: "publishClientReceive", allow: false }];
    await admin.command("setDefaultACLAccess", { acls: defaults });
  });

  afterEach(() => broker.end());

  const connectAs = (userName: string, more: object = {}) =>
    TestClient.connect(broker, { userName, password: userName, ...more });

  test.each([
    ["disableClient", { username: "reader" }],
    ["deleteClient", { username: "reader" }],
    ["setClientPassword", { username: "reader", password: "other" }],
    ["setClientId", { username: "reader", clientid: "other" }],
  ])("%s ends who it concerns, and nobody else; its will is not sent", async (command, fields) => {
    const will = { topic: "t/will", payload: Buffer.from("w"), qos: 0, retain: false } as const;
    const reader = await connectAs("reader", { will });
    const writer = await connectAs("writer");
    await writer.subscribe("t/will");
    expect(await admin.command(command, fields)).toEqual({ command });
    await reader.expectDisconnect(ADMINISTRATIVE_ACTION);
    await writer.expectNothing(admin.client);
    const again = await TestClient.open(broker);
    again.sendConnect({ userName: "reader", password: "reader" });
    await again.expectRefusal(NOT_AUTHORIZED);
  });

  test("a connection of version 3.1.1 ends without a word", async () => {
    const reader = await connectAs("reader", { version: 4 });
    await admin.command("disableClient", { username: "reader" });
    await reader.closed();
    reader.expectInboxEmpty();
  });

  test("delivery stops at once where the defaults allow it no more; nobody is ended", async () => {
    const defaults = (allow: boolean) =>
      admin.command("setDefaultACLAccess", {
        acls: ["publishClientSend", "publishClientReceive", "subscribe"].map((acltype) => ({
          acltype,
          allow,
        })),
      });
    await defaults(true);
    const reader = await connectAs("reader");
    const writer = await connectAs("writer");
    await reader.subscribe("free/#", { qos: 1 });
    await writer.publish("free/1", "a", { qos: 1 });
    await reader.receive({ topic: "free/1" });
    await defaults(false);
    expect(await writer.publish("free/1", "b", { qos: 1 })).toBe(NOT_AUTHORIZED);
    // The admin itself may publish nothing but requests: the writer's rights alone come back.
    await admin.command("setDefaultACLAccess", {
      acls: [{ acltype: "publishClientSend", allow: true }],
    });
    expect(await writer.publish("free/1", "c", { qos: 1 })).toBeLessThan(0x80);
    await reader.expectNothing(writer);
    await defaults(true);
    await writer.publish("free/1", "d", { qos: 1 });
    await reader.receive({ topic: "free/1", payload: "d" });
  });

  test("a role that loses an ACL ends its holders, who may then no more", async () => {
    const reader = await connectAs("reader");
    await reader.subscribe("t/#");
    const acl = { acltype: "subscribePattern", topic: "t/#" };
    await admin.command("removeRoleACL", { rolename: "all", ...acl });
    await reader.expectDisconnect(ADMINISTRATIVE_ACTION);
    const again = await connectAs("reader");
    expect(await again.subscribe("t/#")).toBe(NOT_AUTHORIZED);
  });

  test("rights of a group come and go with it", async () => {
    await admin.command("createClient", { username: "g", password: "g" });
    await admin.command("createGroup", { groupname: "group", roles: [{ rolename: "all" }] });
    const before = await connectAs("g");
    expect(await before.publish("t/x", "", { qos: 1 })).toBe(NOT_AUTHORIZED);
    await admin.command("addGroupClient", { groupname: "group", username: "g" });
    await before.expectDisconnect(ADMINISTRATIVE_ACTION);
    const inside = await connectAs("g");
    expect(await inside.publish("t/x", "", { qos: 1 })).toBeLessThan(0x80);
    await admin.command("deleteGroup", { groupname: "group" });
    await inside.expectDisconnect(ADMINISTRATIVE_ACTION);
    const after = await connectAs("g");
    expect(await after.publish("t/x", "", { qos: 1 })).toBe(NOT_AUTHORIZED);
  });

  test("anonymous clients have the roles of the anonymous group", async () => {
    const groups = { groupname: "anonymous", roles: [{ rolename: "all" }] };
    const before = await TestClient.connect(broker);
    expect(await before.publish("t/x", "", { qos: 1 })).toBe(NOT_AUTHORIZED);
    await admin.command("createGroup", groups);
    await admin.command("setAnonymousGroup", { groupname: "anonymous" });
    await before.expectDisconnect(ADMINISTRATIVE_ACTION);
    const after = await TestClient.connect(broker);
    expect(await after.publish("t/x", "", { qos: 1 })).toBeLessThan(0x80);
  });

  test("who asks has its answer before it is ended itself, and nobody else has it", async () => {
    const other = await TestClient.connect(broker, { ...ADMIN, clientId: "second" });
    await other.subscribe(`${CONTROL}/response`);
    const answer = await admin.command("modifyClient", { username: "admin", textname: "x" });
    expect(answer).toEqual({ command: "modifyClient" });
    await admin.client.expectDisconnect(ADMINISTRATIVE_ACTION);
    await other.expectDisconnect(ADMINISTRATIVE_ACTION);
  });

  test("who may not publish to the control topic asks nothing", async () => {
    const writer = await connectAs("writer");
    const request = JSON.stringify({ commands: [{ command: "deleteClient", username: "reader" }] });
    expect(await writer.publish(CONTROL, request, { qos: 1 })).toBe(NOT_AUTHORIZED);
    expect(await writer.subscribe(`${CONTROL}/response`)).toBe(NOT_AUTHORIZED);
    expect(await writer.subscribe("$CONTROL/#")).toBe(NOT_AUTHORIZED);
    const { data } = (await admin.command("listClients")) as { data: { totalCount: number } };
    expect(data.totalCount).toBe(3);
  });
});

test("kill -9 between changes: the file is whole, and has all that was answered", async () => {
  const directory = freshDirectory();
  initialFile(directory);
  let count = 0;
  for (let round = 0; round < 3; round++) {
    const broker = await startSecured("holdfast", { directory });
    const { client, command } = await startAsker(broker);
    const answered = count + 5;
    for (; count < answered; count++) await command("createRole", { rolename: `r${count}` });
    // More, of which nobody waits for the answer.
    for (let i = 0; i < 20; i++) {
      const commands = [{ command: "createGroup", groupname: `g${round}-${i}` }];
      client.sendPublish(CONTROL, JSON.stringify({ commands }));
    }
    await broker.end("SIGKILL");
    const { roles } = JSON.parse(readFileSync(broker.file, "utf8"));
    const names = new Set(roles.map(({ rolename }: { rolename: string }) => rolename));
    for (let i = 0; i < count; i++) expect(names).toContain(`r${i}`);
  }
  removeSecured();
});

test("SIGHUP reads the file again; a bad one changes nothing", async () => {
  const broker = await startSecured("holdfast");
  const { command } = await startAsker(broker);
  await command("createClient", { username: "u", password: "u" });
  const good = readFileSync(broker.file, "utf8");
  const client = await TestClient.connect(broker, { userName: "u", password: "u" });
  writeFileSync(broker.file, "{");
  process.kill(broker.pid, "SIGHUP");
  await until("the fault in the log", () => broker.output().includes("line 1, column 2"));
  await client.ping();
  const changed = JSON.parse(good);
  changed.clients.find(({ username }: { username: string }) => username === "u").disabled = true;
  writeFileSync(broker.file, JSON.stringify(changed));
  process.kill(broker.pid, "SIGHUP");
  await client.expectDisconnect(ADMINISTRATIVE_ACTION);
  await broker.end();
});

test("listeners that share a file share its clients; one of its own has others", async () => {
  const directory = freshDirectory();
  const file = initialFile(directory);
  const otherDirectory = freshDirectory();
  const otherFile = initialFile(otherDirectory);
  const [second = 0, third = 0] = await freePorts(2);
  const plugin = (path: string) => [`plugin ${PLUGIN}`, `plugin_opt_config_file ${path}`];
  const configuration = [
    ...plugin(file),
    `listener ${second} 127.0.0.1`,
    ...plugin(file),
    `listener ${third} 127.0.0.1`,
    ...plugin(otherFile),
  ];
  const broker = await startSecured("holdfast", {
    directory,
    configuration,
    before: ["per_listener_settings true"],
  });
  const { command } = await startAsker(broker);
  await command("createClient", { username: "u", password: "u" });
  const as = { userName: "u", password: "u" };
  const client = await TestClient.connect({ port: second, webSocketPort: 0 }, as);
  const stranger = await TestClient.open({ port: third, webSocketPort: 0 });
  stranger.sendConnect(as);
  await stranger.expectRefusal(NOT_AUTHORIZED);
  await command("disableClient", { username: "u" });
  await client.expectDisconnect(ADMINISTRATIVE_ACTION);
  await broker.end();
});

test("a file that is not there is made, with the administrator's password beside it", async () => {
  const directory = freshDirectory();
  const file = join(directory, "dynamic-security.json");
  const broker = await startSecured("holdfast", { directory });
  await until("the file", () => broker.output().includes(`${file}.pw`));
  const [line = ""] = readFileSync(`${file}.pw`, "utf8").split("\n");
  const [userName = "", password = ""] = line.split(" ");
  expect(userName).toBe("admin");
  const admin = await TestClient.connect(broker, { userName, password });
  expect(await admin.subscribe(`${CONTROL}/response`)).toBe(0);
  await admin.publish(CONTROL, '{"commands":[{"command":"listClients"}]}', { qos: 1 });
  const { payload } = await admin.receive({ topic: `${CONTROL}/response` });
  expect(JSON.parse(payload).responses[0].data.clients).toEqual(["admin", "democlient"]);
  await broker.end();
});

test("$CONTROL/broker/v1 tells of listeners and plugins, with enable_control_api", async () => {
  const broker = await startSecured("holdfast", { before: ["enable_control_api true"] });
  const { command } = await startAsker(broker);
  const topic = "$CONTROL/broker/v1";
  const acls = everything("$CONTROL/broker/#");
  await command("createRole", { rolename: "broker", acls });
  const roles = [{ rolename: "broker" }];
  await command("createClient", { username: "op", password: "op", roles });
  const client = await TestClient.connect(broker, { userName: "op", password: "op" });
  await client.subscribe(`${topic}/response`);
  const ask = async (commands: readonly unknown[]): Promise<unknown> => {
    await client.publish(topic, JSON.stringify({ commands }), { qos: 1 });
    const { payload } = await client.receive({ topic: `${topic}/response` });
    return JSON.parse(payload).responses;
  };
  const commands = [
    { command: "listPlugins", correlationData: "1" },
    { command: "LISTLISTENERS" },
    { command: "other" },
  ];
  const listener = { port: broker.port, protocol: "mqtt", "bind-address": "127.0.0.1", tls: false };
  const plugin = { name: "dynamic-security", "control-endpoints": [CONTROL] };
  expect(await ask(commands)).toEqual([
    { command: "listPlugins", data: { plugins: [plugin] }, correlationData: "1" },
    { command: "listListeners", data: { listeners: [listener] } },
    { command: "other", error: "Unknown command" },
  ]);
  await broker.end();
});
