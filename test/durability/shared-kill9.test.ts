/**
 * A group of durable Sessions that share a subscription: the broker is killed with SIGKILL at
 * random moments under load while members come and go. Nothing acknowledged is lost, and what has
 * QoS 2 arrives once, at one of them.                                      MQTT 5.0 §4.8.2, §4.1
 *
 * KILL_ROUNDS sets how many lives, DURABILITY_SEED which load and which moments.
 */
import { afterEach, expect, test } from "vitest";
import { elapse, until } from "../support/await.ts";
import { killAll } from "../support/durability-broker.ts";
import type { DurableClient, QoS } from "../support/durability-client.ts";
import { Fleet, newPlace } from "../support/durability-fleet.ts";
import { placesOf } from "../support/durability-judge.ts";
import { type Random, randomFrom } from "../support/mutate.ts";

const { KILL_ROUNDS, DURABILITY_SEED } = process.env;
const roundCount = Number(KILL_ROUNDS ?? 10);
const seed = Number(DURABILITY_SEED ?? Date.now() % 2 ** 31);

const FILTER = "$share/workers/jobs/#";
const PUBLISHER_COUNT = 2;
const WORKER_COUNT = 4;
/** Small windows, so that much waits in the group. */
const RECEIVE_MAXIMUM = 5;
const WAITING_MIN = 20;
const LIFE_MS_MAX = 400;
/** Some lives are long enough for what waits to be indexed, and loaded again. */
const LONG_LIFE_EVERY = 4;
const LONG_LIFE_MS_MIN = 3500;
const ROUND_MS_MAX = 8000;
const DRAIN_MS_MAX = 20_000;

afterEach(killAll);

class Load {
  readonly fleet: Fleet;
  readonly publishers: readonly DurableClient[];
  readonly workers: readonly DurableClient[];
  readonly #random: Random;
  #publishedCount = 0;

  constructor(fleet: Fleet, random: Random) {
    this.fleet = fleet;
    this.#random = random;
    this.publishers = Array.from({ length: PUBLISHER_COUNT }, (_, index) =>
      fleet.client({ clientIdentifier: `publisher${index}`, version: 5, window: 10 }),
    );
    this.workers = Array.from({ length: WORKER_COUNT }, (_, index) =>
      fleet.client({
        clientIdentifier: `worker${index}`,
        version: index % 2 === 0 ? 5 : 4,
        ...(index % 2 === 0 && { receiveMaximum: RECEIVE_MAXIMUM }),
      }),
    );
  }

  async open(): Promise<void> {
    for (const client of this.fleet.clients) await this.fleet.connect(client);
    for (const worker of this.workers) await worker.granted(worker.subscribe(FILTER, 2));
  }

  /** Workers come and go; sometimes there is none. */
  async shuffle(): Promise<void> {
    const isNight = this.#random(3) === 0;
    for (const worker of this.workers) {
      worker.acknowledgementBatch = 1 + this.#random(4);
      const wasOnline = this.fleet.wants(worker);
      if (wasOnline && (isNight || this.#random(4) === 0)) this.fleet.drop(worker);
      if (!wasOnline && !isNight && this.#random(2) === 0) await this.fleet.connect(worker);
    }
  }

  async publish(isOver: () => boolean): Promise<void> {
    const work = this.publishers.map(async (publisher, index) => {
      while (!isOver()) {
        this.#more(publisher, index);
        const isLow = () => publisher.unfinishedCount < WAITING_MIN || isOver();
        const acknowledged = publisher.until("acknowledgement", isLow, ROUND_MS_MAX);
        await Promise.race([acknowledged, this.fleet.broker.ended]);
        await elapse(5);
      }
    });
    await Promise.all(work);
  }

  #more(publisher: DurableClient, index: number): void {
    while (publisher.unfinishedCount < WAITING_MIN) {
      this.#publishedCount += 1;
      const filler = "x".repeat(this.#random(20) === 0 ? this.#random(5000) : this.#random(60));
      const qos: QoS = this.#random(2) === 0 ? 1 : 2;
      publisher.publish("jobs/a", `${index}/${this.#publishedCount}/${filler}`, { qos });
    }
  }

  /** All publications are acknowledged, and all workers there until every one has arrived. */
  async drain(): Promise<void> {
    for (const worker of this.workers) {
      worker.acknowledgementBatch = 1;
      worker.flushAcknowledgements();
      if (!this.fleet.wants(worker)) await this.fleet.connect(worker);
    }
    for (const publisher of this.publishers) {
      const isDone = () => publisher.unfinishedCount === 0;
      await publisher.until("end of all exchanges", isDone, DRAIN_MS_MAX);
    }
    await until("all to arrive", async () => this.lost().length === 0, DRAIN_MS_MAX).catch(() => {
      const lost = this.lost();
      throw new Error(`${lost.length} lost: ${lost.slice(0, 20).map((one) => one.slice(0, 40))}`);
    });
  }

  /** How often each payload arrived, at whatever worker. */
  #arrivals(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { payload } of this.workers.flatMap(({ arrivals }) => arrivals)) {
      counts.set(payload, (counts.get(payload) ?? 0) + 1);
    }
    return counts;
  }

  lost(): readonly string[] {
    const arrived = this.#arrivals();
    return [...placesOf(this.publishers).values()]
      .filter(({ publication }) => publication.acceptedTick > 0)
      .map(({ publication }) => publication.payload)
      .filter((payload) => !arrived.has(payload));
  }

  /** Payloads of QoS 2 that came twice. */
  doubled(): readonly string[] {
    const arrived = this.#arrivals();
    return [...placesOf(this.publishers).values()]
      .filter(({ publication }) => publication.qos === 2)
      .map(({ publication }) => publication.payload)
      .filter((payload) => (arrived.get(payload) ?? 0) > 1);
  }
}

async function playRound(load: Load, random: Random, round: number): Promise<void> {
  const { fleet } = load;
  let isOver = false;
  const publishing = load.publish(() => isOver);
  const shuffled = load.shuffle();
  const isLong = round % LONG_LIFE_EVERY === LONG_LIFE_EVERY - 1;
  await elapse((isLong ? LONG_LIFE_MS_MIN : 0) + random(LIFE_MS_MAX));
  isOver = true;
  await shuffled;
  await fleet.kill9();
  await publishing;
  if (!(await fleet.start())) throw new Error(`no restart\n${fleet.broker.output()}`);
}

async function playAll(load: Load, random: Random): Promise<void> {
  const { fleet, workers } = load;
  await fleet.start();
  await load.open();
  for (let round = 0; round < roundCount; round += 1) {
    await playRound(load, random, round);
    expect(fleet.allViolations(), `round ${round}`).toEqual([]);
    expect(load.doubled(), `round ${round}`).toEqual([]);
  }
  await load.drain();
  expect(Math.min(...workers.map(({ arrivals }) => arrivals.length))).toBeGreaterThan(0);

  // What was acknowledged is over: another life brings none of it back with QoS 2.
  await fleet.kill9();
  await fleet.start();
  load.publishers[0]?.publish("jobs/end", "the end", { qos: 2 });
  await load.drain();
  await fleet.stop();
  expect(load.doubled()).toEqual([]);
  expect(fleet.allViolations()).toEqual([]);
}

test(
  `${roundCount} times SIGKILL under load, DURABILITY_SEED=${seed}`,
  async () => {
    const random = randomFrom(seed);
    const place = newPlace();
    const fleet = new Fleet({ dataDirectory: place.path });
    const load = new Load(fleet, random);
    await fleet.explaining(`DURABILITY_SEED=${seed}`, () => playAll(load, random));
    place.remove();
  },
  60_000 + roundCount * ROUND_MS_MAX,
);
