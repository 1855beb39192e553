/**
 * SIGHUP: which clients mosquitto and Holdfast end who are connected, with the same files, which
 * are the same otherwise before and after.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { hashPassword } from "../../src/access/password-hash.ts";
import { needPrograms } from "../interop/program.ts";
import { until } from "../support/await.ts";
import type { TestClient } from "../support/client.ts";
import type { ConnectOptions } from "../support/client-packets.ts";
import { MOSQUITTO } from "../support/dynamic-security-brokers.ts";
import { expectAllLookedAt, expectDifferences } from "./mosquitto-differences.ts";
import { BROKERS, type BrokerName, type Side, startSide } from "./mosquitto-pair.ts";

needPrograms([MOSQUITTO], "mosquitto");

/** What is read again: lines of the configuration without its listener, and the password file. */
interface Content {
  readonly isOpen: boolean;
  /** null: the configuration names no file. */
  readonly users: string | null;
}

async function line(user: string, password = user): Promise<string> {
  return `${user}:${await hashPassword(Buffer.from(password), "sha512-pbkdf2", 101)}\n`;
}

const [alice, bob, newBob] = [await line("alice"), await line("bob"), await line("bob", "new")];
const both = alice + bob;

/** Names that say what changes, with what is read before and after. */
const CHANGES: Readonly<Record<string, readonly [before: Content, after: Content]>> = {
  nothing: [
    { isOpen: true, users: both },
    { isOpen: true, users: both },
  ],
  "a user is gone": [
    { isOpen: true, users: both },
    { isOpen: true, users: alice },
  ],
  "a password is another": [
    { isOpen: true, users: both },
    { isOpen: true, users: alice + newBob },
  ],
  "nobody is anonymous any more": [
    { isOpen: true, users: both },
    { isOpen: false, users: both },
  ],
  "a user is gone, and nobody is anonymous": [
    { isOpen: false, users: both },
    { isOpen: false, users: bob },
  ],
  "no file is named any more": [
    { isOpen: true, users: both },
    { isOpen: true, users: null },
  ],
  "no file is named, and nobody is anonymous": [
    { isOpen: true, users: both },
    { isOpen: false, users: null },
  ],
  "names were taken as they are, and nobody may come": [
    { isOpen: true, users: null },
    { isOpen: false, users: null },
  ],
  "a file is named that has none of them": [
    { isOpen: true, users: null },
    { isOpen: true, users: await line("carol") },
  ],
  "a file is named that has some of them": [
    { isOpen: true, users: null },
    { isOpen: true, users: alice },
  ],
  "the same password, hashed anew": [
    { isOpen: true, users: both },
    { isOpen: true, users: alice + (await line("bob")) },
  ],
  "a file with a fault": [
    { isOpen: true, users: both },
    { isOpen: true, users: "alice\n" },
  ],
};

const WHO: Readonly<Record<string, ConnectOptions>> = {
  alice: { userName: "alice", password: "alice" },
  bob: { userName: "bob", password: "bob" },
  "bob, 3.1.1": { userName: "bob", password: "bob", version: 4 },
  nameless: {},
};

function linesOf(directory: string, port: number, { isOpen, users }: Content): string[] {
  const file = join(directory, "users");
  if (users !== null) writeFileSync(file, users, { mode: 0o600 });
  const named = users === null ? [] : [`password_file ${file}`];
  return ["user root", `allow_anonymous ${isOpen}`, ...named, `listener ${port} 127.0.0.1`];
}

/** Once its reload is over. */
async function reloaded(side: Side): Promise<void> {
  const last = side.broker === "mosquitto" ? /Reloading config\./ : /SIGHUP: (reloaded|no option)/;
  side.signal("SIGHUP");
  await until("SIGHUP", async () => last.test(side.output()) || /Error: /.test(side.output()));
  // Its loop comes to who connects behind that.
  const next = await side.connecting({ userName: "nobody", password: "x" });
  await next.expectConnack();
  next.destroy();
}

async function isEnded(client: TestClient): Promise<boolean> {
  const ended = client.closed().then(() => true);
  return Promise.race([ended, client.ping().then(() => false)]).catch(() => ended);
}

async function endedBy(broker: BrokerName, before: Content, after: Content): Promise<object> {
  const side = await startSide(broker, ({ directory, port }) => linesOf(directory, port, before));
  const clients: [string, TestClient][] = [];
  for (const [name, options] of Object.entries(WHO)) {
    const will = { topic: "will", payload: Buffer.from(name), qos: 0, retain: false } as const;
    const of = { clientId: name, ...options };
    if (before.isOpen || options.userName)
      clients.push([name, await side.connect({ ...of, will })]);
  }
  for (const [, client] of clients) await client.subscribe("will");
  const lines = linesOf(side.directory, side.port, after);
  writeFileSync(join(side.directory, "test.conf"), `${lines.join("\n")}\n`);
  await reloaded(side);
  const ended: string[] = [];
  for (const [name, client] of clients) {
    if (await isEnded(client)) ended.push(name);
    else expect(client.takeDeliveries()).toEqual([]);
  }
  await side.stop();
  return ended;
}

afterAll(() => expectAllLookedAt("SIGHUP"));

test.each(Object.entries(CHANGES))("%s", async (name, [before, after]) => {
  const seen: Record<BrokerName, unknown> = { mosquitto: null, holdfast: null };
  for (const broker of BROKERS) seen[broker] = await endedBy(broker, before, after);
  expectDifferences(`SIGHUP: ${name}`, seen);
});

test("what a client of 5.0 is told", async () => {
  const seen: Record<BrokerName, unknown> = { mosquitto: null, holdfast: null };
  for (const broker of BROKERS) {
    const content = { isOpen: true, users: both };
    const side = await startSide(broker, ({ directory, port }) =>
      linesOf(directory, port, content),
    );
    const client = await side.connect(WHO["bob"]);
    linesOf(side.directory, side.port, { isOpen: true, users: alice });
    await reloaded(side);
    await client.closed();
    seen[broker] = client.takeAll("disconnect").map(({ reasonCode }) => reasonCode);
    await side.stop();
  }
  expectDifferences("SIGHUP: what a client of 5.0 is told", seen);
});
