/**
 * What a connection may be in the middle of, every packet that its client can send then, and what
 * the standard wants to come back: a table small enough to be checked by eye.
 *
 * One message of the broker's may be under way; the table calls its Packet Identifier 1, and one
 * that nothing has 9. One of the client's may be, too, with Packet Identifier 1.
 */
import { concat, rawPacket, text, twoBytes } from "./client-bytes.ts";
import type { PathVersion } from "./error-paths-properties.ts";

/** How far the exchange of the broker's message 1 is. */
export type Outgoing = "none" | "awaits PUBACK" | "awaits PUBREC" | "awaits PUBCOMP";

export interface State {
  readonly isConnected: boolean;
  readonly outgoing: Outgoing;
  /** Whether the client's QoS 2 message 1 is received and not released. */
  readonly isReceived: boolean;
}

/** What an action brings: lines, the state behind it, or the end of the connection. */
export interface Outcome {
  readonly answers: readonly string[];
  /** null: the broker closes. */
  readonly next: State | null;
}

/** Packet Identifiers of the broker's messages, as they are: what the table calls 1, and 9. */
export interface Identifiers {
  readonly own: number;
  readonly stray: number;
}

export interface Action {
  readonly name: string;
  bytes(version: PathVersion, identifiers: Identifiers): Buffer;
  outcome(state: State, version: PathVersion): Outcome;
}

const IDLE: State = { isConnected: true, outgoing: "none", isReceived: false };
const OTHER = text("other");

/** PUBREL of the message that a client publishes to itself. */
const RELEASE = rawPacket(0x62, [0, 50]);

function list(version: PathVersion): number[] {
  return version === 5 ? [0] : [];
}

/** @param client  whose persistent Session it is; "": a Session that ends with its connection */
export function connectPacket(version: PathVersion, client = ""): Buffer {
  const flags = client === "" ? 2 : 0;
  const expiry = version === 5 ? [5, 0x11, 0, 0, 0x0e, 0x10] : [];
  const properties = client === "" ? list(version) : expiry;
  return rawPacket(0x10, text("MQTT"), version, flags, 0, 0, properties, text(client));
}

export function subscribePacket(
  version: PathVersion,
  id: number,
  filter: string,
  qos: 0 | 1 | 2 = 0,
): Buffer {
  return rawPacket(0x82, twoBytes(id), list(version), text(filter), qos);
}

function publishPacket(version: PathVersion, first: number, topic: Buffer, id: number): Buffer {
  const qos = (first >> 1) & 3;
  return rawPacket(first, topic, qos > 0 ? [0, id] : [], list(version), 0x78);
}

/** What brings a fresh connection into a state. */
export interface Setting {
  readonly state: State;
  /** What is sent first. */
  readonly sent: Buffer;
  /** What is sent behind its answers. */
  readonly more?: (identifiers: Identifiers) => Buffer;
}
/**
 * @param topic  no other connection's
 * @param client  for connectPacket()
 */
export type MakeSetting = (version: PathVersion, topic: string, client: string) => Setting;

const STATE_ENTRIES: readonly (readonly [string, MakeSetting])[] = [
  ["before CONNECT", () => ({ state: { ...IDLE, isConnected: false }, sent: Buffer.alloc(0) })],
  ["idle", (version, _, client) => ({ state: IDLE, sent: connectPacket(version, client) })],
  [
    "QoS 1 sent",
    (version, topic, client) => ({
      state: { ...IDLE, outgoing: "awaits PUBACK" },
      sent: ownMessage(version, topic, client, 1),
    }),
  ],
  [
    "QoS 2 sent",
    (version, topic, client) => ({
      state: { ...IDLE, outgoing: "awaits PUBREC" },
      sent: concat(ownMessage(version, topic, client, 2), RELEASE),
    }),
  ],
  [
    "QoS 2 sent, PUBREC come",
    (version, topic, client) => ({
      state: { ...IDLE, outgoing: "awaits PUBCOMP" },
      sent: concat(ownMessage(version, topic, client, 2), RELEASE),
      more: ({ own }) => rawPacket(0x50, twoBytes(own)),
    }),
  ],
  [
    "QoS 2 received",
    (version, _, client) => ({
      state: { ...IDLE, isReceived: true },
      sent: concat(connectPacket(version, client), publishPacket(version, 0x34, OTHER, 1)),
    }),
  ],
];

export const STATES: ReadonlyMap<string, MakeSetting> = new Map(STATE_ENTRIES);

/** CONNECT, SUBSCRIBE, and a message of its own, which is then under way to the client. */
function ownMessage(version: PathVersion, topic: string, client: string, qos: 1 | 2): Buffer {
  const subscribe = subscribePacket(version, 60, topic, qos);
  const publish = publishPacket(version, 0x30 | (qos << 1), text(topic), 50);
  return concat(connectPacket(version, client), subscribe, publish);
}

/** The faults: 5.0 says why it closes, 3.1.1 does not. */
function fault(version: PathVersion, code: string): Outcome {
  return { answers: version === 5 ? [`DISCONNECT ${code}`] : [], next: null };
}

function goes(next: State, ...answers: readonly string[]): Outcome {
  return { answers, next };
}

const PROTOCOL_ERROR = "0x82";
const MALFORMED = "0x81";

/** Reason Codes of 5.0 that 3.1.1 has no place for. */
function coded(version: PathVersion, answer: string, code: string): string {
  return version === 5 && code !== "0x0" ? `${answer} ${code}` : answer;
}

/** Anything but CONNECT before CONNECT: a close without a word [MQTT-3.1.0-1]. */
function action(
  name: string,
  bytes: Action["bytes"],
  outcome: (state: State, version: PathVersion) => Outcome,
): Action {
  return {
    name,
    bytes,
    outcome: (state, version) =>
      state.isConnected || name === "CONNECT"
        ? outcome(state, version)
        : { answers: [], next: null },
  };
}

/** A PUBLISH that nobody subscribed to. */
function publishAction(name: string, first: number, id: number): Action {
  return action(
    name,
    (version) => publishPacket(version, first, OTHER, id),
    (state, version) => {
      const qos = (first >> 1) & 3;
      if (qos === 0) return goes(state);
      if (qos === 1) return goes(state, coded(version, `PUBACK ${id}`, "0x10"));
      // A repeat is answered, and it is not a new message [MQTT-4.3.3-10].
      const isRepeat = state.isReceived;
      const next = { ...state, isReceived: true };
      return goes(next, coded(version, "PUBREC 1", isRepeat ? "0x0" : "0x10"));
    },
  );
}

/** An acknowledgement of a message of the broker's. */
function receipt(first: number, of: keyof Identifiers, ...code: readonly number[]) {
  return (_: PathVersion, identifiers: Identifiers) =>
    rawPacket(first, twoBytes(identifiers[of]), code);
}

/** PUBACK, PUBREC with success, PUBCOMP for message 1: the state that each belongs to. */
function receiptAction(type: "PUBACK" | "PUBCOMP", first: number): Action {
  return action(`${type} 1`, receipt(first, "own"), (state, version) => {
    if (state.outgoing === "none") return goes(state);
    if (state.outgoing !== `awaits ${type}`) return fault(version, PROTOCOL_ERROR);
    return goes({ ...state, outgoing: "none" });
  });
}

const pubrecAction = action("PUBREC 1", receipt(0x50, "own"), (state, version) => {
  if (state.outgoing === "none") return goes(state, coded(version, "PUBREL 1", "0x92"));
  if (state.outgoing === "awaits PUBACK") return fault(version, PROTOCOL_ERROR);
  return goes({ ...state, outgoing: "awaits PUBCOMP" }, "PUBREL 1");
});

/** An error ends the exchange and brings no PUBREL [MQTT-4.3.3-4], once it is not past that. */
const refusalAction = action("PUBREC 1 0x80", receipt(0x50, "own", 0x80), (state, version) => {
  if (version === 4) return fault(version, MALFORMED);
  if (state.outgoing === "none") return goes(state);
  if (state.outgoing === "awaits PUBACK") return fault(version, PROTOCOL_ERROR);
  if (state.outgoing === "awaits PUBCOMP") return goes(state, "PUBREL 1");
  return goes({ ...state, outgoing: "none" });
});

const releaseAction = action(
  "PUBREL 1",
  () => rawPacket(0x62, [0, 1]),
  (state, version) =>
    goes(
      { ...state, isReceived: false },
      coded(version, "PUBCOMP 1", state.isReceived ? "0x0" : "0x92"),
    ),
);

/** Acknowledgements of an identifier that nothing has. */
const STRAYS: readonly Action[] = [
  action("PUBACK 9", receipt(0x40, "stray"), (state) => goes(state)),
  action("PUBCOMP 9", receipt(0x70, "stray"), (state) => goes(state)),
  action("PUBREC 9", receipt(0x50, "stray"), (state, version) =>
    goes(state, coded(version, "PUBREL 9", "0x92")),
  ),
  action(
    "PUBREL 9",
    () => rawPacket(0x62, [0, 9]),
    (state, version) => goes(state, coded(version, "PUBCOMP 9", "0x92")),
  ),
];

/** What only a server sends. */
const SERVERS: readonly Action[] = (
  [
    ["CONNACK", 0x20, [0, 0]],
    ["SUBACK", 0x90, [0, 60, 0]],
    ["UNSUBACK", 0xb0, [0, 60]],
    ["PINGRESP", 0xd0, []],
  ] as const
).map(([name, first, body]) =>
  action(
    name,
    () => rawPacket(first, body),
    (_, version) => fault(version, PROTOCOL_ERROR),
  ),
);

export const ACTIONS: readonly Action[] = [
  action(
    "CONNECT",
    (version) => connectPacket(version),
    (state, version) =>
      state.isConnected ? fault(version, PROTOCOL_ERROR) : goes(IDLE, "CONNACK"),
  ),
  publishAction("PUBLISH QoS 0", 0x30, 0),
  publishAction("PUBLISH QoS 1", 0x32, 1),
  publishAction("PUBLISH QoS 2", 0x34, 1),
  publishAction("PUBLISH QoS 2 DUP", 0x3c, 1),
  receiptAction("PUBACK", 0x40),
  pubrecAction,
  refusalAction,
  releaseAction,
  receiptAction("PUBCOMP", 0x70),
  ...STRAYS,
  action(
    "SUBSCRIBE",
    (version) => subscribePacket(version, 70, "x/y", 1),
    (state) => goes(state, "SUBACK 70 0x1"),
  ),
  action(
    "UNSUBSCRIBE",
    (version) => rawPacket(0xa2, [0, 71], list(version), text("no/such")),
    (state, version) => goes(state, coded(version, "UNSUBACK 71", "0x11")),
  ),
  action(
    "PINGREQ",
    () => rawPacket(0xc0),
    (state) => goes(state, "PINGRESP"),
  ),
  action(
    "DISCONNECT",
    () => rawPacket(0xe0),
    () => ({ answers: [], next: null }),
  ),
  action(
    "AUTH",
    () => rawPacket(0xf0, 0x18, 0x04, 0x15, text("m")),
    (_, version) => fault(version, version === 5 ? PROTOCOL_ERROR : MALFORMED),
  ),
  ...SERVERS,
];

/** What a row of actions brings from a state on: lines, and "close" where the broker ends it. */
export function expectedLines(
  from: State,
  version: PathVersion,
  actions: readonly Action[],
): readonly string[] {
  const lines: string[] = [];
  let state: State | null = from;
  for (const one of actions) {
    const { answers, next }: Outcome = one.outcome(state, version);
    lines.push(...answers);
    if (next === null) return [...lines, "close"];
    state = next;
  }
  return lines;
}
