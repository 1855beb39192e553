/** Runs something while a bystander measures what it waits. */
import { Worker } from "node:worker_threads";
import type { PingerOptions, PingTimes } from "./pinger.ts";

/** Runs `work` while a thread of its own pings. @returns what its packets waited */
export async function pinged(
  port: number,
  work: () => Promise<void>,
  sends: PingerOptions["sends"] = "PINGREQ",
): Promise<PingTimes> {
  const workerData: PingerOptions = { port, sends };
  const worker = new Worker(new URL("./pinger.ts", import.meta.url), { workerData });
  const told = (): Promise<unknown> =>
    new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
  try {
    await told(); // It is connected, and begins.
    const answer = told();
    answer.catch(() => {}); // Thrown below, unless `work` fails before.
    await work();
    worker.postMessage("end");
    return (await answer) as PingTimes;
  } finally {
    await worker.terminate();
  }
}
