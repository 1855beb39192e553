/** Clients whose rules are judged, and change: when all is over the engine's heap is empty. */
import fc from "fast-check";
import { expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { type AccessRules, READ, WRITE } from "../../src/access/access-rules.ts";
import { internRules } from "../../src/access/rule-set.ts";
import { EngineHarness } from "../support/engine-harness.ts";
import { CommandPlayer, life } from "../support/engine-harness-commands.ts";

const { PROPERTY_RUNS } = process.env;
const numRuns = Number(PROPERTY_RUNS ?? 150);

const SETTINGS = {
  packetBytesMax: 250_000,
  inflightMessagesMax: 8,
  queuedMessagesMax: 4,
  queuedBytesMax: 1_000_000,
  outgoingBytesMax: 65_536,
  topicAliasMax: 3,
};

const rule = fc.record({
  actions: fc.constantFrom(READ, WRITE, READ | WRITE),
  allows: fc.boolean(),
  filter: fc.constantFrom("#", "a/#", "a/b", "+/b", "b", "%c/#", "a/%u"),
  isLiteral: fc.constant(false),
  substitutes: fc.constant(true as const),
});
const rules: fc.Arbitrary<AccessRules | null> = fc.option(
  fc.record({ rules: fc.array(rule, { maxLength: 4 }), defaults: fc.integer({ min: 0, max: 3 }) }),
);

/** Gives every Session other rules, as a reload does; now and then a bound of messages. */
function change(harness: EngineHarness, kinds: readonly (AccessRules | null)[], at: number): void {
  const { calls } = harness.engine;
  let session = calls.sessionAfter(0) >>> 0;
  for (let index = at; session !== 0; index++) {
    const isHidden = harness.engine.bytes[harness.engine.word(session + abi.SESSION_ID_AT)] === 0;
    const kind = kinds[index % kinds.length] ?? null;
    if (!isHidden) {
      const name = harness.engine.scratch.write(`user${index % 3}`);
      calls.setUser(session, abi.SCRATCH, name, index % 2);
      calls.setRules(session, kind === null ? 0 : internRules(harness.engine, kind));
      const isConnected = harness.engine.word(session + abi.SESSION_CONNECTION) !== 0;
      if (isConnected && index % 5 === 0) calls.limitRate(session, 1_000_000, 1_000_000);
    }
    session = calls.sessionAfter(session) >>> 0;
  }
}

test("no block is left of rules, verdicts and names", { timeout: 300_000 }, async () => {
  let harness = new EngineHarness(SETTINGS);
  const property = fc.asyncProperty(
    life,
    fc.array(rules, { minLength: 1, maxLength: 3 }),
    fc.integer({ min: 1, max: 6 }),
    async (commands, kinds, step) => {
      if (harness.isBroken) harness = new EngineHarness(SETTINGS);
      const before = harness.heap();
      const player = new CommandPlayer(harness);
      for (const [index, next] of commands.entries()) {
        await player.play(next);
        if (index % step === 0) change(harness, kinds, index);
      }
      await harness.clear(["$x", "$SYS"]);
      expect(harness.engine.calls.ruleSetCount()).toBe(0);
      expect(harness.engine.calls.guardBytes()).toBe(0);
      expect(harness.heap()).toEqual(before);
    },
  );
  // The seed and the path of a failure are in its message.
  await fc.assert(property, { numRuns, interruptAfterTimeLimit: 120_000 });
  expect(harness.heap()).toEqual({ blocks: 0, bytes: 0 });
});
