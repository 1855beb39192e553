/** The configuration file: what each line means, and what is said about the wrong ones. */
import { expect, test } from "vitest";
import { configure } from "../../src/config/configuration.ts";
import { OPTIONS, optionsAsMarkdown } from "../../src/config/options.ts";
import { type CommandLine, NO_FLAGS, type Settings } from "../../src/config/settings.ts";
import { UNOBEYED_NAMES } from "../../src/config/unobeyed.ts";

function read(content: string, flags: Partial<CommandLine> = {}) {
  return configure({ name: "m.conf", content }, { ...NO_FLAGS, ...flags });
}

/** Two lines that keep a file free of warnings. */
const OPEN = "listener 1883\nallow_anonymous true\n";

const VALUES: readonly (readonly [line: string, settings: Partial<Settings>])[] = [
  ["", { packetBytesMax: 2_000_000, inflightMessagesMax: 10_000, queuedMessagesMax: 100_000 }],
  ["", { queuedBytesMax: 67_108_864, outgoingBytesMax: 8_388_608, memoryBytesMax: 0 }],
  ["", { payloadBytesMax: 268_435_455, receiveMaximum: 1_000, topicAliasMax: 10 }],
  ["", { keepAliveSecondsMax: 0, serverKeepAliveSeconds: 0, sysIntervalSeconds: 10 }],
  ["", { sessionExpirySecondsMax: 0xffffffff, connectionsMax: Number.POSITIVE_INFINITY }],
  ["", { retainAvailable: true, durability: "fsync", dataDirectory: "holdfast-data" }],
  ["", { topicAliasOutMax: 10, payloadUtf8Checked: false, retainedSweepMinutes: 0 }],
  ["", { retainedExpirySecondsMax: Number.POSITIVE_INFINITY }],
  ["max_topic_alias_broker 0", { topicAliasOutMax: 0 }],
  ["max_topic_alias_broker 65535", { topicAliasOutMax: 65_535 }],
  ["check_payload_utf8 true", { payloadUtf8Checked: true }],
  ["retain_expiry_interval 60", { retainedSweepMinutes: 60 }],
  ["max_retained_expiry_interval 2d", { retainedExpirySecondsMax: 172_800 }],
  ["max_packet_size 20", { packetBytesMax: 20 }],
  ["max_packet_size 268435455", { packetBytesMax: 268_435_455 }],
  ["message_size_limit 1000", { payloadBytesMax: 1_000 }],
  ["max_inflight_messages 0", { inflightMessagesMax: 65_535 }],
  ["max_inflight_messages 20", { inflightMessagesMax: 20 }],
  ["max_queued_messages 0", { queuedMessagesMax: Number.POSITIVE_INFINITY }],
  ["max_queued_bytes 0", { queuedBytesMax: Number.POSITIVE_INFINITY }],
  ["max_keepalive 600", { keepAliveSecondsMax: 600 }],
  ["server_keep_alive 30", { serverKeepAliveSeconds: 30 }],
  ["persistent_client_expiration 90", { sessionExpirySecondsMax: 90 }],
  ["persistent_client_expiration 2h", { sessionExpirySecondsMax: 7_200 }],
  ["persistent_client_expiration 14d", { sessionExpirySecondsMax: 1_209_600 }],
  ["persistent_client_expiration 1w", { sessionExpirySecondsMax: 604_800 }],
  ["persistent_client_expiration 2m", { sessionExpirySecondsMax: 5_184_000 }],
  ["persistent_client_expiration 1y", { sessionExpirySecondsMax: 31_536_000 }],
  ["persistent_client_expiration 999y", { sessionExpirySecondsMax: 0xffffffff }],
  ["max_session_expiry_interval 1d", { sessionExpirySecondsMax: 86_400 }],
  ["persistence 0", { durability: "memory" }],
  ["retain_available 1", { retainAvailable: true }],
  ["wildcard_subscription_available false", { wildcardsAvailable: false }],
  ["subscription_identifiers_available 0", { subscriptionIdentifiersAvailable: false }],
  ["response_information answers/%c", { responseInformation: "answers/%c" }],
  [
    "server_redirect_on_stop temporary a:1  [::1]:8883\tc",
    { redirectOnStop: { isPermanent: false, serverReference: "a:1 [::1]:8883 c" } },
  ],
  ["", { sharedSubscriptionAvailable: true, sharedStrategy: "round-robin" }],
  ["shared_subscription_available false", { sharedSubscriptionAvailable: false }],
  ["shared_strategy least-inflight", { sharedStrategy: "least-inflight" }],
  ["shared_strategy sticky-by-publisher", { sharedStrategy: "sticky-by-publisher" }],
  ["sys_interval 0", { sysIntervalSeconds: 0 }],
  ["connection_messages false", { connectionMessages: false }],
  ["  \tmemory_limit \t 1000000  \r", { memoryBytesMax: 1_000_000 }],
];

test.each(VALUES)("%j is %j", (line, settings) => {
  const configuration = read(`${OPEN}${line}\n`);
  expect(configuration.errors).toEqual([]);
  expect(configuration.warnings).toEqual([]);
  expect(configuration.settings).toMatchObject(settings);
});

const ERRORS: readonly (readonly [line: string, error: string])[] = [
  ["max_packet_size", "max_packet_size has no value; expected an integer from 20 to 268435455"],
  [
    "max_packet_size 19",
    'max_packet_size: "19" is not accepted; expected an integer from 20 to 268435455',
  ],
  [
    "max_packet_size 268435456",
    'max_packet_size: "268435456" is not accepted; expected an integer from 20 to 268435455',
  ],
  ["max_topic_alias 1e3", '"1e3" is not accepted; expected an integer from 0 to 65535'],
  ["max_topic_alias_broker 65536", "expected an integer from 0 to 65535"],
  ["retain_expiry_interval 1h", '"1h" is not accepted; expected an integer from 0 to 65535'],
  ["retain_available yes", '"yes" is not accepted; expected true or false'],
  ["max_qos 3", '"3" is not accepted; expected 0 or 1 or 2'],
  ["response_information answers/+/x", "expected a prefix of Topic Names"],
  [`response_information ${"x".repeat(1025)}`, "of at most 1024 characters"],
  ["server_redirect a.example", "expected temporary or permanent, then HOST or HOST:PORT"],
  ["server_redirect temporary", "expected temporary or permanent, then HOST or HOST:PORT"],
  ["server_redirect temporary a/b", "expected temporary or permanent, then HOST or HOST:PORT"],
  ["server_redirect permanent a:b", "expected temporary or permanent, then HOST or HOST:PORT"],
  ["server_redirect permanent a:65536", "with a port from 1 to 65535"],
  ["server_redirect permanent a:0", "with a port from 1 to 65535"],
  [`server_redirect permanent ${"x".repeat(1025)}`, "expected temporary or permanent"],
  ["shared_strategy random", "expected round-robin or least-inflight or sticky-by-publisher"],
  ["protocol mqttsn", '"mqttsn" is not accepted; expected mqtt or websockets'],
  ["persistent_client_expiration 0", "expected seconds, or a number with h, d, w, m or y"],
  ["persistent_client_expiration 2x", '"2x" is not accepted'],
  ["listener", "listener has no value; expected PORT [ADDRESS]"],
  ["listener 65536", '"65536" is not accepted; expected PORT [ADDRESS], a port from 1 to 65535'],
  ["bind_address", "bind_address has no value; expected an address of at most 255 characters"],
  ["listener 1884 # plain", "expected PORT [ADDRESS]"],
  ["log_dest file", "expected stdout, stderr, syslog, topic, none, or file PATH"],
  ["log_type loud", '"loud" is not accepted; expected error or warning'],
  ["  # indented", "a comment begins in the first column of its line"],
  ["listner 1884", "unknown option listner; did you mean listener?"],
  ["Max_Packet_Sise 1", "unknown option Max_Packet_Sise; did you mean max_packet_size?"],
  ["pasword_file /x", "unknown option pasword_file; did you mean password_file?"],
  ["zzzzzzzz 1", "unknown option zzzzzzzz"],
  ["certfile /etc/cert.pem", "certfile needs keyfile for the same listener"],
  ["keyfile /etc/key.pem", "keyfile needs certfile for the same listener"],
  ["require_certificate true", "require_certificate needs TLS"],
  ["psk_hint here", "psk_hint needs psk_file"],
  ["include_dir /no/such.d", "include_dir: cannot read /no/such.d: ENOENT"],
];

test.each(ERRORS)("%j is refused: %s", (line, error) => {
  const { errors } = read(`${OPEN}${line}\n`);
  expect(errors).toHaveLength(1);
  expect(errors[0]).toMatch(/^m\.conf:3: /);
  expect(errors[0]).toContain(error);
});

test.each(["allow_duplicate_messages false", "max_inflight_bytes 0", "upgrade_outgoing_qos false"])(
  "%j asks for what happens anyway: nothing is said",
  (line) => {
    const { errors, warnings } = read(`${OPEN}${line}\n`);
    expect([errors, warnings]).toEqual([[], []]);
    const [name] = line.split(" ");
    expect(read(`${OPEN}${name} 1\n${name} 0\n`).warnings).toEqual([
      expect.stringContaining(`${name} is not obeyed`),
    ]);
  },
);

const WARNINGS: readonly (readonly [line: string, warning: string])[] = [
  [
    "retry_interval 20",
    "m.conf:3: retry_interval is not obeyed: messages are sent again when a client comes back",
  ],
  ["log_dest dlt", "m.conf:3: log_dest dlt is not supported and ignored; use syslog"],
  [
    "sys_interval 5 # often",
    'm.conf:3: sys_interval: "# often" behind the value is ignored; a comment needs its own line',
  ],
  ["allow_anonymous true", "m.conf:3: allow_anonymous is set a second time; this line counts"],
];

test.each(WARNINGS)("%j warns: %s", (line, warning) => {
  const { errors, warnings } = read(`${OPEN}${line}\n`);
  expect(errors).toEqual([]);
  expect(warnings).toEqual([warning]);
});

test("comments, empty lines, CRLF, trailing blanks and a byte order mark mean nothing", () => {
  const content =
    "\ufeff# a comment\r\n\r\n   \r\n#listener 9\r\n" +
    "listener 1883   \r\nallow_anonymous true\t\r\n";
  const { settings, errors, warnings } = read(content);
  expect([errors, warnings]).toEqual([[], []]);
  expect(settings.listeners.map(({ port }) => port)).toEqual([1883]);
});

test("all errors of a file are shown together, each with its line", () => {
  const { errors } = read("lisener 1\n\nmax_packet_size x\n# fine\nzzz 1\n");
  expect(errors.map((error) => error.slice(0, "m.conf:1".length))).toEqual([
    "m.conf:1",
    "m.conf:3",
    "m.conf:5",
  ]);
});

test("a long bad value is cut short in its error", () => {
  const { errors } = read(`max_packet_size ${"9".repeat(10_000)}\n`);
  expect(errors[0]?.length).toBeLessThan(200);
});

test("the table of options has a line for each, and names none that is not obeyed", () => {
  const lines = optionsAsMarkdown().trimEnd().split("\n");
  expect(lines).toHaveLength(2 + Object.keys(OPTIONS).length);
  for (const line of lines) expect(line.replaceAll("\\|", "").match(/\|/g)).toHaveLength(9);
  for (const name of UNOBEYED_NAMES) expect(Object.keys(OPTIONS)).not.toContain(name);
});

test("every sentence and every accepted form is one line, every default is accepted", () => {
  for (const [name, option] of Object.entries(OPTIONS)) {
    expect(option.sentence, name).toMatch(/^[^\n]+\.$/);
    expect(option.type.form, name).not.toContain("\n");
    const { defaultValue, type } = option;
    if (defaultValue === null || type.name === "duration") continue;
    expect(type.read(`${defaultValue}`), name).toBe(defaultValue);
  }
});
