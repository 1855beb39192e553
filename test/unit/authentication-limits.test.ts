/** Enhanced authentication with the clock in hand, and what it leaves in the engine's memory. */
import { expect, test } from "vitest";
import { AUTHENTICATION_METHOD, USER_PROPERTY } from "#assembly/spec";
import { FAILURES_FREE } from "../../src/access/limits.ts";
import { ScramCredentials } from "../../src/access/scram-credentials.ts";
import { credentialOf } from "../../src/access/scram-file.ts";
import {
  AUTHENTICATING_BYTES_MAX,
  CONNECT_SECONDS_MAX,
  DELAYED_REFUSALS_MAX,
} from "../../src/base/limits.ts";
import { EngineHarness } from "../support/engine-harness.ts";
import { HarnessClient } from "../support/engine-harness-client.ts";
import { fillWholly, free } from "../support/full-heap.ts";
import { encode } from "../support/naive-encoder.ts";
import { connect } from "../support/packets.ts";
import { authConnect, authPacket, ScramClient } from "../support/scram-client.ts";

const credentials = new ScramCredentials(
  new Map([["truck", await credentialOf("diesel", 4096, Buffer.alloc(16, 7))]]),
);

async function pass(harness: EngineHarness, seconds: number): Promise<void> {
  for (let i = 0; i < seconds; i++) {
    harness.advance(1);
    await harness.settle();
  }
}

/** The packets that came since, as bytes in hex. */
function taken(client: HarnessClient): string {
  return client.wire.takeReceived().toString("hex");
}

/** A client whose exchange has begun, and the bytes of its AUTH. */
async function begin(harness: EngineHarness, clientId: string, scram: ScramClient) {
  const client = new HarnessClient(harness, 5);
  client.sendBytes(authConnect(clientId, scram.first()));
  await harness.settle();
  return { client, serverFirst: serverFirstIn(client) };
}

function serverFirstIn(client: HarnessClient): string {
  const bytes = client.wire.takeReceived();
  expect(bytes[0]).toBe(0xf0);
  return bytes.subarray(bytes.indexOf("r=")).toString();
}

test("a CONNECT that is not proved in time is refused: CONNACK 0x87 [MQTT-4.12.0-4]", async () => {
  const harness = new EngineHarness({}, credentials);
  const { client } = await begin(harness, "slow", new ScramClient("truck", "diesel"));
  await pass(harness, CONNECT_SECONDS_MAX - 1);
  expect(client.isClosed).toBe(false);
  await pass(harness, 2);
  expect(client.isClosed).toBe(true);
  expect(taken(client)).toBe("2003008700");
});

test("an exchange on an open connection has as long: DISCONNECT 0x87 [MQTT-4.12.1-2]", async () => {
  const harness = new EngineHarness({}, credentials);
  const scram = new ScramClient("truck", "diesel");
  const { client, serverFirst } = await begin(harness, "again", scram);
  client.sendBytes(authPacket(0x18, scram.final(serverFirst)));
  await harness.settle();
  expect(taken(client).slice(0, 2)).toBe("20");
  // One that ends in time has no say in the next.
  client.sendBytes(authPacket(0x19, scram.first()));
  await harness.settle();
  client.sendBytes(authPacket(0x18, scram.final(serverFirstIn(client))));
  await harness.settle();
  expect(taken(client).slice(0, 2)).toBe("f0");
  await pass(harness, CONNECT_SECONDS_MAX - 5);
  client.sendBytes(authPacket(0x19, scram.first()));
  await harness.settle();
  serverFirstIn(client);
  await pass(harness, CONNECT_SECONDS_MAX - 1);
  expect(client.isClosed).toBe(false);
  await pass(harness, 2);
  expect(client.isClosed).toBe(true);
  expect(taken(client)).toBe("e00187");
});

test("the stop of the broker is CONNACK 0x88 to who is being asked [MQTT-3.2.2-8]", async () => {
  const harness = new EngineHarness({}, credentials);
  const { client } = await begin(harness, "stopped", new ScramClient("truck", "diesel"));
  harness.dispatch.close(client.peer.connection, 0x8b);
  await harness.settle();
  expect(taken(client)).toBe("2003008800");
});

test.for(["refused", "gone", "leaving", "accepted"] as const)(
  "nothing is left in memory of one who is %s",
  async (end) => {
    const harness = new EngineHarness({}, credentials);
    await harness.clear();
    const before = harness.heap().blocks;
    const scram = new ScramClient("truck", end === "refused" ? "petrol" : "diesel");
    const { client, serverFirst } = await begin(harness, "memory", scram);
    if (end === "gone") harness.hangUp(client.peer);
    else if (end === "leaving") client.sendBytes(Buffer.from("e000", "hex"));
    else client.sendBytes(authPacket(0x18, scram.final(serverFirst)));
    await harness.settle();
    await harness.clear();
    expect(harness.heap().blocks).toBe(before);
  },
);

/** A CONNECT with the method, of so many bytes, a few hundred thousand. */
function longConnect(clientIdentifier: string, byteCount: number): Uint8Array {
  const packetOf = (last: number) => {
    const lengths = [...Array.from({ length: 8 }, () => 60_000), last];
    const users = lengths.map((length) => [USER_PROPERTY, ["k", "x".repeat(length)]] as const);
    const properties = [[AUTHENTICATION_METHOD, "SCRAM-SHA-256"] as const, ...users];
    return encode(5, connect({ version: 5, clientIdentifier, properties }));
  };
  return packetOf(byteCount - packetOf(0).length);
}

test("so many bytes of CONNECT wait for proof at most; one more is refused with 0x97", async () => {
  const harness = new EngineHarness({}, credentials);
  // As long as a CONNECT may be.
  const byteCount = 512 * 1024;
  const clients: HarnessClient[] = [];
  for (let waiting = 0; waiting < AUTHENTICATING_BYTES_MAX; waiting += byteCount) {
    const client = new HarnessClient(harness, 5);
    client.sendBytes(longConnect(`c${clients.length}`.padEnd(8), byteCount));
    await harness.settle();
    expect(client.wire.takeReceived()[0]).toBe(0xf0);
    clients.push(client);
  }
  const refused = new HarnessClient(harness, 5);
  refused.sendBytes(authConnect("refused", new ScramClient("truck", "diesel").first()));
  await harness.settle();
  expect(taken(refused)).toMatch(/^20..0097/);
  expect(refused.isClosed).toBe(true);
  // Who goes makes room.
  const [gone] = clients;
  gone?.hangUp();
  await harness.settle();
  await begin(harness, "taken", new ScramClient("truck", "diesel"));
});

test("who has proved it, but for whose CONNECT there is no memory, is closed", async () => {
  const harness = new EngineHarness({ memoryBytesMax: 8 * 1024 * 1024 }, credentials);
  const scram = new ScramClient("truck", "diesel");
  const { client, serverFirst } = await begin(harness, "unlucky", scram);
  harness.notices = [];
  const blocks = fillWholly(harness.engine);
  client.sendBytes(authPacket(0x18, scram.final(serverFirst)));
  await harness.settle();
  free(harness.engine, blocks);
  await harness.settle();
  expect(client.isClosed).toBe(true);
  expect(harness.notices).toEqual([
    "Client <unknown> [memory] disconnected: quota exceeded: no memory for the CONNECT.",
  ]);
  expect(harness.sessionOf("unlucky")).toBe(0);
});

test(`${DELAYED_REFUSALS_MAX} refusals wait at most; others go out at once`, async () => {
  const harness = new EngineHarness({ refusalDelayMillisecondsMax: 25_000 }, credentials);
  const fail = (name: string): HarnessClient => {
    const client = new HarnessClient(harness, 5);
    client.sendBytes(authConnect(name, "no such message"));
    return client;
  };
  // The first that wait do so for a short time: they may be gone already.
  const SHORT = 8;
  const count = FAILURES_FREE + DELAYED_REFUSALS_MAX + 2 * SHORT;
  const clients = Array.from({ length: count }, (_, i) => fail(`${i}`));
  await harness.settle();
  const waiting = clients.filter(({ isClosed }) => !isClosed);
  expect(waiting.length).toBeLessThanOrEqual(DELAYED_REFUSALS_MAX);
  expect(waiting.length).toBeGreaterThan(DELAYED_REFUSALS_MAX - SHORT);
  expect(clients.filter((client) => taken(client).startsWith("20")).length).toBe(
    count - waiting.length,
  );
  // Who goes makes room.
  for (const { peer } of waiting.splice(0, SHORT)) harness.hangUp(peer);
  const next = fail("next");
  await harness.settle();
  expect(next.isClosed).toBe(false);
  for (const { peer } of [...waiting, next]) harness.hangUp(peer);
  await harness.settle();
});
