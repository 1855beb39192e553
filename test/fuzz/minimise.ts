/**
 * Makes the packet over which two decoders disagree as short as it gets.
 *
 * Bytes are left out while the disagreement stays. The lengths around them shrink too: the
 * Remaining Length always, and, tried one after the other, up to two bytes before the gap, so that
 * a string inside a property list can go without breaking either length.
 */
import type { Decoder, StreamOutcome } from "../support/decoder.ts";
import { concatenate, variableByteInteger } from "../support/naive-encoder.ts";

/** Two lengths at once are tried only on bodies this short: the tries grow with its square. */
const TWO_LENGTHS_BYTES_MAX = 120;

/**
 * The packet at which the judgements of a stream part, alone.
 *
 * @param packetCount  packets before it on which both agree
 * @returns null where no whole packet can be cut out: the framing itself is what they dispute
 */
export function disputedPacket(
  bytes: Uint8Array,
  reference: Decoder,
  packetCount: number,
): Uint8Array | null {
  let rest = bytes;
  for (let index = 0; ; index++) {
    const packetBytes = reference.cut(rest, Number.MAX_SAFE_INTEGER);
    if (typeof packetBytes !== "number") return null;
    if (index === packetCount) return rest.slice(0, packetBytes);
    rest = rest.subarray(packetBytes);
  }
}

function bodyOf(packet: Uint8Array): Uint8Array {
  return packet.slice(1 + packet.subarray(1).findIndex((byte) => byte < 0x80) + 1);
}

function framed(first: number, body: Uint8Array): Uint8Array {
  return concatenate([[first], variableByteInteger(body.length), body]);
}

/** Bodies that lack `byteCount` bytes at `at`, with none, one or two bytes before them reduced. */
function* shorter(body: Uint8Array, at: number, byteCount: number): Generator<Uint8Array> {
  const without = concatenate([body.subarray(0, at), body.subarray(at + byteCount)]);
  yield without;
  const lengths = [...without.subarray(0, at).keys()].filter(
    (index) => (without[index] ?? 0) >= byteCount,
  );
  const reduced = (...indices: readonly number[]): Uint8Array =>
    without.map((byte, index) => (indices.includes(index) ? byte - byteCount : byte));
  for (const index of lengths) yield reduced(index);
  if (body.length > TWO_LENGTHS_BYTES_MAX) return;
  for (const one of lengths) for (const two of lengths) if (one < two) yield reduced(one, two);
}

/** The first of the shorter bodies with which `disagrees` still holds. */
function shortened(
  body: Uint8Array,
  at: number,
  byteCount: number,
  disagrees: (candidate: Uint8Array) => boolean,
): Uint8Array | null {
  for (const candidate of shorter(body, at, byteCount)) {
    if (disagrees(candidate)) return candidate;
  }
  return null;
}

/** The shortest packet found on which `disagrees` still holds. */
export function minimisePacket(
  packet: Uint8Array,
  disagrees: (candidate: Uint8Array) => boolean,
): Uint8Array {
  const first = packet[0] ?? 0;
  const stillDisagrees = (body: Uint8Array) => disagrees(framed(first, body));
  let body = bodyOf(packet);
  for (let step = 64; step >= 1; step = Math.floor(step / 2)) {
    for (let at = 0; at + step <= body.length; ) {
      const found = shortened(body, at, step, stillDisagrees);
      if (found === null) at += 1;
      else body = found;
    }
  }
  return framed(first, body);
}

/** True if two judgements of one stream are the same. */
export function agree(one: StreamOutcome, two: StreamOutcome): boolean {
  return (
    one.reasonCode === two.reasonCode &&
    one.packetCount === two.packetCount &&
    one.byteCount === two.byteCount
  );
}
