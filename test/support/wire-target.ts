/**
 * The plug by which a broker comes under the wire pages: raw bytes in, lines of a log out.
 *
 * A target is an engine in this process, a broker on a socket, or the reference broker. The player
 * sends a case's bytes in the chunks it is told and reads what comes back until it knows that
 * nothing more will: the broker closed, or it answered a PINGREQ sent behind the case.
 */
import type { Version } from "./packets-types.ts";
import { referenceCut } from "./reference-decoder.ts";
import { readServerPackets } from "./reference-decoder-server.ts";
import { CLOSE, describePacket, formatLine, type LogLine } from "./wire-log.ts";
import type { WireCase } from "./wire-pages.ts";

/** One Network Connection to the broker under test. */
export interface WireConnection {
  /** Settles when the bytes are with the broker; on a connection that it closed they are lost. */
  send(bytes: Uint8Array): Promise<void>;
  /** The broker's next bytes, as they come; null once it has closed the connection. */
  receive(): Promise<Uint8Array | null>;
  /** Ends the connection, if the broker has not. */
  close(): Promise<void>;
}

/** A broker that lets everybody in, with its default limits and no state of earlier cases. */
export interface WireTarget {
  readonly name: string;
  open(): Promise<WireConnection>;
}

/** How long a broker may stay silent before a case fails, milliseconds. */
const SILENCE_MS_MAX = 5_000;

const PINGREQ = Uint8Array.of(0xc0, 0x00);

/**
 * Plays one case.
 *
 * @param cuts  where the bytes are cut, ascending: [] sends them whole
 * @returns what the broker answered, up to its close or to the end of its answers
 */
export async function playCase(
  target: WireTarget,
  wireCase: WireCase,
  cuts: readonly number[],
): Promise<readonly LogLine[]> {
  const { sent, log } = wireCase;
  const connection = await target.open();
  try {
    let from = 0;
    for (const to of [...cuts, sent.length]) {
      await connection.send(sent.subarray(from, to));
      from = to;
    }
    const closes = log.some((line) => line.noun === "close");
    if (endsInsidePacket(sent)) return await receiveLog(connection, sent, requiredLines(wireCase));
    if (closes) return await receiveLog(connection, sent, Number.POSITIVE_INFINITY);
    await connection.send(PINGREQ);
    return await receiveFenced(connection, sent, log.filter(isPingresp).length);
  } finally {
    await connection.close();
  }
}

function isPingresp(line: { readonly noun: string }): boolean {
  return line.noun === "PINGRESP";
}

function requiredLines(wireCase: WireCase): number {
  return wireCase.log.filter((line) => line.mark !== ">?").length;
}

/** True if the case ends in the middle of a packet, where a PINGREQ would be taken for its rest. */
function endsInsidePacket(sent: Uint8Array): boolean {
  let at = 0;
  while (at < sent.length) {
    const packetBytes = referenceCut(sent.subarray(at), Number.POSITIVE_INFINITY);
    if (packetBytes === "need more") return true;
    if (typeof packetBytes === "object") return false;
    at += packetBytes;
  }
  return false;
}

/** The log without the PINGRESP that answers the player's own PINGREQ. */
async function receiveFenced(
  connection: WireConnection,
  sent: Uint8Array,
  pingrespCount: number,
): Promise<readonly LogLine[]> {
  const enough = (lines: readonly LogLine[]) => lines.filter(isPingresp).length > pingrespCount;
  const lines = await receiveUntil(connection, sent, enough);
  return lines.at(-1)?.noun === "PINGRESP" ? lines.slice(0, -1) : lines;
}

function receiveLog(
  connection: WireConnection,
  sent: Uint8Array,
  lineCount: number,
): Promise<readonly LogLine[]> {
  return receiveUntil(connection, sent, (lines) => lines.length >= lineCount);
}

async function receiveUntil(
  connection: WireConnection,
  sent: Uint8Array,
  enough: (lines: readonly LogLine[]) => boolean,
): Promise<readonly LogLine[]> {
  const version = versionOf(sent);
  let received = Buffer.alloc(0);
  while (true) {
    const { packets, byteCount } = readServerPackets(version, received);
    const lines = packets.map(describePacket);
    if (enough(lines)) return lines;
    const chunk = await receiveInTime(connection, lines);
    if (chunk === null) {
      if (byteCount < received.length) throw new Error("broker closed inside a packet");
      return [...lines, CLOSE];
    }
    received = Buffer.concat([received, chunk]);
  }
}

async function receiveInTime(
  connection: WireConnection,
  lines: readonly LogLine[],
): Promise<Uint8Array | null> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    const soFar = lines.map(formatLine).join("\n");
    const fail = () => reject(new Error(`broker is silent; its log so far:\n${soFar}`));
    timer = setTimeout(fail, SILENCE_MS_MAX);
  });
  try {
    return await Promise.race([connection.receive(), silence]);
  } finally {
    clearTimeout(timer);
  }
}

/** The version in which the answers to these bytes are written; 4 where they do not say. */
export function versionOf(sent: Uint8Array): Version {
  const lengthBytes = sent.subarray(1).findIndex((byte) => byte < 128) + 1;
  const nameBytes = (sent[1 + lengthBytes] ?? 0) * 256 + (sent[2 + lengthBytes] ?? 0);
  const level = sent[3 + lengthBytes + nameBytes] ?? 0;
  if (sent[0] !== 0x10) return 4;
  return level === 3 ? 3 : level >= 5 ? 5 : 4;
}

/** Ways to cut a case: whole, byte by byte, and in two at each place. */
export function waysToCut(byteCount: number): readonly (readonly number[])[] {
  const places = Array.from({ length: Math.max(0, byteCount - 1) }, (_, index) => index + 1);
  return [[], places, ...places.map((place) => [place])];
}
