/** Property lists as bytes: taking one property out without disturbing the order of the others. */
import {
  MESSAGE_EXPIRY_INTERVAL,
  PAYLOAD_FORMAT_INDICATOR,
  USER_PROPERTY,
  WILL_DELAY_INTERVAL,
} from "#assembly/spec";

/** Bytes of the Will Property at `at`, its identifier included; the list is valid. */
function sizeAt(list: Buffer, at: number): number {
  const identifier = list[at];
  if (identifier === PAYLOAD_FORMAT_INDICATOR) return 2;
  if (identifier === MESSAGE_EXPIRY_INTERVAL || identifier === WILL_DELAY_INTERVAL) return 5;
  const first = 3 + list.readUInt16BE(at + 1);
  return identifier === USER_PROPERTY ? first + 2 + list.readUInt16BE(at + first) : first;
}

/**
 * @param list  valid Will Properties, without their length
 * @returns the list without the property of this identifier; the rest in its order [MQTT-3.1.3-10]
 */
export function withoutProperty(list: Buffer, identifier: number): Buffer {
  for (let at = 0; at < list.length; ) {
    const size = sizeAt(list, at);
    if (list[at] === identifier) {
      return Buffer.concat([list.subarray(0, at), list.subarray(at + size)]);
    }
    at += size;
  }
  return list;
}
