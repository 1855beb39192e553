/**
 * Messages for a group of shared subscriptions, whatever its members do: each reaches somebody, and
 * nobody else as long as the Session of who got it lasts. MQTT 5.0 §4.8.2.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { EngineHarness } from "../support/engine-harness.ts";
import {
  beginClient,
  type ClientOptions,
  connectClient,
  type HarnessClient,
} from "../support/engine-harness-client.ts";
import { acknowledgement, utf8 } from "../support/packets.ts";
import type { PublishPacket, QoS } from "../support/packets-types.ts";

const { PROPERTY_RUNS } = process.env;
const numRuns = Number(PROPERTY_RUNS ?? 300);

const SETTINGS = { inflightMessagesMax: 40, outgoingBytesMax: 65_536, receiveMaximum: 65_535 };
const FILTER = "$share/group/t/+";
const PUBLISHERS = 2;
const STRATEGIES = ["round-robin", "least-inflight", "sticky-by-publisher"] as const;

/** The first stays a member; those without an expiry end with their connection. */
const MEMBERS: readonly ClientOptions[] = [
  { clean: false, expirySeconds: 1000, receiveMaximum: 2 },
  { clean: false, expirySeconds: 1000, receiveMaximum: 3 },
  { receiveMaximum: 1 },
  { receiveMaximum: 5 },
];

type Step =
  | {
      readonly kind: "publish";
      readonly publisher: number;
      readonly qos: QoS;
      readonly size: number;
    }
  | { readonly kind: "answer"; readonly member: number; readonly index: number }
  | { readonly kind: "drop" | "return" | "clean" | "slow" | "release"; readonly member: number }
  | { readonly kind: "turn" };

const member = fc.nat(MEMBERS.length - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant("publish" as const),
      publisher: fc.nat(PUBLISHERS - 1),
      qos: fc.constantFrom<QoS>(1, 1, 2),
      size: fc.constantFrom(0, 100, 30_000),
    }),
  },
  {
    weight: 10,
    arbitrary: fc.record({ kind: fc.constant("answer" as const), member, index: fc.nat(50) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom("drop", "return", "return", "clean", "slow", "release"),
      member,
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("turn" as const) }) },
);

/** A Session: it got these numbers, in this order, and is done with those. */
interface Incarnation {
  readonly name: string;
  readonly got: number[];
  readonly done: Set<number>;
  isOver: boolean;
}

class Member {
  readonly incarnations: Incarnation[] = [];
  readonly #harness: EngineHarness;
  readonly #index: number;
  client: HarnessClient | null = null;
  /** PUBLISH packets not answered yet; PUBRELs are answered at once. */
  #due: PublishPacket[] = [];

  constructor(harness: EngineHarness, index: number) {
    this.#harness = harness;
    this.#index = index;
  }

  get #options(): ClientOptions {
    return MEMBERS[this.#index] ?? {};
  }

  get #isLasting(): boolean {
    return this.#options.clean === false;
  }

  get #now(): Incarnation {
    const last = this.incarnations.at(-1);
    if (last === undefined) throw new Error("no Session yet");
    return last;
  }

  async come(clean = false): Promise<void> {
    if (this.client !== null) return;
    const isNew = clean || !this.#isLasting || this.incarnations.length === 0;
    const last = this.incarnations.at(-1);
    if (isNew && last !== undefined) last.isOver = true;
    const name = `member${this.#index}`;
    this.client = beginClient(this.#harness, name, { ...this.#options, clean: isNew });
    if (isNew) {
      const number = this.incarnations.length;
      this.incarnations.push({
        name: `${name}.${number}`,
        got: [],
        done: new Set(),
        isOver: false,
      });
      this.client.subscribe(FILTER, 2);
    }
    await this.#harness.settle();
    this.client.expectConnack();
  }

  /** Leaves, having seen all that was sent. */
  async go(): Promise<void> {
    if (this.client === null) return;
    await this.readOn();
    this.client.hangUp();
    this.client = null;
    this.#due = [];
    if (!this.#isLasting) this.#now.isOver = true;
  }

  /** Whatever it was sent arrives. */
  async readOn(): Promise<void> {
    if (this.client === null) return;
    this.client.wire.isSlow = false;
    this.client.wire.release();
    do await this.#harness.settle();
    while (this.read());
  }

  /** @returns whether anything came */
  read(): boolean {
    const packets = this.client?.take() ?? [];
    for (const packet of packets) {
      if (packet.type === "pubrel") {
        this.client?.send(acknowledgement("pubcomp", packet.packetIdentifier));
      }
      if (packet.type !== "publish") continue;
      this.#due.push(packet);
      const number = numberOf(packet);
      const isAgain = this.#now.got.includes(number);
      expect([number, packet.duplicate]).toEqual([number, isAgain]);
      if (!isAgain) this.#now.got.push(number);
    }
    const { receiveMaximum = 0 } = this.#options;
    expect(this.#due.length).toBeLessThanOrEqual(receiveMaximum);
    return packets.length > 0;
  }

  answer(index: number): boolean {
    const [packet] = this.#due.splice(index % Math.max(this.#due.length, 1), 1);
    if (packet === undefined || this.client === null) return false;
    this.client.acknowledge(packet);
    this.#now.done.add(numberOf(packet));
    return true;
  }
}

function numberOf({ payload }: PublishPacket): number {
  return Number(Buffer.from(payload).toString().split(" ")[0]);
}

class Life {
  readonly harness: EngineHarness;
  readonly members: readonly Member[];
  readonly published: { readonly number: number; readonly publisher: number; readonly qos: QoS }[] =
    [];
  readonly #publishers: HarnessClient[] = [];

  constructor(harness: EngineHarness) {
    this.harness = harness;
    this.members = MEMBERS.map((_, index) => new Member(harness, index));
  }

  async start(): Promise<void> {
    for (const one of this.members) await one.come();
    for (let i = 0; i < PUBLISHERS; i++) {
      this.#publishers.push(await connectClient(this.harness, `publisher${i}`));
    }
  }

  async play(next: Step): Promise<void> {
    if (next.kind === "turn") {
      await this.harness.turnOnce();
      this.#finish();
      return;
    }
    if (next.kind === "publish") {
      const number = this.published.length + 1;
      const { publisher, qos, size } = next;
      this.published.push({ number, publisher, qos });
      const payload = Buffer.concat([utf8(`${number} `), Buffer.alloc(size, 0x2e)]);
      const fields = { packetIdentifier: number, payload };
      this.#publishers[publisher]?.publish(`t/${publisher}`, qos, fields);
      return;
    }
    const chosen = this.members[next.member] as Member;
    chosen.read();
    if (next.kind === "answer") chosen.answer(next.index);
    else if (next.kind === "drop") await chosen.go();
    else if (next.kind === "return") await chosen.come();
    else if (next.kind === "clean") {
      await chosen.go();
      await chosen.come(true);
    } else if (chosen.client !== null) {
      chosen.client.wire.isSlow = next.kind === "slow";
      if (next.kind === "release") chosen.client.wire.release();
    }
  }

  #finish(): void {
    for (const one of this.#publishers) {
      for (const packet of one.take()) {
        if (packet.type === "pubrec") one.send(acknowledgement("pubrel", packet.packetIdentifier));
      }
    }
  }

  /** All come, and take what there is. */
  async end(): Promise<void> {
    for (const one of this.members) {
      await one.come();
      await one.readOn();
    }
    for (let isMore = true; isMore; ) {
      await this.harness.settle();
      this.#finish();
      await this.harness.settle();
      isMore = false;
      for (const one of this.members) {
        one.read();
        while (one.answer(0)) isMore = true;
      }
    }
  }
}

function judge({ members, published }: Life): void {
  const sessions = members.flatMap(({ incarnations }) => incarnations);
  for (const { number, qos } of published) {
    const receivers = sessions.filter(({ got }) => got.includes(number));
    const done = receivers.filter((one) => one.done.has(number));
    // Nobody's Session lasts but one's, and what that one is done with no other gets.
    expect(receivers.filter(({ isOver }) => !isOver).length).toBeLessThanOrEqual(1);
    expect(done.length).toBeLessThanOrEqual(1);
    if (qos === 1) expect([number, done.length]).toEqual([number, 1]);
    // QoS 2 once sent goes to no other [MQTT-4.8.2-5].
    else expect([number, receivers.length]).toEqual([number, 1]);
  }
}

/** Messages of a publisher reach a member in their order, where nothing came back to the group. */
function judgeOrder({ members, published }: Life): void {
  for (const { incarnations } of members) {
    for (const { got } of incarnations) {
      for (let publisher = 0; publisher < PUBLISHERS; publisher++) {
        const own = got.filter((number) => published[number - 1]?.publisher === publisher);
        expect(own).toEqual(own.toSorted((one, other) => one - other));
      }
    }
  }
}

test.for(STRATEGIES)(
  "%s: each message to one member [MQTT-4.8.2-4] [MQTT-4.8.2-5]",
  {
    timeout: 300_000,
  },
  async (sharedStrategy) => {
    let harness = new EngineHarness({ ...SETTINGS, sharedStrategy });
    const steps = fc.array(step, { minLength: 5, maxLength: 150, size: "max" });
    const property = fc.asyncProperty(steps, fc.boolean(), async (life, isSteady) => {
      try {
        const one = new Life(harness);
        await one.start();
        const ends = new Set(["drop", "return", "clean"]);
        for (const next of life) if (!(isSteady && ends.has(next.kind))) await one.play(next);
        await one.end();
        judge(one);
        if (isSteady) judgeOrder(one);
        await harness.clear();
        expect(harness.heap()).toEqual({ blocks: 0, bytes: 0 });
      } catch (error) {
        harness = new EngineHarness({ ...SETTINGS, sharedStrategy });
        throw error;
      }
    });
    // The seed and the path of a failure are in its message.
    await fc.assert(property, { numRuns });
  },
);
