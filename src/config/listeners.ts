/**
 * From the lines of a file and the flags of a command line to ListenerSettings.
 *
 * As in mosquitto 2: who writes no listener is served on loopback, anonymous clients welcome; who
 * writes one opens it to the addresses it names, and admits anonymous clients only if told to.
 */
import { accessOf } from "./access.ts";
import { type Findings, linesOf, type Section, sectionsOf, valueIn } from "./entries.ts";
import { listenerKeys } from "./listener-keys.ts";
import { OPTIONS, type OptionName } from "./options.ts";
import type { Entry } from "./parse.ts";
import { pluginsOf } from "./plugins.ts";
import {
  type AccessSettings,
  ANY_ADDRESS,
  type CommandLine,
  type ListenerSettings,
} from "./settings.ts";
import { tlsOf } from "./tls.ts";
import type { ListenerValue } from "./values.ts";

const LOOPBACK = "127.0.0.1";
const MQTT_PORT = 1883;
const WEBSOCKET_PORT = 8083;

/** What a listener has from elsewhere in the file. */
interface Surroundings {
  readonly all: readonly Entry[];
  /** The access domain of the lines above the first listener, or of all lines. */
  readonly common: AccessSettings;
  readonly accessOfSection: (section: Section) => AccessSettings;
  readonly findings: Findings;
}

/**
 * What of a listener's options above the first `listener` opens the default listener, as
 * mosquitto has it; of the access options only where they count per listener.
 */
const OPENS_DEFAULT: ReadonlySet<OptionName> = new Set([
  "bind_interface",
  "cafile",
  "capath",
  "certfile",
  "ciphers",
  "crlfile",
  "keyfile",
  "max_connections",
  "max_qos",
  "password_file",
  "plugin",
  "auth_plugin",
  "protocol",
  "psk_file",
  "psk_hint",
  "require_certificate",
  "socket_domain",
  "use_identity_as_username",
  "use_subject_as_username",
]);

/** What may stand there and count for nobody: nothing is open that its owner believes closed. */
const HARMLESS_ABOVE: ReadonlySet<OptionName> = new Set([
  "ciphers_tls1.3",
  "dhparamfile",
  "disable_client_cert_date_checks",
  "listener_auto_id_prefix",
  "tls_alpn",
  "tls_version",
  "websockets_origin",
]);

/**
 * The listeners of the file, or those on loopback for want of any.
 */
export function listenersOf(
  entries: readonly Entry[],
  hasFile: boolean,
  flags: CommandLine,
  findings: Findings,
): ListenerSettings[] {
  const [defaults, ...others] = sectionsOf(entries);
  const port = valueIn(entries, "port");
  const address = valueIn(entries, "bind_address");
  const isAsked = port !== null || address !== null;
  const hasListener = others.length > 0;
  const opensDefault = isAsked || (hasListener && opensByOptions(entries, defaults, findings));
  const opensNone = !opensDefault && !hasListener;
  const surroundings = { ...surroundingsOf(entries, defaults, opensNone, findings), flags };
  const listeners: ListenerSettings[] = [];
  const open = (where: ListenerValue, section: Section): void => {
    listeners.push(listenerOf(where, section, surroundings));
  };

  if (opensDefault) {
    open({ port: port ?? MQTT_PORT, address: address ?? ANY_ADDRESS, socketPath: null }, defaults);
  }
  for (const section of others) {
    if (section.head !== null && isServed(section, findings)) open(section.head, section);
  }
  if (hasListener && listeners.length === 0) findings.errors.push("no listener is left to open");
  if (opensNone) {
    const ports = flags.ports.length > 0 ? flags.ports : [MQTT_PORT];
    for (const flagPort of ports) open(onLoopback(flagPort), defaults);
  }
  const isBare = !hasFile && flags.ports.length === 0;
  const webSocketPort = flags.webSocketPort ?? (isBare ? WEBSOCKET_PORT : null);
  if (webSocketPort !== null) {
    const section = { head: null, entries: [], access: defaults.access };
    const listener = listenerOf(onLoopback(webSocketPort), section, surroundings);
    listeners.push({ ...listener, protocol: "websockets" });
  }
  checkPlaces(listeners, findings);
  warnOfListeners(entries, listeners, flags, findings);
  const keys = listenerKeys(listeners.map((one) => ({ port: one.port, name: nameOfPlace(one) })));
  return listeners.map((one, index) => ({ ...one, key: keys[index] ?? 0 }));
}

/**
 * Whether a listener's options that stand above the first `listener` open the default listener;
 * it would surprise, and is told.
 */
function opensByOptions(
  entries: readonly Entry[],
  { entries: own, access }: Section,
  { errors, warnings }: Findings,
): boolean {
  const isPerListener = valueIn(entries, "per_listener_settings") === true;
  const lines = isPerListener ? [...own, ...access] : own;
  const said = lines.filter(({ name, value }) => value !== OPTIONS[name].defaultValue);
  const opening = said.filter(({ name }) => OPENS_DEFAULT.has(name));
  for (const { name, at } of opening) {
    warnings.push(
      `${at}: ${name} stands above the first listener: it opens the default listener, port ` +
        `${MQTT_PORT}, as mosquitto does; move it below the listener it is meant for`,
    );
  }
  if (opening.length > 0) return true;
  for (const { name, at } of said) {
    if (OPTIONS[name].scope !== "listener") continue;
    const above = `${at}: ${name} stands above the listener it is meant for; move it below`;
    if (HARMLESS_ABOVE.has(name)) warnings.push(above);
    else errors.push(above);
  }
  return false;
}

/** mosquitto's HTTP API and its files are another program's here. */
function isServed({ entries }: Section, { warnings }: Findings): boolean {
  const last = linesOf(entries, "protocol").at(-1);
  if (last?.value !== "http_api") return true;
  warnings.push(`${last.at}: protocol http_api is not spoken; the listener is not opened`);
  return false;
}

function onLoopback(port: number): ListenerValue {
  return { port, address: LOOPBACK, socketPath: null };
}

/** Access settings count for one listener or for all, wherever they stand. */
function surroundingsOf(
  entries: readonly Entry[],
  defaults: Section,
  opensNone: boolean,
  findings: Findings,
): Surroundings {
  const isPerListener = valueIn(entries, "per_listener_settings") === true;
  // What is wrong with plugins is said where they are used.
  const loaded = pluginsOf(entries, { errors: [], warnings: [] });
  const build = (lines: readonly Entry[]): AccessSettings =>
    accessOf(lines, loaded, opensNone, findings);
  const common = build(isPerListener ? defaults.access : entries);
  return {
    all: entries,
    common,
    accessOfSection: (section) =>
      !isPerListener || section.access === defaults.access ? common : build(section.access),
    findings,
  };
}

function listenerOf(
  { port, address, socketPath }: ListenerValue,
  section: Section,
  { all, common, accessOfSection, findings, flags }: Surroundings & { readonly flags: CommandLine },
): ListenerSettings {
  const own = section.entries;
  const access = accessOfSection(section);
  const accessLines = access === common ? all : section.access;
  const connectionsMax = valueIn(own, "max_connections") ?? -1;
  // It goes before the other, as in mosquitto.
  const usesIdentityAsUserName = valueIn(own, "use_identity_as_username") ?? false;
  return {
    protocol: valueIn(own, "protocol") === "websockets" ? "websockets" : "mqtt",
    address,
    port,
    key: 0, // Known when all listeners are.
    socketPath,
    bindInterface: valueIn(own, "bind_interface") ?? "",
    socketDomain: valueIn(own, "socket_domain") ?? "any",
    proxyProtocol: Number(valueIn(own, "enable_proxy_protocol") ?? 0) as 0 | 1 | 2,
    proxyRequiresTls: valueIn(own, "proxy_protocol_v2_require_tls") ?? false,
    mountPoint: valueIn(own, "mount_point") ?? "",
    clientIdPrefix:
      valueIn(own, "listener_auto_id_prefix") ?? valueIn(accessLines, "auto_id_prefix") ?? "",
    emptyClientIdAllowed: valueIn(accessLines, "allow_zero_length_clientid") ?? true,
    usesIdentityAsUserName,
    usesSubjectAsUserName:
      !usesIdentityAsUserName && (valueIn(own, "use_subject_as_username") ?? false),
    usernameAsClientId: valueIn(own, "use_username_as_clientid") ?? false,
    protocolVersions: valueIn(own, "accept_protocol_versions") ?? new Set([3, 4, 5] as const),
    webSocketOrigins: linesOf(own, "websockets_origin").map(({ value }) => value),
    webSocketHeaderBytesMax: valueIn(all, "websockets_headers_size") ?? 0,
    tls: tlsOf(own, valueIn(accessLines, "psk_file"), flags.tlsKeyLogFile, findings),
    access,
    allowAnonymous: valueIn(own, "listener_allow_anonymous") ?? access.allowAnonymous,
    connectionsMax: connectionsMax === -1 ? Number.POSITIVE_INFINITY : connectionsMax,
    connectRate: valueIn(own, "connect_rate") || Number.POSITIVE_INFINITY,
    connectRatePerAddress: valueIn(own, "connect_rate_per_address") || Number.POSITIVE_INFINITY,
    qosMax: Number(valueIn(own, "max_qos") ?? 2) as 0 | 1 | 2,
    redirect: valueIn(own, "server_redirect"),
  };
}

function checkPlaces(listeners: readonly ListenerSettings[], findings: Findings): void {
  const seen = new Set<string>();
  for (const listener of listeners) {
    const place = nameOfPlace(listener);
    const isFixed = listener.port !== 0 || listener.socketPath !== null;
    if (listener.socketPath !== null && listener.tls !== null) {
      findings.errors.push(`${place}: a Unix socket has no TLS: nobody could listen in`);
    }
    if (isFixed && seen.has(place)) findings.errors.push(`two listeners on ${place}`);
    seen.add(place);
  }
}

function warnOfListeners(
  entries: readonly Entry[],
  listeners: readonly ListenerSettings[],
  flags: CommandLine,
  { warnings }: Findings,
): void {
  const opensSome = entries.some(({ name }) => /^(listener|port|bind_address)$/.test(name));
  if (flags.ports.length > 0 && opensSome) {
    warnings.push("-p is ignored, because the configuration file opens listeners");
  }
  for (const listener of listeners) {
    const { access, allowAnonymous, redirect } = listener;
    if (allowAnonymous || canAuthenticate(listener, access) || redirect !== null) continue;
    warnings.push(
      `the listener on ${nameOfPlace(listener)} refuses every client: allow_anonymous is not ` +
        "true, and there is no password_file or other means to authenticate",
    );
  }
}

/** Whether there is a way in for who says who it is. */
function canAuthenticate(listener: ListenerSettings, access: AccessSettings): boolean {
  return (
    listener.usesIdentityAsUserName ||
    listener.usesSubjectAsUserName ||
    access.passwordFile !== null ||
    access.scramFile !== null ||
    access.dynamicSecurityFile !== null ||
    access.jwt !== null ||
    access.http !== null
  );
}

function nameOfPlace({ address, port, socketPath }: ListenerSettings): string {
  if (socketPath !== null) return socketPath;
  if (address === ANY_ADDRESS) return `port ${port}`;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
