/**
 * What a password file, or another list of users, keeps of a password: enough to check one, from
 * which none can be read.
 *
 *   $6$salt$hash                                 SHA-512(password, salt), one round
 *   $7$iterations$salt$hash                      PBKDF2 with HMAC-SHA-512
 *   $argon2id$v=19$m=KiB,t=passes,p=lanes$salt$hash
 *   PBKDF2$digest$iterations$salt$hash           as the files of go-auth have it
 *   $2b$cost$…                                   bcrypt, likewise
 *
 * Salts and hashes are Base64. mosquitto's tools write the first three; go-auth's pads none of its
 * argon2id.
 */
import { createHash, pbkdf2, pbkdf2Sync, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";

/**
 * The text of a hash, without a fault.
 *
 * As such it is kept: a file may have a million, and what the collector has to walk through costs
 * messages their latency.
 */
export type StoredPassword = string;

/** What the text of a hash says. */
export type PasswordHash =
  | { readonly kind: "sha512"; readonly salt: Buffer; readonly hash: Buffer }
  | {
      readonly kind: "pbkdf2";
      readonly digest: PbkdfDigest;
      readonly iterations: number;
      readonly salt: Buffer;
      readonly hash: Buffer;
    }
  | {
      readonly kind: "argon2id";
      readonly kibibytes: number;
      readonly passes: number;
      readonly lanes: number;
      readonly salt: Buffer;
      readonly hash: Buffer;
    }
  | { readonly kind: "bcrypt"; readonly text: string };

export type PbkdfDigest = "sha1" | "sha256" | "sha512";

/** What `holdfast passwd` can write, by the names of mosquitto_passwd's `-H`. */
export type HashKind = "sha512" | "sha512-pbkdf2" | "argon2id";

/** Bytes of a SHA-512 digest, and so of the hashes of `$6$` and `$7$`. */
const SHA512_BYTES = 64;
/** As mosquitto 2.0 writes it; 2.1 reads any, 2.0 no other. */
export const SALT_BYTES = 12;
/** Longest salt or hash that is taken from a file. */
const FIELD_BYTES_MAX = 1024;

/** As mosquitto 2.1 writes it. */
export const ITERATIONS_DEFAULT = 1000;
/** A check at this bound takes some ten seconds: more is a mistake. */
export const ITERATIONS_MAX = 10_000_000;

/** One pass over 46 MiB, as mosquitto 2.1 writes it. */
export const ARGON2_KIBIBYTES = 47_104;
/** Bounds of what a file may ask of a check. */
const ARGON2_KIBIBYTES_MAX = 1024 * 1024;
const ARGON2_PASSES_MAX = 64;
const ARGON2_LANES_MAX = 64;
/** bcrypt: 2 to this power rounds; 16 takes some seconds. */
const BCRYPT_COST_MAX = 16;

const derive = promisify(pbkdf2);

/**
 * Reads the text of a hash.
 *
 * @returns what was read, or why it is none, to be put behind the name of its place
 */
export function readPasswordHash(text: string): PasswordHash | string {
  if (text.startsWith("$6$")) return readSha512(text.slice(3).split("$"));
  if (text.startsWith("$7$")) return readPbkdf2("sha512", text.slice(3).split("$"));
  if (text.startsWith("$argon2id$")) return readArgon2(text);
  const [, digest = "", rest = ""] = /^PBKDF2\$(sha1|sha256|sha512)\$(.*)$/.exec(text) ?? [];
  if (digest !== "") return readPbkdf2(digest as PbkdfDigest, rest.split("$"));
  const [, cost = ""] = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/.exec(text) ?? [];
  if (cost !== "") {
    return Number(cost) >= 4 && Number(cost) <= BCRYPT_COST_MAX
      ? { kind: "bcrypt", text }
      : `the cost of a bcrypt hash must be 4 to ${BCRYPT_COST_MAX}`;
  }
  return "expected a hash that begins with $7$, $6$ or $argon2id$; holdfast passwd writes it";
}

function readSha512(fields: readonly string[]): PasswordHash | string {
  const [salt, hash] = fields.map(readBase64);
  if (fields.length !== 2 || !salt || hash?.length !== SHA512_BYTES) {
    return "expected $6$salt$hash, both in Base64";
  }
  return { kind: "sha512", salt, hash };
}

function readPbkdf2(digest: PbkdfDigest, fields: readonly string[]): PasswordHash | string {
  const [count = "", ...texts] = fields;
  const [salt, hash] = texts.map(readBase64);
  if (fields.length !== 3 || !salt || !hash || hash.length === 0) {
    return "expected $7$iterations$salt$hash, salt and hash in Base64";
  }
  const iterations = /^\d{1,9}$/.test(count) ? Number(count) : 0;
  if (iterations < 1 || iterations > ITERATIONS_MAX) {
    return `the iterations must be 1 to ${ITERATIONS_MAX}`;
  }
  return { kind: "pbkdf2", digest, iterations, salt, hash };
}

const ARGON2 = /^\$argon2id\$v=19\$m=(\d{1,8}),t=(\d{1,4}),p=(\d{1,4})\$([^$]+)\$([^$]+)$/;

function readArgon2(text: string): PasswordHash | string {
  const [, memory, time, parallel, saltText = "", hashText = ""] = ARGON2.exec(text) ?? [];
  const [kibibytes, passes, lanes] = [memory, time, parallel].map(Number) as [
    number,
    number,
    number,
  ];
  const [salt, hash] = [saltText, hashText].map(readBase64);
  if (!salt || salt.length < 8 || !hash || hash.length < 4) {
    return "expected $argon2id$v=19$m=KiB,t=passes,p=lanes$salt$hash";
  }
  const isSmall = kibibytes < 8 * lanes || passes < 1 || lanes < 1;
  const isLarge =
    kibibytes > ARGON2_KIBIBYTES_MAX || passes > ARGON2_PASSES_MAX || lanes > ARGON2_LANES_MAX;
  if (isSmall || isLarge) {
    return (
      `m must be 8p to ${ARGON2_KIBIBYTES_MAX}, t 1 to ${ARGON2_PASSES_MAX}, ` +
      `p 1 to ${ARGON2_LANES_MAX}`
    );
  }
  return { kind: "argon2id", kibibytes, passes, lanes, salt, hash };
}

/** @returns null where this is not Base64; the padding may be left out */
function readBase64(text: string): Buffer | null {
  const bytes = Buffer.from(text, "base64");
  const isLong = bytes.length > FIELD_BYTES_MAX;
  return !isLong && bytes.toString("base64").replace(/=+$/, "") === text.replace(/={1,2}$/, "")
    ? bytes
    : null;
}

/** What a text says that was read before. */
export function storedHash(stored: StoredPassword): PasswordHash {
  const read = readPasswordHash(stored);
  if (typeof read === "string") throw new Error(read);
  return read;
}

/** The text of a hash, as a file has it. */
export function passwordHashText(stored: PasswordHash): StoredPassword {
  if (stored.kind === "bcrypt") return stored.text;
  const [salt, hash] = [stored.salt, stored.hash].map((bytes) => bytes.toString("base64"));
  if (stored.kind === "sha512") return `$6$${salt}$${hash}`;
  if (stored.kind === "argon2id") {
    const { kibibytes, passes, lanes } = stored;
    const bare = [salt, hash].map((text) => text?.replace(/=+$/, "")).join("$");
    return `$argon2id$v=19$m=${kibibytes},t=${passes},p=${lanes}$${bare}`;
  }
  const { digest, iterations } = stored;
  const head = digest === "sha512" ? "$7$" : `PBKDF2$${digest}$`;
  return `${head}${iterations}$${salt}$${hash}`;
}

/** Hash of the kind `$6$`: cheap enough for the event loop. */
export function sha512Of(password: Uint8Array, salt: Uint8Array): Buffer {
  return createHash("sha512").update(password).update(salt).digest();
}

/** Hash of the kind `$7$`: a millisecond for 1000 iterations. */
export function pbkdf2Of(
  password: Uint8Array,
  { digest, iterations, salt, hash }: Extract<PasswordHash, { kind: "pbkdf2" }>,
): Buffer {
  return pbkdf2Sync(password, salt, iterations, hash.length, digest);
}

/** Whether two hashes are the same; takes as long whether or not they are. */
export function isSameHash(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

/**
 * A new stored password.
 *
 * @param iterations  of PBKDF2; the other kinds have none
 */
export async function hashPassword(
  password: Uint8Array,
  kind: HashKind,
  iterations = ITERATIONS_DEFAULT,
): Promise<StoredPassword> {
  const salt = randomBytes(kind === "argon2id" ? SHA512_BYTES : SALT_BYTES);
  if (kind === "sha512") {
    return passwordHashText({ kind, salt, hash: sha512Of(password, salt) });
  }
  if (kind === "sha512-pbkdf2") {
    const hash = await derive(password, salt, iterations, SHA512_BYTES, "sha512");
    return passwordHashText({ kind: "pbkdf2", digest: "sha512", iterations, salt, hash });
  }
  const { argon2id } = await import("hash-wasm");
  const hash = await argon2id({
    password,
    salt,
    memorySize: ARGON2_KIBIBYTES,
    iterations: 1,
    parallelism: 1,
    hashLength: SHA512_BYTES,
    outputType: "binary",
  });
  return passwordHashText({
    kind: "argon2id",
    kibibytes: ARGON2_KIBIBYTES,
    passes: 1,
    lanes: 1,
    salt,
    hash: Buffer.from(hash),
  });
}
