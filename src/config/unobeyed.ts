/**
 * Options of mosquitto's that Holdfast reads, does not obey, and says so: why, and what to use.
 */

const BRIDGES = "belongs to a bridge; bridges are not supported, and nothing is forwarded";
const ENGINES = "hardware engines of OpenSSL are not supported; give keyfile a key in PEM";
const NEEDLESS = "is needless, as";

const BRIDGE_NAMES = `
  address addresses bridge_alpn bridge_attempt_unsubscribe bridge_bind_address bridge_cafile
  bridge_capath bridge_certfile bridge_ciphers bridge_ciphers_tls1.3 bridge_identity bridge_insecure
  bridge_keyfile bridge_max_packet_size bridge_max_topic_alias bridge_outgoing_retain
  bridge_protocol_version bridge_psk bridge_receive_maximum bridge_reload_type bridge_require_ocsp
  bridge_session_expiry_interval bridge_tcp_keepalive bridge_tcp_user_timeout
  bridge_tls_use_os_certs bridge_tls_version cleansession clientid connection idle_timeout
  keepalive_interval local_cleansession local_clientid local_password local_username
  notification_topic notifications notifications_local_only password remote_clientid
  remote_password remote_username restart_timeout round_robin start_type threshold topic
  try_private username
`;

function wordsOf(list: string): readonly string[] {
  return list.trim().split(/\s+/);
}

const OF_BRIDGES: ReadonlySet<string> = new Set(wordsOf(BRIDGE_NAMES));

const UNOBEYED: ReadonlyMap<string, string> = new Map([
  ["allow_duplicate_messages", "is not obeyed: subscriptions that overlap give one message"],
  ["http_dir", "is not obeyed: holdfast serves no files; use a web server"],
  ["max_inflight_bytes", "is not obeyed; use max_inflight_messages and max_outgoing_bytes"],
  ["packet_buffer_size", `${NEEDLESS} packets are read from one buffer of all connections`],
  ["retry_interval", "is not obeyed: messages are sent again when a client comes back"],
  ["store_clean_interval", `${NEEDLESS} a message is freed with its last receiver`],
  ["tls_engine", ENGINES],
  ["tls_engine_kpass_sha1", ENGINES],
  ["tls_keyform", ENGINES],
  ["upgrade_outgoing_qos", "is not obeyed: no message is sent with a higher QoS than it came with"],
  ["websockets_log_level", "is not obeyed; use log_type"],
  ...[...OF_BRIDGES].map((name): [string, string] => [name, BRIDGES]),
]);

/** Every name in this file, for the search of the nearest. */
export const UNOBEYED_NAMES: readonly string[] = [...UNOBEYED.keys()];

/** What is said behind the name of such an option; null: mosquitto has none of that name. */
export function reasonUnobeyed(name: string): string | null {
  return UNOBEYED.get(name) ?? null;
}

/** Values of some of them that ask for what happens anyway. */
const WHAT_HAPPENS: ReadonlyMap<string, readonly string[]> = new Map<string, string[]>([
  ["allow_duplicate_messages", ["false", "0"]],
  ["max_inflight_bytes", ["0"]],
  ["upgrade_outgoing_qos", ["false", "0"]],
]);

/** Whether there is nothing to say of an option with this value. */
export function isWhatHappens(name: string, value: string): boolean {
  return WHAT_HAPPENS.get(name)?.includes(value) ?? false;
}

/** Whether an option is one of a bridge. */
export function isOfBridge(name: string): boolean {
  return OF_BRIDGES.has(name);
}
