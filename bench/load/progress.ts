/** One line a second on stderr while a run goes on. */
import type { Totals } from "./totals.ts";

const INTERVAL_MILLIS = 1000;

/** @returns a function that ends the lines */
export function startProgress(totals: Totals): () => void {
  const start = performance.now();
  let last = totals.delivered;
  const timer = setInterval(() => {
    const seconds = Math.round((performance.now() - start) / 1000);
    const rate = Math.round((totals.delivered - last) / (INTERVAL_MILLIS / 1000));
    last = totals.delivered;
    process.stderr.write(
      `${seconds} s  ${totals.delivered.toLocaleString("en")} delivered  ` +
        `${rate.toLocaleString("en")}/s\n`,
    );
  }, INTERVAL_MILLIS);
  return () => clearInterval(timer);
}
