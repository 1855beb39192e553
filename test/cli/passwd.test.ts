/** `holdfast passwd` from outside, and its files and mosquitto_passwd's, each read by the other. */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { readPasswordLines } from "../../src/access/password-file.ts";
import { PasswordHasher } from "../../src/access/password-hasher.ts";
import { TestClient } from "../support/client.ts";
import { startMosquitto } from "../support/mosquitto.ts";
import { endAll, runToEnd } from "./program.ts";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "holdfast-passwd-"));
const hasher = new PasswordHasher();
let fileCount = 0;

afterEach(endAll);
afterAll(() => {
  hasher.close();
  rmSync(directory, { recursive: true });
});

function freshFile(): string {
  fileCount++;
  return join(directory, `users${fileCount}`);
}

/** Whether the file has the password for the user. */
async function fits(file: string, user: string, password: string): Promise<boolean> {
  const users = readPasswordLines(readFileSync(file, "utf8"));
  if (typeof users === "string") throw new Error(users);
  const stored = users.get(user);
  if (stored === undefined) return false;
  const question = { stored, password: Buffer.from(password), user, address: "" };
  return (await hasher.check(question, 0)) === true;
}

/** Runs the command with what stdin brings. */
function withInput(input: string, ...args: readonly string[]) {
  return spawnSync(process.execPath, [MAIN, "passwd", ...args], { input, encoding: "utf8" });
}

/** The return code of a CONNECT of 3.1.1. */
async function returnCode(port: number, userName: string, password: string): Promise<number> {
  const client = await TestClient.open({ port, webSocketPort: 0 }, { version: 4 });
  client.sendConnect({ userName, password });
  const { returnCode } = await client.expectConnack();
  client.destroy();
  return returnCode ?? -1;
}

describe("holdfast passwd", () => {
  test("-c makes a file that its owner alone reads; others are added", async () => {
    const file = freshFile();
    const made = await runToEnd(["passwd", "-c", "-b", file, "truck", "diesel"]);
    expect(made).toEqual({ exitCode: 0, stdout: `truck is added to ${file}\n`, stderr: "" });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    for (const [user, ...flags] of [["ship"], ["bike", "-H", "sha512"], ["kite", "-I", "7"]]) {
      const added = await runToEnd(["passwd", "-b", ...flags, file, `${user}`, `${user} pw`]);
      expect(added.exitCode).toBe(0);
      expect(await fits(file, `${user}`, `${user} pw`)).toBe(true);
      expect(await fits(file, `${user}`, "diesel")).toBe(false);
    }
    expect(readFileSync(file, "utf8")).toMatch(
      /^truck:\$7\$1000\$.*\nship:\$7\$1000\$.*\nbike:\$6\$.*\nkite:\$7\$7\$.*\n$/,
    );
  });

  test("-H argon2id writes what mosquitto 2.1 writes", async () => {
    const file = freshFile();
    await runToEnd(["passwd", "-c", "-b", "-H", "argon2id", file, "truck", "diesel"]);
    expect(readFileSync(file, "utf8")).toMatch(/^truck:\$argon2id\$v=19\$m=47104,t=1,p=1\$[^=]*$/m);
    expect(await fits(file, "truck", "diesel")).toBe(true);
    expect(await fits(file, "truck", "petrol")).toBe(false);
  });

  test("gives another password in the same place; comments, mode and link stay", async () => {
    const file = freshFile();
    await runToEnd(["passwd", "-c", "-b", file, "truck", "diesel"]);
    const line = readFileSync(file, "utf8").trim();
    writeFileSync(file, `# fleet\n${line}\n\nship:plain\n${line}\n`);
    chmodSync(file, 0o640);
    const link = `${file}.link`;
    symlinkSync(file, link);
    const { exitCode, stdout } = await runToEnd(["passwd", "-b", link, "truck", "petrol"]);
    expect([exitCode, stdout]).toEqual([0, `truck has a new password in ${link}\n`]);
    expect(readFileSync(file, "utf8")).toMatch(/^# fleet\ntruck:.*\n\nship:plain\n$/);
    expect(statSync(file).mode & 0o777).toBe(0o640);
    expect(readdirSync(directory).filter((name) => name.endsWith(".new"))).toEqual([]);
    await runToEnd(["passwd", "-D", file, "ship"]);
    expect(await fits(file, "truck", "petrol")).toBe(true);
  });

  test("-D removes a user, -c makes the file anew", async () => {
    const file = freshFile();
    await runToEnd(["passwd", "-c", "-b", file, "truck", "diesel"]);
    const removed = await runToEnd(["passwd", "-D", file, "truck"]);
    expect([removed.exitCode, removed.stdout]).toEqual([0, `truck is removed from ${file}\n`]);
    const again = await runToEnd(["passwd", "-D", file, "truck"]);
    expect([again.exitCode, again.stderr]).toEqual([1, `holdfast: truck is not in ${file}\n`]);
    await runToEnd(["passwd", "-b", file, "truck", "diesel"]);
    await runToEnd(["passwd", "-c", "-b", file, "ship", "wind"]);
    expect(readFileSync(file, "utf8")).toMatch(/^ship:\S+\n$/);
  });

  test("-U hashes what is plain, and nothing twice", async () => {
    const file = freshFile();
    await runToEnd(["passwd", "-c", "-b", file, "truck", "diesel"]);
    writeFileSync(file, `${readFileSync(file, "utf8")}# plain:\nship:wind\nbike:a:b c\n`);
    const { stdout } = await runToEnd(["passwd", "-U", file]);
    expect(stdout).toBe(`2 passwords are hashed in ${file}\n`);
    expect((await runToEnd(["passwd", "-U", file])).stdout).toContain("0 passwords are hashed");
    expect(await fits(file, "truck", "diesel")).toBe(true);
    expect(await fits(file, "ship", "wind")).toBe(true);
    expect(await fits(file, "bike", "a:b c")).toBe(true);
  });

  test("blanks around a user and a hash are none of theirs", async () => {
    const file = freshFile();
    await runToEnd(["passwd", "-c", "-b", file, "truck", "diesel"]);
    writeFileSync(file, readFileSync(file, "utf8").replace(":", " :\t"));
    expect((await runToEnd(["passwd", "-U", file])).stdout).toContain("0 passwords are hashed");
    expect(await fits(file, "truck", "diesel")).toBe(true);
    const { stdout } = await runToEnd(["passwd", "-D", file, "truck"]);
    expect(stdout).toBe(`truck is removed from ${file}\n`);
  });

  test("-c - prints the line; the password is the first line of standard input", () => {
    const { status, stdout, stderr } = withInput("die sel\nmore\n", "-c", "-", "truck");
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^truck:\$7\$1000\$\S+\n$/);
  });

  test.each([
    ["asks twice on a terminal, shows nothing", "pw\npw\n", 0, "truck is added"],
    ["refuses two that are not the same", "pw\npw2\n", 1, "the passwords are not the same"],
  ])("%s", (_what, input, status, printed) => {
    const file = freshFile();
    const command = `${process.execPath} ${MAIN} passwd -c ${file} truck`;
    const ended = spawnSync("script", ["-qec", command, "/dev/null"], { input, encoding: "utf8" });
    expect(ended.stdout).toContain("Password for truck: ");
    expect(ended.stdout).toContain("The same again: ");
    expect(ended.stdout).toContain(printed);
    expect(ended.status).toBe(status);
  });

  test.each([
    ["no file", ["FILE", "truck"], 1, "FILE is not there; -c makes it"],
    ["no password", ["-c", "FILE", "truck"], 1, "there is no password"],
    ["an empty password", ["-c", "-b", "FILE", "truck", ""], 1, "the password is empty"],
    ["a colon in the user", ["-c", "-b", "FILE", "a:b", "x"], 1, "cannot hold a colon"],
    [
      "a bell in the user",
      ["-c", "-b", "FILE", "a\u0007", "x"],
      1,
      "cannot hold control characters",
    ],
    ["a comment as user", ["-c", "-b", "FILE", "#a", "x"], 1, "a user name cannot begin with #"],
    [
      "a blank in front of it",
      ["-c", "-b", "FILE", " a", "x"],
      1,
      "cannot begin or end with a blank",
    ],
    ["a blank behind it", ["-c", "-b", "FILE", "a ", "x"], 1, "cannot begin or end with a blank"],
    ["no user name", ["-c", "-b", "FILE", "", "x"], 1, "the user name is empty"],
    ["a password without -b", ["-c", "FILE", "a", "x"], 3, "goes with -b, and -b with one"],
    ["-b without password", ["-c", "-b", "FILE", "a"], 3, "goes with -b, and -b with one"],
    ["-D with -c", ["-D", "-c", "FILE", "a"], 3, "-c, -D and -U do not go together"],
    ["-U with a user", ["-U", "FILE", "a"], 3, "-U takes a file alone"],
    ["-U with -b", ["-U", "-b", "FILE"], 3, "-b goes with neither -D nor -U"],
    ["-U without a password", ["-U", "EMPTY"], 1, "EMPTY:1: truck has no password"],
    ["no iterations", ["-I", "0", "FILE", "a"], 3, "Expected an integer from 1 to 10000000"],
    [
      "-I with argon2id",
      ["-I", "9", "-H", "argon2id", "FILE", "a"],
      3,
      "-I goes with -H sha512-pbkdf2",
    ],
    ["a hash that is none", ["-H", "md5", "FILE", "a"], 3, "Allowed choices are sha512-pbkdf2"],
    ["- to change", ["-b", "-", "a", "b"], 3, "- for standard output goes with -c"],
    ["no user", ["FILE"], 3, "the user name is missing"],
    ["a place that is not there", ["-c", "-b", "FILE/x/y", "a", "b"], 1, "cannot write FILE/x/y"],
    ["a file with a bad line", ["-b", "BAD", "a", "b"], 1, "BAD:2: expected user:hash"],
  ])("%s: one line, and the exit code", (_what, args, code, fault) => {
    const file = freshFile();
    writeFileSync(`${file}.bad`, "\nbad\n");
    writeFileSync(`${file}.empty`, "truck:\n");
    const named = (text: string): string =>
      text.replace("FILE", file).replace("BAD", `${file}.bad`).replace("EMPTY", `${file}.empty`);
    const { status, stdout, stderr } = withInput("", ...args.map(named));
    expect([status, stdout]).toEqual([code, ""]);
    expect(stderr.startsWith("holdfast: ")).toBe(true);
    expect(stderr.trimEnd()).not.toContain("\n");
    expect(stderr).toContain(named(fault));
  });
});

describe("the password file is one language", () => {
  test("what mosquitto_passwd writes fits here", async () => {
    const file = freshFile();
    const made = (...args: readonly string[]): void => {
      expect(spawnSync("mosquitto_passwd", [...args]).status).toBe(0);
    };
    made("-c", "-b", file, "truck", "diesel");
    made("-b", "-H", "sha512", file, "bike", "legs ü");
    made("-b", "-I", "5000", file, "ship", "wind");
    for (const [user, password] of [
      ["truck", "diesel"],
      ["bike", "legs ü"],
      ["ship", "wind"],
    ] as const) {
      expect(await fits(file, user, password)).toBe(true);
      expect(await fits(file, user, `${password}.`)).toBe(false);
    }
  });

  test("what is written here lets clients into mosquitto 2.0", async () => {
    const file = freshFile();
    await runToEnd(["passwd", "-c", "-b", file, "truck", "diesel"]);
    await runToEnd(["passwd", "-b", "-H", "sha512", file, "bike", "legs ü"]);
    const mosquitto = await startMosquitto([`password_file ${file}`]);
    try {
      expect(await returnCode(mosquitto.port, "truck", "diesel")).toBe(0);
      expect(await returnCode(mosquitto.port, "bike", "legs ü")).toBe(0);
      expect(await returnCode(mosquitto.port, "truck", "petrol")).toBe(5);
    } finally {
      await mosquitto.stop();
    }
  });
});
