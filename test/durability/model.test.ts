/**
 * Random lives of a few Sessions against a small model, over a real broker that is stopped and
 * killed in between: Session Present, and every delivery with its QoS, DUP and Packet Identifier.
 *
 * MODEL_RUNS sets how many lives, DURABILITY_SEED which.
 */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { elapse } from "../support/await.ts";
import { killAll } from "../support/durability-broker.ts";
import { newPlace } from "../support/durability-fleet.ts";
import { HandConnection } from "../support/durability-hand.ts";
import {
  ModelBroker,
  type ModelSession,
  ModelWorld,
  type QoS,
} from "../support/durability-model.ts";

const { MODEL_RUNS, DURABILITY_SEED } = process.env;
const numRuns = Number(MODEL_RUNS ?? 20);
const seed = Number(DURABILITY_SEED ?? Date.now() % 2 ** 31);

const SESSION_COUNT = 4;
const COMMANDS_MAX = 60;
const TOPICS = ["t/a", "t/b", "u"];
const FILTERS = ["t/#", "t/+", "t/a", "u"];
const RUN_MS_MAX = 15_000;
/** An interval of one second is surely over after this. */
const EXPIRED_MS = 2500;

const place = newPlace();
const broker = new ModelBroker({ dataDirectory: place.path });
let runCount = 0;

beforeAll(() => broker.start());
afterAll(async () => {
  await killAll();
  place.remove();
});

/** The world is model and reality in one: it does what it is told, and knows what must come. */
type Command = fc.AsyncCommand<ModelWorld, ModelWorld>;

function command(
  name: string,
  check: (world: ModelWorld) => boolean,
  run: (world: ModelWorld) => Promise<void>,
): Command {
  return {
    check,
    run: async (world) => {
      await run(world);
      await world.quiet();
    },
    toString: () => name,
  };
}

/** A step of one of the Sessions that can take it; which, is said once it has. */
function forSession(
  name: string,
  choice: number,
  check: (session: ModelSession) => boolean,
  run: (world: ModelWorld, session: ModelSession) => Promise<void>,
): Command {
  let chosen = "nobody";
  return {
    check: ({ sessions }) => sessions.some(check),
    run: async (world) => {
      const able = world.sessions.filter(check);
      const session = able[choice % able.length] ?? world.session(0);
      chosen = session.clientIdentifier;
      await run(world, session);
      await world.quiet();
    },
    toString: () => `${chosen} ${name}`,
  };
}

/** Taken modulo the number of Sessions that it may be. */
const index = fc.nat(11);
const qos = fc.constantFrom<QoS>(0, 1, 2);
const isOnline = ({ hand }: ModelSession): boolean => hand !== null;

const connect = fc
  .tuple(index, fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 4 }))
  .map(([one, clean, brief]) =>
    forSession(
      `connects${clean === 0 ? " clean" : ""}${brief === 0 ? "" : ", durable"}`,
      one,
      // What becomes of a Session that ends with its connection when that is taken over is open.
      ({ hand, isDurable }) => hand === null || isDurable,
      (world, session) => world.connect(session, clean === 0, brief !== 0),
    ),
  );

const subscribe = fc
  .tuple(index, fc.constantFrom(...FILTERS), qos)
  .map(([one, filter, granted]) =>
    forSession(`subscribes to ${filter}, QoS ${granted}`, one, isOnline, (world, session) =>
      world.subscribe(session, filter, granted),
    ),
  );

const unsubscribe = fc
  .tuple(index, fc.constantFrom(...FILTERS))
  .map(([one, filter]) =>
    forSession(`unsubscribes from ${filter}`, one, isOnline, (world, session) =>
      world.unsubscribe(session, filter),
    ),
  );

const publish = fc
  .tuple(fc.constantFrom(...TOPICS), qos, fc.integer({ min: 0, max: 7 }))
  .map(([topic, level, kind]) => {
    // What is retained with QoS 0 is promised to nobody.
    const what = level === 0 || kind > 1 ? "plain" : kind === 0 ? "retained" : "clear";
    return command(
      `publish to ${topic}, QoS ${level}, ${what}`,
      () => true,
      (world) => world.publish(topic, level, what),
    );
  });

const acknowledge = fc.tuple(index, fc.boolean()).map(([one, isWhole]) =>
  forSession(
    isWhole ? "acknowledges" : "acknowledges by half",
    one,
    ({ hand, items }) => hand !== null && items.length > 0,
    (world, session) => world.acknowledge(session, isWhole),
  ),
);

const drop = index.map((one) =>
  forSession("drops", one, isOnline, (world, session) => world.drop(session)),
);

const disconnect = fc.tuple(index, fc.boolean()).map(([one, endsNow]) =>
  forSession(
    endsNow ? "disconnects for good" : "disconnects",
    one,
    ({ hand, version }) => hand !== null && (version === 5 || !endsNow),
    (world, session) => world.disconnect(session, endsNow),
  ),
);

const restart = fc.constantFrom("stop" as const, "kill9" as const).map((how) =>
  command(
    how,
    () => true,
    (world) => world.restart(how),
  ),
);

/** Someone is away while a message expires. */
const expire = fc.constantFrom(...TOPICS).map((topic) =>
  command(
    `publish to ${topic}, expiring`,
    ({ sessions, prefix }) =>
      sessions.some(({ exists }) => exists) &&
      sessions.every((one) => one.hand === null || one.qosFor(`${prefix}/${topic}`) === null),
    async (world) => {
      await world.publish(topic, 1, "plain", 1);
      await elapse(EXPIRED_MS);
    },
  ),
);

const lives = fc.commands(
  [
    connect,
    connect,
    subscribe,
    subscribe,
    publish,
    publish,
    publish,
    acknowledge,
    acknowledge,
    drop,
    disconnect,
    unsubscribe,
    restart,
  ],
  { maxCommands: COMMANDS_MAX, size: "max" },
);

async function play(commands: Iterable<Command>): Promise<void> {
  runCount += 1;
  const world = new ModelWorld(broker, `run${runCount}`, SESSION_COUNT);
  try {
    for (const session of world.sessions) {
      await world.connect(session, false, true);
      await world.subscribe(session, "t/#", 2);
    }
    await fc.asyncModelRun(() => ({ model: world, real: world }), commands);
    // Whatever is still owed comes now, and after one more life it is what is left.
    for (const session of world.sessions) {
      if (session.hand !== null && !session.isDurable) await world.drop(session);
      await world.connect(session, false, true);
      while (session.items.length > 0) await world.acknowledge(session, true);
    }
    await world.restart("kill9");
    for (const session of world.sessions) await world.connect(session, false, true);
    await world.quiet();
  } finally {
    await world.close();
  }
}

test(
  `${numRuns} lives of ${SESSION_COUNT} Sessions`,
  async () => {
    await fc.assert(fc.asyncProperty(lives, play), {
      numRuns,
      seed,
      interruptAfterTimeLimit: numRuns * RUN_MS_MAX,
    });
  },
  60_000 + 2 * numRuns * RUN_MS_MAX,
);

test("messages that expire while a Session is away do not come", async () => {
  const calm = fc.commands([connect, subscribe, publish, drop, expire], { maxCommands: 12 });
  await fc.assert(fc.asyncProperty(calm, play), { numRuns: 3, seed });
}, 120_000);

test.each(["stop", "kill9"] as const)(
  "a Session expires although the broker was away: %s",
  async (how) => {
    runCount += 1;
    const world = new ModelWorld(broker, `run${runCount}`, 1);
    const brief = { clientIdentifier: `brief${runCount}`, version: 5, cleanStart: false } as const;
    const first = await HandConnection.connect(broker.port, { ...brief, expirySeconds: 1 });
    await first.subscribe("brief/#", 1);
    await first.end();
    await world.restart(how);
    await elapse(EXPIRED_MS);
    const second = await HandConnection.connect(broker.port, { ...brief, expirySeconds: 1 });
    expect(second.sessionPresent).toBe(false);
    await second.end();
    await world.close();
  },
  60_000,
);
