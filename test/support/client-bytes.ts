/**
 * Packets written byte by byte, for what no well-behaved encoder would send.
 */

/** Numbers are single bytes, arrays are taken as they are. */
export type Part = number | Uint8Array | readonly number[];

/** The parts in a row. */
export function concat(...parts: readonly Part[]): Buffer {
  return Buffer.concat(
    parts.map((part) => (typeof part === "number" ? Buffer.of(part) : Buffer.from(part))),
  );
}

/** A Control Packet: first byte, Remaining Length, the parts.                          [§2.1] */
export function rawPacket(firstByte: number, ...parts: readonly Part[]): Buffer {
  const body = concat(...parts);
  return Buffer.concat([Buffer.of(firstByte), varint(body.length), body]);
}

/** A property list with its length in front.                                       [§2.2.2.1] */
export function propertyList(...parts: readonly Part[]): Buffer {
  const list = concat(...parts);
  return Buffer.concat([varint(list.length), list]);
}

/** A UTF-8 Encoded String or Binary Data: two bytes of length, then the bytes.        [§1.5.4] */
export function text(value: string | Uint8Array | readonly number[]): Buffer {
  const bytes = typeof value === "string" ? Buffer.from(value) : Buffer.from(value);
  return Buffer.concat([twoBytes(bytes.length), bytes]);
}

/** A Two Byte Integer.                                                                [§1.5.2] */
export function twoBytes(value: number): Buffer {
  return Buffer.of(value >> 8, value & 0xff);
}

/** A Four Byte Integer.                                                               [§1.5.3] */
export function fourBytes(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A Variable Byte Integer.                                                           [§1.5.5] */
export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = (rest - low) / 128;
    bytes.push(rest > 0 ? low | 0x80 : low);
  } while (rest > 0);
  return Buffer.from(bytes);
}

/** The fields of a CONNECT; whatever is left out is what a plain client would write. */
export interface RawConnect {
  readonly protocolName?: string | readonly number[];
  readonly level?: number;
  /** Connect Flags; Clean Start alone if left out. */
  readonly flags?: number;
  readonly keepAliveSeconds?: number;
  /** Properties without their length; only written where `level` is 5 or more. */
  readonly properties?: readonly Part[];
  /** Everything behind the variable header. */
  readonly payload?: readonly Part[];
}

/** A CONNECT as told, right or wrong.                                                   [§3.1] */
export function rawConnect(fields: RawConnect = {}): Buffer {
  const level = fields.level ?? 5;
  return rawPacket(
    0x10,
    text(fields.protocolName ?? "MQTT"),
    level,
    fields.flags ?? 0x02,
    twoBytes(fields.keepAliveSeconds ?? 0),
    level >= 5 ? propertyList(...(fields.properties ?? [])) : [],
    ...(fields.payload ?? [text("raw")]),
  );
}

/**
 * Cuts a stream of bytes into Control Packets by their Remaining Length.
 *
 * @returns the whole packets, and the bytes of the unfinished one behind them
 */
export function cutPackets(bytes: Buffer): { readonly packets: Buffer[]; readonly rest: Buffer } {
  const packets: Buffer[] = [];
  let at = 0;
  while (at < bytes.length) {
    let length = 0;
    let headerBytes = 1;
    let byte = 0x80;
    while (byte >= 0x80) {
      const next = bytes[at + headerBytes];
      if (next === undefined) return { packets, rest: bytes.subarray(at) };
      if (headerBytes > 4) throw new Error(`Remaining Length too long: ${bytes.toString("hex")}`);
      byte = next;
      length += (byte & 0x7f) * 128 ** (headerBytes - 1);
      headerBytes += 1;
    }
    const end = at + headerBytes + length;
    if (end > bytes.length) break;
    packets.push(bytes.subarray(at, end));
    at = end;
  }
  return { packets, rest: bytes.subarray(at) };
}
