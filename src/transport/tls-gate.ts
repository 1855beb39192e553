/**
 * TLS handshakes of a listener, by node:tls: who the peer is, and new certificates without an end
 * of what is open.
 */
import { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { GATE_SECONDS_MAX, LOGGED_NAME_CHARACTERS_MAX } from "../base/limits.ts";
import type { TlsSettings } from "../config/settings.ts";
import type { PeerIdentity } from "../engine/wire.ts";
import { DATE_FAULTS, leadsToAuthority } from "./dateless-chain.ts";
import { identityOf, subjectOf } from "./peer-identity.ts";
import { remoteOf } from "./tcp-public.ts";
import { readTlsMaterial, type TlsMaterial } from "./tls-files.ts";
import { openKeyLog } from "./tls-key-log.ts";
import { contextOptionsOf } from "./tls-options.ts";

/** How a handshake ends. */
export interface HandshakeEnd {
  readonly done: (socket: TLSSocket, peer: PeerIdentity | null) => void;
  readonly failed: (reason: string) => void;
}

/** What a server needs to know beyond its sockets. */
type Warn = (sentence: string) => void;

export class TlsGate {
  readonly #settings: TlsSettings;
  readonly #server: Server;
  #material: TlsMaterial;
  #authorities: readonly X509Certificate[];
  /** By address and port, which no two sockets of a listener share while they are open. */
  readonly #underWay = new Map<string, HandshakeEnd>();
  /**
   * Why handshakes failed whose peers are gone already: of them no address is known any more, but
   * their sockets close next.
   */
  readonly #unclaimed: string[] = [];
  /** Of handshakes with a Pre-Shared Key. */
  readonly #identities = new WeakMap<TLSSocket, string>();

  /** @throws StartError for what the files are not */
  constructor(settings: TlsSettings, warn: Warn) {
    this.#settings = settings;
    this.#material = readTlsMaterial(settings, warn);
    this.#authorities = authoritiesOf(this.#material);
    this.#server = this.#createServer();
    if (settings.keyLogFile === null) return;
    this.#server.on("keylog", openKeyLog(settings.keyLogFile, warn));
  }

  #createServer(): Server {
    const settings = this.#settings;
    const { alpn, requireCertificate } = settings;
    const server = createServer({
      ...contextOptionsOf(settings, this.#material),
      requestCert: requireCertificate,
      // What is wrong with a certificate is judged here: node:tls would end it without a word.
      rejectUnauthorized: false,
      // The gate has a limit for all of it; this one only must not come before.
      handshakeTimeout: GATE_SECONDS_MAX * 2_000,
      ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
      ...(this.#material.sharedKeys === null
        ? {}
        : {
            pskCallback: (socket: TLSSocket, identity: string) => this.#keyOf(socket, identity),
          }),
    });
    server.on("secureConnection", (socket) => this.#secured(socket));
    server.on("tlsClientError", (error, socket) => {
      const end = this.#take(remoteOf(socket));
      if (end !== undefined) end.failed(faultOf(error));
      else this.#unclaimed.push(faultOf(error));
    });
    return server;
  }

  #keyOf(socket: TLSSocket, identity: string): Buffer | null {
    const key = this.#material.sharedKeys?.get(identity);
    if (key === undefined) return null;
    this.#identities.set(socket, identity);
    return key;
  }

  /** Begins the handshake of a socket, whose first bytes lie in it. */
  handshake(socket: Socket, end: HandshakeEnd): void {
    const remote = remoteOf(socket);
    this.#underWay.set(remote, end);
    socket.once("close", () => {
      const fault = this.#unclaimed.shift();
      if (this.#underWay.get(remote) !== end) return;
      this.#underWay.delete(remote);
      if (fault !== undefined) end.failed(fault);
    });
    this.#server.emit("connection", socket);
  }

  #take(remote: string): HandshakeEnd | undefined {
    const end = this.#underWay.get(remote);
    this.#underWay.delete(remote);
    return end;
  }

  #secured(socket: TLSSocket): void {
    const end = this.#take(remoteOf(socket));
    if (end === undefined) {
      socket.destroy();
      return;
    }
    const certificate = this.#settings.requireCertificate
      ? socket.getPeerX509Certificate()
      : undefined;
    const fault = this.#settings.requireCertificate ? this.#judge(socket, certificate) : "";
    if (fault !== "") end.failed(fault);
    else end.done(socket, this.#peerOf(socket, certificate));
  }

  /** @returns why the peer is not let in; "": it is */
  #judge(socket: TLSSocket, certificate: X509Certificate | undefined): string {
    // Nor is one that resumes another's session without any: node:tls would say it is authorized.
    if (certificate === undefined) {
      return this.#identities.has(socket) ? "" : "peer did not return a certificate";
    }
    const { checksCertificateDates } = this.#settings;
    if (socket.authorized) {
      // What a ticket resumes was judged when it was issued.
      const isOver = checksCertificateDates && Date.now() > Date.parse(certificate.validTo);
      return isOver ? "certificate has expired" : "";
    }
    const fault = `${socket.authorizationError}`;
    const isOfDates = !checksCertificateDates && DATE_FAULTS.has(fault);
    if (isOfDates && leadsToAuthority(certificate, this.#authorities)) return "";
    const subject = subjectOf(certificate.subject).slice(0, LOGGED_NAME_CHARACTERS_MAX);
    return `certificate verify failed (${fault}), subject ${subject}`;
  }

  #peerOf(socket: TLSSocket, certificate: X509Certificate | undefined): PeerIdentity | null {
    const pskIdentity = this.#identities.get(socket);
    if (pskIdentity !== undefined) return { commonName: "", subject: "", pskIdentity };
    return certificate === undefined ? null : identityOf(certificate);
  }

  /**
   * Reads the files again. Connections stay; tickets end, so that nobody resumes what a new list of
   * revocations rules out.
   *
   * @throws StartError for what the files are not; all stays as it was
   */
  reload(warn: Warn): void {
    const material = readTlsMaterial(this.#settings, warn);
    const options = contextOptionsOf(this.#settings, material);
    this.#server.setSecureContext(options);
    this.#material = material;
    this.#authorities = authoritiesOf(material);
  }
}

function authoritiesOf({ authorities }: TlsMaterial): X509Certificate[] {
  return authorities.map((authority) => new X509Certificate(authority));
}

/** OpenSSL's own words, as mosquitto's log has them. */
function faultOf(error: Error): string {
  const { code = "" } = error as NodeJS.ErrnoException;
  const { library, reason } = error as { library?: string; reason?: string };
  const number = /error:([0-9A-F]+):/.exec(error.message)?.[1];
  if (number !== undefined && reason !== undefined) {
    return `OpenSSL error:${number}:${library ?? ""}::${reason}`;
  }
  return code === "" ? error.message : `${error.message.split(", ")[0]} (${code})`;
}
