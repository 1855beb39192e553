/** What listeners of all transports have in common. */
import type { Socket } from "node:net";
import type { PeerIdentity, Wire } from "../engine/wire.ts";
import type { NetworkConnection } from "../session/network-connection.ts";

/** A listener that is open. */
export interface TransportListener {
  readonly port: number;
  /** Sockets that are no connections yet. */
  waitingCount(): number;
  /** Takes no more connections. */
  stop(): void;
  /** Closes what is left. */
  close(): void;
  /**
   * Reads its certificates again.
   *
   * @throws StartError where they cannot be used; it goes on with those it has
   */
  reload(warn: (sentence: string) => void): void;
}

/** What a transport tells of its connections. */
export interface TransportHandlers {
  /** @returns the connection, or null: it is refused and to be closed */
  onOpen(wire: Wire): NetworkConnection | null;
  /** The peer is gone, or failed. */
  onEnd(connection: NetworkConnection, reason: string): void;
}

/** A socket that has passed whatever stands before MQTT. */
export interface Arrival {
  readonly socket: Socket;
  readonly remote: string;
  readonly peer: PeerIdentity | null;
  /** Bytes that came behind that, at most as many as READ has; null: none. */
  readonly rest: Buffer | null;
}

/** The peer of a Unix socket, in place of address and port. */
export const LOCAL = "local";

/** An IPv4 address in IPv6's clothes as IPv4; any other as it is. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}
