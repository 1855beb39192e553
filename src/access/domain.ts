/**
 * An access domain: who may connect by one set of access settings, which all listeners share or
 * each has of its own.
 *
 *   CONNECT ─▶ certificate ─▶ password file ─▶ … ─▶ anonymous?
 *
 * Each authenticator grants, refuses, or passes on. Where all pass it on a client without a user
 * name may come in as anonymous; with one it is refused. Where nobody checks names, they are taken
 * as they are, as in mosquitto.
 */
import { BAD_USER_NAME_OR_PASSWORD, NOT_AUTHORIZED } from "#assembly/spec";
import { StartError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { AccessSettings, TlsSettings } from "../config/settings.ts";
import type { Authorizer } from "./access-rules.ts";
import { AclAuthorizer } from "./acl-authorizer.ts";
import { readAclFile } from "./acl-file.ts";
import type { Authenticator, ConnectRequest, Verdict } from "./identity.ts";
import { checkPassword, PasswordAuthenticator } from "./password-authenticator.ts";
import { loadPasswordFile } from "./password-file.ts";
import type { PasswordHasher } from "./password-hasher.ts";
import { loadScramFile, type ScramCredentials } from "./scram-credentials.ts";

/** What all domains of a broker share. */
export interface AccessParts {
  readonly hasher: PasswordHasher;
  readonly log: Log;
}

/** What a listener says of those that come to it. */
export interface ListenerAccess {
  readonly allowAnonymous: boolean;
  readonly tls: TlsSettings | null;
}

/** What is read from files, and replaced as a whole. */
export interface AccessFiles {
  readonly credentials: ScramCredentials | null;
  readonly authenticators: readonly Authenticator[];
  /** null: everything is allowed. */
  readonly authorizer: Authorizer | null;
  /** Whether SUBSCRIBE is refused where not all that the filter matches may be read. */
  readonly deniesSubscribe: boolean;
}

export class AccessDomain {
  readonly #parts: AccessParts;
  #files: AccessFiles;

  constructor(files: AccessFiles, parts: AccessParts) {
    this.#parts = parts;
    this.#files = files;
  }

  /** Who may authenticate with SCRAM; null: nobody. */
  get credentials(): ScramCredentials | null {
    return this.#files.credentials;
  }

  /** Who decides what a client may do; null: everything is allowed. */
  get authorizer(): Authorizer | null {
    return this.#files.authorizer;
  }

  get deniesSubscribe(): boolean {
    return this.#files.deniesSubscribe;
  }

  /**
   * Decides who a client is.
   *
   * @returns at once, where nothing has to be computed or asked for
   */
  authenticate(request: ConnectRequest, listener: ListenerAccess): Verdict | Promise<Verdict> {
    const { tls } = listener;
    if (tls?.usesIdentityAsUserName || tls?.usesSubjectAsUserName) {
      return byCertificate(request, tls.usesSubjectAsUserName);
    }
    return this.#ask(request, 0, listener.allowAnonymous);
  }

  /**
   * Reads all files again, for settings that may be others. Where one is bad the old ones stay.
   *
   * @returns why they stay, a sentence each; empty: they do not
   */
  reload(settings: AccessSettings): readonly string[] {
    try {
      this.#files = loadAccessFiles(settings, this.#parts);
      this.#parts.hasher.forget();
      return [];
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      return [error.message];
    }
  }

  #ask(request: ConnectRequest, from: number, allowAnonymous: boolean): Verdict | Promise<Verdict> {
    const { authenticators } = this.#files;
    for (let index = from; index < authenticators.length; index++) {
      const verdict = authenticators[index]?.authenticate(request) ?? null;
      if (verdict instanceof Promise) {
        return verdict.then((late) => late ?? this.#ask(request, index + 1, allowAnonymous));
      }
      if (verdict !== null) return verdict;
    }
    return this.#unknown(request, allowAnonymous);
  }

  /** Nobody knows the client. */
  #unknown(request: ConnectRequest, allowAnonymous: boolean): Verdict | Promise<Verdict> {
    const { authenticators, credentials } = this.#files;
    const { clientId, userName, password } = request;
    const isUnchecked = authenticators.length === 0 && credentials === null;
    if (allowAnonymous && (userName === null || isUnchecked)) {
      return { granted: { clientId, userName: userName ?? "", rules: null } };
    }
    if (userName === null) return refuse("anonymous is not allowed");
    if (isUnchecked) return refuse("no user is known, and anonymous is not allowed");
    const refusal = refuse(`unknown user ${userName}`);
    const decoy = authenticators.map((one) => one.decoy?.() ?? null).find((one) => one !== null);
    if (decoy === undefined || password === null) return refusal;
    const checked = checkPassword(this.#parts.hasher, decoy, request);
    return checked instanceof Promise ? checked.then(() => refusal) : refusal;
  }
}

/**
 * Reads the files that settings name.
 *
 * @throws StartError where one cannot be read or has a bad line
 */
export function loadAccessFiles(
  settings: AccessSettings,
  { hasher, log }: AccessParts,
): AccessFiles {
  const warn = (sentence: string): void => log.warn(sentence);
  const authenticators: Authenticator[] = [];
  const { aclFile, aclDeniesSubscribe, passwordFile, scramFile } = settings;
  if (passwordFile !== null) {
    authenticators.push(new PasswordAuthenticator(loadPasswordFile(passwordFile, warn), hasher));
  }
  return {
    credentials: scramFile === null ? null : loadScramFile(scramFile, warn),
    authenticators,
    authorizer: aclFile === null ? null : new AclAuthorizer(readAclFile(aclFile, warn)),
    deniesSubscribe: aclDeniesSubscribe,
  };
}

/** The user name is what the TLS handshake proved: no password is asked for. */
function byCertificate({ clientId, certificate }: ConnectRequest, takesSubject: boolean): Verdict {
  const { commonName = "", subject = "", pskIdentity = null } = certificate ?? {};
  const userName = pskIdentity ?? (takesSubject ? subject : commonName);
  if (userName !== "") return { granted: { clientId, userName, rules: null } };
  const what = takesSubject ? "a Subject" : "a Common Name";
  return { refused: BAD_USER_NAME_OR_PASSWORD, reason: `no certificate with ${what}` };
}

function refuse(reason: string): Verdict {
  return { refused: NOT_AUTHORIZED, reason };
}
