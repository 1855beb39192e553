/** What a run found, as it stands in the JSON file. */
import type { CpuUse } from "./cpu-span.ts";
import type { LatencySummary } from "./latency.ts";
import type { LoadOptions, Scenario } from "./options.ts";

/** One part of a run that has several. */
export interface PartResult {
  readonly name: string;
  readonly messages: number;
  readonly seconds: number;
  readonly messagesPerSecond: number;
  readonly brokerMicrosPerMessage: number | undefined;
}

export interface LoadResult {
  readonly scenario: Scenario;
  readonly transport: string;
  readonly protocol: string;
  readonly qos: number;
  readonly publisherCount: number;
  readonly subscriberCount: number;
  readonly payloadBytes: number;
  readonly ok: boolean;
  /** "" if ok. */
  readonly fault: string;
  readonly seconds: number;
  readonly published: number;
  /** In `connect` and `resume` one unit is a connection, elsewhere a delivered message. */
  readonly delivered: number;
  readonly deliveredPerSecond: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly misordered: number;
  readonly foreign: number;
  /** undefined where no --pid was given. */
  readonly brokerCpuSeconds: number | undefined;
  readonly brokerMicrosPerUnit: number | undefined;
  readonly brokerResidentBytes: number | undefined;
  /** `connect` and `resume` only: growth of the broker's RSS per connection. */
  readonly residentBytesPerConnection: number | undefined;
  readonly ownCpuSeconds: number;
  readonly ownMicrosPerUnit: number;
  readonly ownResidentBytes: number;
  /** Microseconds; in `connect` and `resume` to CONNACK, in `offline` from PUBLISH to PUBACK. */
  readonly latencyMicros: LatencySummary;
  /** `offline` only; the figures above are of all parts together. */
  readonly parts?: readonly PartResult[];
  /** The load generator, not the broker, was the limit. */
  readonly generatorLimited: boolean;
}

/** Share of a core above which the generator is busy all the time. */
const BUSY_SHARE = 0.9;

/**
 * @param brokerCpuSeconds  undefined if not known; then a busy generator is taken for the limit
 * @returns whether the generator used up its core and more CPU than the broker
 */
export function isGeneratorLimited(
  seconds: number,
  ownCpuSeconds: number,
  brokerCpuSeconds: number | undefined,
): boolean {
  return ownCpuSeconds > seconds * BUSY_SHARE && ownCpuSeconds > (brokerCpuSeconds ?? 0);
}

/** @returns what is wrong with the deliveries, or "" */
export function deliveryFault(result: {
  readonly lost: number;
  readonly duplicated: number;
  readonly misordered: number;
  readonly foreign: number;
}): string {
  const faults = (["lost", "duplicated", "misordered", "foreign"] as const)
    .filter((kind) => result[kind] > 0)
    .map((kind) => `${result[kind]} ${kind}`);
  return faults.join(", ");
}

/** What a run counted; the rest of its result follows from it. */
export type Counted = Pick<
  LoadResult,
  | "published"
  | "delivered"
  | "lost"
  | "duplicated"
  | "misordered"
  | "foreign"
  | "brokerResidentBytes"
  | "residentBytesPerConnection"
  | "latencyMicros"
  | "parts"
>;

/** @param fault  what ended the run early, or "" */
export function makeResult(
  options: LoadOptions,
  counted: Counted,
  use: CpuUse,
  fault: string,
): LoadResult {
  const { seconds, brokerCpuSeconds, ownCpuSeconds } = use;
  const units = Math.max(counted.delivered, 1);
  return {
    scenario: options.scenario,
    transport: options.transport,
    protocol: options.level === 5 ? "5.0" : "3.1.1",
    qos: options.qos,
    publisherCount: options.publisherCount,
    subscriberCount: options.subscriberCount,
    payloadBytes: options.payloadBytes,
    ok: fault === "",
    fault,
    seconds,
    deliveredPerSecond: seconds > 0 ? counted.delivered / seconds : 0,
    brokerCpuSeconds,
    brokerMicrosPerUnit:
      brokerCpuSeconds === undefined ? undefined : (brokerCpuSeconds * 1e6) / units,
    ownCpuSeconds,
    ownMicrosPerUnit: (ownCpuSeconds * 1e6) / units,
    ownResidentBytes: process.memoryUsage.rss(),
    generatorLimited: isGeneratorLimited(seconds, ownCpuSeconds, brokerCpuSeconds),
    ...counted,
  };
}
