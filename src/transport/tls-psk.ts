/**
 * The file of Pre-Shared Keys, as mosquitto reads it: `identity:key` a line, the key in hexadecimal
 * digits; lines that begin with `#` and empty ones say nothing.
 */
import { StartError } from "../base/errors.ts";

/** Longest that node:tls takes, bytes: RFC 4279 §5.3 asks for as much. */
const IDENTITY_BYTES_MAX = 128;
const KEY_BYTES_MAX = 64;

/** @throws StartError naming file and line, never the key */
export function parsePskFile(file: string, content: string): ReadonlyMap<string, Buffer> {
  const keys = new Map<string, Buffer>();
  // It was read byte by byte, so that no byte is lost.
  const lines = Buffer.from(content, "latin1").toString().split(/\r?\n/);
  for (const [index, line] of lines.entries()) {
    if (line === "" || line.startsWith("#")) continue;
    const fault = addKey(keys, line);
    if (fault !== "") throw new StartError(`psk_file ${file}, line ${index + 1}: ${fault}`);
  }
  if (keys.size === 0) throw new StartError(`psk_file ${file} holds no line "identity:key"`);
  return keys;
}

/** @returns what is wrong with the line; "": nothing */
function addKey(keys: Map<string, Buffer>, line: string): string {
  const colon = line.indexOf(":");
  if (colon <= 0) return 'a line is "identity:key", the key in hexadecimal digits';
  const identity = line.slice(0, colon);
  const digits = line.slice(colon + 1).trim();
  if (Buffer.byteLength(identity) > IDENTITY_BYTES_MAX) {
    return `an identity has at most ${IDENTITY_BYTES_MAX} bytes`;
  }
  if (!/^(?:[0-9a-fA-F]{2})+$/.test(digits)) {
    return "the key is not an even number of hexadecimal digits";
  }
  const key = Buffer.from(digits, "hex");
  if (key.length > KEY_BYTES_MAX) return `a key has at most ${KEY_BYTES_MAX} bytes`;
  if (keys.has(identity)) return `identity "${identity}" was given before`;
  keys.set(identity, key);
  return "";
}
