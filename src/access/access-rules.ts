/**
 * What a client may do: an ordered list of rules of which the first that matches decides, and what
 * holds where none does. ACL files, dynamic security and claims are all put into this one form,
 * which the engine evaluates per topic (assembly/access.ts).
 *
 * A rule speaks of Topic Names for READ and WRITE, of Topic Filters for SUBSCRIBE and UNSUBSCRIBE:
 *
 *   READ, WRITE             its filter matches the Topic Name, as a subscription's would
 *   SUBSCRIBE, UNSUBSCRIBE  its filter covers the Topic Filter asked for: whatever that one
 *                           matches, it matches as well
 *   isLiteral               its filter is the same text, wildcards included
 */
import type { Identity } from "./identity.ts";

/** A message may be delivered to the client. */
export const READ = 1;
/** The client may publish, also by its will. */
export const WRITE = 2;
/** The client may subscribe; also the numbers under which HTTP back ends are asked (`acc`). */
export const SUBSCRIBE = 4;
export const UNSUBSCRIBE = 8;

export interface AccessRule {
  /** READ, WRITE, SUBSCRIBE, UNSUBSCRIBE, added up: what it decides. */
  readonly actions: number;
  readonly allows: boolean;
  readonly filter: string;
  readonly isLiteral: boolean;
  /**
   * `%c` and `%u` in the filter stand for the Client Identifier and the user name, and nothing
   * matches where that one is empty: so that clients of one kind share their rules. Where it is not
   * said the filter is taken as it stands.
   */
  readonly substitutes?: true;
  /**
   * Of SUBSCRIBE: wildcards of the Topic Filter asked for are levels as others are, so that `a/+`
   * means `a/#`, too; shared subscriptions are denied also by what stands behind their name.
   * "all but #": that filter is not meant.
   */
  readonly comparesText?: "all" | "all but #";
  /** Of SUBSCRIBE: whatever its filter, all Topic Filters with wildcards are meant. */
  readonly meansWildcards?: true;
}

/** What is to be asked outside the broker where no rule matches, instead of the defaults. */
export interface AccessQuestion {
  /** READ, WRITE, SUBSCRIBE, UNSUBSCRIBE, added up. READ is not asked: SUBSCRIBE decides it. */
  readonly actions: number;
  /** How long an answer about a topic holds, seconds. */
  readonly holdsSeconds: number;
  /** @returns whether it is allowed; who cannot be asked allows nothing */
  ask(identity: Identity, action: number, name: string): boolean | Promise<boolean>;
}

export interface AccessRules {
  /** In order: the first that matches decides. */
  readonly rules: readonly AccessRule[];
  /** Actions that are allowed where no rule matches, added up. */
  readonly defaults: number;
  readonly question?: AccessQuestion;
}

export interface Authorizer {
  /**
   * What it may do; null: everything. Asked at CONNECT, and again whenever rules changed; the same
   * object for clients that may do the same saves work.
   */
  rulesOf(identity: Identity): AccessRules | null;
}
