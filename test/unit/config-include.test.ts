/** `include_dir`: which files are read, in which order, and whose their lines are. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { configure } from "../../src/config/configuration.ts";
import { INCLUDED_FILES_MAX } from "../../src/config/limits.ts";
import { NO_FLAGS } from "../../src/config/settings.ts";

let directory = "";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "holdfast-include-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** A main file that reads the directory between `before` and `behind`. */
function read(files: Readonly<Record<string, string>>, before = "", behind = "") {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  const content = `${before}include_dir ${directory}\n${behind}`;
  return configure({ name: "m.conf", content }, NO_FLAGS);
}

function portsOf({ settings }: ReturnType<typeof read>): readonly number[] {
  return settings.listeners.map(({ port }) => port);
}

test("files *.conf alone, in mosquitto's order: of a letter the capital first", () => {
  const names = "b A 01 a B 00 _ .h".split(" ").map((name) => `${name}.conf`);
  const files = Object.fromEntries(names.map((name, port) => [name, `listener ${port + 1}\n`]));
  const configuration = read({ ...files, "notes.txt": "nonsense\n", "conf.bak": "nonsense\n" });
  expect(configuration.errors).toEqual([]);
  const order = portsOf(configuration).map((port) => names[port - 1]);
  expect(order).toEqual([
    ".h.conf",
    "00.conf",
    "01.conf",
    "A.conf",
    "a.conf",
    "B.conf",
    "b.conf",
    "_.conf",
  ]);
});

test("an error names the inner file and its line", () => {
  const { errors } = read({ "a.conf": "# fine\n\nlistner 1\n" }, "sys_interval 5\n");
  expect(errors).toEqual([
    `${join(directory, "a.conf")}:3: unknown option listner; did you mean listener?`,
  ]);
});

test("a listener's lines begin anew in each file, and go on behind the directory", () => {
  const configuration = read(
    { "a.conf": "listener 2\nmax_connections 22\n", "b.conf": "listener 3\n" },
    "allow_anonymous true\nlistener 1\n",
    "max_connections 11\n",
  );
  expect(configuration.errors).toEqual([]);
  const limits = configuration.settings.listeners.map((own) => [own.port, own.connectionsMax]);
  expect(limits).toEqual([
    [1, 11],
    [2, 22],
    [3, Number.POSITIVE_INFINITY],
  ]);
});

test("a listener's line at the top of an inner file is not the listener's of the outer one", () => {
  const configuration = read({ "a.conf": "max_connections 5\n" }, "listener 1\n");
  expect(portsOf(configuration)).toEqual([1883, 1]);
});

test("include_dir in an inner file is not obeyed, and told", () => {
  mkdirSync(join(directory, "more"));
  const { errors, warnings } = read({ "a.conf": `include_dir ${directory}\n` });
  expect(errors).toEqual([]);
  expect(warnings).toEqual([
    `${join(directory, "a.conf")}:1: include_dir is read in the main file only; this one is not ` +
      "obeyed",
  ]);
});

test("an empty directory is nothing; one that is not there, or no file, is an error", () => {
  expect(read({}).errors).toEqual([]);
  mkdirSync(join(directory, "x.conf"));
  expect(read({}).errors).toEqual([expect.stringContaining("m.conf:1: include_dir: cannot read")]);
  const missing = configure({ name: "m.conf", content: "include_dir /no/such\n" }, NO_FLAGS);
  expect(missing.errors).toEqual([
    "m.conf:1: include_dir: cannot read /no/such: ENOENT: no such file or directory",
  ]);
});

test(`more than ${INCLUDED_FILES_MAX} files are an error`, () => {
  const names = Array.from({ length: INCLUDED_FILES_MAX }, (_, index) => `${index}.conf`);
  const files = Object.fromEntries(names.map((name) => [name, ""]));
  expect(read(files).errors).toEqual([]);
  expect(read({ "more.conf": "" }).errors).toEqual([
    expect.stringContaining(`more than ${INCLUDED_FILES_MAX}`),
  ]);
});
