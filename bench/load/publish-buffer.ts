/**
 * The PUBLISH packets of one publisher, ready to be patched and written in one piece.
 *
 *   TCP        │          PUBLISH │ PUBLISH │ PUBLISH │ …
 *   ws-batch   │     head PUBLISH │ PUBLISH │ PUBLISH │ …     one frame per write
 *   ws-single  │ head PUBLISH │ head PUBLISH │ …              one frame per packet
 *
 * Over WebSocket everything lies masked; a patch is XORed with the part of the key that meets it.
 */
import type { Transport } from "./connection.ts";
import {
  applyMask,
  FRAME_HEAD_BYTES_MAX,
  frameHeadBytes,
  OPCODE_BINARY,
  rotateKey,
  writeFrameHead,
} from "./frame.ts";
import type { PublishTemplate } from "./packet.ts";
import { MICROS_OFFSET, PUBLISHER_OFFSET, RUN_OFFSET, SEQUENCE_OFFSET } from "./payload.ts";

function swapBytes(word: number): number {
  return ((word >>> 24) | ((word >>> 8) & 0xff00) | ((word << 8) & 0xff0000) | (word << 24)) >>> 0;
}

export class PublishBuffer {
  readonly slotCount: number;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly slotBytes: number;
  /** Of the frame in front of each packet; 0 but for ws-single. */
  private readonly headBytes: number;
  private readonly payloadOffset: number;
  private readonly packetIdOffset: number;
  private readonly batched: boolean;
  private readonly key: number;
  /** The key for a little endian word, by phase of the byte it starts at. */
  private readonly wordMasks = new Uint32Array(4);

  /**
   * @param template  its payload gets the run's and the publisher's number here
   * @param bytesMax  the buffer has as many slots as fit, at least one
   */
  constructor(
    template: PublishTemplate,
    run: number,
    publisher: number,
    transport: Transport,
    key: number,
    bytesMax: number,
  ) {
    const packetBytes = template.bytes.length;
    const headBytes = transport === "ws-single" ? frameHeadBytes(packetBytes) : 0;
    this.batched = transport === "ws-batch";
    this.key = key;
    this.headBytes = headBytes;
    this.slotBytes = headBytes + packetBytes;
    this.slotCount = Math.max(1, Math.floor(bytesMax / this.slotBytes));
    this.payloadOffset = headBytes + template.payloadOffset;
    this.packetIdOffset = template.packetIdOffset > 0 ? headBytes + template.packetIdOffset : 0;
    this.bytes = new Uint8Array(FRAME_HEAD_BYTES_MAX + this.slotCount * this.slotBytes);
    this.view = new DataView(this.bytes.buffer);
    for (let phase = 0; phase < 4; phase++) {
      this.wordMasks[phase] = swapBytes(rotateKey(key, phase));
    }
    const packet = template.bytes.slice();
    const packetView = new DataView(packet.buffer);
    packetView.setUint32(template.payloadOffset + RUN_OFFSET, run, true);
    packetView.setUint32(template.payloadOffset + PUBLISHER_OFFSET, publisher, true);
    this.fill(packet);
  }

  /** Makes the PUBLISH in a slot the one with these numbers. Hot. */
  patch(slot: number, sequence: number, micros: number, packetId: number): void {
    const slotAt = FRAME_HEAD_BYTES_MAX + slot * this.slotBytes;
    const payloadAt = slotAt + this.payloadOffset;
    const mask = this.wordMasks[this.phase(slot, this.payloadOffset)] as number;
    this.view.setUint32(payloadAt + SEQUENCE_OFFSET, sequence ^ mask, true);
    this.view.setUint32(payloadAt + MICROS_OFFSET, micros ^ mask, true);
    if (this.packetIdOffset === 0) return;
    const idMask = this.wordMasks[this.phase(slot, this.packetIdOffset)] as number;
    const swapped = ((packetId >> 8) | (packetId << 8)) & 0xffff;
    this.view.setUint16(slotAt + this.packetIdOffset, swapped ^ (idMask & 0xffff), true);
  }

  /** @returns the first `count` slots, framed; borrowed */
  packets(count: number): Uint8Array {
    const end = FRAME_HEAD_BYTES_MAX + count * this.slotBytes;
    if (!this.batched) return this.bytes.subarray(FRAME_HEAD_BYTES_MAX, end);
    const payloadBytes = count * this.slotBytes;
    const at = writeFrameHead(
      this.view,
      FRAME_HEAD_BYTES_MAX,
      payloadBytes,
      OPCODE_BINARY,
      this.key,
    );
    return this.bytes.subarray(at, end);
  }

  /** Where in the frame's payload an offset of a slot lies, modulo the key's length. */
  private phase(slot: number, offset: number): number {
    if (this.batched) return (slot * this.slotBytes + offset) & 3;
    return (offset - this.headBytes) & 3;
  }

  private fill(packet: Uint8Array): void {
    const { headBytes } = this;
    const start = FRAME_HEAD_BYTES_MAX;
    for (let slot = 0; slot < this.slotCount; slot++) {
      const packetAt = start + slot * this.slotBytes + headBytes;
      this.bytes.set(packet, packetAt);
      if (headBytes === 0) continue;
      writeFrameHead(this.view, packetAt, packet.length, OPCODE_BINARY, this.key);
      applyMask(this.bytes, packetAt, packetAt + packet.length, this.key);
    }
    if (this.batched) applyMask(this.bytes, start, this.bytes.length, this.key);
  }
}
