/** One message to ten thousand Sessions whose clients are away: its PUBACK, and its body once. */
import { randomInt } from "node:crypto";
import { median } from "../load/compare.ts";
import { createReadRegion } from "../load/connection.ts";
import type { BrokerFault } from "../load/fault.ts";
import { forEachConcurrently } from "../load/opening.ts";
import { PUBACK, publishTemplate, subscribePacket } from "../load/packet.ts";
import { RUNS } from "../load/payload.ts";
import { SessionClient, type SessionSetup } from "../load/session-client.ts";
import {
  atMost,
  type Bar,
  type BarOptions,
  type BarRow,
  count,
  faultless,
  type Say,
  scaled,
  told,
} from "./bar.ts";
import { type BrokerChild, type BrokerHome, withHome } from "./broker-child.ts";
import { type Client, type Clients, withClients } from "./clients.ts";
import { storedBytes, untilQuiet } from "./store-load.ts";

const SESSIONS = 10_000;
const TOPIC = "fleet/all/news";
const SMALL_BYTES = 128;
const BODY_BYTES = 32 * 1024;
/** With the large one below what most brokers send unacknowledged. */
const SMALL_MESSAGES = 9;
const PACKET_BYTES_MAX = 64 * 1024;
const CONCURRENCY = 200;

const MILLIS_MAX = 250;
/** Growth of the index for a Session, beside one body: a row, and what a B+tree leaves free. */
const ROW_BYTES_MAX = 512;

async function publish(clients: Clients, publisher: Client, payloadBytes: number): Promise<number> {
  const { connection, tally } = publisher;
  const { bytes, packetIdOffset } = publishTemplate(4, 1, TOPIC, payloadBytes);
  bytes[packetIdOffset + 1] = 1;
  const answered = tally.reaches(PUBACK, tally.count(PUBACK) + 1).then(() => performance.now());
  const start = performance.now();
  connection.sendPacket(bytes);
  return (await clients.orLost(answered, "PUBACK")) - start;
}

/** All come back. @returns how many messages came */
async function collect(setup: SessionSetup, sessions: number, name: string): Promise<number> {
  const expected = sessions * (SMALL_MESSAGES + 1);
  let received = 0;
  let complete: () => void = () => {};
  const all = new Promise<void>((resolve) => {
    complete = resolve;
  });
  const inbox = {
    takePublish: () => {
      received++;
      if (received === expected) complete();
    },
    progressed: () => {},
  };
  const back: SessionClient[] = [];
  await withClients(setup.options, async (clients) => {
    await forEachConcurrently(sessions, CONCURRENCY, async (session) => {
      const entry = { clientIdentifier: `${name}${session}`, session: "durable" } as const;
      back.push(await SessionClient.open({ ...setup, inbox }, session, entry));
    });
    await clients.orLost(all, "message for each Session");
  });
  for (const client of back) client.leave();
  return received;
}

async function measureBroadcast(
  home: BrokerHome,
  broker: BrokerChild,
  say: Say,
  options: BarOptions,
): Promise<BarRow[]> {
  const sessions = scaled(SESSIONS, options);
  const name = `news${randomInt(RUNS).toString(36)}s`;
  const setup: SessionSetup = {
    options: broker.loadOptions({ qos: 1, concurrency: CONCURRENCY }),
    region: createReadRegion(PACKET_BYTES_MAX),
    inbox: undefined,
    lost: (fault: BrokerFault) => say(fault.message),
  };
  await forEachConcurrently(sessions, CONCURRENCY, async (session) => {
    const client = await SessionClient.open(setup, session, {
      clientIdentifier: `${name}${session}`,
      session: "durable",
      subscribe: subscribePacket(4, TOPIC, 1),
    });
    client.leave();
  });
  await untilQuiet(broker);
  const indexBefore = storedBytes(home, "index.mdb");
  const millis: number[] = [];
  const large = await withClients(setup.options, async (clients) => {
    const publisher = await clients.open();
    const first = await publish(clients, publisher, BODY_BYTES);
    await untilQuiet(broker);
    return first;
  });
  const grown = storedBytes(home, "index.mdb") - indexBefore;
  say(`body of ${count(BODY_BYTES)} B: ${large.toFixed(1)} ms, index grew ${count(grown)} B`);
  await withClients(setup.options, async (clients) => {
    const publisher = await clients.open();
    while (millis.length < SMALL_MESSAGES) {
      millis.push(await publish(clients, publisher, SMALL_BYTES));
    }
  });
  const worst = Math.max(...millis, large);
  const detail = `median ${median(millis).toFixed(1)}, ${count(BODY_BYTES)} B: ${large.toFixed(1)}`;
  const received = await collect(setup, sessions, name);
  const expected = sessions * (SMALL_MESSAGES + 1);
  return [
    atMost(`PUBACK of one to ${count(sessions)}, worst`, worst, MILLIS_MAX, "ms", detail),
    atMost(
      `index.mdb grown by one of ${count(BODY_BYTES)} B`,
      grown,
      2 * BODY_BYTES + sessions * ROW_BYTES_MAX,
      "B",
      `one body each: ${count(sessions * BODY_BYTES)}`,
      0,
    ),
    told("index.mdb in all", `${count(storedBytes(home, "index.mdb"))} B`),
    faultless(
      "all come back and get all",
      count(received),
      received === expected ? "" : `${count(received)} of ${count(expected)}`,
    ),
  ];
}

export const broadcastBar: Bar = {
  name: "broadcast",
  sentence: "one QoS 1 message to 10,000 Sessions that are away: PUBACK, and its body stored once",
  scales: true,
  measure: (say, options) =>
    withHome({ config: options.config }, async (home) =>
      measureBroadcast(home, await home.start(), say, options),
    ),
};
