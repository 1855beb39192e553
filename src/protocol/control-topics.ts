/**
 * Control topics, $CONTROL/…: a PUBLISH to one is a request to the broker, and its answer goes back
 * to who asked, on the topic with /response behind it, if it subscribes to that.
 *
 * What is published to any other topic below $CONTROL is taken and goes nowhere, as in mosquitto.
 */
import * as abi from "#assembly/abi";
import { PUBLISH } from "#assembly/spec";
import type { ControlEndpoint } from "../access/control-request.ts";
import type { Log } from "../base/log.ts";
import { variableByteInteger } from "../base/variable-byte-integer.ts";
import type { Engine } from "../engine/engine.ts";
import type { ListenerRules, NetworkConnection } from "../session/network-connection.ts";
import { loggedName } from "./plane.ts";

/** Who answers the clients of a listener. */
export type EndpointsOf = (rules: ListenerRules) => readonly ControlEndpoint[];

export class ControlTopics {
  readonly #engine: Engine;
  readonly #log: Log;
  readonly #schedule: () => void;
  readonly #expel: (connection: NetworkConnection) => void;
  #endpointsOf: EndpointsOf = () => [];

  /**
   * @param schedule  makes sure that a turn's end comes
   * @param expel  ends a connection whose client may not stay
   */
  constructor(
    engine: Engine,
    log: Log,
    schedule: () => void,
    expel: (connection: NetworkConnection) => void,
  ) {
    this.#engine = engine;
    this.#log = log;
    this.#schedule = schedule;
    this.#expel = expel;
  }

  use(endpointsOf: EndpointsOf): void {
    this.#endpointsOf = endpointsOf;
  }

  /** Acts on the PUBLISH in DECODED, which is acknowledged. */
  take(connection: NetworkConnection): void {
    const engine = this.#engine;
    const at = engine.decoded(abi.D_TOPIC_AT);
    const topic = engine.text(at, engine.decoded(abi.D_TOPIC_BYTES));
    const endpoint = this.#endpointsOf(connection.rules).find((one) => one.topic === topic);
    if (endpoint === undefined) return;
    const from = engine.decoded(abi.D_PAYLOAD_AT);
    const request = engine.bytes.subarray(from, from + engine.decoded(abi.D_PAYLOAD_BYTES));
    const { clientId, userName } = connection;
    endpoint.ask(request, { clientId, userName }, (text, ends) => {
      if (connection.phase !== "open") return;
      this.#answer(connection, `${topic}/response`, text);
      if (ends) this.#expel(connection);
    });
  }

  #answer(connection: NetworkConnection, topic: string, text: string): void {
    const engine = this.#engine;
    const topicBytes = engine.scratch.write(topic);
    if (engine.calls.isReceiver(connection.session, abi.SCRATCH, topicBytes) === 0) return;
    const packet = publishOf(topic, text, connection.version);
    const { number, packetBytesMax } = connection;
    const isTooLarge = packetBytesMax !== 0 && packet.length > packetBytesMax; // [MQTT-3.1.2-24]
    const block = isTooLarge ? 0 : engine.keep(packet);
    if (block === 0 || engine.calls.send(number, block, packet.length, 0) === 0) {
      const why = isTooLarge ? "is larger than its Maximum Packet Size" : "finds no memory";
      this.#log.warn(`An answer on ${topic} for ${loggedName(connection.clientId)} ${why}`);
    }
    if (block !== 0) engine.calls.freeBlock(block);
    this.#schedule();
  }
}

/** A PUBLISH of QoS 0, §3.3. */
function publishOf(topic: string, text: string, version: number): Buffer {
  const name = Buffer.from(topic);
  const payload = Buffer.from(text);
  const properties = version === 5 ? [0] : [];
  const length = 2 + name.length + properties.length + payload.length;
  const head = [
    PUBLISH << 4,
    ...variableByteInteger(length),
    name.length >>> 8,
    name.length & 0xff,
  ];
  return Buffer.concat([Buffer.from(head), name, Buffer.from(properties), payload]);
}
