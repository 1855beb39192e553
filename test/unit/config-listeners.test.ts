/** Which ports are opened, for whom, and where the log goes: file and command line together. */
import { expect, test } from "vitest";
import { configure } from "../../src/config/configuration.ts";
import { type CommandLine, NO_FLAGS } from "../../src/config/settings.ts";

/** A listener as `PROTOCOL ADDRESS:PORT`, with `anonymous` and its limit where it has them. */
function listeners(content: string | null, flags: Partial<CommandLine> = {}): string[] {
  const file = content === null ? null : { name: "m.conf", content };
  const { settings, errors } = configure(file, { ...NO_FLAGS, ...flags });
  expect(errors).toEqual([]);
  return settings.listeners.map((listener) => {
    const { protocol, address, port, allowAnonymous, connectionsMax } = listener;
    const limit = Number.isFinite(connectionsMax) ? ` max ${connectionsMax}` : "";
    return `${protocol} ${address || "*"}:${port}${allowAnonymous ? " anonymous" : ""}${limit}`;
  });
}

const LISTENERS: readonly (readonly [
  title: string,
  content: string | null,
  flags: Partial<CommandLine>,
  expected: readonly string[],
])[] = [
  [
    "no file and no flags: loopback, both protocols, anonymous",
    null,
    {},
    ["mqtt 127.0.0.1:1883 anonymous", "websockets 127.0.0.1:8083 anonymous"],
  ],
  ["-p instead of both defaults", null, { ports: [1884] }, ["mqtt 127.0.0.1:1884 anonymous"]],
  [
    "-p repeated",
    null,
    { ports: [1884, 1885] },
    ["mqtt 127.0.0.1:1884 anonymous", "mqtt 127.0.0.1:1885 anonymous"],
  ],
  [
    "-p with --ws-port",
    null,
    { ports: [1884], webSocketPort: 9001 },
    ["mqtt 127.0.0.1:1884 anonymous", "websockets 127.0.0.1:9001 anonymous"],
  ],
  [
    "--ws-port alone moves the WebSocket listener",
    null,
    { webSocketPort: 9001 },
    ["mqtt 127.0.0.1:1883 anonymous", "websockets 127.0.0.1:9001 anonymous"],
  ],
  [
    "several free ports",
    null,
    { ports: [0, 0], webSocketPort: 0 },
    [
      "mqtt 127.0.0.1:0 anonymous",
      "mqtt 127.0.0.1:0 anonymous",
      "websockets 127.0.0.1:0 anonymous",
    ],
  ],
  [
    "a file without listeners: loopback, anonymous",
    "sys_interval 10\n",
    {},
    ["mqtt 127.0.0.1:1883 anonymous"],
  ],
  [
    "a file without listeners that refuses anonymous clients",
    "allow_anonymous false\n",
    {},
    ["mqtt 127.0.0.1:1883"],
  ],
  ["a file without listeners, and -p", "\n", { ports: [7] }, ["mqtt 127.0.0.1:7 anonymous"]],
  ["a listener: all addresses, no anonymous clients", "listener 1883\n", {}, ["mqtt *:1883"]],
  ["-p beside a listener is ignored", "listener 1883\n", { ports: [1884] }, ["mqtt *:1883"]],
  [
    "allow_anonymous counts for every listener, wherever it stands",
    "listener 1883 0.0.0.0\nlistener 1884 ::1\nallow_anonymous true\n",
    {},
    ["mqtt 0.0.0.0:1883 anonymous", "mqtt ::1:1884 anonymous"],
  ],
  [
    "a listener's options belong to the latest listener",
    "listener 1883\nmax_connections 5\nlistener 9001\nprotocol websockets\nmax_connections -1\n",
    {},
    ["mqtt *:1883 max 5", "websockets *:9001"],
  ],
  [
    "listener_allow_anonymous overrules allow_anonymous",
    "allow_anonymous true\nlistener 1883\nlistener_allow_anonymous false\nlistener 1884\n",
    {},
    ["mqtt *:1883", "mqtt *:1884 anonymous"],
  ],
  [
    "port and bind_address: the default listener, with the options above the first listener",
    "port 1882\nbind_address 10.0.0.1\nmax_connections 9\nlistener 9001\nprotocol websockets\n",
    {},
    ["mqtt 10.0.0.1:1882 max 9", "websockets *:9001"],
  ],
  ["bind_address alone: port 1883", "bind_address localhost\n", {}, ["mqtt localhost:1883"]],
  [
    "options of the loopback listener",
    "max_connections 100\n",
    {},
    ["mqtt 127.0.0.1:1883 anonymous max 100"],
  ],
];

test.each(LISTENERS)("%s", (_title, content, flags, expected) => {
  expect(listeners(content, flags)).toEqual(expected);
});

function read(content: string, flags: Partial<CommandLine> = {}) {
  return configure({ name: "m.conf", content }, { ...NO_FLAGS, ...flags });
}

test.each(["scram_file /etc/users", "server_redirect temporary a"])(
  "%j: nobody is said to be refused though allow_anonymous is not true",
  (line) => {
    expect(read(`listener 1883\n${line}\n`).warnings).toEqual([]);
    expect(read("listener 1883\n").warnings).toHaveLength(1);
  },
);

test.each([0, 1, 2])("max_qos %i", (qosMax) => {
  const { settings, errors } = read(`listener 1\nmax_qos ${qosMax}\n`);
  expect(errors).toEqual([]);
  expect(settings.listeners).toMatchObject([{ qosMax }]);
});

test("max_qos and server_redirect are a listener's own", () => {
  const content =
    "listener 1\nmax_qos 1\nallow_anonymous true\nlistener 2\nserver_redirect temporary a\n";
  const { settings, errors } = read(content);
  expect(errors).toEqual([]);
  expect(settings.listeners).toMatchObject([
    { port: 1, qosMax: 1, redirect: null },
    { port: 2, qosMax: 2, redirect: { serverReference: "a" } },
  ]);
});

test.each([
  "max_connections 5",
  "max_qos 1",
  "protocol websockets",
  "per_listener_settings true\npassword_file /x",
])("%j above the first listener opens the default listener, as in mosquitto", (line) => {
  const { settings, warnings } = read(`${line}\nallow_anonymous true\nlistener 1884\n`);
  expect(settings.listeners.map(({ port }) => port)).toEqual([1883, 1884]);
  expect(warnings).toContainEqual(expect.stringContaining("above the first listener: it opens"));
});

test.each([
  "max_connections -1",
  "max_qos 2",
  "protocol mqtt",
  "password_file /x",
  "allow_zero_length_clientid false",
  "max_topic_alias 5",
])("%j above the first listener opens none", (line) => {
  const { settings } = read(`${line}\nlistener 1884\n`);
  expect(settings.listeners.map(({ port }) => port)).toEqual([1884]);
});

test("another option above the listener it is meant for is an error, not a guess", () => {
  const { errors } = read("server_redirect temporary a\nlistener 1884\n");
  expect(errors).toEqual([
    "m.conf:1: server_redirect stands above the listener it is meant for; move it below",
  ]);
  const { warnings } = read("tls_version tlsv1.2\nlistener 1884\nallow_anonymous true\n");
  expect(warnings).toHaveLength(1);
});

test("a listener of http_api is not opened, and told", () => {
  const { settings, warnings, errors } = read(
    "allow_anonymous true\nlistener 9883\nprotocol http_api\nlistener 1884\n",
  );
  expect(settings.listeners.map(({ port }) => port)).toEqual([1884]);
  expect([errors, warnings]).toEqual([[], [expect.stringContaining("http_api is not spoken")]]);
  expect(read("listener 9883\nprotocol http_api\n").errors).toEqual([
    "no listener is left to open",
  ]);
});

test("two listeners on one address and port are an error", () => {
  expect(read("listener 1883 ::1\nlistener 1883 ::1\n").errors).toEqual([
    "two listeners on [::1]:1883",
  ]);
});

test("each listener has a key, over restarts: its port where no other before it has that", () => {
  const keys = (content: string) =>
    configure({ name: "m.conf", content }, NO_FLAGS).settings.listeners.map(({ key }) => key);
  const lines = [
    "listener 1883 127.0.0.2",
    "listener 0 /run/a.sock",
    "listener 1883 127.0.0.1",
    "listener 65535",
    "listener 0 /run/b.sock",
    "listener 0 127.0.0.1",
    "listener 1884",
  ];
  const all = keys(lines.join("\n"));
  expect(all).toMatchObject({ 0: 1883, 6: 1884 });
  expect(new Set(all).size).toBe(lines.length);
  expect(Math.min(...all)).toBeGreaterThan(0);
  expect(Math.max(...all)).toBeLessThan(65_535);
  expect(keys(lines.slice(3).join("\n"))).toEqual(all.slice(3));
});

test("a listener that can admit nobody is warned of", () => {
  expect(read("listener 1883\n").warnings).toEqual([
    expect.stringContaining("the listener on port 1883 refuses every client"),
  ]);
});

test("-p beside listeners of the file is warned of", () => {
  const { warnings } = read("listener 1883\nallow_anonymous true\n", { ports: [1884] });
  expect(warnings).toEqual(["-p is ignored, because the configuration file opens listeners"]);
});

test("options of two listeners are not taken for repeats", () => {
  const content = "listener 1\nmax_connections 5\nlistener 2\nmax_connections 5\n";
  expect(read(`allow_anonymous true\n${content}`).warnings).toEqual([]);
});

test("--data overrules persistence_location", () => {
  const { settings } = read("persistence_location /a/\n", { dataDirectory: "b" });
  expect(settings.dataDirectory).toBe("b");
});

const LOGS: readonly (readonly [
  content: string,
  flags: Partial<CommandLine>,
  destinations: readonly string[],
  types: readonly string[],
])[] = [
  ["", {}, ["stderr"], ["error", "warning", "notice", "information"]],
  ["log_dest stdout\nlog_dest file /var/log/a b.log\n", {}, ["stdout", "/var/log/a b.log"], []],
  ["log_dest stdout\nlog_dest stdout\n", {}, ["stdout"], []],
  ["log_dest syslog\nlog_dest topic\n", {}, ["syslog", "topic"], []],
  ["log_dest dlt\n", {}, ["stderr"], []],
  ["log_dest stdout\nlog_dest none\n", {}, [], []],
  ["", { daemon: true }, ["syslog"], []],
  ["log_dest stdout\n", { daemon: true }, ["stdout"], []],
  ["log_type error\nlog_type internal\n", {}, ["stderr"], ["error", "debug"]],
  ["log_type all\nlog_type none\nlog_type notice\n", {}, ["stderr"], ["notice"]],
  ["log_type error\n", { quiet: true, verbose: true }, [], []],
];

test.each(LOGS)("%j with %j logs to %j", (content, flags, destinations, types) => {
  const { log } = read(content, flags).settings;
  const names = log.destinations.map((to) => (to.kind === "file" ? to.path : to.kind));
  expect(names).toEqual(destinations);
  if (types.length > 0) expect([...log.types]).toEqual(types);
});

test("-v logs all types, whatever the file says", () => {
  expect(read("log_type none\n", { verbose: true }).settings.log.types.has("debug")).toBe(true);
});
