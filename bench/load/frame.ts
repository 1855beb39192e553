/**
 * RFC 6455 from the client's side: frame heads, masking, and the upgrade's HTTP.
 *
 *    byte 0            byte 1              0, 2 or 8 bytes   0 or 4 bytes
 *   ┌─────┬───┬──────┬──────┬────────────┬─────────────────┬─────────────┬─────────┐
 *   │ FIN │ 0 │ op 4 │ MASK │ length 7   │ longer length   │ masking key │ payload │
 *   └─────┴───┴──────┴──────┴────────────┴─────────────────┴─────────────┴─────────┘
 *
 * The client masks, the server does not. Each connection draws one random key and keeps it, so
 * that packets can lie masked in their buffer: a key per frame guards proxies against hostile
 * scripts in browsers, and there are none here.
 */
import { createHash } from "node:crypto";

export const OPCODE_CONTINUATION = 0;
export const OPCODE_BINARY = 2;
export const OPCODE_CLOSE = 8;
export const OPCODE_PING = 9;
export const OPCODE_PONG = 10;

/** Longest head of a masked frame. */
export const FRAME_HEAD_BYTES_MAX = 14;
/** Longest payload of a control frame. */
export const CONTROL_PAYLOAD_BYTES_MAX = 125;

const FIN = 0x80;
const MASK = 0x80;
const KEY_BYTES = 4;
const ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** @returns bytes of the head of a masked frame */
export function frameHeadBytes(payloadBytes: number): number {
  if (payloadBytes < 126) return 2 + KEY_BYTES;
  return (payloadBytes < 0x10000 ? 4 : 10) + KEY_BYTES;
}

/**
 * Writes a masked frame's head so that it ends where the payload begins.
 *
 * @param payloadAt  offset of the payload; at least frameHeadBytes(payloadBytes)
 * @param key  masking key, u32, first byte highest
 * @returns offset of the head
 */
export function writeFrameHead(
  view: DataView,
  payloadAt: number,
  payloadBytes: number,
  opcode: number,
  key: number,
): number {
  const at = payloadAt - frameHeadBytes(payloadBytes);
  view.setUint8(at, FIN | opcode);
  if (payloadBytes < 126) {
    view.setUint8(at + 1, MASK | payloadBytes);
  } else if (payloadBytes < 0x10000) {
    view.setUint8(at + 1, MASK | 126);
    view.setUint16(at + 2, payloadBytes);
  } else {
    view.setUint8(at + 1, MASK | 127);
    view.setUint32(at + 2, 0);
    view.setUint32(at + 6, payloadBytes);
  }
  view.setUint32(payloadAt - KEY_BYTES, key);
  return at;
}

/**
 * The key as it meets the bytes at `phase`, as a big endian word.
 *
 * @param phase  offset from the start of the frame's payload
 */
export function rotateKey(key: number, phase: number): number {
  const bits = (phase & 3) * 8;
  return bits === 0 ? key >>> 0 : ((key << bits) | (key >>> (32 - bits))) >>> 0;
}

/** Masks, or unmasks, `bytes` from `at` to `end` in place; `at` is the payload's first byte. */
export function applyMask(bytes: Uint8Array, at: number, end: number, key: number): void {
  for (let i = at; i < end; i++) {
    bytes[i] = (bytes[i] as number) ^ ((key >>> (24 - ((i - at) & 3) * 8)) & 0xff);
  }
}

/** @returns a whole masked frame */
export function encodeFrame(payload: Uint8Array, opcode: number, key: number): Uint8Array {
  const headBytes = frameHeadBytes(payload.length);
  const frame = new Uint8Array(headBytes + payload.length);
  writeFrameHead(new DataView(frame.buffer), headBytes, payload.length, opcode, key);
  frame.set(payload, headBytes);
  applyMask(frame, headBytes, frame.length, key);
  return frame;
}

/** The head of a server's frame; one record is reused, for no allocation per frame. */
export interface FrameHead {
  opcode: number;
  headBytes: number;
  payloadBytes: number;
}

/**
 * Reads the head of an unmasked frame. Hot.
 *
 * @param head  filled in when the head is whole
 * @returns 1 if whole, 0 if `end` cuts it short, -1 if no server may send this
 */
export function readFrameHead(
  view: DataView,
  at: number,
  end: number,
  head: FrameHead,
): -1 | 0 | 1 {
  if (end - at < 2) return 0;
  const first = view.getUint8(at);
  const length = view.getUint8(at + 1);
  if ((first & 0x70) !== 0 || length >= MASK) return -1;
  head.opcode = first & 0x0f;
  head.headBytes = 2;
  head.payloadBytes = length;
  if (head.opcode >= OPCODE_CLOSE) {
    return length <= CONTROL_PAYLOAD_BYTES_MAX && first >= FIN ? 1 : -1;
  }
  if (length === 126) {
    if (end - at < 4) return 0;
    head.headBytes = 4;
    head.payloadBytes = view.getUint16(at + 2);
  } else if (length === 127) {
    if (end - at < 10) return 0;
    head.headBytes = 10;
    head.payloadBytes = view.getUint32(at + 2) * 0x1_0000_0000 + view.getUint32(at + 6);
  }
  return 1;
}

/** @returns the upgrade request for subprotocol `mqtt`  [RFC 6455 §4.1, MQTT-6.0.0-3] */
export function upgradeRequest(host: string, port: number, path: string, nonce: string): string {
  return [
    `GET ${path} HTTP/1.1`,
    `Host: ${host}:${port}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Key: ${nonce}`,
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Protocol: mqtt",
    "\r\n",
  ].join("\r\n");
}

/**
 * Judges the answer to the upgrade.
 *
 * @param response  status line and header fields, without the blank line
 * @returns what is wrong with it, or "" if the connection is a WebSocket that carries MQTT
 */
export function upgradeFault(response: string, nonce: string): string {
  const [status = "", ...lines] = response.split("\r\n");
  if (!/^HTTP\/1\.1 101\b/.test(status)) return `WebSocket upgrade refused: ${status}`;
  const fields = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    fields.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  const accept = createHash("sha1")
    .update(nonce + ACCEPT_SUFFIX)
    .digest("base64");
  if (fields.get("sec-websocket-accept") !== accept) return "wrong Sec-WebSocket-Accept";
  if (fields.get("sec-websocket-protocol") !== "mqtt") return "subprotocol mqtt not echoed";
  return "";
}
