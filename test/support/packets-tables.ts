/**
 * MQTT's tables for the reference decoder and the naive encoder, typed from the standard a second
 * time: nothing here comes from the engine, so that a slip in one of the two is found by the other.
 *
 * Source: MQTT 5.0 §2.1.2 (types), §2.1.3 (flags), §2.2.2.2 Table 2-4 (properties), and the Reason
 * Code tables of §3.4.2.1, §3.6.2.1, §3.14.2.1, §3.15.2.1.
 */
import type { PacketType } from "./packets-types.ts";

/** Index is the Control Packet type; type 0 is forbidden. */
export const PACKET_TYPES: readonly (PacketType | null)[] = [
  null,
  "connect",
  "connack",
  "publish",
  "puback",
  "pubrec",
  "pubrel",
  "pubcomp",
  "subscribe",
  "suback",
  "unsubscribe",
  "unsuback",
  "pingreq",
  "pingresp",
  "disconnect",
  "auth",
];

/** Fixed-header flags that a packet must have. PUBLISH has flags of its own. */
export function fixedHeaderFlags(type: PacketType): number {
  return type === "pubrel" || type === "subscribe" || type === "unsubscribe" ? 0b0010 : 0b0000;
}

/** Where a property list stands: in a packet, or before the Will Topic. */
export type PropertyPlace = PacketType | "will";

export type PropertyForm = "byte" | "two" | "four" | "varint" | "string" | "binary" | "pair";

export interface PropertyRow {
  readonly identifier: number;
  readonly name: string;
  readonly form: PropertyForm;
  readonly places: readonly PropertyPlace[];
}

const MESSAGE: readonly PropertyPlace[] = ["publish", "will"];
const HANDSHAKE: readonly PropertyPlace[] = ["connect", "connack"];
const ACKNOWLEDGEMENTS: readonly PropertyPlace[] = ["puback", "pubrec", "pubrel", "pubcomp"];
const ANSWERS: readonly PropertyPlace[] = [...ACKNOWLEDGEMENTS, "suback", "unsuback"];
const ANYWHERE: readonly PropertyPlace[] = [
  ...HANDSHAKE,
  ...MESSAGE,
  ...ANSWERS,
  "subscribe",
  "unsubscribe",
  "disconnect",
  "auth",
];

function row(
  identifier: number,
  name: string,
  form: PropertyForm,
  places: readonly PropertyPlace[],
): PropertyRow {
  return { identifier, name, form, places };
}

/** Table 2-4, in its order. */
export const PROPERTY_ROWS: readonly PropertyRow[] = [
  row(1, "payload_format_indicator", "byte", MESSAGE),
  row(2, "message_expiry_interval", "four", MESSAGE),
  row(3, "content_type", "string", MESSAGE),
  row(8, "response_topic", "string", MESSAGE),
  row(9, "correlation_data", "binary", MESSAGE),
  row(11, "subscription_identifier", "varint", ["publish", "subscribe"]),
  row(17, "session_expiry_interval", "four", [...HANDSHAKE, "disconnect"]),
  row(18, "assigned_client_identifier", "string", ["connack"]),
  row(19, "server_keep_alive", "two", ["connack"]),
  row(21, "authentication_method", "string", [...HANDSHAKE, "auth"]),
  row(22, "authentication_data", "binary", [...HANDSHAKE, "auth"]),
  row(23, "request_problem_information", "byte", ["connect"]),
  row(24, "will_delay_interval", "four", ["will"]),
  row(25, "request_response_information", "byte", ["connect"]),
  row(26, "response_information", "string", ["connack"]),
  row(28, "server_reference", "string", ["connack", "disconnect"]),
  row(31, "reason_string", "string", ["connack", ...ANSWERS, "disconnect", "auth"]),
  row(33, "receive_maximum", "two", HANDSHAKE),
  row(34, "topic_alias_maximum", "two", HANDSHAKE),
  row(35, "topic_alias", "two", ["publish"]),
  row(36, "maximum_qos", "byte", ["connack"]),
  row(37, "retain_available", "byte", ["connack"]),
  row(38, "user_property", "pair", ANYWHERE),
  row(39, "maximum_packet_size", "four", HANDSHAKE),
  row(40, "wildcard_subscription_available", "byte", ["connack"]),
  row(41, "subscription_identifier_available", "byte", ["connack"]),
  row(42, "shared_subscription_available", "byte", ["connack"]),
];

const ROW_BY_IDENTIFIER = new Map(PROPERTY_ROWS.map((entry) => [entry.identifier, entry]));
const IDENTIFIER_BY_NAME = new Map(PROPERTY_ROWS.map((entry) => [entry.name, entry.identifier]));

export function propertyRow(identifier: number): PropertyRow | null {
  return ROW_BY_IDENTIFIER.get(identifier) ?? null;
}

/** Identifier of the property with this name; for tests, where a wrong name is our fault. */
export function propertyIdentifier(name: string): number {
  const identifier = IDENTIFIER_BY_NAME.get(name);
  if (identifier === undefined) throw new Error(`no property is called ${name}`);
  return identifier;
}

const RECEIPT = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const RELEASE = [0x00, 0x92];

/** PUBACK and PUBREC, PUBREL and PUBCOMP. */
export const ACKNOWLEDGEMENT_CODES = {
  puback: RECEIPT,
  pubrec: RECEIPT,
  pubrel: RELEASE,
  pubcomp: RELEASE,
} as const;

/** DISCONNECT as a client may send it: the rows of the table whose sender is not "Server" alone. */
export const CLIENT_DISCONNECT_CODES: readonly number[] = [
  0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
];

/** AUTH as a client may send it. Success, 0x00, is the server's. */
export const CLIENT_AUTH_CODES: readonly number[] = [0x18, 0x19];
