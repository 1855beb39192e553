/** `holdfast check`, `backup` and `compact` from outside: what they print, and their exit codes. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { lockDirectory } from "../../src/store/lock.ts";
import { createStore, fillStore, putPage } from "../store/check-store.ts";
import { endAll, runToEnd } from "./program.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-cli-"));
let data = "";
let damaged = "";

beforeAll(async () => {
  const store = createStore();
  await fillStore(store, false);
  await store.close();
  data = store.directory;
  const other = createStore();
  await fillStore(other, false);
  other.pages.get(8)?.[0]?.writeUInt8(99, 40);
  other.pages.delete(9);
  putPage(other, 11);
  await other.flush();
  await other.close();
  damaged = other.directory;
});

afterEach(endAll);
afterAll(() => {
  for (const path of [directory, data, damaged]) rmSync(path, { recursive: true });
});

const SOUND = `Sessions: 2
subscriptions: 5
queued messages: 76
shared messages: 1
retained messages: 1
wills: 1
journal pages: 3
journal pages behind the index: 2
`;

test("check says what there is, and 0 if all is well", async () => {
  expect(await runToEnd(["check", "--data", data])).toEqual({
    exitCode: 0,
    stdout: `${SOUND}${data} is sound\n`,
    stderr: "",
  });
});

test("check says what is wrong, a line each, and 1", async () => {
  const { exitCode, stdout, stderr } = await runToEnd(["check", "--data", damaged]);
  expect([exitCode, stderr]).toEqual([1, ""]);
  const lines = stdout.trimEnd().split("\n");
  expect(lines.slice(0, 2)).toEqual([
    "journal page 8: its crc is wrong",
    "journal: pages 9 to 10 are missing behind position 7",
  ]);
  expect(lines.at(-1)).toBe(`${damaged} is not sound: 2 faults`);
});

test("check names the process that may be writing meanwhile", async () => {
  const lock = await lockDirectory(data, "fsync");
  const { exitCode, stdout } = await runToEnd(["check", "--data", data]);
  lock.release();
  expect(exitCode).toBe(0);
  expect(stdout).toContain(`${data} is in use by process ${process.pid}: what that was writing`);
});

test("the directory comes from the configuration file, and --data counts before it", async () => {
  const file = join(directory, "m.conf");
  writeFileSync(file, `listener 0\nallow_anonymous true\npersistence_location ${data}/\n`);
  const { exitCode, stdout } = await runToEnd(["check", "-c", file]);
  expect([exitCode, stdout]).toEqual([0, `${SOUND}${data}/ is sound\n`]);
  expect((await runToEnd(["check", "--data", damaged, "-c", file])).exitCode).toBe(1);
  writeFileSync(file, "persistance true\n");
  const bad = await runToEnd(["check", "-c", file]);
  expect([bad.exitCode, bad.stderr]).toEqual([
    3,
    `holdfast: ${file}:1: unknown option persistance; did you mean persistence?\n`,
  ]);
});

test("a configuration file that cannot be read is one line, and 3", async () => {
  const { exitCode, stderr } = await runToEnd(["check", "-c", join(directory, "none.conf")]);
  expect(exitCode).toBe(3);
  expect(stderr).toMatch(
    /^holdfast: cannot read the configuration file [^\n]*none\.conf: ENOENT[^\n]*\n$/,
  );
});

test("backup writes a copy that check finds sound", async () => {
  const copy = join(directory, "copy");
  const { exitCode, stdout, stderr } = await runToEnd(["backup", copy, "--data", data]);
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/ is copied to .*: [\d.]+ [KM]iB, 2 pages of the journal\n$/);
  const checked = await runToEnd(["check", "--data", copy]);
  expect(checked.stdout).toBe(`${SOUND.replace("pages: 3", "pages: 2")}${copy} is sound\n`);
  const again = await runToEnd(["backup", copy, "--data", data]);
  expect([again.exitCode, again.stdout]).toEqual([1, ""]);
  expect(again.stderr).toBe(
    `holdfast: ${copy} is not empty; a backup needs a directory of its own\n`,
  );
});

test("compact says what it saved, and refuses a directory in use", async () => {
  const copy = join(directory, "compacted");
  await runToEnd(["backup", copy, "--data", data]);
  const { exitCode, stdout, stderr } = await runToEnd(["compact", "--data", copy]);
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^index\.mdb: .* → .*\n$/);
  const lock = await lockDirectory(copy, "fsync");
  const refused = await runToEnd(["compact", "--data", copy]);
  lock.release();
  expect([refused.exitCode, refused.stdout]).toEqual([1, ""]);
  expect(refused.stderr).toContain(`${copy} is in use by process ${process.pid}`);
  expect(readdirSync(copy)).not.toContain("index.mdb.compact");
});

test.each(["check", "compact"])("%s of no data directory is one line, and 1", async (command) => {
  const none = join(directory, "none");
  const { exitCode, stdout, stderr } = await runToEnd([command, "--data", none]);
  expect([exitCode, stdout]).toEqual([1, ""]);
  expect(stderr).toBe(`holdfast: ${none} is no data directory: there is no store in it\n`);
});

test.each([
  ["check", "Reads everything"],
  ["backup", "Copies the data directory"],
  ["compact", "Writes the index"],
])("%s --help says what it does", async (command, sentence) => {
  const { exitCode, stdout } = await runToEnd([command, "--help"]);
  expect(exitCode).toBe(0);
  expect(stdout).toContain(sentence);
  for (const flag of ["--data <dir>", "--config-file <file>"]) expect(stdout).toContain(flag);
  expect(stdout).not.toContain("--port");
});

test.each([
  [["backup"], "missing required argument 'dest'"],
  [["backup", "a", "b"], "too many arguments for 'backup'"],
  [["check", "--dat", "x"], "unknown flag --dat; did you mean --data?"],
  [["check", "-p", "1883"], "unknown flag -p"],
  [["chekc"], "unknown command chekc; did you mean check?"],
  [["--durability", "disk"], "Allowed choices are fsync, process, memory."],
])("%j is one line, and 3", async (args, fault) => {
  const { exitCode, stdout, stderr } = await runToEnd(args);
  expect([exitCode, stdout]).toEqual([3, ""]);
  expect(stderr).toMatch(/^holdfast: [^\n]*\n$/);
  expect(stderr).toContain(fault);
});
