/** How long something took: counts by time, as Prometheus has its histograms. */

/** Upper bounds of the counts, milliseconds; one more counts what took longer. */
export const LATENCY_BOUNDS_MILLISECONDS = [
  0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048,
] as const;

export class Latency {
  readonly counts: number[] = Array.from(
    { length: LATENCY_BOUNDS_MILLISECONDS.length + 1 },
    () => 0,
  );
  count = 0;
  lastMilliseconds = 0;
  sumMilliseconds = 0;

  add(milliseconds: number): void {
    const index = LATENCY_BOUNDS_MILLISECONDS.findIndex((bound) => milliseconds <= bound);
    const at = index < 0 ? LATENCY_BOUNDS_MILLISECONDS.length : index;
    this.counts[at] = (this.counts[at] ?? 0) + 1;
    this.count++;
    this.sumMilliseconds += milliseconds;
    this.lastMilliseconds = milliseconds;
  }
}
