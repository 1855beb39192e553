/** CONNACK, §3.2: what the client is told of its Session and of our limits. */
import {
  ASSIGNED_CLIENT_IDENTIFIER,
  AUTHENTICATION_DATA,
  AUTHENTICATION_METHOD,
  CONNACK,
  KEEP_ALIVE_TIMEOUT,
  MAXIMUM_PACKET_SIZE,
  MAXIMUM_QOS,
  NOT_AUTHORIZED,
  PACKET_TOO_LARGE,
  REASON_STRING,
  RECEIVE_MAXIMUM,
  RESPONSE_INFORMATION,
  RETAIN_AVAILABLE,
  SERVER_KEEP_ALIVE,
  SERVER_REFERENCE,
  SERVER_SHUTTING_DOWN,
  SERVER_UNAVAILABLE,
  SESSION_EXPIRY_INTERVAL,
  SHARED_SUBSCRIPTION_AVAILABLE,
  SUBSCRIPTION_IDENTIFIER_AVAILABLE,
  TOPIC_ALIAS_MAXIMUM,
  WILDCARD_SUBSCRIPTION_AVAILABLE,
} from "#assembly/spec";
import { ProtocolError } from "../base/errors.ts";
import type { Settings } from "../config/settings.ts";
import type { NetworkConnection } from "../session/network-connection.ts";
import type { PacketWriter } from "./packet-writer.ts";
import { shorterForms, type Told } from "./reasons.ts";

/** What differs from what the client asked for; null = as asked. */
export interface Accepted {
  readonly sessionPresent: boolean;
  readonly assignedClientId: string | null;
  readonly serverKeepAliveSeconds: number | null;
  readonly sessionExpirySeconds: number | null;
  /** What Response Topics are to begin with; null: not asked for, or not offered. */
  readonly responseInformation: string | null;
  /** Last word of the Authentication Method; null: there was no method, or it has none. */
  readonly authenticationData: Uint8Array | null;
}

const RECEIVE_MAXIMUM_DEFAULT = 65535;

/**
 * What of it the client takes: nobody depends on Response Information, everything else says what
 * holds from here on.
 *
 * @throws ProtocolError 0x95 where the client's Maximum Packet Size lets no CONNACK through
 */
export function fitted(
  writer: PacketWriter,
  connection: NetworkConnection,
  settings: Settings,
  accepted: Accepted,
): Accepted {
  for (const less of [accepted, { ...accepted, responseInformation: null }]) {
    writeAccepted(writer, connection, settings, less);
    if (writer.fits(connection.packetBytesMax)) return less;
  }
  throw new ProtocolError(PACKET_TOO_LARGE, "no CONNACK so small"); // [MQTT-3.1.2-24]
}

/**
 * Sends CONNACK with Reason Code 0x00 [MQTT-3.1.4-5].
 *
 * @throws ProtocolError 0x97 where there is no memory for it
 */
export function sendAccepted(
  writer: PacketWriter,
  connection: NetworkConnection,
  settings: Settings,
  accepted: Accepted,
): void {
  writeAccepted(writer, connection, settings, accepted);
  writer.send(connection.number, CONNACK << 4, false, connection.packetBytesMax);
}

function writeAccepted(
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
  if (connection.version !== 5) return;
  writer.properties((list) => {
    writeLimits(list, connection.rules.qosMax, settings);
    writeAnswers(list, connection, accepted);
  });
}

/** What holds for every client of the listener. */
function writeLimits(list: PacketWriter, qosMax: number, settings: Settings): void {
  if (settings.receiveMaximum !== RECEIVE_MAXIMUM_DEFAULT) {
    list.byte(RECEIVE_MAXIMUM).twoBytes(settings.receiveMaximum);
  }
  if (qosMax < 2) list.byte(MAXIMUM_QOS).byte(qosMax); // [MQTT-3.2.2-9]
  if (!settings.retainAvailable) list.byte(RETAIN_AVAILABLE).byte(0);
  list.byte(MAXIMUM_PACKET_SIZE).fourBytes(settings.packetBytesMax);
  if (settings.topicAliasMax > 0) list.byte(TOPIC_ALIAS_MAXIMUM).twoBytes(settings.topicAliasMax);
  if (!settings.wildcardsAvailable) list.byte(WILDCARD_SUBSCRIPTION_AVAILABLE).byte(0);
  if (!settings.subscriptionIdentifiersAvailable) {
    list.byte(SUBSCRIPTION_IDENTIFIER_AVAILABLE).byte(0);
  }
  if (!settings.sharedSubscriptionAvailable) list.byte(SHARED_SUBSCRIPTION_AVAILABLE).byte(0);
}

/** What answers this CONNECT. */
function writeAnswers(
  list: PacketWriter,
  { authenticationMethod }: NetworkConnection,
  accepted: Accepted,
): void {
  if (accepted.sessionExpirySeconds !== null) {
    list.byte(SESSION_EXPIRY_INTERVAL).fourBytes(accepted.sessionExpirySeconds);
  }
  if (accepted.assignedClientId !== null) {
    list.byte(ASSIGNED_CLIENT_IDENTIFIER).text(accepted.assignedClientId); // [MQTT-3.2.2-16]
  }
  if (accepted.serverKeepAliveSeconds !== null) {
    list.byte(SERVER_KEEP_ALIVE).twoBytes(accepted.serverKeepAliveSeconds);
  }
  if (accepted.responseInformation !== null) {
    list.byte(RESPONSE_INFORMATION).text(accepted.responseInformation);
  }
  // [MQTT-4.12.0-5] [MQTT-4.12.0-6]
  if (authenticationMethod !== "") list.byte(AUTHENTICATION_METHOD).text(authenticationMethod);
  if (accepted.authenticationData !== null) {
    list.byte(AUTHENTICATION_DATA).data(accepted.authenticationData);
  }
}

/** CONNACK return codes of 3.1 and 3.1.1 for Reason Codes, 3.1.1 §3.2.2.3; others have none. */
const RETURN_CODES: ReadonlyMap<number, number> = new Map([
  [0x84, 1],
  [0x85, 2],
  [0x88, 3],
  [0x89, 3],
  [0x97, 3],
  [0x9c, 3],
  [0x9d, 3],
  [0x9f, 3],
  [0x86, 4],
  [0x87, 5],
]);

/** Codes of DISCONNECT that CONNACK has not, by what they come to there [MQTT-3.2.2-8]. */
const CONNECT_CODES: ReadonlyMap<number, number> = new Map([
  [KEEP_ALIVE_TIMEOUT, NOT_AUTHORIZED],
  [SERVER_SHUTTING_DOWN, SERVER_UNAVAILABLE],
]);

/**
 * Sends CONNACK with a Reason Code of 0x80 or more; before 5.0 only for what its table has
 * [MQTT-3.2.2-6 @3.1.1]. The caller closes [MQTT-3.2.2-7].
 *
 * @param version  of the CONNECT; 0 where it names none that we know
 */
export function sendRefused(
  writer: PacketWriter,
  connection: NetworkConnection,
  version: number,
  told: Told,
): void {
  const { number, packetBytesMax } = connection;
  if (version !== 5) {
    const returnCode = RETURN_CODES.get(told.reasonCode);
    if (returnCode === undefined) return;
    writer
      .begin()
      .byte(0)
      .byte(returnCode)
      .send(number, CONNACK << 4, false, 0);
    return;
  }
  const reasonCode = CONNECT_CODES.get(told.reasonCode) ?? told.reasonCode;
  writeRefused(writer, reasonCode, told);
  for (const shorter of shorterForms(told)) {
    if (writer.fits(packetBytesMax)) break;
    writeRefused(writer, reasonCode, shorter); // [MQTT-3.2.2-19]
  }
  writer.send(number, CONNACK << 4, false, packetBytesMax);
}

function writeRefused(writer: PacketWriter, reasonCode: number, told: Told): void {
  writer.begin().byte(0).byte(reasonCode);
  writer.properties((list) => {
    if (told.reasonString !== "") list.byte(REASON_STRING).text(told.reasonString);
    if (told.serverReference !== "") list.byte(SERVER_REFERENCE).text(told.serverReference);
  });
}
