/** The options of durability, of the disk and of the queues, and the rules for some topics. */
import { expect, test } from "vitest";
import { configure } from "../../src/config/configuration.ts";
import { QUEUE_RULES_MAX } from "../../src/config/queue-rule.ts";
import { type CommandLine, NO_FLAGS, type Settings } from "../../src/config/settings.ts";

function read(content: string, flags: Partial<CommandLine> = {}) {
  return configure({ name: "m.conf", content }, { ...NO_FLAGS, ...flags });
}

/** Two lines that keep a file free of warnings. */
const OPEN = "listener 1883\nallow_anonymous true\n";

const NEVER = 0xffffffff;

const VALUES: readonly (readonly [lines: string, settings: Partial<Settings>])[] = [
  ["", { durability: "fsync", storeBytesMax: null, dataDirectory: "holdfast-data" }],
  ["", { queueOverflow: "drop-oldest", queueQos0: false, queueRules: [] }],
  ["", { messageExpirySecondsMax: Number.POSITIVE_INFINITY }],
  ["", { sessionExpirySecondsMax: NEVER, olderSessionExpirySeconds: NEVER }],
  ["persistence true", { durability: "fsync" }],
  ["persistence false", { durability: "memory" }],
  ["durability fsync", { durability: "fsync" }],
  ["durability process", { durability: "process" }],
  ["durability memory", { durability: "memory" }],
  ["persistence true\ndurability process", { durability: "process" }],
  ["persistence true\ndurability memory", { durability: "memory" }],
  ["persistence false\ndurability memory", { durability: "memory" }],
  ["persistence_location /var/lib/mosquitto/", { dataDirectory: "/var/lib/mosquitto/" }],
  ["max_store_bytes 0", { storeBytesMax: null }],
  ["max_store_bytes 1000000000000", { storeBytesMax: 1_000_000_000_000 }],
  ["queue_overflow drop-newest", { queueOverflow: "drop-newest" }],
  ["queue_overflow reject", { queueOverflow: "reject" }],
  ["queue_qos0_messages true", { queueQos0: true }],
  ["max_message_expiry_interval 90", { messageExpirySecondsMax: 90 }],
  ["max_message_expiry_interval 2d", { messageExpirySecondsMax: 172_800 }],
  [
    "persistent_client_expiration 14d",
    { sessionExpirySecondsMax: 1_209_600, olderSessionExpirySeconds: 1_209_600 },
  ],
  [
    "max_session_expiry_interval 60",
    { sessionExpirySecondsMax: 60, olderSessionExpirySeconds: NEVER },
  ],
  [
    "max_session_expiry_interval 60\npersistent_client_expiration 50",
    { sessionExpirySecondsMax: 50, olderSessionExpirySeconds: 50 },
  ],
];

test.each(VALUES)("%j is %j", (lines, settings) => {
  const configuration = read(`${OPEN}${lines}\n`);
  expect(configuration.errors).toEqual([]);
  expect(configuration.warnings).toEqual([]);
  expect(configuration.settings).toMatchObject(settings);
});

test.each([
  ["", "memory", "memory"],
  ["durability memory\n", "fsync", "fsync"],
  ["persistence false\n", "process", "process"],
  ["persistence true\n", "memory", "memory"],
] as const)("%j with --durability %s is %s", (lines, durability, expected) => {
  const { settings, errors } = read(`${OPEN}${lines}`, { durability });
  expect(errors).toEqual([]);
  expect(settings.durability).toBe(expected);
});

const WARNINGS: readonly (readonly [line: string, warning: string])[] = [
  [
    "autosave_interval 1800",
    "m.conf:3: autosave_interval is needless: every acknowledged message is on disk already",
  ],
  [
    "autosave_on_changes true",
    "m.conf:3: autosave_on_changes is needless: every acknowledged message is on disk already",
  ],
  [
    "autosave_interval 0\ndurability process",
    "m.conf:3: autosave_interval is needless: " +
      "every acknowledged message is in the system's hands already",
  ],
  [
    "autosave_interval 0\npersistence false",
    "m.conf:3: autosave_interval is needless: nothing is kept on disk",
  ],
  [
    "persistence_file mosquitto.db",
    "m.conf:3: persistence_file is not obeyed: " +
      "holdfast has files of its own in persistence_location",
  ],
];

test.each(WARNINGS)("%j warns: %s", (line, warning) => {
  const { errors, warnings } = read(`${OPEN}${line}\n`);
  expect(errors).toEqual([]);
  expect(warnings).toEqual([warning]);
});

const ERRORS: readonly (readonly [line: string, error: string])[] = [
  ["durability disk", 'durability: "disk" is not accepted; expected fsync or process or memory'],
  ["queue_overflow drop", "expected drop-oldest or drop-newest or reject"],
  ["max_store_bytes -1", '"-1" is not accepted'],
  ["max_message_expiry_interval 0", '"0" is not accepted; expected seconds'],
  ["queue_rule", "queue_rule has no value; expected a Topic Filter, then key=value"],
  ["queue_rule a/b", "queue_rule: nothing stands behind the filter; expected max_queued_messages="],
  ["queue_rule a/#/b keep=last", '"a/#/b" is no Topic Filter: + and # fill a level'],
  ["queue_rule a+/b keep=last", '"a+/b" is no Topic Filter'],
  ["queue_rule a/b# keep=last", '"a/b#" is no Topic Filter'],
  ["queue_rule $share/g/a keep=last", "a rule has no $share; give the Topic Filter behind"],
  ["queue_rule a\0b keep=last", "the Topic Filter is too long, or no UTF-8 that MQTT allows"],
  [
    `queue_rule ${"a".repeat(65_536)} keep=last`,
    "the Topic Filter is too long, or no UTF-8 that MQTT allows",
  ],
  [
    "queue_rule a max_queued_mesages=5",
    "queue_rule: unknown key max_queued_mesages; did you mean max_queued_messages?",
  ],
  ["queue_rule a QUEUE_OVERFLOW=reject", "did you mean queue_overflow?"],
  ["queue_rule a b keep=last", "unknown key b; expected max_queued_messages=, max_queued_bytes="],
  ["queue_rule a keep", 'keep: "" is not accepted; expected last'],
  ["queue_rule a keep=first", 'keep: "first" is not accepted; expected last'],
  ["queue_rule a max_queued_messages=-1", 'max_queued_messages: "-1" is not accepted'],
  ["queue_rule a keep=last keep=last", "keep is set twice"],
];

test.each(ERRORS)("%s is refused: %s", (line, error) => {
  const { errors } = read(`${OPEN}${line}\n`);
  expect(errors).toHaveLength(1);
  expect(errors[0]).toMatch(/^m\.conf:3: /);
  expect(errors[0]).toContain(error);
});

test.each(["fsync", "process"])("persistence false beside durability %s is refused", (mode) => {
  const { errors } = read(`${OPEN}persistence false\ndurability ${mode}\n`);
  expect(errors).toEqual([
    `m.conf:4: durability ${mode} contradicts persistence false; remove one`,
  ]);
});

test("a rule has the options' values where it says nothing, wherever they stand", () => {
  const { settings, errors, warnings } = read(
    `${OPEN}queue_rule fleet/+/position keep=last\n` +
      "queue_rule fleet/# \t max_queued_messages=0 max_queued_bytes=9 queue_overflow=reject " +
      "queue_qos0_messages=false max_message_expiry_interval=1h\n" +
      "queue_qos0_messages true\nmax_queued_messages 7\nmax_message_expiry_interval 30\n",
  );
  expect([errors, warnings]).toEqual([[], []]);
  expect(settings.queueRules).toEqual([
    {
      topicFilter: "fleet/+/position",
      queuedMessagesMax: 7,
      queuedBytesMax: 67_108_864,
      queueOverflow: "drop-oldest",
      queueQos0: true,
      messageExpirySecondsMax: 30,
      keepsLast: true,
    },
    {
      topicFilter: "fleet/#",
      queuedMessagesMax: Number.POSITIVE_INFINITY,
      queuedBytesMax: 9,
      queueOverflow: "reject",
      queueQos0: false,
      messageExpirySecondsMax: 3_600,
      keepsLast: false,
    },
  ]);
});

test(`there are ${QUEUE_RULES_MAX} rules at most`, () => {
  const rules = (count: number) => "queue_rule a keep=last\n".repeat(count);
  expect(read(rules(QUEUE_RULES_MAX)).errors).toEqual([]);
  expect(read(rules(QUEUE_RULES_MAX + 2)).errors).toEqual([
    `m.conf:${QUEUE_RULES_MAX + 1}: queue_rule: there may be 64 of them at most`,
    `m.conf:${QUEUE_RULES_MAX + 2}: queue_rule: there may be 64 of them at most`,
  ]);
});
