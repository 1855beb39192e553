/**
 * The three kinds of errors: the peer's fault, ours (node:assert), the world's.
 */

/**
 * What a peer did against the standard; its connection is closed with the Reason Code.
 * Caught in one place, src/protocol/dispatch.ts.
 */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  /** Reason Code of MQTT 5.0 §2.4. */
  readonly reasonCode: number;
  /** Server Reference: where the client may go instead, §4.11; "": nowhere. */
  readonly serverReference: string;

  constructor(reasonCode: number, message: string, serverReference = "") {
    super(message);
    this.reasonCode = reasonCode;
    this.serverReference = serverReference;
  }
}

/** Why the broker cannot start, in a sentence for whoever starts it. */
export class StartError extends Error {
  override readonly name = "StartError";
}
