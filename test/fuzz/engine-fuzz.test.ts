/**
 * Mutated byte streams at the running engine: no trap, no leak, and each connection ends as the
 * reference says, with the same Reason Code.
 *
 * `FUZZ_CASES` sets how many streams, `FUZZ_SEED` which ones; a disagreement prints both, and the
 * stream.
 */
import { describe, expect, test } from "vitest";
import { rawConnect } from "../support/client-bytes.ts";
import { ENGINE_BUILD, EngineHarness, type Peer } from "../support/engine-harness.ts";
import { type Ending, judgeConnection, type Verdict } from "../support/engine-harness-judge.ts";
import { mutate, type Random, randomFrom, type Seed, seedFrom } from "../support/mutate.ts";
import type { ServerPacket, Version } from "../support/packets-types.ts";
import { sampleStreams, VERSIONS } from "../support/random-packets.ts";
import { readServerPackets } from "../support/reference-decoder-server.ts";

const SETTINGS = { packetBytesMax: 20_000, topicAliasMax: 5 };
const LIMITS = { ...SETTINGS, connackBytes: await connackBytesOf(new EngineHarness(SETTINGS)) };
const SEED_STREAMS = 400;
/** Streams after which the engine is emptied and must be empty. */
const BATCH_CASES = 1_000;

const { FUZZ_CASES, FUZZ_SEED } = process.env;
const caseCount = Number(FUZZ_CASES ?? 500_000);
const seed = Number(FUZZ_SEED ?? Date.now() % 2 ** 31);

interface Case {
  readonly version: Version;
  readonly bytes: Uint8Array;
  /** Where the stream is cut into two chunks. */
  readonly cutAt: number;
}

/** Size of the CONNACK for a client that brings its Client Identifier. */
async function connackBytesOf(harness: EngineHarness): Promise<number> {
  const peer = harness.open();
  harness.send(peer, rawConnect());
  await harness.settle();
  return peer.wire.takeReceived().length;
}

interface Answer {
  readonly ending: Ending | null;
  readonly packets: readonly ServerPacket[];
}

function show({ version, bytes, cutAt }: Case): string {
  const digits = Buffer.from(bytes).toString("hex");
  return `FUZZ_SEED=${seed}, ${ENGINE_BUILD}, version ${version}, cut at ${cutAt}, bytes ${digits}`;
}

/** What the broker said last, if it ended the connection. */
function endingOf(peer: Peer, packets: readonly ServerPacket[]): Ending | null {
  if (!peer.wire.isEnded) return null;
  const last = packets.at(-1);
  if (last?.type === "disconnect") return { says: "disconnect", reasonCode: last.reasonCode };
  if (last?.type === "connack" && last.reasonCode !== 0) {
    return { says: "connack", reasonCode: last.reasonCode };
  }
  return { says: "nothing", reasonCode: 0 };
}

async function play(harness: EngineHarness, { bytes, cutAt }: Case, verdict: Verdict) {
  const peer = harness.open();
  harness.send(peer, bytes.subarray(0, cutAt));
  harness.send(peer, bytes.subarray(cutAt));
  await harness.settle();
  const received = peer.wire.takeReceived();
  // Whoever speaks no version is answered in the form of 3.1.1, which version 5 can be read as.
  const { packets, byteCount } = readServerPackets(verdict.version, received);
  if (byteCount !== received.length) throw new Error("the broker closed inside a packet");
  const answer: Answer = { ending: endingOf(peer, packets), packets };
  harness.hangUp(peer);
  harness.endSessions();
  if (harness.engine.calls.retainedCount() > 0) {
    harness.dropRetained("#");
    for (const level of verdict.dollarLevels) harness.dropRetained(`${level}/#`);
  }
  return answer;
}

/** Connections that ended at an acknowledgement of which the reference cannot say enough. */
let endedEarlyCount = 0;

function agrees(verdict: Verdict, { ending }: Answer): boolean {
  const expected = verdict.ending;
  if (ending?.says === expected?.says && ending?.reasonCode === expected?.reasonCode) return true;
  if (!verdict.mayEndEarly || ending === null) return false;
  endedEarlyCount++;
  return verdict.version === 5 ? ending.reasonCode === 0x82 : ending.says === "nothing";
}

/** @returns whether the stream was accepted whole */
async function tryCase(harness: EngineHarness, one: Case): Promise<boolean> {
  const verdict = judgeConnection(one.bytes, LIMITS);
  try {
    const answer = await play(harness, one, verdict);
    if (!agrees(verdict, answer)) {
      const { ending, packets } = answer;
      const said = JSON.stringify({ expected: verdict.ending, ending, packets });
      throw new Error(`the endings differ: ${said}`);
    }
  } catch (error) {
    throw new Error(`${String(error)}\n${show(one)}`, { cause: error });
  }
  return verdict.ending === null;
}

async function isEmptied(harness: EngineHarness): Promise<boolean> {
  await harness.clear();
  const { blocks, bytes } = harness.heap();
  return blocks === 0 && bytes === 0;
}

/** Says which stream of the batch left something behind, played again one by one. */
async function findLeak(batch: readonly Case[]): Promise<string> {
  const harness = new EngineHarness(SETTINGS);
  for (const one of batch) {
    await tryCase(harness, one);
    if (!(await isEmptied(harness))) return show(one);
  }
  return `only all together, FUZZ_SEED=${seed}`;
}

function caseFrom(random: Random, version: Version, seeds: readonly Seed[]): Case {
  const bytes = mutate(random, seeds);
  const cutAt = random(2) === 0 ? bytes.length : random(bytes.length + 1);
  return { version, bytes, cutAt };
}

async function fuzz(harness: EngineHarness, random: Random, version: Version, count: number) {
  const seeds = sampleStreams(version, SEED_STREAMS, seed).map(seedFrom);
  let acceptedCount = 0;
  for (let done = 0; done < count; done += BATCH_CASES) {
    const size = Math.min(BATCH_CASES, count - done);
    const batch = Array.from({ length: size }, () => caseFrom(random, version, seeds));
    for (const one of batch) if (await tryCase(harness, one)) acceptedCount++;
    if (!(await isEmptied(harness))) {
      const { blocks, bytes } = harness.heap();
      throw new Error(`${blocks} blocks, ${bytes} bytes are left by ${await findLeak(batch)}`);
    }
  }
  return acceptedCount;
}

describe(`${caseCount} mutated streams at the engine, FUZZ_SEED=${seed}`, () => {
  const random = randomFrom(seed);
  const share = Math.ceil(caseCount / VERSIONS.length);

  test.for(VERSIONS)(
    "version %i: no trap, no leak, one ending",
    { timeout: 600_000 },
    async (version) => {
      const harness = new EngineHarness(SETTINGS);
      const acceptedCount = await fuzz(harness, random, version, share);
      // Both outcomes must be common, or the mutations have lost their edge.
      expect(acceptedCount).toBeGreaterThan(share / 50);
      expect(acceptedCount).toBeLessThan(share);
      expect(endedEarlyCount).toBeLessThan(share / 100);
    },
  );
});
