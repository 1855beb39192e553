/** From the settings of a listener to the transport that has all they ask for. */
import { createHash } from "node:crypto";
import type { Log } from "../base/log.ts";
import type { ListenerSettings, TlsSettings } from "../config/settings.ts";
import type { Engine } from "../engine/engine.ts";
import type { Turn } from "../session/turn.ts";
import type { TransportHandlers, TransportListener } from "./listener.ts";
import { listenTcp } from "./tcp.ts";
import type { RawStreams } from "./tcp-raw.ts";
import { borrowsAuthority, readTlsMaterial } from "./tls-files.ts";
import { TlsGate } from "./tls-gate.ts";
import { type CertificateFiles, LIBRARY_HEADER_BYTES_MAX, listenWebSocket } from "./websocket.ts";
import { listenNodeWebSocket } from "./websocket-node.ts";

/** What all listeners of a broker share, and what is told of this one's connections. */
export interface ListenerSurroundings {
  readonly engine: Engine;
  readonly turn: Turn;
  /** null: the public path. */
  readonly streams: RawStreams | null;
  readonly log: Log;
  /** Asked before each connection; false refuses it. */
  readonly mayOpen: () => boolean;
  /** Whether a socket that is no connection yet may be kept. */
  readonly hasFiles: () => boolean;
  readonly handlers: TransportHandlers;
  /** Longest WebSocket message, bytes: a reload may change it. */
  readonly frameBytesMax: () => number;
}

/** @throws StartError naming the place, or the file that cannot be used */
export async function openListener(
  settings: ListenerSettings,
  surroundings: ListenerSurroundings,
): Promise<TransportListener> {
  const { log } = surroundings;
  const handshake = {
    origins: settings.webSocketOrigins,
    headerBytesMax: settings.webSocketHeaderBytesMax,
  };
  const certificate = settings.tls === null ? null : plainCertificate(settings.tls);
  if (settings.protocol === "websockets" && isForLibrary(settings, certificate)) {
    return listenWebSocket({ ...settings, ...surroundings, ...handshake, certificate });
  }
  const tls =
    settings.tls === null ? null : new TlsGate(settings.tls, (sentence) => log.warn(sentence));
  const options = { ...settings, ...surroundings, tls };
  if (settings.protocol === "mqtt") return listenTcp(options);
  return listenNodeWebSocket({ ...options, ...handshake });
}

/** Whether uWebSockets.js can do what the listener asks for. */
function isForLibrary(settings: ListenerSettings, certificate: CertificateFiles | null): boolean {
  const { tls, socketPath, socketDomain, address, proxyProtocol } = settings;
  return (
    (tls === null || certificate !== null) &&
    socketPath === null &&
    proxyProtocol === 0 &&
    settings.webSocketHeaderBytesMax <= LIBRARY_HEADER_BYTES_MAX &&
    // It lets IPv4 in wherever it listens at all addresses of IPv6.
    (socketDomain !== "ipv6" || address !== "" || settings.bindInterface !== "")
  );
}

/** What uWebSockets.js takes: its own certificate and nothing else; null: more is asked for. */
function plainCertificate(tls: TlsSettings): CertificateFiles | null {
  const { certificateFile, keyFile } = tls;
  const asksForMore =
    tls.requireCertificate ||
    tls.pskFile !== null ||
    tls.version === "tlsv1.3" ||
    tls.ciphers !== "" ||
    tls.ciphersTls13 !== "" ||
    tls.dhParamFile !== null ||
    tls.alpn.length > 0 ||
    tls.keyLogFile !== null;
  if (asksForMore || certificateFile === null || keyFile === null) return null;
  const hasAuthorities = tls.caFile !== null || tls.caPath !== null;
  if (hasAuthorities && borrowsAuthority(readTlsMaterial(tls, () => undefined))) return null;
  const check = (warn: (sentence: string) => void): string => {
    const { certificate, key } = readTlsMaterial(tls, warn);
    return createHash("sha256").update(`${certificate}\n${key}`).digest("hex");
  };
  return { certificateFile, keyFile, check };
}
