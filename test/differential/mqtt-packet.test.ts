/**
 * The decoders against mqtt-packet, an independent implementation: the same fields from valid
 * packets, the same verdict on malformed ones, but for the table in divergences.ts.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Decoder, judgeStream, referenceDecoder } from "../support/decoder.ts";
import { DECODERS_UNDER_TEST } from "../support/decoders-under-test.ts";
import { mutate, randomFrom, seedFrom } from "../support/mutate.ts";
import { type EncodedForm, encode } from "../support/naive-encoder.ts";
import { hex } from "../support/packets.ts";
import type { ClientPacket, Properties } from "../support/packets-types.ts";
import { sampleStreams, VERSIONS, versionedPacket } from "../support/random-packets.ts";
import { referenceCut, referenceDecode } from "../support/reference-decoder.ts";
import { RULES } from "../support/reference-decoder-rules.ts";
import { DOES_NOT_WRITE, LAXER, READS_OTHERWISE, STRICTER } from "./divergences.ts";
import { MALFORMED, type Malformed } from "./malformed.ts";
import { oracleDecode, oracleEncode } from "./mqtt-packet-oracle.ts";

const DECODERS: readonly Decoder[] = [referenceDecoder, ...DECODERS_UNDER_TEST];
const FORMS: readonly EncodedForm[] = ["shortest", "full"];
const RUNS = { numRuns: 2_000 };

/** As one string, Uint8Arrays in hexadecimal. */
function canonical(packet: ClientPacket): string {
  // The replacer's own `value` comes too late: a Buffer would have become an object by then.
  return JSON.stringify(packet, function (this: Record<string, unknown>, key, value: unknown) {
    const held = this[key];
    return held instanceof Uint8Array ? `bytes ${Buffer.from(held).toString("hex")}` : value;
  });
}

/** mqtt-packet and the engine give properties by name: the order of different ones is lost. */
function withoutPropertyOrder(packet: ClientPacket): ClientPacket {
  const sorted = (list: Properties): Properties =>
    [...list].sort((one, two) => (JSON.stringify(one) < JSON.stringify(two) ? -1 : 1));
  const own = "properties" in packet ? { properties: sorted(packet.properties) } : {};
  if (packet.type !== "connect" || packet.will === null) return { ...packet, ...own };
  return {
    ...packet,
    ...own,
    will: { ...packet.will, properties: sorted(packet.will.properties) },
  };
}

function comparable(packet: ClientPacket): string {
  return canonical(withoutPropertyOrder(packet));
}

function formOf(malformed: Malformed): string {
  return malformed.form ?? "";
}

function isLaxer(malformed: Malformed): boolean {
  return LAXER.some((row) => row.rule === malformed.rule && row.forms.includes(formOf(malformed)));
}

/** Rules that only a decoder of a server's packets, or the cut with a limit, can break. */
const NOT_IN_A_PACKET = [
  "packet larger than allowed",
  "CONNACK flags",
  "packet type only a client sends",
];

describe("valid packets", () => {
  test.for(DECODERS)("$name: decode of encode gives the packet back", ({ decode }) => {
    fc.assert(
      fc.property(versionedPacket, fc.constantFrom(...FORMS), ({ version, packet }, form) => {
        const outcome = decode(version, encode(version, packet, form));
        expect(outcome.ok && comparable(outcome.packet)).toBe(comparable(packet));
      }),
      RUNS,
    );
  });

  test.for(DECODERS)("$name: each part of a packet waits for the rest", ({ cut }) => {
    const short = versionedPacket
      .map(({ version, packet }) => encode(version, packet))
      .filter((bytes) => bytes.length < 400);
    fc.assert(
      fc.property(short, (bytes) => {
        for (let byteCount = 0; byteCount < bytes.length; byteCount++) {
          expect(cut(bytes.subarray(0, byteCount), bytes.length)).toBe("need more");
        }
        expect(cut(Buffer.concat([bytes, bytes]), bytes.length)).toBe(bytes.length);
      }),
      { numRuns: 200 },
    );
  });

  test("the reference keeps the order of properties", () => {
    fc.assert(
      fc.property(versionedPacket, fc.constantFrom(...FORMS), ({ version, packet }, form) => {
        const outcome = referenceDecode(version, encode(version, packet, form));
        expect(outcome.ok && canonical(outcome.packet)).toBe(canonical(packet));
      }),
      RUNS,
    );
  });

  test("mqtt-packet reads the same fields", () => {
    fc.assert(
      fc.property(versionedPacket, fc.constantFrom(...FORMS), ({ version, packet }, form) => {
        if (READS_OTHERWISE.some((row) => row.covers(packet))) return;
        const outcome = oracleDecode(version, encode(version, packet, form));
        expect(outcome.ok ? comparable(outcome.packet) : outcome.error).toBe(comparable(packet));
      }),
      RUNS,
    );
  });

  test.for(DECODERS)("$name: what mqtt-packet writes is read as it was meant", ({ decode }) => {
    fc.assert(
      fc.property(versionedPacket, ({ version, packet }) => {
        if (DOES_NOT_WRITE.some((row) => row.covers(packet))) return;
        const outcome = decode(version, oracleEncode(version, packet));
        expect(outcome.ok && comparable(outcome.packet)).toBe(comparable(packet));
      }),
      RUNS,
    );
  });
});

describe("malformed packets", () => {
  const titled = MALFORMED.map((malformed) => ({
    ...malformed,
    title: `${malformed.rule} (${malformed.form ?? malformed.bytes})`,
  }));

  test.for(DECODERS)("$name: each gets the Reason Code of its rule", (decoder) => {
    for (const { version, bytes, rule, title } of titled) {
      if (rule === "not exactly one packet") continue; // decode() is not asked about these.
      const { reasonCode } = judgeStream(decoder, version, hex(bytes), bytes.length);
      expect({ title, reasonCode }).toEqual({ title, reasonCode: RULES[rule] });
    }
  });

  test.for(DECODERS)("$name: a packet above the limit is refused at its length", ({ cut }) => {
    const bytes = hex('30 05 00 01 "a" "xy"');
    expect(cut(bytes, 7)).toBe(7);
    for (let byteCount = 2; byteCount <= 7; byteCount++) {
      expect(cut(bytes.subarray(0, byteCount), 6)).toMatchObject({ reasonCode: 0x95 });
    }
    expect(cut(hex("30 ff ff ff 7f"), 268_435_459)).toMatchObject({ reasonCode: 0x95 });
    expect(cut(hex("30 ff ff ff 7f"), 268_435_460)).toBe("need more");
  });

  test.for(titled)("by the reference, $title breaks that rule and no other", (malformed) => {
    const outcome = referenceDecode(malformed.version, hex(malformed.bytes));
    expect(outcome.ok ? "accepted" : outcome.rule).toBe(malformed.rule);
  });

  test("each rule has a row", () => {
    const covered = new Set<string>([...MALFORMED.map(({ rule }) => rule), ...NOT_IN_A_PACKET]);
    expect(Object.keys(RULES).filter((rule) => !covered.has(rule))).toEqual([]);
  });

  test("mqtt-packet refuses those outside the table of divergences", () => {
    const accepted = titled.filter(
      (malformed) =>
        !isLaxer(malformed) && oracleDecode(malformed.version, hex(malformed.bytes)).ok,
    );
    expect(accepted).toEqual([]);
  });
});

describe("the table of divergences", () => {
  test.for(LAXER)("mqtt-packet still accepts: $rule, $forms", ({ rule, forms }) => {
    for (const form of forms) {
      const malformed = MALFORMED.find((row) => row.rule === rule && formOf(row) === form);
      const outcome = malformed && oracleDecode(malformed.version, hex(malformed.bytes));
      expect({ form, ok: outcome?.ok }).toEqual({ form, ok: true });
    }
  });

  test.for(STRICTER)("mqtt-packet still refuses: $why", ({ error, version, bytes }) => {
    expect(referenceDecode(version, hex(bytes)).ok).toBe(true);
    const outcome = oracleDecode(version, hex(bytes));
    expect(outcome.ok ? "accepted" : outcome.error).toMatch(error);
  });

  test.for(READS_OTHERWISE)("mqtt-packet still reads otherwise: $name", (row) => {
    const expected = referenceDecode(row.version, hex(row.bytes));
    const actual = oracleDecode(row.version, hex(row.bytes));
    if (!expected.ok || !actual.ok) throw new Error("both must accept it");
    expect(row.covers(expected.packet)).toBe(true);
    expect(comparable(actual.packet)).not.toBe(comparable(expected.packet));
  });

  test.for(DOES_NOT_WRITE)("mqtt-packet still does not write: $name", (row) => {
    const outcome = referenceDecode(row.version, hex(row.bytes));
    if (!outcome.ok) throw new Error(outcome.rule);
    expect(row.covers(outcome.packet)).toBe(true);
    expect(() => oracleEncode(row.version, outcome.packet)).toThrow();
  });
});

test.for(VERSIONS)("version %i: mutated packets part only as the table says", (version) => {
  const seed = Date.now() % 2 ** 31;
  const random = randomFrom(seed);
  const seeds = sampleStreams(version, 100, seed).map(seedFrom);
  const laxer = new Set<string>(LAXER.map((row) => row.rule));
  for (let index = 0; index < 5_000; index++) {
    const stream = mutate(random, seeds);
    const packetBytes = referenceCut(stream, stream.length, version);
    if (typeof packetBytes !== "number") continue;
    const bytes = stream.subarray(0, packetBytes);
    const expected = referenceDecode(version, bytes);
    const actual = oracleDecode(version, bytes);
    const where = `seed ${seed}: ${Buffer.from(bytes).toString("hex")}`;
    if (!expected.ok) {
      const isCovered = !actual.ok || laxer.has(expected.rule);
      expect(isCovered, `mqtt-packet accepts ${expected.rule}, ${where}`).toBe(true);
    } else if (!actual.ok) {
      const isCovered = STRICTER.some((row) => row.error.test(actual.error));
      expect(isCovered, `mqtt-packet refuses: ${actual.error}, ${where}`).toBe(true);
    } else if (!READS_OTHERWISE.some((row) => row.covers(expected.packet))) {
      expect(comparable(actual.packet), where).toBe(comparable(expected.packet));
    }
  }
});
