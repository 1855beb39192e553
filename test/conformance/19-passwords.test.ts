/**
 * Chapter 19: user names and passwords, checked against the password file; mosquitto is asked the
 * same with the same files. MQTT 5.0 §3.1.3.5, §3.1.3.6, §4.8.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import mqtt from "mqtt";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hashPassword } from "../../src/access/password-hash.ts";
import { until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import type { ConnectOptions, Version } from "../support/client-packets.ts";
import { type RunningMosquitto, startMosquitto } from "../support/mosquitto.ts";
import { freePorts, type RunningBroker, startBroker } from "../support/running-broker.ts";
import { nameOf, startChapter } from "./chapter.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-passwords-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** Each password is one that stands nowhere else, so that a log can be searched for it. */
const PASSWORDS = {
  truck: "diesel-Xq7",
  bike: "legs-ü-Xq8",
  arg: "argon-Xq9",
  slow: "patience-Xq0",
};
const WRONG = "petrol-Xq1";

async function line(user: keyof typeof PASSWORDS, text: Promise<string>): Promise<string> {
  return `${user}:${await text}`;
}

async function hashOf(
  password: string,
  ...more: [kind: "sha512" | "sha512-pbkdf2" | "argon2id", iterations?: number]
): Promise<string> {
  return hashPassword(Buffer.from(password), ...more);
}

/** What Debian's mosquitto reads, and what it cannot. */
const known = [
  await line("truck", hashOf(PASSWORDS.truck, "sha512-pbkdf2", 101)),
  await line("bike", hashOf(PASSWORDS.bike, "sha512")),
  // Slow enough that what happens meanwhile does.
  await line("slow", hashOf(PASSWORDS.slow, "sha512-pbkdf2", 300_000)),
];
const spaced = (await hashOf(PASSWORDS.truck, "sha512-pbkdf2", 101)).padStart(200);
const blanks = [`behind \t:${spaced.trim()}`, `before:${spaced}`, `\t both\t :\t${spaced} \t`];
const passwordFile = join(directory, "users");
writeFileSync(passwordFile, `# users\n${[...known, ...blanks].join("\n")}\n`, { mode: 0o600 });
const newerFile = join(directory, "newer");
const argon = await line("arg", hashOf(PASSWORDS.arg, "argon2id"));
writeFileSync(newerFile, `${[...known, argon].join("\n")}\n`, { mode: 0o600 });

const CLIENTS: Readonly<Record<string, ConnectOptions>> = {
  "no user name": {},
  "a right password": { userName: "truck", password: PASSWORDS.truck },
  "a right password, SHA-512": { userName: "bike", password: PASSWORDS.bike },
  "a wrong password": { userName: "truck", password: WRONG },
  "blanks behind the user in the file": { userName: "behind", password: PASSWORDS.truck },
  "a user name that ends in a blank": { userName: "behind ", password: PASSWORDS.truck },
  "blanks before the hash": { userName: "before", password: PASSWORDS.truck },
  "blanks around both": { userName: "both", password: PASSWORDS.truck },
  "an unknown user": { userName: "nobody", password: WRONG },
  "no password": { userName: "truck" },
  "an unknown user without password": { userName: "nobody" },
  "an empty user name": { userName: "", password: WRONG },
  "an empty password": { userName: "truck", password: "" },
  "an empty Client Identifier": { userName: "truck", password: PASSWORDS.truck, clientId: "" },
};

const CONFIGURATIONS: Readonly<Record<string, readonly string[]>> = {
  password_file: [`password_file ${passwordFile}`],
  "password_file, allow_anonymous": [`password_file ${passwordFile}`, "allow_anonymous true"],
  neither: ["allow_anonymous false"],
  allow_anonymous: ["allow_anonymous true"],
  use_username_as_clientid: ["allow_anonymous true", "use_username_as_clientid true"],
  clientid_prefixes: ["allow_anonymous true", "clientid_prefixes good-"],
};

/** What a CONNECT comes to: the code of CONNACK, and the Client Identifier that was assigned. */
async function outcome(port: number, version: Version, options: ConnectOptions): Promise<string> {
  const client = await TestClient.open({ port, webSocketPort: 0 }, { version });
  client.sendConnect({ clientId: "one", ...options });
  const connack = await client.expectConnack();
  const code = version === 5 ? connack.reasonCode : connack.returnCode;
  const assigned = connack.properties?.assignedClientIdentifier ?? "";
  client.destroy();
  return `${code} ${assigned.startsWith("auto-") ? "auto-" : assigned}`;
}

describe.each(Object.entries(CONFIGURATIONS))("%s: as mosquitto answers", (_name, lines) => {
  let broker: RunningBroker;
  let port = 0;
  let mosquitto: RunningMosquitto;
  beforeAll(async () => {
    [port = 0] = await freePorts(1);
    // Failures are many here, and their answers are what is compared.
    const all = ["allow_anonymous false", "failed_login_delay 0"];
    const configuration = [...all, `listener ${port} 127.0.0.1`, ...lines];
    broker = await startBroker({ configuration });
    await until("listeners", async () => broker.output().includes(" running"));
    mosquitto = await startMosquitto(lines);
  });
  afterAll(async () => {
    await broker.stop();
    await mosquitto.stop();
  });

  test.each(Object.entries(CLIENTS))("%s", async (_client, options) => {
    for (const version of [4, 5] as const) {
      const ours = await outcome(port, version, options);
      expect(`${version}: ${ours}`).toBe(
        `${version}: ${await outcome(mosquitto.port, version, options)}`,
      );
    }
  });
});

describe("a CONNECT whose password is being checked", () => {
  const chapter = startChapter({
    configuration: ["allow_anonymous false", `password_file ${newerFile}`, "log_type all"],
  });
  const { open } = chapter;
  const slow = { userName: "slow", password: PASSWORDS.slow };

  function logged(pattern: RegExp): Promise<void> {
    return until(`${pattern} in the log`, async () => pattern.test(chapter.broker().output()));
  }

  /** A client whose CONNECT is sent; the hash takes a tenth of a second. */
  async function begin(clientId: string, options: ConnectOptions = slow): Promise<TestClient> {
    const client = await open({ clientId });
    client.sendConnect({ clientId, ...options });
    return client;
  }

  test.each([3, 4, 5] as const)("%i: is let in, as the user that it is", async (version) => {
    for (const [userName, password] of Object.entries(PASSWORDS)) {
      const client = await open({ version, clientId: `in-${userName}` });
      client.sendConnect({ userName, password });
      const { reasonCode, returnCode } = await client.expectConnack();
      expect(version === 5 ? reasonCode : returnCode).toBe(0);
      await client.subscribe("in");
      await logged(new RegExp(`as in-${userName} \\(p${version}, .*u'${userName}'`));
    }
  });

  test("what is sent behind it is acted on after CONNACK [MQTT-3.1.4-5]", async () => {
    const client = await begin("eager");
    client.sendBytes(Buffer.from("c000c000", "hex"));
    await client.next("connack");
    await client.next("pingresp");
    await client.next("pingresp");
  });

  test("a second CONNECT behind it ends the connection [MQTT-3.1.0-2]", async () => {
    const client = await begin("twice");
    client.sendConnect({ clientId: "twice", ...slow });
    await client.next("connack");
    await client.expectDisconnect(0x82);
  });

  test("two of one Client Identifier: the later one has the Session [MQTT-3.1.4-3]", async () => {
    const [first, second] = await Promise.all([
      begin("same", { ...slow, clean: false }),
      begin("same", { ...slow, clean: false }),
    ]);
    const codes = [
      (await first.expectConnack()).reasonCode,
      (await second.expectConnack()).reasonCode,
    ];
    expect(codes).toEqual([0, 0]);
    const ended = await Promise.race([
      first.expectDisconnect(0x8e).then(() => second),
      second.expectDisconnect(0x8e).then(() => first),
    ]);
    await ended.ping();
  });

  test("whoever goes meanwhile leaves nothing behind", async () => {
    for (let i = 0; i < 20; i++) (await begin(`gone${i}`)).destroy();
    const client = await begin("stays", { userName: "bike", password: PASSWORDS.bike });
    await client.next("connack");
    await client.ping();
  });

  test("a user name says nothing without its password: CONNACK 0x87, no hint", async () => {
    for (const options of [
      { userName: "arg", password: WRONG },
      { userName: "slow" },
      { userName: "nobody", password: WRONG },
    ]) {
      const client = await begin("refused", options);
      const { properties } = await client.expectRefusal(0x87);
      expect(properties?.reasonString).toBe("authentication failed");
    }
    await logged(/Authentication failed for \S+: wrong password of user arg/);
    await logged(/Authentication failed for \S+: unknown user nobody/);
  });

  test("MQTT.js and mosquitto_pub come in with it", async () => {
    const { port } = chapter.broker();
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, {
      username: "truck",
      password: PASSWORDS.truck,
      reconnectPeriod: 0,
    });
    await client.subscribeAsync("from/pub");
    const message = new Promise((resolve) => client.once("message", (topic) => resolve(topic)));
    const publish = (password: string) =>
      spawnSync("mosquitto_pub", [
        ...["-p", `${port}`, "-u", "arg", "-P", password, "-t", "from/pub", "-m", "x", "-q", "1"],
      ]);
    expect(publish(PASSWORDS.arg).status).toBe(0);
    expect(await message).toBe("from/pub");
    expect(publish(WRONG).status).toBe(5);
    await client.endAsync();
  });

  test("no password stands in the log", () => {
    for (const password of [...Object.values(PASSWORDS), WRONG]) {
      expect(chapter.broker().output()).not.toContain(password);
    }
  });
});

describe("the broker's own life", () => {
  test("it stops while a password is checked: CONNACK 0x88 [MQTT-3.2.2-8]", async () => {
    const broker = await startBroker({ configuration: [`password_file ${passwordFile}`] });
    const others = await Promise.all(Array.from({ length: 20 }, () => TestClient.open(broker)));
    for (const other of others) other.sendConnect({ userName: "slow", password: WRONG });
    const client = await TestClient.open(broker, { clientId: "stopped" });
    client.sendConnect({ userName: "slow", password: PASSWORDS.slow });
    // Whose password needs no thread stands behind them, and is let in before.
    await TestClient.connect(broker, { userName: "bike", password: PASSWORDS.bike });
    const stopped = broker.stop();
    await client.expectRefusal(0x88);
    expect(await stopped).toBe(0);
  });

  test("SIGHUP reads the file again; a bad one changes nothing and is told", async () => {
    const file = join(directory, "changing");
    const write = async (password: string) =>
      writeFileSync(file, `truck:${await hashOf(password, "sha512-pbkdf2", 101)}\n`, {
        mode: 0o600,
      });
    await write("first-Xq3");
    const lines = ["allow_anonymous false", `password_file ${file}`, "failed_login_delay 0"];
    const broker = await startBroker({ configuration: lines });
    const enter = (password: string) => outcome(broker.port, 5, { userName: "truck", password });
    try {
      const ends = await TestClient.connect(broker, { userName: "truck", password: "first-Xq3" });
      await write("second-Xq4");
      expect(await enter("first-Xq3")).toBe("0 ");
      process.kill(broker.pid, "SIGHUP");
      await until("the new password", async () => (await enter("second-Xq4")) === "0 ");
      // What was remembered of the old one is worth nothing.
      expect(await enter("first-Xq3")).toBe("135 ");
      await ends.expectDisconnect(0x98);
      const stays = await TestClient.connect(broker, { userName: "truck", password: "second-Xq4" });
      writeFileSync(file, "truck:plain-Xq5\n");
      process.kill(broker.pid, "SIGHUP");
      const told = `password_file ${file}:1: the user truck: expected a hash`;
      await until("the fault", async () => broker.output().includes(told));
      expect(await enter("second-Xq4")).toBe("0 ");
      await stays.ping();
      expect(broker.output()).not.toMatch(/-Xq[345]/);
    } finally {
      await broker.stop();
    }
  });

  test.each([
    ["truck:plain-Xq2", "1: the user truck: expected a hash that begins with $7$"],
    ["# users\ntruck", "2: expected user:hash"],
    ["truck:$7$0$YWJj$YWJj", "1: the user truck: the iterations must be 1 to"],
  ])("a password file with a bad line forbids the start", (content, fault) => {
    const file = join(directory, "bad");
    writeFileSync(file, `${content}\n`);
    const configuration = join(directory, "bad.conf");
    writeFileSync(configuration, `listener 0 127.0.0.1\npassword_file ${file}\n`);
    const main = new URL("../../dist/cli/main.js", import.meta.url).pathname;
    const { status, stderr } = spawnSync(process.execPath, [main, "-c", configuration], {
      encoding: "utf8",
    });
    expect(status).toBe(1);
    expect(stderr).toContain(`password_file ${file}:${fault}`);
    expect(stderr).not.toContain("plain-Xq2");
  });
});

describe("who fails", () => {
  const chapter = startChapter({
    configuration: ["allow_anonymous false", `password_file ${newerFile}`, "failed_login_delay 1"],
  });

  async function refusedAfter(version: Version): Promise<number> {
    const client = await chapter.open({ version });
    const begun = performance.now();
    client.sendConnect({ userName: "bike", password: WRONG });
    await client.expectRefusal(version === 5 ? 0x87 : 5);
    return performance.now() - begun;
  }

  test("often, waits longer each time, up to a bound; nobody else does", async () => {
    const honest = await chapter.connect({ userName: "bike", password: PASSWORDS.bike });
    for (let i = 0; i < 10; i++) await refusedAfter(i % 2 === 0 ? 5 : 4);
    const times = [await refusedAfter(5), await refusedAfter(4), await refusedAfter(5)];
    expect(times[0]).toBeGreaterThan(95);
    expect(times[1]).toBeGreaterThan(195);
    expect(times[2]).toBeGreaterThan(395);
    await refusedAfter(5);
    // From here on all wait a second, side by side; who knows its password does not.
    const waiting = Promise.all(Array.from({ length: 5 }, () => refusedAfter(5)));
    const begun = performance.now();
    await honest.ping();
    await chapter.connect({ userName: "bike", password: PASSWORDS.bike });
    expect(performance.now() - begun).toBeLessThan(500);
    for (const time of await waiting) expect(time).toBeLessThan(2000);
    const output = chapter.broker().output();
    expect(output.match(/failed logins from 127\.0\.0\.1; answers to it wait/g)).toHaveLength(1);
    expect(output.match(/Authentication failed for/g)).toHaveLength(10);
  });

  test("and goes while its answer waits, is gone", async () => {
    const client = await chapter.open();
    client.sendConnect({ userName: "bike", password: WRONG });
    client.destroy();
    await client.closed();
    await chapter.connect({ userName: "bike", password: PASSWORDS.bike });
  });
});

describe("a storm", () => {
  const chapter = startChapter({
    configuration: ["allow_anonymous false", `password_file ${newerFile}`],
  });

  test(`500 at once come in; whoever is there is served meanwhile, ${nameOf(5)}`, async () => {
    const there = await chapter.connect({ userName: "truck", password: PASSWORDS.truck });
    const storm = Array.from({ length: 500 }, (_, i) =>
      chapter.connect({ clientId: `storm${i}`, userName: "truck", password: PASSWORDS.truck }),
    );
    let isOver = false;
    const all = Promise.all(storm).finally(() => {
      isOver = true;
    });
    let longest = 0;
    let pings = 0;
    while (!isOver) {
      const begun = performance.now();
      await there.ping();
      longest = Math.max(longest, performance.now() - begun);
      pings++;
    }
    expect((await all).length).toBe(500);
    // How many there is time for is up to this process, which makes the 500 as well.
    expect(pings).toBeGreaterThan(0);
    expect(longest).toBeLessThan(1000);
  });
});

describe("per_listener_settings", () => {
  const other = join(directory, "other");
  let broker: RunningBroker;
  let [inner = 0, open = 0] = [0, 0];
  beforeAll(async () => {
    const text = await hashOf("other-Xq6", "sha512-pbkdf2", 101);
    writeFileSync(other, `truck:${text}\n`, { mode: 0o600 });
    [inner = 0, open = 0] = await freePorts(2);
    broker = await startBroker({
      configuration: [
        ...["per_listener_settings true", "allow_anonymous false"],
        ...[`listener ${inner} 127.0.0.1`, `password_file ${passwordFile}`],
        ...[`listener ${open} 127.0.0.1`, `password_file ${other}`, "allow_anonymous true"],
        "failed_login_delay 0",
      ],
    });
    await until("listeners", async () => broker.output().includes(" running"));
  });
  afterAll(() => broker.stop());

  test("each listener has users of its own, and says itself who may be anonymous", async () => {
    const ours = { userName: "truck", password: PASSWORDS.truck };
    const others = { userName: "truck", password: "other-Xq6" };
    expect(await outcome(inner, 5, ours)).toBe("0 ");
    expect(await outcome(inner, 5, others)).toBe("135 ");
    expect(await outcome(inner, 5, {})).toBe("135 ");
    expect(await outcome(open, 5, ours)).toBe("135 ");
    expect(await outcome(open, 5, others)).toBe("0 ");
    expect(await outcome(open, 5, {})).toBe("0 ");
  });
});
