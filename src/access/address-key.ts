/**
 * The part of an address that stands for one neighbour: an IPv4 address whole, of an IPv6 address
 * the network, since who has one of them has all 2^64 of it.
 */
import { isIPv6 } from "node:net";

/** Groups of 16 bits of an IPv6 address that name the network. */
const NETWORK_GROUPS = 4;

/**
 * @param remote  `address:port`, IPv6 with or without brackets, or what stands for none, as `local`
 *   does
 */
export function addressKey(remote: string): string {
  const colon = remote.lastIndexOf(":");
  if (colon === -1) return remote;
  // A WebSocket's has no port. With one it may read as an address as well: of the same network.
  const address = isIPv6(remote) ? remote : remote.slice(0, colon).replace(/^\[|\]$/g, "");
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
