/**
 * What the differential and fuzz tests ask of a decoder.
 *
 * `decoders-under-test.ts` lists those that must answer as the reference does.
 */
import type { ClientPacket, Version } from "./packets-types.ts";
import { referenceCut, referenceDecode } from "./reference-decoder.ts";

/** What a decoder makes of one whole packet. */
export type Outcome =
  | { readonly ok: true; readonly packet: ClientPacket }
  | { readonly ok: false; readonly reasonCode: number };

/** What can be said of the first bytes of a packet: its size, or why none can come of them. */
export type Cut = number | "need more" | { readonly reasonCode: number };

/** `bytes` of `judge` and `decode` is one whole packet, fixed header included, as `cut` gave it. */
export interface Decoder {
  readonly name: string;
  readonly cut: (bytes: Uint8Array, packetBytesMax: number, version?: Version) => Cut;
  /** Reason Code of the packet; 0 if it is accepted. */
  readonly judge: (version: Version, bytes: Uint8Array) => number;
  /** The same with the packet's fields; properties of different names may come in any order. */
  readonly decode: (version: Version, bytes: Uint8Array) => Outcome;
}

export const referenceDecoder: Decoder = {
  name: "reference",
  cut: referenceCut,
  judge: (version, bytes) => {
    const outcome = referenceDecode(version, bytes);
    return outcome.ok ? 0 : outcome.reasonCode;
  },
  decode: referenceDecode,
};

/** How a stream ends for a decoder: packets taken, then a Reason Code, or bytes left over. */
export interface StreamOutcome {
  readonly packetCount: number;
  /** 0 if nothing was refused. */
  readonly reasonCode: number;
  /** Behind the last packet taken. */
  readonly byteCount: number;
}

/**
 * Judges a stream packet by packet, as a Network Connection does, until one is refused.
 *
 * @param version  until a CONNECT says otherwise
 */
export function judgeStream(
  decoder: Decoder,
  version: Version,
  bytes: Uint8Array,
  packetBytesMax: number,
): StreamOutcome {
  let spoken = version;
  let at = 0;
  let packetCount = 0;
  while (at < bytes.length) {
    const rest = bytes.subarray(at);
    const packetBytes = decoder.cut(rest, packetBytesMax, spoken);
    if (packetBytes === "need more") break;
    if (typeof packetBytes === "object") {
      return { packetCount, reasonCode: packetBytes.reasonCode, byteCount: at };
    }
    const packet = rest.subarray(0, packetBytes);
    const reasonCode = decoder.judge(spoken, packet);
    if (reasonCode !== 0) return { packetCount, reasonCode, byteCount: at };
    spoken = connectVersion(packet) ?? spoken;
    packetCount += 1;
    at += packetBytes;
  }
  return { packetCount, reasonCode: 0, byteCount: at };
}

/** Protocol version of a packet, if it is a CONNECT that was accepted: the byte behind its name. */
function connectVersion(packet: Uint8Array): Version | null {
  if (packet[0] !== 0x10) return null;
  const lengthBytes = packet.subarray(1).findIndex((byte) => byte < 0x80) + 1;
  const nameBytes = packet[2 + lengthBytes] ?? 0;
  const level = (packet[3 + lengthBytes + nameBytes] ?? 0) & 0x7f;
  return level === 3 ? 3 : level === 4 ? 4 : 5;
}
