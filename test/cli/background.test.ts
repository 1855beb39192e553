/** The program in the background, its file with its number, and the user that it runs as. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import { endAll, MAIN, runToEnd, start } from "./program.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-background-"));
chmodSync(directory, 0o755);

/** Brokers in the background, which no test's end would end. */
const pids = new Set<number>();

afterEach(() => {
  for (const pid of pids) if (isAlive(pid)) process.kill(pid, "SIGKILL");
  pids.clear();
  endAll();
});
afterAll(() => rmSync(directory, { recursive: true }));

let caseCount = 0;

/** A directory of its own, and a configuration file in it; `DIR` stands for the directory. */
function configuration(content: string): { readonly dir: string; readonly path: string } {
  const dir = join(directory, `${caseCount++}`);
  mkdirSync(dir);
  const path = join(dir, "m.conf");
  writeFileSync(path, content.replaceAll("DIR", dir));
  return { dir, path };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The number in a file, of a process that is ended with the test. */
function pidIn(path: string): number {
  const pid = Number(readFileSync(path, "utf8"));
  pids.add(pid);
  return pid;
}

/** The port in a log file. */
async function portIn(path: string): Promise<number> {
  const pattern = /Listening for MQTT on \S+:(\d+)/;
  await until("the port is logged", () => pattern.test(readFileSync(path, "utf8")));
  return Number(pattern.exec(readFileSync(path, "utf8"))?.[1]);
}

/** Real, effective, saved and file system's user of a process. */
function usersOf(pid: number): readonly number[] {
  const [, list = ""] = /^Uid:\t(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return list.split("\t").map(Number);
}

const QUIET = "allow_anonymous true\nlistener 0 127.0.0.1\nlog_dest file DIR/m.log\n";

describe("-d", () => {
  test("returns when the broker listens, which then is in a session of its own", async () => {
    const { dir, path } = configuration(
      `${QUIET}user root\npersistence_location DIR/data\npid_file DIR/m.pid\n`,
    );
    const { exitCode, stdout, stderr } = await runToEnd(["-d", "-c", path]);
    expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    const pid = pidIn(join(dir, "m.pid"));
    const [, , , , , session] = readFileSync(`/proc/${pid}/stat`, "utf8").split(" ");
    expect(Number(session)).toBe(pid);
    const port = await portIn(join(dir, "m.log"));
    const client = await TestClient.connect({ port, webSocketPort: 0 });
    await client.ping();
    process.kill(pid, "SIGTERM");
    await until("it has ended", () => !isAlive(pid));
    expect(existsSync(join(dir, "m.pid"))).toBe(false);
    expect(readFileSync(join(dir, "m.log"), "utf8")).toMatch(/has stopped\n$/);
  });

  test("says why the broker cannot start, with its exit code", async () => {
    const first = configuration(`${QUIET}user root\npersistence_location DIR/data\n`);
    const broker = start(["-c", first.path]);
    await until("it listens", () => existsSync(join(first.dir, "m.log")));
    await portIn(join(first.dir, "m.log"));
    const { exitCode, stderr } = await runToEnd(["--daemon", "-c", first.path]);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^holdfast: \S+\/data is in use by process \d+/);
    broker.signal("SIGTERM");
    expect((await broker.ended).exitCode).toBe(0);
  });

  test("a fault of the configuration is told before anything is started", async () => {
    const { path } = configuration("listner 1\n");
    const { exitCode, stderr } = await runToEnd(["-d", "-c", path]);
    expect(exitCode).toBe(3);
    expect(stderr).toContain("m.conf:1: unknown option listner; did you mean listener?");
  });
});

describe("pid_file", () => {
  test("that cannot be written is a fault", async () => {
    const { path } = configuration(`${QUIET}user root\npersistence false\npid_file DIR/no/m.pid\n`);
    const { exitCode, stderr } = await runToEnd(["-c", path]);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/cannot write pid_file \S+no\/m\.pid: ENOENT/);
  });

  test("of a running broker is left alone by one that cannot start", async () => {
    const { dir, path } = configuration(
      `${QUIET}user root\npersistence_location DIR/data\npid_file DIR/m.pid\n`,
    );
    expect((await runToEnd(["-d", "-c", path])).exitCode).toBe(0);
    const pid = pidIn(join(dir, "m.pid"));
    expect((await runToEnd(["-d", "-c", path])).exitCode).toBe(1);
    expect(pidIn(join(dir, "m.pid"))).toBe(pid);
  });
});

const isRoot = process.getuid?.() === 0;
const [, , nobodyUid = "0", nobodyGid = "0"] =
  readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((line) => line.startsWith("nobody:"))
    ?.split(":") ?? [];
const nobody = { uid: Number(nobodyUid), gid: Number(nobodyGid) };

// Only root can become another user: whoever runs the tests as another sees one test fewer each.
const asRoot = isRoot ? test : () => undefined;

describe("user", () => {
  test("root is nobody else", async () => {
    const { path } = configuration(`${QUIET}user root\npersistence false\n`);
    expect((await runToEnd(["--test-config", "-c", path])).stderr).toBe("");
  });

  asRoot("a root that may not become it, as in a container, is told what to write", () => {
    const { path } = configuration(`${QUIET}user nobody\npersistence false\n`);
    const { status, stderr } = spawnSync(
      "unshare",
      ["--map-root-user", process.execPath, MAIN, "-c", path],
      { encoding: "utf8" },
    );
    expect(stderr).toMatch(/user nobody: the system does not let it become nobody.*user root/);
    expect(status).toBe(1);
  });

  asRoot("the broker is that user's in all its threads, and so is what it keeps", async () => {
    const { dir, path } = configuration(
      `${QUIET}user nobody\npersistence_location DIR/data\npid_file DIR/m.pid\n`,
    );
    expect((await runToEnd(["-d", "-c", path])).stderr).toBe("");
    const pid = pidIn(join(dir, "m.pid"));
    expect(usersOf(pid)).toEqual(Array(4).fill(nobody.uid));
    const port = await portIn(join(dir, "m.log"));
    const client = await TestClient.connect({ port, webSocketPort: 0 }, { clientId: "kept" });
    await client.subscribe("a", { qos: 1 });
    await client.publish("a", "x".repeat(1_000), { qos: 1, retain: true });
    const foreign = execFileSync("find", [join(dir, "data"), "!", "-user", "nobody"]);
    expect(foreign.toString()).toBe("");
    expect(statSync(join(dir, "m.log")).uid).toBe(nobody.uid);
    process.kill(pid, "SIGTERM");
    await until("it has ended", () => !isAlive(pid));
    expect(readFileSync(join(dir, "m.log"), "utf8")).not.toContain("Error");
  });

  asRoot("a port of root's is open nevertheless", async () => {
    const { dir, path } = configuration(
      "allow_anonymous true\nlistener 889 127.0.0.1\nuser nobody\n" +
        "persistence_location DIR/data\npid_file DIR/m.pid\nlog_dest file DIR/m.log\n",
    );
    expect((await runToEnd(["-d", "-c", path])).stderr).toBe("");
    expect(usersOf(pidIn(join(dir, "m.pid")))).toEqual(Array(4).fill(nobody.uid));
    const client = await TestClient.connect({ port: 889, webSocketPort: 0 });
    await client.publish("a", "x", { qos: 1, retain: true });
  });

  asRoot("that does not exist is a fault", async () => {
    const { path } = configuration(`${QUIET}user nobody-has-this-name\npersistence false\n`);
    const { exitCode, stderr } = await runToEnd(["-c", path]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain("user nobody-has-this-name: there is no such user on this machine");
  });

  asRoot("that cannot write the data directory is a fault that says what to do", async () => {
    const { dir, path } = configuration(`${QUIET}user nobody\npersistence_location DIR/data\n`);
    mkdirSync(join(dir, "data"));
    const first = await runToEnd(["-c", path]);
    expect(first.exitCode).toBe(1);
    expect(first.stderr).toMatch(
      /nobody cannot write persistence_location \S+data; run: chown -R nobody \S+data/,
    );
    writeFileSync(join(dir, "data", "old"), "");
    chownSync(join(dir, "data"), nobody.uid, nobody.gid);
    const second = await runToEnd(["-c", path]);
    expect(second.exitCode).toBe(1);
    expect(second.stderr).toMatch(/data\/old belongs to another user; run: chown -R nobody/);
  });

  asRoot("files that it cannot read are read by root at the start, and warned of", async () => {
    const { dir, path } = configuration(
      "user nobody\npersistence false\nlistener 0 127.0.0.1\npassword_file DIR/users\n" +
        "log_dest file DIR/m.log\npid_file DIR/m.pid\n",
    );
    await runToEnd(["passwd", "-b", "-c", join(dir, "users"), "alice", "secret"]);
    chmodSync(join(dir, "users"), 0o600);
    expect((await runToEnd(["-d", "-c", path])).exitCode).toBe(0);
    const pid = pidIn(join(dir, "m.pid"));
    const log = join(dir, "m.log");
    expect(readFileSync(log, "utf8")).toMatch(
      /Warning: user nobody cannot read \S+users: a reload/,
    );
    const address = { port: await portIn(log), webSocketPort: 0 };
    await TestClient.connect(address, { userName: "alice", password: "secret" });
    process.kill(pid, "SIGHUP");
    await until("the reload is logged", () => /SIGHUP: (no|re)/.test(readFileSync(log, "utf8")));
    await until("its fault is logged", () => readFileSync(log, "utf8").includes("stays as it was"));
    await TestClient.connect(address, { userName: "alice", password: "secret" });
  });

  asRoot("that cannot keep changes of dynamic security is warned of", async () => {
    const { dir, path } = configuration(
      `${QUIET}user nobody\npersistence false\npid_file DIR/m.pid\n` +
        "plugin mosquitto_dynamic_security.so\nplugin_opt_config_file DIR/security.json\n",
    );
    writeFileSync(join(dir, "security.json"), '{"clients":[],"groups":[],"roles":[]}');
    expect((await runToEnd(["-d", "-c", path])).exitCode).toBe(0);
    pidIn(join(dir, "m.pid"));
    expect(readFileSync(join(dir, "m.log"), "utf8")).toMatch(
      /Warning: user nobody cannot write in \S+: no change to \S+security\.json will be kept/,
    );
  });
});

describe("the list of options", () => {
  test("for people: name, form, meaning, default, scope, reload", async () => {
    const { exitCode, stdout } = await runToEnd(["options"]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(
      /^max_keepalive integer\n {4}The .*\n {4}\(default: 0, seconds; global; SIGHUP/m,
    );
  });

  test("as JSON", async () => {
    const { stdout } = await runToEnd(["options", "--json"]);
    expect(JSON.parse(stdout)).toContainEqual({
      name: "persistence_location",
      value: "path",
      defaultValue: "holdfast-data",
      unit: "",
      scope: "global",
      reloadable: false,
      since: "0.2.0",
      meaning: "The directory of everything kept on disk.",
    });
  });
});
