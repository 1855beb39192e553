/**
 * What the chapters on persistent Sessions do again and again: leave a Session, come back to it,
 * and make sure that what it did is committed.
 */
import { expect } from "vitest";
import type { TestClient } from "./client.ts";
import type { ConnectOptions, SubscribeOptions } from "./client-packets.ts";
import type { Stage } from "./restartable-broker-stories.ts";

/** Options of a client whose Session lasts, in either version. */
export function keeperOf(version: 4 | 5, clientId: string): ConnectOptions {
  return { version, clientId, clean: false, properties: { sessionExpiryInterval: 600 } };
}

/**
 * What `client`'s Session did so far is committed behind this: the SUBACK of a durable Session
 * leaves after the records of everything before it.
 */
export async function committed(client: TestClient): Promise<void> {
  expect(await client.subscribe(`committed/${client.clientId}`)).toBeLessThan(0x80);
}

/** A Session of `keeper` with one subscription, whose client is gone. */
export async function leave(
  { connect }: Pick<Stage, "connect">,
  keeper: ConnectOptions,
  filter: string,
  options: SubscribeOptions = { qos: 2 },
): Promise<void> {
  const client = await connect(keeper);
  expect(await client.subscribe(filter, options)).toBeLessThan(0x80);
  await client.drop();
}

/** Reconnects, and finds the Session. */
export async function resume(
  { connect }: Pick<Stage, "connect">,
  keeper: ConnectOptions,
): Promise<TestClient> {
  const client = await connect(keeper);
  expect(client.connack?.sessionPresent).toBe(true);
  return client;
}
