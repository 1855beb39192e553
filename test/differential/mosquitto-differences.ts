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
      "log: a client asks for its will when it goes",
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
  {
    subject: "`auth_plugin …/go-auth.so`",
    mosquitto: "loads it, where it is installed",
    holdfast: "does what its `files` and `http` backends do",
    why: "plugins are recognised by their name",
    cases: ["configurations: home-assistant"],
  },
  {
    subject: "`require_certificate` and `use_identity_as_username` without `certfile`",
    mosquitto: "starts, and lets everybody in without TLS",
    holdfast: "does not start",
    why: "it would be open where its owner believes it closed",
    cases: ["configurations: certificate-without-tls"],
  },
  {
    subject: "`allow_zero_length_clientid false`, 5.0",
    mosquitto: "CONNACK 0x80",
    holdfast: "0x85",
    why: "[MQTT-3.1.3-8]",
    cases: ["configurations: no-empty-client-id"],
  },
  {
    subject: "`protocol websockets`, and no listener without",
    mosquitto: "Debian's does not start",
    holdfast: "listens",
    why: "it is what was asked for",
    cases: ["configurations: tls-websockets"],
  },
  {
    subject: "several subscriptions of a client match",
    mosquitto: "a copy for each",
    holdfast: "one, at the highest QoS, with all Subscription Identifiers",
    why: "it is less to send, and [MQTT-3.3.4-2] asks for it",
    cases: ["scripts: overlapping subscriptions"],
  },
  {
    subject: "a subscription that is made again with other options",
    mosquitto: "keeps Retain As Published as it was",
    holdfast: "has the new options",
    why: "[MQTT-3.8.4-3]",
    cases: ["scripts: Retain Handling, Retain As Published, No Local"],
  },
  {
    subject: "PUBREC where nobody has subscribed",
    mosquitto: "0x00",
    holdfast: "0x10, as in PUBACK",
    why: "§3.5.2.1 has it",
    cases: ["scripts: nobody has subscribed"],
  },
  {
    subject: "5.0: a Topic Filter, a Topic Name that is none",
    mosquitto: "DISCONNECT with 0x81, with 0x82",
    holdfast: "with 0x8F, with 0x90",
    why: "these are the codes for it",
    cases: [
      "scripts: version 5: a filter that is none",
      "scripts: version 5: a topic with a wildcard",
    ],
  },
  {
    subject: "5.0: Keep Alive is over",
    mosquitto: "closes",
    holdfast: "DISCONNECT with 0x8D first",
    why: "then the client knows",
    cases: ["scripts: version 5: Keep Alive is over"],
  },
  {
    subject: "`$share/NAME` without a filter; No Local on a shared subscription",
    mosquitto: "granted",
    holdfast: "DISCONNECT with 0x8F; with 0x82",
    why: "[MQTT-4.8.2-1], [MQTT-3.8.3-4]",
    cases: ["scripts: $share without a filter", "scripts: No Local on a shared subscription"],
  },
  {
    subject: "log: a TLS handshake fails",
    mosquitto: "`OpenSSL Error[0]: …`, and `Client <unknown> disconnected: Protocol error.`",
    holdfast: "`Client connection from ADDRESS:PORT failed: OpenSSL …`",
    why: "it says whose it was",
    cases: ["tls: the log of a handshake that fails"],
  },
  {
    subject: "`crlfile` with the list of one authority of a chain",
    mosquitto: "looks at the client's certificate only",
    holdfast: "refuses the client: each authority of the chain needs its list in the file",
    why: "Node.js looks at the whole chain",
    cases: ["tls: a list of one authority of two"],
  },
  {
    subject: "dynamic security: empty names of users, groups, roles",
    mosquitto: "creates them",
    holdfast: "refuses them",
    why: "as mosquitto 2.1 does",
    cases: [
      'dynsec: {"command":"createRole","rolename":""}',
      'dynsec: {"command":"createClient","username":""}',
      'dynsec: {"command":"createGroup","groupname":""}',
    ],
  },
  {
    subject: "dynamic security: `modifyClient`, `modifyGroup` with a name that is not there",
    mosquitto: "changes what it can, and forgets the rest",
    holdfast: "refuses it, and changes nothing",
    why: "as mosquitto 2.1 does",
    cases: [
      'dynsec: {"command":"modifyClient","username":"u1","groups":[{"groupname":"none"}]}',
      'dynsec: {"command":"modifyClient","username":"u1","groups":[{}]}',
      'dynsec: {"command":"modifyGroup","groupname":"g1","clients":[{}]}',
      'dynsec: {"command":"modifyGroup","groupname":"g1","clients":[{"username":"none"}]}',
    ],
  },
  {
    subject: "dynamic security: who asks for a change of itself",
    mosquitto: "is disconnected before its answer",
    holdfast: "has its answer, then is disconnected",
    why: "as mosquitto 2.1 does",
    cases: ["dynsec: a change of who asks"],
  },
  {
    subject: "dynamic security: others who subscribe to the answers",
    mosquitto: "get all of them",
    holdfast: "get their own",
    why: "they are for who asked",
    cases: ["dynsec: another one's answer"],
  },
  {
    subject: "SIGHUP: a client that is connected would not be let in any more, 5.0",
    mosquitto: "closes",
    holdfast: "DISCONNECT with 0x98 first",
    why: "then the client knows",
    cases: ["SIGHUP: what a client of 5.0 is told"],
  },
  {
    subject:
      "SIGHUP: the same password, hashed anew; a first `password_file`, for clients with a name",
    mosquitto: "checks the passwords of who is connected again",
    holdfast: "ends them, and they come back",
    why: "no password is kept in memory",
    cases: [
      "SIGHUP: the same password, hashed anew",
      "SIGHUP: a file is named that has some of them",
    ],
  },
  {
    subject: "SIGHUP: a `password_file` with a fault",
    mosquitto: "ends all who have a name",
    holdfast: "ends nobody, and goes on with what the file said before",
    why: "a slip of the pen stops no fleet",
    cases: ["SIGHUP: a file with a fault"],
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
