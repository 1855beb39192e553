import { beforeEach, describe, expect, test } from "vitest";
import { SCRATCH } from "#assembly/abi";
import {
  COMPILE_TIMEOUT_MS,
  ENGINE_FORMS,
  loadTreeEngine,
  receiversOf,
  type TreeEngine,
} from "../support/tree-engine.ts";

const MIB = 1024 * 1024;

describe.each(ENGINE_FORMS)("match cache, %s", (form) => {
  let engine: TreeEngine;
  let session: number;

  beforeEach(async () => {
    engine = await loadTreeEngine(form);
    session = engine.session(7);
    engine.exports.subscribe(session, SCRATCH, engine.put("hot/+"), 1, 0);
  }, COMPILE_TIMEOUT_MS);

  function isCached(topic: string): boolean {
    const list = engine.exports.lookup(SCRATCH, engine.put(topic));
    if (list !== 0) engine.exports.releaseList(list);
    return list !== 0;
  }

  test("a topic gets in at its second sighting", () => {
    receiversOf(engine, "hot/1");
    expect(isCached("hot/1")).toBe(false);
    receiversOf(engine, "hot/1");
    expect(isCached("hot/1")).toBe(true);
    expect(receiversOf(engine, "hot/1")).toHaveLength(1);
  });

  test("a topic that nobody wants is cached too", () => {
    for (let time = 0; time < 3; time++) expect(receiversOf(engine, "cold")).toEqual([]);
    expect(isCached("cold")).toBe(true);
  });

  test("any change of subscriptions makes every list stale, and it is filled again", () => {
    for (let time = 0; time < 3; time++) receiversOf(engine, "hot/1");
    const other = engine.session(8);
    engine.exports.subscribe(other, SCRATCH, engine.put("hot/1"), 0, 0);
    expect(isCached("hot/1")).toBe(false);
    expect(receiversOf(engine, "hot/1")).toHaveLength(2);
    expect(isCached("hot/1")).toBe(true);
    engine.exports.dropSubscriptions(other);
    expect(receiversOf(engine, "hot/1")).toHaveLength(1);
    engine.exports.unsubscribe(session, SCRATCH, engine.put("hot/+"));
    expect(receiversOf(engine, "hot/1")).toHaveLength(0);
    expect(engine.exports.cacheCount()).toBe(1);
  });

  test("match() without lookup(), and after lookup() of other bytes at the same place", () => {
    for (let time = 0; time < 3; time++) receiversOf(engine, "hot/1");
    engine.exports.subscribe(session, SCRATCH, engine.put("hot/1"), 2, 0);
    expect(engine.exports.lookup(SCRATCH, engine.put("hot/1"))).toBe(0);
    const length = engine.put("hot/2");
    engine.exports.releaseList(engine.exports.match(SCRATCH, length));
    expect(receiversOf(engine, "hot/1")[0]?.several).toHaveLength(2);
    expect(receiversOf(engine, "hot/2")[0]?.several).toEqual([]);
    const list = engine.exports.match(SCRATCH, engine.put("hot/3"));
    expect(engine.u32(list + 8)).toBe(1);
    engine.exports.releaseList(list);
  });

  test("a held list outlives the cache and the subscription", () => {
    const before = engine.exports.heapBytesUsed();
    for (let time = 0; time < 3; time++) receiversOf(engine, "hot/1");
    const list = engine.exports.lookup(SCRATCH, engine.put("hot/1"));
    engine.exports.holdList(list);
    engine.exports.clearCache();
    engine.exports.dropSubscriptions(session);
    engine.exports.releaseList(list);
    expect(engine.u32(list + 8)).toBe(1);
    expect(engine.u32(list + 16)).toBe(session);
    engine.exports.releaseList(list);
    expect(engine.exports.heapBytesUsed()).toBeLessThan(before);
  });

  test("one-time topics neither grow the cache nor empty it", () => {
    const hot = Array.from({ length: 500 }, (_, index) => `hot/${index}`);
    for (let time = 0; time < 9; time++) for (const topic of hot) receiversOf(engine, topic);
    const cached = hot.filter(isCached);
    expect(cached.length).toBeGreaterThan(490);
    const used = engine.exports.heapBytesUsed();
    for (let index = 0; index < 200_000; index++) {
      const length = engine.put(`once/${index}/x`);
      engine.exports.releaseList(engine.exports.match(SCRATCH, length));
    }
    expect(cached.filter(isCached)).toEqual(cached);
    expect(Number(engine.exports.heapBytesUsed() - used)).toBeLessThan(4096);
  });

  test("more hot topics than fit stay within the bound in bytes", async () => {
    engine = await loadTreeEngine(form, 64 * MIB, 16 * MIB);
    const sessions = Array.from({ length: 100 }, (_, index) => engine.session(index));
    for (const each of sessions) {
      engine.exports.subscribe(each, SCRATCH, engine.put("hot/#"), 0, 0);
    }
    const before = Number(engine.exports.heapBytesUsed());
    for (let round = 0; round < 4; round++) {
      for (let index = 0; index < 3000; index++) receiversOf(engine, `hot/${index % 1500}`);
    }
    expect(Number(engine.exports.cacheBytes())).toBeLessThanOrEqual(MIB);
    expect(Number(engine.exports.cacheBytes())).toBeGreaterThan(MIB / 2);
    expect(Number(engine.exports.heapBytesUsed()) - before).toBeLessThan(MIB + MIB / 8);
    engine.exports.clearCache();
    expect(Number(engine.exports.heapBytesUsed())).toBe(before);
  });

  test("stale lists give way to topics that are hot now", async () => {
    engine = await loadTreeEngine(form, 64 * MIB, 16 * MIB);
    session = engine.session(7);
    const sessions = Array.from({ length: 100 }, (_, index) => engine.session(index));
    for (const each of sessions) {
      engine.exports.subscribe(each, SCRATCH, engine.put("#"), 0, 0);
    }
    for (let index = 0; index < 1500; index++) {
      for (let time = 0; time < 2; time++) receiversOf(engine, `old/${index}`);
    }
    engine.exports.subscribe(session, SCRATCH, engine.put("x"), 0, 0);
    const fresh = Array.from({ length: 100 }, (_, index) => `new/${index}`);
    for (let round = 0; round < 60; round++) {
      for (const topic of fresh) receiversOf(engine, topic);
    }
    expect(fresh.filter(isCached).length).toBeGreaterThan(90);
  });
});
