/** Chapter 20: JSON Web Tokens as passwords; RFC 7519, 7517. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import mqtt from "mqtt";
import { afterAll, describe, expect, test } from "vitest";
import { until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import type { ConnectOptions } from "../support/client-packets.ts";
import { startRestartableBroker } from "../support/restartable-broker.ts";
import { keyPair, keySetServer, SECRET, token, unsigned } from "../support/tokens.ts";
import { type Chapter, startChapter } from "./chapter.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-tokens-"));
const keys = await keySetServer([]);
afterAll(async () => {
  await keys.close();
  rmSync(directory, { recursive: true });
});

function file(name: string, content: string): string {
  const path = join(directory, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

const rsa = await keyPair("RS256", "rsa");
const other = await keyPair("RS256", "rsa");
const ec = await keyPair("ES256", "ec");

/** Sends a CONNECT with a token; the code of CONNACK. */
async function codeOf(
  { open }: Chapter,
  password: string,
  options: ConnectOptions = {},
): Promise<{ readonly client: TestClient; readonly code: number }> {
  const client = await open(options);
  client.sendConnect({ userName: "anything", password, ...options });
  const { reasonCode, returnCode } = await client.expectConnack();
  return { client, code: (client.version === 5 ? reasonCode : returnCode) ?? -1 };
}

function logged(chapter: Chapter, pattern: RegExp): Promise<void> {
  return until(`${pattern} in the log`, async () => pattern.test(chapter.broker().output()));
}

describe("with a secret", () => {
  const chapter = startChapter({
    configuration: [
      "allow_anonymous false",
      "failed_login_delay 0",
      `jwt_key_file ${file("secret", `${SECRET}\n`)}`,
      "jwt_issuer https://fleet.example",
      "jwt_audience mqtt",
      "jwt_user_claim device.name",
      "jwt_clientid_claim device.id",
      "jwt_leeway 0",
    ],
  });
  const claims = {
    iss: "https://fleet.example",
    aud: ["mqtt", "http"],
    device: { name: "truck7", id: "t7" },
  };
  const now = Math.floor(Date.now() / 1000);

  test.each([3, 4, 5] as const)("%i: the token says who the client is", async (version) => {
    const password = await token(SECRET, claims);
    const { client, code } = await codeOf(chapter, password, { version, clientId: "t7" });
    expect(code).toBe(0);
    await client.ping();
    await logged(chapter, new RegExp(`as t7 \\(p${version}, .*u'truck7'`));
  });

  test.each([
    ["another secret", () => token(`${SECRET}.`, claims)],
    ["no signature", async () => unsigned(claims)],
    ["one that has expired", () => token(SECRET, claims, -1)],
    ["one that is not valid yet", () => token(SECRET, { ...claims, nbf: now + 60 })],
    ["another issuer", () => token(SECRET, { ...claims, iss: "https://other.example" })],
    ["no audience", () => token(SECRET, { ...claims, aud: [] })],
    [
      "another Client Identifier",
      () => token(SECRET, { ...claims, device: { name: "a", id: "b" } }),
    ],
    ["no user name", () => token(SECRET, { ...claims, device: { id: "t7" } })],
    ["a user name that is none", () => token(SECRET, { ...claims, device: { name: 7, id: "t7" } })],
    [
      "a user name with U+0000",
      () => token(SECRET, { ...claims, device: { name: "\0grp/jobs", id: "t7" } }),
    ],
    [
      "a user name that is half a character",
      () => token(SECRET, { ...claims, device: { name: "t\ud800", id: "t7" } }),
    ],
    ["a public key's signature", () => token(rsa, claims)],
    ["what is no token", async () => "eyJhbGciOiJub25lIn0.x"],
    ["what looks like one", async () => "eyJ.e.x"],
  ])("%s: CONNACK 0x87, return code 5", async (_what, password) => {
    const signed = await password();
    const { client, code } = await codeOf(chapter, signed, { clientId: "t7" });
    expect(code).toBe(0x87);
    await client.closed();
    expect((await codeOf(chapter, signed, { clientId: "t7", version: 4 })).code).toBe(5);
  });

  test("a connection ends with its token: DISCONNECT 0x87", async () => {
    const password = await token(SECRET, claims, 2);
    const { client, code } = await codeOf(chapter, password, { clientId: "t7" });
    expect(code).toBe(0);
    await client.expectDisconnect(0x87);
    await logged(chapter, /Client t7 .*its token has expired/);
  });

  test("the log says why, and holds no token", async () => {
    const signed = await token(SECRET, claims, -1);
    await codeOf(chapter, signed, { clientId: "t7" });
    expect(chapter.broker().output()).toMatch(/the token is not accepted: "exp" claim/);
    expect(chapter.broker().output()).not.toContain("eyJ");
  });
});

describe("as mosquitto-go-auth takes them", () => {
  const chapter = startChapter({
    configuration: [
      "allow_anonymous false",
      "failed_login_delay 0",
      "auth_plugin /usr/share/mosquitto/go-auth.so",
      "auth_opt_backends jwt",
      "auth_opt_jwt_userfield Username",
      `jwt_key_file ${file("go-auth-secret", `${SECRET}\n`)}`,
    ],
  });
  const claims = { username: "truck8", sub: "nobody" };

  test.each([4, 5] as const)("%i: the user name is the token, or the password", async (version) => {
    const signed = await token(SECRET, claims);
    for (const options of [
      { userName: signed, password: "anything" },
      { userName: "anything", password: signed },
      // The password is not looked at.
      { userName: signed, password: await token(`${SECRET}.`, claims) },
    ]) {
      const client = await chapter.connect({ ...options, version, clientId: "t8" });
      await client.disconnect();
    }
    await logged(chapter, new RegExp(`as t8 \\(p${version}, .*u'truck8'`));
  });

  test("one that is not accepted: CONNACK 0x87, and it is not in the log", async () => {
    for (const bad of [await token(`${SECRET}.`, claims), await token(SECRET, claims, -60)]) {
      expect((await codeOf(chapter, "anything", { userName: bad })).code).toBe(0x87);
    }
    expect(chapter.broker().output()).not.toContain("eyJ");
  });
});

describe("with a public key", () => {
  const pem = file("key.pem", rsa.pem);
  const chapter = startChapter({
    configuration: [
      "allow_anonymous false",
      "failed_login_delay 0",
      `jwt_key_file ${pem}`,
      "jwt_disconnect_on_expiry false",
      "jwt_leeway 1",
    ],
  });

  test("MQTT.js comes in with what its private key signed", async () => {
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${chapter.broker().port}`, {
      username: "token",
      password: await token(rsa, { sub: "ship" }),
      reconnectPeriod: 0,
    });
    await client.endAsync();
    await logged(chapter, /u'ship'/);
  });

  test("its text is no secret to sign with", async () => {
    for (const secret of [rsa.pem, rsa.pem.trim(), rsa.pem.replaceAll("\n", "\\n")]) {
      const { code } = await codeOf(chapter, await token(secret, { sub: "ship" }));
      expect(code).toBe(0x87);
    }
  });

  test("another key of the same name, another kind of key: CONNACK 0x87", async () => {
    expect((await codeOf(chapter, await token(other, { sub: "ship" }))).code).toBe(0x87);
    expect((await codeOf(chapter, await token(ec, { sub: "ship" }))).code).toBe(0x87);
  });

  test("the token may end before its connection, where that is asked for", async () => {
    const { client, code } = await codeOf(chapter, await token(rsa, { sub: "ship" }, 0));
    expect(code).toBe(0);
    // Past its end and the leeway the next token is refused, and the client is still there.
    const signed = await token(rsa, { sub: "ship" }, -1);
    await until("the end", async () => (await codeOf(chapter, signed)).code === 0x87);
    await client.ping();
  });
});

describe("with a key set", () => {
  const set = file("keys.json", JSON.stringify({ keys: [rsa.jwk, ec.jwk] }));
  const chapter = startChapter({
    configuration: ["allow_anonymous false", "failed_login_delay 0", `jwt_jwks ${set}`],
  });

  test("from a file: the key that the token names checks it", async () => {
    expect((await codeOf(chapter, await token(rsa, { sub: "ship" }))).code).toBe(0);
    expect((await codeOf(chapter, await token(ec, { sub: "ship" }))).code).toBe(0);
    expect((await codeOf(chapter, await token(other, { sub: "ship" }))).code).toBe(0x87);
    expect((await codeOf(chapter, await token(SECRET, { sub: "ship" }))).code).toBe(0x87);
  });
});

describe("with a key set of a server", () => {
  keys.state.status = 503;
  const chapter = startChapter({
    configuration: [
      "allow_anonymous false",
      "failed_login_delay 0",
      `jwt_jwks ${keys.url}`,
      "jwt_algorithms ES256",
    ],
  });

  test("that cannot be had nobody comes in: CONNACK 0x88, return code 3", async () => {
    const signed = await token(ec, { sub: "ship" });
    expect((await codeOf(chapter, signed)).code).toBe(0x88);
    expect((await codeOf(chapter, signed, { version: 4 })).code).toBe(3);
    await logged(chapter, /jwt_jwks \S+ cannot be fetched: status 503; no token is accepted/);
  });

  test("that can be had again clients come in; only by the algorithms asked for", async () => {
    keys.state.status = 200;
    keys.state.keys = [rsa, ec];
    const signed = await token(ec, { sub: "ship" });
    await until("the key set", async () => (await codeOf(chapter, signed)).code === 0);
    expect((await codeOf(chapter, await token(rsa, { sub: "ship" }))).code).toBe(0x87);
    await logged(chapter, /answers again/);
    const { asked } = keys.state;
    for (let i = 0; i < 5; i++) await codeOf(chapter, await token(other, { sub: "ship" }));
    expect(keys.state.asked).toBe(asked);
  });
});

describe("with a claim of rules", () => {
  const configuration = [
    "allow_anonymous false",
    "failed_login_delay 0",
    `jwt_key_file ${file("rules", SECRET)}`,
    "jwt_acl_claim acl",
  ];
  const chapter = startChapter({ configuration });
  const acl = [
    { permission: "deny", action: "publish", topic: "trucks/t7/secret" },
    { action: "publish", topic: "trucks/%u/#" },
    { action: "subscribe", topic: `orders/\${clientid}` },
  ];

  test("the bearer may do what it says, and nothing else: 0x87", async () => {
    const password = await token(SECRET, { sub: "t7", acl });
    const { client, code } = await codeOf(chapter, password, { clientId: "c7" });
    expect(code).toBe(0);
    const published = async (topic: string) =>
      (await client.expect("puback", client.sendPublish(topic, "x", { qos: 1 }))).reasonCode;
    expect(await published("trucks/t7/at")).toBeLessThan(0x80);
    expect(await published("trucks/t7/secret")).toBe(0x87);
    expect(await published("trucks/t8/at")).toBe(0x87);
    expect(await client.subscribe("orders/c7")).toBe(0);
    expect(await client.subscribe("orders/#")).toBe(0x87);
  });

  test("nor by its will, whenever that is due", async () => {
    const broker = await startRestartableBroker({ configuration });
    const lasting = { clean: false, properties: { sessionExpiryInterval: 600 } };
    const all = [{ action: "subscribe", topic: "#" }];
    const watch = {
      ...lasting,
      clientId: "watch",
      userName: "any",
      password: await token(SECRET, { sub: "watch", acl: all }),
    };
    const watching = await TestClient.connect(broker.current(), watch);
    await watching.subscribe("trucks/#", { qos: 1 });
    const mortal = async (clientId: string, topic: string, willDelayInterval: number) =>
      TestClient.connect(broker.current(), {
        ...lasting,
        clientId,
        userName: "any",
        password: await token(SECRET, { sub: "t7", acl }),
        will: {
          topic,
          payload: Buffer.from("gone"),
          qos: 1,
          retain: false,
          properties: { willDelayInterval },
        },
      });
    // In time of a reload, and of a crash.
    (await mortal("c1", "trucks/t8/at", 1)).destroy();
    (await mortal("c2", "trucks/t7/first", 1)).destroy();
    process.kill(broker.current().pid, "SIGHUP");
    await watching.receive({ topic: "trucks/t7/first" });
    await watching.expectNothing();
    await mortal("c3", "trucks/t8/at", 0);
    await mortal("c4", "trucks/t7/second", 0);
    await broker.restart("kill -9");
    const again = await TestClient.connect(broker.current(), watch);
    await until("the will", () => again.seen().includes("trucks/t7/second"), 15_000);
    expect(again.seen()).not.toContain("trucks/t8/at");
    await broker.end();
  });

  test("without the claim nobody comes in", async () => {
    const { code } = await codeOf(chapter, await token(SECRET, { sub: "t7" }));
    expect(code).toBe(0x87);
  });
});
