/** Headers of a proxy, as HAProxy writes them. */
import { isIPv6 } from "node:net";

export const PP2_TYPE_NETNS = 0x30;
const PP2_TYPE_SSL = 0x20;
const PP2_SUBTYPE_SSL_VERSION = 0x21;
const PP2_SUBTYPE_SSL_CN = 0x22;

export interface ProxyV2Options {
  readonly signature?: string;
  readonly version?: number;
  /** 0: the proxy itself, 1: for a client. */
  readonly command?: number;
  readonly family?: number;
  readonly source?: string;
  readonly port?: number;
  /** In place of those of source and port. */
  readonly addresses?: Buffer;
  readonly values?: readonly Buffer[];
}

/** @param text  what stands behind PROXY */
export function proxyV1(text: string): Buffer {
  return Buffer.from(`PROXY ${text}\r\n`, "latin1");
}

/** A type, a length, a value. */
export function value(type: number, content: string | Buffer): Buffer {
  const bytes = typeof content === "string" ? Buffer.from(content, "latin1") : content;
  const head = Buffer.from([type, bytes.length >>> 8, bytes.length & 0xff]);
  return Buffer.concat([head, bytes]);
}

/** What a proxy says of the client's TLS. */
export function tlsValue(options: {
  readonly commonName: string;
  readonly client?: number;
  readonly verify?: number;
}): Buffer {
  const { commonName, client = 0x07, verify = 0 } = options;
  const verified = Buffer.alloc(4);
  verified.writeUInt32BE(verify);
  return value(
    PP2_TYPE_SSL,
    Buffer.concat([
      Buffer.of(client),
      verified,
      value(PP2_SUBTYPE_SSL_VERSION, "TLSv1.3"),
      commonName === "" ? Buffer.alloc(0) : value(PP2_SUBTYPE_SSL_CN, Buffer.from(commonName)),
    ]),
  );
}

function addressBytes(address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split(".").map(Number));
  const mapped = /^::ffff:(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  if (mapped !== null) {
    const last = mapped.slice(1).map(Number);
    return Buffer.from([...Array<number>(10).fill(0), 0xff, 0xff, ...last]);
  }
  const [before = "", after = ""] = address.split("::");
  const words = (text: string) => (text === "" ? [] : text.split(":"));
  const zeros = Array<string>(8 - words(before).length - words(after).length).fill("0");
  const all = [...words(before), ...zeros, ...words(after)];
  return Buffer.from(all.map((word) => word.padStart(4, "0")).join(""), "hex");
}

export function proxyV2(options: ProxyV2Options): Buffer {
  const { version = 2, command = 1, source = "192.0.2.1", port = 1000 } = options;
  const { signature = "0d0a0d0a000d0a515549540a" } = options;
  const from = addressBytes(source);
  const ports = Buffer.from([port >>> 8, port & 0xff, 0x07, 0x5b]);
  const { addresses = Buffer.concat([from, from, ports]) } = options;
  const family = options.family ?? (isIPv6(source) ? 0x21 : 0x11);
  const rest = Buffer.concat([addresses, ...(options.values ?? [])]);
  const head = Buffer.from([version * 16 + command, family, rest.length >>> 8, rest.length & 0xff]);
  return Buffer.concat([Buffer.from(signature, "hex"), head, rest]);
}
