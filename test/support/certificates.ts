/**
 * Certificates, keys and revocation lists, made by Debian's openssl for the test that asks.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Files of one certificate. */
export interface KeyPair {
  readonly certificateFile: string;
  readonly keyFile: string;
}

export interface CertificateOptions {
  /** As `openssl -subj` takes it. */
  readonly subject: string;
  /** Days that it is valid from now on; negative: it is over. */
  readonly days?: number;
  /** Who signs it; the first authority if left out. */
  readonly authority?: string;
  /** Whether it may sign others. */
  readonly isAuthority?: boolean;
}

const DAY_MS = 86_400_000;

/** `20261128235959Z`, as openssl wants a time. */
function timeOf(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().replace(/[-:T]|\.\d+/g, "")}`;
}

/** A directory with authorities and what they signed. */
export class Certificates {
  readonly directory = mkdtempSync(join(tmpdir(), "holdfast-tls-"));
  #signed = 0;

  constructor() {
    this.addAuthority("ca");
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** A file with some content. */
  write(name: string, content: string): string {
    writeFileSync(this.path(name), content);
    return this.path(name);
  }

  read(name: string): string {
    return readFileSync(this.path(name), "utf8");
  }

  openssl(...args: readonly string[]): void {
    execFileSync("openssl", args, { cwd: this.directory, stdio: ["ignore", "ignore", "pipe"] });
  }

  /** Lets a certificate that is there sign others, whether it may or not. */
  useAsAuthority(name: string): void {
    mkdirSync(this.path(`${name}.d`));
    this.write(`${name}.index`, "");
    this.write(
      `${name}.cnf`,
      [
        "[ca]",
        "default_ca = own",
        "[own]",
        `dir = ${this.directory}`,
        `database = ${this.path(`${name}.index`)}`,
        `new_certs_dir = ${this.path(`${name}.d`)}`,
        `certificate = ${this.path(`${name}.pem`)}`,
        `private_key = ${this.path(`${name}.key`)}`,
        "default_md = sha256",
        "default_crl_days = 30",
        "rand_serial = yes",
        "unique_subject = no",
        "policy = any_policy",
        "[any_policy]",
        "commonName = optional",
        "countryName = optional",
        "organizationName = optional",
        "organizationalUnitName = optional",
        "[leaf]",
        "basicConstraints = CA:FALSE",
        "subjectAltName = DNS:localhost,IP:127.0.0.1",
        "[signer]",
        "basicConstraints = critical,CA:TRUE",
        "keyUsage = keyCertSign,cRLSign",
        "",
      ].join("\n"),
    );
  }

  /** A root. */
  addAuthority(name: string): string {
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    const subject = `/CN=Authority ${name}`;
    this.openssl(
      ...["req", "-x509", ...curve, "-days", "30", "-subj", subject],
      ...["-keyout", `${name}.key`, "-out", `${name}.pem`],
    );
    this.useAsAuthority(name);
    return this.path(`${name}.pem`);
  }

  /** A key, and a certificate for it. */
  sign(name: string, options: CertificateOptions): KeyPair {
    const { subject, days = 10, authority = "ca", isAuthority = false } = options;
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    this.openssl(
      ...["req", ...curve, "-utf8", "-subj", subject],
      ...["-keyout", `${name}.key`, "-out", `${name}.csr`],
    );
    const now = Date.now();
    const end = now + days * DAY_MS;
    this.#signed += 1;
    this.openssl(
      ...["ca", "-batch", "-config", `${authority}.cnf`, "-utf8", "-preserveDN"],
      ...["-extensions", isAuthority ? "signer" : "leaf", "-in", `${name}.csr`],
      ...["-startdate", timeOf(Math.min(now, end) - DAY_MS), "-enddate", timeOf(end)],
      ...["-notext", "-out", `${name}.pem`],
    );
    return { certificateFile: this.path(`${name}.pem`), keyFile: this.path(`${name}.key`) };
  }

  /** Revokes a certificate of the authority, and writes the list anew. */
  revoke(name: string | null, authority = "ca"): string {
    const config = ["-config", `${authority}.cnf`];
    if (name !== null) this.openssl("ca", ...config, "-revoke", `${name}.pem`);
    this.openssl("ca", ...config, "-gencrl", "-out", `${authority}.crl`);
    return this.path(`${authority}.crl`);
  }
}
