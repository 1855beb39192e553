/** SIGHUP, and clients that are connected, or about to be, who would not be let in any more. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { hashPassword } from "../../src/access/password-hash.ts";
import { credentialOf, lineOf } from "../../src/access/scram-file.ts";
import { TestClient } from "../support/client.ts";
import type { BrokerAddress, ConnectOptions } from "../support/client-packets.ts";
import { initialFile, PLUGIN, startAsker } from "../support/dynamic-security-brokers.ts";
import { authConnect, authPacket, nextAuth, ScramClient } from "../support/scram-client.ts";
import { SECRET, token } from "../support/tokens.ts";
import { endAll } from "./program.ts";
import { LISTENER, OPEN, type Reloadable, startReloadable } from "./reloadable.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-reload-logins-"));
const CLOSED = "user root\npersistence false\nfailed_login_delay 0\n";
afterEach(endAll);
afterAll(() => rmSync(directory, { recursive: true }));

/** A line of a password file; its hash is another each time. */
async function line(user: string, password = user): Promise<string> {
  return `${user}:${await hashPassword(Buffer.from(password), "sha512-pbkdf2", 101)}\n`;
}

/** @returns the line that names the file */
function write(name: string, content: string, option = "password_file"): string {
  const path = join(directory, name);
  writeFileSync(path, content, { mode: 0o600 });
  return `${option} ${path}\n`;
}

function enter(
  address: BrokerAddress,
  userName: string,
  more: ConnectOptions = {},
): Promise<TestClient> {
  return TestClient.connect(address, { userName, password: userName, ...more });
}

/** What a CONNECT comes to that is sent before something else happens. */
async function codeOf(client: TestClient): Promise<number | undefined> {
  return (await client.expectConnack()).reasonCode;
}

const willOf = (topic: string) =>
  ({ topic, payload: Buffer.from("x"), qos: 0, retain: false }) as const;

test("who is gone from the file, or has another password, ends, and its will with it", async () => {
  const same = await line("same");
  const before = same + (await line("gone")) + (await line("changed"));
  const configuration = `${OPEN}${write("users", before)}${LISTENER}`;
  const { address, broker, reload } = await startReloadable(directory, configuration);
  const stays = [await enter(address, "same"), await TestClient.connect(address)];
  const watcher = await enter(address, "same");
  await watcher.subscribe("will/#");
  const session = { clientId: "durable", properties: { sessionExpiryInterval: 60 }, clean: false };
  const ends = [
    await enter(address, "gone", { will: willOf("will/gone") }),
    await enter(address, "changed", { will: willOf("will/changed"), ...session }),
    await enter(address, "gone", { version: 4, will: willOf("will/older") }),
  ];
  write("users", same + (await line("changed", "other")));
  await reload(configuration);
  for (const client of ends) await client.expectDisconnect(0x98);
  for (const client of stays) await client.ping();
  await watcher.expectNothing();
  await broker.printed(/Client durable \S+ disconnected: [^\n]*: its login counts no more\./);
  const back = await enter(address, "changed", { password: "other", ...session });
  expect(back.connack?.sessionPresent).toBe(true);
  await reload(configuration);
  await back.ping();
});

test("a file with a fault ends nobody, another file those who are not in it", async () => {
  const [alice, bob] = [await line("alice"), await line("bob")];
  const { address, reload } = await startReloadable(
    directory,
    `${CLOSED}${write("some", alice + bob)}${LISTENER}`,
  );
  const [a, b] = [await enter(address, "alice"), await enter(address, "bob")];
  await reload(`${CLOSED}${write("some", "alice:plain\n")}${LISTENER}`, /who may connect stays/);
  await reload(`${CLOSED}password_file /no/such\n${LISTENER}`, /who may connect stays/);
  await Promise.all([a.ping(), b.ping()]);
  await reload(`${CLOSED}${write("others", bob)}${LISTENER}`);
  await a.expectDisconnect(0x98);
  await b.ping();
});

test("anonymous clients end where they are forbidden; names end that nobody checked", async () => {
  const users = write("named", await line("named"));
  const { address, reload } = await startReloadable(directory, `${OPEN}${LISTENER}`);
  const nameless = await TestClient.connect(address);
  const unchecked = await enter(address, "named");
  await reload(`${OPEN}${users}${LISTENER}`);
  await unchecked.expectDisconnect(0x98);
  await nameless.ping();
  const named = await enter(address, "named");
  await reload(`${CLOSED}allow_anonymous false\n${users}${LISTENER}`);
  await nameless.expectDisconnect(0x98);
  await named.ping();
  await reload(`${OPEN}${LISTENER}`);
  await named.ping();
  await reload(`${CLOSED}allow_anonymous false\n${LISTENER}`);
  await named.expectDisconnect(0x98);
});

test("listeners with settings of their own: who came by another one stays", async () => {
  const [old, other] = [await line("user"), await line("user", "other")];
  const content = (anonymous: boolean): string =>
    `user root\npersistence false\nper_listener_settings true\n` +
    `${LISTENER}password_file ${join(directory, "first")}\nallow_anonymous ${anonymous}\n` +
    `${LISTENER}password_file ${join(directory, "second")}\nallow_anonymous true\n`;
  write("first", old);
  write("second", old);
  const { addresses, reload } = await startReloadable(directory, content(true));
  const clients = async (address = addresses[0]): Promise<TestClient[]> => {
    if (address === undefined) throw new Error("no such listener");
    return [await enter(address, "user"), await TestClient.connect(address)];
  };
  const [one, two] = [await clients(addresses[0]), await clients(addresses[1])];
  write("first", other);
  await reload(content(false));
  for (const client of one) await client.expectDisconnect(0x98);
  for (const client of two) await client.ping();
});

test("use_username_as_clientid: the user of the connection counts", async () => {
  const same = await line("same");
  const users = write("renamed", same + (await line("gone")));
  const content = `${CLOSED}${users}${LISTENER}use_username_as_clientid true\n`;
  const { address, reload } = await startReloadable(directory, content);
  const stays = await enter(address, "same", { clientId: "gone" });
  const ends = await enter(address, "gone", { clientId: "same" });
  write("renamed", same);
  await reload(content);
  await ends.expectDisconnect(0x98);
  await stays.ping();
});

test("dynamic security and tokens: their own stay; whom it decides about by now ends", async () => {
  const file = initialFile(directory);
  const [filed, both, bare] = [await line("filed"), await line("both"), await line("bare")];
  const key = write("key", SECRET, "jwt_key_file");
  const users = write("mixed", filed + both + bare);
  const plugin = `plugin ${PLUGIN}\nplugin_opt_config_file ${file}\n`;
  const content = `${OPEN}${users}${key}${LISTENER}${plugin}`;
  const { address, reload } = await startReloadable(directory, content);
  const { client: admin, command } = await startAsker(address);
  const ofFile = await enter(address, "filed");
  const decided = await enter(address, "both");
  await command("createClient", { username: "both", password: "x" });
  await command("createClient", { username: "own", password: "own" });
  await command("createClient", { username: "bare" });
  const undecided = await enter(address, "bare");
  const stay = [
    admin,
    undecided,
    await TestClient.connect(address),
    await enter(address, "own"),
    await enter(address, "token", { password: await token(SECRET, { sub: "token" }) }),
  ];
  await decided.ping();
  write("mixed", both + bare);
  await reload(content);
  await ofFile.expectDisconnect(0x98);
  await decided.expectDisconnect(0x98);
  for (const client of stay) await client.ping();
});

test("SCRAM: users end whose credentials are gone or others, and exchanges under way", async () => {
  const credential = async (user: string) => `${lineOf(user, await credentialOf(user, 4096))}\n`;
  const same = await credential("same");
  const file = write(
    "scram",
    same + (await credential("gone")) + (await credential("changed")),
    "scram_file",
  );
  const { address, reload } = await startReloadable(directory, `${CLOSED}${file}${LISTENER}`);
  const begin = async (user: string) => {
    const scram = new ScramClient(user, user);
    const client = await TestClient.open(address);
    client.sendBytes(authConnect(`c-${Math.random()}`, scram.first()));
    const final = scram.final(await nextAuth(client, 0x18));
    return { client, end: () => client.sendBytes(authPacket(0x18, final)) };
  };
  const [same1, gone, changed] = [await begin("same"), await begin("gone"), await begin("changed")];
  for (const { client, end } of [same1, gone, changed]) {
    end();
    expect(await codeOf(client)).toBe(0);
  }
  const [sameLater, changedLater] = [await begin("same"), await begin("changed")];
  write("scram", same + (await credential("changed")));
  await reload(`${CLOSED}${file}${LISTENER}`);
  await gone.client.expectDisconnect(0x98);
  await changed.client.expectDisconnect(0x98);
  await same1.client.ping();
  for (const { end } of [sameLater, changedLater]) end();
  expect(await codeOf(sameLater.client)).toBe(0);
  await changedLater.client.expectRefusal(0x87);
});

test("a fleet of one user ends in several turns, all of it", async () => {
  const users = write("fleet", (await line("fleet")) + (await line("other")));
  const { address, reload }: Reloadable = await startReloadable(
    directory,
    `${CLOSED}${users}${LISTENER}`,
  );
  const other = await enter(address, "other");
  const fleet: TestClient[] = [];
  for (let count = 0; count < 600; count++) fleet.push(await enter(address, "fleet"));
  await reload(`${CLOSED}${write("rest", await line("fleet", "new"))}${LISTENER}`);
  await Promise.all([other, ...fleet].map((client) => client.expectDisconnect(0x98)));
});
