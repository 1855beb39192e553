/**
 * mosquitto's plugins: none is loaded; what the known ones do is built in, and is turned on by the
 * name of the plugin's file, with the plugin's own options.
 */
import { posix } from "node:path";
import { nearest } from "../base/nearest.ts";
import type { Findings } from "./entries.ts";
import { useGoAuth } from "./go-auth.ts";
import type { Entry } from "./parse.ts";
import type { HttpAccessSettings } from "./settings.ts";
import { type PluginLoadValue, type PluginOptionValue, shown } from "./values.ts";

/** What plugins turn on; null: none does. */
export interface PluginAccess {
  passwordFile: string | null;
  aclFile: string | null;
  /** Whether that one is mosquitto-go-auth's. */
  aclIsGoAuths: boolean;
  dynamicSecurityFile: string | null;
  dynamicSecurityInitialPasswordFile: string | null;
  /** Whether mosquitto-go-auth is one of them. */
  usesGoAuth: boolean;
  http: Omit<HttpAccessSettings, "deniesWildcardNames"> | null;
  /** Whether JSON Web Tokens are asked for. */
  wantsJwt: boolean;
  /** The claim of these that is the user name; null: no plugin says. */
  jwtUserClaim: string | null;
}

/** A plugin's line with its options. */
export interface Plugin {
  readonly at: string;
  /** Its file's name, without directories. */
  readonly fileName: string;
  /** The name that `plugin_load` gave it; null: another line. */
  readonly name: string | null;
  /** Whether it is for all listeners, wherever it stands. */
  readonly isGlobal: boolean;
  readonly options: { readonly key: string; readonly value: string; readonly at: string }[];
}

/** Plugins by the names of their files. */
const KNOWN: ReadonlyMap<
  string,
  (plugin: Plugin, access: PluginAccess, findings: Findings) => void
> = new Map([
  ["mosquitto_password_file.so", usePasswordFile],
  ["mosquitto_acl_file.so", useAclFile],
  ["mosquitto_dynamic_security.so", useDynamicSecurity],
  ["mosquitto_persist_sqlite.so", usePersistence],
  ["go-auth.so", useGoAuth],
]);

/** The plugins of these lines, each with the options behind it. */
export function pluginsOf(entries: readonly Entry[], findings: Findings): Plugin[] {
  const plugins: Plugin[] = [];
  let current: Plugin | null = null;
  const open = (path: string, name: string | null, { name: line, at }: Entry): void => {
    const isGlobal = line === "global_plugin";
    current = { at, fileName: shown(posix.basename(path)), name, isGlobal, options: [] };
    plugins.push(current);
  };
  for (const entry of entries) {
    const { name, value, at } = entry;
    if (name === "plugin" || name === "auth_plugin" || name === "global_plugin") {
      open(value as string, null, entry);
    } else if (name === "plugin_load") {
      const loaded = value as PluginLoadValue;
      open(loaded.path, loaded.name, entry);
    } else if (name === "plugin_opt_*") {
      const option = value as PluginOptionValue;
      const latest: Plugin | null = current as Plugin | null;
      if (latest === null)
        findings.errors.push(`${at}: no plugin stands above ${shown(option.key)}`);
      else latest.options.push({ ...option, at });
    }
  }
  return plugins;
}

/** Turns on what these plugins stand for. */
export function usePlugins(plugins: readonly Plugin[], findings: Findings): PluginAccess {
  const access: PluginAccess = {
    passwordFile: null,
    aclFile: null,
    aclIsGoAuths: false,
    dynamicSecurityFile: null,
    dynamicSecurityInitialPasswordFile: null,
    usesGoAuth: false,
    http: null,
    wantsJwt: false,
    jwtUserClaim: null,
  };
  for (const plugin of plugins) {
    const use = KNOWN.get(plugin.fileName);
    if (use === undefined) findings.errors.push(`${plugin.at}: ${strangerError(plugin.fileName)}`);
    else use(plugin, access, findings);
  }
  return access;
}

function strangerError(fileName: string): string {
  const names = [...KNOWN.keys()];
  const guess = nearest(fileName, names);
  const hint = guess === null ? "" : ` (did you mean ${guess}?)`;
  return `the plugin ${fileName} is not understood${hint}; what is built in: ${names.join(", ")}`;
}

/**
 * Takes the plugin's options one by one; those that `take` does not know are said to be ignored.
 *
 * @param take  false: there is no option of that key
 */
function eachOption(
  plugin: Plugin,
  findings: Findings,
  take: (key: string, value: string) => boolean,
): void {
  for (const { key, value, at } of plugin.options) {
    if (!take(key, value)) {
      findings.warnings.push(`${at}: the option ${shown(key)} of ${plugin.fileName} is not obeyed`);
    }
  }
}

function needs(plugin: Plugin, key: string, value: string | null, findings: Findings): void {
  if (value !== null && value !== "") return;
  findings.errors.push(`${plugin.at}: ${plugin.fileName} needs plugin_opt_${key} PATH below it`);
}

function usePasswordFile(plugin: Plugin, access: PluginAccess, findings: Findings): void {
  eachOption(plugin, findings, (key, value) => {
    if (key === "password_file") access.passwordFile = value;
    return key === "password_file";
  });
  needs(plugin, "password_file", access.passwordFile, findings);
}

function useAclFile(plugin: Plugin, access: PluginAccess, findings: Findings): void {
  eachOption(plugin, findings, (key, value) => {
    if (key === "acl_file") takeAclFile(plugin.at, value, false, access, findings);
    return key === "acl_file";
  });
  needs(plugin, "acl_file", access.aclFile, findings);
}

/** Two files, of two kinds or at two places, are not one's meaning. */
export function takeAclFile(
  at: string,
  path: string,
  isGoAuths: boolean,
  access: PluginAccess,
  findings: Findings,
): void {
  const { aclFile, aclIsGoAuths } = access;
  if (aclFile !== null && aclIsGoAuths !== isGoAuths) {
    findings.errors.push(`${at}: two plugins read ACL files, each in its way; keep one of them`);
  }
  access.aclFile = path;
  access.aclIsGoAuths = isGoAuths;
}

function useDynamicSecurity(plugin: Plugin, access: PluginAccess, findings: Findings): void {
  eachOption(plugin, findings, (key, value) => {
    if (key === "config_file") access.dynamicSecurityFile = value;
    else if (key === "password_init_file") access.dynamicSecurityInitialPasswordFile = value;
    else return false;
    return true;
  });
  needs(plugin, "config_file", access.dynamicSecurityFile, findings);
}

function usePersistence(plugin: Plugin, _access: PluginAccess, findings: Findings): void {
  findings.warnings.push(
    `${plugin.at}: ${plugin.fileName} is needless: holdfast keeps Sessions and messages in ` +
      "persistence_location, each acknowledged one at once; its options are not obeyed",
  );
}
