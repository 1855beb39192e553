/** One publisher: publishes as far as window, quota and the broker's acknowledgements allow. */
import { nowMicros } from "./clock.ts";
import type { Connection, PacketSink, ReadRegion } from "./connection.ts";
import { BrokerFault } from "./fault.ts";
import type { FlowWindow } from "./flow.ts";
import {
  PINGRESP,
  PUBACK,
  PUBCOMP,
  PUBREC,
  PUBREL,
  packetBody,
  packetEnd,
  type QoS,
} from "./packet.ts";
import type { PublishBuffer } from "./publish-buffer.ts";
import type { Totals } from "./totals.ts";
import type { Pump, Turn } from "./turn.ts";

// States of a Packet Identifier.
const FREE = 0;
/** Waits for PUBACK or PUBREC. */
const PUBLISHED = 1;
/** Waits for PUBCOMP. */
const RELEASED = 2;

const REASON_CODE_ERROR = 0x80;
/** A message that waited longer than this for its turn counts from when it was due. */
const LATE_MICROS = 2000;

/** The fixed rate at which publishers take turns. */
export interface Schedule {
  readonly startMicros: number;
  readonly intervalMicros: number;
  readonly publisherCount: number;
}

export class Publisher implements PacketSink, Pump {
  readonly number: number;
  due = false;
  sent = 0;
  /** Publishing stops at this many messages. */
  quota = Number.MAX_SAFE_INTEGER;
  /** With a schedule: messages due by now. */
  scheduled = 0;
  schedule: Schedule | undefined;
  private readonly connection: Connection;
  private readonly region: ReadRegion;
  private readonly buffer: PublishBuffer;
  private readonly flow: FlowWindow;
  private readonly qos: QoS;
  private readonly totals: Totals;
  private readonly turn: Turn;
  private readonly inflightMax: number;
  private readonly refillAt: number;
  private readonly states: Uint8Array;
  private inflight = 0;
  private nextId = 0;

  /** @param inflightMax  unacknowledged QoS 1 and 2 messages */
  constructor(
    number: number,
    connection: Connection,
    region: ReadRegion,
    buffer: PublishBuffer,
    flow: FlowWindow,
    qos: QoS,
    inflightMax: number,
    totals: Totals,
    turn: Turn,
  ) {
    this.number = number;
    this.connection = connection;
    this.region = region;
    this.buffer = buffer;
    this.flow = flow;
    this.qos = qos;
    this.inflightMax = inflightMax;
    this.refillAt = Math.max(1, inflightMax >> 2);
    this.states = new Uint8Array(qos > 0 ? Math.min(65535, inflightMax * 2) : 1);
    this.totals = totals;
    this.turn = turn;
    connection.sink = this;
  }

  /** A subscriber came from one sequence number to another. Hot. */
  delivered(fromSequence: number, toSequence: number): void {
    if (this.flow.passed(fromSequence, toSequence)) this.turn.wantPump(this);
  }

  /** Hot. */
  pump(): void {
    const { connection } = this;
    if (connection.busy) return;
    const room = this.room();
    if (this.qos === 2 && room > 0) connection.cork();
    connection.flushAcknowledgements();
    if (room > 0) this.publish(Math.min(room, this.buffer.slotCount));
    if (this.qos === 2 && room > 0) connection.uncork();
    if (!connection.busy && this.room() > 0) this.turn.wantPump(this);
  }

  writable(): void {
    this.turn.wantPump(this);
  }

  /** Hot. */
  take(start: number, end: number): number {
    const { bytes } = this.region;
    let at = start;
    while (at < end) {
      const next = packetEnd(bytes, at, end);
      if (next <= 0) {
        if (next < 0) throw new BrokerFault("malformed Remaining Length");
        break;
      }
      this.takeAcknowledgement(bytes[at] as number, packetBody(bytes, at), next);
      at = next;
    }
    if (this.qos === 2 || this.inflightMax - this.inflight >= this.refillAt) {
      this.turn.wantPump(this);
    }
    this.turn.schedule();
    return at;
  }

  private room(): number {
    let room = Math.min(this.flow.room(this.sent), this.quota - this.sent);
    if (this.schedule !== undefined) room = Math.min(room, this.scheduled - this.sent);
    if (this.qos > 0) {
      room = Math.min(room, this.inflightMax - this.inflight);
      if (room > 0 && this.states[this.nextId] !== FREE) room = 0;
    }
    return room;
  }

  private publish(countMax: number): void {
    const { buffer, states } = this;
    const now = nowMicros();
    let count = 0;
    for (; count < countMax; count++) {
      let packetId = 0;
      if (this.qos > 0) {
        if (states[this.nextId] !== FREE) break;
        states[this.nextId] = PUBLISHED;
        packetId = ++this.nextId;
        if (packetId === states.length) this.nextId = 0;
        this.inflight++;
      }
      const micros = this.schedule === undefined ? now : this.scheduledMicros(this.schedule, now);
      buffer.patch(count, this.sent++, micros, packetId);
    }
    this.totals.published += count;
    this.connection.write(buffer.packets(count));
  }

  private scheduledMicros(schedule: Schedule, now: number): number {
    const turnNumber = this.sent * schedule.publisherCount + this.number;
    const dueMicros = Math.floor(schedule.startMicros + turnNumber * schedule.intervalMicros);
    return now - dueMicros > LATE_MICROS ? dueMicros : now;
  }

  private takeAcknowledgement(firstByte: number, body: number, end: number): void {
    if (firstByte === PINGRESP) return;
    const { bytes, view } = this.region;
    const expected = this.qos === 1 ? PUBACK : PUBREC;
    if (end - body < 2 || this.qos === 0 || (firstByte !== expected && firstByte !== PUBCOMP)) {
      throw new BrokerFault(`a publisher got a packet 0x${firstByte.toString(16)}`);
    }
    const packetId = view.getUint16(body);
    const reasonCode = end - body > 2 ? (bytes[body + 2] as number) : 0;
    if (reasonCode >= REASON_CODE_ERROR) {
      throw new BrokerFault(`a PUBLISH was refused with 0x${reasonCode.toString(16)}`);
    }
    const waitsFor = firstByte === PUBCOMP ? RELEASED : PUBLISHED;
    if (packetId === 0 || this.states[packetId - 1] !== waitsFor) {
      throw new BrokerFault(`an acknowledgement of ${packetId}, which waits for none`);
    }
    if (firstByte === PUBREC) {
      this.states[packetId - 1] = RELEASED;
      this.connection.acknowledge(PUBREL, packetId);
      return;
    }
    this.states[packetId - 1] = FREE;
    this.inflight--;
    this.totals.completed++;
  }
}
