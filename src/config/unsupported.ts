/**
 * Options that mosquitto knows and Holdfast does not obey.
 *
 * Most are ignored with a warning, so that an existing file starts. Those that keep somebody out
 * are refused: a broker that ignored them would be open where its owner believes it closed.
 */

const PASSWORDS =
  "user names and passwords are not checked yet, so every client could connect as anyone";
const PERMISSIONS =
  "access rules are not enforced yet, so every client could read and write every topic";
const ENCRYPTION = "TLS is not supported yet, so the listener would be open and unencrypted";
const PLUGINS = "plugins are not supported, so what it decides would be open to everyone";
const IDENTITY = "clients are not bound to an identity yet, so one could pass for another";
const REACH = "the listener would be reachable from more places than intended";

/** What would stand open if the option were ignored. */
const REFUSED: ReadonlyMap<string, string> = new Map([
  ["password_file", PASSWORDS],
  ["acl_file", PERMISSIONS],
  ["cafile", ENCRYPTION],
  ["capath", ENCRYPTION],
  ["certfile", ENCRYPTION],
  ["keyfile", ENCRYPTION],
  ["crlfile", ENCRYPTION],
  ["psk_file", ENCRYPTION],
  ["psk_hint", ENCRYPTION],
  ["require_certificate", ENCRYPTION],
  ["auth_plugin", PLUGINS],
  ["plugin", PLUGINS],
  ["plugin_load", PLUGINS],
  ["plugin_use", PLUGINS],
  ["global_plugin", PLUGINS],
  ["clientid_prefixes", IDENTITY],
  ["use_identity_as_username", IDENTITY],
  ["use_subject_as_username", IDENTITY],
  ["use_username_as_clientid", IDENTITY],
  ["mount_point", "clients of different listeners would see each other's messages"],
  ["per_listener_settings", "access settings of one listener would count for all of them"],
  ["include_dir", "the files in it, which may hold access rules, would not be read"],
  ["bind_interface", `${REACH}; give the address on the listener line instead`],
  ["socket_domain", `${REACH}; give the address on the listener line instead`],
  ["websockets_origin", "web pages of any origin could connect"],
  ["enable_proxy_protocol", "the listener would take the proxy's header for MQTT"],
  ["proxy_protocol_v2_require_tls", ENCRYPTION],
]);

const IGNORED: ReadonlySet<string> = new Set(
  `
  accept_protocol_versions address addresses allow_duplicate_messages auth_plugin_deny_special_chars
  bridge_alpn bridge_attempt_unsubscribe bridge_bind_address
  bridge_cafile bridge_capath bridge_certfile bridge_ciphers bridge_ciphers_tls1.3 bridge_identity
  bridge_insecure bridge_keyfile bridge_max_packet_size bridge_max_topic_alias
  bridge_outgoing_retain bridge_protocol_version bridge_psk bridge_receive_maximum
  bridge_reload_type bridge_require_ocsp bridge_session_expiry_interval bridge_tcp_keepalive
  bridge_tcp_user_timeout bridge_tls_use_os_certs bridge_tls_version check_retain_source ciphers
  ciphers_tls1.3 cleansession clientid connection dhparamfile disable_client_cert_date_checks
  enable_control_api global_max_clients global_max_connections http_dir idle_timeout
  keepalive_interval listener_auto_id_prefix local_cleansession local_clientid local_password
  local_username log_facility max_inflight_bytes maximum_qos
  notification_topic notifications notifications_local_only packet_buffer_size password
  pid_file remote_clientid remote_password remote_username
  restart_timeout retained_persistence retry_interval round_robin start_type
  store_clean_interval threshold tls_engine tls_engine_kpass_sha1 tls_keyform tls_version topic
  try_private upgrade_outgoing_qos user username websockets_headers_size websockets_log_level
  `
    .trim()
    .split(/\s+/),
);

/** Options of plugins, of which there are as many as there are plugins. */
const IGNORED_PREFIXES = ["auth_opt_", "plugin_opt_"];

/** Every name in this file, for the search of the nearest. */
export const UNSUPPORTED_NAMES: readonly string[] = [...REFUSED.keys(), ...IGNORED];

/**
 * What to do with an option that is not in OPTIONS.
 *
 * @param value  the text behind the name: a refused switch is harmless when it is off
 * @returns `refused` with the reason; `ignored`; `unknown`: mosquitto has no such option either
 */
export function judgeUnsupported(
  name: string,
  value: string,
): { readonly verdict: "refused" | "ignored" | "unknown"; readonly reason: string } {
  const reason = REFUSED.get(name);
  const isOff = value === "false" || value === "0";
  if (reason !== undefined && !isOff) return { verdict: "refused", reason };
  const isKnown =
    reason !== undefined ||
    IGNORED.has(name) ||
    IGNORED_PREFIXES.some((prefix) => name.startsWith(prefix));
  return { verdict: isKnown ? "ignored" : "unknown", reason: "" };
}
