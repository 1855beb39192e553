/** CONNACK, §3.2: what the client is told of its Session and of our limits. */
import {
  ASSIGNED_CLIENT_IDENTIFIER,
  CONNACK,
  MAXIMUM_PACKET_SIZE,
  RECEIVE_MAXIMUM,
  RETAIN_AVAILABLE,
  SERVER_KEEP_ALIVE,
  SESSION_EXPIRY_INTERVAL,
  SHARED_SUBSCRIPTION_AVAILABLE,
  TOPIC_ALIAS_MAXIMUM,
} from "#assembly/spec";
import type { Settings } from "../config/settings.ts";
import type { NetworkConnection } from "../session/network-connection.ts";
import type { PacketWriter } from "./packet-writer.ts";

/** What differs from what the client asked for; null = as asked. */
export interface Accepted {
  readonly sessionPresent: boolean;
  readonly assignedClientId: string | null;
  readonly serverKeepAliveSeconds: number | null;
  readonly sessionExpirySeconds: number | null;
}

const RECEIVE_MAXIMUM_DEFAULT = 65535;

/** Sends CONNACK with Reason Code 0x00 [MQTT-3.1.4-5]. */
export function sendAccepted(
  writer: PacketWriter,
  connection: NetworkConnection,
  settings: Settings,
  accepted: Accepted,
): void {
  // Before 3.1.1 the byte is reserved.
  const hasFlag = accepted.sessionPresent && connection.version > 3;
  writer
    .begin()
    .byte(hasFlag ? 1 : 0)
    .byte(0);
  if (connection.version === 5) {
    writer.properties((list) => writeLimits(list, settings, accepted));
  }
  writer.send(connection.number, CONNACK << 4, false);
}

function writeLimits(list: PacketWriter, settings: Settings, accepted: Accepted): void {
  if (accepted.sessionExpirySeconds !== null) {
    list.byte(SESSION_EXPIRY_INTERVAL).fourBytes(accepted.sessionExpirySeconds);
  }
  if (settings.receiveMaximum !== RECEIVE_MAXIMUM_DEFAULT) {
    list.byte(RECEIVE_MAXIMUM).twoBytes(settings.receiveMaximum);
  }
  if (!settings.retainAvailable) list.byte(RETAIN_AVAILABLE).byte(0);
  list.byte(MAXIMUM_PACKET_SIZE).fourBytes(settings.packetBytesMax);
  if (accepted.assignedClientId !== null) {
    list.byte(ASSIGNED_CLIENT_IDENTIFIER).text(accepted.assignedClientId); // [MQTT-3.2.2-16]
  }
  if (settings.topicAliasMax > 0) list.byte(TOPIC_ALIAS_MAXIMUM).twoBytes(settings.topicAliasMax);
  list.byte(SHARED_SUBSCRIPTION_AVAILABLE).byte(0);
  if (accepted.serverKeepAliveSeconds !== null) {
    list.byte(SERVER_KEEP_ALIVE).twoBytes(accepted.serverKeepAliveSeconds);
  }
}

/** CONNACK return codes of 3.1 and 3.1.1 for Reason Codes, 3.1.1 §3.2.2.3; others have none. */
const RETURN_CODES: ReadonlyMap<number, number> = new Map([
  [0x84, 1],
  [0x85, 2],
  [0x88, 3],
  [0x89, 3],
  [0x97, 3],
  [0x86, 4],
  [0x87, 5],
]);

/**
 * Sends CONNACK with a Reason Code of 0x80 or more; the caller closes [MQTT-3.2.2-7].
 *
 * @param version  of the CONNECT; 0 where it names none that we know
 * @returns whether one was sent: before 5.0, only for what its table has [MQTT-3.2.2-6 @3.1.1]
 */
export function sendRefused(
  writer: PacketWriter,
  connection: number,
  version: number,
  reasonCode: number,
): boolean {
  writer.begin();
  if (version === 5) {
    writer.byte(0).byte(reasonCode).byte(0);
  } else {
    const returnCode = RETURN_CODES.get(reasonCode);
    if (returnCode === undefined) return false;
    writer.byte(0).byte(returnCode);
  }
  writer.send(connection, CONNACK << 4, false);
  return true;
}
