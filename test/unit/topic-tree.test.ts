import { beforeEach, describe, expect, test } from "vitest";
import { SCRATCH } from "#assembly/abi";
import {
  COMPILE_TIMEOUT_MS,
  ENGINE_FORMS,
  loadTreeEngine,
  receiversOf,
  type TreeEngine,
} from "../support/tree-engine.ts";

const NO_MEMORY = -2;
const FILTER_AT = SCRATCH + 0x20000;

const matches: readonly (readonly [filter: string, topic: string, wanted: boolean])[] = [
  ["sport/tennis/player1/#", "sport/tennis/player1", true],
  ["sport/tennis/player1/#", "sport/tennis/player1/ranking", true],
  ["sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true],
  ["sport/#", "sport", true],
  ["sport/#", "sports", false],
  ["#", "a", true],
  ["#", "/", true],
  ["sport/tennis/+", "sport/tennis/player1", true],
  ["sport/tennis/+", "sport/tennis/player1/ranking", false],
  ["sport/+", "sport", false],
  ["sport/+", "sport/", true],
  ["+/+", "/finance", true],
  ["/+", "/finance", true],
  ["+", "/finance", false],
  ["+/#", "a", true],
  ["+/#", "/", true],
  ["a//b", "a//b", true],
  ["a/+/b", "a//b", true],
  ["a//b", "a/b", false],
  ["/", "/", true],
  ["//", "/", false],
  ["a/", "a", false],
  ["a/", "a/", true],
  ["Accounts", "ACCOUNTS", false],
  ["a/b/c/d/e/f/g/h", "a/b/c/d/e/f/g/h", true],
  ["a label of more than ten bytes/x", "a label of more than ten bytes/x", true],
  ["a label of more than ten bytes/x", "a label of more than ten bytez/x", false],
];

const hidden: readonly (readonly [filter: string, topic: string, wanted: boolean])[] = [
  ["#", "$SYS/x", false],
  ["+/x", "$SYS/x", false],
  ["+/#", "$SYS/x", false],
  ["$SYS/#", "$SYS/x", true],
  ["$SYS/#", "$SYS", true],
  ["$SYS/+", "$SYS/x", true],
  ["+/+", "a/$x", true],
];

describe.each(ENGINE_FORMS)("subscription tree, %s", (form) => {
  let engine: TreeEngine;
  let session: number;

  beforeEach(async () => {
    engine = await loadTreeEngine(form);
    session = engine.session(7);
  }, COMPILE_TIMEOUT_MS);

  function subscribe(filter: string, options = 0, identifier = 0, to = session): number {
    return engine.exports.subscribe(to, SCRATCH, engine.put(filter), options, identifier);
  }

  function unsubscribe(filter: string, to = session): number {
    return engine.exports.unsubscribe(to, SCRATCH, engine.put(filter));
  }

  function filters(of = session): string[] {
    const found: string[] = [];
    let at = engine.exports.nextSubscription(of, 0);
    while (at !== 0) {
      found.push(engine.text(FILTER_AT, engine.exports.filterOf(at, FILTER_AT)));
      at = engine.exports.nextSubscription(of, at);
    }
    return found.reverse();
  }

  test.each(matches)("%s on %s: %s", (filter, topic, wanted) => {
    subscribe(filter);
    expect(receiversOf(engine, topic)).toHaveLength(wanted ? 1 : 0);
  });

  test.each(hidden)("a leading wildcard passes over $ [MQTT-4.7.2-1]: %s on %s", (...row) => {
    const [filter, topic, wanted] = row;
    subscribe(filter);
    expect(receiversOf(engine, topic)).toHaveLength(wanted ? 1 : 0);
  });

  test("a second SUBSCRIBE to a filter replaces the first [MQTT-3.8.4-3]", () => {
    expect(subscribe("a/+", 1, 5)).toBe(0);
    expect(subscribe("a/+", 2 | 4, 6)).toBe(1);
    expect(engine.exports.subscriptionCount()).toBe(1);
    const [receiver] = receiversOf(engine, "a/b");
    expect(receiver).toMatchObject({ number: 7, bits: 2 | 8 | 32 | 64, identifier: 6 });
    const subscription = engine.exports.nextSubscription(session, 0);
    expect(engine.exports.subscriptionOptions(subscription)).toBe(2 | 4);
    expect(engine.exports.subscriptionIdentifier(subscription)).toBe(6);
  });

  test("a filter and the same with /# are two subscriptions", () => {
    expect(subscribe("a")).toBe(0);
    expect(subscribe("a/#")).toBe(0);
    expect(unsubscribe("a")).toBe(0);
    expect(filters()).toEqual(["a/#"]);
    expect(receiversOf(engine, "a")).toHaveLength(1);
  });

  test("unsubscribing what was never subscribed says so", () => {
    subscribe("a/b/c");
    for (const filter of ["a", "a/b", "a/b/c/d", "a/b/#", "+/b/c", "x"]) {
      expect(unsubscribe(filter)).toBe(1);
    }
    expect(unsubscribe("a/b/c", engine.session(8))).toBe(1);
    expect(unsubscribe("a/b/c")).toBe(0);
    expect(unsubscribe("a/b/c")).toBe(1);
  });

  test("filters are rebuilt from the tree", () => {
    const all = ["#", "+", "/", "a", "a/#", "a/+/c", "+/+/#", "//", "$SYS/+", "/x/", "+/", "ü/€"];
    for (const filter of all) subscribe(filter);
    expect(filters()).toEqual(all);
  });

  test("one entry per Session, with the highest QoS and every identifier", () => {
    const other = engine.session(9);
    subscribe("a/b", 0 | 4, 3);
    subscribe("a/#", 2 | 8, 0);
    subscribe("+/b", 1, 4);
    subscribe("a/b", 1, 0, other);
    const receivers = receiversOf(engine, "a/b").sort((x, y) => x.number - y.number);
    expect(receivers).toHaveLength(2);
    expect(receivers[0]).toMatchObject({ session, number: 7, bits: 2 | 4 | 8 | 16 | 64 });
    expect([...(receivers[0]?.several ?? [])].sort()).toEqual([
      [1, 4],
      [10, 0],
      [4, 3],
    ]);
    expect(receivers[1]).toMatchObject({ session: other, number: 9, bits: 1, several: [] });
  });

  test("No Local holds for all only where every matching subscription has it", () => {
    subscribe("a/b", 4);
    subscribe("a/#", 4);
    expect(receiversOf(engine, "a/b")[0]?.bits).toBe(8 | 16 | 32);
  });

  test("dropping a Session leaves the others", () => {
    const other = engine.session(9);
    for (const filter of ["a", "a/#", "a/+", "#"]) subscribe(filter);
    subscribe("a/+", 0, 0, other);
    engine.exports.dropSubscriptions(session);
    expect(filters()).toEqual([]);
    expect(filters(other)).toEqual(["a/+"]);
    expect(receiversOf(engine, "a/b")).toHaveLength(1);
    expect(engine.exports.subscriptionCount()).toBe(1);
  });

  test("a topic of 65,535 levels does not need a stack as deep", () => {
    const before = engine.exports.heapBytesUsed();
    subscribe(Array.from({ length: 32_000 }, () => "+").join("/"));
    subscribe(`${"/".repeat(40_000)}#`);
    expect(receiversOf(engine, "/".repeat(65_535))).toHaveLength(1);
    expect(receiversOf(engine, "/".repeat(31_999))).toHaveLength(1);
    expect(receiversOf(engine, "/".repeat(30_000))).toHaveLength(0);
    engine.exports.dropSubscriptions(session);
    engine.exports.clearCache();
    expect(engine.exports.heapBytesUsed()).toBe(before);
  });

  test("thousands of receivers and of lists fit", () => {
    const before = engine.exports.heapBytesUsed();
    const sessions = Array.from({ length: 5000 }, (_, index) => engine.session(index));
    for (const [index, each] of sessions.entries()) {
      subscribe("a/b", index % 3, 0, each);
      if (index % 2 === 0) subscribe("a/+", 1, index + 1, each);
    }
    for (let depth = 0; depth < 600; depth++) subscribe(`${"/".repeat(depth)}/#`);
    const receivers = receiversOf(engine, "a/b");
    expect(receivers).toHaveLength(5000);
    for (const { number, bits, several } of receivers) {
      expect(several).toHaveLength(number % 2 === 0 ? 2 : 0);
      expect(bits & 3).toBe(number % 2 === 0 ? Math.max(1, number % 3) : number % 3);
    }
    expect(receiversOf(engine, "/".repeat(700))[0]?.several).toHaveLength(600);
    for (const each of [...sessions, session]) engine.exports.dropSubscriptions(each);
    for (const each of sessions) engine.exports.free(each);
    engine.exports.clearCache();
    expect(engine.exports.heapBytesUsed()).toBe(before);
  });

  test("a full heap refuses and changes nothing", async () => {
    engine = await loadTreeEngine(form, 2 * 1024 * 1024, 0);
    session = engine.session(1);
    const before = engine.exports.heapBytesUsed();
    const kept: string[] = [];
    for (let index = 0; ; index++) {
      const filter = `device-${index}/${"x".repeat(index % 90)}/+/state`;
      const used = engine.exports.heapBytesUsed();
      const status = subscribe(filter);
      if (status === NO_MEMORY) {
        expect(engine.exports.heapBytesUsed()).toBe(used);
        if (kept.length < index - 20) break;
        continue;
      }
      kept.push(filter);
    }
    expect(filters()).toEqual(kept);
    for (const filter of kept) expect(unsubscribe(filter)).toBe(0);
    expect(engine.exports.heapBytesUsed()).toBe(before);
  });

  test("100,000 children come and go, and every one is found meanwhile", () => {
    const before = engine.exports.heapBytesUsed();
    for (let index = 0; index < 100_000; index++) subscribe(`fleet/${index}/cmd/+`);
    expect(engine.exports.subscriptionCount()).toBe(100_000);
    for (let index = 0; index < 100_000; index += 7) {
      expect(receiversOf(engine, `fleet/${index}/cmd/go`)).toHaveLength(1);
    }
    for (let index = 0; index < 100_000; index++) {
      if (unsubscribe(`fleet/${index}/cmd/+`) !== 0) expect.unreachable();
      if (index % 997 !== 0 || index > 99_000) continue;
      expect(receiversOf(engine, `fleet/${index}/cmd/go`)).toHaveLength(0);
      expect(receiversOf(engine, `fleet/${index + 900}/cmd/go`)).toHaveLength(1);
    }
    engine.exports.clearCache();
    expect(engine.exports.heapBytesUsed()).toBe(before);
  });
});
