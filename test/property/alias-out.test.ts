/**
 * Whoever applies the Topic Aliases that the broker sets sees the true topics, whatever was dropped
 * in between: for being too large, for slowness, with a connection.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { EngineHarness } from "../support/engine-harness.ts";
import { connectClient } from "../support/engine-harness-client.ts";
import { Receiver } from "../support/engine-harness-receiver.ts";
import { encode } from "../support/naive-encoder.ts";
import { acknowledgement, properties, publish, utf8 } from "../support/packets.ts";
import type { PublishPacket, QoS } from "../support/packets-types.ts";

const { PROPERTY_RUNS } = process.env;
const numRuns = Number(PROPERTY_RUNS ?? 200);

const SETTINGS = { outgoingBytesMax: 65_536, receiveMaximum: 65_535, topicAliasOutMax: 4 };
/** Of many lengths: what an alias saves differs. */
const TOPICS = ["a", "abc", "abcd", "t/0", "topic/1", "topic/2", "topic/3", "long/".repeat(40)];
const PACKET_BYTES_MAX = 300;
const MOST = { version: 5, clean: false, expirySeconds: 1000 } as const;
const RECEIVERS = [
  { ...MOST, topicAliasMaximum: 2, receiveMaximum: 5 },
  { ...MOST, topicAliasMaximum: 65_535, packetBytesMax: PACKET_BYTES_MAX },
  { ...MOST, topicAliasMaximum: 1, packetBytesMax: PACKET_BYTES_MAX, receiveMaximum: 3 },
  { ...MOST, packetBytesMax: PACKET_BYTES_MAX },
] as const;

const receiver = fc.nat(RECEIVERS.length - 1);
const step = fc.oneof(
  {
    weight: 14,
    arbitrary: fc.record({
      kind: fc.constant("publish" as const),
      topic: fc.constantFrom(...TOPICS),
      qos: fc.constantFrom<QoS>(0, 1, 2),
      // Around what fits with an alias, without, or not at all; and long enough to fill a wire.
      byteCount: fc.oneof(fc.nat(PACKET_BYTES_MAX), fc.constantFrom(260, 280, 30_000)),
      expirySeconds: fc.constantFrom(0, 0, 1000),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant("answer" as const), receiver, index: fc.nat(9) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom("slow" as const, "release" as const, "drop" as const),
      receiver,
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("turn" as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** What a receiver must get of a message, as one text. */
function textOf(topic: string, number: number): string {
  return `${number} ${topic} `;
}

class Life {
  readonly #harness: EngineHarness;
  readonly receivers: Receiver[];
  readonly published: { readonly packet: PublishPacket; readonly number: number }[] = [];
  #publisher: Awaited<ReturnType<typeof connectClient>> | undefined;

  constructor(harness: EngineHarness) {
    this.#harness = harness;
    this.receivers = RECEIVERS.map((options, index) => new Receiver(harness, `r${index}`, options));
  }

  async start(): Promise<void> {
    await this.#harness.settle();
    // One of them with a Subscription Identifier, which has a layout of its own.
    for (const [index, { client }] of this.receivers.entries()) {
      client.subscribe("#", 2, {}, index === 1 ? 300 : 0);
    }
    this.#publisher = await connectClient(this.#harness, "publisher");
  }

  async play(next: Step): Promise<void> {
    if (next.kind === "turn") return this.turn();
    if (next.kind === "publish") return this.#publish(next);
    const chosen = this.receivers[next.receiver] as Receiver;
    chosen.read();
    if (next.kind === "answer" && chosen.dueCount > 0) chosen.answer(next.index);
    if (next.kind === "slow") chosen.client.wire.isSlow = true;
    if (next.kind === "release") {
      chosen.client.wire.isSlow = false;
      chosen.client.wire.release();
    }
    if (next.kind === "drop") {
      chosen.client.hangUp();
      chosen.reconnect();
    }
  }

  #publish({ topic, qos, byteCount, expirySeconds }: Extract<Step, { kind: "publish" }>): void {
    const number = this.published.length + 1;
    const payload = Buffer.concat([utf8(textOf(topic, number)), Buffer.alloc(byteCount, 0x2e)]);
    const list = expirySeconds > 0 ? { message_expiry_interval: expirySeconds } : {};
    const packetIdentifier = qos > 0 ? number : 0;
    const fields = { topicName: topic, qos, packetIdentifier, payload };
    const packet = publish({ ...fields, properties: properties(list) });
    this.published.push({ packet, number });
    this.#publisher?.send(packet);
  }

  async turn(): Promise<void> {
    await this.#harness.turnOnce();
    for (const { type, ...rest } of this.#publisher?.take() ?? []) {
      if (type !== "pubrec" || !("packetIdentifier" in rest)) continue;
      this.#publisher?.send(acknowledgement("pubrel", rest.packetIdentifier));
    }
  }

  async finish(): Promise<void> {
    for (let i = 0; i < 4; i++) await this.turn();
    for (const each of this.receivers) await each.finish();
  }
}

/** Whether the packet fits without any alias, and with the receiver's Subscription Identifier. */
function fits(packet: PublishPacket, index: number): boolean {
  const { packetBytesMax = Number.POSITIVE_INFINITY } = RECEIVERS[index] as {
    packetBytesMax?: number;
  };
  return encode(5, packet).length + (index === 1 ? 3 : 0) <= packetBytesMax;
}

function expectTruth({ receivers, published }: Life): void {
  for (const [index, one] of receivers.entries()) {
    expect(one.faults).toEqual([]);
    const came = new Set<string>();
    for (const { topicName, payload } of one.received) {
      const [number, topic] = payload.split(" ");
      expect(topicName).toBe(topic);
      came.add(textOf(topicName, Number(number)));
    }
    for (const { packet, number } of published) {
      if (packet.qos > 0 && fits(packet, index)) {
        expect(came).toContain(textOf(packet.topicName, number));
      }
    }
  }
}

test("the topics are the true ones [MQTT-3.1.2-25] [MQTT-3.3.2-8]", {
  timeout: 300_000,
}, async () => {
  let harness = new EngineHarness(SETTINGS);
  let aliasedCount = 0;
  const steps = fc.array(step, { minLength: 10, maxLength: 120, size: "max" });
  const property = fc.asyncProperty(steps, async (list) => {
    if (harness.isBroken) harness = new EngineHarness(SETTINGS);
    try {
      const life = new Life(harness);
      await life.start();
      for (const next of list) await life.play(next);
      await life.finish();
      expectTruth(life);
      for (const one of life.receivers) aliasedCount += one.aliasedCount;
    } finally {
      if (!harness.isBroken) await harness.clear();
    }
  });
  await fc.assert(property, { numRuns, interruptAfterTimeLimit: 120_000 });
  expect(aliasedCount).toBeGreaterThan(numRuns);
});
