/** A million stored Sessions with three subscriptions each: restart, and memory of each. */
import { deviceNames } from "../functions/workload.ts";
import { createReadRegion } from "../load/connection.ts";
import type { BrokerFault } from "../load/fault.ts";
import { forEachConcurrently } from "../load/opening.ts";
import { PUBLISH } from "../load/packet.ts";
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
import { type BrokerHome, withHome } from "./broker-child.ts";
import { withClients } from "./clients.ts";
import { batchSubscribePacket, publishRow } from "./packets.ts";
import { untilQuiet } from "./store-load.ts";

const SESSIONS = 1_000_000;
/** Connections at a time: they share a commit. */
const CONCURRENCY = 1000;
const PACKET_BYTES_MAX = 64 * 1024;
const SAY_EACH = 100_000;
const SAMPLES = 100;

const READY_SECONDS_MAX = 12;
const SESSION_BYTES_MAX = 700;

function filtersOf(device: string): string[] {
  return [`fleet/${device}/cmd/+`, `fleet/${device}/config`, `fleet/${device}/update/#`];
}

/** CONNECT and SUBSCRIBE in one write; at the SUBACK the connection is broken off. */
async function createSessions(setup: SessionSetup, devices: readonly string[], say: Say) {
  let created = 0;
  await forEachConcurrently(devices.length, CONCURRENCY, async (index) => {
    const device = devices[index] as string;
    const client = await SessionClient.open(setup, index, {
      clientIdentifier: device,
      session: "durable",
      subscribe: batchSubscribePacket(filtersOf(device)),
    });
    client.connection.drop();
    created++;
    if (created % SAY_EACH === 0) say(`${count(created)} Sessions made`);
  });
}

/** Some of the Sessions come back, and get what is published to each of their filters. */
async function checkSome(setup: SessionSetup, devices: readonly string[]): Promise<string> {
  const step = Math.max(1, Math.floor(devices.length / SAMPLES));
  const some = devices.filter((_, index) => index % step === 0);
  let received = 0;
  let missing = 0;
  const inbox = { takePublish: () => received++, progressed: () => {} };
  const back: SessionClient[] = [];
  for (const device of some) {
    const entry = { clientIdentifier: device, session: "durable" } as const;
    const client = await SessionClient.open({ ...setup, inbox }, 0, entry);
    if (!client.sessionPresent) missing++;
    back.push(client);
  }
  const topics = some.flatMap((device) =>
    ["cmd/reboot", "config", "update/a/b"].map((rest) => `fleet/${device}/${rest}`),
  );
  await withClients(setup.options, async (clients) => {
    const publisher = await clients.open();
    const own = await clients.open();
    await clients.subscribe(own, ["fleet/last"]);
    await clients.sendAll(publisher, publishRow([...topics, "fleet/last"], Buffer.alloc(8), false));
    await clients.orLost(own.tally.reaches(PUBLISH, 1), "PUBLISH");
    for (const client of back) await client.pinged();
  });
  for (const client of back) client.leave();
  if (missing > 0) return `${missing} of ${some.length} Sessions are not present`;
  return received === topics.length ? "" : `${received} of ${topics.length} messages came`;
}

async function measureSessions(home: BrokerHome, say: Say, options: BarOptions) {
  const devices = deviceNames(scaled(SESSIONS, options));
  const first = await home.start();
  await untilQuiet(first);
  const empty = first.anonymousBytes();
  const setup: SessionSetup = {
    options: first.loadOptions({ qos: 1 }),
    region: createReadRegion(PACKET_BYTES_MAX),
    inbox: undefined,
    lost: (fault: BrokerFault) => say(fault.message),
  };
  const start = performance.now();
  const cpuBefore = first.cpuMicros();
  await createSessions(setup, devices, say);
  const seconds = (performance.now() - start) / 1000;
  const micros = (first.cpuMicros() - cpuBefore) / devices.length;
  await untilQuiet(first);
  const before = (first.anonymousBytes() - empty) / devices.length;
  await first.kill();
  const second = await home.start();
  say(`ready ${count(second.readyMillis)} ms after kill -9`);
  await untilQuiet(second);
  const after = (second.anonymousBytes() - empty) / devices.length;
  const resident = (second.residentBytes() - empty) / devices.length;
  const ready = second.readyMillis / 1000;
  const made = `${count(devices.length / seconds)}/s, ${micros.toFixed(1)} µs CPU each`;
  const rows: BarRow[] = [
    told(`${count(devices.length)} Sessions made`, made, { seconds, micros }),
    atMost("restart after kill -9, ready", ready, READY_SECONDS_MAX, "s", "", 2),
    atMost("memory per Session after the restart", after, SESSION_BYTES_MAX, "B", "", 0),
    told(
      "memory per Session before it; RSS after it",
      `${count(before)} B; ${count(resident)} B with mapped pages`,
      { before, resident },
    ),
    faultless("some Sessions come back", "all present", await checkSome(setup, devices)),
  ];
  return rows;
}

export const sessionsBar: Bar = {
  name: "sessions",
  sentence: "1,000,000 stored Sessions with 3 subscriptions each: restart, memory of each",
  scales: true,
  measure: (say, options) =>
    withHome({ config: options.config }, (home) => measureSessions(home, say, options)),
};
