/**
 * The options of the configuration file: one table, from which the parser takes its checks and the
 * README its list.
 *
 * Names and meanings are those of mosquitto.conf(5); an option that mosquitto does not have says
 * so.
 */
import { SECONDS_NEVER } from "../base/quantity.ts";
import { QUEUE_OVERFLOW, QUEUE_RULE, QUEUED_BYTES, QUEUED_MESSAGES } from "./queue-rule.ts";
import {
  DURATION,
  integer,
  LISTENER,
  LOG_DESTINATION,
  LOG_TYPE,
  oneOf,
  PORT,
  REDIRECT,
  RESPONSE_INFORMATION,
  SWITCH,
  text,
  type ValueType,
} from "./values.ts";

export interface Option<Value> {
  readonly type: ValueType<Value>;
  /** The value if the file has none; null where its absence is a state of its own. */
  readonly defaultValue: Value | null;
  /** The default in the table of options, where the value alone would not tell. */
  readonly defaultText?: string;
  readonly unit?: string;
  /** `listener`: counts for the latest `listener` line above it. */
  readonly scope: "global" | "listener";
  /** Whether several lines add up; otherwise the last one counts. */
  readonly repeats?: boolean;
  /** The version that first obeys it. */
  readonly since: string;
  /** What is said, behind its name, wherever it is set. */
  readonly notice?: string;
  readonly sentence: string;
}

/** The version that brought the first options. */
const FIRST = "0.1.0";
/** The version that keeps Sessions on disk. */
const SECOND = "0.2.0";
/** The version that leaves out nothing of the standard. */
const THIRD = "0.3.0";
const UINT16_MAX = 0xffff;
const UINT32_MAX = 0xffffffff;

/** The largest Remaining Length, and so the bound of every size in a packet.   [§2.1.4] */
export const PACKET_BYTES_MAX = 268_435_455;

/** How the table of options says what a duration may look like. */
const SPAN_UNIT = "seconds, or Nh, Nd, Nw, Nm, Ny";

/** Longest path or format in the file. */
const TEXT_CHARACTERS_MAX = 4_096;

/** Keeps the type of each value, which a plain annotation of the table would lose. */
function option<Value>(definition: Option<Value>): Option<Value> {
  return definition;
}

function global<Value>(
  type: ValueType<Value>,
  defaultValue: NoInfer<Value> | null,
  sentence: string,
  more: Partial<Option<Value>> = {},
): Option<Value> {
  return option({ type, defaultValue, scope: "global", since: FIRST, sentence, ...more });
}

function listener<Value>(
  type: ValueType<Value>,
  defaultValue: NoInfer<Value> | null,
  sentence: string,
  more: Partial<Option<Value>> = {},
): Option<Value> {
  return option({ type, defaultValue, scope: "listener", since: FIRST, sentence, ...more });
}

export const OPTIONS = {
  // Listeners.
  listener: global(
    LISTENER,
    null,
    "Opens a port, on one address or on all; the listener options below it are its own.",
    { repeats: true, defaultText: "127.0.0.1 only" },
  ),
  port: global(PORT, null, "The default listener's port; `listener` is the newer way.", {
    defaultText: "1883",
  }),
  bind_address: global(
    text("address", 255),
    null,
    "The default listener's address; `listener` is the newer way.",
    { defaultText: "all" },
  ),
  protocol: listener(
    oneOf(["mqtt", "websockets"]),
    "mqtt",
    "What the listener speaks: MQTT on TCP, or MQTT on WebSocket.",
  ),
  max_connections: listener(
    integer(-1, UINT32_MAX),
    -1,
    "Network Connections that the listener holds at once; -1: no limit of its own.",
  ),
  listener_allow_anonymous: listener(SWITCH, null, "`allow_anonymous` for this listener alone.", {
    defaultText: "as `allow_anonymous`",
  }),
  max_qos: listener(
    oneOf(["0", "1", "2"]),
    "2",
    "The highest QoS that clients may publish with; subscriptions are granted no more.",
    { since: THIRD },
  ),
  server_redirect: listener(
    REDIRECT,
    null,
    "Holdfast's own: nobody is served here, each client is sent to another server.",
    { defaultText: "none", since: THIRD },
  ),
  set_tcp_nodelay: global(
    SWITCH,
    true,
    "Accepted for the sake of older files: small packets are never held back.",
  ),

  // Who may connect.
  allow_anonymous: global(SWITCH, null, "Whether a client without a user name may connect.", {
    defaultText: "false; true if the file opens no listener",
  }),
  scram_file: global(
    text("path", TEXT_CHARACTERS_MAX),
    null,
    "Holdfast's own: the users that may authenticate with SCRAM-SHA-256; see `holdfast scram`.",
    { defaultText: "none", since: THIRD },
  ),
  allow_zero_length_clientid: global(
    SWITCH,
    true,
    "Whether a client may leave its Client Identifier empty and have one assigned.",
  ),
  auto_id_prefix: global(
    text("prefix", 50),
    "auto-",
    "What an assigned Client Identifier begins with.",
  ),

  // Sizes and limits.
  max_packet_size: global(
    integer(20, PACKET_BYTES_MAX),
    2_000_000,
    "The largest packet a client may send.",
    { unit: "bytes" },
  ),
  message_size_limit: global(
    integer(0, PACKET_BYTES_MAX),
    0,
    "The largest payload a client may publish; 0: as large as a packet may be.",
    { unit: "bytes" },
  ),
  max_keepalive: global(
    integer(0, UINT16_MAX),
    0,
    "The longest Keep Alive a client may ask for; 0: any, and none at all.",
    { unit: "seconds" },
  ),
  server_keep_alive: global(
    integer(0, UINT16_MAX),
    0,
    "Holdfast's own: Keep Alive for all MQTT 5.0 clients, whatever they ask for; 0: as they ask.",
    { unit: "seconds" },
  ),
  receive_maximum: global(
    integer(1, UINT16_MAX),
    1_000,
    "Holdfast's own: QoS 1 and 2 messages that an MQTT 5.0 client may send unacknowledged.",
    { unit: "messages" },
  ),
  max_topic_alias: global(
    integer(0, UINT16_MAX),
    10,
    "Topic Aliases that an MQTT 5.0 client may use.",
  ),
  max_topic_alias_broker: global(
    integer(0, UINT16_MAX),
    10,
    "Topic Aliases that the broker uses at most, where an MQTT 5.0 client takes them.",
    { since: THIRD },
  ),
  max_inflight_messages: global(
    integer(0, UINT16_MAX),
    10_000,
    "QoS 1 and 2 messages sent to a client and not yet acknowledged; 0: 65535.",
    { unit: "messages" },
  ),
  max_outgoing_bytes: global(
    integer(0, UINT32_MAX),
    8_388_608,
    "Holdfast's own: bytes a connection may have unsent before QoS 0 messages to it are dropped.",
    { unit: "bytes" },
  ),
  memory_limit: global(
    integer(0, Number.MAX_SAFE_INTEGER),
    0,
    "Memory for messages, Sessions and subscriptions; 0: all that the engine can address.",
    { unit: "bytes" },
  ),
  check_payload_utf8: global(
    SWITCH,
    false,
    "Holdfast's own: whether a payload whose Payload Format Indicator is 1 must be UTF-8.",
    { since: THIRD },
  ),
  retain_available: global(SWITCH, true, "Whether clients may publish retained messages."),
  retain_expiry_interval: global(
    integer(0, UINT16_MAX),
    0,
    "Time between looks for expired retained messages; 0: each goes when it is next asked for.",
    { unit: "minutes", since: THIRD },
  ),
  max_retained_expiry_interval: global(
    DURATION,
    null,
    "Holdfast's own: the longest life of a retained message; queued copies keep their own.",
    { unit: SPAN_UNIT, defaultText: "no limit", since: THIRD },
  ),
  wildcard_subscription_available: global(
    SWITCH,
    true,
    "Holdfast's own: whether Topic Filters may have wildcards.",
    { since: THIRD },
  ),
  subscription_identifiers_available: global(
    SWITCH,
    true,
    "Holdfast's own: whether a subscription may have an identifier.",
    { since: THIRD },
  ),
  response_information: global(
    RESPONSE_INFORMATION,
    null,
    "Holdfast's own: what clients that ask are told to begin Response Topics with; %c: their own.",
    { defaultText: "none", since: THIRD },
  ),

  // Sessions, and what waits in them.
  persistent_client_expiration: global(
    DURATION,
    SECONDS_NEVER,
    "How long a Session of MQTT 3.1 or 3.1.1 outlives its connection, and one of 5.0 at most.",
    { unit: SPAN_UNIT, defaultText: "never ends" },
  ),
  max_session_expiry_interval: global(
    DURATION,
    SECONDS_NEVER,
    "Holdfast's own: the longest Session Expiry Interval granted to an MQTT 5.0 client.",
    { unit: SPAN_UNIT, defaultText: "never ends" },
  ),
  max_queued_messages: global(
    QUEUED_MESSAGES,
    100_000,
    "Messages that a Session keeps waiting; 0: no limit.",
    { unit: "messages" },
  ),
  max_queued_bytes: global(
    QUEUED_BYTES,
    67_108_864,
    "Size of the messages that a Session keeps waiting; 0: no limit.",
    { unit: "bytes" },
  ),
  queue_overflow: global(
    QUEUE_OVERFLOW,
    "drop-oldest",
    "Holdfast's own: what goes when a queue is full; reject refuses the publisher's message.",
    { since: SECOND },
  ),
  queue_qos0_messages: global(
    SWITCH,
    false,
    "Whether QoS 0 messages wait, too, in Sessions whose clients are away.",
    { since: SECOND },
  ),
  max_message_expiry_interval: global(
    DURATION,
    null,
    "Holdfast's own: the longest life of a message that waits in a queue or is retained.",
    { unit: SPAN_UNIT, defaultText: "no limit", since: SECOND },
  ),
  queue_rule: global(
    QUEUE_RULE,
    null,
    "Holdfast's own: other values of these for the messages of some topics; several lines add up.",
    { repeats: true, defaultText: "none", since: SECOND },
  ),

  // The disk.
  durability: global(
    oneOf(["fsync", "process", "memory"]),
    null,
    "Holdfast's own: what an acknowledgement outlives: a power cut, the process, or neither.",
    { defaultText: "fsync; memory if `persistence` is false", since: SECOND },
  ),
  persistence: global(
    SWITCH,
    true,
    "Whether Sessions and retained messages are kept on disk; false: `durability memory`.",
    { since: SECOND },
  ),
  persistence_location: global(
    text("path", TEXT_CHARACTERS_MAX),
    "holdfast-data",
    "The directory of everything kept on disk.",
    { since: SECOND },
  ),
  persistence_file: global(
    text("name", TEXT_CHARACTERS_MAX),
    null,
    "Accepted for the sake of older files: Holdfast's files have names of their own.",
    {
      defaultText: "none",
      since: SECOND,
      notice: "is not obeyed: holdfast has files of its own in persistence_location",
    },
  ),
  autosave_interval: global(
    integer(0, UINT32_MAX),
    null,
    "Accepted for the sake of older files: nothing waits to be saved.",
    { defaultText: "none", since: SECOND },
  ),
  autosave_on_changes: global(
    SWITCH,
    null,
    "Accepted for the sake of older files: nothing waits to be saved.",
    { defaultText: "none", since: SECOND },
  ),
  max_store_bytes: global(
    integer(0, Number.MAX_SAFE_INTEGER),
    0,
    "Holdfast's own: most that is kept on disk; 0: 80 % of the space that is free at the start.",
    { unit: "bytes", since: SECOND },
  ),

  // The end.
  server_redirect_on_stop: global(
    REDIRECT,
    null,
    "Holdfast's own: where clients of MQTT 5.0 are sent when the broker stops.",
    { defaultText: "none", since: THIRD },
  ),

  // What the broker tells.
  sys_interval: global(
    integer(0, UINT16_MAX),
    10,
    "Time between updates of the topics below `$SYS`; 0: none.",
    { unit: "seconds" },
  ),
  connection_messages: global(SWITCH, true, "Whether connects and disconnects are logged."),
  log_dest: global(
    LOG_DESTINATION,
    null,
    "Where the log goes: stdout, stderr, file PATH, or none; several lines add up.",
    { repeats: true, defaultText: "stderr" },
  ),
  log_type: global(LOG_TYPE, null, "What is logged; several lines add up.", {
    repeats: true,
    defaultText: "error, warning, notice, information",
  }),
  log_timestamp: global(SWITCH, true, "Whether a line of the log begins with its time."),
  log_timestamp_format: global(
    text("format", TEXT_CHARACTERS_MAX),
    null,
    "The form of that time, as strftime(3) reads it, such as `%Y-%m-%dT%H:%M:%S`.",
    { defaultText: "Unix seconds" },
  ),
  log_format: global(
    oneOf(["text", "json"]),
    "text",
    "Holdfast's own: lines as mosquitto writes them, or one JSON object each.",
  ),
} as const;

export type OptionName = keyof typeof OPTIONS;

/** What a value of the option `Name` is, once read. */
export type OptionValue<Name extends OptionName> =
  (typeof OPTIONS)[Name] extends Option<infer Value> ? Value : never;

export function isOptionName(name: string): name is OptionName {
  return Object.hasOwn(OPTIONS, name);
}

/**
 * The options as a table in Markdown, with a line for each, in the order of OPTIONS.
 */
export function optionsAsMarkdown(): string {
  const lines = [
    "| option | value | default | unit | scope | since | meaning |",
    "|---|---|---|---|---|---|---|",
  ];
  for (const name of Object.keys(OPTIONS)) {
    if (!isOptionName(name)) continue;
    const { type, defaultValue, defaultText, unit, scope, since, sentence }: Option<unknown> =
      OPTIONS[name];
    const cells = [
      `\`${name}\``,
      type.name,
      defaultText ?? `${defaultValue}`,
      unit ?? "",
      scope,
      since,
      sentence,
    ];
    lines.push(`| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`);
  }
  return `${lines.join("\n")}\n`;
}
