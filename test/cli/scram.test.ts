/** `holdfast scram` from outside: the credentials file, what is printed, and the exit codes. */
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
import { credentialOf, lineOf, readScramLines } from "../../src/access/scram-file.ts";
import { endAll, runToEnd, start } from "./program.ts";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "holdfast-scram-"));
let fileCount = 0;

afterEach(endAll);
afterAll(() => rmSync(directory, { recursive: true }));

function freshFile(): string {
  fileCount++;
  return join(directory, `users${fileCount}`);
}

function usersOf(file: string): string[] {
  const users = readScramLines(readFileSync(file, "utf8"));
  if (typeof users === "string") throw new Error(users);
  return [...users.keys()];
}

/** Whether the file has the password for the user. */
async function fits(file: string, user: string, password: string): Promise<boolean> {
  const users = readScramLines(readFileSync(file, "utf8"));
  const stored = typeof users === "string" ? undefined : users.get(user);
  if (stored === undefined) return false;
  const { storedKey } = await credentialOf(password, stored.iterations, stored.salt);
  return storedKey.equals(stored.storedKey);
}

/** Runs the command with what stdin brings. */
function withInput(input: string, ...args: readonly string[]) {
  return spawnSync(process.execPath, [MAIN, "scram", ...args], { input, encoding: "utf8" });
}

describe("holdfast scram", () => {
  test("-c makes a file that its owner alone reads; others are added", async () => {
    const file = freshFile();
    const made = await runToEnd(["scram", "-c", "-b", file, "truck", "diesel"]);
    expect(made).toEqual({ exitCode: 0, stdout: `truck is added to ${file}\n`, stderr: "" });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect((await runToEnd(["scram", "-b", file, "ship", "wind", "-i", "5000"])).exitCode).toBe(0);
    expect(usersOf(file)).toEqual(["truck", "ship"]);
    expect(await fits(file, "truck", "diesel")).toBe(true);
    expect(await fits(file, "ship", "wind")).toBe(true);
    expect(readFileSync(file, "utf8")).toMatch(/^truck:SCRAM-SHA-256\$4096:.*\nship:.*\$5000:/);
  });

  test("gives another password in the same place; comments, mode and link stay", async () => {
    const file = freshFile();
    const line = lineOf("truck", await credentialOf("diesel", 4096));
    writeFileSync(file, `# fleet\n${line}\n\n${lineOf("truck:2", await credentialOf("x", 4096))}`);
    chmodSync(file, 0o640);
    const link = `${file}.link`;
    symlinkSync(file, link);
    const { exitCode, stdout } = await runToEnd(["scram", "-b", link, "truck", "petrol"]);
    expect([exitCode, stdout]).toEqual([0, `truck has a new password in ${link}\n`]);
    expect(await fits(file, "truck", "petrol")).toBe(true);
    expect(await fits(file, "truck", "diesel")).toBe(false);
    expect(await fits(file, "truck:2", "x")).toBe(true);
    expect(readFileSync(file, "utf8")).toMatch(/^# fleet\ntruck:.*\n\ntruck:2:.*\n$/);
    expect(statSync(file).mode & 0o777).toBe(0o640);
    expect(readdirSync(directory).filter((name) => name.endsWith(".new"))).toEqual([]);
  });

  test("-D removes a user", async () => {
    const file = freshFile();
    await runToEnd(["scram", "-c", "-b", file, "truck", "diesel"]);
    const removed = await runToEnd(["scram", "-D", file, "truck"]);
    expect([removed.exitCode, removed.stdout]).toEqual([0, `truck is removed from ${file}\n`]);
    expect(readFileSync(file, "utf8")).toBe("");
    const again = await runToEnd(["scram", "-D", file, "truck"]);
    expect([again.exitCode, again.stderr]).toEqual([1, `holdfast: truck is not in ${file}\n`]);
  });

  test("the password is the first line of standard input", async () => {
    const file = freshFile();
    const { status, stdout } = withInput("die sel\nmore\n", "-c", file, "truck");
    expect([status, stdout]).toEqual([0, `truck is added to ${file}\n`]);
    expect(await fits(file, "truck", "die sel")).toBe(true);
  });

  test.each([
    ["asks twice on a terminal, shows nothing", "pw\npw\n", 0, "truck is added"],
    ["refuses two that are not the same", "pw\npw2\n", 1, "the passwords are not the same"],
  ])("%s", (_what, input, status, printed) => {
    const file = freshFile();
    // script(1) gives the command a terminal, which itself repeats what comes before it is asked.
    const command = `${process.execPath} ${MAIN} scram -c ${file} truck`;
    const ended = spawnSync("script", ["-qec", command, "/dev/null"], { input, encoding: "utf8" });
    expect(ended.stdout).toContain("Password for truck: ");
    expect(ended.stdout).toContain("The same again: ");
    expect(ended.stdout).toContain(printed);
    expect(ended.status).toBe(status);
  });

  test.each([
    ["no file", ["FILE", "truck"], 1, "FILE is not there; -c makes it"],
    [
      "-c upon a file",
      ["-c", "OLD", "truck"],
      1,
      "OLD is there already; leave out -c to add to it",
    ],
    ["no password", ["-c", "FILE", "truck"], 1, "there is no password"],
    ["an empty password", ["-c", "-b", "FILE", "truck", ""], 1, "the password is empty"],
    ["a password that may not be", ["-c", "-b", "FILE", "a", "x\u0007"], 1, "SASLprep forbids it"],
    [
      "a user that may not be",
      ["-c", "-b", "FILE", "a\u0007", "x"],
      1,
      "the user name is not valid",
    ],
    ["a comment as user", ["-c", "-b", "FILE", "#a", "x"], 1, "a user name cannot begin with #"],
    [
      "a blank in front of it",
      ["-c", "-b", "FILE", " a", "x"],
      1,
      "cannot begin or end with a blank",
    ],
    ["a blank behind it", ["-c", "-b", "FILE", "a ", "x"], 1, "cannot begin or end with a blank"],
    ["a password without -b", ["-c", "FILE", "a", "x"], 3, "goes with -b, and -b with one"],
    ["-b without password", ["-c", "-b", "FILE", "a"], 3, "goes with -b, and -b with one"],
    ["-D with -c", ["-D", "-c", "FILE", "a"], 3, "-D removes a user"],
    [
      "few iterations",
      ["-i", "4095", "FILE", "a"],
      3,
      "Expected an integer from 4096 to 100000000",
    ],
    ["no user", ["FILE"], 3, "missing required argument 'user'"],
    ["a place that is not there", ["-c", "-b", "FILE/x/y", "a", "b"], 1, "cannot write FILE/x/y"],
    ["a file with a bad line", ["-b", "BAD", "a", "b"], 1, "BAD:2: expected user:SCRAM-SHA-256"],
  ])("%s: one line, and the exit code", (_what, args, code, fault) => {
    const file = freshFile();
    writeFileSync(`${file}.old`, "");
    writeFileSync(`${file}.bad`, "\nbad\n");
    const named = (text: string): string =>
      text.replace("FILE", file).replace("OLD", `${file}.old`).replace("BAD", `${file}.bad`);
    const { status, stdout, stderr } = withInput("", ...args.map(named));
    expect([status, stdout]).toEqual([code, ""]);
    expect(stderr.startsWith("holdfast: ")).toBe(true);
    expect(stderr.trimEnd()).not.toContain("\n");
    expect(stderr).toContain(named(fault));
  });
});

describe("scram_file", () => {
  function configuration(file: string): string {
    const path = `${file}.conf`;
    const data = join(directory, "data");
    writeFileSync(path, `listener 0 127.0.0.1\npersistence_location ${data}\nscram_file ${file}\n`);
    return path;
  }

  test("that is not there, or has a bad line, forbids the start", async () => {
    const file = freshFile();
    const missing = await runToEnd(["-c", configuration(file)]);
    expect(missing.exitCode).toBe(1);
    expect(missing.stderr).toContain(`cannot read scram_file ${file}: ENOENT`);
    writeFileSync(file, "truck:diesel\n");
    const bad = await runToEnd(["-c", configuration(file)]);
    expect(bad.exitCode).toBe(1);
    expect(bad.stderr).toContain(`scram_file ${file}:1: expected user:SCRAM-SHA-256`);
  });

  test("that everybody can read is a warning; the listener refuses nobody for it", async () => {
    const file = freshFile();
    writeFileSync(file, `${lineOf("truck", await credentialOf("diesel", 4096))}\n`);
    chmodSync(file, 0o644);
    const program = start(["-c", configuration(file)]);
    await program.printed(/holdfast \S+ running/);
    program.signal("SIGTERM");
    const { exitCode, stderr } = await program.ended;
    expect(exitCode).toBe(0);
    expect(stderr).toContain("can be read or written by every user of this machine");
    expect(stderr).not.toContain("refuses every client");
  });
});
