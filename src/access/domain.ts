/**
 * An access domain: who may connect by one set of access settings, which all listeners share or
 * each has of its own.
 *
 *   CONNECT ─▶ certificate ─▶ dynamic security ─▶ password file ─▶ token ─▶ HTTP ─▶ anonymous?
 *
 * Each authenticator grants, refuses, or passes on. Where all pass it on a client without a user
 * name may come in as anonymous; with one it is refused. Where nobody checks names, they are taken
 * as they are, as in mosquitto.
 */
import { BAD_USER_NAME_OR_PASSWORD, NOT_AUTHORIZED } from "#assembly/spec";
import { StartError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { AccessSettings, HttpAccessSettings, JwtSettings } from "../config/settings.ts";
import type { Authorizer } from "./access-rules.ts";
import { AclAuthorizer } from "./acl-authorizer.ts";
import { readAclFile } from "./acl-file.ts";
import { type DynamicSecurities, securedBy } from "./dynamic-securities.ts";
import { readGoAuthAclFile } from "./go-auth-acl-file.ts";
import { GoAuthAuthorizer, GoAuthFileAuthorizer } from "./go-auth-authorizer.ts";
import { HttpAuthorizer } from "./http-authorizer.ts";
import { HttpBackend } from "./http-backend.ts";
import type { Authenticator, ConnectRequest, Grounds, Identity, Verdict } from "./identity.ts";
import { checkPassword, PasswordAuthenticator } from "./password-authenticator.ts";
import { loadPasswordFile, type PasswordUsers } from "./password-file.ts";
import type { PasswordHasher } from "./password-hasher.ts";
import { loadScramFile, type ScramCredentials } from "./scram-credentials.ts";
import { TokenAuthenticator } from "./token-authenticator.ts";

/** What all domains of a broker share. */
export interface AccessParts {
  readonly hasher: PasswordHasher;
  readonly log: Log;
  /** They live longer than what is read of the settings; left out: nobody has any. */
  readonly securities?: DynamicSecurities;
}

/** What a listener says of those that come to it. */
export interface ListenerAccess {
  readonly allowAnonymous: boolean;
  readonly usesIdentityAsUserName: boolean;
  readonly usesSubjectAsUserName: boolean;
}

/** What is read from files, and replaced as a whole. */
export interface AccessFiles {
  readonly credentials: ScramCredentials | null;
  readonly authenticators: readonly Authenticator[];
  /** Of the password file. */
  readonly users?: PasswordUsers | null;
  /** null: everything is allowed. */
  readonly authorizer: Authorizer | null;
  /** Whether SUBSCRIBE is refused where not all that the filter matches may be read. */
  readonly deniesSubscribe: boolean;
  /** Who is asked over a network; null: nobody. */
  readonly tokens?: Remote<JwtSettings, TokenAuthenticator> | null;
  readonly http?: Remote<HttpAccessSettings, HttpBackend> | null;
}

/** One that keeps what it learned over a reload, if its settings stay the same. */
interface Remote<Settings, Kind extends Authenticator> {
  readonly settings: Settings;
  readonly authenticator: Kind;
}

const UNASKED: Grounds = { kind: "unasked" };

export class AccessDomain {
  readonly #parts: AccessParts;
  #files: AccessFiles;
  #edition = {};

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

  /** Another object once reload() was called: verdicts of before are worth nothing. */
  get edition(): object {
    return this.#edition;
  }

  /** Whether who was let in on these grounds would be now. */
  holds(
    grounds: Grounds,
    client: Pick<Identity, "clientId" | "userName">,
    { allowAnonymous }: ListenerAccess,
  ): boolean {
    const { authenticators, credentials, users } = this.#files;
    const { userName } = client;
    if (grounds.kind === "scram") return credentials?.has(userName, grounds.credential) ?? false;
    if (userName === "" || this.#isUnchecked) return allowAnonymous;
    if (grounds.kind === "unasked" || users?.get(userName) !== grounds.stored) return false;
    return !authenticators.some((one) => one.decides?.(client));
  }

  /**
   * Decides who a client is.
   *
   * @returns at once, where nothing has to be computed or asked for
   */
  authenticate(request: ConnectRequest, listener: ListenerAccess): Verdict | Promise<Verdict> {
    if (listener.usesIdentityAsUserName || listener.usesSubjectAsUserName) {
      return byCertificate(request, listener.usesSubjectAsUserName);
    }
    return this.#ask(request, 0, listener);
  }

  /**
   * Reads all files again, for settings that may be others. Where one is bad the old ones stay.
   *
   * @returns why they stay, a sentence each; empty: they do not
   */
  reload(settings: AccessSettings): readonly string[] {
    this.#edition = {};
    try {
      const before = this.#files;
      this.#files = loadAccessFiles(settings, this.#parts, before);
      for (const one of before.authenticators) {
        if (!this.#files.authenticators.includes(one)) one.close?.();
      }
      this.#parts.hasher.forget();
      this.#files.http?.authenticator.forget();
      return [];
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      return [error.message];
    }
  }

  close(): void {
    for (const one of this.#files.authenticators) one.close?.();
  }

  #ask(
    request: ConnectRequest,
    from: number,
    listener: ListenerAccess,
  ): Verdict | Promise<Verdict> {
    const { authenticators } = this.#files;
    for (let index = from; index < authenticators.length; index++) {
      const verdict = authenticators[index]?.authenticate(request) ?? null;
      if (verdict instanceof Promise) {
        return verdict.then((late) => late ?? this.#ask(request, index + 1, listener));
      }
      if (verdict !== null) return verdict;
    }
    return this.#unknown(request, listener.allowAnonymous);
  }

  /** Whether names are taken as they are. */
  get #isUnchecked(): boolean {
    const { authenticators, credentials } = this.#files;
    return authenticators.length === 0 && credentials === null;
  }

  /** Nobody knows the client. */
  #unknown(request: ConnectRequest, allowAnonymous: boolean): Verdict | Promise<Verdict> {
    const { authenticators } = this.#files;
    const { clientId, userName, password } = request;
    if (allowAnonymous && (userName === null || this.#isUnchecked)) {
      return { granted: { clientId, userName: userName ?? "", rules: null }, grounds: UNASKED };
    }
    if (userName === null) return refuse("anonymous is not allowed");
    if (this.#isUnchecked) return refuse("no user is known, and anonymous is not allowed");
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
 * @param before  what was read until now
 * @throws StartError where one cannot be read or has a bad line
 */
export function loadAccessFiles(
  settings: AccessSettings,
  { hasher, log, securities }: AccessParts,
  before: AccessFiles | null = null,
): AccessFiles {
  const warn = (sentence: string): void => log.warn(sentence);
  const fileAuthorizer = (path: string): Authorizer =>
    settings.aclIsGoAuths
      ? new GoAuthFileAuthorizer(readGoAuthAclFile(path, users, warn))
      : new AclAuthorizer(readAclFile(path, warn));
  const { aclFile, passwordFile, scramFile } = settings;
  const security = securities?.of(settings) ?? null;
  const users = passwordFile === null ? null : loadPasswordFile(passwordFile, warn);
  const credentials = scramFile === null ? null : loadScramFile(scramFile, warn);
  const tokens = remoteOf(
    settings.jwt,
    // A file may have changed; what is fetched is fetched again by itself.
    settings.jwt?.jwks?.startsWith("http") ? before?.tokens : null,
    (jwt) => new TokenAuthenticator(jwt, log),
  );
  const http = remoteOf(settings.http, before?.http, (backend) => new HttpBackend(backend, log));
  const authenticators: Authenticator[] = [];
  // As in mosquitto: a password that was changed or disabled there is not good for an old file's.
  if (security !== null) authenticators.push(security);
  if (users !== null) authenticators.push(new PasswordAuthenticator(users, hasher));
  if (tokens !== null) authenticators.push(tokens.authenticator);
  if (http !== null) authenticators.push(http.authenticator);
  const file = aclFile === null ? null : fileAuthorizer(aclFile);
  const asked =
    http === null
      ? file
      : new HttpAuthorizer(http.authenticator, file, http.settings.aclCacheSeconds);
  const mosquittos = settings.aclIsGoAuths ? null : file;
  const others = settings.usesGoAuth
    ? new GoAuthAuthorizer(asked, mosquittos, settings.deniesWildcardNames)
    : asked;
  const authorizer = security === null ? others : securedBy(security, others, mosquittos);
  const deniesSubscribe = settings.aclDeniesSubscribe;
  return { credentials, authenticators, users, authorizer, deniesSubscribe, tokens, http };
}

/** The one of before, where nothing of its settings has changed. */
function remoteOf<Settings, Kind extends Authenticator>(
  settings: Settings | null,
  before: Remote<Settings, Kind> | null | undefined,
  open: (settings: Settings) => Kind,
): Remote<Settings, Kind> | null {
  if (settings === null) return null;
  const isSame = JSON.stringify(before?.settings) === JSON.stringify(settings);
  return isSame && before ? before : { settings, authenticator: open(settings) };
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
