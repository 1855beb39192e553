/** Client scripts that are played on mosquitto 2.0.11 and on Holdfast; see client-script.ts. */
import type { Script } from "./client-script.ts";

const LASTING = { clean: false, properties: { sessionExpiryInterval: 100 } } as const;
const WILL = { topic: "will", payload: Buffer.from("gone"), qos: 1, retain: false } as const;

export const SCRIPTS: readonly Script[] = [
  ...([4, 5] as const).map(
    (version): Script => ({
      name: `version ${version}: delivery at each QoS`,
      steps: [
        ["connect", "reader", { version }],
        ["connect", "writer", { version }],
        ...([0, 1, 2] as const).flatMap((granted) => [
          ["subscribe", "reader", `each/${granted}/#`, { qos: granted }] as const,
          ...([0, 1, 2] as const).flatMap((qos) => [
            ["publish", "writer", `each/${granted}/x`, `sent at ${qos}`, { qos }] as const,
            ["receive", "reader"] as const,
          ]),
        ]),
        ["unsubscribe", "reader", "each/0/#"],
        ["unsubscribe", "reader", "no/such/filter"],
        ["publish", "writer", "each/0/x", "nobody"],
        ["take", "reader"],
        ["leave", "reader"],
      ],
    }),
  ),
  {
    name: "which filters match",
    steps: [
      ["connect", "reader"],
      ["connect", "writer"],
      ["subscribe", "reader", "match/+/c"],
      ["subscribe", "reader", "match/b/#"],
      ["subscribe", "reader", "/match"],
      ["publish", "writer", "match/x/c", "1"],
      ["receive", "reader"],
      ["publish", "writer", "match/b", "2"],
      ["receive", "reader"],
      ["publish", "writer", "match/x/c/d", "3"],
      ["publish", "writer", "match", "4"],
      ["publish", "writer", "/match", "5"],
      ["receive", "reader"],
      ["publish", "writer", "MATCH/x/c", "6"],
      ["take", "reader"],
    ],
  },
  {
    name: "overlapping subscriptions",
    steps: [
      ["connect", "reader"],
      ["connect", "writer"],
      ["subscribe", "reader", "overlap/#", { qos: 1 }],
      ["subscribe", "reader", "overlap/+", { qos: 2 }],
      ["publish", "writer", "overlap/x", "once or twice", { qos: 2 }],
      ["receive", "reader"],
      ["take", "reader"],
    ],
  },
  ...([4, 5] as const).map(
    (version): Script => ({
      name: `version ${version}: retained messages`,
      steps: [
        ["connect", "writer", { version }],
        ["publish", "writer", `kept/${version}/a`, "first", { retain: true, qos: 1 }],
        ["publish", "writer", `kept/${version}/a`, "second", { retain: true, qos: 1 }],
        ["publish", "writer", `kept/${version}/b`, "other", { retain: true }],
        ["connect", "reader", { version }],
        ["subscribe", "reader", `kept/${version}/#`, { qos: 1 }],
        ["receive", "reader", 2],
        ["publish", "writer", `kept/${version}/a`, "live", { retain: true, qos: 1 }],
        ["receive", "reader"],
        ["publish", "writer", `kept/${version}/a`, "", { retain: true, qos: 1 }],
        ["receive", "reader"],
        ["publish", "writer", `kept/${version}/b`, "", { retain: true, qos: 1 }],
        ["receive", "reader"],
        ["connect", "late", { version }],
        ["subscribe", "late", `kept/${version}/#`],
        ["take", "late"],
      ],
    }),
  ),
  {
    name: "Retain Handling, Retain As Published, No Local",
    steps: [
      ["connect", "writer"],
      ["publish", "writer", "handled", "kept", { retain: true, qos: 1 }],
      ["connect", "reader"],
      ["subscribe", "reader", "handled", { retainHandling: 2 }],
      ["take", "reader"],
      ["subscribe", "reader", "handled", { retainHandling: 1 }],
      ["take", "reader"],
      ["subscribe", "reader", "handled", { retainHandling: 0, retainAsPublished: true }],
      ["receive", "reader"],
      ["publish", "writer", "handled", "live", { retain: true, qos: 1 }],
      ["receive", "reader"],
      ["subscribe", "writer", "own", { noLocal: true, qos: 1 }],
      ["publish", "writer", "own", "to myself", { qos: 1 }],
      ["take", "writer"],
      ["publish", "writer", "handled", "", { retain: true, qos: 1 }],
    ],
  },
  ...([4, 5] as const).map(
    (version): Script => ({
      name: `version ${version}: a Session waits for its client`,
      steps: [
        [
          "connect",
          `keeper${version}`,
          { version, ...(version === 5 ? LASTING : { clean: false }) },
        ],
        ["subscribe", `keeper${version}`, `away/${version}`, { qos: 1 }],
        ["leave", `keeper${version}`],
        ["connect", "writer", { version }],
        ["publish", "writer", `away/${version}`, "QoS 0", { qos: 0 }],
        ["publish", "writer", `away/${version}`, "QoS 1", { qos: 1 }],
        ["publish", "writer", `away/${version}`, "QoS 2", { qos: 2 }],
        [
          "connect",
          `keeper${version}`,
          { version, ...(version === 5 ? LASTING : { clean: false }) },
        ],
        ["receive", `keeper${version}`],
        ["receive", `keeper${version}`],
        ["take", `keeper${version}`],
        ["leave", `keeper${version}`],
        ["connect", `keeper${version}`, { version }],
        ["publish", "writer", `away/${version}`, "nobody", { qos: 1 }],
        ["take", `keeper${version}`],
      ],
    }),
  ),
  {
    name: "wills",
    steps: [
      ["connect", "heir"],
      ["subscribe", "heir", "will", { qos: 2 }],
      ["connect", "dying", { will: WILL }],
      ["drop", "dying"],
      ["receive", "heir"],
      ["connect", "polite", { will: WILL }],
      ["leave", "polite"],
      ["take", "heir"],
      ["connect", "twice", { version: 4, will: WILL }],
      ["connect", "twice", { version: 4 }],
      ["receive", "heir"],
    ],
  },
  {
    name: "a shared subscription",
    steps: [
      ["connect", "one"],
      ["connect", "two"],
      ["connect", "writer"],
      ["subscribe", "one", "$share/group/shared/#", { qos: 1 }],
      ["subscribe", "two", "$share/group/shared/#", { qos: 1 }],
      ["publish", "writer", "shared/x", "a", { qos: 1 }],
      ["publish", "writer", "shared/x", "b", { qos: 1 }],
      ["receive", "one"],
      ["receive", "two"],
      ["take", "one"],
      ["take", "two"],
      ["unsubscribe", "one", "$share/group/shared/#"],
      ["publish", "writer", "shared/x", "c", { qos: 1 }],
      ["receive", "two"],
    ],
  },
  {
    name: "properties that go through",
    steps: [
      ["connect", "reader"],
      ["connect", "writer"],
      ["subscribe", "reader", "proper", { qos: 1, subscriptionIdentifier: 7 }],
      [
        "publish",
        "writer",
        "proper",
        "x",
        { qos: 1, properties: { contentType: "text", messageExpiryInterval: 50 } },
      ],
      ["receive", "reader"],
      ["publish", "writer", "proper", "aliased", { properties: { topicAlias: 1 } }],
      ["publish", "writer", "", "by its alias", { properties: { topicAlias: 1 } }],
      ["receive", "reader"],
      ["receive", "reader"],
    ],
  },
  {
    name: "nobody has subscribed",
    steps: [
      ["connect", "writer"],
      ["publish", "writer", "nobody/there", "x", { qos: 1 }],
      ["publish", "writer", "nobody/there", "x", { qos: 2 }],
    ],
  },
  {
    name: "an empty Client Identifier",
    steps: [
      ["connect", "five", { clientId: "" }],
      ["connect", "four", { clientId: "", version: 4 }],
      ["open", "lasting", 4],
      ["bytes", "lasting", "100c00044d5154540400003c0000"],
      ["ended", "lasting"],
    ],
  },
  {
    name: "a second CONNECT",
    steps: [
      ["connect", "eager", { version: 4 }],
      ["bytes", "eager", "100c00044d5154540402003c0000"],
      ["ended", "eager"],
    ],
  },
  {
    name: "version 3.1",
    steps: [
      ["connect", "three", { version: 3 }],
      ["subscribe", "three", "old", { qos: 1 }],
      ["publish", "three", "old", "x", { qos: 1 }],
      ["receive", "three"],
    ],
  },
  ...([4, 5] as const).flatMap((version): Script[] => [
    {
      name: `version ${version}: a filter that is none`,
      steps: [
        ["connect", "wrong", { version }],
        [
          "bytes",
          "wrong",
          version === 4 ? "820a00010005612f232f6200" : "820b0001000005612f232f6200",
        ],
        ["ended", "wrong"],
      ],
    },
    {
      name: `version ${version}: a topic with a wildcard`,
      steps: [
        ["connect", "wrong", { version }],
        ["bytes", "wrong", version === 4 ? "30050003612f23" : "30060003612f2300"],
        ["ended", "wrong"],
      ],
    },
    {
      name: `version ${version}: QoS 3`,
      steps: [
        ["connect", "wrong", { version }],
        ["bytes", "wrong", version === 4 ? "3605000161000178" : "360600016100010078"],
        ["ended", "wrong"],
      ],
    },
    {
      name: `version ${version}: a SUBSCRIBE without the bit of its kind`,
      steps: [
        ["connect", "wrong", { version }],
        ["bytes", "wrong", version === 4 ? "8006000100016100" : "800700010000016100"],
        ["ended", "wrong"],
      ],
    },
    {
      name: `version ${version}: Keep Alive is over`,
      steps: [
        ["connect", "silent", { version, keepAliveSeconds: 1 }],
        ["ended", "silent"],
      ],
    },
  ]),
  {
    name: "a version that is not there",
    steps: [
      ["open", "seven", 4],
      ["bytes", "seven", "100e00044d5154540702003c00027879"],
      ["ended", "seven"],
    ],
  },
  {
    name: "what is no CONNECT",
    steps: [
      ["open", "rude", 4],
      ["bytes", "rude", "c000"],
      ["ended", "rude"],
      ["open", "lost", 4],
      ["bytes", "lost", "474554202f20485454502f312e310d0a0d0a"],
      ["ended", "lost"],
    ],
  },
  {
    name: "No Local on a shared subscription",
    steps: [
      ["connect", "wrong"],
      ["subscribe", "wrong", "$share/group/x", { noLocal: true }],
    ],
  },
  {
    name: "$share without a filter",
    steps: [
      ["connect", "wrong"],
      ["subscribe", "wrong", "$share/group"],
    ],
  },
  {
    name: "publishing below $SYS",
    steps: [
      ["connect", "reader"],
      ["subscribe", "reader", "$SYS/of/mine"],
      ["connect", "forger"],
      ["publish", "forger", "$SYS/of/mine", "x", { qos: 1 }],
      ["take", "reader"],
    ],
  },
];
