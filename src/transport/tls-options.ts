/**
 * From the settings of a listener to what node:tls is told.
 */
import { constants } from "node:crypto";
import { createSecureContext, DEFAULT_CIPHERS, type TlsOptions } from "node:tls";
import { StartError } from "../base/errors.ts";
import { TLS_TICKET_SECONDS_MAX } from "../base/limits.ts";
import type { TlsSettings } from "../config/settings.ts";
import type { TlsMaterial } from "./tls-files.ts";

/** What TLS 1.3 has, the suite that Pre-Shared Keys need first where they are all there is. */
const SUITES = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";
const PSK_CIPHERS = "PSK:!eNULL:!aNULL:!RC4:!3DES";

/** Names of TLS 1.2 and before; node:tls takes those of 1.3 in the same list. */
function ciphersOf(settings: TlsSettings, material: TlsMaterial): string {
  const { ciphers, ciphersTls13 } = settings;
  const older =
    ciphers !== ""
      ? ciphers
      : [
          ...(material.certificate === null ? [] : [withoutSuites(DEFAULT_CIPHERS)]),
          ...(material.sharedKeys === null ? [] : [PSK_CIPHERS]),
        ].join(":");
  return `${ciphersTls13 === "" ? SUITES : ciphersTls13}:${older}`;
}

/** Those of TLS 1.2 and before: what rules PSK out must not come before what lets it in. */
function withoutSuites(ciphers: string): string {
  return ciphers
    .split(":")
    .filter((name) => !name.startsWith("TLS_") && name !== "!PSK")
    .join(":");
}

/**
 * What a server of node:tls is made of, and what setSecureContext() takes on a reload.
 *
 * @throws StartError where OpenSSL refuses a part
 */
export function contextOptionsOf(settings: TlsSettings, material: TlsMaterial): TlsOptions {
  const { certificate, key, authorities, revocations, dhParameters, sharedKeys } = material;
  const options: TlsOptions = {
    minVersion: settings.version === "tlsv1.3" ? "TLSv1.3" : "TLSv1.2",
    ciphers: ciphersOf(settings, material),
    secureOptions: secureOptionsOf(material),
    sessionTimeout: TLS_TICKET_SECONDS_MAX,
    ...(certificate === null ? {} : { cert: certificate }),
    ...(key === null ? {} : { key }),
    // Without a list of its own node:tls would trust the authorities of the web.
    ca: [...authorities],
    ...(revocations === null ? {} : { crl: revocations }),
    ...(dhParameters === null ? {} : { dhparam: dhParameters }),
    ...(sharedKeys === null ? {} : { pskIdentityHint: settings.pskHint }),
  };
  try {
    createSecureContext(options);
  } catch (error) {
    throw new StartError(contextFault(error, settings));
  }
  return options;
}

/**
 * A client may not ask for a second handshake, which costs us more than it. Who has shown a key has
 * to show it again: a ticket would not say whose it was.
 */
function secureOptionsOf(material: TlsMaterial): number {
  const { SSL_OP_NO_RENEGOTIATION, SSL_OP_NO_TICKET } = constants;
  const always = SSL_OP_NO_RENEGOTIATION ?? 0;
  return material.sharedKeys === null ? always : always | SSL_OP_NO_TICKET;
}

/** Which option it was that OpenSSL refused. */
function contextFault(error: unknown, settings: TlsSettings): string {
  const text = error instanceof Error ? error.message : String(error);
  if (/cipher/i.test(text)) {
    const { ciphers, ciphersTls13 } = settings;
    const given = [
      ciphers && `ciphers ${ciphers}`,
      ciphersTls13 && `ciphers_tls1.3 ${ciphersTls13}`,
    ];
    return (
      `${given.filter((part) => part !== "").join(", ") || "ciphers"}: OpenSSL knows none of ` +
      `them (${text}); "openssl ciphers" lists the names`
    );
  }
  if (/DH|dh |dhparam/.test(text) && settings.dhParamFile !== null) {
    return `dhparamfile ${settings.dhParamFile}: ${text}; openssl dhparam -out FILE 2048 makes one`;
  }
  if (/crl/i.test(text) && settings.crlFile !== null) return `crlfile ${settings.crlFile}: ${text}`;
  return `certfile ${settings.certificateFile}: OpenSSL refuses it: ${text}`;
}
