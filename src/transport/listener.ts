/** What listeners of all transports have in common. */
import type { Wire } from "../engine/wire.ts";
import type { NetworkConnection } from "../session/network-connection.ts";

/** A listener that is open. */
export interface TransportListener {
  readonly port: number;
  /** Takes no more connections. */
  stop(): void;
  /** Closes what is left. */
  close(): void;
}

/** What a transport tells of its connections. */
export interface TransportHandlers {
  /** @returns the connection, or null: it is refused and to be closed */
  onOpen(wire: Wire): NetworkConnection | null;
  /** The peer is gone, or failed. */
  onEnd(connection: NetworkConnection, reason: string): void;
}
