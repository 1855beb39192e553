/** Keys of tokens and what goes with them; the claim of rules. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportPKCS8, jwtVerify } from "jose";
import { afterAll, describe, expect, test } from "vitest";
import { READ, SUBSCRIBE, UNSUBSCRIBE, WRITE } from "../../src/access/access-rules.ts";
import { KEY_SET_BYTES_MAX, TOKEN_RULES_MAX } from "../../src/access/limits.ts";
import { openTokenKeys } from "../../src/access/token-keys.ts";
import { readTokenRules } from "../../src/access/token-rules.ts";
import type { Log } from "../../src/base/log.ts";
import type { JwtSettings } from "../../src/config/settings.ts";
import { keyPair, keySetServer, SECRET, token } from "../support/tokens.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-keys-"));
afterAll(() => rmSync(directory, { recursive: true }));
let fileCount = 0;

function file(content: string): string {
  fileCount++;
  const path = join(directory, `key${fileCount}`);
  writeFileSync(path, content);
  return path;
}

const lines: string[] = [];
const keep = (line: string): void => {
  lines.push(line);
};
const log = { warn: keep, notice: keep, error: keep } as unknown as Log;

function open(changes: Partial<JwtSettings>) {
  const settings: JwtSettings = {
    keyFile: null,
    jwks: null,
    algorithms: [],
    issuer: null,
    audience: null,
    userClaim: "sub",
    takenAsUserName: false,
    aclClaim: null,
    clientIdClaim: null,
    leewaySeconds: 0,
    disconnectsOnExpiry: true,
    ...changes,
  };
  return openTokenKeys(settings, log);
}

const rsa = await keyPair("RS256", "rsa");
const ec = await keyPair("ES256", "ec");
const secretPem = await exportPKCS8(rsa.privateKey);
const ed = await keyPair("EdDSA", "ed");

describe("the algorithms of a key", () => {
  test.each([
    ["a secret", SECRET, ["HS256"]],
    ["an RSA key", rsa.pem, ["RS256"]],
    ["an elliptic curve", ec.pem, ["ES256"]],
    ["Edwards' curve", ed.pem, ["EdDSA"]],
  ])("%s", (_what, content, algorithms) => {
    expect(open({ keyFile: file(content) }).algorithms).toEqual(algorithms);
  });

  test("may be others of its kind", () => {
    const { algorithms } = open({ keyFile: file(rsa.pem), algorithms: ["PS256", "RS512"] });
    expect(algorithms).toEqual(["PS256", "RS512"]);
  });

  test.each([
    ["none with a secret", SECRET, ["none"], "none does not go with a secret"],
    ["HS256 with a public key", rsa.pem, ["HS256"], "HS256 does not go with a key of kind rsa"],
    ["RS256 with a secret", SECRET, ["RS256"], "RS256 does not go with a secret"],
    ["another curve's", ec.pem, ["ES384"], "ES384 does not go with a key of kind ec prime256v1"],
    ["a secret that is short", "short\n", [], "a secret needs 32 bytes"],
    ["a private key", secretPem, [], "expected the PEM of a public key"],
    ["a broken key", "-----BEGIN PUBLIC KEY-----\nx\n", [], "expected the PEM of a public key"],
  ])("%s: not accepted", (_what, content, algorithms, fault) => {
    expect(() => open({ keyFile: file(content), algorithms })).toThrow(fault);
  });

  test.each([
    ["no file", "/nowhere/keys.json", "cannot read jwt_jwks"],
    ["no JSON", file("x"), "expected JSON"],
    ["no set", file("[]"), 'expected {"keys": […]}'],
    ["a secret", file('{"keys":[{"kty":"oct","k":"AAAA"}]}'), "there is no public key in it"],
    ["plain HTTP", "http://192.0.2.1/keys", "expected https"],
    ["HS256", file(JSON.stringify({ keys: [rsa.jwk] })), "HS256 does not go with a key set"],
  ])("a key set with %s: not accepted", (what, jwks, fault) => {
    const algorithms = what === "HS256" ? ["HS256"] : [];
    expect(() => open({ jwks, algorithms })).toThrow(fault);
  });
});

describe("a key set of a server", () => {
  test("counts on while it cannot be fetched, and is not fetched for each token", async () => {
    const server = await keySetServer([rsa]);
    const keys = open({ jwks: server.url });
    try {
      const signed = await token(rsa, { sub: "x" });
      const verify = () => jwtVerify(signed, keys.find, { algorithms: [...keys.algorithms] });
      expect((await verify()).payload.sub).toBe("x");
      server.state.status = 500;
      const strange = await token(await keyPair("RS256", "strange"), { sub: "x" });
      for (let i = 0; i < 5; i++) await expect(jwtVerify(strange, keys.find)).rejects.toThrow();
      expect(server.state.asked).toBe(1);
      await verify();
    } finally {
      keys.close();
      await server.close();
    }
  });

  test(`of more than ${KEY_SET_BYTES_MAX} bytes is none`, async () => {
    const large = createServer((_request, response) =>
      response.end("x".repeat(KEY_SET_BYTES_MAX + 1)),
    );
    await new Promise<void>((resolve) => large.listen(0, "127.0.0.1", resolve));
    const keys = open({ jwks: `http://127.0.0.1:${(large.address() as AddressInfo).port}/` });
    try {
      const signed = await token(rsa, { sub: "x" });
      await expect(jwtVerify(signed, keys.find)).rejects.toThrow("has not answered yet");
      expect(lines.join("\n")).toContain(`more than ${KEY_SET_BYTES_MAX} bytes`);
    } finally {
      keys.close();
      large.closeAllConnections();
      large.close();
    }
  });
});

describe("the claim of rules", () => {
  const bearer = { clientId: "c1", userName: "truck" };

  test("in the form of a list", () => {
    const claim = [
      { permission: "deny", action: "publish", topic: "a/secret" },
      { action: "publish", topic: "a/%u/#" },
      { action: "subscribe", topic: `b/\${clientid}/+` },
      { topic: "eq c/+" },
    ];
    const rule = (actions: number, allows: boolean, filter: string, isLiteral = false) => ({
      actions,
      allows,
      filter,
      isLiteral,
    });
    expect(readTokenRules(claim, bearer)).toEqual({
      rules: [
        rule(WRITE, false, "a/secret"),
        rule(WRITE, true, "a/truck/#"),
        rule(READ | SUBSCRIBE, true, "b/c1/+"),
        rule(READ | WRITE | SUBSCRIBE, true, "c/+", true),
      ],
      defaults: UNSUBSCRIBE,
    });
  });

  test("in the form of lists of topics", () => {
    expect(readTokenRules({ pub: ["a"], sub: ["b"], all: ["c/#"] }, bearer)).toMatchObject({
      rules: [
        { actions: WRITE, filter: "a" },
        { actions: READ | SUBSCRIBE, filter: "b" },
        { actions: READ | WRITE | SUBSCRIBE, filter: "c/#" },
      ],
    });
  });

  test.each([
    ["nothing", undefined, "expected a list of rules"],
    ["a text", "all", "expected a list of rules"],
    ["other lists", { publish: ["a"], drop: ["b"] }, "expected a list of rules"],
    ["no topic", [{ action: "all" }], "a rule needs a topic"],
    ["another action", [{ action: "read", topic: "a" }], "action has to be publish"],
    ["a name of Object's", [{ action: "toString", topic: "a" }], "action has to be publish"],
    ["another permission", [{ permission: "maybe", topic: "a" }], "permission has to be"],
    ["no Topic Filter", [{ topic: "a/#/b" }], "a topic is no Topic Filter"],
    ["a rule of text", ["a"], "a rule has to be an object"],
    ["too many", Array(TOKEN_RULES_MAX + 1).fill({ topic: "a" }), `more than ${TOKEN_RULES_MAX}`],
  ])("that is %s allows nothing", (_what, claim, fault) => {
    expect(readTokenRules(claim, bearer)).toContain(fault);
  });

  test("a name cannot widen it", () => {
    for (const clientId of ["+", "a/b", "#", ""]) {
      const rules = readTokenRules([{ topic: "a/%c" }], { clientId, userName: "truck" });
      expect(rules).toBe("a name that stands in a topic holds +, # or /, or is empty");
    }
  });
});
