/** The file of dynamic security: read, refused, made, written, read again. */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import {
  askOne,
  directoryForTest,
  login,
  openSecurity,
  removeDirectories,
  securityWith,
} from "../support/dynamic-security.ts";

afterEach(removeDirectories);

/** Names of what was written aside and is still there. */
function leftBeside(file: string): string[] {
  return readdirSync(dirname(file)).filter((name) => name.endsWith(".new"));
}

describe("the file", () => {
  test("of mosquitto 2.0 is read, and one of 2.1", async () => {
    const salt = "eFGwtPvtxueMqYc2";
    const password =
      "/vlxXyVJR0MNDgGrZ6T6oC9KbTTBz+sVWlX46JpJwRCRAFnY9MDp0tOYzmhn+waGOSdYRBzZTRDFEoTqSf2YTA==";
    const asked = securityWith({
      clients: [
        { username: "old", textName: "Old", password, salt, iterations: 101, roles: [] },
        { username: "new", encoded_password: `$7$101$${salt}$${password}` },
      ],
    });
    expect(await login(asked, "old", "adminpw")).toBe("granted");
    expect(await login(asked, "new", "adminpw")).toBe("granted");
    expect(await login(asked, "old", "other")).toBe("wrong password of user old");
    // Names of fields may be in any case, as `mosquitto_ctrl dynsec init` writes one.
    expect(await askOne(asked, { command: "getClient", username: "old" })).toMatchObject({
      data: { client: { username: "old", textname: "Old" } },
    });
  });

  test("keeps what it does not know, and how a password was written", async () => {
    const asked = securityWith({
      comment: "ours",
      clients: [{ username: "a", extra: [1], encoded_password: `$6$c2FsdA==$${"A".repeat(86)}==` }],
      groups: [{ groupname: "g", note: { x: null } }],
      roles: [{ rolename: "r", tag: "t" }],
    });
    await asked.ask({ command: "addClientRole", username: "a", rolename: "r" });
    const written = JSON.parse(readFileSync(asked.file, "utf8"));
    expect(written).toMatchObject({
      comment: "ours",
      clients: [{ username: "a", extra: [1], roles: [{ rolename: "r" }] }],
      groups: [{ groupname: "g", note: { x: null } }],
      roles: [{ rolename: "r", tag: "t" }],
    });
    expect(written.clients[0].encoded_password).toMatch(/^\$6\$/);
  });

  test("is read back as it was written", async () => {
    const asked = securityWith();
    await asked.ask(
      { command: "createRole", rolename: "r", acls: [{ acltype: "subscribeLiteral", topic: "a" }] },
      { command: "createRole", rolename: "s", allowwildcardsubs: false },
      { command: "createGroup", groupname: "g", roles: [{ rolename: "r", priority: 3 }] },
      { command: "createClient", username: "u", password: "p", clientid: "i", textname: "" },
      { command: "addGroupClient", username: "u", groupname: "g", priority: 5 },
      { command: "disableClient", username: "u" },
      { command: "setAnonymousGroup", groupname: "g" },
      { command: "setDefaultACLAccess", acls: [{ acltype: "subscribe", allow: true }] },
    );
    const again = openSecurity(asked.file);
    const questions = [
      { command: "listClients", verbose: true },
      { command: "listGroups", verbose: true },
      { command: "listRoles", verbose: true },
      { command: "getAnonymousGroup" },
      { command: "getDefaultACLAccess" },
    ];
    expect(await again.ask(...questions)).toEqual(await asked.ask(...questions));
    expect(statSync(asked.file).mode & 0o777).toBe(0o600);
    expect(leftBeside(asked.file)).toEqual([]);
  });

  test.each([
    ["not json", "line 1, column 1: expected a value"],
    ['{"clients":\n [,]}', "line 2, column 3: expected a value or ]"],
    ['{"a":1', "line 1, column 7: expected , or }"],
    ['{"a" 1}', "line 1, column 6: expected :"],
    ["{}{}", "line 1, column 3: expected nothing more"],
    ["[]", "line 1: expected an object, { … }"],
    [{ clients: 1 }, "clients: expected a list, [ … ]"],
    [{ clients: [1] }, "clients[0]: expected an object, { … }"],
    [{ clients: [{}] }, 'clients[0]: expected "username" with a text'],
    [{ clients: [{ username: 7 }] }, 'clients[0].username: expected a text, "…"'],
    [{ clients: [{ username: "a", disabled: 1 }] }, "clients[0].disabled: expected true or false"],
    [
      { clients: [{ username: "a" }, { username: "a" }] },
      `clients[1]: "a" is an earlier client's name, too`,
    ],
    [
      { clients: [{ username: "a", encoded_password: "x" }] },
      "clients[0].encoded_password: expected a hash that begins with $7$",
    ],
    [
      { clients: [{ username: "a", password: "x", salt: "!", iterations: 1 }] },
      "clients[0]: expected $7$iterations$salt$hash",
    ],
    [
      { roles: [{ rolename: "r", acls: [{ acltype: "x" }] }] },
      "roles[0].acls[0].acltype: expected",
    ],
    [{ groups: [{ groupname: "g", roles: [{ rolename: 1 }] }] }, "groups[0].roles[0].rolename"],
    [
      {
        roles: [
          { rolename: "r", acls: [{ acltype: "subscribeLiteral", topic: "t", priority: "9" }] },
        ],
      },
      "roles[0].acls[0].priority: expected a number",
    ],
    [`{"x":${"[".repeat(70)}${"]".repeat(70)}}`, "JSON deeper than 64 levels"],
  ])("with %j is refused: %s", (content, sentence) => {
    const file = join(directoryForTest(), "d.json");
    expect(() => securityWith(content, file)).toThrow(`${file}: ${sentence}`);
  });

  test("says what names nothing that is there, and goes on without it", async () => {
    const asked = securityWith({
      clients: [{ username: "a", roles: [{ rolename: "none" }] }, { username: "" }],
      groups: [{ groupname: "g", clients: [{ username: "none" }] }],
      anonymousGroup: "none",
    });
    expect(asked.lines.map((line) => line.replace(asked.file, "FILE"))).toEqual([
      'FILE: clients[0].roles[0]: there is no role "none"',
      "FILE: clients[1]: left out, because its name is empty",
      "FILE: groups[0].clients[0]: there is no such client",
      'FILE: anonymousGroup: there is no group "none"',
    ]);
    expect(await login(asked, "a", "p")).toBe("not mine");
  });

  test("that is not there is made, with passwords beside it", async () => {
    const file = join(directoryForTest(), "fresh.json");
    const asked = openSecurity(file);
    await asked.security.settled();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(`${file}.pw`).mode & 0o777).toBe(0o600);
    const lines = readFileSync(`${file}.pw`, "utf8").trimEnd().split("\n");
    expect(lines.map((line) => line.split(" ")[0])).toEqual(["admin", "democlient"]);
    for (const line of lines) {
      const [user = "", password = ""] = line.split(" ");
      expect(await login(openSecurity(file), user, password)).toBe("granted");
    }
  });

  test("that cannot be written is said in the answer, and the change holds", async () => {
    const directory = join(directoryForTest(), "gone");
    mkdirSync(directory);
    const file = join(directory, "d.json");
    const asked = securityWith({ clients: [{ username: "a" }] }, file);
    // A directory stands where the file is to be: root may write everywhere else.
    rmSync(file);
    mkdirSync(join(file, "x"), { recursive: true });
    const [done, read] = await asked.ask(
      { command: "disableClient", username: "a", correlationData: "7" },
      { command: "getClient", username: "a" },
    );
    expect(done).toMatchObject({ command: "disableClient", correlationData: "7" });
    expect(done?.error).toMatch(/^Done, but not saved: /);
    expect(read?.data).toMatchObject({ client: { disabled: true } });
    expect(readdirSync(directory)).toEqual([basename(file)]);
    expect(asked.lines.at(-1)).toContain("cannot be written");
  });

  test("is read again: who is gone or changed ends, a bad one changes nothing", async () => {
    const clients = ["same", "gone", "id", "role"].map((username) => ({ username }));
    const roles = [{ rolename: "r", acls: [] as unknown[] }];
    const withRole = { username: "role", roles: [{ rolename: "r" }] };
    const [same, , id] = clients;
    const asked = securityWith({ clients: [...clients.slice(0, 3), withRole], roles });
    writeFileSync(asked.file, "{");
    expect(asked.security.reload()).toContain("line 1, column 2");
    expect(asked.done).toEqual([]);
    roles[0]?.acls.push({ acltype: "publishClientSend", topic: "t", allow: true });
    const changed = { clients: [same, { ...id, clientid: "x" }, withRole], roles };
    writeFileSync(asked.file, JSON.stringify(changed));
    expect(asked.security.reload()).toBeNull();
    expect(asked.done).toEqual(["renew", "end gone id role"]);
    asked.done.splice(0);
    expect(asked.security.reload()).toBeNull();
    expect(asked.done).toEqual(["renew"]);
  });
});
