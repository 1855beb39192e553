/**
 * What clients may do where mosquitto-go-auth decides. mosquitto asks such a plugin about nobody in
 * whose names are wildcards of Topic Filters, unless it is told to, and go-auth itself denies
 * everything to who has no user name.
 */
import {
  type AccessRule,
  type AccessRules,
  type Authorizer,
  READ,
  UNSUBSCRIBE,
} from "./access-rules.ts";
import { newRuleLists, type RuleLists } from "./acl-file.ts";
import type { GoAuthAclFile } from "./go-auth-acl-file.ts";
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

/** Decides by the ACL file of the backend `files`: what denies goes first, whomever it is for. */
export class GoAuthFileAuthorizer implements Authorizer {
  readonly #file: GoAuthAclFile;
  /** By user name, so that who may do the same has the same object. */
  readonly #ofUsers: ReadonlyMap<string, AccessRules>;
  readonly #ofOthers: AccessRules;

  constructor(file: GoAuthAclFile) {
    this.#file = file;
    this.#ofUsers = new Map(
      [...file.users].map(([name, own]) => [name, rulesInOrder(own, file.general)]),
    );
    this.#ofOthers = rulesInOrder(newRuleLists(), file.general);
  }

  rulesOf(identity: Identity): AccessRules {
    const { userName } = identity;
    if (hasWildcardInNames(identity)) return this.#withoutNames(userName);
    return this.#ofUsers.get(userName) ?? this.#ofOthers;
  }

  /**
   * With a wildcard for a name patterns would be wider than they are meant: none of them gives it
   * anything, and where one denies, it could be anything that is denied.
   */
  #withoutNames(userName: string): AccessRules {
    const { general, users } = this.#file;
    if (general.denying.some(({ substitutes }) => substitutes)) return NOTHING;
    const allowing = general.allowing.filter(({ substitutes }) => substitutes !== true);
    return rulesInOrder(users.get(userName) ?? newRuleLists(), { ...general, allowing });
  }
}

function rulesInOrder(own: RuleLists, general: RuleLists): AccessRules {
  const allowing = [...own.allowing, ...general.allowing].flatMap(withStatus);
  const hidden = new Set(allowing.map(firstLevel).filter((level) => level.startsWith("$")));
  const denying = [...own.denying, ...general.denying].flatMap((rule) => withHidden(rule, hidden));
  return { rules: [...denying, ...allowing], defaults: UNSUBSCRIBE };
}

function firstLevel({ filter }: AccessRule): string {
  return filter.split("/", 1)[0] ?? "";
}

/** Wildcards of go-auth match also what begins with `$`: `$SYS` may be read. */
function withStatus(rule: AccessRule): AccessRule[] {
  if ((rule.actions & READ) === 0 || !/^[+#]/.test(rule.filter)) return [rule];
  return [rule, { ...rule, actions: READ, filter: below("$SYS", rule.filter) }];
}

/** And that is denied, too, as far as it is allowed at all. */
function withHidden(rule: AccessRule, levels: ReadonlySet<string>): AccessRule[] {
  if (!/^[+#]/.test(rule.filter)) return [rule];
  const denied = [...levels].map((level): AccessRule => {
    const one = { ...rule, filter: below(level, rule.filter) };
    return /%[cu]/.test(level) ? { ...one, substitutes: true } : one;
  });
  return [rule, ...denied];
}

/** A filter that begins with a wildcard, with a level in its place. */
function below(level: string, filter: string): string {
  return filter === "#" ? `${level}/#` : `${level}${filter.slice(1)}`;
}
