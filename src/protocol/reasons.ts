/** Why a connection ends, for the client and for the log; MQTT 5.0 §2.4. */

/** What a client is told at its connection's end. */
export interface Told {
  readonly reasonCode: number;
  /** A sentence for its log; "": none. */
  readonly reasonString: string;
  /** Where it may go instead, §4.11; "": nowhere. */
  readonly serverReference: string;
}

const TEXTS: ReadonlyMap<number, string> = new Map([
  [0x80, "unspecified error"],
  [0x81, "malformed packet"],
  [0x82, "protocol error"],
  [0x84, "unsupported protocol version"],
  [0x85, "Client Identifier not valid"],
  [0x86, "bad user name or password"],
  [0x87, "not authorized"],
  [0x88, "server unavailable"],
  [0x89, "server busy"],
  [0x8b, "server shutting down"],
  [0x8c, "bad authentication method"],
  [0x8d, "exceeded timeout"],
  [0x8e, "session taken over"],
  [0x8f, "Topic Filter invalid"],
  [0x90, "Topic Name invalid"],
  [0x93, "Receive Maximum exceeded"],
  [0x94, "Topic Alias invalid"],
  [0x95, "packet too large"],
  [0x97, "quota exceeded"],
  [0x99, "payload format invalid"],
  [0x9a, "retain not supported"],
  [0x9b, "QoS not supported"],
  [0x9c, "use another server"],
  [0x9d, "server moved"],
  [0x9f, "connection rate exceeded"],
  [0xa1, "Subscription Identifiers not supported"],
  [0xa2, "wildcard subscriptions not supported"],
]);

/** A shorter and a shortest form, for clients that take no larger packet. */
export function shorterForms(told: Told): readonly Told[] {
  return [
    { ...told, reasonString: "" },
    { ...told, reasonString: "", serverReference: "" },
  ];
}

/** @param reasonCode  0x80 … 0xff */
export function reasonText(reasonCode: number): string {
  return TEXTS.get(reasonCode) ?? `Reason Code 0x${reasonCode.toString(16)}`;
}
