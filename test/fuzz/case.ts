/**
 * A fuzz case: what some Network Connections send, step by step, and its form as a file.
 *
 *   # a line that says what it is about
 *   0 10 0e 00 04 "MQTT" 05 02 00 00 00 00 01 "a"     bytes on connection 0, which this opens
 *   1 10 0e 00 04 "MQTT" 05 02 00 00 00 00 01 "a"
 *   0 hangs up                                        the peer is gone without a word
 *
 * `test/fuzz/corpus` holds such files; the suite plays each of them.
 */
import { hex } from "../support/packets.ts";

export interface Step {
  /** Number of the connection; the first step with it opens it. */
  readonly connection: number;
  /** null: the peer hangs up. */
  readonly bytes: Uint8Array | null;
}

export type FuzzCase = readonly Step[];

const HANGS_UP = "hangs up";

/** The file of a case. */
export function formatCase(fuzzCase: FuzzCase, about: string): string {
  const comment = about.split("\n").map((line) => `# ${line}`);
  const lines = fuzzCase.map(({ connection, bytes }) =>
    bytes === null ? `${connection} ${HANGS_UP}` : `${connection} ${digitsOf(bytes)}`,
  );
  return `${[...comment, ...lines].join("\n")}\n`;
}

function digitsOf(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString("hex")
    .replaceAll(/..(?=.)/g, "$& ");
}

/** @throws Error naming the line that is none */
export function parseCase(text: string): FuzzCase {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith("#"))
    .map((line) => {
      const [, connection, what = ""] = /^(\d+) (.*)$/.exec(line) ?? [];
      if (connection === undefined) throw new Error(`not a step: ${line}`);
      return { connection: Number(connection), bytes: what === HANGS_UP ? null : hex(what) };
    });
}
