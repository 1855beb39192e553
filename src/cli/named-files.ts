/** What `--test-config` says of the files that a configuration names: they are not read by it. */
import { accessSync, constants } from "node:fs";
import type { OptionName } from "../config/options.ts";
import type { Entry } from "../config/parse.ts";

/** Options whose files, or directory, have to be there when the broker starts. */
const NEEDED: ReadonlySet<OptionName> = new Set<OptionName>([
  "acl_file",
  "cafile",
  "capath",
  "certfile",
  "crlfile",
  "dhparamfile",
  "jwt_key_file",
  "keyfile",
  "password_file",
  "psk_file",
  "scram_file",
]);

/** @returns a sentence for each that cannot be read by whoever asks */
export function unreadableFiles(entries: readonly Entry[]): string[] {
  return entries.flatMap(({ name, value, at }) => {
    if (!NEEDED.has(name) || typeof value !== "string") return [];
    try {
      accessSync(value, constants.R_OK);
      return [];
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const what = code === "ENOENT" ? "is not there" : `cannot be read (${code})`;
      return [`${at}: ${name} ${value} ${what}: with that the broker does not start`];
    }
  });
}
