/** No file can make the parser fail: it answers with settings, errors and warnings. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { configure } from "../../src/config/configuration.ts";
import { TEXT_CHARACTERS_MAX } from "../../src/config/option.ts";
import { OPTIONS } from "../../src/config/options.ts";
import { reconcile } from "../../src/config/reload.ts";
import { NO_FLAGS } from "../../src/config/settings.ts";
import { UNOBEYED_NAMES } from "../../src/config/unobeyed.ts";

/** include_dir would read what the machine has. */
const names = [...Object.keys(OPTIONS), ...UNOBEYED_NAMES, "plugin_opt_x", "auth_opt_backends"]
  .filter((name) => name !== "include_dir")
  .concat("__proto__", "constructor", "toString", "plugin_opt_", "auth_opt_", "maximum_qos");

const values = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc.constantFrom("true", "false", "0", "-1", "1", "5", "65535", "4294967296", "1e3", "0x10", "٣"),
  fc.constantFrom("1883", "0 /x", "1883 ::1", "go-auth.so", "files,http,jwt", "name go-auth.so"),
  fc.constantFrom("tlsv1.1", "http_api", "a/# keep=last", "3,4,5", "/x/mosquitto_acl_file.so"),
  fc.string().map((text) => text.repeat(2_000)),
);

const line = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(fc.constantFrom(...names), values).map((pair) => pair.join(" ")),
  },
  { weight: 1, arbitrary: fc.string({ unit: "binary" }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("", "#", " #", "\t", "\r", "\u0000", "\ufeff", "\ud800"),
  },
);

const numRuns = Number(process.env["PROPERTY_RUNS"] ?? 2_000);

test("lines of all contents: settings that are whole, or errors of one line each", () => {
  fc.assert(
    fc.property(fc.array(line, { maxLength: 30 }), (lines) => {
      const content = lines.join("\n").replaceAll(/^[ \t]*include_dir/gm, "#");
      const { settings, errors, warnings } = configure({ name: "m.conf", content }, NO_FLAGS);
      if (errors.length === 0) expect(settings.listeners.length).toBeGreaterThan(0);
      for (const sentence of [...errors, ...warnings]) {
        expect(sentence).not.toBe("");
        expect(sentence.length).toBeLessThan(TEXT_CHARACTERS_MAX + 400);
      }
      for (const { access, port, qosMax } of settings.listeners) {
        expect(port).toBeGreaterThanOrEqual(0);
        expect(port).toBeLessThanOrEqual(65_535);
        expect([0, 1, 2]).toContain(qosMax);
        expect(typeof access.allowAnonymous).toBe("boolean");
      }
    }),
    { numRuns },
  );
});

test("a file that is read again while another runs: the listeners stay those that are open", () => {
  const lines = fc.constantFrom(
    ...["listener 1", "listener 2 ::1", "listener 0 /x", "listener 3", "port 7"],
    ...["max_connections 5", "max_connections -1", "max_qos 1", "listener_allow_anonymous true"],
    ...[
      "sys_interval 1",
      "sys_interval 2",
      "log_type all",
      "log_dest stdout",
      "queue_rule a keep=last",
    ],
    ...["password_file /a", "password_file /b", "acl_file /a", "per_listener_settings true"],
    ...["memory_limit 5", "accept_protocol_versions 3,5", "allow_anonymous true", "user root"],
    ...["plugin mosquitto_persist_sqlite.so", "plugin_load n go-auth.so", "max_packet_size 500"],
  );
  const files = fc.array(lines, { maxLength: 12 });
  const read = (lines: readonly string[]) => {
    return configure({ name: "m.conf", content: lines.join("\n") }, NO_FLAGS);
  };
  const placesOf = ({ settings }: ReturnType<typeof read>) =>
    settings.listeners.map(({ address, port, protocol, socketPath }) => [
      address,
      port,
      protocol,
      socketPath,
    ]);
  fc.assert(
    fc.property(files, files, (before, after) => {
      const running = read(before);
      const found = read(after);
      fc.pre(running.errors.length === 0 && found.errors.length === 0);
      const { configuration, sentences } = reconcile(running, found, NO_FLAGS);
      if (configuration === null) expect(sentences).not.toEqual([]);
      else expect(placesOf(configuration)).toEqual(placesOf(running));
      const again = reconcile(configuration ?? running, found, NO_FLAGS);
      if (configuration !== null) expect(again.changed).toEqual([]);
    }),
    { numRuns },
  );
});
