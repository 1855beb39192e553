/**
 * Who asks to be let in, and who it turned out to be.
 */
import type { PeerIdentity } from "../engine/wire.ts";
import type { AccessRules } from "./access-rules.ts";
import type { StoredPassword } from "./password-hash.ts";
import type { ScramCredential } from "./scram-file.ts";

export type { PeerIdentity };

/** What is known of a client before it is known who it is. */
export interface ConnectRequest {
  readonly clientId: string;
  /** null: CONNECT has none. */
  readonly userName: string | null;
  readonly password: Uint8Array | null;
  /** Protocol version: 3, 4, 5. */
  readonly version: number;
  readonly remoteAddress: string;
  readonly certificate: PeerIdentity | null;
  /** Whether its user name will be its Client Identifier, too. */
  readonly takesUserName: boolean;
  /** Whether it waits no longer for an answer; left out: it does. */
  readonly isGone?: () => boolean;
}

export interface Identity {
  readonly clientId: string;
  /** "": anonymous. */
  readonly userName: string;
  /**
   * What it may do, where its authentication brought that along (claims of a token, a superuser);
   * null: the authorizer decides.
   */
  readonly rules: AccessRules | null;
}

/**
 * Whether it could be more than itself where its names become a part of Topic Filters.
 */
export function hasWildcardInNames({
  clientId,
  userName,
}: Pick<Identity, "clientId" | "userName">): boolean {
  return /[+#]/.test(userName) || /[+#]/.test(clientId);
}

/** Why a client was let in, as far as a file or an option can take it back. */
export type Grounds =
  /** The password file has this of it. */
  | { readonly kind: "password"; readonly stored: StoredPassword }
  /** The SCRAM file has this of it. */
  | { readonly kind: "scram"; readonly credential: ScramCredential }
  /** Nobody was asked: it has no name, or names were not checked. */
  | { readonly kind: "unasked" };

/** `refused` is a Reason Code, `reason` a sentence for the log. */
export type Verdict =
  | {
      readonly granted: Identity;
      /** Unix time, seconds, at which the proof is worth nothing any more; left out: never. */
      readonly until?: number;
      /** Left out: no reload of files takes it back. */
      readonly grounds?: Grounds;
    }
  | { readonly refused: number; readonly reason: string };

export interface Authenticator {
  /** null: not its business, the next one is asked. */
  authenticate(request: ConnectRequest): Verdict | Promise<Verdict | null> | null;
  /**
   * What the password of a user is checked against whom nobody knows, so that it takes as long as
   * that of another; null: nothing.
   */
  decoy?(): StoredPassword | null;
  /** Whether no other behind it is asked about this client, who has a user name. */
  decides?(client: Pick<Identity, "clientId" | "userName">): boolean;
  /** It is asked no more. */
  close?(): void;
}
