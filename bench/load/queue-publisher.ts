/** One publisher that fills the queues of Sessions whose clients are away. */
import { nowMicros } from "./clock.ts";
import type { Connection, PacketSink, ReadRegion } from "./connection.ts";
import { BrokerFault } from "./fault.ts";
import type { LatencyRecorder } from "./latency.ts";
import type { LoadOptions } from "./options.ts";
import {
  PUBACK,
  PUBCOMP,
  PUBREC,
  PUBREL,
  packetBody,
  packetEnd,
  publishTemplate,
} from "./packet.ts";
import {
  MICROS_OFFSET,
  PUBLISHER_OFFSET,
  RUN_OFFSET,
  SEQUENCE_OFFSET,
  TOPIC_BYTES,
  topicName,
} from "./payload.ts";
import type { QueueLedger } from "./queue-ledger.ts";

// States of a Packet Identifier.
const FREE = 0;
/** Waits for PUBACK or PUBREC. */
const PUBLISHED = 1;
/** Waits for PUBCOMP. */
const RELEASED = 2;

const DUP = 0x08;
const REASON_CODE_ERROR = 0x80;
/** Of a PUBCOMP that the broker had sent before the connection broke: no error.   [§3.7.2.1] */
const PACKET_IDENTIFIER_NOT_FOUND = 0x92;
const BURST_BYTES_MAX = 64 * 1024;
/** A message that waited longer than this for its turn counts from when it was due. */
const LATE_MICROS = 2000;
const DIGITS_OFFSET = TOPIC_BYTES - 4;

/** @returns the last four bytes of each Session's topic, as big endian words */
export function topicDigits(ledger: QueueLedger): Uint32Array {
  return Uint32Array.from({ length: ledger.sessionCount }, (_, session) =>
    Buffer.from(topicName(ledger.run, session)).readUInt32BE(DIGITS_OFFSET),
  );
}

/** What the publishers of a run share. */
export interface QueueSource {
  readonly options: LoadOptions;
  readonly ledger: QueueLedger;
  readonly region: ReadRegion;
  readonly digits: Uint32Array;
  /** From PUBLISH to PUBACK or PUBCOMP. */
  readonly latency: LatencyRecorder;
  /** Called after each read. */
  readonly progressed: () => void;
}

/** Takes each `publisherCount`th message; the number of Sessions is a multiple of that. */
export class QueuePublisher implements PacketSink {
  private readonly number: number;
  private readonly source: QueueSource;
  private connection: Connection | undefined;
  private readonly states: Uint8Array;
  /** Of each Packet Identifier: its message, and when that was sent. */
  private readonly messages: Float64Array;
  private readonly micros: Uint32Array;
  private readonly slots: Buffer;
  private readonly slotBytes: number;
  private readonly slotCount: number;
  private readonly packetIdAt: number;
  private readonly payloadAt: number;
  private readonly topicAt: number;
  private readonly refillAt: number;
  private inflight = 0;
  private nextId = 0;
  private sentCount = 0;
  /** Stops here; below it by schedule. */
  private quota = 0;
  private startMicros = 0;

  constructor(number: number, source: QueueSource) {
    const { options, ledger } = source;
    const { level, qos, payloadBytes, inflightMax } = options;
    this.number = number;
    this.source = source;
    this.refillAt = Math.max(1, inflightMax >> 2);
    const identifiers = Math.min(65535, inflightMax * 2);
    this.states = new Uint8Array(identifiers);
    this.messages = new Float64Array(identifiers);
    this.micros = new Uint32Array(identifiers);
    const { bytes, packetIdOffset, payloadOffset } = publishTemplate(
      level,
      qos,
      topicName(ledger.run, 0),
      payloadBytes,
    );
    Buffer.from(bytes.buffer).writeUInt32LE(ledger.run, payloadOffset + RUN_OFFSET);
    this.packetIdAt = packetIdOffset;
    this.payloadAt = payloadOffset;
    this.topicAt = packetBody(bytes, 0) + 2;
    this.slotBytes = bytes.length;
    this.slotCount = Math.max(1, Math.min(inflightMax, Math.floor(BURST_BYTES_MAX / bytes.length)));
    this.slots = Buffer.alloc(this.slotCount * bytes.length, bytes);
  }

  /** Messages that are its own. */
  get shareCount(): number {
    return this.source.ledger.messageCount / this.source.options.publisherCount;
  }

  /** Goes on over this connection; what QoS 2 left unfinished is sent again. */
  attach(connection: Connection): void {
    this.connection = connection;
    connection.sink = this;
    if (this.source.options.qos === 2) this.repeat(connection);
    else this.forgetUnfinished();
  }

  /** Publishes so many messages more, as long as it has some. */
  publish(countMax: number): void {
    this.quota = Math.min(this.shareCount, this.sentCount + countMax);
    const { publisherCount } = this.source.options;
    const turns = this.number / publisherCount - this.sentCount;
    this.startMicros = nowMicros() + turns * this.intervalMicros();
    this.pump();
  }

  /** Whether nothing is left to do. */
  get isDone(): boolean {
    return this.sentCount === this.quota && this.inflight === 0;
  }

  writable(): void {
    this.pump();
  }

  /** Hot. Writes what may be written now. */
  pump(): void {
    const { connection } = this;
    if (connection === undefined) return;
    while (!connection.busy) {
      const room = Math.min(this.room(), this.slotCount);
      if (room <= 0) return;
      this.write(connection, room);
    }
  }

  /** Hot. */
  take(start: number, end: number): number {
    const { bytes } = this.source.region;
    let at = start;
    while (at < end) {
      const next = packetEnd(bytes, at, end);
      if (next < 0) throw new BrokerFault("malformed Remaining Length");
      if (next === 0) break;
      this.takeAcknowledgement(bytes[at] as number, packetBody(bytes, at), next);
      at = next;
    }
    this.connection?.flushAcknowledgements();
    if (this.source.options.inflightMax - this.inflight >= this.refillAt) this.pump();
    this.source.progressed();
    return at;
  }

  private intervalMicros(): number {
    const { ratePerSecond, publisherCount } = this.source.options;
    return ratePerSecond === 0 ? 0 : (1e6 * publisherCount) / ratePerSecond;
  }

  private room(): number {
    const { inflightMax } = this.source.options;
    let room = Math.min(inflightMax - this.inflight, this.quota - this.sentCount);
    const interval = this.intervalMicros();
    if (interval > 0) {
      const due = Math.floor((nowMicros() - this.startMicros) / interval) + 1;
      room = Math.min(room, due - this.sentCount);
    }
    return room > 0 && this.states[this.nextId] === FREE ? room : 0;
  }

  private write(connection: Connection, countMax: number): void {
    const { ledger, options } = this.source;
    const interval = this.intervalMicros();
    const now = nowMicros();
    let count = 0;
    for (; count < countMax && this.states[this.nextId] === FREE; count++) {
      const index = this.nextId;
      const message = this.sentCount * options.publisherCount + this.number;
      const due = Math.floor(this.startMicros + this.sentCount * interval);
      const micros = interval > 0 && now - due > LATE_MICROS ? due : now;
      this.states[index] = PUBLISHED;
      this.messages[index] = message;
      this.micros[index] = micros;
      this.patch(count, message, micros, index + 1);
      this.nextId = index + 1 === this.states.length ? 0 : index + 1;
      this.sentCount++;
      this.inflight++;
      ledger.send(message);
    }
    connection.write(this.slots.subarray(0, count * this.slotBytes));
  }

  private patch(slot: number, message: number, micros: number, packetId: number): void {
    const { ledger, digits } = this.source;
    const { slots } = this;
    const at = slot * this.slotBytes;
    const session = message % ledger.sessionCount;
    const payloadAt = at + this.payloadAt;
    slots.writeUInt32BE(digits[session] as number, at + this.topicAt + DIGITS_OFFSET);
    slots.writeUInt16BE(packetId, at + this.packetIdAt);
    slots.writeUInt32LE(session, payloadAt + PUBLISHER_OFFSET);
    slots.writeUInt32LE(Math.floor(message / ledger.sessionCount), payloadAt + SEQUENCE_OFFSET);
    slots.writeUInt32LE(micros, payloadAt + MICROS_OFFSET);
  }

  private repeat(connection: Connection): void {
    const pieces: Buffer[] = [];
    const { length } = this.states;
    for (let step = 0; step < length; step++) {
      const index = (this.nextId + step) % length; // The oldest first.
      const state = this.states[index];
      if (state === PUBLISHED) {
        this.patch(0, this.messages[index] as number, nowMicros(), index + 1);
        const copy = Buffer.from(this.slots.subarray(0, this.slotBytes));
        copy[0] = (copy[0] as number) | DUP;
        pieces.push(copy);
      } else if (state === RELEASED) {
        pieces.push(Buffer.from([PUBREL, 2, (index + 1) >> 8, (index + 1) & 0xff]));
      }
    }
    if (pieces.length > 0) connection.write(Buffer.concat(pieces));
  }

  private forgetUnfinished(): void {
    this.states.fill(FREE);
    this.inflight = 0;
  }

  private takeAcknowledgement(firstByte: number, body: number, end: number): void {
    const { region, options, ledger, latency } = this.source;
    const index = region.view.getUint16(body) - 1;
    const reasonCode = end - body > 2 ? (region.bytes[body + 2] as number) : 0;
    const expected = options.qos === 1 ? PUBACK : PUBREC;
    if (firstByte !== expected && !(options.qos === 2 && firstByte === PUBCOMP)) {
      throw new BrokerFault(`a publisher got a packet 0x${firstByte.toString(16)}`);
    }
    const isLate = firstByte === PUBCOMP && reasonCode === PACKET_IDENTIFIER_NOT_FOUND;
    if (reasonCode >= REASON_CODE_ERROR && !isLate) {
      throw new BrokerFault(`a PUBLISH was refused with 0x${reasonCode.toString(16)}`);
    }
    const state = this.states[index] ?? FREE;
    if (state === FREE) throw new BrokerFault(`an acknowledgement of ${index + 1} for nothing`);
    if (firstByte === PUBREC) {
      this.states[index] = RELEASED;
      this.connection?.acknowledge(PUBREL, index + 1);
      return;
    }
    this.states[index] = FREE;
    this.inflight--;
    ledger.acknowledge(this.messages[index] as number);
    latency.record(nowMicros() - (this.micros[index] as number));
  }
}
