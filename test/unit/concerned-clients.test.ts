/** Whom a change of users concerns among those who are connected, and what is told of them. */
import { expect, test } from "vitest";
import { Concerned } from "../../src/access/dynamic-security-change.ts";
import { EXPELLED_PER_TURN_MAX } from "../../src/base/limits.ts";
import { ConcernedClients } from "../../src/protocol/concerned-clients.ts";
import type { NetworkConnection } from "../../src/session/network-connection.ts";
import { EngineHarness } from "../support/engine-harness.ts";
import { HarnessClient } from "../support/engine-harness-client.ts";

/** Connections by their phases, each of the user of that name. */
function connectionsOf(harness: EngineHarness, phases: readonly NetworkConnection["phase"][]) {
  return phases.map((phase) => {
    const { connection } = new HarnessClient(harness, 5).peer;
    connection.phase = phase;
    connection.clientId = phase;
    connection.userName = "user";
    return connection;
  });
}

const EVERYBODY = { isMeant: () => true, renew: () => undefined, underway: () => [] };

function concernedUsers(...userNames: string[]): Concerned {
  const concerned = new Concerned();
  for (const userName of userNames) concerned.userNames.add(userName);
  return concerned;
}

test("those that are open or about to be end, but the one who asked", () => {
  const harness = new EngineHarness();
  connectionsOf(harness, ["connecting", "authenticating", "waiting", "open", "closing"]);
  const expelled: string[] = [];
  const clients = new ConcernedClients({
    ...EVERYBODY,
    turn: harness.turn,
    expel: ({ clientId }) => expelled.push(clientId),
  });
  clients.disconnect(concernedUsers("other"), null);
  expect(expelled).toEqual([]);
  clients.disconnect(concernedUsers("user"), null);
  expect(expelled.splice(0)).toEqual(["waiting", "open"]);
  clients.disconnect(concernedUsers("user"), { clientId: "open", userName: "user" });
  expect(expelled).toEqual(["waiting"]);
});

test("those whose password is being checked end as well, of the listeners that are meant", () => {
  const harness = new EngineHarness();
  const [asked] = connectionsOf(harness, ["authenticating", "open"]);
  const expelled: string[] = [];
  let isMeant = true;
  const clients = new ConcernedClients({
    ...EVERYBODY,
    isMeant: () => isMeant,
    turn: harness.turn,
    underway: (isConcerned) => (isConcerned("user") && asked !== undefined ? [asked] : []),
    expel: ({ clientId }) => expelled.push(clientId),
  });
  clients.disconnect(concernedUsers("user"), null);
  expect(expelled.splice(0)).toEqual(["authenticating", "open"]);
  isMeant = false;
  clients.disconnect(concernedUsers("user"), null);
  expect(expelled).toEqual([]);
});

test("a fleet ends in several turns, each once", async () => {
  const harness = new EngineHarness();
  const count = EXPELLED_PER_TURN_MAX + 1;
  connectionsOf(
    harness,
    Array.from({ length: count }, () => "open" as const),
  );
  let expelledCount = 0;
  let tell: () => void = () => undefined;
  const all = new Promise<void>((resolve) => {
    tell = resolve;
  });
  const clients = new ConcernedClients({
    ...EVERYBODY,
    turn: harness.turn,
    expel: () => {
      expelledCount++;
      if (expelledCount === count) tell();
    },
  });
  clients.disconnect(concernedUsers("user"), null);
  expect(expelledCount).toBe(EXPELLED_PER_TURN_MAX);
  await all;
  // Then there is nothing to be done any more.
  await new Promise((resolve) => setImmediate(resolve));
  expect(process.getActiveResourcesInfo()).not.toContain("Immediate");
});

test("addresses are those of who is open, by user", () => {
  const harness = new EngineHarness();
  connectionsOf(harness, ["connecting", "waiting", "open", "open", "open"]);
  const clients = new ConcernedClients({
    ...EVERYBODY,
    turn: harness.turn,
    expel: () => undefined,
  });
  expect([...clients.addresses()]).toEqual([["user", ["memory", "memory", "memory"]]]);
});
