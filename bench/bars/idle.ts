/** Connections that do nothing: what each costs, and whether all of them still answer. */
import type { Transport } from "../load/connection.ts";
import { UsageFault } from "../load/fault.ts";
import { PINGRESP } from "../load/packet.ts";
import { openFilesMax } from "../load/process-meter.ts";
import { type Bar, type BarRow, count, type Say, sleep } from "./bar.ts";
import { type BrokerChild, withBroker } from "./broker-child.ts";
import { withClients } from "./clients.ts";
import { PacketTally } from "./packet-tally.ts";

const COUNTS = [10_000, 18_000] as const;
const TRANSPORTS: readonly Transport[] = ["tcp", "ws-single"];
const OWN_FILES = 60;
const SETTLE_MILLIS = 1000;
const PINGREQ = Uint8Array.from([0xc0, 0]);

/** Broker memory for each of 10,000 connections on TCP. */
const BYTES_MAX = 4096;

interface Held {
  readonly residentBytes: number;
  readonly cpuMicros: number;
  readonly answered: number;
}

/** Holds `total` connections at once. @returns what each of them cost */
function hold(broker: BrokerChild, transport: Transport, total: number): Promise<Held> {
  return withClients(broker.loadOptions({ transport }), async (clients) => {
    await sleep(SETTLE_MILLIS);
    const residentBefore = broker.residentBytes();
    const cpuBefore = broker.cpuMicros();
    const tally = new PacketTally(clients.region);
    const connections = await clients.openMany(total, tally);
    const cpuMicros = (broker.cpuMicros() - cpuBefore) / total;
    await sleep(SETTLE_MILLIS);
    const residentBytes = (broker.residentBytes() - residentBefore) / total;
    for (const connection of connections) connection.sendPacket(PINGREQ);
    await clients.orLost(tally.reaches(PINGRESP, total), "PINGRESP of each connection");
    return { residentBytes, cpuMicros, answered: tally.count(PINGRESP) };
  });
}

async function measureIdle(say: Say): Promise<BarRow[]> {
  if (Math.max(...COUNTS) + OWN_FILES > openFilesMax()) {
    throw new UsageFault(`${Math.max(...COUNTS)} connections need more open files (ulimit -n)`);
  }
  const rows: BarRow[] = [];
  for (const transport of TRANSPORTS) {
    for (const total of COUNTS) {
      const held = await withBroker({}, (broker) => hold(broker, transport, total));
      const over = transport === "tcp" ? "TCP" : "WebSocket";
      say(`${count(total)} on ${over} held`);
      const asked = transport === "tcp" && total === COUNTS[0];
      rows.push(
        {
          name: `broker RSS each, ${count(total)} on ${over}`,
          measured: `${count(held.residentBytes)} B`,
          bar: asked ? `≤ ${BYTES_MAX} B` : "",
          met: asked ? held.residentBytes <= BYTES_MAX : null,
          figures: { residentBytes: held.residentBytes },
        },
        {
          name: `broker CPU per connect, ${count(total)} on ${over}`,
          measured: `${count(held.cpuMicros, 1)} µs`,
          bar: "",
          met: null,
          figures: { cpuMicros: held.cpuMicros },
        },
        {
          name: `PINGREQ answered, ${count(total)} on ${over}`,
          measured: count(held.answered),
          bar: "all",
          met: held.answered === total,
          figures: { answered: held.answered },
        },
      );
    }
  }
  return rows;
}

export const idleBar: Bar = {
  name: "idle",
  sentence: "10,000 and 18,000 connections on TCP and WebSocket: memory, CPU per connect, PINGREQ",
  measure: measureIdle,
};
