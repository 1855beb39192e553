/**
 * Builds the packets of the control plane in the engine's SCRATCH region, from where they are sent.
 *
 *   SCRATCH ┌──────────────┬──────────────────────────────────┐
 *           │ 8 bytes      │ variable header and payload      │  the fixed header comes last,
 *           └──────────────┴──────────────────────────────────┘  in front of them
 */
import * as abi from "#assembly/abi";
import { PACKET_TOO_LARGE, QUOTA_EXCEEDED } from "#assembly/spec";
import { ProtocolError } from "../base/errors.ts";
import { variableByteInteger } from "../base/variable-byte-integer.ts";
import type { Engine } from "../engine/engine.ts";

const BODY = abi.SCRATCH + 8;
const BODY_END = abi.SCRATCH + abi.SCRATCH_BYTES;

export class PacketWriter {
  readonly #engine: Engine;
  #at = BODY;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Forgets what was written. */
  begin(): this {
    this.#at = BODY;
    return this;
  }

  byte(value: number): this {
    this.#need(1);
    this.#engine.bytes[this.#at++] = value;
    return this;
  }

  twoBytes(value: number): this {
    return this.byte(value >>> 8).byte(value & 0xff);
  }

  fourBytes(value: number): this {
    return this.twoBytes(value >>> 16).twoBytes(value & 0xffff);
  }

  variableByteInteger(value: number): this {
    for (const byte of variableByteInteger(value)) this.byte(byte);
    return this;
  }

  /** A UTF-8 Encoded String, §1.5.4. */
  text(value: string): this {
    const bytes = Buffer.byteLength(value);
    this.twoBytes(bytes);
    this.#need(bytes);
    this.#engine.scratch.write(value, this.#at - abi.SCRATCH);
    this.#at += bytes;
    return this;
  }

  /** Binary Data, §1.5.6. */
  data(value: Uint8Array): this {
    this.twoBytes(value.length);
    this.#need(value.length);
    this.#engine.bytes.set(value, this.#at);
    this.#at += value.length;
    return this;
  }

  /** Bytes written so far. */
  get byteCount(): number {
    return this.#at - BODY;
  }

  /**
   * Whether the packet, with its fixed header, is within a Maximum Packet Size.
   *
   * @param packetBytesMax  of the client; 0 = it has none
   */
  fits(packetBytesMax: number): boolean {
    if (packetBytesMax === 0) return true;
    return 1 + variableByteInteger(this.byteCount).length + this.byteCount <= packetBytesMax;
  }

  /** Writes a property list by its parts: its length comes first, §2.2.2. */
  properties(write: (list: this) => void): this {
    const from = this.#at;
    // Four bytes are kept for the length; the list moves down when it is known.
    this.#need(4);
    this.#at += 4;
    write(this);
    const length = this.#at - from - 4;
    this.#at = from;
    this.variableByteInteger(length);
    this.#engine.bytes.copyWithin(this.#at, from + 4, from + 4 + length);
    this.#at += length;
    return this;
  }

  /**
   * Sends the packet behind the acknowledgements that wait.
   *
   * @param hold  only after the page being filled is committed
   * @param packetBytesMax  Maximum Packet Size of the client; 0 = it has none
   * @throws ProtocolError 0x97 where the engine has no memory for it; 0x95 where the client takes
   *   no packet as large as that [MQTT-3.1.2-24]
   */
  send(connection: number, firstByte: number, hold: boolean, packetBytesMax: number): void {
    if (!this.fits(packetBytesMax)) throw new ProtocolError(PACKET_TOO_LARGE, "no packet so large");
    const length = this.byteCount;
    const head = [firstByte, ...variableByteInteger(length)];
    const at = BODY - head.length;
    this.#engine.bytes.set(head, at);
    const sent = this.#engine.calls.send(connection, at, head.length + length, hold ? 1 : 0);
    if (sent === 0) throw new ProtocolError(QUOTA_EXCEEDED, "no memory for an answer");
  }

  #need(bytes: number): void {
    if (this.#at + bytes > BODY_END) throw new ProtocolError(QUOTA_EXCEEDED, "answer too long");
  }
}
