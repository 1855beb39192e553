/**
 * What every chapter of the conformance tests starts with: one broker for the file, and clients
 * that are cut off when their test ends.
 */
import { afterAll, afterEach, beforeAll } from "vitest";
import { TestClient } from "../support/client.ts";
import type { ConnectOptions, OpenOptions } from "../support/client-packets.ts";
import { type BrokerOptions, type RunningBroker, startBroker } from "../support/running-broker.ts";

export interface Chapter {
  broker(): RunningBroker;
  /** A client whose CONNECT was accepted. */
  connect(options?: ConnectOptions): Promise<TestClient>;
  /** A Network Connection on which nothing was sent yet. */
  open(options?: OpenOptions & { readonly clientId?: string }): Promise<TestClient>;
}

/** Starts a broker before the tests of the enclosing suite and stops it behind them. */
export function startChapter(options: BrokerOptions = {}): Chapter {
  let broker: RunningBroker | undefined;
  const clients: TestClient[] = [];
  const running = () => {
    if (broker === undefined) throw new Error("the broker did not start");
    return broker;
  };
  const keep = async (opening: Promise<TestClient>) => {
    const client = await opening;
    clients.push(client);
    return client;
  };

  beforeAll(async () => {
    broker = await startBroker(options);
  });
  afterEach(async () => {
    const open = clients.splice(0).filter((client) => !client.isClosed);
    for (const client of open) client.destroy();
    await Promise.all(open.map((client) => client.closed()));
  });
  afterAll(async () => {
    await broker?.stop();
  });

  return {
    broker: running,
    connect: (connectOptions) => keep(TestClient.connect(running(), connectOptions)),
    open: (openOptions) => keep(TestClient.open(running(), openOptions)),
  };
}

/** The version as a title names it. */
export function nameOf(version: number): string {
  return { 3: "3.1", 4: "3.1.1", 5: "5.0" }[version] ?? `${version}`;
}
