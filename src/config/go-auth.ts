/**
 * mosquitto-go-auth: its backends `files`, `http` and `jwt`, from its options `auth_opt_…`.
 */
import { parseInteger } from "../base/quantity.ts";
import type { Findings } from "./entries.ts";
import { type Plugin, type PluginAccess, takeAclFile } from "./plugins.ts";
import { shown } from "./values.ts";

const BACKENDS = ["files", "http", "jwt"];

/** How long go-auth waits for an answer, seconds. */
const TIMEOUT_SECONDS = 5;
/** How long it keeps an answer, where its cache is on, seconds. */
const CACHE_SECONDS = 30;
const SECONDS_MAX = 86_400;

/** Options that change nothing here, by their beginnings, and why. */
const NEEDLESS: readonly (readonly [beginning: string, why: string])[] = [
  ["log_", "holdfast has one log; use log_dest and log_type"],
  ["cache_", "the cache is in memory and empty at the start"],
  ["hasher", "each hash in the password file says itself how it was made"],
  ["retry_count", "each question is asked once"],
];

/** Options of the backends and of the cache that are obeyed. */
const OBEYED = new Set([
  "backends",
  "files_password_path",
  "files_acl_path",
  "jwt_userfield",
  "http_host",
  "http_port",
  "http_getuser_uri",
  "http_superuser_uri",
  "disable_superuser",
  "http_aclcheck_uri",
  "http_with_tls",
  "http_verify_peer",
  "http_method",
  "http_params_mode",
  "http_response_mode",
  "http_timeout",
  "http_user_agent",
  "cache",
  "auth_cache_seconds",
  "acl_cache_seconds",
  "auth_jitter_seconds",
  "acl_jitter_seconds",
]);

/** Reads go-auth's options, with what is wrong with them. */
class Reader {
  readonly #plugin: Plugin;
  readonly #findings: Findings;

  constructor(plugin: Plugin, findings: Findings) {
    this.#plugin = plugin;
    this.#findings = findings;
  }

  /** The last line of an option; null: there is none. */
  #last(key: string): Plugin["options"][number] | null {
    return this.#plugin.options.findLast((option) => option.key === key) ?? null;
  }

  text(key: string, otherwise: string): string {
    return this.#last(key)?.value ?? otherwise;
  }

  needed(key: string): string {
    const value = this.text(key, "");
    if (value === "") {
      this.#findings.errors.push(`${this.#plugin.at}: the backends need auth_opt_${key} below it`);
    }
    return value;
  }

  isOn(key: string, otherwise: boolean): boolean {
    return this.oneOf(key, ["true", "false"], `${otherwise}`) === "true";
  }

  oneOf<const Word extends string>(
    key: string,
    words: readonly Word[],
    otherwise: NoInfer<Word>,
  ): Word {
    const option = this.#last(key);
    if (option === null) return otherwise;
    const found = words.find((word) => word === option.value);
    if (found === undefined) {
      this.#findings.errors.push(
        `${option.at}: auth_opt_${key}: "${shown(option.value)}" is not accepted; expected ` +
          words.join(" or "),
      );
    }
    return found ?? otherwise;
  }

  seconds(key: string, otherwise: number): number {
    const option = this.#last(key);
    if (option === null) return otherwise;
    const value = parseInteger(option.value);
    if (value !== null && value >= 0 && value <= SECONDS_MAX) return value;
    this.#findings.errors.push(
      `${option.at}: auth_opt_${key}: "${shown(option.value)}" is not accepted; expected ` +
        `seconds, 0 to ${SECONDS_MAX}`,
    );
    return otherwise;
  }
}

/** Turns on the backends that the plugin's options name. */
export function useGoAuth(plugin: Plugin, access: PluginAccess, findings: Findings): void {
  access.usesGoAuth = true;
  const reader = new Reader(plugin, findings);
  const backends = reader
    .needed("backends")
    .split(/[ \t,]+/)
    .filter((name) => name !== "");
  for (const name of backends) {
    if (BACKENDS.includes(name)) continue;
    findings.errors.push(
      `${plugin.at}: auth_opt_backends: ${shown(name)} is not supported; what is: ` +
        BACKENDS.join(", "),
    );
  }
  for (const { key, at } of plugin.options) {
    if (OBEYED.has(key)) continue;
    const why = NEEDLESS.find(([beginning]) => key.startsWith(beginning))?.[1];
    findings.warnings.push(
      `${at}: auth_opt_${shown(key)} is not obeyed${why === undefined ? "" : `: ${why}`}`,
    );
  }
  if (backends.includes("files")) {
    access.passwordFile = reader.needed("files_password_path") || null;
    const aclPath = reader.text("files_acl_path", "");
    if (aclPath !== "") takeAclFile(plugin.at, aclPath, true, access, findings);
  }
  access.wantsJwt = backends.includes("jwt");
  // As go-auth: any other word means the subject.
  if (reader.text("jwt_userfield", "") === "Username") access.jwtUserClaim = "username";
  if (backends.includes("http")) access.http = httpOf(reader);
}

function httpOf(reader: Reader): PluginAccess["http"] {
  const withTls = reader.isOn("http_with_tls", false);
  const port = reader.text("http_port", withTls ? "443" : "80");
  const isCached = reader.isOn("cache", false);
  return {
    origin: `${withTls ? "https" : "http"}://${reader.needed("http_host")}:${port}`,
    userUri: reader.needed("http_getuser_uri"),
    superuserUri: reader.isOn("disable_superuser", false)
      ? ""
      : reader.text("http_superuser_uri", ""),
    aclUri: reader.needed("http_aclcheck_uri"),
    verifiesPeer: reader.isOn("http_verify_peer", false),
    method: reader.oneOf("http_method", ["GET", "POST", "PUT"], "POST"),
    paramsMode: reader.oneOf("http_params_mode", ["json", "form"], "json"),
    responseMode: reader.oneOf("http_response_mode", ["status", "json", "text"], "status"),
    // 0 is no time-out in go-auth; here it is the longest one that could be written.
    timeoutSeconds: reader.seconds("http_timeout", TIMEOUT_SECONDS) || SECONDS_MAX,
    userAgent: reader.text("http_user_agent", "mosquitto"),
    authCacheSeconds: isCached ? reader.seconds("auth_cache_seconds", CACHE_SECONDS) : 0,
    aclCacheSeconds: isCached ? reader.seconds("acl_cache_seconds", CACHE_SECONDS) : 0,
    cacheJitterSeconds: Math.max(
      reader.seconds("auth_jitter_seconds", 0),
      reader.seconds("acl_jitter_seconds", 0),
    ),
  };
}
