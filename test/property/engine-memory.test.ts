/** Whatever clients do, when all is over the engine's heap is empty. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { EngineHarness } from "../support/engine-harness.ts";
import { CommandPlayer, life } from "../support/engine-harness-commands.ts";

const { PROPERTY_RUNS } = process.env;
const numRuns = Number(PROPERTY_RUNS ?? 400);

const SETTINGS = {
  packetBytesMax: 250_000,
  inflightMessagesMax: 8,
  queuedMessagesMax: 4,
  queuedBytesMax: 1_000_000,
  outgoingBytesMax: 65_536,
  topicAliasMax: 3,
};

const EMPTY = { blocks: 0, bytes: 0 };

test("every block is returned after any life of the clients", { timeout: 300_000 }, async () => {
  let harness = new EngineHarness(SETTINGS);
  const property = fc.asyncProperty(life, async (commands) => {
    if (harness.isBroken) harness = new EngineHarness(SETTINGS);
    // Empty, unless an earlier life left something: each is judged for its own.
    const before = harness.heap();
    const player = new CommandPlayer(harness);
    for (const next of commands) await player.play(next);
    await harness.clear(["$x", "$SYS"]);
    expect(harness.heap()).toEqual(before);
  });
  // The seed and the path of a failure are in its message.
  await fc.assert(property, { numRuns, interruptAfterTimeLimit: 120_000 });
  expect(harness.heap()).toEqual(EMPTY);
});

test("a clean start empties a Session of all it kept", async () => {
  const harness = new EngineHarness(SETTINGS);
  const player = new CommandPlayer(harness);
  const subscriber = {
    client: 0,
    version: 5,
    receiveMaximum: 3,
    topicAliasMaximum: 2,
    will: "none",
  } as const;
  const publisher = { ...subscriber, client: 1, kind: "connect", clean: true } as const;
  const lasting = { ...subscriber, kind: "connect", clean: false, expirySeconds: 1000 } as const;
  await player.play(lasting);
  const options = { noLocal: false, retainAsPublished: true, retainHandling: 0 } as const;
  await player.play({
    kind: "subscribe",
    client: 0,
    filter: "#",
    qos: 2,
    ...options,
    identifier: 1,
  });
  await player.play({ ...publisher, expirySeconds: 0 });
  await player.play({ kind: "settle" });
  await player.play({ kind: "hang up", client: 0 });
  const before = harness.heap();
  for (let i = 0; i < 10; i++) {
    const message = { topic: "a/b", qos: 1, retain: false, byteCount: 5_000 } as const;
    const plain = { packetIdentifier: 1, alias: 0, isAliasAlone: false, expirySeconds: 0 };
    await player.play({ kind: "publish", client: 1, ...message, ...plain });
  }
  await player.play({ kind: "settle" });
  expect(harness.heap().bytes).toBeGreaterThan(before.bytes + 50_000);
  await player.play({ ...lasting, clean: true, expirySeconds: 0 });
  await player.play({ kind: "settle" });
  await player.play({ kind: "hang up", client: 0 });
  await player.play({ kind: "hang up", client: 1 });
  await player.play({ kind: "settle" });
  expect(harness.engine.calls.sessionCount()).toBe(0);
  await harness.clear();
  expect(harness.heap()).toEqual(EMPTY);
});
