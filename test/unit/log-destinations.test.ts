/** Destinations of the log: files that are opened again, syslog through `logger`, topics. */
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import {
  LOG_LINE_CHARACTERS_MAX,
  LOG_TOPIC_LINES_MAX,
  LOG_TOPIC_LINES_PER_TURN_MAX,
  LOG_UNWRITTEN_CHARACTERS_MAX,
  SYSLOG_LINE_BYTES_MAX,
} from "../../src/base/limits.ts";
import { createLog, LOG_TYPES, type LogDestination, type LogSettings } from "../../src/base/log.ts";
import { until } from "../support/await.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-log-"));
afterAll(() => rmSync(directory, { recursive: true }));

function settingsFor(...destinations: LogDestination[]): LogSettings {
  return {
    destinations,
    types: new Set(LOG_TYPES),
    timestamp: false,
    timestampFormat: "",
    format: "text",
  };
}

function fileAt(name: string): { readonly path: string; lines(): string[] } {
  const path = join(directory, name);
  return {
    path,
    lines: () => (existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(0, -1) : []),
  };
}

test("a file that was moved away is opened again under its name", async () => {
  const [file, moved] = [fileAt("rotated.log"), fileAt("rotated.log.1")];
  const settings = settingsFor({ kind: "file", path: file.path });
  const log = createLog(settings);
  log.info("before");
  renameSync(file.path, moved.path);
  log.replace(settings);
  log.info("after");
  await log.close();
  await until("the old file", () => moved.lines().length > 0);
  expect([moved.lines(), file.lines()]).toEqual([["before"], ["after"]]);
});

test("a reload changes destinations and types; one that fails changes nothing", async () => {
  const [first, second] = [fileAt("first.log"), fileAt("second.log")];
  const log = createLog(settingsFor({ kind: "file", path: first.path }));
  const bad = { kind: "file", path: join(directory, "no/such/file.log") } as const;
  expect(() => log.replace(settingsFor(bad))).toThrow("ENOENT");
  log.info("one");
  const types = new Set(["error" as const]);
  log.replace({ ...settingsFor({ kind: "file", path: second.path }), types });
  log.info("two");
  log.error("three");
  await log.close();
  await until("the first file", () => first.lines().length > 0);
  expect([first.lines(), second.lines()]).toEqual([["one"], ["Error: three"]]);
});

test("a line is not as long as what a client sent", async () => {
  const file = fileAt("long.log");
  const log = createLog(settingsFor({ kind: "file", path: file.path }));
  log.info("x".repeat(LOG_LINE_CHARACTERS_MAX + 1));
  await log.close();
  expect(file.lines()).toEqual([`${"x".repeat(LOG_LINE_CHARACTERS_MAX)}…`]);
});

test("lines that no destination takes in time are dropped and counted", async () => {
  const file = fileAt("full.log");
  const log = createLog(settingsFor({ kind: "file", path: file.path }));
  const line = "x".repeat(LOG_LINE_CHARACTERS_MAX);
  const fitting = Math.floor(LOG_UNWRITTEN_CHARACTERS_MAX / (line.length + 1));
  for (let i = 0; i < fitting + 5; i++) log.info(line);
  expect(log.lostLines()).toBe(5);
  await log.close();
  expect(file.lines()).toHaveLength(fitting);
});

test("topics: a level for each type, and none for what single packets do", async () => {
  const log = createLog(settingsFor({ kind: "topic" }));
  const published: string[] = [];
  log.warn("before anybody publishes");
  log.publishTo((topic, text) => {
    published.push(`${topic} ${text}`);
    // What publishing itself logs does not come round.
    log.notice("published");
  });
  log.error("e");
  log.notice("n");
  log.info("i");
  log.debug("d");
  log.subscribe("s 0 a/b");
  log.unsubscribe("s a/b");
  await until("all of them", () => published.length >= 6);
  expect(published).toEqual([
    "W Warning: before anybody publishes",
    "E Error: e",
    "N n",
    "I i",
    "M/subscribe s 0 a/b",
    "M/unsubscribe s a/b",
  ]);
  await log.close();
});

test("topics: what waits is bounded, and so is what goes out in a turn", async () => {
  const log = createLog(settingsFor({ kind: "topic" }));
  for (let i = 0; i < LOG_TOPIC_LINES_MAX + 7; i++) log.info(`${i}`);
  expect(log.lostLines()).toBe(7);
  const turns: number[] = [0];
  log.publishTo(() => {
    turns[turns.length - 1] = (turns.at(-1) ?? 0) + 1;
  });
  const total = () => turns.reduce((sum, count) => sum + count);
  while (total() < LOG_TOPIC_LINES_MAX) {
    await new Promise((resolve) => setImmediate(resolve));
    turns.push(0);
  }
  expect(Math.max(...turns)).toBe(LOG_TOPIC_LINES_PER_TURN_MAX);
  await log.close();
});

/** A `logger` that writes down what it was asked to log, in front of that of the system. */
const LOGGER = `#!/bin/sh
case "$*" in *local7*) exit 3;; esac
while IFS= read -r line; do printf '%s %s\\n' "$*" "$line" >> "$HOLDFAST_TEST_SYSLOG"; done
`;
const syslog = fileAt("syslog");

beforeAll(() => {
  const logger = join(directory, "logger");
  writeFileSync(logger, LOGGER);
  chmodSync(logger, 0o755);
  vi.stubEnv("PATH", `${directory}:${process.env["PATH"]}`);
  vi.stubEnv("HOLDFAST_TEST_SYSLOG", syslog.path);
});
afterAll(() => vi.unstubAllEnvs());

test("syslog: with the facility, the severity and mosquitto's name", async () => {
  const log = createLog({ ...settingsFor({ kind: "syslog" }), facility: 5 });
  log.error("e");
  log.warn("w\nforged");
  log.notice("n");
  log.info("i");
  log.debug("d");
  await log.close();
  const tag = `-t mosquitto[${process.pid}]`;
  expect(syslog.lines().sort()).toEqual(
    [
      `${tag} -p local5.err Error: e`,
      `${tag} -p local5.warning Warning: w\\x0aforged`,
      `${tag} -p local5.notice n`,
      `${tag} -p local5.info i`,
      `${tag} -p local5.debug d`,
    ].sort(),
  );
  expect(log.lostLines()).toBe(0);
});

test("syslog: the facility is daemon where nothing is said", async () => {
  const log = createLog(settingsFor({ kind: "syslog" }));
  log.notice("daemon");
  await log.close();
  expect(syslog.lines()).toContain(`-t mosquitto[${process.pid}] -p daemon.notice daemon`);
});

test("syslog: a line is cut before logger would make two of it, between characters", async () => {
  const log = createLog({ ...settingsFor({ kind: "syslog" }), facility: 3 });
  const forged = "Authentication failed for 192.0.2.66:4711: guessed";
  for (const filling of ["x".repeat(SYSLOG_LINE_BYTES_MAX), "€".repeat(256), "😀".repeat(256)]) {
    log.notice(filling + "y".repeat(300) + forged);
  }
  log.notice("z".repeat(SYSLOG_LINE_BYTES_MAX));
  await log.close();
  const start = `-t mosquitto[${process.pid}] -p local3.notice `;
  const lines = syslog.lines().filter((line) => line.startsWith(start));
  const texts = lines.map((line) => line.slice(start.length));
  expect(texts).toEqual([
    `${"x".repeat(897)}…`,
    `${"€".repeat(256)}${"y".repeat(897 - 3 * 256)}…`,
    `${"😀".repeat(224)}…`,
    "z".repeat(900),
  ]);
  for (const text of texts) expect(Buffer.byteLength(text)).toBeLessThanOrEqual(900);
});

test("syslog: a logger that fails costs lines; they are counted, and it is told once", async () => {
  const told = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  const log = createLog({ ...settingsFor({ kind: "syslog" }), facility: 7 });
  log.notice("lost with it");
  await until("its end", () => told.mock.calls.length > 0);
  for (let i = 0; i < 10; i++) log.notice("lost");
  expect(log.lostLines()).toBe(10);
  expect(told.mock.calls).toEqual([
    ["holdfast: log_dest syslog: logger ended with 3: lines are lost\n"],
  ]);
  told.mockRestore();
  await log.close();
});
