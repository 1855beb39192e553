/** The two clocks, where the machine's clock is set. */
import { expect, test } from "vitest";
import { Clock } from "../../src/base/clock.ts";

const START = 1_700_000_000_000;

/** A machine whose time passes as a test says. */
function machine() {
  const at = { wallMs: START, monotonicMs: 5_000 };
  const clock = new Clock({ wallMs: () => at.wallMs, monotonicMs: () => at.monotonicMs });
  const pass = (milliseconds: number): void => {
    at.wallMs += milliseconds;
    at.monotonicMs += milliseconds;
  };
  const set = (milliseconds: number): void => {
    at.wallMs += milliseconds;
  };
  return { clock, pass, set };
}

test("Unix time is the machine's", () => {
  const { clock, pass } = machine();
  expect(clock.unixMilliseconds()).toBe(START);
  pass(1_500);
  expect(clock.unixMilliseconds()).toBe(START + 1_500);
});

test("set forward, it is followed", () => {
  const { clock, pass, set } = machine();
  clock.unixMilliseconds();
  set(3_600_000);
  pass(1);
  expect(clock.unixMilliseconds()).toBe(START + 3_600_001);
});

test("set back, it goes on from where it was, at the pace of time", () => {
  const { clock, pass, set } = machine();
  clock.unixMilliseconds();
  set(-3_600_000);
  expect(clock.unixMilliseconds()).toBe(START);
  for (let second = 1; second <= 10; second++) {
    pass(1_000);
    expect(clock.unixMilliseconds()).toBe(START + second * 1_000);
  }
  // Set right again, and then right by an hour more, it is the machine's.
  set(3_600_000);
  expect(clock.unixMilliseconds()).toBe(START + 10_000);
  set(3_600_000);
  expect(clock.unixMilliseconds()).toBe(START + 3_610_000);
});

test("set back a little it is followed, and the little does not add up", () => {
  const { clock, pass, set } = machine();
  clock.unixMilliseconds();
  for (let time = 0; time < 100; time++) {
    pass(10_000);
    set(-200);
    clock.unixMilliseconds();
  }
  expect(clock.unixMilliseconds()).toBe(START + 100 * 9_800);
});

test("it is not earlier than what is on record", () => {
  const { clock, pass } = machine();
  clock.notBefore(START - 1_000);
  expect(clock.unixMilliseconds()).toBe(START);
  clock.notBefore(START + 60_000);
  expect(clock.unixMilliseconds()).toBe(START + 60_000);
  pass(1_000);
  expect(clock.unixMilliseconds()).toBe(START + 61_000);
});

test("a step is told of once, and not a small one, nor what adds up", () => {
  const { clock, pass, set } = machine();
  clock.unixMilliseconds();
  set(3_600_000);
  pass(500);
  expect([clock.takeStep(), clock.takeStep()]).toEqual([3_600, 0]);
  set(-7_200_000);
  pass(500);
  expect([clock.takeStep(), clock.takeStep()]).toEqual([-7_200, 0]);
  for (let time = 0; time < 20; time++) {
    set(-1_000);
    pass(500);
    expect(clock.takeStep()).toBe(0);
  }
});
