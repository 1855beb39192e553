/**
 * Dynamic security beside a password file: who decides about whom, in mosquitto and in Holdfast
 * with the same files, and whatever stands first in the configuration.
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
