/**
 * From the lines of a configuration file and the flags of a command line to Settings.
 */
import type { LogSettings } from "../base/log.ts";
import { SECONDS_NEVER } from "../base/quantity.ts";
import { entriesSetTwice, type Findings, linesOf, valueIn } from "./entries.ts";
import type { ConfigurationFile } from "./include.ts";
import { listenersOf } from "./listeners.ts";
import { logOf } from "./logs.ts";
import { PACKET_BYTES_MAX } from "./option.ts";
import type { OptionName } from "./options.ts";
import { type Entry, parseFile } from "./parse.ts";
import { QUEUE_RULES_MAX } from "./queue-rule.ts";
import type { CommandLine, Durability, ListenerSettings, QueueRule, Settings } from "./settings.ts";

export interface Configuration {
  /** Complete even if there are errors; then of no use. */
  readonly settings: Settings;
  /** One line each, `FILE:LINE: sentence`; any of them forbids the start. */
  readonly errors: readonly string[];
  /** One line each, to be logged. */
  readonly warnings: readonly string[];
  /** Those of them that are about a single line, whatever stands around it. */
  readonly lineWarnings: readonly string[];
  /** The lines that were accepted. */
  readonly entries: readonly Entry[];
  /** Whether there is a file. */
  readonly hasFile: boolean;
  /** The files of all `include_dir`. */
  readonly included: readonly string[];
}

/** The highest number of messages in flight: there are no more Packet Identifiers. */
const INFLIGHT_MESSAGES_MAX = 65_535;

const NO_FILE: ConfigurationFile = { name: "", content: "" };

/** Why there is nothing to save now and then. */
const NEEDLESS: Readonly<Record<Durability, string>> = {
  fsync: "every acknowledged message is on disk already",
  process: "every acknowledged message is in the system's hands already",
  memory: "nothing is kept on disk",
};

/**
 * Settings from a file, or from none, and the command line.
 *
 * @param file  null: started without `-c`
 */
export function configure(file: ConfigurationFile | null, flags: CommandLine): Configuration {
  const { entries, errors, warnings, included } = parseFile(file ?? NO_FILE);
  const findings = { errors: [...errors], warnings: [...warnings] };
  const configured = configureEntries(entries, file !== null, flags, findings);
  return { ...configured, lineWarnings: warnings, included };
}

/**
 * Settings from lines that were accepted, each for itself.
 *
 * @param findings  what is found wrong with them together goes there
 */
export function configureEntries(
  entries: readonly Entry[],
  hasFile: boolean,
  flags: CommandLine,
  findings: Findings,
): Omit<Configuration, "included" | "lineWarnings"> {
  for (const { name, at } of entriesSetTwice(entries)) {
    findings.warnings.push(`${at}: ${name} is set a second time; this line counts`);
  }
  const listeners = listenersOf(entries, hasFile, flags, findings);
  for (const { at } of linesOf(entries, "queue_rule").slice(QUEUE_RULES_MAX)) {
    findings.errors.push(`${at}: queue_rule: there may be ${QUEUE_RULES_MAX} of them at most`);
  }
  const wanted = linesOf(entries, "durability").at(-1);
  const isOff = valueIn(entries, "persistence") === false;
  if (isOff && wanted !== undefined && wanted.value !== "memory") {
    const contradiction = `durability ${wanted.value} contradicts persistence false; remove one`;
    findings.errors.push(`${wanted.at}: ${contradiction}`);
  }
  for (const { name, at } of entries.filter((entry) => entry.name.startsWith("autosave_"))) {
    const why = NEEDLESS[durabilityOf(entries, flags)];
    findings.warnings.push(`${at}: ${name} is needless: ${why}`);
  }
  const log = logOf(entries, flags, findings);
  return { settings: settingsOf(entries, listeners, log, flags), ...findings, entries, hasFile };
}

function settingsOf(
  entries: readonly Entry[],
  listeners: readonly ListenerSettings[],
  log: LogSettings,
  flags: CommandLine,
): Settings {
  const value = <Name extends OptionName>(name: Name) => valueIn(entries, name);
  return {
    listeners,
    connectionsMax: unbounded(value("global_max_connections")),
    sessionsMax: unbounded(value("global_max_clients")),
    clientIdsBeginWith: value("clientid_prefixes"),
    refusalDelayMillisecondsMax: (value("failed_login_delay") ?? 0) * 1000,
    overloadMilliseconds: value("overload_delay") || Number.POSITIVE_INFINITY,
    retainSourceChecked: value("check_retain_source") ?? true,
    publishRateMax: value("max_publish_rate") ?? 0,
    publishBurstMax: value("max_publish_burst") || Math.max(value("max_publish_rate") ?? 0, 1),
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
    redirectOnStop: value("server_redirect_on_stop"),
    sharedSubscriptionAvailable: value("shared_subscription_available") ?? true,
    sharedStrategy: value("shared_strategy") ?? "round-robin",
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
    controlApi: value("enable_control_api") ?? false,
    log,
    user: value("user"),
    pidFile: value("pid_file"),
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

/** -1 stands for no limit. */
function unbounded(written: number | null): number {
  return written === null || written < 0 ? Number.POSITIVE_INFINITY : written;
}

/** 0 stands for no limit; `common`: the rule does not say. */
function limit(written: number | undefined, common: number): number {
  return written === 0 ? Number.POSITIVE_INFINITY : (written ?? common);
}
