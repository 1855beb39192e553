/**
 * What Holdfast does otherwise than mosquitto 2.0.11, and why: the only differences that the tests
 * allow. One that is listed has to be there. `README.md` shows the same table.
 */
import { expect } from "vitest";

export interface Difference {
  /** Where it shows: the name of the case. */
  readonly at: string;
  readonly mosquitto: string;
  readonly holdfast: string;
  readonly why: string;
}

export const DIFFERENCES: readonly Difference[] = [
  {
    at: "$SYS publish/messages/received",
    mosquitto: "counts PUBLISH of QoS 0 and 1 without RETAIN",
    holdfast: "counts every PUBLISH",
    why: "mosquitto 2.0.11 tests the wrong bits of the first byte",
  },
];

/** Both have to do the same, unless a difference is listed, which then has to be there. */
export function expectDifferences(
  at: string,
  seen: { readonly mosquitto: unknown; readonly holdfast: unknown },
): void {
  const isListed = DIFFERENCES.some((difference) => difference.at === at);
  if (isListed) expect(seen.holdfast, `${at}: listed, and the same`).not.toEqual(seen.mosquitto);
  else expect(seen.holdfast, at).toEqual(seen.mosquitto);
}
