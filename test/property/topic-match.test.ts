import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SCRATCH } from "#assembly/abi";
import { naiveMatch } from "../support/naive-match.ts";
import {
  COMPILE_TIMEOUT_MS,
  ENGINE_FORMS,
  loadTreeEngine,
  type Receiver,
  receiversOf,
  retainedTopics,
  type TreeEngine,
} from "../support/tree-engine.ts";

const SESSIONS = 4;
const RUNS = 150;

const label = fc.constantFrom("", "a", "b", "ab", "$", "$a", "a label beyond eight bytes");
const level = fc.oneof({ weight: 3, arbitrary: label }, fc.constant("+"));
const topic = fc.array(label, { minLength: 1, maxLength: 4 }).map((levels) => levels.join("/"));
const filter = fc
  .tuple(fc.array(level, { maxLength: 4 }), fc.boolean())
  .filter(([levels, hash]) => levels.length > 0 || hash)
  .map(([levels, hash]) => (hash ? [...levels, "#"] : levels).join("/"));
const sessionIndex = fc.nat(SESSIONS - 1);

const command = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("subscribe" as const),
      session: sessionIndex,
      filter,
      options: fc.nat(2).chain((qos) => fc.nat(3).map((bits) => qos | (bits << 2))),
      identifier: fc.nat(2),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("unsubscribe" as const),
      session: sessionIndex,
      filter,
      pick: fc.nat(20),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("drop" as const), session: sessionIndex }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("match" as const), topic }) },
);

type Subscription = Readonly<{ options: number; identifier: number }>;

type Model = Map<string, Subscription>[];

/** What the receiver list should say of one Session, or nothing. */
function naiveReceiver(
  subscriptions: ReadonlyMap<string, Subscription>,
  name: string,
): Omit<Receiver, "session"> | undefined {
  const matching = [...subscriptions].filter(([text]) => naiveMatch(text, name));
  const found = matching.map(([, subscription]) => subscription);
  const [first] = found;
  if (first === undefined) return undefined;
  let bits = Math.max(...found.map(({ options }) => options & 3));
  if (found.some(({ options }) => (options & 8) !== 0)) bits |= 4;
  if (found.some(({ options }) => (options & 4) !== 0)) bits |= 8;
  if (found.length > 1) bits |= 16;
  if (found.every(({ options }) => (options & 4) !== 0)) bits |= 32;
  if (found.some(({ identifier }) => identifier !== 0)) bits |= 64;
  const several = found.map(({ options, identifier }) => [options, identifier] as const);
  return {
    number: 0,
    bits,
    identifier: found.length > 1 ? 0 : first.identifier,
    several: found.length > 1 ? several.sort(compare) : [],
  };
}

function compare(left: readonly number[], right: readonly number[]): number {
  return (left[0] ?? 0) - (right[0] ?? 0) || (left[1] ?? 0) - (right[1] ?? 0);
}

function expectMatch(engine: TreeEngine, sessions: number[], model: Model, name: string): void {
  const receivers = receiversOf(engine, name);
  const wanted = model.flatMap((subscriptions, index) => {
    const receiver = naiveReceiver(subscriptions, name);
    return receiver ? [{ ...receiver, session: sessions[index], number: index }] : [];
  });
  const found = receivers
    .map((receiver) => ({ ...receiver, several: [...receiver.several].sort(compare) }))
    .sort((left, right) => left.number - right.number);
  expect(found).toEqual(wanted);
}

type Command = typeof command extends fc.Arbitrary<infer Value> ? Value : never;

function run(engine: TreeEngine, sessions: number[], model: Model, step: Command): void {
  const { exports } = engine;
  if (step.kind === "match") {
    // Three times: cold, let into the cache, and from the cache.
    for (let time = 0; time < 3; time++) expectMatch(engine, sessions, model, step.topic);
    return;
  }
  const session = sessions[step.session] ?? 0;
  const subscriptions = model[step.session] ?? new Map();
  if (step.kind === "drop") {
    exports.dropSubscriptions(session);
    subscriptions.clear();
    return;
  }
  if (step.kind === "subscribe") {
    const { filter: text, options, identifier } = step;
    const status = exports.subscribe(session, SCRATCH, engine.put(text), options, identifier);
    expect(status).toBe(subscriptions.has(text) ? 1 : 0);
    subscriptions.set(text, { options, identifier });
    return;
  }
  const text = [...subscriptions.keys()][step.pick] ?? step.filter;
  const status = exports.unsubscribe(session, SCRATCH, engine.put(text));
  expect(status).toBe(subscriptions.delete(text) ? 0 : 1);
}

describe.each(ENGINE_FORMS)("%s", (form) => {
  test(
    "match is what the naive matcher says, whatever came before",
    async () => {
      const engine = await loadTreeEngine(form);
      const sessions = Array.from({ length: SESSIONS }, (_, index) => engine.session(index));
      const before = engine.exports.heapBytesUsed();
      fc.assert(
        fc.property(fc.array(command, { maxLength: 80, size: "max" }), (commands) => {
          const model: Model = sessions.map(() => new Map());
          for (const step of commands) run(engine, sessions, model, step);
          expect(engine.exports.subscriptionCount()).toBe(
            model.reduce((sum, subscriptions) => sum + subscriptions.size, 0),
          );
          for (const session of sessions) engine.exports.dropSubscriptions(session);
          engine.exports.clearCache();
          expect(engine.exports.heapBytesUsed()).toBe(before);
        }),
        { numRuns: RUNS },
      );
    },
    COMPILE_TIMEOUT_MS,
  );

  test(
    "a cursor finds what the naive matcher does, in any slices",
    async () => {
      const engine = await loadTreeEngine(form);
      const before = engine.exports.heapBytesUsed();
      const change = fc.tuple(fc.boolean(), topic);
      const inputs = [
        fc.array(change, { maxLength: 40, size: "max" }),
        filter,
        fc.integer({ min: 1, max: 9 }),
      ] as const;
      fc.assert(
        fc.property(...inputs, (changes, text, stepsMax) => {
          const kept = new Set<string>();
          for (const [add, name] of changes) {
            const length = engine.put(name);
            if (add) expect(engine.exports.retainedSet(SCRATCH, length, 8)).toBe(0);
            else
              expect(engine.exports.retainedRemove(SCRATCH, length)).toBe(kept.has(name) ? 8 : 0);
            if (add) kept.add(name);
            else kept.delete(name);
          }
          const wanted = [...kept].filter((name) => naiveMatch(text, name)).sort();
          expect(retainedTopics(engine, text, stepsMax).sort()).toEqual(wanted);
          for (const name of kept) engine.exports.retainedRemove(SCRATCH, engine.put(name));
          expect(engine.exports.heapBytesUsed()).toBe(before);
        }),
        { numRuns: RUNS },
      );
    },
    COMPILE_TIMEOUT_MS,
  );

  test("a cursor survives any change of the tree and finds all that stayed", async () => {
    const engine = await loadTreeEngine(form);
    const before = engine.exports.heapBytesUsed();
    const change = fc.tuple(fc.boolean(), topic);
    const inputs = [
      fc.array(topic, { maxLength: 20, size: "max" }),
      fc.array(change, { maxLength: 40, size: "max" }),
      filter,
    ] as const;
    fc.assert(
      fc.property(...inputs, (start, changes, text) => {
        const { exports } = engine;
        const kept = new Set(start);
        for (const name of kept) exports.retainedSet(SCRATCH, engine.put(name), 8);
        const stayed = new Set(kept);
        const ever = new Set(kept);
        const cursor = exports.cursorOpen(SCRATCH, engine.put(text));
        const found: string[] = [];
        const pending = [...changes];
        for (let value = 1; value !== 0; ) {
          const next = pending.shift();
          if (next?.[0]) {
            exports.retainedSet(SCRATCH, engine.put(next[1]), 8);
            kept.add(next[1]);
            ever.add(next[1]);
          } else if (next) {
            exports.retainedRemove(SCRATCH, engine.put(next[1]));
            kept.delete(next[1]);
            stayed.delete(next[1]);
          }
          value = exports.cursorNext(cursor, 1);
          if (value > 1) found.push(engine.text(SCRATCH, exports.cursorTopic(cursor, SCRATCH)));
        }
        exports.cursorClose(cursor);
        expect(new Set(found).size).toBe(found.length);
        for (const name of found) expect(ever.has(name) && naiveMatch(text, name)).toBe(true);
        for (const name of stayed) if (naiveMatch(text, name)) expect(found).toContain(name);
        for (const name of kept) exports.retainedRemove(SCRATCH, engine.put(name));
        while (exports.retainedPrune(100) !== 0);
        expect(exports.heapBytesUsed()).toBe(before);
      }),
      { numRuns: RUNS },
    );
  });
});
