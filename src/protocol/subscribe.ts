/**
 * SUBSCRIBE and UNSUBSCRIBE with their answers, §3.8 – §3.11.
 *
 * The engine has validated the whole packet; each entry is read from its bytes, which stay in place
 * until the connection goes on.
 */
import * as abi from "#assembly/abi";
import {
  NOT_AUTHORIZED,
  OPTION_NO_LOCAL,
  OPTION_QOS,
  OPTION_RETAIN_AS_PUBLISHED,
  OPTION_RETAIN_HANDLING_SHIFT,
  PROTOCOL_ERROR,
  QUOTA_EXCEEDED,
  REASON_STRING,
  SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
  SUBACK,
  SUBSCRIPTION_IDENTIFIER,
  SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
  TOPIC_FILTER_INVALID,
  UNSPECIFIED_ERROR,
  UNSUBACK,
  WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
} from "#assembly/spec";
import { ProtocolError } from "../base/errors.ts";
import type { NetworkConnection } from "../session/network-connection.ts";
import type { FilterVerdicts } from "./authorization.ts";
import { mountedFilter, STRING_BYTES_MAX } from "./mounted-filter.ts";
import { PacketWriter } from "./packet-writer.ts";
import type { Plane } from "./plane.ts";
import { reasonText } from "./reasons.ts";

/** `$share/NAME/filter` is a shared subscription, §4.8.2. */
const SHARED_PREFIX = Buffer.from("$share/");
const SLASH = 0x2f;
// Retain Handling, §3.8.3.1.
const RETAIN_IF_NEW = 1;
const RETAIN_NEVER = 2;
const PLUS = 0x2b;
const HASH = 0x23;

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
   * @param verdicts  which of its Topic Filters are allowed
   * @returns whether retained messages are due
   */
  subscribe(connection: NetworkConnection, verdicts: FilterVerdicts): boolean {
    const { engine } = this.#plane;
    this.#judgeWhole(connection);
    const packetIdentifier = engine.decoded(abi.D_PACKET_ID);
    const identifier = engine.numberProperty(SUBSCRIPTION_IDENTIFIER, 0);
    this.#judgeShared();
    const codes: number[] = [];
    let isRetainedDue = false;
    for (let more = engine.calls.firstFilter(); more === 1; more = engine.calls.nextFilter()) {
      if (verdicts?.[codes.length] === false) {
        codes.push(NOT_AUTHORIZED);
        continue;
      }
      const options = this.#grantable(connection);
      const code = this.#subscribeOne(connection, options, identifier);
      codes.push(code.reason);
      if (code.retainedDue) isRetainedDue = this.#startRetained(connection, options, identifier);
    }
    // One code per Topic Filter, in their order [MQTT-3.9.3-1].
    this.#answer(connection, SUBACK, packetIdentifier, codes);
    return isRetainedDue;
  }

  /** What CONNACK said is not there must not be asked for: none of it is acted on. */
  #judgeWhole(connection: NetworkConnection): void {
    const { engine, settings } = this.#plane;
    if (
      !settings.subscriptionIdentifiersAvailable &&
      engine.numberProperty(SUBSCRIPTION_IDENTIFIER, 0) !== 0
    ) {
      // §3.2.2.3.12
      throw new ProtocolError(SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED, "Subscription Identifier");
    }
    const { sharedSubscriptionAvailable, wildcardsAvailable } = settings;
    if ((sharedSubscriptionAvailable && wildcardsAvailable) || connection.version !== 5) return;
    for (let more = engine.calls.firstFilter(); more === 1; more = engine.calls.nextFilter()) {
      // §3.2.2.3.13
      if (!sharedSubscriptionAvailable && this.#isShared()) {
        throw new ProtocolError(SHARED_SUBSCRIPTIONS_NOT_SUPPORTED, "a shared subscription");
      }
      // §3.2.2.3.11
      if (!wildcardsAvailable && this.#hasWildcard()) {
        throw new ProtocolError(WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED, "a wildcard in the filter");
      }
    }
  }

  #hasWildcard(): boolean {
    const { engine } = this.#plane;
    const at = engine.decoded(abi.D_FILTER_AT);
    const filter = engine.bytes.subarray(at, at + engine.decoded(abi.D_FILTER_BYTES));
    return filter.includes(PLUS) || filter.includes(HASH);
  }

  /** The Subscription Options of the entry at hand, with a QoS that the listener grants. */
  #grantable({ isBridge, rules }: NetworkConnection): number {
    const options = this.#plane.engine.decoded(abi.D_FILTER_OPTIONS);
    const qos = Math.min(options & OPTION_QOS, rules.qosMax); // [MQTT-3.2.2-10]
    const granted = (options & ~OPTION_QOS) | qos;
    if (!isBridge) return granted;
    // As in mosquitto; no shared subscription may have No Local [MQTT-3.8.3-4].
    return granted | OPTION_RETAIN_AS_PUBLISHED | (this.#isShared() ? 0 : OPTION_NO_LOCAL);
  }

  #subscribeOne(
    connection: NetworkConnection,
    options: number,
    identifier: number,
  ): { reason: number; retainedDue: boolean } {
    const { engine, log, settings } = this.#plane;
    const isShared = this.#isShared();
    const isAvailable = !isShared || settings.sharedSubscriptionAvailable;
    if (!isAvailable || (!settings.wildcardsAvailable && this.#hasWildcard())) {
      return { reason: UNSPECIFIED_ERROR, retainedDue: false }; // [MQTT-3.8.3-2 @3.1.1]
    }
    const { session } = connection;
    const { at, byteCount } = mountedFilter(engine, connection.rules.mountPoint);
    if (byteCount > STRING_BYTES_MAX) return { reason: TOPIC_FILTER_INVALID, retainedDue: false };
    if (!isShared && engine.calls.retainedRoom(connection.number, byteCount) === 0) {
      return { reason: QUOTA_EXCEEDED, retainedDue: false };
    }
    const status = engine.calls.addSubscription(session, at, byteCount, options, identifier);
    if (status < 0) return { reason: QUOTA_EXCEEDED, retainedDue: false };
    if (log.has("subscribe")) {
      const qos = options & OPTION_QOS;
      log.subscribe(`${connection.clientId} ${qos} ${engine.text(at, byteCount)}`);
    }
    // What is retained is nobody's of a group [§4.8.2].
    if (isShared) return { reason: options & OPTION_QOS, retainedDue: false };
    const handling = (options >>> OPTION_RETAIN_HANDLING_SHIFT) & 3;
    const isNew = status === 0;
    // [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]
    const isWanted = handling !== RETAIN_NEVER && (handling !== RETAIN_IF_NEW || isNew);
    const retainedDue = isWanted && settings.retainAvailable;
    return { reason: options & OPTION_QOS, retainedDue };
  }

  /** Whether the filter at hand is that of a shared subscription. */
  #isShared(): boolean {
    const { engine } = this.#plane;
    const at = engine.decoded(abi.D_FILTER_AT);
    const byteCount = engine.decoded(abi.D_FILTER_BYTES);
    const prefix = engine.bytes.subarray(at, at + Math.min(byteCount, SHARED_PREFIX.length));
    return prefix.equals(SHARED_PREFIX);
  }

  /**
   * Judges the shared filters of the packet in DECODED, before any of it is acted on.
   *
   * @throws ProtocolError 0x8F or 0x82
   */
  #judgeShared(): void {
    const { engine } = this.#plane;
    for (let more = engine.calls.firstFilter(); more === 1; more = engine.calls.nextFilter()) {
      if (!this.#isShared()) continue;
      const at = engine.decoded(abi.D_FILTER_AT) + SHARED_PREFIX.length;
      const end = engine.decoded(abi.D_FILTER_AT) + engine.decoded(abi.D_FILTER_BYTES);
      const nameBytes = engine.bytes.subarray(at, end).indexOf(SLASH);
      const name = engine.bytes.subarray(at, at + Math.max(nameBytes, 0));
      const isNamed = nameBytes > 0 && !name.includes(PLUS) && !name.includes(HASH);
      // [MQTT-4.8.2-1] [MQTT-4.8.2-2]
      if (!isNamed || at + nameBytes + 1 === end) {
        throw new ProtocolError(TOPIC_FILTER_INVALID, "$share without a name or a filter");
      }
      if ((engine.decoded(abi.D_FILTER_OPTIONS) & OPTION_NO_LOCAL) !== 0) {
        // [MQTT-3.8.3-4]
        throw new ProtocolError(PROTOCOL_ERROR, "No Local on a shared subscription");
      }
    }
  }

  #startRetained(connection: NetworkConnection, options: number, identifier: number): boolean {
    const { engine } = this.#plane;
    const { at, byteCount } = mountedFilter(engine, connection.rules.mountPoint);
    engine.calls.startRetained(connection.number, at, byteCount, options, identifier);
    return engine.calls.retainedCount() > 0;
  }

  /** Acts on the UNSUBSCRIBE in DECODED and sends the UNSUBACK [MQTT-3.10.4-4]. */
  unsubscribe(connection: NetworkConnection, verdicts: FilterVerdicts): void {
    const { engine, log } = this.#plane;
    const packetIdentifier = engine.decoded(abi.D_PACKET_ID);
    this.#judgeShared();
    const codes: number[] = [];
    for (let more = engine.calls.firstFilter(); more === 1; more = engine.calls.nextFilter()) {
      if (verdicts?.[codes.length] === false) {
        codes.push(NOT_AUTHORIZED);
        continue;
      }
      const { at, byteCount } = mountedFilter(engine, connection.rules.mountPoint);
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
    const writer = this.#writer;
    const { number, packetBytesMax, version } = connection;
    if (version === 5) {
      const failure = codes.find((code) => code >= UNSPECIFIED_ERROR);
      const isTold = failure !== undefined && connection.problemInformation; // [MQTT-3.1.2-29]
      this.#writeCodes(packetIdentifier, codes, isTold ? reasonText(failure) : "");
      // [MQTT-3.9.2-1]
      if (!writer.fits(packetBytesMax)) this.#writeCodes(packetIdentifier, codes, "");
    } else {
      writer.begin().twoBytes(packetIdentifier);
      // 3.1.1 knows one failure only [MQTT-3.9.3-2 @3.1.1].
      const known = codes.map((code) => (code > 2 ? UNSPECIFIED_ERROR : code));
      if (type === SUBACK) for (const code of known) writer.byte(code);
    }
    const hold = this.#plane.sessions.isDurable(connection.session);
    writer.send(number, type << 4, hold, packetBytesMax);
  }

  #writeCodes(packetIdentifier: number, codes: readonly number[], reasonString: string): void {
    const writer = this.#writer.begin().twoBytes(packetIdentifier);
    writer.properties((list) => {
      if (reasonString !== "") list.byte(REASON_STRING).text(reasonString);
    });
    for (const code of codes) writer.byte(code);
  }
}
