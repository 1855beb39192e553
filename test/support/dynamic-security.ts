/** Dynamic security with a file of its own, asked without a broker. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConcernedConnections, DynamicSecurity } from "../../src/access/dynamic-security.ts";
import type { ConnectRequest, Verdict } from "../../src/access/identity.ts";
import { PasswordHasher } from "../../src/access/password-hasher.ts";
import type { Log } from "../../src/base/log.ts";

export interface Command {
  readonly command: string;
  readonly [name: string]: unknown;
}

/** A response as it came back. */
export interface Response {
  readonly command: string;
  readonly error?: string;
  readonly data?: Record<string, unknown>;
  readonly correlationData?: string;
}

export interface AskedSecurity {
  readonly security: DynamicSecurity;
  readonly file: string;
  /** Lines of warnings and errors. */
  readonly lines: string[];
  /** What was done with connections: `renew`, `end u1 u2`, `end (anonymous)`. */
  readonly done: string[];
  /** Asks as `admin`; the responses. */
  ask(...commands: readonly unknown[]): Promise<Response[]>;
  /** Asks with these bytes; the text of the answer, and whether the requester is to end. */
  askBytes(request: Uint8Array): Promise<{ readonly text: string; readonly ends: boolean }>;
}

const directories: string[] = [];

export function removeDirectories(): void {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
}

export function directoryForTest(): string {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-dynsec-"));
  directories.push(directory);
  return directory;
}

function logTo(lines: string[]): Log {
  const keep = (text: string): void => {
    lines.push(text);
  };
  const drop = (): void => undefined;
  return {
    error: keep,
    warn: keep,
    notice: drop,
    info: drop,
    debug: drop,
    subscribe: drop,
    unsubscribe: drop,
    has: () => true,
    close: () => Promise.resolve(),
  };
}

/**
 * Dynamic security with a file that holds this.
 *
 * @param content  the file's text, or an object that is written as JSON
 */
export function securityWith(
  content: unknown = {},
  file = join(directoryForTest(), "dynamic-security.json"),
): AskedSecurity {
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return openSecurity(file);
}

export function openSecurity(file: string): AskedSecurity {
  const lines: string[] = [];
  const done: string[] = [];
  const hasher = new PasswordHasher();
  const log = logTo(lines);
  const security = new DynamicSecurity({ file, initialPasswordFile: null, hasher, log });
  const connections: ConcernedConnections = {
    renew: () => done.push("renew"),
    disconnect: ({ anonymous, userNames }) => {
      done.push(["end", ...userNames, ...(anonymous ? ["(anonymous)"] : [])].join(" "));
    },
    addresses: () => new Map([["here", ["127.0.0.1"]]]),
  };
  security.connect(connections);
  const askBytes = (request: Uint8Array) =>
    new Promise<{ text: string; ends: boolean }>((resolve) => {
      security.ask(request, { clientId: "c", userName: "admin" }, (text, ends) =>
        resolve({ text, ends }),
      );
    });
  const ask = async (...commands: readonly unknown[]): Promise<Response[]> => {
    const { text } = await askBytes(Buffer.from(JSON.stringify({ commands })));
    return JSON.parse(text).responses;
  };
  return { security, file, lines, done, ask, askBytes };
}

export function connectAs(userName: string, password: string, clientId = "c1"): ConnectRequest {
  return {
    clientId,
    userName,
    password: Buffer.from(password),
    version: 5,
    remoteAddress: "127.0.0.1",
    certificate: null,
    takesUserName: false,
  };
}

export async function login({ security }: AskedSecurity, ...who: [string, string, string?]) {
  const verdict: Verdict | null = await security.authenticate(connectAs(...who));
  if (verdict === null) return "not mine";
  return "granted" in verdict ? "granted" : verdict.reason;
}

export async function askOne(
  asked: AskedSecurity,
  command: Command,
): Promise<Response | undefined> {
  return (await asked.ask(command))[0];
}
