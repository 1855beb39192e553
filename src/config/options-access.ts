/** Options of who may connect, and what each may do. */
import { access, FIFTH, FOURTH, global, TEXT_CHARACTERS_MAX, THIRD, UINT32_MAX } from "./option.ts";
import { integer, PLUGIN_LOAD, PLUGIN_OPTION, SWITCH, text, words } from "./values.ts";

const PATH = text("path", TEXT_CHARACTERS_MAX);
const NONE = { defaultText: "none", since: FOURTH } as const;
const PLUGIN = "a plugin of mosquitto's; what it does is built in, by the name of its file:";

export const ACCESS_OPTIONS = {
  allow_anonymous: access(SWITCH, null, "Whether a client without a user name may connect.", {
    defaultText: "false; true if the file opens no listener",
    reloadable: true,
  }),
  scram_file: access(
    text("path", TEXT_CHARACTERS_MAX),
    null,
    "Holdfast's own: the users that may authenticate with SCRAM-SHA-256; see `holdfast scram`.",
    { defaultText: "none", since: THIRD, reloadable: true },
  ),
  allow_zero_length_clientid: access(
    SWITCH,
    true,
    "Whether a client may leave its Client Identifier empty and have one assigned.",
    { reloadable: true },
  ),
  auto_id_prefix: access(
    text("prefix", 50),
    "auto-",
    "What an assigned Client Identifier begins with.",
    { reloadable: true },
  ),
  per_listener_settings: global(
    SWITCH,
    false,
    "Whether the options of who may connect count for the listener above them alone.",
    { since: FOURTH },
  ),
  password_file: access(PATH, null, "Users and hashed passwords; see `holdfast passwd`.", {
    ...NONE,
    reloadable: true,
  }),
  acl_file: access(PATH, null, "What each user may read and write.", {
    ...NONE,
    reloadable: true,
  }),
  acl_check_subscribe: access(
    SWITCH,
    false,
    "Holdfast's own: whether SUBSCRIBE to what may not be read is refused with 0x87.",
    { since: FOURTH, reloadable: true },
  ),
  check_retain_source: global(
    SWITCH,
    true,
    "Whether a retained message is delivered only while its publisher may still write there.",
    { since: FOURTH, reloadable: true },
  ),
  clientid_prefixes: global(
    text("prefix", 255),
    null,
    "What every Client Identifier has to begin with.",
    { ...NONE, reloadable: true },
  ),
  plugin: access(PATH, null, `Stands for ${PLUGIN} see below.`, { ...NONE, repeats: true }),
  auth_plugin: access(PATH, null, "An older name of `plugin`.", { ...NONE, repeats: true }),
  auth_plugin_deny_special_chars: access(
    SWITCH,
    true,
    "Whether who has `+` or `#` in its names may do nothing, where go-auth decides.",
    { since: FIFTH, reloadable: true },
  ),
  global_plugin: access(PATH, null, "`plugin` for all listeners.", { ...NONE, repeats: true }),
  plugin_load: access(PLUGIN_LOAD, null, "`plugin` with a name, for `plugin_use`.", {
    ...NONE,
    repeats: true,
  }),
  plugin_use: access(text("name", 255), null, "A plugin of `plugin_load` for this listener.", {
    ...NONE,
    repeats: true,
  }),
  "plugin_opt_*": access(PLUGIN_OPTION, null, "An option of the latest plugin above it.", {
    ...NONE,
    repeats: true,
  }),
  jwt_key_file: access(
    PATH,
    null,
    "Holdfast's own: the secret, or the public key in PEM, of JSON Web Tokens as passwords.",
    { ...NONE, reloadable: true },
  ),
  jwt_jwks: access(
    text("path or URL", TEXT_CHARACTERS_MAX),
    null,
    "Holdfast's own: the key set (JWKS) of JSON Web Tokens, a file or an https URL.",
    { ...NONE, reloadable: true },
  ),
  jwt_algorithms: access(
    words("algorithm"),
    null,
    "Holdfast's own: the algorithms that tokens may be signed with, with blanks between them.",
    { defaultText: "by the key: RS256, ES256, HS256, …", since: FOURTH, reloadable: true },
  ),
  jwt_issuer: access(text("issuer", 1_024), null, "Holdfast's own: the `iss` they need.", {
    ...NONE,
    reloadable: true,
  }),
  jwt_audience: access(text("audience", 1_024), null, "Holdfast's own: the `aud` they need.", {
    ...NONE,
    reloadable: true,
  }),
  jwt_user_claim: access(
    text("claim", 255),
    "sub",
    "Holdfast's own: the claim of a token that is the user name.",
    { since: FOURTH, reloadable: true },
  ),
  jwt_acl_claim: access(
    text("claim", 255),
    null,
    "Holdfast's own: the claim of a token that lists what its bearer may do.",
    { ...NONE, reloadable: true },
  ),
  jwt_clientid_claim: access(
    text("claim", 255),
    null,
    "Holdfast's own: the claim of a token that has to be the Client Identifier.",
    { ...NONE, reloadable: true },
  ),
  jwt_leeway: access(
    integer(0, 600),
    10,
    "Holdfast's own: how far the clocks of who signs and who checks may be apart.",
    { unit: "seconds", since: FOURTH, reloadable: true },
  ),
  jwt_disconnect_on_expiry: access(
    SWITCH,
    true,
    "Holdfast's own: whether a connection ends when its token does.",
    { since: FOURTH, reloadable: true },
  ),
  global_max_clients: global(
    integer(-1, UINT32_MAX),
    -1,
    "Sessions at once, those without a connection included; -1: no limit.",
    { since: FOURTH, reloadable: true },
  ),
} as const;
