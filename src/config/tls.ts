/** From the lines of a listener to its TlsSettings. */
import { type Findings, linesOf, valueIn } from "./entries.ts";
import type { OptionName } from "./options.ts";
import type { Entry } from "./parse.ts";
import type { TlsSettings } from "./settings.ts";

/** Options that mean nothing without TLS, and that its owner would believe obeyed. */
const NEEDS_TLS: readonly OptionName[] = [
  "require_certificate",
  "use_identity_as_username",
  "use_subject_as_username",
  "crlfile",
];

/**
 * TLS of one listener; null: it is plain.
 *
 * @param pskFile  null: no client has a shared key
 * @param keyLogFile  null: keys are logged nowhere
 */
export function tlsOf(
  own: readonly Entry[],
  pskFile: string | null,
  keyLogFile: string | null,
  findings: Findings,
): TlsSettings | null {
  const certificateFile = valueIn(own, "certfile");
  const keyFile = valueIn(own, "keyfile");
  const pskHint = valueIn(own, "psk_hint");
  const place = (name: OptionName): string => linesOf(own, name).at(-1)?.at ?? "";
  if ((certificateFile === null) !== (keyFile === null)) {
    const [has, lacks] =
      keyFile === null ? (["certfile", "keyfile"] as const) : (["keyfile", "certfile"] as const);
    findings.errors.push(`${place(has)}: ${has} needs ${lacks} for the same listener`);
  }
  if (certificateFile === null && pskHint === null) {
    for (const name of ["cafile", "capath"] as const) {
      if (valueIn(own, name) === null) continue;
      const why = "the listener has no certfile, and is open without TLS, as in mosquitto";
      findings.warnings.push(`${place(name)}: ${name} is not obeyed: ${why}`);
    }
    // A proxy may have had the certificate in its own hands.
    const isProxied = valueIn(own, "enable_proxy_protocol") === "2";
    for (const name of NEEDS_TLS) {
      if (isProxied && name.startsWith("use_")) continue;
      if (![null, false].includes(valueIn(own, name) as boolean | null)) {
        findings.errors.push(
          `${place(name)}: ${name} needs TLS: give the listener certfile and keyfile`,
        );
      }
    }
    return null;
  }
  if (pskHint !== null && pskFile === null) {
    findings.errors.push(`${place("psk_hint")}: psk_hint needs psk_file`);
  }
  if (
    valueIn(own, "crlfile") !== null &&
    valueIn(own, "disable_client_cert_date_checks") === true
  ) {
    findings.errors.push(
      `${place("disable_client_cert_date_checks")}: disable_client_cert_date_checks does not go ` +
        "with crlfile: a certificate that is over could not be told from one that is revoked",
    );
  }
  return {
    certificateFile,
    keyFile,
    caFile: valueIn(own, "cafile"),
    caPath: valueIn(own, "capath"),
    crlFile: valueIn(own, "crlfile"),
    requireCertificate: valueIn(own, "require_certificate") ?? false,
    checksCertificateDates: valueIn(own, "disable_client_cert_date_checks") !== true,
    version: versionOf(own, findings),
    ciphers: valueIn(own, "ciphers") ?? "",
    ciphersTls13: valueIn(own, "ciphers_tls1.3") ?? "",
    dhParamFile: valueIn(own, "dhparamfile"),
    pskFile: pskHint === null ? null : pskFile,
    pskHint: pskHint ?? "",
    alpn: valueIn(own, "tls_alpn") ?? [],
    keyLogFile,
  };
}

/** mosquitto speaks TLS 1.1 where it is told to; its standard was withdrawn in 2021. */
function versionOf(own: readonly Entry[], { warnings }: Findings): TlsSettings["version"] {
  const last = linesOf(own, "tls_version").at(-1);
  if (last?.value !== "tlsv1.1") return last?.value ?? null;
  warnings.push(`${last.at}: tls_version tlsv1.1 is not spoken; clients need tlsv1.2`);
  return "tlsv1.2";
}
