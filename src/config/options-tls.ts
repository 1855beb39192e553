/** Options of TLS; each is a listener's own. */
import { FOURTH, listener, TEXT_CHARACTERS_MAX } from "./option.ts";
import { oneOf, SWITCH, text, words } from "./values.ts";

const PATH = text("path", TEXT_CHARACTERS_MAX);
const LIST = text("list", TEXT_CHARACTERS_MAX);
const NONE = { defaultText: "none", since: FOURTH } as const;

export const TLS_OPTIONS = {
  certfile: listener(PATH, null, "The server's certificate, PEM; turns TLS on.", NONE),
  keyfile: listener(PATH, null, "The key of that certificate, PEM.", NONE),
  cafile: listener(PATH, null, "Certificates that clients' certificates have to go back to.", NONE),
  capath: listener(PATH, null, "A directory of such certificates.", NONE),
  crlfile: listener(PATH, null, "Clients' certificates that are revoked, PEM.", NONE),
  require_certificate: listener(SWITCH, false, "Whether each client has to show a certificate.", {
    since: FOURTH,
  }),
  use_identity_as_username: listener(
    SWITCH,
    false,
    "Whether the Common Name of the certificate, or the PSK identity, is the user name.",
    { since: FOURTH },
  ),
  use_subject_as_username: listener(
    SWITCH,
    false,
    "Whether the whole subject of the certificate is the user name.",
    { since: FOURTH },
  ),
  disable_client_cert_date_checks: listener(
    SWITCH,
    false,
    "Whether clients' certificates are taken before and past their time.",
    { since: FOURTH },
  ),
  tls_version: listener(
    oneOf(["tlsv1.3", "tlsv1.2", "tlsv1.1"]),
    null,
    "The oldest version of TLS that is spoken.",
    { defaultText: "tlsv1.2", since: FOURTH },
  ),
  ciphers: listener(LIST, "", "Cipher suites up to TLS 1.2, as OpenSSL lists them.", {
    defaultText: "those of Node.js",
    since: FOURTH,
  }),
  "ciphers_tls1.3": listener(LIST, "", "Cipher suites of TLS 1.3, as OpenSSL lists them.", {
    defaultText: "those of Node.js",
    since: FOURTH,
  }),
  dhparamfile: listener(PATH, null, "Diffie-Hellman parameters, PEM, for suites with DHE.", NONE),
  psk_hint: listener(text("hint", 128), null, "The hint to clients with a shared key.", {
    ...NONE,
    defaultText: "none; it turns TLS with PSK on",
  }),
  psk_file: listener(
    PATH,
    null,
    "Lines `identity:key in hexadecimal` of the clients with a shared key.",
    { ...NONE, scope: "access" },
  ),
  tls_alpn: listener(
    words("protocol name"),
    null,
    "Holdfast's own: ALPN protocols that the listener takes, with blanks between them.",
    { defaultText: "any; none is chosen", since: FOURTH },
  ),
} as const;
