/** The scenario `resume`: durable Sessions with one subscription each come back. */
import { CpuSpan } from "./cpu-span.ts";
import type { LoadOptions } from "./options.ts";
import { residentBytes } from "./process-meter.ts";
import { QueueLoad } from "./queue-load.ts";
import { type LoadResult, makeResult } from "./result.ts";

/**
 * `clientCount` Sessions subscribe and leave; what counts is how they come back.
 *
 * @throws BrokerFault if the broker refuses one, or has forgotten it
 */
export async function runResume(options: LoadOptions): Promise<LoadResult> {
  const { clientCount, pids } = options;
  const load = new QueueLoad({ ...options, messagesEach: 1 });
  await load.subscribe();
  const residentBefore = residentBytes(pids);
  const span = new CpuSpan(pids);
  await load.resume();
  const use = span.use();
  const resident = residentBytes(pids);
  load.leave();
  await load.discard();
  const known = pids.length > 0;
  const counted = {
    published: 0,
    delivered: clientCount,
    lost: 0,
    duplicated: 0,
    misordered: 0,
    foreign: 0,
    brokerResidentBytes: known ? resident : undefined,
    residentBytesPerConnection: known
      ? Math.round((resident - residentBefore) / clientCount)
      : undefined,
    latencyMicros: load.connectLatency(),
  };
  return makeResult(options, counted, use, "");
}
