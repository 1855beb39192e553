/**
 * The properties of a PUBLISH as its receivers get them: all that it came with and in their order
 * [MQTT-3.3.2-17] [MQTT-3.3.2-18], but Topic Alias, which is of one connection, and Message Expiry
 * Interval, which the encoder writes anew.
 */
import { D_PROPERTIES_AT, D_PROPERTIES_BYTES, DECODED } from "./abi";
import { alloc, free } from "./memory";
import {
  MESSAGE_EXPIRY_INTERVAL,
  PAYLOAD_FORMAT_INDICATOR,
  TOPIC_ALIAS,
  USER_PROPERTY,
} from "./spec";
import { readTwoBytes } from "./varint";

/** Where the list is that goes out, and its bytes; dead after endForwarding(). */
export let forwardedAt: usize = 0;
export let forwardedBytes: u32 = 0;
/** The block of a list that had to be copied, or 0. */
let copied: usize = 0;

/** Bytes of the property at `at`, identifier included; the list is valid and of a client. */
function propertyBytes(at: usize): u32 {
  const identifier = <u32>load<u8>(at);
  if (identifier === PAYLOAD_FORMAT_INDICATOR) return 2;
  if (identifier === MESSAGE_EXPIRY_INTERVAL) return 5;
  if (identifier === TOPIC_ALIAS) return 3;
  const text = readTwoBytes(at + 1);
  return identifier === USER_PROPERTY ? 5 + text + readTwoBytes(at + 3 + text) : 3 + text;
}

/**
 * Prepares the list of the packet in DECODED. Hot.
 *
 * @param copy  whether it has a property that must go
 * @returns false where there is no memory
 */
export function forwardProperties(copy: bool): bool {
  const bytes = load<u32>(DECODED, D_PROPERTIES_BYTES);
  let at: usize = load<u32>(DECODED, D_PROPERTIES_AT);
  forwardedAt = at;
  forwardedBytes = bytes;
  if (!copy) return true;
  copied = alloc(bytes);
  if (copied === 0) return false;
  forwardedAt = copied;
  forwardedBytes = 0;
  const end = at + bytes;
  while (at < end) {
    const identifier = <u32>load<u8>(at);
    const size = propertyBytes(at);
    if (identifier !== TOPIC_ALIAS && identifier !== MESSAGE_EXPIRY_INTERVAL) {
      memory.copy(copied + forwardedBytes, at, size);
      forwardedBytes += size;
    }
    at += size;
  }
  return true;
}

/** Frees what forwardProperties() made. Hot. */
export function endForwarding(): void {
  if (copied === 0) return;
  free(copied);
  copied = 0;
}
