/** The wheel of deadlines. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { DeadlineWheel } from "../../src/session/wheel.ts";

const START = 1_700_000_000;

test("each item is due once, at its second or at the first tick behind it, in order", () => {
  const action = fc.oneof(
    fc.record({ add: fc.integer({ min: -5, max: 60 }) }),
    fc.record({ tick: fc.integer({ min: 0, max: 40 }) }),
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      let now = START;
      const due: { readonly item: number; readonly at: number }[] = [];
      const wheel = new DeadlineWheel<number>(START, (item) => due.push({ item, at: now }));
      const deadlines: number[] = [];
      for (const each of actions) {
        if ("add" in each) {
          wheel.add(deadlines.length, now + each.add);
          deadlines.push(now + each.add);
        } else {
          now += each.tick;
          wheel.tick(now);
        }
      }
      now += 1_000;
      wheel.tick(now);
      expect(due.map(({ item }) => item).sort((one, other) => one - other)).toEqual(
        deadlines.map((_, index) => index),
      );
      for (const { item, at } of due) expect(at).toBeGreaterThanOrEqual(deadlines[item] ?? 0);
    }),
  );
});

test("a fraction of a second is rounded up", () => {
  const due: string[] = [];
  const wheel = new DeadlineWheel<string>(START, (item) => due.push(item));
  wheel.add("a", START + 1.5);
  wheel.tick(START + 1);
  expect(due).toEqual([]);
  wheel.tick(START + 2);
  expect(due).toEqual(["a"]);
});

test("after a long sleep all that is due comes at once, the earliest first", () => {
  const due: number[] = [];
  const wheel = new DeadlineWheel<number>(START, (_, second) => due.push(second));
  for (const later of [500, 3, 90_000]) wheel.add(later, START + later);
  wheel.tick(START + 1_000_000);
  expect(due).toEqual([START + 3, START + 500, START + 90_000]);
});

test("what is added while a second empties waits for the next tick", () => {
  const due: string[] = [];
  const wheel: DeadlineWheel<string> = new DeadlineWheel(START, (item) => {
    due.push(item);
    if (due.length < 3) wheel.add("again", START);
  });
  wheel.add("first", START + 1);
  wheel.tick(START + 1);
  expect(due).toEqual(["first"]);
  wheel.tick(START + 2);
  expect(due).toEqual(["first", "again"]);
});

test("what was taken out is never due, and leaves nothing behind", () => {
  const due: string[] = [];
  const wheel = new DeadlineWheel<string>(START, (item) => due.push(item));
  const second = wheel.add("gone", START + 5.5);
  expect(second).toBe(START + 6);
  wheel.add("stays", START + 6);
  wheel.remove("gone", second);
  wheel.remove("gone", second);
  wheel.remove("never there", START + 9);
  wheel.tick(START + 10);
  expect(due).toEqual(["stays"]);
});

test("where the clock is set back, what comes then is due by it, and the rest as it was", () => {
  const due: string[] = [];
  const wheel = new DeadlineWheel<string>(START, (item) => due.push(item));
  wheel.tick(START + 3_600);
  wheel.add("before", START + 3_610);
  wheel.backTo(START);
  const second = wheel.add("soon", START + 5);
  wheel.add("passed", START - 5);
  wheel.add("gone", START + 5);
  wheel.remove("gone", second);
  wheel.tick(START);
  expect(due).toEqual([]);
  wheel.tick(START + 1);
  expect(due).toEqual(["passed"]);
  wheel.tick(START + 5);
  expect(due).toEqual(["passed", "soon"]);
  wheel.tick(START + 3_609);
  expect(due).toHaveLength(2);
  wheel.tick(START + 3_610);
  expect(due).toEqual(["passed", "soon", "before"]);
});
