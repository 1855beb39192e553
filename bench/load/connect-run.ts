/** The scenario `connect`: opens connections, holds them, and asks what each costs the broker. */
import { randomInt } from "node:crypto";
import { nowMicros } from "./clock.ts";
import { type Connection, createReadRegion } from "./connection.ts";
import { CpuSpan } from "./cpu-span.ts";
import { BrokerFault } from "./fault.ts";
import { forEachConcurrently, openConnection } from "./opening.ts";
import type { LoadOptions } from "./options.ts";
import { disconnectPacket, packetEnd } from "./packet.ts";
import { RUNS } from "./payload.ts";
import { residentBytes } from "./process-meter.ts";
import { startProgress } from "./progress.ts";
import { type LoadResult, makeResult } from "./result.ts";
import { Totals } from "./totals.ts";

/** Longest control packet that a broker sends to an idle connection. */
const PACKET_BYTES_MAX = 64 * 1024;

/**
 * Opens `clientCount` connections and holds them for `seconds`. "Delivered" counts connections.
 *
 * @throws BrokerFault if the broker refuses a connection or closes one
 */
export async function runConnect(options: LoadOptions): Promise<LoadResult> {
  const { clientCount, pids } = options;
  const region = createReadRegion(PACKET_BYTES_MAX);
  const run = randomInt(RUNS).toString(36);
  const totals = new Totals();
  const connections: Connection[] = [];
  let lose: (fault: BrokerFault) => void = () => {};
  const lost = new Promise<BrokerFault>((resolve) => {
    lose = resolve;
  });
  const idle = {
    take(at: number, end: number): number {
      if (packetEnd(region.bytes, at, end) !== 0) lose(new BrokerFault("a packet nobody awaits"));
      return end;
    },
    writable: () => {},
  };
  const stopProgress = options.progress ? startProgress(totals) : () => {};
  const residentBefore = residentBytes(pids);
  const span = new CpuSpan(pids);
  let fault: BrokerFault | undefined;
  lost.then((found) => {
    fault ??= found;
  });
  const opening = forEachConcurrently(clientCount, options.concurrency, async (index) => {
    if (fault !== undefined) return;
    const startMicros = nowMicros();
    const opened = await openConnection(options, region, `bench${run}c${index}`, index, lose);
    totals.latency.record(nowMicros() - startMicros);
    totals.delivered++;
    opened.connection.sink = idle;
    connections.push(opened.connection);
  });
  try {
    await opening;
  } catch (error) {
    if (!(error instanceof BrokerFault)) throw error;
    fault = error;
  }
  const use = span.use();
  const held = new Promise<undefined>((resolve) => {
    setTimeout(() => resolve(undefined), options.seconds * 1000);
  });
  fault ??= await Promise.race([held, lost]);
  const resident = residentBytes(pids);
  stopProgress();
  for (const connection of connections) connection.end(disconnectPacket());
  const counted = {
    published: 0,
    delivered: totals.delivered,
    lost: clientCount - totals.delivered,
    duplicated: 0,
    misordered: 0,
    foreign: 0,
    brokerResidentBytes: pids.length > 0 ? resident : undefined,
    residentBytesPerConnection:
      pids.length > 0
        ? Math.round((resident - residentBefore) / Math.max(totals.delivered, 1))
        : undefined,
    latencyMicros: totals.latency.summary(),
  };
  return makeResult(options, counted, use, fault?.message ?? "");
}
