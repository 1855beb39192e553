import { beforeEach, describe, expect, test } from "vitest";
import { SCRATCH } from "#assembly/abi";
import {
  COMPILE_TIMEOUT_MS,
  ENGINE_FORMS,
  loadTreeEngine,
  retainedTopics,
  type TreeEngine,
} from "../support/tree-engine.ts";

const NO_MEMORY = -2;

describe.each(ENGINE_FORMS)("retained tree, %s", (form) => {
  let engine: TreeEngine;
  let before: bigint;

  beforeEach(async () => {
    engine = await loadTreeEngine(form);
    before = engine.exports.heapBytesUsed();
  }, COMPILE_TIMEOUT_MS);

  function set(topic: string, value = 8): number {
    return engine.exports.retainedSet(SCRATCH, engine.put(topic), value);
  }

  function get(topic: string): number {
    return engine.exports.retainedGet(SCRATCH, engine.put(topic));
  }

  function remove(topic: string): number {
    return engine.exports.retainedRemove(SCRATCH, engine.put(topic));
  }

  test("a value is set, replaced, read and taken out", () => {
    expect(set("a/b", 16)).toBe(0);
    expect(engine.exports.retainedReplaced()).toBe(0);
    expect(set("a/b", 24)).toBe(0);
    expect(engine.exports.retainedReplaced()).toBe(16);
    expect(engine.exports.retainedCount()).toBe(1);
    expect(get("a/b")).toBe(24);
    expect(get("a")).toBe(0);
    expect(remove("a")).toBe(0);
    expect(remove("a/b/c")).toBe(0);
    expect(remove("a/b")).toBe(24);
    expect(remove("a/b")).toBe(0);
    expect(engine.exports.heapBytesUsed()).toBe(before);
  });

  test("a cursor finds what the filter matches", () => {
    const topics = ["a", "a/b", "a/b/c", "a/x/c", "a//c", "/", "", "b/b/c", "$SYS/c", "$SYS/b/c"];
    for (const topic of topics) set(topic);
    const wanted: Record<string, string[]> = {
      "a/b": ["a/b"],
      "a/#": ["a", "a/b", "a/b/c", "a/x/c", "a//c"],
      "#": ["a", "a/b", "a/b/c", "a/x/c", "a//c", "/", "", "b/b/c"],
      "a/+/c": ["a/b/c", "a/x/c", "a//c"],
      "+/+/c": ["a/b/c", "a/x/c", "a//c", "b/b/c"],
      "+/b/c": ["a/b/c", "b/b/c"],
      "+/b": ["a/b"],
      "+/b/#": ["a/b", "a/b/c", "b/b/c"],
      "+/c": [],
      "+": ["a", ""],
      "+/": ["/"],
      "+/+": ["a/b", "/"],
      "+/#": ["a", "a/b", "a/b/c", "a/x/c", "a//c", "/", "", "b/b/c"],
      "$SYS/#": ["$SYS/c", "$SYS/b/c"],
      "$SYS/+/c": ["$SYS/b/c"],
      "x/+": [],
    };
    for (const [filter, found] of Object.entries(wanted)) {
      for (const steps of [1, 3, 1000]) {
        expect(retainedTopics(engine, filter, steps).sort(), filter).toEqual(found.sort());
      }
    }
  });

  test("nodes emptied under an open cursor are pruned after it closed", () => {
    for (let index = 0; index < 50; index++) set(`a/${index}/c`);
    const cursor = engine.exports.cursorOpen(SCRATCH, engine.put("a/#"));
    let found = 0;
    for (;;) {
      const value = engine.exports.cursorNext(cursor, 3);
      if (value === 0) break;
      if (value === 1) continue;
      found++;
      for (let index = 0; index < 50; index++) remove(`a/${index}/c`);
      set("a/new/c");
      remove("a/new/c");
      set("a/late");
    }
    expect(found).toBeGreaterThanOrEqual(1);
    expect(found).toBeLessThanOrEqual(2);
    engine.exports.cursorClose(cursor);
    while (engine.exports.retainedPrune(5) !== 0);
    expect(remove("a/late")).toBe(8);
    expect(engine.exports.heapBytesUsed()).toBe(before);
  });

  test("a node emptied and set again under an open cursor stays", () => {
    set("a/b/c");
    const cursor = engine.exports.cursorOpen(SCRATCH, engine.put("#"));
    for (let time = 0; time < 100; time++) {
      remove("a/b/c");
      set("a/b/c", 16);
    }
    remove("a/b/c");
    set("a/b/c/d", 24);
    engine.exports.cursorClose(cursor);
    expect(get("a/b/c/d")).toBe(24);
    expect(retainedTopics(engine, "a/+/c/#")).toEqual(["a/b/c/d"]);
    expect(remove("a/b/c/d")).toBe(24);
    expect(engine.exports.heapBytesUsed()).toBe(before);
  });

  test("a long filter of wildcards is bounded by its bytes", () => {
    const filter = `${"+/".repeat(30_000)}#`;
    set("/".repeat(30_001));
    expect(retainedTopics(engine, filter, 100)).toEqual(["/".repeat(30_001)]);
    remove("/".repeat(30_001));
    expect(engine.exports.heapBytesUsed()).toBe(before);
  });

  test("a full heap refuses and changes nothing", async () => {
    engine = await loadTreeEngine(form, 2 * 1024 * 1024);
    before = engine.exports.heapBytesUsed();
    const kept: string[] = [];
    for (let index = 0; ; index++) {
      const topic = `device-${index}/${"x".repeat(index % 90)}/state`;
      if (set(topic) === NO_MEMORY) {
        expect(get(topic)).toBe(0);
        if (kept.length < index - 20) break;
        continue;
      }
      kept.push(topic);
    }
    expect(engine.exports.retainedCount()).toBe(kept.length);
    for (const topic of kept) expect(remove(topic)).toBe(8);
    expect(engine.exports.heapBytesUsed()).toBe(before);
  });

  test("`a/+/c` costs its hits, not the children of `a`", () => {
    for (let index = 0; index < 50_000; index++) {
      set(index % 500 === 0 ? `a/${index}/c` : `a/${index}/d`);
    }
    const cursor = engine.exports.cursorOpen(SCRATCH, engine.put("a/+/c"));
    let found = 0;
    for (let step = 0; step < 105; step++) {
      if (engine.exports.cursorNext(cursor, 1) > 1) found++;
    }
    expect(found).toBe(100);
    expect(engine.exports.cursorNext(cursor, 1)).toBe(0);
    engine.exports.cursorClose(cursor);
  });
});
