/**
 * The files that TLS is made of: certificates, keys, revocation lists, Pre-Shared Keys. Each fault
 * of theirs is told with the file's name and what to do, at the start as on SIGHUP.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { StartError } from "../base/errors.ts";
import type { TlsSettings } from "../config/settings.ts";
import { parsePskFile } from "./tls-psk.ts";

/** What the files hold, ready for node:tls. */
export interface TlsMaterial {
  /** Its own certificate and those up to its authority, PEM; null: none, keys are shared. */
  readonly certificate: string | null;
  readonly key: string | null;
  /** Authorities of client certificates, PEM. */
  readonly authorities: readonly string[];
  readonly revocations: string | null;
  readonly dhParameters: string | null;
  /** By identity; null: no keys are shared. */
  readonly sharedKeys: ReadonlyMap<string, Buffer> | null;
}

const CERTIFICATE = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]+-----END [^-]+-----/g;

/** `ENOENT: no such file or directory`, without the system call that Node.js appends. */
function reasonOf(error: unknown): string {
  return error instanceof Error ? (error.message.split(", ")[0] ?? "") : String(error);
}

/** @throws StartError naming option and file */
function read(option: string, file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch (error) {
    throw new StartError(`${option} ${file} cannot be read: ${reasonOf(error)}`);
  }
}

/**
 * The certificates in a file.
 *
 * @throws StartError where there is none, or one that cannot be read
 */
function certificatesOf(option: string, file: string, content: string): X509Certificate[] {
  const blocks = content.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) {
    throw new StartError(
      `${option} ${file} holds no certificate in PEM form ("-----BEGIN CERTIFICATE-----"); ` +
        "one in DER form is converted by: openssl x509 -inform der -in FILE -out FILE.pem",
    );
  }
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw new StartError(
        `${option} ${file}: certificate ${index + 1} cannot be read: ${reasonOf(error)}`,
      );
    }
  });
}

/** @throws StartError for a key that is none, or has a password */
function privateKeyOf(file: string, content: string): KeyObject {
  try {
    return createPrivateKey(content);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ERR_MISSING_PASSPHRASE" || content.includes("ENCRYPTED")) {
      throw new StartError(
        `keyfile ${file} has a password, which a broker that starts by itself cannot ask for; ` +
          `write it without: openssl pkey -in ${file} -out FILE (and chmod 600 FILE)`,
      );
    }
    throw new StartError(
      `keyfile ${file} holds no private key in PEM form ("-----BEGIN PRIVATE KEY-----"): ` +
        reasonOf(error),
    );
  }
}

/** The broker's own certificate and key, which must belong together. */
function readIdentity(
  settings: TlsSettings,
  warn: (sentence: string) => void,
): Pick<TlsMaterial, "certificate" | "key"> {
  const { certificateFile, keyFile } = settings;
  if (certificateFile === null && keyFile === null) return { certificate: null, key: null };
  if (certificateFile === null) throw new StartError(`keyfile ${keyFile} needs certfile as well`);
  if (keyFile === null) throw new StartError(`certfile ${certificateFile} needs keyfile as well`);
  const certificate = read("certfile", certificateFile);
  const [own] = certificatesOf("certfile", certificateFile, certificate);
  const key = read("keyfile", keyFile);
  const privateKey = privateKeyOf(keyFile, key);
  if (own === undefined || !own.checkPrivateKey(privateKey)) {
    throw new StartError(
      `keyfile ${keyFile} does not belong to certfile ${certificateFile}: its public key differs ` +
        "from the first certificate's",
    );
  }
  warnOfDates(certificateFile, own, warn);
  return { certificate, key };
}

function warnOfDates(
  file: string,
  certificate: X509Certificate,
  warn: (sentence: string) => void,
): void {
  const now = Date.now();
  const { validFrom, validTo } = certificate;
  if (now > Date.parse(validTo)) {
    warn(`certfile ${file} expired on ${validTo}; clients that check dates refuse it`);
  } else if (now < Date.parse(validFrom)) {
    warn(`certfile ${file} is valid from ${validFrom} on; clients that check dates refuse it`);
  }
}

/** Authorities of a file and of a directory, each once. */
function readAuthorities(settings: TlsSettings): string[] {
  const { caFile, caPath } = settings;
  const found = new Map<string, string>();
  const add = (option: string, file: string, content: string): void => {
    for (const certificate of certificatesOf(option, file, content)) {
      found.set(certificate.fingerprint256, certificate.toString());
    }
  };
  if (caFile !== null) add("cafile", caFile, read("cafile", caFile));
  if (caPath !== null) {
    for (const file of filesOf(caPath)) {
      const content = read("capath", file);
      // There may be revocation lists and notes beside them.
      if (content.match(CERTIFICATE) !== null) add("capath", file, content);
    }
    if (found.size === 0) {
      throw new StartError(`capath ${caPath} holds no file with a certificate in PEM form`);
    }
  }
  return [...found.values()];
}

/** @throws StartError naming the directory */
function filesOf(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isFile() || entry.isSymbolicLink())
      .map((entry) => join(directory, entry.name))
      .sort();
  } catch (error) {
    throw new StartError(`capath ${directory} cannot be read: ${reasonOf(error)}`);
  }
}

function readRevocations(file: string | null): string | null {
  if (file === null) return null;
  const content = read("crlfile", file);
  if (content.includes("-----BEGIN X509 CRL-----")) return content;
  throw new StartError(
    `crlfile ${file} holds no revocation list in PEM form ("-----BEGIN X509 CRL-----")`,
  );
}

/** node:tls would go on without them and say nothing. */
function readDhParameters(file: string | null): string | null {
  if (file === null) return null;
  const content = read("dhparamfile", file);
  if (/-----BEGIN (?:X9\.42 )?DH PARAMETERS-----/.test(content)) return content;
  throw new StartError(
    `dhparamfile ${file} holds no parameters in PEM form ("-----BEGIN DH PARAMETERS-----"); ` +
      "openssl dhparam -out FILE 2048 makes them",
  );
}

/**
 * Whether the certificate goes back to its root through one that only cafile or capath has: OpenSSL
 * finds it there and sends it along.
 */
export function borrowsAuthority({ certificate, authorities }: TlsMaterial): boolean {
  const last = certificate?.match(CERTIFICATE)?.at(-1);
  if (last === undefined) return false;
  const end = new X509Certificate(last);
  const candidates = authorities.map((authority) => new X509Certificate(authority));
  return candidates.some((one) => !one.checkIssued(one) && end.checkIssued(one));
}

/**
 * Reads what the settings name.
 *
 * @param warn  takes a sentence for each thing that works and will not please
 * @throws StartError with a sentence for whoever wrote the configuration
 */
export function readTlsMaterial(
  settings: TlsSettings,
  warn: (sentence: string) => void,
): TlsMaterial {
  const { pskFile, dhParamFile } = settings;
  const identity = readIdentity(settings, warn);
  const authorities = readAuthorities(settings);
  if (settings.requireCertificate && authorities.length === 0) {
    throw new StartError(
      "require_certificate needs cafile or capath: the authorities that sign your clients' " +
        "certificates",
    );
  }
  const sharedKeys = pskFile === null ? null : parsePskFile(pskFile, read("psk_file", pskFile));
  if (identity.certificate === null && sharedKeys === null) {
    throw new StartError("TLS needs certfile and keyfile, or psk_file and psk_hint");
  }
  return {
    ...identity,
    authorities,
    revocations: readRevocations(settings.crlFile),
    dhParameters: readDhParameters(dhParamFile),
    sharedKeys,
  };
}
