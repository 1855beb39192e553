/**
 * What clients may do where mosquitto-go-auth decides. mosquitto asks such a plugin about nobody in
 * whose names are wildcards of Topic Filters, unless it is told to, and go-auth itself denies
 * everything to who has no user name.
 */
import { type AccessRules, type Authorizer, UNSUBSCRIBE } from "./access-rules.ts";
import { hasWildcardInNames, type Identity } from "./identity.ts";

const NOTHING: AccessRules = { rules: [], defaults: UNSUBSCRIBE };

export class GoAuthAuthorizer implements Authorizer {
  readonly #backends: Authorizer | null;
  readonly #file: Authorizer | null;
  readonly #deniesWildcardNames: boolean;

  /**
   * @param backends  who decides else; null: everything is allowed
   * @param file  who decides by an ACL file that is mosquitto's own; null: nobody
   */
  constructor(backends: Authorizer | null, file: Authorizer | null, deniesWildcardNames: boolean) {
    this.#backends = backends;
    this.#file = file;
    this.#deniesWildcardNames = deniesWildcardNames;
  }

  rulesOf(identity: Identity): AccessRules | null {
    const isDenied = this.#deniesWildcardNames && hasWildcardInNames(identity);
    if (identity.userName !== "" && !isDenied) return this.#backends?.rulesOf(identity) ?? null;
    return this.#file?.rulesOf(identity) ?? NOTHING;
  }
}
