/**
 * Random lives of a few clients at the harness: what they may do, as arbitraries of fast-check, and
 * the player that does it.
 */
import fc, { type Arbitrary } from "fast-check";
import type { EngineHarness } from "./engine-harness.ts";
import { beginClient, type HarnessClient } from "./engine-harness-client.ts";
import { acknowledgement, properties, unsubscribe, utf8, will } from "./packets.ts";
import type { AcknowledgementType, PublishPacket, QoS, Version } from "./packets-types.ts";

/** Client Identifiers are `c0` … */
const CLIENTS = 5;

const TOPICS = ["a", "a/b", "a/b/c", "b/b", "$x/a"];
const FILTERS = ["#", "a/#", "+/b", "a/b", "a/+/c", "+", "$x/#", "b/b"];
const SHARED_FILTERS = ["$share/one/a/#", "$share/two/a/#", "$share/one/$x/#"];
const SIZES = [0, 10, 300, 1_000, 20_000, 70_000, 200_000];

type Client = { readonly client: number };

export type Command =
  | (Client & {
      readonly kind: "connect";
      readonly version: Version;
      readonly clean: boolean;
      readonly expirySeconds: number;
      readonly receiveMaximum: number;
      readonly topicAliasMaximum: number;
      readonly will: "none" | "now" | "delayed" | "retained";
    })
  | (Client & {
      readonly kind: "subscribe";
      readonly filter: string;
      readonly qos: QoS;
      readonly noLocal: boolean;
      readonly retainAsPublished: boolean;
      readonly retainHandling: 0 | 1 | 2;
      readonly identifier: number;
    })
  | (Client & { readonly kind: "unsubscribe"; readonly filter: string })
  | (Client & {
      readonly kind: "publish";
      readonly topic: string;
      readonly qos: QoS;
      readonly retain: boolean;
      readonly byteCount: number;
      readonly packetIdentifier: number;
      readonly alias: number;
      readonly isAliasAlone: boolean;
      readonly expirySeconds: number;
    })
  | (Client & { readonly kind: "acknowledge"; readonly how: "right" | "failure" | "late" })
  | (Client & {
      readonly kind: "stray";
      readonly type: AcknowledgementType;
      readonly packetIdentifier: number;
    })
  | (Client & { readonly kind: "slow" | "release" | "hang up" | "disconnect" | "cut" })
  | { readonly kind: "turn" | "settle" }
  | { readonly kind: "advance"; readonly seconds: number };

const client = fc.nat(CLIENTS - 1);
const qos: Arbitrary<QoS> = fc.constantFrom(0, 1, 2);
const topic = fc.constantFrom(...TOPICS);
const filter = fc.constantFrom(...FILTERS, ...SHARED_FILTERS);

const connectCommand = fc.record({
  kind: fc.constant("connect" as const),
  client,
  version: fc.constantFrom<Version>(3, 4, 5, 5),
  clean: fc.boolean(),
  expirySeconds: fc.constantFrom(0, 0, 5, 1000, 0xffff_ffff),
  receiveMaximum: fc.constantFrom(1, 3, 65_535),
  topicAliasMaximum: fc.constantFrom(0, 2),
  will: fc.constantFrom("none" as const, "now" as const, "delayed" as const, "retained" as const),
});

const subscribeCommand = fc.record({
  kind: fc.constant("subscribe" as const),
  client,
  filter,
  qos,
  noLocal: fc.boolean(),
  retainAsPublished: fc.boolean(),
  retainHandling: qos,
  identifier: fc.constantFrom(0, 1, 70_000),
});

const publishCommand = fc.record({
  kind: fc.constant("publish" as const),
  client,
  topic,
  qos,
  retain: fc.boolean(),
  byteCount: fc.constantFrom(...SIZES),
  packetIdentifier: fc.integer({ min: 1, max: 4 }),
  alias: fc.constantFrom(0, 0, 1, 2, 4),
  isAliasAlone: fc.boolean(),
  expirySeconds: fc.constantFrom(0, 0, 1, 60),
});

const types: readonly AcknowledgementType[] = ["puback", "pubrec", "pubrel", "pubcomp"];

/** Any command; those that make traffic are the most. */
export const command: Arbitrary<Command> = fc.oneof(
  { weight: 5, arbitrary: connectCommand },
  { weight: 5, arbitrary: subscribeCommand },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("unsubscribe" as const), client, filter }),
  },
  { weight: 14, arbitrary: publishCommand },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("acknowledge" as const),
      client,
      how: fc.constantFrom("right" as const, "right" as const, "failure" as const, "late" as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("stray" as const),
      client,
      type: fc.constantFrom(...types),
      packetIdentifier: fc.integer({ min: 1, max: 6 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        "slow" as const,
        "release" as const,
        "release" as const,
        "hang up" as const,
        "disconnect" as const,
        "cut" as const,
      ),
      client,
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constantFrom("turn" as const, "settle" as const) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("advance" as const),
      seconds: fc.constantFrom(1, 6, 100),
    }),
  },
);

/** A life: most clients connect at its start. */
export const life: Arbitrary<readonly Command[]> = fc
  .tuple(
    fc.array(connectCommand, { minLength: 4, maxLength: 6 }),
    fc.array(subscribeCommand, { minLength: 2, maxLength: 5 }),
    fc.array(command, { minLength: 5, maxLength: 90, size: "max" }),
  )
  .map(([connects, subscribes, rest]) => [...connects, ...subscribes, ...rest]);

/** Plays commands for the clients; a command for a client that is not connected does nothing. */
export class CommandPlayer {
  readonly #harness: EngineHarness;
  readonly #clients = new Map<number, HarnessClient>();
  /** What each client has been sent and has not acknowledged. */
  readonly #due = new Map<number, PublishPacket[]>();

  constructor(harness: EngineHarness) {
    this.#harness = harness;
  }

  async play(next: Command): Promise<void> {
    switch (next.kind) {
      case "turn":
        return this.#harness.turnOnce();
      case "settle":
        return this.#harness.settle();
      case "advance":
        // A timer never fires inside a turn.
        await this.#harness.turnOnce();
        return this.#harness.advance(next.seconds);
      case "connect":
        return this.#connect(next);
      default: {
        const client = this.#clients.get(next.client);
        if (client !== undefined && !client.isClosed) this.#playFor(client, next);
      }
    }
  }

  #connect(next: Extract<Command, { kind: "connect" }>): void {
    const { version, clean, expirySeconds, receiveMaximum, topicAliasMaximum } = next;
    const delay = next.will === "delayed" ? { will_delay_interval: 3 } : {};
    const lastWill = will({
      topicName: next.will === "retained" ? "$x/a" : "a/b",
      qos: 1,
      retain: next.will === "retained",
      payload: utf8("gone"),
      properties: properties(delay),
    });
    const options = { version, clean, expirySeconds, receiveMaximum, topicAliasMaximum };
    const connect = { will: next.will === "none" ? null : lastWill };
    const name = `c${next.client}`;
    const client = beginClient(this.#harness, name, { ...options, connect });
    this.#clients.set(next.client, client);
    this.#due.set(next.client, []);
  }

  #playFor(
    client: HarnessClient,
    next: Exclude<Command, { kind: "turn" | "advance" | "connect" }>,
  ) {
    switch (next.kind) {
      case "subscribe": {
        const { noLocal, retainAsPublished, retainHandling } = next;
        const v5 = client.version === 5 ? { noLocal, retainAsPublished, retainHandling } : {};
        return client.subscribe(next.filter, next.qos, v5, next.identifier);
      }
      case "unsubscribe":
        return client.send(unsubscribe(9, [next.filter]));
      case "publish":
        return publishAs(client, next);
      case "acknowledge":
        return this.#acknowledge(client, next);
      case "stray":
        return client.send(acknowledgement(next.type, next.packetIdentifier));
      case "slow":
        client.wire.isSlow = true;
        return;
      case "release":
        client.wire.isSlow = false;
        return client.wire.release();
      case "hang up":
        return client.hangUp();
      case "disconnect":
        return client.send({ type: "disconnect", reasonCode: 0, properties: [] });
      case "cut":
        // The first half of a long packet.
        return client.sendBytes(
          Buffer.concat([Buffer.of(0x30, 0xa0, 0x8d, 0x06), Buffer.alloc(900)]),
        );
    }
  }

  #acknowledge(client: HarnessClient, next: Extract<Command, { kind: "acknowledge" }>): void {
    const due = this.#due.get(next.client) ?? [];
    for (const packet of client.take()) {
      if (packet.type === "publish" && packet.qos > 0) due.push(packet);
      if (packet.type === "pubrel") {
        client.send(acknowledgement("pubcomp", packet.packetIdentifier));
      }
    }
    if (next.how === "late") return;
    for (const packet of due.splice(0)) {
      const type = packet.qos === 1 ? "puback" : "pubrec";
      const code = next.how === "failure" && client.version === 5 ? 0x80 : 0;
      client.send(acknowledgement(type, packet.packetIdentifier, code));
    }
  }
}

function publishAs(client: HarnessClient, next: Extract<Command, { kind: "publish" }>): void {
  const { topic, qos: quality, retain, byteCount, alias, isAliasAlone, expirySeconds } = next;
  const isVersion5 = client.version === 5;
  const list = properties({
    ...(alias > 0 ? { topic_alias: alias } : {}),
    ...(expirySeconds > 0 ? { message_expiry_interval: expirySeconds } : {}),
    content_type: "application/octet-stream",
  });
  client.publish(alias > 0 && isAliasAlone && isVersion5 ? "" : topic, quality, {
    retain,
    packetIdentifier: quality > 0 ? next.packetIdentifier : 0,
    properties: isVersion5 ? list : [],
    payload: Buffer.alloc(byteCount, 0x61),
  });
}
