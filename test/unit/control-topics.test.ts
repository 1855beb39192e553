/** Answers on control topics: who gets them, and what becomes of one that is too long. */
import { expect, test } from "vitest";
import type { ControlEndpoint } from "../../src/access/control-request.ts";
import { EngineHarness } from "../support/engine-harness.ts";
import { connectClient, type HarnessClient } from "../support/engine-harness-client.ts";
import { fillWholly, free } from "../support/full-heap.ts";
import { utf8 } from "../support/packets.ts";

const TOPIC = "$CONTROL/test/v1";
/** What an answer costs beside its text: the packet's head, its topic, no properties. */
const HEAD_BYTES = 2 + 2 + `${TOPIC}/response`.length + 1;

/** An endpoint that repeats what it is asked. */
function echo(ends = false): ControlEndpoint {
  return {
    topic: TOPIC,
    ask: (request, _from, reply) => reply(Buffer.from(request).toString(), ends),
  };
}

async function asking(
  harness: EngineHarness,
  filter = "$CONTROL/test/#",
  ends = false,
): Promise<HarnessClient> {
  harness.dispatch.controlTopics.use(() => [echo(ends)]);
  const client = await connectClient(harness, "c");
  client.subscribe(filter, 0);
  await client.answers();
  return client;
}

async function ask(client: HarnessClient, text: string) {
  client.publish(TOPIC, 0, { payload: utf8(text) });
  await client.harness.settle();
  return client.takePublished().map(({ topicName, payload }) => {
    return [topicName, Buffer.from(payload).toString()];
  });
}

test("an answer goes to who asked, on the topic with /response, if it subscribes", async () => {
  const harness = new EngineHarness();
  const client = await asking(harness);
  expect(await ask(client, "x")).toEqual([[`${TOPIC}/response`, "x"]]);
  const other = await asking(harness, "$CONTROL/other/#");
  expect(await ask(other, "x")).toEqual([]);
});

test("one as long as Maximum Packet Size is sent, a longer one is told of", async () => {
  const harness = new EngineHarness();
  const client = await asking(harness);
  client.peer.connection.packetBytesMax = HEAD_BYTES + 5;
  expect(await ask(client, "12345")).toEqual([[`${TOPIC}/response`, "12345"]]);
  expect(harness.warnings).toEqual([]);
  expect(await ask(client, "123456")).toEqual([]);
  expect(harness.warnings).toEqual([
    `An answer on ${TOPIC}/response for c is larger than its Maximum Packet Size`,
  ]);
});

test("one without memory is told of, and what others took is given back", async () => {
  const harness = new EngineHarness({ memoryBytesMax: 8 * 1024 * 1024 });
  const client = await asking(harness);
  // The first ones make what is kept for the next.
  for (let i = 0; i < 4; i++) await ask(client, "x");
  const before = harness.engine.calls.heapBlocksUsed();
  expect(await ask(client, "x")).toHaveLength(1);
  expect(harness.engine.calls.heapBlocksUsed()).toBe(before);
  const full: ControlEndpoint = {
    topic: TOPIC,
    ask: (_request, _from, reply) => {
      const blocks = fillWholly(harness.engine);
      reply("x", false);
      free(harness.engine, blocks);
    },
  };
  harness.dispatch.controlTopics.use(() => [full]);
  expect(await ask(client, "x")).toEqual([]);
  expect(harness.warnings).toEqual([`An answer on ${TOPIC}/response for c finds no memory`]);
});

test("who may not stay ends behind its answer", async () => {
  const harness = new EngineHarness();
  const client = await asking(harness, "$CONTROL/test/#", true);
  client.publish(TOPIC, 0, { payload: utf8("x") });
  await harness.settle();
  expect(client.take().map(({ type }) => type)).toEqual(["publish", "disconnect"]);
});
