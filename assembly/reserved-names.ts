/** Topic Names that are no client's. */
import { DOLLAR_SIGN, equalBytes, levelEnd, SLASH } from "./topic";

/** `$SYS/`, `$share/`; `$SYS/broker/connection/`, `/state`. */
const SYS: usize = memory.data<u8>([0x24, 0x53, 0x59, 0x53]);
const SHARE: usize = memory.data<u8>([0x24, 0x73, 0x68, 0x61, 0x72, 0x65]);
const BRIDGE: usize = memory.data<u8>([
  0x24, 0x53, 0x59, 0x53, 0x2f, 0x62, 0x72, 0x6f, 0x6b, 0x65, 0x72, 0x2f, 0x63, 0x6f, 0x6e, 0x6e,
  0x65, 0x63, 0x74, 0x69, 0x6f, 0x6e, 0x2f,
]);
const BRIDGE_BYTES: u32 = 23;
const STATE: usize = memory.data<u8>([0x2f, 0x73, 0x74, 0x61, 0x74, 0x65]);
const STATE_BYTES: u32 = 6;

function beginsWith(at: usize, bytes: u32, prefix: usize, prefixBytes: u32): bool {
  return bytes >= prefixBytes && equalBytes(at, prefix, prefixBytes);
}

/**
 * Whether a topic is one that no client may publish to: `$SYS`, but for the state of a bridge,
 * which the other broker tells; what looks like a shared subscription. Hot.
 *
 * @param bytes  at least 1
 */
export function isReserved(at: usize, bytes: u32): bool {
  return load<u8>(at) === DOLLAR_SIGN && isReservedName(at, bytes);
}

function isReservedName(at: usize, bytes: u32): bool {
  if (beginsWith(at, bytes, SHARE, 6)) return true;
  if (!beginsWith(at, bytes, SYS, 4)) return false;
  if (!beginsWith(at, bytes, BRIDGE, BRIDGE_BYTES)) return true;
  const end = at + bytes;
  const stop = levelEnd(at + BRIDGE_BYTES, end);
  if (<u32>(end - stop) !== STATE_BYTES || load<u8>(stop) !== SLASH) return true;
  return !equalBytes(stop, STATE, STATE_BYTES);
}
