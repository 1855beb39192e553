/**
 * The header that a proxy sends before the client's bytes, versions 1 and 2 of the PROXY protocol
 * (HAProxy, "The PROXY protocol", 2020).
 *
 *   1:  PROXY TCP4 192.0.2.7 198.51.100.1 50123 8883\r\n                        at most 107 bytes
 *
 *   2:   0 … 11      12            13             14 … 15   16 …
 *      ┌───────────┬─────────────┬──────────────┬─────────┬───────────────┬────────────────────┐
 *      │ signature │ version 2,  │ family,      │ length  │ addresses and │ type u8, length u16│
 *      │           │ command     │ transport    │ of rest │ ports         │ value; repeated    │
 *      └───────────┴─────────────┴──────────────┴─────────┴───────────────┴────────────────────┘
 *
 * Numbers are big endian.
 */
import { isIPv4, isIPv6, SocketAddress } from "node:net";
import { PROXY_HEADER_BYTES_MAX } from "../base/limits.ts";
import type { PeerIdentity } from "../engine/wire.ts";
import { plainAddress } from "./listener.ts";

export interface ProxyHeader {
  /** Bytes of the header; what follows is the client's. */
  readonly byteCount: number;
  /** The client's `address:port`; null: the proxy speaks for itself, its own address counts. */
  readonly remote: string | null;
  /** Whether the client reached the proxy by TLS. */
  readonly hasTls: boolean;
  /** What its certificate said to the proxy, which verified it; null: it had none. */
  readonly peer: PeerIdentity | null;
}

/** The header is not whole yet, or what came is none. */
export type ProxyProgress = ProxyHeader | "more" | "malformed";

const V1_START = Buffer.from("PROXY ");
const V1_BYTES_MAX = 107;
const V2_SIGNATURE = Buffer.from("0d0a0d0a000d0a515549540a", "hex");
const V2_FIXED_BYTES = 16;

/** Command of version 2. */
const LOCAL_COMMAND = 0;
const PROXY_COMMAND = 1;

/** Family and transport of version 2. */
const TCP4 = 0x11;
const TCP6 = 0x21;
const UNIX_STREAM = 0x31;

/** Bytes of addresses and ports; of another family all that follows is skipped. */
const ADDRESS_BYTES: ReadonlyMap<number, number> = new Map([
  [TCP4, 12],
  [TCP6, 36],
  [UNIX_STREAM, 216],
]);

/** Types of what may follow; in PP2_TYPE_SSL lie others. */
const PP2_TYPE_SSL = 0x20;
const PP2_SUBTYPE_SSL_CN = 0x22;

/** Bits of the client field of PP2_TYPE_SSL. */
const CLIENT_SSL = 0x01;
const CLIENT_CERT = 0x06;

const NOT_PROXIED = { remote: null, hasTls: false, peer: null } as const;

/** @param bytes  everything that came so far */
export function readProxyHeader(version: 1 | 2, bytes: Buffer): ProxyProgress {
  return version === 1 ? readVersion1(bytes) : readVersion2(bytes);
}

/** Whether the bytes begin as `start` does, as far as they go. */
function startsLike(bytes: Buffer, start: Buffer): boolean {
  const byteCount = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, byteCount, 0, byteCount) === 0;
}

function readVersion1(bytes: Buffer): ProxyProgress {
  if (!startsLike(bytes, V1_START)) return "malformed";
  const end = bytes.subarray(0, V1_BYTES_MAX).indexOf("\r\n");
  if (end < 0) return bytes.length >= V1_BYTES_MAX ? "malformed" : "more";
  const byteCount = end + 2;
  const words = bytes.subarray(0, end).toString("latin1").split(" ");
  if (words[1] === "UNKNOWN") return { ...NOT_PROXIED, byteCount };
  const [, family, source = "", destination = "", sourcePort = "", destinationPort = ""] = words;
  const isAddress = family === "TCP4" ? isIPv4 : family === "TCP6" ? isIPv6 : null;
  if (words.length !== 6 || isAddress === null) return "malformed";
  if (!isAddress(source) || !isAddress(destination)) return "malformed";
  if (!isPort(sourcePort) || !isPort(destinationPort)) return "malformed";
  return { ...NOT_PROXIED, byteCount, remote: `${plainAddress(source)}:${sourcePort}` };
}

function isPort(text: string): boolean {
  return /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535;
}

function readVersion2(bytes: Buffer): ProxyProgress {
  if (!startsLike(bytes, V2_SIGNATURE)) return "malformed";
  if (bytes.length < V2_FIXED_BYTES) return "more";
  const command = (bytes[12] as number) & 0x0f;
  if ((bytes[12] as number) >>> 4 !== 2 || command > PROXY_COMMAND) return "malformed";
  const family = bytes[13] as number;
  const byteCount = V2_FIXED_BYTES + bytes.readUInt16BE(14);
  if (byteCount > PROXY_HEADER_BYTES_MAX) return "malformed";
  if (bytes.length < byteCount) return "more";
  const rest = bytes.subarray(V2_FIXED_BYTES, byteCount);
  const addressBytes = ADDRESS_BYTES.get(family);
  if (command === LOCAL_COMMAND || addressBytes === undefined) return { ...NOT_PROXIED, byteCount };
  if (rest.length < addressBytes) return "malformed";
  const secure = readSecure(rest.subarray(addressBytes));
  if (secure === null) return "malformed";
  return { byteCount, remote: remoteOf(family, rest), ...secure };
}

function remoteOf(family: number, rest: Buffer): string | null {
  if (family === TCP4) return `${[...rest.subarray(0, 4)].join(".")}:${rest.readUInt16BE(8)}`;
  if (family !== TCP6) return null;
  const words = Array.from({ length: 8 }, (_, i) => rest.readUInt16BE(i * 2).toString(16));
  const { address } = new SocketAddress({ address: words.join(":"), family: "ipv6" });
  return `${plainAddress(address)}:${rest.readUInt16BE(32)}`;
}

/** The values of one type among those that follow each other; null: one is cut short. */
function valuesOf(type: number, bytes: Buffer): Buffer[] | null {
  const found: Buffer[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (at + 3 > bytes.length) return null;
    const end = at + 3 + bytes.readUInt16BE(at + 1);
    if (end > bytes.length) return null;
    if (bytes[at] === type) found.push(bytes.subarray(at + 3, end));
    at = end;
  }
  return found;
}

/** What the proxy tells of the client's TLS; null: malformed. */
function readSecure(bytes: Buffer): Pick<ProxyHeader, "hasTls" | "peer"> | null {
  const values = valuesOf(PP2_TYPE_SSL, bytes);
  if (values === null) return null;
  const [value] = values;
  if (value === undefined) return { hasTls: false, peer: null };
  if (value.length < 5) return null;
  const client = value[0] as number;
  const names = valuesOf(PP2_SUBTYPE_SSL_CN, value.subarray(5));
  if (names === null) return null;
  const hasTls = (client & CLIENT_SSL) !== 0;
  const isVerified = (client & CLIENT_CERT) !== 0 && value.readUInt32BE(1) === 0;
  const commonName = names[0]?.toString() ?? "";
  if (!hasTls || !isVerified || commonName === "" || commonName.includes("\0")) {
    return { hasTls, peer: null };
  }
  return { hasTls, peer: { commonName, subject: `CN=${commonName}`, pskIdentity: null } };
}
