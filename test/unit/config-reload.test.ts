/** What of a configuration that is read again counts at once, and what after a restart. */
import { expect, test } from "vitest";
import { configure } from "../../src/config/configuration.ts";
import { reconcile } from "../../src/config/reload.ts";
import { NO_FLAGS } from "../../src/config/settings.ts";

function read(content: string) {
  const configuration = configure({ name: "m.conf", content }, NO_FLAGS);
  expect(configuration.errors).toEqual([]);
  return configuration;
}

/** The second file read while the broker runs with the first. */
function reloaded(before: string, after: string) {
  return reconcile(read(before), read(after), NO_FLAGS);
}

const LISTENER = "allow_anonymous true\nlistener 1884\n";

test("nothing has changed, though lines have moved", () => {
  const { changed, sentences } = reloaded(
    `${LISTENER}sys_interval 5\n`,
    `# A comment\n\nsys_interval 5\n${LISTENER}`,
  );
  expect([changed, sentences]).toEqual([[], []]);
});

test("a reloadable option is taken over; its line gone, the default counts again", () => {
  const added = reloaded(LISTENER, `${LISTENER}sys_interval 5\n`);
  expect(added.changed).toEqual(["sys_interval"]);
  expect(added.configuration?.settings.sysIntervalSeconds).toBe(5);
  const gone = reloaded(`${LISTENER}sys_interval 5\n`, LISTENER);
  expect(gone.changed).toEqual(["sys_interval"]);
  expect(gone.configuration?.settings.sysIntervalSeconds).toBe(10);
});

test("another is named with its place and stays as it was", () => {
  const { configuration, changed, sentences } = reloaded(
    `${LISTENER}persistence_location /a\n`,
    `${LISTENER}persistence_location /b\nsys_interval 5\n`,
  );
  expect(sentences).toEqual([
    "m.conf:3: persistence_location has changed; it counts after a restart",
  ]);
  expect(changed).toEqual(["sys_interval"]);
  expect(configuration?.settings.dataDirectory).toBe("/a");
});

test("a second reload is compared with what runs, not with the file before", () => {
  const running = read(`${LISTENER}memory_limit 1\n`);
  const first = reconcile(running, read(`${LISTENER}memory_limit 2\n`), NO_FLAGS);
  const second = reconcile(
    first.configuration ?? running,
    read(`${LISTENER}memory_limit 2\n`),
    NO_FLAGS,
  );
  expect(second.sentences).toHaveLength(1);
  expect(second.configuration?.settings.memoryBytesMax).toBe(1);
});

const LIMITS =
  "allow_anonymous true\nlistener 1\nmax_connections 1\nlistener 2\nmax_connections 2\n";

test("a listener is known by its line, wherever it stands now", () => {
  const { configuration, changed } = reloaded(
    LIMITS,
    "allow_anonymous true\nlistener 2\nmax_connections 22\nlistener 1\nmax_connections 11\n",
  );
  expect(changed).toEqual(["max_connections"]);
  expect(configuration?.settings.listeners).toMatchObject([
    { port: 1, connectionsMax: 11 },
    { port: 2, connectionsMax: 22 },
  ]);
});

test("a listener that is gone keeps what it has, and one that is new does not open", () => {
  const { configuration, sentences } = reloaded(
    LIMITS,
    "allow_anonymous true\nlistener 3\nmax_connections 3\nlistener 1\nmax_connections 11\n",
  );
  expect(configuration?.settings.listeners).toMatchObject([
    { port: 1, connectionsMax: 11 },
    { port: 2, connectionsMax: 2 },
  ]);
  expect(sentences).toEqual([
    "m.conf:4: listener has changed; it counts after a restart",
    "m.conf:3: max_connections is of a listener that is not open; it counts after a restart",
  ]);
});

test("who may connect is the file's, also below a listener that is new or has another line", () => {
  const before = "listener 1\nallow_anonymous true\nacl_file a\n";
  for (const after of [
    "listener 2\nallow_anonymous false\npassword_file b\n",
    "listener 1\nallow_anonymous true\nlistener 2\nallow_anonymous false\npassword_file b\n",
    "listener 2\nlistener 1\nallow_anonymous false\nlistener 3\npassword_file b\n",
  ]) {
    const { configuration, changed, sentences } = reloaded(before, after);
    expect(configuration?.settings.listeners).toMatchObject([
      { port: 1, access: { allowAnonymous: false, passwordFile: "b", aclFile: null } },
    ]);
    expect(changed.toSorted()).toEqual(["acl_file", "allow_anonymous", "password_file"]);
    expect(sentences).toEqual([
      expect.stringMatching(/^m\.conf:\d: listener has changed; it counts after a restart$/),
    ]);
  }
  // It may go from one listener to another without a change.
  const moved = reloaded(before, "allow_anonymous true\nacl_file a\nlistener 1\n");
  expect([moved.changed, moved.sentences]).toEqual([[], []]);
});

test("with per_listener_settings it is the listener's, and what does not count is named", () => {
  const each = "per_listener_settings true\nlistener 1\nallow_anonymous true\nacl_file a\n";
  const { configuration, changed, sentences } = reloaded(
    each,
    `${each}listener 2\nallow_anonymous false\npassword_file b\n`,
  );
  expect(configuration?.settings.listeners).toMatchObject([
    { port: 1, access: { allowAnonymous: true, passwordFile: null, aclFile: "a" } },
  ]);
  expect(changed).toEqual([]);
  expect(sentences).toEqual([
    "m.conf:5: listener has changed; it counts after a restart",
    "m.conf:6: allow_anonymous is of a listener that is not open; it counts after a restart",
    "m.conf:7: password_file is of a listener that is not open; it counts after a restart",
  ]);
});

test("where per_listener_settings changes, who may connect stays as it was", () => {
  const each = "per_listener_settings true\nlistener 1\nallow_anonymous true\nacl_file a\n";
  const all = "listener 1\nallow_anonymous true\nlistener 2\nacl_file b\n";
  const { configuration, changed, sentences } = reloaded(each, all);
  expect(configuration?.settings.listeners).toMatchObject([{ access: { aclFile: "a" } }]);
  expect(changed).toEqual([]);
  expect(sentences).toContain(
    "m.conf:1: per_listener_settings has changed; it counts after a restart",
  );
  const back = reloaded(all, `per_listener_settings true\n${all}allow_anonymous false\n`);
  expect(back.configuration?.settings.listeners).toMatchObject([
    { access: { aclFile: "b", allowAnonymous: true } },
    { access: { aclFile: "b", allowAnonymous: true } },
  ]);
  expect(back.changed).toEqual([]);
});

test("what is warned of is what holds from now on", () => {
  const open = "listener 1\nallow_anonymous true\n";
  const closed = reloaded(open, "listener 2\nallow_anonymous false\n").configuration?.warnings;
  expect(closed).toEqual([expect.stringContaining("the listener on port 1 refuses every client")]);
  expect(reloaded(open, `${open}listener 2\n`).configuration?.warnings).toEqual([]);
});

test("a global option below a new listener counts", () => {
  const { configuration } = reloaded(LISTENER, `${LISTENER}listener 5\nsys_interval 5\n`);
  expect(configuration?.settings.sysIntervalSeconds).toBe(5);
});

test("an option that would open the default listener changes nothing", () => {
  const { configuration, sentences } = reloaded(LISTENER, `max_connections 5\n${LISTENER}`);
  expect(configuration).toBeNull();
  expect(sentences).toContain("other listeners would open; restart to open them");
});

test("values that are lists and sets are compared by what is in them", () => {
  const versions = (list: string) => `${LISTENER}accept_protocol_versions ${list}\n`;
  expect(reloaded(versions("3,4"), versions("3, 4")).changed).toEqual([]);
  const { configuration } = reloaded(versions("3,4"), versions("5"));
  expect(configuration?.settings.listeners[0]?.protocolVersions).toEqual(new Set([5]));
});
