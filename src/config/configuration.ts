/**
 * From the lines of a configuration file and the flags of a command line to Settings.
 *
 * Listeners follow mosquitto 2: who writes none is served on loopback, anonymous clients welcome;
 * who writes one opens it to the addresses it names, and admits anonymous clients only if told to.
 */
import { LOG_TYPES, LOG_TYPES_DEFAULT, type LogDestination, type LogType } from "../base/log.ts";
import { SECONDS_NEVER } from "../base/quantity.ts";
import { OPTIONS, type OptionName, type OptionValue, PACKET_BYTES_MAX } from "./options.ts";
import { type Entry, parseFile } from "./parse.ts";
import { QUEUE_RULES_MAX } from "./queue-rule.ts";
import {
  ANY_ADDRESS,
  type CommandLine,
  type Durability,
  type ListenerSettings,
  type QueueRule,
  type Settings,
} from "./settings.ts";

export interface Configuration {
  /** Complete even if there are errors; then of no use. */
  readonly settings: Settings;
  /** One line each, `FILE:LINE: sentence`; any of them forbids the start. */
  readonly errors: readonly string[];
  /** One line each, to be logged. */
  readonly warnings: readonly string[];
}

/** A configuration file, read. */
export interface ConfigurationFile {
  /** Its name as the user wrote it. */
  readonly name: string;
  readonly content: string;
}

const LOOPBACK = "127.0.0.1";
const MQTT_PORT = 1883;
const WEBSOCKET_PORT = 8083;

/** The highest number of messages in flight: there are no more Packet Identifiers. */
const INFLIGHT_MESSAGES_MAX = 65_535;

/** Why there is nothing to save now and then. */
const NEEDLESS: Readonly<Record<Durability, string>> = {
  fsync: "every acknowledged message is on disk already",
  process: "every acknowledged message is in the system's hands already",
  memory: "nothing is kept on disk",
};

/** Destinations of mosquitto's that are accepted and not served. */
const UNSERVED_DESTINATIONS: readonly string[] = ["syslog", "topic", "dlt", "android"];

/**
 * Settings from a file, or from none, and the command line.
 *
 * @param file  null: started without `-c`
 */
export function configure(file: ConfigurationFile | null, flags: CommandLine): Configuration {
  const parsed = parseFile(file?.name ?? "", file?.content ?? "");
  const errors = [...parsed.errors];
  const warnings = [...parsed.warnings];
  const at = (line: number): string => `${file?.name ?? ""}:${line}: `;
  const { entries } = parsed;

  for (const entry of entriesSetTwice(entries)) {
    warnings.push(`${at(entry.line)}${entry.name} is set a second time; this line counts`);
  }
  const { listeners, misplaced } = listenersOf(entries, file !== null, flags);
  for (const { name, line } of misplaced) {
    errors.push(`${at(line)}${name} stands above the listener it is meant for; move it below`);
  }
  errors.push(...errorsOfListeners(listeners));
  warnings.push(...warningsOfListeners(entries, listeners, flags));
  for (const { line } of linesOf(entries, "queue_rule").slice(QUEUE_RULES_MAX)) {
    errors.push(`${at(line)}queue_rule: there may be ${QUEUE_RULES_MAX} of them at most`);
  }
  const wanted = valueIn(entries, "durability");
  if (valueIn(entries, "persistence") === false && wanted !== null && wanted !== "memory") {
    const line = linesOf(entries, "durability").at(-1)?.line ?? 0;
    errors.push(`${at(line)}durability ${wanted} contradicts persistence false; remove one`);
  }
  for (const { name, line } of entries.filter((entry) => entry.name.startsWith("autosave_"))) {
    warnings.push(`${at(line)}${name} is needless: ${NEEDLESS[durabilityOf(entries, flags)]}`);
  }
  for (const { value, line } of linesOf(entries, "log_dest")) {
    if (!UNSERVED_DESTINATIONS.includes(value.kind)) continue;
    warnings.push(`${at(line)}log_dest ${value.kind} is not supported yet and ignored`);
  }
  return { settings: settingsOf(entries, listeners, flags), errors, warnings };
}

function settingsOf(
  entries: readonly Entry[],
  listeners: readonly ListenerSettings[],
  flags: CommandLine,
): Settings {
  const value = <Name extends OptionName>(name: Name) => valueIn(entries, name);
  return {
    listeners,
    emptyClientIdAllowed: value("allow_zero_length_clientid") ?? true,
    clientIdPrefix: value("auto_id_prefix") ?? "",
    packetBytesMax: value("max_packet_size") ?? PACKET_BYTES_MAX,
    payloadBytesMax: value("message_size_limit") || PACKET_BYTES_MAX,
    keepAliveSecondsMax: value("max_keepalive") ?? 0,
    serverKeepAliveSeconds: value("server_keep_alive") ?? 0,
    // mosquitto announces max_inflight_messages as its own Receive Maximum.
    receiveMaximum: Math.min(
      value("receive_maximum") ?? INFLIGHT_MESSAGES_MAX,
      value("max_inflight_messages") || INFLIGHT_MESSAGES_MAX,
    ),
    topicAliasMax: value("max_topic_alias") ?? 0,
    topicAliasOutMax: value("max_topic_alias_broker") ?? 0,
    inflightMessagesMax: value("max_inflight_messages") || INFLIGHT_MESSAGES_MAX,
    outgoingBytesMax: value("max_outgoing_bytes") ?? 0,
    memoryBytesMax: value("memory_limit") ?? 0,
    payloadUtf8Checked: value("check_payload_utf8") ?? false,
    retainAvailable: value("retain_available") ?? true,
    retainedSweepMinutes: value("retain_expiry_interval") ?? 0,
    retainedExpirySecondsMax: value("max_retained_expiry_interval") ?? Number.POSITIVE_INFINITY,
    wildcardsAvailable: value("wildcard_subscription_available") ?? true,
    subscriptionIdentifiersAvailable: value("subscription_identifiers_available") ?? true,
    responseInformation: value("response_information"),
    scramFile: value("scram_file"),
    redirectOnStop: value("server_redirect_on_stop"),
    sessionExpirySecondsMax: Math.min(
      value("persistent_client_expiration") ?? SECONDS_NEVER,
      value("max_session_expiry_interval") ?? SECONDS_NEVER,
    ),
    olderSessionExpirySeconds: value("persistent_client_expiration") ?? SECONDS_NEVER,
    ...queuesOf(entries),
    durability: durabilityOf(entries, flags),
    dataDirectory: flags.dataDirectory ?? value("persistence_location") ?? "",
    storeBytesMax: value("max_store_bytes") || null,
    sysIntervalSeconds: value("sys_interval") ?? 0,
    connectionMessages: value("connection_messages") ?? true,
    log: {
      destinations: flags.quiet ? [] : logDestinations(entries),
      types: new Set(flags.verbose ? LOG_TYPES : logTypes(entries)),
      timestamp: value("log_timestamp") ?? true,
      timestampFormat: value("log_timestamp_format") ?? "",
      format: value("log_format") ?? "text",
    },
  };
}

/** `--durability` counts before the file, and `durability` before `persistence`. */
function durabilityOf(entries: readonly Entry[], flags: CommandLine): Durability {
  const isOff = valueIn(entries, "persistence") === false;
  return flags.durability ?? valueIn(entries, "durability") ?? (isOff ? "memory" : "fsync");
}

/** What bounds the queues, and the rules, each completed by the options. */
function queuesOf(
  entries: readonly Entry[],
): Omit<QueueRule, "topicFilter" | "keepsLast"> & Pick<Settings, "queueRules"> {
  const common = {
    queuedMessagesMax: valueIn(entries, "max_queued_messages") || Number.POSITIVE_INFINITY,
    queuedBytesMax: valueIn(entries, "max_queued_bytes") || Number.POSITIVE_INFINITY,
    queueOverflow: valueIn(entries, "queue_overflow") ?? "drop-oldest",
    queueQos0: valueIn(entries, "queue_qos0_messages") ?? false,
    messageExpirySecondsMax:
      valueIn(entries, "max_message_expiry_interval") ?? Number.POSITIVE_INFINITY,
  };
  const queueRules = linesOf(entries, "queue_rule").map(
    ({ value: { topicFilter, keys } }): QueueRule => ({
      topicFilter,
      queuedMessagesMax: limit(keys.max_queued_messages, common.queuedMessagesMax),
      queuedBytesMax: limit(keys.max_queued_bytes, common.queuedBytesMax),
      queueOverflow: keys.queue_overflow ?? common.queueOverflow,
      queueQos0: keys.queue_qos0_messages ?? common.queueQos0,
      messageExpirySecondsMax: keys.max_message_expiry_interval ?? common.messageExpirySecondsMax,
      keepsLast: keys.keep === "last",
    }),
  );
  return { ...common, queueRules };
}

/** 0 stands for no limit; `common`: the rule does not say. */
function limit(written: number | undefined, common: number): number {
  return written === 0 ? Number.POSITIVE_INFINITY : (written ?? common);
}

/** The lines that set `name`, in order. */
function linesOf<Name extends OptionName>(
  entries: readonly Entry[],
  name: Name,
): { readonly value: OptionValue<Name>; readonly line: number }[] {
  return entries
    .filter((entry) => entry.name === name)
    .map(({ value, line }) => ({ value: value as OptionValue<Name>, line }));
}

/** The value on the last line that sets `name`, or its default; null: it has none. */
function valueIn<Name extends OptionName>(
  entries: readonly Entry[],
  name: Name,
): OptionValue<Name> | null {
  const last = linesOf(entries, name).at(-1);
  return last === undefined ? (OPTIONS[name].defaultValue as OptionValue<Name> | null) : last.value;
}

/** The second and later lines of options of which only the last counts. */
function entriesSetTwice(entries: readonly Entry[]): Entry[] {
  const again: Entry[] = [];
  let seen = new Set<OptionName>();
  for (const entry of entries) {
    const { scope, repeats } = OPTIONS[entry.name];
    // A listener's options may be set once for each listener.
    if (entry.name === "listener") {
      seen = new Set([...seen].filter((name) => OPTIONS[name].scope === "global"));
    }
    if (seen.has(entry.name) && (scope === "listener" || repeats !== true)) again.push(entry);
    seen.add(entry.name);
  }
  return again;
}

/** A `listener` line with the lines below it; null: the lines above the first one. */
interface Section {
  readonly head: OptionValue<"listener"> | null;
  readonly entries: Entry[];
}

function sectionsOf(entries: readonly Entry[]): Section[] {
  const first: Section = { head: null, entries: [] };
  const sections = [first];
  let current = first;
  for (const entry of entries) {
    if (entry.name === "listener") {
      current = { head: entry.value as OptionValue<"listener">, entries: [] };
      sections.push(current);
    } else if (OPTIONS[entry.name].scope === "listener") {
      current.entries.push(entry);
    }
  }
  return sections;
}

/**
 * The listeners of the file, or those on loopback for want of any.
 *
 * `misplaced` are a listener's options above the first `listener`, where no default listener is
 * opened that could obey them.
 */
function listenersOf(
  entries: readonly Entry[],
  hasFile: boolean,
  flags: CommandLine,
): { readonly listeners: ListenerSettings[]; readonly misplaced: readonly Entry[] } {
  const [defaults = { head: null, entries: [] }, ...sections] = sectionsOf(entries);
  const port = valueIn(entries, "port");
  const address = valueIn(entries, "bind_address");
  const hasDefaultListener = port !== null || address !== null;
  const opensNone = !hasDefaultListener && sections.length === 0;
  const allowAnonymous = valueIn(entries, "allow_anonymous") ?? opensNone;
  const listeners: ListenerSettings[] = [];
  const open = (where: OptionValue<"listener">, own: readonly Entry[]): void => {
    listeners.push(listenerOf(where, own, allowAnonymous));
  };

  if (hasDefaultListener) {
    open({ port: port ?? MQTT_PORT, address: address ?? ANY_ADDRESS }, defaults.entries);
  }
  for (const { head, entries: own } of sections) {
    if (head !== null) open(head, own);
  }
  if (opensNone) {
    const ports = flags.ports.length > 0 ? flags.ports : [MQTT_PORT];
    for (const flagPort of ports) open({ port: flagPort, address: LOOPBACK }, defaults.entries);
  }
  const isBare = !hasFile && flags.ports.length === 0;
  const webSocketPort = flags.webSocketPort ?? (isBare ? WEBSOCKET_PORT : null);
  if (webSocketPort !== null) {
    const listener = listenerOf({ port: webSocketPort, address: LOOPBACK }, [], allowAnonymous);
    listeners.push({ ...listener, protocol: "websockets" });
  }
  return { listeners, misplaced: hasDefaultListener || opensNone ? [] : defaults.entries };
}

function listenerOf(
  { port, address }: OptionValue<"listener">,
  own: readonly Entry[],
  allowAnonymous: boolean,
): ListenerSettings {
  const connectionsMax = valueIn(own, "max_connections") ?? -1;
  return {
    protocol: valueIn(own, "protocol") ?? "mqtt",
    address,
    port,
    allowAnonymous: valueIn(own, "listener_allow_anonymous") ?? allowAnonymous,
    connectionsMax: connectionsMax === -1 ? Number.POSITIVE_INFINITY : connectionsMax,
    qosMax: Number(valueIn(own, "max_qos") ?? 2) as 0 | 1 | 2,
    redirect: valueIn(own, "server_redirect"),
  };
}

function errorsOfListeners(listeners: readonly ListenerSettings[]): string[] {
  const errors: string[] = [];
  const seen = new Set<string>();
  for (const { address, port } of listeners) {
    const place = nameOfPlace(address, port);
    if (port !== 0 && seen.has(place)) errors.push(`two listeners on ${place}`);
    seen.add(place);
  }
  return errors;
}

function warningsOfListeners(
  entries: readonly Entry[],
  listeners: readonly ListenerSettings[],
  flags: CommandLine,
): string[] {
  const warnings: string[] = [];
  const opensSome = entries.some(({ name }) => /^(listener|port|bind_address)$/.test(name));
  if (flags.ports.length > 0 && opensSome) {
    warnings.push("-p is ignored, because the configuration file opens listeners");
  }
  const canAuthenticate = valueIn(entries, "scram_file") !== null;
  for (const { address, port, allowAnonymous, redirect } of listeners) {
    if (allowAnonymous || canAuthenticate || redirect !== null) continue;
    const place = nameOfPlace(address, port);
    warnings.push(
      `the listener on ${place} refuses every client: passwords are not checked yet, ` +
        "allow_anonymous is not true, and there is no scram_file",
    );
  }
  return warnings;
}

function nameOfPlace(address: string, port: number): string {
  if (address === ANY_ADDRESS) return `port ${port}`;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Lines add up until a `none`; where only unserved ones are asked for, stderr serves. */
function logDestinations(entries: readonly Entry[]): LogDestination[] {
  const lines = linesOf(entries, "log_dest");
  let destinations = new Map<string, LogDestination>();
  let isDefault = true;
  for (const { value } of lines) {
    if (value.kind === "none") {
      destinations = new Map();
      isDefault = false;
    } else if (value.kind === "file") {
      destinations.set(`file ${value.path}`, { kind: "file", path: value.path });
    } else if (value.kind === "stdout" || value.kind === "stderr") {
      destinations.set(value.kind, { kind: value.kind });
    }
  }
  if (destinations.size === 0 && isDefault) return [{ kind: "stderr" }];
  return [...destinations.values()];
}

/** Lines add up; `none` takes back those above it. */
function logTypes(entries: readonly Entry[]): ReadonlySet<LogType> {
  const lines = linesOf(entries, "log_type");
  if (lines.length === 0) return new Set(LOG_TYPES_DEFAULT);
  let types = new Set<LogType>();
  for (const { value } of lines) {
    if (value === "none") types = new Set();
    else if (value === "all") types = new Set(LOG_TYPES);
    else types.add(value === "internal" ? "debug" : value);
  }
  return types;
}
