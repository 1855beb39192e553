/** Latencies in microseconds, in an HDR histogram of three digits. */
import { build } from "hdr-histogram-js";

/** Above this a latency counts as this. */
const LATENCY_MICROS_MAX = 600_000_000;

export interface LatencySummary {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/**
 * Neighbours in a chunk were mostly sent in one write: equal latencies in a row are recorded at
 * once.
 */
export class LatencyRecorder {
  private readonly histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: LATENCY_MICROS_MAX,
    numberOfSignificantValueDigits: 3,
    bitBucketSize: 32,
  });
  private pendingMicros = 0;
  private pendingCount = 0;

  /** Hot. */
  record(micros: number): void {
    if (micros !== this.pendingMicros) {
      this.settle();
      this.pendingMicros = micros;
    }
    this.pendingCount++;
  }

  /** Forgets everything recorded so far. */
  reset(): void {
    this.pendingCount = 0;
    this.histogram.reset();
  }

  summary(): LatencySummary {
    this.settle();
    const { histogram } = this;
    return {
      count: histogram.totalCount,
      p50: histogram.getValueAtPercentile(50),
      p90: histogram.getValueAtPercentile(90),
      p99: histogram.getValueAtPercentile(99),
      p999: histogram.getValueAtPercentile(99.9),
      max: histogram.totalCount > 0 ? histogram.maxValue : 0,
    };
  }

  private settle(): void {
    if (this.pendingCount === 0) return;
    const micros = Math.min(Math.max(this.pendingMicros, 0), LATENCY_MICROS_MAX);
    this.histogram.recordValueWithCount(micros, this.pendingCount);
    this.pendingCount = 0;
  }
}
