/** What `--test-config` says of the files that a configuration names: they are not read by it. */
import { accessSync, constants, existsSync } from "node:fs";
import type { Entry } from "../config/parse.ts";
import type { ListenerSettings, Settings } from "../config/settings.ts";

/** @returns a sentence for each that cannot be read by whoever asks */
export function unreadableFiles(settings: Settings, entries: readonly Entry[]): string[] {
  const files = new Set(settings.listeners.flatMap(neededBy).filter((path) => path !== null));
  return [...files].flatMap((path) => {
    try {
      accessSync(path, constants.R_OK);
      return [];
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const what = code === "ENOENT" ? "is not there" : `cannot be read (${code})`;
      return [`${placeOf(path, entries)}${path} ${what}: with that the broker does not start`];
    }
  });
}

/** Files, and a directory, that have to be there when the listener opens. */
function neededBy({ access, tls }: ListenerSettings): readonly (string | null)[] {
  const { passwordFile, aclFile, scramFile, dynamicSecurityFile, jwt } = access;
  const isMade = dynamicSecurityFile !== null && !existsSync(dynamicSecurityFile);
  const ofSecurity = isMade ? access.dynamicSecurityInitialPasswordFile : dynamicSecurityFile;
  const jwks = jwt?.jwks ?? null;
  const keySet = jwks === null || /^https?:\/\//.test(jwks) ? null : jwks;
  const files = [passwordFile, aclFile, scramFile, ofSecurity, jwt?.keyFile ?? null, keySet];
  if (tls === null) return files;
  const { certificateFile, keyFile, caFile, caPath, crlFile, dhParamFile, pskFile } = tls;
  return [...files, certificateFile, keyFile, caFile, caPath, crlFile, dhParamFile, pskFile];
}

/** `FILE:LINE: option ` of the last line that names a file; of a plugin's, with its own option. */
function placeOf(path: string, entries: readonly Entry[]): string {
  const entry = entries.findLast(({ value }) => value === path || optionIn(value)?.value === path);
  if (entry === undefined) return "";
  const option = optionIn(entry.value);
  return `${entry.at}: ${option === null ? entry.name : `plugin_opt_${option.key}`} `;
}

/** The option of a plugin; null: another value. */
function optionIn(value: unknown): { readonly key: string; readonly value: string } | null {
  if (typeof value !== "object" || value === null || !("key" in value)) return null;
  return value as { readonly key: string; readonly value: string };
}
