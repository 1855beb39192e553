/**
 * Debian's mosquitto clients over TLS: what they get from Holdfast and from Debian's mosquitto with
 * the same files and the same command lines.
 */
import { execFile, spawn } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAllLookedAt, expectDifferences } from "../differential/mosquitto-differences.ts";
import { until } from "../support/await.ts";
import { Certificates } from "../support/certificates.ts";
import { openTcp } from "../support/client-transport.ts";
import { freePorts } from "../support/running-broker.ts";
import { type ListeningBroker, startListening } from "../support/secure-broker.ts";
import { needPrograms } from "./program.ts";

const MOSQUITTO = "/usr/sbin/mosquitto";
const KEY = "0123456789abcdef0123456789abcdef";

/** The listeners of both brokers, in the order of their ports. */
const LISTENERS = ["asks", "open", "shared", "revoking", "modern", "chain"] as const;
type Listener = (typeof LISTENERS)[number];

let certificates: Certificates;
let holdfast: ListeningBroker;
let mosquitto: ReturnType<typeof spawn>;
let mosquittoLog = "";
let mosquittoPorts: ReadonlyMap<string, number>;

function linesOf(listener: Listener): string[] {
  const own = [
    `certfile ${certificates.path("server.pem")}`,
    `keyfile ${certificates.path("server.key")}`,
  ];
  const asks = [...own, `cafile ${certificates.path("ca.pem")}`, "require_certificate true"];
  return {
    asks,
    open: own,
    shared: ["psk_hint here"],
    revoking: [...asks, `crlfile ${certificates.path("ca.crl")}`],
    modern: [...own, "tls_version tlsv1.3"],
    chain: [...asks, `crlfile ${certificates.path("middle.crl")}`],
  }[listener];
}

/** Runs mosquitto_pub against both brokers. @returns its exit codes */
async function exitCodes(listener: Listener, ...args: readonly string[]): Promise<number[]> {
  const run = (port: number) =>
    new Promise<number>((resolve) => {
      const all = ["-h", "localhost", "-p", `${port}`, "-t", "tls", "-m", "x", "-q", "1", ...args];
      execFile("mosquitto_pub", all, { timeout: 10_000 }, (error) => {
        resolve(error === null ? 0 : Number(error.code ?? -1));
      });
    });
  return Promise.all([run(holdfast.port(listener)), run(mosquittoPorts.get(listener) ?? 0)]);
}

/**
 * Not connected (1), lost (7), a fault of TLS (8), a reset (14): which of them mosquitto_pub says
 * depends on whether the end or the alert came first, by chance with either broker.
 */
function expectRefusals(codes: readonly number[]): void {
  for (const code of codes) expect([1, 7, 8, 14]).toContain(code);
}

function file(name: string): string {
  return certificates.path(name);
}

beforeAll(async () => {
  needPrograms([MOSQUITTO, "/usr/bin/mosquitto_pub"], "mosquitto mosquitto-clients");
  certificates = new Certificates();
  certificates.addAuthority("other");
  certificates.sign("server", { subject: "/CN=localhost" });
  certificates.sign("device", { subject: "/CN=device" });
  certificates.sign("revoked", { subject: "/CN=revoked" });
  certificates.sign("over", { subject: "/CN=over", days: -1 });
  certificates.sign("stranger", { subject: "/CN=stranger", authority: "other" });
  certificates.revoke("revoked");
  certificates.sign("middle", { subject: "/CN=middle", isAuthority: true });
  certificates.useAsAuthority("middle");
  certificates.sign("below", { subject: "/CN=below", authority: "middle" });
  const chain = certificates.read("below.pem") + certificates.read("middle.pem");
  certificates.write("below.pem", chain);
  certificates.revoke(null, "middle");
  const keys = certificates.write("keys.psk", `# of devices\ndev1:${KEY}\n`);
  const named = (lines: (listener: Listener) => string[]) =>
    Object.fromEntries(LISTENERS.map((listener) => [listener, lines(listener)]));
  holdfast = await startListening({ global: [`psk_file ${keys}`], ...named(linesOf) });
  const ports = await freePorts(LISTENERS.length);
  mosquittoPorts = new Map(LISTENERS.map((name, index) => [name, ports[index] ?? 0]));
  const configuration = certificates.write(
    "mosquitto.conf",
    [
      ...["user root", "allow_anonymous true", `psk_file ${keys}`],
      ...LISTENERS.flatMap((name) => [
        `listener ${mosquittoPorts.get(name)} 127.0.0.1`,
        ...linesOf(name),
      ]),
      "",
    ].join("\n"),
  );
  mosquitto = spawn(MOSQUITTO, ["-c", configuration], { stdio: ["ignore", "ignore", "pipe"] });
  mosquitto.stderr?.on("data", (text: Buffer) => {
    mosquittoLog += text.toString();
  });
  for (const port of ports) {
    await until(`mosquitto on port ${port}`, async () => {
      const events = { onBytes: () => {}, onClosed: () => {} };
      const connection = await openTcp(port, events).catch(() => undefined);
      connection?.destroy();
      return connection !== undefined;
    });
  }
});

afterAll(async () => {
  mosquitto?.kill();
  await holdfast?.broker.stop();
  certificates?.remove();
});

describe("mosquitto_pub ends as it does with mosquitto", () => {
  const shown = (name: string) => ["--cert", file(`${name}.pem`), "--key", file(`${name}.key`)];
  const knows = () => ["--cafile", file("ca.pem")];

  test("with a certificate, and where none is asked for", async () => {
    expect(await exitCodes("asks", ...knows(), ...shown("device"))).toEqual([0, 0]);
    expect(await exitCodes("revoking", ...knows(), ...shown("device"))).toEqual([0, 0]);
    expect(await exitCodes("open", ...knows())).toEqual([0, 0]);
    expect(await exitCodes("modern", ...knows())).toEqual([0, 0]);
  });

  test.each([
    ["asks", "no certificate", []],
    ["asks", "one that is over", ["over"]],
    ["asks", "a stranger's", ["stranger"]],
    ["revoking", "a revoked one", ["revoked"]],
  ] as const)("not let in on %s: %s", async (listener, _title, names) => {
    expectRefusals(await exitCodes(listener, ...knows(), ...names.flatMap(shown)));
  });

  test("with an authority that did not sign the broker's certificate", async () => {
    expectRefusals(await exitCodes("open", "--cafile", file("other.pem")));
  });

  test("without TLS", async () => {
    expectRefusals(await exitCodes("open"));
  });

  test.each(["tlsv1.2", "tlsv1.3"])("with a shared key, from %s on", async (version) => {
    const key = ["--psk", KEY, "--psk-identity", "dev1", "--tls-version", version];
    expect(await exitCodes("shared", ...key)).toEqual([0, 0]);
  });

  test.each([
    ["another key", ["--psk", `${KEY.slice(2)}ff`, "--psk-identity", "dev1"]],
    ["another identity", ["--psk", KEY, "--psk-identity", "dev2"]],
  ])("with %s", async (_title, args) => {
    expectRefusals(await exitCodes("shared", ...args));
  });

  test("with an ALPN protocol, where the listener names none", async () => {
    expect(await exitCodes("open", ...knows(), "--tls-alpn", "mqtt")).toEqual([0, 0]);
  });
});

test("what differs is in the table", async () => {
  const shown = ["--cert", file("below.pem"), "--key", file("below.key")];
  const [own, debian] = await exitCodes("chain", "--cafile", file("ca.pem"), ...shown);
  const isIn = (code: number | undefined) => code === 0;
  const seen = { mosquitto: isIn(debian), holdfast: isIn(own) };
  expect(seen.mosquitto).toBe(true);
  expectDifferences("tls: a list of one authority of two", seen);

  const wording = /[^\n]*OpenSSL[^\n]*wrong version number[^\n]*/;
  const line = async (whose: string, log: () => string) => {
    // mosquitto has two wordings, and which of them comes is chance.
    await until(`the line in the log of ${whose}`, async () => {
      expectRefusals(await exitCodes("open"));
      return wording.test(log());
    }).catch((error) => {
      throw new Error(`${error.message}\n${log()}`);
    });
    // Without time, address, port.
    return wording
      .exec(log())?.[0]
      .replace(/^\d+: /, "")
      .replaceAll(/\d+\.[\d.:]+/g, "A:P");
  };
  expectDifferences("tls: the log of a handshake that fails", {
    mosquitto: await line("mosquitto", () => mosquittoLog),
    holdfast: await line("holdfast", () => holdfast.broker.output()),
  });
  expectAllLookedAt("tls");
});

test("each client that does not trust the certificate is in the log", async () => {
  const count = () => holdfast.broker.output().match(/alert unknown ca/g)?.length ?? 0;
  const before = count();
  for (let i = 1; i <= 8; i++) {
    expectRefusals(await exitCodes("open", "--cafile", file("other.pem")));
    await until(`line ${i}`, () => count() === before + i);
  }
});

describe("messages over TLS", () => {
  test("mosquitto_sub gets what mosquitto_pub sends, QoS 2, 200 KB", async () => {
    const common = ["-h", "localhost", "-p", `${holdfast.port("asks")}`, "-q", "2"];
    const secure = ["--cafile", file("ca.pem"), "--cert", file("device.pem"), "--key"];
    const all = [...common, ...secure, file("device.key"), "-t", "large", "-V", "5"];
    const payload = certificates.write("payload", "x".repeat(200_000));
    const published = new Promise<Error | null>((resolve) => {
      execFile("mosquitto_pub", [...all, "-r", "-f", payload], { timeout: 10_000 }, resolve);
    });
    expect(await published).toBeNull();
    const heard = new Promise<string>((resolve) => {
      const options = { timeout: 10_000, maxBuffer: 1_000_000 };
      execFile("mosquitto_sub", [...all, "-C", "1"], options, (_error, out) => resolve(out));
    });
    expect(await heard).toBe(`${"x".repeat(200_000)}\n`);
  });
});
