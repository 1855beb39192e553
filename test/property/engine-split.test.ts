/**
 * However a client's stream is cut into chunks, the broker answers the same and ends in the same
 * State.
 *
 * Answers of a Session that outlives its connection wait for commits, and so do those to retained
 * messages: what waits may be passed by packets of another kind. So answers are compared kind by
 * kind there, and byte by byte everywhere else.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { EngineHarness } from "../support/engine-harness.ts";
import { mutate, randomFrom, seedFrom } from "../support/mutate.ts";
import { encode } from "../support/naive-encoder.ts";
import { publish, subscribe } from "../support/packets.ts";
import type { ClientPacket, ServerPacket, Version } from "../support/packets-types.ts";
import { clientStream, VERSIONS } from "../support/random-packets.ts";
import { readServerPackets } from "../support/reference-decoder-server.ts";

const SETTINGS = { packetBytesMax: 300_000, topicAliasMax: 5 };
const CHUNK_BYTES_MAX = 65_536;

const { PROPERTY_RUNS } = process.env;
const numRuns = Number(PROPERTY_RUNS ?? 200);

/** What a run is judged by. */
interface Outcome {
  readonly bytes: Buffer;
  readonly isClosed: boolean;
  readonly sessions: readonly string[];
  readonly retainedCount: number;
}

/** The State of all Sessions as the journal would have it, without what tells runs apart. */
function dumpSessions(harness: EngineHarness): string[] {
  const { calls, bytes, words } = harness.engine;
  const dumps: string[] = [];
  const session = calls.sessionAfter(0) >>> 0;
  if (session !== 0) {
    calls.dumpSession(session);
    const byteCount = calls.sealPage(1);
    const page = calls.sealedAt() >>> 0;
    const end = page + byteCount;
    for (let at = page + abi.JOURNAL_HEADER_BYTES; at < end; ) {
      const recordBytes = (words[at >>> 2] as number) >>> 8;
      // Behind the Session's number.
      dumps.push(Buffer.from(bytes.subarray(at + 8, at + recordBytes)).toString("hex"));
      at += recordBytes;
    }
    calls.committed(calls.sealedTurn());
  }
  return dumps;
}

async function play(harness: EngineHarness, chunks: readonly Uint8Array[], pauses: boolean) {
  const peer = harness.open();
  for (const chunk of chunks) {
    harness.send(peer, chunk);
    if (pauses) await harness.turnOnce();
  }
  await harness.settle();
  const outcome: Outcome = {
    bytes: peer.wire.takeReceived(),
    isClosed: peer.wire.isEnded,
    sessions: dumpSessions(harness),
    retainedCount: harness.engine.calls.retainedCount(),
  };
  await harness.clear();
  expect(harness.heap()).toEqual({ blocks: 0, bytes: 0 });
  return outcome;
}

/** Chunks of the sizes given, in turn; a size is one byte to 64 KiB. */
function cutInto(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

const sizes = fc.oneof(
  fc.constant([1]),
  fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 8 }),
  fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 8 }),
  fc.array(fc.integer({ min: 1, max: CHUNK_BYTES_MAX }), { minLength: 1, maxLength: 8 }),
);

function laneOf(packet: ServerPacket): string {
  if (packet.type === "publish") return packet.qos === 2 ? "publish 2" : "publish";
  return packet.type === "pingresp" || packet.type === "pubrel" ? packet.type : "answers";
}

function textOfBytes(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : value;
}

function lanes(version: Version, bytes: Buffer) {
  const { packets, byteCount } = readServerPackets(version, bytes);
  expect(byteCount).toBe(bytes.length);
  const byLane: Record<string, string[]> = {};
  for (const packet of packets) {
    const lane = laneOf(packet);
    byLane[lane] ??= [];
    // As text: long payloads compare a thousand times faster so.
    byLane[lane].push(JSON.stringify(packet, textOfBytes));
  }
  return byLane;
}

/** Nothing is random, and what is retained has a name that clear() can drop. */
function tamed(packet: ClientPacket): ClientPacket {
  if (packet.type === "connect") {
    const named = packet.clientIdentifier === "" ? "client" : packet.clientIdentifier;
    return { ...packet, clientIdentifier: named, will: null };
  }
  if (packet.type !== "publish") return packet;
  return { ...packet, topicName: packet.topicName.replace(/^\$/, "$SYS/") };
}

function unretained(packet: ClientPacket): ClientPacket {
  return packet.type === "publish" ? { ...packet, retain: false } : packet;
}

function isWaiting(packets: readonly ClientPacket[]): boolean {
  return packets.some(
    (packet) =>
      (packet.type === "publish" && packet.retain) ||
      (packet.type === "connect" &&
        (packet.version === 5 ? packet.properties.some(([id]) => id === 17) : !packet.cleanStart)),
  );
}

const EVERYTHING = subscribe(77, [{ topicFilter: "#", qos: 1 }]);
const LONG = publish({
  topicName: "long",
  qos: 1,
  packetIdentifier: 99,
  payload: new Uint8Array(150_000).fill(0x41),
});
/** The packet longer than the read region, encoded once for each version. */
const longBytes = new Map(VERSIONS.map((version) => [version, encode(version, LONG)]));

/** The stream behind a subscription to all that it publishes, with a long packet if asked. */
function enriched(version: Version, packets: readonly ClientPacket[], hasLong: boolean): Buffer {
  const [connect, ...rest] = packets.map((packet) => encode(version, packet));
  const long = hasLong ? (longBytes.get(version) ?? new Uint8Array()) : new Uint8Array();
  return Buffer.concat([connect as Uint8Array, encode(version, EVERYTHING), long, ...rest]);
}

const stream = fc.constantFrom(...VERSIONS).chain((version) =>
  fc.record({
    version: fc.constant(version),
    packets: clientStream(version),
    long: fc.boolean(),
  }),
);

test("valid streams: any cut gives the answers of the whole", { timeout: 300_000 }, async () => {
  const harness = new EngineHarness(SETTINGS);
  const property = fc.asyncProperty(stream, sizes, fc.boolean(), async (one, cuts, pauses) => {
    const { version } = one;
    const streamOf = (packets: readonly ClientPacket[]) => enriched(version, packets, one.long);
    let packets: readonly ClientPacket[] = one.packets.map(tamed);
    let whole = await play(harness, [streamOf(packets)], false);
    if (whole.isClosed) {
      // What is retained comes a turn after its SUBSCRIBE: in a whole stream the end is before it.
      packets = packets.map(unretained);
      whole = await play(harness, [streamOf(packets)], false);
    }
    const bytes = streamOf(packets);
    // One byte at a time is for short streams.
    const tooMany = bytes.length / Math.max(...cuts) > 5_000;
    const chunks = cutInto(bytes, tooMany ? [65_536, 7] : cuts);
    const cut = await play(harness, chunks, pauses && chunks.length < 500);
    if (isWaiting(packets)) {
      expect(lanes(version, cut.bytes)).toEqual(lanes(version, whole.bytes));
    } else {
      expect(cut.bytes.equals(whole.bytes)).toBe(true);
    }
    const { bytes: _one, ...cutState } = cut;
    const { bytes: _two, ...wholeState } = whole;
    expect(cutState).toEqual(wholeState);
  });
  await fc.assert(property, { numRuns, interruptAfterTimeLimit: 120_000 });
});

test("broken streams: any cut ends as the whole does", { timeout: 300_000 }, async () => {
  const harness = new EngineHarness(SETTINGS);
  const property = fc.asyncProperty(
    stream,
    sizes,
    fc.integer({ min: 0 }),
    async (one, cuts, seed) => {
      const packets = one.packets.map(tamed).map(unretained);
      const seeds = [seedFrom(enriched(one.version, packets, false))];
      const bytes = mutate(randomFrom(seed), seeds);
      const ends = async (chunks: readonly Uint8Array[]) => {
        const { bytes: answer, isClosed } = await play(harness, chunks, false);
        return { isClosed, last: isClosed ? answer.subarray(-4).toString("hex") : "" };
      };
      const whole = await ends([bytes]);
      expect(await ends(cutInto(bytes, cuts))).toEqual(whole);
    },
  );
  await fc.assert(property, { numRuns, interruptAfterTimeLimit: 120_000 });
});
