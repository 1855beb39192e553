/**
 * The part of an address that stands for one neighbour: an IPv4 address whole, of an IPv6 address
 * the network, since who has one of them has all 2^64 of it.
 */
import { isIPv6 } from "node:net";

/** Groups of 16 bits of an IPv6 address that name the network. */
const NETWORK_GROUPS = 4;

/**
 * The address of a Wire's `remote`, without its port and without brackets: behind an IPv6 address
 * without brackets there is always a port.
 */
export function addressOf(remote: string): string {
  const bracket = remote.lastIndexOf("]");
  if (remote.startsWith("[") && bracket !== -1) return remote.slice(1, bracket);
  const colon = remote.lastIndexOf(":");
  return colon === -1 ? remote : remote.slice(0, colon);
}

/** @param remote  of a Wire */
export function addressKey(remote: string): string {
  const address = addressOf(remote);
  if (!isIPv6(address)) return address;
  const [, mapped = ""] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address) ?? [];
  if (mapped !== "") return mapped;
  const [bare = ""] = address.split("%"); // The zone of a link-local address.
  const [before = "", behind] = bare.split("::");
  const groups = before === "" ? [] : before.split(":");
  if (behind !== undefined) {
    const tail = behind === "" ? [] : behind.split(":");
    while (groups.length + tail.length < 8) groups.push("0");
    groups.push(...tail);
  }
  return `${groups.slice(0, NETWORK_GROUPS).join(":")}::/64`;
}
