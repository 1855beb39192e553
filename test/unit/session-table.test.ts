/**
 * The table of Sessions: every one is found by its Client Identifier, and a walk meets each once.
 */
import { expect, test } from "vitest";
import { EngineHarness } from "../support/engine-harness.ts";
import { connectClient } from "../support/engine-harness-client.ts";

/** More than the table has buckets at first, so that it grows and its chains have several. */
const SESSIONS = 700;

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
