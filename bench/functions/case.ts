/** What the harness runs: one way of doing a job, beside rivals that do the same job. */

/** Who does it. */
export type Contender = "engine" | "plain JS" | "mqtt-packet" | "node:buffer";

export interface FunctionCase {
  readonly contender: Contender;
  /** Operations of one call of `run`. */
  readonly operations: number;
  /** @returns how many operations succeeded: all of them, or the case is wrong */
  run(): number;
}

export interface FunctionJob {
  readonly name: string;
  /** What one operation is. */
  readonly operation: string;
  readonly cases: readonly FunctionCase[];
}
