/**
 * The broker kills itself at every step of every handshake: once per page that is sealed,
 * committed, released, and once per turn whose writes are done. After each death everybody goes on
 * with the state they have, nothing is lost, and nothing with QoS 2 comes twice. [§4.3.3, §4.4]
 *
 * HOLDFAST_FAULT=POINT:N makes the program end by SIGKILL when it passes POINT for the N-th time.
 */
import { afterEach, describe, expect, test } from "vitest";
import { elapse } from "../support/await.ts";
import { killAll } from "../support/durability-broker.ts";
import type { DurableClient } from "../support/durability-client.ts";
import { Fleet, newPlace } from "../support/durability-fleet.ts";
import { faultsOf, receiveAll } from "../support/durability-judge.ts";

/** In the order in which a turn passes them. */
const POINTS = ["sealed", "committed", "released", "flushed"] as const;
const { CRASH_STEP } = process.env;
/** Every so many-th passing of a point kills; 1: each. */
const step = Number(CRASH_STEP ?? 4);
/** Brokers that live and die side by side: each mostly waits. */
const PASSES_AT_ONCE = 6;
/** A run of the script has fewer turns than this. */
const PASSES_MAX = 1000;
const STEP_MS_MAX = 15_000;
/** Long enough for the client to be back before its will is due. */
const WILL_DELAY_SECONDS = 2;
/** After a restart a will that is still on record would be sent within this time. */
const COME_AGAIN_MS = 7000;

afterEach(killAll);

type Script = (fleet: Fleet) => Promise<void>;

/** Publishes, and waits until the exchange is over. */
async function publish(
  publisher: DurableClient,
  topic: string,
  payload: string,
  options: { readonly qos: 1 | 2; readonly retain?: boolean },
): Promise<void> {
  const publication = publisher.publish(topic, payload, options);
  await publisher.finished(publication, STEP_MS_MAX);
  expect(publication.reasonCode).toBe(0);
}

/** Exchanges of QoS 1 and 2 in both directions, of both versions, online and through a queue. */
async function handshakes(fleet: Fleet): Promise<void> {
  const live = fleet.client({ clientIdentifier: "live", version: 5 });
  const away = fleet.client({ clientIdentifier: "away", version: 4 });
  const newer = fleet.client({ clientIdentifier: "newer", version: 5 });
  const older = fleet.client({ clientIdentifier: "older", version: 4 });
  const publishers = [newer, older];
  for (const subscriber of [live, away]) {
    await fleet.connect(subscriber);
    await subscriber.granted(subscriber.subscribe("m/#", 2));
  }
  fleet.drop(away);
  await fleet.connect(newer);
  await publish(newer, "m/1", "newer, QoS 2", { qos: 2 });
  await publish(newer, "m/1", "newer, QoS 1", { qos: 1 });
  await publish(newer, "m/kept", "newer, retained", { qos: 2, retain: true });
  await fleet.connect(older);
  await publish(older, "m/1", "older, QoS 2", { qos: 2 });
  await publish(older, "m/1", "older, QoS 1", { qos: 1 });
  // Several at once: pages with more than one step in them.
  const several = [1, 2, 3].map((n) => newer.publish("m/2", `several ${n}`, { qos: 2 }));
  for (const publication of several) await newer.finished(publication, STEP_MS_MAX);
  await receiveAll(live, publishers, STEP_MS_MAX);
  await fleet.connect(away);
  await receiveAll(away, publishers, STEP_MS_MAX);
  await live.granted(live.subscribe("n/#", 1));
  await publish(newer, "n/1", "to a new subscription", { qos: 2 });
  await receiveAll(live, publishers, STEP_MS_MAX);
}

/** After another life: nothing of before comes again, and what is retained is there. */
async function judgeHandshakes(fleet: Fleet): Promise<void> {
  await fleet.start();
  const [live, away, newer, older] = fleet.clients;
  if (!live || !away || !newer || !older) throw new Error("the script made four clients");
  const publishers = [newer, older];
  // Whatever was still owed comes before this.
  await publish(newer, "m/end", "the end", { qos: 2 });
  for (const subscriber of [live, away]) await receiveAll(subscriber, publishers, STEP_MS_MAX);
  const visitor = fleet.client({ clientIdentifier: "visitor", version: 5 });
  await fleet.connect(visitor);
  visitor.subscribe("m/kept", 2);
  await visitor.until("retained message", () => visitor.arrivals.length > 0, STEP_MS_MAX);
  await fleet.stop();
  expect([live, away].flatMap((one) => faultsOf(one, publishers))).toEqual([]);
  expect(visitor.arrivals).toMatchObject([{ payload: "newer, retained", retain: true }]);
  expect(fleet.allViolations()).toEqual([]);
}

/** A connection breaks, and its will is due a while later. */
async function delayedWill(fleet: Fleet): Promise<void> {
  const heir = fleet.client({ clientIdentifier: "heir", version: 5 });
  const will = {
    topic: "w/1",
    payload: Buffer.from("the will"),
    qos: 2 as const,
    retain: true,
    properties: { willDelayInterval: WILL_DELAY_SECONDS },
  };
  const testator = fleet.client({ clientIdentifier: "testator", version: 5, will });
  await fleet.connect(heir);
  await heir.granted(heir.subscribe("w/#", 2));
  await fleet.connect(testator);
  fleet.drop(testator);
  await heir.until("will", () => heir.arrivals.length > 0, STEP_MS_MAX);
}

/** Another life: the will has come once, and is retained once. */
async function judgeWill(fleet: Fleet, isLast: boolean): Promise<void> {
  await fleet.start();
  const [heir] = fleet.clients;
  if (!heir) throw new Error("the script made two clients");
  if (isLast) await elapse(COME_AGAIN_MS);
  await publish(heir, "w/end", "the end", { qos: 2 });
  await heir.until("end", () => heir.arrivals.some(({ topic }) => topic === "w/end"), STEP_MS_MAX);
  await fleet.stop();
  expect(heir.arrivals.map(({ payload }) => payload)).toEqual(["the will", "the end"]);
  expect(fleet.allViolations()).toEqual([]);
}

/**
 * Plays the script with a death at the first pass of the point, then at the second, and so on,
 * until a run is too short to die.
 *
 * @returns the last passing at which a run died
 */
async function enumerate(
  point: string,
  script: Script,
  judge: (fleet: Fleet, isLast: boolean) => Promise<void>,
): Promise<number> {
  const play = async (pass: number): Promise<number> => {
    const fault = `${point}:${pass}`;
    const place = newPlace();
    const fleet = new Fleet({ dataDirectory: place.path });
    const killCount = await fleet.explaining(`HOLDFAST_FAULT=${fault}`, async () => {
      const count = await fleet.runThroughKills({ HOLDFAST_FAULT: fault }, () => script(fleet));
      await judge(fleet, count === 0);
      return count;
    });
    place.remove();
    return killCount;
  };
  for (let pass = 1; pass < PASSES_MAX; pass += PASSES_AT_ONCE * step) {
    const passes = Array.from({ length: PASSES_AT_ONCE }, (_, index) => pass + index * step);
    const killCounts = await Promise.all(passes.map(play));
    const first = killCounts.indexOf(0);
    if (first >= 0) return (passes[first] ?? pass) - step;
  }
  throw new Error(`still killed at pass ${PASSES_MAX} of ${point}`);
}

describe("SIGKILL at every step", () => {
  test.each(POINTS)(
    "of the handshakes of QoS 1 and 2: %s",
    async (point) => {
      const killCount = await enumerate(point, handshakes, judgeHandshakes);
      expect(killCount).toBeGreaterThanOrEqual(10);
    },
    600_000,
  );

  test.each(POINTS)(
    "of a will with a delay: %s",
    async (point) => {
      const killCount = await enumerate(point, delayedWill, judgeWill);
      expect(killCount).toBeGreaterThanOrEqual(4);
    },
    600_000,
  );
});
