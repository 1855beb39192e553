/** Failed logins by address, rates of CONNECT, and overload, with the clock in hand. */
import { describe, expect, test } from "vitest";
import { FailedLogins } from "../../src/access/failed-logins.ts";
import {
  EPISODE_SECONDS,
  FAILED_ADDRESSES_MAX,
  FAILURES_FREE,
  REFUSAL_DELAY_MILLISECONDS_MIN,
} from "../../src/access/limits.ts";
import { CONNECT_ADDRESSES_MAX, OVERLOADED_SAMPLES_MIN } from "../../src/base/limits.ts";
import type { Log } from "../../src/base/log.ts";
import { Admission } from "../../src/protocol/admission.ts";
import type { NetworkConnection } from "../../src/session/network-connection.ts";
import { LISTENER_RULES } from "../support/listener-rules.ts";

function recordingLog() {
  const lines: string[] = [];
  const keep = (line: string): void => {
    lines.push(line);
  };
  const log = { warn: keep, notice: keep, error: keep } as unknown as Log;
  return { log, lines };
}

describe("failed logins", () => {
  test("wait longer each time, by address, up to a bound", () => {
    const { log, lines } = recordingLog();
    const failed = new FailedLogins(log);
    const delays = Array.from({ length: FAILURES_FREE + 6 }, () => failed.failed("a", 0, 2000));
    const first = REFUSAL_DELAY_MILLISECONDS_MIN;
    expect(delays.slice(FAILURES_FREE - 1)).toEqual(
      [0, first, 2 * first, 4 * first, 8 * first, 16 * first, 2000].slice(0, 7),
    );
    expect(failed.failed("b", 0, 2000)).toBe(0);
    expect(lines).toEqual([`${FAILURES_FREE + 1} failed logins from a; answers to it wait`]);
    for (let i = 0; i < 2000; i++) expect(failed.failed("a", 0, 2000)).toBe(2000);
    expect(failed.failureCount).toBe(FAILURES_FREE + 6 + 1 + 2000);
  });

  test("are forgotten when their address has failed no more for a while", () => {
    const { log, lines } = recordingLog();
    const failed = new FailedLogins(log);
    for (let i = 0; i <= FAILURES_FREE; i++) failed.failed("a", 0, 2000);
    failed.failed("b", 1, 2000);
    failed.tick(EPISODE_SECONDS - 1);
    expect(failed.addressCount).toBe(2);
    failed.tick(EPISODE_SECONDS);
    expect(failed.addressCount).toBe(1);
    expect(lines.at(-1)).toBe(`${FAILURES_FREE + 1} failed logins from a until it gave up`);
    expect(failed.failed("a", EPISODE_SECONDS, 2000)).toBe(0);
  });

  test(`of no more than ${FAILED_ADDRESSES_MAX} addresses are counted, the last ones`, () => {
    const { log } = recordingLog();
    const failed = new FailedLogins(log);
    for (let i = 0; i <= FAILURES_FREE; i++) failed.failed("first", 0, 2000);
    expect(failed.failed("first", 0, 2000)).toBeGreaterThan(0);
    for (let i = 0; i < FAILED_ADDRESSES_MAX; i++) failed.failed(`${i}`, 0, 2000);
    expect(failed.addressCount).toBe(FAILED_ADDRESSES_MAX);
    expect(failed.failed("first", 0, 2000)).toBe(0);
  });
});

/** A connection from an address to a listener of so many CONNECTs a second. */
function from(remote: string, rates: { connectRate?: number; connectRatePerAddress?: number }) {
  const wire = { remote, peer: null } as unknown as NetworkConnection["wire"];
  return { wire, rules: { ...LISTENER_RULES, ...rates } } as unknown as NetworkConnection;
}

describe("rates of CONNECT", () => {
  const unbounded = { overloadMilliseconds: Number.POSITIVE_INFINITY };

  function taken(admission: Admission, connection: NetworkConnection, nowMs: number): boolean {
    try {
      admission.judgeRate(connection, nowMs);
      return true;
    } catch (error) {
      expect(error).toMatchObject({ reasonCode: 0x9f });
      return false;
    }
  }

  test("of an address: a second's worth at once, then as time passes", () => {
    const admission = new Admission(recordingLog().log, unbounded);
    const one = from("192.0.2.1:99", { connectRatePerAddress: 10 });
    const at = (nowMs: number, count: number): number =>
      Array.from({ length: count }, () => taken(admission, one, nowMs)).filter((is) => is).length;
    expect(at(0, 20)).toBe(10);
    expect(at(100, 20)).toBe(1);
    expect(at(5000, 20)).toBe(10);
    expect(taken(admission, from("192.0.2.2:99", { connectRatePerAddress: 10 }), 5000)).toBe(true);
  });

  test("of a listener, whatever the address; each listener has its own", () => {
    const admission = new Admission(recordingLog().log, unbounded);
    const { rules } = from("", { connectRate: 3 });
    const come = (address: number): boolean =>
      taken(admission, { ...from(`192.0.2.${address}:9`, {}), rules } as NetworkConnection, 0);
    expect([1, 2, 3, 4].map(come)).toEqual([true, true, true, false]);
    expect(taken(admission, from("192.0.2.9:9", { connectRate: 3 }), 0)).toBe(true);
  });

  test("of an IPv6 network are of one", () => {
    const admission = new Admission(recordingLog().log, unbounded);
    const come = (remote: string) =>
      taken(admission, from(remote, { connectRatePerAddress: 1 }), 0);
    expect(come("2001:db8::1:99")).toBe(true);
    expect(come("2001:db8::ffff:99")).toBe(false);
    expect(come("2001:db8:0:1::1:99")).toBe(true);
  });

  test(`no more than ${CONNECT_ADDRESSES_MAX} addresses are known, the last ones`, () => {
    const admission = new Admission(recordingLog().log, unbounded);
    const come = (address: string) =>
      taken(admission, from(`${address}:9`, { connectRatePerAddress: 1 }), 0);
    expect(come("first")).toBe(true);
    expect(come("first")).toBe(false);
    for (let i = 0; i < CONNECT_ADDRESSES_MAX; i++) come(`${i}`);
    expect(admission.addressCount).toBe(CONNECT_ADDRESSES_MAX);
    expect(come("first")).toBe(true);
  });
});

describe("overload", () => {
  test("is late more than once; then new Sessions are refused, and known ones are not", () => {
    const { log, lines } = recordingLog();
    const settings = { overloadMilliseconds: 100 };
    let meanMilliseconds = 0;
    let stopped = 0;
    const admission = new Admission(log, settings, () => ({
      take: () => ({ meanMilliseconds, p99Milliseconds: 0, maxMilliseconds: 0 }),
      stop: () => {
        stopped++;
      },
    }));
    const judge = (hasSession: boolean) => (): void => admission.judgeLoad(() => hasSession);
    meanMilliseconds = 100;
    for (let i = 1; i < OVERLOADED_SAMPLES_MIN; i++) admission.tick();
    expect(judge(false)).not.toThrow();
    admission.tick();
    expect(judge(false)).toThrow(expect.objectContaining({ reasonCode: 0x89 }));
    expect(judge(true)).not.toThrow();
    meanMilliseconds = 99;
    admission.tick();
    expect(judge(false)).not.toThrow();
    expect(lines).toEqual([
      "The event loop is 100 ms late: new Sessions are refused",
      "The event loop is 99 ms late: new Sessions are taken again",
    ]);
    settings.overloadMilliseconds = Number.POSITIVE_INFINITY;
    admission.tick();
    expect(stopped).toBe(1);
  });
});
