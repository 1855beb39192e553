import type { Database } from "lmdb";
import { describe, expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { checkStore } from "../../src/store/check.ts";
import { JOURNAL_TAIL_BYTES_LOW, JOURNAL_TAIL_BYTES_MAX } from "../../src/store/limits.ts";
import { firstSequenceOf, segmentKey } from "../../src/store/tables.ts";
import { Tail } from "../../src/store/tail.ts";
import { copyOf, editTable, temporaryDirectory } from "../support/store-directory.ts";
import { type StoreLife, startLife } from "../support/store-life.ts";

/** Number of rows of a table of a store that is closed. */
async function countOf(directory: string, name: string): Promise<number> {
  let count = 0;
  await editTable(directory, name, async (table) => {
    count = table.getKeysCount();
  });
  return count;
}

/** Asks the check of the store, which reads its rows by code of its own. */
async function demandSound(directory: string): Promise<void> {
  const faults: string[] = [];
  await checkStore(
    directory,
    (fault) => faults.push(fault),
    () => undefined,
  );
  expect(faults).toEqual([]);
}

/** Publishes so many messages, in turns of a hundred. */
async function publishMany(life: StoreLife, topic: string, count: number, bytes = 100) {
  for (let index = 0; index < count; index++) {
    life.publish(topic, Buffer.alloc(bytes, index));
    if (index % 100 === 99) await life.turn();
  }
  await life.turn();
}

test("a PUBCOMP for a message that is in the store only is a Protocol Error", async () => {
  const life = await startLife(temporaryDirectory());
  const { calls, readRegion } = life.engine;
  const session = life.session("truck7", "fleet/#");
  life.attach(session, 1);
  life.publish("fleet/all", "here");
  const [sent] = life.sentTo(1);
  const packetIdentifier = sent?.packetIdentifier ?? 0;
  calls.detachSession(session, 0);
  calls.closeConnection(1);
  await life.turn();
  await life.index();
  life.attach(session, 2);
  const pubcomp = [0x70, 2, packetIdentifier >> 8, packetIdentifier & 0xff];
  readRegion.set(pubcomp);
  expect(calls.receive(2, pubcomp.length)).toBe(-0x82);
});

test("more Sessions than the list of events has room for get what is in the store", async () => {
  const directory = temporaryDirectory();
  const life = await startLife(directory);
  const { calls } = life.engine;
  const count = Math.floor(abi.EVENTS_BYTES / abi.EVENT_BYTES) + 100;
  const sessions = Array.from({ length: count }, (_, index) => {
    const session = life.session(`truck${index}`, "fleet/#");
    calls.detachSession(session, 0);
    return session;
  });
  life.publish("fleet/all", "here");
  await life.turn();
  await life.index();
  for (const session of sessions) calls.setExpiry(session, 0xffffffff, 5);
  await life.commitUnmarked();
  for (const [index, session] of sessions.entries()) life.attach(session, index + 1);
  let got = 0;
  while (got < count) {
    await life.turn();
    await new Promise((resolve) => setImmediate(resolve));
    for (let index = 1; index <= count; index++) got += life.sentTo(index).length;
  }
  expect(got).toBe(count);
}, 180_000);

describe("the index step", () => {
  test("moves what is owed into segments, and the pages are needed no more", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    life.session("truck7", "fleet/truck7/#");
    await publishMany(life, "fleet/truck7/order", 1_000);
    await life.index();
    expect(life.store.state(Date.now())).toMatchObject({ tailBytes: 0, trouble: null });
    expect((await startLife(copyOf(directory))).recovered.tail).toEqual([]);
    await life.close();
    expect(await countOf(directory, "queue")).toBeGreaterThanOrEqual(16);
    expect(await countOf(directory, "messages")).toBe(0);
    await demandSound(directory);
  });

  test("stores a message that several Sessions are owed once", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    for (let index = 0; index < 500; index++) life.session(`truck${index}`, "fleet/all");
    await publishMany(life, "fleet/all", 3, 5_000);
    await life.index();
    await life.close();
    expect(await countOf(directory, "messages")).toBe(3);
    expect(await countOf(directory, "queue")).toBe(500);
    await demandSound(directory);
  });

  test("ends Sessions: their rows, segments and the last reference go", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    const sessions = ["a", "b", "c"].map((name) => life.session(name, "fleet/all"));
    await publishMany(life, "fleet/all", 500, 3_000);
    await life.index();
    for (const session of sessions.slice(0, 2)) life.engine.calls.endSession(session);
    await life.turn();
    await life.index();
    await life.close();
    expect(await countOf(directory, "sessions")).toBe(1);
    expect(await countOf(directory, "messages")).toBe(500);
    await demandSound(directory);
    const next = await startLife(directory);
    next.engine.calls.endSession(next.find("c"));
    await next.turn();
    await next.index();
    await next.close();
    for (const table of ["sessions", "queue", "messages", "references", "wipes"]) {
      expect([table, await countOf(directory, table)]).toEqual([table, 0]);
    }
    await demandSound(directory);
  });

  test("goes on with wipes that a crash cut short", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    const number = life.numberOf(life.session("a", "fleet/all"));
    await publishMany(life, "fleet/all", 3_000);
    await life.index();
    await life.close();
    await editTable(directory, "sessions", (table) => table.clearAsync());
    const wipe = Buffer.alloc(4);
    wipe.writeUInt32BE(number);
    await editTable(directory, "wipes", (table) => table.put(wipe, Buffer.alloc(0)));
    await demandSound(directory);
    const next = await startLife(directory);
    expect(next.recovered.wipes).toEqual([number]);
    await next.index();
    await next.close();
    expect(await countOf(directory, "queue")).toBe(0);
    expect(await countOf(directory, "wipes")).toBe(0);
    await demandSound(directory);
  });

  test("keeps retained messages by Topic Name, however long it is", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    const topics = ["a", "é/b", "x".repeat(1_978), "x".repeat(1_979), "x".repeat(60_000)];
    for (const topic of topics) life.publish(topic, topic.slice(0, 5), true);
    await life.turn();
    await life.index();
    await life.close();
    expect(await countOf(directory, "retained")).toBe(5);
    await demandSound(directory);
    const next = await startLife(directory);
    expect(next.recovered.retainedCount).toBe(5);
    for (const topic of topics.slice(1)) next.publish(topic, "", true);
    await next.turn();
    await next.index();
    await next.close();
    expect(await countOf(directory, "retained")).toBe(1);
    await demandSound(directory);
  });

  test("keeps wills, and forgets those that are sent", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    const packet = Buffer.from("30050001610a0b", "hex");
    const numbers = Array.from({ length: 450 }, (_, index) => {
      return life.numberOf(life.session(`truck${index}`));
    });
    for (const number of numbers) {
      life.changedWills.push({ number, will: { delaySeconds: 1, dueSecond: 2, packet } });
    }
    await life.turn();
    await life.index();
    for (const number of numbers.slice(1)) life.changedWills.push({ number, will: null });
    life.session("one more");
    await life.turn();
    await life.index();
    await life.close();
    expect(await countOf(directory, "wills")).toBe(1);
    await demandSound(directory);
  });

  test("waits for the page that is being filled", async () => {
    const life = await startLife(temporaryDirectory());
    life.session("a", "fleet/all");
    await life.turn();
    life.publish("fleet/all", "not sealed yet");
    life.store.tick(Date.now() + 60_000);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(life.store.state(0).indexedPage).toBe(0);
    await life.turn();
    await life.index();
    expect(life.store.state(0)).toMatchObject({ committedPage: 2, indexedPage: 2 });
  });
});

describe("a backlog", () => {
  test("comes back whole and in order, after a restart too", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    life.session("truck7", "fleet/truck7/#", "fleet/all");
    life.session("desk", "fleet/all");
    await publishMany(life, "fleet/truck7/order", 500);
    await publishMany(life, "fleet/all", 500);
    await life.index();
    await life.close();
    const next = await startLife(directory);
    const numbers = Array.from({ length: 500 }, (_, index) => index % 256);
    const ofTruck = await next.drain(next.find("truck7"), 1);
    expect(ofTruck.map((payload) => payload[0])).toEqual([...numbers, ...numbers]);
    await next.index();
    const ofDesk = await next.drain(next.find("desk"), 2);
    expect(ofDesk.map((payload) => payload[0])).toEqual(numbers);
    await next.index();
    await next.close();
    await demandSound(directory);
    for (const table of ["queue", "messages", "references"]) {
      expect([table, await countOf(directory, table)]).toEqual([table, 0]);
    }
  });
});

describe("what the engine may take", () => {
  test("is nothing durable while the store is over max_store_bytes", async () => {
    const life = await startLife(temporaryDirectory(), { storeBytesMax: 1_000 });
    const levels = refusals(life);
    life.session("a", "fleet/all");
    await life.turn();
    life.store.tick(Date.now());
    expect(levels).toEqual([1]);
    expect(life.store.state(0).trouble).toMatch(/^the store has reached max_store_bytes/);
    expect(life.lines).toEqual([expect.stringMatching(/^error: .*durable messages are refused$/)]);
  });

  test("waits where the index is too far behind, and goes on when it is not", async () => {
    const life = await startLife(temporaryDirectory(), { durability: "process" });
    const levels = refusals(life);
    life.session("a", "fleet/all");
    await life.turn();
    const beganAt = life.workCount;
    // The engine has no memory for the index step.
    const { indexGather } = life.engine.calls;
    life.engine.calls.indexGather = () => abi.NO_MEMORY;
    let published = 0;
    for (; levels.length === 0; published++) {
      life.publish("fleet/all", Buffer.alloc(1024 * 1024, published));
      await life.turn();
    }
    expect([published, levels]).toEqual([64, [2]]);
    expect(life.store.state(0)).toMatchObject({ isBehind: true, trouble: null });
    expect(life.workCount).toBe(beganAt + 1);
    life.engine.calls.indexGather = indexGather;
    await life.index();
    life.store.tick(Date.now());
    expect(levels).toEqual([2, 0]);
  });

  /** The levels that the engine is told from now on; its calls can be replaced. */
  function refusals(life: StoreLife): number[] {
    const levels: number[] = [];
    const { setRefusing } = life.engine.calls;
    const calls = {
      ...life.engine.calls,
      setRefusing: (level: number) => {
        levels.push(level);
        setRefusing(level);
      },
    };
    Object.defineProperty(life.engine, "calls", { value: calls });
    return levels;
  }
});

describe("what cannot be read", () => {
  test("is said, and the Session waits", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    const session = life.session("a", "fleet/all");
    const number = life.numberOf(session);
    await publishMany(life, "fleet/all", 10);
    await life.index();
    await life.close();
    await editTable(directory, "queue", (queue) =>
      queue.put(segmentKey(number, firstSequence(queue)), Buffer.alloc(40, 9)),
    );
    const next = await startLife(directory);
    expect(await next.drain(next.find("a"), 1)).toEqual([]);
    expect(next.lines).toEqual([
      expect.stringMatching(new RegExp(`^error: segment \\d+ of Session ${number} cannot be read`)),
    ]);
  });

  function firstSequence(queue: Database<Buffer, Buffer>): bigint {
    const [key] = queue.getKeys({ limit: 1 });
    return key === undefined ? 0n : firstSequenceOf(key);
  }
});

describe("a crash", () => {
  test("between two transactions of the index loses nothing, and leaves nothing", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    const names = ["a", "b", "c", "d"];
    for (const name of names) life.session(name, "fleet/all", `fleet/${name}`);
    await publishMany(life, "fleet/all", 300, 3_000);
    for (const name of names) await publishMany(life, `fleet/${name}`, 100);
    const copies: string[] = [];
    const { indexCommitted } = life.engine.calls;
    const calls = {
      ...life.engine.calls,
      indexCommitted: () => {
        copies.push(copyOf(directory));
        indexCommitted();
      },
    };
    Object.defineProperty(life.engine, "calls", { value: calls });
    await life.index();
    await life.close();
    expect(copies.length).toBeGreaterThan(3);
    const numbers = (count: number) => Array.from({ length: count }, (_, index) => index % 256);
    for (const copy of copies) {
      const next = await startLife(copy);
      for (const [index, name] of names.entries()) {
        const payloads = await next.drain(next.find(name), index + 1);
        expect(payloads.map((payload) => payload[0])).toEqual([...numbers(300), ...numbers(100)]);
      }
      await next.index();
      await next.close();
      await demandSound(copy);
      for (const table of ["queue", "messages", "references", "wipes"]) {
        expect([table, await countOf(copy, table)]).toEqual([table, 0]);
      }
    }
  });
});

describe("the tail", () => {
  test("is cut at a position", () => {
    const tail = new Tail();
    for (let number = 1; number <= 5; number++) tail.add(number, 10 * number, 1_000 * number);
    expect([tail.bytes, tail.count, tail.oldestMs(0)]).toEqual([150, 5, 1_000]);
    expect([0, 999, 1_000, 3_500, 9_000].map((ms) => tail.newestBefore(ms))).toEqual([
      0, 0, 1, 3, 5,
    ]);
    tail.cut(3);
    expect([tail.bytes, tail.count, tail.oldestMs(0)]).toEqual([90, 2, 4_000]);
    tail.cut(9);
    expect([tail.bytes, tail.count, tail.oldestMs(7)]).toEqual([0, 0, 7]);
    expect(JOURNAL_TAIL_BYTES_LOW).toBeLessThan(JOURNAL_TAIL_BYTES_MAX);
  });
});
