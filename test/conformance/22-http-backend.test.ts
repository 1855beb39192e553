/**
 * Chapter 22: users and topics of the HTTP backend of mosquitto-go-auth, behind a configuration of
 * the shape that Home Assistant's add-on has.
 */
import { execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { hashPassword } from "../../src/access/password-hash.ts";
import { ASKED_BYTES_MAX } from "../../src/base/limits.ts";
import { until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import { startRestartableBroker } from "../support/restartable-broker.ts";
import { type RunningBroker, startBroker } from "../support/running-broker.ts";
import { startChapter } from "./chapter.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-go-auth-"));

interface Fields {
  readonly username: string;
  readonly password?: string;
  readonly clientid?: string;
  readonly topic?: string;
  readonly acc?: string;
}

/** What the server was asked, and whether it answers: of topics not before a silence ends. */
const state = {
  asked: [] as string[],
  isDown: false,
  silence: null as Promise<void> | null,
};

function isAllowed(url: string, fields: Fields): boolean {
  if (url === "/user") return fields.password === `${fields.username}-Xh1`;
  if (url === "/superuser") return fields.username === "root";
  const { topic = "", username } = fields;
  return topic.startsWith(`home/${username}/`) || topic.startsWith("all/");
}

const server = createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  const url = request.url ?? "";
  const fields = Object.fromEntries(new URLSearchParams(body)) as unknown as Fields;
  if (url === "/acl") await state.silence;
  state.asked.push(`${url} ${fields.username} ${fields.topic ?? ""} ${fields.acc ?? ""}`.trim());
  response.statusCode = state.isDown ? 503 : isAllowed(url, fields) ? 200 : 401;
  response.end();
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address() as AddressInfo;

const passwords = join(directory, "pw");
const own = await hashPassword(Buffer.from("addons-Xh2"), "sha512-pbkdf2", 101);
writeFileSync(passwords, `addons:${own}\n`, { mode: 0o600 });
const acl = join(directory, "acl");
writeFileSync(acl, "user addons\ntopic readwrite #\n", { mode: 0o600 });

afterAll(() => {
  server.closeAllConnections();
  server.close();
  rmSync(directory, { recursive: true });
});

const configuration = [
  "allow_anonymous false",
  "failed_login_delay 0",
  "auth_plugin /usr/share/mosquitto/go-auth.so",
  "auth_opt_backends files,http",
  "auth_opt_hasher pbkdf2",
  "auth_opt_cache true",
  "auth_opt_auth_cache_seconds 300",
  "auth_opt_auth_jitter_seconds 30",
  "auth_opt_acl_cache_seconds 300",
  "auth_opt_acl_jitter_seconds 30",
  "auth_opt_log_level error",
  `auth_opt_files_password_path ${passwords}`,
  `auth_opt_files_acl_path ${acl}`,
  "auth_opt_http_host 127.0.0.1",
  `auth_opt_http_port ${port}`,
  "auth_opt_http_params_mode form",
  "auth_opt_http_getuser_uri /user",
  "auth_opt_http_superuser_uri /superuser",
  "auth_opt_http_aclcheck_uri /acl",
  "log_type all",
];

const chapter = startChapter({ configuration });

async function code(userName: string, password: string, version: 4 | 5 = 5): Promise<number> {
  const client = await chapter.open({ version });
  client.sendConnect({ userName, password, clientId: `c-${userName}` });
  const { reasonCode, returnCode } = await client.expectConnack();
  return (version === 5 ? reasonCode : returnCode) ?? -1;
}

/** A client of the HTTP backend, or of the file. */
function enter(userName: string, password = `${userName}-Xh1`) {
  return chapter.connect({ userName, password, clientId: `c-${userName}` });
}

describe("who may connect", () => {
  test("users of the file, and users of the backend", async () => {
    const { asked } = state;
    expect(await code("addons", "addons-Xh2")).toBe(0);
    expect(await code("addons", "wrong-Xh3")).toBe(0x87);
    expect(asked).toEqual([]);
    expect(await code("lamp", "lamp-Xh1")).toBe(0);
    expect(await code("lamp", "wrong-Xh3")).toBe(0x87);
    expect(await code("lamp", "wrong-Xh3", 4)).toBe(5);
    expect(asked).toEqual(["/user lamp", "/superuser lamp", "/user lamp"]);
  });

  test("an answer is kept; a backend that is down lets nobody in: 0x88, code 3", async () => {
    state.isDown = true;
    try {
      expect(await code("lamp", "lamp-Xh1")).toBe(0);
      expect(await code("oven", "oven-Xh1")).toBe(0x88);
      expect(await code("oven", "oven-Xh1", 4)).toBe(3);
      expect(await code("addons", "addons-Xh2")).toBe(0);
    } finally {
      state.isDown = false;
    }
    expect(await code("oven", "oven-Xh1")).toBe(0);
  });
});

describe("names with wildcards", () => {
  const NAMES = [
    ["+", "c"],
    ["lamp", "#"],
    ["lamp", "a+b"],
    ["root", "#"],
  ] as const;

  /** What a client may do: the codes of SUBACK and PUBACK. */
  async function codesOf(broker: RunningBroker, userName: string, clientId: string) {
    const user = { userName, password: `${userName}-Xh1`, clientId };
    const client = await TestClient.connect(broker, user);
    const suback = await client.subscribe("all/#");
    const sent = client.sendPublish("all/on", "1", { qos: 1 });
    const puback = (await client.expect("puback", sent)).reasonCode ?? 0;
    client.destroy();
    return [suback, puback];
  }

  test("may do nothing, and nobody is asked; also a superuser", async () => {
    for (const [userName, clientId] of NAMES) {
      state.asked.length = 0;
      expect(await codesOf(chapter.broker(), userName, clientId)).toEqual([0x87, 0x87]);
      expect(state.asked.filter((one) => one.startsWith("/acl"))).toEqual([]);
    }
  });

  test("are as others with auth_plugin_deny_special_chars false", async () => {
    const lines = [...configuration, "auth_plugin_deny_special_chars false"];
    const broker = await startBroker({ configuration: lines });
    for (const [userName, clientId] of NAMES) {
      const codes = await codesOf(broker, userName, clientId);
      expect(codes.every((code) => code < 0x80)).toBe(true);
    }
    await broker.stop();
  });
});

test("clients without a user name may do nothing, and nobody is asked", async () => {
  const lines = configuration.with(0, "allow_anonymous true");
  const broker = await startBroker({ configuration: lines });
  const client = await TestClient.connect(broker);
  state.asked.length = 0;
  expect(await client.subscribe("all/#")).toBe(0x87);
  const sent = client.sendPublish("all/on", "1", { qos: 1 });
  expect((await client.expect("puback", sent)).reasonCode).toBe(0x87);
  expect(state.asked).toEqual([]);
  await broker.stop();
});

describe("what each may do", () => {
  test("is asked for each topic once: PUBLISH 0x87, SUBACK 0x87, and what is allowed", async () => {
    const lamp = await enter("lamp");
    state.asked.length = 0;
    expect(await lamp.subscribe("home/lamp/#", { qos: 1 })).toBe(1);
    expect(await lamp.subscribe("home/oven/#")).toBe(0x87);
    for (let i = 0; i < 3; i++) await lamp.publish("home/lamp/on", `${i}`, { qos: 1 });
    for (let i = 0; i < 3; i++)
      await lamp.expectPublish({ topic: "home/lamp/on", payload: `${i}` });
    const refused = lamp.sendPublish("home/oven/on", "x", { qos: 1 });
    expect((await lamp.expect("puback", refused)).reasonCode).toBe(0x87);
    expect(state.asked).toEqual([
      "/acl lamp home/lamp/# 4",
      "/acl lamp home/oven/# 4",
      "/acl lamp home/lamp/on 2",
      "/acl lamp home/oven/on 2",
    ]);
  });

  test("is asked for its will, and for a PUBLISH in the middle of others", async () => {
    const observer = await enter("addons", "addons-Xh2");
    await observer.subscribe("#", { qos: 2 });
    for (const topic of ["home/zoe/gone", "home/other/gone"]) {
      const will = { topic, payload: Buffer.from("gone") };
      const options = { userName: "zoe", password: "zoe-Xh1", clientId: "zoe" };
      const mortal = await chapter.connect({ ...options, will });
      await mortal.drop();
    }
    await until("the will", async () => state.asked.includes("/acl zoe home/other/gone 2"));
    const zoe = await enter("zoe");
    for (let i = 0; i < 20; i++) {
      const topic = `home/${i % 3 === 1 ? "other" : "zoe"}/${i % 5}`;
      zoe.sendPublish(topic, `${i}`, { qos: ((i >> 1) % 3) as 0 | 1 | 2 });
    }
    for (let i = 0; i < 20; i++) {
      const qos = (i >> 1) % 3;
      const kind = qos === 1 ? "puback" : "pubrec";
      if (qos !== 0) {
        const { reasonCode, messageId } = await zoe.expect(kind);
        expect(reasonCode ?? 0).toBe(i % 3 === 1 ? 0x87 : 0);
        if (qos === 2 && i % 3 !== 1) zoe.send({ cmd: "pubrel", messageId: messageId ?? 0 });
      }
    }
    await observer.receive({ topic: "home/zoe/gone" });
    for (let i = 0; i < 20; i++) {
      if (i % 3 !== 1) await observer.receive({ topic: `home/zoe/${i % 5}`, payload: `${i}` });
    }
    await zoe.disconnect();
    await observer.disconnect();
  });

  describe("a will that is delayed", () => {
    const lasting = { clean: false, properties: { sessionExpiryInterval: 600 } };
    const mortal = (clientId: string) => ({
      ...lasting,
      clientId,
      userName: "zoe",
      password: "zoe-Xh1",
      will: {
        topic: `home/zoe/${clientId}`,
        payload: Buffer.from("gone"),
        qos: 1 as const,
        retain: false,
        properties: { willDelayInterval: 1 },
      },
    });

    test("is sent unless the client is back [MQTT-3.1.3-9]", async () => {
      const observer = await enter("addons", "addons-Xh2");
      await observer.subscribe("home/zoe/#");
      await chapter.connect(mortal("back"));
      await chapter.connect(mortal("back"));
      (await chapter.connect(mortal("away"))).destroy();
      await observer.receive({ topic: "home/zoe/away" });
      await observer.expectNothing();
    });

    test("is asked about by the broker that comes after a crash", async () => {
      const broker = await startRestartableBroker({ configuration });
      const watch = { ...lasting, clientId: "watch", userName: "addons", password: "addons-Xh2" };
      const observer = await TestClient.connect(broker.current(), watch);
      await observer.subscribe("home/zoe/#", { qos: 1 });
      await TestClient.connect(broker.current(), mortal("crashed"));
      await broker.restart("kill -9");
      const again = await TestClient.connect(broker.current(), watch);
      await until("the will", () => again.seen().includes("home/zoe/crashed"), 15_000);
      await broker.end();
    });
  });

  test("the ACL file's users and superusers are not asked about", async () => {
    const root = await enter("root");
    const addons = await enter("addons", "addons-Xh2");
    state.asked.length = 0;
    expect(await addons.subscribe("anything/#")).toBe(0);
    expect(await root.subscribe("anything/#")).toBe(0);
    await root.publish("anything/x", "1", { qos: 1 });
    await addons.expectPublish({ topic: "anything/x", payload: "1" });
    await root.expectPublish({ topic: "anything/x", payload: "1" });
    expect(state.asked).toEqual([]);
  });

  test("mosquitto_sub and mosquitto_pub see the same", async () => {
    const who = (user: string) => [
      "-p",
      `${chapter.broker().port}`,
      "-u",
      user,
      "-P",
      `${user}-Xh1`,
    ];
    const sub = spawn("mosquitto_sub", [
      ...who("lamp"),
      "-t",
      "home/lamp/say",
      "-C",
      "1",
      "-W",
      "10",
    ]);
    let heard = "";
    sub.stdout.on("data", (chunk: Buffer) => {
      heard += chunk.toString();
    });
    const ended = new Promise((resolve) => sub.once("exit", resolve));
    // The server of the backend is in this process: nothing may hold it up.
    const publish = promisify(execFile);
    await until("the subscriber", async () => {
      const what = ["-t", "home/lamp/say", "-m", "hello", "-q", "1"];
      await publish("mosquitto_pub", [...who("lamp"), ...what]);
      return heard !== "";
    });
    await ended;
    expect(heard).toBe("hello\n");
  });

  test("no password stands in the log", () => {
    expect(chapter.broker().output()).toContain("cannot be asked who may connect");
    expect(chapter.broker().output()).not.toMatch(/-Xh\d/);
  });

  // The last: it fills the log.
  test("SUBSCRIBEs that wait for an answer are kept: past 64 MiB of them it is 0x97", async () => {
    const topicBytes = 65_500;
    const subscriptions = Array.from({ length: 16 }, (_, index) => ({
      topic: `home/thick/${index}/`.padEnd(topicBytes, "x"),
      qos: 0 as const,
    }));
    const fitting = Math.floor(ASKED_BYTES_MAX / (subscriptions.length * (topicBytes + 3)));
    const clients: TestClient[] = [];
    for (let index = 0; index < fitting + 3; index++) {
      const user = { userName: "thick", password: "thick-Xh1", clientId: `thick${index}` };
      clients.push(await chapter.connect(user));
    }
    let answer: () => void = () => undefined;
    state.silence = new Promise((resolve) => {
      answer = resolve;
    });
    for (const client of clients) client.send({ cmd: "subscribe", messageId: 7, subscriptions });
    await until("those past it", () => clients.filter(({ isClosed }) => isClosed).length >= 3);
    answer();
    state.silence = null;
    const [refused, taken] = [true, false].map((ended) =>
      clients.filter(({ isClosed }) => isClosed === ended),
    );
    expect(refused?.length).toBe(3);
    for (const client of refused ?? []) await client.expectDisconnect(0x97);
    for (const client of taken ?? []) {
      expect(new Set((await client.expect("suback", 7)).granted)).toEqual(new Set([0]));
      await client.disconnect();
    }
  });
});
