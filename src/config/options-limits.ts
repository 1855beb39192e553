/** Options of sizes, limits, and what of the standard is served. */
import { global, PACKET_BYTES_MAX, SPAN_UNIT, THIRD, UINT16_MAX, UINT32_MAX } from "./option.ts";
import { DURATION, integer, oneOf, RESPONSE_INFORMATION, SWITCH } from "./values.ts";

export const LIMIT_OPTIONS = {
  max_packet_size: global(
    integer(20, PACKET_BYTES_MAX),
    2_000_000,
    "The largest packet a client may send.",
    { unit: "bytes", reloadable: true },
  ),
  message_size_limit: global(
    integer(0, PACKET_BYTES_MAX),
    0,
    "The largest payload a client may publish; 0: as large as a packet may be.",
    { unit: "bytes", reloadable: true },
  ),
  max_keepalive: global(
    integer(0, UINT16_MAX),
    0,
    "The longest Keep Alive an MQTT 5.0 client is granted; 0: any, and none at all.",
    { unit: "seconds", reloadable: true },
  ),
  server_keep_alive: global(
    integer(0, UINT16_MAX),
    0,
    "Holdfast's own: Keep Alive for all MQTT 5.0 clients, whatever they ask for; 0: as they ask.",
    { unit: "seconds", reloadable: true },
  ),
  receive_maximum: global(
    integer(1, UINT16_MAX),
    1_000,
    "Holdfast's own: QoS 1 and 2 messages that an MQTT 5.0 client may send unacknowledged.",
    { unit: "messages", reloadable: true },
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
    { since: THIRD, reloadable: true },
  ),
  max_inflight_messages: global(
    integer(0, UINT16_MAX),
    10_000,
    "QoS 1 and 2 messages sent to a client and not yet acknowledged; 0: 65535.",
    { unit: "messages", reloadable: true },
  ),
  max_outgoing_bytes: global(
    integer(0, UINT32_MAX),
    8_388_608,
    "Holdfast's own: bytes a connection may have unsent before QoS 0 messages to it are dropped.",
    { unit: "bytes", reloadable: true },
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
    { since: THIRD, reloadable: true },
  ),
  retain_available: global(SWITCH, true, "Whether clients may publish retained messages.", {
    reloadable: true,
  }),
  retain_expiry_interval: global(
    integer(0, UINT16_MAX),
    0,
    "Time between looks for expired retained messages; 0: each goes when it is next asked for.",
    { unit: "minutes", since: THIRD, reloadable: true },
  ),
  max_retained_expiry_interval: global(
    DURATION,
    null,
    "Holdfast's own: the longest life of a retained message; queued copies keep their own.",
    { unit: SPAN_UNIT, defaultText: "no limit", since: THIRD, reloadable: true },
  ),
  wildcard_subscription_available: global(
    SWITCH,
    true,
    "Holdfast's own: whether Topic Filters may have wildcards.",
    { since: THIRD, reloadable: true },
  ),
  subscription_identifiers_available: global(
    SWITCH,
    true,
    "Holdfast's own: whether a subscription may have an identifier.",
    { since: THIRD, reloadable: true },
  ),
  response_information: global(
    RESPONSE_INFORMATION,
    null,
    "Holdfast's own: what clients that ask are told to begin Response Topics with; %c: their own.",
    { defaultText: "none", since: THIRD, reloadable: true },
  ),
  shared_subscription_available: global(
    SWITCH,
    true,
    "Holdfast's own: whether clients may share a subscription, with `$share/NAME/filter`.",
    { since: THIRD, reloadable: true },
  ),
  shared_strategy: global(
    oneOf(["round-robin", "least-inflight", "sticky-by-publisher"]),
    "round-robin",
    "Holdfast's own: which of those that share a subscription and have room gets a message.",
    { since: THIRD },
  ),
} as const;
