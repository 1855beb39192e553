/** Counts the packets that come, by Control Packet type, and tells when enough have come. */
import type { PacketSink, ReadRegion } from "../load/connection.ts";
import { BrokerFault } from "../load/fault.ts";
import { PUBLISH, packetBody, packetEnd } from "../load/packet.ts";

const TYPES = 16;

interface Waiting {
  readonly type: number;
  readonly count: number;
  readonly resolve: () => void;
}

/** One tally may serve many connections. QoS 1 messages are counted, and not acknowledged. */
export class PacketTally implements PacketSink {
  /** Payload of the PUBLISH that came last, if it is wanted. */
  lastPayload = "";
  private readonly region: ReadRegion;
  private readonly wantsPayload: boolean;
  private readonly counts = new Float64Array(TYPES);
  private waiting: Waiting | undefined;
  private resume: () => void = () => {};

  constructor(region: ReadRegion, wantsPayload = false) {
    this.region = region;
    this.wantsPayload = wantsPayload;
  }

  /** @param firstByte  of the packets: one of the constants in packet.ts */
  count(firstByte: number): number {
    return this.counts[firstByte >> 4] as number;
  }

  /** Resolves once `count` packets have come in all. One wait at a time. */
  reaches(firstByte: number, count: number): Promise<void> {
    return new Promise((resolve) => {
      this.waiting = { type: firstByte >> 4, count, resolve };
      this.check();
    });
  }

  /** Resolves when a connection takes bytes again. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      this.resume = resolve;
    });
  }

  writable(): void {
    this.resume();
  }

  /** Hot. */
  take(start: number, end: number): number {
    const { bytes } = this.region;
    const { counts } = this;
    let at = start;
    while (at < end) {
      const next = packetEnd(bytes, at, end);
      if (next < 0) throw new BrokerFault("malformed Remaining Length");
      if (next === 0) break;
      const type = (bytes[at] as number) >> 4;
      counts[type] = (counts[type] as number) + 1;
      if (this.wantsPayload && type === PUBLISH >> 4) this.keepPayload(at, next);
      at = next;
    }
    this.check();
    return at;
  }

  private keepPayload(at: number, end: number): void {
    const { bytes, view } = this.region;
    const body = packetBody(bytes, at);
    const packetIdBytes = ((bytes[at] as number) & 0x06) > 0 ? 2 : 0;
    const payloadAt = body + 2 + view.getUint16(body) + packetIdBytes;
    this.lastPayload = Buffer.from(bytes.subarray(payloadAt, end)).toString();
  }

  private check(): void {
    const { waiting } = this;
    if (waiting === undefined || (this.counts[waiting.type] as number) < waiting.count) return;
    this.waiting = undefined;
    waiting.resolve();
  }
}
