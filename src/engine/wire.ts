/**
 * How the engine's output leaves: what a transport does for one Network Connection.
 *
 * One of the interfaces by which a lower floor calls a higher one.
 */
export interface Wire {
  /**
   * Who is at the other end, for the log: `address:port`, `address` or, of IPv6, `[address]` where
   * the port is not known; `local`: of a Unix socket.
   */
  readonly remote: string;
  /** Who its TLS handshake, or its proxy's, proved it to be; null: nobody. */
  readonly peer: PeerIdentity | null;

  /**
   * Writes pieces of engine memory, in order.
   *
   * @param pieces address and length of each, alternating; borrowed for the call, but the memory
   *   they name stays as it is until the write is done
   * @returns true where all bytes are taken; false where `written` will be called when they are, or
   *   when the connection is gone
   */
  write(pieces: readonly number[]): boolean;

  /** Stops and starts the flow of bytes from the peer. */
  pauseReading(): void;
  resumeReading(): void;

  /** Ends in order: what was written goes out, then the connection closes. */
  end(): void;
  /** Closes at once. */
  destroy(): void;
}

/** What a TLS handshake proved. */
export interface PeerIdentity {
  /** Common Name of the certificate; "": it has none, or there is no certificate. */
  readonly commonName: string;
  /** The whole Subject, as RFC 2253 writes it: `CN=device,OU=plant,O=maker,C=DE`. */
  readonly subject: string;
  /** Of the Pre-Shared Key; null: there was none. */
  readonly pskIdentity: string | null;
}
