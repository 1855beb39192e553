/**
 * What both WebSocket libraries ask of an HTTP request before it becomes a WebSocket: any path will
 * do. MQTT 5.0 §6
 */

/** Subprotocols, the best first; the second is what clients of MQTT 3.1 offer. */
const SUBPROTOCOLS = ["mqtt", "mqttv3.1"] as const;

/** Why a request is refused. */
export interface Refusal {
  /** Status code and its name. */
  readonly status: string;
  /** A line for whoever reads the answer. */
  readonly text: string;
}

export const UPGRADE_REQUIRED: Refusal = {
  status: "426 Upgrade Required",
  text: "This port speaks MQTT over WebSocket only.",
};

export const NO_SUBPROTOCOL: Refusal = {
  status: "400 Bad Request",
  text: 'The client must offer the WebSocket subprotocol "mqtt".',
};

export const FULL: Refusal = {
  status: "503 Service Unavailable",
  text: "The broker takes no more connections.",
};

export const FOREIGN_ORIGIN: Refusal = {
  status: "403 Forbidden",
  text: "Pages of this origin may not connect.",
};

export const LONG_HEADERS: Refusal = {
  status: "431 Request Header Fields Too Large",
  text: "The headers are longer than websockets_headers_size.",
};

/** What a listener lets in. */
export interface HandshakeRules {
  /** Origins whose pages may connect, as browsers name them; none: all. */
  readonly origins: readonly string[];
  /** Bytes of all headers; 0: what the library takes. */
  readonly headerBytesMax: number;
  /** Asked before each connection; false refuses it. */
  readonly mayOpen: () => boolean;
}

/** What a request says. */
export interface Handshake {
  /** Sec-WebSocket-Protocol; "": none. */
  readonly offered: string;
  /** Origin; "": none. */
  readonly origin: string;
  readonly headerBytes: number;
}

/** @returns the subprotocol to serve [MQTT-6.0.0-4], or why there is none */
export function judgeHandshake(rules: HandshakeRules, handshake: Handshake): string | Refusal {
  const { offered, origin, headerBytes } = handshake;
  if (rules.headerBytesMax > 0 && headerBytes > rules.headerBytesMax) return LONG_HEADERS;
  // A browser always names its page's origin; who names none is no page.
  const isForeign = rules.origins.length > 0 && origin !== "" && !rules.origins.includes(origin);
  if (isForeign) return FOREIGN_ORIGIN;
  const subprotocol = chooseSubprotocol(offered);
  if (subprotocol === null) return NO_SUBPROTOCOL;
  return rules.mayOpen() ? subprotocol : FULL;
}

/** @returns the subprotocol to serve, or null where the client offers none [MQTT-6.0.0-3] */
function chooseSubprotocol(offered: string): string | null {
  const names = offered.split(",").map((name) => name.trim());
  return SUBPROTOCOLS.find((subprotocol) => names.includes(subprotocol)) ?? null;
}
