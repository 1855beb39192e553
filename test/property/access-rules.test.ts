/** What the engine says of topics, against rules taken at their word. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { filterOf, mayReadAll } from "../../src/access/access-check.ts";
import { type AccessRule, type AccessRules, READ, WRITE } from "../../src/access/access-rules.ts";
import { internRules } from "../../src/access/rule-set.ts";
import { filterMatches, intersectionOf, isCovered } from "../../src/access/topic-filters.ts";
import { Engine } from "../../src/engine/engine.ts";
import { ENGINE_BUILD } from "../support/engine-harness.ts";

const { PROPERTY_RUNS } = process.env;
const numRuns = Number(PROPERTY_RUNS ?? 2_000);

const LEVELS = ["a", "b", "", "$x", "dev", "ü"];
const NAMES = ["a", "b", "dev", "x/y", "", "a+"];
const level = fc.constantFrom(...LEVELS);
const topic = fc
  .array(level, { minLength: 1, maxLength: 4 })
  .map((levels) => levels.join("/"))
  .filter((text) => text !== "");
const filter = fc
  .tuple(
    fc.array(fc.oneof(level, fc.constantFrom("+", "+")), { minLength: 0, maxLength: 3 }),
    fc.constantFrom("#", "a", "+", "b"),
  )
  .map(([levels, last]) => [...levels, last].join("/"));
const pattern = fc
  .array(fc.oneof(level, fc.constantFrom("+", "%c", "%u", "x-%c", "%u%c")), {
    minLength: 1,
    maxLength: 4,
  })
  .map((levels) => levels.join("/"))
  .filter((text) => text !== "");

const rule: fc.Arbitrary<AccessRule> = fc.oneof(
  fc.record({
    actions: fc.constantFrom(READ, WRITE, READ | WRITE, 4, 8),
    allows: fc.boolean(),
    filter,
    isLiteral: fc.boolean(),
  }),
  fc.record({
    actions: fc.constantFrom(READ, WRITE, READ | WRITE),
    allows: fc.boolean(),
    filter: pattern,
    isLiteral: fc.boolean(),
    substitutes: fc.constant(true as const),
  }),
);
const rules: fc.Arbitrary<AccessRules> = fc.record({
  rules: fc.array(rule, { maxLength: 6 }),
  defaults: fc.integer({ min: 0, max: 15 }),
});
const identity = fc.record({
  clientId: fc.constantFrom(...NAMES.filter((name) => name !== "")),
  userName: fc.constantFrom(...NAMES),
  rules: fc.constant(null),
});

/** A rule's filter matches the topic, level by level; what a name holds is text. */
function matches(one: AccessRule, own: string, name: string): boolean {
  if (one.isLiteral) return own === name && !(name.startsWith("$") && !one.filter.startsWith("$"));
  if (one.substitutes !== true) return filterMatches(own, name);
  if (name.startsWith("$") && !one.filter.startsWith("$")) return false;
  // Marked, so that a plus sign of a name is none of the filter.
  return filterMatches(own, name.replaceAll("+", "\u0001"));
}

function naive(
  all: AccessRules,
  who: Parameters<typeof filterOf>[1],
  action: number,
  name: string,
) {
  const marked = {
    ...who,
    clientId: who.clientId.replaceAll("+", "\u0001"),
    userName: who.userName.replaceAll("+", "\u0001"),
  };
  for (const one of all.rules) {
    if ((one.actions & action) === 0) continue;
    const own = filterOf(one, one.isLiteral ? who : marked);
    if (own !== null && matches(one, own, name)) return one.allows;
  }
  return (all.defaults & action) !== 0;
}

let engine: Engine;
beforeAll(() => {
  engine = new Engine({ build: ENGINE_BUILD, memoryBytesMax: 64 * 1024 * 1024 });
});

/** A Session of this name, that may do what the rules say. */
function sessionOf(who: { clientId: string; userName: string }, all: AccessRules): number {
  const { calls, scratch } = engine;
  const session = calls.createSession(abi.SCRATCH, scratch.write(who.clientId), 0, 5, 0) >>> 0;
  expect(calls.setUser(session, abi.SCRATCH, scratch.write(who.userName), 1883)).toBe(0);
  calls.setRules(session, internRules(engine, all));
  return session;
}

test("READ and WRITE are judged as the rules say, the first that matches", () => {
  const property = fc.property(
    rules,
    identity,
    fc.array(topic, { minLength: 1, maxLength: 8 }),
    (all, who, topics) => {
      const session = sessionOf(who, all);
      const { calls, scratch } = engine;
      const names = [...topics, who.clientId, `x-${who.clientId}`, `${who.userName}/a`];
      for (const name of names) {
        const bytes = scratch.write(name);
        const mayWrite = calls.mayPublishWill(session, abi.SCRATCH, bytes) === 1;
        const mayRead = calls.mayRead(session, abi.SCRATCH, bytes) === 1;
        expect([name, mayRead, mayWrite]).toEqual([
          name,
          naive(all, who, READ, name),
          naive(all, who, WRITE, name),
        ]);
      }
      calls.endSession(session);
    },
  );
  fc.assert(property, { numRuns });
});

test("Sessions with the same rules share a rule set, and nothing is left of them", () => {
  const property = fc.property(
    fc.array(fc.tuple(identity, fc.nat(2)), { minLength: 1, maxLength: 20 }),
    fc.tuple(rules, rules, rules),
    (all, [one, two, three]) => {
      const kinds = [one, two, three];
      const { calls } = engine;
      const sessions = all.map(([who, kind]) => sessionOf(who, kinds[kind] ?? one));
      expect(calls.ruleSetCount()).toBeLessThanOrEqual(3);
      for (const session of sessions) calls.setRules(session, internRules(engine, two));
      expect(calls.ruleSetCount()).toBe(1);
      for (const session of sessions) calls.endSession(session);
      expect(calls.ruleSetCount()).toBe(0);
      expect(calls.ruleSetBytes()).toBe(0);
    },
  );
  fc.assert(property, { numRuns: numRuns / 10 });
});

afterAll(() => {
  engine.calls.freeSessionTable();
  expect(engine.calls.heapBlocksUsed()).toBe(0);
});

/** Every topic of few levels, over names that no filter of this file has as well. */
const EVERY_TOPIC = (() => {
  const names = ["a", "b", "x-a", "", "$x", "dev", "ü", "other"];
  let topics = names;
  const all: string[] = [...topics];
  for (let depth = 1; depth < 5; depth++) {
    topics = topics.flatMap((head) => names.map((name) => `${head}/${name}`));
    if (topics.length > 3_000) topics = topics.filter((_, index) => index % 7 < 3);
    all.push(...topics);
  }
  return all.filter((text) => text !== "");
})();

/**
 * Topics that a filter matches, so many that each set that the others tell apart has one: in
 * each open place a name of theirs, or one that nobody has.
 */
function topicsOf(one: string, others: readonly string[]): readonly string[] {
  const wanted = one.split("/");
  const isOpen = wanted.at(-1) === "#";
  if (isOpen) wanted.pop();
  const split = others.map((other) => other.split("/"));
  const longest = Math.max(0, ...split.map(({ length }) => length));
  const depthMax = isOpen ? Math.max(longest, wanted.length) + 1 : wanted.length;
  let topics: readonly string[][] = [[]];
  const found: string[] = [];
  for (let depth = 0; depth <= depthMax; depth++) {
    if (depth >= wanted.length) found.push(...topics.map((levels) => levels.join("/")));
    const level = wanted[depth] ?? "+";
    const names = split.flatMap((levels) => levels[depth] ?? []);
    const open = [...new Set([...names.filter((name) => !/[+#]/.test(name)), "other"])];
    topics = topics.flatMap((levels) =>
      (level === "+" ? open : [level]).map((name) => [...levels, name]),
    );
  }
  return found.filter((topic) => topic !== "");
}

test("one filter is covered by others exactly where all that it matches is matched", () => {
  const property = fc.property(filter, fc.array(filter, { maxLength: 4 }), (one, others) => {
    const isMatched = (name: string) => others.some((other) => filterMatches(other, name));
    const topics = topicsOf(one, others).filter((name) => filterMatches(one, name));
    expect(isCovered(one, others)).toBe(topics.every(isMatched));
  });
  fc.assert(property, { numRuns: 300 });
});

test("what both match is the filter that their intersection is", () => {
  const property = fc.property(filter, filter, (one, other) => {
    const both = intersectionOf(one, other);
    const wrong = EVERY_TOPIC.filter((name) => {
      const isBoth = filterMatches(one, name) && filterMatches(other, name);
      return isBoth !== (both !== null && filterMatches(both, name));
    });
    expect(wrong).toEqual([]);
  });
  fc.assert(property, { numRuns: 100 });
});

test("a filter may be read as a whole exactly where each of its topics may be", () => {
  const who = { clientId: "a", userName: "b", rules: null };
  const property = fc.property(rules, filter, (all, asked) => {
    const plain = { ...all, rules: all.rules.filter(({ isLiteral }) => !isLiteral) };
    const filters = plain.rules.map((rule) => rule.filter.replaceAll("%c", "a"));
    const topics = topicsOf(
      asked,
      filters.map((text) => text.replaceAll("%u", "b")),
    ).filter((name) => filterMatches(asked, name));
    const denied = topics.find((name) => !naive(plain, who, READ, name));
    if (mayReadAll(plain, who, asked)) expect(denied).toBeUndefined();
    else if (!asked.includes("$") && (all.defaults & READ) === 0) expect(denied).toBeDefined();
  });
  fc.assert(property, { numRuns: 300 });
});
