/** What rules and verdicts may take of the memory, and mount points: each limit is hit. */
import { beforeEach, expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { READ, WRITE } from "../../src/access/access-rules.ts";
import { internRules } from "../../src/access/rule-set.ts";
import { Engine } from "../../src/engine/engine.ts";
import { ENGINE_BUILD } from "../support/engine-harness.ts";

let engine: Engine;
let session = 0;
const CONNECTION = 1;

function start(memoryBytesMax: number): void {
  engine = new Engine({ build: ENGINE_BUILD, memoryBytesMax });
  const { calls, scratch } = engine;
  calls.configure(250_000, 100, 100, 100, 1_000_000, 1_000_000, 10, 250_000, 1, 0);
  calls.openConnection(CONNECTION);
  calls.acceptConnection(CONNECTION, 4, 0, 0);
  session = calls.createSession(abi.SCRATCH, scratch.write("client"), 0, 4, 0) >>> 0;
  const filter = { isLiteral: false, allows: true } as const;
  const rules = [{ ...filter, actions: READ | WRITE, filter: "#" }];
  calls.setRules(session, internRules(engine, { rules, defaults: 0 }));
  calls.attachSession(session, CONNECTION, 100);
}

beforeEach(() => start(64 * 1024 * 1024));

/** One PUBLISH of QoS 0 with this topic. */
function publish(topic: string): number {
  const body = Buffer.byteLength(topic) + 2;
  const head = body < 128 ? [0x30, body] : [0x30, (body & 0x7f) | 0x80, body >> 7];
  const packet = Buffer.from([...head, 0, 0, ...Buffer.from(topic)]);
  packet.writeUInt16BE(Buffer.byteLength(topic), head.length);
  engine.readRegion.set(packet);
  return engine.calls.receive(CONNECTION, packet.length);
}

test("a client is remembered 128 topics, however many it uses", () => {
  const sizes: number[] = [];
  for (let i = 0; i < 20_000; i++) {
    expect(publish(`topic/${i}`)).toBe(abi.R_DONE);
    if (i % 1000 === 999) sizes.push(engine.calls.guardBytes());
  }
  const most = 128 * (8 + "topic/99999".length) + 32 * 32;
  expect(Math.max(...sizes)).toBeLessThanOrEqual(most);
  expect(Math.max(...sizes)).toBeGreaterThan(most / 2);
});

test("topics over 512 bytes are not remembered", () => {
  publish("x".repeat(512));
  const before = engine.calls.guardBytes();
  expect(before).toBeGreaterThan(512);
  for (let i = 0; i < 100; i++) publish(`${i}`.padEnd(513, "x"));
  expect(engine.calls.guardBytes()).toBe(before);
});

test("all that is remembered is a share of the memory; past it each topic is judged anew", () => {
  start(1024 * 1024);
  for (let i = 0; i < 200; i++) {
    expect(publish(`${i}`.padEnd(500, "x"))).toBe(abi.R_DONE);
    expect(engine.calls.guardBytes()).toBeLessThanOrEqual((1024 * 1024) / 32 + 1024);
  }
});

test("there may be 1024 mount points; one that is known has its number", () => {
  const { calls, scratch } = engine;
  for (let i = 1; i <= 1024; i++) {
    expect(calls.addMount(abi.SCRATCH, scratch.write(`site${i}/`))).toBe(i);
  }
  expect(calls.addMount(abi.SCRATCH, scratch.write("one too many/"))).toBe(0);
  expect(calls.addMount(abi.SCRATCH, scratch.write("site7/"))).toBe(7);
});

test("rules that find no memory are none: the Session keeps what it had", () => {
  const { calls, scratch } = engine;
  const topicBytes = scratch.write("any");
  expect(calls.mayRead(session, abi.SCRATCH, topicBytes)).toBe(1);
  const filter = "x".repeat(65_000);
  const rule = { actions: READ, allows: true, filter, isLiteral: true } as const;
  const tooMany = { rules: Array.from({ length: 2_000 }, () => rule), defaults: 0 };
  expect(internRules(engine, tooMany)).toBe(0);
  expect(calls.ruleSetCount()).toBe(1);
});
