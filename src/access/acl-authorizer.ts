/** Decides by an ACL file, as mosquitto does: a user's own topics first, then the patterns. */
import type { AccessRule, AccessRules, Authorizer } from "./access-rules.ts";
import { SUBSCRIBE, UNSUBSCRIBE } from "./access-rules.ts";
import type { AclFile } from "./acl-file.ts";
import { hasWildcardInNames, type Identity } from "./identity.ts";

/** An ACL file says nothing of SUBSCRIBE: what may not be read is not delivered. */
const DEFAULTS = SUBSCRIBE | UNSUBSCRIBE;

export class AclAuthorizer implements Authorizer {
  readonly #file: AclFile;
  /** By user name, and of anonymous clients, so that who may do the same has the same object. */
  readonly #ofUsers = new Map<string, AccessRules>();
  #ofAnonymous: AccessRules | null = null;
  /** What everybody may do whom the file does not name, and who has patterns only. */
  readonly #ofOthers: AccessRules;

  constructor(file: AclFile) {
    this.#file = file;
    this.#ofOthers = this.#rules([], true);
  }

  rulesOf(identity: Identity): AccessRules {
    const { userName } = identity;
    const own = userName === "" ? this.#file.anonymous : this.#file.users.get(userName);
    // Patterns give it nothing.
    if (hasWildcardInNames(identity)) return this.#rules(own ?? [], false);
    if (own === undefined) return this.#ofOthers;
    if (userName === "") {
      this.#ofAnonymous ??= this.#rules(own, true);
      return this.#ofAnonymous;
    }
    const known = this.#ofUsers.get(userName);
    if (known !== undefined) return known;
    const rules = this.#rules(own, true);
    this.#ofUsers.set(userName, rules);
    return rules;
  }

  #rules(own: readonly AccessRule[], withPatterns: boolean): AccessRules {
    const rules = withPatterns ? [...own, ...this.#file.patterns] : own;
    return { rules, defaults: DEFAULTS };
  }
}
