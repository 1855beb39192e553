/**
 * JSON Web Tokens as passwords, RFC 7519: the signature says who the client is, for as long as the
 * token lasts. A password that has not the form of a token is left to others. For mosquitto-go-auth
 * the user name may be the token.
 */

import { errors, type JWTPayload, jwtVerify } from "jose";
import { NOT_AUTHORIZED, QUOTA_EXCEEDED, SERVER_UNAVAILABLE } from "#assembly/spec";
import type { Log } from "../base/log.ts";
import type { JwtSettings } from "../config/settings.ts";
import type { AccessRules } from "./access-rules.ts";
import { addressKey } from "./address-key.ts";
import { BUSY, FairWork } from "./fair-queue.ts";
import type { Authenticator, ConnectRequest, Verdict } from "./identity.ts";
import { TOKENS_QUEUED_MAX, TOKENS_UNDERWAY_MAX } from "./limits.ts";
import { NAME_BYTES_MAX } from "./password-file.ts";
import { KeysUnavailable, openTokenKeys, type TokenKeys } from "./token-keys.ts";
import { readTokenRules } from "./token-rules.ts";

/** Three parts in Base64, of which the first begins as `{"` does. */
const TOKEN = /^eyJ[\w-]*\.[\w-]+\.[\w-]*$/;

export class TokenAuthenticator implements Authenticator {
  readonly #settings: JwtSettings;
  readonly #keys: TokenKeys;
  readonly #work = new FairWork(TOKENS_QUEUED_MAX, TOKENS_UNDERWAY_MAX);

  /** @throws StartError where the keys cannot be read */
  constructor(settings: JwtSettings, log: Log) {
    this.#settings = settings;
    this.#keys = openTokenKeys(settings, log);
  }

  authenticate(request: ConnectRequest): Promise<Verdict> | null {
    const { password, userName } = request;
    // As go-auth: then the password is not looked at.
    if (this.#settings.takenAsUserName && userName !== null && TOKEN.test(userName)) {
      return this.#verify(userName, request);
    }
    const token = password === null ? "" : Buffer.from(password).toString("latin1");
    if (!TOKEN.test(token)) return null;
    return this.#verify(token, request);
  }

  close(): void {
    this.#keys.close();
  }

  async #verify(token: string, request: ConnectRequest): Promise<Verdict> {
    const { audience, issuer, leewaySeconds } = this.#settings;
    const verify = () =>
      jwtVerify(token, this.#keys.find, {
        algorithms: [...this.#keys.algorithms],
        clockTolerance: leewaySeconds,
        ...(issuer !== null && { issuer }),
        ...(audience !== null && { audience }),
      });
    try {
      const address = addressKey(request.remoteAddress);
      const verified = await this.#work.run(address, verify, request.isGone);
      if (verified === BUSY) return { refused: QUOTA_EXCEEDED, reason: "too many tokens wait" };
      return this.#grant(verified.payload, request);
    } catch (error) {
      if (error instanceof KeysUnavailable) {
        return { refused: SERVER_UNAVAILABLE, reason: error.message };
      }
      // What it says of a token holds nothing of it but names of claims.
      const why = error instanceof errors.JOSEError ? error.message : "it cannot be read";
      return refuse(why);
    }
  }

  #grant(payload: JWTPayload, request: ConnectRequest): Verdict {
    const { aclClaim, clientIdClaim, disconnectsOnExpiry, leewaySeconds, userClaim } =
      this.#settings;
    const userName = claimOf(payload, userClaim);
    if (typeof userName !== "string" || userName === "") {
      return refuse(`its claim ${userClaim} is no user name`);
    }
    if (Buffer.byteLength(userName) > NAME_BYTES_MAX) return refuse("its user name is too long");
    // A string of MQTT [MQTT-1.5.4-1, -2].
    if (userName.includes("\0") || !userName.isWellFormed()) {
      return refuse("its user name is no string of MQTT");
    }
    const clientId = request.takesUserName ? userName : request.clientId;
    if (clientIdClaim !== null && claimOf(payload, clientIdClaim) !== clientId) {
      return refuse(`its claim ${clientIdClaim} is another Client Identifier`);
    }
    let rules: AccessRules | null = null;
    if (aclClaim !== null) {
      const read = readTokenRules(claimOf(payload, aclClaim), { clientId, userName });
      if (typeof read === "string") return refuse(`its claim ${aclClaim}: ${read}`);
      rules = read;
    }
    const granted = { clientId, userName, rules };
    const { exp } = payload;
    if (exp === undefined || !disconnectsOnExpiry) return { granted };
    return { granted, until: exp + leewaySeconds };
  }
}

/** A claim, also one inside another: `a.b`, where there is no claim of just that name. */
function claimOf(payload: JWTPayload, name: string): unknown {
  if (Object.hasOwn(payload, name)) return payload[name];
  let at: unknown = payload;
  for (const part of name.split(".")) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, part)) return undefined;
    at = (at as Record<string, unknown>)[part];
  }
  return at;
}

function refuse(why: string): Verdict {
  return { refused: NOT_AUTHORIZED, reason: `the token is not accepted: ${why}` };
}
