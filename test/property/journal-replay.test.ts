/** Recorded journal pages, replayed into a fresh engine, give the same Session State. */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import * as abi from "#assembly/abi";
import { EngineHarness } from "../support/engine-harness.ts";
import { connectClient } from "../support/engine-harness-client.ts";
import {
  cutPage,
  dumpSessions,
  durableOf,
  onlineOf,
  readRetained,
  recordPages,
  replayPage,
  replayPages,
  settlePages,
  withWord,
} from "../support/journal-engine.ts";
import { CLIENT_IDENTIFIERS, LifePlayer, lifeEvent, OPENING } from "../support/journal-life.ts";
import {
  type JournalPage,
  readRecords,
  type SessionStates,
  stateOf,
} from "../support/journal-state.ts";

const { PROPERTY_RUNS } = process.env;
const numRuns = Number(PROPERTY_RUNS ?? 300);

/** Queues and windows so small that they fill. */
const SETTINGS = {
  packetBytesMax: 250_000,
  inflightMessagesMax: 4,
  queuedMessagesMax: 6,
  queuedBytesMax: 400_000,
  topicAliasMax: 3,
};

const EVERY_TOPIC = ["#", "$x/#"];
const EMPTY = { blocks: 0, bytes: 0 };

/** A connection does not outlive its engine: what was carried is taken for left. */
function withoutConnections(states: SessionStates, online: readonly string[]): SessionStates {
  const entries = Object.entries(states).map(([name, state]) => {
    const left = online.includes(name) ? { expirySeconds: 0, expiresSeconds: 0 } : {};
    return [name, { ...state, ...left }];
  });
  return Object.fromEntries(entries);
}

function sessionStates(harness: EngineHarness): SessionStates {
  return stateOf(dumpSessions(harness, CLIENT_IDENTIFIERS)).sessions();
}

/** An engine that starts where the other's clock stands. */
function setClock(harness: EngineHarness, nowMs: number): void {
  harness.nowMs = nowMs;
  harness.engine.calls.setClock(nowMs);
}

async function expectSameState(
  recorded: EngineHarness,
  pages: readonly JournalPage[],
  fresh: { readonly fromPages: EngineHarness; readonly fromDump: EngineHarness },
): Promise<void> {
  const { fromPages, fromDump } = fresh;
  const dump = dumpSessions(recorded, CLIENT_IDENTIFIERS);
  const online = onlineOf(recorded, CLIENT_IDENTIFIERS);
  const durable = durableOf(recorded, CLIENT_IDENTIFIERS);
  const state = stateOf(dump).sessions();
  // The records say what the engine has, read without the engine.
  const said = stateOf(pages);
  expect(said.sessions()).toEqual(state);
  const expected = withoutConnections(state, online);
  for (const [harness, source] of [
    [fromPages, pages],
    [fromDump, dump],
  ] as const) {
    setClock(harness, recorded.nowMs);
    replayPages(harness, source);
    expect(withoutConnections(sessionStates(harness), online)).toEqual(expected);
    // A Session that ends with its connection leaves no trace.
    expect(harness.engine.calls.sessionCount()).toBe(durable.length);
  }
  const retained = await readRetained(recorded, EVERY_TOPIC);
  expect(retained.map(({ message }) => message)).toEqual(said.retained(recorded.nowMs));
  expect(await readRetained(fromPages, EVERY_TOPIC)).toEqual(retained);
  // The readers have made both forget what had expired.
  expect(fromPages.engine.calls.retainedCount()).toBe(recorded.engine.calls.retainedCount());
}

async function empty(harness: EngineHarness): Promise<void> {
  await harness.clear(["$x", "$SYS"]);
  expect(harness.heap()).toEqual(EMPTY);
}

function newEngines() {
  return {
    recorded: new EngineHarness(SETTINGS),
    fromPages: new EngineHarness(SETTINGS),
    fromDump: new EngineHarness(SETTINGS),
  };
}

// Time passes only where a life says so.
beforeEach(() => vi.useFakeTimers({ toFake: ["Date"] }));
afterEach(() => vi.useRealTimers());

const life = fc.array(lifeEvent, { minLength: 5, maxLength: 120, size: "max" });

test("any life's pages, replayed, give the same State", { timeout: 300_000 }, async () => {
  let engines = newEngines();
  let pages = recordPages(engines.recorded);
  const property = fc.asyncProperty(life, fc.boolean(), async (events, isLeft) => {
    const { recorded, fromPages, fromDump } = engines;
    const player = new LifePlayer(recorded);
    try {
      pages.length = 0;
      for (const event of [...OPENING, ...events]) await player.play(event);
      if (isLeft) player.hangUp();
      await settlePages(recorded);
      await expectSameState(recorded, pages, { fromPages, fromDump });
      for (const harness of [recorded, fromPages, fromDump]) await empty(harness);
    } catch (error) {
      engines = newEngines();
      pages = recordPages(engines.recorded);
      throw error;
    }
  });
  // The seed and the path of a failure are in its message.
  await fc.assert(property, { numRuns });
});
