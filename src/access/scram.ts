/**
 * A server's side of one SCRAM-SHA-256 exchange, RFC 5802 and 7677, without channel binding.
 *
 *   client  n,,n=user,r=nonce                          client-first
 *   server  r=nonce+ours,s=salt,i=iterations           server-first
 *   client  c=biws,r=nonce+ours,p=proof                client-final
 *   server  v=signature                                server-final
 *
 * The broker computes four digests; the costly part is the client's, and that of who writes the
 * credentials file.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { prepare } from "./saslprep.ts";
import type { ScramCredentials } from "./scram-credentials.ts";
import { hmac, type ScramCredential, sha256 } from "./scram-file.ts";

/** Longest message of a client that is looked at: a nonce, a name, a proof. */
export const AUTHENTICATION_DATA_BYTES_MAX = 4096;

/** Bytes of our half of the nonce: 24 characters. */
const NONCE_BYTES = 18;

/** What the exchange has come to; `data` is what the client is to be told. */
export type ScramStep =
  | { readonly kind: "continue"; readonly data: Buffer }
  | {
      readonly kind: "success";
      readonly data: Buffer;
      readonly user: string;
      /** What it was proven by. */
      readonly credential: ScramCredential;
    }
  | { readonly kind: "failure"; readonly reason: string };

interface Begun {
  readonly user: string | null;
  readonly credential: ScramCredential;
  /** Client-first without its header, and server-first: what both sides sign. */
  readonly signed: string;
  readonly nonce: string;
  /** `c=` of client-final: the header of client-first in Base64. */
  readonly binding: string;
}

const CLIENT_FIRST =
  /^((?:n|y|p=[A-Za-z0-9.-]+),(?:a=([^,]*))?,)(n=([^,]+),r=([!-+\--~]+)(?:,.*)?)$/su;
const CLIENT_FINAL = /^c=([A-Za-z0-9+/=]*),r=([^,]*)((?:,[A-Za-z]=[^,]*)*),p=([A-Za-z0-9+/=]+)$/u;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class ScramExchange {
  readonly #credentials: ScramCredentials;
  readonly #nonce: string;
  #begun: Begun | null = null;
  #isOver = false;

  /** @param nonce  our half, to be given only where an exchange is to be repeated */
  constructor(credentials: ScramCredentials, nonce = randomBytes(NONCE_BYTES).toString("base64")) {
    this.#credentials = credentials;
    this.#nonce = nonce;
  }

  /** Takes the client's next message; at most two make an exchange. */
  next(data: Uint8Array): ScramStep {
    const text = data.length > AUTHENTICATION_DATA_BYTES_MAX ? null : decode(data);
    if (text === null) return this.#fail("the Authentication Data is too long, or not UTF-8");
    if (this.#isOver) return this.#fail("the exchange is over");
    return this.#begun === null ? this.#first(text) : this.#final(text, this.#begun);
  }

  #fail(reason: string): ScramStep {
    this.#isOver = true;
    return { kind: "failure", reason };
  }

  #first(text: string): ScramStep {
    const [, header = "", asName, bare = "", name = "", nonce = ""] = CLIENT_FIRST.exec(text) ?? [];
    if (header === "") return this.#fail("the client-first message is malformed");
    if (header.startsWith("p")) return this.#fail("channel binding is not supported");
    const written = readName(name);
    // Nobody acts for somebody else.
    if (asName !== undefined && readName(asName) !== written) {
      return this.#fail("the authorization identity is another than the user");
    }
    const user = written === null ? null : prepare(written);
    const credential = this.#credentials.find(user);
    const whole = nonce + this.#nonce;
    const { salt, iterations } = credential;
    const answer = `r=${whole},s=${salt.toString("base64")},i=${iterations}`;
    const binding = Buffer.from(header).toString("base64");
    this.#begun = { user, credential, signed: `${bare},${answer}`, nonce: whole, binding };
    return { kind: "continue", data: Buffer.from(answer) };
  }

  #final(text: string, { user, credential, signed, nonce, binding }: Begun): ScramStep {
    const [, channel, repeated, , proofText = ""] = CLIENT_FINAL.exec(text) ?? [];
    if (channel !== binding || repeated !== nonce) {
      return this.#fail("the client-final message does not belong to this exchange");
    }
    const withoutProof = text.slice(0, text.lastIndexOf(",p="));
    const proof = Buffer.from(proofText, "base64");
    const message = `${signed},${withoutProof}`;
    const signature = hmac(credential.storedKey, message);
    if (proof.length !== signature.length) return this.#fail("the proof has another length");
    const clientKey = Buffer.from(signature.map((byte, index) => byte ^ (proof[index] ?? 0)));
    const isProven = timingSafeEqual(sha256(clientKey), credential.storedKey);
    if (!isProven || user === null) return this.#fail("no such user, or another password");
    this.#isOver = true;
    const verifier = hmac(credential.serverKey, message).toString("base64");
    return { kind: "success", data: Buffer.from(`v=${verifier}`), user, credential };
  }
}

function decode(data: Uint8Array): string | null {
  try {
    return decoder.decode(data);
  } catch {
    return null;
  }
}

/** `=2C` and `=3D` stand for a comma and an equals sign; any other use of `=` is wrong. */
function readName(written: string): string | null {
  if (/=(?!2C|3D)/u.test(written)) return null;
  return written.replaceAll("=2C", ",").replaceAll("=3D", "=");
}
