/**
 * The table of Sessions: every one is found by its Client Identifier, and a walk meets each once.
 */
import { describe, expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { Engine } from "../../src/engine/engine.ts";
import { ENGINE_BUILD, EngineHarness } from "../support/engine-harness.ts";
import { connectClient } from "../support/engine-harness-client.ts";
import { fillWholly, free } from "../support/full-heap.ts";

/** Buckets of the table at first, and their bytes: session.ts. */
const BUCKETS_MIN = 1024;
const BUCKETS_MIN_BYTES = BUCKETS_MIN * 8;

/** So many that the table grows, its chains have several, and its last bucket one. */
const SESSIONS = 2 * BUCKETS_MIN;

/** The Sessions in the order of a walk. */
function walk(harness: EngineHarness): readonly number[] {
  const { calls } = harness.engine;
  const met: number[] = [];
  for (let session = calls.sessionAfter(0) >>> 0; session !== 0 && met.length <= SESSIONS; ) {
    met.push(session);
    session = calls.sessionAfter(session) >>> 0;
  }
  return met;
}

test("a walk meets each Session once, and none that has ended", async () => {
  const harness = new EngineHarness();
  const lasting = { clean: false, expirySeconds: 1000 } as const;
  for (let i = 0; i < SESSIONS; i++) (await connectClient(harness, `c${i}`, lasting)).hangUp();
  const names = Array.from({ length: SESSIONS }, (_, i) => `c${i}`);
  const sessions = names.map((name) => harness.sessionOf(name));
  expect(new Set(sessions).size).toBe(SESSIONS);
  expect([...walk(harness)].sort()).toEqual([...sessions].sort());
  // Every third one ends: the chains lose their first, middle and last.
  const ended = sessions.filter((_, i) => i % 3 === 0);
  for (const session of ended) harness.sessions.end(session);
  const left = sessions.filter((_, i) => i % 3 !== 0);
  expect([...walk(harness)].sort()).toEqual([...left].sort());
  const found = names.map((name) => harness.sessionOf(name));
  expect(found).toEqual(sessions.map((session, i) => (i % 3 === 0 ? 0 : session)));
  await harness.clear();
  expect(walk(harness)).toEqual([]);
  expect(harness.heap()).toEqual({ blocks: 0, bytes: 0 });
});

/** @returns the address of a new Session, or 0: no memory */
function create({ calls, scratch }: Engine, name: string, number = 0): number {
  const bytes = Buffer.from(name);
  scratch.set(bytes);
  return calls.createSession(abi.SCRATCH, bytes.length, number, 5, 0) >>> 0;
}

function find({ calls, scratch }: Engine, name: string): number {
  const bytes = Buffer.from(name);
  scratch.set(bytes);
  return calls.findSession(abi.SCRATCH, bytes.length) >>> 0;
}

describe("on the engine alone", () => {
  const memoryBytesMax = 32 * 1024 * 1024;

  test("without a Session none is found", () => {
    const { calls } = new Engine({ build: ENGINE_BUILD, memoryBytesMax });
    expect(calls.sessionAfter(0)).toBe(0);
    expect(calls.sessionOfNumber(1)).toBe(0);
    expect(calls.findSession(abi.SCRATCH, 1)).toBe(0);
  });

  test("by its number, and by none that it does not have", () => {
    const engine = new Engine({ build: ENGINE_BUILD, memoryBytesMax });
    const sessions = Array.from({ length: 2_500 }, (_, i) => create(engine, `c${i}`));
    expect(sessions.map((_, i) => engine.calls.sessionOfNumber(i + 1) >>> 0)).toEqual(sessions);
    expect(engine.calls.sessionOfNumber(2_501)).toBe(0);
    // A number of the same bucket as that of another one.
    expect(engine.calls.sessionOfNumber(1 + 65_536)).toBe(0);
  });

  test("the table grows where what lies behind it is full of ones", () => {
    const engine = new Engine({ build: ENGINE_BUILD, memoryBytesMax });
    create(engine, "first");
    for (let i = 0; i < 20; i++) {
      const at = engine.calls.allocBlock(BUCKETS_MIN_BYTES) >>> 0;
      engine.bytes.fill(0xff, at, at + BUCKETS_MIN_BYTES);
    }
    const names = Array.from({ length: 2 * BUCKETS_MIN }, (_, i) => `c${i}`);
    for (const name of names) expect(create(engine, name)).not.toBe(0);
    expect(names.filter((name) => find(engine, name) === 0)).toEqual([]);
  });

  test("the table grows for the Session past one in each bucket, not before", () => {
    const engine = new Engine({ build: ENGINE_BUILD, memoryBytesMax });
    const used = () => Number(engine.calls.heapBytesUsed());
    for (let i = 1; i < BUCKETS_MIN; i++) create(engine, `c${i}`);
    const before = used();
    create(engine, "fills the last one");
    expect(used() - before).toBeLessThan(BUCKETS_MIN_BYTES);
    create(engine, "is one more");
    expect(used() - before).toBeGreaterThan(BUCKETS_MIN_BYTES);
  });

  test("without memory for one more record there is no Session, and the table stays", () => {
    const engine = new Engine({ build: ENGINE_BUILD, memoryBytesMax });
    const names = Array.from({ length: BUCKETS_MIN + 1 }, (_, i) => `c${i}`);
    // Their records fill whole pages.
    for (const name of names.slice(0, BUCKETS_MIN)) create(engine, name);
    const blocks = [...fillWholly(engine)];
    // Room for names: every other small block, so that no page becomes free.
    const identifiers = blocks.splice(-100).filter((_, index) => index % 2 === 0);
    free(engine, identifiers);
    expect(create(engine, names[BUCKETS_MIN] ?? "")).toBe(0);
    expect(engine.calls.sessionCount()).toBe(BUCKETS_MIN);
    expect(names.map((name) => find(engine, name) !== 0)).toEqual(
      names.map((_, i) => i < BUCKETS_MIN),
    );
    free(engine, blocks);
  });

  test("without memory for the table, its record or its name there is no Session", () => {
    const engine = new Engine({ build: ENGINE_BUILD, memoryBytesMax });
    const all = fillWholly(engine);
    expect(create(engine, "first")).toBe(0);
    expect(engine.calls.sessionCount()).toBe(0);
    free(engine, all);
    expect(create(engine, "first")).not.toBe(0);
    const used = engine.calls.heapBlocksUsed();
    // The page of records has room, a name has none.
    const names = fillWholly(engine);
    expect(create(engine, "second")).toBe(0);
    free(engine, names);
    expect(engine.calls.heapBlocksUsed()).toBe(used);
    expect(find(engine, "second")).toBe(0);
    expect(engine.calls.sessionCount()).toBe(1);
  });

  test("a number that is given moves the next one behind it, but not one for later", () => {
    const engine = new Engine({ build: ENGINE_BUILD, memoryBytesMax });
    const numberOf = (session: number) => engine.word(session + abi.SESSION_NUMBER);
    expect(numberOf(create(engine, "a"))).toBe(1);
    expect(numberOf(create(engine, "b", 2))).toBe(2);
    expect(numberOf(create(engine, "c"))).toBe(3);
    expect(numberOf(create(engine, "d", 10))).toBe(10);
    expect(numberOf(create(engine, "e", 5))).toBe(5);
    expect(numberOf(create(engine, "f"))).toBe(11);
    // Past this one numbers are for groups that wait for theirs.
    expect(numberOf(create(engine, "g", 0xf000_0000))).toBe(0xf000_0000);
    expect(numberOf(create(engine, "h"))).toBe(12);
    expect(numberOf(create(engine, "i", 0xefff_ffff))).toBe(0xefff_ffff);
    expect(engine.calls.nextSessionNumber() >>> 0).toBe(0xf000_0000);
  });

  test("a group without memory, wherever it runs out, leaves nothing behind", () => {
    const engine = new Engine({ build: ENGINE_BUILD, memoryBytesMax });
    const session = create(engine, "member");
    const subscribe = () => {
      const bytes = Buffer.from("$share/group/topic");
      engine.scratch.set(bytes);
      return engine.calls.addSubscription(session, abi.SCRATCH, bytes.length, 1, 0);
    };
    // The smallest are freed first: each size that is wanted is missing once.
    const blocks = [...fillWholly(engine)];
    let failures = 0;
    for (let used = engine.calls.heapBlocksUsed(); subscribe() < 0; failures++) {
      expect(engine.calls.heapBlocksUsed()).toBe(used);
      expect(engine.calls.sessionCount()).toBe(1);
      free(engine, blocks.splice(-1));
      used = engine.calls.heapBlocksUsed();
    }
    expect(failures).toBeGreaterThan(1);
    expect(engine.calls.sharedCount()).toBe(1);
    free(engine, blocks);
  });
});
