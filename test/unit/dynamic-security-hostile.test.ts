/** Hostile requests to dynamic security: huge, deep, of wrong types, with names of prototypes. */
import { truncateSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import {
  CONTROL_COMMANDS_MAX,
  CONTROL_DEPTH_MAX,
  CONTROL_REQUEST_BYTES_MAX,
  CONTROL_WAITING_BYTES_MAX,
  CONTROL_WAITING_MAX,
  DYNAMIC_SECURITY_ACLS_PER_ROLE_MAX,
  DYNAMIC_SECURITY_CLIENTS_MAX,
  DYNAMIC_SECURITY_FILE_BYTES_MAX,
  DYNAMIC_SECURITY_GROUPS_MAX,
  DYNAMIC_SECURITY_ROLES_MAX,
} from "../../src/base/limits.ts";
import {
  askOne,
  login,
  openSecurity,
  type Response,
  removeDirectories,
  securityWith,
} from "../support/dynamic-security.ts";

afterEach(removeDirectories);

describe("a hostile request", () => {
  const names = ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf"];

  test.each(names)("named %s is a name as any other", async (name) => {
    const asked = securityWith();
    const text = (command: string, fields: string) => `{"command":"${command}",${fields}}`;
    const request =
      `{"__proto__":{"commands":[]},"commands":[` +
      [
        text("createRole", `"rolename":"${name}"`),
        text("createGroup", `"groupname":"${name}","roles":[{"rolename":"${name}"}]`),
        text("createClient", `"username":"${name}","__proto__":{"password":"p"}`),
        text("addGroupClient", `"username":"${name}","groupname":"${name}"`),
        text("getClient", `"username":"${name}"`),
        text("getRole", `"__proto__":{"rolename":"${name}"}`),
      ].join(",") +
      "]}";
    const { text: answer } = await asked.askBytes(Buffer.from(request));
    const { responses } = JSON.parse(answer);
    expect(responses.slice(0, 4).map(({ error }: Response) => error)).toEqual(Array(4));
    expect(responses[4].data.client).toMatchObject({
      username: name,
      groups: [{ groupname: name }],
    });
    expect(responses[5].error).toBe("Invalid/missing rolename");
    expect(Object.keys(Object.prototype)).toEqual([]);
    expect(await login(openSecurity(asked.file), name, "p")).toBe("not mine");
  });

  test("with objects where texts belong is answered, and the others as well", async () => {
    const asked = securityWith();
    const odd = '{"toString":0,"valueOf":0}';
    const request =
      `{"commands":[{"command":"getDefaultACLAccess","topic":${odd}},` +
      `{"command":"listRoles","acltype":${odd}},{"command":"createRole","rolename":"r"}]}`;
    const { text } = await asked.askBytes(Buffer.from(request));
    const { responses } = JSON.parse(text);
    expect(responses.map(({ command }: Response) => command)).toEqual([
      "getDefaultACLAccess",
      "listRoles",
      "createRole",
    ]);
    await asked.security.settled();
    expect(await askOne(openSecurity(asked.file), { command: "listRoles" })).toMatchObject({
      data: { roles: ["r"] },
    });
  });

  test("that is too long, too deep, or has too many commands is refused whole", async () => {
    const asked = securityWith();
    const errorOf = async (request: string) =>
      JSON.parse((await asked.askBytes(Buffer.from(request))).text).responses[0].error;
    const list = '{"command":"listRoles"}';
    const many = (count: number) => `{"commands":[${Array(count).fill(list).join(",")}]}`;
    const deep = (depth: number) =>
      `{"commands":[{"command":"listRoles","x":${"[".repeat(depth)}${"]".repeat(depth)}}]}`;
    expect(await errorOf(many(CONTROL_COMMANDS_MAX))).toBeUndefined();
    expect(await errorOf(many(CONTROL_COMMANDS_MAX + 1))).toBe("More than 1000 commands");
    expect(await errorOf(deep(CONTROL_DEPTH_MAX - 3))).toBeUndefined();
    expect(await errorOf(deep(CONTROL_DEPTH_MAX - 2))).toBe("Payload not valid JSON");
    expect(await errorOf(deep(100_000))).toBe("Payload not valid JSON");
    expect(await errorOf(" ".repeat(CONTROL_REQUEST_BYTES_MAX + 1))).toBe(
      "Request longer than 1048576 bytes",
    );
  });

  test.each([
    ["bytes that are no UTF-8", Buffer.from([0x22, 0xff, 0x22]), "Payload not valid JSON"],
    ["nothing", Buffer.alloc(0), "Payload not valid JSON"],
    ["a list", Buffer.from("[]"), "Invalid/missing commands"],
    ["null", Buffer.from("null"), "Invalid/missing commands"],
    ["a text for a command", Buffer.from('{"commands":["x"]}'), "Command not an object"],
    ["null for a command", Buffer.from('{"commands":[null]}'), "Command not an object"],
    ["a number for a name", Buffer.from('{"commands":[{"command":7}]}'), "Missing command"],
  ])("of %s is answered", async (_what, request, error) => {
    const { text } = await securityWith().askBytes(request);
    expect(JSON.parse(text)).toEqual({ responses: [{ command: "Unknown command", error }] });
  });

  test.each(["\ud800", "a\u0000b", "\u0001", "\uffff", "x".repeat(65_536)])(
    "for the name %j is refused",
    async (username) => {
      const asked = securityWith();
      expect(await askOne(asked, { command: "createClient", username })).toMatchObject({
        error: "Username not valid UTF-8",
      });
      expect(
        await askOne(asked, { command: "createClient", username: "u", clientid: username }),
      ).toHaveProperty("error");
    },
  );

  test("for one ACL too many in a role is refused", async () => {
    const acls = Array.from({ length: DYNAMIC_SECURITY_ACLS_PER_ROLE_MAX }, (_, index) => ({
      acltype: "publishClientSend",
      topic: `t/${index}`,
    }));
    const asked = securityWith({ roles: [{ rolename: "r", acls }] });
    const add = { command: "addRoleACL", rolename: "r", acltype: "publishClientSend", topic: "x" };
    expect(await askOne(asked, add)).toMatchObject({ error: "Too many ACLs" });
  });

  test.each([
    ["clients", "username", "createClient", DYNAMIC_SECURITY_CLIENTS_MAX],
    ["groups", "groupname", "createGroup", DYNAMIC_SECURITY_GROUPS_MAX],
    ["roles", "rolename", "createRole", DYNAMIC_SECURITY_ROLES_MAX],
  ])(
    "for one too many of %s is refused, as is a file with one",
    async (list, key, command, max) => {
      const entries = Array.from({ length: max }, (_, index) => ({ [key]: `n${index}` }));
      const asked = securityWith({ [list]: entries });
      expect(await askOne(asked, { command, [key]: "more" })).toMatchObject({
        error: `Too many ${list}`,
      });
      expect(() => securityWith({ [list]: [...entries, { [key]: "more" }] })).toThrow(
        `${list}: ${max + 1} entries; at most ${max} are taken`,
      );
    },
  );

  test("behind 8 MiB that wait is refused, and taken again once they are done", async () => {
    const asked = securityWith();
    const request = Buffer.alloc(CONTROL_REQUEST_BYTES_MAX, " ");
    request.write('{"commands":[{"command":"listRoles"}]}');
    const fitting = CONTROL_WAITING_BYTES_MAX / CONTROL_REQUEST_BYTES_MAX;
    const answers = Array.from({ length: fitting + 2 }, () => asked.askBytes(request));
    const texts = (await Promise.all(answers)).map(({ text }) => text);
    expect(texts.at(-1)).toContain("Too many requests");
    expect(texts.slice(0, fitting).join()).not.toContain("Too many");
    expect((await asked.askBytes(request)).text).not.toContain("Too many");
  });

  test("behind a thousand that wait is refused at once", async () => {
    const asked = securityWith();
    const request = Buffer.from('{"commands":[{"command":"listRoles"}]}');
    const answers = Array.from({ length: CONTROL_WAITING_MAX + 2 }, () => asked.askBytes(request));
    const texts = (await Promise.all(answers)).map(({ text }) => text);
    const refused = texts.filter((text) => text.includes("Too many requests"));
    expect(refused).toHaveLength(1);
    expect(texts.at(-1)).toContain("Too many requests");
  });
});

test("a file longer than it may be is not read", () => {
  const { file, security } = securityWith();
  truncateSync(file, DYNAMIC_SECURITY_FILE_BYTES_MAX + 1);
  expect(security.reload()).toBe(`${file}: longer than ${DYNAMIC_SECURITY_FILE_BYTES_MAX} bytes`);
});
