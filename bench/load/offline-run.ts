/** The scenario `offline`: queues are filled while nobody is there, and drained. */
import type { LoadOptions } from "./options.ts";
import { residentBytes } from "./process-meter.ts";
import { type PartUse, QueueLoad } from "./queue-load.ts";
import { type LoadResult, makeResult, type PartResult } from "./result.ts";

function partResult(name: string, { messages, use }: PartUse): PartResult {
  const { seconds, brokerCpuSeconds } = use;
  return {
    name,
    messages,
    seconds,
    messagesPerSecond: messages / seconds,
    brokerMicrosPerMessage:
      brokerCpuSeconds === undefined ? undefined : (brokerCpuSeconds * 1e6) / messages,
  };
}

/**
 * Fills the queues of `clientCount` Sessions with `messagesEach` messages, and drains them.
 *
 * @throws BrokerFault if the broker refuses something, breaks a connection or stalls
 */
export async function runOffline(options: LoadOptions): Promise<LoadResult> {
  const load = new QueueLoad(options);
  const { ledger } = load;
  await load.subscribe();
  const enqueued = await load.enqueue();
  const drained = await load.drain();
  load.leave();
  await load.discard();
  const known = options.pids.length > 0;
  const use = {
    seconds: enqueued.use.seconds + drained.use.seconds,
    brokerCpuSeconds: known
      ? (enqueued.use.brokerCpuSeconds ?? 0) + (drained.use.brokerCpuSeconds ?? 0)
      : undefined,
    ownCpuSeconds: enqueued.use.ownCpuSeconds + drained.use.ownCpuSeconds,
  };
  const counted = {
    published: ledger.sent,
    delivered: ledger.received,
    ...ledger.verdict(),
    brokerResidentBytes: known ? residentBytes(options.pids) : undefined,
    residentBytesPerConnection: undefined,
    latencyMicros: enqueued.latencyMicros,
    parts: [partResult("enqueue", enqueued), partResult("drain", drained)],
  };
  return makeResult(options, counted, use, ledger.fault());
}
