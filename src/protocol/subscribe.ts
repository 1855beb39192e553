/**
 * SUBSCRIBE and UNSUBSCRIBE with their answers, §3.8 – §3.11.
 *
 * The engine has validated the whole packet; each entry is read from its bytes, which stay in place
 * until the connection goes on.
 */
import * as abi from "#assembly/abi";
import {
  OPTION_NO_LOCAL,
  OPTION_QOS,
  OPTION_RETAIN_HANDLING_SHIFT,
  PROTOCOL_ERROR,
  QUOTA_EXCEEDED,
  SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
  SUBACK,
  SUBSCRIPTION_IDENTIFIER,
  UNSPECIFIED_ERROR,
  UNSUBACK,
} from "#assembly/spec";
import { ProtocolError } from "../base/errors.ts";
import type { NetworkConnection } from "../session/network-connection.ts";
import { PacketWriter } from "./packet-writer.ts";
import type { Plane } from "./plane.ts";

const SHARED_PREFIX = Buffer.from("$share/");
// Retain Handling, §3.8.3.1.
const RETAIN_IF_NEW = 1;
const RETAIN_NEVER = 2;

export class Subscribing {
  readonly #plane: Plane;
  readonly #writer: PacketWriter;

  constructor(plane: Plane) {
    this.#plane = plane;
    this.#writer = new PacketWriter(plane.engine);
  }

  /**
   * Acts on the SUBSCRIBE in DECODED and sends the SUBACK [MQTT-3.8.4-1].
   *
   * @returns whether retained messages are due
   */
  subscribe(connection: NetworkConnection): boolean {
    const { engine } = this.#plane;
    const packetIdentifier = engine.decoded(abi.D_PACKET_ID);
    const identifier = engine.numberProperty(SUBSCRIPTION_IDENTIFIER, 0);
    const codes: number[] = [];
    let isRetainedDue = false;
    for (let more = engine.calls.firstFilter(); more === 1; more = engine.calls.nextFilter()) {
      const options = engine.decoded(abi.D_FILTER_OPTIONS);
      const code = this.#subscribeOne(connection, options, identifier);
      codes.push(code.reason);
      if (code.retainedDue) isRetainedDue = this.#startRetained(connection, options, identifier);
    }
    // One code per Topic Filter, in their order [MQTT-3.9.3-1].
    this.#answer(connection, SUBACK, packetIdentifier, codes);
    return isRetainedDue;
  }

  #subscribeOne(
    connection: NetworkConnection,
    options: number,
    identifier: number,
  ): { reason: number; retainedDue: boolean } {
    const { engine, log } = this.#plane;
    const at = engine.decoded(abi.D_FILTER_AT);
    const byteCount = engine.decoded(abi.D_FILTER_BYTES);
    const shared = engine.bytes.subarray(at, at + Math.min(byteCount, SHARED_PREFIX.length));
    if (shared.equals(SHARED_PREFIX)) {
      if ((options & OPTION_NO_LOCAL) !== 0) {
        // [MQTT-3.8.3-4]
        throw new ProtocolError(PROTOCOL_ERROR, "No Local on a shared subscription");
      }
      return { reason: SHARED_SUBSCRIPTIONS_NOT_SUPPORTED, retainedDue: false };
    }
    const { session } = connection;
    if (engine.calls.retainedRoom(connection.number, byteCount) === 0) {
      return { reason: QUOTA_EXCEEDED, retainedDue: false };
    }
    const status = engine.calls.addSubscription(session, at, byteCount, options, identifier);
    if (status < 0) return { reason: QUOTA_EXCEEDED, retainedDue: false };
    if (log.has("subscribe")) {
      const qos = options & OPTION_QOS;
      log.subscribe(`${connection.clientId} ${qos} ${engine.text(at, byteCount)}`);
    }
    const handling = (options >>> OPTION_RETAIN_HANDLING_SHIFT) & 3;
    const isNew = status === 0;
    // [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]
    const retainedDue = handling !== RETAIN_NEVER && (handling !== RETAIN_IF_NEW || isNew);
    return { reason: options & OPTION_QOS, retainedDue };
  }

  #startRetained(connection: NetworkConnection, options: number, identifier: number): boolean {
    const { engine } = this.#plane;
    const at = engine.decoded(abi.D_FILTER_AT);
    const byteCount = engine.decoded(abi.D_FILTER_BYTES);
    engine.calls.startRetained(connection.number, at, byteCount, options, identifier);
    return engine.calls.retainedCount() > 0;
  }

  /** Acts on the UNSUBSCRIBE in DECODED and sends the UNSUBACK [MQTT-3.10.4-4]. */
  unsubscribe(connection: NetworkConnection): void {
    const { engine, log } = this.#plane;
    const packetIdentifier = engine.decoded(abi.D_PACKET_ID);
    const codes: number[] = [];
    for (let more = engine.calls.firstFilter(); more === 1; more = engine.calls.nextFilter()) {
      const at = engine.decoded(abi.D_FILTER_AT);
      const byteCount = engine.decoded(abi.D_FILTER_BYTES);
      const status = engine.calls.removeSubscription(connection.session, at, byteCount);
      if (log.has("unsubscribe")) {
        log.unsubscribe(`${connection.clientId} ${engine.text(at, byteCount)}`);
      }
      codes.push(status === 0 ? 0x00 : 0x11);
    }
    this.#answer(connection, UNSUBACK, packetIdentifier, codes);
  }

  #answer(
    connection: NetworkConnection,
    type: number,
    packetIdentifier: number,
    codes: readonly number[],
  ): void {
    const writer = this.#writer.begin().twoBytes(packetIdentifier);
    if (connection.version === 5) {
      writer.byte(0);
      for (const code of codes) writer.byte(code);
    } else if (type === SUBACK) {
      // 3.1.1 knows one failure only [MQTT-3.9.3-2 @3.1.1].
      for (const code of codes) writer.byte(code > 2 ? UNSPECIFIED_ERROR : code);
    }
    const hold = this.#plane.sessions.isDurable(connection.session);
    writer.send(connection.number, type << 4, hold);
  }
}
