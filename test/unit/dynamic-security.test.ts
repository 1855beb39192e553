/** Dynamic security: who may log in, what rules clients have, what a change does. */
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { mayUseFilter } from "../../src/access/access-check.ts";
import { SUBSCRIBE } from "../../src/access/access-rules.ts";
import {
  type AskedSecurity,
  askOne,
  type Command,
  connectAs,
  login,
  openSecurity,
  removeDirectories,
  securityWith,
} from "../support/dynamic-security.ts";

afterEach(removeDirectories);

describe("a login", () => {
  test("needs the password, the Client Identifier, and not to be disabled", async () => {
    const asked = securityWith();
    await asked.ask(
      { command: "createClient", username: "u", password: "p", clientid: "mine" },
      { command: "createClient", username: "none" },
    );
    expect(await login(asked, "u", "p", "mine")).toBe("granted");
    expect(await login(asked, "u", "p", "other")).toContain("another Client Identifier");
    expect(await login(asked, "u", "q", "mine")).toBe("wrong password of user u");
    // Without a password, and without a name that is known here, others decide.
    expect(await login(asked, "none", "p")).toBe("not mine");
    expect(await login(asked, "unknown", "p")).toBe("not mine");
    expect(await login(asked, "__proto__", "p")).toBe("not mine");
    await asked.ask({ command: "disableClient", username: "u" });
    expect(await login(asked, "u", "p", "mine")).toBe("the client is disabled");
  });

  test("does not succeed where the client changed while its password was checked", async () => {
    const asked = securityWith();
    await asked.ask({ command: "createClient", username: "u", password: "p" });
    const verdict = asked.security.authenticate(connectAs("u", "p"));
    expect(verdict).toBeInstanceOf(Promise);
    // Commands that need no hash are done in the same turn.
    void asked.ask({ command: "deleteClient", username: "u" });
    expect(await verdict).toMatchObject({ reason: "wrong password of user u" });
  });
});

describe("rules", () => {
  const rules = async (asked: AskedSecurity, clientId: string, userName: string) => {
    await asked.security.settled();
    return asked.security
      .rulesOf({ clientId, userName, rules: null })
      .rules.map(
        ({ actions, allows, filter, isLiteral, substitutes }) =>
          `${allows ? "+" : "-"}${actions} ${filter}${isLiteral ? " literally" : ""}` +
          (substitutes ? " of its own" : ""),
      );
  };
  const acl = (acltype: string, topic: string, priority = 0, allow = true) => ({
    acltype,
    topic,
    priority,
    allow,
  });

  test("are those of its roles, then of its groups, by priority", async () => {
    const asked = securityWith({
      roles: ["a", "b", "c", "d"].map((rolename) => ({
        rolename,
        acls: [acl("publishClientSend", rolename)],
      })),
      clients: [
        { username: "u", roles: [{ rolename: "a" }, { rolename: "b", priority: 2 }] },
        { username: "v" },
      ],
      groups: [
        { groupname: "g", roles: [{ rolename: "c" }], clients: [{ username: "u" }] },
        {
          groupname: "h",
          roles: [{ rolename: "a" }, { rolename: "d" }],
          clients: [{ username: "u", priority: 1 }],
        },
      ],
      anonymousGroup: "g",
    });
    const last = "-15 $CONTROL/#";
    expect(await rules(asked, "c", "u")).toEqual(["+2 b", "+2 a", "+2 d", "+2 c", last]);
    expect(await rules(asked, "c", "v")).toEqual([last]);
    expect(await rules(asked, "c", "")).toEqual(["+2 c", last]);
    // Whom another authentication let in has nothing here.
    expect(asked.security.rulesOf({ clientId: "c", userName: "x", rules: null })).toEqual({
      rules: [],
      defaults: 0,
    });
  });

  test("of a role: what it says literally first, then by priority", async () => {
    const asked = securityWith({
      defaultACLAccess: { publishClientReceive: true, unsubscribe: true },
      roles: [
        {
          rolename: "r",
          acls: [
            acl("subscribePattern", "p/#", 9),
            acl("subscribeLiteral", "l/#", 1, false),
            acl("unsubscribeLiteral", "x", 3),
            acl("publishClientReceive", "low", -5),
            acl("publishClientReceive", "high", 5),
            acl("publishClientReceive", "no#filter", 7),
          ],
        },
      ],
      clients: [{ username: "u", roles: [{ rolename: "r" }] }],
    });
    expect(await rules(asked, "c", "u")).toEqual([
      "+8 x literally",
      "-4 l/# literally",
      "+4 p/#",
      "+1 high",
      "+1 low",
      "-15 $CONTROL/#",
    ]);
    expect(asked.security.rulesOf({ clientId: "c", userName: "u", rules: null }).defaults).toBe(9);
  });

  test("name who asks, but let no name widen them", async () => {
    const asked = securityWith({
      roles: [
        {
          rolename: "r",
          acls: [
            acl("publishClientSend", "own/%c/x"),
            acl("publishClientSend", "own/%u/#"),
            acl("publishClientSend", "own/%c/#", -1, false),
            acl("publishClientSend", "not%c", -2),
            acl("subscribeLiteral", "%c"),
            acl("subscribePattern", "devices/%c", -3),
            acl("publishClientReceive", "devices/%u", -3),
          ],
        },
      ],
      clients: ["u", "#"].map((username) => ({ username, roles: [{ rolename: "r" }] })),
      groups: [{ groupname: "g", roles: [{ rolename: "r" }] }],
      anonymousGroup: "g",
    });
    expect(await rules(asked, "id", "u")).toEqual([
      "+4 %c literally",
      "+2 own/%c/x of its own",
      "+2 own/%u/# of its own",
      "-2 own/%c/# of its own",
      "+2 not%c",
      "+4 devices/%c of its own",
      "+1 devices/%u of its own",
      "-15 $CONTROL/#",
    ]);
    // As a Topic Filter such a name would match what is others'.
    expect(await rules(asked, "+", "#")).toEqual([
      "+4 %c literally",
      "+2 own/+/x literally",
      "-2 own/+/#",
      "+2 not%c",
      "-15 $CONTROL/#",
    ]);
    // Who has no name is not meant by what names it: a name that is empty matches nothing.
    expect(await rules(asked, "+", "")).not.toContain("+2 own//#");
  });

  test("of a role that allows no wildcards deny them before all else of it", async () => {
    const asked = securityWith({
      roles: [
        { rolename: "first", acls: [acl("subscribePattern", "a/#")] },
        { rolename: "r", allowwildcardsubs: false, acls: [acl("subscribePattern", "b/#")] },
      ],
      clients: [{ username: "u", roles: [{ rolename: "first", priority: 1 }, { rolename: "r" }] }],
    });
    const identity = { clientId: "c", userName: "u", rules: null };
    const may = (filter: string) =>
      mayUseFilter(asked.security.rulesOf(identity), identity, SUBSCRIBE, filter);
    expect(["a/+", "b/x", "$share/g/b/x"].map(may)).toEqual([true, true, true]);
    expect(["b/+", "b/#", "$share/g/b/+", "", "c"].map(may)).toEqual(Array(5).fill(false));
  });

  test("are one object for clients of the same roles", async () => {
    const asked = securityWith({
      roles: [{ rolename: "r", acls: [acl("publishClientSend", "t")] }],
      clients: ["u", "v"].map((username) => ({ username, roles: [{ rolename: "r" }] })),
    });
    const of = (userName: string) =>
      asked.security.rulesOf({ clientId: userName, userName, rules: null });
    expect(of("u")).toBe(of("v"));
  });
});

describe("a change", () => {
  const start = {
    roles: [{ rolename: "r" }, { rolename: "s" }],
    clients: [
      { username: "u", roles: [{ rolename: "r" }] },
      { username: "v" },
      { username: "admin", roles: [{ rolename: "s" }] },
    ],
    groups: [
      { groupname: "g", roles: [{ rolename: "r" }], clients: [{ username: "v" }] },
      { groupname: "h" },
    ],
    anonymousGroup: "g",
  };

  test.each<[string, Record<string, unknown>, string]>([
    ["disableClient", { username: "u" }, "u"],
    ["deleteClient", { username: "u" }, "u"],
    ["setClientId", { username: "u", clientid: "x" }, "u"],
    ["setClientPassword", { username: "u", password: "x" }, "u"],
    ["modifyClient", { username: "u", textname: "x" }, "u"],
    ["addClientRole", { username: "v", rolename: "r" }, "v"],
    ["removeClientRole", { username: "u", rolename: "r" }, "u"],
    ["addGroupClient", { username: "u", groupname: "h" }, "u"],
    ["removeGroupClient", { username: "v", groupname: "g" }, "v"],
    ["addGroupRole", { rolename: "s", groupname: "g" }, "v (anonymous)"],
    ["removeGroupRole", { rolename: "r", groupname: "g" }, "v (anonymous)"],
    ["modifyGroup", { groupname: "h", clients: [{ username: "u" }] }, "u"],
    ["setAnonymousGroup", { groupname: "h" }, "(anonymous)"],
    ["addRoleACL", { rolename: "r", acltype: "subscribeLiteral", topic: "t" }, "u v (anonymous)"],
    ["modifyRole", { rolename: "r", acls: [] }, "u v (anonymous)"],
    ["deleteRole", { rolename: "r" }, "u v (anonymous)"],
    ["modifyRole", { rolename: "r", textname: "x" }, ""],
    ["setDefaultACLAccess", { acls: [] }, ""],
    ["enableClient", { username: "u" }, ""],
    ["createRole", { rolename: "new" }, ""],
    ["deleteGroup", { groupname: "h" }, ""],
  ])("by %s with %j ends: %s", async (command, fields, concerned) => {
    const asked = securityWith(start);
    expect(await asked.ask({ command, ...fields })).toEqual([{ command }]);
    expect(asked.done).toEqual(["renew", ...(concerned === "" ? [] : [`end ${concerned}`])]);
    expect(await openSecurity(asked.file).ask({ command: "listRoles", verbose: true })).toEqual(
      await asked.ask({ command: "listRoles", verbose: true }),
    );
  });

  test("that is refused changes nothing and writes nothing", async () => {
    const asked = securityWith(start);
    const before = readFileSync(asked.file, "utf8");
    const responses = await asked.ask(
      { command: "modifyClient", username: "u", textname: "x", roles: [{ rolename: "none" }] },
      { command: "modifyClient", username: "u", textname: "x", groups: [{ groupname: "none" }] },
      { command: "createClient", username: "w", groups: [{ groupname: "none" }] },
      { command: "deleteGroup", groupname: "g" },
    );
    expect(responses.every(({ error }) => error !== undefined)).toBe(true);
    expect(asked.done).toEqual([]);
    expect(readFileSync(asked.file, "utf8")).toBe(before);
  });

  test("of the requester itself ends it behind its answer", async () => {
    const asked = securityWith(start);
    const ask = (command: Command) =>
      asked.askBytes(Buffer.from(JSON.stringify({ commands: [command] })));
    expect((await ask({ command: "modifyClient", username: "admin" })).ends).toBe(true);
    expect((await ask({ command: "modifyClient", username: "u" })).ends).toBe(false);
  });

  test("of a group's deletion leaves no name behind", async () => {
    const asked = securityWith(start);
    await asked.ask(
      { command: "setAnonymousGroup", groupname: "h" },
      { command: "deleteGroup", groupname: "g" },
      { command: "deleteRole", rolename: "r" },
      { command: "deleteClient", username: "v" },
    );
    const again = openSecurity(asked.file);
    expect(again.lines).toEqual([]);
    expect(await askOne(again, { command: "getClient", username: "u" })).toMatchObject({
      data: { client: { roles: [], groups: [] } },
    });
  });
});

test("a request in any case is understood, and what follows a bad correlation is not", async () => {
  const asked = securityWith();
  const { text } = await asked.askBytes(
    Buffer.from(
      '{"Commands":[{"COMMAND":"LISTROLES","correlationData":"1"},' +
        '{"command":"x","correlationData":null},{"command":"listRoles"}]}',
    ),
  );
  expect(JSON.parse(text).responses).toEqual([
    { command: "listRoles", data: { totalCount: 0, roles: [] }, correlationData: "1" },
    { command: "x", error: "Invalid correlationData data type." },
  ]);
});

test("pages of a list, as mosquitto counts them", async () => {
  const roles = ["b", "a", "c"].map((rolename) => ({ rolename }));
  const asked = securityWith({ roles });
  const page = async (fields: object) =>
    (await askOne(asked, { command: "listRoles", ...fields }))?.data?.["roles"];
  expect(await page({})).toEqual(["a", "b", "c"]);
  expect(await page({ count: 2 })).toEqual(["a", "b"]);
  expect(await page({ count: 0 })).toEqual(["a"]);
  expect(await page({ count: 5, offset: 2 })).toEqual(["c"]);
  expect(await page({ offset: 9 })).toEqual([]);
  expect(await page({ count: "x", offset: -4 })).toEqual(["a", "b", "c"]);
});
