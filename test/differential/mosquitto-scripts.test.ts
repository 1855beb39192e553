/** What clients see: the same scripts on mosquitto 2.0.11 and on Holdfast. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { play } from "./client-script.ts";
import { SCRIPTS } from "./client-scripts.ts";
import { expectAllLookedAt, expectDifferences } from "./mosquitto-differences.ts";
import { BROKERS, type Side, startSide } from "./mosquitto-pair.ts";

const sides: Side[] = [];

beforeAll(async () => {
  for (const broker of BROKERS) {
    const lines = (port: number) => [
      `listener ${port} 127.0.0.1`,
      "allow_anonymous true",
      "persistence false",
    ];
    sides.push(await startSide(broker, ({ port }) => lines(port)));
  }
});
afterAll(async () => {
  await Promise.all(sides.map((side) => side.stop()));
});

test.for(SCRIPTS)("$name", async (script) => {
  const [mosquitto, holdfast] = await Promise.all(sides.map((side) => play(side, script)));
  expect(mosquitto?.length).toBeGreaterThan(0);
  expectDifferences(`scripts: ${script.name}`, { mosquitto, holdfast });
});

test("every listed difference was looked at", () => {
  expectAllLookedAt("scripts");
});
