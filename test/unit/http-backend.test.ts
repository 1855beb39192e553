/** The HTTP backend of go-auth, against a server: what is asked, what counts, what is kept. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { mayUseFilter } from "../../src/access/access-check.ts";
import { SUBSCRIBE } from "../../src/access/access-rules.ts";
import { AnswerCache } from "../../src/access/answer-cache.ts";
import { parseGoAuthAclFile } from "../../src/access/go-auth-acl-file.ts";
import { GoAuthFileAuthorizer } from "../../src/access/go-auth-authorizer.ts";
import { HttpAuthorizer } from "../../src/access/http-authorizer.ts";
import { HttpBackend } from "../../src/access/http-backend.ts";
import type { ConnectRequest, Verdict } from "../../src/access/identity.ts";
import {
  HTTP_ANSWER_BYTES_MAX,
  HTTP_ANSWERS_KEPT_MAX,
  HTTP_QUEUED_MAX,
  HTTP_UNDERWAY_MAX,
} from "../../src/access/limits.ts";
import type { Log } from "../../src/base/log.ts";
import type { HttpAccessSettings } from "../../src/config/settings.ts";

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

interface Asked {
  readonly url: string;
  readonly method: string;
  readonly type: string;
  readonly agent: string;
  readonly body: string;
}

type Answer = (asked: Asked, response: ServerResponse) => void;

async function serve(answer: Answer) {
  const asked: Asked[] = [];
  const state = { answer, connections: 0, asked };
  const server = createServer(async (request: IncomingMessage, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const { url = "", method = "", headers } = request;
    const one = {
      url,
      method,
      type: headers["content-type"] ?? "",
      agent: headers["user-agent"] ?? "",
      body,
    };
    asked.push(one);
    state.answer(one, response);
  });
  server.on("connection", () => {
    state.connections++;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { state, server, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

const status =
  (code: number, body = ""): Answer =>
  (_asked, response) => {
    response.statusCode = code;
    response.end(body);
  };

function backendOf(origin: string, changes: Partial<HttpAccessSettings> = {}) {
  const lines: string[] = [];
  const keep = (line: string): void => {
    lines.push(line);
  };
  const log = { warn: keep, notice: keep, error: keep } as unknown as Log;
  const settings: HttpAccessSettings = {
    origin,
    userUri: "/user",
    superuserUri: "",
    aclUri: "/acl",
    deniesWildcardNames: true,
    verifiesPeer: true,
    method: "POST",
    paramsMode: "json",
    responseMode: "status",
    timeoutSeconds: 5,
    userAgent: "mosquitto",
    authCacheSeconds: 0,
    aclCacheSeconds: 0,
    cacheJitterSeconds: 0,
    ...changes,
  };
  const backend = new HttpBackend(settings, log);
  closing.push(() => backend.close());
  return { backend, lines };
}

function loginAs(
  backend: HttpBackend,
  userName: string | null,
  more: Partial<ConnectRequest> = {},
): Verdict | Promise<Verdict> | null {
  return backend.authenticate({
    clientId: "c1",
    userName,
    password: Buffer.from("pass wörd"),
    version: 5,
    remoteAddress: "192.0.2.1:99",
    certificate: null,
    takesUserName: false,
    ...more,
  });
}

/** `yes`, or the Reason Code. */
async function outcome(verdict: Verdict | Promise<Verdict> | null): Promise<"yes" | number> {
  const settled = await verdict;
  if (settled === null) throw new Error("it was passed on");
  return "granted" in settled ? "yes" : settled.refused;
}

describe("what is asked", () => {
  test("of a user: name, password, Client Identifier, as JSON", async () => {
    const { state, origin } = await serve(status(200));
    const { backend } = backendOf(origin);
    expect(await outcome(loginAs(backend, "truck"))).toBe("yes");
    expect(state.asked).toEqual([
      {
        url: "/user",
        method: "POST",
        type: "application/json",
        agent: "mosquitto",
        body: JSON.stringify({ username: "truck", password: "pass wörd", clientid: "c1" }),
      },
    ]);
  });

  test("as a form, which is posted", async () => {
    const { state, origin } = await serve(status(200));
    const { backend } = backendOf(origin, { paramsMode: "form", method: "GET" });
    await outcome(loginAs(backend, "a&b=c"));
    expect(state.asked[0]).toMatchObject({
      method: "POST",
      type: "application/x-www-form-urlencoded",
      body: "username=a%26b%3Dc&password=pass+w%C3%B6rd&clientid=c1",
    });
  });

  test("of who is a superuser, once it is known who that is: it may do everything", async () => {
    const { state, origin } = await serve(({ url, body }, response) => {
      response.statusCode = url === "/super" && !body.includes("root") ? 403 : 200;
      response.end();
    });
    const { backend } = backendOf(origin, { superuserUri: "/super" });
    expect(await loginAs(backend, "root")).toMatchObject({
      granted: { userName: "root", rules: { rules: [], defaults: 15 } },
    });
    expect(await loginAs(backend, "truck")).toMatchObject({ granted: { rules: null } });
    expect(state.asked.map(({ url }) => url)).toEqual(["/user", "/super", "/user", "/super"]);
    expect(state.asked[1]?.body).toBe('{"username":"root"}');
  });

  test("of a topic: what is to be done with it", async () => {
    const { state, origin } = await serve(status(200));
    const { backend } = backendOf(origin, { method: "PUT" });
    const identity = { clientId: "c1", userName: "truck", rules: null };
    expect(await backend.checkAccess(identity, "a/b", 2)).toBe(true);
    expect(state.asked[0]).toMatchObject({
      url: "/acl",
      method: "PUT",
      body: '{"username":"truck","clientid":"c1","topic":"a/b","acc":2}',
    });
  });

  test("not of who has no password: 0x87; an empty one is one", async () => {
    const { state, origin } = await serve(status(200));
    const { backend } = backendOf(origin);
    expect(await outcome(loginAs(backend, "truck", { password: null }))).toBe(0x87);
    expect(state.asked).toEqual([]);
    expect(await outcome(loginAs(backend, "truck", { password: Buffer.alloc(0) }))).toBe("yes");
    expect(state.asked[0]?.body).toContain('"password":""');
  });

  test("not of who has no name", async () => {
    const { origin } = await serve(status(200));
    expect(loginAs(backendOf(origin).backend, null)).toBe(null);
  });
});

describe("what counts", () => {
  test.each([
    ["status", 200, "anything", "yes"],
    ["status", 204, "", "yes"],
    ["status", 302, "", 0x87],
    ["status", 401, "", 0x87],
    ["status", 500, "", 0x88],
    ["text", 200, "ok", "yes"],
    ["text", 200, "no", 0x87],
    ["json", 200, '{"ok":true}', "yes"],
    ["json", 200, '{"ok":"true"}', 0x87],
    ["json", 200, '{"ok":false,"error":"who?"}', 0x87],
    ["json", 200, "null", 0x87],
    ["json", 200, "ok", 0x88],
    ["json", 503, '{"ok":true}', 0x88],
  ] as const)("with response_mode %s: %i %s", async (responseMode, code, body, expected) => {
    const { origin } = await serve(status(code, body));
    const { backend } = backendOf(origin, { responseMode });
    expect(await outcome(loginAs(backend, "truck"))).toBe(expected);
  });

  test("no answer lets nobody in: told once, and when there are answers again", async () => {
    const { state, server, origin } = await serve(status(500));
    const { backend, lines } = backendOf(origin, { timeoutSeconds: 1 });
    const identity = { clientId: "c1", userName: "truck", rules: null };
    expect(await outcome(loginAs(backend, "truck"))).toBe(0x88);
    expect(await backend.checkAccess(identity, "a", 1)).toBe(false);
    state.answer = () => undefined; // Never.
    expect(await outcome(loginAs(backend, "truck"))).toBe(0x88);
    server.closeAllConnections();
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    expect(await outcome(loginAs(backend, "truck"))).toBe(0x88);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("cannot be asked who may connect: status 500");
    state.answer = status(200);
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    expect(await outcome(loginAs(backend, "truck"))).toBe("yes");
    expect(lines.at(-1)).toBe(`${origin} answers again`);
    expect(lines.join()).not.toContain("wörd");
  });

  test(`an answer of more than ${HTTP_ANSWER_BYTES_MAX} bytes is none`, async () => {
    const { origin } = await serve(status(200, "x".repeat(HTTP_ANSWER_BYTES_MAX + 1)));
    expect(await outcome(loginAs(backendOf(origin).backend, "truck"))).toBe(0x88);
  });

  test("a connection that was closed meanwhile costs nobody an answer", async () => {
    const { server, origin } = await serve(status(200));
    const { backend } = backendOf(origin);
    expect(await outcome(loginAs(backend, "truck"))).toBe("yes");
    server.closeIdleConnections();
    expect(await outcome(loginAs(backend, "truck"))).toBe("yes");
  });
});

test("beside go-auth's ACL file: of what may be read whole nobody is asked", () => {
  const content = "topic subscribe s\ntopic read one/+\ntopic deny one/secret\n";
  const file = new GoAuthFileAuthorizer(parseGoAuthAclFile("acl", content, null));
  const { backend } = backendOf("http://127.0.0.1:1");
  const identity = { clientId: "c1", userName: "truck", rules: null };
  const rules = new HttpAuthorizer(backend, file, 0).rulesOf(identity);
  const answers = (["one/x", "one/+", "one/#", "s", "one/secret", "other"] as const).map((filter) =>
    mayUseFilter(rules, identity, SUBSCRIBE, filter),
  );
  expect(answers).toEqual([true, true, null, null, false, null]);
});

describe("what is kept", () => {
  test("answers of both kinds, not under another password", async () => {
    const { state, origin } = await serve(({ body }, response) => {
      response.statusCode = body.includes("wrong") ? 403 : 200;
      response.end();
    });
    const { backend } = backendOf(origin, { authCacheSeconds: 60 });
    const wrong = { password: Buffer.from("wrong") };
    for (let i = 0; i < 3; i++) {
      expect(await outcome(loginAs(backend, "truck"))).toBe("yes");
      expect(await outcome(loginAs(backend, "truck", wrong))).toBe(0x87);
    }
    expect(state.asked).toHaveLength(2);
    backend.forget();
    await outcome(loginAs(backend, "truck"));
    expect(state.asked).toHaveLength(3);
  });

  test("nothing of a backend that is down", async () => {
    const { state, origin } = await serve(status(500));
    const { backend } = backendOf(origin, { authCacheSeconds: 60 });
    expect(await outcome(loginAs(backend, "truck"))).toBe(0x88);
    state.answer = status(200);
    expect(await outcome(loginAs(backend, "truck"))).toBe("yes");
  });

  test(`no more than ${HTTP_ANSWERS_KEPT_MAX} answers, each for its time`, () => {
    const cache = new AnswerCache(HTTP_ANSWERS_KEPT_MAX);
    for (let i = 0; i <= HTTP_ANSWERS_KEPT_MAX; i++) cache.keep(`${i}`, true, 10);
    expect(cache.count).toBe(HTTP_ANSWERS_KEPT_MAX);
    expect(cache.find("0", 0)).toBe(null);
    expect(cache.find("1", 9)).toBe(true);
    expect(cache.find("1", 10)).toBe(null);
    expect(cache.digest(["ab", "c"])).not.toBe(cache.digest(["a", "bc"]));
  });
});

test(`${HTTP_UNDERWAY_MAX} at once, ${HTTP_QUEUED_MAX} wait, the next gets 0x97`, async () => {
  const held: ServerResponse[] = [];
  const { state, origin } = await serve((_asked, response) => {
    held.push(response);
    if (held.length < HTTP_UNDERWAY_MAX) return;
    state.answer = status(200);
    for (const one of held) one.end();
  });
  const { backend } = backendOf(origin);
  const asked = HTTP_UNDERWAY_MAX + HTTP_QUEUED_MAX + 1;
  const all = await Promise.all(
    Array.from({ length: asked }, (_, i) => outcome(loginAs(backend, `user${i}`))),
  );
  expect(all.filter((one) => one === 0x97)).toHaveLength(1);
  expect(all.filter((one) => one === "yes")).toHaveLength(asked - 1);
  // Connections are kept: there are no more of them than questions at once.
  expect(state.connections).toBeLessThanOrEqual(HTTP_UNDERWAY_MAX);
});
