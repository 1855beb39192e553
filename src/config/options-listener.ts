/** Options of the listeners: where they listen, what they speak, whom they take. */
import {
  FOURTH,
  global,
  listener,
  TEXT_CHARACTERS_MAX,
  THIRD,
  UINT16_MAX,
  UINT32_MAX,
} from "./option.ts";
import {
  integer,
  LISTENER,
  oneOf,
  PORT,
  REDIRECT,
  SWITCH,
  TOPIC_PREFIX,
  text,
  VERSIONS,
} from "./values.ts";

export const LISTENER_OPTIONS = {
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
    oneOf(["mqtt", "websockets", "http_api"]),
    "mqtt",
    "What the listener speaks: MQTT on TCP, or on WebSocket; http_api: it is not opened.",
  ),
  max_connections: listener(
    integer(-1, UINT32_MAX),
    -1,
    "Network Connections that the listener holds at once; -1: no limit of its own.",
    { reloadable: true },
  ),
  listener_allow_anonymous: listener(SWITCH, null, "`allow_anonymous` for this listener alone.", {
    defaultText: "as `allow_anonymous`",
    reloadable: true,
  }),
  max_qos: listener(
    oneOf(["0", "1", "2"]),
    "2",
    "The highest QoS that clients may publish with; subscriptions are granted no more.",
    { since: THIRD, reloadable: true },
  ),
  server_redirect: listener(
    REDIRECT,
    null,
    "Holdfast's own: nobody is served here, each client is sent to another server.",
    { defaultText: "none", since: THIRD, reloadable: true },
  ),
  set_tcp_nodelay: global(
    SWITCH,
    true,
    "Accepted for the sake of older files: small packets are never held back.",
    { reloadable: true },
  ),
  bind_interface: listener(
    text("name of a network interface", 255),
    null,
    "The listener is bound to the addresses of this network interface.",
    { defaultText: "none", since: FOURTH },
  ),
  socket_domain: listener(
    oneOf(["ipv4", "ipv6"]),
    null,
    "The version of IP of a listener without an address.",
    { defaultText: "both", since: FOURTH },
  ),
  accept_protocol_versions: listener(
    VERSIONS,
    null,
    "The versions of MQTT that are served: a list of 3 (MQTT 3.1), 4 (3.1.1) and 5.",
    { defaultText: "3, 4, 5", since: FOURTH, reloadable: true },
  ),
  mount_point: listener(
    TOPIC_PREFIX,
    "",
    "What stands before all topics of the listener's clients, without their knowing.",
    { defaultText: "none", since: FOURTH },
  ),
  use_username_as_clientid: listener(
    SWITCH,
    false,
    "Whether the user name takes the place of the Client Identifier.",
    { since: FOURTH, reloadable: true },
  ),
  listener_auto_id_prefix: listener(
    text("prefix", 50),
    null,
    "`auto_id_prefix` for this listener alone.",
    { defaultText: "as `auto_id_prefix`", since: FOURTH, reloadable: true },
  ),
  enable_proxy_protocol: listener(
    oneOf(["1", "2"]),
    null,
    "The version of the PROXY protocol that each connection has to begin with.",
    { defaultText: "none", since: FOURTH },
  ),
  proxy_protocol_v2_require_tls: listener(
    SWITCH,
    false,
    "Whether the proxy has to say that the client came to it with TLS.",
    { since: FOURTH },
  ),
  websockets_origin: listener(
    text("origin", TEXT_CHARACTERS_MAX),
    null,
    "An Origin that web pages may connect from; several lines add up.",
    { defaultText: "any", repeats: true, since: FOURTH },
  ),
  websockets_headers_size: global(
    integer(0, UINT16_MAX),
    4_096,
    "The longest request that may open a WebSocket.",
    { unit: "bytes", since: FOURTH },
  ),
  global_max_connections: global(
    integer(-1, UINT32_MAX),
    -1,
    "Network Connections that all listeners together hold at once; -1: no limit.",
    { since: FOURTH, reloadable: true },
  ),
} as const;
