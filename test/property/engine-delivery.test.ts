/**
 * What is owed arrives: in order, QoS 2 exactly once, QoS 1 at least once, never more under way
 * than the receiver allows, never two under one Packet Identifier, across slow connections and
 * resumes.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { EngineHarness } from "../support/engine-harness.ts";
import { connectClient, type HarnessClient } from "../support/engine-harness-client.ts";
import { Receiver } from "../support/engine-harness-receiver.ts";
import { randomFrom } from "../support/mutate.ts";
import { acknowledgement, utf8 } from "../support/packets.ts";
import type { QoS } from "../support/packets-types.ts";

const { PROPERTY_RUNS } = process.env;
const numRuns = Number(PROPERTY_RUNS ?? 200);

const SETTINGS = { outgoingBytesMax: 65_536, inflightMessagesMax: 40, receiveMaximum: 65_535 };
const TOPICS = ["topic/0", "topic/1"];
const PUBLISHERS = 2;
const RECEIVERS = 3;

type Step =
  | {
      readonly kind: "publish";
      readonly publisher: number;
      readonly topic: string;
      readonly qos: QoS;
      readonly byteCount: number;
    }
  | { readonly kind: "answer"; readonly receiver: number; readonly index: number }
  | { readonly kind: "slow" | "release" | "drop"; readonly receiver: number }
  | { readonly kind: "turn" };

const receiver = fc.nat(RECEIVERS - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant("publish" as const),
      publisher: fc.nat(PUBLISHERS - 1),
      topic: fc.constantFrom(...TOPICS),
      qos: fc.constantFrom<QoS>(0, 1, 2),
      byteCount: fc.constantFrom(0, 100, 5_000, 40_000),
    }),
  },
  {
    weight: 10,
    arbitrary: fc.record({ kind: fc.constant("answer" as const), receiver, index: fc.nat(50) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom("slow" as const, "release" as const, "drop" as const),
      receiver,
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("turn" as const) }) },
);

/** Publishers and receivers of one run. */
class Delivery {
  readonly #harness: EngineHarness;
  readonly receivers: Receiver[];
  readonly #publishers: HarnessClient[] = [];
  /** Messages published, by publisher, topic and QoS: their numbers. */
  readonly published = new Map<string, number[]>();
  #count = 0;

  constructor(harness: EngineHarness) {
    this.#harness = harness;
    const lasting = { clean: false, expirySeconds: 1000 } as const;
    this.receivers = [
      new Receiver(harness, "r0", {
        version: 5,
        receiveMaximum: 3,
        topicAliasMaximum: 1,
        ...lasting,
      }),
      new Receiver(harness, "r1", { version: 4, clean: false }),
      new Receiver(harness, "r2", { version: 5, receiveMaximum: 20, ...lasting }),
    ];
  }

  async start(): Promise<void> {
    await this.#harness.settle();
    for (const { client } of this.receivers) client.subscribe("topic/+", 2);
    for (let i = 0; i < PUBLISHERS; i++) {
      this.#publishers.push(await connectClient(this.#harness, `p${i}`));
    }
    await this.#harness.settle();
  }

  async play(next: Step): Promise<void> {
    if (next.kind === "turn") return this.#turn();
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

  #publish({ publisher, topic, qos, byteCount }: Extract<Step, { kind: "publish" }>): void {
    const key = `${publisher} ${topic} ${qos}`;
    const number = ++this.#count;
    this.published.set(key, [...(this.published.get(key) ?? []), number]);
    const payload = Buffer.concat([utf8(`${key} ${number} `), Buffer.alloc(byteCount, 0x2e)]);
    const packetIdentifier = qos > 0 ? number : 0;
    this.#publishers[publisher]?.publish(topic, qos, { packetIdentifier, payload });
  }

  async #turn(): Promise<void> {
    await this.#harness.turnOnce();
    for (const one of this.#publishers) {
      for (const packet of one.take()) {
        if (packet.type === "pubrec") one.send(acknowledgement("pubrel", packet.packetIdentifier));
      }
    }
  }

  async finish(): Promise<void> {
    for (let i = 0; i < 4; i++) await this.#turn();
    for (const each of this.receivers) await each.finish();
    await this.#turn();
    await this.#harness.settle();
  }
}

/** The numbers of the messages that came, by publisher, topic and QoS. */
function numbersBy(one: Receiver): Map<string, number[]> {
  const byKey = new Map<string, number[]>();
  for (const { payload, qos, topicName } of one.received) {
    const [publisher, topic, sentQos, number] = payload.split(" ");
    expect(topic).toBe(topicName);
    expect(Number(sentQos)).toBe(qos);
    const key = `${publisher} ${topic} ${sentQos}`;
    byKey.set(key, [...(byKey.get(key) ?? []), Number(number)]);
  }
  return byKey;
}

function expectDelivered(delivery: Delivery): void {
  for (const one of delivery.receivers) {
    expect(one.faults).toEqual([]);
    const numbers = numbersBy(one);
    for (const [key, sent] of delivery.published) {
      const came = numbers.get(key) ?? [];
      if (!key.endsWith("0")) expect(came).toEqual(sent);
      // QoS 0 may be lost, never overtaken.
      expect(came).toEqual(sent.filter((number) => came.includes(number)));
    }
  }
}

test("order is kept and nothing is lost or doubled", { timeout: 300_000 }, async () => {
  let harness = new EngineHarness(SETTINGS);
  const steps = fc.array(step, { minLength: 10, maxLength: 120, size: "max" });
  const property = fc.asyncProperty(steps, async (list) => {
    if (harness.isBroken) harness = new EngineHarness(SETTINGS);
    try {
      const delivery = new Delivery(harness);
      await delivery.start();
      for (const next of list) await delivery.play(next);
      await delivery.finish();
      expectDelivered(delivery);
    } finally {
      if (!harness.isBroken) await harness.clear();
    }
  });
  await fc.assert(property, { numRuns, interruptAfterTimeLimit: 120_000 });
});

test("Packet Identifiers go round without colliding", { timeout: 120_000 }, async () => {
  const MESSAGES = 70_500;
  const BATCH = 150;
  const seed = Date.now() % 2 ** 31;
  const random = randomFrom(seed);
  const harness = new EngineHarness({ ...SETTINGS, inflightMessagesMax: 500 });
  const options = { version: 5, receiveMaximum: 200, clean: false, expirySeconds: 1000 } as const;
  const one = new Receiver(harness, "receiver", options);
  const publisher = await connectClient(harness, "publisher");
  one.client.subscribe("t", 2);
  await harness.settle();
  for (let sent = 0; sent < MESSAGES; ) {
    for (let i = 0; i < BATCH; i++, sent++) {
      const qos = sent % 2 === 0 ? 1 : 2;
      const payload = utf8(`${sent}`);
      publisher.publish("t", qos, { packetIdentifier: 1 + (sent % 60_000), payload });
    }
    await harness.settle();
    for (const packet of publisher.take()) {
      if (packet.type !== "pubrec") continue;
      publisher.send(acknowledgement("pubrel", packet.packetIdentifier));
    }
    one.read();
    // Some stay unanswered for a while.
    while (one.dueCount > 30) {
      one.answer(random(one.dueCount));
      if (random(8) === 0) await harness.turnOnce();
      one.read();
    }
  }
  await one.finish();
  expect(one.faults, `seed ${seed}`).toEqual([]);
  const numbers = one.received.map(({ payload }) => Number(payload));
  expect(numbers.length).toBe(MESSAGES);
  expect(numbers.every((number, index) => number === index)).toBe(true);
  expect(one.inFlightCountMax).toBeGreaterThan(100);
});
