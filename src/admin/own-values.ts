/** What `$SYS/broker/holdfast/` says: what an operator of this broker needs beyond mosquitto's. */
import * as abi from "#assembly/abi";
import * as spec from "#assembly/spec";
import type { PasswordHasher } from "../access/password-hasher.ts";
import type { Delays } from "../base/loop-delay.ts";
import type { Engine } from "../engine/engine.ts";
import { reasonText } from "../protocol/reasons.ts";
import type { Tallies } from "../protocol/tallies.ts";
import type { Latency } from "../store/latency.ts";
import type { Store } from "../store/store.ts";

export type Value = readonly [string, string | number];

const ENGINE_COUNTERS: readonly (readonly [string, number])[] = [
  ["queued", abi.S_QUEUED_MESSAGES],
  ["queues/filling", abi.S_QUEUES_FILLING],
  ["queues/full", abi.S_QUEUES_FULL],
  ["sessions/orphaned", abi.S_SESSIONS_ORPHANED],
  ["dropped/slow reader", abi.S_DROPPED_SLOW],
  ["dropped/queue full", abi.S_DROPPED_QUEUE_FULL],
  ["dropped/expired", abi.S_DROPPED_EXPIRED],
  ["dropped/too large", abi.S_DROPPED_TOO_LARGE],
  ["dropped/memory", abi.S_DROPPED_MEMORY],
  ["dropped/replaced", abi.S_DROPPED_REPLACED],
  ["denied/publish", abi.S_DENIED_PUBLISH],
  ["denied/read", abi.S_DENIED_READ],
  ["refused/memory", abi.S_REFUSED_MEMORY],
  ["refused/store", abi.S_REFUSED_STORE],
  ["refused/queue full", abi.S_REFUSED_QUEUE_FULL],
  ["acknowledgements/held", abi.S_ACKNOWLEDGEMENTS_HELD],
  ["acknowledgements/elided", abi.S_ACKNOWLEDGEMENTS_ELIDED],
  ["acknowledgements/unknown", abi.S_ACKNOWLEDGEMENTS_UNKNOWN],
  ["journal/records", abi.S_JOURNAL_RECORDS],
  ["journal/bytes", abi.S_JOURNAL_BYTES],
  ["journal/lost", abi.S_JOURNAL_LOST],
  ["partial packets/bytes", abi.S_PARTIAL_BYTES],
  ["retained/bytes", abi.S_RETAINED_BYTES],
];

/** What the engine counts. */
export function engineValues(engine: Engine): Value[] {
  const { calls } = engine;
  return [
    ...ENGINE_COUNTERS.map(([name, offset]): Value => [name, engine.counter(offset)]),
    ["heap/committed", Number(calls.heapBytesCommitted())],
    ["heap/limit", Number(calls.heapBytesCap())],
  ];
}

/** Reason Codes that have a topic of their own; the others are counted as `other`. */
const REFUSED = [
  spec.UNSUPPORTED_PROTOCOL_VERSION,
  spec.CLIENT_IDENTIFIER_NOT_VALID,
  spec.BAD_USER_NAME_OR_PASSWORD,
  spec.NOT_AUTHORIZED,
  spec.SERVER_UNAVAILABLE,
  spec.SERVER_BUSY,
  spec.QUOTA_EXCEEDED,
  spec.CONNECTION_RATE_EXCEEDED,
] as const;
const ENDED = [
  spec.MALFORMED_PACKET,
  spec.PROTOCOL_ERROR,
  spec.NOT_AUTHORIZED,
  spec.KEEP_ALIVE_TIMEOUT,
  spec.SESSION_TAKEN_OVER,
  spec.PACKET_TOO_LARGE,
  spec.QUOTA_EXCEEDED,
] as const;

function byReason(
  prefix: string,
  counts: ReadonlyMap<number, number>,
  named: readonly number[],
): Value[] {
  let other = 0;
  for (const [code, count] of counts) if (!named.includes(code)) other += count;
  const values = named.map(
    (code): Value => [`${prefix}/${reasonText(code)}`, counts.get(code) ?? 0],
  );
  return [...values, [`${prefix}/other`, other]];
}

/** What became of connections. */
export function connectionValues(tallies: Tallies): Value[] {
  return [
    ...byReason("connections/refused", tallies.refused, REFUSED),
    ["connections/refused/max_connections", tallies.deniedCount],
    ...byReason("connections/closed", tallies.ended, ENDED),
  ];
}

/** What it costs to find out who clients are. */
export function loginValues(tallies: Tallies, hasher: PasswordHasher): Value[] {
  return [
    ["logins/failed", tallies.failedLoginCount],
    ["passwords/waiting", hasher.waitingCount],
    ["passwords/hashed", hasher.computedCount],
    ["passwords/remembered", hasher.rememberedCount],
    ["passwords/turned away", hasher.busyCount],
  ];
}

/** Milliseconds as a value shows them. */
function milliseconds(value: number): string {
  return value.toFixed(2);
}

/** Nothing where no file can be opened to read it from: what was said before stays. */
function residentValue(onFault: (reason: string) => void): Value[] {
  try {
    return [["memory/resident", process.memoryUsage.rss()]];
  } catch (error) {
    onFault(error instanceof Error ? error.message : `${error}`);
    return [];
  }
}

/**
 * How the process fares.
 *
 * @param onFault  told why it cannot be found out in part
 */
export function processValues(
  delays: Delays,
  linesLost: number,
  onFault: (reason: string) => void,
): Value[] {
  return [
    ["event loop/delay/milliseconds/mean", milliseconds(delays.meanMilliseconds)],
    ["event loop/delay/milliseconds/99 percent", milliseconds(delays.p99Milliseconds)],
    ["event loop/delay/milliseconds/maximum", milliseconds(delays.maxMilliseconds)],
    ...residentValue(onFault),
    ["log/lines lost", linesLost],
  ];
}

function latencyValues(name: string, latency: Latency): Value[] {
  const mean = latency.sumMilliseconds / Math.max(latency.count, 1);
  return [
    [`${name}/milliseconds/mean`, milliseconds(mean)],
    [`${name}/milliseconds/last`, milliseconds(latency.lastMilliseconds)],
  ];
}

/** @param store  null where nothing is kept on disk */
export function storeValues(store: Store | null): Value[] {
  const state = store?.state(Date.now());
  if (state === undefined) return [];
  return [
    ["store/state", state.trouble ?? "ok"],
    ["store/bytes", state.usedBytes],
    ["store/bytes/limit", state.bytesMax],
    ["store/commits", state.committedPage],
    ...latencyValues("store/commit", state.commitLatency),
    ...latencyValues("store/index", state.indexLatency),
    ["store/unindexed/bytes", state.tailBytes],
    ["store/unindexed/pages", state.tailCount],
    ["store/unindexed/seconds", Math.round(state.tailMilliseconds / 1000)],
    ["store/segments loaded", state.segmentsLoaded],
    ["store/queues being removed", state.wipeCount],
  ];
}
