/** Network Connections past max_connections: who is turned away, what is told, what is counted. */
import { expect, test } from "vitest";
import { ConnectionLimit } from "../../src/protocol/connection-limit.ts";
import { Tallies } from "../../src/protocol/tallies.ts";
import { LISTENER_RULES } from "../support/listener-rules.ts";

const ONE = { ...LISTENER_RULES, port: 1883, connectionsMax: 2 };
const OTHER = { ...LISTENER_RULES, port: 8883, connectionsMax: Number.POSITIVE_INFINITY };

function limited(connectionsMax = Number.POSITIVE_INFINITY) {
  const lines: string[] = [];
  const tallies = new Tallies();
  const turn = { openCount: 0 };
  const log = { notice: (text: string) => lines.push(text) };
  const limit = new ConnectionLimit({ settings: { connectionsMax }, turn, tallies, log });
  const open = (rules: typeof ONE, second = 100): boolean => {
    if (!limit.mayOpen(rules, second)) return false;
    turn.openCount++;
    limit.opened(rules);
    return true;
  };
  return { limit, lines, open, tallies };
}

test("max_connections is of each listener", () => {
  const { limit, lines, open, tallies } = limited();
  expect([open(ONE), open(ONE), open(ONE), open(OTHER)]).toEqual([true, true, false, true]);
  expect(lines).toEqual(["Client connection on port 1883 denied: max_connections exceeded."]);
  expect(tallies.deniedCount).toBe(1);
  limit.closed(ONE);
  expect([open(ONE), open(ONE)]).toEqual([true, false]);
});

test("global_max_connections is of all", () => {
  const { lines, open } = limited(2);
  expect([open(ONE), open(OTHER), open(OTHER)]).toEqual([true, true, false]);
  expect(lines).toEqual([
    "Client connection on port 8883 denied: global_max_connections exceeded.",
  ]);
});

test("a flood is told of at once, and every ten seconds how much it was", () => {
  const { limit, lines, open, tallies } = limited();
  open(ONE);
  open(ONE);
  for (let second = 100; second < 125; second++) {
    limit.tick(second);
    for (let i = 0; i < 100; i++) open(ONE, second);
  }
  expect(lines).toEqual([
    "Client connection on port 1883 denied: max_connections exceeded.",
    "999 more client connections on port 1883 denied: max_connections exceeded.",
    "1000 more client connections on port 1883 denied: max_connections exceeded.",
  ]);
  expect(tallies.deniedCount).toBe(2_500);
  limit.tick(130);
  expect(lines[3]).toBe(
    "500 more client connections on port 1883 denied: max_connections exceeded.",
  );
  // It is over; the next is told of at once.
  limit.tick(140);
  expect(lines).toHaveLength(4);
  open(ONE, 141);
  expect(lines[4]).toBe("Client connection on port 1883 denied: max_connections exceeded.");
});
