/**
 * The wire pages: every case against every target, whole, byte by byte, and cut in two anywhere.
 *
 * The reference decoder judges the pages, too: where it refuses, the log must end so.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SESSION_EXPIRY_INTERVAL } from "#assembly/spec";
import { judgeStream, referenceDecoder } from "../support/decoder.ts";
import { referenceBroker } from "../support/reference-broker-rules.ts";
import { referenceCut, referenceDecode } from "../support/reference-decoder.ts";
import { compareLog, type ExpectedLine } from "../support/wire-log.ts";
import { parseWirePage, readClauses, readWirePages, type WireCase } from "../support/wire-pages.ts";
import { playCase, versionOf, type WireTarget, waysToCut } from "../support/wire-target.ts";
import { childTarget } from "../support/wire-target-broker.ts";
import { engineTarget } from "../support/wire-target-engine.ts";

/** Brokers that the pages are played to. */
const TARGETS: readonly WireTarget[] = [referenceBroker, engineTarget()];
const child = childTarget();

/** Longest case that is cut at each place; longer ones would only repeat what a payload shows. */
const CUT_BYTES_MAX = 256;

const PACKET_BYTES_MAX = 2_000_000;

const pages = readWirePages(new URL("./", import.meta.url));
const allCases = [...pages.values()].flat();

function waysFor(wireCase: WireCase): readonly (readonly number[])[] {
  const byteCount = wireCase.sent.length;
  return byteCount > CUT_BYTES_MAX ? waysToCut(byteCount).slice(0, 2) : waysToCut(byteCount);
}

function reasonOf(line: ExpectedLine | undefined): readonly string[] {
  return line?.fields.find(([name]) => name === "reason")?.[1] ?? [];
}

describe("the pages", () => {
  test("there are many, and each title stands once", () => {
    const titles = allCases.map(({ clauses, title }) => `${clauses}: ${title}`);
    expect(allCases.length).toBeGreaterThan(120);
    expect(titles.filter((title, index) => titles.indexOf(title) !== index)).toEqual([]);
  });

  test("each clause exists", () => {
    const known = readClauses();
    const cited = allCases.flatMap(({ place, clauses }) =>
      clauses.map((clause) => ({ place, clause })),
    );
    const numbered = cited.filter(({ clause }) => clause.startsWith("MQTT-"));
    expect(numbered.filter(({ clause }) => !known.has(clause))).toEqual([]);
  });

  test("a broken page is refused with its place", () => {
    const block = "```hex\nc0 00\n```\n```log\n> PINGRESP\n```\n";
    expect(parseWirePage("x.md", `## MQTT-3.12.4-1: fine\n${block}`)).toHaveLength(1);
    expect(() => parseWirePage("x.md", `## 3.12.4-1: no clause\n${block}`)).toThrow(/x\.md:1/);
    expect(() => parseWirePage("x.md", "\n## §3.12: no blocks\n")).toThrow(/x\.md:2/);
    const badLog = block.replace("> PINGRESP", "PINGRESP");
    expect(() => parseWirePage("x.md", `## §3.12: bad log\n${badLog}`)).toThrow(/not a line/);
    const badHex = block.replace("c0 00", "c0 0");
    expect(() => parseWirePage("x.md", `## §3.12: bad hex\n${badHex}`)).toThrow(/not bytes/);
  });
});

describe("the reference decoder's judgement", () => {
  test.for(allCases)("$place $title", ({ sent, log }) => {
    const version = versionOf(sent);
    const judged = judgeStream(referenceDecoder, version, sent, PACKET_BYTES_MAX);
    if (judged.reasonCode === 0) return;
    // Whatever the decoder refuses, the broker closes.
    expect(log.at(-1)?.noun).toBe("close");
    const before = log.at(-2);
    const code = `0x${judged.reasonCode.toString(16)}`;
    if (before?.noun === "DISCONNECT") expect(reasonOf(before)).toContain(code);
    // 0x84 has a form of its own in 3.1.1; a CONNACK with success belongs to an earlier CONNECT.
    const refuses = before?.noun === "CONNACK" && !reasonOf(before).includes("0x00");
    if (refuses && judged.packetCount === 0) {
      expect(reasonOf(before).some((reason) => reason === code || reason === "0x01")).toBe(true);
    }
  });
});

/**
 * @returns the Client Identifier where a Session or a retained message is left behind; else null
 */
function whoLeavesState({ sent }: WireCase): string | null {
  const version = versionOf(sent);
  let clientIdentifier = "";
  let isLeft = false;
  for (let at = 0; at < sent.length; ) {
    const byteCount = referenceCut(sent.subarray(at), PACKET_BYTES_MAX);
    if (typeof byteCount !== "number") break;
    const decoded = referenceDecode(version, sent.subarray(at, at + byteCount));
    if (!decoded.ok) break;
    const { packet } = decoded;
    if (packet.type === "publish") isLeft ||= packet.retain;
    if (packet.type === "connect") {
      const expires = packet.properties.some(([name]) => name === SESSION_EXPIRY_INTERVAL);
      isLeft ||= !packet.cleanStart || expires || packet.will?.retain === true;
      clientIdentifier = packet.clientIdentifier;
    }
    at += byteCount;
  }
  return isLeft ? clientIdentifier : null;
}

async function playWays(
  target: WireTarget,
  wireCase: WireCase,
  ways: readonly (readonly number[])[],
  afterEach: () => Promise<void> = async () => {},
): Promise<void> {
  for (const cuts of ways) {
    const problem = compareLog(wireCase.log, await playCase(target, wireCase, cuts));
    await afterEach();
    const how = cuts.length === 0 ? "whole" : cuts.length === 1 ? `cut at ${cuts[0]}` : "by bytes";
    if (problem !== null) throw new Error(`${wireCase.place}, sent ${how}: ${problem}`);
  }
}

describe.for(TARGETS)("$name", (target) => {
  test.for(allCases)("$place $title", async (wireCase) => {
    await playWays(target, wireCase, waysFor(wireCase));
  });
});

describe(child.name, () => {
  beforeAll(() => child.start());
  afterAll(() => child.stop());

  test.for(allCases)("$place $title", async (wireCase) => {
    const who = whoLeavesState(wireCase);
    const wipe = who === null ? undefined : () => child.wipe(who);
    await playWays(child, wireCase, waysFor(wireCase), wipe);
  });
});
