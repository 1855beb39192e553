/** From the lines that say who may connect to an AccessSettings. */
import { type Findings, linesOf, valueIn } from "./entries.ts";
import type { Entry } from "./parse.ts";
import { type Plugin, type PluginAccess, pluginsOf, usePlugins } from "./plugins.ts";
import type { AccessSettings, JwtSettings } from "./settings.ts";
import { shown } from "./values.ts";

/**
 * One access domain.
 *
 * @param entries  its lines: all of the file, or one listener's
 * @param loaded  what `plugin_load` and `global_plugin` loaded, anywhere
 * @param allowAnonymous  where no line says
 */
export function accessOf(
  entries: readonly Entry[],
  loaded: readonly Plugin[],
  allowAnonymous: boolean,
  findings: Findings,
): AccessSettings {
  const own = pluginsOf(entries, findings);
  const plugins = [
    ...loaded.filter(({ isGlobal }) => isGlobal),
    ...own.filter(({ isGlobal, name }) => !isGlobal && name === null),
  ];
  for (const { value, at } of linesOf(entries, "plugin_use")) {
    const plugin = loaded.find(({ name }) => name === value);
    if (plugin === undefined) {
      findings.errors.push(`${at}: plugin_use: no plugin_load line names ${shown(value)}`);
    } else {
      plugins.push(plugin);
    }
  }
  const fromPlugins = usePlugins(plugins, findings);
  const aclLine = linesOf(entries, "acl_file").at(-1);
  if (fromPlugins.aclIsGoAuths && aclLine?.value === fromPlugins.aclFile) {
    findings.errors.push(
      `${aclLine.at}: acl_file and auth_opt_files_acl_path are read in two ways; keep one of them`,
    );
  }
  const deniesWildcardNames = valueIn(entries, "auth_plugin_deny_special_chars") ?? true;
  return {
    allowAnonymous: valueIn(entries, "allow_anonymous") ?? allowAnonymous,
    passwordFile: oneFile("password_file", entries, fromPlugins.passwordFile, findings),
    aclFile: oneFile("acl_file", entries, fromPlugins.aclFile, findings),
    aclIsGoAuths: fromPlugins.aclIsGoAuths,
    scramFile: valueIn(entries, "scram_file"),
    dynamicSecurityFile: fromPlugins.dynamicSecurityFile,
    dynamicSecurityInitialPasswordFile: fromPlugins.dynamicSecurityInitialPasswordFile,
    aclDeniesSubscribe: valueIn(entries, "acl_check_subscribe") ?? false,
    jwt: jwtOf(entries, fromPlugins, findings),
    usesGoAuth: fromPlugins.usesGoAuth,
    deniesWildcardNames,
    http: fromPlugins.http && { ...fromPlugins.http, deniesWildcardNames },
  };
}

/** The file of an option, or of the plugin that does the same; both, if they are one. */
function oneFile(
  name: "password_file" | "acl_file",
  entries: readonly Entry[],
  ofPlugin: string | null,
  findings: Findings,
): string | null {
  const last = linesOf(entries, name).at(-1);
  if (last === undefined) return ofPlugin;
  if (ofPlugin !== null && ofPlugin !== last.value) {
    findings.errors.push(`${last.at}: ${name} and a plugin name two files; keep one of them`);
  }
  return last.value;
}

function jwtOf(
  entries: readonly Entry[],
  { wantsJwt, jwtUserClaim }: PluginAccess,
  findings: Findings,
): JwtSettings | null {
  const keyFile = valueIn(entries, "jwt_key_file");
  const jwks = valueIn(entries, "jwt_jwks");
  const others = entries.find(({ name }) => name.startsWith("jwt_"));
  if (keyFile !== null && jwks !== null) {
    const { at } = linesOf(entries, "jwt_jwks").at(-1) ?? { at: "" };
    findings.errors.push(`${at}: jwt_jwks and jwt_key_file name two sources of keys; keep one`);
  }
  if (keyFile === null && jwks === null) {
    if (others !== undefined) {
      findings.errors.push(`${others.at}: ${others.name} needs jwt_key_file or jwt_jwks`);
    } else if (wantsJwt) {
      findings.errors.push("auth_opt_backends: jwt needs the options jwt_key_file or jwt_jwks");
    }
    return null;
  }
  return {
    keyFile,
    jwks,
    algorithms: valueIn(entries, "jwt_algorithms") ?? [],
    issuer: valueIn(entries, "jwt_issuer"),
    audience: valueIn(entries, "jwt_audience"),
    userClaim: linesOf(entries, "jwt_user_claim").at(-1)?.value ?? jwtUserClaim ?? "sub",
    takenAsUserName: wantsJwt,
    aclClaim: valueIn(entries, "jwt_acl_claim"),
    clientIdClaim: valueIn(entries, "jwt_clientid_claim"),
    leewaySeconds: valueIn(entries, "jwt_leeway") ?? 0,
    disconnectsOnExpiry: valueIn(entries, "jwt_disconnect_on_expiry") ?? true,
  };
}
