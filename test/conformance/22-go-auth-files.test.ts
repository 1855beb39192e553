/**
 * Chapter 22: the ACL file of the backend `files` of mosquitto-go-auth, which is not read as
 * mosquitto's is. What is expected is what `CheckAcl` of its backends/files/files.go says.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseGoAuthAclFile } from "../../src/access/go-auth-acl-file.ts";
import { hashPassword } from "../../src/access/password-hash.ts";
import { until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import { type RunningBroker, startBroker } from "../support/running-broker.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-go-auth-files-"));
afterAll(() => rmSync(directory, { recursive: true }));

const passwords = join(directory, "pw");
const hash = await hashPassword(Buffer.from("pw"), "sha512-pbkdf2", 101);
const USERS = ["a", "b", "all", "reader", "with space", "+"];
writeFileSync(passwords, USERS.map((user) => `${user}:${hash}\n`).join(""), { mode: 0o600 });

const ACL = `
# For everybody, as they stand above the first user.
topic readwrite public/#
topic read names/%u/%c
topic deny secret/#
user a
topic readwrite a/#
topic readwrite secret/a
topic deny public/not-a
topic subscribe subscribed/#
topic read one/+
topic\twrite/read
 topic   write   lots   of   blanks
user all
topic readwrite #
topic readwrite $SYS/broker/load/#
topic readwrite $app/#
user reader
topic read #
user with space
topic test
user nobody
topic readwrite #
pattern deny +/hidden
pattern write patterns/%u/%c
`;

const aclFile = join(directory, "acl");

function lines(...more: readonly string[]): string[] {
  return [
    "auth_plugin /usr/share/mosquitto/go-auth.so",
    "auth_opt_backends files",
    `auth_opt_files_password_path ${passwords}`,
    `auth_opt_files_acl_path ${aclFile}`,
    "check_retain_source false",
    ...more,
  ];
}

let broker: RunningBroker;
beforeAll(async () => {
  writeFileSync(aclFile, ACL, { mode: 0o600 });
  broker = await startBroker({ configuration: lines() });
});
afterAll(() => broker.stop());

function enter(userName: string, clientId = "c1"): Promise<TestClient> {
  return TestClient.connect(broker, { userName, password: "pw", clientId });
}

async function publishCode(client: TestClient, topic: string): Promise<number> {
  const sent = client.sendPublish(topic, "1", { qos: 1 });
  return (await client.expect("puback", sent)).reasonCode ?? 0;
}

describe("PUBLISH", () => {
  test.each([
    ["a", "a/x", true],
    ["a", "public/x", true],
    ["b", "public/x", true],
    ["b", "a/x", false],
    // A denial goes before what the user has, whomever it is for.
    ["a", "secret/a", false],
    ["all", "secret/x", false],
    ["a", "public/not-a", false],
    ["b", "public/not-a", true],
    ["all", "any/hidden", false],
    ["all", "any/other", true],
    // It is denied also where what allows begins with `$`, which is no wildcard's.
    ["all", "$app/hidden", false],
    ["all", "$app/other", true],
    ["a", "subscribed/x", false],
    ["a", "lots   of   blanks", true],
    ["a", "write/read", true],
    ["with space", "test", true],
    ["with space", "test/x", false],
    ["b", "patterns/b/c1", true],
    ["b", "patterns/a/c1", false],
    ["b", "names/b/c1", false],
  ] as const)("of %s to %s: %s", async (user, topic, isAllowed) => {
    const client = await enter(user);
    expect((await publishCode(client, topic)) < 0x80).toBe(isAllowed);
    await client.disconnect();
  });
});

describe("SUBSCRIBE", () => {
  test.each([
    ["a", "a/#", true],
    ["a", "b", false],
    ["a", "#", false],
    ["a", "secret/a", false],
    ["a", "$share/g/secret/a", false],
    ["a", "$share/g/a/#", false],
    ["a", "subscribed/x", true],
    ["a", "lots   of   blanks", false],
    // The wildcard asked for is a level as others are.
    ["a", "one/#", true],
    ["a", "one/x/y", false],
    ["b", "names/b/c1", true],
    ["b", "names/b/c2", false],
    ["all", "#", true],
    ["all", "$SYS/#", true],
    ["reader", "#", false],
    ["reader", "$share/g/#", true],
    ["reader", "+/x", true],
    ["reader", "+/hidden", false],
  ] as const)("of %s to %s: %s", async (user, filter, isAllowed) => {
    const client = await enter(user);
    expect((await client.subscribe(filter)) < 0x80).toBe(isAllowed);
    await client.disconnect();
  });
});

test("what may not be read is not delivered, whatever was subscribed to", async () => {
  const [all, a, reader] = [
    await enter("all"),
    await enter("a", "c2"),
    await enter("reader", "c3"),
  ];
  for (const filter of ["subscribed/#", "one/#"]) await a.subscribe(filter, { qos: 1 });
  await reader.subscribe("+/#", { qos: 1 });
  await reader.subscribe("$SYS/broker/uptime");
  expect((await reader.expect("publish")).topic).toBe("$SYS/broker/uptime");
  for (const topic of ["subscribed/x", "one/x/y", "one/hidden", "one/x"]) {
    await publishCode(all, topic);
  }
  await a.expectPublish({ topic: "one/x" });
  for (const topic of ["subscribed/x", "one/x/y", "one/x"]) await reader.expectPublish({ topic });
  for (const client of [all, a, reader]) await client.disconnect();
});

test("a user without a place in the password file is told of, and its topics are nobody's", () => {
  expect(broker.output()).toMatch(
    /acl:\d+: the user nobody is not in the password file: the topics below count for nobody/,
  );
});

test("a name with a wildcard has nothing of patterns, even where it is let through", async () => {
  const lenient = lines("auth_plugin_deny_special_chars false");
  const codesOf = async (content: string, topics: readonly string[]): Promise<number[]> => {
    writeFileSync(aclFile, content);
    const other = await startBroker({ configuration: lenient });
    const plus = await TestClient.connect(other, { userName: "+", password: "pw" });
    const codes: number[] = [];
    for (const topic of topics) codes.push(await publishCode(plus, topic));
    await other.stop();
    return codes;
  };
  const patterns = "pattern write p/%u\ntopic write all\nuser +\ntopic write own\n";
  expect(await codesOf(patterns, ["p/x", "all", "own"])).toEqual([0x87, 0x10, 0x10]);
  expect(await codesOf(`${patterns}pattern deny o/%u\n`, ["o/x", "own"])).toEqual([0x87, 0x87]);
  writeFileSync(aclFile, ACL);
});

test("SIGHUP reads both files again", async () => {
  writeFileSync(aclFile, `${ACL}user nobody\ntopic write mine\n`);
  writeFileSync(passwords, `nobody:${hash}\n`, { flag: "a" });
  process.kill(broker.pid, "SIGHUP");
  const allowed = async (): Promise<boolean> => {
    const client = await TestClient.open(broker);
    client.sendConnect({ userName: "nobody", password: "pw", clientId: "n" });
    const isIn = (await client.expectConnack()).reasonCode === 0;
    const isAllowed = isIn && (await publishCode(client, "mine")) < 0x80;
    client.destroy();
    return isAllowed;
  };
  await until("the new user", allowed);
});

test.each([
  ["user a\ntopic both x\n", '/f:2: "both" is none of read, write, readwrite, subscribe, deny'],
  ["topic read\tx\n", '/f:1: "read\tx" is none of'],
  ["topic a/#/b\n", '/f:1: Topic Filter "a/#/b": # may only be the whole last level'],
  ["topic\n", "/f:1: topic needs a Topic Filter"],
  ["user \n", "/f:1: user needs a name"],
  ["tropic x\n", '/f:1: unknown word "tropic"'],
])("%j forbids the start", (content, fault) => {
  expect(() => parseGoAuthAclFile("/f", content, null)).toThrow(fault);
});
