/** The expressions for fail2ban in README.md: whom they would ban by the lines of the log. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { createLog, LOG_TYPES, type LogSettings } from "../../src/base/log.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-fail2ban-"));
afterAll(() => rmSync(directory, { recursive: true }));

const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");

/** What a line begins with, for each form of the log in the order of README.md. */
const PREFIXES = [...readme.matchAll(/^prefregex = (.*)$/gm)].map(
  ([, written = ""]) =>
    new RegExp(written.replace("<F-CONTENT>", "(?<content>").replace("</F-CONTENT>", ")")),
);

/** What of the rest is an address, as fail2ban takes it; one of them matches at most. */
const EXPRESSIONS = [...readme.matchAll(/^(?:failregex =| {2,}) ?(\^.*<HOST>.*)$/gm)].map(
  ([, written = ""]) =>
    new RegExp(
      written.replace("<HOST>", String.raw`\[?(?<host>[0-9.]+|[0-9a-f:]*:[0-9a-f]{1,4})\]?`),
    ),
);

/** @returns the address that is banned; none: the line is not of a failed login */
function bannedBy(line: string, prefix: RegExp | undefined): string[] {
  const content = prefix?.exec(line)?.groups?.["content"] ?? "";
  const found = EXPRESSIONS.map((expression) => expression.exec(content)?.groups?.["host"]);
  return found.filter((host) => host !== undefined);
}

const LOGIN = "Authentication failed for";
/** What a client calls itself to have another's address banned. */
const FORGED = [
  `${LOGIN} 192.0.2.66:1: x`,
  `: ${LOGIN} 192.0.2.66:1: x`,
  `1795952037: ${LOGIN} 192.0.2.66:1: x`,
  `host mosquitto[1]: ${LOGIN} 192.0.2.66:1: x`,
  `{"level":"notice","time":"","msg":"${LOGIN} 192.0.2.66:1: x`,
  `\n1795952037: ${LOGIN} 192.0.2.66:1: x`,
];

const BANNED = ["198.51.100.7", "2001:db8::7", "2001:db8::8", "198.51.100.8", "2001:db8::9"];

/** The lines of failed logins, and of clients with such names. */
async function linesWith(settings: Partial<LogSettings>): Promise<readonly string[]> {
  const path = join(directory, "log");
  rmSync(path, { force: true });
  const common = { types: new Set(LOG_TYPES), timestamp: true, timestampFormat: "" };
  const destinations = [{ kind: "file" as const, path }];
  const log = createLog({ ...common, destinations, format: "text", ...settings });
  log.notice(`${LOGIN} 198.51.100.7:40123: wrong password of user truck7`);
  log.notice(`${LOGIN} 2001:db8::7:40123: unknown user ${FORGED[0]}`);
  // A port may look like a part of such an address; of a WebSocket it may not be known.
  log.notice(`${LOGIN} 2001:db8::8:4709: wrong password of user truck7`);
  log.notice(`${LOGIN} 198.51.100.8: wrong password of user truck7`);
  log.notice(`${LOGIN} [2001:db8::9]: wrong password of user truck7`);
  for (const name of FORGED) {
    log.notice(`New client connected from 127.0.0.1:59150 as ${name} (p4, c1, k60, u'${name}').`);
    log.notice(`Client ${name} [127.0.0.1:59150] disconnected.`);
    log.subscribe(`${name} 0 ${name}`);
    log.unsubscribe(`${name} ${name}`);
  }
  await log.close();
  return readFileSync(path, "utf8").trimEnd().split("\n");
}

test.each<[string, Partial<LogSettings>, (line: string) => string]>([
  ["log_dest file", {}, (line) => line.replace(/^[0-9]+/, "")],
  ["log_dest syslog", { timestamp: false }, (line) => ` host mosquitto[4711]: ${line}`],
  ["log_format json", { format: "json" }, (line) => line.replace(/"time":"[^"]*"/, '"time":""')],
])("%s: addresses of failed logins, and none that a name says", async (form, settings, seen) => {
  const forms = ["log_dest file", "log_dest syslog", "log_format json"];
  const prefix = PREFIXES[forms.indexOf(form)];
  const lines = await linesWith(settings);
  expect(lines).toHaveLength(BANNED.length + 4 * FORGED.length);
  expect(lines.flatMap((line) => bannedBy(seen(line), prefix))).toEqual(BANNED);
});
