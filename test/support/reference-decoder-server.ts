/**
 * The reference decoder's other half: what a server sent, for tests that read a broker's answers.
 *
 * It is as strict as its twin, so that a broker which writes nonsense fails the test that reads it.
 */
import { ACKNOWLEDGEMENT_CODES, PACKET_TYPES } from "./packets-tables.ts";
import type { QoS, ServerPacket, Version } from "./packets-types.ts";
import { behindFixedHeader, type Refused, referenceCut } from "./reference-decoder.ts";
import {
  type Cursor,
  expectEnd,
  isAtEnd,
  readByte,
  readBytes,
  readPacketIdentifier,
  readProperties,
  readString,
} from "./reference-decoder-fields.ts";
import { Refusal, refuse, refuseIf } from "./reference-decoder-rules.ts";

export type ServerOutcome = { readonly ok: true; readonly packet: ServerPacket } | Refused;

/** Judges one whole packet from a server, fixed header included. */
export function referenceDecodeServer(version: Version, bytes: Uint8Array): ServerOutcome {
  try {
    const packetBytes = referenceCut(bytes, Number.POSITIVE_INFINITY);
    if (typeof packetBytes === "object") refuse(packetBytes.rule);
    if (packetBytes !== bytes.length) refuse("not exactly one packet");
    return { ok: true, packet: decodePacket(version, bytes) };
  } catch (thrown) {
    if (!(thrown instanceof Refusal)) throw thrown;
    return { ok: false, reasonCode: thrown.reasonCode, rule: thrown.rule };
  }
}

/**
 * Cuts a server's bytes into packets.
 *
 * @returns the packets, and how many bytes they took: what follows is not yet a whole packet
 * @throws Error if no valid packet can come of the bytes: the broker's fault, so the test fails
 */
export function readServerPackets(
  version: Version,
  bytes: Uint8Array,
): { packets: readonly ServerPacket[]; byteCount: number } {
  const packets: ServerPacket[] = [];
  let at = 0;
  while (true) {
    const packetBytes = referenceCut(bytes.subarray(at), Number.POSITIVE_INFINITY);
    if (packetBytes === "need more") return { packets, byteCount: at };
    if (typeof packetBytes === "object") throw new Error(`server sent: ${packetBytes.rule}`);
    const packet = bytes.subarray(at, at + packetBytes);
    const outcome = referenceDecodeServer(version, packet);
    if (!outcome.ok) {
      throw new Error(`server sent ${Buffer.from(packet).toString("hex")}: ${outcome.rule}`);
    }
    packets.push(outcome.packet);
    at += packetBytes;
  }
}

function decodePacket(version: Version, bytes: Uint8Array): ServerPacket {
  const first = bytes[0] ?? 0;
  const cursor = behindFixedHeader(bytes);
  const type = PACKET_TYPES[first >> 4] ?? null;
  switch (type) {
    case "connack":
      return decodeConnack(version, cursor);
    case "publish":
      return decodePublish(version, first & 0x0f, cursor);
    case "puback":
    case "pubrec":
    case "pubrel":
    case "pubcomp": {
      refuseIf(version < 5 && cursor.end - cursor.at !== 2, "Remaining Length of the type");
      const packetIdentifier = readPacketIdentifier(cursor);
      const reason = readReason(cursor, type);
      const isKnown = ACKNOWLEDGEMENT_CODES[type].some((code) => code === reason.reasonCode);
      refuseIf(!isKnown, "Reason Code not in the table");
      return { type, packetIdentifier, ...reason };
    }
    case "suback":
    case "unsuback":
      return decodeSuback(version, type, cursor);
    case "pingresp":
      refuseIf(!isAtEnd(cursor), "Remaining Length of the type");
      return { type: "pingresp" };
    case "disconnect":
    case "auth":
      // Older versions know no AUTH, and no DISCONNECT from a server.
      refuseIf(version < 5, "packet type only a client sends");
      return { type, ...readReason(cursor, type) };
    case "connect":
    case "subscribe":
    case "unsubscribe":
    case "pingreq":
      return refuse("packet type only a client sends");
    case null:
      return refuse("packet type 0");
  }
}

// §3.2
function decodeConnack(version: Version, cursor: Cursor): ServerPacket {
  const flags = readByte(cursor);
  refuseIf(flags > 1, "CONNACK flags");
  const reasonCode = readByte(cursor);
  // A CONNACK of two bytes is 3.1.1's form: the refusal of a version that the broker does not know.
  const hasProperties = version === 5 && !isAtEnd(cursor);
  const properties = hasProperties ? readProperties(cursor, "connack", "server") : [];
  expectEnd(cursor);
  return { type: "connack", sessionPresent: flags === 1, reasonCode, properties };
}

// §3.3
function decodePublish(version: Version, flags: number, cursor: Cursor): ServerPacket {
  const qos: QoS = (flags & 4) !== 0 ? 2 : (flags & 2) !== 0 ? 1 : 0;
  const topicName = readString(cursor);
  const packetIdentifier = qos > 0 ? readPacketIdentifier(cursor) : 0;
  const properties = version === 5 ? readProperties(cursor, "publish", "server") : [];
  const hasAlias = properties.some(([identifier]) => identifier === 35);
  refuseIf(topicName === "" && !hasAlias, "empty Topic Name without Topic Alias");
  const payload = readBytes(cursor, cursor.end - cursor.at);
  const header = { duplicate: flags >= 8, qos, retain: (flags & 1) !== 0 };
  return { type: "publish", ...header, topicName, packetIdentifier, properties, payload };
}

function readReason(
  cursor: Cursor,
  type: "puback" | "pubrec" | "pubrel" | "pubcomp" | "disconnect" | "auth",
): Pick<Extract<ServerPacket, { type: "disconnect" }>, "reasonCode" | "properties"> {
  const reasonCode = isAtEnd(cursor) ? 0 : readByte(cursor);
  const properties = isAtEnd(cursor) ? [] : readProperties(cursor, type, "server");
  expectEnd(cursor);
  return { reasonCode, properties };
}

// §3.9, §3.11
function decodeSuback(version: Version, type: "suback" | "unsuback", cursor: Cursor): ServerPacket {
  const packetIdentifier = readPacketIdentifier(cursor);
  const properties = version === 5 ? readProperties(cursor, type, "server") : [];
  const reasonCodes = [...readBytes(cursor, cursor.end - cursor.at)];
  const needsCodes = type === "suback" || version === 5;
  refuseIf(needsCodes && reasonCodes.length === 0, "field cut off");
  refuseIf(!needsCodes && reasonCodes.length > 0, "bytes behind the last field");
  return { type, packetIdentifier, properties, reasonCodes };
}
