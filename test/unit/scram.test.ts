/** SCRAM-SHA-256 and its credentials: RFC 5802, 7677, 5803, 4013. */
import { describe, expect, test } from "vitest";
import { prepare } from "../../src/access/saslprep.ts";
import { AUTHENTICATION_DATA_BYTES_MAX, ScramExchange } from "../../src/access/scram.ts";
import { ScramCredentials } from "../../src/access/scram-credentials.ts";
import {
  credentialOf,
  lineOf,
  readScramLines,
  type ScramCredential,
} from "../../src/access/scram-file.ts";
import { ScramClient } from "../support/scram-client.ts";

const SALT = Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64");
const user = await credentialOf("pencil", 4096, SALT);
const other = await credentialOf("ink", 5000);

function credentials(more: readonly (readonly [string, ScramCredential])[] = []): ScramCredentials {
  return new ScramCredentials(new Map([["user", user] as const, ...more]));
}

function text(step: ReturnType<ScramExchange["next"]>): string {
  return step.kind === "failure" ? `failure: ${step.reason}` : step.data.toString();
}

test("the exchange of RFC 7677 §3", () => {
  const exchange = new ScramExchange(credentials(), "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
  const first = exchange.next(Buffer.from("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"));
  expect(text(first)).toBe(
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
  );
  const last = exchange.next(
    Buffer.from(
      "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0," +
        "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    ),
  );
  expect(last).toMatchObject({ kind: "success", user: "user" });
  expect(text(last)).toBe("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
  expect(text(exchange.next(Buffer.from("n,,n=user,r=x")))).toContain("over");
});

describe("an exchange", () => {
  function run(client: ScramClient, known = credentials()): string {
    const exchange = new ScramExchange(known);
    const first = exchange.next(Buffer.from(client.first()));
    if (first.kind !== "continue") return text(first);
    const last = exchange.next(Buffer.from(client.final(first.data.toString())));
    return last.kind === "success" ? `success: ${last.user}` : text(last);
  }

  test.each([
    ["n,,", "success: user"],
    ["y,,", "success: user"],
    ["n,a=user,", "success: user"],
    ["n,a=somebody,", "failure: the authorization identity is another than the user"],
    ["p=tls-unique,,", "failure: channel binding is not supported"],
    ["x,,", "failure: the client-first message is malformed"],
  ])("with the header %s: %s", (header, outcome) => {
    expect(run(new ScramClient("user", "pencil", "nonce", header))).toBe(outcome);
  });

  test.each([
    ["user", "Pencil"],
    ["User", "pencil"],
    ["nobody", "pencil"],
    ["user\u0007", "pencil"],
  ])("of %j with %j fails as any other does", (name, password) => {
    const outcome = run(new ScramClient(name, password));
    expect(outcome).toBe("failure: no such user, or another password");
  });

  test("of a name with comma and equals sign", () => {
    const known = credentials([["a,b=c", other]]);
    expect(run(new ScramClient("a,b=c", "ink"), known)).toBe("success: a,b=c");
  });

  test("compares names as SASLprep writes them", () => {
    const known = credentials([["IX", other]]);
    expect(run(new ScramClient("I\u00adX", "ink"), known)).toBe("success: IX");
  });

  test.each([
    ["n,,n=us=er,r=x", "another password"],
    ["n,,n=user,r=", "malformed"],
    ["n,,m=1,n=user,r=x", "malformed"],
    ["", "malformed"],
    ["n,,n=user,r=x\u00e9", "malformed"],
  ])("that begins with %j fails: %s", (first, reason) => {
    const exchange = new ScramExchange(credentials());
    const step = exchange.next(Buffer.from(first));
    const client = new ScramClient("user", "pencil", "x");
    const outcome =
      step.kind === "failure" ? step : exchange.next(Buffer.from(client.final(text(step))));
    expect(text(outcome)).toContain(reason);
  });

  test.each([
    ["another nonce", { nonce: "nonce" }],
    ["another header", { binding: "eSws" }],
  ])("whose end has %s fails", (_what, changes) => {
    const client = new ScramClient("user", "pencil", "nonce");
    const exchange = new ScramExchange(credentials());
    const first = exchange.next(Buffer.from(client.first()));
    const last = exchange.next(Buffer.from(client.final(text(first), changes)));
    expect(text(last)).toContain("does not belong to this exchange");
  });

  test("whose proof is cut short fails", () => {
    const client = new ScramClient("user", "pencil", "nonce");
    const exchange = new ScramExchange(credentials());
    const first = exchange.next(Buffer.from(client.first()));
    const final = client.final(text(first)).replace(/p=.*$/, "p=AAAA");
    expect(text(exchange.next(Buffer.from(final)))).toContain("another length");
  });

  test("takes data up to its limit, not a byte more", () => {
    const start = "n,,n=user,r=";
    const nonce = "x".repeat(AUTHENTICATION_DATA_BYTES_MAX - start.length);
    expect(new ScramExchange(credentials()).next(Buffer.from(start + nonce)).kind).toBe("continue");
    const step = new ScramExchange(credentials()).next(Buffer.from(`${start}${nonce}x`));
    expect(text(step)).toContain("too long");
  });

  test("refuses what is not UTF-8", () => {
    const data = Buffer.from("6e2c2c6e3dff2c723d78", "hex");
    expect(text(new ScramExchange(credentials()).next(data))).toContain("not UTF-8");
  });
});

describe("a user who does not exist", () => {
  const three = credentials([
    ["other", other],
    ["third", { ...other, salt: Buffer.from("another salt, 16") }],
  ]);

  test("has a salt, the same each time and after a restart, but not another user's", () => {
    const { salt, iterations } = three.find("nobody");
    expect([salt.length, iterations]).toEqual([16, 5000]); // As most of the users have.
    const restarted = new ScramCredentials(
      new Map([
        ["user", user],
        ["other", other],
        ["third", other],
      ]),
    );
    expect(restarted.find("nobody").salt).toEqual(salt);
    expect(three.find("nobody2").salt).not.toEqual(salt);
    expect(three.find(null).salt).toHaveLength(16);
  });

  test("has another salt with other credentials, and one where there are none", () => {
    expect(credentials().find("nobody").salt).not.toEqual(three.find("nobody").salt);
    const none = new ScramCredentials(new Map());
    expect(none.find("nobody")).toMatchObject({ iterations: 4096 });
    expect(none.find("nobody").salt).toHaveLength(16);
  });
});

describe("the credentials file", () => {
  test("has a line as PostgreSQL writes it", () => {
    const line = lineOf("user", user);
    expect(line).toMatch(/^user:SCRAM-SHA-256\$4096:W22ZaJ0SNY7soEsUEjb6gQ==\$[\w+/=]+:[\w+/=]+$/);
    expect(readScramLines(`# users\n\n${line}\r\n`)).toEqual(new Map([["user", user]]));
  });

  test("may hold names with colons", () => {
    expect(readScramLines(lineOf("a:b", user))).toEqual(new Map([["a:b", user]]));
  });

  const line = lineOf("user", user);
  test.each([
    ["no credentials", "user", /^1: expected user:SCRAM-SHA-256/],
    ["another method", line.replace("SHA-256", "SHA-1"), /^1: expected user:SCRAM-SHA-256/],
    ["too few iterations", line.replace("4096", "4095"), /^1: the iterations must be 4096 to/],
    ["too many iterations", line.replace("4096", "9".repeat(20)), /^1: the iterations must be/],
    ["a salt that is not Base64", line.replace("W22Z", "W22*"), /^1: the salt is not Base64/],
    ["no salt", line.replace(/:W22[^$]*/, ":"), /^1: the salt is not Base64/],
    ["a longer key", `${line}AAAA`, /^1: StoredKey and ServerKey must be 32 bytes/],
    ["a user twice", `${line}\n${line}`, /^2: the user stands on an earlier line/],
    ["a control character", `\n\u0007${line}`, /^2: the user name has characters/],
    ["a name too long", "x".repeat(65_536) + line.slice(4), /^1: the user name is too long/],
  ])("refuses a line with %s", (_what, content, fault) => {
    expect(readScramLines(content)).toMatch(fault);
  });
});

describe("SASLprep: the examples of RFC 4013 §3", () => {
  test.each([
    ["I\u00adX", "IX"],
    ["user", "user"],
    ["USER", "USER"],
    ["\u00aa", "a"],
    ["\u2168", "IX"],
    ["\u0007", null],
    ["a\u00a0b", "a b"],
    ["\u200e", null],
    ["\ud800", null],
    ["\u00ad", null],
    ["", null],
  ])("%j is %j", (written, prepared) => {
    expect(prepare(written)).toBe(prepared);
  });
});
