/** What engine and store write is sound at any moment; and so is a backup, which opens. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { createLog, type Log } from "../../src/base/log.ts";
import { Engine } from "../../src/engine/engine.ts";
import { encodePublish } from "../../src/session/publish-packet.ts";
import { backupStore } from "../../src/store/backup.ts";
import { checkStore } from "../../src/store/check.ts";
import { sealedPage } from "../../src/store/engine-calls.ts";
import { openStore, type Store } from "../../src/store/store.ts";

const SESSIONS = 60;
const ROUNDS = 4;
const PUBLISHES = 600;
const QUEUED_MESSAGES_MAX = 50;
/** A cycle of the index begins when the oldest page is older than this. */
const AGE_MILLISECONDS = 4_000;

const silent = (): void => undefined;
let directory: string;
let log: Log;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "holdfast-engine-"));
  const words = { timestamp: false, timestampFormat: "", format: "text" } as const;
  log = createLog({ ...words, destinations: [], types: new Set() });
});

afterEach(async () => {
  await log.close();
  rmSync(directory, { recursive: true });
});

/** An engine with all that is in the directory, and its store. */
async function start(data: string) {
  const engine = new Engine({ build: "release", memoryBytesMax: 0 });
  const { calls } = engine;
  const queues = [QUEUED_MESSAGES_MAX, 2 ** 40] as const;
  calls.configure(2_000_000, 1_000, 10_000, ...queues, 8_000_000, 10, 2_000_000, 1, 0);
  calls.openConnection(0);
  calls.acceptConnection(0, 5, 0, 0);
  calls.setRecording(1, 0);
  const options = { durability: "process", storeBytesMax: null, takeWills: () => [] } as const;
  const store = await openStore({ ...options, directory: data, log, onWork: silent });
  const { sessionCount, retainedCount } = await store.recover(engine);
  return { engine, store, sessionCount, retainedCount };
}

async function commit(engine: Engine, store: Store): Promise<void> {
  if (engine.calls.sealPage(1) === 0) return;
  await store.commit(sealedPage(engine));
  engine.calls.committed(engine.calls.sealedTurn());
}

/** Leaves bytes in SCRATCH. @returns their number */
function put(engine: Engine, content: Buffer): number {
  engine.bytes.set(content, abi.SCRATCH);
  return content.length;
}

function createSession(engine: Engine, index: number): number {
  const bytes = put(engine, Buffer.from(`truck-${index}`));
  const session = engine.calls.createSession(abi.SCRATCH, bytes, 0, 5, 3_600) >>> 0;
  const own = `fleet/${index}/cmd/+`;
  const many = Array.from({ length: 300 }, (_, n) => `fleet/${index}/${n}/${"x".repeat(20)}`);
  // All of these are away, so what they share waits in their group.
  const shared = index % 3 === 0 ? ["$share/crew/fleet/all", `$share/${index}/${own}`] : [];
  for (const filter of [own, "fleet/all", ...shared, ...(index % 20 === 0 ? many : [])]) {
    engine.calls.addSubscription(session, abi.SCRATCH, put(engine, Buffer.from(filter)), 1, 0);
  }
  return session;
}

async function publish(engine: Engine, store: Store, topic: string, payloadBytes: number) {
  const parts = { properties: Buffer.alloc(0), qos: 1, retain: payloadBytes % 9 === 0 } as const;
  const payload = Buffer.alloc(payloadBytes, topic);
  const packet = encodePublish({ ...parts, topic: Buffer.from(topic), payload });
  let status = engine.calls.inject(abi.SCRATCH, put(engine, packet));
  while (status > 0) {
    await commit(engine, store);
    status = engine.calls.resume(0);
  }
  expect(status).toBe(abi.R_DONE);
}

async function expectSound(data: string): Promise<Record<string, number>> {
  const faults: string[] = [];
  const { counts } = await checkStore(data, (fault) => faults.push(fault), silent);
  expect(faults).toEqual([]);
  return Object.fromEntries(counts);
}

test("sound in the middle of cycles, after the end, and as a copy", {
  timeout: 60_000,
}, async () => {
  const data = join(directory, "data");
  const { engine, store } = await start(data);
  const sessions = Array.from({ length: SESSIONS }, (_, index) => createSession(engine, index));
  let nowMs = Date.now();
  for (let round = 0; round < ROUNDS; round++) {
    for (let index = 0; index < PUBLISHES; index++) {
      await publish(engine, store, `fleet/${(index * 7) % SESSIONS}/cmd/${index % 5}`, index % 300);
      if (index % 100 === 0) await publish(engine, store, "fleet/all", 900 + index * 20);
    }
    const ended = sessions.pop();
    if (ended !== undefined) engine.calls.endSession(ended);
    nowMs += AGE_MILLISECONDS;
    engine.calls.setClock(nowMs);
    for (let turn = 0; turn <= 3 * round; turn++) {
      await commit(engine, store);
      store.tick(nowMs);
      await nextTurn();
    }
    await expectSound(data);
    const copy = join(directory, `copy-${round}`);
    await backupStore(data, copy, silent);
    await expectSound(copy);
    const opened = await start(copy);
    expect(opened.sessionCount).toBe(sessions.length);
    await commit(opened.engine, opened.store);
    await opened.store.close();
  }
  await commit(engine, store);
  await store.close();
  const counts = await expectSound(data);
  // Groups are no Sessions; a shared subscription is one of its Session's.
  const subscriptions = sessions.length * 2 + Math.ceil(sessions.length / 3) * 2 + 3 * 300;
  expect(counts).toMatchObject({ Sessions: sessions.length, subscriptions });
  expect(counts["journal pages behind the index"]).toBe(0);
  expect(counts["queued messages"]).toBeGreaterThan(sessions.length * 40);
  expect(counts["shared messages"]).toBeGreaterThan(10);
});
