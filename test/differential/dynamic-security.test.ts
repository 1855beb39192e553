/**
 * Dynamic security against mosquitto's own: the same requests, and every subcommand of
 * mosquitto_ctrl, on both; the answers are compared byte for byte.
 *
 * mosquitto 2.0.11 is the oracle, 2.1 what we follow. Where the two differ, and where 2.0.11 does
 * what nobody can want, `mosquitto-differences.ts` says so.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { needPrograms } from "../interop/program.ts";
import { TestClient } from "../support/client.ts";
import {
  ADMIN,
  type Asker,
  CONTROL,
  CTRL,
  MOSQUITTO,
  PLUGIN,
  removeSecured,
  type SecuredBroker,
  startAsker,
  startSecured,
} from "../support/dynamic-security-brokers.ts";
import { expectAllLookedAt, expectDifferences } from "./mosquitto-differences.ts";

/** An answer of ours without what 2.1 added to those of 2.0: fields of clients and of roles. */
function as20(answer: string): string {
  return answer.replaceAll(/,"allowwildcardsubs":true|,"connections":\[[^\]]*\]/g, "");
}

/** A request of one command. */
function one(command: string, fields: object = {}): string {
  return JSON.stringify({ commands: [{ command, ...fields }] });
}

/** Commands that differ: `mosquitto-differences.ts` says how, and why. */
const DIFFERENT = [
  { command: "createRole", rolename: "" },
  { command: "createClient", username: "" },
  { command: "createGroup", groupname: "" },
  { command: "modifyClient", username: "u1", groups: [{ groupname: "none" }] },
  { command: "modifyClient", username: "u1", groups: [{}] },
  { command: "modifyGroup", groupname: "g1", clients: [{}] },
  { command: "modifyGroup", groupname: "g1", clients: [{ username: "none" }] },
];

const NO_FORM = [
  "not json",
  "",
  "[]",
  "{}",
  '{"commands":1}',
  '{"commands":[]}',
  '{"commands":["x"]}',
  '{"commands":[{}]}',
  '{"commands":[{"command":1}]}',
  '{"commands":[{"command":"x"}]}',
  '{"commands":[{"command":"x","correlationData":"c"}]}',
  '{"commands":[{"command":"x","correlationData":6}]}',
  '{"commands":[{"command":"x","correlationData":null}]}',
  '{"Commands":[{"COMMAND":"LISTCLIENTS","CorrelationData":"7"}]}',
  '{"commands":[{"command":"listClients"},"x",{"command":"listRoles"}]}',
  '{"commands":[{},{"command":"listRoles"}]}',
  '{"commands":[{"command":"x","correlationData":6},{"command":"listRoles"}]}',
];

const acl = (acltype: string, topic: string, more: object = {}) => ({ acltype, topic, ...more });

const ROLES = [
  one("getDefaultACLAccess", { correlationData: "q" }),
  one("setDefaultACLAccess"),
  one("setDefaultACLAccess", { acls: [acl("publishClientSend", "", { allow: true }), 1, {}] }),
  one("setDefaultACLAccess", { acls: [{ acltype: "UNSUBSCRIBE", allow: false }] }),
  one("getDefaultACLAccess"),
  one("createRole"),
  one("createRole", { rolename: "r1", textname: 1 }),
  one("createRole", { rolename: "r1", textdescription: 1 }),
  one("createRole", {
    rolename: "r1",
    textname: "T",
    textdescription: "D",
    acls: [
      acl("publishClientSend", "a/#", { allow: true }),
      acl("bad", "x"),
      acl("subscribeLiteral", "b", { priority: 5 }),
      acl("subscribeLiteral", "c", { priority: 7, allow: true }),
      1,
      {},
    ],
  }),
  one("createRole", { rolename: "r1" }),
  one("createRole", { rolename: "r2", acls: 1 }),
  one("createRole", { rolename: "rz" }),
  one("createRole", { rolename: "Ra" }),
  one("getRole"),
  one("getRole", { rolename: "none" }),
  one("getRole", { rolename: "r1" }),
  one("listRoles"),
  one("listRoles", { count: 1 }),
  one("listRoles", { count: 0 }),
  one("listRoles", { count: 2, offset: 1, verbose: true }),
  one("listRoles", { count: -1, offset: 3 }),
  one("listRoles", { offset: 99 }),
  one("listRoles", { count: "x", verbose: "x", offset: -4 }),
  ...["addRoleACL", "removeRoleACL"].flatMap((command) => [
    one(command),
    one(command, { rolename: "none" }),
    one(command, { rolename: "r1" }),
    one(command, { rolename: "r1", acltype: "x" }),
    one(command, { rolename: "r1", acltype: "publishClientSend" }),
    one(command, { rolename: "r1", acltype: "PUBLISHCLIENTSEND", topic: "a/b", priority: 9 }),
    one("getRole", { rolename: "r1" }),
  ]),
  one("addRoleACL", { rolename: "r1", ...acl("publishClientSend", "a/#") }),
  one("addRoleACL", { rolename: "r1", ...acl("publishClientSend", "bad#") }),
  one("addRoleACL", { rolename: "r1", ...acl("publishClientReceive", "e", { allow: true }) }),
  one("addRoleACL", { rolename: "r1", ...acl("publishClientReceive", "f", { priority: 1.7 }) }),
  one("addRoleACL", { rolename: "r1", ...acl("publishClientReceive", "g", { priority: "7" }) }),
  one("addRoleACL", { rolename: "r1", ...acl("unsubscribePattern", "h", { priority: 1e11 }) }),
  one("removeRoleACL", { rolename: "r1", ...acl("publishClientSend", "none") }),
  one("modifyRole"),
  one("modifyRole", { rolename: "none" }),
  one("modifyRole", { rolename: "r1", textname: "N" }),
  one("getRole", { rolename: "r1" }),
  one("modifyRole", { rolename: "r1", acls: [acl("publishClientSend", "q", { allow: true })] }),
  one("getRole", { rolename: "r1" }),
];

const CLIENTS = [
  one("createClient"),
  one("createClient", { username: 1 }),
  one("createClient", { username: "u1", password: 1 }),
  one("createClient", { username: "u1", password: null }),
  one("createClient", { username: "u1", clientid: 1 }),
  one("createClient", { username: "u1", textname: 1 }),
  one("createClient", { username: "u1", textdescription: [] }),
  one("createClient", { username: "u1", roles: 1 }),
  one("createClient", { username: "u1", roles: [{}] }),
  one("createClient", { username: "u1", roles: [{ rolename: "none" }] }),
  one("createClient", { username: "u1", groups: [1, {}, { groupname: "none" }] }),
  one("createClient", { username: "u1" }),
  one("createClient", { username: "u1" }),
  one("createClient", {
    username: "u7",
    password: "",
    clientid: "",
    roles: [
      { rolename: "r1", priority: 3 },
      { rolename: "r2", priority: 5 },
      { rolename: "rz", priority: 3 },
      { rolename: "r1", priority: 9 },
    ],
  }),
  one("getClient", { username: "u7" }),
  one("createClient", { username: "u8", clientid: "c", disabled: true }),
  one("getClient", { username: "u8" }),
  one("createClient", { username: "uä😀" }),
  one("createClient", { username: "u\ue000" }),
  one("createClient", { username: "u\uffff" }),
  one("createClient", { username: "u\u0001" }),
  one("createClient", { username: "__proto__" }),
  one("listClients"),
  one("listClients", { verbose: true, count: 3, offset: 2 }),
  one("getClient"),
  one("getClient", { username: "none" }),
  one("modifyClient"),
  one("modifyClient", { username: "none" }),
  one("modifyClient", { username: "u1", clientid: "c1", textname: "t", textdescription: "d" }),
  one("modifyClient", { username: "u1", clientid: 1, textname: 2, password: 3 }),
  one("modifyClient", { username: "u1", roles: [{}] }),
  one("modifyClient", { username: "u1", roles: [{ rolename: "none" }] }),
  one("modifyClient", { username: "u1", roles: [{ rolename: "rz" }] }),
  one("getClient", { username: "u1" }),
  ...["addClientRole", "removeClientRole"].flatMap((command) => [
    one(command),
    one(command, { username: "u1" }),
    one(command, { rolename: "r1" }),
    one(command, { username: "none", rolename: "r1" }),
    one(command, { username: "u1", rolename: "none" }),
    one(command, { username: "u1", rolename: "r1", priority: 7 }),
    one("getClient", { username: "u1" }),
  ]),
  one("addClientRole", { username: "u1", rolename: "rz" }),
  ...["setClientId", "setClientPassword", "disableClient", "enableClient"].flatMap((command) => [
    one(command),
    one(command, { username: "none", password: "p" }),
    one(command, { username: "u1", clientid: 5, password: 5 }),
    one(command, { username: "u1", clientid: "", password: "" }),
    one(command, { username: "u1", clientid: "k", password: "p" }),
    one("getClient", { username: "u1" }),
  ]),
];

const GROUPS = [
  one("createGroup"),
  one("createGroup", { groupname: "g0", textname: 1 }),
  one("createGroup", { groupname: "g0", roles: 1 }),
  one("createGroup", { groupname: "g0", roles: [{ rolename: "none" }] }),
  one("createGroup", {
    groupname: "g1",
    textname: "TN",
    textdescription: "TD",
    roles: [{ rolename: "r2" }, { rolename: "r1", priority: 1 }],
    clients: [{ username: "u1" }],
  }),
  one("createGroup", { groupname: "g1" }),
  one("createGroup", { groupname: "g6" }),
  one("createGroup", { groupname: "g7" }),
  one("getGroup"),
  one("getGroup", { groupname: "none" }),
  one("getGroup", { groupname: "g1" }),
  one("listGroups"),
  one("listGroups", { verbose: true, count: 1 }),
  ...["addGroupClient", "removeGroupClient"].flatMap((command) => [
    one(command),
    one(command, { username: "u1" }),
    one(command, { groupname: "g1" }),
    one(command, { username: "none", groupname: "g1" }),
    one(command, { username: "u1", groupname: "none" }),
    one(command, { username: "u1", groupname: "g1", priority: -1 }),
    one(command, { username: "u1", groupname: "g7", priority: 4 }),
    one("getClient", { username: "u1" }),
  ]),
  one("addGroupClient", { username: "u1", groupname: "g7", priority: 4 }),
  one("addGroupClient", { username: "u1", groupname: "g6", priority: 9 }),
  one("addGroupClient", { username: "u1", groupname: "g6" }),
  one("getClient", { username: "u1" }),
  ...["addGroupRole", "removeGroupRole"].flatMap((command) => [
    one(command),
    one(command, { groupname: "g1" }),
    one(command, { groupname: "none", rolename: "r1" }),
    one(command, { groupname: "g1", rolename: "none" }),
    one(command, { groupname: "g1", rolename: "rz", priority: 8 }),
    one("getGroup", { groupname: "g1" }),
  ]),
  one("addGroupRole", { groupname: "g1", rolename: "r1" }),
  one("modifyGroup"),
  one("modifyGroup", { groupname: "none" }),
  one("modifyGroup", { groupname: "g1", textname: 5, roles: 2 }),
  one("modifyGroup", { groupname: "g1", roles: [{ rolename: "none" }] }),
  one("modifyGroup", { groupname: "g1", roles: [{ rolename: "r2" }], textname: "N" }),
  one("modifyGroup", { groupname: "g1", clients: [{ username: "u7", priority: 4 }] }),
  one("getGroup", { groupname: "g1" }),
  one("getAnonymousGroup"),
  one("setAnonymousGroup"),
  one("setAnonymousGroup", { groupname: "none" }),
  one("setAnonymousGroup", { groupname: "g6" }),
  one("getAnonymousGroup"),
  one("deleteGroup"),
  one("deleteGroup", { groupname: "none" }),
  one("deleteGroup", { groupname: "g7" }),
  one("getClient", { username: "u1" }),
  one("deleteClient"),
  one("deleteClient", { username: "none" }),
  one("deleteClient", { username: "u7" }),
  one("getGroup", { groupname: "g1" }),
  one("deleteRole"),
  one("deleteRole", { rolename: "none" }),
  one("deleteRole", { rolename: "Ra" }),
  one("listRoles"),
];

/** Every subcommand, right and wrong; those that only ask show what the others did. */
const SUBCOMMANDS = [
  "getDefaultACLAccess",
  "setDefaultACLAccess subscribe allow",
  "setDefaultACLAccess subscribe maybe",
  "createRole cr",
  "createRole cr",
  "addRoleACL cr publishClientSend x/# allow 4",
  "addRoleACL cr publishClientReceive x/+ deny",
  "addRoleACL cr subscribeLiteral x allow",
  "addRoleACL cr subscribePattern y/# allow",
  "addRoleACL cr unsubscribeLiteral x deny",
  "addRoleACL cr unsubscribePattern y/# deny",
  "addRoleACL cr nothing y/# deny",
  "getRole cr",
  "removeRoleACL cr subscribeLiteral x",
  "getRole cr",
  "getRole none",
  "listRoles",
  "listRoles 1 1",
  "createClient cu -c cid -p pw",
  "createClient cu -p pw",
  "setClientPassword cu pw2",
  "setClientId cu other",
  "addClientRole cu cr 3",
  "getClient cu",
  "disableClient cu",
  "getClient cu",
  "enableClient cu",
  "removeClientRole cu cr",
  "createGroup cg",
  "addGroupRole cg cr 7",
  "addGroupClient cg cu 2",
  "getGroup cg",
  "getClient cu",
  "listGroups",
  "listGroups 1",
  "setAnonymousGroup cg",
  "getAnonymousGroup",
  "removeGroupRole cg cr",
  "removeGroupClient cg cu",
  "getGroup cg",
  "listClients",
  "listClients 1 1",
  "deleteClient cu",
  "deleteClient cu",
  "createGroup dg",
  "deleteGroup dg",
  "deleteGroup dg",
  "createRole dr",
  "deleteRole dr",
  "noSuchCommand",
];

const brokers: SecuredBroker[] = [];
const askers: Asker[] = [];

beforeAll(async () => {
  needPrograms([MOSQUITTO, CTRL, PLUGIN], "mosquitto mosquitto-clients");
  brokers.push(await startSecured("holdfast"), await startSecured("mosquitto"));
  for (const broker of brokers) askers.push(await startAsker(broker));
});

afterAll(async () => {
  for (const broker of brokers) await broker.end();
  removeSecured();
});

async function bothAnswer(request: string): Promise<string[]> {
  const answers: string[] = [];
  for (const { ask } of askers) answers.push(await ask(request));
  const [ours = "", oracle = ""] = answers;
  return [as20(ours), oracle];
}

describe("requests", () => {
  test.each([...NO_FORM, ...ROLES, ...CLIENTS, ...GROUPS])("%s", async (request) => {
    const [ours, oracle] = await bothAnswer(request);
    expect(ours).toBe(oracle);
  });
});

describe("mosquitto_ctrl dynsec", () => {
  test.each(SUBCOMMANDS)("%s", async (subcommand) => {
    const [ours, oracle] = brokers.map(({ ctrl }) => ctrl(...subcommand.split(" ")));
    expect(ours).toBe(oracle);
  });
});

/** Last, as what is there is not the same on both sides any more. */
describe("what differs", () => {
  // Those of before got from mosquitto what was for mosquitto_ctrl, too.
  beforeAll(async () => {
    for (const { client } of askers.splice(0)) await client.disconnect();
    for (const broker of brokers) askers.push(await startAsker(broker));
  });

  afterAll(() => expectAllLookedAt("dynsec"));

  async function onBoth(ask: (asker: Asker, broker: SecuredBroker) => Promise<unknown>) {
    const seen = { holdfast: null as unknown, mosquitto: null as unknown };
    for (const [index, broker] of brokers.entries()) {
      seen[broker.kind] = await ask(askers[index] as Asker, broker);
    }
    return seen;
  }

  test.each(DIFFERENT)("%j", async (command) => {
    const seen = await onBoth(async ({ ask }) =>
      as20(await ask(JSON.stringify({ commands: [command] }))),
    );
    expectDifferences(`dynsec: ${JSON.stringify(command)}`, seen);
  });

  test("another one's answer", async () => {
    const seen = await onBoth(async ({ command }, broker) => {
      const other = await TestClient.connect(broker, { ...ADMIN, clientId: "other" });
      await other.subscribe(`${CONTROL}/response`);
      await command("listRoles");
      const heard = await other.expectNothing().then(
        () => "nothing",
        () => "the answer",
      );
      await other.disconnect();
      return heard;
    });
    expectDifferences("dynsec: another one's answer", seen);
  });

  test("a change of who asks", async () => {
    const seen = await onBoth(async ({ client }) => {
      const commands = [{ command: "modifyClient", username: "admin", textname: "x" }];
      client.sendPublish(CONTROL, JSON.stringify({ commands }));
      return client.next("publish").then(
        () => "the answer first",
        () => "DISCONNECT first",
      );
    });
    expectDifferences("dynsec: a change of who asks", seen);
  });
});
