/**
 * Where listeners listen and whom they serve: Unix sockets, interfaces, IP versions, protocol
 * versions, bounds.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect as connectSocket, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { GATE_WAITING_MAX } from "../../src/base/limits.ts";
import { endAll, start } from "../cli/program.ts";
import { until, withDeadline } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import { freePorts } from "../support/running-broker.ts";
import { overUnixSocket } from "../support/secure-transport.ts";

const NOWHERE = { port: 0, webSocketPort: 0 };

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "holdfast-listeners-"));
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

afterEach(endAll);

/** Starts the program with these lines and waits until it serves. */
async function serve(...lines: readonly string[]) {
  const file = join(directory, "listeners.conf");
  writeFileSync(file, ["persistence false", "allow_anonymous true", ...lines, ""].join("\n"));
  const program = start(["-c", file]);
  await program.printed(/ running\n/);
  return program;
}

/** What the program says as it refuses to start. */
async function refusal(...lines: readonly string[]): Promise<string> {
  const file = join(directory, "refused.conf");
  writeFileSync(file, ["persistence false", ...lines, ""].join("\n"));
  const { exitCode, stderr } = await start(["-c", file]).ended;
  expect(exitCode).toBe(1);
  return stderr;
}

/** Whether a connection to the address opens. */
function opens(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectSocket({ port, host });
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

describe.each(["raw", "public"])("Unix sockets on the %s path", (path) => {
  test("clients are served, named local in the log; the socket goes with the broker", async () => {
    const socket = join(directory, `${path}.sock`);
    vi.stubEnv("HOLDFAST_READ_PATH", path === "public" ? "public" : undefined);
    const program = await serve(`listener 0 ${socket}`);
    vi.unstubAllEnvs();
    const client = await TestClient.connect(NOWHERE, { transport: overUnixSocket(socket) });
    await program.printed(new RegExp(`New client connected from local as ${client.clientId} `));
    await client.subscribe("a", { qos: 1 });
    client.sendPublish("a", Buffer.alloc(300_000, "x"), { qos: 1 });
    expect((await client.expectPublish()).payloadBytes).toHaveLength(300_000);
    await client.disconnect();
    program.signal("SIGTERM");
    expect((await program.ended).exitCode).toBe(0);
    expect(existsSync(socket)).toBe(false);
  });
});

describe("Unix sockets", () => {
  test("what a killed broker left behind is taken over", async () => {
    const socket = join(directory, "stale.sock");
    const killed = await serve(`listener 0 ${socket}`);
    killed.signal("SIGKILL");
    await killed.ended;
    expect(existsSync(socket)).toBe(true);
    await serve(`listener 0 ${socket}`);
    const client = await TestClient.connect(NOWHERE, { transport: overUnixSocket(socket) });
    await client.disconnect();
  });

  test("one on which another program answers, and what is no socket, is left alone", async () => {
    const socket = join(directory, "used.sock");
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    expect(await refusal(`listener 0 ${socket}`)).toContain(`listener 0 ${socket} is in use`);
    expect(existsSync(socket)).toBe(true);
    await new Promise((resolve) => server.close(resolve));
    const file = join(directory, "notes.txt");
    writeFileSync(file, "notes");
    expect(await refusal(`listener 0 ${file}`)).toContain("is there already and no socket");
    expect(await refusal(`listener 0 ${join(directory, "none", "x")}`)).toContain(
      `there is no directory ${join(directory, "none")}; make it`,
    );
    expect(existsSync(file)).toBe(true);
  });

  test("Debian's mosquitto_pub and mosquitto_sub use it", async () => {
    const socket = join(directory, "debian.sock");
    await serve(`listener 0 ${socket}`);
    execFileSync("mosquitto_pub", ["--unix", socket, "-t", "kept", "-m", "hello", "-r", "-q", "1"]);
    // For the broker's group as well, and for nobody else.
    expect(statSync(socket).mode & 0o777).toBe(0o770);
    const subscribe = ["--unix", socket, "-t", "kept", "-C", "1", "-W", "5"];
    expect(execFileSync("mosquitto_sub", subscribe).toString()).toBe("hello\n");
  });

  test("WebSocket works there, too", async () => {
    const socket = join(directory, "web.sock");
    await serve(`listener 0 ${socket}`, "protocol websockets");
    const client = connectSocket(socket);
    const answer = new Promise<Buffer>((resolve) => client.once("data", resolve));
    client.write(
      "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
        "Sec-WebSocket-Protocol: mqtt\r\n\r\n",
    );
    expect((await withDeadline(answer, "upgrade")).toString()).toMatch(/^HTTP\/1\.1 101 /);
    client.destroy();
  });
});

describe("addresses", () => {
  test("bind_interface lo: its addresses and no others", async () => {
    const [port = 0, webPort = 0] = await freePorts(2);
    const web = [`listener ${webPort}`, "protocol websockets", "bind_interface lo"];
    await serve(`listener ${port}`, "bind_interface lo", ...web);
    for (const one of [port, webPort]) {
      expect(await opens(one, "127.0.0.1")).toBe(true);
      // Also an address of the loopback, but none of the interface's.
      expect(await opens(one, "127.0.0.2")).toBe(false);
    }
  });

  test("an interface that there is not: the error names those that there are", async () => {
    const text = await refusal("listener 1", "bind_interface nosuch0");
    expect(text).toMatch(/bind_interface nosuch0: .* it has .*\blo\b/);
  });

  test("socket_domain: one version of IP only", async () => {
    const [four = 0, six = 0, webSix = 0] = await freePorts(3);
    await serve(
      ...[`listener ${four}`, "socket_domain ipv4"],
      ...[`listener ${six}`, "socket_domain ipv6"],
      ...[`listener ${webSix}`, "protocol websockets", "socket_domain ipv6"],
    );
    expect(await opens(four, "127.0.0.1")).toBe(true);
    expect(await opens(four, "::1")).toBe(false);
    for (const port of [six, webSix]) {
      expect(await opens(port, "127.0.0.1")).toBe(false);
      expect(await opens(port, "::1")).toBe(true);
    }
  });

  test("an address of the other version is an error", async () => {
    const text = await refusal("listener 1883 127.0.0.1", "socket_domain ipv6");
    expect(text).toContain("127.0.0.1:1883 is no address of socket_domain ipv6");
  });

  test("IPv4 clients have IPv4 addresses in the log of a listener that has both", async () => {
    const [port = 0] = await freePorts(1);
    const program = await serve(`listener ${port}`);
    const client = await TestClient.connect({ port, webSocketPort: 0 });
    await program.printed(/New client connected from 127\.0\.0\.1:\d+ as /);
    await client.disconnect();
  });
});

describe("whom they serve", () => {
  test("accept_protocol_versions: other versions are refused in their own words", async () => {
    const [port = 0] = await freePorts(1);
    await serve(`listener ${port} 127.0.0.1`, "accept_protocol_versions 4");
    const broker = { port, webSocketPort: 0 };
    await (await TestClient.connect(broker, { version: 4 })).disconnect();
    for (const [version, code] of [
      [5, 0x84],
      [3, 1],
    ] as const) {
      const client = await TestClient.open(broker, { version });
      client.sendConnect();
      await client.expectRefusal(code);
    }
  });

  test("global_max_connections: past it nobody gets in until one leaves", async () => {
    const [port = 0, other = 0] = await freePorts(2);
    await serve(
      "global_max_connections 2",
      ...[`listener ${port} 127.0.0.1`, `listener ${other} 127.0.0.1`],
    );
    const first = await TestClient.connect({ port, webSocketPort: 0 });
    const second = await TestClient.connect({ port: other, webSocketPort: 0 });
    const third = await TestClient.open({ port, webSocketPort: 0 });
    third.sendConnect();
    await third.closed();
    await first.disconnect();
    await until("room for another", async () => {
      const next = await TestClient.connect({ port: other, webSocketPort: 0 }).catch(() => null);
      next?.destroy();
      return next !== null;
    });
    await second.disconnect();
  });

  test("by Node's HTTP server: past GATE_WAITING_MAX silent sockets the oldest goes", async () => {
    const [port = 0] = await freePorts(1);
    const lines = [`listener ${port} 127.0.0.1`, "protocol websockets"];
    await serve("websockets_headers_size 8192", ...lines);
    const silent: Socket[] = [];
    const open = (): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const socket = connectSocket({ port, host: "127.0.0.1" }, () => resolve(socket));
        socket.on("error", reject);
        silent.push(socket.resume());
      });
    while (silent.length < GATE_WAITING_MAX) await open();
    const oldest = silent[0];
    const gone = new Promise((resolve) => oldest?.once("close", resolve));
    const broker = { port: 0, webSocketPort: port };
    const client = await TestClient.connect(broker, { transport: "webSocket" });
    await withDeadline(gone, "close of the oldest");
    expect(silent[1]?.closed).toBe(false);
    await client.disconnect();
    for (const socket of silent) socket.destroy();
  });
});
