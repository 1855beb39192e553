/**
 * The credentials file: what the broker knows of each user, from which no password can be read.
 *
 *   user:SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey        RFC 5803, as PostgreSQL writes it
 *
 * A line each, `#` in the first column for a comment. Salt and keys are Base64.
 */
import { createHash, createHmac, pbkdf2, randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { prepare } from "./saslprep.ts";

/** The Authentication Method of these credentials, RFC 7677. */
export const SCRAM_SHA_256 = "SCRAM-SHA-256";

/** Bytes of a SHA-256 digest, and so of both keys. */
const KEY_BYTES = 32;
const SALT_BYTES = 16;
/** Longest salt that a file may hold. */
const SALT_BYTES_MAX = 1024;

/** Least that RFC 7677 allows, and the default: devices compute them at each CONNECT. */
export const ITERATIONS_MIN = 4096;
export const ITERATIONS_MAX = 100_000_000;

/** Longest user name, bytes of UTF-8: as long as a User Name may be.          [MQTT 5.0 §1.5.4] */
export const USER_BYTES_MAX = 65_535;

export interface ScramCredential {
  readonly iterations: number;
  readonly salt: Buffer;
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
}

/** Users with their credentials, in the order of the file. */
export type ScramUsers = Map<string, ScramCredential>;

const derive = promisify(pbkdf2);

export function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

export function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

/**
 * Credentials of a password, RFC 5802 §3. Takes as long as `iterations` make it, off the event
 * loop.
 *
 * @param password  as prepare() gives it
 */
export async function credentialOf(
  password: string,
  iterations: number,
  salt: Buffer = randomBytes(SALT_BYTES),
): Promise<ScramCredential> {
  const salted = await derive(password, salt, iterations, KEY_BYTES, "sha256");
  const storedKey = sha256(hmac(salted, "Client Key"));
  return { iterations, salt, storedKey, serverKey: hmac(salted, "Server Key") };
}

/** The line of a user, without a line feed. */
export function lineOf(user: string, credential: ScramCredential): string {
  const { iterations, salt, storedKey, serverKey } = credential;
  const [saltText, stored, server] = [salt, storedKey, serverKey].map((bytes) =>
    bytes.toString("base64"),
  );
  return `${user}:${SCRAM_SHA_256}$${iterations}:${saltText}$${stored}:${server}`;
}

/**
 * Reads all lines.
 *
 * @returns the users, or `LINE: sentence` for the first line that is not accepted
 */
export function readScramLines(content: string): ScramUsers | string {
  const users: ScramUsers = new Map();
  for (const [index, written] of content.split(/\r?\n/).entries()) {
    if (written.trim() === "" || written.startsWith("#")) continue;
    const judged = readLine(written);
    if (typeof judged === "string") return `${index + 1}: ${judged}`;
    if (users.has(judged.user)) return `${index + 1}: the user stands on an earlier line, too`;
    users.set(judged.user, judged.credential);
  }
  return users;
}

const LINE = /^(.+):SCRAM-SHA-256\$([0-9]+):([^$:]*)\$([^$:]*):([^$:]*)$/u;

function readLine(
  written: string,
): { readonly user: string; readonly credential: ScramCredential } | string {
  const [, user = "", count = "", ...texts] = LINE.exec(written) ?? [];
  if (user === "") return "expected user:SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey";
  const fault = faultOfUser(user);
  if (fault !== null) return fault;
  const iterations = Number(count);
  if (iterations < ITERATIONS_MIN || iterations > ITERATIONS_MAX) {
    return `the iterations must be ${ITERATIONS_MIN} to ${ITERATIONS_MAX}`;
  }
  const [salt, storedKey, serverKey] = texts.map(readBase64);
  if (!salt || salt.length === 0 || salt.length > SALT_BYTES_MAX) return "the salt is not Base64";
  if (storedKey?.length !== KEY_BYTES || serverKey?.length !== KEY_BYTES) {
    return `StoredKey and ServerKey must be ${KEY_BYTES} bytes in Base64`;
  }
  return { user, credential: { iterations, salt, storedKey, serverKey } };
}

/** @returns why this is no user name that a client could give; null: it is one */
export function faultOfUser(user: string): string | null {
  if (prepare(user) !== user) return "the user name has characters that SASLprep does not allow";
  if (user.startsWith("#")) return "a user name cannot begin with #";
  return Buffer.byteLength(user) > USER_BYTES_MAX ? "the user name is too long" : null;
}

/** @returns null where this is not Base64 as an encoder writes it */
function readBase64(text: string): Buffer | null {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes : null;
}
