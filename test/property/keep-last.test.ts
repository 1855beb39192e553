/**
 * queue_rule keep=last: what a client gets that was away is the newest message of each topic, in
 * the order of their coming, wherever the index step, a restart or a short visit came between.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import fc from "fast-check";
import { expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { checkStore } from "../../src/store/check.ts";
import { copyOf, temporaryDirectory } from "../support/store-directory.ts";
import { type StoreLife, startLife } from "../support/store-life.ts";

const { PROPERTY_RUNS } = process.env;
const numRuns = Number(PROPERTY_RUNS ?? 40);

const CLIENT = "truck7";
/** Turns in which nothing comes, after which nothing more will. */
const IDLE_TURNS = 10;
const DRAINING = 1;
const VISITING = 2;

/** Long enough for a row of its own, which several segments may refer to. */
const LONG_PAYLOAD = "x".repeat(9_000);

const event = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant("publish" as const),
      topic: fc.constantFrom("state/a", "state/b", "state/c", "state/d", "other/a", "other/b"),
      isLong: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.constant({ kind: "index" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "stop" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "kill" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "drain" as const }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("visit" as const),
      receiveMaximum: fc.integer({ min: 1, max: 3 }),
    }),
  },
);
type Event = typeof event extends fc.Arbitrary<infer Value> ? Value : never;

interface Message {
  readonly topic: string;
  readonly payload: string;
}

/** A broker with one Session, and what that is owed. */
class Player {
  #life!: StoreLife;
  #directory = temporaryDirectory();
  #sent: Message[] = [];
  #waiting: Message[] = [];
  #count = 0;
  replacedCount = 0;

  async start(): Promise<void> {
    this.#life = await startLife(this.#directory);
    const { calls, scratch } = this.#life.engine;
    const filter = Buffer.from("state/#");
    scratch.set(filter);
    expect(calls.addQueueRule(abi.SCRATCH, filter.length, 2 ** 30, 2 ** 40, 0, 0, 0, 1)).toBe(0);
  }

  async play(happens: Event): Promise<void> {
    if (happens.kind === "publish") this.#publish(happens.topic, happens.isLong);
    else if (happens.kind === "index") await this.#life.index();
    else if (happens.kind === "drain") await this.drain();
    else if (happens.kind === "visit") await this.#visit(happens.receiveMaximum);
    else await this.#restart(happens.kind === "stop");
    await this.#life.turn();
  }

  async open(): Promise<void> {
    await this.start();
    const session = this.#life.session(CLIENT, "#");
    this.#life.engine.calls.detachSession(session, 0);
    await this.#life.turn();
  }

  #publish(topic: string, isLong: boolean): void {
    const payload = `${this.#count++} ${isLong ? LONG_PAYLOAD : ""}`;
    this.#life.publish(topic, payload);
    if (topic.startsWith("state/")) {
      const kept = this.#waiting.filter((message) => message.topic !== topic);
      this.replacedCount += this.#waiting.length - kept.length;
      this.#waiting = kept;
    }
    this.#waiting.push({ topic, payload });
  }

  /** The client comes, acknowledges nothing, and goes. */
  async #visit(receiveMaximum: number): Promise<void> {
    const { calls } = this.#life.engine;
    const session = this.#life.find(CLIENT);
    calls.openConnection(VISITING);
    calls.acceptConnection(VISITING, 5, 0, 0);
    calls.attachSession(session, VISITING, receiveMaximum);
    calls.pump(session);
    for (let idle = 0; idle < IDLE_TURNS; idle++) {
      await this.#life.turn();
      await nextTurn();
    }
    calls.detachSession(session, 0);
    calls.closeConnection(VISITING);
    const more = Math.max(0, receiveMaximum - this.#sent.length);
    this.#sent.push(...this.#waiting.splice(0, more));
  }

  /** The client comes and gets all there is. */
  async drain(): Promise<void> {
    const payloads = await this.#life.drain(this.#life.find(CLIENT), DRAINING);
    const expected = [...this.#sent, ...this.#waiting].map(({ payload }) => payload.slice(0, 8));
    expect(payloads.map((payload) => payload.toString("utf8", 0, 8))).toEqual(expected);
    this.#sent = [];
    this.#waiting = [];
  }

  async #restart(inOrder: boolean): Promise<void> {
    if (inOrder) await this.#life.close();
    const next = copyOf(this.#directory);
    await this.#life.close();
    this.#directory = next;
    await this.start();
  }

  async check(): Promise<void> {
    await this.#life.close();
    const lines: string[] = [];
    await checkStore(
      this.#directory,
      (line) => lines.push(line),
      () => undefined,
    );
    expect(lines).toEqual([]);
  }
}

test("a client that was away gets the newest message of each topic, in order", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 5, maxLength: 60 }), async (events) => {
      const player = new Player();
      await player.open();
      for (const happens of events) await player.play(happens);
      await player.drain();
      await player.check();
    }),
    { numRuns },
  );
}, 120_000);
