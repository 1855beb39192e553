/** The log's lines, and the small readers of words and quantities that the configuration needs. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import {
  createLog,
  escapeControls,
  LOG_TYPES_DEFAULT,
  type Log,
  type LogSettings,
} from "../../src/base/log.ts";
import { formatTime } from "../../src/base/log-time.ts";
import { editDistance, nearest } from "../../src/base/nearest.ts";
import { formatBytes, parseDurationSeconds, parseInteger } from "../../src/base/quantity.ts";

import { until } from "../support/await.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-log-"));
afterAll(() => rmSync(directory, { recursive: true }));

let logCount = 0;

/** The lines that `write` leaves in a log file with these settings. */
async function linesOf(settings: Partial<LogSettings>, write: (log: Log) => void) {
  const path = join(directory, `${logCount++}.log`);
  const log = createLog({
    destinations: [{ kind: "file", path }],
    types: new Set(LOG_TYPES_DEFAULT),
    timestamp: true,
    timestampFormat: "",
    format: "text",
    ...settings,
  });
  write(log);
  await log.close();
  return readFileSync(path, "utf8").split("\n").slice(0, -1);
}

test("a line is the Unix time in seconds, a colon, the text", async () => {
  const lines = await linesOf({}, (log) => log.notice("New client connected.", { port: 1 }));
  expect(lines).toEqual([expect.stringMatching(/^\d{10}: New client connected\.$/)]);
});

test("errors and warnings say so; types that are not asked for are dropped", async () => {
  const lines = await linesOf({ timestamp: false }, (log) => {
    for (const write of [log.error, log.warn, log.notice, log.info, log.debug]) write("x");
    log.subscribe("x");
    log.unsubscribe("x");
  });
  expect(lines).toEqual(["Error: x", "Warning: x", "x", "x"]);
});

test("log_timestamp_format forms the time", async () => {
  const lines = await linesOf({ timestampFormat: "%Y-%m-%dT%H:%M:%S" }, (log) => log.info("x"));
  expect(lines).toEqual([expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d: x$/)]);
});

test("JSON lines hold level, time, text and fields", async () => {
  const types = new Set([...LOG_TYPES_DEFAULT, "subscribe" as const]);
  const lines = await linesOf({ format: "json", types }, (log) => {
    log.notice("a\nb", { clientId: "c" });
    log.subscribe("d");
    log.debug("dropped");
  });
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { level: "notice", time: expect.stringMatching(/^\d{4}-.*Z$/), clientId: "c", msg: "a\nb" },
    { level: "info", time: expect.any(String), type: "subscribe", msg: "d" },
  ]);
  const formatted = await linesOf({ format: "json", timestampFormat: "%%" }, (log) =>
    log.error("x"),
  );
  expect(formatted).toEqual(['{"level":"error","time":"%","msg":"x"}']);
});

test("a control character in a line is escaped, so that no line can be forged", async () => {
  const lines = await linesOf({ timestamp: false }, (log) => log.info("a\n1: b\u0085\u2028\u001b"));
  expect(lines).toEqual(["a\\x0a1: b\\x85\\u2028\\x1b"]);
  expect(escapeControls("Grüße, 世界")).toBe("Grüße, 世界");
});

test("what is invisible, or turns round what is beside it, is escaped in every form", async () => {
  const hidden = "\u200b\u200f\u202a\u202e\u2066\u2069\u0085\u2029";
  const escaped = "\\u200b\\u200f\\u202a\\u202e\\u2066\\u2069\\x85\\u2029";
  expect(await linesOf({ timestamp: false }, (log) => log.info(`a${hidden}b`))).toEqual([
    `a${escaped}b`,
  ]);
  const [line = ""] = await linesOf({ timestamp: false, format: "json" }, (log) =>
    log.info(`a${hidden}b`),
  );
  expect(line).toContain(`"a${escaped.replace("x85", "u0085")}b"`);
  expect(JSON.parse(line).msg).toBe(`a${hidden}b`);
});

test("without a destination nothing is written, and has() tells so", async () => {
  const settings = { types: new Set(LOG_TYPES_DEFAULT), timestamp: true, timestampFormat: "" };
  const log = createLog({ ...settings, destinations: [], format: "text" });
  log.error("x");
  expect(log.has("error")).toBe(false);
  await log.close();
});

test("all lines are written before close() settles", async () => {
  const lines = await linesOf({ timestamp: false }, (log) => {
    for (let line = 0; line < 10_000; line++) log.info(`${line}`);
  });
  expect(lines).toEqual(Array.from({ length: 10_000 }, (_, line) => `${line}`));
});

test("a full disk costs lines and nothing else; they are counted, and it is told", async () => {
  const told = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  const settings = { types: new Set(LOG_TYPES_DEFAULT), timestamp: true, timestampFormat: "" };
  const destinations = [{ kind: "file" as const, path: "/dev/full" }];
  const log = createLog({ ...settings, destinations, format: "text" });
  for (let line = 0; line < 100; line++) log.info("lost");
  await until("they are lost", () => log.lostLines() === 100);
  log.info("lost as well");
  await log.close();
  log.error("dropped");
  expect(log.lostLines()).toBe(102);
  expect(told.mock.calls).toEqual([
    ["holdfast: log_dest file /dev/full: ENOSPC: no space left on device: lines are lost\n"],
  ]);
  told.mockRestore();
});

test("a log file that cannot be opened is the system's error", () => {
  const destinations = [{ kind: "file" as const, path: join(directory, "no", "such.log") }];
  const settings = { types: new Set(LOG_TYPES_DEFAULT), timestamp: true, timestampFormat: "" };
  expect(() => createLog({ ...settings, destinations, format: "text" })).toThrow(/ENOENT/);
});

test("times are formatted as strftime(3) formats them", () => {
  const now = new Date(2024, 1, 9, 15, 4, 5);
  const cases: readonly (readonly [string, string])[] = [
    ["%Y-%m-%d %H:%M:%S", "2024-02-09 15:04:05"],
    ["%F %T", "2024-02-09 15:04:05"],
    ["%a %A %b %B %e", "Fri Friday Feb February  9"],
    ["%I:%M %p, day %j of %y", "03:04 PM, day 040 of 24"],
    ["%s", `${now.getTime() / 1000}`],
    ["100%% %Q", "100% %Q"],
  ];
  for (const [format, expected] of cases) expect(formatTime(format, now)).toBe(expected);
  expect(formatTime("%z", now)).toMatch(/^[+-]\d{4}$/);
});

test("whole numbers, durations and bytes", () => {
  expect(["0", "-1", "+7", "007"].map(parseInteger)).toEqual([0, -1, 7, 7]);
  expect(["", "1.5", "1e3", "0x1", " 1", "9007199254740993"].map(parseInteger)).toEqual(
    Array(6).fill(null),
  );
  expect(["1", "1h", "1d", "136y", "137y"].map(parseDurationSeconds)).toEqual([
    1, 3_600, 86_400, 4_288_896_000, 0xffffffff,
  ]);
  expect(["0", "0d", "-1", "d", "1s", "1 d"].map(parseDurationSeconds)).toEqual(
    Array(6).fill(null),
  );
  expect([20, 1_023, 1_024, 1_536, 67_108_864, 4_294_967_296].map(formatBytes)).toEqual([
    "20 bytes",
    "1023 bytes",
    "1 KiB",
    "1.5 KiB",
    "64 MiB",
    "4 GiB",
  ]);
});

test("the nearest word, or none when the guess would mislead", () => {
  expect(editDistance("kitten", "sitting")).toBe(3);
  expect(editDistance("", "abc")).toBe(3);
  expect(nearest("lisner", ["listener", "log_dest"])).toBe("listener");
  expect(nearest("LOG_DST", ["listener", "log_dest"])).toBe("log_dest");
  expect(nearest("zebra", ["listener", "log_dest"])).toBeNull();
  expect(nearest("x".repeat(1_000_000), ["listener"])).toBeNull();
});
