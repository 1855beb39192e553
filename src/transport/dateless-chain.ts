/**
 * Whether a client certificate leads to an authority, dates left aside: `disable_client_cert_date_
 * checks`. node:tls tells the last fault that it found only, so that a date that has passed may
 * hide a stranger's signature; signatures are therefore looked at again.
 */
import type { X509Certificate } from "node:crypto";

/** Certificates between a client's and its authority. */
const DEPTH_MAX = 10;

/** Extended Key Usage of RFC 5280 §4.2.1.12: a client of TLS. */
const CLIENT_AUTHENTICATION = "1.3.6.1.5.5.7.3.2";

/** Faults of node:tls that are of dates. */
export const DATE_FAULTS: ReadonlySet<string> = new Set(["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"]);

function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/** @param authorities  those that the listener trusts */
export function leadsToAuthority(
  certificate: X509Certificate,
  authorities: readonly X509Certificate[],
): boolean {
  const { keyUsage } = certificate;
  if (keyUsage !== undefined && !keyUsage.includes(CLIENT_AUTHENTICATION)) return false;
  let current = certificate;
  for (let depth = 0; depth <= DEPTH_MAX; depth++) {
    if (authorities.some((authority) => isSignedBy(current, authority))) return true;
    const issuer = current.issuerCertificate;
    if (issuer === undefined || !isSignedBy(current, issuer)) return false;
    current = issuer;
  }
  return false;
}
