/**
 * The broker is killed with SIGKILL at random moments under load, restarted on its data directory,
 * and everybody goes on where they were: nothing acknowledged is lost, nothing comes out of order,
 * and what has QoS 2 arrives once.
 *
 * KILL_ROUNDS sets how many lives, DURABILITY_SEED which load and which moments.
 */
import { afterEach, expect, test } from "vitest";
import { elapse } from "../support/await.ts";
import { killAll } from "../support/durability-broker.ts";
import type { DurableClient, QoS } from "../support/durability-client.ts";
import { Fleet, newPlace } from "../support/durability-fleet.ts";
import { faultsOf, receiveAll } from "../support/durability-judge.ts";
import { type Random, randomFrom } from "../support/mutate.ts";

const { KILL_ROUNDS, DURABILITY_SEED } = process.env;
const roundCount = Number(KILL_ROUNDS ?? 20);
const seed = Number(DURABILITY_SEED ?? Date.now() % 2 ** 31);

const LIFE_MS_MAX = 400;
/** Some lives are long enough for the background to work. */
const LONG_LIFE_EVERY = 5;
const LONG_LIFE_MS_MIN = 3000;
/** Between the messages of a long life, which would otherwise be many. */
const LONG_LIFE_PAUSE_MS = 10;
const PUBLISHER_COUNT = 4;
const SUBSCRIBER_COUNT = 6;
const TOPICS = ["load/a", "load/b", "load/c/deep"];
const FILTERS = ["load/#", "load/+", "load/a", "load/c/deep", "#", "load/b"];
/** Messages that a publisher has waiting; more are made as these go. */
const WAITING_MIN = 30;
/** One client takes three messages at a time: what waits for it grows with the lives. */
const DRAIN_MS_MAX = 20_000 + roundCount * 2000;
/** So that nothing is dropped, however many lives there are. */
const CONFIGURATION = ["max_queued_messages 0", "max_queued_bytes 0"];
const ROUND_MS_MAX = 6000;

afterEach(killAll);

function isLong(round: number): boolean {
  return round % LONG_LIFE_EVERY === LONG_LIFE_EVERY - 1;
}

/** The clients, and what they do in a round. */
class Load {
  readonly fleet: Fleet;
  readonly publishers: readonly DurableClient[];
  readonly subscribers: readonly DurableClient[];
  readonly #random: Random;
  #publishedCount = 0;

  constructor(fleet: Fleet, random: Random) {
    this.fleet = fleet;
    this.#random = random;
    this.publishers = Array.from({ length: PUBLISHER_COUNT }, (_, index) =>
      fleet.client({
        clientIdentifier: `publisher${index}`,
        version: index % 2 === 0 ? 5 : 4,
        window: 1 + random(40),
      }),
    );
    this.subscribers = Array.from({ length: SUBSCRIBER_COUNT }, (_, index) =>
      fleet.client({
        clientIdentifier: `subscriber${index}`,
        version: index % 2 === 0 ? 5 : 4,
        ...(index === 2 && { receiveMaximum: 3 }),
      }),
    );
  }

  async open(): Promise<void> {
    for (const client of this.fleet.clients) await this.fleet.connect(client);
    for (const [index, subscriber] of this.subscribers.entries()) {
      const qos: QoS = index < 4 ? 2 : 1;
      await subscriber.granted(subscriber.subscribe(FILTERS[index] ?? "#", qos));
    }
  }

  /** Some subscribers go or come, one may subscribe to more, some hold acknowledgements back. */
  async shuffle(round: number): Promise<void> {
    for (const subscriber of this.subscribers) {
      subscriber.acknowledgementBatch = 1 + this.#random(4);
      const wasOnline = this.fleet.wants(subscriber);
      if (wasOnline && this.#random(4) === 0) this.fleet.drop(subscriber);
      if (!wasOnline && this.#random(3) === 0) await this.fleet.connect(subscriber);
    }
    const chosen = this.subscribers[this.#random(SUBSCRIBER_COUNT)];
    if (chosen !== undefined && this.fleet.wants(chosen)) chosen.subscribe(`round/${round}/#`, 2);
  }

  /** Publishes until the broker is gone. */
  async publish(round: number, isOver: () => boolean): Promise<void> {
    const work = this.publishers.map(async (publisher, index) => {
      while (!isOver()) {
        this.#more(publisher, index, round);
        const isLow = () => publisher.unfinishedCount < WAITING_MIN || isOver();
        const acknowledged = publisher.until("acknowledgement", isLow, ROUND_MS_MAX);
        await Promise.race([acknowledged, this.fleet.broker.ended]);
        if (isLong(round)) await elapse(LONG_LIFE_PAUSE_MS);
      }
    });
    await Promise.all(work);
  }

  #more(publisher: DurableClient, index: number, round: number): void {
    while (publisher.unfinishedCount < WAITING_MIN) {
      this.#publishedCount += 1;
      const isLate = this.#random(10) === 0;
      const topic = isLate
        ? `round/${this.#random(round + 1)}/x`
        : (TOPICS[this.#random(TOPICS.length)] ?? "");
      const filler = "x".repeat(this.#random(20) === 0 ? this.#random(5000) : this.#random(60));
      const qos: QoS = this.#random(2) === 0 ? 1 : 2;
      publisher.publish(topic, `${index}/${this.#publishedCount}/${filler}`, { qos });
    }
  }

  /** Everybody comes back and gets what is owed. */
  async drain(): Promise<void> {
    for (const subscriber of this.subscribers) {
      subscriber.acknowledgementBatch = 1;
      subscriber.flushAcknowledgements();
      if (!this.fleet.wants(subscriber)) await this.fleet.connect(subscriber);
    }
    for (const publisher of this.publishers) {
      const isDone = () => publisher.unfinishedCount === 0;
      await publisher.until("end of all exchanges", isDone, DRAIN_MS_MAX);
    }
    for (const subscriber of this.subscribers) {
      await receiveAll(subscriber, this.publishers, DRAIN_MS_MAX);
    }
  }
}

async function playRound(load: Load, random: Random, round: number): Promise<void> {
  const { fleet } = load;
  let isOver = false;
  const publishing = load.publish(round, () => isOver);
  const shuffled = load.shuffle(round);
  await elapse((isLong(round) ? LONG_LIFE_MS_MIN : 0) + random(LIFE_MS_MAX));
  isOver = true;
  await shuffled;
  // Now and then only the connections end, which must come to the same.
  if (random(6) === 0) {
    await fleet.cutAll();
    await publishing;
    return;
  }
  await fleet.kill9();
  await publishing;
  // Now and then it is killed again while it recovers.
  if (random(5) === 0) await fleet.startAndKill(random(300));
  if (!(await fleet.start())) throw new Error(`no restart\n${fleet.broker.output()}`);
}

async function playAll(load: Load, random: Random): Promise<void> {
  const { fleet, publishers, subscribers } = load;
  await fleet.start();
  await load.open();
  for (let round = 0; round < roundCount; round += 1) {
    await playRound(load, random, round);
    expect(fleet.allViolations(), `round ${round}`).toEqual([]);
  }
  await load.drain();
  expect(subscribers.flatMap((one) => faultsOf(one, publishers))).toEqual([]);
  expect(Math.min(...subscribers.map(({ arrivals }) => arrivals.length))).toBeGreaterThan(0);

  // What was acknowledged is over: another life brings none of it back with QoS 2.
  await fleet.kill9();
  await fleet.start();
  for (const topic of TOPICS) publishers[0]?.publish(topic, `end of ${topic}`, { qos: 2 });
  await load.drain();
  await fleet.stop();
  expect(subscribers.flatMap((one) => faultsOf(one, publishers))).toEqual([]);
  expect(fleet.allViolations()).toEqual([]);
}

test(
  `${roundCount} times SIGKILL under load, DURABILITY_SEED=${seed}`,
  async () => {
    const random = randomFrom(seed);
    const place = newPlace();
    const fleet = new Fleet({ dataDirectory: place.path, configuration: CONFIGURATION });
    const load = new Load(fleet, random);
    await fleet.explaining(`DURABILITY_SEED=${seed}`, () => playAll(load, random));
    place.remove();
  },
  60_000 + 2 * DRAIN_MS_MAX + roundCount * ROUND_MS_MAX,
);
