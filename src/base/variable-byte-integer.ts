/**
 * Variable Byte Integer, §1.5.5, for packets that the control plane writes.
 *
 * @param value  0 … 268,435,455
 * @returns its 1 to 4 bytes, the fewest that carry it [MQTT-1.5.5-1]
 */
export function variableByteInteger(value: number): number[] {
  const bytes = [];
  let rest = value;
  do {
    const low = rest & 0x7f;
    rest >>>= 7;
    bytes.push(rest > 0 ? low | 0x80 : low);
  } while (rest > 0);
  return bytes;
}
