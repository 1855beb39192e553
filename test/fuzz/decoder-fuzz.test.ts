/**
 * Mutated byte streams: every decoder under test accepts what the reference accepts, and refuses
 * the rest with the same Reason Code at the same packet.
 *
 * `FUZZ_CASES` sets how many streams, `FUZZ_SEED` which ones; a disagreement prints both, with the
 * shortest packet that still disagrees.
 */
import { describe, expect, test } from "vitest";
import {
  type Decoder,
  judgeStream,
  referenceDecoder,
  type StreamOutcome,
} from "../support/decoder.ts";
import { DECODERS_UNDER_TEST } from "../support/decoders-under-test.ts";
import { mutate, type Random, randomFrom, type Seed, seedFrom } from "../support/mutate.ts";
import { encodeAll } from "../support/naive-encoder.ts";
import { connect, publish, utf8 } from "../support/packets.ts";
import type { Version } from "../support/packets-types.ts";
import { sampleStreams, VERSIONS } from "../support/random-packets.ts";
import { agree, disputedPacket, minimisePacket } from "./minimise.ts";

const PACKET_BYTES_MAX = 20_000;
const SEED_STREAMS = 400;

const caseCountDefault = DECODERS_UNDER_TEST.length > 0 ? 1_000_000 : 20_000;
const { FUZZ_CASES, FUZZ_SEED } = process.env;
const caseCount = Number(FUZZ_CASES ?? caseCountDefault);
const seed = Number(FUZZ_SEED ?? Date.now() % 2 ** 31);

function seedsOf(version: Version): readonly Seed[] {
  return sampleStreams(version, SEED_STREAMS, seed).map(seedFrom);
}

function judge(decoder: Decoder, version: Version, bytes: Uint8Array): StreamOutcome {
  return judgeStream(decoder, version, bytes, PACKET_BYTES_MAX);
}

function differs(version: Version, bytes: Uint8Array, decoder: Decoder): boolean {
  return !agree(judge(referenceDecoder, version, bytes), judge(decoder, version, bytes));
}

/** The disputed packet alone and minimised, in the version in which it is disputed. */
function shortest(version: Version, bytes: Uint8Array, decoder: Decoder) {
  const counts = [referenceDecoder, decoder].map((one) => judge(one, version, bytes).packetCount);
  const agreed = Math.min(...counts);
  const packet = disputedPacket(bytes, referenceDecoder, agreed);
  for (const spoken of VERSIONS) {
    if (packet === null || !differs(spoken, packet, decoder)) continue;
    const disagrees = (candidate: Uint8Array) => differs(spoken, candidate, decoder);
    return { version: spoken, bytes: minimisePacket(packet, disagrees) };
  }
  return { version, bytes };
}

function report(version: Version, bytes: Uint8Array, decoder: Decoder): string {
  const found = shortest(version, bytes, decoder);
  const say = (one: Decoder) =>
    `${one.name}: ${JSON.stringify(judge(one, found.version, found.bytes))}`;
  const where = `FUZZ_SEED=${seed}, version ${found.version}`;
  const digits = Buffer.from(found.bytes)
    .toString("hex")
    .replaceAll(/..(?=.)/g, "$& ");
  return [where, say(referenceDecoder), say(decoder), `bytes: ${digits}`].join("\n");
}

/** Gives what all decoders say of a stream. */
function judgeByAll(version: Version, bytes: Uint8Array): StreamOutcome {
  const expected = judge(referenceDecoder, version, bytes);
  for (const decoder of DECODERS_UNDER_TEST) {
    if (!agree(expected, judge(decoder, version, bytes))) {
      throw new Error(report(version, bytes, decoder));
    }
  }
  return expected;
}

/** Tries one version's share of the cases; gives how many the reference accepted whole. */
function fuzz(random: Random, version: Version, count: number): number {
  const seeds = seedsOf(version);
  let acceptedCount = 0;
  for (let index = 0; index < count; index++) {
    const { reasonCode } = judgeByAll(version, mutate(random, seeds));
    if (reasonCode === 0) acceptedCount += 1;
  }
  return acceptedCount;
}

describe(`${caseCount} mutated streams, FUZZ_SEED=${seed}`, () => {
  const random = randomFrom(seed);
  const share = Math.ceil(caseCount / VERSIONS.length);

  test.for(VERSIONS)("version %i: one judgement by all", { timeout: 600_000 }, (version) => {
    const acceptedCount = fuzz(random, version, share);
    // Both outcomes must be common, or the mutations have lost their edge.
    expect(acceptedCount).toBeGreaterThan(share / 50);
    expect(acceptedCount).toBeLessThan(share);
  });

  test("mutations repeat from their seed", () => {
    const seeds = seedsOf(5);
    const first = randomFrom(seed);
    const second = randomFrom(seed);
    for (let index = 0; index < 100; index++) {
      expect(mutate(first, seeds)).toEqual(mutate(second, seeds));
    }
  });

  test("bytes without any structure are judged as well", { timeout: 60_000 }, () => {
    const noise = randomFrom(seed);
    for (let index = 0; index < Math.min(caseCount, 50_000); index++) {
      const version = VERSIONS[index % VERSIONS.length] ?? 5;
      const bytes = Uint8Array.from({ length: 1 + noise(40) }, () => noise(256));
      judgeByAll(version, bytes);
    }
  });
});

test("a disagreement is reported with the shortest packet", () => {
  // A decoder that lets the second of two equal properties pass.
  const forgiving: Decoder = {
    ...referenceDecoder,
    name: "forgiving",
    judge: (version, bytes) => {
      const reasonCode = referenceDecoder.judge(version, bytes);
      return reasonCode === 0x82 && bytes.includes(0x02) ? 0 : reasonCode;
    },
  };
  const repeated = publish({
    topicName: "topic",
    properties: [
      [38, ["key", "value"]],
      [2, 60],
      [2, 60],
    ],
    payload: utf8("payload"),
  });
  const bytes = encodeAll(5, [connect(), repeated, { type: "pingreq" }]);
  const found = shortest(5, bytes, forgiving);
  expect(found.version).toBe(5);
  // The fixed header, a topic and the two properties; the User Property and the payload are gone.
  expect(found.bytes.length).toBeLessThan(20);
  expect(referenceDecoder.judge(5, found.bytes)).toBe(0x82);
});
