/**
 * Configurations as they are in the field, `test/differential/configurations/`: which ports each
 * opens and for whom, and which are refused.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { configure } from "../../src/config/configuration.ts";
import { type ListenerSettings, NO_FLAGS } from "../../src/config/settings.ts";
import { configurations, copyFiles, filled } from "../support/configurations.ts";

const places = { port: 1111, port2: 2222, dir: mkdtempSync(join(tmpdir(), "holdfast-shapes-")) };
copyFiles(places);
afterAll(() => rmSync(places.dir, { recursive: true }));

/** What is said of a configuration: its listeners, or the beginnings of its errors. */
const SHAPES: Readonly<Record<string, readonly string[]>> = {
  "access-below-second": ["127.0.0.1:1111 password", "127.0.0.1:2222 password"],
  "acl-anonymous": ["*:1111 anonymous acl"],
  "anonymous-above": ["0.0.0.0:1111 anonymous"],
  "assigned-client-id": ["*:1111 anonymous ids station-"],
  "blanks-and-trailing-comments": ["127.0.0.1:1111 anonymous"],
  "bridge-beside": ["*:1111 anonymous"],
  "certificate-without-tls": [
    "certificate-without-tls.conf:4: require_certificate needs TLS",
    "certificate-without-tls.conf:5: use_identity_as_username needs TLS",
  ],
  "client-id-prefix": ["*:1111 anonymous"],
  "comments-only": ["127.0.0.1:1883 anonymous"],
  "docker-compose": ["*:1111 anonymous"],
  "docker-log-file": ["*:1111 anonymous"],
  "dynamic-security": ["*:1111 dynamic-security"],
  empty: ["127.0.0.1:1883 anonymous"],
  "expiry-in-months": ["*:1111 anonymous"],
  "home-assistant": ["*:1111 password acl http", "ws *:2222 password acl http"],
  "include-dir": ["*:1111 anonymous"],
  "ipv4-only": ["*:1111 anonymous ipv4"],
  limits: ["*:1111 anonymous max 100"],
  "localhost-name": ["localhost:1111 anonymous"],
  "log-syslog-topic": ["*:1111 anonymous"],
  "logs-of-all-kinds": ["*:1111 anonymous"],
  "loopback-only": ["127.0.0.1:1111 anonymous"],
  "minimal-closed": ["*:1111"],
  "minimal-open": ["*:1111 anonymous"],
  "mount-point": ["127.0.0.1:1111 anonymous at site/", "127.0.0.1:2222 anonymous"],
  "no-empty-client-id": ["*:1111 anonymous no empty id"],
  "no-include-dir": ["no-include-dir.conf:2: include_dir: cannot read"],
  "no-password-file": ["*:1111 password"],
  "no-retain": ["*:1111 anonymous"],
  "old-port": ["127.0.0.1:1111 anonymous"],
  "old-port-beside-listener": ["*:1111 anonymous", "ws 127.0.0.1:2222 anonymous"],
  "one-name-many-values": ["*:1111 anonymous"],
  "option-above-listener": ["127.0.0.1:1111 anonymous ids station-"],
  "options-above-listener": ["*:1111 anonymous"],
  "password-and-acl": ["0.0.0.0:1111 password acl"],
  "password-file": ["*:1111 password"],
  "per-listener": ["127.0.0.1:1111 anonymous", "127.0.0.1:2222 password"],
  "plain-and-tls": ["127.0.0.1:1111 anonymous", "tls *:2222 anonymous"],
  psk: ["tls *:1111 psk"],
  "same-port-twice": ["two listeners on 127.0.0.1:1111"],
  sessions: ["*:1111 anonymous"],
  "small-message-limit": ["*:1111 anonymous qos 1"],
  "sys-topics-fast": ["*:1111 anonymous"],
  "sys-topics-off": ["*:1111 anonymous"],
  tls: ["tls *:1111 anonymous"],
  "tls-client-certificate": ["tls *:1111 certificate"],
  "tls-subject": ["tls *:1111 certificate"],
  "tls-websockets": ["tls ws *:1111 anonymous"],
  "two-protocols": ["*:1111 anonymous", "ws *:2222 anonymous"],
  "unix-socket": ["DIR/mqtt.sock anonymous"],
  "user-name-as-client-id": ["*:1111 password"],
  "windows-lines": ["*:1111 anonymous"],
  "wrong-option": ["wrong-option.conf:1: unknown option listner; did you mean listener?"],
  "wrong-port": ['wrong-port.conf:1: listener: "70000" is not accepted'],
  "wrong-user": ["*:1111"],
  "wrong-value": ['wrong-value.conf:2: allow_anonymous: "maybe" is not accepted'],
};

function told(listener: ListenerSettings): string {
  const { access, address, connectionsMax, port, protocol, qosMax, socketPath, tls } = listener;
  const isOfCertificate = listener.usesIdentityAsUserName || listener.usesSubjectAsUserName;
  return [
    tls === null ? "" : "tls",
    protocol === "mqtt" ? "" : "ws",
    socketPath?.replace(places.dir, "DIR") ?? `${address || "*"}:${port}`,
    listener.allowAnonymous ? "anonymous" : "",
    access.passwordFile === null ? "" : "password",
    access.aclFile === null ? "" : "acl",
    access.http === null ? "" : "http",
    access.dynamicSecurityFile === null ? "" : "dynamic-security",
    tls?.requireCertificate && isOfCertificate ? "certificate" : "",
    tls?.pskFile ? "psk" : "",
    Number.isFinite(connectionsMax) ? `max ${connectionsMax}` : "",
    qosMax === 2 ? "" : `qos ${qosMax}`,
    listener.socketDomain === "any" ? "" : listener.socketDomain,
    listener.mountPoint === "" ? "" : `at ${listener.mountPoint}`,
    listener.clientIdPrefix === "auto-" ? "" : `ids ${listener.clientIdPrefix}`,
    listener.emptyClientIdAllowed ? "" : "no empty id",
  ]
    .filter((word) => word !== "")
    .join(" ");
}

test("the table has every file, and no other", () => {
  const names = configurations().map(({ name }) => name);
  expect(names.sort()).toEqual(Object.keys(SHAPES).sort());
});

test.for(configurations())("$name", ({ name, text }) => {
  const file = { name: `${name}.conf`, content: filled(text, places) };
  const { settings, errors } = configure(file, NO_FLAGS);
  const expected = SHAPES[name] ?? [];
  if (errors.length === 0) {
    expect(settings.listeners.map(told)).toEqual(expected);
  } else {
    expect(errors).toHaveLength(expected.length);
    for (const [index, error] of errors.entries()) expect(error).toContain(expected[index]);
  }
});
