/**
 * A WebSocket written frame by frame, for what the built-in one cannot send: fragments, text,
 * single bytes, any subprotocol.
 *
 *     0      1        2 … 3 or 2 … 9      4 bytes
 *   ┌──────┬────────┬───────────────────┬──────────┬─────────┐
 *   │FIN op│M length│ 126: u16, 127: u64│ mask     │ payload │   RFC 6455 §5.2
 *   └──────┴────────┴───────────────────┴──────────┴─────────┘
 */
import { createHash, randomBytes } from "node:crypto";
import { connect as connectSocket, type Socket } from "node:net";
import { withDeadline } from "./await.ts";

/** Frame types, RFC 6455 §5.2. */
export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const HEADERS_END = "\r\n\r\n";

export interface Frame {
  readonly opcode: number;
  readonly payload: Buffer;
}

/** One WebSocket whose frames the test writes and reads itself. */
export class RawWebSocket {
  readonly responseHeaders = new Map<string, string>();
  readonly #socket: Socket;
  readonly #frames: Frame[] = [];
  readonly #closed: Promise<void>;
  #bytes = Buffer.alloc(0);
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#closed = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.on("error", () => {}); // "close" follows and tells it.
    socket.on("data", (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake();
    });
  }

  /**
   * Connects and shakes hands, offering `protocols`.
   *
   * @throws Error if the answer is not 101 with the right key
   */
  static async open(port: number, protocols: string): Promise<RawWebSocket> {
    const socket = connectSocket({ port, host: "127.0.0.1", noDelay: true });
    const webSocket = new RawWebSocket(socket);
    const key = randomBytes(16).toString("base64");
    socket.write(
      [
        "GET /mqtt HTTP/1.1",
        `Host: 127.0.0.1:${port}`,
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        `Sec-WebSocket-Key: ${key}`,
        `Sec-WebSocket-Protocol: ${protocols}`,
        "\r\n",
      ].join("\r\n"),
    );
    await webSocket.#await("answer to the upgrade", () => webSocket.#takeHeaders(key));
    return webSocket;
  }

  send(opcode: number, payload: Uint8Array, options: { readonly isFinal?: boolean } = {}): void {
    const mask = randomBytes(4);
    const first = Buffer.of((options.isFinal === false ? 0 : 0x80) | opcode);
    const masked = Buffer.from(payload).map((byte, index) => byte ^ (mask[index % 4] ?? 0));
    this.#socket.write(Buffer.concat([first, lengthOf(payload.length), mask, masked]));
  }

  /** The next frame of any type. */
  async nextFrame(): Promise<Frame> {
    await this.#await("WebSocket frame", () => this.#takeFrames());
    const [frame] = this.#frames.splice(0, 1);
    if (frame === undefined) throw new Error("no frame");
    return frame;
  }

  /** Awaits the end of the TCP connection; a close frame may come before it. */
  async closed(): Promise<void> {
    this.#socket.once("end", () => this.#socket.end());
    const opcodeClose = this.#await("close frame", () => {
      this.#takeFrames();
      return this.#frames.some((frame) => frame.opcode === OPCODE.close);
    }).catch(() => undefined);
    await Promise.race([this.#closed, opcodeClose.then(() => this.#socket.end())]);
    await withDeadline(this.#closed, "close of the WebSocket");
  }

  destroy(): void {
    this.#socket.destroy();
  }

  async #await(what: string, isThere: () => boolean): Promise<void> {
    while (!isThere()) {
      const more = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      const ended = this.#closed.then(() => {
        throw new Error(`closed before the ${what}`);
      });
      await withDeadline(Promise.race([more, ended]), what, () => this.#bytes.toString("latin1"));
    }
  }

  #takeHeaders(key: string): boolean {
    const end = this.#bytes.indexOf(HEADERS_END);
    if (end < 0) return false;
    const [status = "", ...lines] = this.#bytes.toString("latin1", 0, end).split("\r\n");
    this.#bytes = this.#bytes.subarray(end + HEADERS_END.length);
    for (const line of lines) {
      const colon = line.indexOf(":");
      this.responseHeaders.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    }
    const accept = createHash("sha1").update(`${key}${GUID}`).digest("base64");
    if (!status.includes(" 101 ") || this.responseHeaders.get("sec-websocket-accept") !== accept) {
      throw new Error(`the upgrade was refused: ${status}`);
    }
    return true;
  }

  #takeFrames(): boolean {
    for (;;) {
      const length = (this.#bytes[1] ?? 0) & 0x7f;
      const header = length === 127 ? 10 : length === 126 ? 4 : 2;
      if (this.#bytes.length < header) break;
      const payloadBytes =
        length === 127
          ? Number(this.#bytes.readBigUInt64BE(2))
          : length === 126
            ? this.#bytes.readUInt16BE(2)
            : length;
      if (this.#bytes.length < header + payloadBytes) break;
      this.#frames.push({
        opcode: (this.#bytes[0] ?? 0) & 0x0f,
        payload: this.#bytes.subarray(header, header + payloadBytes),
      });
      this.#bytes = this.#bytes.subarray(header + payloadBytes);
    }
    return this.#frames.length > 0;
  }
}

function lengthOf(byteCount: number): Buffer {
  if (byteCount < 126) return Buffer.of(0x80 | byteCount);
  const bytes = Buffer.alloc(3);
  bytes[0] = 0x80 | 126;
  bytes.writeUInt16BE(byteCount, 1); // No test sends a frame of more than 64 KiB through this.
  return bytes;
}
