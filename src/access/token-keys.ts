/**
 * The keys that check the signatures of JSON Web Tokens, and the algorithms that go with them: a
 * key of one kind never serves those of another, so that a public key is no secret to sign with.
 *
 *   jwt_key_file   PEM of a public key or certificate, a private key is refused; or else a secret
 *   jwt_jwks       a JSON Web Key Set, RFC 7517: a file, or a URL that is fetched again at times
 */
import { createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { createLocalJWKSet, type JSONWebKeySet, type JWTVerifyGetKey } from "jose";
import { StartError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { JwtSettings } from "../config/settings.ts";
import {
  KEY_SET_BYTES_MAX,
  KEY_SET_COOLDOWN_SECONDS,
  KEY_SET_REFRESH_SECONDS,
  KEY_SET_RETRY_SECONDS,
  KEY_SET_SECONDS_MAX,
} from "./limits.ts";
import { readSecretFile } from "./password-file.ts";

/** RFC 7518 §3.2: an HMAC key is at least as long as its digest. */
const SECRET_BYTES_MIN = 32;

const BY_SECRET = ["HS256", "HS384", "HS512"];
const BY_PUBLIC_KEY = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  ...["ES256", "ES384", "ES512", "EdDSA"],
];

/** Algorithms by the kind of a public key, and by its curve. */
const BY_KIND: Readonly<Record<string, readonly string[]>> = {
  rsa: BY_PUBLIC_KEY.slice(0, 6),
  "rsa-pss": BY_PUBLIC_KEY.slice(3, 6),
  "ec prime256v1": ["ES256"],
  "ec secp384r1": ["ES384"],
  "ec secp521r1": ["ES512"],
  ed25519: ["EdDSA"],
};

/** Where a token's key comes from. */
export interface TokenKeys {
  /** That a token may be signed with: never `none`. */
  readonly algorithms: readonly string[];
  /** The key that a token names, or the only one. */
  readonly find: JWTVerifyGetKey;
  close(): void;
}

/**
 * Reads the keys that settings name; those of a URL are fetched later.
 *
 * @throws StartError where there is none, or algorithms are asked for that do not go with it
 */
export function openTokenKeys(settings: JwtSettings, log: Log): TokenKeys {
  const { keyFile, jwks } = settings;
  if (keyFile !== null) return ofKeyFile(keyFile, settings.algorithms);
  const algorithms = chosen(settings.algorithms, BY_PUBLIC_KEY, ["RS256", "ES256"], "a key set");
  const place = jwks ?? "";
  if (/^https?:\/\//.test(place)) return new FetchedKeys(checkedUrl(place), algorithms, log);
  const { content } = readSecretFile("jwt_jwks", place);
  const set = readKeySet(content.toString("utf8"));
  if (typeof set === "string") throw new StartError(`jwt_jwks ${place}: ${set}`);
  return { algorithms, find: createLocalJWKSet(set), close: () => undefined };
}

function ofKeyFile(path: string, asked: readonly string[]): TokenKeys {
  const { content } = readSecretFile("jwt_key_file", path);
  const text = content.toString("latin1");
  if (!text.includes("-----BEGIN ")) {
    // An editor ends the last line; it is not part of a secret.
    const secret = content.subarray(0, text.replace(/\r?\n$/, "").length);
    if (secret.length < SECRET_BYTES_MIN) {
      throw new StartError(`jwt_key_file ${path}: a secret needs ${SECRET_BYTES_MIN} bytes`);
    }
    const algorithms = chosen(asked, BY_SECRET, ["HS256"], "a secret");
    return { algorithms, find: async () => secret, close: () => undefined };
  }
  const key = publicKeyOf(text);
  if (key === null) {
    throw new StartError(`jwt_key_file ${path}: expected the PEM of a public key or certificate`);
  }
  const kind = [key.asymmetricKeyType, key.asymmetricKeyDetails?.namedCurve].join(" ").trim();
  const possible = BY_KIND[kind];
  if (possible === undefined) {
    throw new StartError(`jwt_key_file ${path}: no algorithm of tokens uses keys of kind ${kind}`);
  }
  const usual = possible.slice(0, 1);
  const algorithms = chosen(asked, possible, usual, `a key of kind ${kind}`);
  return { algorithms, find: async () => key, close: () => undefined };
}

function publicKeyOf(pem: string): KeyObject | null {
  // What signs tokens has no business on a broker.
  if (pem.includes("PRIVATE KEY-----")) return null;
  try {
    const isCertificate = pem.includes("-----BEGIN CERTIFICATE-----");
    return isCertificate ? new X509Certificate(pem).publicKey : createPublicKey(pem);
  } catch {
    return null;
  }
}

/** @returns the algorithms asked for, or the usual ones */
function chosen(
  asked: readonly string[],
  possible: readonly string[],
  usual: readonly string[],
  what: string,
): readonly string[] {
  if (asked.length === 0) return usual;
  const wrong = asked.find((name) => !possible.includes(name));
  if (wrong === undefined) return asked;
  throw new StartError(`jwt_algorithms: ${wrong} does not go with ${what}: ${possible.join(", ")}`);
}

/** @throws StartError: keys that come over a network in plain could be anybody's */
function checkedUrl(place: string): URL {
  const url = URL.parse(place);
  if (url === null) throw new StartError(`jwt_jwks ${place}: expected a URL`);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const isHere =
    host === "localhost" || host === "::1" || (isIP(host) === 4 && /^127\./.test(host));
  if (url.protocol !== "https:" && !isHere) {
    throw new StartError(`jwt_jwks ${place}: expected https, as anybody in between could sign`);
  }
  return url;
}

/** @returns the public keys of the set, or why it is none */
function readKeySet(text: string): JSONWebKeySet | string {
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    return "expected JSON";
  }
  const keys = typeof read === "object" && read !== null && "keys" in read ? read.keys : null;
  if (!Array.isArray(keys)) return 'expected {"keys": […]}';
  // A secret in a key set would be one that everybody has.
  const known = keys.filter(
    (key: unknown) => typeof key === "object" && key !== null && "kty" in key && key.kty !== "oct",
  );
  return known.length === 0 ? "there is no public key in it" : { keys: known };
}

/** A key set that is fetched; while it cannot be, the last one counts. */
class FetchedKeys implements TokenKeys {
  readonly algorithms: readonly string[];
  readonly #url: URL;
  readonly #log: Log;
  readonly #timer: NodeJS.Timeout;
  #set: ReturnType<typeof createLocalJWKSet> | null = null;
  /** The fetch under way. */
  #fetching: Promise<void> | null = null;
  /** Milliseconds of performance.now(). */
  #fetchedMs = Number.NEGATIVE_INFINITY;
  #isDown = false;

  constructor(url: URL, algorithms: readonly string[], log: Log) {
    this.#url = url;
    this.algorithms = algorithms;
    this.#log = log;
    this.#timer = setInterval(() => this.#fetch(), KEY_SET_REFRESH_SECONDS * 1000);
    this.#timer.unref();
    this.#fetch();
  }

  readonly find: JWTVerifyGetKey = async (header, token) => {
    const age = performance.now() - this.#fetchedMs;
    if (this.#set === null && age > 1000 * KEY_SET_RETRY_SECONDS) await this.#fetch();
    else await this.#fetching;
    try {
      return await this.#lookUp(header, token);
    } catch (error) {
      // Perhaps a new key: its set is looked at again, but not for each token that names none.
      if (this.#set === null || age < KEY_SET_COOLDOWN_SECONDS * 1000) throw error;
      await this.#fetch();
      return this.#lookUp(header, token);
    }
  };

  async #lookUp(...[header, token]: Parameters<JWTVerifyGetKey>) {
    if (this.#set === null) throw new KeysUnavailable(`${this.#url} has not answered yet`);
    return this.#set(header, token);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #fetch(): Promise<void> {
    this.#fetching ??= this.#fetchOnce().finally(() => {
      this.#fetching = null;
    });
    return this.#fetching;
  }

  async #fetchOnce(): Promise<void> {
    this.#fetchedMs = performance.now();
    const set = await fetchText(this.#url).then(readKeySet, (error: unknown) =>
      error instanceof Error ? error.message : String(error),
    );
    if (typeof set !== "string") {
      this.#set = createLocalJWKSet(set);
      if (this.#isDown) this.#log.notice(`jwt_jwks ${this.#url} answers again`);
      this.#isDown = false;
      return;
    }
    if (this.#isDown) return;
    this.#isDown = true;
    const rest = this.#set === null ? "no token is accepted" : "the keys of before count on";
    this.#log.error(`jwt_jwks ${this.#url} cannot be fetched: ${set}; ${rest}`);
  }
}

/** There are no keys yet to check anything with. */
export class KeysUnavailable extends Error {
  override readonly name = "KeysUnavailable";
}

async function fetchText(url: URL): Promise<string> {
  const signal = AbortSignal.timeout(KEY_SET_SECONDS_MAX * 1000);
  const response = await fetch(url, { signal, redirect: "error" });
  if (!response.ok || response.body === null) throw new Error(`status ${response.status}`);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > KEY_SET_BYTES_MAX) throw new Error(`more than ${KEY_SET_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
