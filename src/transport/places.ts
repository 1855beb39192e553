/**
 * Where a listener listens: addresses of the machine, or of one interface of it, or a file.
 */
import { lookup } from "node:dns/promises";
import { existsSync, lstatSync, readFileSync, unlinkSync } from "node:fs";
import { connect, isIPv4, isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";
import { dirname } from "node:path";
import { StartError } from "../base/errors.ts";

export interface PlaceOptions {
  /** Empty: all addresses. */
  readonly address: string;
  readonly port: number;
  /** Empty: none; otherwise it goes before `address`. */
  readonly bindInterface: string;
  readonly socketDomain: "any" | "ipv4" | "ipv6";
}

/** One address to listen at. */
export interface Place {
  /** Empty: all addresses of both families. */
  readonly host: string;
  /** Whether `::` is to leave IPv4 alone. */
  readonly ipv6Only: boolean;
}

/** Longest path of a Unix socket, bytes: sockaddr_un has 108 with the end. */
const SOCKET_PATH_BYTES_MAX = 107;

/** How long the owner of a Unix socket may take to answer, milliseconds. */
const PROBE_MILLISECONDS_MAX = 1_000;

/** `1.2.3.4:1883`, `port 1883`: for sentences. */
export function placeOf(address: string, port: number): string {
  if (address === "") return `port ${port}`;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Why listening failed, in a sentence behind the place. */
export function listenFault(error: NodeJS.ErrnoException): string {
  if (error.code !== "EADDRINUSE") return `cannot be used: ${error.message}`;
  return "is in use: end what listens there, or choose another";
}

/** @throws StartError where there is no such address */
export async function placesOf(options: PlaceOptions): Promise<Place[]> {
  const { address, bindInterface, socketDomain } = options;
  if (bindInterface !== "") return addressesOf(bindInterface, socketDomain);
  if (address !== "") return resolve(options);
  if (socketDomain === "any") return [{ host: "", ipv6Only: false }];
  return [{ host: socketDomain === "ipv4" ? "0.0.0.0" : "::", ipv6Only: socketDomain === "ipv6" }];
}

function addressesOf(name: string, domain: PlaceOptions["socketDomain"]): Place[] {
  const interfaces = networkInterfaces();
  const entries = interfaces[name];
  if (entries === undefined) {
    const names = Object.keys(interfaces).join(", ");
    throw new StartError(
      `bind_interface ${name}: this machine has no such interface with an address; it has ${names}`,
    );
  }
  const family = domain === "any" ? "" : domain.replace("ip", "IP");
  const wanted = entries.filter((entry) => family === "" || entry.family === family);
  if (wanted.length === 0) {
    throw new StartError(
      `bind_interface ${name} has no ${family} address, socket_domain wants one`,
    );
  }
  return wanted.map((entry) => ({
    // An address of the link only is one of this interface.
    host: entry.address.startsWith("fe80:") ? `${entry.address}%${name}` : entry.address,
    ipv6Only: false,
  }));
}

async function resolve({ address, port, socketDomain }: PlaceOptions): Promise<Place[]> {
  const family = socketDomain === "ipv4" ? 4 : socketDomain === "ipv6" ? 6 : 0;
  const isOfOther = family === 4 ? isIPv6(address) : family === 6 ? isIPv4(address) : false;
  if (isOfOther) {
    throw new StartError(
      `${placeOf(address, port)} is no address of socket_domain ${socketDomain}`,
    );
  }
  try {
    const found = await lookup(address, { all: true, family });
    const hosts = new Set(found.map((one) => one.address));
    return [...hosts].map((host) => ({ host, ipv6Only: false }));
  } catch (error) {
    const text = error instanceof Error ? error.message : `${error}`;
    const hint = address.startsWith("[") ? "; write IPv6 without brackets" : "";
    throw new StartError(`listener ${port} ${address} cannot be used: ${text}${hint}`);
  }
}

/** Linux: what needs the right to be bound, and the bit of that right. */
const UNPRIVILEGED_PORT_FILE = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
const LOW_PORTS_RIGHT = 1n << 10n;

/** Whether a port may be bound again; root may have bound it before the rights were given up. */
export function mayBindAgain(port: number): boolean {
  try {
    if (port >= Number(readFileSync(UNPRIVILEGED_PORT_FILE, "utf8"))) return true;
    const status = readFileSync("/proc/self/status", "utf8");
    const [, rights = "0"] = /^CapEff:\s+([0-9a-f]+)/m.exec(status) ?? [];
    return (BigInt(`0x${rights}`) & LOW_PORTS_RIGHT) !== 0n;
  } catch {
    return port >= 1024 || process.geteuid?.() === 0;
  }
}

/**
 * Makes room for a Unix socket: what a broker that was killed has left behind goes.
 *
 * @throws StartError where another program answers there, or the path is no socket's
 */
export async function clearSocketPath(path: string): Promise<void> {
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX) {
    throw new StartError(
      `listener 0 ${path}: the path of a Unix socket has at most ${SOCKET_PATH_BYTES_MAX} bytes`,
    );
  }
  if (!existsSync(dirname(path))) {
    throw new StartError(`listener 0 ${path}: there is no directory ${dirname(path)}; make it`);
  }
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new StartError(`listener 0 ${path}: the file is there already and no socket`);
  }
  if (await answers(path)) {
    throw new StartError(`listener 0 ${path} is in use: end what listens there, or choose another`);
  }
  unlinkSync(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((tell) => {
    const socket = connect(path);
    const finish = (isThere: boolean): void => {
      socket.destroy();
      tell(isThere);
    };
    socket.setTimeout(PROBE_MILLISECONDS_MAX, () => finish(true));
    socket.on("connect", () => finish(true));
    socket.on("error", (error: NodeJS.ErrnoException) => finish(error.code !== "ECONNREFUSED"));
  });
}
