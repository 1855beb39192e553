/** What the bars of the store share: their load, the disk's own pace, and when a broker rests. */
import { closeSync, fdatasyncSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { median } from "../load/compare.ts";
import { BrokerFault } from "../load/fault.ts";
import type { LoadOptions } from "../load/options.ts";
import { threadMicros } from "../load/process-meter.ts";
import type { PartUse } from "../load/queue-load.ts";
import { sleep } from "./bar.ts";
import type { BrokerChild, BrokerHome } from "./broker-child.ts";

const SYNCS = 200;
const SYNC_BYTES = 16 * 1024;
const QUIET_SAMPLE_MILLIS = 500;
/** Share of a core below which a broker has nothing to do. */
const QUIET_SHARE = 0.03;
/** Longer than the store lets a page of the journal wait for the index. */
const QUIET_SECONDS = 5;
const QUIET_SECONDS_MAX = 120;
const STALL_SECONDS = 30;

/** @returns flags of the load generator for queues: QoS 1, one publisher */
export function queueOptions(broker: BrokerChild, changes: Partial<LoadOptions>): LoadOptions {
  return broker.loadOptions({
    scenario: "offline",
    qos: 1,
    publisherCount: 1,
    idleSeconds: STALL_SECONDS,
    ...changes,
  });
}

/** @returns the median time of a small write and its fdatasync in the store's directory */
export function fsyncMillis(home: BrokerHome): number {
  const file = join(home.directory, "fsync-probe");
  const fd = openSync(file, "w");
  try {
    const bytes = Buffer.alloc(SYNC_BYTES, "x");
    const millis = Array.from({ length: SYNCS }, (_, index) => {
      const start = performance.now();
      writeSync(fd, bytes, 0, SYNC_BYTES, index * SYNC_BYTES);
      fdatasyncSync(fd);
      return performance.now() - start;
    });
    return median(millis);
  } finally {
    closeSync(fd);
    rmSync(file);
  }
}

/**
 * Waits until the broker has had nothing to do for a while: all that it moves later is moved.
 *
 * @throws BrokerFault if it does not come to rest
 */
export async function untilQuiet(broker: BrokerChild): Promise<void> {
  const deadline = performance.now() + QUIET_SECONDS_MAX * 1000;
  let since = performance.now();
  let last = threadMicros(broker.pid);
  while (performance.now() - since < QUIET_SECONDS * 1000) {
    await sleep(QUIET_SAMPLE_MILLIS);
    const now = threadMicros(broker.pid);
    const isBusy = now - last > QUIET_SAMPLE_MILLIS * 1000 * QUIET_SHARE;
    if (isBusy) since = performance.now();
    last = now;
    if (since > deadline) throw new BrokerFault("the broker does not come to rest");
  }
}

/** @returns bytes of a file of the store; 0 if it is not there */
export function storedBytes(home: BrokerHome, name: string): number {
  return statSync(join(home.dataDirectory, name), { throwIfNoEntry: false })?.size ?? 0;
}

export function perSecond({ messages, use }: PartUse): number {
  return messages / use.seconds;
}

/** @returns microseconds of the broker's CPU for each message */
export function microsEach({ messages, use }: PartUse): number {
  return ((use.brokerCpuSeconds ?? Number.NaN) * 1e6) / messages;
}

/** @returns the middle value with the least and the most, as text */
export function spread(values: readonly number[], digits: number): string {
  const least = Math.min(...values).toFixed(digits);
  return `${median(values).toFixed(digits)} (${least}–${Math.max(...values).toFixed(digits)})`;
}
