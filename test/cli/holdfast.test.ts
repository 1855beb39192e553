/** The command from outside: what it prints, how it ends, and with which exit code. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { endAll, runToEnd, start } from "./program.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-cli-"));
afterEach(endAll);
afterAll(() => rmSync(directory, { recursive: true }));

let fileCount = 0;

/** A file with this content; its path. */
function file(content: string): string {
  const path = join(directory, `${fileCount++}.conf`);
  writeFileSync(path, content);
  return path;
}

/** A data directory of its own, below the test's. */
function dataFlags(): string[] {
  return ["--data", join(directory, `data-${fileCount++}`)];
}

/** Flags of a broker on free ports with a data directory of its own. */
function freePorts(): string[] {
  return ["-p", "0", "--ws-port", "0", ...dataFlags()];
}

const RUNNING = /holdfast \S+ running/;

test("the banner says version, listeners, durability, read path and memory limit", async () => {
  const broker = start(freePorts());
  await broker.printed(RUNNING);
  broker.signal("SIGTERM");
  const { stderr, stdout } = await broker.ended;
  expect(stdout).toBe("");
  for (const line of [
    /^\d{10}: holdfast \d+\.\d+\.\d+ on Node\.js 2\d\./m,
    /^\d{10}: Listening for MQTT on 127\.0\.0\.1:[1-9]\d*$/m,
    /^\d{10}: Listening for MQTT over WebSocket on 127\.0\.0\.1:[1-9]\d*$/m,
    /^\d{10}: Durability: \S/m,
    /^\d{10}: Read path: \S/m,
    /^\d{10}: Memory limit: \S/m,
  ]) {
    expect(stderr).toMatch(line);
  }
});

test.each(["SIGTERM", "SIGINT"] as const)("%s ends it in order, with 0", async (signal) => {
  const broker = start(["serve", ...freePorts()]);
  await broker.printed(RUNNING);
  const startMs = performance.now();
  broker.signal(signal);
  const { exitCode, stderr } = await broker.ended;
  expect(exitCode).toBe(0);
  expect(performance.now() - startMs).toBeLessThan(10_000);
  expect(stderr).toMatch(new RegExp(`stops: ${signal}\n.*has stopped\n$`));
});

test("SIGHUP, SIGUSR1 and SIGUSR2 do not end it", async () => {
  const broker = start(freePorts());
  await broker.printed(RUNNING);
  for (const signal of ["SIGHUP", "SIGUSR1", "SIGUSR2"] as const) {
    broker.signal(signal);
    await broker.printed(new RegExp(`: ${signal}: `));
  }
  broker.signal("SIGTERM");
  const { exitCode, stderr } = await broker.ended;
  expect(exitCode).toBe(0);
  expect(stderr).not.toContain("Debugger listening");
});

/** Takes a port of loopback while `use` runs. */
async function withPortInUse(use: (port: number) => Promise<void>): Promise<void> {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const { port } = other.address() as AddressInfo;
  try {
    await use(port);
  } finally {
    await new Promise((resolve) => other.close(resolve));
  }
}

test("a port in use is one line with address and port behind the log, and 1", async () => {
  await withPortInUse(async (port) => {
    const { exitCode, stdout, stderr } = await runToEnd(["-p", `${port}`, ...dataFlags()]);
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^(?:\d{10}: [^\n]*\n)*holdfast: [^\n]*\n$/);
    expect(stderr).toContain("127.0.0.1");
    expect(stderr).toContain(`${port}`);
  });
});

test("-q logs nothing, but a fault is still told", async () => {
  await withPortInUse(async (port) => {
    const path = file(`listener ${port} 127.0.0.1\nuser root\n`);
    const { exitCode, stderr } = await runToEnd(["-q", "-v", "-c", path, ...dataFlags()]);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^holdfast: [^\n]*\n$/);
    expect(stderr).not.toContain("user");
  });
});

test.each([
  [["--prot", "1884"], "holdfast: unknown flag --prot; did you mean --port?\n"],
  [["--config=a.conf"], "holdfast: unknown flag --config; did you mean --config-file?\n"],
  [["-P", "1884"], "holdfast: unknown flag -P; did you mean -p?\n"],
  [["-x"], "holdfast: unknown flag -x; holdfast --help lists what there is\n"],
  [["serv"], "holdfast: unknown command serv; did you mean serve?\n"],
])("%j is refused with one line", async (args, line) => {
  expect(await runToEnd(args)).toEqual({ exitCode: 3, stdout: "", stderr: line });
});

test.each([
  [["-p", "many"], /^holdfast: .*'many' is invalid\. Expected a port from 1 to 65535.*\n$/],
  [["-p"], /^holdfast: .*argument missing\n$/],
  [["--test-config"], /^holdfast: --test-config needs a configuration file: -c FILE\n$/],
  [["-c", "/no/such.conf"], /^holdfast: cannot read .* \/no\/such\.conf: ENOENT.*\n$/],
])("%j is refused", async (args, line) => {
  const { exitCode, stdout, stderr } = await runToEnd(args);
  expect([exitCode, stdout]).toEqual([3, ""]);
  expect(stderr).toMatch(line);
});

test("an unknown option is shown with file, line and the nearest known one", async () => {
  const path = file("# mine\nlistener 1883\nmax_paket_size 5\npasword_file /x\n");
  const { exitCode, stderr } = await runToEnd(["-c", path]);
  expect(exitCode).toBe(3);
  expect(stderr).toBe(
    `holdfast: ${path}:3: unknown option max_paket_size; did you mean max_packet_size?\n` +
      `holdfast: ${path}:4: unknown option pasword_file; did you mean password_file?\n`,
  );
});

test("--test-config accepts a good file and starts nothing", async () => {
  const path = file("listener 0 127.0.0.1\r\nallow_anonymous true\r\nretry_interval 5\r\n");
  expect(await runToEnd(["-c", path, "--test-config"])).toEqual({
    exitCode: 0,
    stdout: `holdfast: ${path} is accepted\n`,
    stderr: expect.stringMatching(/^holdfast: warning: .*:3: retry_interval is not obeyed.*\n$/),
  });
});

test("--test-config warns of files that are not there", async () => {
  const path = file("listener 1883\npassword_file /nowhere/users\n");
  const { exitCode, stdout, stderr } = await runToEnd(["--test-config", "-c", path]);
  expect([exitCode, stdout]).toEqual([0, `holdfast: ${path} is accepted\n`]);
  expect(stderr).toBe(
    `holdfast: warning: ${path}:2: password_file /nowhere/users is not there: ` +
      "with that the broker does not start\n",
  );
});

test("--test-config knows the files of plugins and tokens, and those that are made", async () => {
  const path = file(
    "per_listener_settings true\nlistener 1883\nauth_plugin /x/go-auth.so\n" +
      "auth_opt_backends files\nauth_opt_files_password_path /nowhere/users\n" +
      "auth_opt_files_acl_path /nowhere/rules\n" +
      "listener 1884\njwt_jwks /nowhere/keys.json\n" +
      "listener 1885\njwt_jwks https://127.0.0.1:1/keys.json\n" +
      "listener 1886\nplugin mosquitto_dynamic_security.so\n" +
      "plugin_opt_config_file /nowhere/dynsec.json\n" +
      "plugin_opt_password_init_file /nowhere/first\n",
  );
  const { exitCode, stderr } = await runToEnd(["--test-config", "-c", path]);
  expect(exitCode).toBe(0);
  const missing = [
    "5: plugin_opt_files_password_path /nowhere/users",
    "6: plugin_opt_files_acl_path /nowhere/rules",
    "8: jwt_jwks /nowhere/keys.json",
    "14: plugin_opt_password_init_file /nowhere/first",
  ];
  expect(stderr.split("\n").filter((line) => line.includes("is not there"))).toEqual(
    missing.map(
      (what) =>
        `holdfast: warning: ${path}:${what} is not there: with that the broker does not start`,
    ),
  );
});

test("--test-config refuses a bad file", async () => {
  const path = file("acl_fil /etc/acl\n");
  const { exitCode, stdout, stderr } = await runToEnd(["--test-config", "-c", path]);
  expect([exitCode, stdout]).toEqual([3, ""]);
  expect(stderr).toContain(`${path}:1: unknown option acl_fil; did you mean acl_file?`);
});

test("a configuration file decides where the log goes", async () => {
  const logPath = join(directory, "broker.log");
  const path = file(
    `listener 0 127.0.0.1\nallow_anonymous true\nlog_dest stdout\nlog_dest file ${logPath}\n` +
      "log_format json\nuser root\nretry_interval 5\n",
  );
  const broker = start(["-c", path, ...dataFlags()]);
  await broker.printed(RUNNING);
  broker.signal("SIGTERM");
  const { exitCode, stdout, stderr } = await broker.ended;
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(readFileSync(logPath, "utf8")).toBe(stdout);
  const lines = stdout.trimEnd().split("\n");
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({
    level: "warn",
    msg: expect.stringContaining(`${path}:7: retry_interval is not obeyed`),
  });
});

test("a log file that cannot be written is one line, and 1", async () => {
  const logPath = join(directory, "no", "such.log");
  const { exitCode, stderr } = await runToEnd(["-c", file(`log_dest file ${logPath}\n`)]);
  expect(exitCode).toBe(1);
  expect(stderr).toBe(
    `holdfast: cannot write the log (${logPath}): ENOENT: no such file or directory\n`,
  );
});

test("--version and --help print and end with 0", async () => {
  const version = await runToEnd(["--version"]);
  expect(version).toMatchObject({ exitCode: 0, stderr: "" });
  expect(version.stdout).toMatch(/^holdfast \d+\.\d+\.\d+\n$/);
  const help = await runToEnd(["-h"]);
  expect(help).toMatchObject({ exitCode: 0, stderr: "" });
  for (const flag of [
    "--config-file",
    "--port",
    "--ws-port",
    "--data",
    "--test-config",
    "--daemon",
  ]) {
    expect(help.stdout).toContain(flag);
  }
});

test("a Node.js that is too old is one line, and 1", async () => {
  const older =
    "const value = { ...process.versions, node: '22.11.9' };" +
    "Object.defineProperty(process, 'versions', { value })";
  const { exitCode, stdout, stderr } = await runToEnd(
    [],
    ["--import", `data:text/javascript,${encodeURIComponent(older)}`],
  );
  expect([exitCode, stdout]).toEqual([1, ""]);
  expect(stderr).toBe("holdfast: Node.js 22.12 or newer is needed, this is 22.11.9\n");
});
