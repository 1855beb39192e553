/** Stored passwords, and the hasher that checks them: kinds, bounds, turns, what is remembered. */
import { pbkdf2Sync } from "node:crypto";
import { afterAll, describe, expect, test } from "vitest";
import { addressKey, addressOf } from "../../src/access/address-key.ts";
import { FairQueue } from "../../src/access/fair-queue.ts";
import {
  HASH_WORKERS_MAX,
  HASHES_QUEUED_MAX,
  LOGIN_REMEMBERED_SECONDS,
  LOGINS_REMEMBERED_MAX,
  PBKDF2_UNDERWAY_MAX,
  SLOW_HASHES_QUEUED_MAX,
} from "../../src/access/limits.ts";
import { readPasswordLines } from "../../src/access/password-file.ts";
import {
  hashPassword,
  passwordHashText,
  readPasswordHash,
  type StoredPassword,
  storedHash,
} from "../../src/access/password-hash.ts";
import { type Checked, PasswordHasher } from "../../src/access/password-hasher.ts";

const hashers: PasswordHasher[] = [];
afterAll(() => {
  for (const hasher of hashers) hasher.close();
});

function freshHasher(): PasswordHasher {
  const hasher = new PasswordHasher();
  hashers.push(hasher);
  return hasher;
}

function stored(text: string): StoredPassword {
  return passwordHashText(storedHash(text));
}

const cheap = await hashPassword(Buffer.from("right"), "sha512-pbkdf2", 1);

function ask(
  hasher: PasswordHasher,
  password: string,
  { hash = cheap, user = "truck", address = "192.0.2.1", second = 0 } = {},
): Checked | Promise<Checked> {
  return hasher.check({ stored: hash, password: Buffer.from(password), user, address }, second);
}

describe("stored passwords", () => {
  test.each(["sha512", "sha512-pbkdf2", "argon2id"] as const)("%s: written, read", async (kind) => {
    const text = await hashPassword(Buffer.from("right ü"), kind);
    expect(stored(text)).toBe(text);
    const hasher = freshHasher();
    expect(await ask(hasher, "right ü", { hash: stored(text) })).toBe(true);
    expect(await ask(hasher, "right u", { hash: stored(text) })).toBe(false);
    expect(await ask(hasher, "", { hash: stored(text) })).toBe(false);
  });

  test("those of go-auth's files: PBKDF2 of other digests, bcrypt, padded argon2id", async () => {
    const salt = Buffer.from("a salt of some length");
    const key = pbkdf2Sync("right", salt, 10, 32, "sha256").toString("base64");
    const padded = (await hashPassword(Buffer.from("right"), "argon2id"))
      .split("$")
      .map((part, index) => (index < 4 ? part : `${part}==`))
      .join("$");
    const hasher = freshHasher();
    for (const text of [`PBKDF2$sha256$10$${salt.toString("base64")}$${key}`, padded]) {
      const hash = stored(text);
      expect(await ask(hasher, "right", { hash })).toBe(true);
      expect(await ask(hasher, "wrong", { hash })).toBe(false);
    }
    // Of the tests of Openwall's crypt_blowfish.
    const hash = stored("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW");
    expect(await ask(hasher, "U*U", { hash })).toBe(true);
    expect(await ask(hasher, "U*U*", { hash })).toBe(false);
  });

  test.each([
    ["plain", "expected a hash that begins with $7$"],
    ["$6$abc", "expected $6$salt$hash"],
    ["$6$YWJj$YWJj", "expected $6$salt$hash"],
    ["$7$101$!!$zz", "expected $7$iterations$salt$hash"],
    ["$7$0$YWJj$YWJj", "the iterations must be 1 to 10000000"],
    ["$7$10000001$YWJj$YWJj", "the iterations must be 1 to 10000000"],
    ["$7$1e3$YWJj$YWJj", "the iterations must be 1 to 10000000"],
    ["$9$YWJj$YWJj", "expected a hash that begins with $7$"],
    ["$argon2id$v=19$m=47104,t=1,p=1$YWJj", "expected $argon2id$v=19"],
    ["$argon2id$v=19$m=9999999,t=1,p=1$YWJjZGVmZ2g$YWJjZGVmZ2g", "m must be 8p to 1048576"],
    ["$argon2id$v=19$m=4,t=1,p=1$YWJjZGVmZ2g$YWJjZGVmZ2g", "m must be 8p to 1048576"],
    ["$2b$31$W22ZaJ0SNY7soEsUEjb6geqDGKZFlF50Bgm0zOpBVBtzdyXRF3LQu", "the cost of a bcrypt hash"],
  ])("%s is none", (text, fault) => {
    expect(readPasswordHash(text)).toContain(fault);
  });

  test("a file: comments, blanks, the later of two lines; its faults name the line", () => {
    const line = `truck:${cheap}`;
    const users = readPasswordLines(`# users\n\n  ${line}  \r\nsh ip:$6$\ntruck:x`);
    expect(users).toBe("4: the user sh ip: expected $6$salt$hash, both in Base64");
    const two = readPasswordLines(`${line}\n${line.replace("truck", "ship")}\n`);
    expect(typeof two === "string" ? two : [...two.keys()]).toEqual(["truck", "ship"]);
    expect(readPasswordLines("truck")).toBe("1: expected user:hash");
    expect(readPasswordLines(":x")).toBe("1: expected user:hash");
    // What is no hash may be a password.
    expect(readPasswordLines("truck:diesel")).not.toContain("diesel");
  });
});

describe("hasher", () => {
  test(`past ${HASHES_QUEUED_MAX} that wait the newest is turned away`, async () => {
    const hasher = freshHasher();
    const asked = HASHES_QUEUED_MAX + PBKDF2_UNDERWAY_MAX + 1;
    const answers = Array.from({ length: asked }, () => ask(hasher, "wrong"));
    expect(hasher.waitingCount).toBe(asked - 1);
    const all = await Promise.all(answers);
    expect(all.filter((checked) => checked === "busy")).toHaveLength(1);
    expect(all.at(-1)).toBe("busy");
    expect([hasher.busyCount, hasher.computedCount]).toEqual([1, asked - 1]);
  });

  test(`past ${SLOW_HASHES_QUEUED_MAX} of argon2id likewise`, async () => {
    const hash = stored("$argon2id$v=19$m=8,t=1,p=1$YWJjZGVmZ2g$YWJjZGVmZ2g");
    const hasher = freshHasher();
    const asked = SLOW_HASHES_QUEUED_MAX + HASH_WORKERS_MAX + 1;
    const all = await Promise.all(
      Array.from({ length: asked }, () => ask(hasher, "wrong", { hash })),
    );
    expect(all.at(-1)).toBe("busy");
    expect(all.filter((checked) => checked === false)).toHaveLength(asked - 1);
  });

  test("an address that asks a thousand times delays no other", async () => {
    const hasher = freshHasher();
    let flooded = 0;
    const flood = Array.from({ length: 1000 }, async () => {
      await ask(hasher, "wrong", { address: "192.0.2.1" });
      flooded++;
    });
    expect(await ask(hasher, "right", { address: "192.0.2.2" })).toBe(true);
    expect(flooded).toBeLessThan(20);
    await Promise.all(flood);
  });

  test("nothing is computed for who is gone when its turn comes", async () => {
    const hasher = freshHasher();
    let isGone = false;
    const question = { stored: cheap, user: "truck", address: "192.0.2.1", isGone: () => isGone };
    const all = Array.from({ length: 10 }, () =>
      hasher.check({ ...question, password: Buffer.from("wrong") }, 0),
    );
    isGone = true;
    const answers = await Promise.all(all);
    expect(answers.filter((checked) => checked === false)).toHaveLength(PBKDF2_UNDERWAY_MAX);
    expect(hasher.computedCount).toBe(PBKDF2_UNDERWAY_MAX);
  });

  test("a login is remembered for a while, under what is stored and no longer", async () => {
    const hasher = freshHasher();
    expect(await ask(hasher, "right")).toBe(true);
    expect(ask(hasher, "right", { second: LOGIN_REMEMBERED_SECONDS })).toBe(true);
    expect(hasher.computedCount).toBe(1);
    expect(await ask(hasher, "wrong")).toBe(false);
    expect(await ask(hasher, "right", { user: "ship" })).toBe(true);
    const changed = await hashPassword(Buffer.from("other"), "sha512-pbkdf2", 1);
    expect(await ask(hasher, "right", { hash: changed })).toBe(false);
    expect(hasher.computedCount).toBe(4);
    const late = 2 * LOGIN_REMEMBERED_SECONDS + 1;
    expect(await ask(hasher, "right", { second: late })).toBe(true);
    expect(hasher.computedCount).toBe(5);
    hasher.forget();
    expect(await ask(hasher, "right", { second: late })).toBe(true);
    expect(hasher.computedCount).toBe(6);
  });

  test(`no more than ${LOGINS_REMEMBERED_MAX} are remembered, the newest`, async () => {
    const hasher = freshHasher();
    await ask(hasher, "right", { user: "oldest" });
    for (let first = 0; first < LOGINS_REMEMBERED_MAX; first += 4000) {
      const users = Math.min(4000, LOGINS_REMEMBERED_MAX - first);
      await Promise.all(
        Array.from({ length: users }, (_, i) => ask(hasher, "right", { user: `${first + i}` })),
      );
    }
    expect(hasher.rememberedCount).toBe(LOGINS_REMEMBERED_MAX);
    const computed = hasher.computedCount;
    await ask(hasher, "right", { user: `${LOGINS_REMEMBERED_MAX - 1}` });
    expect(hasher.computedCount).toBe(computed);
    await ask(hasher, "right", { user: "oldest" });
    expect(hasher.computedCount).toBe(computed + 1);
  });
});

describe("turns of addresses", () => {
  test("go round; where the queue is full the longest lane loses its newest", () => {
    const queue = new FairQueue<string>(4);
    for (const job of ["a1", "a2", "a3"]) expect(queue.push("a", job)).toBe(null);
    expect(queue.push("b", "b1")).toBe(null);
    expect(queue.push("c", "c1")).toBe("a3");
    expect(queue.push("a", "a4")).toBe("a4");
    expect(Array.from({ length: 5 }, () => queue.shift())).toEqual(["a1", "b1", "c1", "a2", null]);
    expect(queue.count).toBe(0);
  });

  test.each([
    ["192.0.2.1:1883", "192.0.2.1"],
    ["[2001:db8:1:2:3:4:5:6]:99", "2001:db8:1:2::/64"],
    ["2001:db8::1:99", "2001:db8:0:0::/64"],
    ["::ffff:192.0.2.1:99", "192.0.2.1"],
    ["::1:99", "0:0:0:0::/64"],
    // With a port that may be a group of an address, the network is the same.
    ["1::2:3:4:5:80", "1:0:0:0::/64"],
    ["1::2:3:4:5:40000", "1:0:0:0::/64"],
    ["fe80::1%eth0:99", "fe80:0:0:0::/64"],
    // Of a WebSocket there is no port.
    ["[2001:db8:1:2:3:4:5:6]", "2001:db8:1:2::/64"],
    ["[2001:db8:1:2::7]", "2001:db8:1:2::/64"],
    ["[1::2:3:4:5]", "1:0:0:0::/64"],
    ["192.0.2.1", "192.0.2.1"],
    ["local", "local"],
  ])("%s is of %s", (remote, key) => {
    expect(addressKey(remote)).toBe(key);
  });

  test.each([
    ["192.0.2.1:80", "192.0.2.1"],
    ["::1:80", "::1"],
    ["[::1]", "::1"],
    ["[::1]:80", "::1"],
    ["local", "local"],
  ])("%s has the address %s", (remote, address) => {
    expect(addressOf(remote)).toBe(address);
  });
});
