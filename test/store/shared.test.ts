/** Groups of shared subscriptions in the store: what they keep, and what leaves a member. §4.8.2 */
import { describe, expect, test } from "vitest";
import { checkStore } from "../../src/store/check.ts";
import { copyOf, temporaryDirectory } from "../support/store-directory.ts";
import { type StoreLife, startLife } from "../support/store-life.ts";

const FILTER = "$share/crew/fleet/#";
const COUNT = 400;

function numbers(from: number, to: number): readonly string[] {
  return Array.from({ length: to - from }, (_, index) => `${from + index}`);
}

/** Two members that are away. */
function newCrew(life: StoreLife): { readonly one: number; readonly two: number } {
  const crew = { one: life.session("one", FILTER), two: life.session("two", FILTER) };
  for (const session of Object.values(crew)) life.engine.calls.detachSession(session, 0);
  return crew;
}

function publishAll(life: StoreLife, from: number, to: number): void {
  for (const number of numbers(from, to)) life.publish("fleet/all", number);
}

async function textsOf(life: StoreLife, clientIdentifier: string): Promise<readonly string[]> {
  const payloads = await life.drain(life.find(clientIdentifier), 1);
  return payloads.map((payload) => payload.toString());
}

async function expectSound(directory: string): Promise<void> {
  const faults: string[] = [];
  await checkStore(
    directory,
    (fault) => faults.push(fault),
    () => undefined,
  );
  expect(faults).toEqual([]);
}

describe("what waits in a group", () => {
  test("goes to who comes first, wherever it is stored, and to nobody else", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    newCrew(life);
    publishAll(life, 0, COUNT - 100);
    await life.turn();
    await life.index();
    publishAll(life, COUNT - 100, COUNT);
    await life.turn();
    const killed = copyOf(directory);
    await expectSound(killed);
    const next = await startLife(killed);
    expect(next.recovered.sessionCount).toBe(2);
    expect(await textsOf(next, "two")).toEqual(numbers(0, COUNT));
    expect(await textsOf(next, "one")).toEqual([]);
    const last = await startLife(copyOf(killed));
    expect(await textsOf(last, "one")).toEqual([]);
    expect(await textsOf(last, "two")).toEqual([]);
  });

  test("is once there when the broker is killed while it is given out", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    const { one } = newCrew(life);
    publishAll(life, 0, COUNT);
    await life.turn();
    await life.index();
    life.attach(one, 1);
    // Some segments are loaded, and given out.
    for (let turn = 0; turn < 3; turn++) {
      await life.turn();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await life.commitUnmarked();
    const sent = life.sentTo(1).map(({ payload }) => payload.toString());
    expect(sent.length).toBeGreaterThan(0);
    const killed = copyOf(directory);
    await expectSound(killed);
    const next = await startLife(killed);
    const rest = await textsOf(next, "two");
    const own = await textsOf(next, "one");
    expect([...own, ...rest]).toEqual(numbers(0, COUNT));
    expect(own.length).toBeGreaterThanOrEqual(sent.length);
  });
});

describe("a member's Session that ends", () => {
  /** Its messages were sent, and are in the store only; it has ended since, on record. */
  async function endStored(life: StoreLife): Promise<void> {
    const { one } = newCrew(life);
    life.attach(one, 1);
    publishAll(life, 0, COUNT);
    expect(life.sentTo(1).map(({ payload }) => payload.toString())).toEqual(numbers(0, COUNT));
    life.engine.calls.detachSession(one, 0);
    life.engine.calls.closeConnection(1);
    await life.turn();
    await life.index();
    life.engine.calls.endSession(one);
    expect(life.find("one")).toBe(0);
    await life.commitUnmarked();
  }

  test("leaves what is in the store to the others", async () => {
    const life = await startLife(temporaryDirectory());
    await endStored(life);
    expect(await textsOf(life, "two")).toEqual(numbers(0, COUNT));
    // Nothing of it stays.
    expect(life.engine.calls.sessionAfter(0)).not.toBe(0);
    life.engine.calls.endSession(life.find("two"));
    expect(life.engine.calls.sessionAfter(0)).toBe(0);
  });

  test.for(["journal", "index"])(
    "does so when it is killed meanwhile, by the %s",
    async (where) => {
      const directory = temporaryDirectory();
      const life = await startLife(directory);
      await endStored(life);
      if (where === "index") await life.index();
      const killed = copyOf(directory);
      await expectSound(killed);
      const next = await startLife(killed);
      expect(next.recovered.sessionCount).toBe(1);
      expect(next.find("one")).toBe(0);
      // Its client may be there again, with a Session of its own.
      const again = next.session("one", FILTER);
      next.engine.calls.detachSession(again, 0);
      expect(await textsOf(next, "two")).toEqual(numbers(0, COUNT));
      expect(await textsOf(next, "one")).toEqual([]);
      await next.index();
      await next.close();
      await expectSound(killed);
      const last = await startLife(killed);
      expect(await textsOf(last, "two")).toEqual([]);
      expect(last.recovered.sessionCount).toBe(2);
    },
  );
});
