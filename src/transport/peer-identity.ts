/**
 * Who a certificate names, in the words that mosquitto uses.
 */
import type { X509Certificate } from "node:crypto";
import type { PeerIdentity } from "../engine/wire.ts";

/** Longest name that is passed on, bytes: User Names have no more. */
const NAME_BYTES_MAX = 65_535;

/**
 * A Subject as RFC 2253 writes it, the last part first.
 *
 * @param multiline  one part a line, the first first, as node:crypto gives it; escaped already,
 *   except what is not ASCII
 */
export function subjectOf(multiline: string): string {
  const escapeByte = (byte: number): string => `\\${byte.toString(16).toUpperCase()}`;
  return multiline
    .split("\n")
    .reverse()
    .map((part) => part.split(" + ").reverse().join("+"))
    .join(",")
    .replace(/[^\0-\x7f]+/g, (text) => [...Buffer.from(text)].map(escapeByte).join(""));
}

/** The first Common Name; "" where there is none, or one that no User Name may be. */
function commonNameOf(certificate: X509Certificate): string {
  const { CN: commonName } = certificate.toLegacyObject().subject as { CN?: string | string[] };
  const first = Array.isArray(commonName) ? commonName[0] : commonName;
  // A NUL would let one name pass for a shorter one.
  const isSound = first !== undefined && !first.includes("\0");
  return isSound && Buffer.byteLength(first) <= NAME_BYTES_MAX ? first : "";
}

export function identityOf(certificate: X509Certificate): PeerIdentity {
  return {
    commonName: commonNameOf(certificate),
    subject: subjectOf(certificate.subject),
    pskIdentity: null,
  };
}
