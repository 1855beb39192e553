/**
 * One Network Connection, over TCP, TLS or WebSocket: bytes in, whole packets out, and back.
 *
 * All connections read into one region. What a chunk leaves of a packet is copied in front of the
 * next chunk, so that packets always lie in one piece:
 *
 *   ┌──────────────────────┬────────────────────────────┐
 *   │ headroom   … partial │ chunk, straight from read  │
 *   └──────────────────────┴────────────────────────────┘
 *                          start
 *
 * Over WebSocket the frame heads between two parts of a packet are overwritten in place.
 */
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { connect as connectSecure } from "node:tls";
import { BrokerFault } from "./fault.ts";
import {
  encodeFrame,
  FRAME_HEAD_BYTES_MAX,
  type FrameHead,
  OPCODE_BINARY,
  OPCODE_CLOSE,
  OPCODE_CONTINUATION,
  OPCODE_PING,
  OPCODE_PONG,
  readFrameHead,
  upgradeFault,
  upgradeRequest,
  writeFrameHead,
} from "./frame.ts";
import { ACKNOWLEDGEMENT_BYTES, packetEnd } from "./packet.ts";

export type Transport = "tcp" | "ws-batch" | "ws-single";

/** Where the bytes of every connection land. */
export interface ReadRegion {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** The part that `read` fills. */
  readonly chunk: Uint8Array;
  /** Offset of `chunk` in `bytes`. */
  readonly start: number;
}

/** Takes the whole packets between two offsets of the read region. */
export interface PacketSink {
  /**
   * @returns offset behind the last whole packet
   * @throws BrokerFault at a packet that should not be there
   */
  take(at: number, end: number): number;
  /** The connection takes bytes again after it did not. */
  writable(): void;
}

export interface ConnectionOptions {
  readonly host: string;
  readonly port: number;
  readonly localAddress: string | undefined;
  readonly transport: Transport;
  /** Whether there is TLS below it; whose certificate it is does not matter. */
  readonly tls: boolean;
  readonly path: string;
  readonly lost: (fault: BrokerFault) => void;
}

const CHUNK_BYTES = 256 * 1024;
const HEADROOM_BYTES_MIN = 64 * 1024;
const HEADROOM_SLACK_BYTES = 1024;
const UPGRADE_BYTES_MAX = 16 * 1024;
const HEAD_PARTIAL_BYTES_MAX = 128;
const ACKNOWLEDGEMENTS_BYTES = 1024;
const SINGLE_FRAME_BYTES = 6 + ACKNOWLEDGEMENT_BYTES;

/** @param packetBytesMax  longest packet that will come */
export function createReadRegion(packetBytesMax: number): ReadRegion {
  const start = Math.max(HEADROOM_BYTES_MIN, packetBytesMax + HEADROOM_SLACK_BYTES);
  const bytes = new Uint8Array(start + CHUNK_BYTES);
  return { bytes, view: new DataView(bytes.buffer), chunk: bytes.subarray(start), start };
}

const frameHead: FrameHead = { opcode: 0, headBytes: 0, payloadBytes: 0 };
const NOTHING = new Uint8Array(0);

export class Connection {
  readonly transport: Transport;
  /** Masking key; 0 over TCP, where XOR with it changes nothing. */
  readonly key: number;
  sink: PacketSink | undefined;
  /** The kernel has not yet taken all that was written: buffers handed in are still borrowed. */
  busy = false;
  private readonly socket: Socket;
  private readonly region: ReadRegion;
  private readonly lost: (fault: BrokerFault) => void;
  private readonly nonce: string;
  private readonly opened: () => void;
  private upgrading: boolean;
  private upgradeText = "";
  private closing = false;
  private partial = NOTHING;
  private partialBytes = 0;
  private headPartial = NOTHING;
  private headPartialBytes = 0;
  private frameBytesLeft = 0;
  private acknowledgements = NOTHING;
  private acknowledgementsView = new DataView(NOTHING.buffer);
  private acknowledgementsEnd = FRAME_HEAD_BYTES_MAX;
  private readonly written = (): void => {
    if (!this.busy || this.socket.writableLength > 0) return;
    this.busy = false;
    this.flushAcknowledgements();
    this.sink?.writable();
  };

  /** @param opened  called once MQTT packets can be sent */
  constructor(region: ReadRegion, options: ConnectionOptions, opened: () => void) {
    this.region = region;
    this.transport = options.transport;
    this.lost = options.lost;
    this.opened = opened;
    this.upgrading = options.transport !== "tcp";
    this.nonce = this.upgrading ? randomBytes(16).toString("base64") : "";
    this.key = this.upgrading ? randomBytes(4).readUInt32BE() : 0;
    const place = {
      host: options.host,
      port: options.port,
      ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
      noDelay: true,
      onread: {
        buffer: region.chunk,
        callback: (byteCount: number) => {
          this.read(byteCount);
          return true;
        },
      },
    };
    // Of TLS the socket says only in its callback what it has taken.
    this.socket = options.tls
      ? connectSecure({ ...place, rejectUnauthorized: false })
      : connect(place);
    this.socket.on(options.tls ? "secureConnect" : "connect", () => {
      if (!this.upgrading) this.opened();
      else this.socket.write(upgradeRequest(options.host, options.port, options.path, this.nonce));
    });
    this.socket.on("error", (error) => this.fail(error.message, true));
    this.socket.on("close", () => this.fail("the broker closed a connection", true));
  }

  /** Sends one control packet. Not for the hot path: a WebSocket frame is made for it. */
  sendPacket(bytes: Uint8Array): void {
    const framed = this.transport === "tcp" ? bytes : encodeFrame(bytes, OPCODE_BINARY, this.key);
    this.socket.write(framed);
  }

  /**
   * Writes bytes that are framed and masked already. Hot.
   *
   * @param bytes  borrowed until `busy` is false again
   */
  write(bytes: Uint8Array): void {
    this.busy = true;
    this.socket.write(bytes, this.written);
    if (this.socket.writableLength === 0) this.busy = false;
  }

  /** Appends a PUBACK, PUBREC, PUBREL or PUBCOMP; flushAcknowledgements() sends them. Hot. */
  acknowledge(firstByte: number, packetId: number): void {
    const bytes = this.transport === "ws-single" ? SINGLE_FRAME_BYTES : ACKNOWLEDGEMENT_BYTES;
    if (this.busy && this.acknowledgementsEnd === FRAME_HEAD_BYTES_MAX) {
      this.acknowledgements = NOTHING; // The kernel may still read the old buffer.
    }
    if (this.acknowledgementsEnd + bytes > this.acknowledgements.length)
      this.growAcknowledgements();
    const payloadAt = this.acknowledgementsEnd + bytes - ACKNOWLEDGEMENT_BYTES;
    const view = this.acknowledgementsView;
    if (bytes === SINGLE_FRAME_BYTES) {
      writeFrameHead(view, payloadAt, ACKNOWLEDGEMENT_BYTES, OPCODE_BINARY, this.key);
    }
    view.setUint32(payloadAt, ((firstByte << 24) | 0x20000 | packetId) ^ this.key);
    this.acknowledgementsEnd += bytes;
  }

  /** One write of all acknowledgements; while the connection is busy they wait. Hot. */
  flushAcknowledgements(): void {
    const end = this.acknowledgementsEnd;
    if (end === FRAME_HEAD_BYTES_MAX || this.busy) return;
    let at = FRAME_HEAD_BYTES_MAX;
    if (this.transport === "ws-batch") {
      at = writeFrameHead(this.acknowledgementsView, at, end - at, OPCODE_BINARY, this.key);
    }
    this.acknowledgementsEnd = FRAME_HEAD_BYTES_MAX;
    this.write(this.acknowledgements.subarray(at, end));
  }

  /** Makes what is written until uncork() one write. */
  cork(): void {
    this.socket.cork();
  }

  uncork(): void {
    this.socket.uncork();
    if (this.socket.writableLength === 0) this.busy = false;
  }

  /** Sends a last packet and closes; what comes after is no fault. */
  end(lastPacket: Uint8Array): void {
    this.closing = true;
    this.sendPacket(lastPacket);
    this.socket.end();
    this.socket.unref();
    setTimeout(() => this.socket.destroy(), 1000).unref();
  }

  /** Breaks the connection off, without a DISCONNECT; nothing of it stays in the kernel. */
  drop(): void {
    this.closing = true;
    this.socket.resetAndDestroy();
  }

  private growAcknowledgements(): void {
    const grown = new Uint8Array(
      Math.max(ACKNOWLEDGEMENTS_BYTES, this.acknowledgements.length * 2),
    );
    grown.set(this.acknowledgements);
    this.acknowledgements = grown;
    this.acknowledgementsView = new DataView(grown.buffer);
  }

  private fail(reason: string, isBreak: boolean): void {
    if (this.closing) return;
    this.closing = true;
    this.socket.destroy();
    this.lost(new BrokerFault(reason, isBreak));
  }

  private read(byteCount: number): void {
    if (this.closing) return;
    try {
      const { start } = this.region;
      if (this.upgrading) this.readUpgrade(start, start + byteCount);
      else if (this.transport === "tcp") this.readPackets(start, start + byteCount);
      else this.readFrames(start, start + byteCount);
    } catch (error) {
      this.fail(error instanceof Error ? error.message : String(error), false);
    }
  }

  private readPackets(start: number, end: number): void {
    const at = start - this.partialBytes;
    if (this.partialBytes > 0) this.restorePartial(at);
    const consumed = this.sink === undefined ? end : this.sink.take(at, end);
    this.keepPartial(consumed, end);
  }

  private restorePartial(at: number): void {
    this.region.bytes.set(this.partial.subarray(0, this.partialBytes), at);
  }

  private keepPartial(at: number, end: number): void {
    this.partialBytes = end - at;
    if (at === end) return;
    if (this.partial.length < end - at) this.partial = new Uint8Array((end - at) * 2);
    this.partial.set(this.region.bytes.subarray(at, end));
  }

  private readUpgrade(start: number, end: number): void {
    const { bytes } = this.region;
    this.upgradeText += Buffer.from(bytes.subarray(start, end)).toString("latin1");
    const headEnd = this.upgradeText.indexOf("\r\n\r\n");
    if (headEnd < 0) {
      if (this.upgradeText.length > UPGRADE_BYTES_MAX) throw new BrokerFault("endless upgrade");
      return;
    }
    const fault = upgradeFault(this.upgradeText.slice(0, headEnd), this.nonce);
    if (fault !== "") throw new BrokerFault(fault);
    const rest = this.upgradeText.length - headEnd - 4;
    this.upgradeText = "";
    this.upgrading = false;
    this.opened();
    if (rest > 0) this.readFrames(end - rest, end);
  }

  private readFrames(start: number, end: number): void {
    const { bytes, view } = this.region;
    let at = start - this.headPartialBytes;
    if (this.headPartialBytes > 0) {
      bytes.set(this.headPartial.subarray(0, this.headPartialBytes), at);
      this.headPartialBytes = 0;
    }
    let packetsAt = at - this.partialBytes;
    let packetsEnd = at;
    if (this.partialBytes > 0) this.restorePartial(packetsAt);
    while (at < end) {
      if (this.frameBytesLeft === 0) {
        const status = readFrameHead(view, at, end, frameHead);
        if (status < 0) throw new BrokerFault("malformed WebSocket frame");
        if (status === 0) break;
        if (frameHead.opcode >= OPCODE_CLOSE) {
          const next = at + frameHead.headBytes + frameHead.payloadBytes;
          if (next > end) break;
          this.controlFrame(at + frameHead.headBytes, next);
          at = next;
          continue;
        }
        if (frameHead.opcode !== OPCODE_BINARY && frameHead.opcode !== OPCODE_CONTINUATION) {
          throw new BrokerFault("WebSocket frame is not binary [MQTT-6.0.0-1]");
        }
        at += frameHead.headBytes;
        this.frameBytesLeft = frameHead.payloadBytes;
        const partialBytes = packetsEnd - packetsAt;
        if (partialBytes > 0) bytes.copyWithin(at - partialBytes, packetsAt, packetsEnd);
        packetsAt = at - partialBytes;
      }
      packetsEnd = Math.min(at + this.frameBytesLeft, end);
      this.frameBytesLeft -= packetsEnd - at;
      at = packetsEnd;
      packetsAt = this.sink === undefined ? packetsEnd : this.sink.take(packetsAt, packetsEnd);
    }
    if (at < end) this.keepHeadPartial(at, end);
    this.keepPartial(packetsAt, packetsEnd);
  }

  private keepHeadPartial(at: number, end: number): void {
    if (this.headPartial.length === 0) this.headPartial = new Uint8Array(HEAD_PARTIAL_BYTES_MAX);
    this.headPartial.set(this.region.bytes.subarray(at, end));
    this.headPartialBytes = end - at;
  }

  private controlFrame(payloadAt: number, end: number): void {
    if (frameHead.opcode === OPCODE_CLOSE) throw new BrokerFault("the broker sent a close frame");
    if (frameHead.opcode !== OPCODE_PING) return;
    const payload = this.region.bytes.slice(payloadAt, end);
    this.socket.write(encodeFrame(payload, OPCODE_PONG, this.key));
  }
}

/**
 * Waits for one packet.
 *
 * @returns a copy of the first packet that comes
 */
export function nextPacket(connection: Connection, region: ReadRegion): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    connection.sink = {
      take(at, end) {
        const next = packetEnd(region.bytes, at, end);
        if (next < 0) reject(new BrokerFault("malformed Remaining Length"));
        if (next <= 0) return at;
        resolve(region.bytes.slice(at, next));
        return next;
      },
      writable: () => {},
    };
  });
}
