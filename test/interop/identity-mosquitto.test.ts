/**
 * Certificates and Pre-Shared Keys as user names: what Debian's mosquitto_pub is told by Holdfast
 * and by Debian's mosquitto with the same files, and which user both take it for.
 */
import { execFile } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hashPassword } from "../../src/access/password-hash.ts";
import { until } from "../support/await.ts";
import { Certificates } from "../support/certificates.ts";
import { type RunningMosquitto, startMosquitto } from "../support/mosquitto.ts";
import { freePorts } from "../support/running-broker.ts";
import { type ListeningBroker, startListening } from "../support/secure-broker.ts";
import { needPrograms } from "./program.ts";

const KEY = "0123456789abcdef0123456789abcdef";
const PASSWORD = "diesel-Xi1";

const LISTENERS = ["identity", "optional", "subject", "plain", "shared"] as const;
type Listener = (typeof LISTENERS)[number];

let certificates: Certificates;
let holdfast: ListeningBroker;
let mosquitto: RunningMosquitto;
let mosquittoPorts: ReadonlyMap<string, number>;

function file(name: string): string {
  return certificates.path(name);
}

function linesOf(listener: Listener): string[] {
  const own = [
    ...[`certfile ${file("server.pem")}`, `keyfile ${file("server.key")}`],
    `cafile ${file("ca.pem")}`,
  ];
  return {
    identity: [...own, "require_certificate true", "use_identity_as_username true"],
    optional: [...own, "use_identity_as_username true"],
    subject: [...own, "require_certificate true", "use_subject_as_username true"],
    plain: [...own, "require_certificate true"],
    shared: ["psk_hint here", "use_identity_as_username true"],
  }[listener];
}

beforeAll(async () => {
  needPrograms(["/usr/sbin/mosquitto", "/usr/bin/mosquitto_pub"], "mosquitto mosquitto-clients");
  certificates = new Certificates();
  certificates.sign("server", { subject: "/CN=localhost" });
  certificates.sign("device", { subject: "/O=acme/CN=device" });
  certificates.sign("nameless", { subject: "/O=acme" });
  const keys = certificates.write("keys.psk", `dev1:${KEY}\n`);
  const hash = await hashPassword(Buffer.from(PASSWORD), "sha512-pbkdf2", 101);
  const users = certificates.write("users", `truck:${hash}\n`);
  const global = [...["allow_anonymous false", `password_file ${users}`, `psk_file ${keys}`]];
  const listeners = Object.fromEntries(LISTENERS.map((name) => [name, linesOf(name)]));
  holdfast = await startListening({ global: [...global, "failed_login_delay 0"], ...listeners });
  const ports = await freePorts(LISTENERS.length);
  mosquittoPorts = new Map(LISTENERS.map((name, index) => [name, ports[index] ?? 0]));
  mosquitto = await startMosquitto([
    ...global,
    "log_type all",
    ...LISTENERS.flatMap((name) => [
      `listener ${mosquittoPorts.get(name)} 127.0.0.1`,
      ...linesOf(name),
    ]),
  ]);
});

afterAll(async () => {
  await mosquitto?.stop();
  await holdfast?.broker.stop();
  certificates?.remove();
});

/** Runs mosquitto_pub against both. @returns its exit codes: return codes of CONNACK, or 0 */
async function exitCodes(listener: Listener, id: string, args: readonly string[]) {
  const run = (port: number) =>
    new Promise<number>((resolve) => {
      const all = ["-h", "localhost", "-p", `${port}`, "-i", id, "-t", "t", "-m", "x", "-q", "1"];
      execFile("mosquitto_pub", [...all, ...args], { timeout: 10_000 }, (error) => {
        resolve(error === null ? 0 : Number(error.code ?? -1));
      });
    });
  return Promise.all([run(holdfast.port(listener)), run(mosquittoPorts.get(listener) ?? 0)]);
}

/** Both say in their logs that the client came as this user. */
async function expectUser(id: string, user: string): Promise<void> {
  const line = new RegExp(`as ${id} \\([^)]*u'${user}'`);
  await until(`${user} in both logs`, async () => {
    return line.test(holdfast.broker.output()) && line.test(mosquitto.output());
  });
}

const shown = (name: string) => ["--cert", file(`${name}.pem`), "--key", file(`${name}.key`)];
const knows = () => ["--cafile", file("ca.pem")];
const login = (password: string) => ["-u", "truck", "-P", password];

describe.each(["mqttv311", "mqttv5"])("%s", (version) => {
  const v = ["-V", version];
  const [refused, unproven] = version === "mqttv5" ? [135, 134] : [5, 4];

  test("the Common Name is the user, whatever CONNECT says, and no password is asked", async () => {
    const args = [...v, ...knows(), ...shown("device")];
    expect(await exitCodes("identity", `cn-${version}`, args)).toEqual([0, 0]);
    await expectUser(`cn-${version}`, "device");
    const lying = [...args, ...login("wrong-Xi2")];
    expect(await exitCodes("identity", `lie-${version}`, lying)).toEqual([0, 0]);
    await expectUser(`lie-${version}`, "device");
  });

  test("without a Common Name, or without a certificate: bad user name", async () => {
    const nameless = [...v, ...knows(), ...shown("nameless")];
    expect(await exitCodes("identity", "nameless", nameless)).toEqual([unproven, unproven]);
    const none = [...v, ...knows(), ...login(PASSWORD)];
    expect(await exitCodes("optional", "none", none)).toEqual([unproven, unproven]);
  });

  test("the Subject is the user", async () => {
    const args = [...v, ...knows(), ...shown("device")];
    expect(await exitCodes("subject", `dn-${version}`, args)).toEqual([0, 0]);
    await expectUser(`dn-${version}`, "CN=device,O=acme");
  });

  test("a certificate that is no user name leaves it to the password", async () => {
    const args = [...v, ...knows(), ...shown("device")];
    expect(await exitCodes("plain", "nobody", args)).toEqual([refused, refused]);
    const wrong = [...args, ...login("wrong-Xi2")];
    expect(await exitCodes("plain", "wrong", wrong)).toEqual([refused, refused]);
    expect(await exitCodes("plain", `pw-${version}`, [...args, ...login(PASSWORD)])).toEqual([
      0, 0,
    ]);
    await expectUser(`pw-${version}`, "truck");
  });

  test("the identity of a Pre-Shared Key is the user", async () => {
    const args = [...v, "--psk", KEY, "--psk-identity", "dev1"];
    expect(await exitCodes("shared", `psk-${version}`, args)).toEqual([0, 0]);
    await expectUser(`psk-${version}`, "dev1");
  });
});
