/** No file can make the parser fail: it answers with settings, errors and warnings. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { configure } from "../../src/config/configuration.ts";
import { TEXT_CHARACTERS_MAX } from "../../src/config/option.ts";
import { OPTIONS } from "../../src/config/options.ts";
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
