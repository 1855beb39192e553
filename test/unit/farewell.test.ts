/** The line of the log about a connection's end: scripts look for its words. */
import { describe, expect, test } from "vitest";
import { farewellLine } from "../../src/protocol/farewell.ts";
import { EngineHarness } from "../support/engine-harness.ts";
import { connectClient, HarnessClient } from "../support/engine-harness-client.ts";

const OPEN = "Client c [memory]";
const UNKNOWN = "Client <unknown> [memory]";

describe("of a client that was let in", () => {
  test.for([
    [0x00, "", `${OPEN} disconnected.`],
    [0x00, "closed", `${OPEN} closed its connection.`],
    [0x00, "connection error", `${OPEN} closed its connection.`],
    [0x00, "connection lost", `${OPEN} closed its connection.`],
    [0x00, "its will was asked for", `${OPEN} disconnected: its will was asked for.`],
    [0x8d, "", `${OPEN} has exceeded timeout, disconnecting.`],
    [0x8c, "", `${OPEN} disconnected: bad authentication method.`],
    [0x86, "", `${OPEN} disconnected: not authorised.`],
    [0x87, "its token has expired", `${OPEN} disconnected: not authorised: its token has expired.`],
    [0x85, "", `${OPEN} disconnected: Client Identifier not valid.`],
    [0x88, "", `${OPEN} disconnected: server unavailable.`],
    [0x82, "a second CONNECT", `${OPEN} disconnected: protocol error: a second CONNECT.`],
    // A reason that transports give is one of the peer's end only.
    [0x97, "closed", `${OPEN} disconnected: quota exceeded: closed.`],
  ] as const)("%i, %j: %s", async ([reasonCode, closeReason, line]) => {
    const { connection } = (await connectClient(new EngineHarness(), "c")).peer;
    connection.closeReason = closeReason;
    expect(farewellLine(connection, reasonCode)).toBe(line);
  });
});

describe("of one that was not", () => {
  test.for([
    ["connecting", "", 0x87, `${UNKNOWN} disconnected: not authorised.`],
    ["connecting", "c", 0x87, `${UNKNOWN} disconnected: not authorised (as c).`],
    ["authenticating", "c", 0x88, `${UNKNOWN} disconnected: server unavailable (as c).`],
    ["waiting", "c", 0x97, `${OPEN} disconnected: quota exceeded.`],
  ] as const)("%s, %j, %i: %s", ([phase, clientId, reasonCode, line]) => {
    const { connection } = new HarnessClient(new EngineHarness(), 5).peer;
    connection.phase = phase;
    connection.clientId = clientId;
    expect(farewellLine(connection, reasonCode)).toBe(line);
  });
});
