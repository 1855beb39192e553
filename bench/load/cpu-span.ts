/** CPU that the broker and this process use between two moments. */
import { cpuMicros } from "./process-meter.ts";

export interface CpuUse {
  readonly seconds: number;
  /** undefined if no process was given, or one ended meanwhile. */
  readonly brokerCpuSeconds: number | undefined;
  readonly ownCpuSeconds: number;
}

export class CpuSpan {
  private readonly pids: readonly number[];
  private readonly startMillis = performance.now();
  private readonly brokerMicros: number | undefined;
  private readonly own = process.cpuUsage();

  constructor(pids: readonly number[]) {
    this.pids = pids;
    this.brokerMicros = cpuMicros(pids);
  }

  /** @returns what was used since this span was made */
  use(): CpuUse {
    const own = process.cpuUsage(this.own);
    const brokerMicros = this.pids.length > 0 ? cpuMicros(this.pids) : undefined;
    return {
      seconds: (performance.now() - this.startMillis) / 1000,
      brokerCpuSeconds:
        brokerMicros === undefined || this.brokerMicros === undefined
          ? undefined
          : (brokerMicros - this.brokerMicros) / 1e6,
      ownCpuSeconds: (own.user + own.system) / 1e6,
    };
  }
}
