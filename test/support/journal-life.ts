/**
 * Random lives for the journal: clients that come and go with Sessions that last and Sessions that
 * do not, acknowledge in any order and in part, and fill queues past their limits.
 */
import fc, { type Arbitrary } from "fast-check";
import { vi } from "vitest";
import type { EngineHarness } from "./engine-harness.ts";
import { beginClient, type HarnessClient } from "./engine-harness-client.ts";
import { acknowledgement, properties, unsubscribe, utf8, will } from "./packets.ts";
import type { AcknowledgementType, QoS, Version } from "./packets-types.ts";

/** Client Identifiers of the lives; the last is always transient. */
export const CLIENT_IDENTIFIERS = ["one", "two", "three", "four", "transient"];

const TOPICS = ["a", "a/b", "a/b/c", "b/b", "$x/a"];
const FILTERS = ["#", "a/#", "+/b", "a/b", "a/+/c", "+", "$x/#"];
/** One: the order of what several groups kept for a client is not part of its State. */
const SHARED_FILTER = "$share/one/a/#";
/** The last two are kept apart from the page. */
const SIZES = [0, 10, 10, 300, 5_000, 70_000, 150_000];

type Client = { readonly client: number };

type Connect = Client & {
  readonly kind: "connect";
  readonly version: Version;
  readonly clean: boolean;
  readonly expirySeconds: number;
  readonly receiveMaximum: number;
  readonly will: "none" | "now" | "delayed" | "retained";
};

type Publish = Client & {
  readonly kind: "publish";
  readonly topic: string;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly byteCount: number;
  readonly packetIdentifier: number;
  readonly alias: number;
  readonly expirySeconds: number;
  readonly count: number;
};

type Subscribe = Client & {
  readonly kind: "subscribe";
  readonly filter: string;
  readonly qos: QoS;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: 0 | 1 | 2;
  readonly identifier: number;
};

export type LifeEvent =
  | Connect
  | Subscribe
  | Publish
  | (Client & { readonly kind: "unsubscribe"; readonly filter: string })
  /** Each pick answers one of the packets that wait for an answer. */
  | (Client & {
      readonly kind: "acknowledge";
      readonly picks: readonly number[];
      readonly isFailure: boolean;
    })
  | (Client & { readonly kind: "release"; readonly packetIdentifier: number })
  | (Client & {
      readonly kind: "stray";
      readonly type: AcknowledgementType;
      readonly packetIdentifier: number;
    })
  | (Client & { readonly kind: "disconnect"; readonly expirySeconds: number | null })
  | (Client & { readonly kind: "hang up" | "slow" | "read" })
  | { readonly kind: "turn" | "settle" }
  | { readonly kind: "advance"; readonly seconds: number };

const client = fc.nat(CLIENT_IDENTIFIERS.length - 1);
const qos: Arbitrary<QoS> = fc.constantFrom(0, 1, 1, 2, 2);
const filter = fc.constantFrom(...FILTERS, SHARED_FILTER);
const packetIdentifier = fc.integer({ min: 1, max: 5 });

const connectEvent: Arbitrary<Connect> = fc.record({
  kind: fc.constant("connect"),
  client,
  version: fc.constantFrom<Version>(3, 4, 4, 5, 5, 5),
  clean: fc.constantFrom(false, false, false, true),
  expirySeconds: fc.constantFrom(0, 5, 1000, 1000, 0xffff_ffff),
  receiveMaximum: fc.constantFrom(1, 2, 65_535),
  will: fc.constantFrom("none", "none", "now", "delayed", "retained"),
});

const subscribeEvent: Arbitrary<Subscribe> = fc.record({
  kind: fc.constant("subscribe"),
  client,
  filter,
  qos,
  noLocal: fc.boolean(),
  retainAsPublished: fc.boolean(),
  retainHandling: fc.constantFrom(0, 1, 2),
  identifier: fc.constantFrom(0, 1, 70_000),
});

const publishEvent: Arbitrary<Publish> = fc.record({
  kind: fc.constant("publish"),
  client,
  topic: fc.constantFrom(...TOPICS),
  qos,
  retain: fc.constantFrom(false, false, true),
  byteCount: fc.constantFrom(...SIZES),
  packetIdentifier,
  alias: fc.constantFrom(0, 0, 1),
  expirySeconds: fc.constantFrom(0, 0, 2, 60),
  count: fc.constantFrom(1, 1, 1, 4),
});

const acknowledgeEvent: Arbitrary<LifeEvent> = fc.record({
  kind: fc.constant("acknowledge"),
  client,
  picks: fc.array(fc.nat(9), { minLength: 1, maxLength: 6 }),
  isFailure: fc.constantFrom(false, false, false, true),
});

const strayEvent: Arbitrary<LifeEvent> = fc.record({
  kind: fc.constant("stray"),
  client,
  type: fc.constantFrom<AcknowledgementType>("puback", "pubrec", "pubrel", "pubcomp"),
  packetIdentifier,
});

const disconnectEvent: Arbitrary<LifeEvent> = fc.record({
  kind: fc.constant("disconnect"),
  client,
  expirySeconds: fc.constantFrom(null, null, null, 0, 50),
});

const clientEvent: Arbitrary<LifeEvent> = fc.record({
  kind: fc.constantFrom("hang up", "hang up", "slow", "read", "read"),
  client,
});

/** Any event; those that make traffic are the most. */
export const lifeEvent: Arbitrary<LifeEvent> = fc.oneof(
  { weight: 6, arbitrary: connectEvent },
  { weight: 6, arbitrary: subscribeEvent },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("unsubscribe"), client, filter }) },
  { weight: 14, arbitrary: publishEvent },
  { weight: 10, arbitrary: acknowledgeEvent },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("release"), client, packetIdentifier }) },
  { weight: 1, arbitrary: strayEvent },
  { weight: 2, arbitrary: disconnectEvent },
  { weight: 3, arbitrary: clientEvent },
  { weight: 8, arbitrary: fc.record({ kind: fc.constantFrom("turn", "settle", "settle") }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("advance"), seconds: fc.constantFrom(1, 3, 100) }),
  },
);

const subscribing = { kind: "subscribe", noLocal: false, retainAsPublished: true } as const;
const connecting = { kind: "connect", clean: false, receiveMaximum: 65_535, will: "none" } as const;

/** How every life begins: two Sessions that last and want everything, and one that does not. */
export const OPENING: readonly LifeEvent[] = [
  { ...connecting, client: 0, version: 5, expirySeconds: 1000 },
  { ...connecting, client: 1, version: 4, expirySeconds: 0 },
  { ...connecting, client: 4, version: 5, expirySeconds: 0 },
  { kind: "settle" },
  { ...subscribing, client: 0, filter: "#", qos: 2, retainHandling: 0, identifier: 7 },
  { ...subscribing, client: 0, filter: "a/#", qos: 1, retainHandling: 1, identifier: 8 },
  { ...subscribing, client: 1, filter: "#", qos: 2, retainHandling: 0, identifier: 0 },
  { ...subscribing, client: 4, filter: "+/b", qos: 1, retainHandling: 0, identifier: 0 },
];

/** An answer that a client owes. */
interface Due {
  readonly type: AcknowledgementType;
  readonly packetIdentifier: number;
}

/**
 * Plays events for the clients; an event for a client that is not connected does nothing.
 *
 * Date must be faked: see vi.useFakeTimers().
 */
export class LifePlayer {
  readonly #harness: EngineHarness;
  readonly #clients = new Map<number, HarnessClient>();
  readonly #due = new Map<number, Due[]>();
  /** No two payloads are the same. */
  #published = 0;

  constructor(harness: EngineHarness) {
    this.#harness = harness;
  }

  async play(event: LifeEvent): Promise<void> {
    switch (event.kind) {
      case "turn":
        return this.#harness.turnOnce();
      case "settle":
        return this.#harness.settle();
      case "advance":
        return this.#advance(event.seconds);
      case "connect":
        return this.#connect(event);
      case "acknowledge":
        await this.#harness.settle();
        return this.#acknowledge(event);
      default: {
        const player = this.#clients.get(event.client);
        if (player !== undefined && !player.isClosed) this.#playFor(player, event);
      }
    }
  }

  /** The control plane reads the time from Date, which must agree with the engine's clock. */
  #advance(seconds: number): void {
    vi.setSystemTime(this.#harness.nowMs + seconds * 1000);
    this.#harness.advance(seconds);
  }

  /** All clients that are there hang up. */
  hangUp(): void {
    for (const player of this.#clients.values()) if (!player.isClosed) player.hangUp();
  }

  #connect(event: Connect): void {
    const { version, receiveMaximum } = event;
    const name = CLIENT_IDENTIFIERS[event.client] ?? "";
    const isTransient = name === "transient";
    const clean = isTransient || event.clean;
    const expirySeconds = isTransient ? 0 : event.expirySeconds;
    const delay = event.will === "delayed" ? { will_delay_interval: 3 } : {};
    const lastWill = will({
      topicName: event.will === "retained" ? "$x/a" : "a/b",
      qos: 1,
      retain: event.will === "retained",
      payload: utf8(`will of ${name}`),
      properties: version === 5 ? properties(delay) : [],
    });
    const connect = { will: event.will === "none" ? null : lastWill };
    const options = { version, clean, expirySeconds, receiveMaximum };
    const player = beginClient(this.#harness, name, { ...options, connect });
    this.#clients.set(event.client, player);
    this.#due.set(event.client, []);
  }

  #playFor(
    player: HarnessClient,
    event: Exclude<LifeEvent, { kind: "turn" | "settle" | "advance" | "connect" | "acknowledge" }>,
  ): void {
    switch (event.kind) {
      case "subscribe": {
        const { noLocal, retainAsPublished, retainHandling } = event;
        const fields = player.version === 5 ? { noLocal, retainAsPublished, retainHandling } : {};
        player.subscribe(event.filter, event.qos, fields, event.identifier);
        break;
      }
      case "unsubscribe":
        player.send(unsubscribe(9, [event.filter]));
        break;
      case "publish":
        this.#publish(player, event);
        break;
      case "release":
        player.send(acknowledgement("pubrel", event.packetIdentifier));
        break;
      case "stray":
        player.send(acknowledgement(event.type, event.packetIdentifier));
        break;
      case "disconnect": {
        const { expirySeconds } = event;
        const list = { session_expiry_interval: expirySeconds ?? 0 };
        const isChange = expirySeconds !== null && player.version === 5;
        const fields = properties(isChange ? list : {});
        player.send({ type: "disconnect", reasonCode: 0, properties: fields });
        break;
      }
      case "hang up":
        player.hangUp();
        break;
      case "slow":
        player.wire.isSlow = true;
        break;
      case "read":
        player.wire.isSlow = false;
        player.wire.release();
        break;
    }
  }

  #publish(player: HarnessClient, event: Publish): void {
    const list = properties({
      ...(event.alias > 0 ? { topic_alias: event.alias } : {}),
      ...(event.expirySeconds > 0 ? { message_expiry_interval: event.expirySeconds } : {}),
      content_type: "text/plain",
    });
    for (let i = 0; i < event.count; i++) {
      this.#published++;
      player.publish(event.topic, event.qos, {
        retain: event.retain,
        packetIdentifier: event.qos > 0 ? event.packetIdentifier + i : 0,
        properties: player.version === 5 ? list : [],
        payload: Buffer.alloc(event.byteCount, `message ${this.#published} `),
      });
    }
  }

  #acknowledge(event: Extract<LifeEvent, { readonly kind: "acknowledge" }>): void {
    const player = this.#clients.get(event.client);
    if (player === undefined || player.isClosed) return;
    const due = this.#due.get(event.client) ?? [];
    for (const packet of player.take()) {
      const { type } = packet;
      if (type === "publish" && packet.qos > 0) {
        const { packetIdentifier } = packet;
        due.push({ type: packet.qos === 1 ? "puback" : "pubrec", packetIdentifier });
      }
      if (type === "pubrel") {
        due.push({ type: "pubcomp", packetIdentifier: packet.packetIdentifier });
      }
    }
    for (const pick of event.picks) {
      const [chosen] = due.splice(pick % Math.max(due.length, 1), 1);
      if (chosen === undefined) return;
      const mayFail = event.isFailure && chosen.type !== "pubcomp" && player.version === 5;
      player.send(acknowledgement(chosen.type, chosen.packetIdentifier, mayFail ? 0x80 : 0));
    }
  }
}
