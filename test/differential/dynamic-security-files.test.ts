/**
 * Dynamic security beside a password file and an ACL file: who decides about whom, in mosquitto and
 * in Holdfast with the same files, and whatever stands first in the configuration.
 */
import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hashPassword } from "../../src/access/password-hash.ts";
import { needPrograms } from "../interop/program.ts";
import type { ConnectOptions } from "../support/client-packets.ts";
import {
  ADMIN,
  type Asker,
  CTRL,
  initialFile,
  MOSQUITTO,
  PLUGIN,
  startAsker,
} from "../support/dynamic-security-brokers.ts";
import { BROKERS, type BrokerName, type Place, type Side, startSide } from "./mosquitto-pair.ts";

needPrograms([MOSQUITTO, CTRL], "mosquitto mosquitto-clients");

interface Secured extends Asker {
  readonly side: Side;
}

const secured = new Map<BrokerName, Secured>();

/** Starts both, each with a file of dynamic security of its own. */
async function startBoth(
  linesOf: (place: Place, plugin: readonly string[]) => readonly string[],
): Promise<void> {
  for (const broker of BROKERS) {
    const side = await startSide(broker, (place) => {
      const plugin = [`plugin ${PLUGIN}`, `plugin_opt_config_file ${initialFile(place.directory)}`];
      const listener = [`listener ${place.port} 127.0.0.1`, "allow_anonymous true"];
      return [...listener, ...(broker === "holdfast" ? QUIET : []), ...linesOf(place, plugin)];
    });
    const asker = await startAsker({ port: side.port, webSocketPort: 0 });
    secured.set(broker, { ...asker, side });
  }
}

/** Failures are many here, and their answers are what is compared. */
const QUIET = ["persistence false", "failed_login_delay 0", "user root"];

async function endBoth(): Promise<void> {
  for (const { client, side } of secured.values()) {
    await client.disconnect();
    await side.stop();
  }
  secured.clear();
}

/** The same with both, which is to come to the same. */
async function same<Outcome>(play: (one: Secured) => Promise<Outcome>): Promise<Outcome> {
  const [oracle, ours] = [secured.get("mosquitto"), secured.get("holdfast")];
  if (oracle === undefined || ours === undefined) throw new Error("both have to run");
  const expected = await play(oracle);
  expect(await play(ours)).toEqual(expected);
  return expected;
}

function change(command: string, fields: object): Promise<unknown> {
  return same((one) => one.command(command, fields));
}

async function codeOf({ side }: Secured, options: ConnectOptions): Promise<number | undefined> {
  const client = await side.connecting(options);
  const { reasonCode } = await client.expectConnack();
  client.destroy();
  return reasonCode;
}

describe.each(["password_file", "plugin"])("a password file as well, %s first", (first) => {
  beforeAll(async () => {
    const users = ["admin", "both", "filed", "bare"];
    const lines = users.map(async (user) => {
      const hash = await hashPassword(Buffer.from(`file ${user}`), "sha512-pbkdf2", 101);
      return `${user}:${hash}\n`;
    });
    const content = (await Promise.all(lines)).join("");
    await startBoth(({ directory }, plugin) => {
      writeFileSync(`${directory}users`, content, { mode: 0o600 });
      const file = [`password_file ${directory}users`];
      return first === "plugin" ? [...plugin, ...file] : [...file, ...plugin];
    });
  });
  afterAll(endBoth);

  const codes = (userName: string, ...passwords: (string | undefined)[]): Promise<unknown[]> =>
    same(async (one) => {
      const all: unknown[] = [];
      for (const password of passwords) {
        all.push(await codeOf(one, password === undefined ? { userName } : { userName, password }));
      }
      return all;
    });

  test("nobody is an administrator by a password of the file", async () => {
    expect(await codes("admin", "file admin", ADMIN.password, "wrong", undefined)).toEqual([
      0x87, 0, 0x87, 0x87,
    ]);
  });

  test("who is in both has the password, and the state, of dynamic security", async () => {
    expect(await codes("both", "file both", "one")).toEqual([0, 0x87]);
    await change("createClient", { username: "both", password: "one" });
    expect(await codes("both", "file both", "one")).toEqual([0x87, 0]);
    await change("setClientPassword", { username: "both", password: "two" });
    expect(await codes("both", "file both", "one", "two")).toEqual([0x87, 0x87, 0]);
    await change("disableClient", { username: "both" });
    expect(await codes("both", "file both", "two")).toEqual([0x87, 0x87]);
    await change("deleteClient", { username: "both" });
    expect(await codes("both", "file both", "two")).toEqual([0, 0x87]);
  });

  test("whom dynamic security does not know, or has no password of, the file decides", async () => {
    await change("createClient", { username: "bare" });
    expect(await codes("bare", "file bare", "wrong", undefined)).toEqual([0, 0x87, 0x87]);
    expect(await codes("filed", "file filed", "wrong")).toEqual([0, 0x87]);
    await change("disableClient", { username: "bare" });
    expect(await codes("bare", "file bare")).toEqual([0x87]);
    expect(await codes("nobody", "wrong")).toEqual([0x87]);
  });
});

/** Lines for nobody, for one whom a role concerns as well, and for all. */
const ACL = `
topic readwrite anonymous/#
topic read $CONTROL/anonymous/#
user ruled
topic deny both/deny
topic readwrite both/#
topic write file/write
topic read file/read
topic readwrite $CONTROL/file/#
topic deny role/allows
topic readwrite role/denies
pattern readwrite user/%u/#
pattern readwrite client/%c
`;

const TOPICS = [
  ...["both/deny", "both/x", "file/write", "file/read", "role/allows", "role/denies", "other"],
  ...["user/ruled/x", "user//x", "client/ruled", "client/plain", "anonymous/x"],
  ...["$CONTROL/file/x", "$CONTROL/anonymous/x", "$CONTROL/other", "role/literal"],
];

const TYPES = ["publishClientSend", "publishClientReceive", "subscribe", "unsubscribe"];

const WHO: Readonly<Record<string, ConnectOptions>> = {
  "a client with a role": { clientId: "ruled", userName: "ruled", password: "x" },
  "one without": { clientId: "plain", userName: "plain", password: "x" },
  "one that is in the files only": { clientId: "filed", userName: "filed", password: "file filed" },
  "one without a name": { clientId: "nameless" },
};

describe("an ACL file as well: it decides where no role does, and no default opens", () => {
  beforeAll(async () => {
    const hash = await hashPassword(Buffer.from("file filed"), "sha512-pbkdf2", 101);
    await startBoth(({ directory }, plugin) => {
      writeFileSync(`${directory}users`, `filed:${hash}\n`, { mode: 0o600 });
      writeFileSync(`${directory}acl`, ACL);
      return [...plugin, `password_file ${directory}users`, `acl_file ${directory}acl`];
    });
    const allow = (acltype: string, topic: string) => ({ acltype, topic, allow: true });
    const deny = (acltype: string, topic: string) => ({ acltype, topic, allow: false });
    await change("createRole", {
      rolename: "rules",
      acls: [
        allow("publishClientSend", "role/allows"),
        deny("publishClientSend", "role/denies"),
        deny("publishClientReceive", "role/denies"),
        deny("subscribeLiteral", "role/literal"),
      ],
    });
    const all = ["#", "$CONTROL/#"].map((topic) => allow("publishClientSend", topic));
    await change("createRole", { rolename: "writes", acls: all });
    const roles = [{ rolename: "writes" }];
    await change("createClient", { username: "writer", password: "x", roles });
    await change("createClient", { username: "ruled", password: "x" });
    await change("addClientRole", { username: "ruled", rolename: "rules" });
    await change("createClient", { username: "plain", password: "x" });
  });
  afterAll(endBoth);

  /** What a client may publish and subscribe to, and what it is sent. */
  async function rightsOf({ side }: Secured, options: ConnectOptions): Promise<object> {
    const client = await side.connect(options);
    const writer = await side.connect({ userName: "writer", password: "x" });
    const publishes: string[] = [];
    for (const topic of TOPICS) {
      if ((await client.publish(topic, "", { qos: 1 })) !== 0x87) publishes.push(topic);
    }
    const subscribes: number[] = [];
    for (const filter of ["#", "$CONTROL/#", "role/literal", "other"]) {
      subscribes.push(await client.subscribe(filter));
    }
    for (const topic of TOPICS) await writer.publish(topic, "new", { qos: 1 });
    await client.ping();
    const receives = new Set(client.takeDeliveries().map(({ topic }) => topic));
    const unsubscribes = await client.unsubscribe("other");
    for (const one of [client, writer]) await one.disconnect();
    return { publishes, subscribes, receives, unsubscribes };
  }

  describe.each([undefined, true, false])("defaults: %s", (isAllowed) => {
    beforeAll(async () => {
      if (isAllowed === undefined) return;
      const acls = TYPES.map((acltype) => ({ acltype, allow: isAllowed }));
      await change("setDefaultACLAccess", { acls });
    });

    test.each(Object.entries(WHO))("%s", async (_who, options) => {
      await same((one) => rightsOf(one, options));
    });
  });
});
