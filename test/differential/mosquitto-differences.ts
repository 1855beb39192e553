/**
 * What Holdfast does otherwise than mosquitto 2.0.11, and why: the only differences that the tests
 * allow. One that is listed has to be there. `README.md` shows the same table.
 */
import { expect } from "vitest";

export interface Difference {
  readonly subject: string;
  readonly mosquitto: string;
  readonly holdfast: string;
  readonly why: string;
  /** Where it shows: names of cases, each with the subject of its test in front. */
  readonly cases: readonly string[];
}

export const DIFFERENCES: readonly Difference[] = [
  {
    subject: "`$SYS/broker/publish/messages/received`",
    mosquitto: "counts PUBLISH of QoS 0 and 1 without RETAIN",
    holdfast: "counts every PUBLISH",
    why: "2.0.11 looks at the wrong bits",
    cases: ["$SYS: publish/messages/received"],
  },
  {
    subject: "log: a client's end",
    mosquitto: "`Client ID disconnected.`",
    holdfast: "`Client ID [ADDRESS:PORT] disconnected.`, with the reason behind a colon",
    why: "as mosquitto 2.1 does",
    cases: [
      "log: a client of 5.0 comes and goes",
      "log: a client of 3.1.1 comes, without a clean session",
      "log: a packet is malformed",
      "log: Keep Alive is over",
      "log: a full queue drops",
    ],
  },
  {
    subject: "log: the protocol of a client",
    mosquitto: "`p2` for MQTT 3.1.1, `p1` for 3.1",
    holdfast: "`p4`, `p3`",
    why: "as mosquitto 2.1 does",
    cases: ["log: a client of 3.1.1 comes, without a clean session"],
  },
  {
    subject: "log: a Session is taken over",
    mosquitto: "one line",
    holdfast: "a second one, for the connection that ends",
    why: "every connection that begins has its end in the log",
    cases: ["log: another connection takes a Session over"],
  },
  {
    subject: "log: messages are dropped",
    mosquitto: "a notice, when the queue drops",
    holdfast: "a warning, and another one when it is four fifths full",
    why: "then there is time to do something",
    cases: ["log: a full queue drops"],
  },
];

const looked = new Set<string>();

/** Both have to do the same, unless a difference is listed, which then has to be there. */
export function expectDifferences(
  name: string,
  seen: { readonly mosquitto: unknown; readonly holdfast: unknown },
): void {
  looked.add(name);
  const isListed = DIFFERENCES.some(({ cases }) => cases.includes(name));
  if (isListed) expect(seen.holdfast, `${name}: listed, and the same`).not.toEqual(seen.mosquitto);
  else expect(seen.holdfast, name).toEqual(seen.mosquitto);
}

/** @param subject  what stands in front of the names of a test's cases */
export function expectAllLookedAt(subject: string): void {
  const cases = DIFFERENCES.flatMap((difference) => difference.cases);
  const ours = cases.filter((name) => name.startsWith(`${subject}: `));
  expect(
    ours.filter((name) => !looked.has(name)),
    "listed, and no case",
  ).toEqual([]);
}

/** The table of `README.md`. */
export function differencesAsMarkdown(): string {
  const rows = DIFFERENCES.map(
    ({ subject, mosquitto, holdfast, why }) =>
      `| ${subject} | ${mosquitto} | ${holdfast} | ${why} |`,
  );
  const head = ["| | mosquitto 2.0.11 | Holdfast | because |", "|---|---|---|---|"];
  return `${[...head, ...rows].join("\n")}\n`;
}
