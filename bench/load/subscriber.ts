/**
 * One subscriber: takes messages in place, judges them, acknowledges them. Its publishers get their
 * credit back at delivery; at QoS 2 at PUBREL, or brokers would gather unfinished handshakes.
 */
import { nowMicros } from "./clock.ts";
import type { Connection, PacketSink, ReadRegion } from "./connection.ts";
import { BrokerFault } from "./fault.ts";
import {
  PINGRESP,
  type ProtocolLevel,
  PUBACK,
  PUBCOMP,
  PUBLISH,
  PUBREC,
  PUBREL,
  packetBody,
  packetEnd,
  type QoS,
} from "./packet.ts";
import {
  MICROS_OFFSET,
  PUBLISHER_OFFSET,
  RUN_OFFSET,
  SEQUENCE_OFFSET,
  TOPIC_BYTES,
  topicName,
} from "./payload.ts";
import type { Publisher } from "./publisher.ts";
import { SequenceCheck } from "./sequence-check.ts";
import type { Totals } from "./totals.ts";
import type { Turn } from "./turn.ts";

const DUP = 0x08;
const PACKET_IDS = 65_536;

// States of a Packet Identifier that QoS 2 uses; above them, two more than the publisher's index.
const UNUSED = 0;
const FOREIGN = 1;
const OWN = 2;

/** What every subscriber of a run expects. */
export interface Expectation {
  readonly level: ProtocolLevel;
  readonly qos: QoS;
  readonly run: number;
  readonly payloadBytes: number;
}

export class Subscriber implements PacketSink {
  readonly check: SequenceCheck;
  private readonly connection: Connection;
  private readonly region: ReadRegion;
  private readonly expectation: Expectation;
  private readonly publishers: readonly Publisher[];
  /** Number of publishers[0]. */
  private readonly publisherFirst: number;
  /** The Topic Names, four words each. */
  private readonly topicWords: Uint32Array;
  private readonly totals: Totals;
  private readonly turn: Turn;
  private readonly firstByte: number;
  /** Messages of one publisher in a row, noted in its window at once. */
  private rowPublisher = 0;
  private rowFrom = 0;
  /** QoS 2: what each Packet Identifier is used for, and messages released by publisher. */
  private readonly packetIds: Uint32Array;
  private readonly released: Uint32Array;

  /** @param publishers  those whose messages come here, with neighbouring numbers */
  constructor(
    connection: Connection,
    region: ReadRegion,
    expectation: Expectation,
    publishers: readonly Publisher[],
    totals: Totals,
    turn: Turn,
  ) {
    this.connection = connection;
    this.region = region;
    this.expectation = expectation;
    this.publishers = publishers;
    this.publisherFirst = (publishers[0] as Publisher).number;
    this.check = new SequenceCheck(publishers.length);
    this.totals = totals;
    this.turn = turn;
    this.packetIds = new Uint32Array(expectation.qos === 2 ? PACKET_IDS : 0);
    this.released = new Uint32Array(publishers.length);
    this.firstByte = PUBLISH | (expectation.qos << 1);
    const topics = publishers.map((publisher) => topicName(expectation.run, publisher.number));
    const view = new DataView(Uint8Array.from(Buffer.from(topics.join(""))).buffer);
    this.topicWords = Uint32Array.from({ length: (topics.length * TOPIC_BYTES) / 4 }, (_, word) =>
      view.getUint32(word * 4),
    );
    connection.sink = this;
  }

  /** Hot. */
  take(start: number, end: number): number {
    const { bytes } = this.region;
    const micros = nowMicros();
    let at = start;
    while (at < end) {
      const next = packetEnd(bytes, at, end);
      if (next <= 0) {
        if (next < 0) throw new BrokerFault("malformed Remaining Length");
        break;
      }
      const firstByte = bytes[at] as number;
      if ((firstByte & 0xf0) === PUBLISH) {
        this.takePublish(firstByte & ~DUP, packetBody(bytes, at), next, micros);
      } else {
        this.takeControl(firstByte, packetBody(bytes, at));
      }
      at = next;
    }
    this.endRow();
    if (this.expectation.qos > 0 && at > start) this.turn.wantFlush(this.connection);
    else this.turn.schedule();
    return at;
  }

  writable(): void {}

  private takePublish(firstByte: number, body: number, end: number, micros: number): void {
    const { view } = this.region;
    const { expectation, totals } = this;
    let at = body + 2 + TOPIC_BYTES;
    let packetId = 0;
    if (expectation.qos > 0) {
      packetId = view.getUint16(at);
      at += 2;
      this.connection.acknowledge(expectation.qos === 1 ? PUBACK : PUBREC, packetId);
      if (expectation.qos === 2) this.awaitRelease(packetId);
    }
    if (expectation.level === 5) {
      const propertiesBytes = view.getUint8(at++);
      if (propertiesBytes >= 0x80) throw new BrokerFault("properties nobody sent");
      at += propertiesBytes;
    }
    if (end - at !== expectation.payloadBytes || firstByte !== this.firstByte) {
      totals.foreign++;
      return;
    }
    const publisher = view.getUint32(at + PUBLISHER_OFFSET, true) - this.publisherFirst;
    if (!this.isExpected(body, at, publisher)) {
      totals.foreign++;
      return;
    }
    const sequence = view.getUint32(at + SEQUENCE_OFFSET, true);
    totals.latency.record(micros - view.getUint32(at + MICROS_OFFSET, true));
    totals.lastDeliveryMicros = micros;
    if (expectation.qos === 2) this.packetIds[packetId] = OWN + publisher;
    const { next } = this.check;
    if (publisher !== this.rowPublisher) {
      this.endRow();
      this.rowPublisher = publisher;
      this.rowFrom = next[publisher] as number;
    }
    if (sequence === next[publisher]) {
      next[publisher] = sequence + 1;
      totals.delivered++;
    } else if (this.check.takeUnexpected(publisher, sequence)) {
      totals.delivered++;
    }
  }

  /** Hot. @returns whether run and topic of the message are this subscriber's */
  private isExpected(body: number, payloadAt: number, publisher: number): boolean {
    const { view } = this.region;
    const { topicWords } = this;
    const word = publisher * (TOPIC_BYTES / 4);
    if (publisher < 0 || word >= topicWords.length) return false;
    const topicAt = body + 2;
    return (
      view.getUint32(payloadAt + RUN_OFFSET, true) === this.expectation.run &&
      view.getUint16(body) === TOPIC_BYTES &&
      view.getUint32(topicAt + 12) === topicWords[word + 3] &&
      view.getUint32(topicAt) === topicWords[word] &&
      view.getUint32(topicAt + 4) === topicWords[word + 1] &&
      view.getUint32(topicAt + 8) === topicWords[word + 2]
    );
  }

  private takeControl(firstByte: number, body: number): void {
    if (firstByte === PUBREL) {
      this.takeRelease(this.region.view.getUint16(body));
    } else if (firstByte !== PINGRESP) {
      throw new BrokerFault(`a subscriber got a packet 0x${firstByte.toString(16)}`);
    }
  }

  private awaitRelease(packetId: number): void {
    if (this.packetIds[packetId] === UNUSED) this.totals.unreleased++;
    this.packetIds[packetId] = FOREIGN;
  }

  private takeRelease(packetId: number): void {
    const use = this.packetIds[packetId] ?? UNUSED;
    if (use === UNUSED) throw new BrokerFault(`a PUBREL of ${packetId}, which is not in use`);
    this.packetIds[packetId] = UNUSED;
    this.totals.unreleased--;
    this.connection.acknowledge(PUBCOMP, packetId);
    if (use === FOREIGN) return;
    const released = (this.released[use - OWN] as number) + 1;
    this.released[use - OWN] = released;
    this.publishers[use - OWN]?.delivered(released - 1, released);
  }

  private endRow(): void {
    if (this.expectation.qos === 2) return;
    const to = this.check.next[this.rowPublisher] as number;
    if (to === this.rowFrom) return;
    const publisher = this.publishers[this.rowPublisher] as Publisher;
    publisher.delivered(this.rowFrom, to);
    this.rowFrom = to;
  }
}
