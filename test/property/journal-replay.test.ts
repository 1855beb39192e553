/** Recorded journal pages, replayed into a fresh engine, give the same Session State. */
import fc from "fast-check";
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
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
import {
  CLIENT_IDENTIFIERS,
  type LifeEvent,
  LifePlayer,
  lifeEvent,
  OPENING,
} from "../support/journal-life.ts";
import {
  type JournalPage,
  readRecords,
  type SessionStates,
  stateOf,
} from "../support/journal-state.ts";
import { describePacket } from "../support/wire-log.ts";

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

/**
 * With that of the group in which they share a filter, and of the Session that leaves it where
 * every record is written, until its J_ENDED.
 */
const RECORDED_IDENTIFIERS = [...CLIENT_IDENTIFIERS, "\0one/a/#", "\0\x0000000004"];

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
  return stateOf(dumpSessions(harness, RECORDED_IDENTIFIERS)).sessions();
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
  const dump = dumpSessions(recorded, RECORDED_IDENTIFIERS);
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

/** What a client is sent when it comes back to the Session that all of the engines have. */
async function resume(harness: EngineHarness, clientIdentifier: string) {
  const options = { clean: false, expirySeconds: 1000 };
  const client = await connectClient(harness, clientIdentifier, options);
  const packets = await client.answers();
  client.hangUp();
  await harness.settle();
  return { sessionPresent: client.connack?.sessionPresent, packets: packets.map(describePacket) };
}

/** A message to most Sessions: it gets the next sequence of each. */
async function publishOne(harness: EngineHarness): Promise<void> {
  const client = await connectClient(harness, "publisher");
  client.publish("a/b", 1);
  await harness.settle();
  client.hangUp();
  await harness.settle();
}

async function expectSameResumption(
  recorded: EngineHarness,
  fresh: { readonly fromPages: EngineHarness; readonly fromDump: EngineHarness },
): Promise<void> {
  const { fromPages, fromDump } = fresh;
  const clientIdentifiers = durableOf(recorded, CLIENT_IDENTIFIERS);
  for (const clientIdentifier of clientIdentifiers) {
    // What is owed to it of the retained messages upon its SUBSCRIBE is on no record.
    const { calls, scratch } = recorded.engine;
    const bytes = scratch.write(clientIdentifier);
    calls.dropKeptJobs(calls.findSession(abi.SCRATCH, bytes) >>> 0);
    const expected = await resume(recorded, clientIdentifier);
    expect(await resume(fromPages, clientIdentifier)).toEqual(expected);
    expect(await resume(fromDump, clientIdentifier)).toEqual(expected);
  }
  await publishOne(recorded);
  await publishOne(fromPages);
  for (const clientIdentifier of clientIdentifiers) {
    const expected = await resume(recorded, clientIdentifier);
    expect(await resume(fromPages, clientIdentifier)).toEqual(expected);
  }
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

/** By type of record: where its fields have a length, a payload's place, or a message's offset. */
const LENGTH_FIELDS: Readonly<Record<number, readonly number[]>> = {
  [abi.J_OPENED]: [12],
  [abi.J_SUBSCRIBED]: [8],
  [abi.J_UNSUBSCRIBED]: [0],
  [abi.J_MESSAGE]: [4, 8, 12, 16, 20],
  [abi.J_ENQUEUED]: [8],
  [abi.J_RETAINED]: [0],
  [abi.J_RETAINED_DELETED]: [0],
  [abi.J_WILL]: [8],
};

/** A life in which every type of record is written. */
async function pagesOfEveryRecord(): Promise<readonly JournalPage[]> {
  const harness = new EngineHarness(SETTINGS);
  const pages = recordPages(harness);
  const player = new LifePlayer(harness);
  const message = { kind: "publish", client: 0, alias: 0, expirySeconds: 60, count: 1 } as const;
  const large = { ...message, topic: "a/b", byteCount: 70_000, retain: true } as const;
  const later = { kind: "connect", version: 5, expirySeconds: 50, receiveMaximum: 9 } as const;
  const picks = [0, 0, 0, 0, 0, 0];
  const plain = {
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 0,
    identifier: 0,
  } as const;
  const events: readonly LifeEvent[] = [
    ...OPENING,
    { ...later, client: 2, clean: false, will: "delayed" },
    { kind: "subscribe", client: 2, filter: "$share/one/a/#", qos: 1, ...plain },
    { kind: "settle" },
    { ...large, qos: 2, packetIdentifier: 1 },
    { ...message, topic: "b/b", byteCount: 10, retain: true, qos: 1, packetIdentifier: 2 },
    { kind: "acknowledge", client: 0, picks, isFailure: false },
    { kind: "acknowledge", client: 1, picks: [0], isFailure: false },
    { kind: "acknowledge", client: 1, picks: [0], isFailure: false },
    { kind: "release", client: 0, packetIdentifier: 1 },
    { ...message, topic: "b/b", byteCount: 0, retain: true, qos: 2, packetIdentifier: 3 },
    { kind: "unsubscribe", client: 0, filter: "a/#" },
    { kind: "hang up", client: 2 },
    { kind: "settle" },
    { ...later, client: 2, clean: true, will: "none" },
    // More than the queue of a Session without a connection takes.
    { kind: "hang up", client: 1 },
    {
      ...message,
      topic: "b/b",
      byteCount: 10,
      retain: false,
      qos: 1,
      packetIdentifier: 4,
      count: 8,
    },
  ];
  for (const event of events) await player.play(event);
  await settlePages(harness);
  return pages;
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
      if (isLeft) await expectSameResumption(recorded, { fromPages, fromDump });
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

describe("a damaged page", () => {
  let harness = new EngineHarness(SETTINGS);
  let pages: readonly JournalPage[] = [];

  beforeAll(async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    pages = await pagesOfEveryRecord();
    vi.useRealTimers();
  });
  beforeEach(() => {
    harness = new EngineHarness(SETTINGS);
    setClock(harness, Date.now());
  });

  test("the pages have every type of record", () => {
    const types = new Set(pages.flatMap(({ bytes }) => readRecords(bytes).map(({ type }) => type)));
    const every = Array.from({ length: abi.J_LEFT }, (_, index) => index + 1);
    expect([...types].sort((one, other) => one - other)).toEqual(every);
    expect(pages.some(({ apart }) => apart.length > 0)).toBe(true);
  });

  test("of another format it is refused and changes nothing", () => {
    for (const page of pages) {
      for (const format of [0, abi.JOURNAL_FORMAT + 1, 0xffff_ffff]) {
        expect(replayPage(harness, withWord(page, 0, format))).toBeLessThan(0);
      }
    }
    expect(harness.heap()).toEqual(EMPTY);
  });

  test("cut short it is refused; what stands before the cut is applied", async () => {
    for (const [index, page] of pages.entries()) {
      const ends = readRecords(page.bytes).map(({ offset, byteCount }) => offset + byteCount);
      const isWhole = (byteCount: number) =>
        byteCount === abi.JOURNAL_HEADER_BYTES || ends.includes(byteCount);
      const cuts = ends.flatMap((end) => [end - 5, end - 4, end - 1, end]);
      for (const byteCount of [0, 4, 15, 16, 23, 24, 25, 31, ...cuts]) {
        replayPages(harness, pages.slice(0, index));
        const status = replayPage(harness, cutPage(page, byteCount));
        if (isWhole(byteCount)) expect(status).toBe(0);
        else expect(status).toBeLessThan(0);
        const whole = [abi.JOURNAL_HEADER_BYTES, ...ends].filter((end) => end <= byteCount).at(-1);
        const applied = whole === undefined ? [] : [cutPage(page, whole)];
        const expected = stateOf([...pages.slice(0, index), ...applied]).sessions();
        expect(withoutConnections(sessionStates(harness), CLIENT_IDENTIFIERS)).toEqual(
          withoutConnections(expected, CLIENT_IDENTIFIERS),
        );
        await empty(harness);
      }
    }
  });

  test("with a record of a wrong length it is refused, and the rest is not applied", async () => {
    for (const [index, page] of pages.entries()) {
      for (const { offset, type } of readRecords(page.bytes)) {
        for (const byteCount of [0, 4, 7, page.bytes.length - offset + 4, 0xff_ffff]) {
          replayPages(harness, pages.slice(0, index));
          const damaged = withWord(page, offset, type | (byteCount << 8));
          expect(replayPage(harness, damaged)).toBeLessThan(0);
          const applied = [...pages.slice(0, index), cutPage(page, offset)];
          expect(Object.keys(sessionStates(harness)).sort()).toEqual(
            Object.keys(stateOf(applied).sessions()).sort(),
          );
          await empty(harness);
        }
      }
    }
  });

  test("with a field that points past its record it is refused", async () => {
    const accepted: string[] = [];
    for (const [index, page] of pages.entries()) {
      const records = readRecords(page.bytes);
      const messages = records.filter(({ type }) => type === abi.J_MESSAGE);
      for (const { at, type, byteCount } of records) {
        for (const field of LENGTH_FIELDS[type] ?? []) {
          for (const length of [byteCount, page.bytes.length, 100_000, 0x7fff_ffff, 0xffff_fffc]) {
            if (messages.some(({ offset }) => offset === length)) continue;
            replayPages(harness, pages.slice(0, index));
            const status = replayPage(harness, withWord(page, at + field, length));
            if (status < 0) {
              await empty(harness);
              continue;
            }
            accepted.push(`type ${type}, field at ${field}: ${length}`);
            harness = new EngineHarness(SETTINGS);
          }
        }
      }
    }
    expect([...new Set(accepted)]).toEqual([]);
  });
});
